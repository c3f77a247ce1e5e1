"""QuickBooks Online, Accounting API v3. A repeated `requestid` returns the first response.

A taken number is refused unless the company allows it. An error may come in a 200; the code for a
taken number differs by the age of the account, so the message counts too.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from services.arg_sync.ledgers.adapter import (
    AdapterContext,
    AdapterSpec,
    Capabilities,
    FrozenRequest,
    Setting,
)
from services.arg_sync.ledgers.documents import (
    ArDocument,
    Customer,
    Line,
    Payment,
    PaymentPage,
    RemoteDocument,
)
from services.arg_sync.ledgers.failures import Failure, unreadable
from services.arg_sync.ledgers.folding import (
    require_codes,
    require_number_length,
    short,
    with_lines_summed,
)
from services.arg_sync.ledgers.http_client import Response, exact_json, failure_of
from services.arg_sync.ledgers.lookups import (
    DocumentsByNumber,
    RemoteCustomer,
    Row,
    change_pages,
    choose_customer,
    find_by_number,
    incomplete_response,
    no_drafts,
    status_by_id,
)
from services.arg_sync.ledgers.oauth import refresh_or_client
from services.arg_sync.ledgers.session import (
    ApiSession,
    CloudAdapter,
    key_of,
    most_lines_setting,
    object_in,
)
from shared import clock
from shared.terms import DocumentType

ENTITY = {"invoice": "Invoice", "credit-note": "CreditMemo"}
NUMBER_LENGTH = 21
PAGE = 500
PAGES_AT_ONCE = 10
CHANGES_KEPT = timedelta(days=29)
FIRST_MOMENT = "2000-01-01T00:00:00+00:00"
THROTTLED_SECONDS = 60.0
NUMBER_TAKEN = re.compile(r"duplicate document number", re.IGNORECASE)
NUMBER_TAKEN_CODES = {"6140", "6210"}
NAME_TAKEN = "6240"
AUTH_CODES = {"100", "120", "3200", "6190"}
THROTTLED_CODES = {"003001", "3001"}


class QuickBooks(CloudAdapter):
    """One company."""

    def __init__(self, context: AdapterContext) -> None:
        at = context.settings
        self._realm = at["realm_id"]
        self._at = f"/v3/company/{self._realm}"
        self._usa = at.get("tax_model", "us") == "us"
        api = ApiSession(
            context,
            at["base_url"],
            at["token_url"],
            refresh_or_client(at["client_id"]),
            read_failure,
            hosts=LEDGER.allowed_hosts,
            token_hosts=(".platform.intuit.com",),
        )
        super().__init__(context, api)

    async def check(self) -> str:
        """Return the company's name and country."""
        company = (await self._read(f"/companyinfo/{self._realm}")).get("CompanyInfo", {})
        name, country = company.get("CompanyName", "?"), company.get("Country", "?")
        return f"connected to the QuickBooks company {name} ({country}), realm {self._realm}"

    async def customer_for(self, customer: Customer) -> str | None:
        """Look up by Id if mapped, else by DisplayName; a customer has one currency there."""
        if customer.mapped:
            where = f"Id = '{_quoted(customer.mapped)}' and Active in (true, false)"
            found = await self._query("Customer", where)
        else:
            names = {customer.account_name, _with_currency(customer)}
            listed = ", ".join(f"'{_quoted(name)}'" for name in sorted(names))
            wanted = {name.casefold() for name in names}
            where = f"DisplayName in ({listed}) and Active in (true, false)"
            found = [
                one
                for one in await self._query("Customer", where)
                if str(one.get("DisplayName", "")).casefold() in wanted
                and _bills_in(one, customer.currency)
            ]
        customers = [
            RemoteCustomer(
                str(one["Id"]), one.get("Active", True), str(one.get("DisplayName", one["Id"]))
            )
            for one in found
        ]
        return choose_customer(customers, customer)

    async def add_customer(self, customer: Customer) -> str:
        """Create a customer of that name; append the currency if the name is taken in another."""
        try:
            return await self._add_customer(customer, customer.account_name)
        except Failure as failed:
            if failed.code != f"quickbooks_{NAME_TAKEN}":
                raise
            there = await self.customer_for(customer)
            if there is not None:
                return there
            if not customer.currency:
                raise
            return await self._add_customer(customer, _with_currency(customer))

    async def _add_customer(self, customer: Customer, name: str) -> str:
        body: dict[str, Any] = {
            "DisplayName": name,
            "CompanyName": short(customer.name or customer.account_name, 100),
        }
        if lines := customer.address_lines[:5]:
            body["BillAddr"] = {f"Line{at}": line for at, line in enumerate(lines, 1)}
        if customer.currency:
            body["CurrencyRef"] = {"value": customer.currency}
        # No key: a name is taken once, and an old response could name a deleted customer.
        created = await self._write("/customer", body, "")
        try:
            return str(created["Customer"]["Id"])
        except (LookupError, TypeError) as error:
            what = "the response to a new customer"
            raise incomplete_response(what, error, writes=True) from error

    def render(self, document: ArDocument, customer: str) -> str:
        """Render an Invoice or CreditMemo. The account comes with the item."""
        require_codes(document, needs_item=True, needs_account=False)
        require_number_length(document, NUMBER_LENGTH, "QuickBooks")
        document = with_lines_summed(document, self._most_lines)
        body: dict[str, Any] = {
            "DocNumber": document.number,
            "TxnDate": document.invoice_date.isoformat(),
            "CustomerRef": {"value": customer},
            "CurrencyRef": {"value": document.currency},
            "Line": [self._line(line, document.currency) for line in document.lines],
        }
        if document.kind == "invoice":
            body["DueDate"] = document.due_date.isoformat()
        if document.po_number:
            body["CustomerMemo"] = {"value": f"PO {document.po_number}"}
        if document.corrects:
            body["PrivateNote"] = short(
                "corrects " + ", ".join(each.number for each in document.corrects), 4000
            )
        return exact_json(body | self._tax(document))

    def _line(self, line: Line, currency: str) -> dict[str, Any]:
        quantity, price = line.quantity_and_price(currency)
        code = ("TAX" if line.tax else "NON") if self._usa else line.tax
        detail: dict[str, Any] = {
            "ItemRef": {"value": line.item},
            "Qty": quantity,
            "UnitPrice": price,
        }
        if code:
            detail["TaxCodeRef"] = {"value": code}
        return {
            "Amount": line.amount,
            "Description": short(line.description, 4000),
            "DetailType": "SalesItemLineDetail",
            "SalesItemLineDetail": detail,
        }

    def _tax(self, document: ArDocument) -> dict[str, Any]:
        """Return the tax as we computed it; in the USA a document has one code."""
        codes = sorted({line.tax for line in document.lines if line.tax})
        if not codes:
            return {} if self._usa else {"GlobalTaxCalculation": "NotApplicable"}
        if not self._usa:
            return {
                "GlobalTaxCalculation": "TaxExcluded",
                "TxnTaxDetail": {"TotalTax": document.tax},
            }
        if len(codes) > 1:
            raise Failure(
                "permanent",
                "several_tax_codes",
                f"{document.number} has tax codes {', '.join(codes)}:"
                " in the USA QuickBooks takes one for a document",
            )
        return {"TxnTaxDetail": {"TxnTaxCodeRef": {"value": codes[0]}, "TotalTax": document.tax}}

    async def create(self, requests: Sequence[FrozenRequest]) -> list[RemoteDocument | Failure]:
        """Create one document."""
        (one,) = requests
        entity = ENTITY[one.kind]
        body = await self._write(f"/{entity.lower()}", one.request, one.key)
        try:
            return [_document(body[entity], one.kind)]
        except (LookupError, TypeError, Failure) as error:
            what = f"the response to {one.number}"
            raise incomplete_response(what, error, writes=True) from error

    async def post(self, remote_id: str, kind: DocumentType) -> RemoteDocument:
        """Refuse: there are no drafts."""
        raise no_drafts(remote_id, "QuickBooks")

    async def allocate(self, credit: RemoteDocument, document: ArDocument) -> None:
        """Link the credit memo to its invoices by a payment of nothing."""
        memo = (await self._read(f"/creditmemo/{credit.remote_id}")).get("CreditMemo")
        if not isinstance(memo, dict):
            message = f"credit memo {credit.remote_id} could not be read"
            raise unreadable(message, writes=False)
        linked: set[str] = set()
        for link in memo.get("LinkedTxn") or ():
            if link.get("TxnType") == "Payment":
                payment = (await self._read(f"/payment/{link['TxnId']}")).get("Payment", {})
                linked |= {invoice for invoice, _ in _linked(payment, "Invoice")}
        missing = document.not_applied(linked)
        if not missing:
            return
        amount = sum((each.amount for each in missing), Decimal(0))
        parts = [(each.amount, each.remote_id, "Invoice") for each in missing]
        parts.append((amount, credit.remote_id, "CreditMemo"))
        body = {
            "CustomerRef": {"value": credit.customer},
            "TotalAmt": Decimal(0),
            "CurrencyRef": {"value": document.currency},
            "TxnDate": document.invoice_date.isoformat(),
            "Line": [
                {"Amount": amount, "LinkedTxn": [{"TxnId": an_id, "TxnType": of_type}]}
                for amount, an_id, of_type in parts
            ],
        }
        amounts = (f"{each.remote_id}={each.amount}" for each in missing)
        key = key_of(self._ledger, "apply", credit.remote_id, *amounts)
        await self._write("/payment", body, key)

    async def discard(self, remote_id: str, kind: DocumentType) -> None:
        """Refuse: there are no drafts."""
        raise no_drafts(remote_id, "QuickBooks")

    async def find(self, kind: DocumentType, numbers: Sequence[str]) -> DocumentsByNumber:
        """Look up by DocNumber."""
        return await find_by_number(numbers, lambda part: self._where(kind, "DocNumber", part))

    async def status(
        self, kind: DocumentType, remote_ids: Sequence[str]
    ) -> dict[str, RemoteDocument | None]:
        """Look up by Id, many in one call; only code 610 means that a document is gone."""
        return await status_by_id(
            remote_ids,
            lambda part: self._where(kind, "Id", part),
            lambda an_id: self._read_one(kind, an_id),
        )

    async def _where(
        self, kind: DocumentType, column: str, values: Sequence[str]
    ) -> list[RemoteDocument]:
        listed = ", ".join(f"'{_quoted(value)}'" for value in values)
        found = await self._query(ENTITY[kind], f"{column} in ({listed})")
        return [_document(one, kind) for one in found]

    async def _read_one(self, kind: DocumentType, remote_id: str) -> RemoteDocument | None:
        try:
            body = await self._read(f"/{ENTITY[kind].lower()}/{remote_id}")
            return _document(body[ENTITY[kind]], kind)
        except KeyError as error:
            what = f"the response about {remote_id}"
            raise incomplete_response(what, error, writes=False) from error
        except Failure as failed:
            if failed.code != "quickbooks_610":
                raise
            return None

    async def payments(self, cursor: str) -> PaymentPage:
        """Read payments by the time of their last change, and deleted ones from the change log.

        The change log goes back a month.
        """

        async def read(since: str, page: int) -> list[dict[str, Any]]:
            changed = "MetaData.LastUpdatedTime"
            where = f"{changed} >= '{since or FIRST_MOMENT}' orderby {changed}"
            return await self._query("Payment", where, 1 + page * PAGE)

        payments: list[Payment] = []
        newest = cursor
        async for page in change_pages(
            cursor, read, _changed_at, page_size=PAGE, most_pages=PAGES_AT_ONCE
        ):
            newest = page.newest
            payments += [payment for one in page.rows for payment in _payments_in(one)]
        if cursor:
            payments += await self._deleted_payments(cursor)
        return PaymentPage(newest, tuple(payments))

    async def _deleted_payments(self, cursor: str) -> list[Payment]:
        since = max(datetime.fromisoformat(cursor), clock.now() - CHANGES_KEPT).isoformat()
        log = await self._read("/cdc", {"entities": "Payment", "changedSince": since})
        deleted = [one for one in _changes(log) if one.get("status") == "Deleted"]
        return [
            Payment(
                payment_id=str(one["Id"]),
                remote_id="",
                number="",
                amount=Decimal(0),
                currency="",
                paid_on=datetime.fromisoformat(_changed_at(one) or cursor).date(),
                cancelled=True,
            )
            for one in deleted
        ]

    async def _query(self, entity: str, where: str, start: int = 1) -> list[dict[str, Any]]:
        query = f"select * from {entity} where {where} startposition {start} maxresults {PAGE}"
        body = await self._read("/query", {"query": query})
        if not isinstance(body.get("QueryResponse"), dict):
            message = f"the response to a query of {entity} has no QueryResponse"
            raise unreadable(message, writes=False)
        return list(body["QueryResponse"].get(entity) or ())

    async def _read(self, path: str, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        return await self._api.read(self._at + path, {"minorversion": "75"} | dict(params or {}))

    async def _write(self, path: str, body: Any, key: str) -> dict[str, Any]:
        return await self._api.write(
            "POST",
            self._at + path,
            body,
            {"minorversion": "75"} | ({"requestid": key} if key else {}),
        )


def read_failure(response: Response, writes: bool) -> Failure | None:
    """Read the Fault of a response; it counts whatever the status."""
    body = object_in(response)
    fault = body.get("Fault") or body.get("fault")
    if not isinstance(fault, dict):
        return failure_of(response, writes=writes)
    errors = [
        one for one in fault.get("Error") or fault.get("error") or () if isinstance(one, dict)
    ]
    codes = {str(one.get("code", "")) for one in errors}
    messages = (
        ": ".join(filter(None, (_text(one, "Message"), _text(one, "Detail")))) for one in errors
    )
    message = "; ".join(dict.fromkeys(messages)) or "a fault without a message"
    code = f"quickbooks_{sorted(codes)[0]}" if codes else "quickbooks_fault"
    kind, status, retry_after = (
        str(fault.get("type", "")).lower(),
        response.status,
        response.retry_after,
    )
    if status == 429 or codes & THROTTLED_CODES:
        wait = retry_after or THROTTLED_SECONDS
        return Failure("transient", code, message, retry_after=wait, everywhere=True)
    refused = "authentication" in kind or "authorization" in kind or codes & AUTH_CODES
    if status in (401, 403) or refused:
        return Failure("auth", code, message)
    if NUMBER_TAKEN.search(message) or codes & NUMBER_TAKEN_CODES:
        return Failure("duplicate", code, message)
    if status >= 500 or "system" in kind:
        return Failure("unknown" if writes else "transient", code, message, retry_after=retry_after)
    return Failure("permanent", code, message)


def _text(error: Mapping[str, Any], name: str) -> str:
    return str(error.get(name) or error.get(name.lower()) or "")


def _document(one: Mapping[str, Any], kind: DocumentType) -> RemoteDocument:
    try:
        total = Decimal(one["TotalAmt"])
        left = Decimal(one.get("RemainingCredit", one.get("Balance", total)))
        voided = total == 0 and _is_voided(one)
        return RemoteDocument(
            remote_id=str(one["Id"]),
            number=str(one.get("DocNumber", "")),
            kind=kind,
            state="voided" if voided else "paid" if left == 0 else "posted",
            currency=str(one["CurrencyRef"]["value"]),
            total=total,
            customer=str(one["CustomerRef"]["value"]),
            remote_number=str(one.get("DocNumber", "")),
            balance=left,
            invoice_date=date.fromisoformat(one["TxnDate"]),
            changed_at=_changed_at(one),
        )
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise incomplete_response(f"a QuickBooks {kind}", error, writes=False) from error


def _is_voided(one: Mapping[str, Any]) -> bool:
    return "voided" in str(one.get("PrivateNote", "")).lower()


def _linked(payment: Mapping[str, Any], kind: str) -> list[tuple[str, Decimal]]:
    """Return the documents of a kind that a payment pays or uses, with the amounts."""
    lines = [
        (link, line) for line in payment.get("Line") or () for link in line.get("LinkedTxn") or ()
    ]
    return [
        (str(link["TxnId"]), Decimal(line["Amount"]))
        for link, line in lines
        if link.get("TxnType") == kind
    ]


def _payments_in(one: Mapping[str, Any]) -> list[Payment]:
    """Return the money in a payment by invoice, without the part that credit memos cover."""
    invoices = _linked(one, "Invoice")
    covered = sum((amount for _, amount in _linked(one, "CreditMemo")), Decimal(0))
    on = date.fromisoformat(one["TxnDate"])
    currency = str((one.get("CurrencyRef") or {}).get("value", ""))
    if not invoices and _is_voided(one):
        return [Payment(str(one["Id"]), "", "", Decimal(0), currency, on, cancelled=True)]
    payments = []
    for invoice, amount in invoices:
        by_credit = min(covered, amount)
        covered -= by_credit
        if amount > by_credit:
            payments.append(Payment(str(one["Id"]), invoice, "", amount - by_credit, currency, on))
    return payments


def _changes(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    if not isinstance(body.get("CDCResponse"), list):
        raise unreadable("the change log could not be read", writes=False)
    return [
        one
        for part in body["CDCResponse"]
        for each in part.get("QueryResponse") or ()
        for one in each.get("Payment") or ()
    ]


def _changed_at(one: Row) -> str:
    """Return the time of the last change in UTC."""
    text = str((one.get("MetaData") or {}).get("LastUpdatedTime", ""))
    return datetime.fromisoformat(text).astimezone(UTC).isoformat() if text else ""


def _with_currency(customer: Customer) -> str:
    return (
        f"{customer.account_name} ({customer.currency})"
        if customer.currency
        else customer.account_name
    )


def _bills_in(one: Mapping[str, Any], currency: str) -> bool:
    return not currency or (one.get("CurrencyRef") or {}).get("value", currency) == currency


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")


LEDGER = AdapterSpec(
    name="quickbooks",
    title="QuickBooks Online",
    settings=(
        Setting("realm_id", "the company: `realmId` of the consent", required=True, binds=True),
        Setting("client_id", "of the app at developer.intuit.com", required=True, binds=True),
        Setting("client_secret", "of the same app", secret=True, required=True),
        Setting(
            "refresh_token",
            "from the consent of an administrator of the company",
            secret=True,
            required=True,
        ),
        Setting(
            "webhook_key",
            "the verifier token of webhooks, which have payments read at once:"
            " they go to https://<your host>/webhooks/<connection>",
            secret=True,
        ),
        Setting(
            "tax_model", "us: one tax code a document; global: a tax code a line", default="us"
        ),
        Setting(
            "base_url",
            "the API; https://sandbox-quickbooks.api.intuit.com for a sandbox",
            default="https://quickbooks.api.intuit.com",
            binds=True,
        ),
        Setting(
            "token_url",
            "where tokens are renewed",
            default="https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer",
            binds=True,
        ),
        most_lines_setting("item and tax"),
    ),
    capabilities=Capabilities(
        request_key=True,
        unique_number=True,
        steps=1,
        per_minute=450,
        concurrency=8,
        request_seconds=60.0,
        server_seconds=120.0,
    ),
    make=QuickBooks,
    allowed_hosts=("quickbooks.api.intuit.com", "sandbox-quickbooks.api.intuit.com"),
    needs="an app at developer.intuit.com with the scope com.intuit.quickbooks.accounting",
)
