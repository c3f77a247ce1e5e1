"""QuickBooks Online as the fault server plays it: one company, with the codes that taken numbers
were seen to have.

Sources (D: developer.intuit.com/app/developer/qbo/docs); what has none is marked "assumed":
- the form of a Fault, also in a 200, and its codes: D develop/troubleshooting/error-codes and
  handling-common-errors; 6240 for a name, 6210 for a number, 610, 6190: developer.intuit.com
  /hub/blog/2017/06/08/top-quickbooks-online-api-errors-and-how-to-handle-them.
- a name is taken once over customers, vendors and employees, and takes no colon:
  docs.workato.com/en/connectors/quickbooks/quickbooks-troubleshooting-runtime.html; the code 2040
  for a colon: example-a.com/answer/24529982.
- outside the USA each line names its tax code, a tax code has rates (SalesTaxRateList), QuickBooks
  computes the tax from them: D workflows/manage-sales-tax-for-non-us-locales. A tax line that names
  the rate overrides it, TotalTax alone does not: github.com/Torqvoice/torqvoice/pull/330; the
  fields of a tax line: static.developer.intuit.com, TaxLineDetail of the .NET kit.
- in the USA a document has one tax code, a line is TAX or NON, TotalTax overrides: D
  workflows/manage-sales-tax-for-us-locales and the same pull request.
- assumed: that requestid replays the first answer, the codes 6140 and 6240 for a taken number (both
  were seen by others), no `CurrencyRef` without multicurrency, that a query of a list returns only
  active records, the change log of deleted payments, how a voided document looks, the code 2050
  for a text that is too long (21 characters of a number, 4,000 of a line), that a line
  without a tax code is refused where others have one (6000), that tabs and line ends are refused
  like a colon.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from tests.ledgers.fake import Asked, Reply, Written
from tests.ledgers.vendors.login import Login, said

REALM = "9130357992222222"
BASE = f"/v3/company/{REALM}"
CENT = Decimal("0.01")
ENTITIES = {
    "invoice": "Invoice",
    "creditmemo": "CreditMemo",
    "payment": "Payment",
    "customer": "Customer",
    "vendor": "Vendor",
    "employee": "Employee",
}
PEOPLE = ("Customer", "Vendor", "Employee")
LISTS = (*PEOPLE, "TaxCode", "TaxRate", "Item", "CompanyCurrency")


def tax_code(an_id: str, *rates: str) -> dict[str, Any]:
    """A tax code with these rates for sales."""
    details = [
        {"TaxRateRef": {"value": rate}, "TaxTypeApplicable": "TaxOnAmount"} for rate in rates
    ]
    return {
        "Id": an_id,
        "Name": f"Tax {an_id}",
        "Active": True,
        "Taxable": True,
        "SalesTaxRateList": {"TaxRateDetail": details},
    }


def tax_rate(an_id: str, percent: str) -> dict[str, Any]:
    """A rate."""
    return {"Id": an_id, "Name": f"Rate {an_id}", "Active": True, "RateValue": Decimal(percent)}


def _taxes() -> dict[str, dict[str, dict[str, Any]]]:
    """Tax code 3 of 10 %, 4 of 21 %, 5 of 0 %, 6 of 5 % and 9.975 %."""
    codes = (tax_code("3", "31"), tax_code("4", "41"), tax_code("5", "51"))
    codes += (tax_code("6", "61", "62"),)
    percents = {"31": "10", "41": "21", "51": "0", "61": "5", "62": "9.975"}
    return {
        "TaxCode": {code["Id"]: code for code in codes},
        "TaxRate": {an_id: tax_rate(an_id, percent) for an_id, percent in percents.items()},
        "Item": {
            "11": {
                "Id": "11",
                "Name": "Nursing",
                "Active": True,
                "Type": "Service",
                "IncomeAccountRef": {"value": "79"},
            }
        },
        "CompanyCurrency": {
            "1": {"Id": "1", "Code": "EUR", "Name": "Euro", "Active": True},
        },
    }


TAKEN = {
    "6140": "Duplicate Document Number Error",
    "6210": "The document number is in use",
    "6240": "Duplicate Document Number Error",
}


@dataclass
class QuickBooksVendor:
    """One company in memory.

    `taken_code`: how it says that a number is taken; `duplicates`: the company allows them.
    `multicurrency`: off, no answer has a `CurrencyRef`, and only the home currency is taken.
    `country`: outside the USA tax is computed by line and by rate.
    """

    login: Login = field(default_factory=Login)
    journal: list[Written] = field(default_factory=list)
    things: dict[str, dict[str, dict[str, Any]]] = field(
        default_factory=lambda: {name: {} for name in ENTITIES.values()} | _taxes()
    )
    country: str = "US"
    items: set[str] = field(default_factory=lambda: {"11"})
    home: str = "USD"
    multicurrency: bool = True
    closed_before: str = ""
    taken_code: str = "6140"
    taken_in_200: bool = False
    duplicates: bool = False
    deleted: list[dict[str, Any]] = field(default_factory=list)
    _by_key: dict[str, Reply] = field(default_factory=dict)
    _ticks: int = 0

    def makes_document(self, asked: Asked) -> bool:
        """POST of an invoice or a credit memo."""
        return asked.method == "POST" and asked.path in (f"{BASE}/invoice", f"{BASE}/creditmemo")

    def handle(self, asked: Asked, more: Decimal = Decimal(0)) -> Reply:
        """Carries it out."""
        if asked.path == "/token":
            return self.login.answer(asked)
        if not self.login.lets_in(asked):
            words = (
                "message=AuthenticationFailed; errorCode=003200; token"
                f" {asked.headers.get('authorization')}"
            )
            return said(
                401,
                {
                    "fault": {
                        "error": [{"message": words, "code": "3200"}],
                        "type": "AUTHENTICATION",
                    }
                },
            )
        assert asked.query["minorversion"] == "75"
        parts = asked.path.removeprefix(BASE).strip("/").split("/")
        if parts[0] == "companyinfo":
            return said(200, {"CompanyInfo": {"CompanyName": "Acme", "Country": self.country}})
        if parts[0] == "preferences":
            currencies = {
                "HomeCurrency": {"value": self.home},
                "MultiCurrencyEnabled": self.multicurrency,
            }
            return said(200, {"Preferences": {"CurrencyPrefs": currencies}})
        if parts[0] == "query":
            return self._query(asked.query["query"])
        if parts[0] == "cdc":
            return said(200, {"CDCResponse": [{"QueryResponse": [{"Payment": self.deleted}]}]})
        entity = ENTITIES[parts[0]]
        if asked.method == "GET":
            one = self.things[entity].get(parts[1])
            return (
                said(200, {entity: self._shown(one)})
                if one
                else self.fault(
                    "610", "Object Not Found", f"Something you're trying to use: {parts[1]}"
                )
            )
        return self._make(asked, entity, more)

    def fault(self, code: str, words: str, detail: str = "", *, status: int = 400) -> Reply:
        """A validation fault."""
        return said(
            status,
            {
                "Fault": {
                    "Error": [{"Message": words, "Detail": detail, "code": code}],
                    "type": "ValidationFault",
                }
            },
        )

    def _make(self, asked: Asked, entity: str, more: Decimal) -> Reply:
        key = asked.query.get("requestid", "")
        if key and key in self._by_key:
            return self._by_key[key]
        body = asked.json()
        made = {"Customer": self._customer, "Payment": self._apply}.get(entity)
        reply = made(body) if made else self._document(body, entity, key, more)
        if key and reply.status == 200 and b'"Fault"' not in reply.body:
            self._by_key[key] = reply
        return reply

    def _customer(self, body: dict[str, Any]) -> Reply:
        if any(
            one["DisplayName"].lower() == body["DisplayName"].lower()
            for kind in PEOPLE
            for one in self.things[kind].values()
        ):
            return self.fault(
                "6240", "Duplicate Name Exists Error", "The name supplied already exists."
            )
        if set(":\t\n") & set(body["DisplayName"]) or set("\t\n") & set(body["CompanyName"]):
            words = "Invalid String. The String may contain unsupported or illegal chars"
            return self.fault("2040", words, "Element contains invalid characters.")
        if not self.multicurrency and body.get("CurrencyRef", {}).get("value") != self.home:
            return self.fault(
                "6000",
                "A business validation error has occurred",
                "Multi currency should be enabled to perform this operation",
            )
        return self._kept("Customer", {"CurrencyRef": {"value": self.home}, "Active": True} | body)

    def _document(self, body: dict[str, Any], entity: str, key: str, more: Decimal) -> Reply:
        wrong = self._what_is_wrong(body, entity)
        if wrong is not None:
            return wrong
        net = sum((Decimal(line["Amount"]) for line in body["Line"]), Decimal(0)) + more
        tax, lines = self._tax(body)
        total = net + tax
        left = (
            {"Balance": total}
            if entity == "Invoice"
            else {"Balance": total, "RemainingCredit": total}
        )
        detail = {"TxnTaxDetail": {"TotalTax": tax, "TaxLine": lines}}
        reply = self._kept(entity, body | {"TotalAmt": total, "LinkedTxn": []} | left | detail)
        an_id = str(len(self.things[entity]))
        kind = "invoice" if entity == "Invoice" else "credit-note"
        who = body["CustomerRef"]["value"]
        self.journal.append(
            Written(
                body["DocNumber"],
                kind,
                total,
                body["CurrencyRef"]["value"],
                who,
                an_id,
                "posted",
                key,
            )
        )
        return reply

    def _tax(self, body: Mapping[str, Any]) -> tuple[Decimal, list[Any]]:
        """The tax and its lines: as given in the USA and where tax lines name rates, else computed
        for each rate from the codes of the lines.
        """
        given = body.get("TxnTaxDetail", {})
        lines = given.get("TaxLine", [])
        if self.country == "US" or body.get("GlobalTaxCalculation") == "NotApplicable":
            return Decimal(given.get("TotalTax", 0)), lines
        if lines and all("TaxRateRef" in line["TaxLineDetail"] for line in lines):
            return sum((Decimal(line["Amount"]) for line in lines), Decimal(0)), lines
        nets: dict[str, Decimal] = {}
        for line in body["Line"]:
            code = self.things["TaxCode"][line["SalesItemLineDetail"]["TaxCodeRef"]["value"]]
            for detail in code["SalesTaxRateList"]["TaxRateDetail"]:
                rate = detail["TaxRateRef"]["value"]
                nets[rate] = nets.get(rate, Decimal(0)) + Decimal(line["Amount"])
        computed = [
            (rate, (net * self.things["TaxRate"][rate]["RateValue"] / 100).quantize(CENT))
            for rate, net in nets.items()
        ]
        total = sum((tax for _, tax in computed), Decimal(0))
        return total, [
            {"Amount": tax, "TaxLineDetail": {"TaxRateRef": {"value": rate}}}
            for rate, tax in computed
        ]

    def _what_is_wrong(self, body: Mapping[str, Any], entity: str) -> Reply | None:
        if not self.duplicates and any(
            one["DocNumber"] == body["DocNumber"] for one in self.things[entity].values()
        ):
            detail = f"DocNumber={body['DocNumber']} is assigned to TxnType={entity}"
            return self.fault(
                self.taken_code,
                TAKEN[self.taken_code],
                detail,
                status=200 if self.taken_in_200 else 400,
            )
        customer = self.things["Customer"].get(body["CustomerRef"]["value"])
        if customer is None or not customer["Active"]:
            return self.fault(
                "2500", "Invalid Reference Id", "Invalid Reference Id : Names element id not found"
            )
        if customer["CurrencyRef"]["value"] != body["CurrencyRef"]["value"]:
            return self.fault(
                "6000",
                "A business validation error has occurred",
                "The customer's currency differs from the transaction's",
            )
        if body["TxnDate"] < self.closed_before:
            return self.fault(
                "6200",
                "Account Period Closed, Cannot Update Through Services Error",
                f"closed to {self.closed_before}",
            )
        texts = [(body["DocNumber"], 21), *((line["Description"], 4000) for line in body["Line"])]
        if any(len(text) > length for text, length in texts):
            return self.fault("2050", "String length specified does not match the supported length")
        given = body.get("TxnTaxDetail", {}).get("TxnTaxCodeRef", {}).get("value")
        if given is not None and given not in self.things["TaxCode"]:
            return self.fault("2500", "Invalid Reference Id", f"TaxCode {given} not found")
        by_line = body.get("GlobalTaxCalculation", "TaxExcluded") != "NotApplicable"
        for line in body["Line"]:
            detail = line["SalesItemLineDetail"]
            code = detail.get("TaxCodeRef", {}).get("value")
            if self.country == "US" and code not in ("TAX", "NON"):
                return self.fault("2500", "Invalid Reference Id", f"TaxCode {code} not found")
            if self.country != "US" and by_line and code not in self.things["TaxCode"]:
                return self.fault(
                    "6000",
                    "A business validation error has occurred",
                    "Make sure all your transactions have a VAT rate before you save.",
                )
            if detail["ItemRef"]["value"] not in self.items:
                return self.fault(
                    "2500", "Invalid Reference Id", f"Item {detail['ItemRef']['value']} not found"
                )
            if (Decimal(detail["Qty"]) * Decimal(detail["UnitPrice"])).quantize(
                CENT, ROUND_HALF_UP
            ) != Decimal(line["Amount"]):
                return self.fault(
                    "6070",
                    "Amount calculation incorrect in the request",
                    "Amount is not equal to UnitPrice * Qty",
                )
        return None

    def _apply(self, body: dict[str, Any]) -> Reply:
        links = [(line["LinkedTxn"][0], Decimal(line["Amount"])) for line in body["Line"]]
        for link, amount in links:
            left = "Balance" if link["TxnType"] == "Invoice" else "RemainingCredit"
            if amount > self.things[link["TxnType"]][link["TxnId"]][left]:
                return self.fault(
                    "6000",
                    "A business validation error has occurred",
                    "The amount is more than what is left",
                )
        reply = self._kept("Payment", body)
        for link, amount in links:
            one = self.things[link["TxnType"]][link["TxnId"]]
            for left in ("Balance", "RemainingCredit"):
                if left in one:
                    one[left] -= amount
            one["LinkedTxn"] = [
                *one["LinkedTxn"],
                {"TxnId": str(len(self.things["Payment"])), "TxnType": "Payment"},
            ]
        return reply

    def _kept(self, entity: str, body: dict[str, Any]) -> Reply:
        an_id = str(len(self.things[entity]) + 1)
        self.things[entity][an_id] = body | {
            "Id": an_id,
            "SyncToken": "0",
            "MetaData": {"LastUpdatedTime": self.tick()},
        }
        shown = self._shown(self.things[entity][an_id])
        return said(200, {entity: shown, "time": "2026-04-01T00:00:00.000-07:00"})

    def _shown(self, one: dict[str, Any]) -> dict[str, Any]:
        if self.multicurrency:
            return one
        return {name: value for name, value in one.items() if name != "CurrencyRef"}

    def named(self, entity: str, name: str) -> None:
        """A person enters a vendor or an employee."""
        self._kept(entity, {"DisplayName": name, "Active": True})

    def _query(self, query: str) -> Reply:
        shape = re.fullmatch(
            r"select \* from (\w+) where (.+?)(?: orderby [\w.]+)? startposition (\d+) maxresults"
            r" (\d+)",
            query,
        )
        assert shape is not None, f"no query that QuickBooks reads: {query}"
        entity, where, start, most = shape[1], shape[2], int(shape[3]), int(shape[4])
        found = list(self.things[entity].values())
        found = (
            found
            if "Active in (true, false)" in where or entity not in LISTS
            else [one for one in found if one["Active"]]
        )
        since = re.search(r"MetaData.LastUpdatedTime >= '([^']+)'", where)
        if since is not None:
            floor = datetime.fromisoformat(since[1])
            found = sorted((one for one in found if _when(one) >= floor), key=_when)
        else:
            column = re.match(r"(\w+) (?:in|=) ", where)
            assert column is not None, where
        if since is None and column is not None and column[1] != "Active":
            values = {
                re.sub(r"\\(.)", r"\1", value)
                for value in re.findall(r"'((?:[^'\\]|\\.)*)'", where)
            }
            found = [one for one in found if one[column[1]] in values]
        page = [self._shown(one) for one in found[start - 1 : start - 1 + most]]
        return said(
            200,
            {
                "QueryResponse": {entity: page, "startPosition": start, "maxResults": len(page)}
                if page
                else {}
            },
        )

    def pay(self, number: str, amount: str, on: str = "2026-04-10") -> dict[str, Any]:
        """The customer pays an invoice."""
        (invoice,) = (one for one in self.things["Invoice"].values() if one["DocNumber"] == number)
        lines = [
            {
                "Amount": Decimal(amount),
                "LinkedTxn": [{"TxnId": invoice["Id"], "TxnType": "Invoice"}],
            }
        ]
        self._apply(
            {
                "CustomerRef": invoice["CustomerRef"],
                "CurrencyRef": invoice["CurrencyRef"],
                "TotalAmt": Decimal(amount),
                "TxnDate": on,
                "Line": lines,
            }
        )
        return list(self.things["Payment"].values())[-1]

    def cancel(self, payment: dict[str, Any]) -> None:
        """A payment is deleted: queries do not show it any more."""
        del self.things["Payment"][payment["Id"]]
        self.deleted.append(
            {
                "domain": "QBO",
                "status": "Deleted",
                "Id": payment["Id"],
                "MetaData": {"LastUpdatedTime": self.tick()},
            }
        )

    def refusal(self, asked: Asked, *, in_200: bool) -> Reply:
        """An item that is inactive."""
        return self.fault(
            "610",
            "Object Not Found",
            "Something you're trying to use has been made inactive: item 11",
            status=200 if in_200 else 400,
        )

    def with_wrong_amount(self, asked: Asked) -> Reply:
        """A cent too much."""
        return self.handle(asked, CENT)

    def by_another(self, number: str, total: str, customer: str) -> None:
        """Another program makes an invoice of that number."""
        line = {
            "Amount": Decimal(total),
            "Description": "by another",
            "SalesItemLineDetail": {
                "ItemRef": {"value": "11"},
                "TaxCodeRef": {"value": "NON"},
                "Qty": Decimal(1),
                "UnitPrice": Decimal(total),
            },
        }
        body = {
            "DocNumber": number,
            "TxnDate": "2026-03-31",
            "CustomerRef": {"value": customer},
            "CurrencyRef": {"value": "USD"},
            "Line": [line],
        }
        self._document(body, "Invoice", "", Decimal(0))

    def tick(self) -> str:
        """A moment later than the last, in the zone of California."""
        self._ticks += 1
        at = datetime(2026, 4, 1, tzinfo=UTC) + timedelta(seconds=self._ticks)
        return (at - timedelta(hours=7)).strftime("%Y-%m-%dT%H:%M:%S-07:00")


def _when(one: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(one["MetaData"]["LastUpdatedTime"])
