"""PDF of one closed document, set by typst from `document.typ`: the same document gives the same bytes on any machine.

Owns what makes the bytes repeatable: only fonts that travel with the typesetter (or that the caller names), and the invoice date as
the file's date instead of the clock. Setting a long document takes seconds of processor time: call it from a thread or the command line,
never on an event loop.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, time
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Literal

import typst

from shared.errors import Refused
from shared.render.printed import printed_document
from shared.terms import ClosedDocument, ClosedLine

# Setting takes about 100 KB of memory and half a millisecond a line: above this, more than one file should take. The CSV has no limit.
PRINTABLE_LINES = 30_000
# Tags for screen readers make a file nine times as large, so the long documents go without.
TAGGED_LINES = 500


@cache
def _fonts(folders: tuple[str, ...]) -> typst.Fonts:
    return typst.Fonts(include_system_fonts=False, font_paths=list(folders))


@cache
def _template() -> bytes:
    return Path(__file__).with_name("document.typ").read_bytes()


def pdf_document(
    document: ClosedDocument,
    lines: Iterable[ClosedLine],
    font_folders: Sequence[Path] = (),
    standards: Sequence[Literal["a-3b"]] = (),
) -> bytes:
    """The document as a PDF. `font_folders` add fonts for scripts that the typesetter's own (Latin, Greek, Cyrillic, Hebrew) lack."""
    listed = list(islice(lines, PRINTABLE_LINES + 1))
    if len(listed) > PRINTABLE_LINES:
        raise Refused(
            "too_many_lines_for_pdf",
            f"{document.invoice_number} has more than {PRINTABLE_LINES:,} lines, the most that a PDF is made of",
            "download the document as CSV",
            invoice_number=document.invoice_number,
        )
    data = json.dumps(printed_document(document, listed), ensure_ascii=False, separators=(",", ":"))
    return typst.compile(
        _template(),
        sys_inputs={"document": data},
        font_paths=_fonts(tuple(str(folder) for folder in font_folders)),
        ignore_system_fonts=True,
        timestamp=datetime.combine(document.invoice_date, time(), tzinfo=UTC),
        pdf_standards=list(standards),
        pdf_tags=len(listed) <= TAGGED_LINES,
    )
