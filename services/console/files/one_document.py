"""The PDF of one closed document, to look at."""

import asyncio
from contextlib import aclosing

from services.console.queries.closed_documents import (
    closed_documents,
    closed_lines,
    closed_timesheets,
    logo_of,
)
from services.console.queries.snapshot import ReadConnection, Row
from shared.errors import Refused
from shared.render import pdf_document
from shared.render.pdf import appended, uncommon_words, without_font
from shared.terms import counted

MOST_LINES = 5_000
"""A longer document is set with its batch, in a process that waits for it."""


async def document_pdf(connection: ReadConnection, invoice: Row) -> bytes:
    """The PDF that the files of its batch have, with its timesheets if they are appended there.

    `invoice` has its `batch_id` and `invoice_id`. Refused for a document of very many lines, and
    for text that no font has.
    """
    ((document,),) = [page async for page in closed_documents(connection, invoice)]
    if document.line_count > MOST_LINES:
        raise Refused(
            "too_many_lines",
            f"{document.invoice_number} has {counted(document.line_count, 'line')}",
            "download the files of its batch",
        )
    async with aclosing(closed_lines(connection, [document])) as lines:
        listed = [line async for _, line in lines]
    sheets = await closed_timesheets(connection, document)
    logo = await logo_of(connection, document.seller.logo)

    def render() -> bytes:
        if missing := without_font(uncommon_words(document, listed, sheets)):
            raise Refused(
                "no_font",
                f"no font has {counted(len(missing), 'character')} of {document.invoice_number}",
                "download its batch as CSV, XLSX or UBL",
            )
        last_pages = sheets if appended(document, sheets) else ()
        return pdf_document(document, listed, logo=logo, timesheets=last_pages)

    return await asyncio.to_thread(render)
