"""When a document gets a new statement, when it is held and when released; and the statement's words, byte for byte.

Source: design 1 (what we say) and domain rules 3: a hold of a document that was realized before is a statement `withheld`.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from services.fee_realizer.rules.facts import Line, in_json
from services.fee_realizer.rules.gates import Held
from services.fee_realizer.rules.timesheets import Realized, Worth
from shared.events.field_types import MESSAGE_BYTES

RealizationKind = Literal["realized", "withheld"]
KEY_BYTES = 1_800
"""A line is found by its document and its key, beside a requirement or a command: what an index takes has 2,704 bytes in all. Names in
Latin letters have never so many."""
NOT_WORTH = frozenset({"rate_book", "derivation"})
"""Fields of a line that say where its worth came from, and are no part of it."""


class Standing(NamedTuple):
    """Where a document stands: its latest statement (0 none) with the lines it said, and its hold."""

    realization_no: int = 0
    realization_kind: str = ""
    lines: Sequence[Line] = ()
    hold_code: str | None = None
    hold_message: str | None = None


class Step(NamedTuple):
    """What follows from a document's worth: a new statement or none, its hold, and what must be said of that."""

    statement: RealizationKind | None
    hold: Held | None
    says_hold: Literal["held", "released"] | None


def step(standing: Standing, worth: Worth, *, stale: bool = False) -> Step:
    """Compares what a document is worth now with what was said of it. A stale statement is said anew whatever it says."""
    if isinstance(worth, Held):
        withheld: RealizationKind | None = (
            "withheld" if standing.realization_kind == "realized" else None
        )
        other = (worth.code, worth.message) != (standing.hold_code, standing.hold_message)
        return Step(withheld, worth, "held" if other or withheld else None)
    changed = (
        standing.realization_kind != "realized"
        or stale
        or not same_worth(standing.lines, worth.lines)
    )
    return Step(
        "realized" if changed else None,
        None,
        "released" if standing.hold_code is not None else None,
    )


def same_worth(before: Sequence[Line], after: Sequence[Line]) -> bool:
    """Whether two lists of lines are the same by value: derivations and rate books aside. Both are in the order of their keys."""
    return len(before) == len(after) and all(
        _worth(one) == _worth(other) for one, other in zip(before, after, strict=True)
    )


def _worth(line: Line) -> Line:
    return {name: value for name, value in line.items() if name not in NOT_WORTH}


def realization_body(head: dict[str, Any], kind: RealizationKind, worth: Worth) -> str:
    """The event's value. `head` brings document_kind, document_id, realization_no, source_id, revision and cause."""
    realized = worth if kind == "realized" and isinstance(worth, Realized) else Realized([])
    return in_json(
        head | {"realization_kind": kind, "basis": realized.basis, "lines": realized.lines}
    )


def too_long(body: str) -> Held | None:
    """A statement that no topic takes holds its document."""
    if len(body) * 4 <= MESSAGE_BYTES or len(body.encode()) <= MESSAGE_BYTES:
        return None
    return Held(
        "statement_too_large",
        f"its statement would have more than the {MESSAGE_BYTES:,} bytes that a message may have: "
        "split the timesheet at its source, so that each has fewer projects, cost centres, purchase orders and time types",
    )


def key_too_long(document_id: str, worth: Worth) -> Held | None:
    """A line whose key no index takes holds its document."""
    lines = worth.lines if isinstance(worth, Realized) else ()
    for line in lines:
        named = document_id + line["line_key"]
        if len(named) * 4 > KEY_BYTES and len(named.encode()) > KEY_BYTES:
            which = (
                "fee and catalog item"
                if line["line_kind"] == "product"
                else "requirement, project, cost centre and purchase order number"
            )
            return Held(
                "line_key_too_long",
                f"{which} of a line have, with the document's id, more than {KEY_BYTES:,} bytes: send shorter ones",
            )
    return None
