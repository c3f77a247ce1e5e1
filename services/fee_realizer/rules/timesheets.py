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
from shared.money import minor_unit, plain, rounded

Cited = Mapping[tuple[str, str], int]
"""(requirement, time type) → the rate book that the invoiced lines of the document cite."""


@dataclass(frozen=True, slots=True)
class Realized:
    """A document is worth these lines (maybe none); `basis` names the rate book of each requirement and time type."""

    lines: list[Line]
    basis: list[dict[str, Any]] = field(default_factory=list)


Worth = Realized | Held


@dataclass(slots=True)
class _Sum:
    """The time of one line key while it is summed."""

    requirement: Requirement
    version: RateVersion
    name: str
    fields: tuple[str, str, str]
    hours: Decimal
    first: date
    last: date
    by_day: dict[date, Decimal]


def realize_timesheet(sheet: TimesheetApproved, facts: Facts, cited: Cited) -> Worth:
    """The lines that a timesheet is worth, or what it waits for. Entries of zero hours are good input and worth nothing."""
    entries = [entry for entry in sheet.entries if entry.hours]
    requirement_ids = sorted({entry.requirement_id for entry in entries})
    held = missing_fact(requirement_ids, facts) or missing_step(sheet, requirement_ids, facts) or not_billable(sheet, requirement_ids, facts)
    if held is not None:
        return held
    sums: dict[tuple[Any, ...], _Sum] = {}
    basis: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in entries:
        missing = _add(entry, facts, cited, sums, basis)
        if missing is not None:
            return missing
    lines = [_line(sheet, one, basis[one.requirement.requirement_id, one.version.time_type]) for one in sums.values()]
    lines.sort(key=lambda line: line["line_key"])
    return Realized(lines, [basis[key] for key in sorted(basis)])


def _add(entry: TimesheetEntry, facts: Facts, cited: Cited, sums: dict[tuple[Any, ...], _Sum], basis: dict[tuple[str, str], dict[str, Any]]) -> Held | None:
    requirement = facts.requirements[entry.requirement_id]
    named = (entry.requirement_id, entry.time_type)
    if named not in basis:
        wanted = cited.get(named)
        basis[named] = {
            "requirement_id": entry.requirement_id,
            "time_type": entry.time_type,
            "rate_book": requirement.rate_book if wanted is None else wanted,
            "cited": wanted is not None,
        }
    book: int = basis[named]["rate_book"]
    if basis[named]["cited"]:
        found = facts.cited_rate(requirement, entry.time_type, book, entry.work_date)
    else:
        found = facts.rates(requirement, entry.time_type, book).on(entry.work_date)
    if found is None:
        return Held(
            "no_bill_rate",
            f"requirement {entry.requirement_id} has no bill rate for {entry.time_type} on {entry.work_date}: "
            "send requirement-changed with a rate of that time type from that date or earlier",
        )
    version, name = found
    fields = (entry.project or requirement.project, entry.cost_center or requirement.cost_center, entry.po_number or requirement.po_number)
    key = (entry.requirement_id, entry.time_type, name, fields)
    one = sums.get(key)
    if one is None:
        sums[key] = _Sum(requirement, version, name, fields, entry.hours, entry.work_date, entry.work_date, {entry.work_date: entry.hours})
        return None
    one.hours += entry.hours
    one.first = min(one.first, entry.work_date)
    one.last = max(one.last, entry.work_date)
    one.by_day[entry.work_date] = one.by_day.get(entry.work_date, Decimal(0)) + entry.hours
    return None


def _line(sheet: TimesheetApproved, one: _Sum, basis: dict[str, Any]) -> Line:
    requirement, version = one.requirement, one.version
    amount = rounded(one.hours * version.unit_price, requirement.currency)
    name = one.name
    project, cost_center, po_number = one.fields
    week = sheet.week_ending.isoformat()
    hours = plain(one.hours)
    return {
        "line_key": in_json(["t", requirement.requirement_id, version.time_type, name, project, cost_center, po_number]),
        "line_kind": "timesheet",
        "billing_company": requirement.billing_company,
        "billto_node": requirement.office_id,
        "currency": requirement.currency,
        "quantity": hours,
        "unit": version.unit,
        "unit_price": plain(version.unit_price),
        "amount": plain(amount),
        "effective_date": week,
        "service_from": one.first.isoformat(),
        "service_to": one.last.isoformat(),
        "week_ending": week,
        "requirement_id": requirement.requirement_id,
        "worker_id": sheet.worker_id,
        "time_type": version.time_type,
        "project": project,
        "cost_center": cost_center,
        "po_number": po_number,
        "rate_version": name,
        "rate_book": basis["rate_book"],
        "description": f"{requirement.job_title or requirement.requirement_id} · {sheet.worker_id} · {version.time_type} · week ending {week}",
        "derivation": {
            "sheet": sheet.timesheet_id,
            "revision": str(sheet.revision),
            "hours": {day.isoformat(): plain(value) for day, value in sorted(one.by_day.items())},
            "rate": {
                "from": version.effective_from.isoformat(),
                "price": plain(version.unit_price),
                "unit": version.unit,
                "source": version.source,
                "book": str(version.since_book),
                "cited": "yes" if basis["cited"] and version.in_book(basis["rate_book"]) else "no",
            },
            "formula": f"{hours} × {printed(version.unit_price, requirement.currency)} = {amount}",
        },
    }


@lru_cache(maxsize=1_000)
def printed(price: Decimal, currency: str) -> str:
    """A price with at least the decimals of its currency, and more only where it has them: 50.00, 35.035."""
    at_step = price.quantize(minor_unit(currency))
    return format(at_step if at_step == price else price.normalize(), "f")
