"""Sends drafts that wait for approval to their approvers; those that need none go on."""

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.drafts.rules.invoicing_status import (
    PENDING_APPROVAL_ROUTING,
    PENDING_FINALIZATION,
    Action,
    require_allowed,
)
from services.invoicer.drafts.store import drafts as store
from services.invoicer.drafts.store.drafts import Draft, DraftEvent
from services.invoicer.settlement.rules.snoozes import SET_BY_SETTLEMENT
from services.invoicer.workflows.store.routing import start_routing
from shared import clock


async def routed(connection: AsyncConnection, drafts: Mapping[int, Draft]) -> dict[int, Draft]:
    """Begin the routing of the present versions of locked drafts, and return the drafts.

    A draft of whose workflow no step applies is Pending Finalization.
    """
    waiting = [
        draft_id for draft_id, draft in drafts.items() if draft.status == PENDING_APPROVAL_ROUTING
    ]
    free = await start_routing(connection, waiting)
    for draft_id in free:
        draft = drafts[draft_id]
        await store.save_status(connection, draft, PENDING_FINALIZATION, draft.version)
    await store.add_events(
        connection,
        [
            DraftEvent(
                draft_id,
                "no approval needed",
                drafts[draft_id].version,
                PENDING_FINALIZATION,
                SET_BY_SETTLEMENT,
                clock.now(),
                changes_items=False,
            )
            for draft_id in free
        ],
    )
    if not free:
        return dict(drafts)
    return await store.drafts_by_id(connection, drafts)


async def require_all_allowed(
    connection: AsyncConnection, drafts: Mapping[int, Draft], action: Action
) -> None:
    """Refuse an action that the status of a draft, or its workflow, does not allow."""
    forbidden = await store.forbidden_actions(connection, drafts)
    for draft_id, draft in drafts.items():
        require_allowed(
            f"draft {draft.name}",
            draft.status,
            action,
            in_flight=draft.transfer_in_flight,
            forbidden=forbidden.get(draft_id, ()),
        )
