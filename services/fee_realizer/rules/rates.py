"""The rate book of a job order: which bill rates stand, which end, which begin when the ATS sends its rates anew.

Source: domain rules 6. An ATS statement replaces the versions that came from the ATS, never those of a command. The book counts the
changes, so that a line can cite the state from which it was priced.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.fee_realizer.rules.facts import RateVersion
from shared.events.ats import RateFrom

ATS = "ats"


@dataclass(frozen=True, slots=True)
class Turned:
    """A rate book after the ATS sent its rates: the book's number, versions that end with it, versions that begin with it."""

    book: int
    ended: Sequence[RateVersion]
    begun: Sequence[RateVersion]


def turn_book(standing: Iterable[RateVersion], rates: Iterable[RateFrom], book: int) -> Turned:
    """Compares what stands with what the ATS says now; the number grows only if something changed."""
    mine = {(version.time_type, version.effective_from): version for version in standing if version.source == ATS and version.until_book is None}
    said = {(rate.time_type, rate.effective_from): rate for rate in rates}
    same = {key for key, rate in said.items() if key in mine and (mine[key].unit_price, mine[key].unit) == (rate.bill_rate, rate.unit)}
    ended = [version for key, version in mine.items() if key not in same]
    new = [rate for key, rate in said.items() if key not in same]
    if not ended and not new:
        return Turned(book, (), ())
    begun = [RateVersion(rate.time_type, rate.effective_from, ATS, rate.bill_rate, rate.unit, book + 1) for rate in new]
    return Turned(book + 1, ended, begun)
