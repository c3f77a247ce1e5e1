"""The rate book of a requirement: which bill rates stand, which end, which begin when the ATS sends its rates anew.

Source: domain rules 6. An ATS statement replaces the versions that came from the ATS, never those of a command. The book counts the
changes, so that a line can cite the state from which it was priced.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from services.fee_realizer.rules.facts import HOUR, RateTable, RateVersion
from shared.events.ats import RateFrom

ATS = "ats"
COMMAND = "command"


@dataclass(frozen=True, slots=True)
class Turned:
    """A rate book after its rates were said anew: the book's number, versions that end with it, versions that begin with it."""

    book: int
    ended: Sequence[RateVersion]
    begun: Sequence[RateVersion]


def turn_book(standing: Iterable[RateVersion], rates: Iterable[RateFrom], book: int) -> Turned:
    """Compares what stands with what the ATS says now; the number grows only if something changed."""
    mine = {
        (version.time_type, version.effective_from): version
        for version in standing
        if version.source == ATS and version.until_book is None
    }
    said = {(rate.time_type, rate.effective_from): rate for rate in rates}
    same = {
        key
        for key, rate in said.items()
        if key in mine and (mine[key].unit_price, mine[key].unit) == (rate.bill_rate, rate.unit)
    }
    ended = [version for key, version in mine.items() if key not in same]
    new = [rate for key, rate in said.items() if key not in same]
    if not ended and not new:
        return Turned(book, (), ())
    begun = [
        RateVersion(rate.time_type, rate.effective_from, ATS, rate.bill_rate, rate.unit, book + 1)
        for rate in new
    ]
    return Turned(book + 1, ended, begun)


def set_rate(
    standing: Sequence[RateVersion], time_type: str, effective_from: date, price: Decimal, book: int
) -> Turned:
    """Puts an operator's price into the book. It stands beside the one of the ATS for that date and wins over it; the unit is that of the
    time type on that date, else of its first version, else hours."""
    stand = [
        version
        for version in standing
        if version.time_type == time_type and version.until_book is None
    ]
    mine = [
        version
        for version in stand
        if version.source == COMMAND and version.effective_from == effective_from
    ]
    if any(version.unit_price == price for version in mine):
        return Turned(book, (), ())
    found = RateTable.of(stand, time_type, book).on(effective_from)
    unit = (
        found[0].unit
        if found
        else min(stand, key=lambda version: version.effective_from).unit
        if stand
        else HOUR
    )
    return Turned(
        book + 1, mine, [RateVersion(time_type, effective_from, COMMAND, price, unit, book + 1)]
    )


def turned_rates(versions: Iterable[RateVersion], turned: Turned) -> tuple[RateVersion, ...]:
    """All versions as they are after the book was turned."""
    ended = set(turned.ended)
    return (
        *(
            replace(version, until_book=turned.book) if version in ended else version
            for version in versions
        ),
        *turned.begun,
    )
