"""Payments as entries: what an accounting system says now, less what was kept before, so that a repeat gives nothing and a change its difference."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from services.arg_sync.rules.documents import Payment
from shared.money import ZERO


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a payment against a document: the sum of its entries, how many there are, the date of the last."""

    payment_id: str
    remote_id: str
    amount: Decimal
    entries: int
    paid_on: date
    currency: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A new entry. Negative: so much is taken back."""

    payment_id: str
    remote_id: str
    number: str
    entry_no: int
    amount: Decimal
    currency: str
    paid_on: date


def new_entries(kept: Sequence[Kept], given: Sequence[Payment]) -> list[Entry]:
    """The entries that make what is kept equal to what is given. A cancelled payment without a document is taken back from all of its documents.

    An entry is never older than the one before it: so at the end of any day the sum is one that the accounting system once said.
    """
    known = {(each.payment_id, each.remote_id): each for each in kept}
    made: list[Entry] = []
    for payment in given:
        everywhere = [name for name in known if name[0] == payment.payment_id]
        for name in [(payment.payment_id, payment.remote_id)] if payment.remote_id else everywhere:
            before = known.get(name) or Kept(*name, ZERO, 0, payment.paid_on, payment.currency)
            difference = (ZERO if payment.cancelled else payment.amount) - before.amount
            if not difference:
                continue
            on = max(before.paid_on, payment.paid_on)
            currency = payment.currency or before.currency
            known[name] = replace(
                before,
                amount=before.amount + difference,
                entries=before.entries + 1,
                paid_on=on,
                currency=currency,
            )
            made.append(Entry(*name, payment.number, before.entries + 1, difference, currency, on))
    return made
