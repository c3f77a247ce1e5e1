"""Requirements and their rate books: which bill rate is in force, and how a rate book changes.

The rate book counts the changes of a requirement's bill rates, so that a line can cite the state
that it was priced from. A message of the ATS replaces the versions that came from the ATS, never
those that an operator set by command. See docs/billing.md, Bill rates that change.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Any

from shared.events.ats import RateFrom, Retainer
from shared.money import plain

HOUR = "HUR"
ATS = "ats"
COMMAND = "command"
# Line templates kept for each requirement: as many as the line keys of a usual week. Up to ten
# thousand requirements are cached, so this bounds the memory.
TEMPLATES_KEPT = 16


@dataclass(frozen=True, slots=True)
class StatusFrom:
    """Status and position type of a requirement from a date on."""

    from_date: date
    status: str
    position_type: str


@dataclass(frozen=True, slots=True)
class RateVersion:
    """A bill rate of a time type from a date on, for rate books since_book <= n < until_book."""

    time_type: str
    effective_from: date
    source: str
    unit_price: Decimal
    unit: str
    since_book: int
    until_book: int | None = None

    def in_book(self, book: int) -> bool:
        """Whether this version is in force in a rate book."""
        return self.since_book <= book and (self.until_book is None or book < self.until_book)

    @property
    def name(self) -> str:
        """The version's name in line keys: from-date@price, with the unit unless it is hours."""
        name = f"{self.effective_from}@{plain(self.unit_price)}"
        return name if self.unit == HOUR else f"{name}/{self.unit}"


@dataclass(frozen=True, slots=True)
class RateConfirmation:
    """An operator's decision that a version also applies to invoiced lines.

    It holds for the days on which the version of this from-date is in force in this rate book.
    """

    time_type: str
    effective_from: date
    rate_book: int


@dataclass(frozen=True, slots=True)
class RateTable:
    """The versions of one time type in one rate book, by from-date.

    For one from-date the version of a command wins over the one of the ATS.
    """

    days: Sequence[date]
    versions: Sequence[tuple[RateVersion, str]]

    @classmethod
    def of(cls, rates: Sequence[RateVersion], time_type: str, book: int) -> "RateTable":
        """Build the table of a time type."""
        by_day: dict[date, RateVersion] = {}
        for version in rates:
            if (
                version.time_type == time_type
                and version.in_book(book)
                and (version.source == COMMAND or version.effective_from not in by_day)
            ):
                by_day[version.effective_from] = version
        days = sorted(by_day)
        return cls(days, [(by_day[day], by_day[day].name) for day in days])

    def on(self, day: date) -> tuple[RateVersion, str] | None:
        """Return the version in force with its name: the latest from-date up to the work date."""
        at = bisect_right(self.days, day)
        return self.versions[at - 1] if at else None


@dataclass(frozen=True, slots=True)
class Requirement:
    """A requirement. `statuses` are in the order of their dates.

    `confirmations`, the newest rate book first, and versions that have ended are read only for
    documents with invoiced lines. A stub is not `known`.
    """

    requirement_id: str
    known: bool = False
    billing_company: str = ""
    office_id: str = ""
    job_title: str = ""
    currency: str = ""
    project: str = ""
    cost_center: str = ""
    po_number: str = ""
    rate_book: int = 0
    retainer: Retainer | None = None
    statuses: tuple[StatusFrom, ...] = ()
    rates: tuple[RateVersion, ...] = ()
    confirmations: tuple[RateConfirmation, ...] = ()
    _tables: dict[tuple[str, int], RateTable] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )
    _templates: dict[tuple[Any, ...], dict[str, Any]] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    def rate_table(self, time_type: str, book: int) -> RateTable:
        """Return the bill rates of a time type in a rate book; built once."""
        table = self._tables.get((time_type, book))
        if table is None:
            table = self._tables[time_type, book] = RateTable.of(self.rates, time_type, book)
        return table

    def line_template(
        self, key: tuple[Any, ...], build: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """Return the fields that the lines of one key share; copy them before changing them."""
        found = self._templates.get(key)
        if found is None:
            if len(self._templates) >= TEMPLATES_KEPT:
                self._templates.clear()
            found = self._templates[key] = build()
        return found

    def status_on(self, day: date) -> StatusFrom | None:
        """Return the status with the latest from-date up to the day."""
        at = bisect_right(self.statuses, day, key=lambda status: status.from_date)
        return self.statuses[at - 1] if at else None

    def cited_rate(self, time_type: str, book: int, day: date) -> tuple[RateVersion, str] | None:
        """Return the version for invoiced lines that cite a rate book.

        It is the version in that book, unless a later one was confirmed for the day. A day before
        all versions of the cited book (an adjustment may add one) takes the newest book.
        """
        for confirmation in self.confirmations:
            if confirmation.time_type == time_type and confirmation.rate_book > book:
                found = self.rate_table(time_type, confirmation.rate_book).on(day)
                if found is not None and found[0].effective_from == confirmation.effective_from:
                    return found
        cited = self.rate_table(time_type, book).on(day)
        return cited or self.rate_table(time_type, self.rate_book).on(day)


@dataclass(frozen=True, slots=True)
class RateBookChange:
    """The next state of a rate book: its number, the versions that end and those that begin."""

    book: int
    ended: Sequence[RateVersion] = ()
    begun: Sequence[RateVersion] = ()

    def apply(self, versions: Iterable[RateVersion]) -> tuple[RateVersion, ...]:
        """Return all versions as they are after this change."""
        ended = set(self.ended)
        kept = (
            replace(version, until_book=self.book) if version in ended else version
            for version in versions
        )
        return (*kept, *self.begun)


def replace_ats_rates(
    versions: Iterable[RateVersion], rates: Iterable[RateFrom], book: int
) -> RateBookChange:
    """Replace the versions of the ATS by its new rates; the number grows only if they differ."""
    current = {
        (version.time_type, version.effective_from): version
        for version in versions
        if version.source == ATS and version.until_book is None
    }
    sent = {(rate.time_type, rate.effective_from): rate for rate in rates}
    same = {
        key
        for key, rate in sent.items()
        if key in current
        and (current[key].unit_price, current[key].unit) == (rate.bill_rate, rate.unit)
    }
    ended = [version for key, version in current.items() if key not in same]
    begun = [
        RateVersion(rate.time_type, rate.effective_from, ATS, rate.bill_rate, rate.unit, book + 1)
        for key, rate in sent.items()
        if key not in same
    ]
    return RateBookChange(book + 1, ended, begun) if ended or begun else RateBookChange(book)


def set_operator_rate(
    versions: Sequence[RateVersion], time_type: str, effective_from: date, price: Decimal, book: int
) -> RateBookChange:
    """Add an operator's price to the book; it wins over the one of the ATS for its from-date.

    The unit is that of the time type on that date, else of its first version, else hours.
    """
    current = [
        version
        for version in versions
        if version.time_type == time_type and version.until_book is None
    ]
    replaced = [
        version
        for version in current
        if version.source == COMMAND and version.effective_from == effective_from
    ]
    if any(version.unit_price == price for version in replaced):
        return RateBookChange(book)
    found = RateTable.of(current, time_type, book).on(effective_from)
    first = found[0] if found else min(current, key=lambda one: one.effective_from, default=None)
    unit = first.unit if first else HOUR
    begun = RateVersion(time_type, effective_from, COMMAND, price, unit, book + 1)
    return RateBookChange(book + 1, replaced, [begun])
