"""The codes of a NetSuite account, for the check of a mapping."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from services.arg_sync.ledgers.codes import CodeKind, LedgerCode
from services.arg_sync.ledgers.lookups import Row

NO_ID = "none"
"""Stands for the internal id of the currency where Multiple Currencies is off: no field has one."""
ITEMS = "select id, itemid as name, isinactive as inactive from item where {where} order by id"
CURRENCIES = "select id, symbol, isinactive as inactive from currency"
Query = Callable[[str], Awaitable[Sequence[Row]]]
Record = Callable[[str, str], Awaitable[Row | None]]


async def codes_of(
    kind: CodeKind,
    wanted: Collection[str],
    currencies: Mapping[str, str],
    query: Query,
    record: Record,
) -> Sequence[LedgerCode] | None:
    """Return the wanted items, tax codes or currencies, and the first page of the items.

    None for accounts and terms, which no document names. `currencies`: internal ids by code.
    """
    if kind == "currency":
        return await _currencies(currencies, query)
    if kind == "tax":
        found = {code: await record("salesTaxItem", code) for code in sorted(wanted)}
        return [_tax_code(code, row) for code, row in found.items() if row is not None]
    if kind != "item":
        return None
    queries = [ITEMS.format(where="isinactive = 'F'")]
    if ids := sorted(code for code in wanted if code.isdigit()):
        queries.append(ITEMS.format(where=f"id in ({', '.join(ids)})"))
    rows = {str(row.get("id")): row for each in queries for row in await query(each)}
    return [
        LedgerCode(
            an_id, str(row.get("name") or ""), "is inactive" if row.get("inactive") == "T" else ""
        )
        for an_id, row in rows.items()
    ]


async def _currencies(currencies: Mapping[str, str], query: Query) -> list[LedgerCode]:
    """Return the currencies of the setting `currencies`, held against those of the account."""
    if NO_ID in currencies.values():
        return [LedgerCode(code) for code in currencies]
    there = {str(row.get("id")): row for row in await query(CURRENCIES)}
    found = []
    for code, an_id in currencies.items():
        row, problem = there.get(an_id, {}), ""
        symbol = str(row.get("symbol") or "not there")
        if symbol != code:
            problem = f"has the internal id {an_id} in `currencies`, which is {symbol}"
        elif row.get("inactive") == "T":
            problem = "is inactive"
        found.append(LedgerCode(code, problem=problem))
    return found


def _tax_code(code: str, row: Row) -> LedgerCode:
    purchases = (row.get("available") or {}).get("id") == "PURCHASE"
    problem = "is inactive" if row.get("isInactive") else "is for purchases" if purchases else ""
    return LedgerCode(code, str(row.get("name") or row.get("itemId") or ""), problem)
