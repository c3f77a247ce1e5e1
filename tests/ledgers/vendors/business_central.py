"""Business Central as the fault server plays it: drafts that are posted in a second call, and
numbers of ours that any document may bear.

Sources (M: learn.microsoft.com/en-us/dynamics365/business-central/dev-itpro/api-reference/v2.0);
what has none is marked "assumed":
- lines of an invoice, created with it, with `lineObjectNumber` and `taxCode`: M
  api/dynamics_salesinvoiceline_create.
- accounts (`accountType`, `blocked`, `directPosting`): M resources/dynamics_account; items
  (`blocked`): M resources/dynamics_item; tax groups: M resources/dynamics_taxgroup.
- VAT is computed from the base without VAT and rounded by VAT Rounding Type: learn.microsoft.com
  /en-us/previous-versions/dynamicsnav-2013/hh171762(v=nav.70).
- assumed: that VAT is rounded once for each rate of a document (so its open source does), the codes
  of errors, that a document keeps its id when it is posted, `remainingAmount` and `invoiceId`, the
  blank values of `blocked`, that unknown codes and texts that are too long are refused.
"""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from urllib.parse import unquote

from tests.ledgers.fake import Asked, Reply, Written
from tests.ledgers.vendors.login import Login, said

TENANT, COMPANY = "acme.example", "11111111-2222-3333-4444-555555555555"
BASE = f"/v2.0/{TENANT}/Production/api/v2.0/companies({COMPANY})"
CENT = Decimal("0.01")
LINES = {"salesInvoices": "salesInvoiceLines", "salesCreditMemos": "salesCreditMemoLines"}
RATES = {"T10": Decimal("0.1")}
CURRENCIES = ("EUR",)
LISTS: Mapping[str, list[dict[str, Any]]] = {
    "accounts": [
        {"number": "6110", "displayName": "Sales", "accountType": "Posting", "blocked": False}
        | {"directPosting": True},
        {"number": "6000", "displayName": "Income", "accountType": "Heading", "blocked": False}
        | {"directPosting": False},
        {"number": "6120", "displayName": "Old", "accountType": "Posting", "blocked": True}
        | {"directPosting": True},
    ],
    "items": [{"number": "NURSE", "displayName": "Nursing", "blocked": False}],
    "taxGroups": [{"code": "T10", "displayName": "Tax of 10 %", "taxType": "VAT"}],
    "currencies": [{"code": "EUR", "displayName": "Euro"}],
}


@dataclass
class BusinessCentralVendor:
    """One company in memory.

    The journal holds drafts too: `state` tells. `posts_too`: faults fall on the call that posts as
    well.
    """

    login: Login = field(default_factory=Login)
    journal: list[Written] = field(default_factory=list)
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    customers: dict[str, dict[str, Any]] = field(default_factory=dict)
    accounts: set[str] = field(default_factory=lambda: {"6110"})
    closed_before: str = ""
    posts_too: bool = False
    _ticks: int = 0

    def makes_document(self, asked: Asked) -> bool:
        """POST of a draft."""
        if self.posts_too and asked.path.endswith(".post"):
            return True
        return asked.method == "POST" and asked.path in (
            f"{BASE}/salesInvoices",
            f"{BASE}/salesCreditMemos",
        )

    def handle(self, asked: Asked, more: Decimal = Decimal(0)) -> Reply:
        """Carries it out."""
        if asked.path == "/token":
            return self.login.answer(asked)
        if not self.login.lets_in(asked):
            return self.error(
                401,
                "Authentication_InvalidCredentials",
                "The server has rejected the client credentials"
                f" {asked.headers.get('authorization')}",
            )
        path = unquote(asked.path).removeprefix(BASE).strip("/")
        found = re.fullmatch(r"(\w+)(?:\(([^)]+)\))?(?:/Microsoft\.NAV\.(\w+))?", path)
        assert found is not None, asked.path
        name, an_id, verb = found.groups()
        if name == "companyInformation":
            return said(200, {"value": [{"displayName": "CRONUS", "currencyCode": "USD"}]})
        if name in LISTS:
            return said(200, {"value": LISTS[name]})
        if name == "customers":
            return self._customers(asked, an_id)
        if asked.method == "POST" and not an_id:
            return self._draft(asked, name, more)
        if not an_id:
            return self._search(asked, name)
        one = self.documents.get(an_id)
        if one is None or one["_name"] != name:
            return self.error(404, "BadRequest_NotFound", "Bad Request - the resource is not there")
        if verb == "post":
            return self._post(one)
        if asked.method == "DELETE":
            assert asked.headers.get("if-match"), "a change needs If-Match"
            if one["status"] != "Draft":
                return self.error(
                    400, "Application_DialogException", "The invoice has already been posted."
                )
            del self.documents[an_id]
            self.journal[:] = [each for each in self.journal if each.remote_id != an_id]
            return Reply(204)
        return said(200, _shown(one))

    def error(self, status: int, code: str, words: str) -> Reply:
        """An OData error."""
        return said(
            status,
            {"error": {"code": code, "message": f"{words}  CorrelationId:  {uuid.UUID(int=1)}."}},
        )

    def _customers(self, asked: Asked, an_id: str | None) -> Reply:
        if asked.method == "POST":
            if len(asked.json()["displayName"]) > 100:
                return self.error(400, "Application_StringExceededLength", "displayName is long")
            made = str(uuid.UUID(int=(8 << 100) + len(self.customers) + 1))
            number = f"C{len(self.customers) + 10000}"
            self.customers[made] = asked.json() | {
                "id": made,
                "number": number,
                "blocked": "_x0020_",
                "@odata.etag": 'W/"1"',
            }
            return said(201, self.customers[made])
        if an_id:
            return (
                said(200, self.customers[an_id])
                if an_id in self.customers
                else self.error(404, "BadRequest_NotFound", "no such customer")
            )
        column, value = _filter(asked.query["$filter"])[0]
        return said(
            200, {"value": [one for one in self.customers.values() if one[column] == value]}
        )

    def _draft(self, asked: Asked, name: str, more: Decimal) -> Reply:
        body = asked.json()
        lines = body.pop(LINES[name])
        customer = self.customers.get(body["customerId"])
        if customer is None or customer["blocked"] not in ("", " ", "_x0020_"):
            return self.error(
                400,
                "Application_DialogException",
                "You cannot create this type of document when the customer is blocked.",
            )
        if long := self._too_long(body, lines):
            return self.error(400, "Application_StringExceededLength", f"{long} is too long")
        codes = {line["taxCode"] for line in lines if line.get("taxCode")} - set(RATES)
        if codes or body["currencyCode"] not in {"USD", *CURRENCIES}:
            words = "The field of table Sales Line contains a value that cannot be found."
            return self.error(400, "Internal_InvalidTableRelation", words)
        for line in lines:
            if line["lineObjectNumber"] not in self.accounts:
                return self.error(
                    400,
                    "Application_FieldValidationException",
                    f"The account {line['lineObjectNumber']} does not exist.",
                )
        amounts = [
            (Decimal(line["quantity"]) * Decimal(line["unitPrice"])).quantize(CENT, ROUND_HALF_UP)
            for line in lines
        ]
        tax = sum(
            (
                amount * RATES.get(line.get("taxCode", ""), Decimal(0))
                for line, amount in zip(lines, amounts, strict=True)
            ),
            Decimal(0),
        )
        tax = tax.quantize(CENT, ROUND_HALF_UP)
        total = sum(amounts, Decimal(0)) + tax + more
        an_id = str(uuid.UUID(int=(3 << 100) + self._ticks + 1))
        kind = "invoice" if name == "salesInvoices" else "credit-note"
        one = body | {
            "id": an_id,
            "number": f"D{self._ticks}",
            "status": "Draft",
            "totalAmountIncludingTax": total,
            "totalTaxAmount": tax,
            "_name": name,
        }
        if kind == "invoice":
            one["remainingAmount"] = total
        self.documents[an_id] = one | {"lastModifiedDateTime": self.tick(), "@odata.etag": 'W/"2"'}
        self.journal.append(
            Written(
                body["externalDocumentNumber"],
                kind,
                total,
                body["currencyCode"],
                body["customerId"],
                an_id,
                "draft",
            )
        )
        # The totals of this answer are from before the lines.
        return said(201, _shown(self.documents[an_id]) | {"totalAmountIncludingTax": 0})

    def _too_long(self, body: Mapping[str, Any], lines: list[dict[str, Any]]) -> str:
        """The name of a text that is too long."""
        texts = [("externalDocumentNumber", body["externalDocumentNumber"], 35)]
        texts += [("description", line["description"], 100) for line in lines]
        return next((name for name, text, length in texts if len(text) > length), "")

    def _post(self, one: dict[str, Any]) -> Reply:
        if one["status"] != "Draft":
            return self.error(400, "Application_DialogException", "The document is posted already.")
        if one["postingDate"] < self.closed_before:
            words = (
                f"Posting Date {one['postingDate']} is not within your range of allowed posting"
                " dates."
            )
            return self.error(400, "Application_DialogException", words)
        one |= {"status": "Open", "number": f"S-{self._ticks}", "lastModifiedDateTime": self.tick()}
        next(each for each in self.journal if each.remote_id == one["id"]).state = "posted"
        invoice = self.documents.get(one.get("invoiceId", ""))
        if invoice is not None:
            self._settle(invoice, one["totalAmountIncludingTax"])
        return Reply(204)

    def _search(self, asked: Asked, name: str) -> Reply:
        mine = [one for one in self.documents.values() if one["_name"] == name]
        asked_for = asked.query.get("$filter", "")
        since = re.fullmatch(r"lastModifiedDateTime ge (\S+)", asked_for)
        if since is not None:
            mine = [one for one in mine if one["lastModifiedDateTime"] >= since[1]]
        elif asked_for:
            pairs = _filter(asked_for)
            mine = [one for one in mine if any(one.get(column) == value for column, value in pairs)]
        if "$orderby" in asked.query:
            mine.sort(key=lambda one: str(one[asked.query["$orderby"]]))
        return said(
            200, {"value": [_shown(one) for one in mine[: int(asked.query.get("$top", 20_000))]]}
        )

    def pay(self, number: str, amount: str, on: str = "2026-04-10") -> dict[str, Any]:
        """The customer pays an invoice."""
        (invoice,) = (
            one for one in self.documents.values() if one["externalDocumentNumber"] == number
        )
        self._settle(invoice, Decimal(amount))
        return {"invoice": invoice, "amount": Decimal(amount)}

    def cancel(self, payment: dict[str, Any]) -> None:
        """A payment is reversed."""
        self._settle(payment["invoice"], -payment["amount"])

    def _settle(self, invoice: dict[str, Any], amount: Decimal) -> None:
        invoice["remainingAmount"] -= amount
        invoice |= {
            "status": "Paid" if invoice["remainingAmount"] == 0 else "Open",
            "lastModifiedDateTime": self.tick(),
        }

    def refusal(self, asked: Asked, *, in_200: bool) -> Reply:
        """An account that is blocked. It has no way to say so in a 200."""
        return self.error(
            400,
            "Application_FieldValidationException",
            "Blocked must be equal to 'No' in G/L Account: No.=6110.",
        )

    def with_wrong_amount(self, asked: Asked) -> Reply:
        """A cent too much."""
        return self.handle(asked, CENT)

    def tick(self) -> str:
        """A moment later than the last."""
        self._ticks += 1
        return (datetime(2026, 4, 1, tzinfo=UTC) + timedelta(seconds=self._ticks)).strftime(
            "%Y-%m-%dT%H:%M:%S.000Z"
        )


def _shown(one: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in one.items() if name != "_name"}


def _filter(text: str) -> list[tuple[str, str]]:
    """`a eq 'x' or a eq 'y'` in pairs."""
    pairs = re.findall(r"(\w+) eq (?:'((?:[^']|'')*)'|([0-9a-f-]{36}))", text)
    assert pairs, f"no filter that Business Central reads: {text}"
    return [(column, quoted.replace("''", "'") or guid) for column, quoted, guid in pairs]
