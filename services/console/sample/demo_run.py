"""Runs the sample month on a running stack: publishes it, waits, closes a batch for each billing
company, saves files.

It works as any operator's program does: records and commands over Kafka, views for reading. What
happened is collected in a `DemoResult`, which the command line shows.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.console.actions.commands import new_command
from services.console.actions.kafka_client import Client
from services.console.actions.record_keys import record_key
from services.console.addresses import Addresses
from services.console.files import Saved, save
from services.console.queries.batches import batch, batch_documents
from services.console.queries.companies import companies_today
from services.console.queries.dead_letters import dead_letters
from services.console.queries.pay_lines import STATUSES, held_documents, pay_lines, pending_amounts
from services.console.queries.progress import work_in_progress
from services.console.queries.retainers import retainers
from services.console.queries.snapshot import Row, open_snapshot
from services.console.queries.verification import run_checks
from services.console.sample import month
from services.console.sample.agency import BILLING_COMPANIES
from shared.broker.topics import OPERATOR_COMMANDS
from shared.consumer.lag import LagReader, groups_of
from shared.errors import Refused, Unavailable
from shared.events.billing import CommandResult, Finding
from shared.events.commands import OPERATOR_COMMAND, AnyCommand
from shared.verify import Report

ACTOR = "demo"
COMPANIES = tuple(company["billing_company"] for company in BILLING_COMPANIES)
DISPUTE = "the client disputes Thursday's overtime"
MAX_LINES = 10_000
POLL_SECONDS = 0.2
NO_PROGRESS_SECONDS = 60.0

Progress = Callable[[str, int, int], None]


@dataclass(slots=True)
class ClosedBatch:
    """One billing company's batch: findings and preview, the batch itself, and its files."""

    billing_company: str
    findings: tuple[Finding, ...] = ()
    preview: CommandResult | None = None
    head: Row = field(default_factory=dict)
    documents: list[Row] = field(default_factory=list)
    csv: Saved | None = None
    pdf: Saved | None = None


@dataclass(slots=True)
class DemoResult:
    """What happened, from the first record to the last file."""

    published: dict[str, int] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    snoozed: list[Row] = field(default_factory=list)
    pending: list[Row] = field(default_factory=list)
    held: list[Row] = field(default_factory=list)
    dead_letters: list[Row] = field(default_factory=list)
    closed: list[ClosedBatch] = field(default_factory=list)
    open_lines: list[Row] = field(default_factory=list)
    billed_lines: list[Row] = field(default_factory=list)
    retainers: list[Row] = field(default_factory=list)
    report: Report | None = None


async def publish_month(addresses: Addresses, result: DemoResult, progress: Progress) -> None:
    """Publishes the event files in their order."""
    async with Client(addresses.kafka) as client:
        for name, lines in month.files().items():
            topic = name[3:].removesuffix(".jsonl")
            progress(f"publishing {name}", 0, len(lines))
            if topic == OPERATOR_COMMANDS.name:
                await _send(addresses, *map(OPERATOR_COMMAND.validate_json, lines))
            else:
                values = [line.encode() for line in lines]
                await client.publish(topic, [(record_key(topic, value), value) for value in values])
            progress(f"publishing {name}", len(lines), len(lines))
            result.published[name] = len(lines)


async def wait_until_idle(addresses: Addresses, progress: Progress) -> None:
    """Waits until no consumer group has lag and no document is in progress between the services."""
    last, since, most = (-1, -1), time.monotonic(), 0
    groups = groups_of()
    async with LagReader(addresses.kafka) as lags:
        while True:
            behind = sum(one.behind for one in await lags.lag(groups))
            async with open_snapshot(addresses.database_url) as connection:
                left = behind + (await work_in_progress(connection)).total
            most = max(most, left)
            progress("pricing and settling", most - left, most)
            if left == 0 and last == (0, 0):
                return  # seen twice: messages published in between have been consumed, too
            if (behind, left) != last:
                last, since = (behind, left), time.monotonic()
            elif time.monotonic() - since > NO_PROGRESS_SECONDS:
                raise Unavailable(
                    f"{left} records and documents are in progress and nothing changed for"
                    f" {NO_PROGRESS_SECONDS:.0f} s: see the workers' logs"
                )
            await asyncio.sleep(POLL_SECONDS)


async def read_state(addresses: Addresses, result: DemoResult) -> None:
    """Reads lines by status, held documents with their reason, and dead letters."""
    async with open_snapshot(addresses.database_url) as connection:
        todays = await companies_today(connection)
        for status in STATUSES:
            _, number = await pay_lines(connection, todays, statuses=[status], limit=1)
            result.lines[status] = number
        result.pending = await pending_amounts(connection, todays)
        result.held, _ = await held_documents(connection)
        result.dead_letters, _ = await dead_letters(connection)


async def snooze_disputed_line(addresses: Addresses, result: DemoResult) -> None:
    """Puts the overtime of the disputed timesheet on hold."""
    document = month.timesheet_id(*month.IN_DISPUTE)
    async with open_snapshot(addresses.database_url) as connection:
        todays = await companies_today(connection)
        lines, _ = await pay_lines(connection, todays, statuses=["Pending"], document=document)
    overtime = [line for line in lines if line["time_type"] == "OT"] or lines
    company, ids = overtime[0]["billing_company"], [line["pay_line_id"] for line in overtime]
    fields = {"billing_company": company, "pay_line_ids": ids}
    await _send(addresses, _command("snooze-pay-lines", DISPUTE, **fields))
    result.snoozed = overtime


async def close_batch(addresses: Addresses, company: str, result: DemoResult) -> ClosedBatch:
    """Health check, preview, and the batch that cites the preview."""
    closed = ClosedBatch(company)
    result.closed.append(closed)
    about = {"billing_company": company, "cut_off_date": month.CUT_OFF}
    (health,) = await _send(addresses, _command("health-check", "health", **about))
    closed.findings = health.findings
    (closed.preview,) = await _send(addresses, _command("preview-batch", "preview", **about))
    about["digest"] = closed.preview.details["digest"]
    (generated,) = await _send(addresses, _command("generate-batch", "month end", **about))
    async with open_snapshot(addresses.database_url) as connection:
        closed.head = await batch(connection, str(generated.details["batch_id"]))
        closed.documents = await batch_documents(connection, closed.head["batch_id"])
    return closed


async def save_files(
    addresses: Addresses, closed: ClosedBatch, out: Path, progress: Progress
) -> None:
    """CSV and PDF of a batch.

    The totals of each must equal the batch and its documents, or no file is kept.
    """
    company, folder = closed.billing_company, out / closed.billing_company
    for old in folder.glob("*.pdf"):
        old.unlink()
    async with open_snapshot(addresses.database_url) as connection:
        closed.csv = await save(connection, closed.head, "csv", out / f"{company}.csv")
    async with open_snapshot(addresses.database_url) as connection:
        closed.pdf = await save(
            connection,
            closed.head,
            "pdf",
            folder,
            lambda done, of: progress(f"drawing PDFs of {company}", done, of),
        )
    about = {"billing_company": company, "batch_id": closed.head["batch_id"]}
    downloads = [
        _command("record-download", "demo", **about, file_format=file_format)
        for file_format in ("csv", "pdf")
    ]
    await _send(addresses, *downloads)


async def verify_data(addresses: Addresses, result: DemoResult) -> None:
    """Runs every check; reads the lines that are still open, those on documents, and retainers."""
    result.report = await run_checks(addresses.database_url)
    async with open_snapshot(addresses.database_url) as connection:
        todays = await companies_today(connection)
        result.open_lines, _ = await pay_lines(connection, todays, limit=MAX_LINES)
        result.billed_lines, _ = await pay_lines(
            connection, todays, statuses=["Invoiced"], limit=MAX_LINES
        )
        result.retainers, _ = await retainers(connection, None, MAX_LINES)


def _command(name: str, reason: str, **fields: Any) -> AnyCommand:
    return new_command(name, actor=ACTOR, reason=reason, **fields)


async def _send(addresses: Addresses, *commands: AnyCommand) -> list[CommandResult]:
    """Sends commands and waits for their results. Raises `Refused` if one is refused."""
    async with Client(addresses.kafka) as client:
        results = await client.send_all(commands)
    for result in results:
        if result.outcome == "refused":
            raise Refused(result.code, f"{result.command}: {result.message}", result.fix)
    return results
