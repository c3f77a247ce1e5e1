"""The codes of a QuickBooks company, for the check of a mapping."""

from collections.abc import Collection, Sequence

from services.arg_sync.ledgers.codes import CodeKind, LedgerCode
from services.arg_sync.ledgers.lookups import Row
from services.arg_sync.ledgers.quickbooks_taxes import Query, listed, sales_rates

ANY = "Active in (true, false)"
ENTITY = {"item": "Item", "tax": "TaxCode"}


async def codes_of(
    kind: CodeKind, wanted: Collection[str], query: Query
) -> Sequence[LedgerCode] | None:
    """Return the wanted items or tax codes, and the first page of them; None for other kinds."""
    if kind not in ENTITY:
        return None
    wheres = [ANY, f"Id in ({listed(sorted(wanted))}) and {ANY}"] if wanted else [ANY]
    rows = {row["Id"]: row for where in wheres for row in await query(ENTITY[kind], where)}
    return [
        LedgerCode(str(an_id), str(row.get("Name") or ""), _no_use(kind, row))
        for an_id, row in rows.items()
    ]


async def currency_codes(home: str, several: bool, query: Query) -> list[LedgerCode]:
    """Return the home currency and, with multicurrency, the others of the company."""
    rows = await query("CompanyCurrency", ANY) if several else ()
    others = [
        LedgerCode(str(row.get("Code")), str(row.get("Name") or ""), _no_use("currency", row))
        for row in rows
    ]
    return [LedgerCode(home), *others]


def _no_use(kind: CodeKind, row: Row) -> str:
    """Return why a line of a sales document may not have this code."""
    if row.get("Active") is False:
        return "is inactive"
    if kind == "item" and row.get("Type") in ("Category", "Group"):
        return f"is a {str(row['Type']).lower()}"
    if kind == "item" and not row.get("IncomeAccountRef"):
        return "has no income account"
    return "has no rate for sales" if kind == "tax" and not sales_rates(row) else ""
