"""The nouns of closed documents, frozen, as they are shown, rendered and checked.

Signs: here, in CSV, events and totals, what lowers the debt is negative and what raises it is
positive, on every document. Renderers for people turn all signs of a credit note.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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


LEVELS: tuple[BilltoLevel, ...] = ("company", "client", "office")


@dataclass(frozen=True, slots=True)
class Party:
    """Seller or buyer as stored with the document; `address` is one text with line breaks."""

    name: str
    address: str = ""
    tax_id: str = ""
    bank: str = ""


@dataclass(frozen=True, slots=True)
class TaxTotal:
    """Net and tax of one tax code and rate (percent); an empty code is untaxed."""

    code: str
    rate: Decimal
    net: Decimal
    tax: Decimal


@dataclass(frozen=True, slots=True)
class CorrectedInvoice:
    """An invoice that a credit note corrects."""

    number: str
    invoice_date: date


@dataclass(frozen=True, slots=True)
class ClosedDocument:
    """The head of a closed invoice or credit note with its totals, without its lines."""

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

    @property
    def sign(self) -> int:
        """1, or -1 for a credit note: its signs are turned for people and in e-invoices."""
        return -1 if self.document_type == "credit-note" else 1


@dataclass(frozen=True, slots=True)
class ClosedLine:
    """One line of a closed document. `unit` is a UN/ECE code (HUR, DAY, C62)."""

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
