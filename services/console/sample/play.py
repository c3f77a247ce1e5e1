"""Plays the sample month on a running stack: publishes it, waits, looks, closes a batch for each billing company, takes the files.

Everything goes the way that any operator's program goes: records and commands over Kafka, views for reading. What happened is given back
as a `Story`; how it is told is the command line's business.
"""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.console.client.addresses import Addresses
from services.console.client.batches import batch
from services.console.client.books import Row, companies_today, reading
from services.console.client.dead_letters import dead_letters
from services.console.client.files import Saved, save
from services.console.client.kafka_client import Client, new_command_id
from services.console.client.lines import STATUSES, held_documents, pay_lines, pending_amounts
from services.console.client.progress import moving
from services.console.client.verified import verified
from services.console.sample import month
from services.console.sample.agency import BILLING_COMPANIES
from shared.broker.topics import OPERATOR_COMMANDS
from shared.consumer.lag import LagReader, groups_of
from shared.errors import Refused, Unavailable
from shared.events.billing import CommandResult, Finding
from shared.events.commands import (
    OPERATOR_COMMAND,
    AnyCommand,
    GenerateBatch,
    HealthCheck,
    PreviewBatch,
    RecordDownload,
    SnoozePayLines,
)
from shared.verify import Report

ACTOR = "demo"
COMPANIES = tuple(company["billing_company"] for company in BILLING_COMPANIES)
KEYS = {
    "billto-changed": ("node_id",),
    "requirement-changed": ("requirement_id",),
    "timesheet-approved": ("adjusts", "timesheet_id"),
    "placement-created": ("placement_id",),
}
DISPUTE = "the client disputes Thursday's overtime"
MOST_LINES = 10_000
POLL_SECONDS = 0.2
NO_PROGRESS_SECONDS = 60.0

Show = Callable[[str, int, int], None]


@dataclass(slots=True)
class Closed:
    """One billing company's batch: what the preview promised, what was closed, and the files."""

    billing_company: str
    findings: tuple[Finding, ...] = ()
    preview: CommandResult | None = None
    generated: CommandResult | None = None
    head: Row = field(default_factory=dict)
    csv: Saved | None = None
    pdf: Saved | None = None


@dataclass(slots=True)
class Story:
    """What happened, from the first record to the last file."""

    published: dict[str, int] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    scheduled: list[Row] = field(default_factory=list)
    snoozed: list[Row] = field(default_factory=list)
    pending: list[Row] = field(default_factory=list)
    held: list[Row] = field(default_factory=list)
    letters: list[Row] = field(default_factory=list)
    closed: list[Closed] = field(default_factory=list)
    left: list[Row] = field(default_factory=list)
    report: Report | None = None


async def publish_month(addresses: Addresses, story: Story, show: Show) -> None:
    """Publishes the event files in their order."""
    async with Client(addresses.kafka) as client:
        for name, lines in month.files().items():
            topic = name[3:].removesuffix(".jsonl")
            show(f"publishing {name}", 0, len(lines))
            if topic == OPERATOR_COMMANDS.name:
                for answer in await client.send_all(
                    [OPERATOR_COMMAND.validate_json(line) for line in lines]
                ):
                    _accepted(answer)
            else:
                await client.publish(
                    topic, [(record_key(topic, line), line.encode()) for line in lines]
                )
            show(f"publishing {name}", len(lines), len(lines))
            story.published[name] = len(lines)


def record_key(topic: str, line: str) -> str | None:
    """The key of a record, as an ATS would give it; a line that was cut off has none."""
    try:
        body = json.loads(line)
    except ValueError:
        return None
    return next((str(body[name]) for name in KEYS[topic] if body.get(name)), None)


async def wait_until_still(addresses: Addresses, show: Show) -> None:
    """Waits until every consumer group has read its topics and nothing moves between the services."""
    last, since = (-1, -1), time.monotonic()
    groups = groups_of()
    async with LagReader(addresses.kafka) as lags:
        most = 0
        while True:
            behind = sum(one.behind for one in await lags.lag(groups))
            async with reading(addresses.database_url) as connection:
                now = await moving(connection)
            left = behind + now.pricing_queue + now.in_flight
            most = max(most, left)
            show("pricing and settling", most - left, most)
            if left == 0 and behind == 0 and last == (0, 0):
                return  # seen twice: what was said at the last moment has been read, too
            if (behind, left) != last:
                last, since = (behind, left), time.monotonic()
            elif time.monotonic() - since > NO_PROGRESS_SECONDS:
                raise Unavailable(
                    f"{left} records and documents are under way and nothing moved for {NO_PROGRESS_SECONDS:.0f} s: see the workers' logs"
                )
            await asyncio.sleep(POLL_SECONDS)


async def look_around(addresses: Addresses, story: Story) -> None:
    """What came of it so far: lines by status, what waits and why, what nobody could read."""
    async with reading(addresses.database_url) as connection:
        todays = await companies_today(connection)
        for status in STATUSES:
            rows, number = await pay_lines(connection, todays, statuses=[status], limit=MOST_LINES)
            story.lines[status] = number
            if status == "Scheduled":
                story.scheduled = rows
        story.pending = await pending_amounts(connection, todays)
        story.held, _ = await held_documents(connection)
        story.letters, _ = await dead_letters(connection)


async def snooze_the_dispute(addresses: Addresses, story: Story) -> None:
    """Puts the lines of the disputed timesheet on hold."""
    document = month.timesheet_id(*month.IN_DISPUTE)
    async with reading(addresses.database_url) as connection:
        todays = await companies_today(connection)
        lines, _ = await pay_lines(connection, todays, statuses=["Pending"], document=document)
    overtime = [line for line in lines if line["time_type"] == "OT"] or lines
    ids = tuple(int(line["pay_line_id"]) for line in overtime)
    company = str(overtime[0]["billing_company"])
    await _send(
        addresses, SnoozePayLines(**_said("snooze"), billing_company=company, pay_line_ids=ids)
    )
    story.snoozed = overtime


async def close_batch(addresses: Addresses, company: str, story: Story) -> Closed:
    """Health check, preview, and the batch that cites the preview."""
    closed = Closed(company)
    story.closed.append(closed)
    health = await _send(
        addresses,
        HealthCheck(**_said("health"), billing_company=company, cut_off_date=month.CUT_OFF),
    )
    closed.findings = health.findings
    closed.preview = await _send(
        addresses,
        PreviewBatch(**_said("preview"), billing_company=company, cut_off_date=month.CUT_OFF),
    )
    digest = str(closed.preview.details["digest"])
    closed.generated = await _send(
        addresses,
        GenerateBatch(
            **_said("month end"), billing_company=company, cut_off_date=month.CUT_OFF, digest=digest
        ),
    )
    async with reading(addresses.database_url) as connection:
        closed.head = await batch(connection, str(closed.generated.details["batch_id"]))
    return closed


async def take_files(addresses: Addresses, closed: Closed, out: Path, show: Show) -> None:
    """CSV and PDF of a batch; the totals of each are held against the batch and its documents before a file is kept."""
    company, batch_id = closed.billing_company, str(closed.head["batch_id"])
    folder = out / company
    for old in folder.glob("*.pdf"):
        old.unlink()
    async with reading(addresses.database_url) as connection:
        closed.csv = await save(connection, closed.head, "csv", out / f"{company}.csv")
    async with reading(addresses.database_url) as connection:
        closed.pdf = await save(
            connection,
            closed.head,
            "pdf",
            folder,
            lambda done, of: show(f"drawing PDFs of {company}", done, of),
        )
    async with Client(addresses.kafka) as client:
        commands: list[AnyCommand] = [
            RecordDownload(
                **_said("demo"), billing_company=company, batch_id=batch_id, file_format=file_format
            )
            for file_format in ("csv", "pdf")
        ]
        for answer in await client.send_all(commands):
            _accepted(answer)


async def check_the_books(addresses: Addresses, story: Story) -> None:
    """Every check of the books, and which lines are left open and why."""
    story.report = await verified(addresses.database_url)
    async with reading(addresses.database_url) as connection:
        story.left, _ = await pay_lines(
            connection, await companies_today(connection), limit=MOST_LINES
        )


async def _send(addresses: Addresses, command: AnyCommand) -> CommandResult:
    async with Client(addresses.kafka) as client:
        return _accepted(await client.send(command))


def _accepted(answer: CommandResult) -> CommandResult:
    if answer.outcome == "refused":
        raise Refused(answer.code, f"{answer.command}: {answer.message}", answer.fix)
    return answer


def _said(reason: str) -> dict[str, Any]:
    return {
        "command_id": new_command_id(),
        "actor": ACTOR,
        "reason": DISPUTE if reason == "snooze" else reason,
    }
