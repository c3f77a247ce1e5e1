"""What reports show of a source document that waits."""

from collections.abc import Iterable

from services.fee_realizer.sources.rules.facts import Facts
from services.fee_realizer.sources.rules.occurrences import Occurrence
from services.fee_realizer.sources.store.documents import NamedFacts, Waiting
from shared import clock
from shared.events.ats import (
    ChargeAdded,
    PlacementCreated,
    RequirementChanged,
    TimesheetApproved,
)
from shared.money import ZERO


def waiting(
    event: TimesheetApproved
    | PlacementCreated
    | ChargeAdded
    | RequirementChanged
    | Occurrence
    | None,
    named: NamedFacts,
    facts: Facts,
) -> Waiting:
    """Return what reports show of a document: its company is known when all its requirements are.

    The date of a retainer is the day of its approval, if it is given. `named`: what all revisions
    of the document name, in place of a revision in force that cannot be read.
    """
    requirement_ids: Iterable[str] = ()
    company_ids: Iterable[str] = ()
    match event:
        case TimesheetApproved():
            requirement_ids = {entry.requirement_id for entry in event.entries}
        case PlacementCreated() | RequirementChanged():
            requirement_ids = {event.requirement_id}
        case ChargeAdded() | Occurrence():
            company_ids = {event.billing_company}
        case None:
            requirement_ids, company_ids = named.requirement_ids, named.company_ids
    companies = [facts.requirement(each).billing_company for each in requirement_ids]
    company = min(companies or company_ids, default="")
    known = facts.companies.get(company)
    today = clock.today_of(known.time_zone if known else "UTC")
    day, hours = None, None
    match event:
        case TimesheetApproved():
            day = event.week_ending
            hours = sum((entry.hours for entry in event.entries if entry.billable), ZERO)
        case PlacementCreated():
            day = event.start_date
        case ChargeAdded():
            day = event.service_date
        case Occurrence():
            day = event.due_date
        case RequirementChanged(retainer=retainer) if retainer is not None:
            day = retainer.approved_on
    return Waiting(company, today, day, hours)
