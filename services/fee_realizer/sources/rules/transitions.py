"""When a document gets a new realization, when it is held and when it is released.

The hold of a document that was realized before is a realization `withheld`.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from services.fee_realizer.sources.rules.facts import (
    Held,
    Line,
    PricingResult,
    Realized,
    compact_json,
)
from shared.events.field_types import MESSAGE_BYTES

RealizationKind = Literal["realized", "withheld"]
# Limit of document id and line key together. An index row of PostgreSQL has at most 2,704 bytes
# and also holds a requirement or a command id.
KEY_BYTES = 1_800
# Fields of a line that say how its value came about; they are not part of the value.
ORIGIN_FIELDS = frozenset({"rate_book", "derivation"})


class DocumentState(NamedTuple):
    """The state of a document: kind and lines of its latest realization (or none), and its hold."""

    realization_kind: str = ""
    lines: Sequence[Line] = ()
    hold_code: str | None = None
    hold_message: str | None = None


class Transition(NamedTuple):
    """What follows from a pricing result: a realization or none, a hold, and an event about it."""

    realization: RealizationKind | None
    hold: Held | None
    hold_event: Literal["held", "released"] | None


def next_transition(
    state: DocumentState, result: PricingResult, *, stale: bool = False
) -> Transition:
    """Compare a pricing result with the latest realization. A stale one is always replaced."""
    if isinstance(result, Held):
        withheld: RealizationKind | None = (
            "withheld" if state.realization_kind == "realized" else None
        )
        other = (result.code, result.message) != (state.hold_code, state.hold_message)
        return Transition(withheld, result, "held" if other or withheld else None)
    unchanged = (
        state.realization_kind == "realized" and not stale and same_value(state.lines, result.lines)
    )
    released = state.hold_code is not None
    return Transition(None if unchanged else "realized", None, "released" if released else None)


def same_value(before: Sequence[Line], after: Sequence[Line]) -> bool:
    """Whether two lists of lines, in the order of their keys, have equal values."""

    def values(lines: Sequence[Line]) -> list[Line]:
        return [{k: v for k, v in line.items() if k not in ORIGIN_FIELDS} for line in lines]

    return len(before) == len(after) and values(before) == values(after)


def realization_body(head: dict[str, Any], kind: RealizationKind, result: PricingResult) -> str:
    """Return the value of a `pay-lines-realized` event.

    `head` has document_kind, document_id, realization_no, source_id, revision and cause.
    """
    realized = result if kind == "realized" and isinstance(result, Realized) else Realized([])
    return compact_json(
        head | {"realization_kind": kind, "basis": realized.basis, "lines": realized.lines}
    )


def body_too_large(body: str) -> Held | None:
    """Hold a document whose realization is larger than a message may be."""
    if len(body) * 4 <= MESSAGE_BYTES or len(body.encode()) <= MESSAGE_BYTES:
        return None
    return Held(
        "realization_too_large",
        f"its realization has more than the {MESSAGE_BYTES:,} bytes that a message may have:"
        " split the timesheet at its source, so that each part has fewer projects, cost centres,"
        " purchase orders and time types",
    )


def key_too_long(document_id: str, result: PricingResult) -> Held | None:
    """Hold a document with a line key that is too long for an index."""
    for line in result.lines if isinstance(result, Realized) else ():
        key = document_id + line["line_key"]
        if len(key) * 4 > KEY_BYTES and len(key.encode()) > KEY_BYTES:
            names = (
                "fee and catalog item"
                if line["line_kind"] == "product"
                else "requirement, project, cost centre and purchase order number"
            )
            return Held(
                "line_key_too_long",
                f"{names} of a line have, with the document's id, more than {KEY_BYTES:,} bytes:"
                " send shorter ones",
            )
    return None
