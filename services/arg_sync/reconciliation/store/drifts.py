"""Drifts: stored and published once, and resolved when a later run no longer finds them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.deliveries.store.messages import build_message, select_values
from services.arg_sync.reconciliation.rules import Drift, DriftCode, internal_drift
from shared.broker.producer import OutgoingMessage
from shared.broker.topics import LEDGER_DRIFT_FOUND
from shared.consumer.records import OutboxId
from shared.consumer.unit_of_work import MessageBuilder
from shared.database import rows, run
from shared.events.ledgers import LedgerDriftFound
from shared.sql import named_queries

QUERIES = named_queries(Path(__file__).with_suffix(".sql"))
DRIFT = "drift"


async def store_drifts(
    connection: AsyncConnection,
    ledger: str,
    found: Sequence[Drift],
    compared: Sequence[str],
    kinds: Sequence[DriftCode],
) -> list[OutboxId]:
    """Store new drifts and resolve those of the compared documents that are gone.

    Returns the messages about the new ones.
    """
    keys = {
        "ledger": ledger,
        "numbers": [each.number for each in found],
        "codes": [each.code for each in found],
        "remotes": [each.remote_id for each in found],
    }
    await run(
        connection, QUERIES["resolve_drifts"], **keys, compared=list(compared), kinds=list(kinds)
    )
    new = await rows(
        connection,
        QUERIES["add_drifts"],
        **keys,
        ids=[each.invoice_id for each in found],
        messages=[each.message for each in found],
        fixes=[each.fix for each in found],
    )
    return [(DRIFT, str(row.drift_id)) for row in new]


async def internal_drifts(
    connection: AsyncConnection, ledger: str, late_minutes: int
) -> list[Drift]:
    """Return where our own records disagree. Documents younger than that may still arrive."""
    found = await rows(
        connection, QUERIES["internal_differences"], ledger=ledger, late_minutes=late_minutes
    )
    return [internal_drift(*row) for row in found]


async def numbers_with_open_drifts(
    connection: AsyncConnection, ledger: str, kinds: Sequence[DriftCode]
) -> list[str]:
    """Return the numbers of documents with open drifts of these kinds."""
    found = await rows(
        connection,
        "SELECT DISTINCT invoice_number FROM arg_sync.drift WHERE ledger = :ledger"
        " AND resolved_at IS NULL AND code = ANY(CAST(:kinds AS text[]))",
        ledger=ledger,
        kinds=list(kinds),
    )
    return [row.invoice_number for row in found]


async def count_open_drifts(connection: AsyncConnection, ledger: str) -> int:
    """Return the number of open drifts."""
    (row,) = await rows(
        connection,
        "SELECT count(*) AS n FROM arg_sync.drift WHERE ledger = :ledger AND resolved_at IS NULL",
        ledger=ledger,
    )
    return int(row.n)


async def drift_messages(connection: AsyncConnection, ids: Sequence[str]) -> list[OutgoingMessage]:
    """Build ledger-drift-found, one for each drift."""
    found = await rows(
        connection,
        "SELECT d.*, c.billing_company FROM arg_sync.drift d"
        " JOIN arg_sync.connection c USING (ledger)"
        " WHERE d.drift_id = ANY(CAST(:ids AS bigint[]))",
        ids=[int(an_id) for an_id in ids],
    )
    return [
        build_message(
            LEDGER_DRIFT_FOUND,
            row.invoice_id or row.remote_id,
            LedgerDriftFound(**select_values(row, *LedgerDriftFound.model_fields)),
            row.drift_id,
        )
        for row in found
    ]


MESSAGE_BUILDERS: Mapping[str, MessageBuilder] = {DRIFT: drift_messages}
