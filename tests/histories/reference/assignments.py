"""Recurring assignments: on which days they are due, and at which price.

Each due date is a document of its own, and each change of its terms a revision of it. What is on
documents keeps the price that it cites until a later one is confirmed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal

from tests.histories.reference.fees import text
from tests.histories.reference.values import Line, Pair, money, short

RENT = "RENT"
DAY = timedelta(days=1)
AHEAD = timedelta(days=366)


@dataclass(frozen=True)
class Setting:
    """What holds from a day on: due on a day of each month or on some dates, or ended (no price).

    A month that is shorter has its last day.
    """

    number: int
    since: date
    until: date | None = None
    monthly: int | None = None
    dates: tuple[date, ...] = ()
    price: Decimal | None = None

    def is_due(self, day: date) -> bool:
        """Whether it is due on a day, if no later setting holds by then."""
        if self.price is None or day < self.since or (self.until is not None and day > self.until):
            return False
        if self.monthly is None:
            return day in self.dates
        return day.day == self.monthly or (day.day < self.monthly and (day + DAY).day == 1)


@dataclass(frozen=True)
class Occurrence:
    """A revision of a due date. A withdrawn one is no longer due."""

    revision: int
    company: str
    node: str
    currency: str
    due: date
    price: Decimal
    since: date
    withdrawn: bool = False
    confirmed: bool = False

    def lines(self, document_id: str, book: int) -> list[Line]:
        """Its price on its date; `book`: the revision that the line cites."""
        amount = money(self.price, self.currency)
        if self.withdrawn or not amount:
            return []
        key = text(["p", "assignment", RENT, 1, f"{short(self.price)} {self.currency}"])
        place, days = (self.company, self.node, self.currency), (self.due, self.due)
        cites = document_id, ""
        worth = Pair(Decimal(1), amount)
        return [
            Line(key, ("p", RENT), *place, worth, amount, self.due, None, days, "", "", cites, book)
        ]


def in_force(revisions: Mapping[int, Occurrence], cited: int | None) -> tuple[Occurrence, int]:
    """The terms of an occurrence, and the revision that its line cites.

    Of an invoiced one these are the last that were confirmed since the cited revision, or else
    those of that revision.
    """
    if cited is None:
        newest = max(revisions)
        return revisions[newest], newest
    confirmed = [at for at, one in revisions.items() if at > cited and one.confirmed]
    return revisions[max(confirmed, default=cited)], cited


@dataclass
class Assignment:
    """Everything that was set for an assignment, and the newest revision of each due date."""

    company: str
    node: str
    currency: str
    settings: list[Setting] = field(default_factory=list)
    made: dict[date, Occurrence] = field(default_factory=dict)
    changes: int = 0

    def on(self, day: date) -> Setting | None:
        """What holds on a day: the last that was set from that day or an earlier one."""
        of = [one for one in self.settings if one.since <= day]
        return max(of, key=lambda one: one.number, default=None)

    def change(self, setting: Setting) -> None:
        """Set what holds from a day on."""
        self.changes = setting.number
        self.settings.append(setting)

    def realize(self, today: date) -> Iterator[Occurrence]:
        """What is due in a year and is new, changed or withdrawn: the next revisions, in order."""
        day, newest = min(one.since for one in self.settings), self.settings[-1].number
        while day <= max([today + AHEAD, *self.made]):
            setting, made = self.on(day), self.made.get(day)
            due = setting is not None and setting.is_due(day)
            if due and day <= today + AHEAD:
                assert setting is not None and setting.price is not None
                if made is None or made.revision < setting.number:
                    place = self.company, self.node, self.currency
                    yield self._make(
                        Occurrence(setting.number, *place, day, setting.price, setting.since)
                    )
            elif not due and made is not None and not made.withdrawn and made.revision < newest:
                yield self._make(replace(made, revision=newest, withdrawn=True, confirmed=False))
            day += DAY

    def confirm(self, made: Occurrence) -> Occurrence:
        """The newest price of an occurrence, for its invoiced line as well."""
        return self._make(replace(made, revision=self.changes, confirmed=True))

    def _make(self, occurrence: Occurrence) -> Occurrence:
        self.made[occurrence.due] = occurrence
        return occurrence
