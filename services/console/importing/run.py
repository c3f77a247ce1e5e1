"""The import from end to end, without a terminal: read, compare, publish, wait until settled.

Progress is reported to a callable, so that the command line and a test can each show it in their
way.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.console.actions.commands import new_command
from services.console.actions.kafka_client import Client
from services.console.addresses import Addresses
from services.console.importing.csv_rows import Problems
from services.console.importing.folder import FolderContents, read_folder
from services.console.importing.plan import KINDS, Kind, Plan, StoredDocuments, plan_import
from services.console.queries.companies import companies, companies_today
from services.console.queries.progress import (
    TimesheetTotals,
    count_rejected_records,
    stored_revisions,
    timesheet_totals,
    work_in_progress,
)
from services.console.queries.snapshot import ReadConnection, open_snapshot
from services.console.queries.source_revisions import (
    billto_bodies,
    count_other_timesheets,
    originals_of_adjustments,
    placement_bodies,
    requirement_bodies,
    timesheet_bodies,
)
from shared.broker.topics import (
    BILLTO_CHANGED,
    PLACEMENT_CREATED,
    REQUIREMENT_CHANGED,
    TIMESHEET_APPROVED,
)
from shared.errors import Refused, Unavailable
from shared.events.ats import (
    BilltoChanged,
    PlacementCreated,
    RequirementChanged,
    TimesheetApproved,
)

if TYPE_CHECKING:
    from shared.signing import Signer

TOPICS: dict[Kind, str] = {
    "billto": BILLTO_CHANGED.name,
    "requirement": REQUIREMENT_CHANGED.name,
    "timesheet": TIMESHEET_APPROVED.name,
    "placement": PLACEMENT_CREATED.name,
}
POLL_SECONDS = 0.4
NO_PROGRESS_SECONDS = 120.0

Progress = Callable[[str, int, int], None]
"""Called with a step, how much of it is done, and of how much (0: unknown)."""


@dataclass(slots=True)
class CheckedImport:
    """An import that was checked and not published: the folder's contents, what is wrong, and
    what to publish.
    """

    contents: FolderContents
    problems: Problems
    plan: Plan
    company_known: bool
    only_stored: int = 0
    """Stored timesheets of the company that the folder does not name: they stay as they are."""


@dataclass(slots=True)
class Published:
    """What was published."""

    records: int = 0
    new_company: dict[str, Any] = field(default_factory=dict)
    """The settings of the billing company, if it was unknown and was created with the defaults."""


async def check_folder(
    addresses: Addresses, folder: Path, billing_company: str, progress: Progress
) -> CheckedImport:
    """Reads the folder and compares it with the database; publishes nothing."""
    problems = Problems()
    contents = await asyncio.to_thread(
        read_folder, folder, problems, lambda file, rows: progress(f"reading {file}", rows, 0)
    )
    others = 0
    async with open_snapshot(addresses.database_url) as connection:
        progress("comparing with the database", 0, 0)
        stored = await stored_documents(connection, contents)
        company = await companies(connection, billing_company)
        today = (await companies_today(connection, billing_company))[billing_company]
        if contents.timesheets and company:
            ids = list(contents.timesheets)
            others = await count_other_timesheets(connection, billing_company, ids)
    plan = await asyncio.to_thread(plan_import, contents, stored, billing_company, today, problems)
    return CheckedImport(contents, problems, plan, bool(company), others)


async def stored_documents(connection: ReadConnection, contents: FolderContents) -> StoredDocuments:
    """The stored revisions of all documents that the folder names or refers to."""
    nodes = {*contents.nodes, *(row.office_id for row in contents.requirements.values())}
    nodes |= {row.parent_id for row in contents.nodes.values() if row.parent_id is not None}
    requirements = {*contents.requirements, *contents.rates, *contents.requirement_lines}
    requirements |= {rows.values["requirement_id"] for rows in contents.placements.values()}
    node_bodies = await billto_bodies(connection, nodes)
    requirement_texts = await requirement_bodies(connection, requirements)
    timesheets = await timesheet_bodies(connection, contents.timesheets)
    placements = await placement_bodies(connection, contents.placements)
    unknown = [an_id for an_id in contents.timesheets if an_id not in timesheets]
    parse_node, parse_timesheet = (
        BilltoChanged.model_validate_json,
        TimesheetApproved.model_validate_json,
    )
    parse_requirement = RequirementChanged.model_validate_json
    return StoredDocuments(
        nodes={an_id: parse_node(body) for an_id, body in node_bodies.items()},
        requirements={an_id: parse_requirement(body) for an_id, body in requirement_texts.items()},
        timesheets={an_id: parse_timesheet(body) for an_id, body in timesheets.items()},
        adjustments=await originals_of_adjustments(connection, unknown),
        placements={
            an_id: PlacementCreated.model_validate_json(body) for an_id, body in placements.items()
        },
    )


async def publish(
    addresses: Addresses,
    checked: CheckedImport,
    billing_company: str,
    actor: str,
    reason: str,
    progress: Progress,
    signer: "Signer | None" = None,
) -> Published:
    """Creates an unknown billing company with the defaults, then publishes what is new or
    changed.
    """
    done = Published()
    async with Client(addresses.kafka, signer=signer) as client:
        if not checked.company_known:
            currencies = {row.currency for row in checked.contents.requirements.values()}
            command = new_command(
                "set-billing-company",
                actor=actor,
                reason=reason or "created by an import with the defaults",
                billing_company=billing_company,
                currency=currencies.pop() if len(currencies) == 1 else None,
                only_if_unknown=True,
            )
            result = await client.send(command)
            if result.outcome == "refused":
                raise Refused(result.code, result.message, result.fix)
            done.new_company = dict(result.details)
        for kind in KINDS:
            records = checked.plan.to_publish[kind]
            if records:
                report = _progress_of(progress, f"publishing {TOPICS[kind]}", len(records))
                done.records += await client.publish(TOPICS[kind], records, report)
    return done


def _progress_of(progress: Progress, step: str, of: int) -> Callable[[int], None]:
    progress(step, 0, of)
    return lambda done: progress(step, done, of)


async def wait_until_settled(
    addresses: Addresses, checked: CheckedImport, progress: Progress
) -> TimesheetTotals:
    """Waits until every published document is stored, priced and settled; returns what the
    timesheets became.

    Raises `Refused` if records were rejected, `Unavailable` if nothing changes for a long time.
    """
    plan = checked.plan
    waiting = {kind: {an_id for an_id, _ in plan.to_publish[kind]} for kind in KINDS}
    last, since = (-1, -1), time.monotonic()
    while True:
        async with open_snapshot(addresses.database_url) as connection:
            for kind in KINDS:
                stored = await stored_revisions(connection, kind, waiting[kind])
                waiting[kind] -= {
                    an_id for an_id, no in stored.items() if no >= plan.revisions[kind, an_id]
                }
            keys = [an_id for ids in waiting.values() for an_id in ids]
            left, busy = len(keys), (await work_in_progress(connection)).total
            progress("storing", plan.records - left, plan.records)
            if not left:
                progress("pricing and settling", 0, busy)
                if not busy:
                    return await timesheet_totals(connection, checked.contents.timesheets)
            elif not busy and await count_rejected_records(connection, keys) >= left:
                raise Refused(
                    "not_taken",
                    f"{left:,} of the published records were rejected",
                    "see `backoffice dead-letters list`",
                )
        if (left, busy) != last:
            last, since = (left, busy), time.monotonic()
        elif time.monotonic() - since > NO_PROGRESS_SECONDS:
            raise Unavailable(
                f"{left:,} documents are not stored yet and {busy:,} are in progress, and nothing"
                f" changed for {NO_PROGRESS_SECONDS:.0f} s: see whether all workers are up with"
                " `backoffice status`, and `backoffice lag`"
            )
        await asyncio.sleep(POLL_SECONDS)
