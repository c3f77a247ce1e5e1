"""The rate budget of a connection, shared by all workers: pace, calls a day, parallel calls."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.connections.store import FROM_NOW
from shared.database import rows, run


@dataclass(frozen=True, slots=True)
class CallPermit:
    """The seconds to wait before a call; `used_up` if the day has no calls left."""

    wait_seconds: float
    used_up: bool = False


async def lock_budget(connection: AsyncConnection, ledger: str) -> None:
    """Lock the budget of a ledger: one worker at a time counts calls or claims anything."""
    await run(
        connection,
        "SELECT next_at FROM arg_sync.call_pacing WHERE ledger = :ledger FOR UPDATE",
        ledger=ledger,
    )


async def permit_call(
    connection: AsyncConnection, ledger: str, pause_seconds: float, per_day: int | None
) -> CallPermit:
    """Reserve the next free moment for a call. Unused time is not saved up."""
    if per_day is not None and not await _count_call(connection, ledger, per_day):
        return CallPermit(0.0, used_up=True)
    if pause_seconds <= 0:
        return CallPermit(0.0)
    (row,) = await rows(
        connection,
        "UPDATE arg_sync.call_pacing"
        " SET next_at = greatest(next_at, clock_timestamp())"
        "   + make_interval(secs => CAST(:pause AS float8)) WHERE ledger = :ledger"
        " RETURNING CAST(extract(epoch FROM next_at - clock_timestamp()) AS float8)"
        "   - CAST(:pause AS float8) AS wait",
        ledger=ledger,
        pause=pause_seconds,
    )
    return CallPermit(max(0.0, row.wait))


async def _count_call(connection: AsyncConnection, ledger: str, per_day: int) -> bool:
    """Count a call; False if the last 24 hours (by whole hours) used up the limit."""
    await lock_budget(connection, ledger)
    (row,) = await rows(
        connection,
        "SELECT coalesce(sum(calls), 0) AS calls FROM arg_sync.call_count"
        " WHERE ledger = :ledger AND hour > now() - interval '25 hours'",
        ledger=ledger,
    )
    if row.calls >= per_day:
        return False
    await run(
        connection,
        "INSERT INTO arg_sync.call_count AS c (ledger, hour, calls)"
        " VALUES (:ledger, date_trunc('hour', now()), 1)"
        " ON CONFLICT (ledger, hour) DO UPDATE SET calls = c.calls + 1",
        ledger=ledger,
    )
    return True


async def take_slots(
    connection: AsyncConnection, ledger: str, holder: str, most: int, seconds: float
) -> int:
    """Take the free slots and extend the holder's own; return how many it holds."""
    await lock_budget(connection, ledger)
    return await run(
        connection,
        "INSERT INTO arg_sync.call_slot AS s (ledger, slot_no, holder, held_until)"
        f" SELECT :ledger, n, :holder, {FROM_NOW} FROM generate_series(1, :most) AS n"
        " ON CONFLICT (ledger, slot_no) DO UPDATE"
        " SET holder = excluded.holder, held_until = excluded.held_until"
        " WHERE s.held_until < clock_timestamp() OR s.holder = excluded.holder",
        ledger=ledger,
        holder=holder,
        most=most,
        seconds=seconds,
    )


async def keep_slots(connection: AsyncConnection, ledger: str, holder: str, seconds: float) -> int:
    """Extend the holder's slots and take no others; return how many it still holds."""
    await lock_budget(connection, ledger)
    return await run(
        connection,
        f"UPDATE arg_sync.call_slot SET held_until = {FROM_NOW}"
        " WHERE ledger = :ledger AND holder = :holder",
        ledger=ledger,
        holder=holder,
        seconds=seconds,
    )


async def take_one_slot(
    connection: AsyncConnection, ledger: str, holder: str, most: int, seconds: float
) -> bool:
    """Take one free slot; False if there is none."""
    await lock_budget(connection, ledger)
    return bool(
        await run(
            connection,
            "INSERT INTO arg_sync.call_slot AS s (ledger, slot_no, holder, held_until)"
            f" SELECT :ledger, n, :holder, {FROM_NOW} FROM generate_series(1, :most) AS n"
            " WHERE NOT EXISTS (SELECT FROM arg_sync.call_slot t WHERE t.ledger = :ledger"
            "   AND t.slot_no = n AND t.held_until >= clock_timestamp())"
            " ORDER BY n DESC LIMIT 1 ON CONFLICT (ledger, slot_no) DO UPDATE"
            " SET holder = excluded.holder, held_until = excluded.held_until",
            ledger=ledger,
            holder=holder,
            most=most,
            seconds=seconds,
        )
    )


async def release_slots(connection: AsyncConnection, ledger: str, holder: str) -> None:
    """Release the holder's slots."""
    await run(
        connection,
        "DELETE FROM arg_sync.call_slot WHERE ledger = :ledger AND holder = :holder",
        ledger=ledger,
        holder=holder,
    )
