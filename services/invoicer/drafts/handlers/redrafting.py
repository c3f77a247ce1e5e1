"""What happens to drafts whose lines were replaced: `redrafting` wraps what settles documents.

A line that a realization or an edit replaces leaves its draft. Its successor takes its place, if it
is still of the same debtor, currency and PO number and may be billed; otherwise it is open. The
draft gets its next version, and its approval starts again. It runs in the transaction and under the
locks of what settled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.drafts.handlers.recalculating import Change, recalculate
from services.invoicer.drafts.handlers.routing import require_all_allowed
from services.invoicer.drafts.rules.invoicing_status import Action
from services.invoicer.drafts.store import drafts as store
from services.invoicer.drafts.store import lines, successors
from services.invoicer.settlement.rules.snoozes import SET_BY_SETTLEMENT
from shared.consumer.commands import Answer, CommandHandler
from shared.consumer.processing import Subscription
from shared.consumer.records import Applied
from shared.events.commands import EditPayLine, SnoozePayLines

ACTIONS: Mapping[type[Any], Action] = {EditPayLine: "edit", SnoozePayLines: "snooze"}


def redrafting(handlers: Mapping[type[Any], CommandHandler]) -> dict[type[Any], CommandHandler]:
    """Return the handlers; afterwards drafts have the successors of their replaced lines."""
    return {command: partial(_command, handler) for command, handler in handlers.items()}


def redrafting_subscription(subscription: Subscription) -> Subscription:
    """Return the subscription; afterwards drafts have the successors of their replaced lines."""
    apply = subscription.apply

    async def then_redraft(connection: AsyncConnection, received: Any) -> Applied:
        applied = await apply(connection, received)
        await redraft(connection, Change("line replaced", SET_BY_SETTLEMENT, sends_again=True))
        return applied

    return replace(subscription, apply=then_redraft)


async def _command(handler: CommandHandler, connection: AsyncConnection, command: Any) -> Answer:
    answer = await handler(connection, command)
    if isinstance(command, SnoozePayLines):
        await _take_off(connection, command.pay_line_ids)
    change = Change("line edited", command.actor, command.reason, command.command_id, True)
    changed = await redraft(connection, change, ACTIONS.get(type(command)))
    if changed:
        answer.message += "".join(
            f"; draft {name} is version {version} now" for name, version in changed
        )
        answer.subjects = [*answer.subjects, *(name for name, _ in changed)]
    return answer


async def _take_off(connection: AsyncConnection, pay_line_ids: Sequence[int]) -> None:
    """Take held lines off their drafts: they are open again, and their places stay free."""
    found = await lines.drafts_of(connection, pay_line_ids)
    if found:
        await successors.take_off(connection, list(found))


async def redraft(
    connection: AsyncConnection, change: Change, action: Action | None = None
) -> list[tuple[str, int]]:
    """Put the successors of replaced lines in their places on drafts.

    Returns the changed drafts with their versions. `action`: what an operator does to the lines,
    refused where the status of a draft forbids it.
    """
    replaced = await successors.replaced_on(connection)
    if not replaced:
        return []
    drafts = await store.drafts_by_id(connection, replaced, lock=True)
    if action is not None:
        await require_all_allowed(connection, drafts, action)
    await successors.place(connection)
    by_company: dict[str, dict[int, Any]] = {}
    for draft_id, draft in drafts.items():
        by_company.setdefault(draft.billing_company, {})[draft_id] = draft
    changed = []
    for company, of_company in sorted(by_company.items()):
        after = await recalculate(connection, company, of_company, change)
        changed += [(each.name, each.version) for each in after.values()]
    return changed
