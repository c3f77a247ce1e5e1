"""Text and numbers of users, made safe and readable for print."""

import re
import unicodedata
from collections.abc import Iterable
from decimal import Decimal

RATE_DECIMALS = 4
# A word longer than this may be broken anywhere: an id without a blank must not run into the next
# column.
UNBROKEN_LENGTH = 24
_LONG_WORD = re.compile(rf"\S{{{UNBROKEN_LENGTH + 1},}}")
BREAK = "\u200b"
# Marks that turn the direction of what follows: on paper they would let a name rearrange the
# figures beside it.
_DIRECTION_MARKS = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)])


LOOKALIKES = str.maketrans(
    {"\u2010": "-", "\u2011": "-", "\u2212": "-", "\u00a0": " ", "\u202f": " ", "\u2009": " "}
)
"""Characters that older encodings lack, each with the one that is written for it."""


def one_line(text: str) -> str:
    """Return a text on one line: runs of blanks, tabs and line ends become one blank."""
    return " ".join(text.split())


def clean(text: str) -> str:
    """Return user text for print: no control characters or direction marks, long words
    breakable.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").translate(_DIRECTION_MARKS)
    kept = "".join(_printable(character) for character in text) if not text.isprintable() else text
    return _LONG_WORD.sub(lambda found: _breakable(found.group()), kept.strip())


def _printable(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cs":  # half of a surrogate pair cannot be encoded
        return "\ufffd"
    if category == "Cc" and character != "\n":
        return " "
    return character


def _breakable(word: str) -> str:
    pieces: list[str] = []
    since = 0
    for character in word:
        joins = unicodedata.category(character) in {"Mn", "Me", "Mc", "Cf"}
        if since >= UNBROKEN_LENGTH and not joins:
            pieces.append(BREAK)
            since = 0
        pieces.append(character)
        since += 1
    return "".join(pieces)


def decimals_of(values: Iterable[Decimal], least: int) -> int:
    """Return how many decimals show all values, so that a column aligns; at most four."""
    found = least
    for value in values:
        exponent = value.normalize().as_tuple().exponent
        found = max(found, -exponent if isinstance(exponent, int) else 0)
    return max(least, min(found, RATE_DECIMALS))


def figure(value: Decimal, decimals: int) -> str:
    """Return a number with thousands separators and that many decimals: 1,234.50."""
    return f"{value:,.{decimals}f}"
