"""Time groups, and the terms of debtors version by version, as the console shows them."""

from datetime import timedelta

from services.console.client.books import ReadConnection, Row, found

TERMS = "payment_terms, time_group, missing_timesheets, credits, zero_documents, tax_regime, tax_wording, tax_id, address"


async def time_groups(connection: ReadConnection) -> list[Row]:
    """Every billing cycle, with its custom periods and how many debtors have it by their newest terms."""
    rows = await found(
        connection,
        "SELECT g.time_group, g.cycle, g.ends_on, g.anchor, g.first_days, g.last_days, count(t.account_name) AS debtors FROM invoicer.time_group g"
        " LEFT JOIN (SELECT DISTINCT ON (billing_company, account_name) account_name, time_group FROM invoicer.debtor_terms"
        " ORDER BY billing_company, account_name, from_date DESC) t ON t.time_group = g.time_group GROUP BY g.time_group ORDER BY g.time_group",
    )
    return [
        {name: row[name] for name in ("time_group", "cycle", "ends_on", "anchor", "debtors")}
        | {
            "periods": [
                {"first_day": first, "last_day": last}
                for first, last in zip(row["first_days"] or (), row["last_days"] or (), strict=True)
            ]
        }
        for row in rows
    ]


async def debtor_terms(
    connection: ReadConnection, billing_company: str, account_name: str | None = None
) -> list[Row]:
    """Every version of the terms of one debtor, or of all, each with the last day on which it holds (None: no end)."""
    rows = await found(
        connection,
        f"SELECT account_name, from_date, lead(from_date) OVER (PARTITION BY account_name ORDER BY from_date) AS next_from, {TERMS}"
        " FROM invoicer.debtor_terms WHERE billing_company = :company AND (CAST(:name AS text) IS NULL OR account_name = :name)"
        " ORDER BY account_name, from_date",
        company=billing_company,
        name=account_name,
    )
    for row in rows:
        next_from = row.pop("next_from")
        row["to_date"] = None if next_from is None else next_from - timedelta(days=1)
    return rows
