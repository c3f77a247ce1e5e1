"""Which place of a step is given to another person, and to whom it may be given."""

from collections.abc import Collection

from services.invoicer.workflows.rules import SEE_ROUTING, Approver, RoutedStep, Routing
from shared.errors import Refused
from shared.events.commands.workflows import PERSON
from shared.terms import listed


def place_to_reassign(
    routing: Routing, draft: str, person: str, roles: Collection[str], step: str | None
) -> tuple[RoutedStep, Approver]:
    """Return the place of a step that is given to another person.

    It is the place of this person in a step that is not complete; for one who has none, the only
    place that is left there. `step`: only in this step. Raises `Refused` where it is none or not
    one.
    """
    waiting = [each for each in routing.incomplete if step in (None, each.name)]
    left = [(each, place) for each in waiting for place in routing.left(each)]
    own = [(each, place) for each, place in left if place.is_of(person, roles)]
    found = own or left
    if len(found) == 1:
        return found[0]
    fix = SEE_ROUTING.format(draft)
    if not found:
        names = listed([each.name for each in routing.steps])
        known = f" among its steps {names}" if names else ""
        raise Refused(
            "no_such_step",
            f"{draft} has no step {step}{known} that waits for an approval"
            if step
            else f"{draft} has no step that waits for an approval",
            fix,
        )
    places = listed([f"{each.name}: {place.words}" for each, place in found])
    raise Refused(
        "which_step",
        f"{draft} waits for several approvals: {places}",
        "name the step with --step, and whose place it is with --on-behalf-of",
    )


def require_new_approver(
    draft: str, step: RoutedStep, to: str, authors: Collection[str]
) -> Approver:
    """Return the new approver of a place; refuse one who may not approve or approves already."""
    if to in authors:
        raise Refused(
            "four_eyes",
            f"{to} created or changed {draft} and may not approve it",
            "name a person who did neither",
        )
    new = Approver("", "", f"{PERSON}:{to}")
    if any(each.who == new.who for each in step.approvers):
        raise Refused(
            "approves_already",
            f"{to} is an approver of step {step.name} of {draft} already",
            "name another person",
        )
    return new
