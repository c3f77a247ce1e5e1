"""Which statements of a document count: the highest wins, a repeat has no effect, one priced on a stale basis settles nothing.

An adjustment of a document is priced at the rate books that its invoiced lines cite. Where a batch closed after fee_realizer had looked,
the statement's basis and the citation differ: it waits (stale) until the document was priced again as the next statement.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.invoicer.lines.rules import PayLine, QuantityAmount
from services.invoicer.settlement.rules.settlement import Settlement, settle, withhold
from services.invoicer.settlement.rules.snoozes import CarriedChanges
from shared.events.realizations import PayLinesRealized

CitedRateBooks = Mapping[tuple[str, str], int]
"""The rate book that invoiced lines cite, by requirement and time type."""


@dataclass(frozen=True, slots=True)
class SettledDocument:
    """Where a document stands: the settled statement as text, and the number of a later one that was stale."""

    realization_no: int
    body: str
    stale_realization_no: int | None = None

    @property
    def handled_no(self) -> int:
        """Up to this number every statement has been dealt with."""
        return max(self.realization_no, self.stale_realization_no or 0)


@dataclass(frozen=True, slots=True)
class SortedRealizations:
    """New statements, in order: those that settle, and the number of the last one if that was stale."""

    settling: tuple[PayLinesRealized, ...]
    stale_realization_no: int | None


def sort_realizations(
    head: SettledDocument, realizations: Sequence[PayLinesRealized], cited: CitedRateBooks
) -> SortedRealizations:
    """Sorts new statements (ascending numbers) into those that settle and stale ones. A later statement that settles ends the waiting."""
    new = [
        realization for realization in realizations if realization.realization_no > head.handled_no
    ]
    settling = tuple(realization for realization in new if not is_stale(realization, cited))
    last = new[-1] if new else None
    waits = (
        last.realization_no
        if last is not None and (not settling or settling[-1] is not last)
        else None
    )
    return SortedRealizations(settling, waits)


def is_stale(realization: PayLinesRealized, cited: CitedRateBooks) -> bool:
    """Whether invoiced lines cite another rate book than the one the statement was priced from."""
    return any(
        cited.get((basis.requirement_id, basis.time_type), basis.rate_book) != basis.rate_book
        for basis in realization.basis
    )


def settle_latest(
    settling: Sequence[PayLinesRealized],
    pay_lines: Sequence[PayLine],
    carried: CarriedChanges,
    written_off: Mapping[str, QuantityAmount],
) -> Settlement:
    """Settles the last of the statements: only it says what the document is worth."""
    last = settling[-1]
    if last.realization_kind == "withheld":
        return withhold(pay_lines)
    return settle(
        last.lines,
        pay_lines,
        {key: edit.difference for key, edit in carried.edits.items()},
        written_off,
    )
