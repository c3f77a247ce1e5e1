"""Changes of good JSON and XML that readers must survive: the fuzzed bytes choose where and what.

Random bytes hardly ever are JSON of the right form, so most inputs are a good document with values
replaced by ones that broke readers elsewhere. The replacements are JSON text, because some of them
are no Python value: NaN, 1e999999, a lone surrogate, the same key twice.
"""

import asyncio
import atexit
import json
from contextlib import ExitStack
from copy import deepcopy
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lxml import etree

CANARY = "Zaphod"
"""A value that messages about a rejection must not repeat."""
LONG = "9" * 5_000
RAW: tuple[str, ...] = (
    f'"{CANARY}"',
    "null",
    "true",
    "0",
    "-1",
    "1.5",
    "-0.0",
    "NaN",
    "-Infinity",
    "1e999999",
    "-1e-999999",
    "1e999999999999999999999",
    str(2**63),
    str(10**400),
    LONG,
    '""',
    '" "',
    '"NaN"',
    '"Infinity"',
    '"sNaN"',
    '"1e999999"',
    '"1E+99999999"',
    '"0.00000000000000000000000000001"',
    f'"{LONG}"',
    '"\\u0000"',
    '"\\ud800"',
    '"\\u202egnp.exe"',
    '"\u0663"',
    '"\u00b2"',
    '"=cmd|x"',
    '"<script>"',
    f'"{"x" * 25_000}"',
    '"0001-01-01"',
    '"9999-12-31T23:59:59Z"',
    '"2026-02-30"',
    '"2026-03-02T24:00:00+99:00"',
    '"/Date(99999999999999999999)/"',
    '"/Date(-99999999999999999)/"',
    '"../../etc/passwd"',
    "[]",
    "{}",
    "[[]]",
    "[null]",
    '["x"]',
    "[1,2,3]",
    '{"x":1,"x":2}',
    '{"":null}',
    "[" * 150 + "]" * 150,
    "[" * 300 + "]" * 300,
    '{"a":' * 900 + "1" + "}" * 900,
    "[" * 100_000 + "]" * 100_000,
    "{" + ",".join(f'"u{number}":1' for number in range(3_000)) + "}",
)
CUTS = 8
"""One input in so many is cut off, or goes on after its end."""


@cache
def loop() -> asyncio.AbstractEventLoop:
    """One loop for all inputs."""
    return asyncio.new_event_loop()


@cache
def folder(name: str) -> Path:
    """A folder of this name, which is deleted when the process ends."""
    return Path(_FOLDERS.enter_context(TemporaryDirectory(prefix=f"fuzz-{name}-")))


_FOLDERS = ExitStack()
delete_folders = atexit.register(_FOLDERS.close)


class Picks:
    """Numbers from fuzzed bytes, two bytes each; 0 when they are used up."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def number(self, below: int) -> int:
        """A number from 0 to below - 1."""
        part, self._data = self._data[:2], self._data[2:]
        return int.from_bytes(part, "big") % below if below else 0

    @property
    def rest(self) -> bytes:
        """What is not used."""
        return self._data


def changed(value: Any, picks: Picks, most: int = 3) -> bytes:
    """The JSON of a value, up to `most` parts of it replaced, left out or added."""
    raw: dict[str, str] = {}
    for number in range(picks.number(most + 1)):
        mark = f"-raw-{number}-"
        value = _put(value, picks, mark)
        raw[f'"{mark}"'] = RAW[picks.number(len(RAW))]
    text = json.dumps(value, default=str)
    for mark, with_text in raw.items():
        text = text.replace(mark, with_text)
    data = text.encode()
    if picks.number(CUTS) == 1:
        data = data[: picks.number(len(data) + 1)] + picks.rest[:100]
    return data


XML_HEADS = (b"", b'<!DOCTYPE x [<!ENTITY a "b">]>', b"<?xml version='1.1'?>", b"\xff\xfe", b" ")


def changed_xml(content: bytes, picks: Picks, most: int = 3) -> bytes:
    """XML, up to `most` elements of it with another text or name, left out or doubled."""
    root = etree.fromstring(content)
    raw: dict[bytes, bytes] = {}
    for number in range(picks.number(most + 1)):
        elements = list(root.iter())
        one, how = elements[picks.number(len(elements))], picks.number(8)
        parent = one.getparent()
        if how == 1 and parent is not None:
            parent.remove(one)
        elif how == 2 and parent is not None:
            parent.append(deepcopy(one))
        elif how == 3:
            one.tag = f"x{one.tag}"
        else:
            one.text = f"-raw-{number}-"
            raw[one.text.encode()] = RAW[picks.number(len(RAW))].strip('"').encode()
    data: bytes = XML_HEADS[picks.number(4 * len(XML_HEADS)) % len(XML_HEADS)]
    data += etree.tostring(root)
    for mark, text in raw.items():
        data = data.replace(mark, text)
    if picks.number(CUTS) == 1:
        data = data[: picks.number(len(data) + 1)] + picks.rest[:100]
    return data


def _put(value: Any, picks: Picks, mark: str) -> Any:
    """The value with the mark in one place at some depth, or one name left out or added."""
    if isinstance(value, dict) and value and picks.number(16):
        name = list(value)[picks.number(len(value))]
        rest = {key: one for key, one in value.items() if key != name}
        how = picks.number(12)
        if how == 1:
            return rest
        if how == 2:
            return value | {mark: mark}
        return value | {name: _put(value[name], picks, mark)}
    if isinstance(value, list) and value and picks.number(16):
        at = picks.number(len(value))
        return [*value[:at], _put(value[at], picks, mark), *value[at + 1 :]]
    return mark
