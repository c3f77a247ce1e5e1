"""Discounts and surcharges of a debtor: document-level allowances and charges (EN 16931).

They are part of the terms of a debtor, in the order in which they were given. A document takes
discounts before surcharges, each in that order and each of what the ones before it left.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from shared.errors import Refused
from shared.money import plain
from shared.terms import listed

AllowanceKind = Literal["discount", "surcharge"]
AppliesTo = Literal["all", "timesheets", "products"]
MOST_ALLOWANCES = 20
"""Discounts and surcharges of one debtor at a time."""


class AllowanceTerm(NamedTuple):
    """A discount or surcharge: `percent` of what it applies to, or a fixed `amount`, before tax.

    Exactly one of both is given. An amount with a `currency` is charged on documents in that
    currency only, without one in each currency of the debtor.
    """

    kind: AllowanceKind
    name: str
    percent: Decimal | None = None
    amount: Decimal | None = None
    currency: str = ""
    applies_to: AppliesTo = "all"

    @property
    def sign(self) -> int:
        """1 for what raises the debt, -1 for what lowers it."""
        return -1 if self.kind == "discount" else 1

    @property
    def words(self) -> str:
        """The term for people: discount Volume 2.5 % of timesheets."""
        figure = (
            f"{plain(self.amount)} {self.currency}".strip()
            if self.amount is not None
            else f"{plain(self.percent or Decimal(0))} %"
        )
        of = "" if self.applies_to == "all" else f" of {self.applies_to}"
        return f"{self.kind} {self.name} {figure}{of}"

    @property
    def row(self) -> dict[str, Any]:
        """The term as it is stored: decimals as strings."""
        return {
            "kind": self.kind,
            "name": self.name,
            "percent": None if self.percent is None else plain(self.percent),
            "amount": None if self.amount is None else plain(self.amount),
            "currency": self.currency,
            "applies_to": self.applies_to,
        }


def allowance_terms(stored: Iterable[Mapping[str, Any]]) -> tuple[AllowanceTerm, ...]:
    """Return the terms of stored rows."""
    return tuple(
        AllowanceTerm(
            row["kind"],
            row["name"],
            None if row["percent"] is None else Decimal(row["percent"]),
            None if row["amount"] is None else Decimal(row["amount"]),
            row["currency"],
            row["applies_to"],
        )
        for row in stored
    )


def change_allowances(
    account_name: str,
    current: Sequence[AllowanceTerm],
    given: Sequence[AllowanceTerm],
    removed: Sequence[str],
) -> tuple[AllowanceTerm, ...]:
    """Return the allowances of a debtor without some names, and with those that are given.

    One that is given replaces the one of the same name, in its place. Raises `Refused` if a name to
    remove is not there, or if there would be too many.
    """
    names = [each.name for each in current]
    unknown = [name for name in removed if name not in names]
    if unknown:
        raise Refused(
            "unknown_allowance",
            f"{account_name} has no discount or surcharge {listed(unknown)}"
            + (f"; it has {listed(names)}" if names else ""),
            "see `backoffice debtor-terms show`",
        )
    new = {each.name: each for each in given}
    kept = [new.pop(each.name, each) for each in current if each.name not in removed]
    result = (*kept, *new.values())
    if len(result) > MOST_ALLOWANCES:
        raise Refused(
            "too_many_allowances",
            f"{account_name} would have {len(result)} discounts and surcharges"
            f"; the limit is {MOST_ALLOWANCES}",
            "remove some of them with `--remove-allowance NAME`",
        )
    return result


def in_order(terms: Sequence[AllowanceTerm]) -> list[AllowanceTerm]:
    """Return the terms in the order in which a document takes them: discounts first."""
    return sorted(terms, key=lambda term: term.sign)
