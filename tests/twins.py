"""Rules that the product carries out in SQL or over a stream, once more in plain Python.

A test compares each with the product, and people read them: they say the rule in one place.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_FLOOR, Decimal
from typing import Literal, NamedTuple

from services.invoicer.batches.rules.safety_checks import (
    HOURS_OVER_BOUND,
    WORKED_TWICE,
    SafetyViolation,
)
from services.invoicer.debtors.rules.billto import LEVEL_NUMBERS
from services.invoicer.debtors.rules.cycles import Window
from services.invoicer.invoices.rules.totals import HUNDRED, TaxSpan
from services.invoicer.lines.rules import LineLocation
from shared.money import ZERO, minor_unit, rounded
from shared.render.csv import csv_row
from shared.render.totals import ControlTotals
from shared.terms import BilltoLevel, ClosedDocument, ClosedLine, LineKind


def rate_on(spans: Iterable[TaxSpan], tax_code: str, effective_date: date) -> Decimal | None:
    """Return the percentage of a tax code on a date.

    Zero without a code; None: the code has no rate on that date.
    """
    if not tax_code:
        return ZERO
    return next(
        (
            span.percent
            for span in spans
            if span.tax_code == tax_code and span.from_date <= effective_date < span.to_date
        ),
        None,
    )


def line_tax(amount: Decimal, percent: Decimal, currency: str) -> Decimal:
    """Return the tax of one line, rounded half up."""
    return rounded(amount * percent / HUNDRED, currency)


def document_tax(amounts: Sequence[Decimal], percent: Decimal, currency: str) -> list[Decimal]:
    """Return the tax of the lines of one code and rate of a document.

    It is computed on their sum and distributed by largest remainder: 25.06, 25.61, 25.63 at 15 %
    give 3.76, 3.84, 3.85 = 11.45. Of equal remainders, the earlier line's counts first.
    """
    step = minor_unit(currency)
    exact = [amount * percent / HUNDRED for amount in amounts]
    floors = [(share / step).to_integral_value(ROUND_FLOOR) * step for share in exact]
    whole = rounded(sum(amounts, ZERO) * percent / HUNDRED, currency)
    left = int((whole - sum(floors, ZERO)) / step)
    by_remainder = sorted(range(len(amounts)), key=lambda at: (-(exact[at] - floors[at]), at))
    for at in by_remainder[:left]:
        floors[at] += step
    return floors


class BilltoNode(NamedTuple):
    """The fields of a node that decide its debtor."""

    node_id: str
    level: BilltoLevel
    parent_id: str | None
    account_name: str


def path(nodes: Mapping[str, BilltoNode], node_id: str) -> list[BilltoNode]:
    """Return the node and its known parents, each of a higher level than the one before."""
    nodes_of_path: list[BilltoNode] = []
    node = nodes.get(node_id)
    while node is not None:
        nodes_of_path.append(node)
        parent = nodes.get(node.parent_id or "")
        is_higher = parent and LEVEL_NUMBERS[parent.level] < LEVEL_NUMBERS[node.level]
        node = parent if is_higher else None
    return nodes_of_path


def resolve(nodes: Mapping[str, BilltoNode], node_id: str) -> BilltoNode | None:
    """Return the lowest node of the path with an Account Name; None: there is no debtor."""
    return next((node for node in path(nodes, node_id) if node.account_name), None)


def in_window(
    kind: LineKind, week_ending: date | None, effective_date: date, correction: bool, cycle: Window
) -> bool:
    """Whether a line that is due is in the window.

    A correction of an invoiced timesheet is in it whatever its week ending. The column
    `exclusion_reason` of the selection in SQL is the same rule.
    """
    if kind == "product":
        return effective_date <= cycle.products_to
    return correction or cycle.weeks_to is None or (week_ending or effective_date) <= cycle.weeks_to


@dataclass(frozen=True, slots=True, order=True)
class WorkedTime:
    """Time of one worker on one day in the settled realization of a document.

    `hours`: zero for what is not counted in hours.
    """

    worker_id: str
    day: date
    requirement_id: str
    time_type: str
    document_id: str
    hours: Decimal


def safety_violations(worked: Iterable[WorkedTime], max_hours: int) -> list[SafetyViolation]:
    """Return the days that break a rule, sorted."""
    groups: dict[tuple[str, str, date, str, str], list[WorkedTime]] = {}
    for time in worked:
        worker, day = time.worker_id, time.day
        groups.setdefault((HOURS_OVER_BOUND, worker, day, "", ""), []).append(time)
        twice = WORKED_TWICE, worker, day, time.requirement_id, time.time_type
        groups.setdefault(twice, []).append(time)
    violations = []
    for key, times in groups.items():
        hours = sum((time.hours for time in times), ZERO)
        documents = tuple(sorted({time.document_id for time in times}))
        if (hours > max_hours) if key[0] == HOURS_OVER_BOUND else (len(documents) > 1):
            violations.append(SafetyViolation(*key, hours, documents))
    return sorted(violations)


Status = Literal["Scheduled", "Pending", "Snoozed", "Draft", "Invoiced"]


def on_hold(until_date: date | None, today: date, *, is_credit: bool = False) -> bool:
    """Whether a snooze holds a line today.

    It holds until released, or until its date has come. Credit lines are never on hold.
    """
    return not is_credit and (until_date is None or until_date > today)


def status_of(location: LineLocation, effective_date: date, today: date, *, held: bool) -> Status:
    """Return the status of a line today.

    A snooze that is set on a Scheduled line shows Scheduled until the line is due.
    """
    if location == "invoiced":
        return "Invoiced"
    if location == "draft":
        return "Draft"
    if effective_date > today:
        return "Scheduled"
    return "Snoozed" if held else "Pending"


def csv_rows(
    document: ClosedDocument, lines: Iterable[ClosedLine], totals: ControlTotals | None = None
) -> Iterator[str]:
    """Yield the records of one document and count them in `totals`.

    The caller writes `CSV_HEADER` first. For an asynchronous source call `totals.add_document`,
    then `csv_row` and `totals.add_line` for each line.
    """
    if totals is not None:
        totals.add_document(document)
    for line in lines:
        if totals is not None:
            totals.add_line(document.currency, line)
        yield csv_row(document, line)
