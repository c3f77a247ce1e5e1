"""Saves what placements take off retainers, and queues the documents whose value that changes."""

from collections.abc import Collection, Mapping

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.sources.rules.facts import Facts, Held, RetainerState, RetainerUse
from services.fee_realizer.sources.store.retainers import queue_retained, save_retainers


async def save_uses(
    connection: AsyncConnection,
    kind: str,
    facts: Facts,
    before: Mapping[str, Mapping[str, RetainerUse]],
    priced: Collection[tuple[str, str]],
) -> bool:
    """Save what was taken off retainers; queue the other documents that have another value now.

    Return whether any was queued. The retainers are locked.
    """
    changed: dict[str, RetainerState] = {}
    uses: set[tuple[str, str]] = set()
    revalued, due = set(), set()
    for requirement_id, state in facts.retainers.items():
        of_state = {
            (requirement_id, placement_id)
            for placement_id in state.uses.keys() | before[requirement_id].keys()
            if state.uses.get(placement_id) != before[requirement_id].get(placement_id)
        }
        value = None if isinstance(state.value, Held) else state.value
        other_value = value != state.stored_value
        state.stored_value = value
        # What a held retainer waits for may be another thing now: its placements wait for it too.
        if other_value or (kind == "retainer" and value is None):
            revalued.add(requirement_id)
        if of_state or other_value:
            changed[requirement_id] = state
            due.add(("retainer", requirement_id))
            # Only then: a held placement keeps its old share, and two would queue each other.
            shares = state.shares
            due |= {
                ("placement", placement_id)
                for placement_id, use in state.uses.items()
                if use.set_off != shares[placement_id]
            }
        uses |= of_state
    if changed:
        await save_retainers(connection, changed, uses)
    due -= set(priced)
    return bool(due or revalued) and bool(
        await queue_retained(connection, revalued, due, "retainer", set(priced))
    )
