"""Microsoft Dynamics 365 Business Central, API v2.0. Two steps, no request key, and our number is not unique there.

So a draft is made, its id kept, then posted; after a lost answer the engine waits the server's ten minutes out and looks by our number.
What remains: a second draft, if a call takes effect later than that; it is never posted without a look, and reconciliation finds it.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from services.arg_sync.ledgers.http_client import Answer, exact_json, failure_of
from services.arg_sync.ledgers.oauth import client_in_form
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
    object_in,
    read_back,
)
from services.arg_sync.rules.documents import Payment, RemoteState
from services.arg_sync.rules.folding import folded, mapped_or_refused, short
from shared.terms import DocumentType

PLURAL = {"invoice": "salesInvoices", "credit-note": "salesCreditMemos"}
LINES = {"invoice": "salesInvoiceLines", "credit-note": "salesCreditMemoLines"}
STATES: dict[str, RemoteState] = {
    "Draft": "draft", "In Review": "draft", "Open": "posted", "Paid": "paid", "Canceled": "voided", "Corrective": "posted",
}  # fmt: skip
NUMBER_LENGTH = 35
ASKED_AT_ONCE = 20
PAGE = 200
GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
NOT_BLOCKED = {"", " ", "_x0020_"}
TRANSIENT_CODES = {"Internal_TenantUnavailable", "Request_EntityChanged"}


class BusinessCentral:
    """One company of one environment."""

    def __init__(self, host: Host) -> None:
        self.capabilities = host.capabilities
        at = host.settings
        self._most_lines = int(at.get("most_lines") or 0)
        self._at = f"/v2.0/{quote(at['tenant'], safe='')}/{quote(at['environment'], safe='')}/api/v2.0/companies({quote(at['company_id'], safe='')})"
        token_url = (
            at.get("token_url")
            or f"https://login.microsoftonline.com/{quote(at['tenant'], safe='')}/oauth2/v2.0/token"
        )
        grant = client_in_form(at["client_id"], "https://api.businesscentral.dynamics.com/.default")
        hosts, token_hosts = LEDGER.allowed_hosts, ("login.microsoftonline.com",)
        self._api = Session(
            host, at["base_url"], token_url, grant, reading, hosts=hosts, token_hosts=token_hosts
        )

    async def check(self) -> str:
        """The company's name and its currency."""
        value = _values(await self._read("/companyInformation"))
        company = value[0] if value else {}
        currency = company.get("currencyCode", "?")
        return f"connected to the Business Central company {company.get('displayName', '?')}, currency {currency}"

    async def renew(self) -> None:
        """A new access token."""
        await self._api.tokens.renew()

    async def customer_for(self, customer: Customer) -> str | None:
        """By id or number if mapped, else by displayName."""
        if customer.mapped and GUID.fullmatch(customer.mapped):
            one = await if_there(self._read(f"/customers({customer.mapped})"))
            found = [one] if one is not None else []
        elif customer.mapped:
            found = _values(
                await self._read(
                    "/customers", {"$filter": f"number eq '{_quoted(customer.mapped)}'"}
                )
            )
        else:
            found = _values(
                await self._read(
                    "/customers",
                    {"$filter": f"displayName eq '{_quoted(short(customer.account_name, 100))}'"},
                )
            )
        if customer.mapped and not found:
            raise Failure(
                "permanent",
                "no_such_customer",
                f"there is no customer {customer.mapped}, to which {customer.account_name} is mapped",
            )
        if len(found) > 1:
            numbers = ", ".join(str(one.get("number")) for one in found)
            raise Failure(
                "permanent",
                "several_customers",
                f"customers {numbers} are all named {customer.account_name}: map one of them",
            )
        if found and str(found[0].get("blocked", "")) not in NOT_BLOCKED:
            number = found[0].get("number")
            raise Failure(
                "permanent",
                "blocked_customer",
                f"customer {number} {customer.account_name} is blocked: release it, then retry",
            )
        return str(found[0]["id"]) if found else None

    async def add_customer(self, customer: Customer) -> str:
        """A customer whose name is the Account Name; the number is of Business Central's series."""
        body: dict[str, Any] = {"displayName": short(customer.account_name, 100), "type": "Company"}
        lines = [line for line in customer.address.splitlines() if line.strip()]
        if lines:
            body["addressLine1"] = short(lines[0], 100)
        if len(lines) > 1:
            body["addressLine2"] = short(", ".join(lines[1:]), 50)
        if customer.tax_id:
            body["taxRegistrationNumber"] = short(customer.tax_id, 20)
        said = await self._api.write("POST", f"{self._at}/customers", body)
        if not isinstance(said.get("id"), str):
            raise Failure("unknown", "unreadable", "the answer to a new customer has no id")
        return str(said["id"])

    def render(self, document: ArDocument, customer: str) -> str:
        """A draft with its lines. Business Central computes the tax from the codes; a credit memo names the one invoice that it corrects."""
        mapped_or_refused(document)
        if len(document.number) > NUMBER_LENGTH:
            words = f"Business Central takes numbers of {NUMBER_LENGTH} characters, {document.number} has {len(document.number)}"
            raise Failure("permanent", "number_too_long", words)
        document = folded(document, self._most_lines)
        body: dict[str, Any] = {
            "externalDocumentNumber": document.number,
            "customerId": customer,
            "invoiceDate"
            if document.kind == "invoice"
            else "creditMemoDate": document.invoice_date.isoformat(),
            "postingDate": document.invoice_date.isoformat(),
            "dueDate": document.due_date.isoformat(),
            "currencyCode": document.currency,
        }
        if document.kind == "invoice" and document.po_number:
            body["customerPurchaseOrderReference"] = short(document.po_number, 35)
        known = [each.remote_id for each in document.corrects if each.remote_id]
        if len(known) == 1:
            body["invoiceId"] = known[0]
        return exact_json(
            body
            | {LINES[document.kind]: [_line(line, document.currency) for line in document.lines]}
        )

    async def create(self, requests: Sequence[Keyed]) -> list[Found | Failure]:
        """A draft, read again: the totals are computed after the lines are in."""
        (one,) = requests
        said = await self._api.write("POST", f"{self._at}/{PLURAL[one.kind]}", one.request)
        if not isinstance(said.get("id"), str):
            raise Failure("unknown", "unreadable", f"the answer to {one.number} has no id")
        return [await read_back(f"{one.number} was made", self._get(one.kind, said["id"]))]

    async def post(self, remote_id: str, kind: DocumentType) -> Found:
        """Posts the draft unless it is posted; looks by our number if its id is not known any more."""
        draft = await self._get(kind, remote_id)
        if draft is None:
            raise Failure(
                "unknown",
                "draft_gone",
                f"there is no draft {remote_id}: it is looked for by our number",
            )
        if draft.state != "draft":
            return draft
        await self._api.call(
            "POST", f"{self._at}/{PLURAL[kind]}({remote_id})/Microsoft.NAV.post", writes=True
        )
        return await read_back(
            f"{draft.number} was posted", self._posted(kind, remote_id, draft.number)
        )

    async def _posted(self, kind: DocumentType, remote_id: str, number: str) -> Found | None:
        """The posted document of a draft: by its id, else by our number."""
        posted = await self._get(kind, remote_id)
        if posted is not None and posted.state != "draft":
            return posted
        return next(
            (each for each in (await self.find(kind, [number]))[number] if each.state != "draft"),
            None,
        )

    async def allocate(self, credit: Found, document: ArDocument) -> None:
        """Posting applied it to the one invoice that it names; more than one have to be applied by hand."""
        known = [each for each in document.corrects if each.remote_id]
        if len(known) > 1:
            numbers = ", ".join(each.number for each in known)
            raise Failure(
                "permanent",
                "several_invoices",
                f"Business Central applies a credit memo to one invoice, {document.number} corrects {numbers}",
            )
        one = await if_there(self._read(f"/salesCreditMemos({credit.remote_id})"))
        if known and (
            one is None
            or (one.get("invoiceId") != known[0].remote_id and one.get("status") != "Paid")
        ):
            raise Failure(
                "permanent",
                "not_applied",
                f"{document.number} was posted without being applied to {known[0].number}",
            )

    async def discard(self, remote_id: str, kind: DocumentType) -> None:
        """Deletes a draft."""
        one = await if_there(self._read(f"/{PLURAL[kind]}({remote_id})"))
        if one is None:
            return
        if STATES.get(str(one.get("status"))) != "draft":
            raise Failure(
                "permanent",
                "posted",
                f"{remote_id} is posted ({one.get('status')}) and cannot be deleted",
            )
        tag = {"if-match": str(one.get("@odata.etag", "*"))}
        await if_there(
            self._api.call(
                "DELETE", f"{self._at}/{PLURAL[kind]}({remote_id})", writes=True, headers=tag
            )
        )

    async def find(self, kind: DocumentType, numbers: Sequence[str]) -> dict[str, list[Found]]:
        """By externalDocumentNumber, which any number of documents may bear."""
        there: list[Found] = []
        for at in range(0, len(numbers), ASKED_AT_ONCE):
            asked = " or ".join(
                f"externalDocumentNumber eq '{_quoted(number)}'"
                for number in numbers[at : at + ASKED_AT_ONCE]
            )
            there += [
                _found(one, kind)
                for one in _values(await self._read(f"/{PLURAL[kind]}", {"$filter": asked}))
            ]
        return by_number(numbers, there)

    async def status(
        self, kind: DocumentType, remote_ids: Sequence[str]
    ) -> dict[str, Found | None]:
        """One by one."""
        return {remote_id: await self._get(kind, remote_id) for remote_id in remote_ids}

    async def payments(self, cursor: str) -> Payments:
        """There is no list of posted payments: what is paid of an invoice that changed is its total less what is left and what was credited."""
        asked = {"$orderby": "lastModifiedDateTime", "$top": str(PAGE)} | (
            {"$filter": f"lastModifiedDateTime ge {cursor}"} if cursor else {}
        )
        newest, made = cursor, []
        for one in _values(await self._read("/salesInvoices", asked)):
            newest = max(newest, str(one.get("lastModifiedDateTime", "")))
            found = _found(one, "invoice")
            if found.state not in ("posted", "paid") or found.balance is None:
                continue
            paid = found.total - found.balance
            if paid > 0:
                paid -= await self._credited(found.remote_id)
            on = date.fromisoformat(str(one["lastModifiedDateTime"])[:10])
            made.append(
                Payment(
                    found.remote_id,
                    found.remote_id,
                    found.number,
                    max(paid, Decimal(0)),
                    found.currency,
                    on,
                    cancelled=paid <= 0,
                )
            )
        return Payments(newest, tuple(made))

    async def _credited(self, invoice: str) -> Decimal:
        notes = _values(
            await self._read("/salesCreditMemos", {"$filter": f"invoiceId eq {invoice}"})
        )
        found = [_found(one, "credit-note") for one in notes]
        return sum((one.total for one in found if one.state in ("posted", "paid")), Decimal(0))

    async def close(self) -> None:
        """Ends the connections."""
        await self._api.close()

    async def _get(self, kind: DocumentType, remote_id: str) -> Found | None:
        one = await if_there(self._read(f"/{PLURAL[kind]}({quote(remote_id, safe='')})"))
        return None if one is None else _found(one, kind)

    async def _read(self, path: str, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        return await self._api.read(self._at + path, params)


def reading(answer: Answer, writes: bool) -> Failure | None:
    """The code of an error says what it is; the status alone only if there is none."""
    error = object_in(answer).get("error")
    if not isinstance(error, dict):
        return failure_of(answer, writes=writes)
    code, words = str(error.get("code", "")), str(error.get("message", "")) or answer.words
    if answer.status == 404:
        return Failure("permanent", "http_404", f"{code}: {words}")
    if code == "Internal_EntityWithSameKeyExists":
        return Failure("duplicate", code, words)
    if code.startswith(("Authentication_", "Authorization_")):
        return Failure("auth", code, words)
    if code in TRANSIENT_CODES and answer.status < 500:
        return Failure("transient", code, words, retry_after=answer.retry_after)
    failed = failure_of(answer, writes=writes, words=f"{code}: {words}")
    return failed or Failure("permanent", code or "error", words)


def _found(one: Mapping[str, Any], kind: DocumentType) -> Found:
    try:
        left = one.get("remainingAmount")
        day = one.get("invoiceDate") if kind == "invoice" else one.get("creditMemoDate")
        return Found(
            remote_id=str(one["id"]),
            number=str(one["externalDocumentNumber"]),
            kind=kind,
            state=STATES[str(one["status"])],
            currency=str(one["currencyCode"]),
            total=Decimal(one["totalAmountIncludingTax"]),
            customer=str(one["customerId"]),
            remote_number=str(one.get("number", "")),
            balance=Decimal(left) if left is not None else None,
            invoice_date=date.fromisoformat(day) if day else None,
            changed_at=str(one.get("lastModifiedDateTime", "")),
        )
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise doubtful(f"a Business Central {kind}", error, writes=False) from error


def _line(line: Any, currency: str) -> dict[str, Any]:
    quantity, price = line.shown(currency)
    which = (
        {"lineType": "Item", "lineObjectNumber": line.item}
        if line.item
        else {"lineType": "Account", "lineObjectNumber": line.account}
    )
    tax = {"taxCode": line.tax} if line.tax else {}
    return (
        which
        | {"description": short(line.description, 100), "quantity": quantity, "unitPrice": price}
        | tax
    )


def _values(said: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The list of the answer; without one nothing is known."""
    if not isinstance(said.get("value"), list):
        raise Failure("transient", "unreadable", "the answer holds no list")
    return list(said["value"])


def _quoted(text: str) -> str:
    return text.replace("'", "''")


LEDGER = Kind(
    name="business-central",
    title="Microsoft Dynamics 365 Business Central",
    settings=(
        Setting("tenant", "the Entra tenant: its id or domain", required=True),
        Setting(
            "environment",
            "the environment, as in the address of Business Central",
            default="Production",
        ),
        Setting("company_id", "the company: `id` of GET .../api/v2.0/companies", required=True),
        Setting("client_id", "of the app registered in Entra", required=True),
        Setting("client_secret", "of the same app", secret=True, required=True),
        Setting(
            "refresh_token", "only if a user gave consent instead of an administrator", secret=True
        ),
        Setting("base_url", "the API", default="https://api.businesscentral.dynamics.com"),
        Setting(
            "token_url",
            "where tokens are renewed; empty: the tenant's at login.microsoftonline.com",
            default="",
        ),
        Setting(
            "most_lines",
            "above so many lines those of one account, item and tax are summed; 0: never",
            default="1000",
        ),
    ),
    capabilities=Capabilities(
        request_key=False,
        unique_number=False,
        steps=2,
        per_minute=1000,
        concurrency=4,
        request_seconds=120.0,
        server_seconds=600.0,
        discards=True,
    ),
    make=BusinessCentral,
    allowed_hosts=("api.businesscentral.dynamics.com",),
    needs="an app registered in Entra with the permission API.ReadWrite.All, known in Business Central under Microsoft Entra Applications",
)
