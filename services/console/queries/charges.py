"""Charges: expenses and other things that a debtor is billed by hand or by event."""

from services.console.queries.snapshot import ReadConnection, Row, fetch_page
from shared.stored import as_json


async def charges(
    connection: ReadConnection, billing_company: str | None, limit: int
) -> tuple[list[Row], int]:
    """The charges in force, the newest first; and how many there are in all."""
    rows, total = await fetch_page(
        connection,
        "revision, hold_code, hold_message, body",
        "fee_realizer.console_charge"
        " WHERE CAST(:company AS text) IS NULL OR body ->> 'billing_company' = :company",
        "received_at DESC, charge_id",
        limit,
        company=billing_company,
    )
    return [as_json(row.pop("body")) | row for row in rows], total
