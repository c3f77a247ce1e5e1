"""Oracle NetSuite, SuiteTalk REST. Our number is the external id, which is taken once for ever.

A document is created by POST, never by PUT: a PUT on an external id would change an existing
document, even a paid one. So no second document can arise.

REST web services know no tax but SuiteTax. Its details are given line by line and override what
NetSuite would compute.
"""

import json
import re
import time
from collections.abc import Collection, Sequence
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
    Secrets,
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
    day_in,
    if_there,
    list_in,
    required_values,
    value_in,
)
from services.arg_sync.ledgers.netsuite_codes import NO_ID, codes_of
from services.arg_sync.ledgers.oauth import signed_assertion
from services.arg_sync.ledgers.session import CloudAdapter, key_of, most_lines_setting, object_in
from shared.json_text import finite_decimal
from shared.terms import DocumentType

RECORD = "/record/v1"
QUERY = "/query/v1/suiteql"
SCHEMA = {"accept": "application/schema+json"}
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
BAD_LOGIN = "INVALID_LOGIN"
RENEWED_SECONDS = 600.0
"""How long a refusal after a renewal counts as too many calls; later the token is renewed again."""
STATES: dict[str, RemoteState] = {
    "A": "posted",
    "B": "paid",
    "D": "draft",
    "E": "draft",
    "V": "voided",
}
"""`status.id`: open, paid in full or fully applied, pending approval, rejected, voided."""
ADDRESS_LINES, ADDRESS_LENGTH = 3, 150
FIRST_MOMENT = "2000-01-01 00:00:00"
PAYMENTS = (
    "select t.id as payment, l.previousdoc as invoice, i.externalid as number,"
    " l.foreignamount as amount, to_char(t.trandate, 'YYYY-MM-DD') as paid_on,"
    "{currency} t.voided as voided,"
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
        self._codes = {an_id: code for code, an_id in self._currencies.items()}
        self._tax_types: dict[str, str] = {}
        self._refused, self._refused_at = "", 0.0
        account = re.sub(r"[^a-z0-9-]", "", self._account.lower().replace("_", "-"))
        base = at.get("base_url") or f"https://{account}.suitetalk.api.netsuite.com"
        base = f"{base.rstrip('/')}/services/rest"
        token_url = at.get("token_url") or f"{base}/auth/oauth2/v1/token"
        super().__init__(
            context,
            LEDGER,
            base,
            token_url,
            signed_assertion(at["client_id"], at["certificate_id"], token_url, "rest_webservices"),
            read_failure,
            token_hosts=LEDGER.allowed_hosts,
        )

    async def check(self) -> str:
        """Return the number of invoices, which proves that queries are allowed.

        Permanent failure without SuiteTax: no document could get its tax.
        """
        rows = await self._query(
            "select count(*) as invoices from transaction where type = 'CustInvc'"
        )
        invoices = rows[0].get("invoices", "?") if rows else "?"
        schema = await self.read(f"{RECORD}/metadata-catalog/invoice", headers=SCHEMA)
        with required_values("the description of invoices in NetSuite"):
            taxed = "taxDetails" in value_in(schema, "properties")
        if not taxed:
            raise Failure(
                "permanent",
                "no_suitetax",
                f"the NetSuite account {self._account} does not use SuiteTax, and its REST web"
                " services take no other tax: turn SuiteTax on in NetSuite, then test again",
                everywhere=True,
            )
        return f"connected to the NetSuite account {self._account}, which holds {invoices} invoices"

    async def codes(self, kind: CodeKind, wanted: Collection[str]) -> Sequence[LedgerCode] | None:
        """Return items, tax codes or currencies; the account comes with the item."""
        return await codes_of(kind, wanted, self._currencies, self._query, self._record)

    def _judged(self, failed: Failure | None, secrets: Secrets) -> Failure | None:
        """Tell a refused login from too many calls at once: NetSuite words both alike.

        The first refusal has the token renewed at once. A wrong key gets no token, so the refusal
        of a newer token is not about the key; the next call gets a new one all the same, in case
        that the token was ended early.
        """
        if failed is None or failed.code != BAD_LOGIN:
            return failed
        now, token = time.monotonic(), secrets.values["access_token"]
        if not self._refused or now - self._refused_at > RENEWED_SECONDS:
            self._refused, self._refused_at = token, now
        if token == self._refused:
            return failed
        self._tokens.refused(secrets)
        return Failure(
            "transient",
            "login_or_busy",
            f"{failed.message} NetSuite has just given us a new token, so this means too many calls"
            " at once: the call is repeated later. If it stays, lower `concurrency`, or see whether"
            " the role may log in with access tokens",
            everywhere=True,
        )

    async def _read_home_currency(self) -> str:
        """Return the one currency of the account: several would be named in each record."""
        (only,) = self._currencies
        return only

    async def _customer_rows(self, customer: Customer) -> Sequence[Row]:
        """Look up by internal or external id if mapped, else by our external id or the name.

        The external id stands for the full Account Name, which a company name may be too short for.
        """
        if customer.mapped:
            which = customer.mapped if customer.mapped.isdigit() else f"eid:{customer.mapped}"
            one = await self._record("customer", which)
            return [] if one is None else [one]
        name = _quoted(customer.account_name)
        return await self._query(
            "select id, isinactive from customer"
            f" where externalid = '{self._customer_id(customer)}'"
            f" or companyname = '{name}' or entityid = '{name}' order by id"
        )

    def _customer(self, row: Row) -> RemoteCustomer:
        """Read a record, or a row of a query: they differ in how they write inactive."""
        an_id = str(value_in(row, "id"))
        return RemoteCustomer(
            an_id, not row.get("isInactive") and row.get("isinactive") != "T", an_id
        )

    def _customer_id(self, customer: Customer) -> str:
        return f"cust-{key_of(self._ledger, customer.account_name)}"

    async def _add_customer(self, customer: Customer) -> str:
        """Create a company of that name; its external id, too, can be created only once."""
        body: dict[str, Any] = {
            "companyName": short(customer.account_name, 83),
            "isPerson": False,
            "externalId": self._customer_id(customer),
        }
        if self._subsidiary:
            body["subsidiary"] = {"id": self._subsidiary}
        currency = self._currencies.get(customer.currency, NO_ID)
        if currency != NO_ID:
            body["currency"] = {"id": currency}
        if lines := customer.address_lines:
            body["addressBook"] = {
                "items": [_address(customer.name or customer.account_name, lines)]
            }
        return await self._add("customer", body)

    def _body(self, document: ArDocument, customer: str) -> dict[str, Any]:
        """Render an invoice or credit memo.

        The account comes with the item. The tax is ours: its details override what NetSuite would
        compute. `create` adds the tax type of each code.
        """
        currency = self._currencies.get(document.currency)
        if currency is None:
            raise Failure(
                "permanent",
                "no_currency",
                f"{document.currency} is not among the `currencies` of the ledger:"
                " add it (CODE=internal id), then retry",
            )
        body: dict[str, Any] = {
            "externalId": external_id(document.kind, document.number),
            "tranId": document.number,
            "entity": {"id": customer},
            "tranDate": document.invoice_date.isoformat(),
            "item": {"items": [_line(line, document.currency) for line in document.lines]},
            "taxDetailsOverride": True,
            "taxDetails": {"items": [_tax_detail(line) for line in document.lines if line.tax]},
        }
        if currency != NO_ID:
            body["currency"] = {"id": currency}
        if document.kind == "invoice":
            body["dueDate"] = document.due_date.isoformat()
        if document.po_number:
            body["otherRefNum"] = short(document.po_number, 45)
        if self._subsidiary:
            body["subsidiary"] = {"id": self._subsidiary}
        return body

    async def _create(self, request: FrozenRequest) -> str:
        """Create one document. The response gives only its address, so it is read then."""
        body = json.loads(request.request, parse_float=Decimal)
        for detail in body["taxDetails"]["items"]:
            detail["taxType"] = await self._tax_type(detail["taxCode"]["id"])
        return await self._add(ENTITY[request.kind], body)

    async def _tax_type(self, code: str) -> str:
        """Return the internal id of the tax type of a tax code, which a tax detail names too."""
        if code not in self._tax_types:
            record = await self._record("salesTaxItem", code)
            if record is None or record.get("isInactive"):
                raise Failure(
                    "permanent",
                    "no_tax_code",
                    f"tax code {code} {'is inactive' if record else 'does not exist'} in NetSuite:"
                    " map another one, then retry",
                )
            with required_values(f"tax code {code} in NetSuite"):
                self._tax_types[code] = str(value_in(record, "taxType", "id"))
        return self._tax_types[code]

    async def post(self, remote_id: str, kind: DocumentType) -> RemoteDocument:
        """Return the document; refuse if a person must approve it first. There is one step."""
        found = await self._one(kind, remote_id)
        if found is None:
            raise Failure("unknown", "gone", f"there is no {ENTITY[kind]} {remote_id}")
        if found.state == "draft":
            raise Failure(
                "permanent",
                "waits_for_approval",
                f"{found.number} waits for approval in NetSuite: approve it, then retry",
            )
        return found

    async def allocate(self, credit: RemoteDocument, document: ArDocument) -> None:
        """Tick the invoices in the credit memo's list of what it is applied to."""
        path = f"{RECORD}/creditMemo/{credit.remote_id}"
        memo = await self.read(path, {"expandSubResources": "true"})
        with required_values(f"credit memo {credit.number} in NetSuite"):
            rows = (memo.get("apply") or {}).get("items") or ()
            applied = {str(value_in(row, "doc", "id")) for row in rows if row.get("apply")}
        items = [
            {"doc": {"id": each.remote_id}, "apply": True, "amount": each.amount}
            for each in document.not_applied(applied)
        ]
        if items:
            body = {"apply": {"items": items}}
            await self.call("PATCH", path, writes=True, body=body, headers=STRICT)

    async def _by_number(self, kind: DocumentType, numbers: Sequence[str]) -> list[RemoteDocument]:
        """Look up by external id, one by one."""
        found = [await self._one(kind, f"eid:{external_id(kind, number)}") for number in numbers]
        return [one for one in found if one is not None]

    async def payments(self, cursor: str) -> PaymentPage:
        """Read payments by the time of their last change. A deleted payment is not in the list.

        A payment has a row for each part of it, which are summed up by invoice. If it changed while
        it was read, only its rows after the change count.
        """

        async def read(since: str, page: int) -> list[dict[str, Any]]:
            multiple = NO_ID not in self._codes
            currency = " t.currency as currency," if multiple else ""
            query = PAYMENTS.format(since=_quoted(since or FIRST_MOMENT), currency=currency)
            return await self._query(query, page * PAGE)

        rows, newest = await changed_rows(
            cursor, read, _changed_at, page_size=PAGE, most_pages=PAGES_AT_ONCE
        )
        latest = {row.get("payment"): _changed_at(row) for row in rows}
        sums: dict[tuple[str, str], Payment] = {}
        for row in rows:
            if _changed_at(row) == latest[row.get("payment")]:
                one = await self._payment(row)
                before = sums.get((one.payment_id, one.remote_id))
                sums[one.payment_id, one.remote_id] = _sum(before, one) if before else one
        return PaymentPage(newest, tuple(sums.values()))

    async def _payment(self, row: Row) -> Payment:
        with required_values("a NetSuite payment"):
            one = Payment(
                payment_id=str(value_in(row, "payment")),
                remote_id=str(value_in(row, "invoice")),
                number=number_in(str(row.get("number") or "")),
                amount=abs(finite_decimal(value_in(row, "amount"))),
                currency=self._code_of(row.get("currency")),
                paid_on=date.fromisoformat(value_in(row, "paid_on")),
                cancelled=row.get("voided") == "T",
            )
        return one if one.currency else replace(one, currency=await self._home_currency())

    async def _add(self, record: str, body: Any) -> str:
        """Create a record and return its id, which is in the address that the response gives."""
        path = f"{RECORD}/{record}"
        response = await self.call("POST", path, writes=True, body=body, headers=STRICT)
        found = re.search(rf"/{record}/(\d+)$", response.headers.get("location", ""))
        if found is None:
            raise unreadable(f"the response to a new {record} has no address", writes=True)
        return found[1]

    async def _row(self, kind: DocumentType, remote_id: str) -> Row | None:
        return await self._record(ENTITY[kind], remote_id)

    async def _record(self, record: str, which: str) -> dict[str, Any] | None:
        return await if_there(self.read(f"{RECORD}/{record}/{quote(which, safe=':')}"))

    async def _query(self, query: str, offset: int = 0) -> list[dict[str, Any]]:
        response = await self.call(
            "POST",
            QUERY,
            writes=False,
            body={"q": query},
            params={"limit": str(PAGE), "offset": str(offset)},
            headers={"prefer": "transient"},
        )
        return list_in(object_in(response), "items")

    def _document(self, row: Row, kind: DocumentType) -> RemoteDocument:
        left = row.get("amountRemaining")
        if kind == "credit-note" and row.get("unapplied") is not None:
            left = row["unapplied"]
        return RemoteDocument(
            remote_id=str(value_in(row, "id")),
            number=number_in(str(row.get("externalId") or "")),
            kind=kind,
            state=_state(row),
            currency=self._code_of((row.get("currency") or {}).get("id")),
            total=finite_decimal(value_in(row, "total")),
            customer=str(value_in(row, "entity", "id")),
            remote_number=str(row.get("tranId") or ""),
            balance=amount_in(left),
            invoice_date=day_in(row.get("tranDate")),
            changed_at=str(row.get("lastModifiedDate") or ""),
            tax=amount_in(row.get("taxTotal")),
        )

    def _code_of(self, internal: Any) -> str:
        """Return the code of a currency by its internal id; "" if the record names none."""
        return self._codes.get(str(internal), f"#{internal}") if internal else ""


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


def _state(row: Row) -> RemoteState:
    """Return the state of a transaction, by the character of its status, else by its words."""
    status = value_in(row, "status")
    if status.get("id") in STATES:
        return STATES[status["id"]]
    words = str(status.get("refName") or value_in(status, "id")).lower()
    if "void" in words:
        return "voided"
    if "pending" in words or "rejected" in words:
        return "draft"
    return "paid" if "paid" in words or "fully applied" in words else "posted"


def _line(line: Line, currency: str) -> dict[str, Any]:
    quantity, price = line.quantity_and_price(currency)
    reference = {"taxDetailsReference": _reference(line)} if line.tax else {}
    amounts = {"quantity": quantity, "price": {"id": "-1"}, "rate": price, "amount": line.amount}
    what = {"item": {"id": line.item}, "description": short(line.description, 4000)}
    return what | amounts | reference


def _reference(line: Line) -> str:
    """Return what ties a line to its tax detail."""
    return f"line-{line.line_no}"


def _tax_detail(line: Line) -> dict[str, Any]:
    return {
        "taxDetailsReference": {"id": _reference(line)},
        "taxCode": {"id": line.tax},
        "taxBasis": line.amount,
        "taxRate": line.tax_rate,
        "taxAmount": line.tax_amount,
    }


def _address(addressee: str, lines: Sequence[str]) -> dict[str, Any]:
    """Return an address book item. What has no line of its own goes into the last one."""
    first = [*lines[: ADDRESS_LINES - 1], ", ".join(lines[ADDRESS_LINES - 1 :])]
    numbered = {
        f"addr{at}": short(line, ADDRESS_LENGTH) for at, line in enumerate(first, 1) if line
    }
    return {
        "defaultBilling": True,
        "addressBookAddress": {"addressee": short(addressee, ADDRESS_LENGTH)} | numbered,
    }


def _sum(one: Payment, other: Payment) -> Payment:
    return replace(
        one, amount=one.amount + other.amount, cancelled=one.cancelled and other.cancelled
    )


def _changed_at(row: Row) -> str:
    return str(row.get("changed") or "")


def _currencies(text: str) -> dict[str, str]:
    """Return `USD=1,EUR=4` as a dictionary."""
    pairs = [part.partition("=") for part in text.replace(" ", "").split(",") if part]
    if not pairs or not all(
        re.fullmatch(r"[A-Z]{3}", code)
        and (an_id.isdigit() or (an_id == NO_ID and len(pairs) == 1))
        for code, _, an_id in pairs
    ):
        raise Failure(
            "permanent",
            "bad_currencies",
            f"`currencies` is {text!r}: write CODE=internal id, as in USD=1,EUR=4"
            " (USD=none without Multiple Currencies)",
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
        Setting(
            "currencies",
            "currencies by internal id, as in USD=1,EUR=4;"
            " without the feature Multiple Currencies the one currency, as in USD=none",
            required=True,
        ),
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
        correction="edit its tax details in NetSuite (do not void it: a voided one keeps its"
        " external id)",
    ),
    make=NetSuite,
    allowed_hosts=(".suitetalk.api.netsuite.com",),
    line_code="item",
    number_length=45,
    needs="SuiteTax, REST Web Services and OAuth 2.0 enabled, an integration record with client"
    " credentials, and a role that may edit invoices and customers",
)
