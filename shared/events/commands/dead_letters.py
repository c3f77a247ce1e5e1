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


class Republish(Command):
    """Publish the messages about a document, or since a date, again."""

    command: Literal["republish"] = "republish"
    service: ServiceName
    document_kind: DocumentKind | None = None
    document_id: Identifier | None = None
    since: Day | None = None
