"""The scheduler on a real database: due lines are announced once, in their company's time zone."""

import asyncio
import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest

from services.scheduler import app
from services.scheduler.due_lines import store
from services.scheduler.due_lines.handlers import (
    DISPATCHER,
    MESSAGE_BUILDERS,
    announce,
    companies_behind,
    on_new_day,
)
from shared import clock
from shared.broker.topics import OPERATOR_COMMANDS, PAY_LINE_DUE
from shared.consumer import tables
from shared.consumer.records import Applied
from shared.consumer.unit_of_work import UnitOfWork
from shared.events.realizations import PayLineDue
from shared.telemetry import REGISTRY
from tests.builders import COMPANY, WEEK, command, product_line, record, requirement, timesheet
from tests.conftest import Configure, EngineOf, UnitOfWorkFor, process
from tests.fault_injection import RowInserter
from tests.in_process import Pipeline

FIRST = date(2026, 10, 1)


def announcements(unit_of_work: UnitOfWork) -> Counter[int]:
    """Count how often each line was announced."""
    found = [
        message for message in unit_of_work.producer.published if message.topic == PAY_LINE_DUE.name
    ]  # type: ignore[attr-defined]
    for message in found:
        assert message.key == str(PayLineDue.model_validate_json(message.value).pay_line_id)
    return Counter(int(message.key) for message in found)


async def insert_lines(
    engine_of: EngineOf, *due: date, company: str = COMPANY, zone: str = "UTC"
) -> list[int]:
    """Insert a company with one Scheduled line for each date."""
    async with engine_of("owner").begin() as connection:
        inserter = RowInserter(connection)
        await inserter.company(company, time_zone=zone)
        return [
            await inserter.pay_line(
                product_line("100.00", day, billing_company=company),
                f"P-{company}-{at}",
                announce=True,
            )
            for at, day in enumerate(due)
        ]


async def tick(unit_of_work: UnitOfWork) -> int:
    """Announce what is due now, without waiting; return the number of ranges."""
    async with unit_of_work.engine.connect() as connection:
        behind = await companies_behind(connection)
    return sum([await announce(unit_of_work, company) for company in behind])


async def test_lines_are_announced_when_their_day_comes(
    engine_of: EngineOf, unit_of_work_for: UnitOfWorkFor, configure: Configure
) -> None:
    """Not before, not twice, and a line that was due when it was opened not at all."""
    first, second, later = await insert_lines(
        engine_of, FIRST + timedelta(days=1), FIRST + timedelta(days=2), FIRST + timedelta(days=30)
    )
    unit_of_work = unit_of_work_for("scheduler", MESSAGE_BUILDERS)
    for day, expected in [
        (0, {}),
        (1, {first: 1}),
        (1, {first: 1}),
        (2, {first: 1, second: 1}),
        (29, {first: 1, second: 1}),
    ]:
        configure(today=FIRST + timedelta(days=day))
        await tick(unit_of_work)
        assert announcements(unit_of_work) == Counter(expected)
    configure(today=FIRST + timedelta(days=31))
    await tick(unit_of_work)
    assert announcements(unit_of_work) == Counter([first, second, later])


async def test_a_clock_that_was_off_for_a_month_catches_up_once(
    engine_of: EngineOf, unit_of_work_for: UnitOfWorkFor, configure: Configure
) -> None:
    """One move over all the days announces each line once, then nothing more.

    That also holds if the clock is set back or the time zone changes.
    """
    lines = await insert_lines(engine_of, *[FIRST + timedelta(days=day) for day in range(1, 31)])
    unit_of_work = unit_of_work_for("scheduler", MESSAGE_BUILDERS)
    configure(today=FIRST)
    await tick(unit_of_work)
    configure(today=FIRST + timedelta(days=30))
    assert await tick(unit_of_work) == 1
    assert announcements(unit_of_work) == Counter(lines)
    configure(today=FIRST + timedelta(days=10))
    assert await tick(unit_of_work) == 0
    configure(today=FIRST + timedelta(days=30))
    assert await tick(unit_of_work) == 0
    assert announcements(unit_of_work) == Counter(lines)
    async with engine_of("owner").connect() as connection:
        assert await RowInserter(connection).run("SELECT count(*) FROM scheduler.watermark") == 2


async def test_the_first_move_reaches_back_to_lines_that_waited(
    engine_of: EngineOf, unit_of_work_for: UnitOfWorkFor, configure: Configure
) -> None:
    """The first move announces lines that fell due before the scheduler ever ran."""
    lines = await insert_lines(engine_of, FIRST, FIRST + timedelta(days=20))
    unit_of_work = unit_of_work_for("scheduler", MESSAGE_BUILDERS)
    configure(today=FIRST + timedelta(days=20))
    await tick(unit_of_work)
    assert announcements(unit_of_work) == Counter(lines)


async def test_each_company_has_its_own_midnight(
    engine_of: EngineOf, unit_of_work_for: UnitOfWorkFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 13:30 UTC it is tomorrow in Auckland and today in New York.

    A line is due in its own zone.
    """
    tomorrow = FIRST + timedelta(days=1)
    (east,) = await insert_lines(engine_of, tomorrow, company="east", zone="Pacific/Auckland")
    (west,) = await insert_lines(engine_of, tomorrow, company="west", zone="America/New_York")
    unit_of_work = unit_of_work_for("scheduler", MESSAGE_BUILDERS)
    monkeypatch.setattr(clock, "now", lambda: datetime(2026, 10, 1, 13, 30, tzinfo=UTC))
    await tick(unit_of_work)
    assert announcements(unit_of_work) == Counter([east])
    monkeypatch.setattr(clock, "now", lambda: datetime(2026, 10, 2, 4, 30, tzinfo=UTC))
    await tick(unit_of_work)
    assert announcements(unit_of_work) == Counter([east, west])


async def test_two_schedulers_at_once_are_harmless(
    engine_of: EngineOf, unit_of_work_for: UnitOfWorkFor, configure: Configure
) -> None:
    """Both run at the same moment, ten times: one of them moves the watermark and announces."""
    lines = await insert_lines(engine_of, *[FIRST + timedelta(days=day) for day in range(1, 11)])
    one, other = (
        unit_of_work_for("scheduler", MESSAGE_BUILDERS),
        unit_of_work_for("scheduler", MESSAGE_BUILDERS),
    )
    for day in range(11):
        configure(today=FIRST + timedelta(days=day))
        await asyncio.gather(tick(one), tick(other))
    assert announcements(one) + announcements(other) == Counter(lines)


async def test_pending_messages_of_a_killed_scheduler_are_published_at_start(
    engine_of: EngineOf, unit_of_work_for: UnitOfWorkFor, configure: Configure
) -> None:
    """The outbox has the ranges of a move: a scheduler killed before publishing loses none."""
    lines = await insert_lines(engine_of, FIRST, FIRST)
    configure(today=FIRST)
    killed = unit_of_work_for("scheduler", MESSAGE_BUILDERS)

    async def move_only(connection):  # type: ignore[no-untyped-def]
        await on_new_day(connection, COMPANY)
        return Applied()

    await killed.transact(move_only)
    assert announcements(killed) == Counter()
    unit_of_work = unit_of_work_for("scheduler", MESSAGE_BUILDERS)
    assert await tick(unit_of_work) == 0
    async with unit_of_work.engine.connect() as connection:
        left = await tables.outbox_entries(connection, "scheduler", 10)
    await unit_of_work.publish_pending(left)
    assert announcements(unit_of_work) == Counter(lines)


async def test_many_lines_are_announced_range_by_range(
    engine_of: EngineOf, unit_of_work_for: UnitOfWorkFor, configure: Configure
) -> None:
    """2,500 lines are three ranges, each published by itself, so that memory is bounded."""
    await insert_lines(engine_of, FIRST)
    async with engine_of("owner").begin() as connection:
        columns = (
            "billing_company, document_kind, realization_no, line_key, line_kind, quantity, unit,"
            " unit_price, amount, currency, effective_date, service_from"
        )
        rest = (
            "service_to, accounting_period, week_ending, billto_node, requirement_id, worker_id,"
            " time_type, item_id, project, cost_center, po_number,"
            " tax_code, rate_version, rate_book, description, derivation, announce_when_due"
        )
        await RowInserter(connection).run(
            f"INSERT INTO invoicer.pay_line ({columns}, {rest}, document_id)"
            f" SELECT {columns}, {rest}, 'P-many-' || n FROM invoicer.pay_line,"
            f" generate_series(1, 2499) AS n"
        )
    configure(today=FIRST)
    unit_of_work = unit_of_work_for("scheduler", MESSAGE_BUILDERS)
    assert await tick(unit_of_work) == 3
    assert len(announcements(unit_of_work)) == 2500
    assert set(announcements(unit_of_work).values()) == {1}


async def test_a_line_with_the_longest_names_is_announced(
    engine_of: EngineOf, unit_of_work_for: UnitOfWorkFor, configure: Configure
) -> None:
    """A description with the longest job title and worker id is announced in full."""
    configure(today=WEEK - timedelta(days=7))
    services = Pipeline(unit_of_work_for)
    services.send("operator-commands", command("set-billing-company", billing_company=COMPANY))
    services.send("requirement-changed", requirement(job_title="t" * 400))
    services.send("timesheet-approved", timesheet(worker_id="w" * 200))
    await services.settle()
    unit_of_work = unit_of_work_for("scheduler", MESSAGE_BUILDERS)
    await tick(unit_of_work)
    configure(today=WEEK)
    await tick(unit_of_work)
    (message,) = unit_of_work.producer.published  # type: ignore[attr-defined]
    assert (
        PayLineDue.model_validate_json(message.value).description
        == f"{'t' * 400} · {'w' * 200} · REG · week ending {WEEK}"
    )


async def test_a_line_that_was_replaced_is_announced_no_more(
    engine_of: EngineOf, unit_of_work_for: UnitOfWorkFor, configure: Configure
) -> None:
    """A later realization replaced it before its day."""
    gone, there = await insert_lines(engine_of, FIRST, FIRST)
    async with engine_of("owner").begin() as connection:
        inserter = RowInserter(connection)
        await inserter.run("DELETE FROM invoicer.open_line WHERE pay_line_id = :id", id=gone)
        await inserter.run("INSERT INTO invoicer.replaced_line VALUES (:id, 2)", id=gone)
    configure(today=FIRST)
    unit_of_work = unit_of_work_for("scheduler", MESSAGE_BUILDERS)
    await tick(unit_of_work)
    assert announcements(unit_of_work) == Counter([there])


async def test_republish_publishes_due_lines_again(
    engine_of: EngineOf, unit_of_work_for: UnitOfWorkFor, configure: Configure
) -> None:
    """Lines of one document, or since a date, but none before its day; without either: refused."""
    first, _ = await insert_lines(engine_of, FIRST, FIRST + timedelta(days=5))
    configure(today=FIRST)
    unit_of_work = unit_of_work_for("scheduler", MESSAGE_BUILDERS)
    await tick(unit_of_work)
    commands = [
        command("republish", service="scheduler", document_id=f"P-{COMPANY}-0"),
        command("republish", service="scheduler", document_id=f"P-{COMPANY}-1"),
        command("republish", service="scheduler", since="2020-01-01"),
        command("republish", service="scheduler", since="2999-01-01"),
        command("republish", service="scheduler"),
    ]
    await process(
        unit_of_work,
        DISPATCHER.subscription(),
        [record(OPERATOR_COMMANDS.name, one) for one in commands],
    )
    assert announcements(unit_of_work) == Counter({first: 3})
    answers = {
        m.key: json.loads(m.value)
        for m in unit_of_work.producer.published
        if m.topic == "command-results"
    }  # type: ignore[attr-defined]
    assert [answers[one.command_id]["outcome"] for one in commands] == ["accepted"] * 4 + [
        "refused"
    ]
    assert answers[commands[-1].command_id]["code"] == "nothing_named"


async def test_the_metric_shows_days_behind(
    engine_of: EngineOf, unit_of_work_for: UnitOfWorkFor, configure: Configure
) -> None:
    """The metric counts the days a scheduler was off; a company never announced is not behind."""
    await insert_lines(engine_of, FIRST)
    for today, expected in [(FIRST, 0), (FIRST + timedelta(days=3), 3)]:
        configure(today=today)
        async with engine_of("scheduler").connect() as connection:
            await app.collect_metrics(connection)
        assert (
            REGISTRY.get_sample_value(
                "backoffice_watermark_behind_days", {"billing_company": COMPANY}
            )
            == expected
        )
        await tick(unit_of_work_for("scheduler", MESSAGE_BUILDERS)) if not expected else None


async def test_a_stub_is_not_a_company(engine_of: EngineOf) -> None:
    """A stub that a document waits for is not a company yet."""
    async with engine_of("owner").begin() as connection:
        await RowInserter(connection).company("stub", known=False)
    async with engine_of("scheduler").connect() as connection:
        assert await store.company_watermarks(connection) == []
    async with engine_of("owner").begin() as connection:
        await RowInserter(connection).company("known")
    async with engine_of("scheduler").connect() as connection:
        assert [row.billing_company for row in await store.company_watermarks(connection)] == [
            "known"
        ]
