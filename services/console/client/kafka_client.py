"""Speaking to the services over Kafka, as any operator's program may: publish records, send commands, await their answers.

The answer to a command is read from `command-results` by its id. Reading begins at the end that the topic had before the command went
out, so no answer is missed and no old one is read.
"""

import asyncio
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, UnknownTopicOrPartitionError
from pydantic import ValidationError

from shared.broker.topics import COMMAND_RESULTS, OPERATOR_COMMANDS, full_name
from shared.errors import Refused, Unavailable
from shared.events.billing import CommandResult
from shared.events.commands import AnyCommand, key_of, owner_of
from shared.events.field_types import MESSAGE_BYTES

ANSWER_SECONDS = 120.0
IN_FLIGHT = 5_000
POLL_MS = 200
PATIENCE_SECONDS = 10.0
"""After so long without an answer whoever waits is told once who should answer, because a worker may be down."""

Publishable = tuple[str | None, bytes | None]
Progress = Callable[[int], None]
Patience = Callable[[str], None]


def new_command_id() -> str:
    """An id for a command that was never sent before."""
    return uuid.uuid4().hex


class Client:
    """A connection to Kafka for as long as the block lasts; the producer starts with the first record."""

    def __init__(self, kafka: str, patience: Patience | None = None) -> None:
        self._kafka = kafka
        self._patience = patience
        self._producer: AIOKafkaProducer | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._producer is not None:
            await self._producer.stop()
            self._producer = None

    async def publish(
        self, topic: str, records: Iterable[Publishable], progress: Progress | None = None
    ) -> int:
        """Publishes (key, value) pairs on a topic (name without prefix) in their order; how many. All are acknowledged when it returns.

        `progress` is told the number acknowledged so far. A value of None is a tombstone.
        """
        producer = await self._started()
        sent = 0
        waiting: list[asyncio.Future[object]] = []
        try:
            for key, value in records:
                waiting.append(
                    await producer.send(
                        full_name(topic), value, key=None if key is None else key.encode()
                    )
                )
                if len(waiting) >= IN_FLIGHT:
                    sent += await _acknowledged(waiting)
                    if progress is not None:
                        progress(sent)
            sent += await _acknowledged(waiting)
        except MessageSizeTooLargeError as error:
            await asyncio.gather(*waiting, return_exceptions=True)
            raise Refused(
                "too_large",
                f"a record for {topic} is larger than Kafka takes (limit {MESSAGE_BYTES:,} bytes); those before it were published",
                "split the document",
            ) from error
        except KafkaError as error:
            await asyncio.gather(*waiting, return_exceptions=True)
            raise Unavailable(
                f"Kafka at {self._kafka} did not take all records for {topic} ({type(error).__name__}): publish again"
            ) from error
        if progress is not None:
            progress(sent)
        return sent

    async def send(
        self, command: AnyCommand, timeout_seconds: float = ANSWER_SECONDS
    ) -> CommandResult:
        """Sends a command and awaits its answer, accepted or refused. Raises `Unavailable` if none comes in time."""
        (result,) = await self.send_all([command], timeout_seconds)
        return result

    async def send_all(
        self, commands: Sequence[AnyCommand], timeout_seconds: float = ANSWER_SECONDS
    ) -> list[CommandResult]:
        """Sends commands in their order and awaits all answers, given in the order of the commands."""
        waiting = {command.command_id: command for command in commands}
        answers: dict[str, CommandResult] = {}
        if not waiting:
            return []
        consumer = await self._results_from_now()
        try:
            await self.publish(
                OPERATOR_COMMANDS.name,
                [(key_of(command), command.model_dump_json().encode()) for command in commands],
            )
            began = asyncio.get_running_loop().time()
            told = self._patience is None
            while len(answers) < len(waiting):
                waited = asyncio.get_running_loop().time() - began
                left = [command for an_id, command in waiting.items() if an_id not in answers]
                if waited > timeout_seconds:
                    raise Unavailable(_no_answer(left, timeout_seconds))
                if waited > PATIENCE_SECONDS and self._patience is not None and not told:
                    self._patience(
                        f"still waiting for {_services(left)}; whether it is up says `backoffice status`, how far it is `backoffice lag`"
                    )
                    told = True
                for records in (await consumer.getmany(timeout_ms=POLL_MS)).values():
                    for record in records:
                        an_id = (record.key or b"").decode("utf-8", "replace")
                        if an_id in waiting and (answer := _answer(record.value)) is not None:
                            answers.setdefault(an_id, answer)
        finally:
            await consumer.stop()
        return [answers[command.command_id] for command in commands]

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                bootstrap_servers=self._kafka,
                enable_idempotence=True,
                acks="all",
                linger_ms=2,
                max_batch_size=256 * 1024,
                max_request_size=MESSAGE_BYTES + 100_000,
            )
            try:
                await producer.start()
            except KafkaError as error:
                await producer.stop()
                raise Unavailable(_away(self._kafka)) from error
            self._producer = producer
        return self._producer

    async def _results_from_now(self) -> AIOKafkaConsumer:
        topic = full_name(COMMAND_RESULTS.name)
        consumer = AIOKafkaConsumer(
            topic,
            bootstrap_servers=self._kafka,
            group_id=None,
            enable_auto_commit=False,
            fetch_max_wait_ms=50,
        )
        try:
            await consumer.start()
            for partition, end in (await consumer.end_offsets(list(consumer.assignment()))).items():
                consumer.seek(partition, end)
        except UnknownTopicOrPartitionError as error:
            await consumer.stop()
            raise Unavailable(
                f"Kafka at {self._kafka} has no topic {topic}: start the stack with `backoffice up --detach`, which makes it"
            ) from error
        except KafkaError as error:
            await consumer.stop()
            raise Unavailable(_away(self._kafka)) from error
        except BaseException:
            with suppress(Exception):
                await consumer.stop()
            raise
        return consumer


async def _acknowledged(waiting: list["asyncio.Future[object]"]) -> int:
    """Awaits and empties the list; how many there were."""
    await asyncio.gather(*waiting)
    number = len(waiting)
    waiting.clear()
    return number


def _answer(value: bytes | None) -> CommandResult | None:
    try:
        return CommandResult.model_validate_json(value or b"")
    except ValidationError:
        return None  # not of this version; the one that we wait for is


def _away(kafka: str) -> str:
    return f"Kafka at {kafka} does not answer: see `backoffice status`, start it with `backoffice up --detach`, or fix BACKOFFICE_KAFKA"


def _services(left: Sequence[AnyCommand]) -> str:
    return ", ".join(sorted({owner_of(command) for command in left}))


def _no_answer(left: Sequence[AnyCommand], timeout_seconds: float) -> str:
    names = ", ".join(sorted({command.command for command in left}))
    return (
        f"no answer to {names} within {timeout_seconds:.0f} s; {_services(left)} should answer. The command stays on the topic and will be worked:"
        " see whether the worker is up with `backoffice status` and how far it is with `backoffice lag`;"
        f" command id {left[0].command_id} finds it in `backoffice history`"
    )
