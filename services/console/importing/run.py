"""The import from end to end, without a terminal: read, hold against the books, publish, wait until settled.

Progress goes to a `Show`, so that the command line, a test and the demonstration can each say it in their way.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from services.console.client.addresses import Addresses
from services.console.client.books import ReadConnection, companies_today, reading
from services.console.client.companies import companies
from services.console.client.kafka_client import Client, new_command_id
from services.console.client.progress import Worth, arrived, moving, refused_records, worth_of
from services.console.client.revisions import (
    adjustments_said,
    nodes_said,
    requirements_said,
    timesheets_besides,
    timesheets_said,
)
from services.console.importing.folder import Contents, read_folder
from services.console.importing.plan import KINDS, Kind, Known, Plan, plan_import
from services.console.importing.sheets import Problems
from shared.broker.topics import BILLTO_CHANGED, REQUIREMENT_CHANGED, TIMESHEET_APPROVED
from shared.errors import Refused, Unavailable
from shared.events.ats import BilltoChanged, RequirementChanged, TimesheetApproved
from shared.events.commands import SetBillingCompany

TOPICS: dict[Kind, str] = {
    "billto": BILLTO_CHANGED.name,
    "requirement": REQUIREMENT_CHANGED.name,
    "timesheet": TIMESHEET_APPROVED.name,
}
POLL_SECONDS = 0.4
NO_PROGRESS_SECONDS = 120.0

Show = Callable[[str, int, int], None]
"""Told a step, how much of it is done, and of how much (0: not known)."""


@dataclass(slots=True)
class Looked:
    """An import that has been looked at and not published: what the folder says and what of it would go out."""

    contents: Contents
    problems: Problems
    plan: Plan
    company_known: bool
    only_in_books: int = 0
    """Timesheets of the company in the books that the folder does not name: they stay as they are."""


@dataclass(slots=True)
class Published:
    """What went out."""

    records: int = 0
    company_made: dict[str, object] = field(default_factory=dict)
    """The settings of the billing company, if it was unknown and was made with the defaults."""


async def look(addresses: Addresses, folder: Path, billing_company: str, show: Show) -> Looked:
    """Reads the folder and holds it against the books; publishes nothing."""
    problems = Problems()
    contents = await asyncio.to_thread(
        read_folder, folder, problems, lambda file, rows: show(f"reading {file}", rows, 0)
    )
    async with reading(addresses.database_url) as connection:
        show("comparing with the books", 0, 0)
        known = await known_of(connection, contents)
        company = await companies(connection, billing_company)
        today = (await companies_today(connection, billing_company))[billing_company]
        besides = (
            await timesheets_besides(connection, billing_company, list(contents.timesheets))
            if contents.timesheets and company
            else 0
        )
    plan = await asyncio.to_thread(plan_import, contents, known, billing_company, today, problems)
    return Looked(contents, problems, plan, bool(company), besides)


async def known_of(connection: ReadConnection, contents: Contents) -> Known:
    """What the books know of all that the folder names or refers to."""
    nodes = {*contents.nodes, *(row.office_id for row in contents.requirements.values())}
    nodes |= {row.parent_id for row in contents.nodes.values() if row.parent_id is not None}
    requirements = {*contents.requirements, *contents.rates, *contents.requirement_lines}
    timesheets = await timesheets_said(connection, contents.timesheets)
    return Known(
        nodes={
            an_id: BilltoChanged.model_validate_json(body)
            for an_id, body in (await nodes_said(connection, nodes)).items()
        },
        requirements={
            an_id: RequirementChanged.model_validate_json(body)
            for an_id, body in (await requirements_said(connection, requirements)).items()
        },
        timesheets={
            an_id: TimesheetApproved.model_validate_json(body) for an_id, body in timesheets.items()
        },
        adjustments=await adjustments_said(
            connection, [an_id for an_id in contents.timesheets if an_id not in timesheets]
        ),
    )


async def publish(
    addresses: Addresses, looked: Looked, billing_company: str, actor: str, reason: str, show: Show
) -> Published:
    """Makes an unknown billing company with the defaults, then publishes what is new or changed."""
    done = Published()
    async with Client(addresses.kafka) as client:
        if not looked.company_known:
            done.company_made = await _make_company(client, looked, billing_company, actor, reason)
        for kind in KINDS:
            going = looked.plan.going[kind]
            if going:
                done.records += await client.publish(
                    TOPICS[kind], going, _counting(show, f"publishing {TOPICS[kind]}", len(going))
                )
    return done


def _counting(show: Show, step: str, of: int) -> Callable[[int], None]:
    show(step, 0, of)
    return lambda sent: show(step, sent, of)


async def _make_company(
    client: Client, looked: Looked, billing_company: str, actor: str, reason: str
) -> dict[str, object]:
    currencies = {row.currency for row in looked.contents.requirements.values()}
    answer = await client.send(
        SetBillingCompany(
            command_id=new_command_id(),
            actor=actor,
            reason=reason or "made by an import with the defaults",
            billing_company=billing_company,
            currency=currencies.pop() if len(currencies) == 1 else None,
            only_if_unknown=True,
        )
    )
    if answer.outcome == "refused":
        raise Refused(answer.code, answer.message, answer.fix)
    return dict(answer.details)


async def wait_until_settled(addresses: Addresses, looked: Looked, show: Show) -> Worth:
    """Waits until every document that went out is in the books and nothing moves between the services; what the timesheets came to.

    Raises `Refused` if records were not taken, `Unavailable` if nothing moves for a long time.
    """
    waiting = {kind: {an_id for an_id, _ in looked.plan.going[kind]} for kind in KINDS}
    revisions = {kind: _revisions(looked, kind) for kind in KINDS}
    last, since = (-1, -1, -1), time.monotonic()
    while True:
        async with reading(addresses.database_url) as connection:
            for kind in KINDS:
                there = await arrived(connection, kind, waiting[kind])
                waiting[kind] -= {
                    an_id for an_id, revision in there.items() if revision >= revisions[kind][an_id]
                }
            left = sum(map(len, waiting.values()))
            now = await moving(connection)
            show("arriving in the books", looked.plan.records - left, looked.plan.records)
            if not left:
                show("being priced and settled", 0, now.pricing_queue + now.in_flight)
                if now.still:
                    return await worth_of(connection, looked.contents.timesheets)
            elif (
                now.still
                and await refused_records(
                    connection, [an_id for ids in waiting.values() for an_id in ids]
                )
                >= left
            ):
                raise Refused(
                    "not_taken",
                    f"{left:,} of the published records could not be taken",
                    "see `backoffice dead-letters list`",
                )
        if (left, now.pricing_queue, now.in_flight) != last:
            last, since = (left, now.pricing_queue, now.in_flight), time.monotonic()
        elif time.monotonic() - since > NO_PROGRESS_SECONDS:
            raise Unavailable(
                f"{left:,} documents have not arrived and {now.pricing_queue + now.in_flight:,} are under way, and nothing moved for"
                f" {NO_PROGRESS_SECONDS:.0f} s: see whether all workers are up with `backoffice status`, and `backoffice lag`"
            )
        await asyncio.sleep(POLL_SECONDS)


def _revisions(looked: Looked, kind: Kind) -> dict[str, int]:
    return {an_id: looked.plan.revisions[kind, an_id] for an_id, _ in looked.plan.going[kind]}
