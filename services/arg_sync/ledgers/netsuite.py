"""Oracle NetSuite, SuiteTalk REST. Our number is the external id, which is taken once for ever: a second document cannot arise.

A document is made by POST, never by PUT: a PUT on an external id would change a document that is there, also a paid one.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from services.arg_sync.ledgers.http_client import Answer, exact_json, failure_of
from services.arg_sync.ledgers.oauth import signed_assertion
from services.arg_sync.ledgers.port import (
    ArDocument,
    Capabilities,
    Customer,
    Failure,
    Found,
    Host,
    Keyed,
    Kind,
    Payments,
    Setting,
)
from services.arg_sync.ledgers.session import (
    Session,
    doubtful,
    if_there,
    key_of,
    object_in,
    read_back,
)
from services.arg_sync.rules.documents import Payment, RemoteState
from services.arg_sync.rules.folding import folded, mapped_or_refused, short
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
PAID = (
    "select t.id as payment, l.previousdoc as invoice, i.externalid as number, l.foreignamount as amount, to_char(t.trandate, 'YYYY-MM-DD') as paid_on,"
    " t.currency as currency, t.voided as voided, to_char(t.lastmodifieddate, 'YYYY-MM-DD HH24:MI:SS') as changed"
    " from previoustransactionlinelink l join transaction t on t.id = l.nextdoc join transaction i on i.id = l.previousdoc"
    " where l.linktype = 'Payment' and t.type = 'CustPymt' and i.type = 'CustInvc'"
    " and t.lastmodifieddate >= to_timestamp('{since}', 'YYYY-MM-DD HH24:MI:SS') order by t.lastmodifieddate, t.id, l.previousdoc"
)


class NetSuite:
    """One account."""

    def __init__(self, host: Host) -> None:
        self.capabilities = host.capabilities
        at = host.settings
        self._ledger = host.ledger
        self._subsidiary = at.get("subsidiary", "")
        self._most_lines = int(at.get("most_lines") or 0)
        self._currencies = _currencies(at["currencies"])
        account = re.sub(r"[^a-z0-9-]", "", at["account_id"].lower().replace("_", "-"))
        base = at.get("base_url") or f"https://{account}.suitetalk.api.netsuite.com"
        token_url = at.get("token_url") or f"{base}/services/rest/auth/oauth2/v1/token"
        grant = signed_assertion(
            at["client_id"], at["certificate_id"], token_url, "rest_webservices"
        )
        self._api = Session(
            host,
            base,
            token_url,
            grant,
            reading,
            hosts=LEDGER.allowed_hosts,
            token_hosts=LEDGER.allowed_hosts,
        )
        self._account = at["account_id"]

    async def check(self) -> str:
        """Whether queries and the invoice record may be used."""
        rows = await self._query(
            "select count(*) as invoices from transaction where type = 'CustInvc'"
        )
        return f"connected to the NetSuite account {self._account}, which holds {rows[0].get('invoices', '?') if rows else '?'} invoices"

    async def renew(self) -> None:
        """A new access token."""
        await self._api.tokens.renew()

    async def customer_for(self, customer: Customer) -> str | None:
        """By internal or external id if mapped, else by company name or entity id."""
        if customer.mapped:
            which = customer.mapped if customer.mapped.isdigit() else f"eid:{customer.mapped}"
            one = await self._maybe("customer", which)
            found = (
                []
                if one is None
                else [{"id": one["id"], "isinactive": "T" if one.get("isInactive") else "F"}]
            )
        else:
            name = _quoted(customer.account_name)
            found = await self._query(
                f"select id, isinactive from customer where companyname = '{name}' or entityid = '{name}' order by id"
            )
        active = [one for one in found if one.get("isinactive") != "T"]
        if len(active) > 1:
            raise Failure(
                "permanent",
                "several_customers",
                f"there are {len(active)} customers named {customer.account_name}: map one of them",
            )
        if found and not active:
            raise Failure(
                "permanent",
                "inactive_customer",
                f"the customer {customer.mapped or customer.account_name} is inactive: make it active, then retry",
            )
        if customer.mapped and not found:
            raise Failure(
                "permanent",
                "no_such_customer",
                f"there is no customer {customer.mapped}, to which {customer.account_name} is mapped",
            )
        return str(active[0]["id"]) if active else None

    async def add_customer(self, customer: Customer) -> str:
        """A company of that name, with an external id of its own: it too can be made once only."""
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
            return await self._made("customer", exact_json(body))
        except Failure as failed:
            if failed.failure != "duplicate":
                raise
        one = await self._maybe("customer", f"eid:{external}")
        if one is None:
            raise Failure(
                "permanent",
                "customer_taken",
                f"NetSuite says that {customer.account_name} is there, and does not show it: map the customer",
            )
        return str(one["id"])

    def render(self, document: ArDocument, customer: str) -> str:
        """An invoice or credit memo. The account comes with the item, the tax with its code."""
        mapped_or_refused(document, needs_item=True, needs_account=False)
        if document.currency not in self._currencies:
            raise Failure(
                "permanent",
                "no_currency",
                f"{document.currency} is not among the `currencies` of the ledger: add it (CODE=internal id), then retry",
            )
        document = folded(document, self._most_lines)
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
        return exact_json(
            body | ({"subsidiary": {"id": self._subsidiary}} if self._subsidiary else {})
        )

    async def create(self, requests: Sequence[Keyed]) -> list[Found | Failure]:
        """One at a time; the answer is only where it is, so it is read."""
        (one,) = requests
        remote_id = await self._made(ENTITY[one.kind], one.request)
        return [await read_back(f"{one.number} was made", self._get(one.kind, remote_id))]

    async def post(self, remote_id: str, kind: DocumentType) -> Found:
        """There is one step; what waits for approval there, a person must approve."""
        found = await self._get(kind, remote_id)
        if found is None:
            raise Failure("unknown", "gone", f"there is no {ENTITY[kind]} {remote_id}")
        if found.state == "draft":
            raise Failure(
                "permanent",
                "waits_for_approval",
                f"{found.number} waits for approval in NetSuite: approve it, then retry",
            )
        return found

    async def allocate(self, credit: Found, document: ArDocument) -> None:
        """Ticks the invoices in the credit memo's list of what it is applied to."""
        said = await self._api.read(
            f"{RECORD}/creditMemo/{credit.remote_id}", {"expandSubResources": "true"}
        )
        ticked = {
            str((one.get("doc") or {}).get("id"))
            for one in (said.get("apply") or {}).get("items") or ()
            if one.get("apply")
        }
        missing = [
            each for each in document.corrects if each.remote_id and each.remote_id not in ticked
        ]
        if missing:
            items = [
                {"doc": {"id": each.remote_id}, "apply": True, "amount": each.amount}
                for each in missing
            ]
            await self._api.call(
                "PATCH",
                f"{RECORD}/creditMemo/{credit.remote_id}",
                writes=True,
                body={"apply": {"items": items}},
                headers=STRICT,
            )

    async def discard(self, remote_id: str, kind: DocumentType) -> None:
        """There are no drafts of ours."""
        raise Failure(
            "permanent",
            "no_drafts",
            f"{remote_id} is not deleted: what we make in NetSuite is no draft",
        )

    async def find(self, kind: DocumentType, numbers: Sequence[str]) -> dict[str, list[Found]]:
        """By external id, one by one: each is there once or not."""
        found: dict[str, list[Found]] = {}
        for number in numbers:
            one = await self._get(kind, f"eid:{external_id(kind, number)}")
            found[number] = [one] if one is not None and one.state != "voided" else []
        return found

    async def status(
        self, kind: DocumentType, remote_ids: Sequence[str]
    ) -> dict[str, Found | None]:
        """One by one."""
        return {remote_id: await self._get(kind, remote_id) for remote_id in remote_ids}

    async def payments(self, cursor: str) -> Payments:
        """By the time of their last change. A deleted payment is not in the list: it is not seen. A whole page is read on from its last second,
        not by its number: one that changes meanwhile goes to the end, and those behind it move up into a page that was read."""
        sums: dict[tuple[str, str], Payment] = {}
        changed: dict[str, str] = {}
        newest, since, page = cursor, cursor, 0
        for _ in range(PAGES_AT_ONCE):
            rows = await self._query(
                PAID.format(since=_quoted(since or "2000-01-01 00:00:00")), page * PAGE
            )
            for row in rows:
                one, when = self._payment(row), str(row.get("changed", ""))
                if (
                    changed.setdefault(one.payment_id, when) != when
                ):  # it was changed since we read it: its parts are counted anew
                    sums, changed[one.payment_id] = _without(sums, one.payment_id), when
                newest = max(newest, when)
                before = sums.get((one.payment_id, one.remote_id))
                sums[one.payment_id, one.remote_id] = one if before is None else _and(before, one)
            if len(rows) < PAGE:
                break
            if newest > since:
                for payment_id in [
                    each for each, when in changed.items() if when == newest
                ]:  # read again from its first part
                    sums = _without(sums, payment_id)
            since, page = (newest, 0) if newest > since else (since, page + 1)
        return Payments(newest, tuple(sums.values()))

    def _payment(self, row: Mapping[str, Any]) -> Payment:
        try:
            amount, voided = abs(Decimal(str(row["amount"]))), row.get("voided") == "T"
            number = number_in(str(row.get("number") or ""))
            currency = self._code(str(row["currency"]))
            return Payment(
                str(row["payment"]),
                str(row["invoice"]),
                number,
                amount,
                currency,
                date.fromisoformat(row["paid_on"]),
                voided,
            )
        except (LookupError, ValueError, TypeError, ArithmeticError) as error:
            raise doubtful("a NetSuite payment", error, writes=False) from error

    async def close(self) -> None:
        """Ends the connections."""
        await self._api.close()

    async def _made(self, record: str, body: str) -> str:
        """Makes a record; its id, from where the answer says that it is."""
        answer = await self._api.call(
            "POST", f"{RECORD}/{record}", writes=True, body=body, headers=STRICT
        )
        found = re.search(rf"/{record}/(\d+)$", answer.headers.get("location", ""))
        if found is None:
            raise Failure(
                "unknown", "unreadable", f"the answer to a new {record} does not say where it is"
            )
        return found[1]

    async def _get(self, kind: DocumentType, which: str) -> Found | None:
        one = await self._maybe(ENTITY[kind], which)
        return None if one is None else self._found(one, kind)

    async def _maybe(self, record: str, which: str) -> dict[str, Any] | None:
        return await if_there(self._api.read(f"{RECORD}/{record}/{quote(which, safe=':')}"))

    async def _query(self, query: str, offset: int = 0) -> list[dict[str, Any]]:
        params = {"limit": str(PAGE), "offset": str(offset)}
        answer = await self._api.call(
            "POST",
            QUERY,
            writes=False,
            body=json.dumps({"q": query}),
            params=params,
            headers={"prefer": "transient"},
        )
        items = object_in(answer).get("items")
        if not isinstance(items, list):
            raise Failure("transient", "unreadable", "the answer to a query holds no items")
        return items

    def _found(self, one: Mapping[str, Any], kind: DocumentType) -> Found:
        try:
            left = (
                one.get("amountRemaining")
                if kind == "invoice"
                else one.get("unapplied", one.get("amountRemaining"))
            )
            return Found(
                remote_id=str(one["id"]),
                number=number_in(str(one.get("externalId") or "")),
                kind=kind,
                state=_state(one.get("status")),
                currency=self._code(str(one["currency"]["id"])),
                total=Decimal(one["total"]),
                customer=str(one["entity"]["id"]),
                remote_number=str(one.get("tranId", "")),
                balance=Decimal(left) if left is not None else None,
                invoice_date=date.fromisoformat(one["tranDate"]) if one.get("tranDate") else None,
                changed_at=str(one.get("lastModifiedDate", "")),
            )
        except (LookupError, TypeError, ValueError, ArithmeticError) as error:
            raise doubtful(f"a NetSuite {ENTITY[kind]}", error, writes=False) from error

    def _code(self, internal: str) -> str:
        return next(
            (code for code, known in self._currencies.items() if known == internal), f"#{internal}"
        )


def reading(answer: Answer, writes: bool) -> Failure | None:
    """The details of an error say what it is."""
    details = [
        one for one in object_in(answer).get("o:errorDetails") or () if isinstance(one, dict)
    ]
    if not details:
        return failure_of(answer, writes=writes)
    codes = {str(one.get("o:errorCode", "")) for one in details}
    words = "; ".join(dict.fromkeys(str(one.get("detail", "")) for one in details))
    code = sorted(codes)[0]
    if answer.status == 404:
        return Failure("permanent", "http_404", words)
    if answer.status == 429 or codes & BUSY_CODES:
        return Failure("transient", code, words, retry_after=answer.retry_after, everywhere=True)
    if answer.status in (401, 403) or "INVALID_LOGIN" in codes:
        return Failure("auth", code, words)
    if writes and (codes & TAKEN_CODES or TAKEN.search(words)):
        return Failure("duplicate", code, words)
    failed = failure_of(answer, writes=writes, words=words)
    return (
        Failure("permanent", code, words)
        if failed is None or failed.failure == "permanent"
        else failed
    )


def external_id(kind: DocumentType, number: str) -> str:
    """Our number with what an external id may hold: other characters as `_` and their code."""
    return f"{PREFIX[kind]}-" + re.sub(
        r"[^A-Za-z0-9-]", lambda found: f"_{ord(found[0]):04x}", number
    )


def number_in(external: str) -> str:
    """The number in an external id of ours; "" if it is none."""
    prefix, _, rest = external.partition("-")
    return (
        re.sub(r"_([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), rest)
        if prefix in PREFIX.values()
        else ""
    )


def _state(status: Any) -> RemoteState:
    words = (
        str(
            (status.get("id") or status.get("refName") or "")
            if isinstance(status, dict)
            else status or ""
        )
        .lower()
        .replace(" ", "")
    )
    if "void" in words:
        return "voided"
    if "pending" in words or "rejected" in words:
        return "draft"
    return "paid" if "paid" in words or "fullyapplied" in words else "posted"


def _line(line: Any, currency: str) -> dict[str, Any]:
    quantity, price = line.shown(currency)
    tax = {"taxCode": {"id": line.tax}} if line.tax else {}
    amounts = {"quantity": quantity, "price": {"id": "-1"}, "rate": price, "amount": line.amount}
    return {"item": {"id": line.item}, "description": short(line.description, 4000)} | amounts | tax


def _without(
    sums: Mapping[tuple[str, str], Payment], payment_id: str
) -> dict[tuple[str, str], Payment]:
    return {name: one for name, one in sums.items() if name[0] != payment_id}


def _and(one: Payment, other: Payment) -> Payment:
    return Payment(
        one.payment_id,
        one.remote_id,
        one.number,
        one.amount + other.amount,
        one.currency,
        one.paid_on,
        one.cancelled and other.cancelled,
    )


def _currencies(text: str) -> dict[str, str]:
    """`USD=1,EUR=4` as a table."""
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


LEDGER = Kind(
    name="netsuite",
    title="Oracle NetSuite",
    settings=(
        Setting(
            "account_id", "the account, as in the address (123456 or 123456_SB1)", required=True
        ),
        Setting("client_id", "of the integration record", required=True),
        Setting(
            "certificate_id",
            "of the certificate mapped under OAuth 2.0 Client Credentials (M2M) Setup",
            required=True,
        ),
        Setting(
            "private_key",
            "the private key of that certificate, PEM (RSA or EC P-256)",
            secret=True,
            required=True,
        ),
        Setting("currencies", "currencies by internal id, as in USD=1,EUR=4", required=True),
        Setting("subsidiary", "internal id of the subsidiary (OneWorld accounts)", default=""),
        Setting("base_url", "the API; empty: the account's", default=""),
        Setting("token_url", "where tokens are asked for; empty: the account's", default=""),
        Setting(
            "most_lines",
            "above so many lines those of one item and tax are summed; 0: never",
            default="1000",
        ),
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
    needs="REST Web Services and OAuth 2.0 enabled, an integration record with client credentials, and a role that may edit invoices and customers",
)
