"""Commands about payments that are recorded by hand or from a remittance file."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from shared.events.commands.base import InvoicerCommand
from shared.events.field_types import Currency, Day, DecimalString, Identifier, Message, Name

DOCUMENTS_AT_MOST = 1_000
LINES_AT_MOST = 5_000
PositiveAmount = Annotated[Decimal, DecimalString(places=4, digits=16, ge="0.0001")]
LineNo = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]


class AppliedTo(Message):
    """A document that money is applied to, or some lines of it.

    Without an amount it gets as much as is unapplied and left on it.
    """

    invoice_number: Identifier
    line_nos: Annotated[tuple[LineNo, ...], Field(strict=False, max_length=LINES_AT_MOST)] = ()
    amount: PositiveAmount | None = None


Documents = Annotated[tuple[AppliedTo, ...], Field(strict=False, max_length=DOCUMENTS_AT_MOST)]
SomeDocuments = Annotated[
    tuple[AppliedTo, ...], Field(strict=False, min_length=1, max_length=DOCUMENTS_AT_MOST)
]


class PaymentCommand(InvoicerCommand):
    """The fields of all of them. `account_name` is the payer.

    Where a ledger is connected it owns the payments: `although_ledger` says that this one is not
    in it.
    """

    billing_company: Identifier
    although_ledger: bool = False


class RecordPayment(PaymentCommand):
    """Record money received, and apply it to documents in their order.

    What is not applied is an unapplied credit. The same payer, check and date of deposit with the
    same values is a repeat: it changes nothing.
    """

    command: Literal["record-payment"] = "record-payment"
    check_id: Identifier
    account_name: Name
    received_on: Day
    bank: Name = ""
    amount: PositiveAmount
    currency: Currency
    apply_to: Documents = ()


class NamedPayment(PaymentCommand):
    """A command about one payment: payer and date of deposit are named where a check is not
    unique.
    """

    check_id: Identifier
    account_name: Name | None = None
    received_on: Day | None = None


class ApplyPayment(NamedPayment):
    """Apply what is unapplied of a payment to documents, in their order."""

    command: Literal["apply-payment"] = "apply-payment"
    apply_to: SomeDocuments


class UnapplyPayment(NamedPayment):
    """Take all that a payment pays of a document off it: it is an unapplied credit again."""

    command: Literal["unapply-payment"] = "unapply-payment"
    invoice_number: Identifier


class ReversePayment(NamedPayment):
    """Take a payment back whole, as when a check bounced: documents are open again."""

    command: Literal["reverse-payment"] = "reverse-payment"


class ApplyCredit(PaymentCommand):
    """Apply unapplied money of a payer to a document, the oldest deposit first."""

    command: Literal["apply-credit"] = "apply-credit"
    account_name: Name
    apply_to: AppliedTo


class RecordRefund(PaymentCommand):
    """Record that unapplied money was paid back to the payer, the oldest deposit first.

    The currency is needed where money in several is unapplied.
    """

    command: Literal["record-refund"] = "record-refund"
    account_name: Name
    amount: PositiveAmount
    currency: Currency | None = None
