"""NetSuite as the fault server plays it: external ids that are taken once, answers that only say
where a record is, SuiteQL for lists, tax only by SuiteTax.

Sources (H: docs.oracle.com/en/cloud/saas/netsuite/ns-online-help; B: the REST API Browser, a page
for each record); what has none is marked "assumed":
- the form of errors, INVALID_LOGIN with 401: H section_156570709583.html. A token that is refused
  as "Invalid login attempt" while the account has too many calls at once:
  github.com/julbrs/netsuite-api-client/issues/26.
- a POST answers 204 and `Location`: H section_1545141395.html.
- fields of invoice, creditMemo, customer, salesTaxItem, and `status.id` (A, B, D, E, V): B.
- legacy tax is not there, tax needs SuiteTax: H article_161581923822.html, article_0814121722.html;
  the fields that SuiteTax adds: H section_161488248489.html.
- the description of a record shows the fields of the account: H chapter_1540810168.html.
- the address book of a customer: B (customer-addressBookElement), H chapter_156337267817.html.
- assumed: SuiteQL's tables and columns, that a field which a record does not have is refused, the
  code of a taken external id, that an override keeps every amount to the cent, the 83 characters of
  a company name, that a detail needs its tax type, the words of a closed period and of a too large
  amount to apply.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from urllib.parse import unquote

from tests.ledgers.fake import Asked, Reply, Written
from tests.ledgers.vendors.login import Login, said

RECORD = "/services/rest/record/v1"
CENT = Decimal("0.01")
RATES = {"5": Decimal("0.1")}
TAX_TYPE = "13"
CURRENCIES = {"1": "USD", "4": "EUR"}
OPEN, PAID = {"id": "A", "refName": "Open"}, {"id": "B", "refName": "Paid In Full"}
SUITETAX = {"taxDetails", "taxDetailsOverride"}
TRANSACTION = (
    {"externalId", "tranId", "entity", "tranDate", "item", "currency", "dueDate", "otherRefNum"}
    | {"subsidiary", "apply"}
    | SUITETAX
)
LINE = {"item", "description", "quantity", "price", "rate", "amount", "taxDetailsReference"}
DETAIL = {"taxDetailsReference", "taxCode", "taxType", "taxBasis", "taxRate", "taxAmount"}
CUSTOMER = {"companyName", "isPerson", "externalId", "subsidiary", "currency", "addressBook"}
ADDRESS = {"addr1", "addr2", "addr3", "addressee", "attention", "city", "country", "state", "zip"}


@dataclass
class NetSuiteVendor:
    """One account in memory.

    `multicurrency`: the feature Multiple Currencies; off, no record and no table has a currency.
    `suitetax`: the feature SuiteTax; off, no record has a tax detail. `busy`: how many of the next
    calls are refused as if their token were wrong. `items`: the active ones of `known_items`.
    """

    login: Login = field(default_factory=Login)
    journal: list[Written] = field(default_factory=list)
    records: dict[str, dict[str, dict[str, Any]]] = field(
        default_factory=lambda: {
            "invoice": {},
            "creditMemo": {},
            "customer": {},
            "salesTaxItem": {
                "5": {"id": "5", "isInactive": False, "taxType": {"id": TAX_TYPE}, "name": "VAT10"}
            },
        }
    )
    payments: list[dict[str, Any]] = field(default_factory=list)
    items: set[str] = field(default_factory=lambda: {"42"})
    known_items: frozenset[str] = frozenset({"42", "43"})
    closed_before: str = ""
    multicurrency: bool = True
    suitetax: bool = True
    busy: int = 0
    taken_code: str = "DUP_RCRD"
    _ticks: int = 0

    def makes_document(self, asked: Asked) -> bool:
        """POST of an invoice or a credit memo."""
        return asked.method == "POST" and asked.path in (
            f"{RECORD}/invoice",
            f"{RECORD}/creditMemo",
        )

    def handle(self, asked: Asked, more: Decimal = Decimal(0)) -> Reply:
        """Carries it out."""
        if asked.path == "/token":
            return self.login.answer(asked)
        if self.busy or not self.login.lets_in(asked):
            self.busy = max(0, self.busy - 1)
            return self.error(
                401,
                "INVALID_LOGIN",
                f"Invalid login attempt with {asked.headers.get('authorization')}",
            )
        if asked.path == f"{RECORD}/metadata-catalog/invoice":
            return self._description(asked)
        if asked.path.endswith("/suiteql"):
            assert asked.headers.get("prefer") == "transient"
            return self._query(
                json.loads(asked.body)["q"], int(asked.query["offset"]), int(asked.query["limit"])
            )
        assert asked.method != "PUT", "a PUT could change a document that is there"
        record, _, which = unquote(asked.path).removeprefix(RECORD + "/").partition("/")
        if unknown := self._unknown_fields(asked, record):
            words = f"Unknown reference or field: {', '.join(unknown)}"
            return self.error(400, "INVALID_CONTENT", words)
        if asked.method == "POST":
            return self._make(asked, record, more)
        one = self._one(record, which)
        if one is None:
            return self.error(
                404,
                "NONEXISTENT_ID",
                f"The record instance does not exist. Provide a valid record instance ID: {which}",
            )
        if asked.method == "PATCH":
            return self._apply(one, asked.json()["apply"]["items"])
        return said(
            200,
            one
            if asked.query.get("expandSubResources") == "true"
            else {name: part for name, part in one.items() if name != "apply"},
        )

    def error(self, status: int, code: str, words: str) -> Reply:
        """A problem with its details."""
        return said(
            status,
            {
                "title": "Error",
                "status": status,
                "o:errorDetails": [{"detail": words, "o:errorCode": code}],
            },
        )

    def _description(self, asked: Asked) -> Reply:
        """The fields of an invoice in this account."""
        assert asked.headers["accept"] == "application/schema+json"
        off = (set() if self.suitetax else SUITETAX) | (
            set() if self.multicurrency else {"currency"}
        )
        properties = {name: {"type": "object"} for name in sorted(TRANSACTION - off - {"apply"})}
        return said(200, {"type": "object", "properties": properties})

    def _unknown_fields(self, asked: Asked, record: str) -> list[str]:
        """The fields of a request that its record does not have in this account."""
        if asked.method not in ("POST", "PATCH") or record == "salesTaxItem":
            return []
        assert asked.headers["x-netsuite-propertynamevalidation"] == "Error"
        body = asked.json()
        off = set() if self.suitetax else {*SUITETAX, "taxDetailsReference"}
        off |= set() if self.multicurrency else {"currency"}
        if record == "customer":
            entries = body.get("addressBook", {}).get("items", ())
            known = {"defaultBilling", "defaultShipping", "label", "addressBookAddress"}
            parts = [(body, CUSTOMER), *((each, known) for each in entries)]
            parts += [(each["addressBookAddress"], ADDRESS) for each in entries]
        else:
            parts = [(body, TRANSACTION)]
            parts += [(each, LINE) for each in body.get("item", {}).get("items", ())]
            parts += [(each, DETAIL) for each in body.get("taxDetails", {}).get("items", ())]
            parts += [
                (each, {"doc", "apply", "amount"})
                for each in body.get("apply", {}).get("items", ())
            ]
        return sorted({name for each, known in parts for name in set(each) - (known - off)})

    def _one(self, record: str, which: str) -> dict[str, Any] | None:
        if which.startswith("eid:"):
            return next(
                (
                    one
                    for one in self.records[record].values()
                    if one.get("externalId") == which[4:]
                ),
                None,
            )
        return self.records[record].get(which)

    def _make(self, asked: Asked, record: str, more: Decimal) -> Reply:
        body = asked.json()
        assert re.fullmatch(r"[A-Za-z0-9_-]+", body["externalId"]), (
            f"no external id: {body['externalId']}"
        )
        if self._one(record, f"eid:{body['externalId']}") is not None:
            return self.error(400, self.taken_code, "This record already exists")
        if record == "customer" and len(body["companyName"]) > 83:
            words = "The field companyName contained more than the maximum number of characters"
            return self.error(400, "USER_ERROR", words)
        if record == "customer":
            return self._kept(record, body | {"isInactive": False})
        customer = self.records["customer"].get(body["entity"]["id"])
        if customer is None or customer["isInactive"]:
            return self.error(
                400,
                "INVALID_CONTENT",
                f"Invalid Field Value {body['entity']['id']} for the following field: entity",
            )
        if body["tranDate"] < self.closed_before:
            return self.error(
                400,
                "USER_ERROR",
                "The transaction date you specified is not within the date range of your"
                " accounting period.",
            )
        net = Decimal(0)
        for line in body["item"]["items"]:
            if line["item"]["id"] not in self.items:
                return self.error(
                    400,
                    "INVALID_CONTENT",
                    f"Invalid Field Value {line['item']['id']} for the following field: item",
                )
            assert (Decimal(line["quantity"]) * Decimal(line["rate"])).quantize(
                CENT, ROUND_HALF_UP
            ) == Decimal(line["amount"])
            net += Decimal(line["amount"])
        tax = self._tax(body)
        if isinstance(tax, Reply):
            return tax
        total = net + tax + more
        shown = body | {
            "total": total,
            "taxTotal": tax,
            "status": OPEN,
            "apply": {"items": []},
        }
        shown |= {"amountRemaining": total} if record == "invoice" else {"unapplied": total}
        reply = self._kept(record, shown)
        kind = "invoice" if record == "invoice" else "credit-note"
        an_id = reply.headers["location"].rpartition("/")[2]
        self.journal.append(
            Written(
                body["tranId"],
                kind,
                total,
                CURRENCIES[body["currency"]["id"]] if self.multicurrency else "USD",
                body["entity"]["id"],
                an_id,
                "posted",
            )
        )
        return reply

    def _tax(self, body: Mapping[str, Any]) -> Decimal | Reply:
        """The tax of a document: its details if they override, else by the rates of the account."""
        lines, details = body["item"]["items"], body.get("taxDetails", {}).get("items", ())
        if not body.get("taxDetailsOverride"):
            rates = [RATES["5"] if self.suitetax else Decimal(0) for _ in lines]
            taxes = (
                (Decimal(line["amount"]) * rate).quantize(CENT, ROUND_HALF_UP)
                for line, rate in zip(lines, rates, strict=True)
            )
            return sum(taxes, Decimal(0))
        references = {line.get("taxDetailsReference") for line in lines}
        for detail in details:
            code = self.records["salesTaxItem"].get(detail["taxCode"]["id"])
            reference, tax_type = detail["taxDetailsReference"]["id"], detail.get("taxType")
            if code is None or code["taxType"]["id"] != tax_type or reference not in references:
                words = "Please choose a tax code, a tax type and a reference for each tax detail."
                return self.error(400, "USER_ERROR", words)
        return sum((Decimal(detail["taxAmount"]) for detail in details), Decimal(0))

    def _kept(self, record: str, body: dict[str, Any]) -> Reply:
        an_id = str(sum(len(each) for each in self.records.values()) + 101)
        self.records[record][an_id] = body | {"id": an_id, "lastModifiedDate": self.tick()}
        return Reply(
            204,
            b"",
            {"location": f"https://example.suitetalk.api.netsuite.com{RECORD}/{record}/{an_id}"},
        )

    def _apply(self, note: dict[str, Any], items: list[dict[str, Any]]) -> Reply:
        for part in items:
            invoice, amount = self.records["invoice"][part["doc"]["id"]], Decimal(part["amount"])
            if amount > invoice["amountRemaining"] or amount > note["unapplied"]:
                return self.error(
                    400, "USER_ERROR", "The amount to apply is more than what is left."
                )
            note["unapplied"] -= amount
            self._settle(invoice, amount)
            note["apply"]["items"].append(
                {"doc": {"id": part["doc"]["id"]}, "apply": True, "amount": amount}
            )
        return Reply(204)

    def _settle(self, invoice: dict[str, Any], amount: Decimal) -> None:
        invoice["amountRemaining"] -= amount
        invoice["status"] = PAID if invoice["amountRemaining"] == 0 else OPEN

    def _query(self, query: str, first: int, most: int) -> Reply:
        if query.startswith("select count(*)"):
            return self._rows([{"invoices": str(len(self.records["invoice"]))}])
        if "from customer" in query:
            name = re.search(r"companyname = '((?:[^']|'')*)'", query)
            assert name is not None, query
            wanted = name[1].replace("''", "'")
            external = re.search(r"externalid = '([^']*)'", query)
            rows = [
                {"id": an_id, "isinactive": "T" if one["isInactive"] else "F"}
                for an_id, one in self.records["customer"].items()
                if one["companyName"] == wanted
                or (external is not None and one["externalId"] == external[1])
            ]
            return self._rows(rows)
        if "from item where" in query:
            wanted = re.search(r"id in \(([\d, ]+)\)", query)
            ids = wanted[1].split(", ") if wanted else sorted(self.items)
            inactive = {an_id: an_id not in self.items for an_id in ids}
            return self._rows(
                [
                    {"id": an_id, "name": f"Item {an_id}", "inactive": "T" if off else "F"}
                    for an_id, off in inactive.items()
                    if an_id in self.known_items
                ]
            )
        if query.endswith("from currency"):
            rows = [{"id": i, "symbol": code, "inactive": "F"} for i, code in CURRENCIES.items()]
            return self._rows(rows)
        since = re.search(r"to_timestamp\('([^']+)'", query)
        assert self.multicurrency or "t.currency" not in query, "no such column"
        assert since is not None and "previoustransactionlinelink" in query, query
        found = sorted(
            (one for one in self.payments if one["changed"] >= since[1]),
            key=lambda one: str(one["changed"]),
        )
        return self._rows(found[first : first + most])

    def _rows(self, rows: list[dict[str, Any]]) -> Reply:
        return said(
            200,
            {
                "items": rows,
                "count": len(rows),
                "hasMore": False,
                "offset": 0,
                "totalResults": len(rows),
            },
        )

    def pay(self, number: str, amount: str, on: str = "2026-04-10") -> dict[str, Any]:
        """The customer pays an invoice."""
        (invoice,) = (one for one in self.records["invoice"].values() if one["tranId"] == number)
        self._settle(invoice, Decimal(amount))
        row = {
            "payment": str(900 + len(self.payments)),
            "invoice": invoice["id"],
            "number": invoice["externalId"],
            "amount": amount,
            "paid_on": on,
        }
        if self.multicurrency:
            row["currency"] = invoice["currency"]["id"]
        self.payments.append(
            row
            | {
                "voided": "F",
                "changed": self.tick().replace("T", " ").rstrip("Z"),
            }
        )
        return self.payments[-1]

    def cancel(self, payment: dict[str, Any]) -> None:
        """A payment is voided."""
        payment |= {"voided": "T", "changed": self.tick().replace("T", " ").rstrip("Z")}

    def refusal(self, asked: Asked, *, in_200: bool) -> Reply:
        """An item that is inactive. It has no way to say so in a 200."""
        return self.error(
            400, "INVALID_CONTENT", "Invalid Field Value 42 for the following field: item"
        )

    def with_wrong_amount(self, asked: Asked) -> Reply:
        """A cent too much."""
        return self.handle(asked, CENT)

    def by_another(self, number: str, total: str, customer: str) -> None:
        """Another program makes an invoice of that number under the same external id."""
        body: Mapping[str, Any] = {
            "externalId": f"inv-{number}",
            "tranId": number,
            "tranDate": "2026-03-31",
            "currency": {"id": "1"},
        }
        one = dict(body) | {
            "entity": {"id": customer},
            "total": Decimal(total),
            "amountRemaining": Decimal(total),
            "status": OPEN,
        }
        reply = self._kept("invoice", one)
        self.journal.append(
            Written(
                number,
                "invoice",
                Decimal(total),
                "USD",
                customer,
                reply.headers["location"].rpartition("/")[2],
                "posted",
            )
        )

    def tick(self) -> str:
        """A moment later than the last."""
        self._ticks += 1
        return (datetime(2026, 4, 1, tzinfo=UTC) + timedelta(seconds=self._ticks)).strftime(
            "%Y-%m-%dT%H:%M:%SZ"
        )
