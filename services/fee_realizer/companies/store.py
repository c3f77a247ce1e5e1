"""Settings and tax rates of billing companies."""

import hashlib
from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.facts.store import add_stubs
from shared.database import insert_rows, kinds_of, rows, run
from shared.events.commands import TaxRateFrom
from shared.money import plain

SETTINGS = (
    "name", "address", "tax_id", "bank", "remit_to", "payment_instructions", "footer", "logo",
    "time_zone", "currency", "series_prefix", "series_width",
    "default_tax", "tax_basis", "tax_date", "default_time_group", "payment_terms",
    "approval_level", "enabled", "max_day_hours", "go_live",
    "invoice_per_timesheet", "default_account", "default_item",
)  # fmt: skip
TAX_RATE = kinds_of("billing_company text, tax_code text, from_date date, percent numeric")


async def lock_company(connection: AsyncConnection, billing_company: str) -> dict[str, Any]:
    """Lock a billing company for change; return its settings with `known` and `taxes`.

    A billing company that no command has set yet has the defaults and is not `known`.
    """
    await add_stubs(connection, "billing_company", [billing_company])
    (row,) = await rows(
        connection,
        f"SELECT known, {', '.join(SETTINGS)} FROM fee_realizer.billing_company"
        " WHERE billing_company = :id FOR UPDATE",
        id=billing_company,
    )
    taxes = await rows(
        connection,
        "SELECT tax_code, from_date, percent FROM fee_realizer.tax_rate"
        " WHERE billing_company = :id ORDER BY tax_code, from_date",
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
    go_live = None if row.go_live is None else row.go_live.isoformat()
    return dict(row._mapping) | {"go_live": go_live, "taxes": listed}


async def save_company(
    connection: AsyncConnection,
    billing_company: str,
    changes: dict[str, Any],
    taxes: Sequence[TaxRateFrom],
) -> None:
    """Save changed settings (names from SETTINGS) and tax rates; the company is known from now."""
    assignments = "".join(f", {name} = :{name}" for name in changes)
    await run(
        connection,
        f"UPDATE fee_realizer.billing_company SET known = true{assignments}"
        " WHERE billing_company = :billing_company",
        billing_company=billing_company,
        **changes,
    )
    newest = {(tax.tax_code, tax.from_date): tax.percent for tax in taxes}
    await insert_rows(
        connection,
        "fee_realizer.tax_rate",
        TAX_RATE,
        [(billing_company, code, day, percent) for (code, day), percent in newest.items()],
        replace="billing_company, tax_code, from_date",
    )


async def add_logo(connection: AsyncConnection, picture: bytes) -> str:
    """Store a logo, unless it is stored already, and return its name."""
    logo = hashlib.sha256(picture).hexdigest()
    await run(
        connection,
        "INSERT INTO fee_realizer.logo (logo, picture) VALUES (:logo, :picture)"
        " ON CONFLICT DO NOTHING",
        logo=logo,
        picture=picture,
    )
    return logo


async def record_today(connection: AsyncConnection, today: date | None) -> None:
    """Record the date that the workers use as today; None: the clock decides."""
    await run(
        connection,
        "INSERT INTO fee_realizer.business_date AS known (today) VALUES (:today)"
        " ON CONFLICT (only_row) DO UPDATE SET today = excluded.today"
        " WHERE known.today IS DISTINCT FROM excluded.today",
        today=today,
    )
