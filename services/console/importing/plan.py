"""What an import would say: each document of the folder held against the books by value, and its next revision if it differs.

Pure: the folder's contents and what the books know come in as values, today too.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, TypeVar

from services.console.importing.folder import (
    BILLTO,
    RATES,
    REQUIREMENTS,
    TIMESHEETS,
    Contents,
    RequirementRow,
    higher,
)
from services.console.importing.sheets import Problems
from shared.events.ats import (
    BilltoChanged,
    RateFrom,
    RequirementChanged,
    StatusFrom,
    TimesheetApproved,
    TimesheetEntry,
)
from shared.events.field_types import FIRST_DATE, MESSAGE_BYTES

MOST_RATES, MOST_ENTRIES = 5_000, 5_000
FIRST_REVISION = 1
Kind = Literal["billto", "requirement", "timesheet"]
KINDS: tuple[Kind, ...] = ("billto", "requirement", "timesheet")
Event = BilltoChanged | RequirementChanged | TimesheetApproved
_E = TypeVar("_E", BilltoChanged, RequirementChanged, TimesheetApproved)


@dataclass(slots=True)
class Known:
    """What the books know of the documents that the folder names or refers to, each in its newest revision."""

    nodes: dict[str, BilltoChanged] = field(default_factory=dict)
    requirements: dict[str, RequirementChanged] = field(default_factory=dict)
    timesheets: dict[str, TimesheetApproved] = field(default_factory=dict)
    adjustments: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Plan:
    """What goes out, in order, and how many documents are new, changed and unchanged."""

    going: dict[Kind, list[tuple[str, bytes]]] = field(
        default_factory=lambda: {kind: [] for kind in KINDS}
    )
    revisions: dict[tuple[Kind, str], int] = field(default_factory=dict)
    new: Counter[Kind] = field(default_factory=Counter)
    changed: Counter[Kind] = field(default_factory=Counter)
    unchanged: Counter[Kind] = field(default_factory=Counter)

    @property
    def records(self) -> int:
        """How many records go out."""
        return sum(len(going) for going in self.going.values())


def plan_import(
    contents: Contents, known: Known, billing_company: str, today: date, problems: Problems
) -> Plan:
    """The plan, or nothing worth having if `problems` has any afterwards."""
    _check_references(contents, known, billing_company, problems)
    plan = Plan()
    if problems.count:
        return plan
    for node in _nodes(contents, known):
        _hold_against(
            node,
            known.nodes.get(node.node_id),
            node.node_id,
            "billto",
            plan,
            BILLTO,
            contents.nodes[node.node_id].line,
            problems,
        )
    for requirement in _requirements(contents, known, billing_company, today):
        an_id = requirement.requirement_id
        at = (
            (REQUIREMENTS, contents.requirements[an_id].line)
            if an_id in contents.requirements
            else (RATES, contents.rate_lines[an_id])
        )
        _hold_against(
            requirement, known.requirements.get(an_id), an_id, "requirement", plan, *at, problems
        )
    for sheet in _timesheets(contents):
        an_id = sheet.timesheet_id
        before = known.timesheets.get(an_id)
        if before is not None:
            before = before.model_copy(update={"entries": in_order(before.entries)})
        _hold_against(
            sheet,
            before,
            an_id,
            "timesheet",
            plan,
            TIMESHEETS,
            contents.timesheets[an_id].line,
            problems,
        )
    return plan


def _hold_against(
    after: _E,
    before: _E | None,
    an_id: str,
    kind: Kind,
    plan: Plan,
    file: str,
    line: int,
    problems: Problems,
) -> None:
    if before is None:
        plan.new[kind] += 1
    elif before.model_copy(update={"revision": after.revision}) == after:
        plan.unchanged[kind] += 1
        return
    else:
        plan.changed[kind] += 1
        after = after.model_copy(update={"revision": before.revision + 1})
    value = after.model_dump_json(exclude_defaults=True).encode()
    if len(value) > MESSAGE_BYTES:
        problems.add(
            file,
            line,
            "",
            f"{an_id} makes a message of {len(value):,} bytes; the limit is {MESSAGE_BYTES:,}: split it",
        )
    plan.going[kind].append((an_id, value))
    plan.revisions[kind, an_id] = after.revision


def in_order(entries: Iterable[TimesheetEntry]) -> tuple[TimesheetEntry, ...]:
    """Entries by date, requirement and time type: the order of rows in a file says nothing."""
    return tuple(
        sorted(
            entries,
            key=lambda e: (
                e.work_date,
                e.requirement_id,
                e.time_type,
                e.hours,
                e.project,
                e.cost_center,
                e.po_number,
            ),
        )
    )


def _nodes(contents: Contents, known: Known) -> Iterable[BilltoChanged]:
    """Nodes of billto.csv; a tax id, which the file does not have, stays as the books have it."""
    for node_id, row in contents.nodes.items():
        yield BilltoChanged(
            node_id=node_id,
            revision=FIRST_REVISION,
            level=row.level,  # type: ignore[arg-type]  # one of LEVELS: the column was read so
            parent_id=row.parent_id,
            name=row.name,
            account_name=row.account_name,
            address=row.address,
            tax_id=known.nodes[node_id].tax_id if node_id in known.nodes else "",
        )


def _requirements(
    contents: Contents, known: Known, billing_company: str, today: date
) -> Iterable[RequirementChanged]:
    """Requirements of requirements.csv, and those of the books whose rates bill_rates.csv names."""
    for requirement_id in [
        *contents.requirements,
        *(an_id for an_id in contents.rates if an_id not in contents.requirements),
    ]:
        row, before = (
            contents.requirements.get(requirement_id),
            known.requirements.get(requirement_id),
        )
        rates = (
            tuple(contents.rates[requirement_id].values())
            if requirement_id in contents.rates
            else None
        )
        if row is None and before is not None:
            yield before.model_copy(update={"rates": _same_order(rates or (), before.rates)})
        elif row is not None:
            yield RequirementChanged(
                requirement_id=requirement_id,
                revision=FIRST_REVISION,
                billing_company=billing_company,
                office_id=row.office_id,
                job_title=row.job_title,
                currency=row.currency,
                statuses=statuses_after(before.statuses if before else (), row, today),
                rates=_same_order(rates, before.rates if before else ())
                if rates is not None
                else (before.rates if before else ()),
                **({"engagement": before.engagement} if before else {}),
            )


def statuses_after(
    before: Sequence[StatusFrom], row: RequirementRow, today: date
) -> tuple[StatusFrom, ...]:
    """The file's status has no date: a first one counts from ever, one that differs from the books' last counts from today on.

    So an order that was closed since does not block the timesheets of the weeks before.
    """
    last = max(before, key=lambda status: status.from_date, default=None)
    if last is None:
        return (
            StatusFrom(from_date=FIRST_DATE, status=row.status, position_type=row.position_type),
        )
    if (last.status, last.position_type) == (row.status, row.position_type):
        return tuple(before)
    kept = [status for status in before if status.from_date < today]
    return (
        *kept,
        StatusFrom(
            from_date=max(today, last.from_date), status=row.status, position_type=row.position_type
        ),
    )


def _same_order(rates: Iterable[RateFrom], before: Sequence[RateFrom]) -> tuple[RateFrom, ...]:
    """The rates in the order of the books as far as those have them: an order of rows says nothing, so it must not look like a change."""
    places = {(rate.time_type, rate.effective_from): place for place, rate in enumerate(before)}
    return tuple(
        sorted(
            rates, key=lambda rate: places.get((rate.time_type, rate.effective_from), len(places))
        )
    )


def _timesheets(contents: Contents) -> Iterable[TimesheetApproved]:
    """No workflow stamps: an imported row counts as approved and reviewed."""
    for timesheet_id, rows in contents.timesheets.items():
        yield TimesheetApproved(
            timesheet_id=timesheet_id,
            revision=FIRST_REVISION,
            worker_id=rows.worker_id,
            week_ending=rows.week_ending,
            entries=in_order(rows.entries),
        )


def _check_references(
    contents: Contents, known: Known, billing_company: str, problems: Problems
) -> None:
    broken_nodes, broken_requirements = (
        problems.broken.get(BILLTO, set()),
        problems.broken.get(REQUIREMENTS, set()),
    )
    for node_id, node in contents.nodes.items():
        if (
            node.parent_id is None
            or node.parent_id in contents.nodes
            or node.parent_id in broken_nodes
        ):
            continue
        parent = known.nodes.get(node.parent_id)
        if parent is None:
            problems.add(
                BILLTO,
                node.line,
                "parent_id",
                f"{node.parent_id} is neither in {BILLTO} nor in the books",
            )
        elif not higher(parent.level, node.level):
            problems.add(
                BILLTO,
                node.line,
                "parent_id",
                f"{node.parent_id} is on the level {parent.level} and cannot stand above the {node.level} {node_id}",
            )
    for requirement_id, row in contents.requirements.items():
        if (
            row.office_id not in contents.nodes
            and row.office_id not in known.nodes
            and row.office_id not in broken_nodes
        ):
            problems.add(
                REQUIREMENTS,
                row.line,
                "office_id",
                f"{row.office_id} is neither in {BILLTO} nor in the books",
            )
        before = known.requirements.get(requirement_id)
        if before is not None and before.billing_company != billing_company:
            message = f"{requirement_id} is a requirement of the billing company {before.billing_company} in the books, not of {billing_company}"
            problems.add(REQUIREMENTS, row.line, "requirement_id", message)
    for lines, file in ((contents.rate_lines, RATES), (contents.requirement_lines, TIMESHEETS)):
        others = {
            an_id: line
            for an_id, line in lines.items()
            if an_id not in contents.requirements and an_id not in broken_requirements
        }
        _check_requirements(others, file, known, billing_company, problems)
    _check_sizes(contents, known, problems)


def _check_requirements(
    lines: Mapping[str, int], file: str, known: Known, billing_company: str, problems: Problems
) -> None:
    for requirement_id, line in lines.items():
        before = known.requirements.get(requirement_id)
        if before is None:
            problems.add(
                file,
                line,
                "requirement_id",
                f"{requirement_id} is neither in {REQUIREMENTS} nor in the books",
            )
        elif before.billing_company != billing_company:
            message = f"{requirement_id} is a requirement of the billing company {before.billing_company}, not of {billing_company}"
            problems.add(file, line, "requirement_id", message)


def _check_sizes(contents: Contents, known: Known, problems: Problems) -> None:
    for requirement_id, rates in contents.rates.items():
        if len(rates) > MOST_RATES:
            problems.add(
                RATES,
                contents.rate_lines[requirement_id],
                "",
                f"{requirement_id} has {len(rates):,} rates; a requirement takes {MOST_RATES:,}",
            )
    for timesheet_id, rows in contents.timesheets.items():
        if len(rows.entries) > MOST_ENTRIES:
            problems.add(
                TIMESHEETS,
                rows.line,
                "",
                f"{timesheet_id} has {len(rows.entries):,} rows; at most {MOST_ENTRIES:,} go into one timesheet",
            )
        if timesheet_id in known.adjustments:
            message = f"{timesheet_id} is an adjustment of {known.adjustments[timesheet_id]} in the books and cannot come as a timesheet of its own"
            problems.add(TIMESHEETS, rows.line, "timesheet_id", message)
