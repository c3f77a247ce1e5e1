"""Invoice options with their validity dates, and the grouping lists of client countries."""

from datetime import timedelta

from services.console.queries.snapshot import ReadConnection, Row, fetch


async def invoice_options(
    connection: ReadConnection, billing_company: str | None = None
) -> list[Row]:
    """Every version of the options, each with its last day (None: no end).

    `fields`: what it groups documents by, its own list or that of its country.
    """
    rows = await fetch(
        connection,
        "SELECT *, lead(from_date) OVER (PARTITION BY billing_company, name ORDER BY from_date)"
        " AS next_from FROM invoicer.console_invoice_option"
        " WHERE CAST(:company AS text) IS NULL OR billing_company = :company"
        " ORDER BY billing_company, name, from_date",
        company=billing_company,
    )
    for row in rows:
        next_from = row.pop("next_from")
        row["to_date"] = None if next_from is None else next_from - timedelta(days=1)
    return rows


async def country_grouping(
    connection: ReadConnection, billing_company: str | None = None
) -> list[Row]:
    """The grouping list of each client country that has one."""
    return await fetch(
        connection,
        "SELECT billing_company, client_country, group_by FROM invoicer.console_country_grouping"
        " WHERE CAST(:company AS text) IS NULL OR billing_company = :company"
        " ORDER BY billing_company, client_country",
        company=billing_company,
    )
