"""Catalog items as operators set them, each change a new version."""

import json
from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.facts.store import add_stubs
from shared.database import rows, run
from shared.events.commands import SetCatalogItem
from shared.money import plain

FIELDS = (
    "name", "item_class", "family", "variant", "product_kind", "amount", "currency",
    "percent_of_salary", "plan", "tax_code",
)  # fmt: skip


async def lock_item(connection: AsyncConnection, item_id: str) -> dict[str, Any]:
    """Lock a catalog item for change; return its fields with `known` and `version`."""
    await add_stubs(connection, "catalog_item", [item_id])
    (row,) = await rows(
        connection,
        f"SELECT known, version, {', '.join(FIELDS)} FROM fee_realizer.catalog_item"
        " WHERE item_id = :id FOR UPDATE",
        id=item_id,
    )
    return _with_plain_numbers(dict(row._mapping))


def item_values(command: SetCatalogItem) -> dict[str, Any]:
    """Return the fields that a command sets, in the form that `lock_item` returns."""
    values = {name: getattr(command, name) for name in FIELDS}
    if command.plan is not None:
        values["plan"] = [{"share": plain(part.share), "day": part.day} for part in command.plan]
    return _with_plain_numbers(values)


def _with_plain_numbers(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: plain(value) if isinstance(value, Decimal) else value
        for name, value in values.items()
    }


async def save_item(connection: AsyncConnection, command: SetCatalogItem) -> None:
    """Replace a catalog item by its next version."""
    plan = item_values(command)["plan"]
    values = {name: getattr(command, name) for name in FIELDS}
    values["plan"] = None if plan is None else json.dumps(plan)
    assignments = ", ".join(f"{name} = :{name}" for name in FIELDS if name != "plan")
    await run(
        connection,
        "UPDATE fee_realizer.catalog_item SET known = true, version = version + 1,"
        f" plan = CAST(CAST(:plan AS text) AS jsonb), {assignments} WHERE item_id = :item_id",
        item_id=command.item_id,
        **values,
    )
