"""Approval workflows as a rule without a database: every row of the table of msp.md 5, and more."""

from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from services.invoicer.workflows.rules import (
    Approval,
    DraftFacts,
    Routing,
    places_of,
    require_four_eyes,
    route,
)
from shared.errors import Refused
from shared.events.commands.workflows import SetWorkflow, Threshold, WorkflowStep

HEAD = WorkflowStep(step="head", approvers=("field:department_head",))
CONTROLLER = WorkflowStep(
    step="controller",
    approvers=("role:controller",),
    at_least=(Threshold(amount=Decimal("10000.00"), currency="USD"),),
)
TWO_STEPS = (HEAD, CONTROLLER)
EITHER = (WorkflowStep(step="either", approvers=("person:ann", "person:ben"), mandatory=1),)
ROLES: dict[str, Collection[str]] = {
    "cleo": {"controller", "approver"},
    "carl": {"controller"},
}


def facts(net: str, currency: str = "USD", *heads: str) -> DraftFacts:
    """A draft whose engagements name these department heads, by default hanna."""
    named = frozenset(heads or ("hanna",))
    return DraftFacts(
        currency, Decimal(net), frozenset({"Sales"}), frozenset(), {"department_head": named}
    )


class Draft:
    """A draft on its way through a workflow; a new version loses its approvals."""

    def __init__(self, steps: Sequence[WorkflowStep], of: DraftFacts) -> None:
        self.steps = steps
        self.change(of)

    def change(self, of: DraftFacts) -> None:
        """Begin a version."""
        self.routing = Routing(route(self.steps, of))

    def approve(self, person: str, actor: str = "") -> list[str]:
        """Approve; return the steps that the approval counts for."""
        places = places_of(self.routing, "D-000001", person, ROLES.get(person, ()))
        approvals = [
            Approval(step.name, place.who, person, actor or person) for step, place in places
        ]
        self.routing = Routing(self.routing.steps, (*self.routing.approvals, *approvals))
        return [each.step for each in approvals]

    def refused(self, person: str) -> str:
        """Return the code with which an approval is refused."""
        with pytest.raises(Refused) as refused:
            self.approve(person)
        return refused.value.code


def test_below_the_threshold_the_head_suffices() -> None:
    """Step 2 controller if at least 10,000.00; 9,999.99: approved by the head (msp.md 5)."""
    draft = Draft(TWO_STEPS, facts("9999.99"))
    assert not draft.routing.complete
    draft.approve("hanna")
    assert draft.routing.complete
    assert draft.refused("cleo") == "not_an_approver"


@pytest.mark.parametrize("net", ["10000.00", "-12000.00"])
def test_at_the_threshold_head_then_controller(net: str) -> None:
    """10,000.00, and a draft credit note of -12,000.00: head, then controller (msp.md 5)."""
    draft = Draft(TWO_STEPS, facts(net))
    assert draft.routing.next_words == "head: hanna"
    draft.approve("hanna")
    assert (draft.routing.complete, draft.routing.next_words) == (
        False, "controller: role controller",
    )  # fmt: skip
    draft.approve("cleo")
    assert draft.routing.complete


def test_the_controller_does_not_approve_first() -> None:
    """The same, controller approves first: refused, step 1 is open (msp.md 5)."""
    draft = Draft(TWO_STEPS, facts("10000.00"))
    with pytest.raises(Refused, match="D-000001 waits in step head") as refused:
        draft.approve("cleo")
    assert refused.value.code == "step_not_open"
    assert draft.routing.approvals == ()


def test_a_new_version_restarts_at_step_1() -> None:
    """Approved by the head, then an item edited to 40 h: routing restarts at step 1 (msp.md 5)."""
    draft = Draft(TWO_STEPS, facts("10000.00"))
    draft.approve("hanna")
    draft.change(facts("2000.00"))
    assert draft.routing.next_words == "head: hanna"
    assert draft.approve("hanna") == ["head"]
    assert draft.routing.complete


def test_two_approvers_with_each_other() -> None:
    """Two `with` each other, 1 mandatory: the first suffices, the second is recorded (msp.md 5)."""
    for first, second in (("ann", "ben"), ("ben", "ann")):
        draft = Draft(EITHER, facts("1.00"))
        assert draft.routing.next_words == "either: 1 of ann, ben"
        draft.approve(first)
        assert draft.routing.complete
        assert draft.refused(first) == "already_approved"
        draft.approve(second)
        assert [each.person for each in draft.routing.approvals] == [first, second]
        assert draft.refused("cleo") == "not_an_approver"


def test_steps_with_each_other_are_open_together() -> None:
    """A step `with` the one before it is open at the same time; what is after waits for both."""
    steps = (
        HEAD,
        WorkflowStep(step="legal", order="with", approvers=("person:lea",)),
        WorkflowStep(step="last", approvers=("person:zoe",)),
    )
    draft = Draft(steps, facts("1.00"))
    assert draft.routing.next_words == "head: hanna; legal: lea"
    draft.approve("lea")
    assert draft.refused("zoe") == "step_not_open"
    draft.approve("hanna")
    draft.approve("zoe")
    assert draft.routing.complete


@pytest.mark.parametrize(
    ("step", "of", "expected"),
    [
        ({}, facts("0.00"), True),
        ({"at_least": [("10.00", "EUR")]}, facts("1.00"), True),
        ({"at_least": [("10.00", "EUR"), ("10.00", "USD")]}, facts("9.99"), False),
        ({"at_least": [("10.00", "EUR"), ("10.00", "USD")]}, facts("-10.00"), True),
        ({"departments": ("Sales", "Legal")}, facts("1.00"), True),
        ({"departments": ("Legal",)}, facts("1.00"), False),
        ({"locations": ("Boston",)}, facts("1.00"), False),
        ({"departments": ("Sales",), "at_least": [("2.00", "USD")]}, facts("1.00"), False),
    ],
    ids=["always", "no threshold in the currency", "below", "without sign", "one department",
         "no department", "no location", "all conditions"],
)  # fmt: skip
def test_conditions(step: dict[str, Any], of: DraftFacts, expected: bool) -> None:
    """The absolute total before tax; where there is no threshold in the currency it applies."""
    amounts = tuple(
        Threshold(amount=Decimal(amount), currency=currency)
        for amount, currency in step.get("at_least", ())
    )
    given = WorkflowStep(step="one", approvers=("role:approver",), **step | {"at_least": amounts})
    assert bool(route([given], of)) is expected


def test_a_field_names_each_person_of_the_lines() -> None:
    """Two engagements with two heads: both approve; a line without a head waits for someone."""
    draft = Draft((HEAD,), facts("1.00", "USD", "hanna", "henry"))
    draft.approve("henry")
    assert draft.routing.next_words == "head: hanna"
    empty = Draft((HEAD,), facts("1.00", "USD", "hanna", ""))
    empty.approve("hanna")
    assert empty.routing.next_words == "head: no one (department_head is empty)"
    assert empty.refused("") == "not_an_approver"


def test_one_person_takes_one_place_of_a_step() -> None:
    """Named and with the role: an approval takes the place that only this person can take."""
    step = WorkflowStep(step="both", approvers=("role:controller", "person:cleo"))
    draft = Draft((step,), facts("1.00"))
    draft.approve("cleo")
    assert draft.refused("cleo") == "already_approved"
    assert draft.routing.next_words == "both: role controller"
    draft.approve("carl")
    assert draft.routing.complete


@pytest.mark.parametrize(("actor", "person"), [("ann", "ann"), ("ann", "ben"), ("ben", "ann")])
def test_four_eyes(actor: str, person: str) -> None:
    """Who created or changed a draft neither approves it nor has it approved on his behalf."""
    with pytest.raises(Refused, match="ann created or changed D-000001") as refused:
        require_four_eyes("D-000001", {"ann"}, actor, person)
    assert refused.value.code == "four_eyes"
    require_four_eyes("D-000001", {"zoe"}, actor, person)


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        ([], "too_short"),
        ([{"order": "with"}], "no_step_before"),
        ([{}, {}], "step_named_twice"),
        ([{"approvers": ()}], "too_short"),
        ([{"approvers": ("ann",)}], "not_an_approver"),
        ([{"approvers": ("role:king",)}], "unknown_role"),
        ([{"approvers": ("field:two words",)}], "not_a_field"),
        ([{"approvers": ("person:ann", "person:ann")}], "approver_named_twice"),
        ([{"mandatory": 2}], "too_many_mandatory"),
        ([{"at_least": [{"amount": "1", "currency": "USD"}] * 2}], "currency_twice"),
        ([{"at_least": [{"amount": "-1", "currency": "USD"}]}], "amount_below_zero"),
    ],
)
def test_what_no_workflow_can_be(steps: list[dict[str, Any]], code: str) -> None:
    """Each step by itself and beside the others; the field `field:manager` has any number."""
    with pytest.raises(ValidationError) as wrong:
        workflow(*steps)
    assert wrong.value.errors()[0]["type"] == code
    workflow({"approvers": ("field:manager",), "mandatory": 2}, {"step": "two", "order": "with"})


def workflow(*steps: dict[str, Any]) -> SetWorkflow:
    """A command that sets a workflow with these steps."""
    given = [{"step": "one", "approvers": ("role:approver",)} | each for each in steps]
    return SetWorkflow.model_validate(
        {"command_id": "c-1", "actor": "ann", "name": "W", "steps": given}
    )
