"""New revisions of timesheets, placements, charges and the retainers of requirements.

The records of a poll are reduced to what is new, and each document is priced once, from its newest
state. A repeat changes nothing. The same revision with other values is rejected as a conflict. An
older revision is stored, and priced only if it changes which revision is in force.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.engagements.rules import PlacedEngagement
from services.fee_realizer.engagements.store import save_placed
from services.fee_realizer.requirements import handlers as requirements
from services.fee_realizer.sources.handlers.personal_data import redacted
from services.fee_realizer.sources.handlers.pricing import (
    MODELS,
    NEW_REVISION,
    PricingJob,
    SourceEvent,
    check_locked,
    named_facts,
    price,
)
from services.fee_realizer.sources.rules.occurrences import Occurrence
from services.fee_realizer.sources.rules.revisions import (
    RevisionMark,
    invalid_adjustment,
    revision_in_force,
)
from services.fee_realizer.sources.store import documents, workers
from services.fee_realizer.sources.store.documents import (
    FACT_KINDS,
    DocumentHead,
    FactRow,
    NamedFacts,
    SourceRevision,
)
from services.fee_realizer.sources.store.facts import lock_facts
from services.fee_realizer.sources.store.retainers import queue_retained
from services.fee_realizer.sources.store.workers import NamedWorker
from shared import faults
from shared.consumer.records import Applied, Received, Record, Rejection, Tombstone
from shared.events.ats import (
    ChargeAdded,
    PlacementCreated,
    RequirementChanged,
    TimesheetApproved,
)


@dataclass(frozen=True, slots=True)
class ReceivedRevision:
    """A received revision, the document that it belongs to, and the facts that it names."""

    document_id: str
    mark: RevisionMark
    event: SourceEvent
    record: Record
    facts: NamedFacts

    @property
    def key(self) -> SourceRevision:
        """The key by which a repeat is recognized."""
        return self.document_id, self.mark.source_id, self.mark.revision


async def on_timesheet_approved(
    connection: AsyncConnection, received: Sequence[Received[TimesheetApproved]]
) -> Applied:
    """Apply timesheets; an adjustment belongs to the original that it names."""
    revisions, rejected = [], []
    for event, record in await redacted(connection, received):
        source_id, workflow = event.timesheet_id, event.workflow
        if event.adjusts == source_id:
            message = (
                f"timesheet {source_id} adjusts itself: name the original,"
                " or leave adjusts out and send a higher revision"
            )
            rejected.append((record, Rejection("adjusts_itself", message)))
            continue
        approved_at = workflow.approved_at if workflow else None
        approved = workflow is None or approved_at is not None
        mark = RevisionMark(source_id, event.revision, approved, approved_at)
        requirement_ids = frozenset(
            entry.requirement_id for entry in event.entries if entry.is_billed
        )
        revisions.append(
            ReceivedRevision(
                event.adjusts or source_id, mark, event, record, NamedFacts(requirement_ids)
            )
        )
    applied = await _apply(connection, "timesheet", revisions)
    applied.rejected += rejected
    return applied


async def on_placement_created(
    connection: AsyncConnection, received: Sequence[Received[PlacementCreated]]
) -> Applied:
    """Apply placements; a placement is its own document."""
    revisions = [
        ReceivedRevision(
            event.placement_id,
            RevisionMark(event.placement_id, event.revision),
            event,
            record,
            NamedFacts(
                frozenset([event.requirement_id] if event.fees else []),
                frozenset(fee.item_id for fee in event.fees),
            ),
        )
        for event, record in await redacted(connection, received)
    ]
    return await _apply(connection, "placement", revisions)


async def on_charge_added(
    connection: AsyncConnection, received: Sequence[Received[ChargeAdded]]
) -> Applied:
    """Apply charges; a charge is its own document."""
    revisions = [
        ReceivedRevision(
            event.charge_id,
            RevisionMark(event.charge_id, event.revision),
            event,
            record,
            NamedFacts(
                item_ids=frozenset([event.item_id]), company_ids=frozenset([event.billing_company])
            ),
        )
        for event, record in await redacted(connection, received)
    ]
    return await _apply(connection, "charge", revisions)


async def on_occurrences(
    connection: AsyncConnection, received: Sequence[Received[Occurrence]]
) -> Applied:
    """Apply occurrences of assignments; each is its own document."""
    revisions = [
        ReceivedRevision(
            event.document_id,
            RevisionMark(event.document_id, event.revision),
            event,
            record,
            NamedFacts(
                item_ids=frozenset([event.item_id]), company_ids=frozenset([event.billing_company])
            ),
        )
        for event, record in received
    ]
    return await _apply(connection, "assignment", revisions)


async def on_requirement_changed(
    connection: AsyncConnection, received: Sequence[Received[RequirementChanged | Tombstone]]
) -> Applied:
    """Apply requirements, and the retainer of each that has one, or had one in a revision before.

    A retainer is a document of its own, with the id of its requirement.
    """
    applied = await requirements.on_requirement_changed(connection, received)
    rejected = {id(record) for record, _ in applied.rejected}
    sent = [
        (one.event, one.record)
        for one in received
        if isinstance(one.event, RequirementChanged) and id(one.record) not in rejected
    ]
    ids = {event.requirement_id for event, _ in sent}
    known = await documents.heads_for(connection, "retainer", ids, lock=False)
    with_retainer = known.keys() | {event.requirement_id for event, _ in sent if event.retainer}
    revisions = [
        ReceivedRevision(
            event.requirement_id,
            RevisionMark(event.requirement_id, event.revision),
            event,
            record,
            NamedFacts(
                frozenset([event.requirement_id]),
                frozenset([event.retainer.item_id] if event.retainer else []),
            ),
        )
        for event, record in sent
        if event.requirement_id in with_retainer
    ]
    if revisions:
        of_retainers = await _apply(connection, "retainer", revisions)
        applied.publish_now += of_retainers.publish_now
        applied.prebuilt |= of_retainers.prebuilt
        applied.jobs_due |= of_retainers.jobs_due
    return applied


async def _apply(
    connection: AsyncConnection, kind: str, received: Sequence[ReceivedRevision]
) -> Applied:
    """Lock facts, then documents; keep what is new; price; save."""
    ids = {one.document_id for one in received} | {one.mark.source_id for one in received}
    seen = await documents.heads_for(connection, kind, ids, lock=False)
    placements = [one.event for one in received if isinstance(one.event, PlacementCreated)]
    of_placements = NamedFacts(frozenset(each.requirement_id for each in placements))
    named = named_facts(
        [*(head.facts for head in seen.values()), *(one.facts for one in received), of_placements]
    )
    facts = await lock_facts(connection, named, exclusive=bool(placements))
    heads = await documents.heads_for(connection, kind, seen, lock=True)
    check_locked(heads.values(), facts)
    await faults.point("after_locks")
    marks = await documents.marks_for(connection, kind, list(heads))
    applied = Applied()
    new, adjusted = await _new_revisions(connection, kind, received, heads, marks, applied.rejected)
    if not new:
        return applied
    changed = {
        document_id: heads.get(document_id) or DocumentHead(kind, document_id)
        for document_id in dict.fromkeys(one.document_id for one in new)
    }
    fact_rows = _add_facts(changed, new)
    jobs = _pricing_jobs(changed, new, marks)
    timesheets_due = await save_placed(connection, _placed(jobs), "placement-created")
    if kind == "retainer":  # its placements are priced first: what they give back is part of it
        queued, jobs = [job.head.document_id for job in jobs], []
    output = await price(connection, kind, facts, jobs)
    stored = [(kind, one.document_id, one.mark, (one.record.value or b"").decode()) for one in new]
    # A stub head for each new adjustment is the lock by which it can never become an original.
    stubs = [DocumentHead(kind, source_id) for source_id in adjusted if source_id not in heads]
    await documents.save(
        connection, [*changed.values(), *stubs], stored, fact_rows, output.realizations
    )
    await documents.add_adjustments(connection, adjusted)
    if kind == "retainer":
        keys = [(kind, document_id) for document_id in queued]
        output.jobs_due |= bool(await queue_retained(connection, (), keys, NEW_REVISION))
    await workers.save_names(connection, _named_workers(new))
    applied.publish_now, applied.prebuilt = output.publish_now, output.prebuilt
    applied.jobs_due = output.jobs_due or timesheets_due > 0
    return applied


def _placed(jobs: Iterable[PricingJob]) -> list[PlacedEngagement]:
    """Return the engagements of the placements among these documents."""
    return [
        PlacedEngagement(
            event.placement_id,
            event.requirement_id,
            event.worker_id,
            event.start_date,
            event.end_date,
            event.engagement_id or event.placement_id,
            event.engagement_id is not None,
        )
        for event in (job.event for job in jobs)
        if isinstance(event, PlacementCreated)
    ]


def _named_workers(revisions: Iterable[ReceivedRevision]) -> list[NamedWorker]:
    """Return the names of workers that these revisions have."""
    return [
        NamedWorker(event.worker_id, event.worker_name, day, event.revision, one.mark.source_id)
        for one in revisions
        if isinstance(event := one.event, TimesheetApproved | PlacementCreated)
        if event.worker_name
        for day in [event.start_date if isinstance(event, PlacementCreated) else event.week_ending]
    ]


async def _new_revisions(
    connection: AsyncConnection,
    kind: str,
    received: Sequence[ReceivedRevision],
    heads: Mapping[str, DocumentHead],
    marks: Mapping[str, list[RevisionMark]],
    rejected: list[tuple[Record, Rejection]],
) -> tuple[list[ReceivedRevision], dict[str, str]]:
    """Return new revisions in their order, and the originals of new adjustments.

    Repeats are left out; conflicts are added to `rejected`.
    """
    stored = {
        (document_id, mark.source_id, mark.revision)
        for document_id, of_document in marks.items()
        for mark in of_document
    }
    bodies = await documents.bodies_for(connection, kind, {one.key for one in received} & stored)
    known: dict[SourceRevision, Any] = {
        key: MODELS[kind].model_validate_json(body) for key, body in bodies.items()
    }
    maybe_adjustments = {
        source_id
        for one in received
        if one.mark.source_id != one.document_id
        for source_id in (one.document_id, one.mark.source_id)
    } | {
        document_id
        for document_id, head in heads.items()
        if head.revision == documents.STUB_REVISION
    }
    original_of: dict[str, str] = {}
    if kind == "timesheet":
        original_of = await documents.originals_of(connection, maybe_adjustments)
    originals = {document_id for document_id, of_document in marks.items() if of_document}
    new: list[ReceivedRevision] = []
    adjusted: dict[str, str] = {}
    for one in received:
        source_id = one.mark.source_id
        if one.key in known:
            if known[one.key] != one.event:
                message = (
                    f"{kind} {source_id} revision {one.mark.revision} was received with other"
                    " values: send the change as a higher revision"
                )
                rejected.append((one.record, Rejection("conflict", message)))
            continue
        invalid = invalid_adjustment(one.document_id, source_id, original_of, originals)
        if invalid is not None:
            rejected.append((one.record, Rejection(*invalid)))
            continue
        known[one.key] = one.event
        originals.add(one.document_id)
        if source_id != one.document_id and source_id not in original_of:
            original_of[source_id] = adjusted[source_id] = one.document_id
        new.append(one)
    return new, adjusted


def _add_facts(
    heads: Mapping[str, DocumentHead], revisions: Iterable[ReceivedRevision]
) -> list[FactRow]:
    """Add newly named facts to the heads; return the rows that find a fact's documents."""
    found: set[FactRow] = set()
    for one in revisions:
        head = heads[one.document_id]
        for kind, named, before in zip(FACT_KINDS, one.facts, head.facts, strict=True):
            found.update(
                (kind, fact_id, head.document_kind, head.document_id) for fact_id in named - before
            )
        head.facts = head.facts.with_those_of(one.facts)
        engagement_id = getattr(one.event, "engagement_id", None)
        if engagement_id is not None and head.document_kind == "timesheet":
            found.add(("engagement", engagement_id, head.document_kind, head.document_id))
    return sorted(found)


def _pricing_jobs(
    heads: Mapping[str, DocumentHead],
    revisions: Sequence[ReceivedRevision],
    marks: Mapping[str, list[RevisionMark]],
) -> list[PricingJob]:
    """Return one job for each document with another revision in force; set it in the head."""
    by_document: dict[str, list[ReceivedRevision]] = {}
    for one in revisions:
        by_document.setdefault(one.document_id, []).append(one)
    jobs = []
    for document_id, received in by_document.items():
        head = heads[document_id]
        new_marks = [one.mark for one in received]
        mark = revision_in_force(document_id, [*marks.get(document_id, ()), *new_marks])
        if mark is None or (mark.source_id, mark.revision) == (head.source_id, head.revision):
            continue
        head.source_id, head.revision = mark.source_id, mark.revision
        event = next((one.event for one in received if one.mark == mark), None)
        jobs.append(PricingJob(head, NEW_REVISION, event))
    return jobs
