"""What some accounting systems cannot take: too many lines, texts that are too long.

The sums stay equal to the cent.
"""

from dataclasses import replace
from decimal import Decimal
from itertools import groupby

from services.arg_sync.ledgers.adapter import AdapterSpec, LineCode
from services.arg_sync.ledgers.documents import ArDocument, Line
from services.arg_sync.ledgers.failures import Failure

CHARACTERS = {":": "colon", "\t": "tab", "\n": "line end", "\r": "line end"}
"""How messages name characters that are hard to see."""


def with_lines_summed(document: ArDocument, most_lines: int) -> ArDocument:
    """Return the document with at most `most_lines` lines (0: no limit).

    Lines of one account, item and tax become one line that gives their number.
    """
    if not most_lines or len(document.lines) <= most_lines:
        return document
    groups = groupby(sorted(document.lines, key=_codes), _codes)
    lines = [_sum(at, list(alike), document.number) for at, (_, alike) in enumerate(groups, 1)]
    if len(lines) > most_lines:
        raise Failure(
            "permanent",
            "too_many_lines",
            f"{document.number} has {len(lines)} combinations of account, item and tax,"
            f" the limit is {most_lines} lines",
        )
    return replace(document, lines=tuple(lines))


def _codes(line: Line) -> tuple[str, str, str, str, Decimal]:
    return line.account, line.item, line.tax, line.tax_code, line.tax_rate


def _sum(line_no: int, alike: list[Line], number: str) -> Line:
    amount = sum((line.amount for line in alike), Decimal(0))
    description = alike[0].description
    if len(alike) > 1:
        description = f"{len(alike):,} lines of {number}, as in the document"
    return replace(
        alike[0],
        line_no=line_no,
        description=description,
        quantity=Decimal(1),
        unit_price=amount,
        amount=amount,
        tax_amount=sum((line.tax_amount for line in alike), Decimal(0)),
    )


def require_codes(document: ArDocument, line_code: LineCode) -> None:
    """Refuse a document with a line that lacks a code: a default would post it wrongly."""
    for line in document.lines:
        where = f"line {line.line_no} of {document.number}"
        coded = {"account": line.account, "item": line.item, "either": line.account or line.item}
        if not coded[line_code]:
            what = "account" if line_code == "either" else line_code
            hint = " (an item is not enough)" if line_code == "account" and line.item else ""
            raise Failure(
                "permanent",
                f"no_{what}",
                f"{where} has no {what}{hint}: map one, or a default, and retry",
            )
        if line.tax_amount and not line.tax:
            raise Failure(
                "permanent",
                "no_tax",
                f"tax code {line.tax_code or '?'} of {where} is not mapped: map it and retry",
            )


def short(text: str, length: int) -> str:
    """Cut a text to this length, with an ellipsis at the end if it was longer."""
    return text if len(text) <= length else text[: length - 1] + "…"


def require_number_length(document: ArDocument, spec: AdapterSpec) -> None:
    """Refuse a document whose number is longer than the system allows."""
    number, length = document.number, spec.number_length
    if length and len(number) > length:
        raise Failure(
            "permanent",
            "number_too_long",
            f"{spec.title} takes numbers of {length} characters, {number} has {len(number)}",
        )


def require_name(name: str, spec: AdapterSpec) -> None:
    """Refuse an Account Name that the system would cut or does not take.

    Names that are alike in the first characters would share one customer.
    """
    if spec.name_length and len(name) > spec.name_length:
        why = f"customers' names of {spec.name_length} characters, and it has {len(name)}"
    elif wrong := sorted(set(name) & set(spec.name_without)):
        why = f"no {' and no '.join(CHARACTERS.get(each, each) for each in wrong)} in a name"
    else:
        return
    raise Failure(
        "permanent",
        "name_not_possible",
        f"{spec.title} takes {why}: {name} cannot be found there by its name;"
        " create the customer there and map it, then retry",
    )
