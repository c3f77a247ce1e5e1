"""The commands add-charge, settle-retainer, retry-document and republish."""

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.requirements import store as requirements
from services.fee_realizer.sources.handlers.arrivals import on_charge_added
from services.fee_realizer.sources.handlers.pricing import KINDS
from services.fee_realizer.sources.rules.facts import RetainerState, RetainerValue
from services.fee_realizer.sources.rules.retainers import value_retainers
from services.fee_realizer.sources.store import realizations
from services.fee_realizer.sources.store.documents import (
    NamedFacts,
    bodies_for,
    facts_of,
    heads_for,
)
from services.fee_realizer.sources.store.facts import lock_facts
from services.fee_realizer.sources.store.messages import hold_id, realization_chunks
from services.fee_realizer.sources.store.retainers import queue_retained, save_retainers
from shared.broker.topics import CHARGE_ADDED
from shared.consumer.commands import Answer
from shared.consumer.records import Received, Record
from shared.errors import Refused, Unavailable
from shared.events.ats import Charge, ChargeAdded
from shared.events.commands import AddCharge, Republish, RetryDocument, SettleRetainer
from shared.money import ZERO, plain, written

REPUBLISH_LIMIT = 20_000
NOT_FROM_KAFKA = -1


async def companies_of_charge(connection: AsyncConnection, command: AddCharge) -> set[str]:
    """Return the billing company of a charge, and that which it has now."""
    known = await _charge_in_force(connection, command.charge_id)
    return {command.billing_company, *([known.billing_company] if known else [])}


async def _charge_in_force(connection: AsyncConnection, charge_id: str) -> ChargeAdded | None:
    head = (await heads_for(connection, "charge", [charge_id], lock=False)).get(charge_id)
    if head is None or head.revision < 0:
        return None
    bodies = await bodies_for(connection, "charge", [head.source_revision])
    return ChargeAdded.model_validate_json(bodies[head.source_revision])


async def on_add_charge(connection: AsyncConnection, command: AddCharge) -> Answer:
    """Add a charge by hand, or replace it, as the revision after the one in force."""
    charge_id = command.charge_id
    before = await _charge_in_force(connection, charge_id)
    charge = ChargeAdded(
        revision=before.revision + 1 if before else 1,
        **{name: getattr(command, name) for name in Charge.model_fields},
    )
    after = charge.model_dump(mode="json")
    details: dict[str, object] = {"charge_id": charge_id, "charge": after}
    if before is not None and before == charge.model_copy(update={"revision": before.revision}):
        return Answer(f"charge {charge_id} is unchanged", details, subjects=[charge_id])
    value = charge.model_dump_json(exclude_defaults=True).encode()
    record = Record(CHARGE_ADDED.name, NOT_FROM_KAFKA, NOT_FROM_KAFKA, charge_id.encode(), value)
    applied = await on_charge_added(connection, [Received(charge, record)])
    if applied.rejected:
        raise Unavailable(f"charge {charge_id} was changed meanwhile: the retry will succeed")
    done = "cancelled" if charge.cancelled else "changed" if before else "added"
    return Answer(
        f"charge {charge_id} is {done}",
        details,
        before=before.model_dump(mode="json") if before else None,
        after=after,
        subjects=[charge_id],
        publish_after=list(applied.publish_now),
    )


async def companies_of_retainer(connection: AsyncConnection, command: SettleRetainer) -> set[str]:
    """Return the billing company of the retainer's requirement; none if it is unknown."""
    return await requirements.companies_of(connection, [command.requirement_id])


async def on_settle_retainer(connection: AsyncConnection, command: SettleRetainer) -> Answer:
    """Keep or credit what no fee takes of a retainer; a credit is in the next batch."""
    requirement_id = command.requirement_id
    facts = await lock_facts(connection, NamedFacts(frozenset([requirement_id])))
    state = facts.retainers.get(requirement_id)
    if state is None:
        raise Refused(
            "no_retainer",
            f"requirement {requirement_id} has no retainer",
            "see `backoffice retainers list`",
        )
    value_retainers(facts)
    if not isinstance(state.value, RetainerValue):
        waits = state.value.message if state.value else "its catalog item is not known"
        raise Refused("retainer_held", f"the retainer of {requirement_id} waits: {waits}")
    before = _decided(state)
    undecided = max(ZERO, state.excess - state.kept - state.credited)
    if not undecided:
        raise Refused(
            "no_excess",
            f"nothing of the retainer of {requirement_id} is left to decide",
            "see `backoffice retainers list`",
        )
    if command.excess == "keep":
        state.kept += undecided
    else:
        state.credited += undecided
    await save_retainers(connection, {requirement_id: state}, ())
    await queue_retained(connection, (), [("retainer", requirement_id)], command.command)
    written_amount = f"{written(undecided, state.value.currency)} {state.value.currency}"
    done = "kept" if command.excess == "keep" else "credited by the next batch"
    return Answer(
        f"{written_amount} of the retainer of {requirement_id} are {done}",
        {"requirement_id": requirement_id, "amount": plain(undecided)},
        before=before,
        after=_decided(state),
        subjects=[requirement_id],
        jobs_due=True,
    )


def _decided(state: RetainerState) -> dict[str, str]:
    return {"kept": plain(state.kept), "credited": plain(state.credited)}


async def on_retry_document(connection: AsyncConnection, command: RetryDocument) -> Answer:
    """Queue held documents for pricing: one, those of a kind, or all."""
    document_id = command.document_id
    if document_id is not None:
        kinds = [command.document_kind] if command.document_kind else KINDS
        found = [
            head
            for kind in kinds
            for head in (await heads_for(connection, kind, [document_id], lock=False)).values()
            if head.revision >= 0
        ]
        if not found:
            raise Refused(
                "no_such_document",
                f"fee_realizer knows no document {document_id}",
                "see `backoffice documents held`",
            )
        if all(head.hold_code is None for head in found):
            message = f"document {document_id} is not held: there is nothing to retry"
            raise Refused("not_held", message)
    queued = await realizations.queue_held(
        connection, command.command, command.document_kind, document_id
    )
    return Answer(
        f"{queued} held documents are priced again",
        {"documents": queued},
        subjects=[document_id] if document_id else [],
        jobs_due=queued > 0,
    )


async def companies_of(connection: AsyncConnection, command: RetryDocument) -> set[str]:
    """Return the billing companies of the document that a command names; none if it names none."""
    if command.document_id is None:
        return set()
    named = await facts_of(connection, command.document_kind, command.document_id)
    companies = await requirements.companies_of(connection, named.requirement_ids)
    return companies | named.company_ids


async def on_republish(connection: AsyncConnection, command: Republish) -> Answer:
    """Publish realizations and holds again unchanged: of a document, or since a date."""
    document_id = command.document_id
    if document_id is None and command.since is None:
        raise Refused(
            "nothing_named", "republish needs a document or a date", "give --document or --since"
        )
    wanted = (command.document_kind, document_id, command.since, REPUBLISH_LIMIT + 1)
    realized = await realizations.published(connection, "realizations", *wanted)
    held = await realizations.published(connection, "holds", *wanted)
    if len(realized) + len(held) > REPUBLISH_LIMIT:
        raise Refused(
            "too_many",
            f"more than {REPUBLISH_LIMIT:,} messages would be published again",
            "give a later date, or reset the offsets of the consumer that missed them",
        )
    if document_id is not None and not realized and not held:
        raise Refused(
            "nothing_published",
            f"fee_realizer has published nothing about document {document_id}",
            "see `backoffice why-not`",
        )
    chunks = [outbox_id for outbox_id, _ in realization_chunks(realized)]
    return Answer(
        f"{len(realized)} realizations and {len(held)} holds are published again",
        {"realizations": len(realized), "held": len(held)},
        publish_after=chunks + [hold_id(True, *one) for one in held],
        subjects=[document_id] if document_id else [],
    )
