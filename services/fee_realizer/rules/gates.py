"""What a document still lacks: facts that nobody sent, a step of its way to the invoice, a requirement that is Filled.

Each hold is a code and a message that says what is missing and what to send. Source: domain rules 2 and 3.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from services.fee_realizer.rules.facts import Facts
from shared.events.ats import TimesheetApproved

STEPS = (
    ("submitted_at", "not_submitted", "submitted"),
    ("approved_at", "not_approved", "approved"),
    ("released_at", "not_released", "released"),
    ("interpreted_at", "not_interpreted", "interpreted"),
    ("reviewed_at", "not_reviewed", "reviewed"),
)
REVIEWED = "reviewed"
BILLABLE_STATUS = "filled"
BILLABLE_POSITIONS = frozenset({"contract", "temp"})


@dataclass(frozen=True, slots=True)
class Held:
    """A document waits: for what, in a code for programs and a message for people."""

    code: str
    message: str


def missing_fact(requirement_ids: Iterable[str], facts: Facts) -> Held | None:
    """The first requirement or billing company that nobody told us about, or that may not bill."""
    for requirement_id in requirement_ids:
        requirement = facts.requirement(requirement_id)
        if not requirement.known:
            return Held(
                "unknown_requirement",
                f"requirement {requirement_id} is not known: send it on requirement-changed",
            )
        company = facts.company(requirement.billing_company)
        if not company.known:
            return Held(
                "unknown_billing_company",
                f"billing company {company.billing_company} of requirement {requirement_id} is not known: set it with set-billing-company",
            )
        if not company.enabled:
            return Held(
                "billing_company_disabled",
                f"billing company {company.billing_company} of requirement {requirement_id} is disabled: "
                "enable it with set-billing-company, or move the requirement to another",
            )
    return None


def missing_step(
    sheet: TimesheetApproved, requirement_ids: Iterable[str], facts: Facts
) -> Held | None:
    """The first step that the gate of its billing companies asks for and the timesheet has not passed.

    No workflow at all means an imported row, which passed them all. A sheet without hours names no requirement, so no company
    asks for more than the approval.
    """
    workflow = sheet.workflow
    if workflow is None:
        return None
    strict = any(
        facts.company(facts.requirement(requirement_id).billing_company).gate == REVIEWED
        for requirement_id in requirement_ids
    )
    for stamp, code, word in STEPS:
        if (strict or stamp == "approved_at") and getattr(workflow, stamp) is None:
            return Held(
                code,
                f"timesheet {sheet.timesheet_id} was not {word}: send its next revision with {stamp} when it is",
            )
    return None


def not_billable(
    sheet: TimesheetApproved, requirement_ids: Iterable[str], facts: Facts
) -> Held | None:
    """The first requirement that was not Filled, or neither Contract nor Temp, on the timesheet's week ending."""
    for requirement_id in requirement_ids:
        status = facts.requirement(requirement_id).status_on(sheet.week_ending)
        if status is None or status.status.casefold() != BILLABLE_STATUS:
            was = f"was {status.status}" if status else "had no status"
            return Held(
                "requirement_not_filled",
                f"requirement {requirement_id} {was} on {sheet.week_ending}: send requirement-changed with status Filled from that date or earlier",
            )
        if status.position_type.strip().casefold() not in BILLABLE_POSITIONS:
            return Held(
                "position_type_not_billable",
                f"requirement {requirement_id} had position type {status.position_type[:100]!r} on {sheet.week_ending}: "
                "timesheets are billed for Contract and Temp; send requirement-changed with one of them from that date",
            )
    return None
