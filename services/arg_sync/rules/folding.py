"""What some accounting systems cannot take as it is: too many lines, words that are too long. The sums stay to the cent."""

from dataclasses import replace
from decimal import Decimal
from itertools import groupby

from services.arg_sync.rules.documents import ArDocument, Line
from services.arg_sync.rules.failures import Failure


def folded(document: ArDocument, most_lines: int) -> ArDocument:
    """The document with at most so many lines: lines of one account, item and tax become one that says how many it stands for. 0: no limit."""
    if not most_lines or len(document.lines) <= most_lines:
        return document
    kinds = sorted(document.lines, key=_kind)
    lines = [
        _one(at, list(alike), document.number)
        for at, (_, alike) in enumerate(groupby(kinds, _kind), 1)
    ]
    if len(lines) > most_lines:
        raise Failure(
            "permanent",
            "too_many_lines",
            f"{document.number} has {len(lines)} combinations of account, item and tax, over {most_lines} lines",
        )
    return replace(document, lines=tuple(lines))


def _kind(line: Line) -> tuple[str, str, str, str]:
    return line.account, line.item, line.tax, line.tax_code


def _one(at: int, alike: list[Line], number: str) -> Line:
    amount, tax = (
        sum((line.amount for line in alike), Decimal(0)),
        sum((line.tax_amount for line in alike), Decimal(0)),
    )
    words = (
        f"{len(alike):,} lines of {number}, as in the document"
        if len(alike) > 1
        else alike[0].description
    )
    return replace(
        alike[0],
        line_no=at,
        description=words,
        quantity=Decimal(1),
        unit_price=amount,
        amount=amount,
        tax_amount=tax,
    )


def mapped_or_refused(
    document: ArDocument, *, needs_item: bool = False, needs_account: bool = True
) -> None:
    """Refuses a document of which a line has no code that the accounting system needs: a guess would post it to the wrong place."""
    for line in document.lines:
        if needs_item and not line.item:
            raise Failure(
                "permanent",
                "no_item",
                f"line {line.line_no} of {document.number} has no item: map one, or a default, and retry",
            )
        if needs_account and not line.account and not line.item:
            raise Failure(
                "permanent",
                "no_account",
                f"line {line.line_no} of {document.number} has no account: map one, or a default, and retry",
            )
        if line.tax_amount and not line.tax:
            raise Failure(
                "permanent",
                "no_tax",
                f"tax code {line.tax_code or '?'} of line {line.line_no} of {document.number} is not mapped: map it and retry",
            )


def short(words: str, length: int) -> str:
    """The words in so many characters, with a sign where they were cut."""
    return words if len(words) <= length else words[: length - 1] + "…"
