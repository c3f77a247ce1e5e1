"""The status table of MSP invoicing: every cell of msp 2, and the statuses that follow."""

from typing import NamedTuple

import pytest

from services.invoicer.drafts.rules.invoicing_status import (
    COLUMNS,
    TABLE,
    Action,
    DraftStatus,
    Status,
    first_status,
    next_status,
    require_allowed,
    status_after_change,
)
from services.invoicer.drafts.rules.names import DraftReference, draft_name, read_reference
from shared.errors import Refused

CELLS = """
edit              yes  lock  again again no
snooze            yes  lock  again again no
remove_line       no   lock  again again no
combine           no   lock  no    no    no
cancel            no   lock  yes   yes   no
confirm_transfer  no   yes   no    no    no
approve           no   no    yes   no    no
finalize          no   no    no    yes   no
pro_forma         no   yes   yes   yes   no
apply_payment     no   no    no    no    yes
deliver           no   no    no    no    yes
download          no   no    no    no    yes
credit            no   no    no    no    yes
"""
ROWS = [line.split() for line in CELLS.strip().splitlines()]


class Option(NamedTuple):
    """What an option needs before finalization."""

    workflow: str = ""
    needs_transfer: bool = False


PLAIN, ROUTED, SENT, BOTH = Option(), Option("W"), Option("", True), Option("W", True)


def test_msp_2_has_a_row_for_each_action() -> None:
    """msp 2: the table of the specification and the table in code have the same rows."""
    assert [row[0] for row in ROWS] == list(TABLE)


@pytest.mark.parametrize(
    ("action", "status", "word"),
    [(row[0], COLUMNS[at], word) for row in ROWS for at, word in enumerate(row[1:])],
)
def test_msp_2_each_cell(action: Action, status: Status, word: str) -> None:
    """msp 2: each cell; a refusal names the status, what it allows, and how to get there."""
    if word == "no":
        with pytest.raises(Refused) as refused:
            require_allowed("D-000001", status, action)
        assert refused.value.code == "status_forbids"
        assert " allows " in refused.value.message
        assert refused.value.fix
        return
    assert require_allowed("D-000001", status, action).restarts_routing is (word == "again")
    if word == "lock":
        with pytest.raises(Refused, match="transfer_in_flight"):
            require_allowed("D-000001", status, action, in_flight=True)
    with pytest.raises(Refused, match="its workflow forbids"):
        require_allowed("D-000001", status, action, forbidden=[action])


@pytest.mark.parametrize(
    ("option", "path"),
    [
        (None, ["pending_finalization"]),
        (PLAIN, ["pending_finalization"]),
        (ROUTED, ["pending_approval_routing", "pending_finalization"]),
        (SENT, ["pending_billing_transfer", "pending_finalization"]),
        (BOTH, ["pending_billing_transfer", "pending_approval_routing", "pending_finalization"]),
    ],
)
def test_msp_2_transitions(option: Option | None, path: list[DraftStatus]) -> None:
    """msp 2: a new draft enters the first status that its option needs, then the next ones."""
    assert first_status(option) == path[0]
    for before, after in zip(path, [*path[1:], "processed"], strict=True):
        assert next_status(before, option) == after


@pytest.mark.parametrize(
    ("status", "option", "sends_again", "expected"),
    [
        ("pending_finalization", PLAIN, True, "pending_finalization"),
        ("pending_finalization", ROUTED, True, "pending_approval_routing"),
        ("pending_approval_routing", ROUTED, False, "pending_approval_routing"),
        ("pending_finalization", BOTH, True, "pending_billing_transfer"),
        ("pending_finalization", BOTH, False, "pending_approval_routing"),
        ("pending_billing_transfer", BOTH, False, "pending_billing_transfer"),
    ],
)
def test_msp_2_a_change_restarts_routing(
    status: DraftStatus, option: Option, sends_again: bool, expected: DraftStatus
) -> None:
    """msp 2: a change restarts routing; a successor goes to transfer again."""
    assert status_after_change(status, option, sends_again=sends_again) == expected


def test_names_of_drafts() -> None:
    """A draft is D-000001, with the version that someone has seen D-000001@2; never a number."""
    assert draft_name(1) == "D-000001"
    assert read_reference("d-000001@2") == DraftReference(1, 2)
    assert read_reference("D-1234567") == DraftReference(1_234_567)
    with pytest.raises(Refused, match="bad_draft_id"):
        read_reference("INV-000001")
