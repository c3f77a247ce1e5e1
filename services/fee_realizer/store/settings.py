"""Billing companies and catalog items as operators set them."""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.store.facts import add_stubs
from shared.database import rows, run
from shared.events.commands import SetCatalogItem, TaxRateFrom
from shared.money import plain

COMPANY_FIELDS = (
    "name", "address", "tax_id", "bank", "time_zone", "currency", "series_prefix", "series_width", "default_tax", "tax_basis",
    "default_time_group", "payment_terms", "gate", "enabled", "max_day_hours",
)  # fmt: skip
ITEM_FIELDS = (
    "name",
    "item_class",
    "family",
    "variant",
    "product_kind",
    "amount",
    "currency",
    "percent_of_salary",
    "plan",
    "tax_code",
)


async def lock_company(connection: AsyncConnection, billing_company: str) -> dict[str, Any]:
    """All settings of a billing company, locked for change, with `known` and its `taxes`; the defaults if nobody has set it."""
    await add_stubs(connection, "billing_company", [billing_company])
    (row,) = await rows(
        connection,
        f"SELECT known, {', '.join(COMPANY_FIELDS)} FROM fee_realizer.billing_company WHERE billing_company = :id FOR UPDATE",
        id=billing_company,
    )
    taxes = await rows(
        connection,
        "SELECT tax_code, from_date, percent FROM fee_realizer.tax_rate WHERE billing_company = :id ORDER BY tax_code, from_date",
        id=billing_company,
    )
    listed = [
        {
            "tax_code": tax.tax_code,
            "from_date": tax.from_date.isoformat(),
            "percent": plain(tax.percent),
        }
        for tax in taxes
    ]
    return (
        {"known": row.known}
        | {name: getattr(row, name) for name in COMPANY_FIELDS}
        | {"taxes": listed}
    )


async def save_company(
    connection: AsyncConnection,
    billing_company: str,
    changes: dict[str, Any],
    taxes: Sequence[TaxRateFrom],
) -> None:
    """Writes what changes and makes the billing company known. The names of `changes` are COMPANY_FIELDS."""
    await run(
        connection,
        f"UPDATE fee_realizer.billing_company SET known = true{''.join(f', {name} = :{name}' for name in COMPANY_FIELDS if name in changes)}"
        " WHERE billing_company = :billing_company",
        billing_company=billing_company,
        **changes,
    )
    newest = {(tax.tax_code, tax.from_date): tax.percent for tax in taxes}
    if newest:
        await run(
            connection,
            "INSERT INTO fee_realizer.tax_rate (billing_company, tax_code, from_date, percent)"
            " SELECT :id, * FROM unnest(CAST(:codes AS text[]), CAST(:days AS date[]), CAST(:percents AS numeric[]))"
            " ON CONFLICT (billing_company, tax_code, from_date) DO UPDATE SET percent = EXCLUDED.percent",
            id=billing_company,
            codes=[code for code, _ in newest],
            days=[day for _, day in newest],
            percents=list(newest.values()),
        )


async def lock_item(connection: AsyncConnection, item_id: str) -> dict[str, Any]:
    """A catalog item, locked for change, with `known` and `version`."""
    await add_stubs(connection, "catalog_item", [item_id])
    (row,) = await rows(
        connection,
        f"SELECT known, version, {', '.join(ITEM_FIELDS)} FROM fee_realizer.catalog_item WHERE item_id = :id FOR UPDATE",
        id=item_id,
    )
    found = {"known": row.known, "version": row.version} | {
        name: getattr(row, name) for name in ITEM_FIELDS
    }
    return {
        name: plain(value) if isinstance(value, Decimal) else value for name, value in found.items()
    }


def item_values(command: SetCatalogItem) -> dict[str, Any]:
    """What a command says of a catalog item, in the form in which `lock_item` gives it."""
    values = {name: getattr(command, name) for name in ITEM_FIELDS}
    values["plan"] = (
        None
        if command.plan is None
        else [{"share": plain(part.share), "day": part.day} for part in command.plan]
    )
    return {
        name: plain(value) if isinstance(value, Decimal) else value
        for name, value in values.items()
    }


async def save_item(connection: AsyncConnection, command: SetCatalogItem) -> None:
    """Writes a catalog item whole, as its next version."""
    values = {name: getattr(command, name) for name in ITEM_FIELDS}
    plan = item_values(command)["plan"]
    await run(
        connection,
        "UPDATE fee_realizer.catalog_item SET known = true, version = version + 1, plan = CAST(CAST(:plan AS text) AS jsonb),"
        f" {', '.join(f'{name} = :{name}' for name in ITEM_FIELDS if name != 'plan')} WHERE item_id = :item_id",
        **(
            values
            | {"plan": None if plan is None else json.dumps(plan), "item_id": command.item_id}
        ),
    )
