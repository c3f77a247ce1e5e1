"""Retainers: the lock of who prices from one, what placements take off it, and decisions."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.facts.store import add_stubs, grouped, rows_of
from services.fee_realizer.sources.rules.facts import (
    Facts,
    RetainerState,
    RetainerUse,
    RetainerValue,
)
from shared.database import insert_rows, kinds_of, rows, run

USE = kinds_of(
    "requirement_id text, placement_id text, start_date date, fee numeric, set_off numeric,"
    " refund numeric, last_day date"
)


async def add_retainers(
    connection: AsyncConnection, facts: Facts, requirement_ids: Sequence[str], *, lock: bool
) -> None:
    """Lock the retainers of requirements, in their order, and add them to the facts."""
    if lock:
        await add_stubs(connection, "retainer", requirement_ids)
    found = await rows_of(
        connection,
        "SELECT requirement_id, amount, currency, kept, credited FROM fee_realizer.retainer"
        " WHERE requirement_id = ANY(CAST(:ids AS text[])) ORDER BY requirement_id"
        + (" FOR UPDATE" if lock else ""),
        requirement_ids,
    )
    # A statement of its own: it sees what the last holder of the locks has written.
    uses = grouped(
        await rows_of(
            connection,
            f"SELECT {', '.join(USE)} FROM fee_realizer.retainer_use"
            " WHERE requirement_id = ANY(CAST(:ids AS text[]))",
            requirement_ids,
        ),
        lambda placement_id, *values: (placement_id, RetainerUse(*values)),
    )
    for row in found:
        value = None if row.amount is None else RetainerValue(row.amount, row.currency)
        facts.retainers[row.requirement_id] = RetainerState(
            dict(uses.get(row.requirement_id, ())), row.kept, row.credited, value
        )


async def save_retainers(
    connection: AsyncConnection,
    changed: Mapping[str, RetainerState],
    uses: Collection[tuple[str, str]],
) -> None:
    """Save the values of retainers, and these uses of them (requirement, placement)."""
    for requirement_id, state in sorted(changed.items()):
        value = state.value if isinstance(state.value, RetainerValue) else None
        await run(
            connection,
            "UPDATE fee_realizer.retainer SET amount = CAST(:amount AS numeric),"
            " currency = :currency, kept = :kept, credited = :credited WHERE requirement_id = :id",
            id=requirement_id,
            amount=value and value.amount,
            currency=value and value.currency,
            kept=state.kept,
            credited=state.credited,
        )
    removed = [one for one in sorted(uses) if one[1] not in changed[one[0]].uses]
    for requirement_id, placement_id in removed:
        await run(
            connection,
            "DELETE FROM fee_realizer.retainer_use"
            " WHERE requirement_id = :id AND placement_id = :placement",
            id=requirement_id,
            placement=placement_id,
        )
    values: list[tuple[Any, ...]] = [
        (requirement_id, placement_id, *changed[requirement_id].uses[placement_id])
        for requirement_id, placement_id in sorted(uses)
        if placement_id in changed[requirement_id].uses
    ]
    await insert_rows(
        connection,
        "fee_realizer.retainer_use",
        USE,
        values,
        replace="requirement_id, placement_id",
    )


async def queue_retained(
    connection: AsyncConnection,
    requirement_ids: Collection[str],
    documents: Collection[tuple[str, str]],
    cause: str,
    priced: Collection[tuple[str, str]] = (),
) -> int:
    """Queue for pricing all placements of requirements, and these documents, without the `priced`.

    Return how many.
    """
    found = await rows(
        connection,
        "SELECT document_id FROM fee_realizer.document_fact WHERE fact_kind = 'requirement'"
        " AND document_kind = 'placement' AND fact_id = ANY(CAST(:ids AS text[]))",
        ids=sorted(requirement_ids),
    )
    of_requirements = {("placement", row.document_id) for row in found}
    wanted = sorted({*documents, *of_requirements}.difference(priced))
    await insert_rows(
        connection,
        "fee_realizer.pricing_queue",
        "document_kind text, document_id text, cause text",
        [(*key, cause) for key in wanted],
        on_conflict="ON CONFLICT DO NOTHING",
    )
    return len(wanted)
