"""What fee_realizer keeps of a worker beyond his id: the stored bodies of his documents.

The ATS may send more fields than the messages have (names, e-mail, telephone): they are kept in the
stored body until the worker is forgotten. What prices his documents stays, because corrections and
the law need it.
"""

from collections.abc import Sequence
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.sources.store import documents
from shared.consumer.forgetting import forgotten_among
from shared.consumer.records import Received
from shared.events.ats import PlacementCreated, TimesheetApproved
from shared.events.commands import ForgetWorker

Event = TypeVar("Event", TimesheetApproved, PlacementCreated)
NAME = "fee_realizer"


def without_personal_data(event: Event) -> Event:
    """Return the event without the text in which people write of a person."""
    if isinstance(event, PlacementCreated):
        return event.model_copy(update={"end_reason": ""})
    return event


async def redacted(
    connection: AsyncConnection, received: Sequence[Received[Event]]
) -> list[Received[Event]]:
    """Return the records, those of forgotten workers without what was removed of them."""
    workers = await forgotten_among(connection, NAME, {one.event.worker_id for one in received})
    if not workers:
        return list(received)
    return [
        Received(event := without_personal_data(one.event), one.record._replace(value=_body(event)))
        if one.event.worker_id in workers
        else one
        for one in received
    ]


async def forget_worker(connection: AsyncConnection, command: ForgetWorker) -> dict[str, int]:
    """Reduce the stored bodies of the worker's documents to the fields of the messages."""
    found = await documents.bodies_of_worker(connection, command.worker_id)
    changed = []
    for kind, key, body in found:
        event: TimesheetApproved | PlacementCreated
        if kind == "timesheet":
            event = without_personal_data(TimesheetApproved.model_validate_json(body))
        else:
            event = without_personal_data(PlacementCreated.model_validate_json(body))
        changed.append((kind, *key, _body(event).decode()))
    await documents.replace_bodies(connection, changed)
    return {"revisions": len(changed)}


def _body(event: TimesheetApproved | PlacementCreated) -> bytes:
    """The fields of the message that were given, and no other."""
    return event.model_dump_json(exclude_unset=True).encode()
