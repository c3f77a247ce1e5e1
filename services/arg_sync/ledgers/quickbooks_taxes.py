"""Tax lines of QuickBooks outside the USA: our tax by the rates of each tax code.

A tax line names a rate, and a tax code has one or several. QuickBooks takes the amount of a tax
line; without tax lines it computes the tax itself, whatever the total says.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from services.arg_sync.ledgers.adapter import FrozenRequest
from services.arg_sync.ledgers.documents import ArDocument
from services.arg_sync.ledgers.failures import Failure
from services.arg_sync.ledgers.lookups import Row, amount_in, required_values, value_in
from shared.money import ZERO, rounded

Query = Callable[[str, str], Awaitable[Sequence[Row]]]
"""Returns the active records of an entity that meet a condition."""


class TaxRate(NamedTuple):
    """A rate of a tax code, in percent; None where QuickBooks gives none."""

    rate_id: str
    percent: Decimal | None


class TaxRates:
    """The rates of the company's tax codes, read once."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._rates: dict[str, list[TaxRate]] = {}

    async def in_request(self, one: FrozenRequest) -> Any:
        """Return the request with a tax line for each rate instead of each code."""
        body = json.loads(one.request, parse_float=Decimal)
        tax = body.get("TxnTaxDetail", {})
        if "TaxLine" not in tax:
            return one.request
        currency = body["CurrencyRef"]["value"]
        tax["TaxLine"] = [
            part
            for line in tax["TaxLine"]
            for part in _by_rate(line, await self._rates_of(line, one.number), currency)
        ]
        return body

    async def _rates_of(self, line: Row, number: str) -> list[TaxRate]:
        """Return the rates of the code of a tax line. Refuse a code of another rate."""
        detail = line["TaxLineDetail"]
        code, ours = str(detail["TaxCodeRef"]["value"]), Decimal(detail["TaxPercent"])
        if code not in self._rates:
            self._rates[code] = await self._read(code)
        rates = self._rates[code]
        known = [rate.percent for rate in rates if rate.percent is not None]
        theirs = sum(known, ZERO)
        if len(known) == len(rates) and theirs != ours:
            raise Failure(
                "permanent",
                "other_tax_rate",
                f"tax code {code} is {theirs:f} % in QuickBooks, and {number} has {ours:f} %:"
                " map the tax code of that rate, then retry",
            )
        return rates

    async def _read(self, code: str) -> list[TaxRate]:
        found = await self._query("TaxCode", f"Id in ({listed([code])})")
        with required_values(f"tax code {code} in QuickBooks"):
            ids = [rate_id for row in found for rate_id in sales_rates(row)]
        if not ids:
            raise Failure(
                "permanent",
                "no_tax_code",
                f"QuickBooks has no active tax code {code} with a rate for sales:"
                " map another one, then retry",
            )
        rows = await self._query("TaxRate", f"Id in ({listed(ids)})")
        percents = {str(row.get("Id")): amount_in(row.get("RateValue")) for row in rows}
        return [TaxRate(an_id, percents.get(an_id)) for an_id in ids]


def sales_rates(code: Row) -> list[str]:
    """Return the ids of the rates that a tax code has for sales."""
    details = (code.get("SalesTaxRateList") or {}).get("TaxRateDetail") or ()
    return [str(value_in(detail, "TaxRateRef", "value")) for detail in details]


def tax_lines(document: ArDocument) -> list[dict[str, Any]]:
    """Return the tax of a document by code and percent."""
    sums: dict[tuple[str, Decimal], tuple[Decimal, Decimal]] = {}
    for line in document.lines:
        net, tax = sums.get((line.tax, line.tax_rate), (ZERO, ZERO))
        sums[line.tax, line.tax_rate] = net + line.amount, tax + line.tax_amount
    return [
        {
            "Amount": tax,
            "DetailType": "TaxLineDetail",
            "TaxLineDetail": {
                "TaxCodeRef": {"value": code},
                "PercentBased": True,
                "TaxPercent": percent,
                "NetAmountTaxable": net,
            },
        }
        for (code, percent), (net, tax) in sums.items()
    ]


def _by_rate(line: Row, rates: Sequence[TaxRate], currency: str) -> list[dict[str, Any]]:
    """Return a tax line for each rate of its code. The last one takes what rounding leaves."""
    whole = sum((rate.percent or ZERO for rate in rates), ZERO)
    amount = rest = Decimal(line["Amount"])
    parts = []
    for at, rate in enumerate(rates, 1):
        share = (rate.percent or ZERO) / whole if whole else ZERO
        part = rest if at == len(rates) else rounded(amount * share, currency)
        rest -= part
        detail: dict[str, Any] = dict(line["TaxLineDetail"])
        del detail["TaxCodeRef"]
        detail["TaxRateRef"] = {"value": rate.rate_id}
        if rate.percent is not None:
            detail["TaxPercent"] = rate.percent
        parts.append(dict(line) | {"Amount": part, "TaxLineDetail": detail})
    return parts


def listed(values: Iterable[str]) -> str:
    """Return texts as a list in a query of QuickBooks."""
    escaped = (value.replace("\\", "\\\\").replace("'", "\\'") for value in values)
    return ", ".join(f"'{value}'" for value in escaped)
