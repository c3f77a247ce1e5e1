"""Microsoft Dynamics 365 Business Central, API v2.0. Two steps, no request key, no unique number.

A draft is created, its id stored, then posted. After a lost response arg_sync waits until the
server's ten minutes are over and looks up by our number. A call that takes effect even later leaves
a second draft; it is never posted without a look-up, and reconciliation finds it.
"""

import re
from collections.abc import Collection, Mapping, Sequence
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
    day_in,
    if_there,
    list_in,
    read_back,
    required_values,
    value_in,
)
from services.arg_sync.ledgers.oauth import refresh_or_client
from services.arg_sync.ledgers.session import CloudAdapter, most_lines_setting, object_in
from shared.json_text import finite_decimal
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
CODES: Mapping[CodeKind, tuple[str, str]] = {
    "account": ("accounts", "number"),
    "item": ("items", "number"),
    "tax": ("taxGroups", "code"),
    "currency": ("currencies", "code"),
}
"""The lists of codes, and the field that holds the code."""
PAGE = 200
TAX_ID_LENGTH = 20
GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
SCOPE = "https://api.businesscentral.dynamics.com/.default"
NOT_BLOCKED = {"", " ", "_x0020_"}
TRANSIENT_CODES = {"Internal_TenantUnavailable", "Request_EntityChanged"}


class BusinessCentral(CloudAdapter):
    """One company of one environment."""

    counts_inactive = True
    numbers_at_once = 20

    def __init__(self, context: AdapterContext) -> None:
        at = context.settings
        tenant, environment, company = (
            quote(at[name], safe="") for name in ("tenant", "environment", "company_id")
        )
        login = "login.microsoftonline.com"
        super().__init__(
            context,
            LEDGER,
            f"{at['base_url'].rstrip('/')}/v2.0/{tenant}/{environment}/api/v2.0/companies({company})",
            at.get("token_url") or f"https://{login}/{tenant}/oauth2/v2.0/token",
            refresh_or_client(at["client_id"], SCOPE, in_form=True),
            read_failure,
            token_hosts=(login,),
        )

    async def check(self) -> str:
        """Return the company's name and its currency."""
        company = await self._company()
        name, currency = company.get("displayName", "?"), company.get("currencyCode", "?")
        return f"connected to the Business Central company {name}, currency {currency}"

    async def codes(self, kind: CodeKind, wanted: Collection[str]) -> Sequence[LedgerCode] | None:
        """Return all codes of a kind; documents have no code for their terms of ours."""
        if kind not in CODES:
            return None
        entity, field = CODES[kind]
        rows = list_in(await self.read(f"/{entity}"), "value")
        found = [
            LedgerCode(str(row[field]), str(row.get("displayName") or ""), _no_use(row))
            for row in rows
            if row.get(field)
        ]
        return [LedgerCode(await self._home_currency()), *found] if kind == "currency" else found

    async def _company(self) -> Row:
        found = list_in(await self.read("/companyInformation"), "value")
        return found[0] if found else {}

    async def _read_home_currency(self) -> str:
        return str((await self._company()).get("currencyCode") or "")

    async def _customer_rows(self, customer: Customer) -> Sequence[Row]:
        """Look up by id or number if mapped, else by displayName."""
        if customer.mapped and GUID.fullmatch(customer.mapped):
            one = await if_there(self.read(f"/customers({customer.mapped})"))
            return [one] if one is not None else []
        if customer.mapped:
            return await self._filtered("customers", f"number eq '{_quoted(customer.mapped)}'")
        name = customer.account_name
        return [
            one
            for one in await self._filtered("customers", f"displayName eq '{_quoted(name)}'")
            if str(one.get("displayName") or name).strip() == name.strip()
        ]

    def _customer(self, row: Row) -> RemoteCustomer:
        active = str(row.get("blocked") or "") in NOT_BLOCKED
        return RemoteCustomer(str(value_in(row, "id")), active, str(row.get("number") or row["id"]))

    async def _add_customer(self, customer: Customer) -> str:
        """Create a customer of that name; Business Central numbers it."""
        body: dict[str, Any] = {"displayName": customer.account_name, "type": "Company"}
        lines = customer.address_lines
        if lines:
            body["addressLine1"] = short(lines[0], 100)
        if len(lines) > 1:
            body["addressLine2"] = short(", ".join(lines[1:]), 50)
        if 0 < len(customer.tax_id) <= TAX_ID_LENGTH:  # cut, it would be another one
            body["taxRegistrationNumber"] = customer.tax_id
        return await self._add("customers", body, "a new customer")

    async def _add(self, entity: str, body: Any, what: str) -> str:
        created = await self.write("POST", f"/{entity}", body)
        if not isinstance(created.get("id"), str):
            raise unreadable(f"the response to {what} has no id", writes=True)
        return str(created["id"])

    def _body(self, document: ArDocument, customer: str) -> dict[str, Any]:
        """Render a draft with its lines; the tax is computed from the codes.

        A credit memo names the one invoice that it corrects.
        """
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
        return body

    async def _create(self, request: FrozenRequest) -> str:
        """Create a draft. Its totals are computed from its lines later, so it is read again."""
        return await self._add(PLURAL[request.kind], request.request, request.number)

    async def post(self, remote_id: str, kind: DocumentType) -> RemoteDocument:
        """Post the draft unless it is posted."""
        draft = await self._one(kind, remote_id)
        if draft is None:
            raise Failure(
                "unknown",
                "draft_gone",
                f"there is no draft {remote_id}: it is looked up by our number",
            )
        if draft.state != "draft":
            return draft
        await self.call("POST", f"{_path(kind, remote_id)}/Microsoft.NAV.post", writes=True)
        posted = self._posted(kind, remote_id, draft.number)
        return await read_back(f"{draft.number} was posted", posted)

    async def _posted(
        self, kind: DocumentType, remote_id: str, number: str
    ) -> RemoteDocument | None:
        """Return the posted document of a draft, by its id, else by our number."""
        posted = await self._one(kind, remote_id)
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
        one = await self._row("credit-note", credit.remote_id)
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
        """Delete a draft."""
        one = await self._row(kind, remote_id)
        if one is None:
            return
        if STATES.get(str(one.get("status"))) != "draft":
            raise Failure(
                "permanent",
                "posted",
                f"{remote_id} is posted ({one.get('status')}) and cannot be deleted",
            )
        headers = {"if-match": str(one.get("@odata.etag") or "*")}
        path = _path(kind, remote_id)
        await if_there(self.call("DELETE", path, writes=True, headers=headers))

    async def _by_number(self, kind: DocumentType, numbers: Sequence[str]) -> list[RemoteDocument]:
        """Look up by externalDocumentNumber, which several documents may bear."""
        conditions = (f"externalDocumentNumber eq '{_quoted(number)}'" for number in numbers)
        found = await self._filtered(PLURAL[kind], " or ".join(conditions))
        return await self._documents(found, kind)

    async def _row(self, kind: DocumentType, remote_id: str) -> Row | None:
        return await if_there(self.read(_path(kind, remote_id)))

    async def _filtered(self, entity: str, condition: str) -> list[dict[str, Any]]:
        return list_in(await self.read(f"/{entity}", {"$filter": condition}), "value")

    def _document(self, row: Row, kind: DocumentType) -> RemoteDocument:
        day = row.get("invoiceDate" if kind == "invoice" else "creditMemoDate")
        return RemoteDocument(
            remote_id=str(value_in(row, "id")),
            number=str(value_in(row, "externalDocumentNumber")),
            kind=kind,
            state=STATES[str(value_in(row, "status"))],
            currency=str(row.get("currencyCode") or ""),
            total=finite_decimal(value_in(row, "totalAmountIncludingTax")),
            customer=str(value_in(row, "customerId")),
            remote_number=str(row.get("number") or ""),
            balance=amount_in(row.get("remainingAmount")),
            invoice_date=day_in(day),
            changed_at=str(row.get("lastModifiedDateTime") or ""),
            tax=amount_in(row.get("totalTaxAmount")),
        )

    async def payments(self, cursor: str) -> PaymentPage:
        """Derive payments from invoices that changed, because posted payments have no list.

        What is paid of an invoice is its total less what is left and what was credited.
        """
        params = {"$orderby": "lastModifiedDateTime", "$top": str(PAGE)}
        if cursor:
            params["$filter"] = f"lastModifiedDateTime ge {cursor}"
        newest, payments = cursor, []
        rows = list_in(await self.read("/salesInvoices", params), "value")
        for invoice in await self._documents(rows, "invoice"):
            newest = max(newest, invoice.changed_at)
            if invoice.state not in ("posted", "paid"):
                continue
            if invoice.balance is None:
                raise unreadable(
                    f"invoice {invoice.number} in Business Central lacks remainingAmount",
                    writes=False,
                )
            paid = invoice.total - invoice.balance
            if paid > 0:
                paid -= await self._credited(invoice.remote_id)
            with required_values(f"invoice {invoice.number} in Business Central"):
                changed_on = date.fromisoformat(invoice.changed_at[:10])
            payments.append(
                Payment(
                    payment_id=invoice.remote_id,
                    remote_id=invoice.remote_id,
                    number=invoice.number,
                    amount=max(paid, Decimal(0)),
                    currency=invoice.currency,
                    paid_on=changed_on,
                    cancelled=paid <= 0,
                )
            )
        return PaymentPage(newest, tuple(payments))

    async def _credited(self, invoice: str) -> Decimal:
        notes = await self._filtered("salesCreditMemos", f"invoiceId eq {invoice}")
        found = await self._documents(notes, "credit-note")
        return sum((one.total for one in found if one.state in ("posted", "paid")), Decimal(0))


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


def _no_use(row: Row) -> str:
    """Return why a line of a sales document may not have this code."""
    if row.get("blocked") is True:
        return "is blocked"
    if row.get("accountType") not in (None, "Posting"):
        return f"is a {str(row['accountType']).lower()} account"
    return "takes no direct posting" if row.get("directPosting") is False else ""


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


def _path(kind: DocumentType, remote_id: str) -> str:
    return f"/{PLURAL[kind]}({quote(remote_id, safe='')})"


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
        tax_basis="document",
        correction="open the draft in Business Central, correct its VAT amount under Statistics"
        " and post it",
    ),
    make=BusinessCentral,
    allowed_hosts=("api.businesscentral.dynamics.com",),
    number_length=35,
    name_length=100,
    needs="an app registered in Entra with the permission API.ReadWrite.All,"
    " known in Business Central under Microsoft Entra Applications",
)
