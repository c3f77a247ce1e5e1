"""The fields of a form, read from the JSON schema of a command."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from services.console.columns.help import HELP
from shared.events.field_types import PICTURE_LENGTH, TEXT_LENGTH

Kind = Literal[
    "text", "area", "whole", "decimal", "date", "instant", "tick", "yes-no", "choice", "ticks",
    "list", "pairs", "picture", "rows", "group",
]  # fmt: skip
LONGEST_LIST = 100_000


class Unformable(Exception):
    """A command that no form can show."""


@dataclass(frozen=True, slots=True)
class FormField:
    """An input: its dotted name, label, kind and limits; `fields` of rows and groups."""

    name: str
    label: str
    kind: Kind
    required: bool = False
    help: str = ""
    choices: tuple[str, ...] = ()
    longest: int = TEXT_LENGTH
    fields: tuple["FormField", ...] = ()
    splits: bool = False
    """Items of a list are short: spaces and commas part them, too."""
    whole_items: bool = False
    default: Any = None

    @property
    def words(self) -> str:
        """How a value is written, where the kind alone does not say it."""
        return {"list": "one a line", "pairs": "name=value, one a line"}.get(self.kind, "")


def read_fields(schema: Mapping[str, Any], defs: Mapping[str, Any], prefix: str) -> list[FormField]:
    """The fields of the schema of a record. Raises `Unformable` if one has no input."""
    needed = schema.get("required", ())
    return [
        _field(f"{prefix}{name}", about, defs, required=name in needed, inside=bool(prefix))
        for name, about in schema["properties"].items()
    ]


def _field(
    name: str, about: Mapping[str, Any], defs: Mapping[str, Any], *, required: bool, inside: bool
) -> FormField:
    kinds = [each for each in about.get("anyOf", [about]) if each.get("type") != "null"]
    optional = len(kinds) < len(about.get("anyOf", [about]))
    one = next((each for each in kinds if "const" not in each), kinds[0])
    if "$ref" in one:
        one = defs[one["$ref"].rpartition("/")[2]]
    own = name.rpartition(".")[2]
    label = own.replace("_", " ").replace("po number", "PO number")
    more: dict[str, Any] = {
        "required": required,
        "help": about.get("description") or HELP.get(own, ""),
        "default": about.get("default"),
        "label": label[0].upper() + label[1:],
    }
    match one.get("type"):
        case "boolean":
            kind: Kind = "yes-no" if optional or required else "tick"
            return FormField(name, kind=kind, choices=("yes", "no"), **more)
        case "integer":
            return FormField(name, kind="whole", longest=20, **more)
        case "string":
            return _text_field(name, one, more, is_line=own == "reason")
        case "array":
            return _list_field(name, one["items"], defs, more, inside=inside)
        case "object" if "properties" in one:
            if inside:
                raise Unformable(f"{name} is a record in a list of records")
            return FormField(
                name, kind="group", fields=tuple(read_fields(one, defs, f"{name}.")), **more
            )
        case "object":
            return FormField(name, kind="pairs", longest=100 * TEXT_LENGTH, **more)
        case _:
            raise Unformable(f"{name} has no one type")


def _text_field(
    name: str, one: Mapping[str, Any], more: dict[str, Any], *, is_line: bool
) -> FormField:
    longest = one.get("maxLength", TEXT_LENGTH)
    if "enum" in one:
        return FormField(name, kind="choice", choices=tuple(one["enum"]), **more)
    if (form := one.get("format")) in ("date", "date-time"):
        return FormField(name, kind="date" if form == "date" else "instant", longest=40, **more)
    if one.get("description") == "decimal as a string":
        return FormField(name, kind="decimal", longest=40, **more)
    if longest == PICTURE_LENGTH:
        return FormField(name, kind="picture", longest=longest, **more)
    is_area = not is_line and longest >= TEXT_LENGTH and "pattern" not in one
    return FormField(name, kind="area" if is_area else "text", longest=longest, **more)


def _list_field(
    name: str,
    items: Mapping[str, Any],
    defs: Mapping[str, Any],
    more: dict[str, Any],
    *,
    inside: bool,
) -> FormField:
    if "$ref" in items:
        items = defs[items["$ref"].rpartition("/")[2]]
    if "enum" in items and not inside:
        return FormField(name, kind="ticks", choices=tuple(map(str, items["enum"])), **more)
    if items.get("type") == "object":
        if inside:
            raise Unformable(f"{name} is a list in a list of records")
        columns = tuple(
            _field(key, about, defs, required=key in items.get("required", ()), inside=True)
            for key, about in items["properties"].items()
        )
        return FormField(name, kind="rows", fields=columns, **more)
    whole = items.get("type") == "integer"
    splits = whole or "format" in items or inside
    return FormField(
        name, kind="list", splits=splits, whole_items=whole, longest=LONGEST_LIST, **more
    )
