"""Who may do what on which topic: the ACLs of Kafka, by service, applied by
`python -m shared.broker.topics --acl`.

Each service has a principal of its own. What it may read and write follows from the topics that it
consumes and publishes; nothing else is allowed, because a broker with an authorizer denies what no
ACL allows.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import for_code
from aiokafka.protocol.admin import (
    CreateAclsRequest_v1,
    DeleteAclsRequest_v1,
    DescribeAclsRequest_v1,
)
from aiokafka.protocol.api import Request, RequestStruct

from shared.broker.security import KafkaAccess
from shared.broker.topics import (
    ATS,
    COMMAND_RESULTS,
    CONSUMED,
    OPERATOR_COMMANDS,
    PUBLISHED,
    all_topics,
    dead_letter_topic,
)
from shared.errors import Refused
from shared.settings import settings

ADMIN = "admin"
CONSOLE, LAG_EXPORTER, ATS_PUBLISHER = "console", "lag_exporter", "ats"
SERVICES = tuple(CONSUMED)
PRINCIPALS = (*SERVICES, CONSOLE, LAG_EXPORTER, ATS_PUBLISHER, ADMIN)
"""Every principal: the services, and `ats` for the systems that publish timesheets."""
CLUSTER = "kafka-cluster"
ANY_HOST = "*"
ALLOW, ANY = 3, 1
"""Codes of the permission types, of any kind in a filter."""
NO_AUTHORIZER = "SecurityDisabledError"
EFFECT_SECONDS, EFFECT_POLL_SECONDS = 10.0, 0.02
"""How long a change may take until the broker goes by it."""


class Kind(IntEnum):
    """What an ACL is about, with Kafka's codes."""

    TOPIC = 2
    GROUP = 3
    CLUSTER = 4
    TRANSACTIONAL_ID = 5


class Pattern(IntEnum):
    """How the name of an ACL is compared, with Kafka's codes."""

    LITERAL = 3
    PREFIXED = 4


class Operation(IntEnum):
    """What an ACL allows, with Kafka's codes. Reading and writing a topic include describing it."""

    READ = 3
    WRITE = 4
    CREATE = 5
    ALTER = 7
    DESCRIBE = 8
    DESCRIBE_CONFIGS = 10
    ALTER_CONFIGS = 11
    IDEMPOTENT_WRITE = 12


@dataclass(frozen=True, slots=True, order=True)
class Acl:
    """One permission of a service; `name` is without the prefix of the topics."""

    service: str
    kind: Kind
    name: str
    operation: Operation
    pattern: Pattern = Pattern.LITERAL

    @property
    def full_name(self) -> str:
        """The name in Kafka."""
        return self.name if self.kind is Kind.CLUSTER else settings().topic_prefix + self.name


def declared() -> list[Acl]:
    """Every ACL of every principal, in order."""
    return sorted(
        {
            *(one for service in SERVICES for one in _of_service(service)),
            *_of_console(),
            *_of_lag_exporter(),
            *_of_ats(),
            *_of_admin(),
        }
    )


def _topics(service: str, operation: Operation, names: Iterable[str]) -> Iterator[Acl]:
    return (Acl(service, Kind.TOPIC, name, operation) for name in names)


def _groups(service: str, owner: str, operation: Operation) -> Acl:
    """The consumer groups of a service, whose names begin with its own."""
    return Acl(service, Kind.GROUP, f"{owner}.", operation, Pattern.PREFIXED)


def _idempotent(service: str) -> Acl:
    return Acl(service, Kind.CLUSTER, CLUSTER, Operation.IDEMPOTENT_WRITE)


def _of_service(service: str) -> Iterator[Acl]:
    consumed = [topic.name for topic in CONSUMED[service]]
    published = [topic.name for topic in PUBLISHED[service]]
    published += [dead_letter_topic(topic, service) for topic in consumed]
    yield from _topics(service, Operation.READ, consumed)
    yield from _topics(service, Operation.WRITE, published)
    yield _groups(service, service, Operation.READ)
    yield _idempotent(service)


def _of_console() -> Iterator[Acl]:
    """It publishes for operators, reads results, and shows the lag, which is no content."""
    written = [*(topic.name for topic in ATS), OPERATOR_COMMANDS.name]
    yield from _topics(CONSOLE, Operation.WRITE, written)
    yield from _topics(CONSOLE, Operation.READ, [COMMAND_RESULTS.name])
    others = [name for name in _consumed_by_anyone() if name not in written]
    yield from _topics(CONSOLE, Operation.DESCRIBE, others)
    yield from (_groups(CONSOLE, service, Operation.DESCRIBE) for service in SERVICES)
    yield _idempotent(CONSOLE)


def _of_lag_exporter() -> Iterator[Acl]:
    """It reads records too: the age of the oldest unread one is in the record alone."""
    yield from _topics(LAG_EXPORTER, Operation.READ, _consumed_by_anyone())
    yield from (_groups(LAG_EXPORTER, service, Operation.DESCRIBE) for service in SERVICES)


def _of_ats() -> Iterator[Acl]:
    """It writes its own topics, in transactions if it likes, and reads nothing."""
    yield from _topics(ATS_PUBLISHER, Operation.WRITE, (topic.name for topic in ATS))
    yield Acl(
        ATS_PUBLISHER,
        Kind.TRANSACTIONAL_ID,
        f"{ATS_PUBLISHER}.",
        Operation.WRITE,
        Pattern.PREFIXED,
    )
    yield _idempotent(ATS_PUBLISHER)


def _of_admin() -> Iterator[Acl]:
    """It makes topics and ACLs, and reads and writes no record."""
    for operation in (
        Operation.CREATE,
        Operation.DESCRIBE,
        Operation.DESCRIBE_CONFIGS,
        Operation.ALTER_CONFIGS,
    ):
        yield from _topics(ADMIN, operation, (topic.name for topic in all_topics()))
    for operation in (Operation.ALTER, Operation.DESCRIBE):
        yield Acl(ADMIN, Kind.CLUSTER, CLUSTER, operation)


def _consumed_by_anyone() -> list[str]:
    return sorted({topic.name for topics in CONSUMED.values() for topic in topics})


# -- applying them

Row = tuple[int, str, int, str, str, int, int]
"""An ACL of Kafka: kind, name, pattern, principal, host, operation, permission."""


def principal(service: str) -> str:
    """The principal of a service as ACLs name it."""
    return "User:" + settings().kafka_principal.replace("{service}", service)


async def apply_acls(kafka: KafkaAccess, acls: Iterable[Acl] | None = None) -> tuple[int, int]:
    """Add the ACLs (by default all declared) that are missing, and remove our other ones.

    Ours are those of our principals whose names begin with the prefix of the topics. Returns how
    many were added and removed. Raises `Refused` if the brokers have no authorizer or do not let
    this user do it.
    """
    client = AIOKafkaClient(**kafka.client_options())
    await client.bootstrap()
    try:
        wanted = {_row(one) for one in (declared() if acls is None else acls)}
        found = await _ours(client)
        if missing := sorted(wanted - found):
            answer = await _ask(client, _Create(missing))
            _raise_first((code, text) for code, text in answer.creation_responses)
        # Other installations with these principals have the same ACLs of the cluster.
        common = {_row(one) for one in declared() if one.kind is Kind.CLUSTER}
        if surplus := sorted(found - wanted - common):
            answer = await _ask(client, _Delete(surplus))
            _raise_first((one[0], one[1]) for one in answer.filter_responses)
        # The answer comes before the broker goes by it: who starts now would still be denied.
        until = time.monotonic() + EFFECT_SECONDS
        while (missing or surplus) and time.monotonic() < until:
            if await _ours(client) == found.union(missing).difference(surplus):
                break
            await asyncio.sleep(EFFECT_POLL_SECONDS)
        return len(missing), len(surplus)
    finally:
        await client.close()


def _row(acl: Acl) -> Row:
    return (
        int(acl.kind),
        acl.full_name,
        int(acl.pattern),
        principal(acl.service),
        ANY_HOST,
        int(acl.operation),
        ALLOW,
    )


async def _ours(client: AIOKafkaClient) -> set[Row]:
    """What a broker goes by now, of our principals and the topics' prefix."""
    answer = await _ask(client, _Describe())
    _raise_first([(answer.error_code, answer.error_message)])
    ours, prefix = {principal(service) for service in PRINCIPALS}, settings().topic_prefix
    return {
        (kind, name, pattern, who, host, operation, permission)
        for kind, name, pattern, acls in answer.resources
        for who, host, operation, permission in acls
        if who in ours and (kind == Kind.CLUSTER or name.startswith(prefix))
    }


async def _ask(client: AIOKafkaClient, request: Any) -> Any:
    return await client.send(client.get_random_node(), request)


def _raise_first(results: Iterable[tuple[int, str | None]]) -> None:
    for code, text in results:
        if code:
            error = for_code(code)
            if error.__name__ == NO_AUTHORIZER:
                raise Refused(
                    "kafka-without-authorizer",
                    "The brokers have no authorizer, so they keep no ACLs.",
                    "Set authorizer.class.name on every broker, or leave --acl out.",
                )
            raise Refused(
                "acls-refused",
                f"Kafka did not change the ACLs: {text or error.__name__}.",
                "Run it with BACKOFFICE_KAFKA_USER set to a user that may alter the cluster.",
            )


class _Create(Request[CreateAclsRequest_v1]):  # type: ignore[misc]
    """aiokafka's own request makes one ACL only."""

    API_KEY = CreateAclsRequest_v1.API_KEY

    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows

    def build(self, struct: type[RequestStruct]) -> RequestStruct:
        return struct(self._rows)


class _Delete(Request[DeleteAclsRequest_v1]):  # type: ignore[misc]
    """The same for removal: each row is a filter that matches that one ACL."""

    API_KEY = DeleteAclsRequest_v1.API_KEY

    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows

    def build(self, struct: type[RequestStruct]) -> RequestStruct:
        return struct(self._rows)


class _Describe(Request[DescribeAclsRequest_v1]):  # type: ignore[misc]
    """Every ACL that there is."""

    API_KEY = DescribeAclsRequest_v1.API_KEY

    def build(self, struct: type[RequestStruct]) -> RequestStruct:
        return struct(ANY, None, ANY, None, None, ANY, ANY)
