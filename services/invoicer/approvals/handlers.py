"""Commands of approvers: approve-draft, reject-draft, reassign-draft.

All run under the exclusive lock of the billing company and the lock of the draft.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.approvals import store
from services.invoicer.approvals.rules import place_to_reassign, require_new_approver
from services.invoicer.drafts.handlers.routing import require_all_allowed
from services.invoicer.drafts.rules.invoicing_status import (
    CANCELLED,
    PENDING_FINALIZATION,
)
from services.invoicer.drafts.rules.names import read_reference
from services.invoicer.drafts.store import drafts, lines
from services.invoicer.drafts.store.drafts import Draft, DraftEvent
from services.invoicer.workflows.rules import (
    Approval,
    Approver,
    RoutedStep,
    Routing,
    places_of,
    require_four_eyes,
)
from services.invoicer.workflows.store import routing as routing_store
from shared import clock, faults
from shared.consumer.commands import Answer, CommandHandler
from shared.database import lock_companies
from shared.errors import Refused
from shared.events.commands import ApproveDraft, ReassignDraft, RejectDraft
from shared.terms import counted, listed

AnyApproval = ApproveDraft | RejectDraft | ReassignDraft


async def companies_of(connection: AsyncConnection, command: AnyApproval) -> set[str]:
    """Return the billing company of the draft; none if it is unknown."""
    found = await drafts.drafts_by_id(connection, _ids(command))
    return {draft.billing_company for draft in found.values()}


async def authors_of(connection: AsyncConnection, command: ApproveDraft) -> set[str]:
    """Return who created or changed the draft."""
    return await drafts.authors_of(connection, _ids(command))


def _ids(command: AnyApproval) -> list[int]:
    try:
        return [read_reference(command.draft).draft_id]
    except Refused:
        return []  # the handler refuses it with the reason


class Locked(NamedTuple):
    """A draft whose locks are held, its routing, and for whom the actor acts."""

    draft: Draft
    routing: Routing
    person: str
    roles: set[str]
    authors: set[str]


async def on_approve_draft(connection: AsyncConnection, command: ApproveDraft) -> Answer:
    """Record an approval; the last mandatory one makes the draft Pending Finalization."""
    locked = await _locked(connection, command)
    draft, person = locked.draft, locked.person
    late = draft.status == PENDING_FINALIZATION and _has_place(locked)
    if not late:
        await require_all_allowed(connection, {draft.draft_id: draft}, "approve")
    require_four_eyes(draft.name, locked.authors, command.actor, person)
    await _require_enabled(connection, person)
    places = places_of(locked.routing, draft.name, person, locked.roles)
    approvals = [Approval(step.name, place.who, person, command.actor) for step, place in places]
    at = clock.now()
    await routing_store.add_approvals(
        connection,
        draft.draft_id,
        draft.version,
        approvals,
        reason=command.reason,
        command_id=command.command_id,
        at=at,
    )
    await faults.point("approved")
    after = Routing(locked.routing.steps, (*locked.routing.approvals, *approvals))
    status = draft.status
    if after.complete and not late:
        status = PENDING_FINALIZATION
        await drafts.save_status(connection, draft, status, draft.version)
    names = [each.step for each in approvals]
    await _note(connection, command, locked, "approved", status, steps=names)
    left = f"it waits for {after.next_words}" if after.next_words else "all have approved it"
    return _answer(
        command,
        locked,
        f"{_who(command, person)} approved version {draft.version} of {draft.name} in"
        f" {listed(names)}; {left}",
        {"steps": names, "status": status, "complete": after.complete, "next": after.next_words},
    )


async def on_reject_draft(connection: AsyncConnection, command: RejectDraft) -> Answer:
    """End a draft; its items are open again, on hold until they change or are released."""
    if not command.reason.strip():
        raise Refused("reason_missing", "rejecting a draft needs a reason", "give --reason")
    locked = await _locked(connection, command)
    draft, person = locked.draft, locked.person
    await require_all_allowed(connection, {draft.draft_id: draft}, "approve")
    await _require_enabled(connection, person)
    places_of(locked.routing, draft.name, person, locked.roles)
    items = await lines.reopen_lines(connection, [draft.draft_id])
    await store.add_rejected(connection, draft.draft_id, items, person, command.reason, clock.now())
    await faults.point("rejected")
    await drafts.save_status(connection, draft, CANCELLED, draft.version)
    await _note(connection, command, locked, "rejected", CANCELLED, items=items)
    return _answer(
        command,
        locked,
        f"{_who(command, person)} rejected {draft.name}: {command.reason};"
        f" {counted(len(items), 'item')} on hold until changed or released",
        {"status": CANCELLED, "pay_line_ids": items[:1_000], "items": len(items)},
    )


async def on_reassign_draft(connection: AsyncConnection, command: ReassignDraft) -> Answer:
    """Give a place in a step to another person; later versions of the draft keep it so."""
    locked = await _locked(connection, command)
    draft = locked.draft
    await require_all_allowed(connection, {draft.draft_id: draft}, "approve")
    step, place = place_to_reassign(
        locked.routing, draft.name, locked.person, locked.roles, command.step
    )
    new = require_new_approver(draft.name, step, command.to, locked.authors)
    await _require_enabled(connection, command.to)
    await routing_store.reassign(
        connection, draft.draft_id, draft.version, step.name, place.who, new.who
    )
    before, after = place.words, new.words
    await _note(
        connection, command, locked, "reassigned", draft.status,
        step=step.name, before=before, after=after,
    )  # fmt: skip
    return _answer(
        command,
        locked,
        f"{after} approves {draft.name} in step {step.name}, in place of {before}",
        {"step": step.name, "before": before, "after": after},
    )


async def _locked(connection: AsyncConnection, command: AnyApproval) -> Locked:
    """Lock the company and the draft; refuse a draft that is unknown or in another version."""
    reference = read_reference(command.draft)
    found = await drafts.drafts_by_id(connection, [reference.draft_id])
    fix = "see `backoffice drafts routing ID`, and name the version that you saw: D-000001@2"
    if not found:
        raise Refused("unknown_draft", f"there is no draft {command.draft}", fix)
    company = found[reference.draft_id].billing_company
    await lock_companies(connection, [company], exclusive=True)
    found = await drafts.drafts_by_id(connection, [reference.draft_id], lock=True)
    await faults.point("after_locks")
    draft = found[reference.draft_id]
    if reference.version is None:
        raise Refused("no_version", f"the command names no version of {draft.name}", fix)
    if reference.version != draft.version:
        raise Refused(
            "draft_changed",
            f"{draft.name} is in version {draft.version}, not {reference.version}",
            fix,
            version=draft.version,
        )
    person = command.on_behalf_of or command.actor
    return Locked(
        draft,
        await routing_store.routing_of(connection, draft.draft_id, draft.version),
        person,
        await store.roles_of(connection, person, company),
        await drafts.authors_of(connection, [draft.draft_id]),
    )


async def _require_enabled(connection: AsyncConnection, person: str) -> None:
    if await store.is_disabled(connection, person):
        raise Refused(
            "person_disabled",
            f"{person} is disabled and approves nothing",
            "name another person, or enable this one: `backoffice people set`",
        )


def _has_place(locked: Locked) -> bool:
    """Whether the person has a place that is left in a step: its approval is then recorded."""
    taken = {each.step for each in locked.routing.approvals if each.person == locked.person}
    found: Sequence[tuple[RoutedStep, Approver]] = [
        (step, place)
        for step in locked.routing.open_steps
        for place in locked.routing.left(step)
        if step.name not in taken and place.is_of(locked.person, locked.roles)
    ]
    return bool(found)


async def _note(
    connection: AsyncConnection,
    command: AnyApproval,
    locked: Locked,
    action: str,
    status: str,
    **details: Any,
) -> None:
    """Add what was done to the history of the draft; its items are as they were."""
    event = DraftEvent(
        locked.draft.draft_id,
        action,
        locked.draft.version,
        status,
        command.actor,
        clock.now(),
        command.reason,
        changes_items=False,
        details={"person": locked.person} | details,
        command_id=command.command_id,
    )
    await drafts.add_events(connection, [event])


def _who(command: AnyApproval, person: str) -> str:
    same = person == command.actor
    return person if same else f"{command.actor}, on behalf of {person},"


def _answer(command: AnyApproval, locked: Locked, message: str, details: dict[str, Any]) -> Answer:
    draft = locked.draft
    return Answer(
        message,
        details={"draft": draft.name, "version": draft.version, "person": locked.person} | details,
        after={"actor": command.actor, "person": locked.person} | details,
        subjects=[draft.name],
    )


HANDLERS: Mapping[type[Any], CommandHandler] = {
    ApproveDraft: on_approve_draft,
    RejectDraft: on_reject_draft,
    ReassignDraft: on_reassign_draft,
}
