"""Realizing a timesheet: approved hours × the bill rate in force on the work date, one line per line key.

Source: domain rules 2 (what can be invoiced), 3, 6, 7. Hours are summed over the key and the amount is rounded once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any

from services.fee_realizer.rules.facts import Facts, Line, RateVersion, Requirement, in_json
from services.fee_realizer.rules.gates import Held, missing_fact, missing_step, not_billable
from shared.events.ats import TimesheetApproved, TimesheetEntry
from shared.money import ZERO, minor_unit, plain, rounded

Cited = Mapping[tuple[str, str], int]
"""(requirement, time type) → the rate book that the invoiced lines of the document cite."""


@dataclass(frozen=True, slots=True)
class Realized:
    """A document is worth these lines (maybe none); `basis` names the rate book of each requirement and time type."""

    lines: list[Line]
    basis: list[dict[str, Any]] = field(default_factory=list)


Worth = Realized | Held


@dataclass(slots=True)
class _Key:
    """What the entries of one requirement, time type and set of engagement fields have in common, and their time by rate version."""

    requirement: Requirement
    time_type: str
    fields: tuple[str, str, str]
    basis: dict[str, Any]
    times: dict[str, tuple[RateVersion, dict[date, Decimal]]] = field(default_factory=dict)


def realize_timesheet(sheet: TimesheetApproved, facts: Facts, cited: Cited) -> Worth:
    """The lines that a timesheet is worth, or what it waits for. Entries of zero hours are good input and worth nothing."""
    entries = [entry for entry in sheet.entries if entry.hours]
    requirement_ids = sorted({entry.requirement_id for entry in entries})
    held = (
        missing_fact(requirement_ids, facts)
        or missing_step(sheet, requirement_ids, facts)
        or not_billable(sheet, requirement_ids, facts)
    )
    if held is not None:
        return held
    keys: dict[tuple[str, str, tuple[str, str, str]], _Key] = {}
    basis: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in entries:
        requirement = facts.requirements[entry.requirement_id]
        fields = (
            entry.project or requirement.project,
            entry.cost_center or requirement.cost_center,
            entry.po_number or requirement.po_number,
        )
        named = (entry.requirement_id, entry.time_type, fields)
        key = keys.get(named)
        if key is None:
            key = keys[named] = _Key(
                requirement,
                entry.time_type,
                fields,
                _basis_of(requirement, entry.time_type, cited, basis),
            )
        missing = _add(entry, key, facts)
        if missing is not None:
            return missing
    lines = [
        _line(sheet, key, name, version, by_day)
        for key in keys.values()
        for name, (version, by_day) in key.times.items()
    ]
    lines.sort(key=lambda line: line["line_key"])
    return Realized(lines, [basis[named] for named in sorted(basis)])


def _basis_of(
    requirement: Requirement,
    time_type: str,
    cited: Cited,
    basis: dict[tuple[str, str], dict[str, Any]],
) -> dict[str, Any]:
    """From which rate book a time type of a requirement is priced: the one that invoiced lines cite, else the newest."""
    named = (requirement.requirement_id, time_type)
    if named not in basis:
        wanted = cited.get(named)
        basis[named] = {
            "requirement_id": requirement.requirement_id,
            "time_type": time_type,
            "rate_book": requirement.rate_book if wanted is None else wanted,
            "cited": wanted is not None,
        }
    return basis[named]


def _add(entry: TimesheetEntry, key: _Key, facts: Facts) -> Held | None:
    book: int = key.basis["rate_book"]
    if key.basis["cited"]:
        found = facts.cited_rate(key.requirement, entry.time_type, book, entry.work_date)
    else:
        found = key.requirement.rate_table(entry.time_type, book).on(entry.work_date)
    if found is None:
        return Held(
            "no_bill_rate",
            f"requirement {entry.requirement_id} has no bill rate for {entry.time_type} on {entry.work_date}: "
            "send requirement-changed with a rate of that time type from that date or earlier",
        )
    version, name = found
    time = key.times.get(name)
    if time is None:
        key.times[name] = (version, {entry.work_date: entry.hours})
    elif entry.work_date in time[1]:
        time[1][entry.work_date] += entry.hours
    else:
        time[1][entry.work_date] = entry.hours
    return None


def _line(
    sheet: TimesheetApproved,
    key: _Key,
    name: str,
    version: RateVersion,
    by_day: dict[date, Decimal],
) -> Line:
    """The line of one key: what holds for every timesheet, taken over, and what is this one's."""
    requirement = key.requirement
    always = requirement.always(
        (version.time_type, name, version.source, version.since_book, key.fields),
        lambda: _always(key, name, version),
    )
    days = sorted(by_day)
    quantity = sum(by_day.values(), ZERO)
    amount = rounded(quantity * version.unit_price, requirement.currency)
    hours, week = plain(quantity), sheet.week_ending.isoformat()
    in_cited_book = key.basis["cited"] and version.in_book(key.basis["rate_book"])
    line = always.copy()
    line["quantity"] = hours
    line["amount"] = plain(amount)
    line["effective_date"] = line["week_ending"] = week
    line["service_from"] = days[0].isoformat()
    line["service_to"] = days[-1].isoformat()
    line["worker_id"] = sheet.worker_id
    line["rate_book"] = key.basis["rate_book"]
    line["description"] = (
        f"{requirement.job_title or requirement.requirement_id} · {sheet.worker_id} · {version.time_type} · week ending {week}"
    )
    line["derivation"] = {
        "sheet": sheet.timesheet_id,
        "revision": str(sheet.revision),
        "hours": {day.isoformat(): plain(by_day[day]) for day in days},
        "rate": always["derivation"] | {"cited": "yes" if in_cited_book else "no"},
        "formula": f"{hours} × {printed(version.unit_price, requirement.currency)} = {amount}",
    }
    return line


def _always(key: _Key, name: str, version: RateVersion) -> Line:
    """What the lines of a key have in common on every timesheet, in the order of the fields; its derivation is the rate's part alone."""
    requirement = key.requirement
    project, cost_center, po_number = key.fields
    return {
        "line_key": in_json(
            [
                "t",
                requirement.requirement_id,
                version.time_type,
                name,
                project,
                cost_center,
                po_number,
            ]
        ),
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


@lru_cache(maxsize=1_000)
def printed(price: Decimal, currency: str) -> str:
    """A price with at least the decimals of its currency, and more only where it has them: 50.00, 35.035."""
    at_step = price.quantize(minor_unit(currency))
    return format(at_step if at_step == price else price.normalize(), "f")
