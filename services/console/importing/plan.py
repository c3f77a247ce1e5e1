"""What an import would publish: each document of the folder compared with the stored one by value.

Pure: the folder's contents, the stored documents and today's date are arguments.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal, TypeVar

from pydantic import BaseModel

from services.console.importing.csv_rows import Problems
from services.console.importing.folder import (
    BILLTO,
    RATES,
    REQUIREMENTS,
    TIMESHEETS,
    FolderContents,
    RequirementRow,
    check_levels,
)
from services.console.importing.placements import PLACEMENTS
from shared.events.ats import (
    BilltoChanged,
    PlacementCreated,
    RateFrom,
    RequirementChanged,
    StatusFrom,
    TimesheetApproved,
    TimesheetEntry,
)
from shared.events.field_types import FIRST_DATE, MESSAGE_BYTES

KEPT_OF_NODES = ("tax_id", "contact", "reference")
KEPT_OF_REQUIREMENTS = (
    "engagement",
    "reference",
    "client_contact",
    "client_reference",
    "retainer",
)
MAX_RATES, MAX_ENTRIES = 5_000, 5_000
FIRST_REVISION = 1
Kind = Literal["billto", "requirement", "timesheet", "placement"]
KINDS: tuple[Kind, ...] = ("billto", "requirement", "timesheet", "placement")
Event = TypeVar("Event", BilltoChanged, RequirementChanged, TimesheetApproved, PlacementCreated)


@dataclass(slots=True)
class StoredDocuments:
    """The newest stored revisions of the documents that the folder names or refers to.

    `adjustments`: the original of each timesheet that is stored as an adjustment.
    """

    nodes: dict[str, BilltoChanged] = field(default_factory=dict)
    requirements: dict[str, RequirementChanged] = field(default_factory=dict)
    timesheets: dict[str, TimesheetApproved] = field(default_factory=dict)
    adjustments: dict[str, str] = field(default_factory=dict)
    placements: dict[str, PlacementCreated] = field(default_factory=dict)


@dataclass(slots=True)
class Plan:
    """What to publish, in order, and how many documents are new, changed and unchanged."""

    to_publish: dict[Kind, list[tuple[str, bytes]]] = field(
        default_factory=lambda: {kind: [] for kind in KINDS}
    )
    revisions: dict[tuple[Kind, str], int] = field(default_factory=dict)
    new: Counter[Kind] = field(default_factory=Counter)
    changed: Counter[Kind] = field(default_factory=Counter)
    unchanged: Counter[Kind] = field(default_factory=Counter)

    @property
    def records(self) -> int:
        """How many records there are to publish."""
        return sum(map(len, self.to_publish.values()))

    def add(
        self,
        kind: Kind,
        an_id: str,
        after: Event,
        before: Event | None,
        where: tuple[str, int],
        problems: Problems,
    ) -> None:
        """Adds a document that is new or changed, with its next revision; `where` is its file
        and line.
        """
        if before is None:
            self.new[kind] += 1
        elif before.model_copy(update={"revision": after.revision}) == after:
            self.unchanged[kind] += 1
            return
        else:
            self.changed[kind] += 1
            after = after.model_copy(update={"revision": before.revision + 1})
        value = after.model_dump_json(exclude_defaults=True).encode()
        if len(value) > MESSAGE_BYTES:
            size = f"{an_id} makes a message of {len(value):,} bytes"
            problems.add(*where, "", f"{size}; the limit is {MESSAGE_BYTES:,}: split it")
        self.to_publish[kind].append((an_id, value))
        self.revisions[kind, an_id] = after.revision


def plan_import(
    contents: FolderContents,
    stored: StoredDocuments,
    billing_company: str,
    today: date,
    problems: Problems,
) -> Plan:
    """The plan. It is not to be used if `problems` has any afterwards."""
    _check_nodes(contents, stored, problems)
    _check_requirements(contents, stored, billing_company, problems)
    _check_timesheets(contents, stored, problems)
    plan = Plan()
    if problems.count:
        return plan
    for node in _nodes(contents, stored):
        an_id = node.node_id
        where = (BILLTO, contents.nodes[an_id].line)
        plan.add("billto", an_id, node, stored.nodes.get(an_id), where, problems)
    for requirement in _requirements(contents, stored, billing_company, today):
        an_id = requirement.requirement_id
        row = contents.requirements.get(an_id)
        where = (REQUIREMENTS, row.line) if row else (RATES, contents.rate_lines[an_id])
        before = stored.requirements.get(an_id)
        plan.add("requirement", an_id, requirement, before, where, problems)
    for an_id, rows in contents.timesheets.items():
        known = stored.timesheets.get(an_id)
        timesheet = TimesheetApproved(  # without workflow stamps it counts as approved and reviewed
            timesheet_id=an_id,
            revision=FIRST_REVISION,
            worker_id=rows.worker_id,
            worker_name=rows.worker_name or (known.worker_name if known else ""),
            week_ending=rows.week_ending,
            entries=in_order(rows.entries),
        )
        if known is not None:
            known = known.model_copy(update={"entries": in_order(known.entries)})
        plan.add("timesheet", an_id, timesheet, known, (TIMESHEETS, rows.line), problems)
    for an_id, placed in contents.placements.items():
        before_it = stored.placements.get(an_id)
        event = placed.event(an_id, FIRST_REVISION, before_it)
        plan.add("placement", an_id, event, before_it, (PLACEMENTS, placed.line), problems)
    return plan


def in_order(entries: Iterable[TimesheetEntry]) -> tuple[TimesheetEntry, ...]:
    """Entries by date, requirement and time type: the order of rows in a file means nothing."""
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
                e.billable,
            ),
        )
    )


def _nodes(contents: FolderContents, stored: StoredDocuments) -> Iterable[BilltoChanged]:
    """Nodes of billto.csv; what the file does not have (`KEPT_OF_NODES`) stays as stored."""
    for node_id, row in contents.nodes.items():
        before = stored.nodes.get(node_id)
        yield BilltoChanged(
            node_id=node_id,
            revision=FIRST_REVISION,
            level=row.level,  # type: ignore[arg-type]  # one of LEVELS: the cell was read so
            parent_id=row.parent_id,
            name=row.name,
            account_name=row.account_name,
            address=row.address,
            **_kept(before, KEPT_OF_NODES),
        )


def _kept(before: BaseModel | None, names: Iterable[str]) -> dict[str, Any]:
    return {} if before is None else {name: getattr(before, name) for name in names}


def _requirements(
    contents: FolderContents, stored: StoredDocuments, billing_company: str, today: date
) -> Iterable[RequirementChanged]:
    """Requirements of requirements.csv, and stored ones whose rates bill_rates.csv names."""
    for requirement_id in dict.fromkeys((*contents.requirements, *contents.rates)):
        row = contents.requirements.get(requirement_id)
        before = stored.requirements.get(requirement_id)
        rates = before.rates if before else ()
        if requirement_id in contents.rates:
            rates = _same_order(contents.rates[requirement_id].values(), rates)
        if row is not None:
            yield RequirementChanged(
                requirement_id=requirement_id,
                revision=FIRST_REVISION,
                billing_company=billing_company,
                office_id=row.office_id,
                job_title=row.job_title,
                currency=row.currency,
                statuses=statuses_after(before.statuses if before else (), row, today),
                rates=rates,
                **_kept(before, KEPT_OF_REQUIREMENTS),
            )
        elif before is not None:
            yield before.model_copy(update={"rates": rates})


def statuses_after(
    before: Sequence[StatusFrom], row: RequirementRow, today: date
) -> tuple[StatusFrom, ...]:
    """The statuses of a requirement after the import. The file's status has no date.

    The first status holds from the first date on; one that differs from the last stored one holds
    from today on. So a requirement that was closed since does not block the timesheets of the weeks
    before.
    """
    last = max(before, key=lambda status: status.from_date, default=None)
    since = FIRST_DATE if last is None else max(today, last.from_date)
    if last and (last.status, last.position_type) == (row.status, row.position_type):
        return tuple(before)
    kept = (status for status in before if status.from_date < today)
    new = StatusFrom(from_date=since, status=row.status, position_type=row.position_type)
    return (*kept, new)


def _same_order(rates: Iterable[RateFrom], before: Sequence[RateFrom]) -> tuple[RateFrom, ...]:
    """The rates in the stored order, because the order of rows is no change."""
    at = {(rate.time_type, rate.effective_from): place for place, rate in enumerate(before)}
    return tuple(
        sorted(rates, key=lambda rate: at.get((rate.time_type, rate.effective_from), len(at)))
    )


def _check_nodes(contents: FolderContents, stored: StoredDocuments, problems: Problems) -> None:
    """The parents of nodes, and the offices of requirements, must be in the file or stored."""
    here = contents.nodes.keys() | problems.broken.get(BILLTO, set())
    for node_id, node in contents.nodes.items():
        parent = stored.nodes.get(node.parent_id or "")
        if node.parent_id is None or node.parent_id in here:
            continue
        if parent is None:
            problems.add(
                BILLTO,
                node.line,
                "parent_id",
                f"{node.parent_id} is neither in {BILLTO} nor in the database",
            )
        else:
            check_levels(node_id, node, parent.level, problems)
    for row in contents.requirements.values():
        if row.office_id not in here and row.office_id not in stored.nodes:
            problems.add(
                REQUIREMENTS,
                row.line,
                "office_id",
                f"{row.office_id} is neither in {BILLTO} nor in the database",
            )


def _check_requirements(
    contents: FolderContents, stored: StoredDocuments, billing_company: str, problems: Problems
) -> None:
    """Each requirement must be of this billing company, and in the file or stored."""
    own = {an_id: row.line for an_id, row in contents.requirements.items()}
    here = own.keys() | problems.broken.get(REQUIREMENTS, set())
    references: tuple[tuple[str, Mapping[str, int]], ...] = (
        (REQUIREMENTS, own),
        (RATES, {an_id: at for an_id, at in contents.rate_lines.items() if an_id not in here}),
        (
            TIMESHEETS,
            {an_id: at for an_id, at in contents.requirement_lines.items() if an_id not in here},
        ),
        (
            PLACEMENTS,
            {
                an_id: rows.line
                for rows in contents.placements.values()
                if (an_id := rows.values["requirement_id"]) not in here
            },
        ),
    )
    for file, lines in references:
        for requirement_id, line in lines.items():
            before = stored.requirements.get(requirement_id)
            if before is None and file != REQUIREMENTS:
                problems.add(
                    file,
                    line,
                    "requirement_id",
                    f"{requirement_id} is neither in {REQUIREMENTS} nor in the database",
                )
            elif before is not None and before.billing_company != billing_company:
                owner = f"the billing company {before.billing_company}, not of {billing_company}"
                problems.add(
                    file, line, "requirement_id", f"{requirement_id} is a requirement of {owner}"
                )
    for requirement_id, rates in contents.rates.items():
        if len(rates) > MAX_RATES:
            problems.add(
                RATES,
                contents.rate_lines[requirement_id],
                "",
                f"{requirement_id} has {len(rates):,} rates; the limit is {MAX_RATES:,}",
            )


def _check_timesheets(
    contents: FolderContents, stored: StoredDocuments, problems: Problems
) -> None:
    """A timesheet has a limited number of rows, and is not stored as an adjustment."""
    for timesheet_id, rows in contents.timesheets.items():
        if len(rows.entries) > MAX_ENTRIES:
            problems.add(
                TIMESHEETS,
                rows.line,
                "",
                f"{timesheet_id} has {len(rows.entries):,} rows; the limit is {MAX_ENTRIES:,}",
            )
        original = stored.adjustments.get(timesheet_id)
        if original is not None:
            problems.add(
                TIMESHEETS,
                rows.line,
                "timesheet_id",
                f"{timesheet_id} is stored as an adjustment of {original}, not as an original",
            )
