"""Pricing documents whose facts and heads are locked: from the body in force to a statement, a hold or nothing.

Here meet what just came (`documents`) and what is priced again because a fact changed or the invoicer found a statement stale
(the two background jobs below). A rule that raises holds its own document with the code `bug`; its neighbours go on.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.rules.facts import Facts
from services.fee_realizer.rules.gates import Held
from services.fee_realizer.rules.impact import Change, Moved, impact
from services.fee_realizer.rules.placements import realize_placement
from services.fee_realizer.rules.statements import (
    Standing,
    Step,
    key_too_long,
    realization_body,
    step,
    too_long,
)
from services.fee_realizer.rules.timesheets import Cited, Realized, Worth, realize_timesheet
from services.fee_realizer.store import announcements, documents, rates, statements
from services.fee_realizer.store.documents import Head
from services.fee_realizer.store.facts import lock_facts, with_ended_rates
from services.fee_realizer.store.statements import NewRealization
from shared import faults, telemetry
from shared.broker.producer import OutgoingMessage
from shared.consumer.records import Applied, OutboxId
from shared.errors import Unavailable
from shared.events.ats import PlacementCreated, TimesheetApproved

DOCUMENTS_AT_ONCE = 500
BUG = Held(
    "bug",
    "a rule failed on this document: the engineers find the reason in the log of fee_realizer; send documents retry when it is fixed",
)
KINDS = ("placement", "timesheet")
"""In the order in which their heads are locked."""


@dataclass(slots=True)
class Case:
    """A document to be priced: its head, locked, and the event in force if it has just come (else it is read from its body)."""

    head: Head
    cause: str
    event: TimesheetApproved | PlacementCreated | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What was said and settled of the documents of one transaction, by document id."""

    last: Mapping[str, tuple[str, list[dict[str, Any]]]]
    cited: Mapping[str, Mapping[tuple[str, str], int]]
    stale: Mapping[str, int]
    bodies: Mapping[tuple[str, str, int], str]


@dataclass(slots=True)
class Priced:
    """What pricing came to: statements to be kept, what must be said, and the statements as messages."""

    statements: list[NewRealization] = field(default_factory=list)
    publish_now: list[OutboxId] = field(default_factory=list)
    prebuilt: dict[OutboxId, Sequence[OutgoingMessage]] = field(default_factory=dict)
    impacts: dict[str, Mapping[Change, list[Moved]]] = field(default_factory=dict)


async def price(
    connection: AsyncConnection, kind: str, facts: Facts, cases: Sequence[Case]
) -> Priced:
    """Prices documents of one kind. Heads are changed, but neither they nor the statements are written yet."""
    known = await known_of(connection, kind, facts, cases)
    priced = Priced()
    for case in cases:
        _price_one(case, facts, known, priced)
    priced.prebuilt = announcements.statements_in_parcels(priced.statements)
    priced.publish_now += priced.prebuilt
    if kind == "timesheet":
        await rates.save_impact(connection, list(known.last), priced.impacts)
    return priced


async def known_of(
    connection: AsyncConnection, kind: str, facts: Facts, cases: Sequence[Case]
) -> Known:
    """What pricing must know besides the facts. Nothing is asked about documents that have never had a statement: that is how most arrive."""
    said = [case.head.document_id for case in cases if case.head.realization_no]
    cited = await statements.cited_books(connection, kind, said)
    await with_ended_rates(
        connection,
        facts,
        {requirement_id for books in cited.values() for requirement_id, _ in books},
    )
    stored = [
        (case.head.document_id, case.head.source_id, case.head.revision)
        for case in cases
        if case.event is None
    ]
    return Known(
        await statements.last_statements(connection, kind, said),
        cited,
        await statements.stale_statements(connection, kind, said),
        await documents.bodies_for(connection, kind, stored),
    )


def _price_one(case: Case, facts: Facts, known: Known, priced: Priced) -> None:
    head = case.head
    said_kind, said_lines = known.last.get(head.document_id, ("", []))
    standing = Standing(
        head.realization_no, said_kind, said_lines, head.hold_code, head.hold_message
    )
    stale = head.realization_no > 0 and known.stale.get(head.document_id) == head.realization_no
    try:
        worth = realize(case, facts, known)
        worth = key_too_long(head.document_id, worth) or worth
        following = step(standing, worth, stale=stale)
        body = _body(case, following, worth)
        oversize = too_long(body)
        if oversize is not None:
            following = step(standing, oversize, stale=stale)
            body = _body(case, following, oversize)
        elif isinstance(worth, Realized) and head.document_id in known.cited:
            priced.impacts[head.document_id] = impact_of(case, facts, known, worth)
    except Exception as error:
        telemetry.log().error(
            "a rule failed on a document: it is held alone",
            document_kind=head.document_kind,
            document_id=head.document_id,
            exc_info=error,
        )
        following = step(standing, BUG)
        body = _body(case, following, BUG)
    _take(case, following, body, priced)


def realize(case: Case, facts: Facts, known: Known) -> Worth:
    """What the document is worth by the rules of its kind."""
    event = event_of(case, known)
    if isinstance(event, PlacementCreated):
        return realize_placement(event, facts)
    cited: Cited = known.cited.get(case.head.document_id, {})
    return realize_timesheet(event, facts, cited)


def impact_of(case: Case, facts: Facts, known: Known, worth: Realized) -> dict[Change, list[Moved]]:
    """What changes of rates that nobody confirmed would do to a timesheet with lines on documents."""
    event, cited = event_of(case, known), known.cited.get(case.head.document_id, {})
    return impact(event, facts, cited, worth) if isinstance(event, TimesheetApproved) else {}


def event_of(case: Case, known: Known) -> TimesheetApproved | PlacementCreated:
    """The event in force: as it came, or from its stored body, read once."""
    if case.event is None:
        head = case.head
        body = known.bodies[head.document_id, head.source_id, head.revision]
        case.event = (
            TimesheetApproved if head.document_kind == "timesheet" else PlacementCreated
        ).model_validate_json(body)
    return case.event


def _body(case: Case, following: Step, worth: Worth) -> str:
    if following.statement is None:
        return ""
    head = case.head
    values = {
        "document_kind": head.document_kind,
        "document_id": head.document_id,
        "realization_no": head.realization_no + 1,
        "source_id": head.source_id,
        "revision": head.revision,
        "cause": case.cause,
    }
    return realization_body(values, following.statement, worth)


def _take(case: Case, following: Step, body: str, priced: Priced) -> None:
    """Moves the head on; what must be kept and said of that."""
    head = case.head
    if following.statement is not None:
        head.realization_no += 1
        new = NewRealization(
            head.document_kind,
            head.document_id,
            head.realization_no,
            following.statement,
            head.source_id,
            head.revision,
            case.cause,
            body,
        )
        priced.statements.append(new)
    head.hold(following.hold)
    if following.says_hold is not None:
        head.hold_no += 1
        priced.publish_now.append(
            announcements.hold_id(
                following.says_hold == "held", head.document_kind, head.document_id, head.hold_no
            )
        )


# -- documents that are priced again


async def price_again(
    connection: AsyncConnection,
    causes: Mapping[tuple[str, str], str],
    still: Callable[[Head], bool],
) -> Applied:
    """Locks and prices documents (kind, id) from what is stored. `still` looks at a locked head and says whether it is due."""
    ids = {kind: sorted(document_id for of, document_id in causes if of == kind) for kind in KINDS}
    seen = [
        head
        for kind in KINDS
        for head in (await documents.heads_for(connection, kind, ids[kind], lock=False)).values()
    ]
    facts = await lock_facts(connection, *named_facts(seen))
    applied = Applied()
    heads = {
        kind: await documents.heads_for(connection, kind, ids[kind], lock=True) for kind in KINDS
    }
    await faults.point("after_locks")
    for kind in KINDS:
        check_locked(heads[kind].values(), facts)
        due = [
            head
            for head in heads[kind].values()
            if head.revision > documents.STUB_REVISION and still(head)
        ]
        priced = await price(
            connection, kind, facts, [Case(head, causes[kind, head.document_id]) for head in due]
        )
        await documents.save(connection, due, statements=priced.statements)
        applied.publish_now += priced.publish_now
        applied.prebuilt |= priced.prebuilt
    return applied


def named_facts(heads: Iterable[Head]) -> tuple[set[str], set[str]]:
    """Requirements and catalog items that the sheets of documents name."""
    requirement_ids: set[str] = set()
    item_ids: set[str] = set()
    for head in heads:
        requirement_ids |= head.requirement_ids
        item_ids |= head.item_ids
    return requirement_ids, item_ids


def check_locked(heads: Iterable[Head], facts: Facts) -> None:
    """What a document names may have grown between the look and the lock: then the work is done anew."""
    requirement_ids, item_ids = named_facts(heads)
    if not (requirement_ids <= facts.requirements.keys() and item_ids <= facts.items.keys()):
        raise Unavailable(
            "a document came to name further facts while it was being locked: the same work is right at the next try"
        )


async def price_due(connection: AsyncConnection) -> Applied:
    """Chore: documents of which a fact changed, or that an operator wants retried."""
    due = await statements.queued(connection, DOCUMENTS_AT_ONCE)
    if not due:
        return Applied()
    applied = await price_again(connection, due, lambda head: True)
    await statements.drop_queued(connection, due)
    applied.jobs_due = len(due) == DOCUMENTS_AT_ONCE
    return applied


async def price_stale(connection: AsyncConnection) -> Applied:
    """Chore: documents whose statement was priced from a rate book that invoiced lines no longer cite."""
    stale = await statements.stale_documents(connection, DOCUMENTS_AT_ONCE)
    if not stale:
        return Applied()
    numbers: dict[tuple[str, str], int] = {}
    for kind in KINDS:
        found = await statements.stale_statements(
            connection, kind, [document_id for of, document_id in stale if of == kind]
        )
        numbers |= {(kind, document_id): number for document_id, number in found.items()}
    applied = await price_again(
        connection,
        dict.fromkeys(stale, "stale-price-basis"),
        lambda head: numbers.get((head.document_kind, head.document_id)) == head.realization_no,
    )
    applied.jobs_due = bool(applied.publish_now) and len(stale) == DOCUMENTS_AT_ONCE
    return applied
