"""What a later statement does to the snoozes and edits of a document (domain rules 2 and 5).

- A snooze belongs to document and line key, so whatever replaces a line of that key is on hold, too. When the key has no worth in a
  later statement, its snooze passes to the keys of the same requirement and time type (or catalog item) that are new in it.
- An operator's edit is added to the worth of every later statement. A statement that changes the worth of an edited key puts the key
  on hold as `edit-meets-revision`. An edit that has nothing left to change (the key is gone, or the sum would turn its sign) is set
  aside by a row of the opposite difference, and what takes the key's place is on hold until somebody has looked.

Every statement is followed in its turn, so that the outcome does not depend on how messages met in a batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final, Literal

from pydantic_core import from_json

from services.invoicer.rules.settlement import NOTHING, Worth, worth_of
from shared.events.realizations import PayLinesRealized, RealizationLine

EDIT_MEETS_REVISION: Final = "edit-meets-revision"
SET_BY_SETTLEMENT = "settlement"


@dataclass(frozen=True, slots=True)
class Hold:
    """A snooze row: why, who, until when (None: until released)."""

    code: Literal["snoozed", "edit-meets-revision"]
    reason: str
    actor: str
    until_date: date | None
    snoozed_at: datetime


@dataclass(frozen=True, slots=True)
class Edit:
    """All edits of a key: their sum, and the worth that the statement had when the last one was made."""

    difference: Worth
    seen: Worth


@dataclass(frozen=True, slots=True)
class SetAside:
    """An edit that a statement left nothing to change: the opposite difference is added to the edits of the key."""

    line_key: str
    realization_no: int
    difference: Worth
    message: str


@dataclass(frozen=True, slots=True)
class Followed:
    """Holds and edits after the statements."""

    holds: Mapping[str, Hold]
    edits: Mapping[str, Edit]
    set_aside: tuple[SetAside, ...]


def follow(
    before: PayLinesRealized | None,
    statements: Sequence[PayLinesRealized],
    holds: Mapping[str, Hold],
    edits: Mapping[str, Edit],
    at: datetime,
) -> Followed:
    """Goes through the statements of one document in their order. A withheld one changes nothing here."""
    now_holds, now_edits = dict(holds), dict(edits)
    set_aside: list[SetAside] = []
    for statement in statements:
        if statement.realization_kind == "realized":
            said = {line.line_key: line for line in statement.lines if worth_of(line)}
            known = (
                before.lines
                if before is not None and before.realization_kind == "realized"
                else None
            )
            _meet(statement.realization_no, said, known, now_holds, now_edits, set_aside, at)
            _pass_on(said, {line.line_key for line in known or ()}, now_holds)
        before = statement
    return Followed(now_holds, now_edits, tuple(set_aside))


def group_of(line_key: str) -> tuple[str, ...]:
    """Requirement and time type, or the catalog item: the keys among which a snooze passes. ValueError if it is no line key."""
    kind, first, second, *_ = from_json(line_key)
    if kind not in ("t", "p"):
        raise ValueError(f"{kind!r} is no kind of line")
    return ("t", str(first), str(second)) if kind == "t" else ("p", str(second))


def _meet(
    realization_no: int,
    said: Mapping[str, RealizationLine],
    known: Sequence[RealizationLine] | None,
    holds: dict[str, Hold],
    edits: dict[str, Edit],
    set_aside: list[SetAside],
    at: datetime,
) -> None:
    """Edited keys whose worth the statement changes."""
    worths = None if known is None else {line.line_key: worth_of(line) for line in known}
    for key in sorted(edits):
        edit = edits[key]
        if not edit.difference:
            continue
        line = said.get(key)
        if line is None or _turned(worth_of(line), edit.difference):
            gone = (
                "says nothing of this line any more"
                if line is None
                else "leaves less than the edit takes away"
            )
            message = f"a later statement {gone}: the edit of {_words(edit.difference)} is set aside; look, then release the line"
            set_aside.append(SetAside(key, realization_no, -edit.difference, message))
            edits[key] = Edit(NOTHING, NOTHING)
        elif worth_of(line) == (edit.seen if worths is None else worths.get(key, NOTHING)):
            continue
        else:
            message = f"a later statement changes a line that was edited by {_words(edit.difference)}: check the sum, then release the line"
        holds[key] = _meeting(holds.get(key), message, at)


def _turned(worth: Worth, difference: Worth) -> bool:
    """Whether an edit would turn a worth below zero (or one below zero above it), in quantity or in money."""
    total = worth + difference
    return (
        total.quantity * worth.quantity < 0
        or total.amount * worth.amount < 0
        or (not worth.amount and total.amount < 0)
    )


def _meeting(there: Hold | None, message: str, at: datetime) -> Hold:
    """The hold of an edit that met a revision; what an operator said before stays readable in it."""
    if there is not None and there.code == "snoozed":
        message = f"{message} (snoozed before by {there.actor}: {there.reason})"
    return Hold(EDIT_MEETS_REVISION, message, SET_BY_SETTLEMENT, None, at)


def _pass_on(said: Mapping[str, RealizationLine], known: set[str], holds: dict[str, Hold]) -> None:
    """A snoozed key without worth gives its snooze to the keys of its group that are new in the statement; without such it keeps it."""
    for key in sorted(holds.keys() - said.keys()):
        heirs = [heir for heir in said if heir not in known and group_of(heir) == group_of(key)]
        if not heirs:
            continue
        hold = holds.pop(key)
        for heir in heirs:
            there = holds.get(heir)
            holds[heir] = hold if there is None else _stricter(there, hold)


def _stricter(one: Hold, other: Hold) -> Hold:
    """Of two snoozes the one that lasts longer; of two that last until released, the first."""
    if one.until_date is None:
        return one
    if other.until_date is None:
        return other
    return replace(one, until_date=max(one.until_date, other.until_date))


def _words(difference: Worth) -> str:
    words = difference.in_words()
    return f"{words['quantity']} in quantity and {words['amount']} in money"
