"""Replay: every group consumes everything again from offset 0; no table changes."""

import asyncio
import random
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from shared.broker.security import kafka_access
from shared.broker.topics import COMMAND_RESULTS
from shared.consumer.lag import LagReader, groups_of
from tests import builders
from tests.builders import COMPANY, WEEK, days
from tests.conftest import Configure, EngineOf
from tests.running import (
    OUTPUT,
    Observer,
    Sent,
    answered,
    command,
    ends,
    event,
    publish,
    running,
    until,
)
from tests.signed import Senders

DOCUMENTS = 10_000
REQUIREMENTS = 200
TODAY = "2026-05-15"
CUT_OFF = str(WEEK + timedelta(days=7))
ANNOUNCED = (
    "SELECT count(*) FROM scheduler.watermark WHERE to_date = CAST(CAST(:today AS text) AS date)"
)
MAY_CHANGE: frozenset[str] = frozenset()
"""Tables that a replay may change: none.

What is answered again passes through `outbox`, which is empty before and after.
"""


def requirement_id(at: int) -> str:
    """One requirement for fifty documents."""
    return f"REQ-{at % REQUIREMENTS:03}"


def requirement(at: int, revision: int = 1, price: str = "50.00") -> Sent:
    """A requirement at some price."""
    rates = [builders.rate(price=price), builders.rate("OT", "75.00")]
    return event(
        "requirement-changed",
        requirement_id(at),
        builders.requirement(
            requirement_id(at), revision, office_id=f"office-{at % 20}", rates=rates
        ),
    )


def week(at: int) -> date:
    """Four weeks, of which two are within the cut-off."""
    return WEEK + timedelta(days=7 * (at % 4))


def sheet(at: int, revision: int = 1, hours: str = "8", **changes: Any) -> Sent:
    """The timesheet of a document."""
    entries = days(hours, week_ending=week(at), requirement_id=requirement_id(at))
    name = changes.pop("timesheet_id", f"T-{at:05}")
    made = builders.timesheet(
        name, revision, entries, worker_id=f"W-{at}", week_ending=str(week(at)), **changes
    )
    return event("timesheet-approved", f"T-{at:05}", made)


def hire(at: int, revision: int = 1, salary: str = "100000.00") -> Sent:
    """A placement with a fee in two halves."""
    return event(
        "placement-created",
        f"P-{at:03}",
        builders.placement(
            f"P-{at:03}", revision, requirement_id=requirement_id(at), salary=salary
        ),
    )


def before_the_batch(rng: random.Random) -> list[Sent]:
    """The first events: documents, revisions, adjustments, repeats, bad messages.

    A tenth of the documents is revised at once; half of the requirements are late.
    """
    nodes = [
        event("billto-changed", f"office-{at}", builders.node(f"office-{at}")) for at in range(20)
    ]
    orders = [requirement(at) for at in range(0, REQUIREMENTS, 2)]
    sheets = [sheet(at) for at in range(DOCUMENTS)]
    revised = [sheet(at, 2, "7.5") for at in range(0, DOCUMENTS, 10)]
    adjusted = [
        sheet(at, 1, "6", timesheet_id=f"A-{at}", adjusts=f"T-{at:05}")
        for at in range(5, DOCUMENTS, 100)
    ]
    repeats = rng.sample(sheets, 300)
    conflicts = [sheet(at, 1, "1") for at in range(7, DOCUMENTS, 500)]
    bad_message = [
        Sent("timesheet-approved", f"T-{at:05}".encode(), b"{" * (at + 1)) for at in range(40)
    ]
    later = [
        *revised,
        *adjusted,
        *repeats,
        *conflicts,
        *bad_message,
        *(hire(at) for at in range(100)),
    ]
    rng.shuffle(later)
    return [*nodes, *orders, *sheets, *later]


def after_the_batch() -> Iterator[Sent]:
    """Events about billed weeks: corrections down and up, a withdrawal, a new rate."""
    for at in range(3, DOCUMENTS, 37):
        yield sheet(at, 5, "4")
    for at in range(11, DOCUMENTS, 37):
        yield sheet(at, 5, "9")
    for at in range(13, DOCUMENTS, 201):
        yield sheet(at, 6, "8", workflow={"submitted_at": "2026-03-09T10:00:00Z"})
    for at in range(0, REQUIREMENTS, 10):
        yield requirement(at, 2, "51.00")
    for at in range(0, 100, 5):
        yield hire(at, 2, "90000.00")


async def history(observer: Observer) -> None:
    """A month: documents, holds, snoozes, an edit, a batch, corrections, a second batch."""
    rng = random.Random(20260308)
    company = builders.command(
        "set-billing-company",
        billing_company=COMPANY,
        address="1 Main St",
        tax_id="12-345",
        bank="IBAN",
    )
    item = builders.command(
        "set-catalog-item", item_id="DIRECT-HIRE", name="Direct hire", percent_of_salary="20"
    )
    await publish([command(company), command(item), *before_the_batch(rng)])
    await observer.settled(600)
    assert (
        await observer.one(
            "SELECT count(*) FROM fee_realizer.source_document WHERE hold_code ="
            " 'unknown_requirement'"
        )
        >= DOCUMENTS // 2
    )
    await publish(requirement(at) for at in range(1, REQUIREMENTS, 2))
    await observer.settled(600)
    assert (
        await observer.one(
            "SELECT count(*) FROM fee_realizer.source_document WHERE hold_code IS NOT NULL"
        )
        == 0
    )
    await operators(observer)
    await publish(after_the_batch())
    await observer.settled(600)
    (second,) = await answered(
        builders.command("generate-batch", billing_company=COMPANY, cut_off_date=CUT_OFF)
    )
    assert second["outcome"] == "accepted"
    await observer.settled(600)


async def operators(observer: Observer) -> None:
    """Snoozes, an edit, health check, preview, the batch that cites it, and refused commands."""
    lines = [
        row[0]
        for row in await observer.select(
            "SELECT pay_line_id FROM invoicer.open_line ORDER BY 1 LIMIT 60"
        )
    ]
    snooze = builders.command("snooze-pay-lines", billing_company=COMPANY, pay_line_ids=lines[:50])
    edit = builders.command(
        "edit-pay-line", billing_company=COMPANY, pay_line_id=lines[55], quantity="33"
    )
    check = builders.command("health-check", billing_company=COMPANY, cut_off_date=CUT_OFF)
    preview = builders.command("preview-batch", billing_company=COMPANY, cut_off_date=CUT_OFF)
    refused = builders.command("generate-batch", billing_company="no one", cut_off_date=CUT_OFF)
    *_, seen, no = await answered(snooze, edit, check, preview, refused)
    assert no["outcome"] == "refused"
    (batch,) = await answered(
        builders.command(
            "generate-batch",
            billing_company=COMPANY,
            cut_off_date=CUT_OFF,
            digest=seen["details"]["digest"],
        )
    )
    assert batch["outcome"] == "accepted", batch
    release = builders.command(
        "release-pay-lines", billing_company=COMPANY, pay_line_ids=lines[:25]
    )
    await answered(release, snooze)
    await observer.settled(600)


async def to_the_beginning() -> None:
    """Reset every group to offset 0, after its static members have expired."""
    async with LagReader(kafka_access()) as lag:
        found = await lag.lag(groups_of())
    for group in sorted({one.group for one in found}):
        wanted = {
            TopicPartition(one.topic, one.partition): 0 for one in found if one.group == group
        }

        async def reset(group: str = group, wanted: dict[TopicPartition, int] = wanted) -> bool:
            consumer = AIOKafkaConsumer(
                **kafka_access().client_options(), group_id=group, enable_auto_commit=False
            )
            await consumer.start()
            try:
                consumer.assign(list(wanted))
                await consumer.commit(wanted)
            except KafkaError:
                return False
            finally:
                await consumer.stop()
            return True

        await until(f"{group} is empty and can be reset", reset, every=1.0)


@pytest.mark.slow
@pytest.mark.timeout(1500)
async def test_replay_changes_no_table_and_publishes_nothing(
    stack: dict[str, str], engine_of: EngineOf, tmp_path: Path, configure: Configure
) -> None:
    """After a replay every row is the same.

    Of more than ten thousand documents with revisions, released holds, snoozes and closed batches;
    no output topic but that of the answers has a new record. The commands are signed, and get their
    answers although the key is disabled since.
    """
    observer = Observer(engine_of)
    senders = Senders(engine_of("owner"))
    stack |= await senders.sign_everything(configure, tmp_path)
    async with running(stack, tmp_path, today=TODAY, tick_seconds=1):
        await history(observer)
        await until(
            "the scheduler has announced the day", lambda: observer.one(ANNOUNCED, today=TODAY)
        )
        await asyncio.sleep(1)
    assert (
        await observer.one(
            "SELECT count(*) FROM fee_realizer.source_document WHERE source_id <> ''"
        )
        >= DOCUMENTS
    )
    assert await observer.one("SELECT count(*) FROM invoicer.batch") == 2
    assert (
        await observer.one(
            "SELECT count(*) FROM invoicer.pay_line WHERE corrects_invoice_id IS NOT NULL"
        )
        > 100
    )
    await senders.change("UPDATE invoicer.program_key SET disabled_at = now()")
    tables, said = await observer.digest(MAY_CHANGE), await ends(OUTPUT)
    assert len(tables) > 40, "the digest looks at everything"
    await to_the_beginning()
    async with running(stack, tmp_path, today=TODAY):
        await observer.settled(600)
        await asyncio.sleep(2)
    changed = {
        name
        for name, digest in (await observer.digest(MAY_CHANGE)).items()
        if digest != tables[name]
    }
    assert changed == set(), "tables that the replay changed"
    again = await ends(OUTPUT)
    assert again.pop(COMMAND_RESULTS.name) > said.pop(COMMAND_RESULTS.name), (
        "commands are answered again"
    )
    assert again == said
    report = await observer.verified()
    assert report.clean, report.faults
