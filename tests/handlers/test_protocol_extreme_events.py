"""Readable input never stops a worker: the strangest identifiers, the longest names, and events.

Such a value has an effect, is refused with a message, is held, or is a dead letter; it is never an
unexpected error outside of the rules of a document.
"""

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from shared.broker.topics import PLACEMENT_CREATED, REQUIREMENT_CHANGED, TIMESHEET_APPROVED
from tests import builders
from tests.builders import COMPANY
from tests.handlers.extremes import observer, pipeline
from tests.in_process import Pipeline
from tests.running import Observer

__all__ = ["observer", "pipeline"]
IDS = (
    "NULL",
    "null",
    '"',
    "'",
    "\\",
    "{",
    "}",
    "{}",
    ",",
    "a,b",
    '{"a"}',
    "%",
    "_",
    "--",
    ":a",
    ":ids",
    "$1",
    "é",
    "漢字",
    "😀",
    "a  b",
    "x" * 200,
    "0",
    "-1",
    "[]",
)


async def test_no_identifier_stops_a_worker(pipeline: Pipeline, observer: Observer) -> None:
    """Any characters: realized, settled and billed under that identifier."""
    pipeline.send(
        "operator-commands", builders.command("set-billing-company", billing_company=COMPANY)
    )
    for at, an_id in enumerate(IDS):
        pipeline.send("billto-changed", builders.node(an_id))
        pipeline.send(
            "requirement-changed",
            builders.requirement(
                an_id,
                office_id=an_id,
                engagement={"project": an_id, "cost_center": an_id, "po_number": an_id},
            ),
        )
        entries = builders.days(requirement_id=an_id)
        pipeline.send(
            "timesheet-approved", builders.timesheet(an_id, entries=entries, worker_id=IDS[at - 1])
        )
        pipeline.send(
            "timesheet-approved",
            builders.timesheet(
                f"{an_id[:150]}-late", entries=entries, adjusts=an_id, worker_id=IDS[at - 1]
            ),
        )
        pipeline.send(
            "placement-created",
            builders.placement(
                an_id,
                requirement_id=an_id,
                fees=[{"fee_id": an_id, "item_id": an_id, "percent": "1"}],
            ),
        )
    pipeline.send(
        "operator-commands",
        *(
            builders.command("set-catalog-item", item_id=an_id, name=an_id, percent_of_salary="1")
            for an_id in IDS
        ),
    )
    await pipeline.settle()
    await pipeline.sweep()
    held = await observer.select(
        "SELECT document_id, hold_code FROM fee_realizer.source_document WHERE hold_code IS NOT"
        " NULL AND source_id <> ''"
    )
    assert [tuple(row) for row in held] == []
    pipeline.send(
        "operator-commands",
        builders.command("generate-batch", billing_company=COMPANY, cut_off_date="2026-03-31"),
    )
    await pipeline.settle()
    billed = await observer.select(
        "SELECT DISTINCT document_id FROM invoicer.closed_invoice_line WHERE document_kind ="
        " 'timesheet'"
    )
    assert {row[0] for row in billed} == set(IDS)
    assert (
        await observer.one(
            "SELECT (SELECT count(*) FROM fee_realizer.dead_letter) + (SELECT count(*) FROM"
            " invoicer.dead_letter)"
        )
        == 0
    )
    report = await observer.verified()
    assert report.clean, report.faults


def ideographs(count: int, seed: int) -> str:
    """A name of this number of characters, of three bytes each, that does not compress."""
    rng = random.Random(seed)
    return "".join(chr(rng.randint(0x4E00, 0x9FA0)) for _ in range(count))


async def send_documents_with_the_longest_names(
    pipeline: Pipeline, character: Callable[[int, int], str]
) -> dict[str, Any]:
    """Send a timesheet and a placement; return what their requirement is made of."""
    requirement_id, names = (
        character(200, 1),
        {
            "project": character(400, 2),
            "cost_center": character(400, 3),
            "po_number": character(400, 4),
        },
    )
    order = {"requirement_id": requirement_id, "engagement": names}
    fee = {"fee_id": character(200, 5), "item_id": character(200, 6), "percent": "1"}
    pipeline.send(
        "operator-commands", builders.command("set-billing-company", billing_company=COMPANY)
    )
    pipeline.send(
        "operator-commands",
        builders.command(
            "set-catalog-item", item_id=fee["item_id"], name="n", percent_of_salary="1"
        ),
    )
    pipeline.send("billto-changed", builders.node())
    pipeline.send("requirement-changed", builders.requirement(**order))
    pipeline.send(
        "timesheet-approved",
        builders.timesheet(character(200, 7), entries=builders.days(requirement_id=requirement_id)),
    )
    pipeline.send(
        "placement-created",
        builders.placement(character(200, 8), requirement_id=requirement_id, fees=[fee]),
    )
    await pipeline.settle()
    return order


async def change_and_bill_their_lines(pipeline: Pipeline, command_id: str) -> None:
    """Snooze, release, edit and bill the lines; the edit has this command id."""
    for kind in ("snooze-pay-lines", "release-pay-lines"):
        pipeline.send(
            "operator-commands",
            builders.command(kind, billing_company=COMPANY, pay_line_ids=[1, 2], reason="a test"),
        )
        await pipeline.settle()
    pipeline.send(
        "operator-commands",
        builders.command(
            "edit-pay-line",
            command_id=command_id,
            billing_company=COMPANY,
            pay_line_id=1,
            quantity="39",
        ),
    )
    pipeline.send(
        "operator-commands",
        builders.command("generate-batch", billing_company=COMPANY, cut_off_date="2026-03-31"),
    )
    await pipeline.settle()


@pytest.mark.parametrize(
    ("character", "held"),
    [
        (ideographs, [("line_key_too_long",), ("line_key_too_long",)]),
        (lambda count, seed: f"{seed}" * count, []),
    ],
)
async def test_the_longest_names_stop_no_worker(
    pipeline: Pipeline,
    observer: Observer,
    character: Callable[[int, int], str],
    held: list[tuple[str]],
) -> None:
    """Each name is as long as its limit allows.

    A line too long for an index holds its document; every other line is snoozed, billed, repriced.
    """
    order = await send_documents_with_the_longest_names(pipeline, character)
    await change_and_bill_their_lines(pipeline, character(200, 9))
    pipeline.send(
        "requirement-changed",
        builders.requirement(revision=2, rates=[builders.rate(price="55.00")], **order),
    )
    await pipeline.settle()
    await pipeline.sweep()
    assert [
        tuple(row)
        for row in await observer.select(
            "SELECT hold_code FROM fee_realizer.source_document WHERE hold_code IS NOT NULL"
        )
    ] == held
    assert await observer.one("SELECT count(*) FROM fee_realizer.rate_impact") == (0 if held else 1)
    report = await observer.verified()
    assert report.clean, report.faults


def sheet(**changes: Any) -> dict[str, Any]:
    """A timesheet as JSON."""
    made: dict[str, Any] = json.loads(builders.timesheet("T-odd").model_dump_json())
    return made | changes


EVENTS = (
    (
        TIMESHEET_APPROVED.name,
        sheet(week_ending="1970-01-01", entries=[builders.entry("24", "2999-12-31")]),
    ),
    (TIMESHEET_APPROVED.name, sheet(revision=2**62, entries=[builders.entry("0.0001")] * 5000)),
    (
        TIMESHEET_APPROVED.name,
        sheet(revision=3, entries=[builders.entry("24", project=f"{at}") for at in range(4000)]),
    ),
    (
        TIMESHEET_APPROVED.name,
        sheet(revision=4, workflow={"approved_at": "0001-01-01T00:00:00+23:59"}),
    ),
    (
        TIMESHEET_APPROVED.name,
        sheet(revision=5, workflow={"approved_at": "9999-12-31T23:59:59-23:59"}),
    ),
    (
        TIMESHEET_APPROVED.name,
        sheet(
            timesheet_id="T-first",
            revision=1,
            workflow={"approved_at": "1970-01-01T14:00:00+14:00"},
        ),
    ),
    (
        TIMESHEET_APPROVED.name,
        sheet(
            timesheet_id="T-first",
            revision=2,
            workflow={"approved_at": "1970-01-01T23:59:00+23:59"},
        ),
    ),
    (
        TIMESHEET_APPROVED.name,
        sheet(
            timesheet_id="T-first",
            revision=3,
            workflow={"approved_at": "2999-12-31T00:00:59-23:59"},
        ),
    ),
    (
        TIMESHEET_APPROVED.name,
        sheet(
            timesheet_id="T-first",
            revision=4,
            workflow={"approved_at": "2999-12-31T09:59:59-14:00"},
        ),
    ),
    (TIMESHEET_APPROVED.name, sheet(timesheet_id="T-first", revision=5)),
    (TIMESHEET_APPROVED.name, sheet(revision=6, free={"deep": [[[[[]]]]], "long": "x" * 100_000})),
    (
        REQUIREMENT_CHANGED.name,
        {"rates": [builders.rate(f"T{at}", "9999999999.9999") for at in range(5000)]},
    ),
    (
        REQUIREMENT_CHANGED.name,
        {"revision": 7, "currency": "JPY", "rates": [builders.rate(price="0.0001", unit="DAY")]},
    ),
    (REQUIREMENT_CHANGED.name, {"revision": 8, "statuses": [], "rates": []}),
    (PLACEMENT_CREATED.name, {"salary": "-999999999999.9999", "start_date": "2999-12-31"}),
    (PLACEMENT_CREATED.name, {"revision": 2, "salary": None, "currency": None}),
    (
        PLACEMENT_CREATED.name,
        {
            "revision": 3,
            "fees": [
                {"fee_id": f"F{at}", "item_id": "DIRECT-HIRE", "amount": "0"} for at in range(200)
            ],
        },
    ),
    (PLACEMENT_CREATED.name, {"revision": 4, "end_date": "1970-01-01", "end_reason": "\n\u0000"}),
)
WHOLE = {
    REQUIREMENT_CHANGED.name: builders.requirement(),
    PLACEMENT_CREATED.name: builders.placement(),
}


async def test_no_event_stops_a_worker(pipeline: Pipeline, observer: Observer) -> None:
    """Each strange event is priced, held with a reason, or a dead letter.

    `verify` finds nothing after each.
    """
    pipeline.send(
        "operator-commands", builders.command("set-billing-company", billing_company=COMPANY)
    )
    item = builders.command(
        "set-catalog-item", item_id="DIRECT-HIRE", name="Direct hire", percent_of_salary="1000"
    )
    pipeline.send("operator-commands", item)
    pipeline.send("requirement-changed", builders.requirement())
    await pipeline.settle()
    for at, (topic, changes) in enumerate(EVENTS):
        whole = json.loads(WHOLE[topic].model_dump_json()) if topic in WHOLE else {}
        value = whole | {"revision": at + 2} | changes
        pipeline.under_way.append(builders.record(topic, value, offset=at))
        await pipeline.settle()
        await pipeline.sweep()
        bugs = await observer.select(
            "SELECT document_id FROM fee_realizer.source_document WHERE hold_code ="
            " 'unexpected_error'"
        )
        assert bugs == [], changes
        report = await observer.verified()
        assert report.clean, (changes, report.faults)
