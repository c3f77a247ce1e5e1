"""What fee_realizer keeps of a worker beyond his id: the stored bodies of his documents.

The ATS may send more fields than the messages have (e-mail, telephone): they are kept in the stored
body until the worker is forgotten, as are his name and the approvers of his timesheets. What prices
his documents stays, because corrections and the law need it.
"""

from collections.abc import Sequence
from typing import Any, TypeVar, cast

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.sources.handlers.pricing import MODELS, SourceEvent
from services.fee_realizer.sources.store import documents, workers
from shared.consumer.forgetting import forgotten_among, names_worker
from shared.consumer.records import Received
from shared.events.ats import PlacementCreated, TimesheetApproved
from shared.events.commands import ForgetWorker

Event = TypeVar("Event", bound=SourceEvent)
NAME = "fee_realizer"


async def redacted(
    connection: AsyncConnection, received: Sequence[Received[Event]]
) -> list[Received[Event]]:
    """Return the records, those of forgotten workers without what was removed of them.

    A charge has no field for a worker: it is one of his if it names him in any field.
    """
    ids = {worker_id for one in received if (worker_id := getattr(one.event, "worker_id", ""))}
    workers = await forgotten_among(connection, NAME, ids or None)
    if not workers:
        return list(received)
    return [_reduced(one) if _is_of(one, workers) else one for one in received]


def _is_of(one: Received[Event], workers: frozenset[str]) -> bool:
    if isinstance(one.event, TimesheetApproved | PlacementCreated):
        return one.event.worker_id in workers
    return names_worker(one.record.value, workers)


def _reduced(one: Received[Event]) -> Received[Event]:
    event = without_personal_data(one.event)
    return Received(event, one.record._replace(value=_body(event)))


def without_personal_data(event: Event) -> Event:
    """Return the event without names of people and the text in which people write of a person."""
    removed: dict[str, Any] = {}
    if isinstance(event, PlacementCreated):
        removed = {"worker_name": "", "end_reason": ""}
    elif isinstance(event, TimesheetApproved):
        workflow = event.workflow and event.workflow.model_copy(update={"approved_by": ""})
        removed = {"worker_name": "", "workflow": workflow}
    given = {name: value for name, value in removed.items() if name in event.model_fields_set}
    return cast(Event, event.model_copy(update=given))


async def forget_worker(connection: AsyncConnection, command: ForgetWorker) -> dict[str, int]:
    """Reduce the stored bodies of the worker's documents to the fields of the messages; remove his
    name.
    """
    changed = []
    for kind, key, body in await documents.bodies_of_worker(connection, command.worker_id):
        event = without_personal_data(MODELS[kind].model_validate_json(body))
        changed.append((kind, *key, _body(event).decode()))
    await documents.replace_bodies(connection, changed)
    names = await workers.remove_name(connection, command.worker_id)
    return {"revisions": len(changed), "names": names}


def _body(event: SourceEvent) -> bytes:
    """The fields of the message that were given, and no other."""
    return event.model_dump_json(exclude_unset=True).encode()
