"""Timesheets and placements as they arrive: a batch is folded to what is new, and each document is priced once, from its newest state.

A repeat changes nothing. The same revision with other values is a conflict for the dead letters. An older revision is kept, and
priced only if it changes which sheet counts. Timesheets and placements differ in what names the document and which facts they name.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.handlers.pricing import Case, check_locked, named_facts, price
from services.fee_realizer.rules.sheets import RevisionMark, chosen, misplaced
from services.fee_realizer.store import documents
from services.fee_realizer.store.documents import FactRow, Head, NewRevision, RevisionKey
from services.fee_realizer.store.facts import lock_facts
from shared import faults
from shared.consumer.records import Applied, Received, Record, Rejection
from shared.events.ats import PlacementCreated, TimesheetApproved

REVISION_CAME = "revision"


@dataclass(frozen=True, slots=True)
class Sheet:
    """A revision that came, under the document that it belongs to, with the facts that it names."""

    document_id: str
    mark: RevisionMark
    event: TimesheetApproved | PlacementCreated
    record: Record
    requirement_ids: frozenset[str]
    item_ids: frozenset[str] = frozenset()

    @property
    def key(self) -> RevisionKey:
        """What makes it a repeat."""
        return self.document_id, self.mark.source_id, self.mark.revision

    @property
    def adjusts(self) -> bool:
        """Whether it is an adjustment of another sheet."""
        return self.mark.source_id != self.document_id


@dataclass
class Folded:
    """What is left of a batch: new revisions in order, and which adjustment belongs to which original."""

    new: list[Sheet] = field(default_factory=list)
    originals: dict[str, str] = field(default_factory=dict)
    rejected: list[tuple[Record, Rejection]] = field(default_factory=list)


async def on_timesheet_approved(
    connection: AsyncConnection, received: Sequence[Received[TimesheetApproved]]
) -> Applied:
    """Timesheets: an adjustment belongs to the original that it names, one level deep."""
    sheets, rejected = [], []
    for one in received:
        event = one.event
        if event.adjusts == event.timesheet_id:
            message = f"timesheet {event.timesheet_id} adjusts itself: name the original, or leave adjusts out and send a higher revision"
            rejected.append((one.record, Rejection("adjusts_itself", message)))
            continue
        stamp = event.workflow.approved_at if event.workflow else None
        mark = RevisionMark(
            event.timesheet_id, event.revision, event.workflow is None or stamp is not None, stamp
        )
        requirement_ids = frozenset(entry.requirement_id for entry in event.entries if entry.hours)
        sheets.append(
            Sheet(event.adjusts or event.timesheet_id, mark, event, one.record, requirement_ids)
        )
    applied = await _arrive(connection, "timesheet", sheets)
    applied.rejected += rejected
    return applied


async def on_placement_created(
    connection: AsyncConnection, received: Sequence[Received[PlacementCreated]]
) -> Applied:
    """Placements: a placement is its own document."""
    sheets = []
    for one in received:
        event = one.event
        requirement_ids = frozenset([event.requirement_id] if event.fees else [])
        mark = RevisionMark(event.placement_id, event.revision)
        sheets.append(
            Sheet(
                event.placement_id,
                mark,
                event,
                one.record,
                requirement_ids,
                frozenset(fee.item_id for fee in event.fees),
            )
        )
    return await _arrive(connection, "placement", sheets)


async def _arrive(connection: AsyncConnection, kind: str, sheets: Sequence[Sheet]) -> Applied:
    """Locks facts, then documents; folds; prices; writes."""
    ids = {sheet.document_id for sheet in sheets} | {sheet.mark.source_id for sheet in sheets}
    seen = await documents.heads_for(connection, kind, ids, lock=False)
    requirement_ids, item_ids = named_facts(seen.values())
    for sheet in sheets:
        requirement_ids |= sheet.requirement_ids
        item_ids |= sheet.item_ids
    facts = await lock_facts(connection, requirement_ids, item_ids)
    heads = await documents.heads_for(connection, kind, seen, lock=True)
    check_locked(heads.values(), facts)
    await faults.point("after_locks")
    marks = await documents.marks_for(connection, kind, list(heads))
    folded = await _fold(connection, kind, sheets, heads, marks)
    if not folded.new:
        return Applied(rejected=folded.rejected)
    changed = _heads_of(kind, folded, heads)
    fact_rows = _name_facts(changed, folded.new)
    cases = _due(changed, folded.new, marks)
    priced = await price(connection, kind, facts, cases)
    revisions = [
        NewRevision(kind, sheet.document_id, sheet.mark, _body(sheet.record))
        for sheet in folded.new
    ]
    await documents.save(connection, changed.values(), revisions, fact_rows, priced.statements)
    await documents.add_adjustment_sheets(connection, folded.originals)
    return Applied(
        publish_now=priced.publish_now, prebuilt=priced.prebuilt, rejected=folded.rejected
    )


async def _fold(
    connection: AsyncConnection,
    kind: str,
    sheets: Sequence[Sheet],
    heads: Mapping[str, Head],
    marks: Mapping[str, list[RevisionMark]],
) -> Folded:
    """Takes repeats and conflicts out, in the order in which they came."""
    stored = {
        (document_id, mark.source_id, mark.revision)
        for document_id, of in marks.items()
        for mark in of
    }
    bodies = await documents.bodies_for(connection, kind, {sheet.key for sheet in sheets} & stored)
    model = TimesheetApproved if kind == "timesheet" else PlacementCreated
    known: dict[RevisionKey, Any] = {
        key: model.model_validate_json(body) for key, body in bodies.items()
    }
    asked = {
        name
        for sheet in sheets
        if sheet.adjusts
        for name in (sheet.document_id, sheet.mark.source_id)
    }
    asked |= {
        document_id
        for document_id, head in heads.items()
        if head.revision == documents.STUB_REVISION
    }
    document_of = await documents.originals_of(connection, asked) if kind == "timesheet" else {}
    originals = {document_id for document_id, of in marks.items() if of}
    folded = Folded()
    for sheet in sheets:
        before = known.get(sheet.key)
        if before is not None:
            if before != sheet.event:
                message = f"{kind} {sheet.mark.source_id} revision {sheet.mark.revision} came before with other values: send the change as a higher revision"
                folded.rejected.append((sheet.record, Rejection("conflict", message)))
            continue
        wrong = misplaced(sheet.document_id, sheet.mark.source_id, document_of, originals)
        if wrong is not None:
            folded.rejected.append((sheet.record, Rejection(*wrong)))
            continue
        known[sheet.key] = sheet.event
        originals.add(sheet.document_id)
        if sheet.adjusts and sheet.mark.source_id not in document_of:
            document_of[sheet.mark.source_id] = folded.originals[sheet.mark.source_id] = (
                sheet.document_id
            )
        folded.new.append(sheet)
    return folded


def _heads_of(kind: str, folded: Folded, heads: Mapping[str, Head]) -> dict[str, Head]:
    """The heads that this batch writes: of each document, and a stub for each new adjustment sheet."""
    changed: dict[str, Head] = {}
    for sheet in folded.new:
        if sheet.document_id not in changed:
            changed[sheet.document_id] = heads.get(sheet.document_id) or Head(
                kind, sheet.document_id
            )
    for source_id in folded.originals:
        if source_id not in heads:
            changed[source_id] = Head(kind, source_id)
    return changed


def _name_facts(heads: Mapping[str, Head], sheets: Iterable[Sheet]) -> list[FactRow]:
    """Adds to the heads the facts that new sheets name; the rows by which a fact will find its documents."""
    found: list[FactRow] = []
    for sheet in sheets:
        head = heads[sheet.document_id]
        for requirement_id in sheet.requirement_ids:
            if requirement_id not in head.requirement_ids:
                head.requirement_ids.add(requirement_id)
                found.append(("requirement", requirement_id, head.document_kind, sheet.document_id))
        for item_id in sheet.item_ids:
            if item_id not in head.item_ids:
                head.item_ids.add(item_id)
                found.append(("catalog_item", item_id, head.document_kind, sheet.document_id))
    found.sort()
    return found


def _due(
    heads: Mapping[str, Head], sheets: Sequence[Sheet], marks: Mapping[str, list[RevisionMark]]
) -> list[Case]:
    """The documents for which another revision counts now, each once, however many revisions came."""
    new: dict[str, list[Sheet]] = {}
    for sheet in sheets:
        new.setdefault(sheet.document_id, []).append(sheet)
    cases = []
    for document_id, came in new.items():
        head = heads[document_id]
        mark = chosen(document_id, [*marks.get(document_id, ()), *(sheet.mark for sheet in came)])
        if mark is None or (mark.source_id, mark.revision) == (head.source_id, head.revision):
            continue
        head.source_id, head.revision = mark.source_id, mark.revision
        event = next((sheet.event for sheet in came if sheet.mark == mark), None)
        cases.append(Case(head, REVISION_CAME, event))
    return cases


def _body(record: Record) -> str:
    return (record.value or b"").decode()
