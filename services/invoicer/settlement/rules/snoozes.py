"""What a later realization does to the snoozes and edits of a document.

- A snooze belongs to document and line key, so whatever replaces a line of that key is on hold too.
  When the key has no value in a later realization, its snooze passes to the keys of the same
  requirement and time type (or catalog item) that are new in it.
- An operator's edit is added to the value of every later realization. A realization that changes
  the value of an edited key puts the key on hold as `edit_meets_revision`. An edit that has nothing
  left to change (the key is gone, or the sum would change its sign) is cancelled by an edit with
  the opposite difference, and the lines that replace the key are on hold until an operator releases
  them.

Every realization is followed in order, so that the result does not depend on how messages are
grouped into polls.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final, Literal, NamedTuple

from pydantic_core import from_json

from services.invoicer.lines.rules import NOTHING, DocKey, QuantityAmount, value_of
from shared.events.realizations import PayLinesRealized, RealizationLine

EDIT_MEETS_REVISION: Final = "edit_meets_revision"
SET_BY_SETTLEMENT = "settlement"


class Snooze(NamedTuple):
    """Why a line is on hold, who set it, and until when (None: until released)."""

    code: Literal["snoozed", "edit_meets_revision"]
    reason: str
    actor: str
    until_date: date | None
    snoozed_at: datetime


class Edit(NamedTuple):
    """The sum of all edits of a key, and the realized value that the last one was made on."""

    difference: QuantityAmount
    seen: QuantityAmount


class OperatorEdit(NamedTuple):
    """An edit by an operator, or the opposite of one that has nothing left to change."""

    document: DocKey
    line_key: str
    command_id: str
    difference: QuantityAmount
    before: dict[str, Any]
    after: dict[str, Any]
    actor: str
    reason: str
    edited_at: datetime


@dataclass(frozen=True, slots=True)
class OperatorChanges:
    """What operators changed in one document, by line key."""

    edits: dict[str, Edit] = field(default_factory=dict)
    written_off: dict[str, QuantityAmount] = field(default_factory=dict)
    snoozes: dict[str, Snooze] = field(default_factory=dict)


class CarriedChanges(NamedTuple):
    """Snoozes and edits after realizations, and the edits that cancel earlier ones."""

    snoozes: dict[str, Snooze]
    edits: dict[str, Edit]
    cancelled_edits: list[OperatorEdit]


def carry_changes(
    before: PayLinesRealized | None,
    realizations: Sequence[PayLinesRealized],
    snoozes: Mapping[str, Snooze],
    edits: Mapping[str, Edit],
    at: datetime,
) -> CarriedChanges:
    """Carry snoozes and edits through the realizations of one document, in order.

    A withheld realization changes neither.
    """
    carried = CarriedChanges(dict(snoozes), dict(edits), [])
    for realization in realizations:
        if realization.realization_kind == "realized":
            realized = {line.line_key: line for line in realization.lines if value_of(line)}
            known = None
            if before is not None and before.realization_kind == "realized":
                known = {line.line_key: value_of(line) for line in before.lines}
            _snooze_changed_edits(realization, realized, known, carried, at)
            _pass_snoozes_on(realized, known or {}, carried.snoozes)
        before = realization
    return carried


def snooze_group(line_key: str) -> tuple[str, ...]:
    """Return requirement and time type, or the catalog item: a snooze passes among such keys.

    Raises ValueError if the text is no line key.
    """
    kind, first, second, *_ = from_json(line_key)
    if kind not in ("t", "p"):
        raise ValueError(f"{kind!r} is no kind of line")
    return ("t", str(first), str(second)) if kind == "t" else ("p", str(second))


def _snooze_changed_edits(
    realization: PayLinesRealized,
    realized: Mapping[str, RealizationLine],
    known: Mapping[str, QuantityAmount] | None,
    carried: CarriedChanges,
    at: datetime,
) -> None:
    """Put the edited keys on hold whose value the realization changes."""
    for key, edit in sorted(carried.edits.items(), key=lambda item: item[0]):
        if not edit.difference:
            continue
        line = realized.get(key)
        if line is None or _changes_sign(value_of(line), edit.difference):
            change = (
                "no longer has this line" if line is None else "leaves less than the edit takes"
            )
            message = (
                f"a later realization {change}: the edit of {_described(edit.difference)} is"
                " cancelled; check the line, then release it"
            )
            carried.cancelled_edits.append(_opposite(realization, key, edit, message, at))
            carried.edits[key] = Edit(NOTHING, NOTHING)
        elif value_of(line) == (edit.seen if known is None else known.get(key, NOTHING)):
            continue
        else:
            message = (
                f"a later realization changes a line that was edited by"
                f" {_described(edit.difference)}: check the sum, then release the line"
            )
        earlier = carried.snoozes.get(key)
        if earlier is not None and earlier.code == "snoozed":
            message = f"{message} (snoozed before by {earlier.actor}: {earlier.reason})"
        carried.snoozes[key] = Snooze(EDIT_MEETS_REVISION, message, SET_BY_SETTLEMENT, None, at)


def _opposite(
    realization: PayLinesRealized, line_key: str, edit: Edit, reason: str, at: datetime
) -> OperatorEdit:
    """Return the edit that cancels another; its id begins with a space, as no command's id does."""
    return OperatorEdit(
        (realization.document_kind, realization.document_id),
        line_key,
        f" cancelled by realization {realization.realization_no}",
        -edit.difference,
        edit.difference.as_strings(),
        NOTHING.as_strings(),
        SET_BY_SETTLEMENT,
        reason,
        at,
    )


def _changes_sign(value: QuantityAmount, difference: QuantityAmount) -> bool:
    """Whether an edit changes the sign of a value, in quantity or in money."""
    total = value + difference
    return (
        total.quantity * value.quantity < 0
        or total.amount * value.amount < 0
        or (not value.amount and total.amount < 0)
    )


def _pass_snoozes_on(
    realized: Mapping[str, RealizationLine],
    known: Mapping[str, QuantityAmount],
    snoozes: dict[str, Snooze],
) -> None:
    """Pass the snooze of a key without value to the keys of its group that are new.

    Without a new key the snooze stays with its key.
    """
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


def _stricter(first: Snooze, second: Snooze) -> Snooze:
    """Return the snooze that lasts longer; of two that last until released, the first."""
    if first.until_date is None or second.until_date is None:
        return first if first.until_date is None else second
    return first._replace(until_date=max(first.until_date, second.until_date))


def _described(difference: QuantityAmount) -> str:
    parts = difference.as_strings()
    return f"{parts['quantity']} in quantity and {parts['amount']} in money"
