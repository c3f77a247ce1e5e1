"""Bad messages between good ones, through Kafka and real workers.

Each is a dead letter of its own kind; its neighbours are processed; none of its values is
published or logged. Too many at once pause the consumer. A rule that fails holds only its document.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import MessageSizeTooLargeError
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import create_async_engine

from shared.broker.security import kafka_access
from shared.broker.topics import dead_letter_topic, full_name
from shared.consumer.lag import LagReader, groups_of
from shared.consumer.unpacking import KEPT_BYTES
from shared.settings import settings
from tests import builders
from tests.bad_messages import (
    ASK,
    CANARY,
    DATABASE_ONLY,
    FEE,
    NODE,
    ORDER,
    TIME,
    UNREADABLE,
    BadMessage,
    order,
    sheet,
)
from tests.builders import COMPANY
from tests.conftest import EngineOf, as_superuser, finish
from tests.running import (
    Observer,
    Sent,
    answered,
    command,
    event,
    publish,
    records_of,
    running,
    start,
    until,
)

KEPT_BY = {
    TIME: "fee_realizer",
    ORDER: "fee_realizer",
    FEE: "fee_realizer",
    NODE: "invoicer",
    ASK: "invoicer",
}
CONFLICTS = (
    BadMessage(
        "conflict",
        "higher revision",
        TIME,
        sheet(timesheet_id="T-known", revision=1),
        name="conflict of a timesheet",
    ),
    BadMessage(
        "adjusts_itself", "name the original", TIME, sheet(timesheet_id="T-self", adjusts="T-self")
    ),
    BadMessage(
        "adjusts_adjustment",
        "name the original",
        TIME,
        sheet(timesheet_id="T-third", adjusts="T-second"),
    ),
    BadMessage(
        "conflict",
        "higher revision",
        ORDER,
        order(requirement_id="REQ-1", revision=1),
        name="conflict of a requirement",
    ),
)
"""What is read and refused because of what the tables contain."""
KINDS = (*UNREADABLE, *CONFLICTS, *DATABASE_ONLY)
IN_BOOKS = {
    TIME: "SELECT CAST(CAST(xmin AS text) AS bigint) FROM fee_realizer.source_revision WHERE"
    " source_id = :id",
    ORDER: "SELECT CAST(CAST(xmin AS text) AS bigint) FROM fee_realizer.requirement_revision WHERE"
    " requirement_id = :id",
    FEE: "SELECT CAST(CAST(xmin AS text) AS bigint) FROM fee_realizer.source_revision WHERE"
    " source_id = :id",
    NODE: "SELECT CAST(CAST(xmin AS text) AS bigint) FROM invoicer.billto_revision WHERE node_id ="
    " :id",
    ASK: "SELECT CAST(CAST(xmin AS text) AS bigint) FROM fee_realizer.command WHERE command_id ="
    " :id",
}


def good(topic: str, name: str) -> Sent:
    """A valid record of a topic."""
    if topic == ASK:
        return event(
            topic,
            name,
            {
                "command": "set-billing-company",
                "command_id": name,
                "actor": "pat",
                "billing_company": COMPANY,
            },
            0,
        )
    made: dict[str, Callable[[], BaseModel]] = {
        TIME: lambda: builders.timesheet(name),
        ORDER: lambda: builders.requirement(name),
        FEE: lambda: builders.placement(name, fees=[]),
        NODE: lambda: builders.node(name),
    }
    return event(topic, name, made[topic](), 0)


@dataclass
class Outcome:
    """The result of one run with every kind, each between two good records on its partition."""

    dead_letters: dict[tuple[str, int], Any]
    places: dict[str, tuple[int, str, str]]
    transactions: dict[str, int]
    polls: dict[str, float]
    said: dict[tuple[str, int], list[dict[str, Any]]]
    aloud: str
    held: int


_outcome: list[Outcome] = []


@pytest.fixture
def outcome(request: pytest.FixtureRequest, tmp_path: Path) -> Outcome:
    """One run for all kinds.

    Everything is on the topics before the workers start, so that each topic comes in one poll.
    """
    if not _outcome:
        _outcome.append(finish(run_all(request.getfixturevalue("stack"), tmp_path)))
    return _outcome[0]


def lay_out() -> tuple[list[Sent], dict[str, tuple[int, str, str]]]:
    """The records of every topic in order; of each kind its offset and its good neighbours."""
    records: dict[str, list[Sent]] = {topic: [] for topic in KEPT_BY}
    records[TIME] += [
        event(TIME, "k", builders.timesheet("T-known"), 0),
        event(TIME, "k", builders.timesheet("T-second", adjusts="T-known"), 0),
    ]
    records[ORDER] += [event(ORDER, "k", builders.requirement(), 0)]
    places = {}
    for at, kind in enumerate(KINDS):
        before, behind = f"good-{at}-before", f"good-{at}-behind"
        records[kind.topic] += [
            good(kind.topic, before),
            Sent(kind.topic, kind.key, kind.value, 0),
            good(kind.topic, behind),
        ]
        places[str(kind)] = (len(records[kind.topic]) - 2, before, behind)
    return [one for of in records.values() for one in of], places


async def run_all(stack: dict[str, str], folder: Path) -> Outcome:
    """Publish, run fee_realizer and the invoicer until nothing moves, and read everything."""
    engine = create_async_engine(as_superuser(settings().database_url))
    observer = Observer(lambda role: engine, ("fee_realizer", "invoicer"))
    records, places = lay_out()
    await publish(records)
    async with running(
        stack, folder, "fee_realizer", "invoicer", bad_records_limit=1000
    ) as workers:
        await observer.settled()
        pages = "".join(worker.page("/metrics")[1] for worker in workers)
    dead_letters: dict[tuple[str, int], Any] = {}
    said: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for service in ("fee_realizer", "invoicer"):
        found = await observer.select(
            "SELECT CAST(CAST(xmin AS text) AS bigint) AS transaction_id, d.* FROM"
            f" {service}.dead_letter d"
        )
        dead_letters |= {(row.topic, row.record_offset): row for row in found}
        for topic in {row.topic for row in found}:
            for one in await records_of(dead_letter_topic(topic, service)):
                body = json.loads(one.value)
                said.setdefault((topic, body["offset"]), []).append(body)
    transactions = {}
    for kind in KINDS:
        for name in places[str(kind)][1:]:
            rows = await observer.select(IN_BOOKS[kind.topic], id=name)
            transactions[name] = rows[0][0] if rows else 0
    aloud = (
        pages + "".join(worker.log.read_text() for worker in workers) + json.dumps([*said.values()])
    )
    held = await observer.one(
        "SELECT count(*) FROM fee_realizer.source_document WHERE hold_code <>"
        " 'unknown_billing_company'"
    )
    await engine.dispose()
    return Outcome(
        dead_letters,
        places,
        transactions,
        {topic: _polls(pages, topic) for topic in KEPT_BY},
        said,
        aloud,
        held,
    )


def _polls(pages: str, topic: str) -> float:
    """How many polls had records of a topic, by the workers' metrics; two consume commands."""
    lines = [
        line
        for line in pages.splitlines()
        if line.startswith("faststream_received_messages_size_bytes_count")
        and f'"{full_name(topic)}"' in line
    ]
    return max((float(line.rsplit(" ", 1)[1]) for line in lines), default=0)


@pytest.mark.parametrize("kind", KINDS, ids=str)
async def test_each_kind_is_a_dead_letter_and_its_neighbours_are_processed(
    outcome: Outcome, kind: BadMessage
) -> None:
    """Each bad record is isolated.

    A dead letter has the raw bytes (of a large value the first ones), length and SHA-256 of the
    value, the code and a helpful message. The neighbours are stored in
    the same transaction, unless the database refused a record or each command is its own
    transaction.
    """
    offset, *neighbours = outcome.places[str(kind)]
    dead_letter = outcome.dead_letters.get((kind.topic, offset))
    assert dead_letter is not None, "no dead letter"
    assert dead_letter.code == kind.code
    assert kind.expected_text in dead_letter.message
    assert CANARY not in dead_letter.message
    assert (dead_letter.record_key, dead_letter.record_value, dead_letter.state) == (
        kind.key,
        None if kind.value is None else kind.value[:KEPT_BYTES],
        "open",
    )
    whole = None if kind.value is None else hashlib.sha256(kind.value).digest()
    assert dead_letter.value_sha256 == whole
    assert dead_letter.value_length == (None if kind.value is None else len(kind.value))
    assert outcome.polls[kind.topic] == 1, "all records of the topic came in one poll"
    assert all(outcome.transactions[name] for name in neighbours), (
        "a neighbour is missing in the tables"
    )
    if kind.topic in (TIME, ORDER, NODE):
        assert {outcome.transactions[name] for name in neighbours} == {dead_letter.transaction_id}


@pytest.mark.parametrize("kind", KINDS, ids=str)
async def test_each_dead_letter_is_published_once_with_ids_and_reason_only(
    outcome: Outcome, kind: BadMessage
) -> None:
    """Its message has no value of the record."""
    offset = outcome.places[str(kind)][0]
    (said,) = outcome.said[kind.topic, offset]
    assert set(said) == {
        "dead_letter_id",
        "service",
        "topic",
        "partition",
        "offset",
        "sha256",
        "code",
        "message",
    }
    assert (said["code"], said["service"], said["topic"]) == (
        kind.code,
        KEPT_BY[kind.topic],
        kind.topic,
    )


async def test_no_value_of_a_bad_record_is_published_or_logged(outcome: Outcome) -> None:
    """No log, metric or dead-letter topic has one.

    Nothing else was stored as a dead letter.
    """
    assert CANARY not in outcome.aloud
    assert len(outcome.dead_letters) == len(KINDS)
    assert outcome.held == 0


async def test_every_kind_has_a_code_of_its_own(outcome: Outcome) -> None:
    """Programs can distinguish more than forty kinds."""
    assert len({dead_letter.code for dead_letter in outcome.dead_letters.values()}) >= 40


async def test_the_broker_refuses_five_megabytes(stack: dict[str, str]) -> None:
    """A record far over the limit is refused; its sender sees it."""
    with pytest.raises(MessageSizeTooLargeError):
        await publish([Sent(TIME, b"k", b"x" * 5_000_000)])


async def test_a_bad_deployment_does_not_empty_a_topic_into_the_dead_letters(
    stack: dict[str, str], engine_of: EngineOf, tmp_path: Path
) -> None:
    """Over the limit the consumer pauses.

    /readyz is 503 with the message, and nothing past the good records is committed. After a restart
    with a higher limit it continues; other subscriptions of the worker never stopped.
    """
    observer = Observer(engine_of, ("fee_realizer",))
    await publish([good(TIME, f"T-{at}") for at in range(10)])
    worker = await start(
        "fee_realizer", stack, tmp_path, bad_records_limit=20, max_batch_records=10
    )
    await observer.settled()
    await publish([*[Sent(TIME, b"k", b"{", 0)] * 30, *(good(TIME, f"U-{at}") for at in range(10))])

    async def is_paused() -> bool:
        status, message = worker.page("/readyz")
        return status == 503 and "BACKOFFICE_BAD_RECORDS_LIMIT" in message and TIME in message

    await until("the pause", is_paused)
    assert '"paused"' in worker.log.read_text()
    assert await committed(TIME) == 20, "ten of the bad ones were under the limit"
    assert await observer.one("SELECT count(*) FROM fee_realizer.dead_letter") == 10
    await publish([event(ORDER, "REQ-1", builders.requirement(), 0)])
    await until(
        "the other subscription",
        lambda: observer.one("SELECT count(*) FROM fee_realizer.console_requirement"),
    )
    await worker.stop()
    async with running(stack, tmp_path, "fee_realizer", bad_records_limit=1000):
        await observer.settled()
    assert await observer.one("SELECT count(*) FROM fee_realizer.dead_letter") == 30
    assert await observer.one("SELECT count(*) FROM fee_realizer.source_revision") == 20


async def committed(topic: str) -> int:
    """The committed offset of fee_realizer on partition 0 of a topic."""
    async with LagReader(kafka_access()) as lag:
        found = await lag.lag(groups_of(("fee_realizer",)))
    return next(
        one.committed for one in found if one.topic == full_name(topic) and one.partition == 0
    )


BROKEN = """
from services.fee_realizer.app import app
from services.fee_realizer.sources.handlers import pricing
from shared.consumer.application import run_app

right = pricing.realize

def realize(case, facts, known):
    if case.head.document_id == "T-broken":
        raise ZeroDivisionError("injected")
    return right(case, facts, known)

pricing.realize = realize
run_app(app)
"""
"""A fee_realizer with a rule that fails on one document."""


async def test_a_document_that_breaks_a_rule_is_held_alone(
    stack: dict[str, str], engine_of: EngineOf, tmp_path: Path
) -> None:
    """Code `unexpected_error`, and the traceback is logged.

    Its neighbours in the batch are realized, the worker goes on, and a new version prices the
    document by itself.
    """
    observer = Observer(engine_of, ("fee_realizer", "invoicer"))
    names = ["T-1", "T-broken", "T-2"]
    company = builders.command("set-billing-company", billing_company=COMPANY)
    await publish(
        [
            command(company, 0),
            event(ORDER, "REQ-1", builders.requirement(), 0),
            *(good(TIME, name) for name in names),
        ]
    )
    spoilt = await start("fee_realizer", stack, tmp_path, "-c", BROKEN)
    async with running(stack, tmp_path, "invoicer"):
        await observer.settled()
        found = await observer.select(
            "SELECT document_id, hold_code FROM fee_realizer.source_document ORDER BY document_id"
        )
        assert [tuple(row) for row in found] == [
            ("T-1", None),
            ("T-2", None),
            ("T-broken", "unexpected_error"),
        ]
        same = await observer.one(
            "SELECT count(DISTINCT CAST(xmin AS text)) FROM fee_realizer.source_revision"
        )
        assert same == 1, "one transaction"
        assert await observer.one("SELECT count(*) FROM invoicer.open_line") == 2
        assert "ZeroDivisionError" in spoilt.log.read_text()
        assert spoilt.page("/readyz")[0] == 200
        assert await observer.one("SELECT count(*) FROM fee_realizer.dead_letter") == 0
        await spoilt.stop()
        async with running(stack, tmp_path, "fee_realizer"):
            await until(
                "the fixed rule",
                lambda: observer.one("SELECT count(*) = 3 FROM invoicer.open_line"),
            )
            await observer.settled()
    assert (
        await observer.one(
            "SELECT count(*) FROM fee_realizer.source_document WHERE hold_code IS NOT NULL"
        )
        == 0
    )


async def test_a_fixed_dead_letter_is_processed_like_a_good_record(
    stack: dict[str, str], engine_of: EngineOf, tmp_path: Path
) -> None:
    """It is priced and settled, once.

    The same command again changes nothing.
    """
    observer = Observer(engine_of, ("fee_realizer", "invoicer"))
    company = builders.command("set-billing-company", billing_company=COMPANY)
    await publish(
        [
            command(company),
            event(ORDER, "REQ-1", builders.requirement()),
            Sent(TIME, b"T-1", sheet(timesheet_id="T-1")[:-1]),
            good(TIME, "T-2"),
        ]
    )
    async with running(stack, tmp_path, "fee_realizer", "invoicer"):
        await observer.settled()
        number = await observer.one("SELECT dead_letter_id FROM fee_realizer.dead_letter")
        fixed = builders.timesheet("T-1").model_dump_json()
        replay = builders.command(
            "replay-dead-letter", service="fee_realizer", dead_letter_id=number, value=fixed
        )
        first, again = await answered(replay), await answered(replay)
        assert first == again
        assert first[0]["outcome"] == "accepted"
        await observer.settled()
    lines = await observer.select(
        "SELECT document_id, quantity, amount, line_key FROM invoicer.pay_line ORDER BY document_id"
    )
    assert [row[0] for row in lines] == ["T-1", "T-2"]
    assert tuple(lines[0][1:]) == tuple(lines[1][1:])
    assert await observer.one("SELECT state FROM fee_realizer.dead_letter") == "replayed"
