"""Answers of the commands about payments: what was applied to which document, what is unapplied."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from services.invoicer.payments.rules.applying import PayableDocument
from services.invoicer.payments.rules.received import ReceivedPayment
from services.invoicer.payments.store.received import Entry
from shared.consumer.commands import Answer
from shared.events.billing import Finding
from shared.money import ZERO, rounded, written

MOST_LISTED = 100


@dataclass(frozen=True, slots=True)
class AppliedPart:
    """What a command applied of a payment to a document, or took off it."""

    payment: ReceivedPayment
    document: PayableDocument
    lines: Mapping[int, Decimal]

    @property
    def amount(self) -> Decimal:
        """The amount; below zero it was taken off."""
        return sum(self.lines.values(), ZERO)

    def entry(self, day: date) -> Entry:
        """Return the entry to store."""
        return Entry(
            self.payment.payment_id,
            self.document.invoice_id,
            self.document.currency,
            day,
            self.lines,
        )


def refunded_before(payment: ReceivedPayment) -> Finding:
    """Return the finding that a reversed payment was refunded in part: that money is lost."""
    refunded = f"{written(payment.returned, payment.currency)} {payment.currency}"
    return Finding(
        severity="warning",
        code="refunded_before",
        about="debtor",
        message=f"{refunded} of {payment.words}, was refunded before the reversal",
        fix="claim it back: `backoffice charges add ID --help`",
        ids=(payment.account_name,),
    )


def repeat_answer(payment: ReceivedPayment) -> Answer:
    """Return the answer to the same payment once more: nothing was changed."""
    again = "; it was reversed" if payment.reversed else ""
    return Answer(
        f"{payment.words}, is recorded already{again}: nothing changed",
        details={"payments": [_shown(payment)], "applied": [], "repeat": True},
        subjects=[f"check {payment.check_id}", payment.account_name],
    )


def answer_of(
    begin: str, payments: Sequence[ReceivedPayment], parts: Sequence[AppliedPart]
) -> Answer:
    """Return what was applied to or taken off documents, and what is unapplied afterwards."""
    applied = [
        f"{written(each.amount, each.document.currency)} on {each.document.invoice_number}"
        if each.amount > 0
        else f"{written(-each.amount, each.document.currency)} off {each.document.invoice_number}"
        for each in parts
    ]
    listed = ", ".join(applied[:MOST_LISTED])
    unapplied = sum((each.unapplied for each in payments), ZERO)
    rest = written(unapplied, payments[0].currency) if payments else "0"
    return Answer(
        f"{begin}: {listed}; {rest} unapplied" if parts else f"{begin}; {rest} unapplied",
        details={
            "payments": [_shown(each) for each in payments[:MOST_LISTED]],
            "applied": [_listed(each) for each in parts[:MOST_LISTED]],
            "repeat": False,
        },
        before={
            each.document.invoice_number: {"balance": _money(each.document.balance, each)}
            for each in parts[:MOST_LISTED]
        },
        after={
            each.document.invoice_number: {
                "balance": _money(each.document.balance - each.amount, each)
            }
            for each in parts[:MOST_LISTED]
        },
        subjects=sorted(
            {
                *(f"check {each.check_id}" for each in payments),
                *(each.account_name for each in payments),
                *(each.document.invoice_number for each in parts),
            }
        ),
    )


def _shown(payment: ReceivedPayment) -> dict[str, Any]:
    return {
        "check_id": payment.check_id,
        "account_name": payment.account_name,
        "received_on": str(payment.received_on),
        "bank": payment.bank,
        "amount": str(rounded(payment.amount, payment.currency)),
        "unapplied": str(rounded(payment.unapplied, payment.currency)),
        "currency": payment.currency,
    }


def _listed(part: AppliedPart) -> dict[str, Any]:
    return {
        "check_id": part.payment.check_id,
        "invoice_number": part.document.invoice_number,
        "amount": _money(part.amount, part),
        "balance": _money(part.document.balance - part.amount, part),
        "lines": [
            {"line_no": line_no, "amount": _money(amount, part)}
            for line_no, amount in sorted(part.lines.items())[:MOST_LISTED]
        ],
    }


def _money(amount: Decimal, part: AppliedPart) -> str:
    return str(rounded(amount, part.document.currency))
