"""Values of a command as the texts of its form, and back."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Protocol

from services.console.web.forms.fields import FormField
from shared.money import plain

Texts = Mapping[str, Sequence[str]]
"""What a form says: the texts of each of its inputs, by the dotted name of the input."""
WHOLE = re.compile(r"-?\d{1,18}")
SEPARATORS = re.compile(r"[,;\s]+")


class Posted(Protocol):
    """A form as the browser sent it."""

    def getlist(self, key: Any) -> list[Any]:
        """The values of a name."""

    def keys(self) -> Iterable[str]:
        """The names."""


def texts_of(
    fields: Iterable[FormField], body: Mapping[str, Any], prefix: str
) -> dict[str, list[str]]:
    """The texts of inputs for the values of a command."""
    found: dict[str, list[str]] = {}
    for each in fields:
        value, name = body.get(each.name.rpartition(".")[2]), f"{prefix}{each.name}"
        match each.kind:
            case "rows":
                for number, row in enumerate(value or ()):
                    found |= texts_of(each.fields, row, f"{name}.{number}.")
            case "group":
                found |= texts_of(each.fields, value or {}, prefix)
            case "ticks":
                found[name] = [str(one) for one in value or ()]
            case "tick":
                found[name] = ["yes" if value else ""]
            case "list":
                found[name] = [(", " if prefix else "\n").join(map(written, value or ()))]
            case "pairs":
                found[name] = ["\n".join(f"{key}={text}" for key, text in (value or {}).items())]
            case _:
                found[name] = [written(value)]
    return found


def written(value: Any) -> str:
    """A value as an input shows it."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case Decimal():
            return plain(value)
        case datetime() | date():
            return value.isoformat()
        case _:
            return str(value)


def read_posted(
    fields: Iterable[FormField], posted: Posted, names: Sequence[str], source: str, target: str
) -> dict[str, list[str]]:
    """The texts that were posted under `source`, renamed to `target`, without empty rows."""
    found: dict[str, list[str]] = {}
    for each in fields:
        if each.kind == "rows":
            number = 0
            for index in sorted(indexes(names, f"{source}{each.name}")):
                here, there = (f"{source}{each.name}.{index}.", f"{target}{each.name}.{number}.")
                row = read_posted(each.fields, posted, names, here, there)
                if any(text for texts in row.values() for text in texts):
                    found |= row
                    number += 1
        elif each.kind == "group":
            found |= read_posted(each.fields, posted, names, source, target)
        else:
            values = [_tidy(each, text) for text in posted.getlist(source + each.name)]
            found[target + each.name] = [text for text in values if text] or [""]
            if each.kind == "ticks":
                found[target + each.name] = [text for text in values if text]
    return found


def _tidy(each: FormField, value: Any) -> str:
    """A text as it was meant: no spaces around it, lines parted in one way."""
    return value.replace("\r\n", "\n").strip() if isinstance(value, str) else ""


def indexes(names: Iterable[str], prefix: str) -> set[int]:
    """The numbers of the rows of a table that a form has."""
    rests = (name[len(prefix) + 1 :] for name in names if name.startswith(f"{prefix}."))
    firsts = {rest.partition(".")[0] for rest in rests}
    return {int(each) for each in firsts if each.isascii() and each.isdecimal() and len(each) < 6}


def rows_of(texts: Texts, name: str) -> int:
    """How many rows of a table are filled in."""
    return max(indexes(texts, name), default=-1) + 1


def body_of(
    fields: Iterable[FormField], texts: Texts, was: Texts | None, prefix: str
) -> dict[str, Any]:
    """The values of a command for the texts of inputs, without what is empty or stays."""
    body: dict[str, Any] = {}
    for each in fields:
        name = f"{prefix}{each.name}"
        own = each.name.rpartition(".")[2]
        if each.kind == "rows":
            rows = [
                body_of(each.fields, texts, None, f"{name}.{number}.")
                for number in range(rows_of(texts, name))
            ]
            if rows or each.required:
                body[own] = rows
            continue
        if each.kind == "group":
            inner = body_of(each.fields, texts, None, prefix)
            if inner or each.required:
                body[own] = inner
            continue
        now = list(texts.get(name, ()))
        before = None if was is None else list(was.get(name, ()))
        if before is not None and not each.required and _same(now, before):
            continue
        value = _value(each, now)
        emptied = before is not None and any(before)
        if value not in (None, "", [], {}) or each.required or emptied:
            body[own] = "" if value is None else value
    return body


def _same(now: list[str], before: list[str]) -> bool:
    return [text for text in now if text] == [text for text in before if text]


def _value(each: FormField, texts: list[str]) -> Any:
    """The value that a command has for the texts of an input; what cannot be read stays text, and
    the command says what is wrong with it.
    """
    text = texts[0] if texts else ""
    match each.kind:
        case "ticks":
            return texts
        case "tick":
            return text == "yes"
        case "yes-no":
            return {"yes": True, "no": False}.get(text)
        case "whole":
            return int(text) if WHOLE.fullmatch(text) else text or None
        case "list":
            parts = SEPARATORS.split(text) if each.splits else text.split("\n")
            items = [part.strip() for part in parts if part.strip()]
            return [int(one) if each.whole_items and WHOLE.fullmatch(one) else one for one in items]
        case "pairs":
            lines = (line.partition("=") for line in text.split("\n") if line.strip())
            return {name.strip(): value.strip() for name, _, value in lines}
        case _:
            return text
