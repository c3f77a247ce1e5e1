"""Text of others, harmless: what could move a cursor, change colours or the order of characters is
shown as its escape (ESC as \\x1b).
"""

import re

# Control characters but tab and line end; marks that turn the direction of what follows or that
# people cannot see (joiners stay: scripts and emoji need them); halves of surrogate pairs.
CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)


def visible(text: str) -> str:
    """The text with escapes, as in Python, in place of what a terminal would obey."""
    return CONTROL.sub(lambda found: ascii(found.group())[1:-1], text)


def visible_json(document: str) -> str:
    """A JSON text with the escapes of JSON: the document stays the same."""
    return CONTROL.sub(_json_escape, document)


def _json_escape(found: re.Match[str]) -> str:
    units = found.group().encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
