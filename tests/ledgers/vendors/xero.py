"""Xero as the fault server plays it: contacts, invoices, credit notes, allocations and payments
of one organisation.

Sources (O: Xero's official OpenAPI description, github.com/XeroAPI/Xero-OpenAPI, which
`xero_description` holds all traffic against); what has none is marked "assumed":
- paths, fields, headers (`xero-tenant-id`, `Idempotency-Key`, `If-Modified-Since`), the form of an
  error with `Elements`, `summarizeErrors`: O. The key for repeated requests: also
  github.com/XeroAPI/xero-python/pull/124.
- `Status` and `SystemAccount` of accounts, `CanApplyToRevenue` of tax rates, `IsSold`: O.
- assumed: a double quote in a `where` cannot be escaped (QueryParseException, reported by users),
  the words of a taken number and of a taken name, that a number is free again after its document is
  voided, that a repeated key returns the first answer, the words for archived accounts and tax
  types, for an unknown currency and for a closed period.
"""

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from shared import clock
from tests.ledgers.fake import Asked, Reply, Written
from tests.ledgers.vendors.login import Login, said

BASE = "/api.xro/2.0"
CENT = Decimal("0.01")
TENANT = "4d0d7b1e-6f5e-4b57-9c5e-1f0c6f1d2a11"
ONE = {"Invoices": ("Invoice", "ACCREC"), "CreditNotes": ("CreditNote", "ACCRECCREDIT")}

LISTS: Mapping[str, list[dict[str, Any]]] = {
    "Accounts": [
        {"Code": "200", "Name": "Sales", "Type": "REVENUE", "Status": "ACTIVE"},
        {"Code": "210", "Name": "Old sales", "Type": "REVENUE", "Status": "ARCHIVED"},
        {"Code": "090", "Name": "Bank", "Type": "BANK", "Status": "ACTIVE"},
        {"Code": "610", "Name": "Accounts Receivable", "Type": "CURRENT", "Status": "ACTIVE"}
        | {"SystemAccount": "DEBTORS"},
    ],
    "Items": [{"Code": "NURSE", "Name": "Nursing", "IsSold": True}],
    "TaxRates": [
        {"Name": "Output", "TaxType": "OUTPUT", "Status": "ACTIVE", "CanApplyToRevenue": True},
        {"Name": "Input", "TaxType": "INPUT", "Status": "ACTIVE", "CanApplyToRevenue": False},
    ],
    "Currencies": [{"Code": code, "Description": code} for code in ("USD", "EUR")],
}

Checked = Callable[[Asked, str, Reply | None], None]
"""Holds a request (no reply yet) or a reply to it against the official description."""


def moment(at: datetime) -> str:
    """An instant as Xero writes it."""
    return f"/Date({int(at.timestamp() * 1000)}+0000)/"


def midnight(day: str) -> str:
    """A date as Xero writes it."""
    return moment(datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC))


@dataclass
class XeroVendor:
    """One organisation in memory."""

    login: Login = field(default_factory=Login)
    journal: list[Written] = field(default_factory=list)
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    contacts: dict[str, dict[str, Any]] = field(default_factory=dict)
    payments: list[dict[str, Any]] = field(default_factory=list)
    accounts: set[str] = field(default_factory=lambda: {"200"})
    currencies: frozenset[str] = frozenset({"USD", "EUR"})
    tax_types: frozenset[str] = frozenset({"NONE", "OUTPUT", "OUTPUT2"})
    closed_before: str = ""
    check: Checked | None = None
    _by_key: dict[str, Reply] = field(default_factory=dict)
    _ticks: int = 0

    def makes_document(self, asked: Asked) -> bool:
        """PUT of invoices or credit notes."""
        return asked.method == "PUT" and asked.path in (f"{BASE}/Invoices", f"{BASE}/CreditNotes")

    def handle(self, asked: Asked, more: Decimal = Decimal(0)) -> Reply:
        """Carries it out; with the official description at hand, both ways are held against it."""
        if asked.path == "/token":
            return self.login.answer(asked)
        if not self.login.lets_in(asked):
            return said(
                401,
                {
                    "Title": "Unauthorized",
                    "Status": 401,
                    "Detail": f"TokenExpired: {asked.headers.get('authorization')}",
                },
            )
        if asked.headers.get("xero-tenant-id") != TENANT:
            return said(
                403, {"Title": "Forbidden", "Status": 403, "Detail": "AuthenticationUnsuccessful"}
            )
        path = asked.path.removeprefix(BASE)
        if self.check is not None:
            self.check(asked, path, None)
        reply = self._carry_out(asked, path.strip("/").split("/"), more)
        if self.check is not None:
            self.check(asked, path, reply)
        return reply

    def _carry_out(self, asked: Asked, parts: list[str], more: Decimal) -> Reply:
        key = asked.headers.get("idempotency-key", "")
        if asked.method == "PUT" and key in self._by_key:
            return self._by_key[key]
        if parts == ["Organisation"]:
            return self._list("Organisations", [{"Name": "Acme US", "BaseCurrency": "USD"}])
        if parts[0] in LISTS:
            return self._list(parts[0], LISTS[parts[0]])
        if parts[0] == "Contacts":
            reply = self._contacts(asked, parts)
        elif parts[0] == "Payments":
            reply = self._payments(asked)
        elif parts[-1] == "Allocations":
            reply = self._allocate(asked, self.documents[parts[1]])
        elif asked.method == "PUT":
            reply = self._make(asked, parts[0], more)
        else:
            reply = self._read(asked, parts)
        if asked.method == "PUT" and reply.status == 200 and key:
            self._by_key[key] = reply
        return reply

    def _list(self, name: str, elements: list[dict[str, Any]], status: int = 200) -> Reply:
        return said(
            status,
            {
                "Id": str(uuid.uuid4()),
                "Status": "OK",
                "ProviderName": "Back office",
                "DateTimeUTC": moment(clock.now()),
                name: elements,
            },
        )

    def _error(self, words: str, element: Mapping[str, Any] | None = None) -> Reply:
        problem = {
            "ErrorNumber": 10,
            "Type": "ValidationException",
            "Message": "A validation exception occurred",
        }
        return said(
            400,
            problem
            | {"Elements": [dict(element or {}) | {"ValidationErrors": [{"Message": words}]}]},
        )

    def _contacts(self, asked: Asked, parts: list[str]) -> Reply:
        if asked.method == "PUT":
            (contact,) = asked.json()["Contacts"]
            if len(contact["Name"]) > 255:
                return self._error("The contact name cannot exceed 255 characters.")
            if any(
                one["Name"].lower() == contact["Name"].lower() and one["ContactStatus"] == "ACTIVE"
                for one in self.contacts.values()
            ):
                return self._error(
                    f"The contact name {contact['Name']} is already assigned to another contact."
                    " The contact name must be unique."
                )
            an_id = self._id(9, len(self.contacts) + 1)
            self.contacts[an_id] = contact | {"ContactID": an_id, "ContactStatus": "ACTIVE"}
            return self._list("Contacts", [self.contacts[an_id]])
        if len(parts) == 2:
            found = [
                one
                for one in self.contacts.values()
                if parts[1] in (one["ContactID"], one.get("ContactNumber"))
            ]
            return (
                self._list("Contacts", found)
                if found
                else Reply(
                    404,
                    b"The resource you're looking for cannot be found",
                    {"content-type": "text/html"},
                )
            )
        archived = asked.query.get("includeArchived") == "true"
        if "searchTerm" in asked.query:
            term = asked.query["searchTerm"].lower()
            found = [
                o
                for o in self.contacts.values()
                if term in o["Name"].lower() and (archived or o["ContactStatus"] == "ACTIVE")
            ]
            page, size = int(asked.query["page"]), int(asked.query["pageSize"])
            return self._list("Contacts", found[(page - 1) * size : page * size])
        name = re.fullmatch(r'Name=="([^"\\]*)"', asked.query["where"])
        if name is None:
            # No escape is known for a double quote: every one that people tried is refused so.
            syntax = {"ErrorNumber": 16, "Type": "QueryParseException", "Message": "Syntax error"}
            return said(400, syntax)
        wanted = name[1].lower()
        return self._list(
            "Contacts",
            [
                o
                for o in self.contacts.values()
                if o["Name"].lower() == wanted and (archived or o["ContactStatus"] == "ACTIVE")
            ],
        )

    def _make(self, asked: Asked, plural: str, more: Decimal) -> Reply:
        made = []
        for element in asked.json()[plural]:
            words = self._what_is_wrong(element, ONE[plural][0])
            if words and asked.query.get("summarizeErrors") != "false":
                return self._error(
                    words, {f"{ONE[plural][0]}ID": "00000000-0000-0000-0000-000000000000"}
                )
            if words:
                refused = {
                    "StatusAttributeString": "ERROR",
                    "HasErrors": True,
                    "ValidationErrors": [{"Message": words}],
                }
                made.append(
                    {f"{ONE[plural][0]}Number": element.get(f"{ONE[plural][0]}Number", "")}
                    | refused
                )
            else:
                made.append(
                    self._add(
                        element, ONE[plural][0], asked.headers.get("idempotency-key", ""), more
                    )
                )
        return self._list(plural, made)

    def _what_is_wrong(self, element: Mapping[str, Any], singular: str) -> str:
        number = element[f"{singular}Number"]
        if any(
            one.get(f"{singular}Number") == number and one["Status"] not in ("VOIDED", "DELETED")
            for one in self.documents.values()
        ):
            return (
                "Invoice # must be unique."
                if singular == "Invoice"
                else "Credit note number must be unique."
            )
        contact = self.contacts.get(element["Contact"]["ContactID"])
        if contact is None or contact["ContactStatus"] != "ACTIVE":
            return "The contact is not valid or archived."
        if element["Date"] < self.closed_before:
            return (
                "The document date cannot be before the end of year lock date, currently set at"
                f" {self.closed_before}"
            )
        if element["CurrencyCode"] not in self.currencies:
            return f"Organisation is not subscribed to currency {element['CurrencyCode']}"
        for line in element["LineItems"]:
            if line.get("TaxType", "NONE") not in self.tax_types:
                return f"The TaxType code '{line['TaxType']}' does not exist or cannot be used"
            if line.get("AccountCode") not in self.accounts:
                return (
                    f"Account code '{line.get('AccountCode')}' is not a valid code for this"
                    " document."
                )
            expected = (Decimal(line["Quantity"]) * Decimal(line["UnitAmount"])).quantize(
                CENT, ROUND_HALF_UP
            )
            if expected != Decimal(line["LineAmount"]):
                return (
                    f"The line total {line['LineAmount']} does not match the expected line total"
                    f" {expected}"
                )
        return ""

    def _add(
        self, element: Mapping[str, Any], singular: str, key: str, more: Decimal
    ) -> dict[str, Any]:
        an_id = self._id(1, len(self.documents) + 1)
        net = sum((Decimal(line["LineAmount"]) for line in element["LineItems"]), Decimal(0)) + more
        tax = (
            sum((Decimal(line.get("TaxAmount", 0)) for line in element["LineItems"]), Decimal(0))
            if element["LineAmountTypes"] != "NoTax"
            else Decimal(0)
        )
        left = (
            {"AmountDue": net + tax, "AmountPaid": 0, "AmountCredited": 0}
            if singular == "Invoice"
            else {"RemainingCredit": net + tax, "Allocations": []}
        )
        one = (
            dict(element)
            | {
                f"{singular}ID": an_id,
                "SubTotal": net,
                "TotalTax": tax,
                "Total": net + tax,
                "HasErrors": False,
            }
            | left
        )
        one |= {
            "Date": midnight(element["Date"]),
            "UpdatedDateUTC": self._tick(),
            "StatusAttributeString": "OK",
        }
        if "DueDate" in element:
            one["DueDate"] = midnight(element["DueDate"])
        self.documents[an_id] = one
        kind = "invoice" if singular == "Invoice" else "credit-note"
        who = element["Contact"]["ContactID"]
        self.journal.append(
            Written(
                element[f"{singular}Number"],
                kind,
                net + tax,
                element["CurrencyCode"],
                who,
                an_id,
                "posted",
                key,
            )
        )
        return one

    def _read(self, asked: Asked, parts: list[str]) -> Reply:
        singular, a_type = ONE[parts[0]]
        mine = {an_id: one for an_id, one in self.documents.items() if one["Type"] == a_type}
        if len(parts) == 2:
            found = [mine[parts[1]]] if parts[1] in mine else []
            return (
                self._list(parts[0], found)
                if found
                else Reply(
                    404,
                    b"The resource you're looking for cannot be found",
                    {"content-type": "text/html"},
                )
            )
        if "where" in asked.query:
            wanted = set(
                re.findall(r'(?:Number|guid\()=?=?"((?:[^"\\]|\\.)*)"', asked.query["where"])
            )
            assert wanted, asked.query["where"]
        else:
            wanted = set((asked.query.get("InvoiceNumbers") or asked.query["IDs"]).split(","))
        return self._list(
            parts[0],
            [
                one
                for one in mine.values()
                if one[f"{singular}Number"] in wanted or one[f"{singular}ID"] in wanted
            ],
        )

    def _allocate(self, asked: Asked, note: dict[str, Any]) -> Reply:
        for part in asked.json()["Allocations"]:
            invoice, amount = self.documents[part["Invoice"]["InvoiceID"]], Decimal(part["Amount"])
            if amount > note["RemainingCredit"] or amount > invoice["AmountDue"]:
                return self._error("The amount to be applied exceeds the amount outstanding.")
            note["RemainingCredit"] -= amount
            invoice["AmountDue"] -= amount
            note["Allocations"].append(
                {
                    "Amount": amount,
                    "Date": midnight(part["Date"]),
                    "Invoice": {"InvoiceID": part["Invoice"]["InvoiceID"]},
                }
            )
            for one, left in ((note, "RemainingCredit"), (invoice, "AmountDue")):
                one["Status"] = "PAID" if one[left] == 0 else one["Status"]
        return self._list("Allocations", note["Allocations"])

    def pay(self, number: str, amount: str, on: str = "2026-04-10") -> dict[str, Any]:
        """The customer pays an invoice."""
        (invoice,) = (one for one in self.documents.values() if one.get("InvoiceNumber") == number)
        invoice["AmountDue"] -= Decimal(amount)
        invoice["Status"] = "PAID" if invoice["AmountDue"] == 0 else invoice["Status"]
        shown = {
            "Type": "ACCREC",
            "InvoiceID": invoice["InvoiceID"],
            "InvoiceNumber": number,
            "CurrencyCode": invoice["CurrencyCode"],
        }
        payment = {
            "PaymentID": self._id(5, len(self.payments) + 1),
            "Date": midnight(on),
            "Amount": Decimal(amount),
            "Status": "AUTHORISED",
        }
        payment |= {
            "PaymentType": "ACCRECPAYMENT",
            "Invoice": shown,
            "UpdatedDateUTC": self._tick(),
        }
        self.payments.append(payment)
        return payment

    def cancel(self, payment: dict[str, Any]) -> None:
        """A payment is taken back."""
        payment |= {"Status": "DELETED", "UpdatedDateUTC": self._tick()}

    def _payments(self, asked: Asked) -> Reply:
        since = asked.headers.get("if-modified-since", "")
        floor = moment(datetime.fromisoformat(since)) if since else ""
        new = sorted(
            (one for one in self.payments if one["UpdatedDateUTC"] >= floor),
            key=lambda one: str(one["UpdatedDateUTC"]),
        )
        page, size = int(asked.query["page"]), int(asked.query["pageSize"])
        return self._list("Payments", new[(page - 1) * size : page * size])

    def refusal(self, asked: Asked, *, in_200: bool) -> Reply:
        """An inactive account."""
        words = "Account code '200' is not a valid code for this document."
        if not in_200:
            return self._error(words)
        plural = asked.path.rpartition("/")[2]
        refused = {
            "StatusAttributeString": "ERROR",
            "HasErrors": True,
            "ValidationErrors": [{"Message": words}],
        }
        return self._list(
            plural,
            [
                {f"{ONE[plural][0]}Number": one[f"{ONE[plural][0]}Number"]} | refused
                for one in asked.json()[plural]
            ],
        )

    def with_wrong_amount(self, asked: Asked) -> Reply:
        """A cent too much."""
        return self.handle(asked, CENT)

    def by_another(self, number: str, total: str, customer: str) -> None:
        """Another program makes an invoice of that number."""
        line = {
            "Description": "x",
            "Quantity": Decimal(1),
            "UnitAmount": Decimal(total),
            "LineAmount": Decimal(total),
            "AccountCode": "200",
        }
        element = {
            "Type": "ACCREC",
            "InvoiceNumber": number,
            "Contact": {"ContactID": customer},
            "Date": "2026-03-31",
            "LineAmountTypes": "NoTax",
        }
        self._add(
            element | {"CurrencyCode": "USD", "Status": "AUTHORISED", "LineItems": [line]},
            "Invoice",
            "",
            Decimal(0),
        )

    def _tick(self) -> str:
        self._ticks += 1
        return moment(
            datetime(2026, 4, 1, tzinfo=UTC).replace(
                minute=self._ticks // 60 % 60, second=self._ticks % 60, hour=self._ticks // 3600
            )
        )

    @staticmethod
    def _id(what: int, count: int) -> str:
        return str(uuid.UUID(int=(what << 100) + (4 << 76) + count))
