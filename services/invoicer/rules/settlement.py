"""Settlement: a statement says in full what a document is worth; what has been settled stands, what is open is replaced, and the
difference becomes new open lines. One rule for originals, adjustments, cancellations, re-pricings (domain rules 5, design 4).

Per line key, in quantity and in money:
    target   = worth of the statement + operator edits
    settled  = invoiced - credited + forgiven,  forgiven = min(written off ever, target - net billed), never below zero
    new open = target - settled: a debit, or credits of the invoice lines, newest first, never more than is creditable

The amount of a correction is therefore a difference of rounded amounts and never quantity x price. Signs: a credit is negative.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from shared.events.realizations import RealizationLine
from shared.money import ZERO, plain

Place = Literal["open", "draft", "invoiced"]


@dataclass(frozen=True, slots=True)
class Worth:
    """Quantity and money side by side: both are conserved, each on its own."""

    quantity: Decimal = ZERO
    amount: Decimal = ZERO

    def __add__(self, other: "Worth") -> "Worth":
        return Worth(self.quantity + other.quantity, self.amount + other.amount)

    def __sub__(self, other: "Worth") -> "Worth":
        return Worth(self.quantity - other.quantity, self.amount - other.amount)

    def __neg__(self) -> "Worth":
        return Worth(-self.quantity, -self.amount)

    def __bool__(self) -> bool:
        return bool(self.quantity or self.amount)

    def at_most(self, other: "Worth") -> "Worth":
        """The smaller of both, each part on its own."""
        return Worth(min(self.quantity, other.quantity), min(self.amount, other.amount))

    def raised(self) -> "Worth":
        """What is above zero, each part on its own."""
        return Worth(max(self.quantity, ZERO), max(self.amount, ZERO))

    def in_words(self) -> dict[str, str]:
        """As a derivation keeps it."""
        return {"quantity": plain(self.quantity), "amount": plain(self.amount)}


NOTHING = Worth()


@dataclass(frozen=True, slots=True)
class Spot:
    """A line on a closed document."""

    invoice_id: int
    line_no: int
    invoice_number: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """A pay line that counts: open, on a draft, or on a closed document (`spot`). A credit names the line it `corrects`."""

    pay_line_id: int
    place: Place
    line: RealizationLine
    spot: Spot | None = None
    corrects: tuple[int, int] | None = None

    @property
    def worth(self) -> Worth:
        """What the line adds to its key; credits take away."""
        return worth_of(self.line)


class NewLine(NamedTuple):
    """A line to be opened. `correction`: its key stands on a closed document already."""

    line: RealizationLine
    corrects: tuple[int, int] | None = None
    correction: bool = False


@dataclass(frozen=True, slots=True)
class Settlement:
    """What changes: the lines that give up their place, and those that are opened."""

    replaced: tuple[Standing, ...]
    opened: tuple[NewLine, ...]


def worth_of(line: RealizationLine) -> Worth:
    """Quantity and amount of a line."""
    return Worth(line.quantity, line.amount)


def first_lines(lines: Iterable[RealizationLine]) -> list[RealizationLine]:
    """What a document opens of which nothing is known yet: its lines as they are, those worth nothing left out."""
    return [line for line in lines if line.amount or line.quantity]


def forgiven(written_off: Worth, rest: Worth) -> Worth:
    """Of what was ever written off, as much as lies between worth and net billed (`rest`), never below zero. It is computed afresh
    at every settlement and has no memory: 40 h invoiced, 2 h written off; worth 40 forgives 2 h, 39 forgives 1 h, 38 and less none."""
    return written_off.at_most(rest).raised()


def withhold(standing: Iterable[Standing]) -> Settlement:
    """A withheld document: what is open or drafted is withdrawn, what is on documents stands, nothing is credited."""
    return Settlement(tuple(line for line in standing if line.place != "invoiced"), ())


def settle(
    lines: Sequence[RealizationLine],
    standing: Sequence[Standing],
    edits: Mapping[str, Worth] | None = None,
    written_off: Mapping[str, Worth] | None = None,
) -> Settlement:
    """Compares a statement, key by key, with what stands. An open line that would be opened again just as it is stays."""
    said = {line.line_key: line for line in lines}
    invoiced: dict[str, list[Standing]] = {}
    for one in standing:
        if one.place == "invoiced":
            invoiced.setdefault(one.line.line_key, []).append(one)
    wanted: list[NewLine] = []
    for key in [*said, *sorted(invoiced.keys() - said.keys())]:
        edit, off = (edits or {}).get(key, NOTHING), (written_off or {}).get(key, NOTHING)
        wanted += _difference(said.get(key), invoiced.get(key, []), edit, off)
    replaced: list[Standing] = []
    for one in standing:
        if one.place == "invoiced":
            continue
        same = next(
            (
                at
                for at, new in enumerate(wanted)
                if new.line == one.line and new.corrects == one.corrects
            ),
            None,
        )
        if same is None:
            replaced.append(one)
        else:
            wanted.pop(same)
    return Settlement(tuple(replaced), tuple(wanted))


def _difference(
    said: RealizationLine | None, invoiced: Sequence[Standing], edit: Worth, written_off: Worth
) -> list[NewLine]:
    """One key: what must be opened so that all that counts sums to its worth. Currencies never mix: what was billed in another one
    than the statement's is credited whole."""
    if said is not None and not invoiced:
        return _original(said, edit)
    opened: list[NewLine] = []
    currencies = {one.line.currency for one in invoiced} | (
        {said.currency} if said is not None else set()
    )
    for currency in sorted(currencies):
        line = said if said is not None and said.currency == currency else None
        billed = [one for one in invoiced if one.line.currency == currency]
        target = worth_of(line) + edit if line is not None else NOTHING
        net = sum((one.worth for one in billed), NOTHING)
        given_up = forgiven(written_off, target - net)
        difference = target - net - given_up
        why = _Why(target, edit, net, given_up)
        needed = (-difference).raised()
        credits, uncredited = _credits(needed, billed, said, why)
        raised = difference.raised() - uncredited
        if raised:
            opened.append(_debit(line or billed[-1].line, raised, why, _rebilled(billed)))
        opened += credits
    return opened


@dataclass(frozen=True, slots=True)
class _Why:
    """What a correction came from, for its derivation."""

    target: Worth
    edit: Worth
    net: Worth
    forgiven: Worth

    def derivation(self, said: Mapping[str, Any], spot: Spot | None = None) -> dict[str, Any]:
        settled = self.net + self.forgiven
        difference = self.target.amount - settled.amount
        words: dict[str, Any] = {
            "rule": "new rounded amount minus what is settled, never quantity × price",
            "worth": self.target.in_words(),
            "net_billed": self.net.in_words(),
            "forgiven": self.forgiven.in_words(),
            "formula": f"{plain(self.target.amount)} − {plain(settled.amount)} = {plain(difference)}",
        }
        if self.edit:
            words["edited"] = self.edit.in_words()
        if spot is not None:
            words["corrects"] = {"invoice": spot.invoice_number, "line": spot.line_no}
            return {"correction": words}
        return {**said, "correction": words}


def _original(said: RealizationLine, edit: Worth) -> list[NewLine]:
    """A key of which nothing was ever invoiced: its line as the statement says it, with the operator's edit added."""
    target = worth_of(said) + edit
    if not target:
        return []
    if not edit:
        return [NewLine(said)]
    words = {
        **edit.in_words(),
        "formula": f"{plain(said.amount)} + {plain(edit.amount)} = {plain(target.amount)}",
    }
    return [NewLine(_changed(said, target, {**said.derivation, "edited": words}))]


def _rebilled(billed: Sequence[Standing]) -> list[dict[str, Any]]:
    """The credits by hand whose quantity a debit bills again: those since the key was last billed."""
    last = max(
        (one.spot.invoice_id for one in billed if one.spot is not None and one.corrects is None),
        default=0,
    )
    return [
        {"credit_note": one.spot.invoice_number, "line": one.spot.line_no}
        for one in billed
        if one.spot is not None
        and one.spot.invoice_id > last
        and one.line.derivation.get("credit", {}).get("to") in ("rebill", "reissue")
    ]


def _debit(
    said: RealizationLine, worth: Worth, why: _Why, rebilled: list[dict[str, Any]]
) -> NewLine:
    words = why.derivation(said.derivation)
    return NewLine(
        _changed(said, worth, {**words, "bills_again": rebilled} if rebilled else words),
        correction=True,
    )


def _credits(
    needed: Worth, billed: Sequence[Standing], said: RealizationLine | None, why: _Why
) -> tuple[list[NewLine], Worth]:
    """Credits of invoice lines, newest first: a line used up gives all that stands on it, the last one takes the rest. What no line
    can give (only where a worth below zero was never billed) comes back as the second value."""
    credits: list[NewLine] = []
    for spot, line, rest in _creditable(billed):
        given = needed.at_most(rest)
        if not given:
            continue
        needed -= given
        dates = (
            {}
            if said is None
            else {"effective_date": said.effective_date, "week_ending": said.week_ending}
        )
        credit = _changed(line, -given, why.derivation({}, spot), **dates)
        credits.append(NewLine(credit, (spot.invoice_id, spot.line_no), correction=True))
    return credits, needed


def _creditable(billed: Sequence[Standing]) -> list[tuple[Spot, RealizationLine, Worth]]:
    """Invoice lines, newest first, with what is left on them after the credits that already stand on documents."""
    credited: dict[tuple[int, int], Worth] = {}
    for one in billed:
        if one.corrects is not None:
            credited[one.corrects] = credited.get(one.corrects, NOTHING) + one.worth
    newest_first = sorted(
        ((one.spot, one) for one in billed if one.spot is not None and one.corrects is None),
        key=lambda pair: (pair[0].invoice_id, pair[0].line_no),
        reverse=True,
    )
    return [
        (
            spot,
            one.line,
            (one.worth + credited.get((spot.invoice_id, spot.line_no), NOTHING)).raised(),
        )
        for spot, one in newest_first
    ]


def _changed(
    line: RealizationLine, worth: Worth, derivation: dict[str, Any], **changes: Any
) -> RealizationLine:
    return line.model_copy(
        update={
            "quantity": worth.quantity,
            "amount": worth.amount,
            "derivation": derivation,
            **changes,
        }
    )
