"""Answering commands: a batch of one, keyed by its id. The same id with the same body gives the stored answer again, with
another body it is refused. Somebody waits for the answer: what the command made true is said after it. Dead letters are replayed
and discarded here, for every service alike."""

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.broker.topics import CONSUMED, OPERATOR_COMMANDS
from shared.consumer import tables as ledger
from shared.consumer.protocol import Subscription
from shared.consumer.records import Applied, OutboxId, Received, Record, Rejection, reader
from shared.errors import Refused
from shared.events.billing import CommandResult, Finding
from shared.events.commands import (
    OPERATOR_COMMAND,
    AnyCommand,
    DiscardDeadLetter,
    ReplayDeadLetter,
    Republish,
    owner_of,
)
from shared.events.field_types import TEXT_LENGTH

FALLBACK_SERVICE = "invoicer"
MAX_FINDINGS = 100
MORE = " ..."


@dataclass
class Answer:
    """What a command's handler gives back. `before` and `after` are kept for the history, which is found by `subjects`
    (document, line, invoice number, account name ... as plain text). `outbox` is said after the answer."""

    message: str
    details: dict[str, Any] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    subjects: Sequence[str] = ()
    publish_after: list[OutboxId] = field(default_factory=list)
    jobs_due: bool = False


Handle = Callable[[AsyncConnection, Any], Awaitable[Answer]]


@dataclass(frozen=True)
class CommandDispatcher:
    """A service's desk for commands: which handler answers which kind, which kinds only read (and so run on one snapshot)."""

    service: str
    handlers: Mapping[type[Any], Handle]
    subscriptions: Callable[[], Mapping[str, Subscription]]
    republish: Handle
    snapshot: frozenset[str] = frozenset()

    def subscription(self) -> Subscription:
        """The lane of `operator-commands` for this service."""
        return Subscription(
            OPERATOR_COMMANDS.name,
            self.read,
            self.apply,
            OPERATOR_COMMAND,
            one_by_one=True,
            isolation=self._isolation,
        )

    def read(self, record: Record) -> AnyCommand | Rejection | None:
        """This service's commands; None for another's. Only one service answers for those that nobody can read."""
        event = _READ(record)
        if isinstance(event, Rejection):
            return event if self.service == FALLBACK_SERVICE else None
        if owner_of(event) != self.service:
            unheard = owner_of(event) not in COMMAND_SERVICES and self.service == FALLBACK_SERVICE
            return event if unheard else None
        return event  # type: ignore[no-any-return]

    def _isolation(self, command: AnyCommand) -> str:
        return "REPEATABLE READ" if command.command in self.snapshot else "READ COMMITTED"

    async def apply(
        self, connection: AsyncConnection, received: Sequence[Received[AnyCommand]]
    ) -> Applied:
        """Answers one command in the caller's transaction."""
        (one,) = received
        command = one.event
        body = json.dumps(json.loads(command.model_dump_json()), sort_keys=True)
        sha = hashlib.sha256(body.encode()).digest()
        stored = await ledger.command_answer(connection, self.service, command.command_id)
        if stored is not None:
            return await self._again(connection, command, sha, stored)
        answer, result = await self._answer(connection, command)
        await ledger.add_command(
            connection,
            self.service,
            {
                "command_id": command.command_id,
                "command": command.command,
                "billing_company": getattr(command, "billing_company", None) or "",
                "actor": command.actor,
                "reason": command.reason,
                "body": body,
                "sha": sha,
                "outcome": result.outcome,
                "result": result.model_dump_json(),
                "before": _json(answer.before),
                "after": _json(answer.after),
                "subjects": sorted({*answer.subjects, *_subjects(command)}),
            },
        )
        return Applied(
            publish_now=[(ledger.COMMAND_RESULT, command.command_id)],
            publish_after=answer.publish_after,
            jobs_due=answer.jobs_due,
        )

    async def _again(
        self, connection: AsyncConnection, command: AnyCommand, sha: bytes, stored: Any
    ) -> Applied:
        if bytes(stored.body_sha256) == sha:
            return Applied(publish_now=[(ledger.COMMAND_RESULT, command.command_id)])
        refusal = CommandResult(
            command_id=command.command_id,
            command=command.command,
            service=self.service,
            outcome="refused",
            code="command_id_reused",
            message=f"command {command.command_id} was given before with another body",
            fix="give the new command an id of its own",
        )
        await ledger.add_command_conflict(
            connection, self.service, command.command_id, sha, refusal.model_dump_json()
        )
        return Applied(
            publish_now=[(ledger.COMMAND_CONFLICT, json.dumps([command.command_id, sha.hex()]))]
        )

    async def _answer(
        self, connection: AsyncConnection, command: AnyCommand
    ) -> tuple[Answer, CommandResult]:
        """What the handler answers, or why it refuses, as much of it as a message holds."""
        said: dict[str, Any] = {
            "command_id": command.command_id,
            "command": command.command,
            "service": self.service,
        }
        try:
            async with connection.begin_nested():
                answer = await self._handler(command)(connection, command)
        except Refused as refused:
            answer = Answer(refused.message)
            said |= {
                "outcome": "refused",
                "code": refused.code,
                "fix": _cut(refused.fix),
                "details": dict(refused.details),
            }
        else:
            said |= {
                "outcome": "accepted",
                "details": answer.details,
                "findings": tuple(answer.findings[:MAX_FINDINGS]),
            }
        return answer, ledger.fitting(CommandResult(**said, message=_cut(answer.message)))

    def _handler(self, command: AnyCommand) -> Handle:
        if isinstance(command, ReplayDeadLetter):
            return self._replay
        if isinstance(command, DiscardDeadLetter):
            return self._discard
        if isinstance(command, Republish) and owner_of(command) == self.service:
            return self.republish
        if type(command) in self.handlers:
            return self.handlers[type(command)]
        return _nobody

    async def _replay(self, connection: AsyncConnection, command: ReplayDeadLetter) -> Answer:
        letter = await self._letter(connection, command.dead_letter_id)
        value = letter.record_value if command.value is None else command.value.encode()
        record = Record(
            letter.topic, letter.partition_no, letter.record_offset, letter.record_key, value
        )
        subscription = self.subscriptions().get(letter.topic)
        if subscription is None:
            raise Refused(
                "topic_not_heard",
                f"{self.service} no longer hears {letter.topic}",
                "discard the dead letter with a reason",
            )
        event = subscription.read(record)
        if isinstance(event, Rejection):
            raise Refused(
                event.code,
                f"the record still can't be read: {event.message}",
                "give the fixed JSON with --value",
            )
        if event is None:
            raise Refused(
                "another_service",
                f"another service than {self.service} answers this command",
                "send the fixed command anew, under a new command_id",
            )
        applied = await subscription.apply(connection, [Received(event, record)])
        if applied.rejected:
            raise Refused(
                applied.rejected[0][1].code,
                applied.rejected[0][1].message,
                "fix the value, or discard the dead letter",
            )
        await ledger.close_dead_letter(
            connection,
            self.service,
            command.dead_letter_id,
            "replayed",
            command.actor,
            command.reason,
        )
        return Answer(
            f"dead letter {command.dead_letter_id} of {letter.topic} was read",
            publish_after=[*applied.publish_now, *applied.publish_after],
            jobs_due=applied.jobs_due,
            subjects=[_subject(command)],
        )

    async def _discard(self, connection: AsyncConnection, command: DiscardDeadLetter) -> Answer:
        if not command.reason:
            raise Refused(
                "reason_missing", "a dead letter is discarded with a reason only", "give --reason"
            )
        letter = await self._letter(connection, command.dead_letter_id)
        await ledger.close_dead_letter(
            connection,
            self.service,
            command.dead_letter_id,
            "discarded",
            command.actor,
            command.reason,
        )
        return Answer(
            f"dead letter {command.dead_letter_id} of {letter.topic} is set aside",
            subjects=[_subject(command)],
        )

    async def _letter(self, connection: AsyncConnection, dead_letter_id: int) -> Any:
        letter = await ledger.open_dead_letter(connection, self.service, dead_letter_id)
        if letter is None:
            raise Refused(
                "no_such_dead_letter",
                f"{self.service} has no dead letter {dead_letter_id}",
                "see `backoffice dead-letters list`",
            )
        if letter.state != "open":
            raise Refused(
                "dead_letter_closed", f"dead letter {dead_letter_id} was {letter.state} already"
            )
        return letter


COMMAND_SERVICES = frozenset(CONSUMED)
"""Services that hear commands; for any other the invoicer answers that nobody does."""

_READ = reader(OPERATOR_COMMAND)


async def _nobody(connection: AsyncConnection, command: AnyCommand) -> Answer:
    raise Refused(
        "nobody_answers",
        f"no running service answers {command.command} of {owner_of(command)}",
        "see the list of commands and their owners",
    )


def _cut(message: str) -> str:
    """As much of a message as an answer holds: it may quote a reason, or name many debtors."""
    return message if len(message) <= TEXT_LENGTH else f"{message[: TEXT_LENGTH - len(MORE)]}{MORE}"


def _json(values: dict[str, Any] | None) -> str | None:
    return None if values is None else json.dumps(values, default=str)


def _subject(command: ReplayDeadLetter | DiscardDeadLetter) -> str:
    return f"dead-letter {command.service} {command.dead_letter_id}"


def _subjects(command: AnyCommand) -> set[str]:
    """What a command names by itself, so that `history` finds it."""
    names = (
        "billing_company",
        "document_id",
        "item_id",
        "batch_id",
        "invoice_number",
        "account_name",
    )
    named = {value for name in names if isinstance(value := getattr(command, name, None), str)}
    lines = list(getattr(command, "pay_line_ids", ())[:100]) + [
        line for line in [getattr(command, "pay_line_id", None)] if line is not None
    ]
    return named | {f"pay-line {line}" for line in lines}
