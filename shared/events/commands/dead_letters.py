"""What is done with what was not read, and what is said again."""

from typing import Literal

from shared.events.commands.base import Command, ServiceName
from shared.events.field_types import Day, Identifier
from shared.terms import DocumentKind


class ReplayDeadLetter(Command):
    """Reads a dead letter again, as it was or fixed (`value`, the whole JSON text)."""

    command: Literal["replay-dead-letter"] = "replay-dead-letter"
    service: ServiceName
    dead_letter_id: int
    value: str | None = None


class DiscardDeadLetter(Command):
    """Sets a dead letter aside for good; needs a reason."""

    command: Literal["discard-dead-letter"] = "discard-dead-letter"
    service: ServiceName
    dead_letter_id: int


class Republish(Command):
    """Says again what was said of a document, or since a date."""

    command: Literal["republish"] = "republish"
    service: ServiceName
    document_kind: DocumentKind | None = None
    document_id: Identifier | None = None
    since: Day | None = None
