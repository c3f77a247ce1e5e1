"""Messages of the ATS: requirements, billto nodes, timesheets, placements, engagements.

Each message is the full state of its subject, with a growing revision.
"""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, model_validator

from shared.events.field_types import (
    AtsMessage,
    Code,
    CountryOrNone,
    Currency,
    CustomFields,
    Day,
    DecimalString,
    Fee,
    Hours,
    Identifier,
    Instant,
    Name,
    PartyPair,
    Percent,
    RequestType,
    Revision,
    Text,
    UnitPrice,
    absent,
    wrong,
)


class StatusFrom(AtsMessage):
    """Status and position type of a requirement from a date on, e.g. Filled and Temp."""

    from_date: Day
    status: Code
    position_type: Text = ""


class RateFrom(AtsMessage):
    """Bill rate of a time type from a date on, per unit (HUR hour, DAY day, C62 piece)."""

    time_type: Code
    effective_from: Day
    bill_rate: UnitPrice
    unit: Literal["HUR", "DAY", "C62"] = "HUR"


class Engagement(AtsMessage):
    """Fields of the engagement that separate lines and documents.

    The value of a timesheet entry wins over the value of the requirement.
    """

    project: Name = ""
    cost_center: Name = ""
    po_number: Name = ""


class Retainer(AtsMessage):
    """What a client pays when a requirement is approved: a placement product of the catalog.

    It is taken off the earliest instalments of the fees of the requirement's placements. `amount`,
    in the currency of the requirement, wins over that of the item. `approved_on`: the day of the
    approval, if no status has it. `refundable`: a guarantee gives it back, after the instalments.
    """

    item_id: Identifier
    amount: Annotated[Decimal, DecimalString(places=4, digits=12, ge="0")] | None = None
    approved_on: Day | None = None
    refundable: bool = False
    po_number: Name = ""


class RequirementChanged(AtsMessage):
    """A requirement: who bills it, for which office, its statuses and its rates over time.

    Documents print, where given: `reference`, the number of the requirement that the client knows;
    `client_contact`, who ordered there; `client_reference`, what the client wants to see.
    """

    requirement_id: Identifier
    revision: Revision
    billing_company: Identifier
    office_id: Identifier
    job_title: Name = ""
    reference: Name = ""
    client_contact: Name = ""
    client_reference: Name = ""
    currency: Currency
    statuses: Annotated[tuple[StatusFrom, ...], Field(strict=False, max_length=1000)] = ()
    rates: Annotated[tuple[RateFrom, ...], Field(strict=False, max_length=5000)] = ()
    engagement: Engagement = Engagement()
    retainer: Retainer | None = None

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
    """A node of the billto hierarchy. A non-empty Account Name means that it can be invoiced.

    `contact`: for whom its documents are; `reference`: what it wants to see on them.
    """

    node_id: Identifier
    revision: Revision
    level: Literal["company", "client", "office"]
    parent_id: Identifier | None = None
    name: Name
    account_name: Name = ""
    address: Text = ""
    tax_id: Name = ""
    contact: Name = ""
    reference: Name = ""


class Workflow(AtsMessage):
    """The approval stamps of a timesheet; a missing stamp is a step that is not done.

    `approved_by`: the name of the approver, for the timesheet detail of documents.
    """

    submitted_at: Instant | None = None
    approved_at: Instant | None = None
    approved_by: Name = ""
    released_at: Instant | None = None
    interpreted_at: Instant | None = None
    reviewed_at: Instant | None = None


class TimesheetEntry(AtsMessage):
    """Time of one day, requirement and time type. `hours` counts units of the rate, 0 to 24."""

    requirement_id: Identifier
    work_date: Day
    time_type: Code
    hours: Hours
    project: Name = ""
    cost_center: Name = ""
    po_number: Name = ""
    billable: bool = True

    @property
    def is_billed(self) -> bool:
        """Whether the entry has a value: time that is not billable is kept, and is worth 0."""
        return self.billable and bool(self.hours)


class TimesheetApproved(AtsMessage):
    """A worker's week. `adjusts` names the original timesheet; no entries means cancelled.

    Without `workflow` it is an imported row and counts as approved and reviewed. Documents print
    `worker_name` in place of the id. Without `engagement_id` the engagement of its time is that of
    the worker's placement on the requirement.
    """

    timesheet_id: Identifier
    revision: Revision
    adjusts: Identifier | None = None
    worker_id: Identifier
    worker_name: Name = ""
    week_ending: Day
    engagement_id: Identifier | None = Field(None, exclude_if=absent)
    workflow: Workflow | None = None
    entries: Annotated[tuple[TimesheetEntry, ...], Field(strict=False, max_length=5000)] = ()


class PlanPart(AtsMessage):
    """One part of a fee: its share and its due day (day 1 is the start date).

    Shares are weights: 50/50 and 1/1 are two equal parts.
    """

    share: Percent
    day: Annotated[int, Field(strict=True, ge=1, le=3650)]


class PlacementFee(AtsMessage):
    """A catalog item that the placement earns. Its own `amount`, `percent` or `plan` win.

    `base`: what a percent is taken of, if not the salary or the on-target earnings.
    """

    fee_id: Identifier
    item_id: Identifier
    amount: Fee | None = None
    percent: Percent | None = None
    base: Fee | None = None
    plan: Annotated[tuple[PlanPart, ...], Field(strict=False, max_length=120)] | None = None
    po_number: Name = ""

    @model_validator(mode="after")
    def _whole(self) -> "PlacementFee":
        check_plan(self.plan)
        return self


class PlacementCreated(AtsMessage):
    """A placement: one worker on one requirement, or one direct hire, with its fees.

    `end_date` is the last day worked; `ote` the on-target earnings, in the currency of the salary.
    Without `engagement_id` the engagement has the id of the placement.
    """

    placement_id: Identifier
    revision: Revision
    requirement_id: Identifier
    worker_id: Identifier
    engagement_id: Identifier | None = Field(None, exclude_if=absent)
    worker_name: Name = ""
    start_date: Day
    end_date: Day | None = None
    end_reason: Text = ""
    salary: Fee | None = None
    ote: Fee | None = None
    currency: Currency | None = None
    fees: Annotated[tuple[PlacementFee, ...], Field(strict=False, max_length=200)] = ()

    @model_validator(mode="after")
    def _one_fee_an_id(self) -> "PlacementCreated":
        ids = [fee.fee_id for fee in self.fees]
        if len(set(ids)) != len(ids):
            raise wrong("fee_given_twice", "two fees with one fee_id: give each its own")
        return self


class Charge(AtsMessage):
    """A charge for a debtor node, such as an expense: a quantity of a catalog item at a price.

    `price` and `currency` may be left out where the catalog item has an amount. For an expense the
    price includes `recoverable_tax` (percent), which is taken off before `markup` (percent) is
    added. A charge that is `cancelled` is worth nothing.
    """

    charge_id: Identifier
    billing_company: Identifier
    node_id: Identifier
    item_id: Identifier
    quantity: Annotated[Decimal, DecimalString(places=4, digits=8, ge="0")]
    price: UnitPrice | None = None
    currency: Currency | None = None
    service_date: Day
    po_number: Name = ""
    project: Name = ""
    cost_center: Name = ""
    text: Name = ""
    receipt: Name = ""
    recoverable_tax: Percent | None = None
    markup: Percent | None = None
    cancelled: bool = False

    @model_validator(mode="after")
    def _price_with_currency(self) -> "Charge":
        if (self.price is None) != (self.currency is None):
            raise wrong("not_one_of_two", "give price and currency together, or neither")
        return self


class ChargeAdded(Charge):
    """The complete state of a charge; a higher revision replaces it."""

    revision: Revision


class SupplierRate(AtsMessage):
    """What a supplier is paid for a time type, per unit of its bill rate."""

    time_type: Code
    pay_rate: UnitPrice


class EngagementTerms(AtsMessage):
    """What holds for the billing items of an engagement from a service date on.

    `invoice_option`: where they go; empty: to the default of their country. `billing_filter`: the
    pairs of parties that see them, such as MSP:Client; empty: every party does. `needs_transfer`:
    the client's system must confirm them before they are invoiced.
    `supplier_rates`: what the supplier is paid; its time has items of the supplier's side then,
    which go to `supplier_option`. Without rates its time is billed to the client only.
    """

    from_date: Day
    invoice_option: Name = ""
    billing_filter: Annotated[tuple[PartyPair, ...], Field(strict=False, max_length=20)] = ()
    needs_transfer: bool = False
    supplier_option: Name = Field("", exclude_if=lambda name: not name)
    supplier_rates: Annotated[
        tuple[SupplierRate, ...],
        Field(strict=False, max_length=500, exclude_if=lambda rates: not rates),
    ] = ()

    @model_validator(mode="after")
    def _one_rate_a_time_type(self) -> "EngagementTerms":
        types = [each.time_type for each in self.supplier_rates]
        if len(set(types)) != len(types):
            raise wrong("rate_given_twice", "two pay rates for one time type: send one")
        return self


class EngagementChanged(AtsMessage):
    """An engagement: one worker, or one piece of work, of one supplier at a client.

    `client_country` and `location` decide the default invoice option. `custom` has further fields
    by name, for example a cost code; documents may be grouped by them.
    """

    engagement_id: Identifier
    revision: Revision
    request_type: RequestType = "staffing"
    supplier_id: Identifier | None = None
    client_country: CountryOrNone = ""
    location: Name = ""
    department: Name = ""
    terms: Annotated[tuple[EngagementTerms, ...], Field(strict=False, max_length=1000)] = ()
    custom: CustomFields = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_version_a_date(self) -> "EngagementChanged":
        days = [each.from_date for each in self.terms]
        if len(set(days)) != len(days):
            raise wrong("terms_given_twice", "two terms for one date: send one")
        if self.supplier_id is None and any(each.supplier_rates for each in self.terms):
            raise wrong("no_supplier", "pay rates without a supplier: send supplier_id")
        return self


class SupplierChanged(AtsMessage):
    """A supplier: the staffing firm that provides the workers of engagements.

    `account_name`: the debtor of the fees that it pays.
    """

    supplier_id: Identifier
    revision: Revision
    name: Name
    account_name: Name = ""
    address: Text = ""
    tax_id: Name = ""
    custom: CustomFields = Field(default_factory=dict)


def check_plan(plan: tuple[PlanPart, ...] | None) -> None:
    """Check that a pay plan has a share above zero. Raises ValueError."""
    if plan is not None and not any(part.share for part in plan):
        raise wrong("bad_plan", "no share of the pay plan is above 0: give 50 and 50, or 1 and 1")
