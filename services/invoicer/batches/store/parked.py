"""Stores the debtors that a batch parked, until a later batch bills them."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.rules.safety_checks import ParkedDebtor
from services.invoicer.invoices.store.closing import Batch
from shared.database import columns, joined_rows, kinds_of, rows, run
from shared.stored import as_json

_PARKED = kinds_of("account_name text, code text, message text, ids jsonb")


@dataclass(frozen=True, slots=True)
class ParkedIn:
    """The cut-off of a batch, and the debtors that it parked and that are not billed yet.

    `chosen`: what the batch is limited to, by name (`BatchFilter.chosen`).
    """

    cut_off: date
    account_names: frozenset[str]
    chosen: Mapping[str, Any]


async def add_parked(
    connection: AsyncConnection, batch_id: str, parked: Sequence[ParkedDebtor]
) -> None:
    """Store the debtors that a batch parked, each with the reason that is true now."""
    if parked:
        await run(
            connection,
            "INSERT INTO invoicer.parked_debtor (batch_id, account_name, code, message, ids)"
            " SELECT :batch, account_name, code, message,"
            " ARRAY(SELECT jsonb_array_elements_text(ids))"
            f" FROM unnest({columns(_PARKED)}) AS p({', '.join(_PARKED)})"
            " WHERE account_name IS NOT NULL ON CONFLICT (batch_id, account_name) DO UPDATE"
            " SET code = excluded.code, message = excluded.message, ids = excluded.ids",
            batch=batch_id,
            **joined_rows(
                _PARKED,
                [
                    (each.account_name, each.code, each.message, json.dumps(each.ids))
                    for each in parked
                ],
            ),
        )


async def mark_billed(
    connection: AsyncConnection, batch: Batch, account_names: Collection[str]
) -> None:
    """Record which parked debtors this batch bills, up to the same cut-off or a later one."""
    await run(
        connection,
        "UPDATE invoicer.parked_debtor p SET billed_in_batch = :batch FROM invoicer.batch b"
        " WHERE b.batch_id = p.batch_id AND b.billing_company = :company"
        " AND b.cut_off_date <= :cut_off AND p.billed_in_batch IS NULL"
        " AND p.account_name = ANY(CAST(:names AS text[]))",
        batch=batch.batch_id,
        company=batch.company.billing_company,
        cut_off=batch.cut_off,
        names=sorted(account_names),
    )


async def parked_in(
    connection: AsyncConnection, billing_company: str, batch_id: str
) -> ParkedIn | None:
    """Return the debtors that a batch parked and that are not billed yet.

    None if the company has no such batch.
    """
    found = await rows(
        connection,
        "SELECT b.cut_off_date, b.chosen, p.account_name FROM invoicer.batch b"
        " LEFT JOIN invoicer.parked_debtor p"
        " ON p.batch_id = b.batch_id AND p.billed_in_batch IS NULL"
        " WHERE b.batch_id = :id AND b.billing_company = :company",
        id=batch_id,
        company=billing_company,
    )
    if not found:
        return None
    return ParkedIn(
        found[0].cut_off_date,
        frozenset(row.account_name for row in found if row.account_name is not None),
        as_json(found[0].chosen) or {},
    )
