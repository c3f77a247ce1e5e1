"""Commands about dead letters, and republishing."""

from typing import Literal

from shared.events.commands.base import Command, ServiceName
from shared.events.field_types import Day, Identifier
from shared.terms import DocumentKind


class ReplayDeadLetter(Command):
    """Process a dead letter again, unchanged or corrected (`value`, the whole JSON text)."""

    command: Literal["replay-dead-letter"] = "replay-dead-letter"
    service: ServiceName
    dead_letter_id: int
    value: str | None = None


class DiscardDeadLetter(Command):
    """Discard a dead letter for good; needs a reason."""

    command: Literal["discard-dead-letter"] = "discard-dead-letter"
    service: ServiceName
    dead_letter_id: int


class SkipRecords(Command):
    """Read a stopped partition on at `to_offset`; the records before it have no effect.

    Needs a reason.
    """

    command: Literal["skip-records"] = "skip-records"
    service: ServiceName
    topic: Identifier
    partition: int
    to_offset: int


class ResumeConsumer(Command):
    """Read all stopped partitions of a topic again where they stopped; needs a reason.

    Unreadable records that are there now become dead letters.
    """

    command: Literal["resume-consumer"] = "resume-consumer"
    service: ServiceName
    topic: Identifier


class Republish(Command):
    """Publish the messages about a document, or since a date, again."""

    command: Literal["republish"] = "republish"
    service: ServiceName
    document_kind: DocumentKind | None = None
    document_id: Identifier | None = None
    since: Day | None = None
