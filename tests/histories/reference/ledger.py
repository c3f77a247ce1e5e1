"""Settlement: each realization is compared with the closed documents; the difference is open.

Target = realization + edits. Net billed = invoiced - credited. Forgiven = the smaller of what was
ever written off and target - net billed, never negative, computed each time. New open = target -
net billed - forgiven: a debit, or credits of the invoice lines, newest first.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal

from tests.histories.reference.pricing import Realization
from tests.histories.reference.values import NOTHING, ZERO, Document, Line, Pair

SNOOZED, EDIT_MEETS_REVISION = "snoozed", "edit_meets_revision"


@dataclass(frozen=True, order=True)
class Terms:
    """The terms of a document."""

    regime: str
    wording: str
    payment: str


@dataclass(eq=False)
class Billed:
    """A line on a closed document.

    A credit names the line that it corrects; that one lists its credits.
    """

    number: str
    sequence: int
    document: Document
    line: Line
    worth: Pair
    account: str
    terms: Terms
    po: str
    tax: Decimal
    tax_rate: Decimal
    corrects: "Billed | None" = None
    credits: "list[Billed]" = field(default_factory=list)
    allowance: Decimal = ZERO

    @property
    def allowance_left(self) -> Decimal:
        """What its credits leave of its share of allowances."""
        return sum((credit.allowance for credit in self.credits), self.allowance)

    @property
    def left(self) -> Pair:
        """What its credits leave of it."""
        return sum((credit.worth for credit in self.credits), self.worth)

    @property
    def tax_left(self) -> Decimal:
        """What its credits leave of its tax."""
        return sum((credit.tax for credit in self.credits), self.tax)


@dataclass(eq=False)
class Open:
    """A line that can be billed. `correction`: its key is on a closed document already."""

    document: Document
    line: Line
    worth: Pair
    corrects: Billed | None = None
    correction: bool = False


@dataclass(frozen=True)
class Hold:
    """A key is in no batch until released or until a date."""

    code: str
    until: date | None = None


@dataclass
class Edit:
    """What operators added to a key, and its realized value at the last edit."""

    difference: Pair
    seen: Pair


NO_EDIT = Edit(NOTHING, NOTHING)


@dataclass
class Page:
    """One document as the invoicer stores it.

    `written_off`: key, credited invoice number, how much. `uncited`: credits closed since it was
    settled and time is open, so that its lines may cite no rates any more.
    """

    settled: Realization | None = None
    stale: int | None = None
    open: list[Open] = field(default_factory=list)
    billed: list[Billed] = field(default_factory=list)
    edits: dict[str, Edit] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    written_off: list[tuple[str, str, Pair]] = field(default_factory=list)
    uncited: bool = False

    def note(self) -> None:
        """Note that credits closed, as long as time is open."""
        self.uncited = any(
            one.corrects is None and one.line.rates_of is not None for one in self.open
        )

    @property
    def settled_up_to(self) -> int:
        """Realizations up to this number were processed."""
        return max(self.settled.number if self.settled else 0, self.stale or 0)

    def on_documents(self, key: str) -> list[Billed]:
        """The billed lines of a key, credits too."""
        return [one for one in self.billed if one.line.key == key]

    def off(self, key: str) -> Pair:
        """What was ever written off on a key, and not reversed."""
        return sum((worth for of, _, worth in self.written_off if of == key), NOTHING)

    def worth(self, said: Line | None) -> Pair:
        """The value of a key: the settled realization and the edits of operators."""
        return (
            NOTHING if said is None else said.worth + self.edits.get(said.key, NO_EDIT).difference
        )

    def cited(self) -> dict[tuple[str, str], int]:
        """The rates that invoiced lines cite which are not credited whole or were written off."""
        found: dict[tuple[str, str], int] = {}
        for one in self.billed:
            if (
                one.corrects is None
                and one.line.rates_of is not None
                and (one.left.quantity != 0 or self.off(one.line.key).quantity != 0)
            ):
                found[one.line.rates_of] = max(one.line.book, found.get(one.line.rates_of, 0))
        return found

    def opened_again(self) -> set[tuple[str, str] | None]:
        """The rates of lines that are open and of which there were invoiced ones."""
        billed = {one.line.rates_of for one in self.billed if one.corrects is None}
        return billed & {one.line.rates_of for one in self.open if one.corrects is None}


@dataclass
class Ledger:
    """All documents."""

    pages: dict[Document, Page] = field(default_factory=dict)

    def cited(self, document: Document) -> Mapping[tuple[str, str], int]:
        """The rates that the invoiced lines of a document cite."""
        return self.pages[document].cited() if document in self.pages else {}

    def lines(self) -> list[Open]:
        """Every open line."""
        return [one for page in self.pages.values() for one in page.open]

    def consume(self, document: Document, realization: Realization) -> None:
        """Process a realization: an older one has no effect, a stale one waits, else it settles."""
        page = self.pages.setdefault(document, Page())
        if realization.number <= page.settled_up_to:
            return
        cited = page.cited()
        if any(cited.get(kind, book) != book for kind, book in realization.basis.items()):
            page.stale = realization.number
            return
        before, page.settled, page.stale = page.settled, realization, None
        page.uncited = False
        if realization.realized:
            _follow(
                page, before if before is not None and before.realized else None, realization.lines
            )
        settle(document, page)
        if realization.cited - cited.keys():
            page.note()


def settle(document: Document, page: Page) -> None:
    """Replace everything open by target - settled."""
    page.open = []
    if page.settled is None or not page.settled.realized:
        return
    said = {line.key: line for line in page.settled.lines}
    for key in [*said, *sorted({one.line.key for one in page.billed} - said.keys())]:
        worth = page.worth(said.get(key))
        billed = page.on_documents(key)
        net = sum((one.worth for one in billed), NOTHING)
        forgiven = page.off(key).least(worth - net).above_zero()
        difference = worth - net - forgiven
        debit = difference.above_zero()
        if debit:
            page.open.append(Open(document, said[key], debit, None, correction=bool(billed)))
        page.open += _credits(document, said.get(key), billed, (-difference).above_zero())


def _credits(
    document: Document, said: Line | None, billed: Iterable[Billed], needed: Pair
) -> list[Open]:
    """Credits of the newest invoice lines first; at most what is left of each line."""
    found = []
    for one in sorted(
        (one for one in billed if one.corrects is None), key=lambda one: one.sequence, reverse=True
    ):
        taken = needed.least(one.left.above_zero())
        if taken:
            needed -= taken
            line = (
                one.line
                if said is None
                else replace(one.line, effective=said.credit_on or said.effective, week=said.week)
            )
            found.append(Open(document, line, -taken, one, correction=True))
    assert not needed, f"{document}: {needed} would be credited beyond what was invoiced"
    return found


def _follow(page: Page, before: Realization | None, lines: Iterable[Line]) -> None:
    """What a realization does to edits and snoozes. `before`: the previous one, if realized."""
    said = {line.key: line for line in lines if line.worth}
    known = {line.key: line.worth for line in before.lines} if before is not None else None
    for key, edit in sorted(page.edits.items()):
        if not edit.difference:
            continue
        worth = said[key].worth if key in said else None
        if worth is None or _turned(worth, edit.difference):
            page.edits[key] = Edit(NOTHING, NOTHING)
            page.holds[key] = Hold(EDIT_MEETS_REVISION)
        elif worth != (edit.seen if known is None else known.get(key, NOTHING)):
            page.holds[key] = Hold(EDIT_MEETS_REVISION)
    for key in sorted(page.holds.keys() - said.keys()):
        group = _group(page, key)
        heirs = [
            line.key
            for line in said.values()
            if line.group == group and line.key not in (known or {})
        ]
        if heirs:
            hold = page.holds.pop(key)
            for heir in heirs:
                page.holds[heir] = _longer(page.holds.get(heir), hold)


def _turned(worth: Pair, difference: Pair) -> bool:
    """Whether an edit takes more away than there is."""
    total = worth + difference
    return (
        total.quantity * worth.quantity < 0
        or total.amount * worth.amount < 0
        or (worth.amount == 0 and total.amount < 0)
    )


def _longer(one: Hold | None, other: Hold) -> Hold:
    if one is None or (one.until is not None and other.until is None):
        return other
    if one.until is None or other.until is None:
        return one
    return replace(one, until=max(one.until, other.until))


def _group(page: Page, key: str) -> tuple[str, ...]:
    """Requirement and time type, or the catalog item, from the key."""
    parts = [part.strip('"') for part in key.strip("[]").split(",")]
    return ("t", parts[1], parts[2]) if parts[0] == "t" else ("p", parts[2])
