"""The facts that a document is priced from, frozen: billing companies, requirements with their rates, catalog items.

A fact that nobody has told us yet is there as a stub (`known` false), so that a document that waits for it can lock it.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from pydantic_core import to_json

from shared.money import plain

HOUR = "HUR"
LINES_KEPT = 16
"""Of each requirement: as many as it has keys in a usual week. Ten thousand requirements are kept."""
Line = dict[str, Any]
"""A line of worth under the field names of `RealizationLine`, as JSON takes it (a model for each would cost half the speed)."""


def in_json(value: Any) -> str:
    """The one way in which line keys and statements are written: compact, in the field's own letters. Byte for byte what `json` writes
    without spaces and without escapes for letters, in half the time."""
    return to_json(value).decode()


@dataclass(frozen=True, slots=True)
class Company:
    """What pricing must know of a billing company."""

    billing_company: str
    known: bool = False
    enabled: bool = True
    gate: str = "approved"


@dataclass(frozen=True, slots=True)
class StatusAt:
    """Status and position type of a requirement from a date on."""

    from_date: date
    status: str
    position_type: str


@dataclass(frozen=True, slots=True)
class RateVersion:
    """A price of a time type from a date on, in force for the rate books since_book <= n < until_book."""

    time_type: str
    effective_from: date
    source: str
    unit_price: Decimal
    unit: str
    since_book: int
    until_book: int | None = None

    def in_book(self, book: int) -> bool:
        """Whether this version stands in that rate book."""
        return self.since_book <= book and (self.until_book is None or book < self.until_book)

    @property
    def name(self) -> str:
        """The version's name in line keys: from-date@price, with the unit unless it is hours."""
        name = f"{self.effective_from}@{plain(self.unit_price)}"
        return name if self.unit == HOUR else f"{name}/{self.unit}"


@dataclass(frozen=True, slots=True)
class Confirmed:
    """An operator let a version take its place on documents: the one of this from-date, on the days on which it holds in this rate book."""

    time_type: str
    effective_from: date
    rate_book: int


@dataclass(frozen=True, slots=True)
class Requirement:
    """A requirement. `statuses` in the order of their dates; `confirmed` newest book first, read only for documents with invoiced lines."""

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
    statuses: tuple[StatusAt, ...] = ()
    rates: tuple[RateVersion, ...] = ()
    confirmed: tuple[Confirmed, ...] = ()
    _tables: "dict[tuple[str, int], RateTable]" = field(
        default_factory=dict, init=False, compare=False, repr=False
    )
    """Built when first asked for; a requirement with other rates has its own."""
    _always: "dict[tuple[Any, ...], Line]" = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    def rate_table(self, time_type: str, book: int) -> "RateTable":
        """The bill rates of a time type in a rate book."""
        table = self._tables.get((time_type, book))
        if table is None:
            table = self._tables[time_type, book] = RateTable.of(self.rates, time_type, book)
        return table

    def always(self, key: tuple[Any, ...], build: "Callable[[], Line]") -> Line:
        """What the lines of one key have in common on every timesheet: built once. To be copied, never changed."""
        found = self._always.get(key)
        if found is None:
            if len(self._always) >= LINES_KEPT:
                self._always.clear()
            found = self._always[key] = build()
        return found

    def status_on(self, day: date) -> StatusAt | None:
        """The status with the greatest from-date that is not after the day."""
        at = bisect_right(self.statuses, day, key=lambda status: status.from_date)
        return self.statuses[at - 1] if at else None


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a pay plan: share in percent, and the day that it falls due (day 1 is the start)."""

    share: Decimal
    day: int


@dataclass(frozen=True, slots=True)
class Item:
    """A catalog item: a fixed amount in a currency, or a percent of the salary."""

    item_id: str
    known: bool = False
    name: str = ""
    amount: Decimal | None = None
    currency: str | None = None
    percent_of_salary: Decimal | None = None
    plan: tuple[Part, ...] | None = None
    tax_code: str = ""


@dataclass(frozen=True, slots=True)
class RateTable:
    """The versions of one time type in one rate book by from-date; a command's version stands before the ATS's of the same date."""

    days: Sequence[date]
    versions: Sequence[tuple[RateVersion, str]]

    @classmethod
    def of(cls, rates: Sequence[RateVersion], time_type: str, book: int) -> "RateTable":
        """Builds the table of a time type."""
        by_day: dict[date, RateVersion] = {}
        for version in rates:
            if (
                version.time_type == time_type
                and version.in_book(book)
                and (version.source == "command" or version.effective_from not in by_day)
            ):
                by_day[version.effective_from] = version
        days = sorted(by_day)
        return cls(days, [(by_day[day], by_day[day].name) for day in days])

    def on(self, day: date) -> tuple[RateVersion, str] | None:
        """The version in force, with its name: the greatest from-date that is not after the work date."""
        at = bisect_right(self.days, day)
        return self.versions[at - 1] if at else None


@dataclass(frozen=True)
class Facts:
    """All facts of the documents of one transaction, locked."""

    requirements: dict[str, Requirement] = field(default_factory=dict)
    companies: dict[str, Company] = field(default_factory=dict)
    items: dict[str, Item] = field(default_factory=dict)

    def requirement(self, requirement_id: str) -> Requirement:
        """The requirement, or a stub."""
        return self.requirements.get(requirement_id) or Requirement(requirement_id)

    def company(self, billing_company: str) -> Company:
        """The billing company, or a stub."""
        return self.companies.get(billing_company) or Company(billing_company)

    def item(self, item_id: str) -> Item:
        """The catalog item, or a stub."""
        return self.items.get(item_id) or Item(item_id)

    def cited_rate(
        self, requirement: Requirement, time_type: str, book: int, day: date
    ) -> tuple[RateVersion, str] | None:
        """The version for lines on documents that cite a rate book: the one in that book, unless a later one was confirmed for the day.
        A day that the cited book does not reach (an adjustment adds it) takes the newest book."""
        for one in requirement.confirmed:
            if one.time_type == time_type and one.rate_book > book:
                found = requirement.rate_table(time_type, one.rate_book).on(day)
                if found is not None and found[0].effective_from == one.effective_from:
                    return found
        return requirement.rate_table(time_type, book).on(day) or requirement.rate_table(
            time_type, requirement.rate_book
        ).on(day)
