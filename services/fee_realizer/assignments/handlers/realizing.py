"""The background job that makes the occurrences of assignments, ahead and once each.

Each occurrence is a document, and each change of it a revision, which pricing, settlement and
batches treat as those of any other source.
"""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.assignments import store
from services.fee_realizer.assignments.rules import (
    HORIZON_DAYS,
    Change,
    Version,
    changes,
    first_dates,
)
from services.fee_realizer.assignments.store import Assignment
from services.fee_realizer.sources.handlers.arrivals import on_occurrences
from services.fee_realizer.sources.rules.facts import compact_json
from services.fee_realizer.sources.rules.occurrences import Occurrence
from shared.broker.topics import OPERATOR_COMMANDS
from shared.consumer.records import Applied, Received, Record

ASSIGNMENTS_AT_ONCE = 100
OCCURRENCES_AT_ONCE = 500
NOT_FROM_KAFKA = -1


async def realize_occurrences(connection: AsyncConnection) -> Applied:
    """Background job: make the occurrences that are due within the horizon, once each.

    What a version changed is revised, and what is no longer due is withdrawn.
    """
    ids = await store.due_assignments(connection, HORIZON_DAYS, ASSIGNMENTS_AT_ONCE)
    if not ids:
        return Applied()
    locked = await store.lock_assignments(connection, ids)
    today = await store.watermarks(connection, {one.billing_company for one in locked})
    versions = await store.versions_of(connection, ids)
    existing = await store.occurrences_of(connection, ids)
    made: list[Occurrence] = []
    complete = True
    for assignment in locked:
        assignment_id = assignment.assignment_id
        until = today[assignment.billing_company] + timedelta(days=HORIZON_DAYS)
        of_assignment = versions[assignment_id]
        found = changes(of_assignment, existing.get(assignment_id, {}), until)
        room = OCCURRENCES_AT_ONCE - len(made)
        made += [occurrence_of(assignment, change, of_assignment) for change in found[:room]]
        if len(found) > room:
            complete = False
            break
        next_due = next(iter(first_dates(of_assignment, until, 1)), None)
        await store.save_progress(connection, assignment_id, assignment.version, next_due)
    applied = await add_occurrences(connection, made)
    applied.jobs_due = not complete or len(ids) == ASSIGNMENTS_AT_ONCE
    return applied


def occurrence_of(
    assignment: Assignment, change: Change, versions: Sequence[Version]
) -> Occurrence:
    """Return the complete state of an occurrence; a withdrawn one has the last terms it had."""
    version = change.version
    if version is None:
        with_terms = [one for one in versions if one.terms is not None]
        earlier = [one for one in with_terms if one.from_date <= change.due_date]
        version = (earlier or with_terms)[-1]
    state = {
        **(version.terms or {}),
        "assignment_id": assignment.assignment_id,
        "revision": change.revision,
        "billing_company": assignment.billing_company,
        "due_date": change.due_date.isoformat(),
        "price_from": version.from_date.isoformat(),
        "set_by": version.actor,
        "withdrawn": change.version is None,
    }
    return Occurrence.model_validate_json(compact_json(state))


async def add_occurrences(
    connection: AsyncConnection, occurrences: Sequence[Occurrence]
) -> Applied:
    """Add revisions of occurrences as documents, under the locks of their assignments."""
    if not occurrences:
        return Applied()
    received = []
    for one in occurrences:
        key, value = one.document_id.encode(), one.model_dump_json(exclude_defaults=True).encode()
        record = Record(OPERATOR_COMMANDS.name, NOT_FROM_KAFKA, NOT_FROM_KAFKA, key, value)
        received.append(Received(one, record))
    applied = await on_occurrences(connection, received)
    await store.save_occurrences(
        connection,
        [(one.assignment_id, one.due_date, one.revision, one.withdrawn) for one in occurrences],
    )
    return applied
