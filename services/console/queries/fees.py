"""MSP fees of invoice options, their tiers, the volume that was reached, and fees of documents."""

from collections.abc import Iterable
from datetime import date, timedelta

from services.console.queries.amounts import with_money
from services.console.queries.snapshot import ReadConnection, Row, fetch
from shared.stored import as_json

_OF_COMPANY = " WHERE CAST(:company AS text) IS NULL OR billing_company = :company"


async def fees(connection: ReadConnection, billing_company: str | None = None) -> list[Row]:
    """Every version of the fees, each with its last day (None: no end)."""
    key = "billing_company, option_name, funded_by"
    rows = await fetch(
        connection,
        f"SELECT *, lead(from_date) OVER (PARTITION BY {key} ORDER BY from_date) AS next_from"
        f" FROM invoicer.console_fee{_OF_COMPANY} ORDER BY {key}, from_date",
        company=billing_company,
    )
    return _with_last_days(rows)


async def fee_tiers(connection: ReadConnection, billing_company: str | None = None) -> list[Row]:
    """Every version of the tiers of fees, each with its last day (None: no end)."""
    key = "billing_company, option_name, funded_by, currency"
    rows = await fetch(
        connection,
        f"SELECT *, lead(from_date) OVER (PARTITION BY {key} ORDER BY from_date) AS next_from"
        f" FROM invoicer.console_fee_tiers{_OF_COMPANY} ORDER BY {key}, from_date",
        company=billing_company,
    )
    return [row | {"tiers": as_json(row["tiers"])} for row in _with_last_days(rows)]


def _with_last_days(rows: Iterable[Row]) -> list[Row]:
    """Replace the first day of the next version of each by its own last day."""
    return [
        {name: value for name, value in row.items() if name != "next_from"}
        | {"to_date": row["next_from"] and row["next_from"] - timedelta(days=1)}
        for row in rows
    ]


async def opening_volumes(
    connection: ReadConnection, billing_company: str | None = None
) -> list[Row]:
    """The volume that was loaded, day by day."""
    return await fetch(
        connection,
        f"SELECT * FROM invoicer.console_opening_volume{_OF_COMPANY}"
        " ORDER BY billing_company, option_name, currency, on_date",
        company=billing_company,
    )


async def volumes(
    connection: ReadConnection, billing_company: str, on: date, option: str | None = None
) -> list[Row]:
    """The volume of each option and currency up to a day, and the loaded part of all of it."""
    rows = await fetch(
        connection,
        "SELECT option_name, currency,"
        " coalesce(sum(amount) FILTER (WHERE on_date >= CAST(:on AS date) - 364), 0) AS days_364,"
        " coalesce(sum(amount) FILTER (WHERE on_date >= CAST(:on AS date) - 91), 0) AS days_91,"
        " coalesce(sum(amount) FILTER (WHERE on_date >= CAST(:year AS date)), 0) AS year_to_date"
        " FROM invoicer.console_option_volume"
        " WHERE billing_company = :company AND on_date <= CAST(:on AS date)"
        " AND (CAST(:option AS text) IS NULL OR option_name = :option)"
        " GROUP BY option_name, currency ORDER BY option_name, currency",
        company=billing_company,
        on=on,
        year=date(on.year, 1, 1),
        option=option,
    )
    return [with_money(row, "days_364", "days_91", "year_to_date") for row in rows]


async def fees_of_invoice(connection: ReadConnection, invoice_id: int) -> list[Row]:
    """The fees of a document, and what it returns of the fees of another one."""
    rows = await fetch(
        connection,
        "SELECT option_name, funded_by, charged_as, fee_from, percent, base, amount, line_no,"
        " volume, corrects_invoice, currency FROM invoicer.console_document_fee"
        " WHERE invoice_id = :invoice ORDER BY fee_no",
        invoice=invoice_id,
    )
    return [with_money(row, "base", "amount", "volume") for row in rows]


async def fee_of_line(connection: ReadConnection, pay_line_id: int) -> Row | None:
    """What a line is of the base of a fee, with the fee; None if it has none."""
    rows = await fetch(
        connection,
        "SELECT f.*, p.currency FROM invoicer.console_line_fee f"
        " JOIN invoicer.console_pay_line p USING (pay_line_id) WHERE pay_line_id = :line",
        line=pay_line_id,
    )
    return with_money(rows[0], "base", "share", "volume") if rows else None
