"""Whether money may be applied to a document, and how much of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from services.invoicer.drafts.rules.invoicing_status import PROCESSED, Status, require_allowed
from services.invoicer.invoices.rules.amounts import require_amount
from services.invoicer.payments.rules.sharing import (
    Amounts,
    PaidByPayment,
    apply_to_lines,
    due_of,
    left_of,
    most_to_apply,
    paid_by_line,
    values_to_pay,
)
from shared.errors import Refused
from shared.money import ZERO, minor_unit, written
from shared.terms import DocumentType


@dataclass(frozen=True, slots=True)
class PayableDocument:
    """A closed document with the values of its lines and the payments applied to it.

    `values`: net after allowance, plus tax, less credits, by line. `paid_on_document`: what
    accounting systems and opening data say is paid of it as a whole. `payments`: in the order in
    which they were applied. `disputed`: what is disputed of lines, which is not due.
    """

    invoice_id: int
    invoice_number: str
    document_type: DocumentType
    account_name: str
    currency: str
    invoice_date: date
    values: Amounts
    paid_on_document: Decimal = ZERO
    payments: Sequence[PaidByPayment] = ()
    disputed: Amounts = field(default_factory=dict[int, Decimal])
    status: Status = PROCESSED

    @property
    def step(self) -> Decimal:
        """The smallest unit of its currency."""
        return minor_unit(self.currency)

    @property
    def values_to_pay(self) -> dict[int, Decimal]:
        """The values of the lines without what is paid of the document as a whole."""
        return values_to_pay(self.values, self.paid_on_document, self.step)

    @property
    def due_values(self) -> dict[int, Decimal]:
        """The same without what is disputed of them."""
        return due_of(self.values_to_pay, self.disputed)

    @property
    def due(self) -> Decimal:
        """What is left to pay of it without what is disputed."""
        left = left_of(self.values_to_pay, paid_by_line(self.payments))
        disputed = sum(left.values(), ZERO) - sum(due_of(left, self.disputed).values(), ZERO)
        return max(self.balance - disputed, ZERO)

    @property
    def balance(self) -> Decimal:
        """What is left to pay of it: total less credits and payments."""
        paid = self.paid_on_document + sum((each.total for each in self.payments), ZERO)
        return sum(self.values.values(), ZERO) - paid

    def paid_by(self, payment_id: str) -> Amounts:
        """What a payment pays of each line; empty if nothing."""
        return next((each.lines for each in self.payments if each.payment_id == payment_id), {})


def require_payable(
    document: PayableDocument, account_name: str, currency: str, line_nos: Sequence[int] = ()
) -> None:
    """Refuse a document that takes no money of this payer in this currency, or on these lines."""
    number = document.invoice_number
    require_allowed(number, document.status, "apply_payment")
    if document.document_type == "credit-note":
        raise Refused(
            "credit_note_takes_no_payment",
            f"{number} is a credit note: it is set off against what it corrects",
            "apply the payment to an invoice; to pay money back: `backoffice payments refund`",
        )
    if document.account_name != account_name:
        raise Refused(
            "other_payer",
            f"{number} is an invoice of {document.account_name}, the payer is {account_name}",
            f"record the part that pays {number} as a payment of {document.account_name}",
        )
    if document.currency != currency:
        raise Refused(
            "other_currency",
            f"{number} is in {document.currency}, the payment is in {currency}",
            f"record the payment in {document.currency}, as the bank credited it",
        )
    for line_no in line_nos:
        if line_no not in document.values:
            raise Refused(
                "unknown_line",
                f"{number} has no line {line_no}",
                f"see `backoffice invoices show {number}`",
            )


def amount_to_apply(
    document: PayableDocument,
    unapplied: Decimal,
    amount: Decimal | None,
    line_nos: Sequence[int] = (),
) -> Decimal:
    """Return how much is applied: what is named, else as much as is left on both sides.

    An amount that is named is refused if it is more than is left. Without one it may be zero, and
    what is disputed is not paid, unless its line is named.
    """
    where = document.invoice_number + (f" line {', '.join(map(str, line_nos))}" if line_nos else "")
    paid = paid_by_line(document.payments)
    most = most_to_apply(document.values_to_pay, paid, line_nos)
    if amount is None:
        return min(unapplied, most if line_nos else min(most, document.due))
    currency = document.currency
    require_amount(amount, currency, where)
    if amount > most:
        raise Refused(
            "more_than_left",
            f"{where}: {written(amount, currency)} to apply, {written(most, currency)} left",
            "apply what is left; the rest stays an unapplied credit",
        )
    if amount > unapplied:
        raise Refused(
            "more_than_unapplied",
            f"{written(amount, currency)} to apply to {where}, {written(unapplied, currency)}"
            f" {currency} unapplied",
            "see `backoffice payments list --unapplied`",
        )
    return amount


def shares_of(
    document: PayableDocument, amount: Decimal, line_nos: Sequence[int] = ()
) -> dict[int, Decimal]:
    """Return the parts of an amount on the lines of a document."""
    paid = paid_by_line(document.payments)
    return apply_to_lines(
        amount, document.values_to_pay, paid, document.step, line_nos, document.disputed
    )


def require_applied(amount: Decimal, documents: Sequence[PayableDocument]) -> None:
    """Refuse a command that would apply nothing."""
    if amount == 0:
        left = [each.invoice_number for each in documents if each.due > 0]
        disputed = [each.invoice_number for each in documents if each.balance > each.due]
        numbers = ", ".join(each.invoice_number for each in documents)
        if left:
            raise Refused(
                "nothing_unapplied",
                f"nothing is unapplied that could pay {', '.join(left)}",
                "see `backoffice payments list --unapplied`",
            )
        if disputed:
            raise Refused(
                "disputed",
                f"all that is left to pay of {', '.join(disputed)} is disputed",
                "resolve the dispute, or name the amount or the line that is paid after all",
            )
        raise Refused(
            "nothing_left",
            f"nothing is left to pay of {numbers}",
            "see `backoffice invoices search --state open`",
        )
