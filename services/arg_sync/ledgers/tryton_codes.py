"""The codes of a Tryton company, for the check of a mapping."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from services.arg_sync.ledgers.codes import CodeKind, LedgerCode

Search = Callable[..., Awaitable[Sequence[Mapping[str, Any]]]]
ACCOUNT, TAX = "model.account.account", "model.account.tax"
TERM, CURRENCY = "model.account.invoice.payment_term", "model.currency.currency"
COMPANY, CONFIGURATION = "model.company.company", "model.account.configuration"
FOR_EXCHANGE = {
    "currency_exchange_journal": "journal",
    "currency_exchange_debit_account": "debit account",
    "currency_exchange_credit_account": "credit account",
}


async def codes_of(kind: CodeKind, company: int, search: Search) -> list[LedgerCode] | None:
    """Return accounts, taxes, payment terms or currencies by code and by name; None for items."""
    if kind == "account":
        fields = ["code", "name", "type.revenue", "closed"]
        rows = await search(ACCOUNT, [["company", "=", company]], fields)
        return _both(rows, "code", "name", _account_problem)
    if kind == "tax":
        domain, fields = [["company", "=", company]], ["name", "description", "group.kind"]
        rows = await search(TAX, domain, fields)
        return _both(rows, "name", "description", _tax_problem)
    if kind == "item":
        return None
    if kind == "currency":
        return await _currencies(company, search)
    rows = await search(TERM, [], ["name"])
    return [LedgerCode(str(row["name"]), str(row["name"])) for row in rows if row["name"]]


async def _currencies(company: int, search: Search) -> list[LedgerCode]:
    """Return the currencies; Tryton posts a foreign one only with a rate and exchange accounts."""
    (own,) = await search(COMPANY, [["id", "=", company]], ["currency.code"])
    (accounts,) = await search(CONFIGURATION, [], [*FOR_EXCHANGE])
    missing = [name for field, name in FOR_EXCHANGE.items() if accounts[field] is None]
    exchange = f"needs a currency exchange {' and '.join(missing)}" if missing else ""

    def problem(row: Mapping[str, Any]) -> str:
        if row["code"] == own["currency."]["code"]:
            return ""
        return exchange if row["rate"] else "has no rate"

    rows = await search(CURRENCY, [], ["code", "name", "rate"])
    return [LedgerCode(str(row["code"]), str(row["name"]), problem(row)) for row in rows]


def _both(
    rows: Sequence[Mapping[str, Any]],
    first: str,
    second: str,
    problem: Callable[[Mapping[str, Any]], str],
) -> list[LedgerCode]:
    """Return each record twice: a mapping may name it by either field."""
    found = [
        LedgerCode(str(row[first] or ""), str(row[second] or ""), problem(row)) for row in rows
    ]
    found += [LedgerCode(one.name, one.code, one.problem) for one in found if one.name != one.code]
    return [one for one in found if one.code]


def _account_problem(row: Mapping[str, Any]) -> str:
    if row.get("closed"):
        return "is closed"
    kind = row.get("type.")
    if not kind:
        return "is a heading"
    return "" if kind.get("revenue") else "is no revenue account"


def _tax_problem(row: Mapping[str, Any]) -> str:
    kind = (row.get("group.") or {}).get("kind")
    return "is for purchases" if kind == "purchase" else ""
