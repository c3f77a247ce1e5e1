"""The nouns of closed documents, frozen, as they are shown, rendered and checked.

Signs: here, in CSV, events and totals, what lowers the debt is negative and what raises it is
positive, on every document. Renderers for people turn all signs of a credit note.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from typing import Literal

DocumentKind = Literal["timesheet", "placement", "charge", "retainer", "assignment"]
DocumentType = Literal["invoice", "credit-note"]
LineKind = Literal["timesheet", "product"]
BilltoLevel = Literal["company", "client", "office"]
TaxRegime = Literal["standard", "exempt", "reverse-charge"]


def counted(number: int, noun: str, nouns: str = "") -> str:
    """Return a number with its noun: 1 line, 2 lines, 1,234 batches."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def similar_names(word: str, known: Iterable[str]) -> list[str]:
    """Return up to three known words that resemble this one; capitals do not count."""
    folded = {each.casefold(): each for each in sorted(known, reverse=True)}
    return [folded[match] for match in get_close_matches(word.casefold(), folded, n=3, cutoff=0.6)]


def duration(seconds: int) -> str:
    """Return a duration in the largest unit that it fills: 59 seconds, 2 minutes, 3 hours, 1 day.

    It is rounded down, so that it never says more than is true.
    """
    for noun, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= size:
            return counted(seconds // size, noun)
    return counted(max(seconds, 0), "second")


def listed(values: Sequence[object], most: int = 20) -> str:
    """Return the first values for a message, and how many more there are."""
    more = f" and {len(values) - most:,} more" if len(values) > most else ""
    return ", ".join(map(str, values[:most])) + more


def agreement_id(supplier_id: str, billing_company: str) -> str:
    """Return the id of a self-billing agreement, which is the billing company of its documents."""
    return f"{supplier_id}@{billing_company}"


def is_agreement(billing_company: str) -> bool:
    """Return whether a billing company is a self-billing agreement: no other id has an @."""
    return "@" in billing_company


def buyer_of(billing_company: str) -> str:
    """Return the billing company that buys under an agreement; of another company itself."""
    return billing_company.rpartition("@")[2]


LEVELS: tuple[BilltoLevel, ...] = ("company", "client", "office")


@dataclass(frozen=True, slots=True)
class Party:
    """Seller or buyer as stored with the document; `address` is one text with line breaks.

    `remit_to`, `payment_instructions`, `footer` and `logo` (the name of a picture) are of sellers;
    `contact`, `reference` and `timesheets` (where their detail is shown) of buyers. A supplier for
    whom the buyer issues the document has `self_billed_by`, the buyer's id, and the reference of
    their `agreement`.
    """

    name: str
    address: str = ""
    tax_id: str = ""
    bank: str = ""
    remit_to: str = ""
    payment_instructions: str = ""
    footer: str = ""
    logo: str = ""
    contact: str = ""
    reference: str = ""
    timesheets: str = ""
    self_billed_by: str = ""
    agreement: str = ""


@dataclass(frozen=True, slots=True)
class TaxTotal:
    """Net and tax of one tax code and rate (percent); an empty code is untaxed."""

    code: str
    rate: Decimal
    net: Decimal
    tax: Decimal


@dataclass(frozen=True, slots=True)
class Allowance:
    """A discount or surcharge on the lines of one tax code and rate; its tax is in `TaxTotal`.

    `amount` is negative if it lowers the debt. `percent` is None where it is no percentage of
    `base`: a fixed amount, or what credits take back of the allowances of an invoice.
    """

    name: str
    code: str
    rate: Decimal
    base: Decimal
    percent: Decimal | None
    amount: Decimal


@dataclass(frozen=True, slots=True)
class CorrectedInvoice:
    """An invoice that a credit note corrects."""

    number: str
    invoice_date: date


@dataclass(frozen=True, slots=True)
class RequirementNames:
    """What a requirement was called when a document was closed; empty where it is not known."""

    job_title: str = ""
    reference: str = ""
    client_contact: str = ""
    client_reference: str = ""


UNNAMED = RequirementNames()
PART = " · "
"""What separates the parts of a line's description."""


@dataclass(frozen=True, slots=True)
class Names:
    """The names on a document, as they were when it was closed, by id."""

    workers: Mapping[str, str] = field(default_factory=dict)
    requirements: Mapping[str, RequirementNames] = field(default_factory=dict)

    def described(self, line: "ClosedLine") -> str:
        """Return the description of a line, with the worker's name where it has his id."""
        name = self.workers.get(line.worker_id)
        if name is None:
            return line.description
        parts = line.description.split(PART)
        return PART.join(name if part == line.worker_id else part for part in parts)

    def requirement(self, requirement_id: str) -> RequirementNames:
        """Return what a requirement was called."""
        return self.requirements.get(requirement_id, UNNAMED)


@dataclass(frozen=True, slots=True)
class ClosedDocument:
    """The head of a closed invoice or credit note with its totals, without its lines.

    `net` is the sum of the lines and of the allowances.
    """

    invoice_id: int
    invoice_number: str
    document_type: DocumentType
    batch_id: str
    billing_company: str
    account_name: str
    seller: Party
    buyer: Party
    invoice_date: date
    due_date: date
    cut_off_date: date
    currency: str
    payment_terms: str
    po_number: str
    tax_wording: str
    net: Decimal
    tax: Decimal
    total: Decimal
    line_count: int
    service_from: date
    service_to: date
    tax_totals: tuple[TaxTotal, ...]
    corrects: tuple[CorrectedInvoice, ...]
    content_hash: str
    tax_regime: TaxRegime = "standard"
    credit_reason: str = ""
    names: Names = field(default_factory=Names, hash=False)
    allowances: tuple[Allowance, ...] = ()

    @property
    def allowance(self) -> Decimal:
        """The sum of the allowances."""
        return sum((each.amount for each in self.allowances), Decimal(0))

    @property
    def sign(self) -> int:
        """1, or -1 for a credit note: its signs are turned for people and in e-invoices."""
        return -1 if self.document_type == "credit-note" else 1

    @property
    def is_self_billed(self) -> bool:
        """Whether the buyer issued it for the seller, a supplier."""
        return bool(self.seller.self_billed_by)

    @property
    def sort(self) -> str:
        """Invoice or credit note, self-billed or not."""
        return "Invoice" if self.sign > 0 else "Credit note"

    @property
    def title(self) -> str:
        """What the document is called."""
        return f"Self-billed {self.sort.lower()}" if self.is_self_billed else self.sort

    @property
    def self_billing(self) -> str:
        """Who issued it for whom, and under which agreement; empty if the seller did."""
        if not self.is_self_billed:
            return ""
        agreement = f", agreement {self.seller.agreement}" if self.seller.agreement else ""
        return f"Self-billing: issued by {self.buyer.name} for {self.seller.name}{agreement}"


@dataclass(frozen=True, slots=True)
class ClosedLine:
    """One line of a closed document. `unit` is a UN/ECE code (HUR, DAY, C62).

    `item_id` is the catalog item ("" for time), `billto_node` the office, client or company that
    is billed. `amount` is before `allowance_amount`, the line's share of the allowances of the
    document; `tax_amount` is on both.
    """

    invoice_id: int
    line_no: int
    description: str
    document_kind: DocumentKind
    document_id: str
    pay_line_id: int
    worker_id: str
    requirement_id: str
    week_ending: date | None
    service_from: date
    service_to: date
    time_type: str
    quantity: Decimal
    unit: str
    unit_price: Decimal
    amount: Decimal
    tax_code: str
    tax_rate: Decimal
    tax_amount: Decimal
    po_number: str
    project: str
    cost_center: str
    corrects_invoice: str
    corrects_line: int | None
    allowance_amount: Decimal = Decimal(0)
    item_id: str = ""
    billto_node: str = ""


@dataclass(frozen=True, slots=True)
class TimesheetTime:
    """Time of one day and time type on a timesheet; what is not billable is worth nothing."""

    requirement_id: str
    work_date: date
    time_type: str
    hours: Decimal
    billable: bool = True


@dataclass(frozen=True, slots=True)
class ClosedTimesheet:
    """A timesheet on a closed document, as it was priced for that document.

    `times` are of the requirements that the document bills. `approved_on` and `approved_by` are
    empty where they are not known.
    """

    document_id: str
    source_id: str
    worker_id: str
    week_ending: date
    approved_on: str
    approved_by: str
    times: tuple[TimesheetTime, ...]


MOST_NAMED = 3


def credit_reason(document: ClosedDocument, lines: Iterable[ClosedLine]) -> str:
    """Return why a credit note was issued: an operator's reason, or what its lines correct."""
    if document.credit_reason:
        return document.credit_reason
    corrected: dict[str, dict[str, None]] = {}
    for line in lines:
        if line.corrects_invoice or line.amount < 0:
            corrected.setdefault(line.document_kind, {})[line.document_id] = None
    named = [
        f"{kind}{'s' * (len(ids) > 1)} {', '.join(ids)}"
        if len(ids) <= MOST_NAMED
        else counted(len(ids), kind)
        for kind, ids in sorted(corrected.items())
    ]
    return f"Correction of {' and '.join(named)}" if named else ""
