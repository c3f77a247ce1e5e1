"""Sage Intacct by its XML web services: customers, AR invoices and adjustments, AR payments.

A function has a control id, and with `uniqueid` one that was executed is not executed again. After
a lost response arg_sync waits until the fifteen minutes of the gateway are over and looks up by our
number. Sources, and what they do not confirm, are in docs/ledgers/sage-intacct.md.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from services.arg_sync.ledgers.adapter import (
    AdapterContext,
    AdapterSpec,
    Capabilities,
    FrozenRequest,
    Secrets,
    Setting,
)
from services.arg_sync.ledgers.documents import (
    ArDocument,
    Customer,
    Line,
    Payment,
    PaymentPage,
    RemoteDocument,
    RemoteState,
)
from services.arg_sync.ledgers.failures import Failure, unreadable
from services.arg_sync.ledgers.folding import (
    require_codes,
    require_number_length,
    short,
    with_lines_summed,
)
from services.arg_sync.ledgers.http_client import HttpClient
from services.arg_sync.ledgers.intacct_xml import (
    Login,
    as_filter,
    date_in,
    day,
    element,
    moment,
    parsed,
    query,
    remaining,
    request,
    result_of,
    rows_in,
    secrets_of,
    text_of,
    where,
)
from services.arg_sync.ledgers.lookups import (
    AdapterBase,
    RemoteCustomer,
    Row,
    amount_in,
    changed_rows,
    required_values,
    value_in,
)
from services.arg_sync.ledgers.session import key_of, most_lines_setting
from shared import clock
from shared.json_text import finite_decimal
from shared.terms import DocumentType

GATEWAY = "https://api.intacct.com/ia/xml/xmlgw.phtml"
OBJECTS: dict[DocumentType, str] = {"invoice": "ARINVOICE", "credit-note": "ARADJUSTMENT"}
FIELDS = (
    *("RECORDNO", "RECORDID", "STATE", "CURRENCY", "TRX_TOTALENTERED", "TRX_TOTALDUE"),
    *("CUSTOMERID", "WHENCREATED", "WHENMODIFIED"),
)
PAYMENT_FIELDS = (
    *("RECORDNO", "RECORDKEY", "PAYMENTDATE", "TRX_PAYMENTAMOUNT", "CURRENCY", "STATE"),
    "WHENMODIFIED",
)
STATES: dict[str, RemoteState] = {
    "Draft": "draft",
    "Submitted": "draft",
    "Posted": "posted",
    "Partially Paid": "posted",
    "Selected": "posted",
    "Paid": "paid",
    "Reversed": "voided",
    "Reversal": "voided",
}
DRAFT_PAYMENTS = ("D", "DRAFT")
VOIDED_PAYMENTS = ("V", "VOID", "VOIDED", "R", "REVERSED", "REVERSAL")
LINES, ENTRIES = "lines", "entries"
MEMO_LENGTH = 1000
PAGE, MOST_PAGES = 500, 20
NO_VERSION = -1
"""No version of secrets."""


class SageIntacct(AdapterBase):
    """One company, at its top level or in one entity."""

    def __init__(self, context: AdapterContext) -> None:
        super().__init__(context, LEDGER)
        self._settings = settings = context.settings
        can = context.capabilities
        self._http_client = HttpClient(
            settings["base_url"],
            context.rate_limiter,
            request_seconds=can.request_seconds,
            allowed_hosts=LEDGER.allowed_hosts,
            concurrency=can.concurrency,
        )
        self._secret_store = context.secret_store
        self._lock = asyncio.Lock()
        self._admitted = NO_VERSION
        if settings["tax_as"] not in (LINES, ENTRIES):
            raise ValueError(f"tax_as is {settings['tax_as']!r}: write {LINES} or {ENTRIES}")

    # -- calls

    async def _call(self, function: Any, control: str, *, writes: bool) -> Any:
        """Execute a function and return its result.

        The passwords go with each call. So the first call with new ones is a login, and a later one
        that is refused is stored as a refused login: no process calls with these passwords again.
        """
        secrets = await self._logged_in()
        try:
            return await self._execute(secrets, function, control, writes=writes)
        except Failure as failed:
            if failed.failure == "auth":
                self._admitted = NO_VERSION
                async with self._secret_store.login(secrets.version):
                    raise
            raise

    async def _logged_in(self) -> Secrets:
        """Return the secrets; new ones are tried by one look-up, while no other process does."""
        async with self._lock:
            secrets = await self._secret_store.read()
            if self._admitted != secrets.version:
                async with self._secret_store.login(secrets.version):
                    control = self._control_of_read("CUSTOMER")
                    await self._execute(secrets, look_up_of_nothing(), control, writes=False)
                self._admitted = secrets.version
            return secrets

    async def _execute(self, secrets: Secrets, function: Any, control: str, *, writes: bool) -> Any:
        self._http_client.hide = secrets_of(secrets.values)
        body = request(self._login(secrets), control, function, unique=writes)
        headers = {"content-type": "application/xml", "accept": "application/xml"}
        try:
            response = await self._http_client.call(
                "POST", "", writes=writes, content=body.encode(), headers=headers
            )
            return result_of(response, writes=writes)
        except Failure as failed:
            raise failed.reading(self._http_client.clean(failed.message)) from None

    def _login(self, secrets: Secrets) -> Login:
        at, values = self._settings, secrets.values
        return Login(
            at["sender_id"],
            values.get("sender_password", ""),
            at["company_id"],
            at["user_id"],
            values.get("user_password", ""),
            at.get("entity_id") or "",
        )

    async def _read(
        self, name: str, fields: Sequence[str], condition: Any, **paging: Any
    ) -> list[dict[str, str]]:
        function = query(name, fields, condition, **paging)
        found = await self._call(function, self._control_of_read(name), writes=False)
        if not paging and remaining(found):
            raise unreadable(f"a look-up of {name} has more than one page", writes=False)
        return rows_in(found, name)

    def _control_of_read(self, name: str) -> str:
        return key_of(self._ledger, "read", name, str(clock.now().timestamp()))

    async def check(self) -> str:
        """Show the company by a look-up."""
        await self._call(look_up_of_nothing(), self._control_of_read("CUSTOMER"), writes=False)
        entity = self._settings.get("entity_id")
        return (
            f"company {self._settings['company_id']}{f', entity {entity}' if entity else ''},"
            f" as user {self._settings['user_id']}"
        )

    async def renew(self) -> None:
        """Log in with the newest secrets: a login is sent with every call."""
        await self.check()

    async def close(self) -> None:
        """Close the connections."""
        await self._http_client.close()

    # -- customers

    async def _customer_rows(self, customer: Customer) -> Sequence[Row]:
        field, value = (
            ("CUSTOMERID", customer.mapped) if customer.mapped else ("NAME", customer.account_name)
        )
        fields = ["CUSTOMERID", "NAME", "STATUS"]
        return await self._read("CUSTOMER", fields, where("equalto", field, value))

    def _customer(self, row: Row) -> RemoteCustomer:
        an_id = value_in(row, "CUSTOMERID")
        active = str(row.get("STATUS") or "active").lower() in ("active", "t")
        return RemoteCustomer(an_id, active, f"{an_id} {row.get('NAME', '')}".strip())

    async def _add_customer(self, customer: Customer) -> str:
        name, prefix = customer.account_name, self._settings.get("customer_prefix") or ""
        digest = hashlib.sha256(name.encode()).hexdigest()[:10].upper()
        address = [
            element(f"ADDRESS{at}", short(line, 80))
            for at, line in enumerate(customer.address_lines[:3], 1)
        ]
        function = element(
            "create",
            element(
                "CUSTOMER",
                element("CUSTOMERID", prefix + digest) if prefix else None,
                element("NAME", name),
                element(
                    "DISPLAYCONTACT",
                    element("PRINTAS", customer.name or name),
                    element("COMPANYNAME", customer.name or name),
                    element("MAILADDRESS", *address) if address else None,
                ),
                element("STATUS", "active"),
                element("TAXID", customer.tax_id) if customer.tax_id else None,
            ),
        )
        control = key_of(self._ledger, "customer", name)
        made = rows_in(await self._call(function, control, writes=True), "CUSTOMER", writes=True)
        with required_values("the customer that was created", writes=True):
            return str(value_in(made[0], "CUSTOMERID"))

    # -- documents

    def render(self, document: ArDocument, customer: str) -> str:
        """Return the function that creates the document, as XML."""
        require_codes(document, self._spec.line_code)
        require_number_length(document, self._spec)
        folded = with_lines_summed(document, self._most_lines)
        credit = document.kind == "credit-note"
        lines = [self._line(line, -1 if credit else 1) for line in folded.lines]
        if self._settings["tax_as"] == LINES:
            lines += self._tax_lines(document, -1 if credit else 1)
        money = self._money(document)
        if credit:
            return text_of(
                element(
                    "create_aradjustment",
                    element("customerid", customer),
                    day("datecreated", document.invoice_date),
                    element("adjustmentno", document.number),
                    element("action", "Submit"),
                    element("invoiceno", document.corrects[0].number)
                    if len(document.corrects) == 1
                    else None,
                    *money,
                    element("aradjustmentitems", *lines),
                )
            )
        return text_of(
            element(
                "create_invoice",
                element("customerid", customer),
                day("datecreated", document.invoice_date),
                day("datedue", document.due_date),
                element("termname", document.terms) if document.terms else None,
                element("action", "Submit"),
                element("invoiceno", document.number),
                element("ponumber", document.po_number) if document.po_number else None,
                *money,
                element("invoiceitems", *lines),
            )
        )

    def _money(self, document: ArDocument) -> list[Any]:
        """Return currency and tax solution, where they are not the company's own."""
        base, solution = self._settings["base_currency"], self._settings.get("tax_solution")
        parts = []
        if document.currency != base:
            parts += [
                element("basecurr", base),
                element("currency", document.currency),
                element("exchratetype"),
            ]
        if solution:
            parts.append(element("taxsolutionid", solution))
        return parts

    def _line(self, line: Line, sign: int) -> Any:
        entry = None
        if self._settings["tax_as"] == ENTRIES and line.tax:
            tax = format(sign * line.tax_amount, "f")
            parts = element("detailid", line.tax), element("trx_tax", tax)
            entry = element("taxentries", element("taxentry", *parts))
        return self._item(line.account, sign * line.amount, line.description, line.item, entry)

    def _tax_lines(self, document: ArDocument, sign: int) -> list[Any]:
        """Return a line for the tax of each account to which a tax code is mapped."""
        sums: dict[str, Decimal] = {}
        for line in document.lines:
            if line.tax_amount:
                sums[line.tax] = sums.get(line.tax, Decimal(0)) + line.tax_amount
        return [self._item(account, sign * tax, "Tax", "", None) for account, tax in sums.items()]

    def _item(self, account: str, amount: Decimal, memo: str, item: str, entry: Any) -> Any:
        at = self._settings
        return element(
            "lineitem",
            element("glaccountno", account),
            element("amount", format(amount, "f")),
            element("memo", short(memo, MEMO_LENGTH)),
            element("locationid", at["location_id"]) if at.get("location_id") else None,
            element("departmentid", at["department_id"]) if at.get("department_id") else None,
            element("itemid", item) if item else None,
            entry,
        )

    async def _create(self, request: FrozenRequest) -> str:
        made = await self._call(parsed(request.request), request.key, writes=True)
        key = made.findtext("key")
        if not key:
            raise unreadable(f"{request.number} was created without a key", writes=True)
        return str(key)

    async def post(self, remote_id: str, kind: DocumentType) -> RemoteDocument:
        """Refuse: a document is submitted when it is created, and may need an approval there."""
        raise Failure(
            "permanent",
            "not_approved",
            f"{remote_id} is not posted in {self._spec.title}: it waits for an approval there;"
            " approve it, then retry",
        )

    def _document(self, row: Row, kind: DocumentType) -> RemoteDocument:
        sign = -1 if kind == "credit-note" else 1
        due = amount_in(row.get("TRX_TOTALDUE"))
        return RemoteDocument(
            remote_id=value_in(row, "RECORDNO"),
            number=value_in(row, "RECORDID"),
            kind=kind,
            state=STATES[value_in(row, "STATE")],
            currency=row.get("CURRENCY") or "",
            total=sign * finite_decimal(value_in(row, "TRX_TOTALENTERED")),
            customer=value_in(row, "CUSTOMERID"),
            balance=None if due is None else sign * due,
            invoice_date=date_in(row.get("WHENCREATED") or ""),
            changed_at=row.get("WHENMODIFIED") or "",
        )

    async def _by_number(self, kind: DocumentType, numbers: Sequence[str]) -> list[RemoteDocument]:
        found = await self._read(OBJECTS[kind], FIELDS, where("in", "RECORDID", *numbers))
        return await self._documents(found, kind)

    async def _by_id(self, kind: DocumentType, remote_ids: Sequence[str]) -> list[RemoteDocument]:
        known = [each for each in remote_ids if each.isdecimal()]
        if not known:
            return []
        found = await self._read(OBJECTS[kind], FIELDS, where("in", "RECORDNO", *known))
        return await self._documents(found, kind)

    async def _row(self, kind: DocumentType, remote_id: str) -> Row | None:
        if not remote_id.isdecimal():
            return None
        condition = where("equalto", "RECORDNO", remote_id)
        found = await self._read(OBJECTS[kind], FIELDS, condition)
        return found[0] if found else None

    async def _read_home_currency(self) -> str:
        return self._settings["base_currency"]

    async def allocate(self, credit: RemoteDocument, document: ArDocument) -> None:
        """Apply a credit note to its invoices by a payment without money, once for each."""
        account = self._settings.get("payment_account")
        if not account:
            raise Failure(
                "permanent",
                "no_payment_account",
                "a credit memo is applied by a payment, which needs the setting payment_account",
            )
        now = (await self.status("credit-note", [credit.remote_id]))[credit.remote_id]
        if now is None or not now.balance:
            return  # all of it is applied
        for each in document.not_applied(()):
            amount = format(each.amount, "f")
            detail = element(
                "ARPYMTDETAIL",
                element("RECORDKEY", each.remote_id),
                element("ADJUSTMENTKEY", credit.remote_id),
                element("TRX_ADJUSTMENTAMOUNT", amount),
            )
            paid_on = document.invoice_date.strftime("%m/%d/%Y")
            payment = element(
                "ARPYMT",
                element("FINANCIALENTITY", account),
                element("PAYMENTMETHOD", "EFT"),
                element("CUSTOMERID", credit.customer),
                element("DOCNUMBER", document.number),
                element("RECEIPTDATE", paid_on),
                element("CURRENCY", document.currency),
                element("ARPYMTDETAILS", detail),
            )
            control = key_of(self._ledger, "apply", credit.remote_id, each.remote_id)
            try:
                await self._call(element("create", payment), control, writes=True)
            except Failure as failed:
                if failed.failure != "duplicate":  # a duplicate was executed before
                    raise

    # -- payments

    async def payments(self, cursor: str) -> PaymentPage:
        """Return details of payments by the time of their last change. Drafts are no payments."""

        async def read(since: str, page: int) -> Sequence[Row]:
            condition = None
            if since:
                condition = where("greaterthanorequalto", "WHENMODIFIED", as_filter(since))
            return await self._read(
                "ARPYMTDETAIL",
                PAYMENT_FIELDS,
                condition,
                order=("WHENMODIFIED", "RECORDNO"),
                page=page,
                size=PAGE,
            )

        with required_values("a payment in Sage Intacct"):
            found, newest = await changed_rows(
                cursor,
                read,
                lambda row: moment(row["WHENMODIFIED"]),
                page_size=PAGE,
                most_pages=MOST_PAGES,
            )
            paid = [_payment(row) for row in found if _is_payment(row)]
        return PaymentPage(newest, tuple(paid))


def look_up_of_nothing() -> Any:
    """Return a function that every user of ours may call, and that changes nothing."""
    return query("CUSTOMER", ["RECORDNO"], where("equalto", "CUSTOMERID", "-"))


def _is_payment(row: Row) -> bool:
    """Return whether money came in by this detail: it pays an invoice and is no draft."""
    drafted = str(row.get("STATE") or "").upper() in DRAFT_PAYMENTS
    return (
        bool(row.get("RECORDKEY")) and bool(amount_in(row.get("TRX_PAYMENTAMOUNT"))) and not drafted
    )


def _payment(row: Row) -> Payment:
    paid_on = date_in(row.get("PAYMENTDATE") or "") or date_in(value_in(row, "WHENMODIFIED"))
    assert paid_on is not None
    return Payment(
        payment_id=value_in(row, "RECORDNO"),
        remote_id=value_in(row, "RECORDKEY"),
        number="",
        amount=finite_decimal(value_in(row, "TRX_PAYMENTAMOUNT")),
        currency=row.get("CURRENCY") or "",
        paid_on=paid_on,
        cancelled=str(row.get("STATE") or "").upper() in VOIDED_PAYMENTS,
    )


LEDGER = AdapterSpec(
    name="sage-intacct",
    title="Sage Intacct",
    settings=(
        Setting("sender_id", "of the Web Services licence", required=True, binds=True),
        Setting("sender_password", "of the same licence", secret=True, required=True),
        Setting("company_id", "the company", required=True, binds=True),
        Setting("user_id", "a Web Services user of the company", required=True, binds=True),
        Setting("user_password", "of that user", secret=True, required=True),
        Setting("entity_id", "the entity; empty: the top level", default="", binds=True),
        Setting("base_currency", "of the company or entity, as in USD", required=True),
        Setting("location_id", "on each line; multi-entity companies need it", default=""),
        Setting("department_id", "on each line", default=""),
        Setting(
            "tax_as",
            "lines: tax codes are mapped to GL accounts, each gets a line; entries (Australia,"
            " United Kingdom, South Africa): they are mapped to tax details",
            default=LINES,
        ),
        Setting("tax_solution", "name of the tax solution, at the top level", default=""),
        Setting("customer_prefix", "of ids of new customers; empty: numbered there", default=""),
        Setting("payment_account", "bank account by which credit memos are applied", default=""),
        Setting("base_url", "the gateway", default=GATEWAY, binds=True),
        most_lines_setting("account, item and tax"),
    ),
    capabilities=Capabilities(
        request_key=False,
        unique_number=True,
        steps=1,
        concurrency=2,
        request_seconds=120.0,
        server_seconds=900.0,
    ),
    make=SageIntacct,
    allowed_hosts=(".intacct.com",),
    line_code="account",
    number_length=45,
    name_length=100,
    needs="a Web Services licence (sender id) that the company has authorised, and a Web Services"
    " user that may read and add customers, AR invoices, AR adjustments and AR payments",
)
