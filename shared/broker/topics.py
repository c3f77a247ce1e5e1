"""Every topic in the order of the flow: partitions, retention, compaction.

`python -m shared.broker.topics` creates the missing ones.
"""

import asyncio
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError

from shared.events.field_types import MESSAGE_BYTES
from shared.settings import settings

DAY_MS = 24 * 60 * 60 * 1000
FOREVER_MS = -1


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it is created.

    A `retention_ms` of -1 keeps records for ever; a compacted topic keeps the newest of each key.
    """

    name: str
    key: str
    description: str
    compacted: bool = False
    retention_ms: int = 90 * DAY_MS
    partitions: int | None = None

    @property
    def documentation(self) -> str:
        """Content, key and retention, for the AsyncAPI document."""
        kept = "compacted, kept for ever" if self.compacted else "kept 90 days"
        return f"{self.description[0].upper()}{self.description[1:]}. Key: {self.key}; {kept}."

    @property
    def config(self) -> dict[str, str]:
        """Topic settings for Kafka."""
        return {
            "cleanup.policy": "compact" if self.compacted else "delete",
            "retention.ms": str(FOREVER_MS if self.compacted else self.retention_ms),
            "max.message.bytes": str(MESSAGE_BYTES + 100_000),
        }


REQUIREMENT_CHANGED = Topic(
    "requirement-changed", "requirement", "a requirement, whole", compacted=True
)
BILLTO_CHANGED = Topic(
    "billto-changed", "node", "a node of the billto hierarchy, whole", compacted=True
)
TIMESHEET_APPROVED = Topic("timesheet-approved", "original timesheet", "a timesheet, whole")
PLACEMENT_CREATED = Topic("placement-created", "placement", "a placement, whole")
OPERATOR_COMMANDS = Topic(
    "operator-commands", "billing company, else the owning service", "what operators ask for"
)
COMMAND_RESULTS = Topic("command-results", "command id", "the answers")
PAY_LINES_REALIZED = Topic(
    "pay-lines-realized", "original document", "what a document is worth, statement by statement"
)
DOCUMENT_HELD = Topic("document-held", "original document", "a document waits")
DOCUMENT_RELEASED = Topic("document-released", "original document", "a document waits no more")
PAY_LINE_DUE = Topic("pay-line-due", "pay line", "the day of a scheduled line has come")
BATCH_GENERATED = Topic("batch-generated", "billing company", "a batch is closed")
INVOICE_CLOSED = Topic(
    "invoice-closed", "Account Name", "a document is closed and ready for delivery"
)
AR_DOCUMENT_POSTED = Topic(
    "ar-document-posted", "invoice", "a document stands in an accounting system"
)
AR_DOCUMENT_REFUSED = Topic(
    "ar-document-refused", "invoice", "a document does not go out by itself"
)
PAYMENT_RECORDED = Topic(
    "payment-recorded", "invoice", "an accounting system booked money against a document"
)
LEDGER_DRIFT_FOUND = Topic(
    "ledger-drift-found", "invoice", "an accounting system differs from our books"
)

FLOW: tuple[Topic, ...] = (
    REQUIREMENT_CHANGED,
    BILLTO_CHANGED,
    TIMESHEET_APPROVED,
    PLACEMENT_CREATED,
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
    "fee_realizer": (REQUIREMENT_CHANGED, TIMESHEET_APPROVED, PLACEMENT_CREATED, OPERATOR_COMMANDS),
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


def dead_letter_topic(topic: str, service: str) -> str:
    """Name, without prefix, of the topic for records of `topic` that a service could not read."""
    return f"{topic}.{service}.dead-letter"


def all_topics() -> list[Topic]:
    """The flow, then a dead-letter topic for each topic and service that hears it."""
    letters = [
        Topic(
            dead_letter_topic(topic.name, service),
            "as the original",
            "ids and reason of an unreadable record",
            partitions=1,
        )
        for service, topics in CONSUMED.items()
        for topic in topics
    ]
    return [*FLOW, *letters]


def full_name(topic: str) -> str:
    """The topic's name with the configured prefix."""
    return settings().topic_prefix + topic


def group_name(service: str, topic: str) -> str:
    """The consumer group of a service on a topic."""
    return f"{settings().topic_prefix}{service}.{topic}"


async def create_topics(bootstrap: str, partitions: int | None = None) -> list[str]:
    """Creates the topics that are missing; the names of those it made."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        there = set(await admin.list_topics())
        missing = [topic for topic in all_topics() if full_name(topic.name) not in there]
        new = [
            NewTopic(
                full_name(topic.name),
                topic.partitions or partitions or settings().partitions,
                1,
                topic_configs=topic.config,
            )
            for topic in missing
        ]
        if new:
            try:
                await admin.create_topics(new)
            except TopicAlreadyExistsError:
                return []
        return [topic.name for topic in missing]
    finally:
        await admin.close()


def main() -> None:
    """Entry point."""
    made = asyncio.run(create_topics(settings().kafka))
    print(f"{len(made)} topics created, {len(all_topics()) - len(made)} were there")


if __name__ == "__main__":
    main()
