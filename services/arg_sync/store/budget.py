"""The rate budget of a connection, shared by all workers: pace, calls a day, and how many calls are under way at once."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import rows, run


@dataclass(frozen=True, slots=True)
class Turn:
    """When a call may begin, in seconds from now; `used_up`: the day has no calls left."""

    wait_seconds: float
    used_up: bool = False


async def take_turn(
    connection: AsyncConnection, ledger: str, pause_seconds: float, per_day: int | None
) -> Turn:
    """The next moment at which a call may begin. It is taken: nobody else gets it. Unused time is not saved up."""
    if per_day is not None and not await _count(connection, ledger, per_day):
        return Turn(0.0, used_up=True)
    if pause_seconds <= 0:
        return Turn(0.0)
    (row,) = await rows(
        connection,
        "UPDATE arg_sync.call_pacing SET next_at = greatest(next_at, clock_timestamp()) + make_interval(secs => CAST(:pause AS float8)) WHERE ledger = :ledger"
        " RETURNING CAST(extract(epoch FROM next_at - clock_timestamp()) AS float8) - CAST(:pause AS float8) AS wait",
        ledger=ledger,
        pause=pause_seconds,
    )
    return Turn(max(0.0, row.wait))


async def _count(connection: AsyncConnection, ledger: str, per_day: int) -> bool:
    """Counts a call of the last 24 hours, whole hours counted in full; False if there were enough."""
    await run(
        connection,
        "SELECT next_at FROM arg_sync.call_pacing WHERE ledger = :ledger FOR UPDATE",
        ledger=ledger,
    )
    (row,) = await rows(
        connection,
        "SELECT coalesce(sum(calls), 0) AS calls FROM arg_sync.call_count WHERE ledger = :ledger AND hour > now() - interval '25 hours'",
        ledger=ledger,
    )
    if row.calls >= per_day:
        return False
    await run(
        connection,
        "INSERT INTO arg_sync.call_count (ledger, hour, calls) VALUES (:ledger, date_trunc('hour', now()), 1)"
        " ON CONFLICT (ledger, hour) DO UPDATE SET calls = calls.calls + 1",
        ledger=ledger,
    )
    return True


async def take_slots(
    connection: AsyncConnection, ledger: str, holder: str, most: int, seconds: float
) -> int:
    """Takes what is free of the connection's slots, and keeps those that the holder has; how many it holds."""
    await run(
        connection,
        "SELECT next_at FROM arg_sync.call_pacing WHERE ledger = :ledger FOR UPDATE",
        ledger=ledger,
    )
    return await run(
        connection,
        "INSERT INTO arg_sync.call_slot AS s (ledger, slot_no, holder, until)"
        " SELECT :ledger, n, :holder, clock_timestamp() + make_interval(secs => CAST(:seconds AS float8)) FROM generate_series(1, :most) AS n"
        " ON CONFLICT (ledger, slot_no) DO UPDATE SET holder = excluded.holder, until = excluded.until"
        " WHERE s.until < clock_timestamp() OR s.holder = excluded.holder",
        ledger=ledger,
        holder=holder,
        most=most,
        seconds=seconds,
    )


async def keep_slots(connection: AsyncConnection, ledger: str, holder: str, seconds: float) -> int:
    """Keeps the slots that the holder has, whatever their numbers, and takes no others; how many it still has."""
    await run(
        connection,
        "SELECT next_at FROM arg_sync.call_pacing WHERE ledger = :ledger FOR UPDATE",
        ledger=ledger,
    )
    return await run(
        connection,
        "UPDATE arg_sync.call_slot SET until = clock_timestamp() + make_interval(secs => CAST(:seconds AS float8)) WHERE ledger = :ledger AND holder = :holder",
        ledger=ledger,
        holder=holder,
        seconds=seconds,
    )


async def take_one_slot(
    connection: AsyncConnection, ledger: str, holder: str, most: int, seconds: float
) -> bool:
    """Takes one slot that nobody has; False if there is none."""
    await run(
        connection,
        "SELECT next_at FROM arg_sync.call_pacing WHERE ledger = :ledger FOR UPDATE",
        ledger=ledger,
    )
    return bool(
        await run(
            connection,
            "INSERT INTO arg_sync.call_slot AS s (ledger, slot_no, holder, until)"
            " SELECT :ledger, n, :holder, clock_timestamp() + make_interval(secs => CAST(:seconds AS float8)) FROM generate_series(1, :most) AS n"
            " WHERE NOT EXISTS (SELECT FROM arg_sync.call_slot t WHERE t.ledger = :ledger AND t.slot_no = n AND t.until >= clock_timestamp())"
            " ORDER BY n DESC LIMIT 1 ON CONFLICT (ledger, slot_no) DO UPDATE SET holder = excluded.holder, until = excluded.until",
            ledger=ledger,
            holder=holder,
            most=most,
            seconds=seconds,
        )
    )


async def give_slots_back(connection: AsyncConnection, ledger: str, holder: str) -> None:
    """Others may have them."""
    await run(
        connection,
        "DELETE FROM arg_sync.call_slot WHERE ledger = :ledger AND holder = :holder",
        ledger=ledger,
        holder=holder,
    )
