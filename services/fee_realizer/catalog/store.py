"""Catalog items as operators set them, each change a new version."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.facts.store import add_stubs
from shared.database import rows, run
from shared.events.commands import SetCatalogItem
from shared.money import plain

FIELDS = (
    "name", "item_class", "family", "variant", "product_kind", "amount", "currency",
    "percent_of_salary", "percent_of", "plan", "guarantee", "tax_code", "valid_from", "valid_until",
)  # fmt: skip

JSON_FIELDS = ("plan", "guarantee")
"""Fields that are stored as JSON."""


async def lock_item(connection: AsyncConnection, item_id: str) -> dict[str, Any]:
    """Lock a catalog item for change; return its fields with `known` and `version`."""
    await add_stubs(connection, "catalog_item", [item_id])
    (row,) = await rows(
        connection,
        f"SELECT known, version, {', '.join(FIELDS)} FROM fee_realizer.catalog_item"
        " WHERE item_id = :id FOR UPDATE",
        id=item_id,
    )
    return _with_plain_values(dict(row._mapping))


def item_values(command: SetCatalogItem) -> dict[str, Any]:
    """Return the fields that a command sets, in the form that `lock_item` returns."""
    values = {name: getattr(command, name) for name in FIELDS}
    if command.plan is not None:
        values["plan"] = [{"share": plain(part.share), "day": part.day} for part in command.plan]
    values["guarantee"] = [
        {"until_day": part.until_day, "percent": plain(part.percent)} for part in command.guarantee
    ] or None
    return _with_plain_values(values)


def _with_plain_values(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values as JSON has them: decimals and dates are strings."""
    return {
        name: plain(value)
        if isinstance(value, Decimal)
        else value.isoformat()
        if isinstance(value, date)
        else value
        for name, value in values.items()
    }


async def save_item(connection: AsyncConnection, command: SetCatalogItem) -> None:
    """Replace a catalog item by its next version."""
    stored = item_values(command)
    values = {name: getattr(command, name) for name in FIELDS}
    for name in JSON_FIELDS:
        values[name] = None if stored[name] is None else json.dumps(stored[name])
    assignments = ", ".join(
        f"{name} = CAST(CAST(:{name} AS text) AS jsonb)"
        if name in JSON_FIELDS
        else f"{name} = :{name}"
        for name in FIELDS
    )
    await run(
        connection,
        "UPDATE fee_realizer.catalog_item SET known = true, version = version + 1,"
        f" {assignments} WHERE item_id = :item_id",
        item_id=command.item_id,
        **values,
    )
