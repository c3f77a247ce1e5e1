"""The tables that bring the decisions of the rules to the queries of a selection."""

from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.rules import reasons
from services.invoicer.batches.rules.grouping import Debtor
from services.invoicer.debtors.rules.companies import DocumentTerms
from services.invoicer.invoices.rules.totals import TaxSpan
from shared.database import columns, joined_rows, run
from shared.money import currencies_without_two_decimals

CREDIT_SPLITS = {"net": 0, "separate": 1, "per-invoice": 2}
TABLES = {
    "debtor_decision": {
        "debtor_no": "integer",
        "account_name": "text",
        "terms_no": "integer",
        "taxed": "boolean",
        "credit_split": "integer",
        "exclusion_reason": "integer",
        "waits": "boolean",
        "cyclic": "boolean",
        "weeks_from": "date",
        "weeks_to": "date",
        "products_to": "date",
    },
    "document_terms": {
        "terms_no": "integer",
        "tax_regime": "text",
        "tax_wording": "text",
        "payment_terms": "text",
    },
    "tax_span": {
        "tax_code": "text",
        "from_date": "date",
        "to_date": "date",
        "percent": "numeric",
        "fraction": "numeric",
    },
    "currency_decimals": {"currency": "text", "decimals": "integer"},
}
"""The columns of the tables and their types."""


async def add_decisions(
    connection: AsyncConnection,
    debtors: Sequence[Debtor],
    terms: Sequence[DocumentTerms],
    spans: Sequence[TaxSpan],
) -> None:
    """Create the decision tables, which the queries join."""
    numbers = {each: number for number, each in enumerate(terms, start=1)}
    decisions: dict[str, Sequence[Sequence[object]]] = {
        "debtor_decision": [
            (
                debtor.debtor_no,
                debtor.account_name,
                numbers[debtor.terms],
                debtor.terms.tax_regime == "standard",
                CREDIT_SPLITS[debtor.credits],
                _exclusion_reason(debtor),
                bool(debtor.waiting),
                debtor.window.is_cyclic,
                debtor.window.weeks_from,
                debtor.window.weeks_to,
                debtor.window.products_to,
            )
            for debtor in debtors
        ],
        "document_terms": [(number, *each) for each, number in numbers.items()],
    }
    await _create_tables(connection, decisions)
    await add_rates(connection, spans)


async def add_rates(connection: AsyncConnection, spans: Sequence[TaxSpan]) -> None:
    """Create `tax_span` and `currency_decimals`, which bring tax rates and decimals to queries."""
    rates: dict[str, Sequence[Sequence[object]]] = {
        "tax_span": [
            (span.tax_code, span.from_date, span.to_date, span.percent, span.percent / 100)
            for span in spans
        ],
        "currency_decimals": currencies_without_two_decimals(),
    }
    await _create_tables(connection, rates)


async def _create_tables(
    connection: AsyncConnection, tables: Mapping[str, Sequence[Sequence[object]]]
) -> None:
    for table, table_rows in tables.items():
        kinds = TABLES[table]
        await run(
            connection,
            f"CREATE TEMP TABLE {table} ON COMMIT DROP AS SELECT * FROM unnest({columns(kinds)})"
            f" AS d({', '.join(kinds)}) WHERE {next(iter(kinds))} IS NOT NULL",
            **joined_rows(kinds, table_rows),
        )


def _exclusion_reason(debtor: Debtor) -> int:
    """Return the number of the reason that excludes all lines of a debtor."""
    if debtor.left_out:
        return reasons.number(debtor.left_out)
    return reasons.number(reasons.DEBTOR_PARKED) if debtor.parked else reasons.IN
