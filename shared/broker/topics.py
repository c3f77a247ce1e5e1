"""Every topic in the order of the flow: partitions, retention, compaction.

`python -m shared.broker.topics` creates the missing ones; with `--acl` it also applies the ACLs
that `shared.broker.acls` declares.
"""

import asyncio
import sys
from argparse import ArgumentParser
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import NoError, TopicAlreadyExistsError, for_code

from shared.broker.security import KafkaAccess, kafka_access
from shared.errors import Refused
from shared.events.field_types import MESSAGE_BYTES
from shared.settings import settings

DAY_MS = 24 * 60 * 60 * 1000
FOREVER_MS = -1
TIMESTAMP, BROKER_TIME = "message.timestamp.type", "LogAppendTime"
OF_THE_TOPIC = 1
"""Kafka's code of a setting that the topic itself has."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it is created.

    A `retention_ms` of -1 keeps records forever; a compacted topic keeps the newest of each key.
    Records of a topic with `broker_time` have the time at which the broker appended them, not the
    one that their producer wrote.
    """

    name: str
    key: str
    description: str
    compacted: bool = False
    retention_ms: int = 90 * DAY_MS
    partitions: int | None = None
    broker_time: bool = False

    @property
    def documentation(self) -> str:
        """Content, key and retention, for the AsyncAPI document."""
        kept = "compacted, kept forever" if self.compacted else "kept 90 days"
        return f"{self.description[0].upper()}{self.description[1:]}. Key: {self.key}; {kept}."

    @property
    def config(self) -> dict[str, str]:
        """Topic settings for Kafka."""
        appended = {TIMESTAMP: BROKER_TIME} if self.broker_time else {}
        return {
            **appended,
            "cleanup.policy": "compact" if self.compacted else "delete",
            "retention.ms": str(FOREVER_MS if self.compacted else self.retention_ms),
            "max.message.bytes": str(MESSAGE_BYTES + 100_000),
        }


REQUIREMENT_CHANGED = Topic(
    "requirement-changed", "requirement", "the complete state of a requirement", compacted=True
)
BILLTO_CHANGED = Topic(
    "billto-changed",
    "node",
    "the complete state of a node of the billto hierarchy",
    compacted=True,
)
TIMESHEET_APPROVED = Topic(
    "timesheet-approved", "original timesheet", "a complete revision of a timesheet"
)
PLACEMENT_CREATED = Topic("placement-created", "placement", "the complete state of a placement")
CHARGE_ADDED = Topic("charge-added", "charge", "the complete state of a charge")
ENGAGEMENT_CHANGED = Topic(
    "engagement-changed", "engagement", "the complete state of an engagement", compacted=True
)
SUPPLIER_CHANGED = Topic(
    "supplier-changed", "supplier", "the complete state of a supplier", compacted=True
)
OPERATOR_COMMANDS = Topic(
    "operator-commands",
    "billing company, or the owning service if there is none",
    "commands of operators",
    # A command expires by this time: its sender must not be able to choose it.
    broker_time=True,
)
COMMAND_RESULTS = Topic("command-results", "command id", "results of commands")
PAY_LINES_REALIZED = Topic(
    "pay-lines-realized",
    "original document",
    "realizations: the pay lines that a source document is worth",
)
DOCUMENT_HELD = Topic(
    "document-held", "original document", "a source document that is held, and the reason"
)
DOCUMENT_RELEASED = Topic(
    "document-released", "original document", "a source document that is no longer held"
)
PAY_LINE_DUE = Topic("pay-line-due", "pay line", "a scheduled pay line whose date has come")
BATCH_GENERATED = Topic("batch-generated", "billing company", "a closed batch")
INVOICE_CLOSED = Topic(
    "invoice-closed", "Account Name", "a closed document that is ready for delivery"
)
AR_DOCUMENT_POSTED = Topic(
    "ar-document-posted", "invoice", "a document that was posted to an accounting system"
)
AR_DOCUMENT_REFUSED = Topic(
    "ar-document-refused", "invoice", "a document that cannot be delivered without an operator"
)
PAYMENT_RECORDED = Topic(
    "payment-recorded", "invoice", "a payment that an accounting system applied to a document"
)
LEDGER_DRIFT_FOUND = Topic(
    "ledger-drift-found", "invoice", "a difference between an accounting system and our documents"
)

FLOW: tuple[Topic, ...] = (
    REQUIREMENT_CHANGED,
    BILLTO_CHANGED,
    TIMESHEET_APPROVED,
    PLACEMENT_CREATED,
    CHARGE_ADDED,
    ENGAGEMENT_CHANGED,
    SUPPLIER_CHANGED,
    OPERATOR_COMMANDS,
    COMMAND_RESULTS,
    PAY_LINES_REALIZED,
    DOCUMENT_HELD,
    DOCUMENT_RELEASED,
    PAY_LINE_DUE,
    BATCH_GENERATED,
    INVOICE_CLOSED,
    AR_DOCUMENT_POSTED,
    AR_DOCUMENT_REFUSED,
    PAYMENT_RECORDED,
    LEDGER_DRIFT_FOUND,
)
CONSUMED: dict[str, tuple[Topic, ...]] = {
    "fee_realizer": (
        REQUIREMENT_CHANGED,
        TIMESHEET_APPROVED,
        PLACEMENT_CREATED,
        CHARGE_ADDED,
        ENGAGEMENT_CHANGED,
        SUPPLIER_CHANGED,
        OPERATOR_COMMANDS,
    ),
    "invoicer": (BILLTO_CHANGED, PAY_LINES_REALIZED, PAYMENT_RECORDED, OPERATOR_COMMANDS),
    "scheduler": (OPERATOR_COMMANDS,),
    "arg_sync": (BATCH_GENERATED, INVOICE_CLOSED, OPERATOR_COMMANDS),
}
PUBLISHED: dict[str, tuple[Topic, ...]] = {
    "fee_realizer": (COMMAND_RESULTS, PAY_LINES_REALIZED, DOCUMENT_HELD, DOCUMENT_RELEASED),
    "invoicer": (COMMAND_RESULTS, BATCH_GENERATED, INVOICE_CLOSED),
    "scheduler": (COMMAND_RESULTS, PAY_LINE_DUE),
    "arg_sync": (
        COMMAND_RESULTS,
        AR_DOCUMENT_POSTED,
        AR_DOCUMENT_REFUSED,
        PAYMENT_RECORDED,
        LEDGER_DRIFT_FOUND,
    ),
}
ATS = tuple(
    topic
    for topic in FLOW
    if topic is not OPERATOR_COMMANDS and not any(topic in of for of in PUBLISHED.values())
)
"""The topics that an ATS publishes: no service does."""


def dead_letter_topic(topic: str, service: str) -> str:
    """Name, without prefix, of the topic for records of `topic` that a service rejects."""
    return f"{topic}.{service}.dead-letter"


def all_topics() -> list[Topic]:
    """The topics of the flow, then a dead-letter topic for each topic and its consumer."""
    dead_letters = [
        Topic(
            dead_letter_topic(topic.name, service),
            "the original",
            "the position of a rejected record, and the reason",
            partitions=1,
        )
        for service, topics in CONSUMED.items()
        for topic in topics
    ]
    return [*FLOW, *dead_letters]


def full_name(topic: str) -> str:
    """The topic's name with the configured prefix."""
    return settings().topic_prefix + topic


def group_name(service: str, topic: str) -> str:
    """The consumer group of a service on a topic."""
    return f"{settings().topic_prefix}{service}.{topic}"


async def create_topics(kafka: KafkaAccess, partitions: int | None = None) -> list[str]:
    """Create the missing topics and return their names.

    The others stay as they are, but for the broker's time where it is needed.
    """
    admin = AIOKafkaAdminClient(**kafka.client_options())
    await admin.start()
    try:
        existing = set(await admin.list_topics())
        missing = [topic for topic in all_topics() if full_name(topic.name) not in existing]
        if missing:
            answer = await admin.create_topics(
                [
                    NewTopic(
                        full_name(topic.name),
                        topic.partitions or partitions or settings().partitions,
                        1,
                        topic_configs=topic.config,
                    )
                    for topic in missing
                ]
            )
            _raise_if_refused(answer)
        for topic in FLOW:
            if topic.broker_time and topic not in missing:
                await _use_broker_time(admin, full_name(topic.name))
        return [topic.name for topic in missing]
    finally:
        await admin.close()


def _raise_if_refused(answer: Any) -> None:
    for name, code, message in answer.topic_errors:
        # Another process may make them at the same time.
        if code not in (NoError.errno, TopicAlreadyExistsError.errno):
            raise Refused(
                "topic-refused",
                f"Kafka did not make the topic {name}: {message or for_code(code).__name__}",
                "Run it as a user that may create topics, or make the topic yourself.",
            )


async def _use_broker_time(admin: AIOKafkaAdminClient, name: str) -> None:
    """Set the broker's time on a topic that was made without it; its other settings stay."""
    (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    code, entries = answer.resources[0][0], answer.resources[0][4]
    own = {entry[0]: entry[1] for entry in entries if entry[3] == OF_THE_TOPIC}
    if not code and own.get(TIMESTAMP) != BROKER_TIME:
        configs = own | {TIMESTAMP: BROKER_TIME}
        changed = ConfigResource(ConfigResourceType.TOPIC, name, configs=configs)
        (answer,) = await admin.alter_configs([changed])
        code = answer.resources[0][0]
    if code:
        raise Refused(
            "topic-time",
            f"The topic {name} must have {TIMESTAMP}={BROKER_TIME}; Kafka does not let this user"
            f" look or set it ({for_code(code).__name__}).",
            "Set it, or run this as a user that may alter the topic.",
        )


def main() -> int:
    """Entry point; returns the exit code."""
    parser = ArgumentParser(prog="python -m shared.broker.topics")
    parser.add_argument("--acl", action="store_true", help="also apply the declared ACLs")
    asked = parser.parse_args()
    try:
        created = asyncio.run(create_topics(kafka_access()))
        print(f"{len(created)} topics created, {len(all_topics()) - len(created)} existed already")
        if asked.acl:
            from shared.broker.acls import apply_acls

            added, removed = asyncio.run(apply_acls(kafka_access()))
            print(f"{added} ACLs added, {removed} removed")
    except Refused as error:
        print(f"{error.message} {error.fix}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
