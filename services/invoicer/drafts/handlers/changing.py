"""Handles the commands that change drafts: remove a line, cancel, combine, regenerate."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.handlers.batches import lock_batch
from services.invoicer.drafts.handlers.making import draft_row
from services.invoicer.drafts.handlers.recalculating import Change, recalculate
from services.invoicer.drafts.handlers.routing import require_all_allowed
from services.invoicer.drafts.handlers.terms_now import with_terms_now
from services.invoicer.drafts.rules.invoicing_status import CANCELLED, Action
from services.invoicer.drafts.rules.names import draft_name, read_reference
from services.invoicer.drafts.store import drafts as store
from services.invoicer.drafts.store import lines
from services.invoicer.drafts.store.drafts import Draft, DraftEvent
from shared import clock, faults
from shared.consumer.commands import Answer, CommandHandler
from shared.errors import Refused
from shared.events.commands import CancelDraft, CombineDrafts, RegenerateDraft, RemoveDraftLine
from shared.events.commands.base import InvoicerCommand
from shared.terms import counted, listed

SEE_DRAFTS = "see `backoffice drafts list`"


async def locked_drafts(
    connection: AsyncConnection, billing_company: str, names: Sequence[str], action: Action
) -> dict[int, Draft]:
    """Lock the company and its drafts, and check that their status allows an action."""
    ids = [read_reference(name).draft_id for name in names]
    await lock_batch(connection, billing_company)
    found = await store.drafts_by_id(connection, ids, lock=True)
    unknown = [
        draft_name(each)
        for each in ids
        if each not in found or found[each].billing_company != billing_company
    ]
    if unknown:
        raise Refused(
            "unknown_draft", f"{billing_company} has no draft {listed(unknown)}", SEE_DRAFTS
        )
    await require_all_allowed(connection, found, action)
    return {draft_id: found[draft_id] for draft_id in ids}


async def on_cancel_draft(connection: AsyncConnection, command: CancelDraft) -> Answer:
    """Cancel a draft: its lines are open again."""
    (draft,) = (
        await locked_drafts(connection, command.billing_company, [command.draft], "cancel")
    ).values()
    opened = await lines.reopen_lines(connection, [draft.draft_id])
    await store.save_status(connection, draft, CANCELLED, draft.version + 1)
    await store.add_events(connection, [_event(draft, "cancelled", CANCELLED, command)])
    return Answer(
        f"draft {draft.name} is cancelled: {counted(len(opened), 'line')} open again",
        details={"draft": draft.name, "lines": len(opened)},
        before=draft_row(draft),
        subjects=[draft.name, draft.account_name],
    )


async def on_remove_draft_line(connection: AsyncConnection, command: RemoveDraftLine) -> Answer:
    """Take a line off a draft: it is open again, and the draft gets its next version."""
    drafts = await locked_drafts(
        connection, command.billing_company, [command.draft], "remove_line"
    )
    (draft,) = drafts.values()
    opened = await lines.reopen_lines(connection, drafts, line_nos=[command.line_no])
    if not opened:
        raise Refused(
            "unknown_draft_line",
            f"draft {draft.name} has no line {command.line_no}",
            f"see `backoffice drafts show {draft.name}`",
        )
    change = _change("line removed", command, {"pay_line_id": opened[0]}, sends_again=True)
    changed = await recalculate(connection, command.billing_company, drafts, change)
    return _changed(f"pay line {opened[0]} is open again", draft, changed)


async def on_regenerate_draft(connection: AsyncConnection, command: RegenerateDraft) -> Answer:
    """Compute a draft again with the terms, tax rates and discounts of today."""
    drafts = await locked_drafts(connection, command.billing_company, [command.draft], "edit")
    (draft,) = drafts.values()
    drafts = await with_terms_now(connection, command.billing_company, drafts)
    change = _change("regenerated", command)
    changed = await recalculate(connection, command.billing_company, drafts, change)
    return _changed(f"draft {draft.name} is computed again", draft, changed)


async def on_combine_drafts(connection: AsyncConnection, command: CombineDrafts) -> Answer:
    """Move the lines of drafts to the first of them; the others end."""
    if len(set(command.drafts)) != len(command.drafts):
        raise Refused("draft_twice", "a draft is named twice", "name each draft once")
    drafts = await locked_drafts(connection, command.billing_company, command.drafts, "combine")
    first, *others = drafts.values()
    for other in others:
        differing = _differing(first, other)
        if differing:
            raise Refused(
                "drafts_differ",
                f"{other.name} cannot be combined with {first.name}: {listed(differing)}",
                "combine drafts of one debtor, currency, tax regime, payment terms, PO number and"
                " invoice option",
            )
    await faults.point("drafts_combining")
    moved = await lines.move_lines(connection, [each.draft_id for each in others], first.draft_id)
    await store.save_combined(connection, [each.draft_id for each in others], first.draft_id)
    for other in others:
        await store.save_status(connection, other, CANCELLED, other.version + 1)
    await store.add_events(
        connection,
        [_event(other, "combined", CANCELLED, command, {"into": first.name}) for other in others],
    )
    change = _change("combined", command, {"from": [each.name for each in others]})
    changed = await recalculate(
        connection, command.billing_company, {first.draft_id: first}, change
    )
    return _changed(
        f"{counted(moved, 'line')} moved from {listed([each.name for each in others])} to"
        f" {first.name}",
        first,
        changed,
    )


def _differing(first: Draft, other: Draft) -> list[str]:
    """Return in which keys two drafts differ, in words."""
    names = (
        "billing company",
        "party",
        "debtor",
        "currency",
        "tax regime",
        "tax wording",
        "payment terms",
        "PO number",
        "credits",
        "invoice option",
        "workflow",
        "transfer",
        "discounts",
    )
    return [
        f"{name} {one} and {two}"
        for name, one, two in zip(names, first.keys, other.keys, strict=True)
        if one != two
    ]


def _change(
    action: str,
    command: InvoicerCommand,
    details: Mapping[str, Any] | None = None,
    *,
    sends_again: bool = False,
) -> Change:
    return Change(
        action, command.actor, command.reason, command.command_id, sends_again, details or {}
    )


def _event(
    draft: Draft,
    action: str,
    status: str,
    command: InvoicerCommand,
    details: Mapping[str, Any] | None = None,
) -> DraftEvent:
    return DraftEvent(
        draft.draft_id,
        action,
        draft.version + 1,
        status,
        command.actor,
        clock.now(),
        command.reason,
        details=details or {},
        command_id=command.command_id,
    )


def _changed(says: str, before: Draft, changed: Mapping[int, Draft]) -> Answer:
    after = changed[before.draft_id]
    row = draft_row(after)
    ended = after.status == CANCELLED
    now = (
        f"{after.name} has no line left and has ended"
        if ended
        else f"{after.name} is version {after.version}, {row['total']} {row['currency']},"
        f" {row['status']}"
    )
    return Answer(
        f"{says}; {now}",
        details=row,
        before=draft_row(before),
        after=row,
        subjects=[after.name, after.account_name],
    )


HANDLERS: dict[type, CommandHandler] = {
    CancelDraft: on_cancel_draft,
    RemoveDraftLine: on_remove_draft_line,
    RegenerateDraft: on_regenerate_draft,
    CombineDrafts: on_combine_drafts,
}
