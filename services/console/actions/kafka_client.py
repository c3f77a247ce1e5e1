"""Publishes records, sends commands and waits for their results over Kafka, as any operator's
program may.

The result of a command is read from `command-results` by the command's id. Reading begins at the
end that the topic had before the command was sent, so that no result is missed and no old one is
read.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from pydantic import ValidationError

from shared.broker.producer import partition_of
from shared.broker.security import KafkaAccess, sign_in_problem
from shared.broker.topics import COMMAND_RESULTS, OPERATOR_COMMANDS, full_name
from shared.errors import Refused, Unavailable
from shared.events.billing import CommandResult
from shared.events.commands import AnyCommand, SkipRecords, key_of
from shared.events.field_types import MESSAGE_BYTES

if TYPE_CHECKING:
    from shared.signing import Signer

RESULT_SECONDS = 120.0
IN_FLIGHT = 5_000
POLL_MS = 200
KEYS_TRIED = 100
NOTICE_SECONDS = 10.0
"""After this time without a result the user is told once which services are awaited: a worker
may be down.
"""

Publishable = tuple[str | None, bytes | None]
Progress = Callable[[int], None]
Notify = Callable[[str], None]


class Client:
    """A connection to Kafka for the length of a block; the producer starts with the first
    record.
    """

    def __init__(
        self, kafka: KafkaAccess, notify: Notify | None = None, signer: "Signer | None" = None
    ) -> None:
        self._kafka = kafka
        self._notify = notify
        self._signer = signer
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
        """Publishes (key, value) pairs on a topic (name without prefix) in their order; returns
        their number.

        All are acknowledged when it returns. `progress` is called with the number acknowledged so
        far. A value of None is a tombstone. Commands are signed if there is a key.
        """
        producer = await self._started()
        sent = 0
        waiting: list[asyncio.Future[object]] = []
        try:
            for key, value in records:
                waiting.append(
                    await producer.send(
                        full_name(topic),
                        value,
                        key=None if key is None else key.encode(),
                        headers=self._headers(topic, value),
                    )
                )
                if len(waiting) >= IN_FLIGHT:
                    sent += await _acknowledged(waiting)
                    if progress is not None:
                        progress(sent)
            sent += await _acknowledged(waiting)
        except TopicAuthorizationFailedError as error:
            await asyncio.gather(*waiting, return_exceptions=True)
            raise Refused(
                "not_permitted",
                f"Kafka does not let the user {self._kafka.user or '(none)'} write {topic}",
                "see docs/reference/acls.md for who may, and set BACKOFFICE_KAFKA_USER",
            ) from error
        except MessageSizeTooLargeError as error:
            await asyncio.gather(*waiting, return_exceptions=True)
            raise Refused(
                "too_large",
                f"a record for {topic} is larger than Kafka takes (limit {MESSAGE_BYTES:,} bytes);"
                " those before it were published",
                "split the document",
            ) from error
        except KafkaError as error:
            await asyncio.gather(*waiting, return_exceptions=True)
            raise Unavailable(
                f"Kafka at {self._kafka} did not take all records for {topic}"
                f" ({type(error).__name__}): publish again"
            ) from error
        if progress is not None:
            progress(sent)
        return sent

    async def send(
        self, command: AnyCommand, timeout_seconds: float = RESULT_SECONDS
    ) -> CommandResult:
        """Sends a command and waits for its result. Raises `Unavailable` if none comes in time."""
        (result,) = await self.send_all([command], timeout_seconds)
        return result

    async def send_all(
        self,
        commands: Sequence[AnyCommand],
        timeout_seconds: float = RESULT_SECONDS,
        records: Sequence[Publishable] | None = None,
    ) -> list[CommandResult]:
        """Sends commands in their order and waits for all results, in the order of the commands.

        `records` are sent in their place, for commands that are written already.
        """
        waiting = {command.command_id: command for command in commands}
        results: dict[str, CommandResult] = {}
        if not waiting:
            return []
        consumer = await self._results_from_now()
        try:
            if records is None:
                records = [
                    (await self._key(each), each.model_dump_json().encode()) for each in commands
                ]
            await self.publish(OPERATOR_COMMANDS.name, records)
            clock = asyncio.get_running_loop().time
            deadline, notice = clock() + timeout_seconds, clock() + NOTICE_SECONDS
            while len(results) < len(waiting):
                left = [command for an_id, command in waiting.items() if an_id not in results]
                if clock() > deadline:
                    raise Unavailable(_no_result(left, timeout_seconds))
                if clock() > notice and self._notify is not None:
                    notice = float("inf")
                    self._notify(
                        f"still waiting for {_services(left)}; see whether it is up with"
                        " `backoffice status`, and its lag with `backoffice lag`"
                    )
                for batch in (await consumer.getmany(timeout_ms=POLL_MS)).values():
                    for record in batch:
                        an_id = (record.key or b"").decode("utf-8", "replace")
                        if an_id in waiting and (result := _parse(record.value)) is not None:
                            results.setdefault(an_id, result)
        finally:
            await consumer.stop()
        return [results[command.command_id] for command in commands]

    def _headers(self, topic: str, value: bytes | None) -> list[tuple[str, bytes]]:
        if self._signer is None or value is None or topic != OPERATOR_COMMANDS.name:
            return []
        from shared.signing import HEADER

        try:
            actor = json.loads(value)["actor"]
        except (ValueError, KeyError, TypeError, RecursionError):
            actor = ""  # no command: it becomes a dead letter
        now = time.time()
        return [(HEADER, self._signer.sign(value, now, actor if isinstance(actor, str) else ""))]

    async def _key(self, command: AnyCommand) -> str:
        """The key of a command; it may not lie behind the records that it tells to skip."""
        if not isinstance(command, SkipRecords) or command.topic != OPERATOR_COMMANDS.name:
            return key_of(command)
        producer = await self._started()
        partitions = len(await producer.partitions_for(full_name(OPERATOR_COMMANDS.name)))
        keys = (f"{command.service}.{number}" for number in range(KEYS_TRIED))
        elsewhere = (k for k in keys if partition_of(k.encode(), partitions) != command.partition)
        return next(elsewhere, key_of(command))

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                **self._kafka.client_options(),
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
                raise Unavailable(await _unavailable(self._kafka)) from error
            self._producer = producer
        return self._producer

    async def _results_from_now(self) -> AIOKafkaConsumer:
        topic = full_name(COMMAND_RESULTS.name)
        consumer = AIOKafkaConsumer(
            topic,
            **self._kafka.client_options(),
            group_id=None,
            enable_auto_commit=False,
            fetch_max_wait_ms=50,
            isolation_level="read_committed",
        )
        try:
            await consumer.start()
            for partition, end in (await consumer.end_offsets(list(consumer.assignment()))).items():
                consumer.seek(partition, end)
        except UnknownTopicOrPartitionError as error:
            await consumer.stop()
            raise Unavailable(
                f"Kafka at {self._kafka} has no topic {topic}: create it with `backoffice up"
                " --detach`"
            ) from error
        except KafkaError as error:
            await consumer.stop()
            raise Unavailable(await _unavailable(self._kafka)) from error
        except BaseException:
            with suppress(Exception):
                await consumer.stop()
            raise
        return consumer


async def _acknowledged(waiting: list["asyncio.Future[object]"]) -> int:
    """Waits for all acknowledgements and empties the list; returns their number."""
    await asyncio.gather(*waiting)
    number = len(waiting)
    waiting.clear()
    return number


def _parse(value: bytes | None) -> CommandResult | None:
    try:
        return CommandResult.model_validate_json(value or b"")
    except ValidationError:
        return None  # of another version; the result that we wait for is of ours


async def _unavailable(kafka: KafkaAccess) -> str:
    if why := await sign_in_problem(kafka):
        return why
    return (
        f"Kafka at {kafka} does not answer: see `backoffice status`, start it with"
        " `backoffice up --detach`, or fix BACKOFFICE_KAFKA"
    )


def _services(commands: Sequence[AnyCommand]) -> str:
    return ", ".join(sorted({command.owner for command in commands}))


def _no_result(left: Sequence[AnyCommand], timeout_seconds: float) -> str:
    names = ", ".join(sorted({command.command for command in left}))
    return (
        f"no result of {names} from {_services(left)} within {timeout_seconds:.0f} s; the command"
        " stays"
        " on the topic and will be carried out: see `backoffice status` and `backoffice lag`;"
        f" to see its result later: backoffice history {left[0].command_id}"
    )
