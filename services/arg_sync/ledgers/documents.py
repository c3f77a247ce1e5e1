"""Documents and payments as the adapters exchange them: mapped codes, no vendor's field names.

On a credit note the amounts that the customer gets back are positive.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

from shared.money import rounded
from shared.terms import ClosedDocument, ClosedLine, DocumentType

RemoteState = Literal["draft", "posted", "paid", "voided"]


@dataclass(frozen=True, slots=True)
class Customer:
    """The debtor, identified by Account Name, or by `mapped`: the ledger's id or code for it.

    `currency` is the document's, for systems in which a customer has one currency.
    """

    account_name: str
    name: str = ""
    address: str = ""
    tax_id: str = ""
    mapped: str = ""
    currency: str = ""

    @property
    def address_lines(self) -> list[str]:
        """The lines of the address that are not empty."""
        return [line for line in self.address.splitlines() if line.strip()]


@dataclass(frozen=True, slots=True)
class Line:
    """One line. `account`, `item` and `tax` are the ledger's codes, `tax_code` is ours.

    `amount` is net and binding. `tax_rate` is in percent. `closed` is our line as it was closed,
    with its own signs.
    """

    line_no: int
    description: str
    quantity: Decimal
    unit_price: Decimal
    amount: Decimal
    account: str
    item: str
    tax: str
    tax_code: str
    tax_amount: Decimal
    tax_rate: Decimal = Decimal(0)
    closed: ClosedLine | None = None

    def multiplies(self, currency: str) -> bool:
        """Return whether quantity × price rounds to the amount."""
        return rounded(self.quantity * self.unit_price, currency) == self.amount

    def quantity_and_price(self, currency: str) -> tuple[Decimal, Decimal]:
        """Return a quantity and a price whose product is the amount: 1 × amount if need be."""
        return (
            (self.quantity, self.unit_price)
            if self.multiplies(currency)
            else (Decimal(1), self.amount)
        )


@dataclass(frozen=True, slots=True)
class CreditedInvoice:
    """An invoice that a credit note corrects, and by how much with tax.

    `remote_id` is its id in the ledger, "" if we did not deliver it.
    """

    number: str
    amount: Decimal
    remote_id: str = ""
    invoice_date: date | None = None


@dataclass(frozen=True, slots=True)
class ArDocument:
    """A closed invoice or credit note. The lines sum to `total` less `tax`.

    `closed` is our document as it was closed, with its own signs.
    """

    number: str
    kind: DocumentType
    billing_company: str
    customer: Customer
    invoice_date: date
    due_date: date
    currency: str
    po_number: str
    terms: str
    tax: Decimal
    total: Decimal
    lines: tuple[Line, ...] = ()
    corrects: tuple[CreditedInvoice, ...] = ()
    closed: ClosedDocument | None = None

    def not_applied(self, applied: Collection[str]) -> list[CreditedInvoice]:
        """Return the corrected invoices in the ledger that are not among these applied ids."""
        return [one for one in self.corrects if one.remote_id and one.remote_id not in applied]


@dataclass(frozen=True, slots=True)
class RemoteDocument:
    """A document in the accounting system. `number` is ours, `remote_number` is the ledger's.

    The total and the tax of a credit note are positive; `tax` is None where the ledger gives none.
    `problem`: how it differs from what we sent in a way that no other field shows, as in "the file
    was changed".
    """

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
    tax: Decimal | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Payment:
    """Money that the accounting system booked against a document.

    One payment of several documents is given once for each: `payment_id` and document together
    identify it. The same again with another amount replaces what was given before. `cancelled`
    means that it was reversed; without a `remote_id` it was reversed on all of its documents.
    `number` is "" where the system does not give it.
    """

    payment_id: str
    remote_id: str
    number: str
    amount: Decimal
    currency: str
    paid_on: date
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class PaymentPage:
    """Payments booked since a cursor, and the cursor for the next call.

    `complete`: the ids of documents of which the page has all payments, so that what is stored of
    them and not in the page was undone.
    """

    cursor: str
    payments: tuple[Payment, ...] = ()
    complete: frozenset[str] = frozenset()
