"""Which statements of a document count: the highest wins, a repeat has no effect, one priced on a stale basis settles nothing.

An adjustment of a document is priced at the rate books that its invoiced lines cite. Where a batch closed after fee_realizer had looked,
the statement's basis and the citation differ: it waits (stale) until the document was priced again as the next statement.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.invoicer.rules.holds import Followed
from services.invoicer.rules.settlement import Settlement, Standing, Worth, settle, withhold
from shared.events.realizations import PayLinesRealized

Cited = Mapping[tuple[str, str], int]
"""The rate book that invoiced lines cite, by requirement and time type."""


@dataclass(frozen=True, slots=True)
class Head:
    """Where a document stands: the settled statement as text, and the number of a later one that was stale."""

    realization_no: int
    body: str
    stale_realization_no: int | None = None

    @property
    def heard(self) -> int:
        """Up to this number every statement has been dealt with."""
        return max(self.realization_no, self.stale_realization_no or 0)


@dataclass(frozen=True, slots=True)
class Judged:
    """New statements, in order: those that settle, and the number of the last one if that was stale."""

    settling: tuple[PayLinesRealized, ...]
    stale_realization_no: int | None


def judge(head: Head, statements: Sequence[PayLinesRealized], cited: Cited) -> Judged:
    """Sorts new statements (ascending numbers) into those that settle and stale ones. A later statement that settles ends the waiting."""
    new = [statement for statement in statements if statement.realization_no > head.heard]
    settling = tuple(statement for statement in new if not stale(statement, cited))
    last = new[-1] if new else None
    waits = (
        last.realization_no
        if last is not None and (not settling or settling[-1] is not last)
        else None
    )
    return Judged(settling, waits)


def stale(statement: PayLinesRealized, cited: Cited) -> bool:
    """Whether invoiced lines cite another rate book than the one the statement was priced from."""
    return any(
        cited.get((basis.requirement_id, basis.time_type), basis.rate_book) != basis.rate_book
        for basis in statement.basis
    )


def apply_last(
    settling: Sequence[PayLinesRealized],
    standing: Sequence[Standing],
    followed: Followed,
    written_off: Mapping[str, Worth],
) -> Settlement:
    """Settles the last of the statements: only it says what the document is worth."""
    last = settling[-1]
    if last.realization_kind == "withheld":
        return withhold(standing)
    return settle(
        last.lines,
        standing,
        {key: edit.difference for key, edit in followed.edits.items()},
        written_off,
    )
