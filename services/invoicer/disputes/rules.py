"""What may be disputed of a line, and which quantity a credit of a disputed amount takes.

A dispute changes no document: what is disputed of a line is part of what is left to pay of it, and
is not due until the dispute is resolved. A line has at most one open dispute. A credit of the line
takes off what is disputed first; a payment of the line that leaves less than that, too.
"""

from collections.abc import Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from services.invoicer.credits.rules import IssuedDocument, IssuedLine, LineCredit, decide
from services.invoicer.invoices.rules.amounts import require_amount
from shared.errors import Refused
from shared.money import ZERO, plain, written

PREFIX = "DP-"
HUNDREDTH, FINEST = Decimal("0.01"), Decimal("0.0001")


class BilledLine(NamedTuple):
    """A line of an invoice to dispute: what is left to pay of it and of its document.

    `dispute_id`: of its open dispute, None without one.
    """

    invoice_id: int
    document_type: str
    account_name: str
    currency: str
    pay_line_id: int
    left: Decimal
    left_of_document: Decimal
    disputed_on_document: Decimal
    dispute_id: int | None


class Dispute(NamedTuple):
    """A dispute of a line: what was disputed first (`amount`) and what is disputed now."""

    dispute_id: int
    invoice_id: int
    invoice_number: str
    account_name: str
    line_no: int
    currency: str
    amount: Decimal
    disputed: Decimal
    state: str
    opened_on: date
    last_day: date

    @property
    def name(self) -> str:
        """Its id as people see it."""
        return dispute_name(self.dispute_id)


def dispute_name(dispute_id: int) -> str:
    """Return the id of a dispute as people see it."""
    return f"{PREFIX}{dispute_id:06d}"


def dispute_number(name: str) -> int | None:
    """Return the number in the id of a dispute; None if it is no such id."""
    digits = name.upper().removeprefix(PREFIX)
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 18 else None


def require_disputable(number: str, line_no: int, line: BilledLine, amount: Decimal) -> None:
    """Refuse to dispute a line of a credit note, one with a dispute, or more than is left."""
    where = f"line {line_no} of {number}"
    if line.document_type == "credit-note":
        raise Refused(
            "credit_note_disputed",
            f"{number} is a credit note: nothing of it is due",
            "dispute the line of the invoice that it corrects",
        )
    require_amount(amount, line.currency, where)
    if line.dispute_id is not None:
        name = dispute_name(line.dispute_id)
        raise Refused(
            "already_disputed",
            f"{where} has an open dispute, {name}",
            f"resolve it first: `backoffice disputes resolve {name}`",
        )
    most = max(min(line.left, line.left_of_document), ZERO)
    if amount > most:
        raise Refused(
            "more_than_left",
            f"{where}: {written(amount, line.currency)} to dispute,"
            f" {written(most, line.currency)} {line.currency} left to pay",
            f"dispute at most {written(most, line.currency)}"
            if most
            else "nothing is left to pay of the line, so nothing can be disputed",
        )


def require_open(dispute: Dispute) -> None:
    """Refuse to resolve a dispute that has ended."""
    if dispute.state != "open":
        raise Refused(
            "dispute_ended",
            f"{dispute.name} of line {dispute.line_no} of {dispute.invoice_number} was"
            f" {dispute.state} on {dispute.last_day}",
            f"see `backoffice disputes show {dispute.name}`",
        )


def gross(credit: LineCredit) -> Decimal:
    """Return what a credit takes off a line: net after allowance plus tax, above zero."""
    return -(credit.value.amount + credit.allowance + credit.tax)


def credit_of_dispute(
    dispute: Dispute,
    issued: IssuedDocument,
    lines: Sequence[IssuedLine],
    quantity: Decimal | None,
) -> LineCredit:
    """Return the credit that resolves a dispute: of the quantity whose value is disputed.

    The smallest quantity with two decimals, else with four. Refused if none has that value, or if
    a named `quantity` is worth more than what is disputed.
    """

    def credit(of: Decimal | None) -> LineCredit:
        (decided,) = decide(issued, lines, [(dispute.line_no, of)])
        return decided

    disputed, currency = dispute.disputed, dispute.currency
    if quantity is not None:
        named = credit(quantity)
        if gross(named) > disputed:
            raise Refused(
                "more_than_disputed",
                f"{plain(quantity)} of line {dispute.line_no} is"
                f" {written(gross(named), currency)} {currency},"
                f" {written(disputed, currency)} is disputed",
                "credit less, or uphold the dispute and use `backoffice credit`",
            )
        return named
    whole = credit(None)
    if gross(whole) == disputed:
        return whole
    left = abs(whole.of.remaining.quantity)
    nearest = left * disputed / gross(whole) if gross(whole) else ZERO
    for step in (HUNDREDTH, FINEST):
        middle = nearest.quantize(step, ROUND_HALF_UP)
        for candidate in (middle - step, middle, middle + step):
            if 0 < candidate < left and gross(found := credit(candidate)) == disputed:
                return found
    raise Refused(
        "no_such_quantity",
        f"no quantity of line {dispute.line_no} of {issued.invoice_number} is worth"
        f" {written(disputed, currency)} {currency}",
        f"name one: `--quantity {nearest.quantize(HUNDREDTH, ROUND_HALF_UP)}`; the rest is upheld",
    )
