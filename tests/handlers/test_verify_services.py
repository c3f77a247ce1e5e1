"""`verify` finds nothing in what the services write: after each step, and while they work."""

import asyncio
import json
import random
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal

import pytest

from shared.events.ats import RequirementChanged, TimesheetApproved
from shared.verify import Report, verify
from tests.builders import (
    COMPANY,
    OFFICE,
    command,
    days,
    entry,
    node,
    placement,
    rate,
    requirement,
    timesheet,
)
from tests.conftest import Configure, EngineOf, UnitOfWorkFor
from tests.fault_injection import RowInserter
from tests.in_process import Pipeline

TODAY = date(2026, 4, 30)
SUNDAYS = [date(2026, 3, 1) + timedelta(weeks=week) for week in range(8)]
CUT_OFF = "2026-04-26"


async def look(engine_of: EngineOf) -> Report:
    """Verify, as the console runs it."""
    async with engine_of("auditor").connect() as connection:
        return await verify(connection)


def orders(revision: int = 1, price: str = "50.00") -> Sequence[RequirementChanged]:
    """Five requirements, one with a rate that changes in the middle of a week."""
    plain = [
        requirement(
            f"REQ-{at}",
            revision,
            office_id=f"office-{at % 3}",
            rates=[rate(price=price), rate("OT", "75.05")],
        )
        for at in range(4)
    ]
    return [
        *plain,
        requirement(
            "REQ-4",
            revision,
            rates=[rate(price=price), rate(price="51.11", since="2026-03-25"), rate("OT", "75.05")],
        ),
    ]


def sheets(rng: random.Random, revision: int, count: int = 60) -> list[TimesheetApproved]:
    """Timesheets of some weeks, workers and requirements, with random content."""
    found = []
    for at in range(count):
        sunday = SUNDAYS[at % len(SUNDAYS)]
        order = f"REQ-{at % 5}"
        kinds = [
            days(
                str(rng.choice([0, 6.25, 7.5, 8])), rng.randint(1, 5), sunday, requirement_id=order
            )
        ]
        if rng.random() < 0.4:
            kinds.append([entry(str(rng.choice([1.5, 2.25])), sunday, "OT", order)])
        if rng.random() < 0.1:
            kinds = []
        found.append(
            timesheet(
                f"T-{at}",
                revision,
                [one for kind in kinds for one in kind],
                worker_id=f"W-{at}",
                week_ending=str(sunday),
            )
        )
    return found


def opening() -> list[tuple[str, list[object]]]:
    """Company, catalog, billto and requirements."""
    company = command(
        "set-billing-company",
        billing_company=COMPANY,
        taxes=[{"tax_code": "VAT", "percent": "8.875", "from_date": "2020-01-01"}],
        default_tax="VAT",
    )
    item = command(
        "set-catalog-item", item_id="DIRECT-HIRE", name="Direct hire", percent_of_salary="20"
    )
    nodes = [
        node(f"office-{at}", parent_id="client-1", account_name="" if at else "Ward 0")
        for at in range(3)
    ] + [node(OFFICE), node("client-1", "client")]
    return [
        ("operator-commands", [company, item]),
        ("billto-changed", list(nodes)),
        ("requirement-changed", list(orders())),
    ]


async def pay_lines(engine_of: EngineOf, how_many: int, *, place: str = "open_line") -> list[int]:
    """Ids of some open lines, debits only."""
    async with engine_of("owner").connect() as connection:
        found = await connection.exec_driver_sql(
            f"SELECT pay_line_id FROM invoicer.{place} JOIN invoicer.pay_line USING (pay_line_id)"
            f" WHERE amount > 0 ORDER BY 1 LIMIT {how_many}"
        )
        return [row.pay_line_id for row in found]


@pytest.mark.parametrize("seed", range(3))
async def test_a_busy_month_has_no_findings(
    engine_of: EngineOf, unit_of_work_for: UnitOfWorkFor, configure: Configure, seed: int
) -> None:
    """`verify` finds nothing after every step.

    Any order of arrival, revisions, edits, snoozes, a rate change, holds and releases, two batches
    with corrections between them.
    """
    configure(today=TODAY)
    rng = random.Random(seed)
    pipeline = Pipeline(unit_of_work_for, rng)
    first = [(topic, [event]) for topic, events in opening() for event in events] + [
        ("timesheet-approved", [one]) for one in sheets(rng, 1)
    ]
    first.append(("placement-created", [placement(requirement_id="REQ-0")]))
    rng.shuffle(first)
    steps = [
        first,
        "edit",
        "batch",
        [("timesheet-approved", sheets(rng, 2))],
        [("requirement-changed", list(orders(2, "52.00")))],
        [("timesheet-approved", sheets(rng, 3, 30))],
        "batch",
        [
            ("timesheet-approved", sheets(rng, 4, 45)),
            (
                "billto-changed",
                [node("office-1", revision=2, parent_id="client-1", account_name="Ward 1")],
            ),
        ],
        [("requirement-changed", [requirement("REQ-0", 3, office_id="office-0", rates=[])])],
        "batch",
    ]
    for step in steps:
        if step == "edit":
            edited, *snoozed = await pay_lines(engine_of, 4)
            pipeline.send(
                "operator-commands",
                command(
                    "edit-pay-line", billing_company=COMPANY, pay_line_id=edited, quantity="3.5"
                ),
                command("snooze-pay-lines", billing_company=COMPANY, pay_line_ids=snoozed),
            )
        elif step == "batch":
            pipeline.send(
                "operator-commands",
                command("generate-batch", billing_company=COMPANY, cut_off_date=CUT_OFF),
            )
        else:
            for topic, events in step:
                pipeline.send(topic, *events)
        await pipeline.settle()
        await pipeline.sweep()
        report = await look(engine_of)
        assert report.faults == (), step if isinstance(step, str) else step[0][0]
        assert report.in_flight_count == 0
    assert report.looked_at["invoices"] > 5
    assert report.looked_at["batches"] == 3
    outcomes = [json.loads(answer) for answer in pipeline.answers().values()]
    assert all(answer["outcome"] == "accepted" for answer in outcomes), [
        answer for answer in outcomes if answer["outcome"] != "accepted"
    ]


async def test_verify_is_quiet_while_everybody_works(
    engine_of: EngineOf, unit_of_work_for: UnitOfWorkFor, configure: Configure
) -> None:
    """Concurrent writers cause no findings: one snapshot.

    Settlement, batches and revisions go on while it reads, again and again.
    """
    configure(today=TODAY)
    rng = random.Random(7)
    pipeline = Pipeline(unit_of_work_for, rng)
    for topic, events in opening():
        pipeline.send(topic, *events)
    await pipeline.settle()
    over = asyncio.Event()
    reports: list[Report] = []

    async def collect_metrics() -> None:
        while not over.is_set():
            reports.append(await look(engine_of))

    observer = asyncio.create_task(collect_metrics())
    for revision in range(1, 6):
        pipeline.send("timesheet-approved", *sheets(rng, revision))
        pipeline.send(
            "operator-commands",
            command("generate-batch", billing_company=COMPANY, cut_off_date=CUT_OFF),
        )
        await pipeline.settle(batch=20)
    over.set()
    await observer
    assert len(reports) >= 5
    assert [report.faults for report in reports if report.faults] == []
    assert any(report.in_flight_count for report in reports), (
        "nothing was on its way while it looked: the test proves little"
    )


async def test_the_hours_received_are_the_hours_stored(
    engine_of: EngineOf, unit_of_work_for: UnitOfWorkFor, configure: Configure
) -> None:
    """Hours of the messages equal those of the tables.

    Independent check: open hours, and invoiced less credited ones.
    """
    configure(today=TODAY)
    rng = random.Random(3)
    pipeline = Pipeline(unit_of_work_for, rng)
    for topic, events in opening():
        pipeline.send(topic, *events)
    pipeline.send("timesheet-approved", *sheets(rng, 1))
    await pipeline.settle()
    pipeline.send(
        "operator-commands",
        command("generate-batch", billing_company=COMPANY, cut_off_date=CUT_OFF),
    )
    last = sheets(rng, 2)
    pipeline.send("timesheet-approved", *last)
    await pipeline.settle()
    expected = sum((one.hours for sheet in last for one in sheet.entries), Decimal(0))
    async with engine_of("owner").connect() as connection:
        found = await RowInserter(connection).run(
            "SELECT sum(quantity) FROM invoicer.pay_line p WHERE NOT EXISTS (SELECT FROM"
            " invoicer.replaced_line r WHERE r.pay_line_id = p.pay_line_id)"
        )
    assert found == expected
