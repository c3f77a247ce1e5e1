"""Messages of fee_realizer: what a document is worth, in numbered realizations, and its holds."""

from typing import Annotated, Any, Literal

from pydantic import Field

from shared.events.field_types import (
    Amount,
    Currency,
    CustomFields,
    Day,
    Identifier,
    Message,
    MessageText,
    PartyPair,
    Quantity,
    RequestType,
    Revision,
    UnitPrice,
    absent,
)
from shared.terms import DocumentKind, LineKind

Side = Literal["client", "supplier"]


class PriceBasis(Message):
    """The rate book from which a time type was priced; `cited` if invoiced lines required it.

    Of an occurrence of an assignment: its document id, no time type, and the revision.
    """

    requirement_id: Identifier
    time_type: str
    rate_book: int
    cited: bool = False


class LineEngagement(Message):
    """The engagement of a line, with the terms that hold on the last service day of the line.

    `billing_filter` stays as it was when the line was first realized. `side`: whether the line
    bills the client or pays the supplier; `invoice_option` is the one of that side.
    """

    engagement_id: Identifier
    request_type: RequestType = "staffing"
    supplier_id: str = ""
    client_country: str = ""
    location: str = ""
    department: str = ""
    invoice_option: str = ""
    billing_filter: Annotated[tuple[PartyPair, ...], Field(strict=False)] = ()
    needs_transfer: bool = False
    custom: CustomFields = Field(default_factory=dict)
    side: Side = Field("client", exclude_if=lambda side: side == "client")


class RealizationLine(Message):
    """One line of a realization.

    `line_key` identifies the line through all revisions that price it from the same rate version:
    it names requirement, time type, rate version, project, cost centre and PO number, or the item.
    What a supplier is paid for time is a line of its own: its rate version names the supplier.
    `tax_date` decides the tax rate; without it the effective date does. `credit_date` is the
    effective date of credits of this line, if it is not that of the line.
    """

    line_key: str
    line_kind: LineKind
    billing_company: Identifier
    billto_node: Identifier
    currency: Currency
    quantity: Quantity
    unit: str
    unit_price: UnitPrice
    amount: Amount
    effective_date: Day
    service_from: Day
    service_to: Day
    week_ending: Day | None = None
    requirement_id: str = ""
    worker_id: str = ""
    time_type: str = ""
    item_id: str = ""
    project: str = ""
    cost_center: str = ""
    po_number: str = ""
    tax_code: str = ""
    tax_date: Day | None = None
    credit_date: Day | None = None
    rate_version: str = ""
    rate_book: int = 0
    description: str
    engagement: LineEngagement | None = Field(None, exclude_if=absent)
    derivation: dict[str, Any] = Field(default_factory=dict)


class PayLinesRealized(Message):
    """Realization n of an original document: `realized` with all its lines, or `withheld`.

    The highest n wins.
    """

    document_kind: DocumentKind
    document_id: Identifier
    realization_no: Annotated[int, Field(strict=True, ge=1)]
    realization_kind: Literal["realized", "withheld"]
    source_id: str
    revision: Revision
    cause: str
    basis: Annotated[tuple[PriceBasis, ...], Field(strict=False)] = ()
    lines: Annotated[tuple[RealizationLine, ...], Field(strict=False)] = ()


class DocumentHeld(Message):
    """A document is held: a code and a message state what it waits for.

    `realization_no` is set if a withheld realization was published for it.
    """

    document_kind: DocumentKind
    document_id: Identifier
    revision: Revision
    realization_no: int | None = None
    code: str
    message: MessageText


class DocumentReleased(Message):
    """A document is no longer held."""

    document_kind: DocumentKind
    document_id: Identifier
    revision: Revision
    realization_no: int | None = None


class PayLineDue(Message):
    """The effective date of a Scheduled line has come in its billing company's time zone."""

    pay_line_id: int
    billing_company: Identifier
    document_kind: DocumentKind
    document_id: Identifier
    line_key: str
    effective_date: Day
    currency: Currency
    amount: Amount
    description: str = ""
