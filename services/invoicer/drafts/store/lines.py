"""The lines of drafts: from the open ones to a draft, back, and from a draft to its document.

The two temporary tables of closing, `selected_line` and `line_location`, bring lines to drafts:
`batches.store` fills them. To finalize or recalculate drafts, `select_lines` fills the same tables
from what the drafts have; the number of a group is then the id of its draft.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import rows, run
from shared.sql import named_queries

_QUERIES = named_queries(Path(__file__).with_suffix(".sql"))
_SHARES = {
    False: {"share": "0", "shares": ""},
    True: {
        "share": "coalesce(a.allowance, 0)",
        "shares": "LEFT JOIN line_allowance a ON a.pay_line_id = k.pay_line_id",
    },
}


class DraftedLine(NamedTuple):
    """A line of a draft."""

    draft_id: int
    line_no: int
    pay_line_id: int
    document_kind: str
    document_id: str
    line_key: str


async def draft_lines(
    connection: AsyncConnection,
    billing_company: str,
    draft_ids: Mapping[int, int],
    *,
    with_allowances: bool = False,
) -> int:
    """Move the selected lines of groups from the open ones to their drafts; return how many.

    `draft_ids`: by group number. The lines leave `selected_line`, so that closing takes the others.
    """
    return await run(
        connection,
        _QUERIES["draft_lines"].format_map(_SHARES[with_allowances]),
        company=billing_company,
        groups=list(draft_ids),
        drafts=list(draft_ids.values()),
    )


async def reopen_lines(
    connection: AsyncConnection,
    draft_ids: Iterable[int],
    *,
    line_nos: Sequence[int] | None = None,
) -> list[int]:
    """Move lines from drafts to the open ones; return their pay line ids.

    `line_nos`: only these lines, of each draft.
    """
    found = await rows(
        connection,
        _QUERIES["reopen_lines"],
        drafts=sorted(draft_ids),
        all_lines=line_nos is None,
        line_nos=list(line_nos or ()),
    )
    return sorted(row.pay_line_id for row in found)


async def lines_of(connection: AsyncConnection, draft_ids: Iterable[int]) -> list[DraftedLine]:
    """Return the lines of drafts, in the order of drafts and lines."""
    found = await rows(connection, _QUERIES["lines_of"], drafts=sorted(draft_ids))
    return [DraftedLine(*row) for row in found]


async def move_lines(connection: AsyncConnection, draft_ids: Sequence[int], into: int) -> int:
    """Move all lines of drafts to the end of another one; return how many."""
    return await run(connection, _QUERIES["move_lines"], drafts=sorted(draft_ids), into=into)


class LineKinds(NamedTuple):
    """Whether a draft has debits, and whether it has credits."""

    debits: bool = False
    credits: bool = False


async def kinds_of_lines(
    connection: AsyncConnection, draft_ids: Iterable[int]
) -> dict[int, LineKinds]:
    """Return which kinds of lines drafts have, by draft id; a draft without lines is left out."""
    query = """
        SELECT d.draft_id, bool_or(p.corrects_invoice_id IS NULL) AS debits,
          bool_or(p.corrects_invoice_id IS NOT NULL) AS credits
        FROM invoicer.draft_line d JOIN invoicer.pay_line p USING (pay_line_id)
        WHERE d.draft_id = ANY(CAST(:ids AS bigint[])) GROUP BY d.draft_id"""
    found = await rows(connection, query, ids=sorted(draft_ids))
    return {draft_id: LineKinds(*kinds) for draft_id, *kinds in found}


async def drafts_of(connection: AsyncConnection, pay_line_ids: Iterable[int]) -> dict[int, int]:
    """Return the draft of each of these pay lines that is on one."""
    query = """
        SELECT pay_line_id, draft_id FROM invoicer.draft_line
        WHERE pay_line_id = ANY(CAST(:ids AS bigint[]))"""
    found: list[Any] = await rows(connection, query, ids=sorted(set(pay_line_ids)))
    return {row.pay_line_id: row.draft_id for row in found}
