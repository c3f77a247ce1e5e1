"""Which realizations of a document count.

The highest number wins and a repeat has no effect. One with a stale price basis settles nothing: an
adjustment is priced at the rate books that the invoiced lines of its document cite. If a batch
closed after fee_realizer had read them, basis and citation differ. Such a realization waits until
the document is priced again and the next realization arrives.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from services.invoicer.lines.rules import PayLine, QuantityAmount
from services.invoicer.settlement.rules.settlement import Settlement, settle, withhold
from services.invoicer.settlement.rules.snoozes import CarriedChanges
from shared.events.realizations import PayLinesRealized

CitedRateBooks = Mapping[tuple[str, str], int]
"""The rate book that invoiced lines cite, by requirement and time type."""


class SettledDocument(NamedTuple):
    """The settled realization of a document as JSON, and the number of a later, stale one."""

    realization_no: int
    body: str
    stale_realization_no: int | None = None

    @property
    def handled_no(self) -> int:
        """The highest realization number that was handled."""
        return max(self.realization_no, self.stale_realization_no or 0)


class SortedRealizations(NamedTuple):
    """The realizations that settle, in order, and the number of the last one if it is stale."""

    settling: tuple[PayLinesRealized, ...]
    stale_realization_no: int | None


def sort_realizations(
    head: SettledDocument, realizations: Sequence[PayLinesRealized], cited: CitedRateBooks
) -> SortedRealizations:
    """Separate new realizations (in ascending order) that settle from stale ones.

    A later realization that settles ends the waiting.
    """
    new = [each for each in realizations if each.realization_no > head.handled_no]
    settling = tuple(each for each in new if not is_stale(each, cited))
    waits = bool(new) and settling[-1:] != (new[-1],)
    return SortedRealizations(settling, new[-1].realization_no if waits else None)


def is_stale(realization: PayLinesRealized, cited: CitedRateBooks) -> bool:
    """Whether invoiced lines cite another rate book than the realization was priced with."""
    return any(
        cited.get((basis.requirement_id, basis.time_type), basis.rate_book) != basis.rate_book
        for basis in realization.basis
    )


def has_ended_citation(realization: PayLinesRealized, cited: CitedRateBooks) -> bool:
    """Whether a realization was priced for invoiced lines that credits have since taken away."""
    return any(
        basis.cited and (basis.requirement_id, basis.time_type) not in cited
        for basis in realization.basis
    )


def settle_latest(
    settling: Sequence[PayLinesRealized],
    pay_lines: Sequence[PayLine],
    carried: CarriedChanges,
    written_off: Mapping[str, QuantityAmount],
) -> Settlement:
    """Settle the last of the realizations: it alone has the value of the document."""
    last = settling[-1]
    if last.realization_kind == "withheld":
        return withhold(pay_lines)
    edits = {key: edit.difference for key, edit in carried.edits.items()}
    return settle(last.lines, pay_lines, edits, written_off)
