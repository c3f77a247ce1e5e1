"""Price a timesheet: approved hours × the bill rate in force on the work date, one line per key.

Hours are summed over the key and the amount is rounded once. See docs/billing.md, Pricing.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from services.fee_realizer.engagements.rules import EngagementState
from services.fee_realizer.requirements.rules import RateVersion, Requirement
from services.fee_realizer.sources.rules.engaged import engagement_of_time
from services.fee_realizer.sources.rules.facts import (
    BillingCompany,
    Facts,
    Held,
    Line,
    PricingResult,
    Realized,
    compact_json,
    format_price,
)
from services.fee_realizer.sources.rules.holds import (
    before_go_live,
    missing_fact,
    missing_step,
    not_billable,
)
from services.fee_realizer.sources.rules.supplier_time import WorkedTime, supplier_lines
from shared.events.ats import TimesheetApproved, TimesheetEntry
from shared.money import ZERO, plain, rounded


class CitedPrice(NamedTuple):
    """What the invoiced lines of a requirement and time type cite.

    `by_work_date`: the tax of some of them follows the work date. `first_day`: the first work day
    of those whose tax follows the effective date.
    """

    rate_book: int
    by_work_date: bool = False
    first_day: date | None = None


# (requirement, time type) → what the invoiced lines of the document cite
CitedPrices = Mapping[tuple[str, str], CitedPrice]


@dataclass(slots=True)
class _EntryGroup:
    """The entries of one requirement, time type, set of engagement fields and engagement.

    `tax_changes` are the days that divide its time by tax rate. `times` has the hours of each day
    by the name of the rate version and the change of the tax rate before which they lie, if any.
    `ended`: a later engagement has the same time in this week, and the key without its name.
    """

    requirement: Requirement
    time_type: str
    engagement: tuple[str, str, str]
    basis: dict[str, Any]
    tax_changes: tuple[date, ...] = ()
    engaged: EngagementState | None = None
    ended: bool = False
    times: dict[tuple[str, date | None], tuple[RateVersion, dict[date, Decimal]]] = field(
        default_factory=dict
    )


def realize_timesheet(
    timesheet: TimesheetApproved, facts: Facts, cited: CitedPrices, *, is_new: bool = False
) -> PricingResult:
    """Return the lines of a timesheet, or what it waits for.

    Entries of zero hours, and those that are not billable, give no line. `is_new`: nothing was
    realized of the document yet; it may be of a week that another system billed.
    """
    entries = [entry for entry in timesheet.entries if entry.is_billed]
    requirement_ids = sorted({entry.requirement_id for entry in entries})
    held = (
        missing_fact(requirement_ids, facts)
        or missing_step(timesheet, requirement_ids, facts)
        or (before_go_live(timesheet, requirement_ids, facts) if is_new and not cited else None)
        or not_billable(timesheet, requirement_ids, facts)
    )
    if held is not None:
        return held
    groups: dict[tuple[str, str, tuple[str, str, str], str], _EntryGroup] = {}
    basis: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in entries:
        requirement = facts.requirements[entry.requirement_id]
        engagement = (
            entry.project or requirement.project,
            entry.cost_center or requirement.cost_center,
            entry.po_number or requirement.po_number,
        )
        engaged = engagement_of_time(timesheet, entry.requirement_id, entry.work_date, facts)
        if isinstance(engaged, Held):
            return engaged
        engagement_id = engaged.engagement_id if engaged else ""
        key = (entry.requirement_id, entry.time_type, engagement, engagement_id)
        group = groups.get(key)
        if group is None:
            priced_from = _basis_of(requirement, entry.time_type, cited, basis)
            changes = _tax_changes(
                facts.companies[requirement.billing_company],
                timesheet.week_ending,
                cited.get((entry.requirement_id, entry.time_type)),
            )
            group = _EntryGroup(
                requirement, entry.time_type, engagement, priced_from, changes, engaged
            )
            groups[key] = group
        no_rate = _add_entry(entry, group)
        if no_rate is not None:
            return no_rate
    _mark_ended(groups)
    lines = [
        _line(timesheet, group, name, tax_change, version, by_day)
        for group in groups.values()
        for (name, tax_change), (version, by_day) in group.times.items()
    ]
    paid = supplier_lines(timesheet, _worked(groups.values()))
    if isinstance(paid, Held):
        return paid
    lines += paid
    lines.sort(key=lambda line: line["line_key"])
    return Realized(lines, [basis[key] for key in sorted(basis)])


def _worked(groups: Iterable[_EntryGroup]) -> Iterator[WorkedTime]:
    """Yield the time of engagements, of which their suppliers may be paid a part."""
    for group in groups:
        if group.engaged is None:
            continue
        for version, by_day in group.times.values():
            yield WorkedTime(
                group.requirement,
                *(group.time_type, version.unit, group.engagement),
                *(group.engaged, group.ended, by_day),
            )


def _mark_ended(groups: Mapping[tuple[str, str, tuple[str, str, str], str], _EntryGroup]) -> None:
    """Mark the groups of engagements that another one follows within the week.

    Their keys get the name of the engagement: two lines of one document never have one key.
    """
    latest: dict[tuple[str, str, tuple[str, str, str]], tuple[date, str, _EntryGroup]] = {}
    for key, group in groups.items():
        last = max(day for _, by_day in group.times.values() for day in by_day)
        before = latest.get(key[:3])
        if before is None or (last, key[3]) > before[:2]:
            latest[key[:3]] = last, key[3], group
    for key, group in groups.items():
        group.ended = latest[key[:3]][2] is not group


def _basis_of(
    requirement: Requirement,
    time_type: str,
    cited: CitedPrices,
    basis: dict[tuple[str, str], dict[str, Any]],
) -> dict[str, Any]:
    """Return the rate book to price from: the one that invoiced lines cite, else the newest."""
    key = (requirement.requirement_id, time_type)
    if key not in basis:
        price = cited.get(key)
        basis[key] = {
            "requirement_id": requirement.requirement_id,
            "time_type": time_type,
            "rate_book": requirement.rate_book if price is None else price.rate_book,
            "cited": price is not None,
        }
    return basis[key]


def _tax_changes(
    company: BillingCompany, week_ending: date, cited: CitedPrice | None
) -> tuple[date, ...]:
    """Return the days up to the week ending that divide a week's time by tax rate.

    Invoiced lines keep how they were divided, whatever the company chooses afterwards.
    """
    changes = tuple(day for day in company.tax_changes if day <= week_ending)
    if cited is None or not changes:
        return changes if company.tax_by_work_date else ()
    if cited.by_work_date:
        return changes
    undivided = cited.first_day is not None and cited.first_day < changes[-1]
    return changes if company.tax_by_work_date and not undivided else ()


def _add_entry(entry: TimesheetEntry, group: _EntryGroup) -> Held | None:
    """Add an entry's hours to the rate version of its day; hold the document if there is none."""
    book: int = group.basis["rate_book"]
    if group.basis["cited"]:
        found = group.requirement.cited_rate(entry.time_type, book, entry.work_date)
    else:
        found = group.requirement.rate_table(entry.time_type, book).on(entry.work_date)
    if found is None:
        return Held(
            "no_bill_rate",
            f"requirement {entry.requirement_id} has no bill rate for {entry.time_type}"
            f" on {entry.work_date}: send requirement-changed with a rate of that time type"
            " from that date or earlier",
        )
    version, name = found
    day = entry.work_date
    tax_change = next((change for change in group.tax_changes if day < change), None)
    time = group.times.get((name, tax_change))
    if time is None:
        group.times[name, tax_change] = (version, {day: entry.hours})
    else:
        time[1][day] = time[1].get(day, ZERO) + entry.hours
    return None


def _line(
    timesheet: TimesheetApproved,
    group: _EntryGroup,
    name: str,
    tax_change: date | None,
    version: RateVersion,
    by_day: dict[date, Decimal],
) -> Line:
    """Return the line of one key: a copy of the template, filled with this timesheet's values."""
    requirement = group.requirement
    template = requirement.line_template(
        (
            *(version.time_type, name, version.source, version.since_book, group.engagement),
            *(tax_change, group.engaged.engagement_id if group.engaged and group.ended else ""),
        ),
        lambda: _template(group, name, version, tax_change),
    )
    days = sorted(by_day)
    quantity = sum(by_day.values(), ZERO)
    amount = rounded(quantity * version.unit_price, requirement.currency)
    hours, week = plain(quantity), timesheet.week_ending.isoformat()
    book: int = group.basis["rate_book"]
    in_cited_book = group.basis["cited"] and version.in_book(book)
    title = requirement.job_title or requirement.requirement_id
    line = template.copy()
    line["quantity"] = hours
    line["amount"] = plain(amount)
    line["effective_date"] = line["week_ending"] = week
    line["service_from"] = days[0].isoformat()
    line["service_to"] = days[-1].isoformat()
    if tax_change is not None:
        line["tax_date"] = line["service_from"]
    if group.engaged is not None:
        line["engagement"] = group.engaged.line_fields(days[-1])
    line["worker_id"] = timesheet.worker_id
    line["rate_book"] = book
    line["description"] = (
        f"{title} · {timesheet.worker_id} · {version.time_type} · week ending {week}"
    )
    line["derivation"] = {
        "timesheet": timesheet.timesheet_id,
        "revision": str(timesheet.revision),
        "hours": {day.isoformat(): plain(by_day[day]) for day in days},
        "rate": template["derivation"] | {"cited": "yes" if in_cited_book else "no"},
        "formula": f"{hours} × {format_price(version.unit_price, requirement.currency)} = {amount}",
    }
    return line


def _template(group: _EntryGroup, name: str, version: RateVersion, tax_change: date | None) -> Line:
    """Return the fields that all lines of a key share, in the order of the event's fields.

    The key of time before a change of the tax rate ends with that day, that of an engagement which
    another one follows in the week with its name. The template's derivation is the part about the
    rate only.
    """
    requirement = group.requirement
    project, cost_center, po_number = group.engagement
    key = ["t", requirement.requirement_id, version.time_type, name, *group.engagement]
    if tax_change is not None:
        key.append(f"before {tax_change}")
    if group.engaged is not None and group.ended:
        key.append(f"engagement {group.engaged.engagement_id}")
    return {
        "line_key": compact_json(key),
        "line_kind": "timesheet",
        "billing_company": requirement.billing_company,
        "billto_node": requirement.office_id,
        "currency": requirement.currency,
        "quantity": "",
        "unit": version.unit,
        "unit_price": plain(version.unit_price),
        "amount": "",
        "effective_date": "",
        "service_from": "",
        "service_to": "",
        "week_ending": "",
        "requirement_id": requirement.requirement_id,
        "worker_id": "",
        "time_type": version.time_type,
        "project": project,
        "cost_center": cost_center,
        "po_number": po_number,
        "rate_version": name,
        "rate_book": 0,
        "description": "",
        "derivation": {
            "from": version.effective_from.isoformat(),
            "price": plain(version.unit_price),
            "unit": version.unit,
            "source": version.source,
            "book": str(version.since_book),
        },
    }
