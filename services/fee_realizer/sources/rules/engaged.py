"""The engagement of a document: the one that it names, else that of the placement on the day.

It changes nothing of the value: lines carry it to the invoicer.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any

from services.fee_realizer.engagements.rules import EngagementState
from services.fee_realizer.sources.rules.facts import Facts, Held, Line, PricingResult, Realized
from shared.events.ats import PlacementCreated, TimesheetApproved

Engaged = EngagementState | Held | None


def engagement_of_time(
    timesheet: TimesheetApproved, requirement_id: str, day: date, facts: Facts
) -> Engaged:
    """Return the engagement of a timesheet's time on a requirement on a day; None: it has none.

    Without a name it is that of the worker's placement on the requirement on that day. A placement
    without an engagement leads to none: neither does it name one, nor has the ATS sent one with its
    id.
    """
    owner = f"timesheet {timesheet.timesheet_id}"
    if timesheet.engagement_id is not None:
        return _known(timesheet.engagement_id, owner, facts)
    placed = [
        each
        for each in facts.placed.get((requirement_id, timesheet.worker_id), ())
        if each.covers(day)
    ]
    if not any(each.named or facts.engagements[each.engagement_id].event for each in placed):
        return None
    ids = sorted({each.engagement_id for each in placed})
    if len(ids) > 1:
        return Held(
            "ambiguous_engagement",
            f"{owner} has time on requirement {requirement_id} on {day}, when the worker has the"
            f" engagements {', '.join(ids[:5])}: send its next revision with engagement_id",
        )
    return _known(ids[0], f"the placement of {owner}", facts)


def engagement_of_placement(placement: PlacementCreated, facts: Facts) -> Engaged:
    """Return the engagement of a placement: the one that it names, else that with its own id."""
    if placement.engagement_id is not None:
        return _known(placement.engagement_id, f"placement {placement.placement_id}", facts)
    own = facts.engagements.get(placement.placement_id)
    return own if own is not None and own.event is not None else None


def _known(engagement_id: str, owner: str, facts: Facts) -> EngagementState | Held:
    found = facts.engagements.get(engagement_id)
    if found is not None and found.event is not None:
        return found
    return Held(
        "unknown_engagement",
        f"engagement {engagement_id} of {owner} is not known: send it on engagement-changed",
    )


def with_first_filter(before: Sequence[Line], result: PricingResult) -> PricingResult:
    """Return the result with the billing filters that its lines had when first realized.

    `before`: the lines of the latest realization. A line that goes to another engagement takes the
    filter of that one.
    """
    stamped: dict[str, dict[str, Any]] = {
        line["line_key"]: line["engagement"] for line in before if line.get("engagement")
    }
    for line in result.lines if isinstance(result, Realized) and stamped else ():
        first, now = stamped.get(line["line_key"]), line.get("engagement")
        if first and now and first["engagement_id"] == now["engagement_id"]:
            kept = {"billing_filter": first["billing_filter"]} if "billing_filter" in first else {}
            others = {name: value for name, value in now.items() if name != "billing_filter"}
            line["engagement"] = others | kept
    return result
