"""Xero, Accounting API 2.0. A PUT creates and never changes, so documents are created by PUT.

A POST would change an invoice of the same number. A number is taken once for invoices and once for
credit notes, and a key is remembered for some time, so no second document can arise. Up to 50
documents go in one call, because a day has 5,000 calls; each has a result of its own.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
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
    RemoteState,
)
from services.arg_sync.ledgers.failures import Failure, unreadable
from services.arg_sync.ledgers.folding import short
from services.arg_sync.ledgers.http_client import Response, failure_of
from services.arg_sync.ledgers.lookups import (
    RemoteCustomer,
    Row,
    amount_in,
    changed_rows,
    if_there,
    list_in,
    required_values,
    value_in,
)
from services.arg_sync.ledgers.oauth import refresh_or_client
from services.arg_sync.ledgers.session import CloudAdapter, key_of, most_lines_setting, object_in
from shared.json_text import finite_decimal
from shared.terms import DocumentType

BODY_BYTES = 3_000_000
SCOPES = "accounting.invoices accounting.payments accounting.contacts accounting.settings.read"
OLD_SCOPES = "accounting.transactions accounting.contacts accounting.settings.read"
"""Of apps made before 2 March 2026, until September 2027."""
PAGE = 100
TAX_ID_LENGTH = 50
PAGES_AT_ONCE = 20
NO_ID = "00000000-0000-0000-0000-000000000000"
GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
NOT_IN_FILTERS = re.compile(r'["\\]')
"""Characters of a text that a `where` cannot hold: Xero refuses it whatever escapes them."""
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
CODES: Mapping[CodeKind, tuple[str, str]] = {
    "account": ("Accounts", "Code"),
    "item": ("Items", "Code"),
    "tax": ("TaxRates", "TaxType"),
    "currency": ("Currencies", "Code"),
}
"""The lists of codes, and the field that holds the code."""
TAKEN = re.compile(r"must be unique|already (exists|been used|in use)", re.IGNORECASE)


class Xero(CloudAdapter):
    """One organisation."""

    def __init__(self, context: AdapterContext) -> None:
        at = context.settings
        super().__init__(
            context,
            LEDGER,
            at["base_url"],
            at["token_url"],
            refresh_or_client(at["client_id"], at.get("scope") or SCOPES),
            read_failure,
            token_hosts=(".xero.com",),
            headers={"xero-tenant-id": at["tenant_id"]},
        )

    async def check(self) -> str:
        """Return the organisation's name and currency."""
        organisation = await self._organisation()
        name, currency = organisation.get("Name", "?"), organisation.get("BaseCurrency", "?")
        return f"connected to the Xero organisation {name}, base currency {currency}"

    async def codes(self, kind: CodeKind, wanted: Collection[str]) -> Sequence[LedgerCode] | None:
        """Return all codes of a kind; documents have no code for their terms."""
        if kind not in CODES:
            return None
        plural, field = CODES[kind]
        rows = list_in(await self.read(f"/{plural}"), plural)
        return [
            LedgerCode(str(row[field]), str(row.get("Name") or ""), _no_use(kind, row))
            for row in rows
            if row.get(field)
        ]

    async def _organisation(self) -> Row:
        found = list_in(await self.read("/Organisation"), "Organisations")
        return found[0] if found else {}

    async def _read_home_currency(self) -> str:
        return str((await self._organisation())["BaseCurrency"])

    async def _customer_rows(self, customer: Customer) -> Sequence[Row]:
        """Look up by ContactID or ContactNumber if mapped, else by Name."""
        name = customer.account_name
        if customer.mapped:
            body = await if_there(self.read(f"/Contacts/{quote(customer.mapped, safe='')}"))
            return [] if body is None else list_in(body, "Contacts")
        if NOT_IN_FILTERS.search(name):
            found = await self._contacts_with(name)
        else:
            where = {"where": f'Name=="{name}"', "includeArchived": "true"}
            found = list_in(await self.read("/Contacts", where), "Contacts")
        return [one for one in found if _same(str(one.get("Name") or ""), name)]

    async def _contacts_with(self, name: str) -> list[dict[str, Any]]:
        """Search for the longest part of a name that no filter can hold; refuse too many hits."""
        part = max((each.strip() for each in NOT_IN_FILTERS.split(name)), key=len)
        found: list[dict[str, Any]] = []
        for page in range(1, PAGES_AT_ONCE + 1 if part else 1):
            params = {"searchTerm": part, "page": str(page), "pageSize": str(PAGE)}
            body = await self.read("/Contacts", params | {"includeArchived": "true"})
            rows = list_in(body, "Contacts")
            found += rows
            if len(rows) < PAGE:
                return found
        raise Failure(
            "permanent",
            "name_not_possible",
            f"{name} has a double quote or a backslash, which no filter of Xero takes, and a search"
            f" for {part!r} has too many results: map the customer, then retry",
        )

    def _customer(self, row: Row) -> RemoteCustomer:
        an_id, active = (
            str(value_in(row, "ContactID")),
            (row.get("ContactStatus") or "ACTIVE") == "ACTIVE",
        )
        return RemoteCustomer(an_id, active, str(row.get("Name") or an_id))

    async def _add_customer(self, customer: Customer) -> str:
        """Create a contact named by its Account Name."""
        contact: dict[str, Any] = {"Name": customer.account_name}
        if 0 < len(customer.tax_id) <= TAX_ID_LENGTH:  # cut, it would be another one
            contact["TaxNumber"] = customer.tax_id
        lines = [line for line in (customer.name, *customer.address.splitlines()) if line]
        if lines:
            numbered = {f"AddressLine{at}": line for at, line in enumerate(lines[:4], 1)}
            contact["Addresses"] = [{"AddressType": "POBOX"} | numbered]
        key = key_of(self._ledger, "customer", customer.account_name)
        body = await self._put("/Contacts", {"Contacts": [contact]}, key)
        with required_values("the response to a new contact", writes=True):
            return str(value_in(list_in(body, "Contacts", writes=True)[0], "ContactID"))

    def _body(self, document: ArDocument, customer: str) -> dict[str, Any]:
        """Render one element of `Invoices` or `CreditNotes`, with our tax on each line."""
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
        reference = document.po_number or ", ".join(each.number for each in document.corrects)
        return body | ({"Reference": short(reference, 255)} if reference else {})

    async def create(self, requests: Sequence[FrozenRequest]) -> list[RemoteDocument | Failure]:
        """Create as many as fit into one call; each document has a result of its own."""
        results: dict[str, RemoteDocument | Failure] = {}
        stopped: Failure | None = None
        for part in _parts(requests):
            if stopped is not None:
                not_sent = Failure(
                    "transient", "not_sent", f"not sent after: {stopped.message}", everywhere=True
                )
                results |= {one.key: not_sent for one in part}
                continue
            try:
                results |= await self._create_part(part)
            except Failure as failed:
                results |= {one.key: failed for one in part}
                stopped = failed if failed.everywhere or failed.failure == "auth" else None
        return [results[one.key] for one in requests]

    async def _create_part(
        self, part: Sequence[FrozenRequest]
    ) -> dict[str, RemoteDocument | Failure]:
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
                    alone |= await self._create_part([one])
                except Failure as refused:
                    alone[one.key] = refused
            return alone
        rows = list_in(body, plural, writes=True)
        created = {str(row.get(f"{SINGULAR[part[0].kind]}Number") or ""): row for row in rows}
        return {one.key: await self._result(created.get(one.number), one) for one in part}

    async def _result(self, row: Row | None, request: FrozenRequest) -> RemoteDocument | Failure:
        """Return one document of a batch as it is now, or why it was refused."""
        number = request.number
        if row is None:
            return unreadable(f"the response lacks {number}", writes=True)
        refused = row.get("StatusAttributeString") == "ERROR" or row.get("HasErrors")
        if refused or row.get("ValidationErrors"):
            messages = _messages(row) or "refused without a message"
            taken = TAKEN.search(messages)
            return Failure("duplicate" if taken else "permanent", "xero_refused", messages)
        try:
            (found,) = await self._documents([row], request.kind)
        except Failure as failed:
            return unreadable(f"the response for {number}: {failed.message}", writes=True)
        if found.remote_id == NO_ID:
            return unreadable(f"{number} came back without an id", writes=True)
        return found

    async def post(self, remote_id: str, kind: DocumentType) -> RemoteDocument:
        """Refuse to post: our documents are authorised at once, so the draft is not ours."""
        found = await self._one(kind, remote_id)
        if found is None or found.state != "draft":
            raise Failure(
                "unknown",
                "moved",
                f"{remote_id} is no draft any more: it is looked up by our number",
            )
        raise Failure(
            "permanent",
            "foreign_draft",
            f"{found.number} is a draft in Xero that we did not create:"
            " approve or delete it there, then retry",
        )

    async def allocate(self, credit: RemoteDocument, document: ArDocument) -> None:
        """PUT .../Allocations for the invoices to which nothing is allocated yet."""
        path = f"/CreditNotes/{credit.remote_id}"
        body = await self.read(path)
        with required_values(f"credit note {credit.number} in Xero"):
            now = list_in(body, "CreditNotes")[0]
            applied = {
                value_in(part, "Invoice", "InvoiceID")
                for part in now.get("Allocations") or ()
                if not part.get("IsDeleted")
            }
        left = str(now.get("RemainingCredit") or "")
        for each in document.not_applied(applied):
            part = {
                "Amount": each.amount,
                "Date": document.invoice_date.isoformat(),
                "Invoice": {"InvoiceID": each.remote_id},
            }
            key = key_of(self._ledger, credit.remote_id, each.remote_id, str(each.amount), left)
            await self._put(f"{path}/Allocations", {"Allocations": [part]}, key)

    async def _by_number(self, kind: DocumentType, numbers: Sequence[str]) -> list[RemoteDocument]:
        """Look up by our number, without bills."""
        where = {"InvoiceNumbers": ",".join(numbers)}
        if kind == "credit-note":
            where = {"where": " OR ".join(f'CreditNoteNumber=="{one}"' for one in numbers)}
        return await self._where(kind, where, TYPES[kind])

    async def _by_id(self, kind: DocumentType, remote_ids: Sequence[str]) -> list[RemoteDocument]:
        ids = [an_id for an_id in remote_ids if GUID.fullmatch(an_id)]
        where = {"IDs": ",".join(ids)}
        if kind == "credit-note":
            where = {"where": " OR ".join(f'CreditNoteID==guid("{an_id}")' for an_id in ids)}
        return await self._where(kind, where) if ids else []

    async def _where(
        self, kind: DocumentType, where: Mapping[str, str], of_type: str = ""
    ) -> list[RemoteDocument]:
        rows = list_in(await self.read(f"/{PLURAL[kind]}", where), PLURAL[kind])
        with required_values(f"a document ({kind}) in Xero"):
            rows = [row for row in rows if of_type in ("", value_in(row, "Type"))]
        return await self._documents(rows, kind)

    async def _row(self, kind: DocumentType, remote_id: str) -> Row | None:
        body = await if_there(self.read(f"/{PLURAL[kind]}/{quote(remote_id, safe='')}"))
        with required_values(f"the response about {remote_id}"):
            return None if body is None else list_in(body, PLURAL[kind])[0]

    def _document(self, row: Row, kind: DocumentType) -> RemoteDocument:
        number = str(value_in(row, f"{SINGULAR[kind]}Number"))
        return RemoteDocument(
            remote_id=str(value_in(row, f"{SINGULAR[kind]}ID")),
            number=number,
            kind=kind,
            state=STATES[row["Status"]],
            currency=str(row.get("CurrencyCode") or ""),
            total=finite_decimal(value_in(row, "Total")),
            customer=str(value_in(row, "Contact", "ContactID")),
            remote_number=number,
            balance=amount_in(row.get("AmountDue" if kind == "invoice" else "RemainingCredit")),
            invoice_date=_day(row.get("Date") or ""),
            changed_at=_changed_at(row),
            tax=amount_in(row.get("TotalTax")),
        )

    async def payments(self, cursor: str) -> PaymentPage:
        """Read payments by the time of their last change; the second of the cursor again."""

        async def read(since: str, page: int) -> list[dict[str, Any]]:
            params = {"page": str(page + 1), "pageSize": str(PAGE), "order": "UpdatedDateUTC ASC"}
            headers = {"if-modified-since": since} if since else {}
            return list_in(await self.read("/Payments", params, headers), "Payments")

        rows, newest = await changed_rows(
            cursor, read, _changed_at, page_size=PAGE, most_pages=PAGES_AT_ONCE
        )
        with required_values("a payment in Xero"):
            ours = [
                one for one in rows if one.get("Invoice") and _payment_type(one) == "ACCRECPAYMENT"
            ]
            return PaymentPage(newest, tuple(map(_payment, ours)))

    async def _put(
        self, path: str, body: Any, key: str, params: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        return await self.write("PUT", path, body, params, {"idempotency-key": key})


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


def _no_use(kind: CodeKind, row: Row) -> str:
    """Return why a line of a sales document may not have this code."""
    if row.get("Status") not in (None, "ACTIVE"):
        return f"is {str(row['Status']).lower()}"
    if row.get("Type") == "BANK":
        return "is a bank account"
    if row.get("SystemAccount") in ("DEBTORS", "CREDITORS"):
        return "is a control account"
    if kind == "item" and row.get("IsSold") is False:
        return "is not for sale"
    return "is not for revenue" if row.get("CanApplyToRevenue") is False else ""


def _changed_at(one: Row) -> str:
    return _instant(one.get("UpdatedDateUTC") or "")


def _payment_type(one: Row) -> str:
    return str(one.get("PaymentType") or f"{value_in(one, 'Invoice', 'Type')}PAYMENT")


def _payment(one: Row) -> Payment:
    invoice, day = value_in(one, "Invoice"), _day(value_in(one, "Date"))
    if day is None:
        raise ValueError(f"Date {one['Date']!r}")
    return Payment(
        str(value_in(one, "PaymentID")),
        str(value_in(invoice, "InvoiceID")),
        str(invoice.get("InvoiceNumber") or ""),
        finite_decimal(value_in(one, "Amount")),
        str(invoice.get("CurrencyCode") or ""),
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
            "Description": short(line.description, 4000) or "-",
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


def _same(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()


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
            "scope",
            "what a custom connection asks for; an app made before March 2026 has until September"
            f" 2027: {OLD_SCOPES}",
            default=SCOPES,
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
        correction="edit it in Xero",
    ),
    make=Xero,
    allowed_hosts=("api.xero.com",),
    number_length=255,
    name_length=255,
    needs="an app at developer.xero.com with the scopes offline_access, "
    + ", ".join(SCOPES.split()),
)
