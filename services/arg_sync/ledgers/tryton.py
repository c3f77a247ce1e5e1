"""Tryton 8, JSON-RPC of the modules account and account_invoice. Two steps; Tryton numbers.

Our number is in the field `reference`, which is not unique. So a draft's id is stored before it is
posted, and a second draft, left by a worker that was killed between two calls, is never posted.
Invoices and credit notes are customer invoices; a credit note has negative quantities.
Tryton refuses an invoice older than the last posted one of its sequence, and posts one at a time:
documents go in the order of their dates. Tax amounts are given as we computed them; Tryton keeps
them as long as the bases agree, and the total is compared before anything is posted.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from operator import index
from typing import Any

from services.arg_sync.ledgers.adapter import (
    AdapterContext,
    AdapterSpec,
    Capabilities,
    FrozenRequest,
    Setting,
)
from services.arg_sync.ledgers.codes import CodeKind, LedgerCode
from services.arg_sync.ledgers.documents import (
    ArDocument,
    Customer,
    Line,
    PaymentPage,
    RemoteDocument,
    RemoteState,
)
from services.arg_sync.ledgers.failures import Failure
from services.arg_sync.ledgers.http_client import HttpClient
from services.arg_sync.ledgers.lookups import (
    AdapterBase,
    RemoteCustomer,
    Row,
    required_values,
    value_in,
)
from services.arg_sync.ledgers.tryton_codes import codes_of
from services.arg_sync.ledgers.tryton_payments import changed_payments
from services.arg_sync.ledgers.tryton_rpc import TrytonRpc, TrytonWarning
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
MAX_WARNINGS = 5
JOURNAL, RECEIVABLE = ("journal", "revenue"), ("account", "receivable")


class Tryton(AdapterBase):
    """One company of one Tryton database."""

    counts_inactive = True

    def __init__(self, context: AdapterContext) -> None:
        super().__init__(context, LEDGER)
        at = context.settings
        self._user, self._database = at["user"], at["database"]
        self._company_name, self._journal_name = at.get("company", ""), at.get("journal", "")
        accepted = at.get("accept_warnings", WARNINGS_ACCEPTED).split(",")
        self._accepted = {name.strip() for name in accepted} - {""}
        self._http_client = HttpClient(
            at["base_url"],
            context.rate_limiter,
            request_seconds=context.capabilities.request_seconds,
            concurrency=context.capabilities.concurrency,
        )
        self._rpc = TrytonRpc(self._http_client, context.secret_store, self._database, self._user)
        self._call, self._search = self._rpc.call, self._rpc.search
        self._ids: dict[tuple[str, str], int] = {}

    async def check(self) -> str:
        """Return company, user and number of accounts, which proves that accounts are readable."""
        company = await self._company()
        domain = [["company", "=", company], ["closed", "!=", True]]
        accounts = await self._call("model.account.account.search_count", domain)
        (row,) = await self._call(
            "model.company.company.read", [company], ["party.name", "currency.code"]
        )
        name, currency = row["party."]["name"], row["currency."]["code"]
        return (
            f"connected to {name} ({currency}) in {self._database} as {self._user}:"
            f" {accounts} accounts can be booked on"
        )

    async def codes(self, kind: CodeKind, wanted: Collection[str]) -> Sequence[LedgerCode] | None:
        """Return all codes of a kind; a line names no item."""
        return await codes_of(kind, await self._company(), self._search)

    async def renew(self) -> None:
        """Log in again."""
        await self._rpc.log_in_again()

    async def close(self) -> None:
        """Close the connections; the session expires."""
        await self._http_client.close()

    # -- customers

    async def _customer_rows(self, customer: Customer) -> Sequence[Row]:
        """Look up by the party's code or id if mapped, else by its exact name."""
        domain: list[Any] = [["name", "=", customer.account_name]]
        if customer.mapped:
            an_id = int(customer.mapped) if customer.mapped.isdigit() else -1
            domain = ["OR", ["code", "=", customer.mapped], ["id", "=", an_id]]
        fields = ["name", "code", "active"]
        return await self._search("model.party.party", domain, fields, active_test=False)

    def _customer(self, row: Row) -> RemoteCustomer:
        return RemoteCustomer(str(index(row["id"])), value_in(row, "active"), f"code {row['code']}")

    async def _add_customer(self, customer: Customer) -> str:
        """Create a party with one address."""
        street = customer.address or customer.name or customer.account_name
        party = {
            "name": customer.account_name,
            "addresses": [["create", [{"party_name": customer.name or None, "street": street}]]],
        }
        (an_id,) = await self._call("model.party.party.create", [party], writes=True)
        return str(index(an_id))

    # -- documents

    def _body(self, document: ArDocument, customer: str) -> dict[str, Any]:
        """Render the invoice with codes instead of ids; `create` looks the ids up."""
        sign = -1 if document.kind == "credit-note" else 1
        lines, taxes = [], dict[tuple[str, bool], tuple[Decimal, Decimal]]()
        for line in document.lines:
            quantity, price = _quantity_and_price(line, document.currency)
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
                side = line.tax, sign * line.amount >= 0
                base, amount = taxes.get(side, (Decimal(0), Decimal(0)))
                taxes[side] = base + sign * line.amount, amount + sign * line.tax_amount
        return {
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

    async def _create(self, request: FrozenRequest) -> str:
        """Create a draft."""
        values = await self._values(json.loads(request.request))
        (an_id,) = await self._call(f"{INVOICE}.create", [values], writes=True)
        return str(index(an_id))

    async def post(self, remote_id: str, kind: DocumentType) -> RemoteDocument:
        """Post a draft; posting a posted one changes nothing. Skip the accepted warnings."""
        skipped: set[str] = set()
        while True:
            try:
                await self._call(f"{INVOICE}.post", [int(remote_id)], writes=True)
                return await self._posted(remote_id, kind)
            except TrytonWarning as warning:
                accepted = warning.kind in self._accepted and warning.name not in skipped
                if not accepted or len(skipped) == MAX_WARNINGS:
                    raise warning.reading(warning.message) from warning
                skipped.add(warning.name)
                await self._call("model.res.user.warning.skip", warning.name, writes=True)

    async def allocate(self, credit: RemoteDocument, document: ArDocument) -> None:
        """Make the credit note's receivable line a payment of the one invoice that it corrects."""
        (invoice, *others) = document.not_applied(())
        if others:
            numbers = ", ".join(each.number for each in document.corrects)
            raise Failure(
                "permanent",
                "several_invoices",
                f"it corrects {numbers}, and Tryton applies a credit note to one invoice only",
            )
        fields = ["move", "account"]
        (note,) = await self._call(f"{INVOICE}.read", [int(credit.remote_id)], fields)
        with required_values(f"credit note {credit.number} in Tryton"):
            domain = [[field, "=", value_in(note, field)] for field in fields]
        lines = [one["id"] for one in await self._search("model.account.move.line", domain, ["id"])]
        invoice_id = [int(invoice.remote_id)]
        (owed,) = await self._call(f"{INVOICE}.read", invoice_id, ["payment_lines", "state"])
        with required_values(f"invoice {invoice.number} in Tryton"):
            missing = [line for line in lines if line not in value_in(owed, "payment_lines")]
        if not missing:
            return
        if owed["state"] != "posted":
            raise Failure(
                "permanent",
                "invoice_settled",
                f"{invoice.number} is {owed['state']} in Tryton: apply the credit note by hand",
            )
        values = {"payment_lines": [["add", missing]]}
        await self._call(f"{INVOICE}.write", invoice_id, values, writes=True)

    async def discard(self, remote_id: str, kind: DocumentType) -> None:
        """Delete a draft."""
        found = (await self.status(kind, [remote_id]))[remote_id]
        if found is not None:
            await self._call(f"{INVOICE}.delete", [int(remote_id)], writes=True)

    async def _by_number(self, kind: DocumentType, numbers: Sequence[str]) -> list[RemoteDocument]:
        """Look up by reference among the customer invoices of the company."""
        domain = [
            ["reference", "in", list(numbers)],
            ["type", "=", "out"],
            ["company", "=", await self._company()],
        ]
        return await self._invoices(kind, domain)

    async def _by_id(self, kind: DocumentType, remote_ids: Sequence[str]) -> list[RemoteDocument]:
        return await self._invoices(kind, [["id", "in", [int(an_id) for an_id in remote_ids]]])

    async def _invoices(self, kind: DocumentType, domain: list[Any]) -> list[RemoteDocument]:
        """Return the invoices of that kind. A credit note is negative; 0 may be either."""
        rows = await self._search(INVOICE, domain, FIELDS)
        total, negative = "total_amount", kind == "credit-note"
        ours = [row for row in rows if not row[total] or (row[total] < 0) == negative]
        return await self._documents(ours, kind)

    async def _one(self, kind: DocumentType, remote_id: str) -> RemoteDocument | None:
        return next(iter(await self._by_id(kind, [remote_id])), None)

    def _document(self, row: Row, kind: DocumentType) -> RemoteDocument:
        sign = -1 if kind == "credit-note" else 1
        return RemoteDocument(
            remote_id=str(index(row["id"])),
            number=row["reference"] or "",
            kind=kind,
            state=STATES[row["state"]],
            currency=value_in(row, "currency.", "code"),
            total=sign * row["total_amount"],
            customer=str(value_in(row, "party")),
            remote_number=row["number"] or "",
            balance=sign * row["amount_to_pay"],
            invoice_date=row["invoice_date"],
            changed_at=str(row.get("write_date") or ""),
        )

    async def payments(self, cursor: str) -> PaymentPage:
        """Read what settles the customer invoices that changed, as `tryton_payments` describes."""
        return await changed_payments(self._rpc, cursor, await self._company())

    async def _posted(self, remote_id: str, kind: DocumentType) -> RemoteDocument:
        found = await self._one(kind, remote_id)
        if found is None:
            raise Failure("permanent", "gone", f"Tryton has no {kind} with the id {remote_id}")
        return found

    async def _values(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values for Tryton: codes become ids, party and company get defaults."""
        company, party = await self._company(), body["party"]
        (row,) = await self._call(
            "model.party.party.read",
            [party],
            ["addresses", "account_receivable", "active", "name", "code"],
        )
        name = f"party {row['name']} (code {row['code']})"
        if not row["active"]:
            raise Failure(
                "permanent", "inactive_customer", f"{name} is inactive in Tryton: activate it there"
            )
        receivable = row["account_receivable"] or await self._standard_receivable()
        if not row["addresses"] or not receivable:
            missing = "address" if not row["addresses"] else "receivable account"
            raise Failure(
                "permanent", "customer_incomplete", f"{name} has no {missing} in Tryton: add one"
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
            "invoice_address": row["addresses"][0],
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
        """Return the default receivable account, for parties without an own one."""
        if RECEIVABLE not in self._ids:
            (standard,) = await self._call(
                "model.account.configuration.read", [1], ["default_account_receivable"]
            )
            if not standard["default_account_receivable"]:
                return None
            self._ids[RECEIVABLE] = standard["default_account_receivable"]
        return self._ids[RECEIVABLE]

    async def _journal(self) -> int:
        """Return the journal that the settings name, else the only one of type revenue."""
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
            # A bare number: Tryton converts it to a float, which keeps the four decimals.
            "quantity": Decimal(line["quantity"]),
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
        """Return the id of an account, tax, term or currency by its code or name; cached."""
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
        """Return the company, by name if the database has several."""
        context = self._rpc.context
        if "company" not in context:
            rows = await self._search("model.company.company", [], ["party.name"])
            named = [row for row in rows if self._company_name in ("", row["party."]["name"])]
            if len(named) != 1:
                names = ", ".join(row["party."]["name"] for row in rows)
                raise Failure(
                    "auth",
                    "company_not_found",
                    f"the setting company must name one of the companies of {self._database}:"
                    f" {names}",
                    everywhere=True,
                )
            context["company"] = named[0]["id"]
        company: int = context["company"]
        return company


def _quantity_and_price(line: Line, currency: str) -> tuple[Decimal, Decimal]:
    """Return quantity and price if Tryton computes our amount from them, else 1 × the amount.

    Tryton rounds a half to the even cent, we round it up.
    """
    product = line.quantity * line.unit_price
    theirs = product.quantize(minor_unit(currency), rounding=ROUND_HALF_EVEN)
    return (line.quantity, line.unit_price) if theirs == line.amount else (Decimal(1), line.amount)


def _decimal(text: str) -> dict[str, str]:
    return {"__class__": "Decimal", "decimal": text}


def _day(text: str) -> dict[str, Any]:
    when = date.fromisoformat(text)
    return {"__class__": "date", "year": when.year, "month": when.month, "day": when.day}


def _noun(model: str) -> str:
    return model.rpartition(".")[2].replace("_", " ")


LEDGER = AdapterSpec(
    name="tryton",
    title="Tryton",
    settings=(
        Setting(
            "base_url",
            "where its server is, e.g. https://tryton.example.com",
            required=True,
            binds=True,
        ),
        Setting("database", "name of the database", required=True, binds=True),
        Setting(
            "user",
            "login of a user that may create and post customer invoices",
            required=True,
            binds=True,
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
    line_code="account",
    needs="modules account and account_invoice; a chart of accounts, a fiscal year with periods"
    " and invoice sequences; accounts and taxes mapped by code",
)
