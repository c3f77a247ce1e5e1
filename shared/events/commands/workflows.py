"""The command that sets an approval workflow: who approves drafts, step by step."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import AfterValidator, Field, model_validator

from shared.events.commands.base import InvoicerCommand, Role
from shared.events.field_types import (
    Amount,
    Currency,
    Identifier,
    Message,
    Name,
    absent,
    wrong,
)

ROLE, PERSON, FIELD = "role", "person", "field"
MOST_STEPS, MOST_APPROVERS = 50, 20
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,39}")


def _approver(text: str) -> str:
    """Check that a text names an approver: a role, a person, or a field of the engagement."""
    kind, colon, value = text.partition(":")
    if not colon or not value or value != value.strip() or kind not in (ROLE, PERSON, FIELD):
        raise wrong(
            "not_an_approver", "is none of role:NAME, person:NAME and field:NAME: name an approver"
        )
    if kind == ROLE and value not in get_args(Role):
        raise wrong("unknown_role", f"names no role: use one of {', '.join(get_args(Role))}")
    if kind == FIELD and not _CODE.fullmatch(value):
        raise wrong("not_a_field", "names no custom field of an engagement, such as field:manager")
    return text


Approver = Annotated[Identifier, AfterValidator(_approver)]
"""Who may approve: `role:controller` (each person with the role), `person:ann`, or
`field:department_head` (who the custom field of the engagement names)."""


class Threshold(Message):
    """An amount in a currency from which a step applies; it is compared without its sign."""

    amount: Amount
    currency: Currency


class WorkflowStep(Message):
    """A step of a workflow: `after` the one before it, or open at the same time `with` it.

    `mandatory`: how many approvers must approve; all of them if it is not given. The step applies
    if all of its conditions hold: the total before tax is at least the amount for its currency
    (a currency without an amount: it holds), and a line has one of the departments, and one of
    the locations. Without a condition it always applies.
    """

    step: Identifier
    order: Literal["after", "with"] = "after"
    approvers: Annotated[
        tuple[Approver, ...], Field(strict=False, min_length=1, max_length=MOST_APPROVERS)
    ]
    mandatory: Annotated[
        int | None, Field(strict=True, ge=1, le=MOST_APPROVERS, exclude_if=absent)
    ] = None
    at_least: Annotated[tuple[Threshold, ...], Field(strict=False, max_length=50)] = ()
    departments: Annotated[tuple[Name, ...], Field(strict=False, max_length=100)] = ()
    locations: Annotated[tuple[Name, ...], Field(strict=False, max_length=100)] = ()


RoutedStatus = Literal[
    "pending_billing_transfer", "pending_approval_routing", "pending_finalization"
]
ForbiddenAction = Literal["edit", "snooze", "remove_line", "combine", "cancel", "pro_forma"]


class Forbidden(Message):
    """An action that a workflow forbids in a status, although the status allows it."""

    status: RoutedStatus
    action: ForbiddenAction


class StepFault(NamedTuple):
    """What is wrong with a step beside the others: its position, its field, code and message."""

    position: int
    field: str
    code: str
    message: str


def step_faults(steps: Sequence[WorkflowStep]) -> list[StepFault]:
    """Return what is wrong with steps that are right each by itself."""
    found = []
    names: set[str] = set()
    for position, each in enumerate(steps):
        if each.step in names:
            message = f"{each.step} is the name of an earlier step: give each step its own"
            found.append(StepFault(position, "step", "step_named_twice", message))
        names.add(each.step)
        if position == 0 and each.order == "with":
            message = "the first step has no step before it: write after"
            found.append(StepFault(position, "order", "no_step_before", message))
        if len(set(each.approvers)) < len(each.approvers):
            message = f"an approver of step {each.step} is named twice: name each once"
            found.append(StepFault(position, "approvers", "approver_named_twice", message))
        fields = any(one.startswith(f"{FIELD}:") for one in each.approvers)
        if each.mandatory and each.mandatory > len(each.approvers) and not fields:
            message = (
                f"{each.mandatory} must approve step {each.step}, which has"
                f" {len(each.approvers)}: name more approvers, or lower the number"
            )
            found.append(StepFault(position, "mandatory", "too_many_mandatory", message))
        currencies = [one.currency for one in each.at_least]
        if len(set(currencies)) < len(currencies):
            message = f"step {each.step} has two amounts in one currency: give one"
            found.append(StepFault(position, "at_least", "currency_twice", message))
        if any(one.amount < 0 for one in each.at_least):
            message = f"step {each.step} has an amount below 0: it is compared without sign"
            found.append(StepFault(position, "at_least", "amount_below_zero", message))
    return found


class SetWorkflow(InvoicerCommand):
    """Set an approval workflow, whole. Drafts that exist keep the version that they began with.

    `forbids`: what is not done with a draft in a status, in addition to what the status forbids.
    """

    command: Literal["set-workflow"] = "set-workflow"
    name: Identifier
    steps: Annotated[
        tuple[WorkflowStep, ...], Field(strict=False, min_length=1, max_length=MOST_STEPS)
    ]
    forbids: Annotated[tuple[Forbidden, ...], Field(strict=False, max_length=20)] = ()

    @model_validator(mode="after")
    def _steps_go_together(self) -> "SetWorkflow":
        for fault in step_faults(self.steps):
            raise wrong(fault.code, fault.message.translate(_NO_BRACES))
        return self


_NO_BRACES: dict[int, Any] = {ord("{"): "(", ord("}"): ")"}
"""pydantic takes braces in a message for fields of its own."""
