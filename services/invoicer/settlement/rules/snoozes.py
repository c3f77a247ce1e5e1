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

from services.invoicer.lines.rules import NOTHING, QuantityAmount, value_of
from shared.events.realizations import PayLinesRealized, RealizationLine

EDIT_MEETS_REVISION: Final = "edit-meets-revision"
SET_BY_SETTLEMENT = "settlement"


@dataclass(frozen=True, slots=True)
class Snooze:
    """A snooze row: why, who, until when (None: until released)."""

    code: Literal["snoozed", "edit-meets-revision"]
    reason: str
    actor: str
    until_date: date | None
    snoozed_at: datetime


@dataclass(frozen=True, slots=True)
class Edit:
    """All edits of a key: their sum, and the worth that the statement had when the last one was made."""

    difference: QuantityAmount
    seen: QuantityAmount


@dataclass(frozen=True, slots=True)
class CancelledEdit:
    """An edit that a statement left nothing to change: the opposite difference is added to the edits of the key."""

    line_key: str
    realization_no: int
    difference: QuantityAmount
    message: str


@dataclass(frozen=True, slots=True)
class CarriedChanges:
    """Holds and edits after the statements."""

    snoozes: Mapping[str, Snooze]
    edits: Mapping[str, Edit]
    cancelled_edits: tuple[CancelledEdit, ...]


def carry_changes(
    before: PayLinesRealized | None,
    realizations: Sequence[PayLinesRealized],
    snoozes: Mapping[str, Snooze],
    edits: Mapping[str, Edit],
    at: datetime,
) -> CarriedChanges:
    """Goes through the statements of one document in their order. A withheld one changes nothing here."""
    now_snoozes, now_edits = dict(snoozes), dict(edits)
    cancelled_edits: list[CancelledEdit] = []
    for realization in realizations:
        if realization.realization_kind == "realized":
            realized = {line.line_key: line for line in realization.lines if value_of(line)}
            known = (
                before.lines
                if before is not None and before.realization_kind == "realized"
                else None
            )
            _snooze_changed_edits(
                realization.realization_no,
                realized,
                known,
                now_snoozes,
                now_edits,
                cancelled_edits,
                at,
            )
            _pass_snoozes_on(realized, {line.line_key for line in known or ()}, now_snoozes)
        before = realization
    return CarriedChanges(now_snoozes, now_edits, tuple(cancelled_edits))


def snooze_group(line_key: str) -> tuple[str, ...]:
    """Requirement and time type, or the catalog item: the keys among which a snooze passes. ValueError if it is no line key."""
    kind, first, second, *_ = from_json(line_key)
    if kind not in ("t", "p"):
        raise ValueError(f"{kind!r} is no kind of line")
    return ("t", str(first), str(second)) if kind == "t" else ("p", str(second))


def _snooze_changed_edits(
    realization_no: int,
    realized: Mapping[str, RealizationLine],
    known: Sequence[RealizationLine] | None,
    snoozes: dict[str, Snooze],
    edits: dict[str, Edit],
    cancelled_edits: list[CancelledEdit],
    at: datetime,
) -> None:
    """Edited keys whose worth the statement changes."""
    known_values = None if known is None else {line.line_key: value_of(line) for line in known}
    for key in sorted(edits):
        edit = edits[key]
        if not edit.difference:
            continue
        line = realized.get(key)
        if line is None or _changes_sign(value_of(line), edit.difference):
            gone = (
                "says nothing of this line any more"
                if line is None
                else "leaves less than the edit takes away"
            )
            message = f"a later statement {gone}: the edit of {_words(edit.difference)} is set aside; look, then release the line"
            cancelled_edits.append(CancelledEdit(key, realization_no, -edit.difference, message))
            edits[key] = Edit(NOTHING, NOTHING)
        elif value_of(line) == (
            edit.seen if known_values is None else known_values.get(key, NOTHING)
        ):
            continue
        else:
            message = f"a later statement changes a line that was edited by {_words(edit.difference)}: check the sum, then release the line"
        snoozes[key] = _edit_conflict(snoozes.get(key), message, at)


def _changes_sign(value: QuantityAmount, difference: QuantityAmount) -> bool:
    """Whether an edit would turn a worth below zero (or one below zero above it), in quantity or in money."""
    total = value + difference
    return (
        total.quantity * value.quantity < 0
        or total.amount * value.amount < 0
        or (not value.amount and total.amount < 0)
    )


def _edit_conflict(existing: Snooze | None, message: str, at: datetime) -> Snooze:
    """The hold of an edit that met a revision; what an operator said before stays readable in it."""
    if existing is not None and existing.code == "snoozed":
        message = f"{message} (snoozed before by {existing.actor}: {existing.reason})"
    return Snooze(EDIT_MEETS_REVISION, message, SET_BY_SETTLEMENT, None, at)


def _pass_snoozes_on(
    realized: Mapping[str, RealizationLine], known: set[str], snoozes: dict[str, Snooze]
) -> None:
    """A snoozed key without worth gives its snooze to the keys of its group that are new in the statement; without such it keeps it."""
    for key in sorted(snoozes.keys() - realized.keys()):
        successors = [
            successor
            for successor in realized
            if successor not in known and snooze_group(successor) == snooze_group(key)
        ]
        if not successors:
            continue
        snooze = snoozes.pop(key)
        for successor in successors:
            existing = snoozes.get(successor)
            snoozes[successor] = snooze if existing is None else _stricter(existing, snooze)


def _stricter(one: Snooze, other: Snooze) -> Snooze:
    """Of two snoozes the one that lasts longer; of two that last until released, the first."""
    if one.until_date is None:
        return one
    if other.until_date is None:
        return other
    return replace(one, until_date=max(one.until_date, other.until_date))


def _words(difference: QuantityAmount) -> str:
    words = difference.as_strings()
    return f"{words['quantity']} in quantity and {words['amount']} in money"
