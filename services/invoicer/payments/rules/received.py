"""Money received: which payment is a repeat, which one is meant, and what may be done with it.

A payment is identified by the payer, the check identifier and the date of deposit, within a billing
company. A check that bounced may be presented again, with its new date of deposit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from shared.errors import Refused
from shared.money import ZERO, written


@dataclass(frozen=True, slots=True)
class ReceivedPayment:
    """A recorded payment: its values, and what became of the money.

    `applied`: to documents. `returned`: refunded or reversed. `last_day`: the day of its newest
    entry; an entry is never older than the one before.
    """

    payment_id: str
    account_name: str
    check_id: str
    received_on: date
    bank: str
    amount: Decimal
    currency: str
    applied: Decimal = ZERO
    returned: Decimal = ZERO
    reversed: bool = False
    last_day: date | None = None

    @property
    def unapplied(self) -> Decimal:
        """What is neither applied nor returned."""
        return self.amount - self.applied - self.returned

    @property
    def words(self) -> str:
        """The payment as messages name it."""
        return f"check {self.check_id} of {self.account_name}, {self.received_on}"

    def entry_day(self, today: date | None = None) -> date:
        """Return the day of a new entry: that of the deposit, or `today` for what takes back."""
        return max(self.last_day or self.received_on, today or self.received_on)


def repeated(
    known: Sequence[ReceivedPayment], amount: Decimal, currency: str, bank: str
) -> ReceivedPayment | None:
    """Return the payment that has the same identity and the same values; None if there is none.

    `known`: the payments with the same payer, check and date of deposit. Other values are refused,
    unless all of these were reversed.
    """
    for each in known:
        if (each.amount, each.currency, each.bank) == (amount, currency, bank):
            return each
    standing = [each for each in known if not each.reversed]
    if standing:
        (first, *_) = standing
        given = f"{written(amount, currency)} {currency}" + (f" at {bank}" if bank else "")
        known_as = f"{written(first.amount, first.currency)} {first.currency}" + (
            f" at {first.bank}" if first.bank else ""
        )
        raise Refused(
            "payment_differs",
            f"{first.words}, is recorded with {known_as}; now it has {given}",
            f"reverse it first: `backoffice payments reverse {first.check_id}`, or give another"
            " date of deposit",
        )
    return None


def require_received(received_on: date, today: date) -> None:
    """Refuse a date of deposit in the future."""
    if received_on > today:
        raise Refused(
            "received_in_future",
            f"the date of deposit {received_on} is after today, {today}",
            "give the day on which the money arrived: --received-on DATE",
        )


def payment_meant(
    check_id: str, found: Sequence[ReceivedPayment], *, may_be_reversed: bool = False
) -> ReceivedPayment:
    """Return the payment that a check identifier means.

    `found`: the payments that have it and the payer and date that are named. Reversed ones are
    meant only if there is no other.
    """
    if not found:
        raise Refused(
            "unknown_payment",
            f"there is no such payment with the check {check_id}",
            "see `backoffice payments list`",
        )
    standing = [each for each in found if not each.reversed]
    if not standing and not may_be_reversed:
        raise Refused(
            "payment_reversed",
            f"{found[-1].words}, was reversed",
            "record it with its new date of deposit when it is presented again",
        )
    candidates = standing or found
    payers = sorted({each.account_name for each in candidates})
    if len(payers) > 1:
        raise Refused(
            "ambiguous_check",
            f"{check_id} is a check of {', '.join(payers)}",
            "name one with --payer",
        )
    if len(standing) > 1:
        days = ", ".join(str(each.received_on) for each in standing)
        raise Refused(
            "ambiguous_check",
            f"{check_id} of {payers[0]} was received on {days}",
            "name one with --received-on",
        )
    return candidates[-1]


def take_unapplied(
    payments: Sequence[ReceivedPayment], amount: Decimal
) -> list[tuple[ReceivedPayment, Decimal]]:
    """Take an amount from unapplied money, the oldest deposit first; it must be there."""
    taken: list[tuple[ReceivedPayment, Decimal]] = []
    for each in sorted(payments, key=lambda one: (one.received_on, one.check_id, one.payment_id)):
        part = min(each.unapplied, amount)
        if part > 0:
            taken.append((each, part))
            amount -= part
    if amount:
        raise AssertionError(f"{amount} more than what is unapplied")
    return taken
