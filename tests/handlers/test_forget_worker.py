"""`forget-worker`: names and contact data of a worker go, amounts and documents stay."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import BaseModel

from shared.consumer.forgetting import names_worker, pseudonym_of
from shared.consumer.records import Record
from shared.verify import verify
from tests.builders import COMPANY, charge, command, node, placement, record, requirement, timesheet
from tests.conftest import Configure, EngineOf, UnitOfWorkFor
from tests.handlers.realizing import ITEM_SET
from tests.in_process import Pipeline

WORKER, OTHER = "W-1", "W-10"
SHOWN = pseudonym_of(WORKER)
NAME, MAIL, NOTE = "Zaphod Canary", "canary@example.com", "canary-left-for-his-mother"
PERSON = {"worker_name": NAME, "contact": {"email": MAIL, "phone": "canary-0123"}}


def raw(event: BaseModel, topic: str, **more: Any) -> Record:
    """A message of the ATS with fields that we do not declare."""
    body = json.loads(event.model_dump_json(exclude_unset=True)) | more
    return record(topic, json.dumps(body, ensure_ascii=False).encode())


def sent() -> list[Record]:
    """What the ATS sent of the worker: two documents and an expense, and two messages that cannot
    be read; and the same of another worker.
    """
    unreadable = raw(timesheet("T-9"), "timesheet-approved", revision="one", **PERSON)
    return [
        raw(timesheet(), "timesheet-approved", **PERSON),
        raw(placement(end_reason=NOTE), "placement-created", **PERSON),
        raw(charge(), "charge-added", worker_id=WORKER, **PERSON),
        unreadable,
        record("timesheet-approved", f'{{"worker_id": "{WORKER}", "name": "{NAME}"'.encode()),
        raw(timesheet("T-2", worker_id=OTHER), "timesheet-approved", worker_name="Trillian"),
        record("timesheet-approved", f'{{"worker_id": "{OTHER}", "name": "Trillian"'.encode()),
    ]


def forget(reason: str = "request of 2 May", **more: Any) -> list[BaseModel]:
    """The commands that `backoffice forget worker` sends."""
    return [
        command("forget-worker", service=service, worker_id=WORKER, reason=reason, **more)
        for service in ("fee_realizer", "invoicer")
    ]


class Firm:
    """fee_realizer and the invoicer with one worker's documents on an invoice, and open."""

    def __init__(self, pipeline: Pipeline, engine_of: EngineOf) -> None:
        self.pipeline, self.engine_of = pipeline, engine_of

    async def send(self, topic: str, *events: BaseModel) -> None:
        """Send events and let everything settle."""
        self.pipeline.send(topic, *events)
        await self.pipeline.settle()

    async def bring(self, records: Sequence[Record]) -> None:
        """Deliver raw records."""
        self.pipeline.under_way.extend(records)
        await self.pipeline.settle()

    async def select(self, sql: str, role: str = "owner") -> list[Any]:
        """Rows."""
        async with self.engine_of(role).connect() as connection:
            return list((await connection.exec_driver_sql(sql)).all())

    async def holding(self, *texts: str) -> set[str]:
        """The tables, views and published messages in which one of the texts is."""
        relations = await self.select(
            "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables"
            " WHERE table_schema IN ('fee_realizer', 'scheduler', 'invoicer', 'arg_sync')"
        )
        found = set()
        for (relation,) in relations:
            # Not str() of the rows: it leaves out the middle of a long one.
            rows = "".join(row for (row,) in await self.select(f"SELECT t::text FROM {relation} t"))
            if any(text in rows or text.encode().hex() in rows for text in texts):
                found.add(relation)
        said = b"".join(one.value for one in self.pipeline.said if one.topic != "operator-commands")
        return found | ({"messages"} if any(text.encode() in said for text in texts) else set())

    async def lines(self, view: str) -> set[tuple[str, str]]:
        """Workers and descriptions that the console shows."""
        rows = await self.select(f"SELECT worker_id, description FROM {view}", "console")
        return {(row.worker_id, row.description) for row in rows}


@pytest.fixture
async def firm(unit_of_work_for: UnitOfWorkFor, engine_of: EngineOf, configure: Configure) -> Firm:
    """An invoice of the first timesheet and instalment; the second instalment is open."""
    configure(today="2026-04-30")
    made = Firm(Pipeline(unit_of_work_for), engine_of)
    await made.send("operator-commands", command("set-billing-company", billing_company=COMPANY))
    await made.send("operator-commands", ITEM_SET)
    await made.send("billto-changed", node())
    await made.send("requirement-changed", requirement())
    await made.bring(sent())
    await made.send(
        "operator-commands",
        command("generate-batch", billing_company=COMPANY, cut_off_date="2026-03-31"),
    )
    assert await made.select("SELECT 1 FROM invoicer.invoice")
    return made


async def test_names_and_contact_data_go_from_everywhere(firm: Firm) -> None:
    """No table, view or message holds them afterwards; those of another worker stay."""
    before = await firm.holding(NAME, MAIL, NOTE)
    assert before == {
        "fee_realizer.source_revision",
        "fee_realizer.console_source_revision",
        "fee_realizer.console_charge",
        "fee_realizer.dead_letter",
        "fee_realizer.console_dead_letter",
        "fee_realizer.worker",
        "fee_realizer.worker_name",
        "invoicer.invoice_detail",
        "invoicer.closed_invoice_detail",
        "invoicer.console_closed_detail",
    }
    await firm.send("operator-commands", *forget())
    assert await firm.holding(NAME, MAIL, NOTE) == set()
    assert await firm.holding("Trillian") >= {
        "fee_realizer.source_revision",
        "fee_realizer.dead_letter",
    }
    (answer,) = [one for one in firm.pipeline.answers().values() if "fee_realizer" in one][-1:]
    assert json.loads(answer)["details"] == {
        "shown_as": SHOWN,
        "dead letters": 2,
        "commands": 0,
        "revisions": 3,
        "names": 1,
    }


async def test_documents_stay_and_views_show_a_pseudonym(firm: Firm) -> None:
    """Open and closed lines keep id, amount and seal; `verify` finds nothing; the reason is in the
    history. A worker whose id begins alike is not touched.
    """
    table = "SELECT pay_line_id, worker_id, description, amount FROM invoicer.pay_line"
    before = await firm.select(table)
    shown = await firm.lines("invoicer.console_closed_line")
    await firm.send("operator-commands", *forget())
    assert await firm.select(table) == before
    for view in ("invoicer.console_closed_line", "invoicer.console_pay_line"):
        lines = await firm.lines(view)
        assert {worker for worker, _ in lines} == {SHOWN, OTHER}
        assert not any(f"· {WORKER} " in f"{text} " for _, text in lines)
    assert await firm.lines("invoicer.console_closed_line") == {
        (SHOWN, text.replace(f" · {WORKER}", f" · {SHOWN}")) if worker == WORKER else (worker, text)
        for worker, text in shown
    }
    async with firm.engine_of("auditor").connect() as connection:
        assert not (await verify(connection)).faults
    history = "SELECT reason, actor, subjects FROM invoicer.console_command WHERE command"
    (kept,) = await firm.select(f"{history} = 'forget-worker'", "console")
    assert (kept.reason, kept.actor, kept.subjects) == (
        "request of 2 May",
        "pat",
        [f"worker {SHOWN}"],
    )


async def test_a_replayed_topic_brings_nothing_back(firm: Firm) -> None:
    """The same messages, a new revision, and new unreadable ones: names stay away, no message is a
    conflict, and a correction is still priced.
    """
    await firm.send("operator-commands", *forget())
    conflicts = "SELECT code FROM fee_realizer.dead_letter WHERE code = 'conflict'"
    await firm.bring([one._replace(offset=one.offset + 10_000) for one in sent()])
    revised = timesheet(revision=2, entries=[])
    await firm.bring([raw(revised, "timesheet-approved", **PERSON)])
    again = placement(revision=2, end_reason=NOTE)
    await firm.bring([raw(again, "placement-created", **PERSON)])
    assert await firm.holding(NAME, MAIL, NOTE) == set()
    assert await firm.select(conflicts) == []
    (head,) = await firm.select(
        "SELECT revision, realization_no FROM fee_realizer.source_document"
        " WHERE document_id = 'T-1'"
    )
    assert (head.revision, head.realization_no) == (2, 2)
    async with firm.engine_of("auditor").connect() as connection:
        assert not (await verify(connection)).faults


async def test_a_redacted_dead_letter_is_replayed_with_a_value_only(firm: Firm) -> None:
    """As it is, it is refused; the value given for it is not kept in the history either."""
    await firm.send("operator-commands", *forget())
    (rejected,) = await firm.select(
        "SELECT dead_letter_id, value_length FROM fee_realizer.dead_letter"
        " WHERE record_value = '' ORDER BY dead_letter_id LIMIT 1"
    )
    assert rejected.value_length > 0
    replay = {"service": "fee_realizer", "dead_letter_id": rejected.dead_letter_id}
    value = json.dumps(json.loads(timesheet("T-9").model_dump_json()) | PERSON)
    asked = [
        command("replay-dead-letter", **replay),
        command("replay-dead-letter", **replay, value=value),
    ]
    await firm.send("operator-commands", *asked)
    answers = [json.loads(firm.pipeline.answers()[one.command_id]) for one in asked]
    assert [one["code"] for one in answers] == ["value_not_kept", "ok"], answers
    assert await firm.holding(NAME, MAIL) == set()


async def test_what_an_operator_replayed_before_is_removed_from_the_history(firm: Firm) -> None:
    """The command stays, known by id and body; its value does not."""
    (rejected,) = await firm.select(
        "SELECT min(dead_letter_id) AS id FROM fee_realizer.dead_letter"
    )
    value = json.dumps(json.loads(timesheet("T-9").model_dump_json()) | PERSON)
    replay = command(
        "replay-dead-letter", service="fee_realizer", dead_letter_id=rejected.id, value=value
    )
    await firm.send("operator-commands", replay)
    assert "fee_realizer.command" in await firm.holding(NAME)
    await firm.send("operator-commands", *forget())
    assert await firm.holding(NAME, MAIL) == set()
    before = firm.pipeline.answers()[replay.command_id]
    await firm.send("operator-commands", replay)
    assert firm.pipeline.answers()[replay.command_id] == before


async def test_forgetting_again_changes_nothing_and_needs_a_reason(firm: Firm) -> None:
    """Another command gives the first reason's row again; without a reason it is refused."""
    (refused,) = forget(reason="")[:1]
    await firm.send("operator-commands", refused)
    assert json.loads(firm.pipeline.answers()[refused.command_id])["code"] == "reason_missing"
    assert await firm.holding(NAME)
    await firm.send("operator-commands", *forget())
    rows = "SELECT t::text FROM fee_realizer.source_revision t ORDER BY 1"
    before = await firm.select(rows)
    await firm.send("operator-commands", *forget(reason="another"))
    assert await firm.select(rows) == before
    (one,) = await firm.select("SELECT reason FROM invoicer.forgotten_worker")
    assert one.reason == "request of 2 May"


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b'{"worker_id": "W-1"}', True),
        (b"worker W-1, name", True),
        (b'{"worker_id": "W-10"}', False),
        (b'{"worker_id": "XW-1"}', False),
        ('{"worker_id": "Zoë"}'.encode(), True),
        (b'{"worker_id": "Zo\\u00eb"}', True),
        (b"\xff\xfe W-1", True),
        (b"", False),
        (None, False),
    ],
)
def test_a_record_names_a_worker_by_a_whole_word(content: bytes | None, named: bool) -> None:
    """In any form that JSON allows, also where the rest is not readable."""
    assert names_worker(content, ["W-1", "Zoë"]) is named
