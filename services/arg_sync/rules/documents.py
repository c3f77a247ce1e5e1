"""A closed document in words that every accounting system understands: mapped codes, no SQL row, no vendor's field name.

On a credit note all signs are turned here, once: what the customer gets back is positive, as accounting systems want it.
"""

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Literal

from shared.money import rounded
from shared.terms import DocumentType

RemoteState = Literal["draft", "posted", "paid", "voided"]


@dataclass(frozen=True, slots=True)
class Customer:
    """Who owes: found in the accounting system by Account Name, or by `mapped`, the id or code that an operator gave for it.

    `currency` is the document's, for systems in which a customer has one of its own.
    """

    account_name: str
    name: str = ""
    address: str = ""
    tax_id: str = ""
    mapped: str = ""
    currency: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One line. `account`, `item` and `tax` are the accounting system's codes after mapping; `tax_code` is ours. `amount` is net and binding."""

    line_no: int
    description: str
    quantity: Decimal
    unit: str
    unit_price: Decimal
    amount: Decimal
    account: str
    item: str
    tax: str
    tax_code: str
    tax_amount: Decimal

    def multiplies(self, currency: str) -> bool:
        """Whether quantity × price rounds to the amount; if not, send 1 × amount: the amount is what was invoiced."""
        return rounded(self.quantity * self.unit_price, currency) == self.amount

    def shown(self, currency: str) -> "tuple[Decimal, Decimal]":
        """Quantity and price whose product is the amount."""
        return (
            (self.quantity, self.unit_price)
            if self.multiplies(currency)
            else (Decimal(1), self.amount)
        )


@dataclass(frozen=True, slots=True)
class TaxPart:
    """Net and tax of one tax code on the document; `tax` is the accounting system's code. These sums are binding, too."""

    tax_code: str
    tax: str
    rate: Decimal
    net: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Corrected:
    """An invoice that a credit note corrects, by how much with tax, and its id in the accounting system ("" if we did not deliver it)."""

    number: str
    amount: Decimal
    remote_id: str = ""


@dataclass(frozen=True, slots=True)
class ArDocument:
    """A closed invoice or credit note, ready to be put into an accounting system's words. The sum of the lines is `net`, net + tax is `total`."""

    invoice_id: int
    number: str
    kind: DocumentType
    billing_company: str
    customer: Customer
    invoice_date: date
    due_date: date
    currency: str
    po_number: str
    terms: str
    net: Decimal
    tax: Decimal
    total: Decimal
    lines: tuple[Line, ...]
    taxes: tuple[TaxPart, ...] = ()
    corrects: tuple[Corrected, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """A document as it stands in the accounting system. Of a credit note the total is positive. `number` is ours, `remote_number` theirs."""

    remote_id: str
    number: str
    kind: DocumentType
    state: RemoteState
    currency: str
    total: Decimal
    customer: str
    remote_number: str = ""
    balance: Decimal | None = None
    invoice_date: date | None = None
    changed_at: str = ""


@dataclass(frozen=True, slots=True)
class Payment:
    """Money that the accounting system booked against a document; `cancelled` if it was taken back. `payment_id` tells a repeat.

    One payment for several documents is given once for each, with the same `payment_id`: payment and document together name it. The same again
    with another amount takes the place of what was said before. Cancelled without a `remote_id` takes the whole payment back.
    `number` is "" where the system does not say it.
    """

    payment_id: str
    remote_id: str
    number: str
    amount: Decimal
    currency: str
    paid_on: date
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class Payments:
    """What was booked since a cursor, and the cursor for the next time."""

    cursor: str
    payments: tuple[Payment, ...] = field(default=())
