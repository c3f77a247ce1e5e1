"""Self-billing agreements in PostgreSQL. Their sellers are rows of the billing companies."""

import json
from datetime import date
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import rows, run
from shared.events.ats import SupplierChanged
from shared.events.commands import SetSelfBillingAgreement


class Agreement(NamedTuple):
    """An agreement. `buyer`: the billing company that pays.

    `account_name`: the supplier's; empty: the one that the ATS has.
    """

    supplier_id: str
    buyer: str
    from_date: date
    account_name: str = ""
    reference: str = ""

    @property
    def values(self) -> dict[str, str]:
        """The agreement by field, with JSON values."""
        return {name: str(value) for name, value in self._asdict().items()}


async def agreement_of(connection: AsyncConnection, agreement_id: str) -> Agreement | None:
    """Return the agreement on file; None: there is none."""
    found = await rows(
        connection,
        f"SELECT {', '.join(Agreement._fields)} FROM fee_realizer.self_billing_agreement"
        " WHERE billing_company = :id",
        id=agreement_id,
    )
    return Agreement(*found[0]) if found else None


async def save_agreement(
    connection: AsyncConnection,
    agreement_id: str,
    agreement: Agreement,
    command: SetSelfBillingAgreement,
) -> None:
    """Save an agreement; it replaces the one on file."""
    given = agreement._asdict() | {"actor": command.actor, "reason": command.reason}
    await run(
        connection,
        f"INSERT INTO fee_realizer.self_billing_agreement (billing_company, {', '.join(given)})"
        f" VALUES (:billing_company, {', '.join(f':{name}' for name in given)})"
        " ON CONFLICT (billing_company) DO UPDATE SET"
        f" {', '.join(f'{name} = excluded.{name}' for name in given)}, set_at = now()",
        billing_company=agreement_id,
        **given,
    )


async def supplier_of(connection: AsyncConnection, supplier_id: str) -> SupplierChanged | None:
    """Return the supplier as the ATS last sent it; None: it has not."""
    found = await rows(
        connection,
        "SELECT CAST(body AS text) AS body FROM fee_realizer.supplier"
        " WHERE supplier_id = :id AND known",
        id=supplier_id,
    )
    return SupplierChanged.model_validate(json.loads(found[0].body)) if found else None
