"""Engagements and suppliers, as the ATS last published them."""

from services.console.queries.snapshot import ReadConnection, Row, fetch, fetch_page
from shared.stored import as_json

ENGAGEMENT = (
    "engagement_id, revision, closed, request_type, supplier_id, client_country, location,"
    " department, terms, custom, placements"
)
SUPPLIER = "supplier_id, revision, closed, name, account_name, address, tax_id, custom, engagements"


async def engagements(
    connection: ReadConnection, supplier: str | None, limit: int
) -> tuple[list[Row], int]:
    """Engagements in the order of their ids, and how many there are in all.

    Each has its newest terms in columns of their own.
    """
    rows, total = await fetch_page(
        connection,
        ENGAGEMENT,
        "fee_realizer.console_engagement"
        " WHERE CAST(:supplier AS text) IS NULL OR supplier_id = :supplier",
        "engagement_id",
        limit,
        supplier=supplier,
    )
    return [_engagement(row) for row in rows], total


async def engagement(connection: ReadConnection, engagement_id: str) -> Row | None:
    """One engagement with its terms, its custom fields and its placements; None: unknown."""
    found = await fetch(
        connection,
        f"SELECT {ENGAGEMENT} FROM fee_realizer.console_engagement WHERE engagement_id = :id",
        id=engagement_id,
    )
    if not found:
        return None
    placed = await fetch(
        connection,
        "SELECT placement_id, requirement_id, worker_id, start_date, end_date, named"
        " FROM fee_realizer.console_placed_engagement WHERE engagement_id = :id"
        " ORDER BY start_date, placement_id",
        id=engagement_id,
    )
    return _engagement(found[0]) | {"placements": placed}


async def suppliers(connection: ReadConnection, limit: int) -> tuple[list[Row], int]:
    """Suppliers in the order of their ids, and how many there are in all."""
    rows, total = await fetch_page(
        connection, SUPPLIER, "fee_realizer.console_supplier", "supplier_id", limit
    )
    return [row | {"custom": as_json(row["custom"])} for row in rows], total


def _engagement(row: Row) -> Row:
    terms = sorted(as_json(row["terms"]), key=lambda each: each["from_date"])
    newest = terms[-1] if terms else {}
    return row | {
        "terms": terms,
        "custom": as_json(row["custom"]),
        "invoice_option": newest.get("invoice_option", ""),
        "billing_filter": newest.get("billing_filter", []),
        "needs_transfer": newest.get("needs_transfer", False),
    }
