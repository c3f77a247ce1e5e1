"""Microsoft Dynamics 365 Business Central, API v2.0. Two steps, no request key, no unique number.

A draft is created, its id stored, then posted. After a lost response arg_sync waits until the
server's ten minutes are over and looks up by our number. A call that takes effect even later leaves
a second draft; it is never posted without a look-up, and reconciliation finds it.
"""

import re
from collections.abc import Mapping, Sequence
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
    choose_customer,
    find_by_number,
    if_there,
    incomplete_response,
    read_back,
)
from services.arg_sync.ledgers.oauth import client_in_form
from services.arg_sync.ledgers.session import (
    ApiSession,
    CloudAdapter,
    most_lines_setting,
    object_in,
)
from shared.terms import DocumentType

PLURAL = {"invoice": "salesInvoices", "credit-note": "salesCreditMemos"}
LINES = {"invoice": "salesInvoiceLines", "credit-note": "salesCreditMemoLines"}
STATES: dict[str, RemoteState] = {
    "Draft": "draft",
    "In Review": "draft",
    "Open": "posted",
    "Paid": "paid",
    "Canceled": "voided",
    "Corrective": "posted",
}
NUMBER_LENGTH = 35
LOOKED_UP_AT_ONCE = 20
PAGE = 200
GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
NOT_BLOCKED = {"", " ", "_x0020_"}
TRANSIENT_CODES = {"Internal_TenantUnavailable", "Request_EntityChanged"}


class BusinessCentral(CloudAdapter):
    """One company of one environment."""

    def __init__(self, context: AdapterContext) -> None:
        at = context.settings
        tenant, environment = quote(at["tenant"], safe=""), quote(at["environment"], safe="")
        self._at = (
            f"/v2.0/{tenant}/{environment}/api/v2.0/companies({quote(at['company_id'], safe='')})"
        )
        login = "login.microsoftonline.com"
        scope = "https://api.businesscentral.dynamics.com/.default"
        api = ApiSession(
            context,
            at["base_url"],
            at.get("token_url") or f"https://{login}/{tenant}/oauth2/v2.0/token",
            client_in_form(at["client_id"], scope),
            read_failure,
            hosts=LEDGER.allowed_hosts,
            token_hosts=(login,),
        )
        super().__init__(context, api)

    async def check(self) -> str:
        """Return the company's name and its currency."""
        found = _values(await self._read("/companyInformation"))
        company = found[0] if found else {}
        name, currency = company.get("displayName", "?"), company.get("currencyCode", "?")
        return f"connected to the Business Central company {name}, currency {currency}"

    async def customer_for(self, customer: Customer) -> str | None:
        """Look up by id or number if mapped, else by displayName."""
        if customer.mapped and GUID.fullmatch(customer.mapped):
            one = await if_there(self._read(f"/customers({customer.mapped})"))
            found = [one] if one is not None else []
        else:
            field, value = "displayName", short(customer.account_name, 100)
            if customer.mapped:
                field, value = "number", customer.mapped
            where = {"$filter": f"{field} eq '{_quoted(value)}'"}
            found = _values(await self._read("/customers", where))
        customers = [
            RemoteCustomer(
                str(one["id"]), str(one.get("blocked", "")) in NOT_BLOCKED, str(one.get("number"))
            )
            for one in found
        ]
        return choose_customer(customers, customer, count_inactive=True)

    async def add_customer(self, customer: Customer) -> str:
        """Create a customer of that name; Business Central numbers it."""
        body: dict[str, Any] = {"displayName": short(customer.account_name, 100), "type": "Company"}
        lines = customer.address_lines
        if lines:
            body["addressLine1"] = short(lines[0], 100)
        if len(lines) > 1:
            body["addressLine2"] = short(", ".join(lines[1:]), 50)
        if customer.tax_id:
            body["taxRegistrationNumber"] = short(customer.tax_id, 20)
        return await self._create("customers", body, "a new customer")

    async def _create(self, entity: str, body: Any, what: str) -> str:
        created = await self._api.write("POST", f"{self._at}/{entity}", body)
        if not isinstance(created.get("id"), str):
            raise unreadable(f"the response to {what} has no id", writes=True)
        return str(created["id"])

    def render(self, document: ArDocument, customer: str) -> str:
        """Render a draft with its lines; the tax is computed from the codes.

        A credit memo names the one invoice that it corrects.
        """
        require_codes(document)
        require_number_length(document, NUMBER_LENGTH, "Business Central")
        document = with_lines_summed(document, self._most_lines)
        date_field = "invoiceDate" if document.kind == "invoice" else "creditMemoDate"
        body: dict[str, Any] = {
            "externalDocumentNumber": document.number,
            "customerId": customer,
            date_field: document.invoice_date.isoformat(),
            "postingDate": document.invoice_date.isoformat(),
            "dueDate": document.due_date.isoformat(),
            "currencyCode": document.currency,
        }
        if document.kind == "invoice" and document.po_number:
            body["customerPurchaseOrderReference"] = short(document.po_number, 35)
        known = document.not_applied(())
        if len(known) == 1:
            body["invoiceId"] = known[0].remote_id
        body[LINES[document.kind]] = [_line(line, document.currency) for line in document.lines]
        return exact_json(body)

    async def create(self, requests: Sequence[FrozenRequest]) -> list[RemoteDocument | Failure]:
        """Create a draft and read it, because its totals are computed from its lines."""
        (one,) = requests
        remote_id = await self._create(PLURAL[one.kind], one.request, one.number)
        return [await read_back(f"{one.number} was created", self._get(one.kind, remote_id))]

    async def post(self, remote_id: str, kind: DocumentType) -> RemoteDocument:
        """Post the draft unless it is posted."""
        draft = await self._get(kind, remote_id)
        if draft is None:
            message = f"there is no draft {remote_id}: it is looked up by our number"
            raise Failure("unknown", "draft_gone", message)
        if draft.state != "draft":
            return draft
        path = f"{self._at}/{PLURAL[kind]}({remote_id})/Microsoft.NAV.post"
        await self._api.call("POST", path, writes=True)
        posted = self._posted(kind, remote_id, draft.number)
        return await read_back(f"{draft.number} was posted", posted)

    async def _posted(
        self, kind: DocumentType, remote_id: str, number: str
    ) -> RemoteDocument | None:
        """Return the posted document of a draft, by its id, else by our number."""
        posted = await self._get(kind, remote_id)
        if posted is not None and posted.state != "draft":
            return posted
        found = (await self.find(kind, [number]))[number]
        return next((each for each in found if each.state != "draft"), None)

    async def allocate(self, credit: RemoteDocument, document: ArDocument) -> None:
        """Check that posting applied the credit memo to the one invoice that it names."""
        known = document.not_applied(())
        if len(known) > 1:
            numbers = ", ".join(each.number for each in known)
            raise Failure(
                "permanent",
                "several_invoices",
                f"Business Central applies a credit memo to one invoice,"
                f" {document.number} corrects {numbers}",
            )
        one = await if_there(self._read(f"/salesCreditMemos({credit.remote_id})"))
        if known and (
            one is None
            or (one.get("invoiceId") != known[0].remote_id and one.get("status") != "Paid")
        ):
            message = f"{document.number} was posted without being applied to {known[0].number}"
            raise Failure("permanent", "not_applied", message)

    async def discard(self, remote_id: str, kind: DocumentType) -> None:
        """Delete a draft."""
        path = f"/{PLURAL[kind]}({remote_id})"
        one = await if_there(self._read(path))
        if one is None:
            return
        if STATES.get(str(one.get("status"))) != "draft":
            message = f"{remote_id} is posted ({one.get('status')}) and cannot be deleted"
            raise Failure("permanent", "posted", message)
        headers = {"if-match": str(one.get("@odata.etag", "*"))}
        await if_there(self._api.call("DELETE", self._at + path, writes=True, headers=headers))

    async def find(self, kind: DocumentType, numbers: Sequence[str]) -> DocumentsByNumber:
        """Look up by externalDocumentNumber, which several documents may bear."""

        async def read(part: Sequence[str]) -> list[RemoteDocument]:
            conditions = (f"externalDocumentNumber eq '{_quoted(number)}'" for number in part)
            where = {"$filter": " or ".join(conditions)}
            found = _values(await self._read(f"/{PLURAL[kind]}", where))
            return [_document(one, kind) for one in found]

        return await find_by_number(numbers, read, chunk=LOOKED_UP_AT_ONCE)

    async def status(
        self, kind: DocumentType, remote_ids: Sequence[str]
    ) -> dict[str, RemoteDocument | None]:
        """Look up by id, one by one."""
        return {remote_id: await self._get(kind, remote_id) for remote_id in remote_ids}

    async def payments(self, cursor: str) -> PaymentPage:
        """Derive payments from invoices that changed, because posted payments have no list.

        What is paid of an invoice is its total less what is left and what was credited.
        """
        params = {"$orderby": "lastModifiedDateTime", "$top": str(PAGE)}
        if cursor:
            params["$filter"] = f"lastModifiedDateTime ge {cursor}"
        newest, payments = cursor, []
        for one in _values(await self._read("/salesInvoices", params)):
            changed_at = str(one.get("lastModifiedDateTime", ""))
            newest = max(newest, changed_at)
            invoice = _document(one, "invoice")
            if invoice.state not in ("posted", "paid") or invoice.balance is None:
                continue
            paid = invoice.total - invoice.balance
            if paid > 0:
                paid -= await self._credited(invoice.remote_id)
            payments.append(
                Payment(
                    payment_id=invoice.remote_id,
                    remote_id=invoice.remote_id,
                    number=invoice.number,
                    amount=max(paid, Decimal(0)),
                    currency=invoice.currency,
                    paid_on=date.fromisoformat(changed_at[:10]),
                    cancelled=paid <= 0,
                )
            )
        return PaymentPage(newest, tuple(payments))

    async def _credited(self, invoice: str) -> Decimal:
        where = {"$filter": f"invoiceId eq {invoice}"}
        notes = _values(await self._read("/salesCreditMemos", where))
        found = [_document(one, "credit-note") for one in notes]
        return sum((one.total for one in found if one.state in ("posted", "paid")), Decimal(0))

    async def _get(self, kind: DocumentType, remote_id: str) -> RemoteDocument | None:
        one = await if_there(self._read(f"/{PLURAL[kind]}({quote(remote_id, safe='')})"))
        return None if one is None else _document(one, kind)

    async def _read(self, path: str, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        return await self._api.read(self._at + path, params)


def read_failure(response: Response, writes: bool) -> Failure | None:
    """Read the code of an error; the status counts only if there is none."""
    error = object_in(response).get("error")
    if not isinstance(error, dict):
        return failure_of(response, writes=writes)
    code, message = str(error.get("code", "")), str(error.get("message", "")) or response.words
    if response.status == 404:
        return Failure("permanent", "http_404", f"{code}: {message}")
    if code == "Internal_EntityWithSameKeyExists":
        return Failure("duplicate", code, message)
    if code.startswith(("Authentication_", "Authorization_")):
        return Failure("auth", code, message)
    if code in TRANSIENT_CODES and response.status < 500:
        return Failure("transient", code, message, retry_after=response.retry_after)
    failed = failure_of(response, writes=writes, words=f"{code}: {message}")
    return failed or Failure("permanent", code or "error", message)


def _document(one: Mapping[str, Any], kind: DocumentType) -> RemoteDocument:
    try:
        left = one.get("remainingAmount")
        day = one.get("invoiceDate") if kind == "invoice" else one.get("creditMemoDate")
        return RemoteDocument(
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
        raise incomplete_response(f"a Business Central {kind}", error, writes=False) from error


def _line(line: Line, currency: str) -> dict[str, Any]:
    quantity, price = line.quantity_and_price(currency)
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


def _values(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the list of the response; without it the response proves nothing."""
    if not isinstance(body.get("value"), list):
        raise unreadable("the response has no list", writes=False)
    return list(body["value"])


def _quoted(text: str) -> str:
    return text.replace("'", "''")


LEDGER = AdapterSpec(
    name="business-central",
    title="Microsoft Dynamics 365 Business Central",
    settings=(
        Setting("tenant", "the Entra tenant: its id or domain", required=True, binds=True),
        Setting(
            "environment",
            "the environment, as in the address of Business Central",
            default="Production",
            binds=True,
        ),
        Setting(
            "company_id",
            "the company: `id` of GET .../api/v2.0/companies",
            required=True,
            binds=True,
        ),
        Setting("client_id", "of the app registered in Entra", required=True, binds=True),
        Setting("client_secret", "of the same app", secret=True, required=True),
        Setting(
            "refresh_token", "only if a user gave consent instead of an administrator", secret=True
        ),
        Setting(
            "base_url", "the API", default="https://api.businesscentral.dynamics.com", binds=True
        ),
        Setting(
            "token_url",
            "where tokens are renewed; empty: the tenant's at login.microsoftonline.com",
            default="",
            binds=True,
        ),
        most_lines_setting("account, item and tax", "1000"),
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
    needs="an app registered in Entra with the permission API.ReadWrite.All,"
    " known in Business Central under Microsoft Entra Applications",
)
