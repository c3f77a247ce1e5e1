"""Reads what is on file about a document or a pay line that is not billed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.invoices.rules.documents import GroupOption
from services.invoicer.lines.rules import NOTHING, QuantityAmount
from shared.database import rows
from shared.events.realizations import LineEngagement
from shared.sql import named_queries
from shared.stored import as_json

QUERIES = named_queries(Path(__file__).with_name("explain.sql"))


async def state_of(connection: AsyncConnection, document_id: str) -> Any | None:
    """Return the hold, the latest and the settled realization of a document.

    `document_id` may also be the id of an adjustment in force.
    """
    return await _first(connection, QUERIES["document_states"], id=document_id)


async def next_occurrence(connection: AsyncConnection, assignment_id: str) -> Any | None:
    """Return the document of an assignment to explain, and its first date without one.

    None if there is no such assignment.
    """
    return await _first(connection, QUERIES["next_occurrence"], id=assignment_id)


async def companies_of(
    connection: AsyncConnection, document_id: str | None, pay_line_id: int | None
) -> set[str]:
    """Return the billing companies of a document or of a pay line; none if it is unknown."""
    found = await rows(
        connection, QUERIES["companies"], document_id=document_id, pay_line_id=pay_line_id
    )
    return {row.billing_company for row in found}


async def lines_of_document(
    connection: AsyncConnection, document_kind: str, document_id: str
) -> list[Any]:
    """Return all lines of a document, with the place of each."""
    query = QUERIES["lines"].format(condition="p.document_id = :id AND p.document_kind = :kind")
    return await rows(connection, query, id=document_id, kind=document_kind)


async def loaded_lines(connection: AsyncConnection, document_id: str) -> list[Any]:
    """Return the lines of a document that opening data brought, with the place of each."""
    return await rows(
        connection, QUERIES["lines"].format(condition="p.document_id = :id"), id=document_id
    )


async def line_of(connection: AsyncConnection, pay_line_id: int) -> Any | None:
    """Return one line, with its place."""
    query = QUERIES["lines"].format(condition="p.pay_line_id = :id")
    return await _first(connection, query, id=pay_line_id)


class OpenItem(NamedTuple):
    """What of a pay line decides its invoice option, and what it corrects.

    `corrected_option`: the option of the document that a credit corrects, if it has one.
    """

    billing_company: str
    document_id: str
    currency: str
    engagement: LineEngagement | None
    is_open: bool
    billing_type: str
    corrects_invoice: str | None
    corrected_option: GroupOption | None


async def line_option_of(connection: AsyncConnection, pay_line_id: int) -> OpenItem | None:
    """Return what decides the invoice option of a pay line; None if it is unknown."""
    row = await _first(connection, QUERIES["line_option"], id=pay_line_id)
    if row is None:
        return None
    engagement, option = as_json(row.engagement), as_json(row.corrected_option)
    return OpenItem._make(row)._replace(
        engagement=None if engagement is None else LineEngagement.model_validate(engagement),
        corrected_option=None if option is None else GroupOption.of(option),
    )


async def group_values(
    connection: AsyncConnection, pay_line_id: int, fields: Sequence[str]
) -> list[list[str]]:
    """Return grouping fields with their values for a pay line."""
    row = await _first(
        connection,
        "SELECT invoicer.group_values(p, CAST(:fields AS text[])) AS found"
        " FROM invoicer.pay_line p WHERE p.pay_line_id = :id",
        id=pay_line_id,
        fields=list(fields),
    )
    return [] if row is None else list(as_json(row.found))


async def reasons_of(
    connection: AsyncConnection, pay_line_ids: Sequence[int]
) -> dict[int, tuple[int, int]]:
    """Return for open lines the numbers of the reason (0: in) and of the debtor (0: none)."""
    found = await rows(
        connection,
        "SELECT pay_line_id, exclusion_reason, debtor_no FROM selected_line"
        " WHERE pay_line_id = ANY(CAST(:ids AS bigint[]))",
        ids=list(pay_line_ids),
    )
    return {row.pay_line_id: (row.exclusion_reason, row.debtor_no) for row in found}


async def last_edit(
    connection: AsyncConnection, document_kind: str, document_id: str
) -> Any | None:
    """Return the last edit of a document that is still in force, and the last line of its key."""
    return await _first(connection, QUERIES["last_edit"], kind=document_kind, id=document_id)


async def forgiven_of(
    connection: AsyncConnection, document_kind: str, document_id: str
) -> QuantityAmount:
    """Return what operators forgave of a document."""
    found = await _first(connection, QUERIES["forgiven"], kind=document_kind, id=document_id)
    return NOTHING if found is None else QuantityAmount(found.quantity, found.amount)


async def rejection_of(connection: AsyncConnection, line: Any) -> Any:
    """Return the rejection of a line's draft: draft, reason, actor and when."""
    return await _first(connection, QUERIES["rejection"], id=line.pay_line_id)


async def snooze_of(connection: AsyncConnection, line: Any) -> Any | None:
    """Return the snooze of a line's key: reason, actor, since when and until when."""
    kind, document_id, key = line.document_kind, line.document_id, line.line_key
    return await _first(connection, QUERIES["snooze"], kind=kind, id=document_id, key=key)


async def limiting_batch(connection: AsyncConnection, line: Any) -> Any | None:
    """Return the last batch of a line's company, if it was limited to other documents."""
    return await _first(
        connection,
        QUERIES["limiting_batch"],
        company=line.billing_company,
        document_id=line.document_id,
        worker_id=line.worker_id,
    )


async def _first(connection: AsyncConnection, query: str, **values: Any) -> Any | None:
    return next(iter(await rows(connection, query, **values)), None)
