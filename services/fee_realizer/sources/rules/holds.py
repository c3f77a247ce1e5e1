"""What a document still lacks: a fact, a step of its approval, or a requirement that can be billed.

Each hold has a code, and a message that says what is missing and what to send. See
docs/billing.md, Holds.
"""

from collections.abc import Iterable

from services.fee_realizer.sources.rules.facts import BillingCompany, Facts, Held
from shared.events.ats import TimesheetApproved
from shared.terms import is_agreement

STEPS = ("submitted", "approved", "released", "interpreted", "reviewed")
APPROVED = "approved"
REVIEWED = "reviewed"
BILLABLE_STATUS = "filled"
BILLABLE_POSITIONS = frozenset({"contract", "temp"})


def missing_fact(requirement_ids: Iterable[str], facts: Facts) -> Held | None:
    """Hold for the first requirement or billing company that is unknown or may not bill."""
    for requirement_id in requirement_ids:
        requirement = facts.requirement(requirement_id)
        if not requirement.known:
            return Held(
                "unknown_requirement",
                f"requirement {requirement_id} is not known: send it on requirement-changed",
            )
        held = missing_company(requirement.billing_company, "requirement", requirement_id, facts)
        if held is not None:
            return held
    return None


def missing_company(billing_company: str, kind: str, owner_id: str, facts: Facts) -> Held | None:
    """Hold for a billing company that is unknown or may not bill.

    `kind` and `owner_id`: the requirement, charge or assignment that names it.
    """
    company = facts.companies.get(billing_company) or BillingCompany(billing_company)
    subject = f"billing company {billing_company} of {kind} {owner_id}"
    if not company.known or is_agreement(billing_company):
        return Held(
            "unknown_billing_company", f"{subject} is not known: set it with set-billing-company"
        )
    if not company.enabled:
        return Held(
            "billing_company_disabled",
            f"{subject} is disabled: enable it with set-billing-company,"
            f" or move the {kind} to another",
        )
    return None


def unknown_item(item_id: str, owner: str) -> Held:
    """Hold for a catalog item that is unknown; `owner` names it, such as "fee F-1"."""
    return Held(
        "unknown_catalog_item",
        f"catalog item {item_id} of {owner} is not known: set it with set-catalog-item",
    )


def missing_step(
    timesheet: TimesheetApproved, requirement_ids: Iterable[str], facts: Facts
) -> Held | None:
    """Hold for the first step that a billing company requires and the timesheet has not passed.

    A timesheet without workflow is an imported row that passed all steps. One without hours names
    no requirement, so only its approval is required.
    """
    workflow = timesheet.workflow
    if workflow is None:
        return None
    companies = (
        facts.companies.get(facts.requirement(requirement_id).billing_company)
        for requirement_id in requirement_ids
    )
    all_steps = any(company and company.approval_level == REVIEWED for company in companies)
    for step in STEPS if all_steps else (APPROVED,):
        if getattr(workflow, f"{step}_at") is None:
            return Held(
                f"not_{step}",
                f"timesheet {timesheet.timesheet_id} was not {step}:"
                f" send its next revision with {step}_at when it is",
            )
    return None


def before_go_live(
    timesheet: TimesheetApproved, requirement_ids: Iterable[str], facts: Facts
) -> Held | None:
    """Hold a timesheet that is not realized yet for a week that another system has billed."""
    for requirement_id in requirement_ids:
        company = facts.companies[facts.requirement(requirement_id).billing_company]
        if company.go_live is not None and timesheet.week_ending < company.go_live:
            return Held(
                "before_go_live",
                f"timesheet {timesheet.timesheet_id} is of the week ending {timesheet.week_ending},"
                f" and {company.billing_company} bills here from {company.go_live} on: load what"
                " was billed of it with `backoffice opening import` and retry the document, or set"
                " an earlier go-live date",
            )
    return None


def not_billable(
    timesheet: TimesheetApproved, requirement_ids: Iterable[str], facts: Facts
) -> Held | None:
    """Hold for the first requirement not Filled as Contract or Temp on the week ending."""
    day = timesheet.week_ending
    for requirement_id in requirement_ids:
        status = facts.requirement(requirement_id).status_on(day)
        if status is None or status.status.casefold() != BILLABLE_STATUS:
            was = f"was {status.status}" if status else "had no status"
            return Held(
                "requirement_not_filled",
                f"requirement {requirement_id} {was} on {day}:"
                " send requirement-changed with status Filled from that date or earlier",
            )
        if status.position_type.strip().casefold() not in BILLABLE_POSITIONS:
            return Held(
                "position_type_not_billable",
                f"requirement {requirement_id} had position type {status.position_type[:100]!r}"
                f" on {day}: timesheets are billed for Contract and Temp;"
                " send requirement-changed with one of them from that date",
            )
    return None
