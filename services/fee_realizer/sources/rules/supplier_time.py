"""Price what suppliers are paid for the time of a timesheet: hours × pay rate of the engagement.

Each line has the side "supplier" and belongs to the self-billing agreement of the supplier and the
billing company, `SUPPLIER@COMPANY`: the supplier sells, the billing company buys. The line key
names the supplier's side, so that both sides are settled each by itself. The engagement states the
pay rates from a work date on. They are not cited: a later revision of the engagement corrects what
was paid as every other change of a document does.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from services.fee_realizer.engagements.rules import EngagementState
from services.fee_realizer.requirements.rules import HOUR, Requirement
from services.fee_realizer.sources.rules.facts import Held, Line, compact_json, format_price
from shared.events.ats import TimesheetApproved
from shared.events.field_types import ID_LENGTH
from shared.money import ZERO, plain, rounded
from shared.terms import agreement_id


class WorkedTime(NamedTuple):
    """Time of one requirement, time type, unit and engagement, by work date.

    `fields`: project, cost centre and PO number. `ended`: a later engagement has the same time in
    this week, and the key without its name.
    """

    requirement: Requirement
    time_type: str
    unit: str
    fields: tuple[str, str, str]
    engaged: EngagementState
    ended: bool
    by_day: dict[date, Decimal]


@dataclass(slots=True)
class _PaidTime:
    """The time of one line of the supplier's side, and the day from which its rate is stated."""

    time: WorkedTime
    price: Decimal
    since: date
    by_day: dict[date, Decimal] = field(default_factory=dict)


def supplier_lines(timesheet: TimesheetApproved, worked: Iterable[WorkedTime]) -> list[Line] | Held:
    """Return the lines of the supplier's side; none of time whose engagement has no pay rates.

    A time type without a pay rate holds the document, as one without a bill rate does.
    """
    paid: dict[str, _PaidTime] = {}
    for time in worked:
        for day, hours in time.by_day.items():
            terms = time.engaged.terms_on(day)
            if not terms.supplier_rates:
                continue
            price = next(
                (x.pay_rate for x in terms.supplier_rates if x.time_type == time.time_type), None
            )
            held = _not_payable(time, day, price)
            if held is not None or price is None:
                return held or []
            line = paid.setdefault(_key(time, price), _PaidTime(time, price, terms.from_date))
            line.by_day[day] = line.by_day.get(day, ZERO) + hours
    return [_line(timesheet, key, line) for key, line in paid.items()]


def _not_payable(time: WorkedTime, day: date, price: Decimal | None) -> Held | None:
    """Return why the time of a day cannot be paid; None: it can."""
    engagement_id = time.engaged.engagement_id
    if price is None:
        return Held(
            "no_supplier_rate",
            f"engagement {engagement_id} has no pay rate for {time.time_type} on {day}: send"
            " engagement-changed with a pay rate of that time type, or terms without pay rates",
        )
    if len(_agreement(time)) > ID_LENGTH:
        return Held(
            "supplier_id_too_long",
            f"the ids of the supplier of engagement {engagement_id} and of its billing company have"
            f" more than {ID_LENGTH} characters together: give the supplier a shorter id",
        )
    return None


def _agreement(time: WorkedTime) -> str:
    supplier_id = time.engaged.event.supplier_id if time.engaged.event else None
    return agreement_id(supplier_id or "", time.requirement.billing_company)


def _rate_version(time: WorkedTime, price: Decimal) -> str:
    name = f"supplier@{plain(price)}"
    return name if time.unit == HOUR else f"{name}/{time.unit}"


def _key(time: WorkedTime, price: Decimal) -> str:
    """Return the line key: as that of billed time, with the supplier's side as rate version."""
    key = ["t", time.requirement.requirement_id, time.time_type, _rate_version(time, price)]
    ended = [f"engagement {time.engaged.engagement_id}"] if time.ended else []
    return compact_json([*key, *time.fields, *ended])


def _line(timesheet: TimesheetApproved, key: str, paid: _PaidTime) -> Line:
    """Return a line of the supplier's side. It has no PO number: that one is the client's."""
    time, requirement = paid.time, paid.time.requirement
    days = sorted(paid.by_day)
    quantity = sum(paid.by_day.values(), ZERO)
    amount = rounded(quantity * paid.price, requirement.currency)
    hours, week = plain(quantity), timesheet.week_ending.isoformat()
    title = requirement.job_title or requirement.requirement_id
    project, cost_center, _ = time.fields
    event = time.engaged.event
    return {
        "line_key": key,
        "line_kind": "timesheet",
        "billing_company": _agreement(time),
        "billto_node": _agreement(time),
        "currency": requirement.currency,
        "quantity": hours,
        "unit": time.unit,
        "unit_price": plain(paid.price),
        "amount": plain(amount),
        "effective_date": week,
        "service_from": days[0].isoformat(),
        "service_to": days[-1].isoformat(),
        "week_ending": week,
        "requirement_id": requirement.requirement_id,
        "worker_id": timesheet.worker_id,
        "time_type": time.time_type,
        "project": project,
        "cost_center": cost_center,
        "rate_version": _rate_version(time, paid.price),
        "description": (f"{title} · {timesheet.worker_id} · {time.time_type} · week ending {week}"),
        "engagement": time.engaged.line_fields(days[-1], "supplier"),
        "derivation": {
            "timesheet": timesheet.timesheet_id,
            "revision": str(timesheet.revision),
            "hours": {day.isoformat(): plain(paid.by_day[day]) for day in days},
            "rate": {
                "from": paid.since.isoformat(),
                "price": plain(paid.price),
                "unit": time.unit,
                "source": f"engagement {time.engaged.engagement_id}",
                "book": str(event.revision if event else 0),
                "cited": "no",
            },
            "formula": (f"{hours} × {format_price(paid.price, requirement.currency)} = {amount}"),
        },
    }
