"""What an id is: a pay line, a timesheet, a placement."""

from services.console.queries.snapshot import ReadConnection, fetch
from shared.errors import Refused

LARGEST_LINE = 2**63 - 1


async def kinds_of(connection: ReadConnection, document_id: str) -> list[str]:
    """The kinds of document that have this id: none if it is unknown."""
    rows = await fetch(
        connection,
        "SELECT document_kind FROM fee_realizer.console_document WHERE document_id = :id ORDER BY"
        " 1",
        id=document_id,
    )
    return [row["document_kind"] for row in rows]


async def is_pay_line(connection: ReadConnection, number: int) -> bool:
    """Whether a number is a pay line's. Refused if it is a document's as well."""
    line = number <= LARGEST_LINE and bool(
        await fetch(
            connection,
            "SELECT 1 AS found FROM invoicer.console_pay_line WHERE pay_line_id = :id",
            id=number,
        )
    )
    if line and await kinds_of(connection, str(number)):
        raise Refused(
            "ambiguous_id",
            f"{number} is a pay line and a document",
            "add --document for the document, or name another line of it",
        )
    return line


async def companies_of(connection: ReadConnection, document_id: str) -> list[str]:
    """The billing companies of a document, by its lines and its hold; empty if none is known."""
    rows = await fetch(
        connection,
        "SELECT billing_company FROM invoicer.console_pay_line WHERE document_id = :id"
        " UNION SELECT billing_company FROM fee_realizer.console_held_document"
        " WHERE document_id = :id AND billing_company <> '' ORDER BY 1",
        id=document_id,
    )
    return [row["billing_company"] for row in rows]
