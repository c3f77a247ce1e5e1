"""Discounts and surcharges of the documents that a selection would close, in its transaction.

`selection.select_lines` comes first. Most batches have none of both: then these tables do not
exist, and no query reads them. `invoices.store.closing` reads `line_allowance` (pay_line_id,
allowance).
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.rules.allowances import GroupAllowance, OriginalLines
from services.invoicer.debtors.rules.allowances import MOST_ALLOWANCES
from services.invoicer.invoices.rules.documents import Group
from services.invoicer.invoices.rules.totals import AllowancePart, TaxPart, allowances_of
from shared.database import columns, joined_rows, rows, run
from shared.sql import named_queries

_QUERIES = named_queries(Path(__file__).with_suffix(".sql"))
_TERM = {
    "group_no": "bigint",
    "name": "text",
    "sign": "integer",
    "percent": "numeric",
    "fixed": "numeric",
    "applies_to": "text",
}
_POSITION_OF_CREDITS = MOST_ALLOWANCES + 1


async def credits_with_allowances(connection: AsyncConnection) -> bool:
    """Return whether an open credit corrects a line with a share of allowances."""
    (row,) = await rows(connection, _QUERIES["credits_with_allowances"])
    return bool(row.found)


async def original_lines(
    connection: AsyncConnection, group_nos: Iterable[int]
) -> dict[int, OriginalLines]:
    """Return which kinds of original lines groups have, by the number of the group."""
    found = await rows(connection, _QUERIES["original_lines"], groups=sorted(group_nos))
    return {group_no: OriginalLines(*kinds) for group_no, *kinds in found}


async def create_tables(connection: AsyncConnection) -> None:
    """Create the temporary tables, empty."""
    await run(connection, _QUERIES["create_line_allowance"])
    await run(connection, _QUERIES["create_document_allowance"])


async def take_allowances(
    connection: AsyncConnection,
    groups: Sequence[Group],
    taken: Sequence[GroupAllowance],
    *,
    drafted: bool = False,
) -> list[Group]:
    """Compute the allowances of groups, and the tax per line after them.

    `drafted`: the lines are on drafts, whose credits keep their shares.
    Returns the groups, those with allowances with their net, tax and allowances.
    """
    await run(connection, _QUERIES["clear"])
    await run(connection, _QUERIES["keep_credits" if drafted else "take_credits"])
    await run(connection, _QUERIES["note_credits"], position=_POSITION_OF_CREDITS)
    by_position = sorted(taken, key=lambda each: each.position)
    query = _QUERIES["take_terms"].format(columns=columns(_TERM), names=", ".join(_TERM))
    for position, of_position in groupby(by_position, key=lambda each: each.position):
        terms = joined_rows(_TERM, map(_term_row, of_position))
        await run(connection, query, position=position, **terms)
    await run(connection, "ANALYZE line_allowance")
    with_terms = {each.group_no for each in taken}
    await run(connection, _QUERIES["tax_lines"], groups=sorted(with_terms))
    with_shares = {row[0] for row in await rows(connection, _QUERIES["groups_with_shares"])}
    return await _with_sums(connection, groups, sorted(with_terms | with_shares))


def _term_row(each: GroupAllowance) -> tuple[object, ...]:
    term = each.term
    return each.group_no, term.name, term.sign, term.percent, term.amount, term.applies_to


async def _with_sums(
    connection: AsyncConnection, groups: Sequence[Group], changed: Sequence[int]
) -> list[Group]:
    """Return the groups with the sums and the allowances that are stored for some of them."""
    parts: dict[int, list[TaxPart]] = {}
    for group_no, *part in await rows(connection, _QUERIES["net_and_tax"], groups=changed):
        parts.setdefault(group_no, []).append(TaxPart(*part))
    allowances: dict[int, list[AllowancePart]] = {}
    for group_no, name, *figures, position in await rows(
        connection, _QUERIES["document_allowances"]
    ):
        shown = allowances_of(name) if position == _POSITION_OF_CREDITS else name
        allowances.setdefault(group_no, []).append(AllowancePart(shown, *figures))
    return [
        group._replace(
            tax_parts=tuple(parts[group.group_no]),
            allowances=tuple(allowances.get(group.group_no, ())),
        )
        if group.group_no in parts
        else group
        for group in groups
    ]
