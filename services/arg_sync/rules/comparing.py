"""Comparing what stands in a ledger with what we sent."""

from decimal import Decimal
from typing import Protocol

from services.arg_sync.rules.documents import Found
from shared.money import plain


class Wanted(Protocol):
    """What must stand there."""

    @property
    def number(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def currency(self) -> str: ...
    @property
    def total(self) -> object: ...
    @property
    def customer(self) -> str: ...


def differences(wanted: Wanted, there: Found) -> list[str]:
    """In words, in which respects a found document is not ours; empty if it is. The total to the cent."""
    found = []
    if there.number != wanted.number:
        found.append(f"its number is {there.number}")
    if there.kind != wanted.kind:
        found.append(f"it is a {there.kind}, ours is a {wanted.kind}")
    if there.currency != wanted.currency:
        found.append(f"its currency is {there.currency}, ours is {wanted.currency}")
    if Decimal(there.total) != Decimal(str(wanted.total)):
        found.append(
            f"its total is {plain(there.total)}, ours is {plain(Decimal(str(wanted.total)))}"
        )
    if wanted.customer and there.customer != wanted.customer:
        found.append(f"it belongs to customer {there.customer}, ours to {wanted.customer}")
    if there.state == "voided":
        found.append("it is voided")
    return found
