"""What waits for a person: everything that goes on only after a decision or a fix."""

from collections.abc import Sequence

from services.console.queries.amounts import with_money
from services.console.queries.consumers import stopped_partitions
from services.console.queries.dead_letters import dead_letters
from services.console.queries.deliveries import wait_words
from services.console.queries.snapshot import SQL, ReadConnection, Row, fetch

MOST = 100
"""Rows of each kind that are read."""
KINDS = (
    "held",
    "dead_letters",
    "stopped",
    "deliveries",
    "mails",
    "drifts",
    "parked",
    "price_impact",
)


async def inbox_counts(
    connection: ReadConnection, companies: Sequence[str], *, everywhere: bool
) -> dict[str, int]:
    """How much of each kind waits at these billing companies.

    `everywhere`: also what belongs to no company, such as unreadable records.
    """
    (row,) = await fetch(
        connection, SQL["inbox_counts"], companies=list(companies), everywhere=everywhere
    )
    return {kind: int(row[kind]) for kind in KINDS}


async def inbox(
    connection: ReadConnection, companies: Sequence[str], *, everywhere: bool
) -> dict[str, list[Row]]:
    """The first rows of each kind, those that wait longest first."""
    which = {"companies": list(companies), "most": MOST}
    found: dict[str, list[Row]] = {
        "held": await fetch(
            connection,
            "SELECT document_kind, document_id, revision, billing_company, held_since,"
            " hold_code AS code, hold_message AS message FROM fee_realizer.console_held_document"
            " WHERE billing_company = ANY(CAST(:companies AS text[]))"
            " OR CAST(:everywhere AS boolean) AND billing_company = ''"
            " ORDER BY held_since, document_id LIMIT :most",
            **which,
            everywhere=everywhere,
        ),
        "deliveries": await _deliveries(connection, which),
        "mails": await fetch(
            connection,
            "SELECT mail_id, billing_company, invoice_number, document_type, account_name, address,"
            " state, code, message, fix, attempts FROM arg_sync.console_mail"
            " WHERE state IN ('refused', 'unknown')"
            " AND billing_company = ANY(CAST(:companies AS text[])) ORDER BY mail_id LIMIT :most",
            **which,
        ),
        "drifts": await fetch(
            connection,
            "SELECT d.ledger, c.billing_company, d.invoice_number, d.code, d.remote_id, d.message,"
            " d.fix, d.found_at FROM arg_sync.console_open_drift d"
            " JOIN arg_sync.console_connection c USING (ledger)"
            " WHERE c.billing_company = ANY(CAST(:companies AS text[]))"
            " ORDER BY d.found_at, d.invoice_number LIMIT :most",
            **which,
        ),
        "parked": await fetch(
            connection,
            "SELECT p.batch_id, b.billing_company, b.cut_off_date, p.account_name, p.code,"
            " p.message FROM invoicer.console_parked_debtor p"
            " JOIN invoicer.console_batch b USING (batch_id) WHERE p.billed_in_batch IS NULL"
            " AND b.billing_company = ANY(CAST(:companies AS text[]))"
            " ORDER BY b.generated_at, p.account_name LIMIT :most",
            **which,
        ),
        "price_impact": [
            with_money(row, "old", "new", "net")
            for row in await fetch(connection, SQL["price_impact"], **which)
        ],
        "dead_letters": [],
        "stopped": [],
    }
    if everywhere:
        found["dead_letters"], _ = await dead_letters(connection, limit=MOST)
        found["stopped"] = await stopped_partitions(connection)
    return found


async def _deliveries(connection: ReadConnection, which: dict[str, object]) -> list[Row]:
    rows = await fetch(connection, SQL["waiting_deliveries"], **which)
    for row in rows:
        waits = {name: row.pop(name) for name in ("waits_for", "why", "why_message")}
        if waits["why"]:
            words = {"ledger": row["ledger"], "message": waits["why_message"]}
            row["message"] = row["message"] or wait_words({**waits, **words})
    return [with_money(row, "total") for row in rows]
