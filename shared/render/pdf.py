"""PDF of one closed document, set by typst from `document.typ`.

The same document gives the same bytes on any machine: only fonts of the typesetter and of the
folder `fonts` (or those that the caller names) are used, and the file's date is the invoice date.
Text that the fonts of the typesetter lack is set in Noto; what no font has is found by
`without_font` before anything is written, because PDF/A refuses it and PDF shows a box. A long
document takes seconds of processor time: call it from a thread, never on an event loop.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, time
from functools import cache
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import typst

from shared.errors import Refused
from shared.render.printed import printed_document, timesheets_document
from shared.render.timesheets import printed_timesheets
from shared.terms import ClosedDocument, ClosedLine, ClosedTimesheet

# Setting takes about 35 KB of memory and a fifth of a millisecond a line: above this, more than one
# file should take. The CSV has no limit.
PRINTABLE_LINES = 30_000
# A document with more timesheets has their detail in a file beside it, whatever its buyer wants.
APPENDED_TIMESHEETS = 2_000


FALLBACK_FONTS = Path(__file__).with_name("fonts")
# What the typesetter's fonts surely have: Latin characters, digits, and the signs that we print.
_COMMON = r"\x00-\u017f–—…·×€‘’“”"
_UNCOMMON_WORD = re.compile(rf"[^\s\"\\]*[^\s\"\\{_COMMON}][^\s\"\\]*")
_UNCOMMON = re.compile(f"[^{_COMMON}]")
LOGO_NAME = "logo"
_LOGO = f'#image("{LOGO_NAME}")'.encode()
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
    *,
    logo: bytes = b"",
    timesheets: Sequence[ClosedTimesheet] = (),
) -> bytes:
    """Return the document as a PDF.

    `font_folders` add fonts for scripts that no font of ours has. `logo` is a PNG or JPEG.
    `timesheets` are set on the last pages. Refused if the document cannot be set.
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
    content = _content(document, listed, timesheets)
    return _set(document, content, font_folders, standards, logo, tagged=not content["long"])


def timesheets_pdf(
    document: ClosedDocument, timesheets: Sequence[ClosedTimesheet], logo: bytes = b""
) -> bytes:
    """Return the timesheets of a document as a PDF of their own. Refused as `pdf_document`."""
    content = timesheets_document(document, timesheets)
    return _set(document, content, (), (), logo, tagged=False)


def appended(document: ClosedDocument, timesheets: Sequence[ClosedTimesheet]) -> bool:
    """Whether the timesheets of a document are on its last pages, not in a file beside it."""
    return document.buyer.timesheets == "appendix" and len(timesheets) <= APPENDED_TIMESHEETS


def _set(
    document: ClosedDocument,
    content: Mapping[str, Any],
    font_folders: Sequence[Path],
    standards: Sequence[Literal["a-3b"]],
    logo: bytes,
    *,
    tagged: bool,
) -> bytes:
    try:
        with _folder_of(logo) as folder:
            return typst.compile(
                _template(),
                root=folder,
                sys_inputs={"document": _json(dict(content) | {"has_logo": bool(logo)})},
                font_paths=_fonts(tuple(str(folder) for folder in font_folders)),
                ignore_system_fonts=True,
                timestamp=datetime.combine(document.invoice_date, time(), tzinfo=UTC),
                pdf_standards=list(standards),
                pdf_tags=tagged,
            )
    except typst.TypstError as error:
        reason = str(error).splitlines()[0]
        raise Refused(
            "document_not_printable",
            f"{document.invoice_number} cannot be set as a PDF: {reason}",
            "download it as CSV, XLSX or UBL",
            invoice_number=document.invoice_number,
        ) from error


@contextmanager
def _folder_of(logo: bytes) -> Iterator[Any]:
    """Yield the folder of the logo, from which the typesetter reads it; None without a logo."""
    if not logo:
        yield None
        return
    with TemporaryDirectory(prefix="backoffice-logo-") as folder:
        (Path(folder) / LOGO_NAME).write_bytes(logo)
        yield folder


def check_logo(picture: bytes) -> None:
    """Refuse a picture that the typesetter cannot read: no document could be made with it."""
    try:
        with _folder_of(picture) as folder:
            typst.compile(_LOGO, root=folder, font_paths=_fonts(()), ignore_system_fonts=True)
    except typst.TypstError as error:
        raise Refused(
            "logo_unreadable",
            f"the logo cannot be printed: {str(error).splitlines()[0]}",
            "save the picture as PNG or JPEG again, and send that",
        ) from error


def _content(
    document: ClosedDocument,
    lines: Sequence[ClosedLine],
    timesheets: Sequence[ClosedTimesheet],
) -> dict[str, Any]:
    appendix = printed_timesheets(document, timesheets) if timesheets else {}
    return printed_document(document, lines) | appendix


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def uncommon_words(
    document: ClosedDocument,
    lines: Sequence[ClosedLine],
    timesheets: Sequence[ClosedTimesheet] = (),
) -> set[str]:
    """Return the words of the printed document that `without_font` must look at."""
    return set(_UNCOMMON_WORD.findall(_json(_content(document, lines, timesheets))))


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
