"""Runs of the three-way check: asked for by an operator or by the night, taken by one worker, carried on where they stood."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.rules.reconcile import Ours
from shared.database import rows, run

NIGHT, NIGHT_HOUR = "night", 2
NIGHTLY_DAYS = 120
LEASE_SECONDS = 900.0
# Once after 02:00 UTC, of each connection that is well and is older than that night. An operator's run of the same morning counts.
ASK_NIGHTLY = f"""
INSERT INTO arg_sync.reconciliation (ledger, actor, since)
SELECT c.ledger, '{NIGHT}', CAST(night.began AT TIME ZONE 'UTC' AS date) - {NIGHTLY_DAYS}
FROM arg_sync.connection c,
  (SELECT date_trunc('day', now() - interval '{NIGHT_HOUR} hours', 'UTC') + interval '{NIGHT_HOUR} hours' AS began) night
WHERE c.state = 'connected' AND c.connected_at < night.began
  AND NOT EXISTS (SELECT FROM arg_sync.reconciliation r WHERE r.ledger = c.ledger AND r.asked_at >= night.began)
ON CONFLICT DO NOTHING"""
TAKE = """
UPDATE arg_sync.reconciliation r SET state = 'reading', takes = takes + 1, next_at = clock_timestamp() + make_interval(secs => CAST(:seconds AS float8))
WHERE ledger = :ledger AND state IN ('waiting', 'reading') AND next_at <= clock_timestamp()
RETURNING run_id, takes, since, position, tries"""
# `adopted` with words in it: a person said so; an engine that adopts says nothing more.
OURS = """
SELECT delivery_id, lease, ledger, invoice_id, invoice_number AS number, document_type AS kind, currency, total, coalesce(customer, '') AS customer,
  coalesce(remote_id, '') AS remote_id, state = 'posted' AS posted, code = 'marked' OR (code = 'adopted' AND message <> '') AS by_hand
FROM arg_sync.delivery
WHERE ledger = :ledger AND state IN ('posted', 'refused') AND delivery_id > :after AND (CAST(:since AS date) IS NULL OR invoice_date >= :since)
ORDER BY delivery_id LIMIT :most"""


@dataclass(frozen=True, slots=True)
class Run:
    """A run in our hands. `takes` counts who had it: who was overtaken keeps nothing."""

    run_id: int
    takes: int
    since: date | None
    position: int
    tries: int


async def ask(connection: AsyncConnection, ledger: str, actor: str) -> int:
    """Asks for a run of all documents; one that is under way already is the answer."""
    await run(
        connection,
        "INSERT INTO arg_sync.reconciliation (ledger, actor) VALUES (:ledger, :actor) ON CONFLICT DO NOTHING",
        ledger=ledger,
        actor=actor,
    )
    await run(
        connection,
        "UPDATE arg_sync.reconciliation SET since = NULL, position = 0, documents = 0, unread = 0, actor = :actor, takes = takes + 1, state = 'waiting',"
        " next_at = clock_timestamp() WHERE ledger = :ledger AND state IN ('waiting', 'reading') AND since IS NOT NULL",
        ledger=ledger,
        actor=actor,
    )
    (row,) = await rows(
        connection,
        "SELECT run_id FROM arg_sync.reconciliation WHERE ledger = :ledger AND state IN ('waiting', 'reading')",
        ledger=ledger,
    )
    return int(row.run_id)


async def ask_nightly(connection: AsyncConnection) -> None:
    """Asks for the runs of the night, once each."""
    await run(connection, ASK_NIGHTLY)


async def due(connection: AsyncConnection) -> list[str]:
    """Connections with a run that nobody has in hand, or whose worker is gone."""
    found = await rows(
        connection,
        "SELECT r.ledger FROM arg_sync.reconciliation r JOIN arg_sync.connection c USING (ledger)"
        " WHERE r.state IN ('waiting', 'reading') AND r.next_at <= clock_timestamp() ORDER BY r.ledger",
    )
    return [row.ledger for row in found]


async def take(connection: AsyncConnection, ledger: str) -> Run | None:
    """Takes the run; None if another has it."""
    found = await rows(connection, TAKE, ledger=ledger, seconds=LEASE_SECONDS)
    return Run(*found[0]) if found else None


async def ours_after(
    connection: AsyncConnection, ledger: str, since: date | None, after: int, most: int
) -> list[Ours]:
    """The next deliveries that are to be compared."""
    return [
        Ours(*row)
        for row in await rows(connection, OURS, ledger=ledger, since=since, after=after, most=most)
    ]


async def advance(
    connection: AsyncConnection, one: Run, position: int, documents: int, unread: int
) -> bool:
    """So far it is compared; False if the run is another's by now."""
    return bool(
        await run(
            connection,
            "UPDATE arg_sync.reconciliation SET position = :position, documents = documents + :documents, unread = unread + :unread, tries = 0,"
            " next_at = clock_timestamp() + make_interval(secs => CAST(:seconds AS float8)) WHERE run_id = :id AND takes = :takes",
            id=one.run_id,
            takes=one.takes,
            position=position,
            documents=documents,
            unread=unread,
            seconds=LEASE_SECONDS,
        )
    )


async def end(connection: AsyncConnection, one: Run, state: str, message: str) -> None:
    """Done, or failed: what was compared until then stands."""
    await run(
        connection,
        "UPDATE arg_sync.reconciliation SET state = :state, message = :message, ended_at = clock_timestamp() WHERE run_id = :id AND takes = :takes",
        id=one.run_id,
        takes=one.takes,
        state=state,
        message=message,
    )


async def put_back(
    connection: AsyncConnection, one: Run, seconds: float, message: str, *, tried: bool
) -> None:
    """It goes on later where it stood."""
    await run(
        connection,
        "UPDATE arg_sync.reconciliation SET state = 'waiting', message = :message, tries = tries + CAST(:tried AS integer),"
        " next_at = clock_timestamp() + make_interval(secs => CAST(:seconds AS float8)) WHERE run_id = :id AND takes = :takes",
        id=one.run_id,
        takes=one.takes,
        message=message,
        tried=int(tried),
        seconds=seconds,
    )


async def unchanged(connection: AsyncConnection, compared: Sequence[Ours]) -> set[int]:
    """The deliveries that still stand as they were compared; they stay so until the transaction ends."""
    found = await rows(
        connection,
        "SELECT d.delivery_id FROM arg_sync.delivery d"
        " JOIN unnest(CAST(:ids AS bigint[]), CAST(:leases AS bigint[])) AS o(delivery_id, lease) ON d.delivery_id = o.delivery_id AND d.lease = o.lease"
        " WHERE d.state IN ('posted', 'refused') FOR SHARE OF d",
        ids=[each.delivery_id for each in compared],
        leases=[each.lease for each in compared],
    )
    return {row.delivery_id for row in found}


async def summary(connection: AsyncConnection, run_id: int) -> Any:
    """How far a run is."""
    return (
        await rows(
            connection,
            "SELECT documents, unread FROM arg_sync.reconciliation WHERE run_id = :id",
            id=run_id,
        )
    )[0]
