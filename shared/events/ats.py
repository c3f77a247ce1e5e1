"""What the ATS says: requirements, billto nodes, timesheets, placements. Each is a full statement with a growing revision."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, model_validator

from shared.events.field_types import (
    AtsMessage,
    Code,
    Currency,
    Day,
    Fee,
    Hours,
    Identifier,
    Instant,
    Name,
    Percent,
    Revision,
    Text,
    UnitPrice,
    wrong,
)


class StatusFrom(AtsMessage):
    """Status and position type of a requirement from a date on, e.g. Filled and Temp."""

    from_date: Day
    status: Code
    position_type: Text = ""


class RateFrom(AtsMessage):
    """Bill rate of a time type from a date on: price to the client of one unit (HUR hour, DAY day, C62 piece)."""

    time_type: Code
    effective_from: Day
    bill_rate: UnitPrice
    unit: Literal["HUR", "DAY", "C62"] = "HUR"


class Engagement(AtsMessage):
    """Fields of the engagement that separate lines and documents; an entry's own value wins over the requirement's."""

    project: Name = ""
    cost_center: Name = ""
    po_number: Name = ""


class RequirementChanged(AtsMessage):
    """A requirement, whole: who bills it, for which office, its status over time and its rates over time."""

    requirement_id: Identifier
    revision: Revision
    billing_company: Identifier
    office_id: Identifier
    job_title: Name = ""
    currency: Currency
    statuses: Annotated[tuple[StatusFrom, ...], Field(strict=False, max_length=1000)] = ()
    rates: Annotated[tuple[RateFrom, ...], Field(strict=False, max_length=5000)] = ()
    engagement: Engagement = Engagement()

    @model_validator(mode="after")
    def _one_value_a_date(self) -> "RequirementChanged":
        rates = [(rate.time_type, rate.effective_from) for rate in self.rates]
        statuses = [status.from_date for status in self.statuses]
        if len(set(rates)) != len(rates):
            raise wrong("rate_given_twice", "two bill rates for one time type and date: send one")
        if len(set(statuses)) != len(statuses):
            raise wrong("status_given_twice", "two statuses for one date: send one")
        return self


class BilltoChanged(AtsMessage):
    """A node of the billto hierarchy, whole. A non-empty Account Name makes it somebody who can be invoiced."""

    node_id: Identifier
    revision: Revision
    level: Literal["company", "client", "office"]
    parent_id: Identifier | None = None
    name: Name
    account_name: Name = ""
    address: Text = ""
    tax_id: Name = ""


class Workflow(AtsMessage):
    """The stamps of a timesheet's way to the invoice; a missing stamp is a step not done."""

    submitted_at: Instant | None = None
    approved_at: Instant | None = None
    released_at: Instant | None = None
    interpreted_at: Instant | None = None
    reviewed_at: Instant | None = None


class TimesheetEntry(AtsMessage):
    """Time of one day, requirement and time type. `hours` counts the unit of the rate (hours for HUR); 0 to 24."""

    requirement_id: Identifier
    work_date: Day
    time_type: Code
    hours: Hours
    project: Name = ""
    cost_center: Name = ""
    po_number: Name = ""


class TimesheetApproved(AtsMessage):
    """A worker's week, whole. `adjusts` names the original that this sheet adjusts; no entries means cancelled.

    No `workflow` at all means an imported row: it counts as approved and reviewed.
    """

    timesheet_id: Identifier
    revision: Revision
    adjusts: Identifier | None = None
    worker_id: Identifier
    week_ending: Day
    workflow: Workflow | None = None
    entries: Annotated[tuple[TimesheetEntry, ...], Field(strict=False, max_length=5000)] = ()


class PlanPart(AtsMessage):
    """A part of a fee: its share in percent and the day it falls due, counted from the start (day 1 is the start)."""

    share: Percent
    day: Annotated[int, Field(strict=True, ge=1, le=3650)]


class PlacementFee(AtsMessage):
    """A catalog item realized by the placement. Own `amount`, `percent` or `plan` win over the item's."""

    fee_id: Identifier
    item_id: Identifier
    amount: Fee | None = None
    percent: Percent | None = None
    plan: Annotated[tuple[PlanPart, ...], Field(strict=False, max_length=120)] | None = None
    po_number: Name = ""

    @model_validator(mode="after")
    def _whole(self) -> "PlacementFee":
        check_plan(self.plan)
        return self


class PlacementCreated(AtsMessage):
    """A placement, whole: one worker on one requirement, or one direct hire, with the fees that it earns."""

    placement_id: Identifier
    revision: Revision
    requirement_id: Identifier
    worker_id: Identifier
    start_date: Day
    end_date: Day | None = None
    end_reason: Text = ""
    salary: Fee | None = None
    currency: Currency | None = None
    fees: Annotated[tuple[PlacementFee, ...], Field(strict=False, max_length=200)] = ()

    @model_validator(mode="after")
    def _one_fee_an_id(self) -> "PlacementCreated":
        ids = [fee.fee_id for fee in self.fees]
        if len(set(ids)) != len(ids):
            raise wrong("fee_given_twice", "two fees with one fee_id: give each its own")
        return self


def check_plan(plan: tuple[PlanPart, ...] | None) -> None:
    """Shares of a pay plan must sum to 100 percent. Raises ValueError with the sum."""
    if plan is not None and sum((part.share for part in plan), Decimal(0)) != 100:
        raise wrong(
            "bad_plan",
            f"the shares of the pay plan sum to {sum(part.share for part in plan)}, not 100",
        )
