"""Oracle NetSuite, SuiteTalk REST. Our number is the external id, which is taken once for ever.

A document is created by POST, never by PUT: a PUT on an external id would change an existing
document, even a paid one. So no second document can arise.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
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
from services.arg_sync.ledgers.folding import require_codes, short, with_lines_summed
from services.arg_sync.ledgers.http_client import Response, exact_json, failure_of
from services.arg_sync.ledgers.lookups import (
    DocumentsByNumber,
    RemoteCustomer,
    Row,
    change_pages,
    choose_customer,
    if_there,
    incomplete_response,
    no_drafts,
    read_back,
)
from services.arg_sync.ledgers.oauth import signed_assertion
from services.arg_sync.ledgers.session import (
    ApiSession,
    CloudAdapter,
    key_of,
    most_lines_setting,
    object_in,
)
from shared.terms import DocumentType

RECORD = "/services/rest/record/v1"
QUERY = "/services/rest/query/v1/suiteql"
ENTITY = {"invoice": "invoice", "credit-note": "creditMemo"}
PREFIX = {"invoice": "inv", "credit-note": "crm"}
STRICT = {"x-netsuite-propertynamevalidation": "Error"}
PAGE = 1000
PAGES_AT_ONCE = 10
TAKEN = re.compile(r"already exists|duplicate.{0,40}external ?id", re.IGNORECASE)
TAKEN_CODES = {"DUP_RCRD", "IDEMPOTENCY_ERROR"}
BUSY_CODES = {
    "SSS_REQUEST_LIMIT_EXCEEDED",
    "WS_CONCUR_SESSION_DISALLWD",
    "CONCURRENCY_LIMIT_EXCEEDED",
    "RCRD_HAS_BEEN_CHANGED",
}
FIRST_MOMENT = "2000-01-01 00:00:00"
PAYMENTS = (
    "select t.id as payment, l.previousdoc as invoice, i.externalid as number,"
    " l.foreignamount as amount, to_char(t.trandate, 'YYYY-MM-DD') as paid_on,"
    " t.currency as currency, t.voided as voided,"
    " to_char(t.lastmodifieddate, 'YYYY-MM-DD HH24:MI:SS') as changed"
    " from previoustransactionlinelink l join transaction t on t.id = l.nextdoc"
    " join transaction i on i.id = l.previousdoc"
    " where l.linktype = 'Payment' and t.type = 'CustPymt' and i.type = 'CustInvc'"
    " and t.lastmodifieddate >= to_timestamp('{since}', 'YYYY-MM-DD HH24:MI:SS')"
    " order by t.lastmodifieddate, t.id, l.previousdoc"
)


class NetSuite(CloudAdapter):
    """One account."""

    def __init__(self, context: AdapterContext) -> None:
        at = context.settings
        self._account = at["account_id"]
        self._subsidiary = at.get("subsidiary", "")
        self._currencies = _currencies(at["currencies"])
        account = re.sub(r"[^a-z0-9-]", "", self._account.lower().replace("_", "-"))
        base = at.get("base_url") or f"https://{account}.suitetalk.api.netsuite.com"
        token_url = at.get("token_url") or f"{base}/services/rest/auth/oauth2/v1/token"
        grant = signed_assertion(
            at["client_id"], at["certificate_id"], token_url, "rest_webservices"
        )
        hosts = LEDGER.allowed_hosts
        api = ApiSession(
            context, base, token_url, grant, read_failure, hosts=hosts, token_hosts=hosts
        )
        super().__init__(context, api)

    async def check(self) -> str:
        """Return the number of invoices, which proves that queries are allowed."""
        rows = await self._query(
            "select count(*) as invoices from transaction where type = 'CustInvc'"
        )
        invoices = rows[0].get("invoices", "?") if rows else "?"
        return f"connected to the NetSuite account {self._account}, which holds {invoices} invoices"

    async def customer_for(self, customer: Customer) -> str | None:
        """Look up by internal or external id if mapped, else by company name or entity id."""
        if customer.mapped:
            which = customer.mapped if customer.mapped.isdigit() else f"eid:{customer.mapped}"
            one = await self._read_one("customer", which)
            found = [] if one is None else [(str(one["id"]), not one.get("isInactive"))]
        else:
            name = _quoted(customer.account_name)
            rows = await self._query(
                "select id, isinactive from customer"
                f" where companyname = '{name}' or entityid = '{name}' order by id"
            )
            found = [(str(row["id"]), row.get("isinactive") != "T") for row in rows]
        customers = [RemoteCustomer(an_id, active, an_id) for an_id, active in found]
        return choose_customer(customers, customer)

    async def add_customer(self, customer: Customer) -> str:
        """Create a company of that name; its external id, too, can be created only once."""
        external = f"cust-{key_of(self._ledger, customer.account_name)}"
        body: dict[str, Any] = {
            "companyName": short(customer.account_name, 83),
            "isPerson": False,
            "externalId": external,
        }
        if self._subsidiary:
            body["subsidiary"] = {"id": self._subsidiary}
        if customer.address:
            body["defaultAddress"] = short(customer.address, 999)
        try:
            return await self._create("customer", exact_json(body))
        except Failure as failed:
            if failed.failure != "duplicate":
                raise
        one = await self._read_one("customer", f"eid:{external}")
        if one is None:
            raise Failure(
                "permanent",
                "customer_taken",
                f"NetSuite refuses {customer.account_name} as taken and does not show it:"
                " map the customer",
            )
        return str(one["id"])

    def render(self, document: ArDocument, customer: str) -> str:
        """Render an invoice or credit memo.

        The account comes with the item, the tax with its code.
        """
        require_codes(document, needs_item=True, needs_account=False)
        if document.currency not in self._currencies:
            raise Failure(
                "permanent",
                "no_currency",
                f"{document.currency} is not among the `currencies` of the ledger:"
                " add it (CODE=internal id), then retry",
            )
        document = with_lines_summed(document, self._most_lines)
        body: dict[str, Any] = {
            "externalId": external_id(document.kind, document.number),
            "tranId": document.number,
            "entity": {"id": customer},
            "tranDate": document.invoice_date.isoformat(),
            "currency": {"id": self._currencies[document.currency]},
            "item": {"items": [_line(line, document.currency) for line in document.lines]},
        }
        if document.kind == "invoice":
            body["dueDate"] = document.due_date.isoformat()
        if document.po_number:
            body["otherRefNum"] = short(document.po_number, 45)
        if self._subsidiary:
            body["subsidiary"] = {"id": self._subsidiary}
        return exact_json(body)

    async def create(self, requests: Sequence[FrozenRequest]) -> list[RemoteDocument | Failure]:
        """Create one document and read it, because the response gives only its address."""
        (one,) = requests
        remote_id = await self._create(ENTITY[one.kind], one.request)
        return [await read_back(f"{one.number} was created", self._get(one.kind, remote_id))]

    async def post(self, remote_id: str, kind: DocumentType) -> RemoteDocument:
        """Return the document; refuse if a person must approve it first. There is one step."""
        found = await self._get(kind, remote_id)
        if found is None:
            raise Failure("unknown", "gone", f"there is no {ENTITY[kind]} {remote_id}")
        if found.state == "draft":
            message = f"{found.number} waits for approval in NetSuite: approve it, then retry"
            raise Failure("permanent", "waits_for_approval", message)
        return found

    async def allocate(self, credit: RemoteDocument, document: ArDocument) -> None:
        """Tick the invoices in the credit memo's list of what it is applied to."""
        path = f"{RECORD}/creditMemo/{credit.remote_id}"
        memo = await self._api.read(path, {"expandSubResources": "true"})
        applied = {
            str((one.get("doc") or {}).get("id"))
            for one in (memo.get("apply") or {}).get("items") or ()
            if one.get("apply")
        }
        items = [
            {"doc": {"id": each.remote_id}, "apply": True, "amount": each.amount}
            for each in document.not_applied(applied)
        ]
        if items:
            body = {"apply": {"items": items}}
            await self._api.call("PATCH", path, writes=True, body=body, headers=STRICT)

    async def discard(self, remote_id: str, kind: DocumentType) -> None:
        """Refuse: we create no drafts."""
        raise no_drafts(remote_id, "NetSuite")

    async def find(self, kind: DocumentType, numbers: Sequence[str]) -> DocumentsByNumber:
        """Look up by external id, one by one."""
        found: DocumentsByNumber = {}
        for number in numbers:
            one = await self._get(kind, f"eid:{external_id(kind, number)}")
            found[number] = [one] if one is not None and one.state != "voided" else []
        return found

    async def status(
        self, kind: DocumentType, remote_ids: Sequence[str]
    ) -> dict[str, RemoteDocument | None]:
        """Look up by id, one by one."""
        return {remote_id: await self._get(kind, remote_id) for remote_id in remote_ids}

    async def payments(self, cursor: str) -> PaymentPage:
        """Read payments by the time of their last change. A deleted payment is not in the list.

        A payment of several invoices has several rows. Its rows are summed up again when it changed
        since its first row was read, or when its moment is read again.
        """

        async def read(since: str, page: int) -> list[dict[str, Any]]:
            query = PAYMENTS.format(since=_quoted(since or FIRST_MOMENT))
            return await self._query(query, page * PAGE)

        sums: dict[str, dict[str, Payment]] = {}
        changed: dict[str, str] = {}
        newest = cursor
        async for page in change_pages(
            cursor, read, _changed_at, page_size=PAGE, most_pages=PAGES_AT_ONCE
        ):
            newest = page.newest
            for row in page.rows:
                one, when = self._payment(row), _changed_at(row)
                if changed.setdefault(one.payment_id, when) != when:
                    sums.pop(one.payment_id, None)
                    changed[one.payment_id] = when
                parts = sums.setdefault(one.payment_id, {})
                before = parts.get(one.remote_id)
                parts[one.remote_id] = one if before is None else _sum(before, one)
            if page.restarts:
                for payment_id, when in changed.items():
                    if when == newest:
                        sums.pop(payment_id, None)
        return PaymentPage(newest, tuple(one for parts in sums.values() for one in parts.values()))

    def _payment(self, row: Row) -> Payment:
        try:
            return Payment(
                payment_id=str(row["payment"]),
                remote_id=str(row["invoice"]),
                number=number_in(str(row.get("number") or "")),
                amount=abs(Decimal(str(row["amount"]))),
                currency=self._currency(str(row["currency"])),
                paid_on=date.fromisoformat(row["paid_on"]),
                cancelled=row.get("voided") == "T",
            )
        except (LookupError, ValueError, TypeError, ArithmeticError) as error:
            raise incomplete_response("a NetSuite payment", error, writes=False) from error

    async def _create(self, record: str, body: str) -> str:
        """Create a record and return its id, which is in the address that the response gives."""
        path = f"{RECORD}/{record}"
        response = await self._api.call("POST", path, writes=True, body=body, headers=STRICT)
        found = re.search(rf"/{record}/(\d+)$", response.headers.get("location", ""))
        if found is None:
            raise unreadable(f"the response to a new {record} has no address", writes=True)
        return found[1]

    async def _get(self, kind: DocumentType, which: str) -> RemoteDocument | None:
        one = await self._read_one(ENTITY[kind], which)
        return None if one is None else self._document(one, kind)

    async def _read_one(self, record: str, which: str) -> dict[str, Any] | None:
        return await if_there(self._api.read(f"{RECORD}/{record}/{quote(which, safe=':')}"))

    async def _query(self, query: str, offset: int = 0) -> list[dict[str, Any]]:
        params = {"limit": str(PAGE), "offset": str(offset)}
        response = await self._api.call(
            "POST",
            QUERY,
            writes=False,
            body=json.dumps({"q": query}),
            params=params,
            headers={"prefer": "transient"},
        )
        items = object_in(response).get("items")
        if not isinstance(items, list):
            raise unreadable("the response to a query has no items", writes=False)
        return items

    def _document(self, one: Mapping[str, Any], kind: DocumentType) -> RemoteDocument:
        try:
            left = (
                one.get("amountRemaining")
                if kind == "invoice"
                else one.get("unapplied", one.get("amountRemaining"))
            )
            return RemoteDocument(
                remote_id=str(one["id"]),
                number=number_in(str(one.get("externalId") or "")),
                kind=kind,
                state=_state(one.get("status")),
                currency=self._currency(str(one["currency"]["id"])),
                total=Decimal(one["total"]),
                customer=str(one["entity"]["id"]),
                remote_number=str(one.get("tranId", "")),
                balance=Decimal(left) if left is not None else None,
                invoice_date=date.fromisoformat(one["tranDate"]) if one.get("tranDate") else None,
                changed_at=str(one.get("lastModifiedDate", "")),
            )
        except (LookupError, TypeError, ValueError, ArithmeticError) as error:
            raise incomplete_response(f"a NetSuite {ENTITY[kind]}", error, writes=False) from error

    def _currency(self, internal: str) -> str:
        return next(
            (code for code, known in self._currencies.items() if known == internal), f"#{internal}"
        )


def read_failure(response: Response, writes: bool) -> Failure | None:
    """Read the details of an error."""
    details = [
        one for one in object_in(response).get("o:errorDetails") or () if isinstance(one, dict)
    ]
    if not details:
        return failure_of(response, writes=writes)
    codes = {str(one.get("o:errorCode", "")) for one in details}
    message = "; ".join(dict.fromkeys(str(one.get("detail", "")) for one in details))
    code, status, wait = sorted(codes)[0], response.status, response.retry_after
    if status == 404:
        return Failure("permanent", "http_404", message)
    if status == 429 or codes & BUSY_CODES:
        return Failure("transient", code, message, retry_after=wait, everywhere=True)
    if status in (401, 403) or "INVALID_LOGIN" in codes:
        return Failure("auth", code, message)
    if writes and (codes & TAKEN_CODES or TAKEN.search(message)):
        return Failure("duplicate", code, message)
    failed = failure_of(response, writes=writes, words=message)
    if failed is None or failed.failure == "permanent":
        return Failure("permanent", code, message)
    return failed


def external_id(kind: DocumentType, number: str) -> str:
    """Return our number as an external id: forbidden characters become `_` and their code."""
    coded = re.sub(r"[^A-Za-z0-9-]", lambda found: f"_{ord(found[0]):04x}", number)
    return f"{PREFIX[kind]}-{coded}"


def number_in(external: str) -> str:
    """Return the number in an external id of ours; "" for another id."""
    prefix, _, coded = external.partition("-")
    if prefix not in PREFIX.values():
        return ""
    return re.sub(r"_([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), coded)


def _state(status: Any) -> RemoteState:
    if isinstance(status, dict):
        status = status.get("id") or status.get("refName")
    name = str(status or "").lower().replace(" ", "")
    if "void" in name:
        return "voided"
    if "pending" in name or "rejected" in name:
        return "draft"
    return "paid" if "paid" in name or "fullyapplied" in name else "posted"


def _line(line: Line, currency: str) -> dict[str, Any]:
    quantity, price = line.quantity_and_price(currency)
    tax = {"taxCode": {"id": line.tax}} if line.tax else {}
    amounts = {"quantity": quantity, "price": {"id": "-1"}, "rate": price, "amount": line.amount}
    return {"item": {"id": line.item}, "description": short(line.description, 4000)} | amounts | tax


def _sum(one: Payment, other: Payment) -> Payment:
    return replace(
        one, amount=one.amount + other.amount, cancelled=one.cancelled and other.cancelled
    )


def _changed_at(row: Row) -> str:
    return str(row.get("changed", ""))


def _currencies(text: str) -> dict[str, str]:
    """Return `USD=1,EUR=4` as a dictionary."""
    pairs = [part.partition("=") for part in text.replace(" ", "").split(",") if part]
    if not pairs or not all(
        re.fullmatch(r"[A-Z]{3}", code) and an_id.isdigit() for code, _, an_id in pairs
    ):
        raise Failure(
            "permanent",
            "bad_currencies",
            f"`currencies` is {text!r}: write CODE=internal id, as in USD=1,EUR=4",
            everywhere=True,
        )
    return {code: an_id for code, _, an_id in pairs}


def _quoted(text: str) -> str:
    return text.replace("'", "''")


LEDGER = AdapterSpec(
    name="netsuite",
    title="Oracle NetSuite",
    settings=(
        Setting(
            "account_id",
            "the account, as in the address (123456 or 123456_SB1)",
            required=True,
            binds=True,
        ),
        Setting("client_id", "of the integration record", required=True, binds=True),
        Setting(
            "certificate_id",
            "of the certificate mapped under OAuth 2.0 Client Credentials (M2M) Setup",
            required=True,
            binds=True,
        ),
        Setting(
            "private_key",
            "the private key of that certificate, PEM (RSA or EC P-256)",
            secret=True,
            required=True,
        ),
        Setting("currencies", "currencies by internal id, as in USD=1,EUR=4", required=True),
        Setting("subsidiary", "internal id of the subsidiary (OneWorld accounts)", default=""),
        Setting("base_url", "the API; empty: the account's", default="", binds=True),
        Setting(
            "token_url", "where tokens are requested; empty: the account's", default="", binds=True
        ),
        most_lines_setting("item and tax", "1000"),
    ),
    capabilities=Capabilities(
        request_key=False,
        unique_number=True,
        steps=1,
        concurrency=4,
        request_seconds=180.0,
        server_seconds=900.0,
    ),
    make=NetSuite,
    allowed_hosts=(".suitetalk.api.netsuite.com",),
    needs="REST Web Services and OAuth 2.0 enabled, an integration record with client credentials,"
    " and a role that may edit invoices and customers",
)
