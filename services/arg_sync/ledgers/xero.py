"""Xero, Accounting API 2.0. A PUT creates and never changes; a POST would change an invoice of that number, so there is none of those here.

A number is taken once for invoices and once for credit notes, and a key is remembered for some time: a second document cannot arise.
Up to 50 documents go in one call, since a day has 5,000 calls: each is answered for by itself.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from services.arg_sync.ledgers.http_client import Answer, exact_json, failure_of
from services.arg_sync.ledgers.oauth import refresh_or_client
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
    by_number,
    doubtful,
    if_there,
    key_of,
    object_in,
)
from services.arg_sync.rules.documents import Payment, RemoteState
from services.arg_sync.rules.folding import folded, mapped_or_refused
from shared.terms import DocumentType

BODY_BYTES = 3_000_000
ASKED_AT_ONCE = 40
PAGE = 100
PAGES_AT_ONCE = 20
NO_ID = "00000000-0000-0000-0000-000000000000"
STATES: dict[str, RemoteState] = {
    "DRAFT": "draft", "SUBMITTED": "draft", "AUTHORISED": "posted", "PAID": "paid", "VOIDED": "voided", "DELETED": "voided",
}  # fmt: skip
PLURAL = {"invoice": "Invoices", "credit-note": "CreditNotes"}
SINGULAR = {"invoice": "Invoice", "credit-note": "CreditNote"}
TYPES = {"invoice": "ACCREC", "credit-note": "ACCRECCREDIT"}
TAKEN = re.compile(r"must be unique|already (exists|been used|in use)", re.IGNORECASE)


class Xero:
    """One organisation."""

    def __init__(self, host: Host) -> None:
        self.capabilities = host.capabilities
        at = host.settings
        self._ledger = host.ledger
        self._most_lines = int(at.get("most_lines") or 0)
        self._tenant = {"xero-tenant-id": at["tenant_id"]}
        grant = refresh_or_client(
            at["client_id"], "accounting.transactions accounting.contacts accounting.settings.read"
        )
        self._api = Session(
            host,
            at["base_url"],
            at["token_url"],
            grant,
            reading,
            hosts=LEDGER.allowed_hosts,
            token_hosts=(".xero.com",),
        )

    async def check(self) -> str:
        """The organisation's name and currency."""
        (organisation,) = (await self._get("/Organisation"))["Organisations"]
        return f"connected to the Xero organisation {organisation.get('Name', '?')}, base currency {organisation.get('BaseCurrency', '?')}"

    async def renew(self) -> None:
        """A new access token."""
        await self._api.tokens.renew()

    async def customer_for(self, customer: Customer) -> str | None:
        """By ContactID or ContactNumber if mapped, else the contact of that Name."""
        if customer.mapped:
            said = await if_there(self._get(f"/Contacts/{quote(customer.mapped, safe='')}"))
            found = [] if said is None else _list(said, "Contacts")
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
        return _only_contact(found, customer)

    async def add_customer(self, customer: Customer) -> str:
        """A contact named by its Account Name."""
        contact: dict[str, Any] = {"Name": customer.account_name}
        if customer.tax_id:
            contact["TaxNumber"] = customer.tax_id[:50]
        lines = [line for line in (customer.name, *customer.address.splitlines()) if line]
        if lines:
            contact["Addresses"] = [
                {"AddressType": "POBOX"}
                | {f"AddressLine{at}": line for at, line in enumerate(lines[:4], 1)}
            ]
        said = await self._put(
            "/Contacts",
            {"Contacts": [contact]},
            key_of(self._ledger, "customer", customer.account_name),
        )
        try:
            return str(_list(said, "Contacts", writes=True)[0]["ContactID"])
        except LookupError as error:
            raise doubtful("the answer to a new contact", error, writes=True) from error

    def render(self, document: ArDocument, customer: str) -> str:
        """One element of `Invoices` or `CreditNotes`. Tax goes line by line as we computed it."""
        mapped_or_refused(document)
        document = folded(document, self._most_lines)
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

    async def create(self, requests: Sequence[Keyed]) -> list[Found | Failure]:
        """In one call what fits into one; each document has an outcome of its own."""
        outcomes: dict[str, Found | Failure] = {}
        over: Failure | None = None
        for part in _parts(requests):
            if over is not None:
                outcomes |= {
                    one.key: Failure(
                        "transient", "not_sent", f"not sent after: {over.message}", everywhere=True
                    )
                    for one in part
                }
                continue
            try:
                outcomes |= await self._create(part)
            except Failure as failed:
                outcomes |= {one.key: failed for one in part}
                over = failed if failed.everywhere or failed.failure == "auth" else None
        return [outcomes[one.key] for one in requests]

    async def _create(self, part: Sequence[Keyed]) -> dict[str, Found | Failure]:
        plural = PLURAL[part[0].kind]
        key = part[0].key if len(part) == 1 else key_of(*(one.key for one in part))
        content = f'{{"{plural}":[{",".join(one.request for one in part)}]}}'
        try:
            said = await self._put(
                f"/{plural}", content, key, {"summarizeErrors": "false", "unitdp": "4"}
            )
        except Failure as failed:
            if failed.failure != "permanent" or failed.everywhere or len(part) == 1:
                raise
            # The whole call was refused and nothing was made: ask one by one, so that one bad document is refused alone.
            alone: dict[str, Found | Failure] = {}
            for one in part:
                try:
                    alone |= await self._create([one])
                except Failure as refused:
                    alone[one.key] = refused
            return alone
        there = {
            str(one.get(f"{SINGULAR[part[0].kind]}Number", "")): one
            for one in _list(said, plural, writes=True)
        }
        return {one.key: _outcome(there.get(one.number), one) for one in part}

    async def post(self, remote_id: str, kind: DocumentType) -> Found:
        """What we make is authorised at once: a draft under our number is somebody else's, and a person decides."""
        found = await self._one(kind, remote_id)
        if found is None or found.state != "draft":
            raise Failure(
                "unknown",
                "moved",
                f"{remote_id} is no draft any more: it is looked for by our number",
            )
        raise Failure(
            "permanent",
            "foreign_draft",
            f"{found.number} stands in Xero as a draft that we did not make: approve or delete it there, then retry",
        )

    async def allocate(self, credit: Found, document: ArDocument) -> None:
        """PUT .../Allocations for the invoices to which nothing is allocated yet."""
        (now,) = _list(await self._get(f"/CreditNotes/{credit.remote_id}"), "CreditNotes")
        done = {
            part.get("Invoice", {}).get("InvoiceID")
            for part in now.get("Allocations") or ()
            if not part.get("IsDeleted")
        }
        missing = [
            each for each in document.corrects if each.remote_id and each.remote_id not in done
        ]
        for each in missing:
            part = {
                "Amount": each.amount,
                "Date": document.invoice_date.isoformat(),
                "Invoice": {"InvoiceID": each.remote_id},
            }
            key = key_of(
                self._ledger,
                credit.remote_id,
                each.remote_id,
                str(each.amount),
                str(now.get("RemainingCredit", "")),
            )
            await self._put(
                f"/CreditNotes/{credit.remote_id}/Allocations", {"Allocations": [part]}, key
            )

    async def discard(self, remote_id: str, kind: DocumentType) -> None:
        """There are no drafts of ours."""
        raise Failure(
            "permanent",
            "no_drafts",
            f"{remote_id} is not deleted: what we make in Xero is no draft",
        )

    async def find(self, kind: DocumentType, numbers: Sequence[str]) -> dict[str, list[Found]]:
        """By our number, bills and voided ones left out."""
        there: list[Found] = []
        for at in range(0, len(numbers), ASKED_AT_ONCE):
            some = numbers[at : at + ASKED_AT_ONCE]
            if kind == "invoice" and not any("," in number for number in some):
                asked = {"InvoiceNumbers": ",".join(some)}
            else:
                asked = {
                    "where": " OR ".join(
                        f'{SINGULAR[kind]}Number=="{_escaped(number)}"' for number in some
                    )
                }
            there += [
                _found(one, kind)
                for one in _list(await self._get(f"/{PLURAL[kind]}", asked), PLURAL[kind])
                if one.get("Type") == TYPES[kind]
            ]
        return by_number(numbers, there)

    async def status(
        self, kind: DocumentType, remote_ids: Sequence[str]
    ) -> dict[str, Found | None]:
        """Many in one call; for one that is not in the answer Xero is asked by its id, and only its own no counts."""
        found: dict[str, Found | None] = {}
        for at in range(0, len(remote_ids), ASKED_AT_ONCE):
            some = remote_ids[at : at + ASKED_AT_ONCE]
            where = (
                {"IDs": ",".join(some)}
                if kind == "invoice"
                else {
                    "where": " OR ".join(f'CreditNoteID==guid("{_escaped(each)}")' for each in some)
                }
            )
            read = [
                _found(one, kind)
                for one in _list(await self._get(f"/{PLURAL[kind]}", where), PLURAL[kind])
            ]
            found |= {one.remote_id: one for one in read if one.remote_id in some}
        for remote_id in remote_ids:
            if remote_id not in found:
                found[remote_id] = await self._one(kind, remote_id)
        return found

    async def _one(self, kind: DocumentType, remote_id: str) -> Found | None:
        said = await if_there(self._get(f"/{PLURAL[kind]}/{quote(remote_id, safe='')}"))
        if said is None:
            return None
        (one,) = _list(said, PLURAL[kind])
        return _found(one, kind)

    async def payments(self, cursor: str) -> Payments:
        """By the time of their last change; the second of the cursor is read again. A whole page is read on from its last second, not by its
        number: one that changes meanwhile goes to the end, and those behind it move up into a page that was read."""
        made: list[Payment] = []
        newest, since, page = cursor, cursor, 1
        for _ in range(PAGES_AT_ONCE):
            headers = {"if-modified-since": since} if since else {}
            read = _list(
                await self._get(
                    "/Payments",
                    {"page": str(page), "pageSize": str(PAGE), "order": "UpdatedDateUTC ASC"},
                    headers,
                ),
                "Payments",
            )
            for one in read:
                newest = max(newest, _instant(one.get("UpdatedDateUTC", "")))
                if one.get("PaymentType") == "ACCRECPAYMENT" and one.get("Invoice"):
                    made.append(_payment(one))
            if len(read) < PAGE:
                break
            since, page = (newest, 1) if newest > since else (since, page + 1)
        return Payments(newest, tuple(made))

    async def close(self) -> None:
        """Ends the connections."""
        await self._api.close()

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


def reading(answer: Answer, writes: bool) -> Failure | None:
    """A refusal has its messages in `Elements`; one of them may say that the number is taken."""
    said = object_in(answer)
    if answer.status == 400 or (
        answer.status < 300 and said.get("ErrorNumber") and said.get("Type")
    ):
        words = _sentences(said)
        return Failure(
            "duplicate" if TAKEN.search(words) else "permanent",
            f"xero_{said.get('ErrorNumber', 400)}",
            words or answer.words,
        )
    problem = answer.headers.get("x-rate-limit-problem", "")
    return failure_of(
        answer,
        writes=writes,
        words=f"the limit for a {problem} is reached" if problem and answer.status == 429 else "",
    )


def _sentences(said: Mapping[str, Any]) -> str:
    deep = [
        error.get("Message", "")
        for element in said.get("Elements") or ()
        for error in element.get("ValidationErrors") or ()
    ]
    own = [error.get("Message", "") for error in said.get("ValidationErrors") or ()]
    return "; ".join(dict.fromkeys(filter(None, deep + own))) or str(
        said.get("Message") or said.get("Detail") or ""
    )


def _outcome(one: Mapping[str, Any] | None, asked: Keyed) -> Found | Failure:
    """What stands there now for one document of a batch, or its refusal."""
    if one is None:
        return Failure("unknown", "unreadable", f"the answer says nothing about {asked.number}")
    if (
        one.get("StatusAttributeString") == "ERROR"
        or one.get("HasErrors")
        or one.get("ValidationErrors")
    ):
        words = _sentences(one) or "refused without a word"
        return Failure("duplicate" if TAKEN.search(words) else "permanent", "xero_refused", words)
    try:
        found = _found(one, asked.kind)
    except Failure:
        return Failure(
            "unknown", "unreadable", f"the answer about {asked.number} lacks what it must hold"
        )
    return (
        found
        if found.remote_id != NO_ID
        else Failure("unknown", "unreadable", f"{asked.number} came back without an id")
    )


def _found(one: Mapping[str, Any], kind: DocumentType) -> Found:
    try:
        left = one.get("AmountDue") if kind == "invoice" else one.get("RemainingCredit")
        return Found(
            remote_id=str(one[f"{SINGULAR[kind]}ID"]),
            number=str(one[f"{SINGULAR[kind]}Number"]),
            kind=kind,
            state=STATES[one["Status"]],
            currency=str(one["CurrencyCode"]),
            total=Decimal(one["Total"]),
            customer=str(one["Contact"]["ContactID"]),
            remote_number=str(one[f"{SINGULAR[kind]}Number"]),
            balance=Decimal(left) if left is not None else None,
            invoice_date=_day(one.get("Date", "")),
            changed_at=_instant(one.get("UpdatedDateUTC", "")),
        )
    except (LookupError, TypeError, ArithmeticError) as error:
        raise doubtful(f"a Xero {kind}", error, writes=False) from error


def _payment(one: Mapping[str, Any]) -> Payment:
    invoice = one["Invoice"]
    day = _day(one.get("Date", ""))
    if day is None:
        raise Failure("transient", "unreadable", f"payment {one.get('PaymentID')} has no date")
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


def _line(line: Any, currency: str, taxed: bool) -> dict[str, Any]:
    quantity, price = line.shown(currency)
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


def _parts(requests: Sequence[Keyed]) -> list[list[Keyed]]:
    """Requests of one kind that fit into one body together."""
    parts: list[list[Keyed]] = []
    room = 0
    for one in requests:
        size = len(one.request.encode()) + 1
        if not parts or parts[-1][0].kind != one.kind or size > room:
            parts.append([])
            room = BODY_BYTES
        parts[-1].append(one)
        room -= size
    return parts


def _only_contact(found: Sequence[Mapping[str, Any]], customer: Customer) -> str | None:
    active = [one for one in found if one.get("ContactStatus", "ACTIVE") == "ACTIVE"]
    if len(active) > 1:
        raise Failure(
            "permanent",
            "several_customers",
            f"there are {len(active)} contacts named {customer.account_name}: map one of them",
        )
    if active:
        return str(active[0]["ContactID"])
    if found:
        raise Failure(
            "permanent",
            "archived_customer",
            f"the contact {customer.mapped or customer.account_name} is archived: restore it, then retry",
        )
    if customer.mapped:
        raise Failure(
            "permanent",
            "no_such_customer",
            f"there is no contact {customer.mapped}, to which {customer.account_name} is mapped",
        )
    return None


def _list(said: Mapping[str, Any], name: str, *, writes: bool = False) -> list[dict[str, Any]]:
    """A list of the answer; an answer without it tells nothing, least of all that something is not there."""
    value = said.get(name)
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise Failure(
            "unknown" if writes else "transient", "unreadable", f"the answer holds no {name}"
        )
    return value


def _same(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _instant(text: str) -> str:
    """`/Date(1552327126164+0000)/` in ISO form, to the second; "" if it is none."""
    found = re.fullmatch(r"/Date\((-?\d+)(?:[+-]\d{4})?\)/", text or "")
    if found is None:
        return ""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(found[1]))).strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )


def _day(text: str) -> date | None:
    instant = _instant(text) or text
    return date.fromisoformat(instant[:10]) if re.match(r"\d{4}-\d\d-\d\d", instant or "") else None


LEDGER = Kind(
    name="xero",
    title="Xero",
    settings=(
        Setting(
            "tenant_id",
            "the organisation: `tenantId` of GET https://api.xero.com/connections",
            required=True,
        ),
        Setting("client_id", "of the app at developer.xero.com", required=True),
        Setting("client_secret", "of the same app", secret=True, required=True),
        Setting(
            "refresh_token",
            "from the consent of a user of the organisation; leave it out for a custom connection",
            secret=True,
        ),
        Setting(
            "webhook_key",
            "signs webhooks; give it to have payments read at once: they go to https://<your host>/webhooks/<connection>",
            secret=True,
        ),
        Setting("base_url", "the API", default="https://api.xero.com/api.xro/2.0"),
        Setting(
            "token_url",
            "where tokens are renewed",
            default="https://identity.xero.com/connect/token",
        ),
        Setting(
            "most_lines",
            "above so many lines those of one account, item and tax are summed; 0: never",
            default="0",
        ),
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
    needs="an app at developer.xero.com with the scopes offline_access, accounting.transactions, accounting.contacts and accounting.settings.read",
)
