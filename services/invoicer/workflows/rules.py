"""Which steps of a workflow a draft passes, who may approve each, and what an approval completes.

A step begins when all steps before it are complete; steps `with` each other are open at the same
time. A step has approvers: people, roles, and fields of the engagement, which name people. It is
complete when as many of them have approved as are mandatory. Steps whose conditions do not hold
for the draft are left out. Amounts are compared without sign, before tax.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import NamedTuple

from shared.errors import Refused
from shared.events.commands.workflows import FIELD, PERSON, ROLE, WorkflowStep
from shared.terms import listed

SEE_ROUTING = "see who is next: `backoffice drafts show {}`"


@dataclass(frozen=True, slots=True)
class DraftFacts:
    """What of a draft decides its routing. `net` is its total before tax, with its sign.

    `custom` has the values of custom fields on its lines; an empty one: a line has no value.
    """

    currency: str
    net: Decimal
    departments: frozenset[str] = frozenset()
    locations: frozenset[str] = frozenset()
    custom: Mapping[str, frozenset[str]] = field(default_factory=dict)


class Approver(NamedTuple):
    """Who may approve in a step: `given` in the workflow, who that is for this draft, and now.

    `planned` and `who` are `role:NAME` or `person:NAME`; `person:` alone: the engagement names no
    one. They differ where the place was given to another person.
    """

    given: str
    planned: str
    who: str

    @property
    def words(self) -> str:
        """The approver as people read it."""
        kind, _, value = self.who.partition(":")
        if kind == ROLE:
            return f"role {value}"
        return value or f"no one ({self.given.partition(':')[2]} is empty)"

    def is_of(self, person: str, roles: Collection[str]) -> bool:
        """Whether a person with these roles is this approver."""
        kind, _, value = self.who.partition(":")
        return value in roles if kind == ROLE else bool(value) and value == person


@dataclass(frozen=True, slots=True)
class RoutedStep:
    """A step that applies to a draft. `stage`: steps with one number are open together.

    `mandatory`: how many of the approvers must approve.
    """

    name: str
    stage: int
    mandatory: int
    approvers: tuple[Approver, ...]


def applies(step: WorkflowStep, draft: DraftFacts) -> bool:
    """Whether all conditions of a step hold for a draft."""
    amounts = [one.amount for one in step.at_least if one.currency == draft.currency]
    return (
        all(abs(draft.net) >= amount for amount in amounts)
        and (not step.departments or not draft.departments.isdisjoint(step.departments))
        and (not step.locations or not draft.locations.isdisjoint(step.locations))
    )


def route(steps: Sequence[WorkflowStep], draft: DraftFacts) -> list[RoutedStep]:
    """Return the steps that a draft passes, with their approvers, in order."""
    found: list[RoutedStep] = []
    stage = 0
    for step in steps:
        stage += step.order == "after"
        if applies(step, draft):
            approvers = _approvers(step, draft)
            mandatory = min(step.mandatory or len(approvers), len(approvers))
            found.append(RoutedStep(step.step, stage, mandatory, approvers))
    return found


def _approvers(step: WorkflowStep, draft: DraftFacts) -> tuple[Approver, ...]:
    """Return the approvers of a step, each person or role once.

    A field stands for every person whom it names on the lines of the draft.
    """
    found: dict[str, Approver] = {}
    for given in step.approvers:
        kind, _, value = given.partition(":")
        people = sorted(draft.custom.get(value) or {""}) if kind == FIELD else []
        for who in [f"{PERSON}:{each}" for each in people] or [given]:
            found.setdefault(who, Approver(given, who, who))
    return tuple(found.values())


def with_reassigned(step: RoutedStep, replaced: Mapping[tuple[str, str], str]) -> RoutedStep:
    """Return a step with the people who have the places of others, by step and planned approver.

    A person has one place: one who is an approver already takes no second one.
    """
    found: dict[str, Approver] = {}
    for each in step.approvers:
        who = replaced.get((step.name, each.planned), each.who)
        found.setdefault(who, each._replace(who=who))
    approvers = tuple(found.values())
    return replace(step, approvers=approvers, mandatory=min(step.mandatory, len(approvers)))


class Approval(NamedTuple):
    """An approval of a version: for which approver of which step, as whom, and by whom.

    `actor` differs from `person` where one acts on behalf of the other.
    """

    step: str
    who: str
    person: str
    actor: str


@dataclass(frozen=True, slots=True)
class Routing:
    """The steps of the present version of a draft with the approvals of that version."""

    steps: Sequence[RoutedStep]
    approvals: Sequence[Approval] = ()

    def approved(self, step: RoutedStep) -> int:
        """How many approvers of a step have approved."""
        return len({each.who for each in self.approvals if each.step == step.name})

    def left(self, step: RoutedStep) -> list[Approver]:
        """Return the approvers of a step who have not approved."""
        done = {each.who for each in self.approvals if each.step == step.name}
        return [each for each in step.approvers if each.who not in done]

    @property
    def incomplete(self) -> list[RoutedStep]:
        """The steps in which mandatory approvals are missing."""
        return [step for step in self.steps if self.approved(step) < step.mandatory]

    @property
    def complete(self) -> bool:
        """Whether every step has its mandatory approvals."""
        return not self.incomplete

    @property
    def open_steps(self) -> list[RoutedStep]:
        """The steps in which someone can approve now: up to the first stage that is incomplete."""
        waiting = self.incomplete
        last = waiting[0].stage if waiting else max((each.stage for each in self.steps), default=0)
        return [step for step in self.steps if step.stage <= last and self.left(step)]

    @property
    def next_words(self) -> str:
        """Who is next, for people; empty if the routing is complete."""
        waiting = self.incomplete
        return "; ".join(
            f"{step.name}: {_missing(step, self.approved(step), self.left(step))}"
            for step in waiting
            if step.stage == waiting[0].stage
        )


def _missing(step: RoutedStep, approved: int, left: Sequence[Approver]) -> str:
    number = step.mandatory - approved
    names = listed([each.words for each in left])
    return names if number == len(left) else f"{number} of {names}"


def places_of(
    routing: Routing, draft: str, person: str, roles: Collection[str]
) -> list[tuple[RoutedStep, Approver]]:
    """Return the open steps in which a person approves, each with the place that it takes.

    One approval takes one place in each step. Raises `Refused` if there is none, with the reason.
    """
    taken = {each.step for each in routing.approvals if each.person == person}
    found = []
    for step in routing.open_steps:
        left = [each for each in routing.left(step) if each.is_of(person, roles)]
        if left and step.name not in taken:
            # A place that only this person can take before one that others could take.
            found.append((step, min(left, key=lambda each: each.who.startswith(f"{ROLE}:"))))
    if not found:
        raise _no_place(routing, draft, person, roles, taken)
    return found


def _no_place(
    routing: Routing, draft: str, person: str, roles: Collection[str], taken: Collection[str]
) -> Refused:
    mine = [
        step
        for step in routing.steps
        if any(each.is_of(person, roles) for each in step.approvers) and step.name not in taken
    ]
    fix = SEE_ROUTING.format(draft)
    waiting = routing.incomplete
    later = [step for step in mine if waiting and step.stage > waiting[0].stage]
    if later:
        before = listed([step.name for step in waiting if step.stage < later[0].stage])
        return Refused(
            "step_not_open",
            f"{draft} waits in step {before}; {person} approves in step {later[0].name}, after it",
            fix,
        )
    if taken:
        return Refused("already_approved", f"{person} has approved this version of {draft}", fix)
    if mine:
        names = listed([step.name for step in mine])
        return Refused("nothing_to_approve", f"{draft} has all approvals of step {names}", fix)
    next_words = f"; it waits for {routing.next_words}" if routing.next_words else ""
    return Refused(
        "not_an_approver", f"{person} is no approver of this version of {draft}{next_words}", fix
    )


def require_four_eyes(draft: str, authors: Collection[str], actor: str, person: str) -> None:
    """Refuse an approval by, or on behalf of, a person who created or changed the draft."""
    for name in dict.fromkeys((person, actor)):
        if name in authors:
            raise Refused(
                "four_eyes",
                f"{name} created or changed {draft} and may not approve it",
                "let another approver approve it, or reassign the step:"
                f" `backoffice drafts reassign {draft} --to PERSON`",
            )
