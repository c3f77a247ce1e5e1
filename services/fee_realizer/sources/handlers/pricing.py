"""Price documents whose facts and heads are locked: publish a realization, hold, or change nothing.

Used for new revisions (`arrivals`), and by the background jobs below for documents that have a
changed fact, that an operator retries, or that have a stale realization. A rule that raises holds
its own document with the code `unexpected_error`; the others are not affected.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.sources.handlers.retainers import save_uses
from services.fee_realizer.sources.handlers.waiting import waiting
from services.fee_realizer.sources.rules import (
    charges,
    engaged,
    occurrences,
    placements,
    retainers,
    timesheets,
    transitions,
)
from services.fee_realizer.sources.rules.facts import Facts, Held, Line, PricingResult, Realized
from services.fee_realizer.sources.rules.occurrences import Occurrence
from services.fee_realizer.sources.rules.repricing import Impact, unconfirmed_changes
from services.fee_realizer.sources.rules.timesheets import CitedPrices
from services.fee_realizer.sources.rules.transitions import DocumentState, Transition
from services.fee_realizer.sources.store import documents, messages, realizations
from services.fee_realizer.sources.store import facts as facts_store
from services.fee_realizer.sources.store.documents import (
    DocumentHead,
    NamedFacts,
    NewRealization,
)
from shared import faults, telemetry
from shared.broker.producer import OutgoingMessage
from shared.consumer.records import Applied, OutboxId
from shared.consumer.unit_of_work import BackgroundJob
from shared.errors import Unavailable
from shared.events.ats import (
    ChargeAdded,
    PlacementCreated,
    RequirementChanged,
    TimesheetApproved,
)
from shared.terms import DocumentKind

UNEXPECTED_ERROR = Held(
    "unexpected_error",
    "a rule failed on this document: the log of fee_realizer has the error;"
    " send documents retry when it is fixed",
)


NEW_REVISION = "revision"
"""The cause of a job whose document has another revision in force."""
SourceEvent = TimesheetApproved | PlacementCreated | ChargeAdded | RequirementChanged | Occurrence
DOCUMENTS_AT_ONCE = 500
# In the order in which their heads are locked.
KINDS: tuple[DocumentKind, ...] = ("assignment", "charge", "placement", "retainer", "timesheet")
MODELS: dict[str, type[SourceEvent]] = {
    "assignment": Occurrence,
    "charge": ChargeAdded,
    "placement": PlacementCreated,
    "retainer": RequirementChanged,
    "timesheet": TimesheetApproved,
}
# Their invoiced lines cite the price that they have, and keep it until a change is confirmed.
CITING: frozenset[str] = frozenset({"assignment", "timesheet"})


@dataclass(slots=True)
class PricingJob:
    """A document to price: its locked head, and the event in force if it was just received."""

    head: DocumentHead
    cause: str
    event: SourceEvent | None = None


@dataclass(frozen=True, slots=True)
class PriorState:
    """What was published and invoiced of the documents of one transaction, by document id.

    `bodies` are the stored revisions of the jobs without an event, `revisions` all stored ones of
    occurrences with invoiced lines.
    """

    latest: Mapping[str, tuple[str, list[Line]]]
    cited: Mapping[str, CitedPrices]
    stale: Mapping[str, int]
    bodies: Mapping[documents.SourceRevision, str]
    revisions: Mapping[str, Sequence[str]]


@dataclass(slots=True)
class PricingOutput:
    """What pricing results in: realizations to store, outbox ids, messages, rate impacts.

    `jobs_due`: other documents were queued for pricing.
    """

    realizations: list[NewRealization] = field(default_factory=list)
    publish_now: list[OutboxId] = field(default_factory=list)
    prebuilt: dict[OutboxId, Sequence[OutgoingMessage]] = field(default_factory=dict)
    impacts: dict[str, Impact] = field(default_factory=dict)
    jobs_due: bool = False


async def price(
    connection: AsyncConnection, kind: str, facts: Facts, jobs: Sequence[PricingJob]
) -> PricingOutput:
    """Price documents of one kind. Heads change; the caller stores them and the realizations."""
    prior = await prior_state(connection, kind, facts, jobs)
    output = PricingOutput()
    retainers.value_retainers(facts)
    uses_before = {one: dict(state.uses) for one, state in facts.retainers.items()}
    if kind == "placement" and facts.retainers:
        _claim_retainers(facts, jobs, prior)
    for job in jobs:
        _price_one(job, facts, prior, output)
    if kind in ("placement", "retainer") and facts.retainers:
        priced = {(kind, job.head.document_id) for job in jobs}
        output.jobs_due = await save_uses(connection, kind, facts, uses_before, priced)
    output.prebuilt = messages.new_messages(output.realizations)
    output.publish_now += output.prebuilt
    if kind in CITING:
        await realizations.save_rate_impact(connection, kind, list(prior.latest), output.impacts)
    return output


async def prior_state(
    connection: AsyncConnection, kind: str, facts: Facts, jobs: Sequence[PricingJob]
) -> PriorState:
    """Read what pricing needs besides the facts.

    Documents without a realization need nothing: most new documents are such. A billing company
    with a go-live date may have loaded what another system billed of them.
    """
    realized = [job.head.document_id for job in jobs if job.head.realization_no]
    may_be_loaded = any(company.go_live for company in facts.companies.values())
    cited = await realizations.cited_prices(
        connection, kind, [job.head.document_id for job in jobs] if may_be_loaded else realized
    )
    await facts_store.add_ended_rates(
        connection,
        facts,
        {requirement_id for prices in cited.values() for requirement_id, _ in prices},
    )
    stored = [job.head.source_revision for job in jobs if job.event is None]
    prior = PriorState(
        await realizations.latest_realizations(connection, kind, realized),
        cited,
        await realizations.stale_realizations(connection, kind, realized),
        await documents.bodies_for(connection, kind, stored),
        await documents.all_bodies(connection, kind, cited) if kind == "assignment" else {},
    )
    if kind in ("placement", "timesheet"):
        await facts_store.add_engagements(connection, facts, _events(jobs, prior))
    return prior


def _events(jobs: Sequence[PricingJob], prior: PriorState) -> Iterator[SourceEvent]:
    """Yield the events that can be read; the error of another holds its document when priced."""
    for job in jobs:
        with suppress(ValidationError):
            yield event_of(job, prior)


def _price_one(job: PricingJob, facts: Facts, prior: PriorState, output: PricingOutput) -> None:
    head = job.head
    kind, lines = prior.latest.get(head.document_id, ("", []))
    state = DocumentState(kind, lines, head.hold_code, head.hold_message)
    stale = head.realization_no > 0 and prior.stale.get(head.document_id) == head.realization_no
    try:
        result = engaged.with_first_filter(lines, realize(job, facts, prior))
        result = transitions.key_too_long(head.document_id, result) or result
        transition, body = _outcome(job, state, result, stale)
        too_large = transitions.body_too_large(body)
        if too_large is not None:
            transition, body = _outcome(job, state, too_large, stale)
        elif isinstance(result, Realized) and head.document_id in prior.cited:
            output.impacts[head.document_id] = rate_impact(job, facts, prior, result)
    except Exception as error:
        telemetry.log().error(
            "a pricing rule raised an error: the document is held",
            document_kind=head.document_kind,
            document_id=head.document_id,
            exc_info=error,
        )
        transition, body = _outcome(job, state, UNEXPECTED_ERROR)
    _apply(job, transition, body, output)
    if transition.hold is not None or transition.hold_event is not None:
        job.head.waiting = waiting(job.event, job.head.facts, facts)


def realize(job: PricingJob, facts: Facts, prior: PriorState) -> PricingResult:
    """Price a document by the rules of its kind."""
    event = event_of(job, prior)
    if isinstance(event, PlacementCreated):
        result = placements.realize_placement(event, facts)
        if isinstance(result, Realized) and result.retainer_use is not None:
            uses = facts.retainers[event.requirement_id].uses
            uses[event.placement_id] = result.retainer_use
        return result
    if isinstance(event, ChargeAdded):
        return charges.realize_charge(event, facts)
    if isinstance(event, RequirementChanged):
        return retainers.realize_retainer(event.requirement_id, facts)
    cited = prior.cited.get(job.head.document_id, {})
    if isinstance(event, Occurrence):
        stored = prior.revisions.get(job.head.document_id, ())
        revisions = [event, *map(Occurrence.model_validate_json, stored)]
        return occurrences.realize_occurrence(event, facts, cited, revisions)
    is_new = not job.head.realization_no
    return timesheets.realize_timesheet(event, facts, cited, is_new=is_new)


def _claim_retainers(facts: Facts, jobs: Sequence[PricingJob], prior: PriorState) -> None:
    """Let each placement claim the retainer of its requirement before any of them is priced."""
    for job in jobs:
        try:
            event = event_of(job, prior)
            if isinstance(event, PlacementCreated):
                retainers.claim_retainer(event, facts)
        except Exception as error:
            telemetry.log().warning(
                "a placement cannot claim a retainer: the same error holds it when it is priced",
                document_id=job.head.document_id,
                exc_info=error,
            )


def rate_impact(job: PricingJob, facts: Facts, prior: PriorState, result: Realized) -> Impact:
    """Return what unconfirmed changes of prices would do to a document with invoiced lines."""
    event, cited = event_of(job, prior), prior.cited.get(job.head.document_id, {})
    if isinstance(event, Occurrence):
        return occurrences.unconfirmed_price(event, facts, result)
    if not isinstance(event, TimesheetApproved):
        return {}
    return unconfirmed_changes(event, facts, cited, result)


def event_of(job: PricingJob, prior: PriorState) -> SourceEvent:
    """Return the event in force: as received, or parsed once from its stored body."""
    if job.event is None:
        model = MODELS[job.head.document_kind]
        job.event = model.model_validate_json(prior.bodies[job.head.source_revision])
    return job.event


def _outcome(
    job: PricingJob, state: DocumentState, result: PricingResult, stale: bool = False
) -> tuple[Transition, str]:
    """Return what follows from a result, and the event's value if that is a realization."""
    transition = transitions.next_transition(state, result, stale=stale)
    if transition.realization is None:
        return transition, ""
    head = job.head
    values: dict[str, Any] = {
        "document_kind": head.document_kind,
        "document_id": head.document_id,
        "realization_no": head.realization_no + 1,
        "source_id": head.source_id,
        "revision": head.revision,
        "cause": job.cause,
    }
    return transition, transitions.realization_body(values, transition.realization, result)


def _apply(job: PricingJob, transition: Transition, body: str, output: PricingOutput) -> None:
    """Change the head, and collect what is to be stored and published."""
    head = job.head
    key = (head.document_kind, head.document_id)
    if transition.realization is not None:
        head.realization_no += 1
        output.realizations.append(
            NewRealization(
                *key,
                head.realization_no,
                transition.realization,
                head.source_id,
                head.revision,
                job.cause,
                body,
            )
        )
    hold = transition.hold
    head.hold_code, head.hold_message = (hold.code, hold.message) if hold else (None, None)
    if transition.hold_event is not None:
        head.hold_no += 1
        output.publish_now.append(
            messages.hold_id(transition.hold_event == "held", *key, head.hold_no)
        )


# -- price again


def named_facts(documents: Iterable[NamedFacts]) -> NamedFacts:
    """Return all facts that documents name."""
    sets: tuple[set[str], ...] = (set(), set(), set())
    for named in documents:
        for found, ids in zip(sets, named, strict=True):
            found.update(ids)
    return NamedFacts(*map(frozenset, sets))


def check_locked(heads: Iterable[DocumentHead], facts: Facts) -> None:
    """Raise `Unavailable` if a document named further facts before it was locked."""
    named = named_facts(head.facts for head in heads)
    if not (
        named.requirement_ids <= facts.requirements.keys()
        and named.item_ids <= facts.items.keys()
        and named.company_ids <= facts.companies.keys()
    ):
        raise Unavailable(
            "a document named further facts while it was being locked: the retry will succeed"
        )


async def reprice(
    connection: AsyncConnection,
    causes: Mapping[realizations.DocumentKey, str],
    is_due: Callable[[DocumentHead], bool] = lambda head: True,
) -> Applied:
    """Lock documents and price them from what is stored, if the locked head still `is_due`."""
    ids = {
        kind: [document_id for kind_of, document_id in causes if kind_of == kind] for kind in KINDS
    }
    seen = [
        head
        for kind in KINDS
        for head in (await documents.heads_for(connection, kind, ids[kind], lock=False)).values()
    ]
    facts = await facts_store.lock_facts(connection, named_facts(head.facts for head in seen))
    heads = {
        kind: await documents.heads_for(connection, kind, ids[kind], lock=True) for kind in KINDS
    }
    await faults.point("after_locks")
    applied = Applied()
    for kind in KINDS:
        check_locked(heads[kind].values(), facts)
        due = [
            head
            for head in heads[kind].values()
            if head.revision > documents.STUB_REVISION and is_due(head)
        ]
        jobs = [PricingJob(head, causes[kind, head.document_id]) for head in due]
        output = await price(connection, kind, facts, jobs)
        await documents.save(connection, due, realizations=output.realizations)
        applied.publish_now += output.publish_now
        applied.prebuilt |= output.prebuilt
        applied.jobs_due |= output.jobs_due
    return applied


async def price_queued(connection: AsyncConnection) -> Applied:
    """Background job: price documents that have a changed fact or that an operator retries."""
    queued = await realizations.queued_documents(connection, DOCUMENTS_AT_ONCE)
    if not queued:
        return Applied()
    applied = await reprice(connection, queued)
    await realizations.remove_queued(connection, queued)
    applied.jobs_due |= len(queued) == DOCUMENTS_AT_ONCE
    return applied


async def price_stale(connection: AsyncConnection) -> Applied:
    """Background job: price documents from the rate book that their invoiced lines cite now."""
    stale = await realizations.stale_documents(connection, DOCUMENTS_AT_ONCE)
    if not stale:
        return Applied()
    applied = await reprice(
        connection,
        dict.fromkeys(stale, "stale-price-basis"),
        lambda head: stale.get((head.document_kind, head.document_id)) == head.realization_no,
    )
    applied.jobs_due |= bool(applied.publish_now) and len(stale) == DOCUMENTS_AT_ONCE
    return applied


def retry_errors_once() -> BackgroundJob:
    """Return a job that works once: a new version may have fixed the rule that failed."""
    done = False

    async def retry_errors(connection: AsyncConnection) -> Applied:
        nonlocal done
        if not done:
            await realizations.queue_held(connection, "new-version", code=UNEXPECTED_ERROR.code)
        done = True
        return Applied()

    return retry_errors
