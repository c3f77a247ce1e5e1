"""Answer operator commands: each in a transaction of its own, keyed by its `command_id`.

The same id with the same body gets the stored result again; with another body it is refused. Who
may have a command carried out is checked in `access`; a refusal there does not use up the id. The
result is published first, because an operator waits for it; the messages that the command caused
follow. Replaying and discarding dead letters works the same in every service and is done here.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from shared import telemetry
from shared.broker.topics import OPERATOR_COMMANDS
from shared.consumer import access, forgetting, replaying, stopped_partitions, tables
from shared.consumer.access import AccessRefused, NamesOf, Sender
from shared.consumer.answers import Answer as Answer
from shared.consumer.processing import Subscription
from shared.consumer.records import Applied, Received, Record, Rejection, reader
from shared.consumer.results import fit_into_message
from shared.errors import Refused
from shared.events.billing import CommandResult
from shared.events.commands import (
    FALLBACK_SERVICE,
    OPERATOR_COMMAND,
    AnyCommand,
    DiscardDeadLetter,
    ForgetWorker,
    ReplayDeadLetter,
    Republish,
    ResumeConsumer,
    SkipRecords,
)
from shared.events.field_types import TEXT_LENGTH

MAX_FINDINGS = 100
MAX_PAY_LINE_SUBJECTS = 100
ELLIPSIS = " ..."
SUBJECT_FIELDS = (
    "billing_company",
    "document_id",
    "item_id",
    "assignment_id",
    "batch_id",
    "invoice_number",
    "dispute",
    "account_name",
    "person",
    "program",
)

_READ = reader(OPERATOR_COMMAND)


CommandHandler = Callable[[AsyncConnection, Any], Awaitable[Answer]]


@dataclass(frozen=True)
class CommandDispatcher:
    """Passes each command of a service to its handler.

    `snapshot` names the commands that take no lock and therefore run on one snapshot. `forget`
    removes what this service alone keeps of a worker, and returns what was changed, by name.
    `companies_of` looks up the billing companies of commands that have ids instead, `authors_of`
    who created or changed what a command with the rule of four eyes is about (`PERMISSIONS`).
    """

    service: str
    handlers: Mapping[type[Any], CommandHandler]
    subscriptions: Callable[[], Mapping[str, Subscription]]
    republish: CommandHandler
    forget: Callable[[AsyncConnection, ForgetWorker], Awaitable[dict[str, int]]] | None = None
    snapshot: frozenset[str] = frozenset()
    companies_of: Mapping[type[Any], NamesOf] = field(default_factory=dict)
    authors_of: Mapping[type[Any], NamesOf] = field(default_factory=dict)

    def subscription(self) -> Subscription:
        """The subscription of this service to `operator-commands`."""
        return Subscription(
            OPERATOR_COMMANDS.name,
            self.read,
            self.apply,
            OPERATOR_COMMAND,
            one_by_one=True,
            isolation=self._isolation,
        )

    def read(self, record: Record) -> AnyCommand | Rejection | None:
        """Parse a command; None if another service answers it."""
        event = _READ(record)
        if isinstance(event, Rejection):
            return event if self.service == FALLBACK_SERVICE else None
        return event if event.owner == self.service else None

    def _isolation(self, command: AnyCommand) -> str:
        return "REPEATABLE READ" if command.command in self.snapshot else "READ COMMITTED"

    async def apply(
        self, connection: AsyncConnection, received: Sequence[Received[AnyCommand]]
    ) -> Applied:
        """Answer one command in the caller's transaction."""
        (one,) = received
        try:
            return await self._apply(connection, one)
        except AccessRefused as refused:
            return await self.refuse_access(connection, one, refused)

    async def _apply(self, connection: AsyncConnection, one: Received[AnyCommand]) -> Applied:
        """Answer a command. Raises `AccessRefused`."""
        command = one.event
        sender = await access.verify(connection, command, one.record)
        body, sha = body_of(command)
        stored = await tables.command_row(connection, self.service, command.command_id)
        if stored is not None and bytes(stored.body_sha256) != sha:
            return await self.refuse_reused_id(connection, command)
        applied = Applied(publish_now=[(tables.COMMAND_RESULT, command.command_id)])
        if stored is not None:
            return applied
        await self._authorize(connection, sender, one)
        answer, result = await self._answer(connection, command)
        if isinstance(command, ReplayDeadLetter):
            body = await self._kept_body(connection, command, body)
        await tables.add_command(
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
                "before": _to_json(answer.before),
                "after": _to_json(answer.after),
                "subjects": sorted({*answer.subjects, *_subjects(command)}),
                "key_id": sender.key_id,
                "program": sender.program,
                "client": sender.client,
            },
        )
        applied.publish_after, applied.jobs_due = answer.publish_after, answer.jobs_due
        return applied

    async def check_access(self, connection: AsyncConnection, one: Received[AnyCommand]) -> None:
        """Raise `AccessRefused` unless the command may be carried out now."""
        sender = await access.verify(connection, one.event, one.record)
        await self._authorize(connection, sender, one)

    async def _authorize(
        self, connection: AsyncConnection, sender: Sender, one: Received[AnyCommand]
    ) -> None:
        await access.authorize(
            connection, sender, one.event, one.record, self.companies_of, self.authors_of
        )

    async def refuse_access(
        self, connection: AsyncConnection, one: Received[AnyCommand], refused: AccessRefused
    ) -> Applied:
        """Store and publish why a command was not tried. It may be sent again under its id."""
        command, sender = one.event, refused.sender
        telemetry.COMMANDS_REFUSED.labels(self.service, refused.code).inc()
        result = CommandResult(
            command_id=command.command_id,
            command=command.command,
            service=self.service,
            outcome="refused",
            code=refused.code,
            message=_shorten(refused.message),
            fix=refused.fix,
            details=dict(refused.details),
        )
        values = {
            "command_id": command.command_id,
            "command": command.command,
            "actor": command.actor,
            "reason": command.reason,
            "key_id": sender.key_id,
            "program": sender.program,
            "client": sender.client,
            "result": result.model_dump_json(),
            "subjects": sorted({*_subjects(command), command.actor, sender.program} - {""}),
        }
        entry = await tables.add_refused_command(connection, self.service, one.record, values)
        return Applied(publish_now=[entry], refused=refused)

    async def refuse_reused_id(self, connection: AsyncConnection, command: AnyCommand) -> Applied:
        """Store and publish that another command has the id of this one."""
        _, sha = body_of(command)
        result = CommandResult(
            command_id=command.command_id,
            command=command.command,
            service=self.service,
            outcome="refused",
            code="command_id_reused",
            message=f"command {command.command_id} was sent before with another body",
            fix="send the command with a new command_id",
        )
        await tables.add_command_conflict(
            connection, self.service, command.command_id, sha, result.model_dump_json()
        )
        conflict_id = json.dumps([command.command_id, sha.hex()])
        return Applied(publish_now=[(tables.COMMAND_CONFLICT, conflict_id)])

    async def _answer(
        self, connection: AsyncConnection, command: AnyCommand
    ) -> tuple[Answer, CommandResult]:
        """Run the handler; return its answer or refusal, and the result that fits a message."""
        outcome: dict[str, Any]
        try:
            async with connection.begin_nested():
                answer = await self._handler(command)(connection, command)
            outcome = {
                "outcome": "accepted",
                "details": answer.details,
                "findings": tuple(answer.findings[:MAX_FINDINGS]),
            }
        except Refused as refused:
            answer = Answer(refused.message)
            outcome = {
                "outcome": "refused",
                "code": refused.code,
                "fix": _shorten(refused.fix),
                "details": dict(refused.details),
            }
        result = CommandResult(
            command_id=command.command_id,
            command=command.command,
            service=self.service,
            message=_shorten(answer.message),
            **outcome,
        )
        return answer, fit_into_message(result)

    def _handler(self, command: AnyCommand) -> CommandHandler:
        if isinstance(command, ReplayDeadLetter):
            return partial(replaying.replay, self.service, self.subscriptions)
        if isinstance(command, DiscardDeadLetter):
            return partial(replaying.discard, self.service)
        if isinstance(command, SkipRecords | ResumeConsumer):
            return self._read_on
        if isinstance(command, ForgetWorker):
            return self._forget
        if isinstance(command, Republish):
            return self.republish
        return self.handlers.get(type(command), _refuse_unsupported)

    # -- personal data

    async def _kept_body(
        self, connection: AsyncConnection, command: ReplayDeadLetter, body: str
    ) -> str:
        """The body to store: a replayed value that names a forgotten worker is not kept."""
        forgotten = await forgetting.forgotten_among(connection, self.service)
        if not forgetting.names_worker((command.value or "").encode(), forgotten):
            return body
        return body_of(command.model_copy(update={"value": ""}))[0]

    async def _forget(self, connection: AsyncConnection, command: ForgetWorker) -> Answer:
        if not command.reason:
            raise Refused(
                "reason_missing", "forgetting a worker requires a reason", "give --reason"
            )
        forgotten = await forgetting.forget(connection, self.service, command)
        if self.forget is not None:
            forgotten.counts |= await self.forget(connection, command)
        shown_as = forgetting.pseudonym_of(command.worker_id)
        return Answer(
            f"{shown_as}: removed what was kept beyond the id ({forgotten})",
            details={"shown_as": shown_as, **forgotten.counts},
            subjects=[f"worker {shown_as}"],
        )

    # -- stopped partitions

    async def _read_on(
        self, connection: AsyncConnection, command: SkipRecords | ResumeConsumer
    ) -> Answer:
        if isinstance(command, SkipRecords):
            message, before, after = await stopped_partitions.skip(
                connection, self.service, command
            )
        else:
            message, before, after = await stopped_partitions.resume(
                connection, self.service, command
            )
        return Answer(message, before=before, after=after, subjects=[f"topic {command.topic}"])


def body_of(command: AnyCommand) -> tuple[str, bytes]:
    """The JSON text of a command with sorted keys, and its SHA-256."""
    body = json.dumps(json.loads(command.model_dump_json()), sort_keys=True)
    return body, hashlib.sha256(body.encode()).digest()


async def _refuse_unsupported(connection: AsyncConnection, command: AnyCommand) -> Answer:
    raise Refused(
        "command_not_supported",
        f"no running service answers {command.command} of {command.owner}",
        "see the list of commands and their services",
    )


def _shorten(message: str) -> str:
    """Limit a message to the length of its field: it may quote a reason or name many debtors."""
    if len(message) <= TEXT_LENGTH:
        return message
    return f"{message[: TEXT_LENGTH - len(ELLIPSIS)]}{ELLIPSIS}"


def _to_json(values: dict[str, Any] | None) -> str | None:
    return None if values is None else json.dumps(values, default=str)


def _subjects(command: AnyCommand) -> set[str]:
    """The entities that a command names in its own fields."""
    values = [getattr(command, name, None) for name in SUBJECT_FIELDS]
    pay_lines = [
        *getattr(command, "pay_line_ids", ())[:MAX_PAY_LINE_SUBJECTS],
        getattr(command, "pay_line_id", None),
    ]
    return {value for value in values if isinstance(value, str)} | {
        f"pay-line {pay_line_id}" for pay_line_id in pay_lines if pay_line_id is not None
    }
