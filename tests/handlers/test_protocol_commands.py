"""Commands and dead letters on a real PostgreSQL: one answer for each id; fixes of bad records."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.broker.producer import OutgoingMessage
from shared.consumer import tables
from shared.consumer.commands import Answer, CommandDispatcher
from shared.consumer.processing import Subscription
from shared.consumer.unit_of_work import UnitOfWork
from shared.database import rows
from shared.errors import Refused
from shared.events.billing import Finding
from shared.events.commands import FALLBACK_SERVICE, SetCatalogItem
from tests import builders
from tests.builders import record
from tests.conftest import UnitOfWorkFor, nothing, process
from tests.sample_service import SERVICE, TOPIC, SampleService, sample

ASK = "operator-commands"


def answers(unit_of_work: UnitOfWork) -> list[dict[str, Any]]:
    """Every published answer, in order."""
    return [
        json.loads(message.value)
        for message in unit_of_work.producer.published
        if message.topic == "command-results"
    ]  # type: ignore[attr-defined]


async def ask(
    unit_of_work: UnitOfWork, kind: str, subscription: Subscription | None = None, **values: Any
) -> dict[str, Any]:
    """Send a command; return its answer."""
    await process(
        unit_of_work,
        subscription or SampleService().dispatcher().subscription(),
        [record(ASK, builders.command(kind, **values))],
    )
    return answers(unit_of_work)[-1]


async def state(unit_of_work: UnitOfWork) -> list[tuple[Any, ...]]:
    """Everything that a repeat might change."""
    async with unit_of_work.engine.connect() as connection:
        found = []
        for table in ("sample", "command", "command_conflict", "dead_letter"):
            found += [
                tuple(row)
                for row in await rows(
                    connection, f"SELECT xmin::text, * FROM {SERVICE}.{table} ORDER BY 2"
                )
            ]
    return found


async def samples(unit_of_work: UnitOfWork) -> list[str]:
    """The stored samples."""
    async with unit_of_work.engine.connect() as connection:
        return [
            row[0]
            for row in await rows(
                connection, "SELECT sample_id FROM fee_realizer.sample ORDER BY sample_id"
            )
        ]


async def dead_letter(
    unit_of_work: UnitOfWork,
    value: bytes,
    topic: str = TOPIC,
    subscription: Subscription | None = None,
) -> int:
    """Process an unreadable record; return the id of its dead letter."""
    await process(
        unit_of_work, subscription or SampleService().subscription(), [record(topic, value)]
    )
    async with unit_of_work.engine.connect() as connection:
        found = await connection.scalar(
            text(f"SELECT max(dead_letter_id) FROM {unit_of_work.service}.dead_letter")
        )
    assert isinstance(found, int)
    return found


async def fate(unit_of_work: UnitOfWork, dead_letter_id: int) -> tuple[Any, ...]:
    """The state of a dead letter."""
    async with unit_of_work.engine.connect() as connection:
        found = await rows(
            connection,
            f"SELECT state, closed_by, closed_reason FROM {unit_of_work.service}.dead_letter WHERE"
            " dead_letter_id = :id",
            id=dead_letter_id,
        )
    return tuple(found[0])


ITEM: dict[str, Any] = {"name": "An item", "amount": "5.00", "currency": "USD"}


async def test_the_same_command_again_gets_the_first_answer(unit_of_work: UnitOfWork) -> None:
    """A repeated command has no second effect.

    The order of its fields does not matter; the first answer is published again.
    """
    command = builders.command("set-catalog-item", item_id="I-1", **ITEM)
    body = json.loads(command.model_dump_json())
    turned = dict(reversed(body.items()))
    await process(unit_of_work, SampleService().dispatcher().subscription(), [record(ASK, command)])
    before = await state(unit_of_work)
    for again in (body, turned):
        await process(
            unit_of_work, SampleService().dispatcher().subscription(), [record(ASK, again)]
        )
    first, *others = answers(unit_of_work)
    assert first["outcome"] == "accepted"
    assert others == [first, first]
    assert await state(unit_of_work) == before


async def test_the_answer_comes_first(unit_of_work: UnitOfWork) -> None:
    """The answer is published before what the command made true.

    The rest stays in the outbox until a later transaction.
    """
    await ask(unit_of_work, "set-catalog-item", item_id="I-1", **ITEM)
    assert [message.topic for message in unit_of_work.producer.published] == [
        "command-results",
        "document-held",
    ]  # type: ignore[attr-defined]
    async with unit_of_work.engine.connect() as connection:
        assert {kind for kind, _ in await tables.outbox_entries(connection, SERVICE, 10)} == {
            "sample",
            "command-result",
        }
    await unit_of_work.transact(nothing)
    async with unit_of_work.engine.connect() as connection:
        assert await tables.outbox_entries(connection, SERVICE, 10) == []


async def test_messages_not_published_after_an_answer_stay_in_the_outbox(
    unit_of_work: UnitOfWork,
) -> None:
    """Kafka fails after the answer.

    What follows stays in the outbox, and a repeated command gets its answer again.
    """
    command = record(ASK, builders.command("set-catalog-item", item_id="I-1", **ITEM))
    say, unit_of_work.builders = unit_of_work.builders["sample"], {"sample": _away}
    with pytest.raises(KafkaConnectionError):
        await process(unit_of_work, SampleService().dispatcher().subscription(), [command])
    unit_of_work.builders = {"sample": say}
    await process(unit_of_work, SampleService().dispatcher().subscription(), [command])
    assert [answer["outcome"] for answer in answers(unit_of_work)] == ["accepted", "accepted"]
    async with unit_of_work.engine.connect() as connection:
        left = [
            an_id
            for an_id in await tables.outbox_entries(connection, SERVICE, 10)
            if an_id not in unit_of_work.published
        ]
    assert left == [("sample", "I-1")]
    assert await unit_of_work.publish_pending(left) == 1


async def _away(connection: AsyncConnection, ids: Sequence[str]) -> list[OutgoingMessage]:
    raise KafkaConnectionError


async def test_one_id_for_two_commands_is_refused(unit_of_work: UnitOfWork) -> None:
    """Another body under a used id is refused, each time.

    The first answer stays. Each body has an answer of its own, so each has an event id of its own:
    a reader that drops repeated event ids still gets every answer.
    """
    body = json.loads(builders.command("set-catalog-item", item_id="I-1", **ITEM).model_dump_json())
    subscription = SampleService().dispatcher().subscription()
    for item in ("I-1", "I-2", "I-2", "I-1", "I-3"):
        await process(unit_of_work, subscription, [record(ASK, body | {"item_id": item})])
    assert [answer["code"] for answer in answers(unit_of_work)] == [
        "ok",
        "command_id_reused",
        "command_id_reused",
        "ok",
        "command_id_reused",
    ]
    published = unit_of_work.producer.published  # type: ignore[attr-defined]
    ids = [one.event_id for one in published if one.topic == "command-results"]
    first, second, again, repeated, third = ids
    assert (again, repeated) == (second, first) and len({first, second, third}) == 3
    assert await samples(unit_of_work) == ["I-1"]


async def test_no_answer_is_longer_than_its_message(unit_of_work: UnitOfWork) -> None:
    """A too long answer is cut, and the command has its effect.

    A message that quotes a long reason or names many debtors is cut; of details that are too long
    for a message, the longest are emptied. Otherwise the worker would stop at each retry.
    """
    words = "a reason of many words " * 100

    async def wordy(connection: AsyncConnection, command: SetCatalogItem) -> Answer:
        if command.item_id == "I-1":
            raise Refused("no", words, words)
        return replace(await SampleService().set_item(connection, command), message=words)

    async def large(connection: AsyncConnection, command: SetCatalogItem) -> Answer:
        found = [
            Finding(
                severity="info", code="c", about="line", message="s", fix="m", ids=("é" * 300,) * 20
            )
        ] * 100
        return replace(
            await SampleService().set_item(connection, command),
            details={"listed": ["é" * 1_000] * 460, "total": "7"},
            findings=found,
        )

    for item, outcome in (("I-1", "refused"), ("I-2", "accepted")):
        said = await ask(
            unit_of_work,
            "set-catalog-item",
            replace(SampleService().dispatcher(), handlers={SetCatalogItem: wordy}).subscription(),
            item_id=item,
            **ITEM,
        )
        assert (said["outcome"], len(said["message"]), said["message"][-4:]) == (
            outcome,
            2_000,
            " ...",
        )
    said = await ask(
        unit_of_work,
        "set-catalog-item",
        replace(SampleService().dispatcher(), handlers={SetCatalogItem: large}).subscription(),
        item_id="I-3",
        **ITEM,
    )
    assert (said["outcome"], said["details"]) == (
        "accepted",
        {"listed": [], "total": "7", "shortened": ["findings", "listed"]},
    )
    assert len(said["findings"]) == 50
    assert await samples(unit_of_work) == ["I-2", "I-3"]


async def test_one_command_at_two_workers_has_one_effect(
    unit_of_work: UnitOfWork, unit_of_work_for: UnitOfWorkFor
) -> None:
    """A zombie and its successor answer the same command.

    It has one effect, and both publish the same answer.
    """
    twin = unit_of_work_for(SERVICE, {"sample": SampleService().say})
    command = builders.command("set-catalog-item", item_id="I-1", **ITEM)
    both = asyncio.Barrier(2)

    def subscription() -> Subscription:
        met: list[bool] = []

        async def meet(connection: AsyncConnection, asked: Any) -> Answer:
            # at the first try both find no answer stored; one of them meets the other's key and
            # tries again
            if not met:
                met.append(True)
                await both.wait()
            return await SampleService().set_item(connection, asked)

        return CommandDispatcher(SERVICE, {SetCatalogItem: meet}, dict, _nothing).subscription()

    await asyncio.gather(
        *(process(each, subscription(), [record(ASK, command)]) for each in (unit_of_work, twin))
    )
    assert await samples(unit_of_work) == ["I-1"]
    assert answers(unit_of_work) == answers(twin)
    assert answers(unit_of_work)[0]["outcome"] == "accepted"


async def test_a_fixed_dead_letter_is_processed_like_a_good_record(
    unit_of_work: UnitOfWork,
) -> None:
    """A fixed record has its effect, once."""
    number = await dead_letter(unit_of_work, sample("bear")[:-1])
    answer = await ask(
        unit_of_work,
        "replay-dead-letter",
        service=SERVICE,
        dead_letter_id=number,
        value=sample("bear").decode(),
    )
    assert answer["outcome"] == "accepted"
    assert await samples(unit_of_work) == ["bear"]
    assert [
        message.key
        for message in unit_of_work.producer.published
        if message.topic == "document-held"
    ] == ["bear"]  # type: ignore[attr-defined]
    assert await fate(unit_of_work, number) == ("replayed", "pat", "test")
    again = await ask(unit_of_work, "replay-dead-letter", service=SERVICE, dead_letter_id=number)
    assert (again["outcome"], again["code"]) == ("refused", "dead_letter_closed")


async def test_an_unchanged_dead_letter_stays_open(unit_of_work: UnitOfWork) -> None:
    """Replaying without a fix gives the reason again.

    So does a fix that conflicts with stored data.
    """
    number = await dead_letter(unit_of_work, b"[1]")
    await process(
        unit_of_work, SampleService().subscription(), [record(TOPIC, sample("bear", "2"))]
    )
    as_it_was = await ask(
        unit_of_work, "replay-dead-letter", service=SERVICE, dead_letter_id=number
    )
    assert (as_it_was["outcome"], as_it_was["code"]) == ("refused", "not_an_object")
    in_conflict = await ask(
        unit_of_work,
        "replay-dead-letter",
        service=SERVICE,
        dead_letter_id=number,
        value=sample("bear", "3").decode(),
    )
    assert (in_conflict["outcome"], in_conflict["code"]) == ("refused", "conflict")
    assert (await fate(unit_of_work, number))[0] == "open"


async def test_a_fix_that_the_database_refuses_leaves_the_dead_letter_open(
    unit_of_work: UnitOfWork,
) -> None:
    """The answer has the refusal.

    The command can be sent again with another value.
    """
    number = await dead_letter(unit_of_work, b"[1]")
    subscription = SampleService().dispatcher().subscription()
    refused = await ask(
        unit_of_work,
        "replay-dead-letter",
        subscription,
        service=SERVICE,
        dead_letter_id=number,
        value=sample("bear", "13").decode(),
    )
    assert (refused["outcome"], refused["code"]) == ("refused", "constraint_violated")
    good = await ask(
        unit_of_work,
        "replay-dead-letter",
        subscription,
        service=SERVICE,
        dead_letter_id=number,
        value=sample("bear", "12").decode(),
    )
    assert good["outcome"] == "accepted"
    assert await samples(unit_of_work) == ["bear"]


async def test_a_dead_letter_is_discarded_with_a_reason_only(unit_of_work: UnitOfWork) -> None:
    """Discarding needs a reason and prevents a replay."""
    number = await dead_letter(unit_of_work, b"{}")
    bare = await ask(
        unit_of_work, "discard-dead-letter", service=SERVICE, dead_letter_id=number, reason=""
    )
    assert (bare["outcome"], bare["code"]) == ("refused", "reason_missing")
    assert (
        await ask(
            unit_of_work,
            "discard-dead-letter",
            service=SERVICE,
            dead_letter_id=number,
            reason="a test of the sender",
        )
    )["outcome"] == "accepted"
    assert await fate(unit_of_work, number) == ("discarded", "pat", "a test of the sender")
    late = await ask(
        unit_of_work,
        "replay-dead-letter",
        service=SERVICE,
        dead_letter_id=number,
        value=sample("bear").decode(),
    )
    assert late["code"] == "dead_letter_closed"
    unknown = await ask(
        unit_of_work, "discard-dead-letter", service=SERVICE, dead_letter_id=number + 999
    )
    assert unknown["code"] == "no_such_dead_letter"
    assert await samples(unit_of_work) == []


@pytest.fixture
def invoicer(unit_of_work_for: UnitOfWorkFor) -> tuple[UnitOfWork, Subscription]:
    """The dispatcher that answers unreadable commands."""
    return unit_of_work_for(FALLBACK_SERVICE), CommandDispatcher(
        FALLBACK_SERVICE,
        {},
        lambda: {ASK: CommandDispatcher(FALLBACK_SERVICE, {}, dict, _nothing).subscription()},
        _nothing,
    ).subscription()


async def _nothing(connection: AsyncConnection, command: Any) -> Answer:
    return Answer("nothing")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        pytest.param(
            b'{"command_id": "c-1", "command": "dance"}', ["c-1"], id="an unknown command"
        ),
        pytest.param(b'{"command_id": "' + b"x" * 500 + b'"}', ["x" * 200], id="an id too long"),
        pytest.param(b'{"command_id": 5}', [], id="an id that is no text"),
        pytest.param(b'{"command_id": ""}', [], id="no id"),
        pytest.param(b'{"command_id": "\\ud800"}', [], id="an id of half a character"),
        pytest.param(
            b'{"command_id": "c-1", "command": "\\udfff"}', ["c-1"], id="a kind of half a character"
        ),
        pytest.param(
            b'{"command_id": "c-1", "command": NaN}', ["c-1"], id="a kind that is no JSON"
        ),
        pytest.param(b'["command_id"]', [], id="a list"),
        pytest.param(b'{"a":' * 3000, [], id="too deep"),
        pytest.param(b'{"command_id": ' + b"9" * 5000 + b"}", [], id="thousands of digits"),
        pytest.param(None, [], id="no value"),
        pytest.param(b"\xff\xfe{", [], id="not text"),
    ],
)
async def test_an_unreadable_command_is_answered_if_its_id_can_be_read(
    invoicer: tuple[UnitOfWork, Subscription], value: bytes, said: list[str]
) -> None:
    """It is a dead letter and refused by id."""
    unit_of_work, subscription = invoicer
    await dead_letter(unit_of_work, value, ASK, subscription)
    assert [answer["command_id"] for answer in answers(unit_of_work)] == said
    assert all(answer["outcome"] == "refused" for answer in answers(unit_of_work))
    async with unit_of_work.engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM invoicer.dead_letter")) == 1


async def test_a_fixed_command_of_another_service_is_refused(
    invoicer: tuple[UnitOfWork, Subscription],
) -> None:
    """The answer states where to send the fixed command."""
    unit_of_work, subscription = invoicer
    number = await dead_letter(unit_of_work, b"{", ASK, subscription)
    fixed = builders.command("set-catalog-item", item_id="I-1", **ITEM).model_dump_json()
    answer = await ask(
        unit_of_work,
        "replay-dead-letter",
        subscription,
        service=FALLBACK_SERVICE,
        dead_letter_id=number,
        value=fixed,
    )
    assert (answer["outcome"], answer["code"]) == ("refused", "another_service")
    assert (await fate(unit_of_work, number))[0] == "open"
