"""Commands about dead letters, republishing, and what is kept of a worker."""

from typing import Annotated, Literal

from pydantic import Field

from shared.events.commands.base import ServiceCommand
from shared.events.field_types import MESSAGE_BYTES, Day, Identifier, RowId
from shared.terms import DocumentKind


class ReplayDeadLetter(ServiceCommand):
    """Process a dead letter again, unchanged or corrected (`value`, the whole JSON text)."""

    command: Literal["replay-dead-letter"] = "replay-dead-letter"
    dead_letter_id: RowId
    value: Annotated[str, Field(max_length=MESSAGE_BYTES)] | None = None


class DiscardDeadLetter(ServiceCommand):
    """Discard a dead letter for good; needs a reason."""

    command: Literal["discard-dead-letter"] = "discard-dead-letter"
    dead_letter_id: RowId


class SkipRecords(ServiceCommand):
    """Read a stopped partition on at `to_offset`; the records before it have no effect.

    Needs a reason.
    """

    command: Literal["skip-records"] = "skip-records"
    topic: Identifier
    partition: RowId
    to_offset: RowId


class ResumeConsumer(ServiceCommand):
    """Read all stopped partitions of a topic again where they stopped; needs a reason.

    Unreadable records that are there now become dead letters.
    """

    command: Literal["resume-consumer"] = "resume-consumer"
    topic: Identifier


class ForgetWorker(ServiceCommand):
    """Remove what a service keeps of a worker beyond his id; needs a reason.

    Each service carries out its own: `backoffice forget worker` sends one to each.
    """

    command: Literal["forget-worker"] = "forget-worker"
    worker_id: Identifier


class Republish(ServiceCommand):
    """Publish the messages about a document, or since a date, again."""

    command: Literal["republish"] = "republish"
    document_kind: DocumentKind | None = None
    document_id: Identifier | None = None
    since: Day | None = None
