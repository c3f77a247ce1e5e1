"""Tryton 8: JSON-RPC of the modules account and account_invoice. Two steps: a draft is created, then posted; Tryton numbers it.

Our number stands in the field `reference`, which nothing keeps unique; so a draft's id is kept before it is posted, and a second draft, if a
worker is stopped at the worst moment, is never posted. Invoices and credit notes are customer invoices; a credit note has negative quantities.
Tryton refuses an invoice older than the last one posted of its sequence, and posts one at a time: documents go in the order of their dates.
Tax amounts are given as we invoiced them; Tryton keeps them as long as the bases agree, and the total is compared before anything is posted.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from services.arg_sync.ledgers.http_client import Wire
from services.arg_sync.ledgers.port import (
    Capabilities,
    Failure,
    Found,
    Host,
    Keyed,
    Kind,
    Payments,
    Setting,
)
from services.arg_sync.ledgers.tryton_rpc import TrytonRpc, Warned
from services.arg_sync.rules.documents import ArDocument, Customer, Line, Payment, RemoteState
from shared.money import minor_unit
from shared.terms import DocumentType

INVOICE = "model.account.invoice"
FIELDS = [
    "number",
    "reference",
    "state",
    "total_amount",
    "party",
    "currency.code",
    "invoice_date",
    "amount_to_pay",
    "write_date",
]
STATES: dict[str, RemoteState] = {
    "draft": "draft",
    "validated": "draft",
    "posted": "posted",
    "paid": "paid",
    "cancelled": "voided",
}
WARNINGS_ACCEPTED = "invoice_payment_term"
WARNINGS_AT_MOST = 5
JOURNAL, RECEIVABLE = ("journal", "revenue"), ("account", "receivable")
OVERLAP = 500
"""Payments that were booked late may have lower ids than those read last: so many are read again."""


class Tryton:
    """One company of one Tryton database."""

    def __init__(self, host: Host) -> None:
        settings = host.settings
        self.capabilities = host.capabilities
        self._user, self._database, self._company_name = (
            settings["user"],
            settings["database"],
            settings.get("company", ""),
        )
        self._journal_name = settings.get("journal", "")
        self._accepted = {
            name.strip() for name in settings.get("accept_warnings", WARNINGS_ACCEPTED).split(",")
        } - {""}
        self._wire = Wire(
            settings["base_url"],
            host.turn,
            request_seconds=host.capabilities.request_seconds,
            allow_private=settings.get("allow_private", "") == "yes",
            concurrency=host.capabilities.concurrency,
        )
        self._rpc = TrytonRpc(self._wire, host.vault, self._database, self._user)
        self._call, self._search = self._rpc.call, self._rpc.search
        self._ids: dict[tuple[str, str], int] = {}

    # -- who we are

    async def check(self) -> str:
        """Company, user, and whether the accounts can be read."""
        company = await self._company()
        (accounts,) = [
            await self._call(
                "model.account.account.search_count",
                [["company", "=", company], ["closed", "!=", True]],
            )
        ]
        (row,) = await self._call(
            "model.company.company.read", [company], ["party.name", "currency.code"]
        )
        return f"connected to {row['party.']['name']} ({row['currency.']['code']}) in {self._database} as {self._user}: {accounts} accounts can be booked on"

    async def renew(self) -> None:
        """Logs in again."""
        await self._rpc.log_in_again()

    async def close(self) -> None:
        """Ends the connections; the session ends by itself."""
        await self._wire.close()

    # -- customers

    async def customer_for(self, customer: Customer) -> str | None:
        """By the party's code or id if mapped, else by its exact name."""
        if customer.mapped:
            an_id = int(customer.mapped) if customer.mapped.isdigit() else -1
            domain: list[Any] = ["OR", ["code", "=", customer.mapped], ["id", "=", an_id]]
        else:
            domain = [["name", "=", customer.account_name]]
        found = await self._search(
            "model.party.party", domain, ["name", "code", "active"], active_test=False
        )
        what = customer.mapped or customer.account_name
        if not found and customer.mapped:
            raise Failure(
                "permanent", "no_such_customer", f"Tryton has no party with the code or id {what}"
            )
        if len(found) > 1:
            codes = ", ".join(str(one["code"]) for one in found[:5])
            raise Failure(
                "permanent",
                "several_customers",
                f"Tryton has {len(found)} parties named {what} (codes {codes}): map the one by its code",
            )
        if found and not found[0]["active"]:
            raise Failure(
                "permanent",
                "customer_blocked",
                f"party {found[0]['name']} (code {found[0]['code']}) is inactive in Tryton: activate it there",
            )
        return str(found[0]["id"]) if found else None

    async def add_customer(self, customer: Customer) -> str:
        """A party with one address."""
        street = customer.address or customer.name or customer.account_name
        party = {
            "name": customer.account_name,
            "addresses": [["create", [{"party_name": customer.name or None, "street": street}]]],
        }
        (an_id,) = await self._call("model.party.party.create", [party], writes=True)
        return str(an_id)

    # -- documents

    def render(self, document: ArDocument, customer: str) -> str:
        """The invoice with codes in the place of ids: which account and tax they are is asked when it is created."""
        sign = -1 if document.kind == "credit-note" else 1
        lines, taxes = [], dict[tuple[str, bool], list[Decimal]]()
        for line in document.lines:
            quantity, price = _shown(line, document.currency)
            if not line.account:
                raise Failure(
                    "permanent",
                    "mapping_missing",
                    f"line {line.line_no} has no account: Tryton books on accounts, map one (an item will not do)",
                )
            lines.append(
                {
                    "description": line.description,
                    "quantity": str(sign * quantity),
                    "unit_price": str(price),
                    "account": line.account,
                    "tax": line.tax,
                }
            )
            if line.tax:
                part = taxes.setdefault(
                    (line.tax, sign * line.amount >= 0), [Decimal(0), Decimal(0)]
                )
                part[0] += sign * line.amount
                part[1] += sign * line.tax_amount
        body = {
            "party": int(customer),
            "reference": document.number,
            "description": document.po_number,
            "invoice_date": document.invoice_date.isoformat(),
            "due_date": document.due_date.isoformat(),
            "currency": document.currency,
            "payment_term": document.terms,
            "lines": lines,
            "taxes": [
                {"tax": tax, "base": str(base), "amount": str(amount)}
                for (tax, _), (base, amount) in taxes.items()
            ],
        }
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"))

    async def create(self, requests: Sequence[Keyed]) -> list[Found | Failure]:
        """A draft."""
        (one,) = requests
        values = await self._values(json.loads(one.request))
        (an_id,) = await self._call(f"{INVOICE}.create", [values], writes=True)
        try:
            return [await self._one(str(an_id), one.kind)]
        except (
            Failure
        ) as failed:  # the draft is there: whatever the reading says, nothing may be created again
            raise Failure(
                "unknown", failed.code, failed.message, everywhere=failed.everywhere
            ) from failed

    async def post(self, remote_id: str, kind: DocumentType) -> Found:
        """Posts a draft. Warnings that the settings accept are accepted, others are told."""
        accepted: set[str] = set()
        while True:  # posting what is posted or paid changes nothing there
            try:
                await self._call(f"{INVOICE}.post", [int(remote_id)], writes=True)
                return await self._one(remote_id, kind)
            except Warned as warned:
                if (
                    warned.kind not in self._accepted
                    or warned.name in accepted
                    or len(accepted) == WARNINGS_AT_MOST
                ):
                    raise Failure("permanent", warned.kind, warned.message) from warned
                accepted.add(warned.name)
                await self._call("model.res.user.warning.skip", warned.name, writes=True)

    async def allocate(self, credit: Found, document: ArDocument) -> None:
        """Makes the credit note's receivable line a payment of the invoice. Tryton can do that for one invoice."""
        (invoice, *others) = [each for each in document.corrects if each.remote_id]
        if others:
            numbers = ", ".join(each.number for each in document.corrects)
            raise Failure(
                "permanent",
                "several_invoices",
                f"it corrects {numbers}, and Tryton applies a credit note to one invoice only",
            )
        (there,) = await self._call(f"{INVOICE}.read", [int(credit.remote_id)], ["move", "account"])
        domain = [["move", "=", there["move"]], ["account", "=", there["account"]]]
        lines = [one["id"] for one in await self._search("model.account.move.line", domain, ["id"])]
        (owed,) = await self._call(
            f"{INVOICE}.read", [int(invoice.remote_id)], ["payment_lines", "state"]
        )
        missing = [line for line in lines if line not in owed["payment_lines"]]
        if not missing:
            return
        if owed["state"] != "posted":
            raise Failure(
                "permanent",
                "invoice_settled",
                f"{invoice.number} is {owed['state']} in Tryton: apply the credit note by hand",
            )
        await self._call(
            f"{INVOICE}.write",
            [int(invoice.remote_id)],
            {"payment_lines": [["add", missing]]},
            writes=True,
        )

    async def discard(self, remote_id: str, kind: DocumentType) -> None:
        """Deletes a draft."""
        found = (await self.status(kind, [remote_id]))[remote_id]
        if found is not None:
            await self._call(f"{INVOICE}.delete", [int(remote_id)], writes=True)

    async def find(self, kind: DocumentType, numbers: Sequence[str]) -> dict[str, list[Found]]:
        """By reference: every customer invoice of the company that is not cancelled."""
        domain = [
            ["reference", "in", list(numbers)],
            ["type", "=", "out"],
            ["company", "=", await self._company()],
            ["state", "!=", "cancelled"],
        ]
        found = [_found(row, kind) for row in await self._search(INVOICE, domain, FIELDS)]
        return {
            number: [one for one in found if one is not None and one.number == number]
            for number in numbers
        }

    async def status(
        self, kind: DocumentType, remote_ids: Sequence[str]
    ) -> dict[str, Found | None]:
        """By id."""
        there = await self._search(
            INVOICE, [["id", "in", [int(an_id) for an_id in remote_ids]]], FIELDS
        )
        by_id = {str(row["id"]): _found(row, kind) for row in there}
        return {an_id: by_id.get(an_id) for an_id in remote_ids}

    async def payments(self, cursor: str) -> Payments:
        """Move lines that pay customer invoices, but for those of credit notes."""
        since = max(0, int(cursor or 0) - OVERLAP)
        domain = [
            ["id", ">", since],
            ["invoice_payment", "!=", None],
            ["invoice_payment.type", "=", "out"],
            ["move.company", "=", await self._company()],
        ]
        fields = [
            "debit",
            "credit",
            "date",
            "invoice_payment",
            "invoice_payment.reference",
            "invoice_payment.currency.code",
            "amount_second_currency",
        ]
        rows = await self._search(
            "model.account.move.line",
            [*domain, ["move_origin", "not like", "account.invoice,%"]],
            fields,
            order=[["id", "ASC"]],
        )
        made = [
            Payment(
                payment_id=str(row["id"]),
                remote_id=str(row["invoice_payment"]),
                number=row["invoice_payment."]["reference"] or "",
                amount=abs(row["amount_second_currency"])
                if row["amount_second_currency"]
                else row["credit"] - row["debit"],
                currency=row["invoice_payment."]["currency."]["code"],
                paid_on=row["date"],
            )
            for row in rows
        ]
        return Payments(
            str(max((row["id"] for row in rows), default=int(cursor or 0))), tuple(made)
        )

    async def _one(self, remote_id: str, kind: DocumentType) -> Found:
        found = (await self.status(kind, [remote_id]))[remote_id]
        if found is None:
            raise Failure(
                "permanent",
                "gone",
                f"Tryton has no invoice with the id {remote_id}, or it is of the other kind",
            )
        return found

    async def _values(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """What Tryton's create takes: codes become ids, party and company their defaults."""
        company, party = await self._company(), body["party"]
        (there,) = await self._call(
            "model.party.party.read",
            [party],
            ["addresses", "account_receivable", "active", "name", "code"],
        )
        if not there["active"]:
            raise Failure(
                "permanent",
                "customer_blocked",
                f"party {there['name']} (code {there['code']}) is inactive in Tryton: activate it there",
            )
        receivable = there["account_receivable"]
        if not receivable:
            receivable = await self._standard_receivable()
        if not there["addresses"] or not receivable:
            missing = "address" if not there["addresses"] else "receivable account"
            raise Failure(
                "permanent",
                "customer_incomplete",
                f"party {there['name']} (code {there['code']}) has no {missing} in Tryton: give it one",
            )
        currency = await self._id("model.currency.currency", body["currency"], ("code",))
        journal = await self._journal()
        term = (
            await self._id("model.account.invoice.payment_term", body["payment_term"], ("name",))
            if body["payment_term"]
            else None
        )
        return {
            "type": "out",
            "company": company,
            "party": party,
            "invoice_address": there["addresses"][0],
            "account": receivable,
            "currency": currency,
            "journal": journal,
            "reference": body["reference"],
            "description": body["description"] or None,
            "invoice_date": _day(body["invoice_date"]),
            "payment_term": term,
            "payment_term_date": _day(body["due_date"] if term is None else body["invoice_date"]),
            "lines": [
                ["create", [await self._line(line, company, currency) for line in body["lines"]]]
            ],
            "taxes": [["create", [await self._tax(part) for part in body["taxes"]]]],
        }

    async def _standard_receivable(self) -> int | None:
        """The account of parties that have none of their own."""
        if RECEIVABLE not in self._ids:
            (standard,) = await self._call(
                "model.account.configuration.read", [1], ["default_account_receivable"]
            )
            if not standard["default_account_receivable"]:
                return None
            self._ids[RECEIVABLE] = standard["default_account_receivable"]
        return self._ids[RECEIVABLE]

    async def _journal(self) -> int:
        """The one of type revenue, or the one that the settings name."""
        if JOURNAL in self._ids:
            return self._ids[JOURNAL]
        if self._journal_name:
            return await self._id("model.account.journal", self._journal_name, ("code", "name"))
        found = await self._search("model.account.journal", [["type", "=", "revenue"]], ["name"])
        if len(found) != 1:
            names = ", ".join(str(one["name"]) for one in found) or "none"
            raise Failure(
                "permanent",
                "journal_unclear",
                f"Tryton has these revenue journals: {names}; name one with the setting journal",
            )
        self._ids[JOURNAL] = found[0]["id"]
        return self._ids[JOURNAL]

    async def _line(self, line: Mapping[str, str], company: int, currency: int) -> dict[str, Any]:
        taxes = (
            [await self._id("model.account.tax", line["tax"], ("name", "description"))]
            if line["tax"]
            else []
        )
        return {
            "type": "line",
            "company": company,
            "currency": currency,
            "description": line["description"],
            "quantity": Decimal(
                line["quantity"]
            ),  # a bare number: Tryton makes a float of it, whose four decimals survive
            "unit_price": _decimal(line["unit_price"]),
            "account": await self._id("model.account.account", line["account"], ("code", "name")),
            "taxes": [["add", taxes]],
        }

    async def _tax(self, part: Mapping[str, str]) -> dict[str, Any]:
        an_id = await self._id("model.account.tax", part["tax"], ("name", "description"))
        side = "invoice_account" if Decimal(part["base"]) >= 0 else "credit_note_account"
        (tax,) = await self._call("model.account.tax.read", [an_id], [side, "description"])
        return {
            "tax": an_id,
            "account": tax[side],
            "description": tax["description"],
            "base": _decimal(part["base"]),
            "amount": _decimal(part["amount"]),
            "manual": False,
        }

    async def _id(self, model: str, code: str, fields: Iterable[str]) -> int:
        """The id of an account, a tax, a term or a currency by its code or name; asked once."""
        if (model, code) not in self._ids:
            for field in fields:
                found = await self._search(model, [[field, "=", code]], ["id"])
                if len(found) == 1:
                    self._ids[model, code] = found[0]["id"]
                    break
                if found:
                    raise Failure(
                        "permanent",
                        "ambiguous_code",
                        f"Tryton has {len(found)} of {_noun(model)} {code!r}: map by another code",
                    )
            else:
                raise Failure(
                    "permanent",
                    "unknown_code",
                    f"Tryton has no {_noun(model)} {code!r}: correct the mapping",
                )
        return self._ids[model, code]

    async def _company(self) -> int:
        """The company, by name if the database has several."""
        context = self._rpc.context
        if "company" not in context:
            rows = await self._search("model.company.company", [], ["party.name"])
            named = [row for row in rows if self._company_name in ("", row["party."]["name"])]
            if len(named) != 1:
                names = ", ".join(row["party."]["name"] for row in rows)
                raise Failure(
                    "auth",
                    "company_not_found",
                    f"the setting company must name one of the companies of {self._database}: {names}",
                    everywhere=True,
                )
            context["company"] = named[0]["id"]
        company: int = context["company"]
        return company


def _found(row: Mapping[str, Any], kind: DocumentType) -> Found | None:
    """An invoice if it is of that kind: a credit note is a negative one; one of 0 may be either."""
    total = row["total_amount"]
    if total != 0 and (total < 0) != (kind == "credit-note"):
        return None
    sign = -1 if kind == "credit-note" else 1
    return Found(
        remote_id=str(row["id"]),
        number=row["reference"] or "",
        kind=kind,
        state=STATES[row["state"]],
        currency=row["currency."]["code"],
        total=sign * total,
        customer=str(row["party"]),
        remote_number=row["number"] or "",
        balance=sign * row["amount_to_pay"],
        invoice_date=row["invoice_date"],
        changed_at=str(row.get("write_date") or ""),
    )


def _shown(line: Line, currency: str) -> tuple[Decimal, Decimal]:
    """Quantity and price if Tryton makes our amount of them: it rounds a half to the even cent, we round it up. Else 1 × the amount."""
    there = (line.quantity * line.unit_price).quantize(
        minor_unit(currency), rounding=ROUND_HALF_EVEN
    )
    return (line.quantity, line.unit_price) if there == line.amount else (Decimal(1), line.amount)


def _decimal(text: str) -> dict[str, str]:
    return {"__class__": "Decimal", "decimal": text}


def _day(text: str) -> dict[str, Any]:
    when = date.fromisoformat(text)
    return {"__class__": "date", "year": when.year, "month": when.month, "day": when.day}


def _noun(model: str) -> str:
    return model.rpartition(".")[2].replace("_", " ")


LEDGER = Kind(
    name="tryton",
    title="Tryton",
    settings=(
        Setting("base_url", "where its server is, e.g. https://tryton.example.com", required=True),
        Setting("database", "name of the database", required=True),
        Setting(
            "user", "login of a user that may create and post customer invoices", required=True
        ),
        Setting("password", "that user's password", secret=True, required=True),
        Setting("company", "name of the company; needed if the database has several", default=""),
        Setting(
            "journal",
            "name or code of the revenue journal; needed if there are several",
            default="",
        ),
        Setting(
            "accept_warnings",
            "kinds of warnings that are accepted by themselves, with commas between",
            default=WARNINGS_ACCEPTED,
        ),
        Setting("allow_private", "yes: the server may have a private address", default=""),
    ),
    capabilities=Capabilities(
        request_key=False,
        unique_number=False,
        steps=2,
        concurrency=1,
        request_seconds=60.0,
        server_seconds=60.0,
        order="connection",
        discards=True,
    ),
    make=Tryton,
    needs="modules account and account_invoice; a chart of accounts, a fiscal year with periods and invoice sequences; accounts and taxes mapped by code",
)
