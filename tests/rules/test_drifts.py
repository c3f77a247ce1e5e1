"""Where an accounting system differs from what was delivered."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from services.arg_sync.ledgers.documents import RemoteDocument
from services.arg_sync.reconciliation.rules import (
    SettledDelivery,
    find_drifts,
    internal_drift,
    needs_lookup_by_id,
)

D = Decimal
POSTED = SettledDelivery(
    *(1, 1, "gl-us", 7, "INV-1", "invoice", "USD", D(110), "C1", "R1"), posted=True, by_hand=False
)
OURS = RemoteDocument("R1", "INV-1", "invoice", "posted", "USD", D(110), "C1")
DRAFT, VOIDED = replace(OURS, state="draft"), replace(OURS, state="voided")
R8, R9, R10 = (replace(OURS, remote_id=name) for name in ("R8", "R9", "R10"))
CHANGED = replace(OURS, total=D(99), customer="C2")

Case = tuple[dict[str, Any], list[RemoteDocument], RemoteDocument | None, list[tuple[str, str]]]
DRIFTS: dict[str, Case] = {
    "equal": ({}, [OURS], None, []),
    "another total": ({}, [replace(OURS, total=D(99))], None, [("edited", "R1")]),
    "a draft again": ({}, [DRAFT], None, [("edited", "R1")]),
    "another customer": ({}, [replace(OURS, customer="C2")], None, [("customer-changed", "R1")]),
    "both": ({}, [CHANGED], None, [("edited", "R1"), ("customer-changed", "R1")]),
    "accepted as it is": ({"by_hand": True}, [CHANGED], None, []),
    "accepted, then a draft": ({"by_hand": True}, [DRAFT], None, [("edited", "R1")]),
    "any customer": ({"customer": ""}, [replace(OURS, customer="C2")], None, []),
    "a credit note is positive there": (
        {"kind": "credit-note", "total": D(-110)},
        [replace(OURS, kind="credit-note")],
        None,
        [],
    ),
    "twice": ({}, [R9, OURS, R8], None, [("duplicated", "R9"), ("duplicated", "R8")]),
    "another number": ({}, [], replace(OURS, number="X-1"), [("edited", "R1")]),
    "voided": ({}, [], VOIDED, [("voided", "R1")]),
    "voided, and one more": ({}, [R9], VOIDED, [("voided", "R1")]),
    "deleted": ({}, [], None, [("deleted", "R1")]),
    "a new id": ({}, [R9], None, []),
    "a new id, another total": ({}, [replace(R9, total=D(99))], None, [("deleted", "R1")]),
    "a new id, a draft": ({}, [replace(R9, state="draft")], None, [("deleted", "R1")]),
    "two new ids": ({}, [R8, R9], None, [("deleted", "R1")]),
    "refused": ({"posted": False}, [], None, []),
    "refused, one there": ({"posted": False}, [R9], None, []),
    "refused, two there": ({"posted": False}, [R10, R9], None, [("duplicated", "R10")]),
    "refused, a draft there": ({"posted": False}, [DRAFT, R9], None, [("duplicated", "R1")]),
    "no id, two there": ({"remote_id": ""}, [R9, R8], None, [("duplicated", "R9")]),
}


@pytest.mark.parametrize("case", DRIFTS)
def test_each_difference_is_a_drift_of_its_own(case: str) -> None:
    """Edited, voided, deleted, twice, or with another customer; an equal document is none."""
    changes, by_number, by_id, expected = DRIFTS[case]
    found = find_drifts(replace(POSTED, **changes), by_number, by_id)
    assert [(one.code, one.remote_id) for one in found] == expected
    assert all(one.invoice_id == 7 and one.message and one.fix for one in found)


def test_a_drift_says_what_is_where() -> None:
    """Both values, the document that has the number now, and what to do with a copy."""
    (edited, customer) = find_drifts(POSTED, [CHANGED], None)
    assert edited.message.endswith("changed in the ledger: its total is 99, ours is 110")
    assert "customer C2" in customer.message and "to C1" in customer.message
    (gone,) = find_drifts(POSTED, [R9], VOIDED)
    assert gone.message.endswith("which is voided; R9 (posted, 110 USD) now has its number")
    (gone,) = find_drifts(POSTED, [], None)
    assert gone.message.endswith("which is deleted")
    draft, posted = find_drifts(POSTED, [OURS, replace(R8, state="draft"), R9], None)
    assert draft.fix.startswith("delete the draft R8")
    assert posted.fix.startswith("void R9")
    assert "R1 and R9" in posted.message
    assert "never queued" in internal_drift("missing", 7, "INV-1", "").message


@pytest.mark.parametrize(
    ("changes", "by_number", "expected"),
    [
        ({}, [OURS], False),
        ({}, [], True),
        ({}, [R9], True),
        ({}, [R9, OURS], False),
        ({"posted": False}, [R9], False),
        ({"remote_id": ""}, [R9], False),
    ],
)
def test_a_posted_document_is_looked_up_by_id_if_its_number_does_not_find_it(
    changes: dict[str, Any], by_number: list[RemoteDocument], expected: bool
) -> None:
    """Only a posted document has an id to look for."""
    assert needs_lookup_by_id(replace(POSTED, **changes), by_number) is expected
