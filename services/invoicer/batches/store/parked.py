"""Debtors that batches left out because something is wrong with them, until a later batch bills them."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.rules.safety_checks import ParkedDebtor
from services.invoicer.invoices.store.closing import Batch
from shared.database import rows, run


@dataclass(frozen=True, slots=True)
class ParkedIn:
    """The cut-off of a batch and the debtors that it parked, without those that were billed since."""

    cut_off: date
    account_names: frozenset[str]


async def add_parked(
    connection: AsyncConnection, batch_id: str, parked: Sequence[ParkedDebtor]
) -> None:
    """Keeps whom a batch parked and why; at a retry the reason is the one that holds now."""
    if parked:
        await run(
            connection,
            "INSERT INTO invoicer.parked_debtor (batch_id, account_name, code, message, ids)"
            " SELECT :batch, name, code, message, ARRAY(SELECT jsonb_array_elements_text(CAST(ids AS jsonb)))"
            " FROM unnest(CAST(:names AS text[]), CAST(:codes AS text[]), CAST(:messages AS text[]), CAST(:ids AS text[])) AS p(name, code, message, ids)"
            " ON CONFLICT (batch_id, account_name) DO UPDATE SET code = excluded.code, message = excluded.message, ids = excluded.ids",
            batch=batch_id,
            names=[one.account_name for one in parked],
            codes=[one.code for one in parked],
            messages=[one.message for one in parked],
            ids=[json.dumps(one.ids) for one in parked],
        )


async def mark_billed(
    connection: AsyncConnection, batch: Batch, account_names: Collection[str]
) -> None:
    """A parked debtor is no longer one when a batch, a retry or any other, bills it up to the same cut-off or a later one."""
    await run(
        connection,
        "UPDATE invoicer.parked_debtor p SET billed_in_batch = :batch FROM invoicer.batch b"
        " WHERE b.batch_id = p.batch_id AND b.billing_company = :company AND b.cut_off_date <= :cut_off AND p.billed_in_batch IS NULL"
        " AND p.account_name = ANY(CAST(:names AS text[]))",
        batch=batch.batch_id,
        company=batch.company.billing_company,
        cut_off=batch.cut_off,
        names=sorted(account_names),
    )


async def parked_in(
    connection: AsyncConnection, billing_company: str, batch_id: str
) -> ParkedIn | None:
    """Whom a batch parked who is not billed yet; None if the company has no such batch."""
    found = await rows(
        connection,
        "SELECT b.cut_off_date, p.account_name FROM invoicer.batch b LEFT JOIN invoicer.parked_debtor p ON p.batch_id = b.batch_id AND p.billed_in_batch IS NULL"
        " WHERE b.batch_id = :id AND b.billing_company = :company",
        id=batch_id,
        company=billing_company,
    )
    if not found:
        return None
    return ParkedIn(
        found[0].cut_off_date,
        frozenset(row.account_name for row in found if row.account_name is not None),
    )
