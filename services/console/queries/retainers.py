"""Retainers of requirements, and what placements take off them."""

from services.console.queries.amounts import with_money
from services.console.queries.snapshot import ReadConnection, Row, fetch_page


async def retainers(
    connection: ReadConnection, billing_company: str | None, limit: int
) -> tuple[list[Row], int]:
    """Retainers in the order of their requirements; and how many there are in all."""
    rows, total = await fetch_page(
        connection,
        "*",
        "fee_realizer.console_retainer"
        " WHERE CAST(:company AS text) IS NULL OR billing_company = :company",
        "requirement_id",
        limit,
        company=billing_company,
    )
    figures = ("amount", "set_off", "kept", "credited", "undecided")
    return [with_money(row, *figures) for row in rows], total
