"""QuickBooks Online, Accounting API v3. A repeated `requestid` returns the first response.

A taken number is refused unless the company allows it. An error may come in a 200; the code for a
taken number differs by the age of the account, so the message counts too.

Our tax overrides what QuickBooks would compute: in the USA by its total, elsewhere by a tax line
that names the rate, for a total alone is ignored there.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote

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
    Payment,
    PaymentPage,
    RemoteDocument,
)
from services.arg_sync.ledgers.failures import Failure, unreadable
from services.arg_sync.ledgers.folding import short
from services.arg_sync.ledgers.http_client import Response, failure_of
from services.arg_sync.ledgers.lookups import (
    RemoteCustomer,
    Row,
    amount_in,
    changed_rows,
    day_in,
    list_in,
    read_back,
    required_values,
    value_in,
)
from services.arg_sync.ledgers.oauth import refresh_or_client
from services.arg_sync.ledgers.quickbooks_codes import codes_of, currency_codes
from services.arg_sync.ledgers.quickbooks_taxes import TaxRates, listed, tax_lines
from services.arg_sync.ledgers.session import CloudAdapter, key_of, most_lines_setting, object_in
from shared import clock
from shared.json_text import finite_decimal
from shared.terms import DocumentType

ENTITY = {"invoice": "Invoice", "credit-note": "CreditMemo"}
PAGE = 500
PAGES_AT_ONCE = 10
CHANGES_KEPT = timedelta(days=29)
FIRST_MOMENT = "2000-01-01T00:00:00+00:00"
THROTTLED_SECONDS = 60.0
TAKEN = re.compile(r"duplicate document number", re.IGNORECASE)
TAKEN_CODES = {"6140", "6210", "6240"}
GONE = "quickbooks_610"
AUTH_CODES = {"100", "120", "3200", "6190"}
THROTTLED_CODES = {"003001", "3001"}
NAMED = ("Vendor", "Employee")
"""What a name is shared with: it is taken once over customers, vendors and employees."""
FOR_NAME = "Account Name: "
"""Begins the notes of a customer whose DisplayName is not its Account Name."""


class QuickBooks(CloudAdapter):
    """One company."""

    def __init__(self, context: AdapterContext) -> None:
        at = context.settings
        self._realm = at["realm_id"]
        self._usa = at.get("tax_model", "us") == "us"
        self._rates = TaxRates(self._query)
        super().__init__(
            context,
            LEDGER,
            f"{at['base_url'].rstrip('/')}/v3/company/{self._realm}",
            at["token_url"],
            refresh_or_client(at["client_id"]),
            read_failure,
            token_hosts=(".platform.intuit.com",),
            params={"minorversion": "75"},
        )

    async def check(self) -> str:
        """Return the company's name and country. Refuse the tax model of another country."""
        company = (await self.read(f"/companyinfo/{self._realm}")).get("CompanyInfo", {})
        name, country = company.get("CompanyName", "?"), company.get("Country", "?")
        if country != "?" and (country == "US") != self._usa:
            raise Failure(
                "permanent",
                "other_tax_model",
                f"the QuickBooks company {name} is in {country}, and `tax_model` is"
                f" {'us' if self._usa else 'global'}: connect it again with `tax_model`"
                f" {'global' if self._usa else 'us'}",
                everywhere=True,
            )
        return f"connected to the QuickBooks company {name} ({country}), realm {self._realm}"

    async def codes(self, kind: CodeKind, wanted: Collection[str]) -> Sequence[LedgerCode] | None:
        """Return items, tax codes or currencies; the account comes with the item."""
        if kind == "currency":
            several = (await self._currency_settings()).get("MultiCurrencyEnabled")
            return await currency_codes(await self._home_currency(), bool(several), self._query)
        return await codes_of(kind, wanted, self._query)

    async def _currency_settings(self) -> Row:
        body = await self.read("/preferences")
        with required_values("the preferences of the QuickBooks company"):
            settings: Row = body["Preferences"]["CurrencyPrefs"]
            return settings

    async def _read_home_currency(self) -> str:
        return str((await self._currency_settings())["HomeCurrency"]["value"])

    async def _customer_rows(self, customer: Customer) -> Sequence[Row]:
        """Look up by Id if mapped, else by DisplayName; a customer has one currency there."""
        if customer.mapped:
            found = await self._named("Customer", "Id", customer.mapped)
            for one in found:
                currency = await self._currency_of(one)
                if customer.currency not in ("", currency):
                    raise Failure(
                        "permanent",
                        "wrong_currency",
                        f"customer {customer.mapped}, to which {customer.account_name} is mapped,"
                        f" is billed in {currency} in QuickBooks, the document is in"
                        f" {customer.currency}: map a customer of that currency, then retry",
                    )
            return found
        names = {customer.account_name, _with_currency(customer)}
        found = await self._named("Customer", "DisplayName", *sorted(names))
        with required_values("a customer in QuickBooks"):
            ours = [one for one in found if _account_name(one) == customer.account_name.casefold()]
        wanted = customer.currency
        return [one for one in ours if not wanted or await self._currency_of(one) == wanted]

    async def _named(self, entity: str, column: str, *values: str) -> list[dict[str, Any]]:
        """Return customers, vendors or employees, inactive ones too."""
        where = f"{column} in ({listed(values)}) and Active in (true, false)"
        return await self._query(entity, where)

    async def _currency_of(self, row: Row) -> str:
        """Return the currency of a record: where there is one currency only, it is left out."""
        return _currency(row) or await self._home_currency()

    def _customer(self, row: Row) -> RemoteCustomer:
        an_id = str(value_in(row, "Id"))
        return RemoteCustomer(
            an_id, row.get("Active") is not False, str(row.get("DisplayName") or an_id)
        )

    async def _add_customer(self, customer: Customer) -> str:
        """Create a customer of that name; append the currency if a customer in another has it."""
        names = dict.fromkeys((customer.account_name, _with_currency(customer)))
        if customer.currency and customer.currency != await self._home_currency():
            await self._require_multicurrency(customer)
        for name in names:
            try:
                return await self._add_named(customer, name)
            except Failure as failed:
                if failed.failure != "duplicate":
                    raise
            there = await self.customer_for(customer)
            if there is not None:
                return there
            if not await self._named("Customer", "DisplayName", name):
                break
        for entity in NAMED:
            if await self._named(entity, "DisplayName", name):
                raise Failure(
                    "permanent",
                    "name_taken",
                    f"QuickBooks has the name {name} for {_article(entity)}, and takes a name once"
                    " over customers, vendors and employees: rename one of them there, or create a"
                    f" customer of another name and map {customer.account_name} to it, then retry",
                )
        raise Failure(
            "permanent",
            "name_taken",
            f"QuickBooks refuses the name {name} as taken: map {customer.account_name}"
            " to a customer, then retry",
        )

    async def _require_multicurrency(self, customer: Customer) -> None:
        """Refuse another currency in a company that has only its own."""
        settings = await self._currency_settings()
        if not settings.get("MultiCurrencyEnabled"):
            raise Failure(
                "permanent",
                "one_currency",
                f"the QuickBooks company has {await self._home_currency()} only and"
                f" {customer.account_name} is billed in {customer.currency}:"
                " turn multicurrency on in QuickBooks, then retry",
            )

    async def _add_named(self, customer: Customer, name: str) -> str:
        body: dict[str, Any] = {
            "DisplayName": name,
            "CompanyName": short(" ".join((customer.name or customer.account_name).split()), 100),
        }
        if name != customer.account_name:
            body["Notes"] = FOR_NAME + customer.account_name
        if lines := customer.address_lines[:5]:
            body["BillAddr"] = {f"Line{at}": line for at, line in enumerate(lines, 1)}
        if customer.currency:
            body["CurrencyRef"] = {"value": customer.currency}
        # No key: a name is taken once, and an old response could name a deleted customer.
        created = await self.write("POST", "/customer", body)
        with required_values("the response to a new customer", writes=True):
            return str(value_in(created, "Customer", "Id"))

    def _body(self, document: ArDocument, customer: str) -> dict[str, Any]:
        """Render an Invoice or CreditMemo. The account comes with the item."""
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
            numbers = ", ".join(each.number for each in document.corrects)
            body["PrivateNote"] = short(f"corrects {numbers}", 4000)
        return body | self._tax(document)

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
        """Return the tax as we computed it.

        In the USA a document has one code. Elsewhere each line has one, and `create` replaces the
        code of a tax line by its rates.
        """
        codes = sorted({line.tax for line in document.lines if line.tax})
        if not codes:
            return {} if self._usa else {"GlobalTaxCalculation": "NotApplicable"}
        if not self._usa:
            bare = [line for line in document.lines if not line.tax]
            if bare:
                raise Failure(
                    "permanent",
                    "line_without_tax_code",
                    f"line {bare[0].line_no} of {document.number} has no tax code, and outside the"
                    " USA QuickBooks takes a document with a tax code on each line or on none: map"
                    " tax with an empty code to its code for untaxed lines, then retry",
                )
            return {
                "GlobalTaxCalculation": "TaxExcluded",
                "TxnTaxDetail": {"TotalTax": document.tax, "TaxLine": tax_lines(document)},
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
        """Create one document; the response is the document."""
        (one,) = requests
        path, key = f"/{ENTITY[one.kind].lower()}", {"requestid": one.key}
        body = await self.write("POST", path, await self._rates.in_request(one), key)
        return [await read_back(f"{one.number} was created", self._in(body, one.kind))]

    async def _in(self, body: Row, kind: DocumentType) -> RemoteDocument:
        with required_values("the response"):
            row = value_in(body, ENTITY[kind])
        return (await self._documents([row], kind))[0]

    async def allocate(self, credit: RemoteDocument, document: ArDocument) -> None:
        """Link the credit memo to its invoices by a payment of nothing."""
        body = await self.read(f"/creditmemo/{credit.remote_id}")
        with required_values(f"credit memo {credit.remote_id}"):
            links = body["CreditMemo"].get("LinkedTxn") or ()
            payments = [
                value_in(link, "TxnId") for link in links if value_in(link, "TxnType") == "Payment"
            ]
        linked: set[str] = set()
        for payment in payments:
            body = await self.read(f"/payment/{payment}")
            with required_values(f"payment {payment}"):
                linked |= {invoice for invoice, _ in _linked(value_in(body, "Payment"), "Invoice")}
        missing = document.not_applied(linked)
        if not missing:
            return
        amount = sum((each.amount for each in missing), Decimal(0))
        parts = [(each.amount, each.remote_id, "Invoice") for each in missing]
        parts.append((amount, credit.remote_id, "CreditMemo"))
        request = {
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
        await self.write("POST", "/payment", request, {"requestid": key})

    async def _by_number(self, kind: DocumentType, numbers: Sequence[str]) -> list[RemoteDocument]:
        found = await self._query(ENTITY[kind], f"DocNumber in ({listed(numbers)})")
        return await self._documents(found, kind)

    async def _by_id(self, kind: DocumentType, remote_ids: Sequence[str]) -> list[RemoteDocument]:
        found = await self._query(ENTITY[kind], f"Id in ({listed(remote_ids)})")
        return await self._documents(found, kind)

    async def _row(self, kind: DocumentType, remote_id: str) -> Row | None:
        """Read a document; only code 610 means that it is gone."""
        try:
            body = await self.read(f"/{ENTITY[kind].lower()}/{quote(remote_id, safe='')}")
        except Failure as failed:
            if failed.code != GONE:
                raise
            return None
        with required_values(f"the response about {remote_id}"):
            row: Row = value_in(body, ENTITY[kind])
            return row

    def _document(self, row: Row, kind: DocumentType) -> RemoteDocument:
        total = finite_decimal(value_in(row, "TotalAmt"))
        credit = amount_in(row.get("RemainingCredit"))
        left = credit if credit is not None else amount_in(row.get("Balance"))
        left = total if left is None else left
        voided = total == 0 and _is_voided(row)
        return RemoteDocument(
            remote_id=str(value_in(row, "Id")),
            number=str(row.get("DocNumber") or ""),
            kind=kind,
            state="voided" if voided else "paid" if left == 0 else "posted",
            currency=_currency(row),
            total=total,
            customer=str(value_in(row, "CustomerRef", "value")),
            remote_number=str(row.get("DocNumber") or ""),
            balance=left,
            invoice_date=day_in(row.get("TxnDate")),
            changed_at=_changed_at(row),
            tax=amount_in((row.get("TxnTaxDetail") or {}).get("TotalTax")),
        )

    async def payments(self, cursor: str) -> PaymentPage:
        """Read payments by the time of their last change, and deleted ones from the change log.

        The change log goes back a month.
        """

        async def read(since: str, page: int) -> list[dict[str, Any]]:
            changed = "MetaData.LastUpdatedTime"
            where = f"{changed} >= '{since or FIRST_MOMENT}' orderby {changed}"
            return await self._query("Payment", where, 1 + page * PAGE)

        rows, newest = await changed_rows(
            cursor, read, _changed_at, page_size=PAGE, most_pages=PAGES_AT_ONCE
        )
        currencies = [await self._currency_of(one) for one in rows]
        with required_values("a payment in QuickBooks"):
            parts = map(_payments_in, rows, currencies)
            payments = [payment for part in parts for payment in part]
        if cursor:
            payments += await self._deleted_payments(cursor)
        return PaymentPage(newest, tuple(payments))

    async def _deleted_payments(self, cursor: str) -> list[Payment]:
        since = max(datetime.fromisoformat(cursor), clock.now() - CHANGES_KEPT).isoformat()
        log = await self.read("/cdc", {"entities": "Payment", "changedSince": since})
        with required_values("the change log of QuickBooks"):
            return [
                Payment(
                    payment_id=str(value_in(one, "Id")),
                    remote_id="",
                    number="",
                    amount=Decimal(0),
                    currency="",
                    paid_on=datetime.fromisoformat(_changed_at(one) or cursor).date(),
                    cancelled=True,
                )
                for part in list_in(log, "CDCResponse")
                for each in part.get("QueryResponse") or ()
                for one in each.get("Payment") or ()
                if one.get("status") == "Deleted"
            ]

    async def _query(self, entity: str, where: str, start: int = 1) -> list[dict[str, Any]]:
        query = f"select * from {entity} where {where} startposition {start} maxresults {PAGE}"
        body = (await self.read("/query", {"query": query})).get("QueryResponse")
        if not isinstance(body, dict):
            raise unreadable(
                f"the response to a query of {entity} has no QueryResponse", writes=False
            )
        return list_in({entity: body.get(entity) or []}, entity)


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
    if TAKEN.search(message) or codes & TAKEN_CODES:
        return Failure("duplicate", code, message)
    if status >= 500 or "system" in kind:
        return Failure("unknown" if writes else "transient", code, message, retry_after=retry_after)
    return Failure("permanent", code, message)


def _text(error: Mapping[str, Any], name: str) -> str:
    return str(error.get(name) or error.get(name.lower()) or "")


def _is_voided(one: Mapping[str, Any]) -> bool:
    return "voided" in str(one.get("PrivateNote") or "").lower()


def _linked(payment: Mapping[str, Any], kind: str) -> list[tuple[str, Decimal]]:
    """Return the documents of a kind that a payment pays or uses, with the amounts."""
    lines = [
        (link, line) for line in payment.get("Line") or () for link in line.get("LinkedTxn") or ()
    ]
    return [
        (str(value_in(link, "TxnId")), finite_decimal(value_in(line, "Amount")))
        for link, line in lines
        if value_in(link, "TxnType") == kind
    ]


def _payments_in(one: Row, currency: str) -> list[Payment]:
    """Return the money in a payment by invoice, without the part that credit memos cover."""
    invoices = _linked(one, "Invoice")
    covered = sum((amount for _, amount in _linked(one, "CreditMemo")), Decimal(0))
    on = date.fromisoformat(value_in(one, "TxnDate"))
    if not invoices and _is_voided(one):
        return [Payment(str(value_in(one, "Id")), "", "", Decimal(0), currency, on, cancelled=True)]
    payments = []
    for invoice, amount in invoices:
        by_credit = min(covered, amount)
        covered -= by_credit
        if amount > by_credit:
            payments.append(
                Payment(str(value_in(one, "Id")), invoice, "", amount - by_credit, currency, on)
            )
    return payments


def _changed_at(one: Row) -> str:
    """Return the time of the last change in UTC."""
    text = str((one.get("MetaData") or {}).get("LastUpdatedTime") or "")
    return datetime.fromisoformat(text).astimezone(UTC).isoformat() if text else ""


def _with_currency(customer: Customer) -> str:
    return (
        f"{customer.account_name} ({customer.currency})"
        if customer.currency
        else customer.account_name
    )


def _account_name(row: Row) -> str:
    """Return the case-folded Account Name of a customer: its name, unless its notes give it."""
    notes, name = str(row.get("Notes") or ""), str(value_in(row, "DisplayName"))
    return (notes.removeprefix(FOR_NAME) if notes.startswith(FOR_NAME) else name).casefold()


def _currency(row: Row) -> str:
    """Return the currency that a record names, "" if none: QuickBooks needs multicurrency on."""
    return str((row.get("CurrencyRef") or {}).get("value") or "")


def _article(entity: str) -> str:
    return f"{'an' if entity[0] in 'AEIOU' else 'a'} {entity.lower()}"


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
        correction="edit its tax in QuickBooks",
    ),
    make=QuickBooks,
    allowed_hosts=("quickbooks.api.intuit.com", "sandbox-quickbooks.api.intuit.com"),
    line_code="item",
    number_length=21,
    name_length=500,
    name_without=":\t\r\n",
    needs="an app at developer.intuit.com with the scope com.intuit.quickbooks.accounting",
)
