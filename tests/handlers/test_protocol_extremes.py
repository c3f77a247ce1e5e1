"""Readable input never stops a worker: the strangest values that the schemas allow.

Such a value has an effect, is refused with a message, is held, or is a dead letter; it is never an
unexpected error outside of the rules of a document.
"""

import json
import random
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

from services.arg_sync import app as arg_sync
from services.fee_realizer import app as fee_realizer
from services.invoicer import app as invoicer
from shared.broker.topics import (
    OPERATOR_COMMANDS,
    PLACEMENT_CREATED,
    REQUIREMENT_CHANGED,
    TIMESHEET_APPROVED,
)
from shared.consumer.records import Record
from shared.events.field_types import TEXT_LENGTH
from tests import builders
from tests.builders import COMPANY
from tests.conftest import EngineOf, UnitOfWorkFor
from tests.in_process import Pipeline
from tests.running import Observer

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
HUGE = 10**30
OUT_OF_RANGE = (
    "the database refuses a value of this record: value out of int64 range; send a value within"
    " the limits of its type"
)


@pytest.fixture
def pipeline(unit_of_work_for: UnitOfWorkFor) -> Pipeline:
    """The services that answer commands, in one process."""
    return Pipeline(
        unit_of_work_for, services=[fee_realizer.service(), invoicer.service(), arg_sync.service()]
    )


@pytest.fixture
def observer(engine_of: EngineOf) -> Observer:
    """The tables."""
    return Observer(engine_of)


def ask(kind: str, /, **values: Any) -> dict[str, Any]:
    """A command as JSON."""
    return {"command": kind, "actor": "pat", "reason": "a test"} | values


FAR = "2999-12-31"
COMMANDS = (
    ask("snooze-pay-lines", billing_company=COMPANY, pay_line_ids=[HUGE]),
    ask("snooze-pay-lines", billing_company=COMPANY, pay_line_ids=[-1, 0, 1], until=FAR),
    ask("release-pay-lines", billing_company=COMPANY, pay_line_ids=[2**63]),
    ask("edit-pay-line", billing_company=COMPANY, pay_line_id=HUGE, quantity="1"),
    ask("edit-pay-line", billing_company=COMPANY, pay_line_id=1, quantity="999999999999.9999"),
    ask("edit-pay-line", billing_company=COMPANY, pay_line_id=1, amount="-9999999999999999.9999"),
    ask("explain", pay_line_id=HUGE),
    ask("explain", document_id="NULL", cut_off_date="1970-01-01"),
    ask("explain"),
    ask("health-check", billing_company="no one"),
    ask("health-check", billing_company=COMPANY, cut_off_date=FAR),
    ask("preview-batch", billing_company=COMPANY, cut_off_date=FAR),
    ask("preview-batch", billing_company=COMPANY, cut_off_date="1970-01-01"),
    ask("generate-batch", billing_company=COMPANY, cut_off_date="1970-01-01", first_number=10**17),
    ask("generate-batch", billing_company=COMPANY, cut_off_date=FAR, digest="\\x00' OR 1=1"),
    ask("generate-batch", billing_company=COMPANY, cut_off_date=FAR, invoice_date="1970-01-01"),
    ask("generate-batch", billing_company=COMPANY, cut_off_date=FAR, invoice_date=FAR),
    ask("record-download", billing_company=COMPANY, batch_id="NULL", file_format="csv"),
    ask("replay-dead-letter", service="invoicer", dead_letter_id=HUGE),
    ask("discard-dead-letter", service="fee_realizer", dead_letter_id=-HUGE),
    ask("republish", service="invoicer", since="1970-01-01"),
    ask("republish", service="fee_realizer", document_kind="timesheet", document_id="NULL"),
    ask("republish", service="arg_sync", since="1970-01-01"),
    ask("test-ledger", ledger="NULL"),
    ask("disconnect-ledger", ledger="\\x00' OR 1=1"),
    ask(
        "connect-ledger",
        ledger="{}",
        kind="tryton",
        billing_company="no one",
        settings={"base_url": "file:///etc/passwd"},
        sealed_secrets="?",
    ),
    ask("import-mapping", ledger="x" * 200, rows=[{"what": "tax", "code": "", "remote": ""}]),
    ask("retry-delivery", ledger="NULL", invoice_number="x" * 200),
    ask("adopt-delivery", ledger="NULL", invoice_number="1", remote_id="-1"),
    ask("reconcile", ledger="NULL"),
    ask(
        "set-time-group",
        time_group="x" * 200,
        cycle="custom",
        periods=[{"first_day": "1970-01-01", "last_day": FAR}],
    ),
    ask("set-time-group", time_group="\u00e9", cycle="fortnightly", anchor=FAR),
    ask(
        "set-debtor-terms",
        billing_company=COMPANY,
        account_name="",
        from_date=FAR,
        time_group="nothing like it",
    ),
    ask("list-batch-groups", billing_company=COMPANY, cut_off_date=FAR),
    ask("list-batch-groups", billing_company=COMPANY, cut_off_date="1970-01-01"),
    ask("what-if", billing_company=COMPANY, cut_off_dates=["1970-01-01", FAR]),
    ask("retry-parked", billing_company=COMPANY, batch_id="NULL"),
    ask("credit-invoice", billing_company=COMPANY, invoice_number="NULL", to="reissue"),
    ask(
        "credit-invoice",
        billing_company=COMPANY,
        invoice_number="1",
        lines=[{"line_no": 2**63}],
        to="write-off",
    ),
    ask(
        "set-bill-rate",
        requirement_id="REQ-1",
        time_type="REG",
        effective_from=FAR,
        bill_rate="9999999999.9999",
    ),
    ask("confirm-rates", requirement_id="NULL", time_type="REG", effective_from="1970-01-01"),
    ask("rates-impact"),
    ask("retry-document", document_kind="timesheet", document_id="{}"),
    ask("retry-document"),
    ask(
        "set-billing-company",
        billing_company="NULL",
        name="",
        time_zone="America/Argentina/ComodRivadavia",
        series_prefix="",
        series_width=18,
    ),
    ask(
        "set-billing-company",
        billing_company="x" * 200,
        taxes=[{"tax_code": "V", "percent": "1000", "from_date": FAR}] * 2,
        default_tax="V",
    ),
    ask("set-billing-company", billing_company=COMPANY, default_tax="no such code"),
    ask(
        "set-billing-company",
        billing_company=COMPANY,
        default_time_group="x" * 5000,
        address="\u0000",
    ),
    ask("set-billing-company", billing_company=COMPANY, name="a\u202eb"),
    ask("set-billing-company", billing_company=COMPANY, payment_terms="net:999"),
    ask(
        "set-catalog-item",
        item_id="{}",
        name="",
        amount="-999999999999.9999",
        currency="JPY",
        plan=[{"share": "100", "day": 3650}],
    ),
    ask("set-catalog-item", item_id="NULL", name="n", percent_of_salary="1000", tax_code="\u0000"),
    ask("snooze-pay-lines", billing_company=COMPANY, pay_line_ids=[1], reason="\u0000"),
    ask("snooze-pay-lines", billing_company="\u00e9" * 200, pay_line_ids=list(range(1, 10_001))),
)


def record(topic: str, value: dict[str, Any], offset: int) -> Record:
    """A record of a topic."""
    return Record(topic, 0, offset, b"k", json.dumps(value).encode())


async def test_no_command_stops_a_worker(pipeline: Pipeline, observer: Observer) -> None:
    """Each of the strangest commands is answered, accepted or refused."""
    pipeline.send(
        "operator-commands", builders.command("set-billing-company", billing_company=COMPANY)
    )
    pipeline.send("requirement-changed", builders.requirement())
    pipeline.send("timesheet-approved", builders.timesheet())
    await pipeline.settle()
    for at, command in enumerate(COMMANDS):
        pipeline.under_way.append(
            record(OPERATOR_COMMANDS.name, command | {"command_id": f"odd-{at}"}, at)
        )
        await pipeline.settle()
    answers = {an_id: json.loads(text) for an_id, text in pipeline.answers().items()}
    missing = [command for at, command in enumerate(COMMANDS) if f"odd-{at}" not in answers]
    assert missing == []
    assert all(answer["message"] for answer in answers.values())
    characters = await observer.select(
        "SELECT code, message FROM invoicer.dead_letter WHERE code LIKE 'd%'"
    )
    assert {tuple(row) for row in characters} == {("does_not_fit", OUT_OF_RANGE)}
    report = await observer.verified()
    assert report.clean, report.faults


async def test_an_answer_that_lists_much_stops_no_worker(pipeline: Pipeline) -> None:
    """A refusal lists as much as fits a message.

    Every from-date of a requirement, or every tax code of a company.
    """
    rates = [
        builders.rate(price=str(at), since=str(date(2020, 1, 1) + timedelta(days=7 * at)))
        for at in range(1, 301)
    ]
    taxes = [
        {"tax_code": f"SALES-TAX-OF-COUNTY-{at:04}", "percent": "7", "from_date": "2020-01-01"}
        for at in range(100)
    ]
    pipeline.send(
        "operator-commands",
        builders.command("set-billing-company", billing_company=COMPANY, taxes=taxes),
    )
    pipeline.send("requirement-changed", builders.requirement(rates=rates))
    pipeline.send(
        "operator-commands",
        builders.command(
            "set-billing-company", command_id="tax", billing_company=COMPANY, default_tax="NONE"
        ),
    )
    confirm = builders.command(
        "confirm-rates",
        command_id="rate",
        requirement_id="REQ-1",
        time_type="REG",
        effective_from="2019-01-01",
    )
    pipeline.send("operator-commands", confirm)
    await pipeline.settle()
    answers = {an_id: json.loads(text) for an_id, text in pipeline.answers().items()}
    assert (answers["tax"]["code"], answers["rate"]["code"]) == (
        "default_tax_unknown",
        "no_such_rate",
    )
    assert all(
        len(answers[an_id]["message"]) == TEXT_LENGTH and answers[an_id]["message"].endswith(" ...")
        for an_id in ("tax", "rate")
    )


async def test_an_answer_longer_than_a_message_stops_no_worker(
    pipeline: Pipeline, observer: Observer
) -> None:
    """Tax districts set in several commands.

    Each command is accepted; the answer that would list all is cut.
    """
    for part in range(3):
        taxes = [
            {
                "tax_code": f"SALES-TAX-OF-DISTRICT-{part}-{at:04}",
                "percent": "7",
                "from_date": "2020-01-01",
            }
            for at in range(4000)
        ]
        pipeline.send(
            "operator-commands",
            builders.command(
                "set-billing-company",
                command_id=f"tax-{part}",
                billing_company=COMPANY,
                taxes=taxes,
            ),
        )
        await pipeline.settle()
    answers = {an_id: json.loads(text) for an_id, text in pipeline.answers().items()}
    assert [answer["outcome"] for answer in answers.values()] == ["accepted"] * 3
    assert len(answers["tax-0"]["details"]["settings"]["taxes"]) == 4000
    assert (answers["tax-2"]["details"]["settings"], answers["tax-2"]["details"]["shortened"]) == (
        {},
        ["settings"],
    )
    assert await observer.one("SELECT count(*) FROM fee_realizer.tax_rate") == 12_000


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
            command_id=character(200, 9),
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
        pipeline.under_way.append(record(topic, whole | {"revision": at + 2} | changes, at))
        await pipeline.settle()
        await pipeline.sweep()
        bugs = await observer.select(
            "SELECT document_id FROM fee_realizer.source_document WHERE hold_code ="
            " 'unexpected_error'"
        )
        assert bugs == [], changes
        report = await observer.verified()
        assert report.clean, (changes, report.faults)
