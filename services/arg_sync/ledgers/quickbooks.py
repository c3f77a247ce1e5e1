"""QuickBooks Online, Accounting API v3. A repeated `requestid` gets the first answer, and a taken number is refused unless the company allows it.

An error may come in a 200; the code for a taken number differs by age of the account, so the message counts too.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

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
from services.arg_sync.ledgers.session import Session, by_number, doubtful, key_of, object_in
from services.arg_sync.rules.documents import Payment
from services.arg_sync.rules.folding import folded, mapped_or_refused, short
from shared import clock
from shared.terms import DocumentType

ENTITY = {"invoice": "Invoice", "credit-note": "CreditMemo"}
NUMBER_LENGTH = 21
ASKED_AT_ONCE = 40
PAGE = 500
PAGES_AT_ONCE = 10
CHANGES_KEPT = timedelta(days=29)
THROTTLED_SECONDS = 60.0
NUMBER_TAKEN = re.compile(r"duplicate document number", re.IGNORECASE)
NUMBER_TAKEN_CODES = {"6140", "6210"}
NAME_TAKEN = "6240"
AUTH_CODES = {"100", "120", "3200", "6190"}
THROTTLED_CODES = {"003001", "3001"}


class QuickBooks:
    """One company."""

    def __init__(self, host: Host) -> None:
        self.capabilities = host.capabilities
        at = host.settings
        self._ledger = host.ledger
        self._realm = at["realm_id"]
        self._usa = at.get("tax_model", "us") == "us"
        self._most_lines = int(at.get("most_lines") or 0)
        grant = refresh_or_client(at["client_id"])
        self._api = Session(
            host,
            at["base_url"],
            at["token_url"],
            grant,
            reading,
            hosts=LEDGER.allowed_hosts,
            token_hosts=(".platform.intuit.com",),
        )
        self._at = f"/v3/company/{self._realm}"

    async def check(self) -> str:
        """The company's name and country."""
        said = await self._read(f"/companyinfo/{self._realm}")
        company = said.get("CompanyInfo", {})
        return f"connected to the QuickBooks company {company.get('CompanyName', '?')} ({company.get('Country', '?')}), realm {self._realm}"

    async def renew(self) -> None:
        """A new access token."""
        await self._api.tokens.renew()

    async def customer_for(self, customer: Customer) -> str | None:
        """By Id if mapped, else by DisplayName; a customer has one currency there."""
        if customer.mapped:
            found = await self._query(
                "Customer", f"Id = '{_quoted(customer.mapped)}' and Active in (true, false)"
            )
            if not found:
                words = f"there is no customer {customer.mapped}, to which {customer.account_name} is mapped"
                raise Failure("permanent", "no_such_customer", words)
        else:
            names = {customer.account_name, _with_currency(customer)}
            inside = ", ".join(f"'{_quoted(name)}'" for name in sorted(names))
            wanted = {name.casefold() for name in names}
            there = await self._query(
                "Customer", f"DisplayName in ({inside}) and Active in (true, false)"
            )
            found = [
                one
                for one in there
                if str(one.get("DisplayName", "")).casefold() in wanted
                and _bills_in(one, customer.currency)
            ]
        active = [one for one in found if one.get("Active", True)]
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
        return str(active[0]["Id"]) if active else None

    async def add_customer(self, customer: Customer) -> str:
        """A customer named by its Account Name, with the currency behind it where the name is taken in another."""
        try:
            return await self._add_customer(customer, customer.account_name)
        except Failure as failed:
            if failed.code != f"quickbooks_{NAME_TAKEN}":
                raise
            there = await self.customer_for(customer)
            if there is not None:
                return there
            if not customer.currency:
                raise
            return await self._add_customer(customer, _with_currency(customer))

    async def _add_customer(self, customer: Customer, name: str) -> str:
        body: dict[str, Any] = {
            "DisplayName": name,
            "CompanyName": short(customer.name or customer.account_name, 100),
        }
        lines = [line for line in customer.address.splitlines() if line.strip()]
        if lines:
            body["BillAddr"] = {f"Line{at}": line for at, line in enumerate(lines[:5], 1)}
        if customer.currency:
            body["CurrencyRef"] = {"value": customer.currency}
        # No key: a name is taken once, and the answer of years ago would give a customer that is gone.
        said = await self._write("/customer", body, "")
        try:
            return str(said["Customer"]["Id"])
        except (LookupError, TypeError) as error:
            raise doubtful("the answer to a new customer", error, writes=True) from error

    def render(self, document: ArDocument, customer: str) -> str:
        """An Invoice or CreditMemo. The account comes with the item."""
        mapped_or_refused(document, needs_item=True, needs_account=False)
        if len(document.number) > NUMBER_LENGTH:
            raise Failure(
                "permanent",
                "number_too_long",
                f"QuickBooks takes numbers of {NUMBER_LENGTH} characters, {document.number} has {len(document.number)}",
            )
        document = folded(document, self._most_lines)
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
            body["PrivateNote"] = short(
                "corrects " + ", ".join(each.number for each in document.corrects), 4000
            )
        return exact_json(body | self._tax(document))

    def _line(self, line: Any, currency: str) -> dict[str, Any]:
        quantity, price = line.shown(currency)
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
        """The tax as we computed it; in the USA a document has one code."""
        codes = sorted({line.tax for line in document.lines if line.tax})
        if not codes:
            return {} if self._usa else {"GlobalTaxCalculation": "NotApplicable"}
        if not self._usa:
            return {
                "GlobalTaxCalculation": "TaxExcluded",
                "TxnTaxDetail": {"TotalTax": document.tax},
            }
        if len(codes) > 1:
            raise Failure(
                "permanent",
                "several_tax_codes",
                f"{document.number} has tax codes {', '.join(codes)}: in the USA QuickBooks takes one a document",
            )
        return {"TxnTaxDetail": {"TxnTaxCodeRef": {"value": codes[0]}, "TotalTax": document.tax}}

    async def create(self, requests: Sequence[Keyed]) -> list[Found | Failure]:
        """One at a time."""
        (one,) = requests
        entity = ENTITY[one.kind]
        said = await self._write(f"/{entity.lower()}", one.request, one.key)
        try:
            return [_found(said[entity], one.kind)]
        except (LookupError, TypeError, Failure) as error:
            raise doubtful(f"the answer to {one.number}", error, writes=True) from error

    async def post(self, remote_id: str, kind: DocumentType) -> Found:
        """There is one step: a document stands posted or not at all."""
        raise Failure(
            "permanent", "no_drafts", f"{remote_id} cannot be posted: QuickBooks has no drafts"
        )

    async def allocate(self, credit: Found, document: ArDocument) -> None:
        """A payment of nothing that links the credit memo with the invoices it is not linked with yet."""
        memo = (await self._read(f"/creditmemo/{credit.remote_id}")).get("CreditMemo")
        if not isinstance(memo, dict):
            raise Failure(
                "transient", "unreadable", f"credit memo {credit.remote_id} could not be read"
            )
        done: set[str] = set()
        for link in memo.get("LinkedTxn") or ():
            if link.get("TxnType") == "Payment":
                payment = (await self._read(f"/payment/{link['TxnId']}")).get("Payment", {})
                done |= {invoice for invoice, _ in _linked(payment, "Invoice")}
        missing = [
            each for each in document.corrects if each.remote_id and each.remote_id not in done
        ]
        if not missing:
            return
        amount = sum((each.amount for each in missing), Decimal(0))
        lines = [
            {"Amount": each.amount, "LinkedTxn": [{"TxnId": each.remote_id, "TxnType": "Invoice"}]}
            for each in missing
        ]
        lines.append(
            {"Amount": amount, "LinkedTxn": [{"TxnId": credit.remote_id, "TxnType": "CreditMemo"}]}
        )
        body = {
            "CustomerRef": {"value": credit.customer},
            "TotalAmt": Decimal(0),
            "CurrencyRef": {"value": document.currency},
            "TxnDate": document.invoice_date.isoformat(),
            "Line": lines,
        }
        await self._write(
            "/payment",
            body,
            key_of(
                self._ledger,
                "apply",
                credit.remote_id,
                *(f"{each.remote_id}={each.amount}" for each in missing),
            ),
        )

    async def discard(self, remote_id: str, kind: DocumentType) -> None:
        """There are no drafts."""
        raise Failure(
            "permanent", "no_drafts", f"{remote_id} is not deleted: QuickBooks has no drafts"
        )

    async def find(self, kind: DocumentType, numbers: Sequence[str]) -> dict[str, list[Found]]:
        """By DocNumber."""
        there = [_found(one, kind) for one in await self._in(ENTITY[kind], "DocNumber", numbers)]
        return by_number(numbers, there)

    async def status(
        self, kind: DocumentType, remote_ids: Sequence[str]
    ) -> dict[str, Found | None]:
        """By Id; one that is not in the answer is asked for alone, and only code 610 says that it is gone."""
        found: dict[str, Found | None] = {
            str(one["Id"]): _found(one, kind)
            for one in await self._in(ENTITY[kind], "Id", remote_ids)
        }
        for remote_id in remote_ids:
            if remote_id not in found:
                try:
                    found[remote_id] = _found(
                        (await self._read(f"/{ENTITY[kind].lower()}/{remote_id}"))[ENTITY[kind]],
                        kind,
                    )
                except KeyError as error:
                    raise doubtful(f"the answer about {remote_id}", error, writes=False) from error
                except Failure as failed:
                    if failed.code != "quickbooks_610":
                        raise
                    found[remote_id] = None
        return {remote_id: found[remote_id] for remote_id in remote_ids}

    async def payments(self, cursor: str) -> Payments:
        """By the time of their last change; deleted ones from the change log, which goes back a month. A whole page is read on from its last
        time, not by its number: one that changes meanwhile goes to the end, and those behind it move up into a page that was read."""
        made: list[Payment] = []
        newest, since, page = cursor, cursor, 0
        for _ in range(PAGES_AT_ONCE):
            where = f"MetaData.LastUpdatedTime >= '{since or '2000-01-01T00:00:00+00:00'}' orderby MetaData.LastUpdatedTime"
            read = await self._query("Payment", where, 1 + page * PAGE)
            for one in read:
                newest = max(newest, _changed(one))
                made += _payments_in(one)
            if len(read) < PAGE:
                break
            since, page = (newest, 0) if newest > since else (since, page + 1)
        if cursor:
            changed_since = max(
                datetime.fromisoformat(cursor), clock.now() - CHANGES_KEPT
            ).isoformat()
            for one in _changes(
                await self._read("/cdc", {"entities": "Payment", "changedSince": changed_since})
            ):
                if one.get("status") == "Deleted":
                    made.append(
                        Payment(
                            str(one["Id"]),
                            "",
                            "",
                            Decimal(0),
                            "",
                            datetime.fromisoformat(_changed(one) or cursor).date(),
                            cancelled=True,
                        )
                    )
        return Payments(newest, tuple(made))

    async def close(self) -> None:
        """Ends the connections."""
        await self._api.close()

    async def _in(self, entity: str, column: str, values: Sequence[str]) -> list[dict[str, Any]]:
        there: list[dict[str, Any]] = []
        for at in range(0, len(values), ASKED_AT_ONCE):
            inside = ", ".join(f"'{_quoted(value)}'" for value in values[at : at + ASKED_AT_ONCE])
            there += await self._query(entity, f"{column} in ({inside})")
        return there

    async def _query(self, entity: str, where: str, start: int = 1) -> list[dict[str, Any]]:
        said = await self._read(
            "/query",
            {
                "query": f"select * from {entity} where {where} startposition {start} maxresults {PAGE}"
            },
        )
        if not isinstance(said.get("QueryResponse"), dict):
            raise Failure(
                "transient",
                "unreadable",
                f"the answer to a query of {entity} holds no QueryResponse",
            )
        return list(said["QueryResponse"].get(entity) or ())

    async def _read(self, path: str, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        return await self._api.read(self._at + path, {"minorversion": "75"} | dict(params or {}))

    async def _write(self, path: str, body: Any, key: str) -> dict[str, Any]:
        return await self._api.write(
            "POST",
            self._at + path,
            body,
            {"minorversion": "75"} | ({"requestid": key} if key else {}),
        )


def reading(answer: Answer, writes: bool) -> Failure | None:
    """A Fault counts whatever the status."""
    said = object_in(answer)
    fault = said.get("Fault") or said.get("fault")
    if not isinstance(fault, dict):
        return failure_of(answer, writes=writes)
    errors = [
        one for one in fault.get("Error") or fault.get("error") or () if isinstance(one, dict)
    ]
    codes = {str(one.get("code", "")) for one in errors}
    words = (
        "; ".join(
            dict.fromkeys(
                ": ".join(filter(None, (_said(one, "Message"), _said(one, "Detail"))))
                for one in errors
            )
        )
        or "a fault without a word"
    )
    code = f"quickbooks_{sorted(codes)[0]}" if codes else "quickbooks_fault"
    kind = str(fault.get("type", "")).lower()
    if answer.status == 429 or codes & THROTTLED_CODES:
        return Failure(
            "transient",
            code,
            words,
            retry_after=answer.retry_after or THROTTLED_SECONDS,
            everywhere=True,
        )
    if (
        answer.status in (401, 403)
        or "authentication" in kind
        or "authorization" in kind
        or codes & AUTH_CODES
    ):
        return Failure("auth", code, words)
    if NUMBER_TAKEN.search(words) or codes & NUMBER_TAKEN_CODES:
        return Failure("duplicate", code, words)
    if answer.status >= 500 or "system" in kind:
        return Failure(
            "unknown" if writes else "transient", code, words, retry_after=answer.retry_after
        )
    return Failure("permanent", code, words)


def _said(error: Mapping[str, Any], name: str) -> str:
    return str(error.get(name) or error.get(name.lower()) or "")


def _found(one: Mapping[str, Any], kind: DocumentType) -> Found:
    try:
        total = Decimal(one["TotalAmt"])
        left = Decimal(one.get("RemainingCredit", one.get("Balance", total)))
        voided = total == 0 and "voided" in str(one.get("PrivateNote", "")).lower()
        return Found(
            remote_id=str(one["Id"]),
            number=str(one.get("DocNumber", "")),
            kind=kind,
            state="voided" if voided else "paid" if left == 0 else "posted",
            currency=str(one["CurrencyRef"]["value"]),
            total=total,
            customer=str(one["CustomerRef"]["value"]),
            remote_number=str(one.get("DocNumber", "")),
            balance=left,
            invoice_date=date.fromisoformat(one["TxnDate"]),
            changed_at=_changed(one),
        )
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise doubtful(f"a QuickBooks {kind}", error, writes=False) from error


def _linked(payment: Mapping[str, Any], kind: str) -> list[tuple[str, Decimal]]:
    """The documents of a kind that a payment pays or uses, with the amounts."""
    lines = [
        (link, line) for line in payment.get("Line") or () for link in line.get("LinkedTxn") or ()
    ]
    return [
        (str(link["TxnId"]), Decimal(line["Amount"]))
        for link, line in lines
        if link.get("TxnType") == kind
    ]


def _payments_in(one: Mapping[str, Any]) -> list[Payment]:
    """The money in a payment, by invoice: what its credit memos cover is none. A voided one is taken back."""
    invoices = _linked(one, "Invoice")
    covered = sum((amount for _, amount in _linked(one, "CreditMemo")), Decimal(0))
    on = date.fromisoformat(one["TxnDate"])
    currency = str((one.get("CurrencyRef") or {}).get("value", ""))
    if not invoices and "voided" in str(one.get("PrivateNote", "")).lower():
        return [Payment(str(one["Id"]), "", "", Decimal(0), currency, on, cancelled=True)]
    made = []
    for invoice, amount in invoices:
        by_credit = min(covered, amount)
        covered -= by_credit
        if amount > by_credit:
            made.append(Payment(str(one["Id"]), invoice, "", amount - by_credit, currency, on))
    return made


def _changes(said: Mapping[str, Any]) -> list[dict[str, Any]]:
    if not isinstance(said.get("CDCResponse"), list):
        raise Failure("transient", "unreadable", "the change log could not be read")
    return [
        one
        for part in said["CDCResponse"]
        for each in part.get("QueryResponse") or ()
        for one in each.get("Payment") or ()
    ]


def _changed(one: Mapping[str, Any]) -> str:
    """When it was changed last, in UTC."""
    text = str((one.get("MetaData") or {}).get("LastUpdatedTime", ""))
    return datetime.fromisoformat(text).astimezone(UTC).isoformat() if text else ""


def _with_currency(customer: Customer) -> str:
    return (
        f"{customer.account_name} ({customer.currency})"
        if customer.currency
        else customer.account_name
    )


def _bills_in(one: Mapping[str, Any], currency: str) -> bool:
    return not currency or (one.get("CurrencyRef") or {}).get("value", currency) == currency


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")


LEDGER = Kind(
    name="quickbooks",
    title="QuickBooks Online",
    settings=(
        Setting("realm_id", "the company: `realmId` of the consent", required=True),
        Setting("client_id", "of the app at developer.intuit.com", required=True),
        Setting("client_secret", "of the same app", secret=True, required=True),
        Setting(
            "refresh_token",
            "from the consent of an administrator of the company",
            secret=True,
            required=True,
        ),
        Setting(
            "webhook_key",
            "the verifier token of webhooks, to have payments read at once: https://<your host>/webhooks/<connection>",
            secret=True,
        ),
        Setting(
            "tax_model", "us: one tax code a document; global: a tax code a line", default="us"
        ),
        Setting(
            "base_url",
            "the API; https://sandbox-quickbooks.api.intuit.com for a sandbox",
            default="https://quickbooks.api.intuit.com",
        ),
        Setting(
            "token_url",
            "where tokens are renewed",
            default="https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer",
        ),
        Setting(
            "most_lines",
            "above so many lines those of one item and tax are summed; 0: never",
            default="0",
        ),
    ),
    capabilities=Capabilities(
        request_key=True,
        unique_number=True,
        steps=1,
        per_minute=450,
        concurrency=8,
        request_seconds=60.0,
        server_seconds=120.0,
    ),
    make=QuickBooks,
    allowed_hosts=("quickbooks.api.intuit.com", "sandbox-quickbooks.api.intuit.com"),
    needs="an app at developer.intuit.com with the scope com.intuit.quickbooks.accounting",
)
