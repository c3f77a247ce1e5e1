"""Xero, Accounting API 2.0. A PUT creates and never changes, so documents are created by PUT.

A POST would change an invoice of the same number. A number is taken once for invoices and once for
credit notes, and a key is remembered for some time, so no second document can arise. Up to 50
documents go in one call, because a day has 5,000 calls; each has a result of its own.
"""

import re
from collections.abc import Mapping, Sequence
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
from services.arg_sync.ledgers.folding import require_codes, with_lines_summed
from services.arg_sync.ledgers.http_client import Response, exact_json, failure_of
from services.arg_sync.ledgers.lookups import (
    DocumentsByNumber,
    RemoteCustomer,
    Row,
    change_pages,
    choose_customer,
    find_by_number,
    if_there,
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
from shared.terms import DocumentType

BODY_BYTES = 3_000_000
PAGE = 100
PAGES_AT_ONCE = 20
NO_ID = "00000000-0000-0000-0000-000000000000"
STATES: dict[str, RemoteState] = {
    "DRAFT": "draft",
    "SUBMITTED": "draft",
    "AUTHORISED": "posted",
    "PAID": "paid",
    "VOIDED": "voided",
    "DELETED": "voided",
}
PLURAL = {"invoice": "Invoices", "credit-note": "CreditNotes"}
SINGULAR = {"invoice": "Invoice", "credit-note": "CreditNote"}
TYPES = {"invoice": "ACCREC", "credit-note": "ACCRECCREDIT"}
TAKEN = re.compile(r"must be unique|already (exists|been used|in use)", re.IGNORECASE)


class Xero(CloudAdapter):
    """One organisation."""

    def __init__(self, context: AdapterContext) -> None:
        at = context.settings
        self._tenant = {"xero-tenant-id": at["tenant_id"]}
        scope = "accounting.transactions accounting.contacts accounting.settings.read"
        api = ApiSession(
            context,
            at["base_url"],
            at["token_url"],
            refresh_or_client(at["client_id"], scope),
            read_failure,
            hosts=LEDGER.allowed_hosts,
            token_hosts=(".xero.com",),
        )
        super().__init__(context, api)

    async def check(self) -> str:
        """Return the organisation's name and currency."""
        (organisation,) = (await self._get("/Organisation"))["Organisations"]
        name, currency = organisation.get("Name", "?"), organisation.get("BaseCurrency", "?")
        return f"connected to the Xero organisation {name}, base currency {currency}"

    async def customer_for(self, customer: Customer) -> str | None:
        """Look up by ContactID or ContactNumber if mapped, else by Name."""
        if customer.mapped:
            body = await if_there(self._get(f"/Contacts/{quote(customer.mapped, safe='')}"))
            found = [] if body is None else _list(body, "Contacts")
        else:
            where = {
                "where": f'Name=="{_escaped(customer.account_name)}"',
                "includeArchived": "true",
            }
            found = [
                one
                for one in _list(await self._get("/Contacts", where), "Contacts")
                if _same(one.get("Name", ""), customer.account_name)
            ]
        contacts = [
            RemoteCustomer(
                str(one["ContactID"]),
                one.get("ContactStatus", "ACTIVE") == "ACTIVE",
                str(one.get("Name", one["ContactID"])),
            )
            for one in found
        ]
        return choose_customer(contacts, customer)

    async def add_customer(self, customer: Customer) -> str:
        """Create a contact named by its Account Name."""
        contact: dict[str, Any] = {"Name": customer.account_name}
        if customer.tax_id:
            contact["TaxNumber"] = customer.tax_id[:50]
        lines = [line for line in (customer.name, *customer.address.splitlines()) if line]
        if lines:
            numbered = {f"AddressLine{at}": line for at, line in enumerate(lines[:4], 1)}
            contact["Addresses"] = [{"AddressType": "POBOX"} | numbered]
        key = key_of(self._ledger, "customer", customer.account_name)
        body = await self._put("/Contacts", {"Contacts": [contact]}, key)
        try:
            return str(_list(body, "Contacts", writes=True)[0]["ContactID"])
        except LookupError as error:
            what = "the response to a new contact"
            raise incomplete_response(what, error, writes=True) from error

    def render(self, document: ArDocument, customer: str) -> str:
        """Render one element of `Invoices` or `CreditNotes`, with our tax on each line."""
        require_codes(document)
        document = with_lines_summed(document, self._most_lines)
        taxed = any(line.tax for line in document.lines)
        body: dict[str, Any] = {
            "Type": TYPES[document.kind],
            f"{SINGULAR[document.kind]}Number": document.number,
            "Contact": {"ContactID": customer},
            "Date": document.invoice_date.isoformat(),
            "LineAmountTypes": "Exclusive" if taxed else "NoTax",
            "CurrencyCode": document.currency,
            "Status": "AUTHORISED",
            "LineItems": [_line(line, document.currency, taxed) for line in document.lines],
        }
        if document.kind == "invoice":
            body["DueDate"] = document.due_date.isoformat()
        reference = document.po_number or ", ".join(each.number for each in document.corrects)[:255]
        return exact_json(body | ({"Reference": reference} if reference else {}))

    async def create(self, requests: Sequence[FrozenRequest]) -> list[RemoteDocument | Failure]:
        """Create as many as fit into one call; each document has a result of its own."""
        results: dict[str, RemoteDocument | Failure] = {}
        stopped: Failure | None = None
        for part in _parts(requests):
            if stopped is not None:
                message = f"not sent after: {stopped.message}"
                not_sent = Failure("transient", "not_sent", message, everywhere=True)
                results |= {one.key: not_sent for one in part}
                continue
            try:
                results |= await self._create(part)
            except Failure as failed:
                results |= {one.key: failed for one in part}
                stopped = failed if failed.everywhere or failed.failure == "auth" else None
        return [results[one.key] for one in requests]

    async def _create(self, part: Sequence[FrozenRequest]) -> dict[str, RemoteDocument | Failure]:
        plural = PLURAL[part[0].kind]
        key = part[0].key if len(part) == 1 else key_of(*(one.key for one in part))
        content = f'{{"{plural}":[{",".join(one.request for one in part)}]}}'
        options = {"summarizeErrors": "false", "unitdp": "4"}
        try:
            body = await self._put(f"/{plural}", content, key, options)
        except Failure as failed:
            if failed.failure != "permanent" or failed.everywhere or len(part) == 1:
                raise
            # The whole call was refused and nothing was created. Send the documents one by one, so
            # that only the bad one is refused.
            alone: dict[str, RemoteDocument | Failure] = {}
            for one in part:
                try:
                    alone |= await self._create([one])
                except Failure as refused:
                    alone[one.key] = refused
            return alone
        created = {
            str(one.get(f"{SINGULAR[part[0].kind]}Number", "")): one
            for one in _list(body, plural, writes=True)
        }
        return {one.key: _result(created.get(one.number), one) for one in part}

    async def post(self, remote_id: str, kind: DocumentType) -> RemoteDocument:
        """Refuse to post: our documents are authorised at once, so the draft is not ours."""
        found = await self._read_one(kind, remote_id)
        if found is None or found.state != "draft":
            message = f"{remote_id} is no draft any more: it is looked up by our number"
            raise Failure("unknown", "moved", message)
        raise Failure(
            "permanent",
            "foreign_draft",
            f"{found.number} is a draft in Xero that we did not create:"
            " approve or delete it there, then retry",
        )

    async def allocate(self, credit: RemoteDocument, document: ArDocument) -> None:
        """PUT .../Allocations for the invoices to which nothing is allocated yet."""
        path = f"/CreditNotes/{credit.remote_id}"
        (now,) = _list(await self._get(path), "CreditNotes")
        applied = {
            part.get("Invoice", {}).get("InvoiceID")
            for part in now.get("Allocations") or ()
            if not part.get("IsDeleted")
        }
        left = str(now.get("RemainingCredit", ""))
        for each in document.not_applied(applied):
            part = {
                "Amount": each.amount,
                "Date": document.invoice_date.isoformat(),
                "Invoice": {"InvoiceID": each.remote_id},
            }
            key = key_of(self._ledger, credit.remote_id, each.remote_id, str(each.amount), left)
            await self._put(f"{path}/Allocations", {"Allocations": [part]}, key)

    async def discard(self, remote_id: str, kind: DocumentType) -> None:
        """Refuse: we create no drafts."""
        raise no_drafts(remote_id, "Xero")

    async def find(self, kind: DocumentType, numbers: Sequence[str]) -> DocumentsByNumber:
        """Look up by our number, without bills and voided documents."""

        async def read(part: Sequence[str]) -> list[RemoteDocument]:
            if kind == "invoice" and not any("," in number for number in part):
                where = {"InvoiceNumbers": ",".join(part)}
            else:
                name = f"{SINGULAR[kind]}Number"
                where = {"where": " OR ".join(f'{name}=="{_escaped(one)}"' for one in part)}
            return await self._read_many(kind, where, TYPES[kind])

        return await find_by_number(numbers, read)

    async def status(
        self, kind: DocumentType, remote_ids: Sequence[str]
    ) -> dict[str, RemoteDocument | None]:
        """Look up by id, many in one call."""

        async def read(part: Sequence[str]) -> list[RemoteDocument]:
            where = {"IDs": ",".join(part)}
            if kind == "credit-note":
                ids = (f'CreditNoteID==guid("{_escaped(one)}")' for one in part)
                where = {"where": " OR ".join(ids)}
            return await self._read_many(kind, where)

        return await status_by_id(remote_ids, read, lambda an_id: self._read_one(kind, an_id))

    async def _read_many(
        self, kind: DocumentType, where: Mapping[str, str], of_type: str = ""
    ) -> list[RemoteDocument]:
        body = await self._get(f"/{PLURAL[kind]}", where)
        return [
            _document(one, kind)
            for one in _list(body, PLURAL[kind])
            if of_type in ("", one.get("Type"))
        ]

    async def _read_one(self, kind: DocumentType, remote_id: str) -> RemoteDocument | None:
        body = await if_there(self._get(f"/{PLURAL[kind]}/{quote(remote_id, safe='')}"))
        if body is None:
            return None
        (one,) = _list(body, PLURAL[kind])
        return _document(one, kind)

    async def payments(self, cursor: str) -> PaymentPage:
        """Read payments by the time of their last change; the second of the cursor again."""

        async def read(since: str, page: int) -> list[dict[str, Any]]:
            params = {
                "page": str(page + 1),
                "pageSize": str(PAGE),
                "order": "UpdatedDateUTC ASC",
            }
            headers = {"if-modified-since": since} if since else {}
            return _list(await self._get("/Payments", params, headers), "Payments")

        payments: list[Payment] = []
        newest = cursor
        async for page in change_pages(
            cursor, read, _changed_at, page_size=PAGE, most_pages=PAGES_AT_ONCE
        ):
            newest = page.newest
            payments += [
                _payment(one)
                for one in page.rows
                if one.get("PaymentType") == "ACCRECPAYMENT" and one.get("Invoice")
            ]
        return PaymentPage(newest, tuple(payments))

    async def _get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        return await self._api.read(path, params, self._tenant | dict(headers or {}))

    async def _put(
        self, path: str, body: Any, key: str, params: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        return await self._api.write(
            "PUT", path, body, params, self._tenant | {"idempotency-key": key}
        )


def read_failure(response: Response, writes: bool) -> Failure | None:
    """Read the messages in `Elements`; one of them may be that the number is taken."""
    body = object_in(response)
    is_error = response.status < 300 and body.get("ErrorNumber") and body.get("Type")
    if response.status == 400 or is_error:
        messages = _messages(body)
        return Failure(
            "duplicate" if TAKEN.search(messages) else "permanent",
            f"xero_{body.get('ErrorNumber', 400)}",
            messages or response.words,
        )
    problem = response.headers.get("x-rate-limit-problem", "")
    limit = f"the limit for a {problem} is reached" if problem and response.status == 429 else ""
    return failure_of(response, writes=writes, words=limit)


def _messages(body: Mapping[str, Any]) -> str:
    deep = [
        error.get("Message", "")
        for element in body.get("Elements") or ()
        for error in element.get("ValidationErrors") or ()
    ]
    own = [error.get("Message", "") for error in body.get("ValidationErrors") or ()]
    messages = "; ".join(dict.fromkeys(filter(None, deep + own)))
    return messages or str(body.get("Message") or body.get("Detail") or "")


def _result(one: Mapping[str, Any] | None, request: FrozenRequest) -> RemoteDocument | Failure:
    """Return one document of a batch as it is now, or why it was refused."""
    number = request.number
    if one is None:
        return unreadable(f"the response lacks {number}", writes=True)
    refused = one.get("StatusAttributeString") == "ERROR" or one.get("HasErrors")
    if refused or one.get("ValidationErrors"):
        messages = _messages(one) or "refused without a message"
        taken = TAKEN.search(messages)
        return Failure("duplicate" if taken else "permanent", "xero_refused", messages)
    try:
        found = _document(one, request.kind)
    except Failure:
        return unreadable(f"the response for {number} lacks required values", writes=True)
    if found.remote_id == NO_ID:
        return unreadable(f"{number} came back without an id", writes=True)
    return found


def _document(one: Mapping[str, Any], kind: DocumentType) -> RemoteDocument:
    try:
        left = one.get("AmountDue") if kind == "invoice" else one.get("RemainingCredit")
        number = str(one[f"{SINGULAR[kind]}Number"])
        return RemoteDocument(
            remote_id=str(one[f"{SINGULAR[kind]}ID"]),
            number=number,
            kind=kind,
            state=STATES[one["Status"]],
            currency=str(one["CurrencyCode"]),
            total=Decimal(one["Total"]),
            customer=str(one["Contact"]["ContactID"]),
            remote_number=number,
            balance=Decimal(left) if left is not None else None,
            invoice_date=_day(one.get("Date", "")),
            changed_at=_changed_at(one),
        )
    except (LookupError, TypeError, ArithmeticError) as error:
        raise incomplete_response(f"a Xero {kind}", error, writes=False) from error


def _changed_at(one: Row) -> str:
    return _instant(one.get("UpdatedDateUTC", ""))


def _payment(one: Mapping[str, Any]) -> Payment:
    invoice = one["Invoice"]
    day = _day(one.get("Date", ""))
    if day is None:
        raise unreadable(f"payment {one.get('PaymentID')} has no date", writes=False)
    currency, number = str(invoice.get("CurrencyCode", "")), str(invoice.get("InvoiceNumber", ""))
    return Payment(
        str(one["PaymentID"]),
        str(invoice["InvoiceID"]),
        number,
        Decimal(one["Amount"]),
        currency,
        day,
        one.get("Status") == "DELETED",
    )


def _line(line: Line, currency: str, taxed: bool) -> dict[str, Any]:
    quantity, price = line.quantity_and_price(currency)
    coded = {"ItemCode": line.item} if line.item else {}
    coded |= {"AccountCode": line.account} if line.account else {}
    tax = {"TaxType": line.tax or "NONE", "TaxAmount": line.tax_amount} if taxed else {}
    return (
        {
            "Description": line.description[:4000] or "-",
            "Quantity": quantity,
            "UnitAmount": price,
            "LineAmount": line.amount,
        }
        | coded
        | tax
    )


def _parts(requests: Sequence[FrozenRequest]) -> list[list[FrozenRequest]]:
    """Split requests into parts of one kind that fit into one body."""
    parts: list[list[FrozenRequest]] = []
    room = 0
    for one in requests:
        size = len(one.request.encode()) + 1
        if not parts or parts[-1][0].kind != one.kind or size > room:
            parts.append([])
            room = BODY_BYTES
        parts[-1].append(one)
        room -= size
    return parts


def _list(body: Mapping[str, Any], name: str, *, writes: bool = False) -> list[dict[str, Any]]:
    """Return a list of the response; without it the response proves nothing."""
    value = body.get(name)
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise unreadable(f"the response has no {name}", writes=writes)
    return value


def _same(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _instant(text: str) -> str:
    """Return `/Date(1552327126164+0000)/` in ISO form, to the second; "" for another text."""
    found = re.fullmatch(r"/Date\((-?\d+)(?:[+-]\d{4})?\)/", text or "")
    if found is None:
        return ""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(found[1]))).strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )


def _day(text: str) -> date | None:
    instant = _instant(text) or text
    return date.fromisoformat(instant[:10]) if re.match(r"\d{4}-\d\d-\d\d", instant or "") else None


LEDGER = AdapterSpec(
    name="xero",
    title="Xero",
    settings=(
        Setting(
            "tenant_id",
            "the organisation: `tenantId` of GET https://api.xero.com/connections",
            required=True,
            binds=True,
        ),
        Setting("client_id", "of the app at developer.xero.com", required=True, binds=True),
        Setting("client_secret", "of the same app", secret=True, required=True),
        Setting(
            "refresh_token",
            "from the consent of a user of the organisation; leave it out for a custom connection",
            secret=True,
        ),
        Setting(
            "webhook_key",
            "signs webhooks, which have payments read at once:"
            " they go to https://<your host>/webhooks/<connection>",
            secret=True,
        ),
        Setting("base_url", "the API", default="https://api.xero.com/api.xro/2.0", binds=True),
        Setting(
            "token_url",
            "where tokens are renewed",
            default="https://identity.xero.com/connect/token",
            binds=True,
        ),
        most_lines_setting("account, item and tax"),
    ),
    capabilities=Capabilities(
        request_key=True,
        unique_number=True,
        steps=1,
        batch_max=50,
        per_minute=60,
        per_day=5000,
        concurrency=5,
        request_seconds=60.0,
        server_seconds=60.0,
    ),
    make=Xero,
    allowed_hosts=("api.xero.com",),
    needs="an app at developer.xero.com with the scopes offline_access,"
    " accounting.transactions, accounting.contacts and accounting.settings.read",
)
