"""PDF of one closed document, set by typst from `document.typ`.

The same document gives the same bytes on any machine: only fonts of the typesetter and of the
folder `fonts` (or those that the caller names) are used, and the file's date is the invoice date.
Text that the fonts of the typesetter lack is set in Noto; what no font has is found by
`without_font` before anything is written, because PDF/A refuses it and PDF shows a box. A long
document takes seconds of processor time: call it from a thread, never on an event loop.
"""

import json
import re
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, time
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Literal

import typst

from shared.errors import Refused
from shared.render.printed import printed_document
from shared.terms import ClosedDocument, ClosedLine

# Setting takes about 100 KB of memory and half a millisecond a line: above this, more than one file
# should take. The CSV has no limit.
PRINTABLE_LINES = 30_000
# Tags for screen readers make a file nine times as large, so the long documents go without.
TAGGED_LINES = 500


FALLBACK_FONTS = Path(__file__).with_name("fonts")
# What the typesetter's fonts surely have: Latin characters, digits, and the signs that we print.
_COMMON = r"\x00-\u017f–—…·×€‘’“”"
_UNCOMMON_WORD = re.compile(rf"[^\s\"\\]*[^\s\"\\{_COMMON}][^\s\"\\]*")
_UNCOMMON = re.compile(f"[^{_COMMON}]")
_WORDS = b"#json(bytes(sys.inputs.words)).join(parbreak())"


@cache
def _fonts(folders: tuple[str, ...]) -> typst.Fonts:
    return typst.Fonts(include_system_fonts=False, font_paths=[str(FALLBACK_FONTS), *folders])


@cache
def _template() -> bytes:
    return Path(__file__).with_name("document.typ").read_bytes()


def pdf_document(
    document: ClosedDocument,
    lines: Iterable[ClosedLine],
    font_folders: Sequence[Path] = (),
    standards: Sequence[Literal["a-3b"]] = (),
) -> bytes:
    """Return the document as a PDF.

    `font_folders` add fonts for scripts that no font of ours has. Refused if
    the document cannot be set.
    """
    listed = list(islice(lines, PRINTABLE_LINES + 1))
    if len(listed) > PRINTABLE_LINES:
        raise Refused(
            "too_many_lines_for_pdf",
            f"{document.invoice_number} has more than {PRINTABLE_LINES:,} lines, the most that a"
            " PDF is made of",
            "download the document as CSV",
            invoice_number=document.invoice_number,
        )
    try:
        return typst.compile(
            _template(),
            sys_inputs={"document": _data(document, listed)},
            font_paths=_fonts(tuple(str(folder) for folder in font_folders)),
            ignore_system_fonts=True,
            timestamp=datetime.combine(document.invoice_date, time(), tzinfo=UTC),
            pdf_standards=list(standards),
            pdf_tags=len(listed) <= TAGGED_LINES,
        )
    except typst.TypstError as error:
        reason = str(error).splitlines()[0]
        raise Refused(
            "document_not_printable",
            f"{document.invoice_number} cannot be set as a PDF: {reason}",
            "download it as CSV, XLSX or UBL",
            invoice_number=document.invoice_number,
        ) from error


def _data(document: ClosedDocument, lines: Sequence[ClosedLine]) -> str:
    return json.dumps(printed_document(document, lines), ensure_ascii=False, separators=(",", ":"))


def uncommon_words(document: ClosedDocument, lines: Sequence[ClosedLine]) -> set[str]:
    """Return the words of the printed document that `without_font` must look at."""
    return set(_UNCOMMON_WORD.findall(_data(document, lines)))


def without_font(words: Collection[str]) -> set[str]:
    """Return the characters of these words that no font has, as the typesetter finds them.

    Where each character has a font, and no font has them together (an accent of another script),
    all uncommon characters of the word count.
    """
    if not words or _displayed(words):
        return set()
    if len(words) > 1:
        ordered = sorted(words)
        middle = len(ordered) // 2
        return without_font(ordered[:middle]) | without_font(ordered[middle:])
    (word,) = words
    uncommon = set(_UNCOMMON.findall(word))
    found = {character for character in uncommon if not _displayed([character])}
    rest = "".join(character for character in word if character not in found)
    return found if _displayed([rest]) else uncommon


def _displayed(words: Collection[str]) -> bool:
    try:
        typst.compile(
            _WORDS,
            sys_inputs={"words": json.dumps(list(words))},
            font_paths=_fonts(()),
            ignore_system_fonts=True,
            timestamp=datetime(2000, 1, 1, tzinfo=UTC),
            pdf_standards=["a-3b"],
        )
    except typst.TypstError:
        return False
    return True
