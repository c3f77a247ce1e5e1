"""Account Names that look alike and are different debtors.

Two names look alike if they are equal after Unicode's compatibility form (full-width characters,
ligatures), without characters that people cannot see, with one kind of space, dash and apostrophe,
and with the characters of other scripts that look like Latin ones in their place. Names of ASCII
only are never compared with each other: people can tell those apart.
"""

import re
import unicodedata
from collections.abc import Iterable

from shared.events.field_types import INVISIBLE

CYRILLIC = ("АВЕЅІЈКМНОРСТУХасеіјорѕухԁһԛԝӏ", "ABESIJKMHOPCTYXaceijopsyxdhqwl")
GREEK = ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧοανρυ", "ABEZHIKMNOPTYXoavpu")
ARMENIAN = ("օսոհցՕՍ", "ounhgOU")
SIGNS = ("‐‑‒–—−’‘ʼ′`´", "------''''''")
_LATIN = str.maketrans("".join(one for one, _ in (CYRILLIC, GREEK, ARMENIAN, SIGNS)),
                       "".join(one for _, one in (CYRILLIC, GREEK, ARMENIAN, SIGNS)))  # fmt: skip
SHOWN = 80
_SPACES = re.compile(r"\s+")


def appearance(name: str) -> str:
    """Return what the name looks like: equal for names that people cannot tell apart."""
    visible = INVISIBLE.sub("", unicodedata.normalize("NFKC", INVISIBLE.sub("", name)))
    return _SPACES.sub(" ", visible.translate(_LATIN)).strip()


def look_alikes(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the groups of names that look alike, each sorted; the groups in their order."""
    groups: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        groups.setdefault(appearance(name), []).append(name)
    return [
        tuple(group)
        for group in groups.values()
        if len(group) > 1 and not all(name.isascii() for name in group)
    ]


def spelled(name: str) -> str:
    """Return the name in quotation marks with the codes of its first characters beyond ASCII."""
    codes = [f"U+{ord(character):04X}" for character in dict.fromkeys(name) if character > "~"]
    shown = name if len(name) <= SHOWN else f"{name[: SHOWN - 1]}…"
    return f"'{shown}'" + (f" ({', '.join(codes[:3])}{', …' * (len(codes) > 3)})" if codes else "")
