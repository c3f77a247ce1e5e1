"""What a webhook sends and what it wants back: the JSON of both, from which the schemas are made.

Signs are those of our events: what lowers the debt is negative, so a credit note's amounts are.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.arg_sync.ledgers.documents import ArDocument, Line
from shared.events.field_types import (
    ID_LENGTH,
    Amount,
    Currency,
    Day,
    Identifier,
    Message,
    Percent,
)
from shared.money import ZERO
from shared.terms import ClosedDocument, DocumentType, Party, TaxRegime

MappedCode = Annotated[str, Field(description="the receiver's code by `ledger map`; may be empty")]


class WebhookParty(Message):
    """Seller or buyer as printed on the document."""

    name: str
    address: str
    tax_id: str
    bank: str

    @classmethod
    def of(cls, party: Party) -> "WebhookParty":
        """Convert a party."""
        return cls(name=party.name, address=party.address, tax_id=party.tax_id, bank=party.bank)


class WebhookTaxTotal(Message):
    """Net and tax of one tax code and rate (percent)."""

    code: str
    rate: Percent
    net: Amount
    tax: Amount


class WebhookAllowance(Message):
    """A discount (negative) or surcharge on the lines of one tax code and rate, before tax.

    `base` is what the lines were before it; without `percent` it is no percentage of that.
    """

    name: str
    code: str
    rate: Percent
    base: Amount
    percent: Percent | None
    amount: Amount


class WebhookCorrection(Message):
    """An invoice that a credit note lowers by `amount` (positive, with tax).

    `remote_id` is the id that the receiver gave to the invoice, empty if it did not get it from us.
    """

    invoice_number: Identifier
    amount: Amount
    remote_id: str


class WebhookLine(Message):
    """One line. `amount` is net and binding; quantity × price may differ from it by a cent.

    `allowance_amount` is its share of the document's `allowances`, and not part of `amount`.
    """

    line_no: int
    description: str
    account: MappedCode
    item: MappedCode
    tax: MappedCode
    document_kind: str
    document_id: str
    pay_line_id: int
    worker_id: str
    requirement_id: str
    week_ending: Day | None
    service_from: Day
    service_to: Day
    time_type: str
    quantity: Amount
    unit: Annotated[str, Field(description="UN/ECE code: HUR, DAY, C62")]
    unit_price: Amount
    amount: Amount
    tax_code: str
    tax_rate: Percent
    tax_amount: Amount
    po_number: str
    project: str
    cost_center: str
    corrects_invoice: str
    corrects_line: int | None
    allowance_amount: Amount = ZERO


class WebhookDocument(Message):
    """A closed invoice or credit note with its lines: the body of the POST.

    The amounts of the lines and of the `allowances` add up to `net`.
    """

    version: Literal[1] = 1
    idempotency_key: Identifier
    invoice_number: Identifier
    document_type: DocumentType
    batch_id: Identifier
    billing_company: Identifier
    account_name: str
    customer: Annotated[str, Field(description="the receiver's code if mapped, else account_name")]
    seller: WebhookParty
    buyer: WebhookParty
    invoice_date: Day
    due_date: Day
    cut_off_date: Day
    service_from: Day
    service_to: Day
    currency: Currency
    payment_terms: str
    terms: MappedCode
    po_number: str
    tax_regime: TaxRegime
    tax_wording: str
    net: Amount
    tax: Amount
    total: Amount
    tax_totals: tuple[WebhookTaxTotal, ...]
    corrects: tuple[WebhookCorrection, ...]
    content_hash: str
    lines: tuple[WebhookLine, ...]
    allowances: tuple[WebhookAllowance, ...] = ()


class WebhookAnswer(BaseModel):
    """The answer to the POST, and to a look-up. What the POST's answer leaves out is as we sent it.

    `remote_id` is the receiver's id of the document, `remote_number` its own number if it gives
    one. `total` and `balance` have the signs of the request.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    remote_id: Identifier
    remote_number: Annotated[str, Field(max_length=ID_LENGTH)] = ""
    state: Literal["posted", "paid", "voided"] = "posted"
    invoice_number: str | None = None
    document_type: DocumentType | None = None
    currency: str | None = None
    total: Amount | None = None
    balance: Amount | None = None
    customer: Annotated[str, Field(max_length=ID_LENGTH * 2)] | None = None


def webhook_document(document: ArDocument, customer: str, key: str) -> WebhookDocument:
    """Build the body for a document whose closed form is known. `customer` is the receiver's code.

    Raises ValueError if the closed form is missing.
    """
    closed = document.closed
    if closed is None:
        raise ValueError(f"{document.number} comes without its closed form")
    return WebhookDocument(
        idempotency_key=key,
        invoice_number=closed.invoice_number,
        document_type=closed.document_type,
        batch_id=closed.batch_id,
        billing_company=closed.billing_company,
        account_name=closed.account_name,
        customer=customer,
        seller=WebhookParty.of(closed.seller),
        buyer=WebhookParty.of(closed.buyer),
        invoice_date=closed.invoice_date,
        due_date=closed.due_date,
        cut_off_date=closed.cut_off_date,
        service_from=closed.service_from,
        service_to=closed.service_to,
        currency=closed.currency,
        payment_terms=closed.payment_terms,
        terms=document.terms,
        po_number=closed.po_number,
        tax_regime=closed.tax_regime,
        tax_wording=closed.tax_wording,
        net=closed.net,
        tax=closed.tax,
        total=closed.total,
        tax_totals=_tax_totals(closed),
        corrects=tuple(
            WebhookCorrection(
                invoice_number=each.number, amount=each.amount, remote_id=each.remote_id
            )
            for each in document.corrects
        ),
        content_hash=closed.content_hash,
        lines=tuple(_line(each) for each in document.lines),
        allowances=tuple(
            WebhookAllowance(
                **{name: getattr(each, name) for name in WebhookAllowance.model_fields}
            )
            for each in closed.allowances
        ),
    )


def _tax_totals(closed: ClosedDocument) -> tuple[WebhookTaxTotal, ...]:
    return tuple(
        WebhookTaxTotal(code=each.code, rate=each.rate, net=each.net, tax=each.tax)
        for each in closed.tax_totals
    )


def _line(line: Line) -> WebhookLine:
    closed = line.closed
    if closed is None:
        raise ValueError(f"line {line.line_no} comes without its closed form")
    same = {
        name: getattr(closed, name)
        for name in WebhookLine.model_fields
        if name not in ("account", "item", "tax")
    }
    return WebhookLine(**same, account=line.account, item=line.item, tax=line.tax)
