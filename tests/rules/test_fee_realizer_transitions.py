"""When a document gets a new realization, a hold or a release."""

import json

import pytest

from services.fee_realizer.sources.rules.facts import Held, Line, PricingResult, Realized
from services.fee_realizer.sources.rules.transitions import (
    DocumentState,
    RealizationKind,
    Transition,
    body_too_large,
    next_transition,
    realization_body,
)

ONE = [{"line_key": "k", "quantity": "1", "rate_book": 1, "derivation": {"a": "1"}}]
SAME = [{"line_key": "k", "quantity": "1", "rate_book": 2, "derivation": {"b": "2"}}]
OTHER = [{"line_key": "k", "quantity": "2", "rate_book": 1, "derivation": {"a": "1"}}]
HELD = Held("no_bill_rate", "no rate")
TRANSITIONS: dict[str, tuple[DocumentState, PricingResult, bool, Transition]] = {
    "first": (DocumentState(), Realized(ONE), False, Transition("realized", None, None)),
    "first, no lines": (
        DocumentState(),
        Realized([]),
        False,
        Transition("realized", None, None),
    ),
    "the same value from another book": (
        DocumentState("realized", ONE),
        Realized(SAME),
        False,
        Transition(None, None, None),
    ),
    "the same value, stale": (
        DocumentState("realized", ONE),
        Realized(SAME),
        True,
        Transition("realized", None, None),
    ),
    "another value": (
        DocumentState("realized", ONE),
        Realized(OTHER),
        False,
        Transition("realized", None, None),
    ),
    "held at first": (DocumentState(), HELD, False, Transition(None, HELD, "held")),
    "held again, the same": (
        DocumentState("", (), HELD.code, HELD.message),
        HELD,
        False,
        Transition(None, HELD, None),
    ),
    "held otherwise": (
        DocumentState("", (), HELD.code, "other"),
        HELD,
        False,
        Transition(None, HELD, "held"),
    ),
    "held after realized": (
        DocumentState("realized", ONE),
        HELD,
        False,
        Transition("withheld", HELD, "held"),
    ),
    "held after withheld": (
        DocumentState("withheld", (), HELD.code, HELD.message),
        HELD,
        False,
        Transition(None, HELD, None),
    ),
    "released": (
        DocumentState("", (), HELD.code, HELD.message),
        Realized(ONE),
        False,
        Transition("realized", None, "released"),
    ),
    "released after withheld": (
        DocumentState("withheld", (), HELD.code, HELD.message),
        Realized(ONE),
        False,
        Transition("realized", None, "released"),
    ),
    "no lines after withheld": (
        DocumentState("withheld", (), HELD.code, HELD.message),
        Realized([]),
        False,
        Transition("realized", None, "released"),
    ),
}


@pytest.mark.parametrize("case", TRANSITIONS)
def test_when_a_document_gets_a_new_realization(case: str) -> None:
    """A changed value gives a new realization, a hold a `withheld` one.

    The same hold again publishes nothing.
    """
    state, result, stale, expected = TRANSITIONS[case]
    assert next_transition(state, result, stale=stale) == expected


def test_a_realization_over_the_limit_is_too_large() -> None:
    """No message is larger than 900 kB, counted in bytes."""
    assert body_too_large("é" * 450_000) is None
    held = body_too_large("é" * 450_001)
    assert held is not None
    assert held.code == "realization_too_large"


def test_nothing_changes_if_a_price_basis_is_not_stale() -> None:
    """That is the usual case."""
    assert next_transition(DocumentState("realized", ONE), Realized(SAME)) == Transition(
        None, None, None
    )


@pytest.mark.parametrize(
    ("kind", "result", "lines"),
    [
        ("realized", Realized(ONE, [{"rate_book": 1}]), ONE),
        ("withheld", Realized(ONE, [{"rate_book": 1}]), []),
        ("withheld", HELD, []),
    ],
)
def test_the_body_of_a_realization_has_its_lines(
    kind: RealizationKind, result: PricingResult, lines: list[Line]
) -> None:
    """A withheld realization has neither lines nor basis."""
    body = json.loads(realization_body({"document_id": "T-1"}, kind, result))
    basis = [{"rate_book": 1}] if lines else []
    assert body == {
        "document_id": "T-1", "realization_kind": kind, "basis": basis, "lines": lines,
    }  # fmt: skip
