"""Brings the lines of drafts to the temporary tables from which documents are closed.

`select_drafts` makes `selected_line`, `line_location` and `debtor_decision` as `batches.store`
makes them for a batch, with the columns that closing and the safety checks read, and, if a draft
has allowances, `line_allowance`. The number of a group is the id of its draft.
"""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.debtors.rules.companies import DocumentTerms
from services.invoicer.drafts.store.drafts import Draft
from services.invoicer.invoices.rules.documents import Group, GroupOption
from services.invoicer.invoices.rules.totals import AllowancePart, TaxPart
from shared.database import rows, run
from shared.sql import named_queries

_QUERIES = named_queries(Path(__file__).with_suffix(".sql"))
_TAX_NOW = _QUERIES["tax_now"]


class OtherRate(NamedTuple):
    """Lines of a draft that would have another tax code or rate now; no rate: there is none."""

    draft_id: int
    code: str
    rate: Decimal
    code_now: str
    rate_now: Decimal | None
    lines: int


async def select_drafts(
    connection: AsyncConnection, drafts: Mapping[int, Draft], *, with_digests: bool = False
) -> None:
    """Fill the temporary tables with the lines of drafts.

    `with_digests`: with what the seal of a closed document needs.
    """
    ids = sorted(drafts)
    digest = "invoicer.line_digest(p)" if with_digests else "CAST(0 AS bigint)"
    await run(connection, _QUERIES["line_locations"], drafts=ids)
    await run(connection, _QUERIES["debtors"], drafts=ids)
    await run(connection, _QUERIES["selected_lines"].format(digest=digest), drafts=ids)
    if any(draft.allowances for draft in drafts.values()):
        await run(connection, _QUERIES["line_allowances"], drafts=ids)
        await run(connection, "ANALYZE line_allowance")
    await run(connection, "ANALYZE selected_line, line_location")


async def groups_of(
    connection: AsyncConnection, drafts: Mapping[int, Draft], *, with_shares: bool = True
) -> dict[int, Group]:
    """Return the lines of the drafts, added up, as groups to close, by draft id.

    `with_shares`: after the allowances that the drafts have; else before any.
    """
    shares = with_shares and any(draft.allowances for draft in drafts.values())
    parts = (
        {
            "allowance": " + coalesce(a.allowance, 0)",
            "allowances": "LEFT JOIN line_allowance a ON a.pay_line_id = k.pay_line_id",
        }
        if shares
        else {"allowance": "", "allowances": ""}
    )
    groups: dict[int, Group] = {}
    for row in await rows(connection, _QUERIES["group_totals"].format_map(parts)):
        draft_id, lines, credits, service_from, service_to, newest, *part_of, hours = row
        part = TaxPart(*part_of)
        group = groups.get(draft_id)
        groups[draft_id] = (
            group.joined(part, lines, credits, service_from, service_to, newest, hours)
            if group
            else _group(
                drafts[draft_id],
                line_count=lines,
                credit_count=credits,
                service_from=service_from,
                service_to=service_to,
                tax_parts=(part,),
                newest_corrected=newest,
                hours=hours,
                allowances=_allowances(drafts[draft_id]) if shares else (),
            )
        )
    return groups


def _group(draft: Draft, **figures: Any) -> Group:
    return Group(
        group_no=draft.draft_id,
        account_name=draft.account_name,
        currency=draft.currency,
        terms=DocumentTerms(draft.tax_regime, draft.tax_wording, draft.payment_terms),
        po_number=draft.po_number,
        credit_split=draft.credit_split,
        option=GroupOption.of(draft.invoice_option, draft.draft_id)
        if draft.invoice_option
        else None,
        **figures,
    )


def _allowances(draft: Draft) -> tuple[AllowancePart, ...]:
    return tuple(
        AllowancePart(
            row["name"],
            row["code"],
            Decimal(row["rate"]),
            Decimal(row["base"]),
            None if row["percent"] is None else Decimal(row["percent"]),
            Decimal(row["amount"]),
        )
        for row in draft.allowances or ()
    )


async def other_rates(connection: AsyncConnection, default_tax: str) -> list[OtherRate]:
    """Return the lines whose tax code or rate would be another one now."""
    query = _QUERIES["other_rates"].format(tax_now=_TAX_NOW)
    return [OtherRate(*row) for row in await rows(connection, query, default_tax=default_tax)]


async def tax_again(connection: AsyncConnection, default_tax: str) -> None:
    """Compute the tax of the debits per line, as rates are now."""
    await run(connection, _QUERIES["tax_again"].format(tax_now=_TAX_NOW), default_tax=default_tax)


async def save_taxes(connection: AsyncConnection, *, with_allowances: bool) -> None:
    """Store the tax and the allowances of the lines as they were computed again."""
    parts = (
        {
            "share": "coalesce(a.allowance, 0)",
            "shares": "LEFT JOIN line_allowance a ON a.pay_line_id = k.pay_line_id",
        }
        if with_allowances
        else {"share": "0", "shares": ""}
    )
    await run(connection, _QUERIES["save_taxes"].format_map(parts))


async def debtor_names(connection: AsyncConnection) -> dict[int, str]:
    """Return the Account Names of the drafts' debtors by their numbers in the tables."""
    found = await rows(connection, "SELECT debtor_no, account_name FROM debtor_decision")
    return {row.debtor_no: row.account_name for row in found}


async def finish_lines(connection: AsyncConnection) -> int:
    """Remove the selected lines from their drafts; return how many."""
    return await run(connection, _QUERIES["finish_lines"])


async def drop_selection(connection: AsyncConnection, *, only_allowances: bool = False) -> None:
    """Drop the temporary tables, so that they can be made again in the same transaction."""
    tables = ["line_allowance", "document_allowance"]
    if not only_allowances:
        tables += ["selected_line", "line_location", "debtor_decision"]
        tables += ["tax_span", "currency_decimals"]
    names = ", ".join(f"pg_temp.{table}" for table in tables)
    await run(connection, f"DROP TABLE IF EXISTS {names}")
