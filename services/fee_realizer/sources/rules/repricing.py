"""The impact of bill rate changes: quantities that leave lines at one price and return at another.

Invoiced lines keep their price until an operator confirms a change; until then the change is a
finding. A change is named by requirement, time type and the from-date of the version that is now
in force on the days in question. See docs/billing.md, Bill rates that change.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from services.fee_realizer.requirements.rules import RateConfirmation
from services.fee_realizer.sources.rules.facts import Facts, Line, Realized
from services.fee_realizer.sources.rules.timesheets import CitedPrices, realize_timesheet
from shared.events.ats import TimesheetApproved
from shared.money import ZERO, minor_unit, split


@dataclass(frozen=True, slots=True, order=True)
class RateChange:
    """A change of a bill rate, as it is listed and confirmed."""

    requirement_id: str
    time_type: str
    effective_from: date


class Repricing(NamedTuple):
    """A quantity that leaves one line at its old price and returns at the new price."""

    line_key: str
    billing_company: str
    currency: str
    unit: str
    quantity: Decimal
    old_price: Decimal
    new_price: Decimal
    old_amount: Decimal
    new_amount: Decimal


Impact = dict[RateChange, list[Repricing]]


def unconfirmed_changes(
    timesheet: TimesheetApproved, facts: Facts, cited: CitedPrices, now: Realized
) -> Impact:
    """Return what each unconfirmed change alone would do to the lines of a timesheet `now`."""
    changes: set[RateChange] = set()
    for entry in timesheet.entries:
        price = cited.get((entry.requirement_id, entry.time_type))
        if price is None or not entry.is_billed:
            continue
        requirement = facts.requirement(entry.requirement_id)
        newest = requirement.rate_table(entry.time_type, requirement.rate_book).on(entry.work_date)
        used = requirement.cited_rate(entry.time_type, price.rate_book, entry.work_date)
        if newest is not None and used is not None and newest[1] != used[1]:
            changes.add(RateChange(entry.requirement_id, entry.time_type, newest[0].effective_from))
    found: Impact = {}
    for change in sorted(changes):
        then = realize_timesheet(timesheet, with_confirmation(facts, change), cited)
        if isinstance(then, Realized):
            found[change] = repricings(now.lines, then.lines)
    return found


def with_confirmation(facts: Facts, change: RateChange) -> Facts:
    """Return the facts as they would be if the change were confirmed."""
    requirement = facts.requirement(change.requirement_id)
    newest = RateConfirmation(change.time_type, change.effective_from, requirement.rate_book)
    return facts.with_requirement(
        replace(requirement, confirmations=(newest, *requirement.confirmations))
    )


def repricings(before: Iterable[Line], after: Iterable[Line]) -> list[Repricing]:
    """Return what leaves each timesheet line and returns on lines of another price.

    Hours of one requirement and time type only move between lines. The amount that returns is
    distributed over the lines that it left, so that the parts sum to the whole.
    """
    groups: dict[tuple[str, str], tuple[dict[str, Line], dict[str, Line]]] = {}
    for at, lines in enumerate((before, after)):
        for line in lines:
            if line["line_kind"] == "timesheet":
                group = groups.setdefault((line["requirement_id"], line["time_type"]), ({}, {}))
                group[at][line["line_key"]] = line
    return [one for key in sorted(groups) for one in _repricings(*groups[key])]


def _repricings(before: Mapping[str, Line], after: Mapping[str, Line]) -> list[Repricing]:
    removed, added = _excess(before, after), _excess(after, before)
    if not removed or not added:
        return []
    currency = str(removed[0][0]["currency"])
    returned = sum((amount for _, _, amount in added), ZERO)
    shares = split(returned, [quantity for _, quantity, _ in removed], minor_unit(currency))
    new_price = Decimal(added[0][0]["unit_price"])
    return [
        Repricing(
            line_key=line["line_key"],
            billing_company=line["billing_company"],
            currency=currency,
            unit=line["unit"],
            quantity=quantity,
            old_price=Decimal(line["unit_price"]),
            new_price=new_price,
            old_amount=amount,
            new_amount=share,
        )
        for (line, quantity, amount), share in zip(removed, shares, strict=True)
    ]


def _excess(
    lines: Mapping[str, Line], others: Mapping[str, Line]
) -> list[tuple[Line, Decimal, Decimal]]:
    """Return the lines with a greater quantity than the other of their key, and by how much."""
    nothing = {"quantity": "0", "amount": "0"}
    found = []
    for key, line in sorted(lines.items()):
        other = others.get(key, nothing)
        quantity = Decimal(line["quantity"]) - Decimal(other["quantity"])
        if quantity > 0:
            found.append((line, quantity, Decimal(line["amount"]) - Decimal(other["amount"])))
    return found
