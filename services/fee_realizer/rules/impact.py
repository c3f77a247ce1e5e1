"""What a change of bill rates does to what is invoiced, or open, before anybody lets it: lines that leave at one price and come back at another.

Source: domain rules 6. Lines on documents keep their price until an operator confirms; until then the change is a finding. A change is
named by requirement, time type and the from-date of the version that holds now on the days in question.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from services.fee_realizer.rules.facts import Confirmed, Facts, Line
from services.fee_realizer.rules.timesheets import Cited, Realized, printed, realize_timesheet
from shared.events.ats import TimesheetApproved
from shared.money import ZERO, minor_unit, plain, rounded, split


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """A change of a bill rate, as it is listed and confirmed."""

    requirement_id: str
    time_type: str
    effective_from: date


@dataclass(frozen=True, slots=True)
class Moved:
    """Of one line key: so much leaves at the old price for `old_amount` and comes back at the new price for `new_amount`."""

    line_key: str
    requirement_id: str
    time_type: str
    billing_company: str
    currency: str
    unit: str
    quantity: Decimal
    old_price: Decimal
    new_price: Decimal
    old_amount: Decimal
    new_amount: Decimal


def impact(
    sheet: TimesheetApproved, facts: Facts, cited: Cited, now: Realized
) -> dict[Change, list[Moved]]:
    """What each unconfirmed change would do to the lines that a timesheet is worth `now`, each change by itself."""
    changes: set[Change] = set()
    for entry in sheet.entries:
        book = cited.get((entry.requirement_id, entry.time_type))
        if book is None or not entry.hours:
            continue
        requirement = facts.requirement(entry.requirement_id)
        newest = requirement.rate_table(entry.time_type, requirement.rate_book).on(entry.work_date)
        taken = facts.cited_rate(requirement, entry.time_type, book, entry.work_date)
        if newest is not None and taken is not None and newest[1] != taken[1]:
            changes.add(Change(entry.requirement_id, entry.time_type, newest[0].effective_from))
    found: dict[Change, list[Moved]] = {}
    for change in sorted(changes):
        then = realize_timesheet(sheet, confirmed(facts, change), cited)
        if isinstance(then, Realized):
            found[change] = moved(now.lines, then.lines)
    return found


def confirmed(facts: Facts, change: Change) -> Facts:
    """The facts as they would be if the change were confirmed."""
    requirement = facts.requirement(change.requirement_id)
    newest = Confirmed(change.time_type, change.effective_from, requirement.rate_book)
    changed = replace(requirement, confirmed=(newest, *requirement.confirmed))
    return Facts(
        facts.requirements | {change.requirement_id: changed}, facts.companies, facts.items
    )


def moved(before: Iterable[Line], after: Iterable[Line]) -> list[Moved]:
    """What leaves each line and comes back on lines of another price. Hours of one requirement and time type only change their line;
    what comes back is spread over what left by the price that it had before, so that the parts sum to the whole."""
    kinds: dict[tuple[str, str], tuple[dict[str, Line], dict[str, Line]]] = {}
    for at, lines in enumerate((before, after)):
        for line in lines:
            if line["line_kind"] == "timesheet":
                kinds.setdefault((line["requirement_id"], line["time_type"]), ({}, {}))[at][
                    line["line_key"]
                ] = line
    return [one for kind in sorted(kinds) for one in _moved(*kinds[kind])]


def _moved(before: Mapping[str, Line], after: Mapping[str, Line]) -> list[Moved]:
    gone = [(line, *_less(line, after.get(key))) for key, line in sorted(before.items())]
    gone = [(line, quantity, amount) for line, quantity, amount in gone if quantity > 0]
    come = [(line, *_less(line, before.get(key))) for key, line in sorted(after.items())]
    come = [(line, quantity, amount) for line, quantity, amount in come if quantity > 0]
    if not gone or not come:
        return []
    currency = str(gone[0][0]["currency"])
    back = sum((amount for _, _, amount in come), ZERO)
    shares: Sequence[Decimal] = split(
        back, [quantity for _, quantity, _ in gone], minor_unit(currency)
    )
    new_price = Decimal(come[0][0]["unit_price"])
    return [
        Moved(
            line_key=line["line_key"],
            requirement_id=line["requirement_id"],
            time_type=line["time_type"],
            billing_company=line["billing_company"],
            currency=currency,
            unit=line["unit"],
            quantity=quantity,
            old_price=Decimal(line["unit_price"]),
            new_price=new_price,
            old_amount=amount,
            new_amount=share,
        )
        for (line, quantity, amount), share in zip(gone, shares, strict=True)
    ]


def _less(line: Line, other: Line | None) -> tuple[Decimal, Decimal]:
    """By how much a line is more than the one of the same key."""
    if other is None:
        return Decimal(line["quantity"]), Decimal(line["amount"])
    return Decimal(line["quantity"]) - Decimal(other["quantity"]), Decimal(
        line["amount"]
    ) - Decimal(other["amount"])


@dataclass(frozen=True, slots=True)
class Impacted:
    """A line key that a change touches, with the newest document on which it stands (empty: on none)."""

    document_id: str
    change: Change
    moved: Moved
    invoice_number: str = ""
    account_name: str = ""

    @property
    def names(self) -> dict[str, str]:
        """What people add it up by."""
        one = self.moved
        return {
            "requirement_id": self.change.requirement_id,
            "time_type": self.change.time_type,
            "effective_from": self.change.effective_from.isoformat(),
            "billing_company": one.billing_company,
            "account_name": self.account_name,
            "invoice_number": self.invoice_number,
            "unit": one.unit,
            "old_price": printed(one.old_price, one.currency),
            "new_price": printed(one.new_price, one.currency),
            "currency": one.currency,
        }


def summed(impacted: Iterable[Impacted], *by: str) -> list[dict[str, object]]:
    """Documents, lines, hours, old, new and net for each value of these names and each currency, in their order."""
    groups: dict[tuple[str, ...], list[Impacted]] = {}
    names = (*by, "currency")
    for one in impacted:
        groups.setdefault(tuple(one.names[name] for name in names), []).append(one)
    found: list[dict[str, object]] = []
    for values, of_one in sorted(groups.items()):
        currency = values[-1]
        old = sum((one.moved.old_amount for one in of_one), ZERO)
        new = sum((one.moved.new_amount for one in of_one), ZERO)
        found.append(
            dict(zip(names, values, strict=True))
            | {
                "documents": len({one.document_id for one in of_one}),
                "lines": len(of_one),
                "hours": plain(sum((one.moved.quantity for one in of_one), ZERO)),
                "old": str(rounded(old, currency)),
                "new": str(rounded(new, currency)),
                "net": str(rounded(new - old, currency)),
            }
        )
    return found
