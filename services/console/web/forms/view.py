"""A form as it is shown: what is in it, and each problem at its input."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from services.console.web.forms.command_form import CommandForm
from services.console.web.forms.fields import FormField
from services.console.web.forms.texts import Texts, rows_of

EMPTY_ROWS = 3


@dataclass(slots=True)
class FormView:
    """A form as it is shown: what is in it, what is wrong, and which inputs are given.

    `refusal`: why it was not carried out (`Refusal` of `pages`). `fixed`: names of inputs that
    cannot be changed here. `options`: values to choose from or, for `suggested`, to be helped by,
    each with its label, by the name of the input. `was`: what the form began with, if its command
    keeps what is left out. `rows`: how many empty rows each table has.
    """

    form: CommandForm
    texts: Texts
    refusal: Any = None
    fixed: Collection[str] = ()
    options: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)
    suggested: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)
    was: Texts | None = None
    rows: int = EMPTY_ROWS

    @property
    def open_fields(self) -> list[FormField]:
        """The inputs that can be changed."""
        return [each for each in self.form.fields if each.name not in self.fixed]

    def form_keys(self, keys: Sequence[str]) -> list[str]:
        """Those of the names that are fixed here."""
        return [name for name in keys if name in self.fixed]

    @property
    def was_json(self) -> str:
        """What the form began with, for its hidden field; empty if nothing is kept."""
        return "" if self.was is None else json.dumps(self.was, sort_keys=True)

    def text(self, name: str) -> str:
        """The text of an input."""
        return (self.texts.get(name) or [""])[0]

    def ticked(self, name: str, value: str) -> bool:
        """Whether a value of a choice of many is chosen."""
        return value in self.texts.get(name, ())

    def row_numbers(self, name: str) -> range:
        """The rows of a table: those that are filled in, and some that are empty."""
        return range(rows_of(self.texts, name) + self.rows)

    def problem(self, name: str) -> str:
        """What is wrong with an input; empty if nothing is."""
        found = self.refusal.fields if self.refusal else {}
        return "; ".join(_plainly(why) for at, why in found.items() if self.input_of(at) == name)

    @property
    def problems(self) -> list[tuple[str, str, str]]:
        """The problems with inputs: name (empty: of the whole form), label, what is wrong."""
        found = self.refusal.fields if self.refusal else {}
        labels = {each.name: each.label for each in self._inputs()}
        return [
            (name, labels.get(name, ""), _plainly(why))
            for at, why in found.items()
            for name in (self.input_of(at),)
        ]

    def input_of(self, place: str) -> str:
        """The name of the input to which a problem belongs; empty if it is of the whole form."""
        names = (each.name for each in self._inputs())
        inside = [name for name in names if place == name or place.startswith(f"{name}.")]
        return max(inside, key=len, default="")

    def may_be_empty(self, each: FormField, name: str) -> bool:
        """Whether a choice has an empty entry: there is no value yet, or it may be taken away."""
        if each.name != name or not self.text(name):
            return True  # in a table an empty row is not sent
        return each.default is None and not each.required and self.was is None

    def choices(self, each: FormField) -> list[tuple[str, str]]:
        """The values of a choice with their labels."""
        return [(value, value) for value in each.choices]

    def _inputs(self) -> Iterable[FormField]:
        """Every input that is shown, those of tables with the number of their row."""
        for each in self.form.fields:
            yield each
            numbers = self.row_numbers(each.name) if each.kind == "rows" else ()
            for number in numbers:
                for inner in each.fields:
                    label = f"{each.label} {number + 1}: {inner.label}"
                    yield replace(inner, name=f"{each.name}.{number}.{inner.name}", label=label)
            if each.kind == "group":
                yield from each.fields


def read_was(posted: Mapping[str, Any]) -> dict[str, list[str]] | None:
    """What a form began with, from its hidden field; None without one that can be read."""
    try:
        found = json.loads(str(posted.get("was", "")))
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    return {
        name: [text for text in texts if isinstance(text, str)]
        for name, texts in found.items()
        if isinstance(texts, list)
    }


def _plainly(why: str) -> str:
    """A problem in words for people: pydantic shows its pattern."""
    if why.startswith("String should match pattern '^-?[0-9]") or "pattern '^[0-9]{1," in why:
        return "is no number of this size: write it like 12.50"
    if why.startswith("String should match pattern"):
        return "is not written as it must be: see the help of this field"
    return {
        "Input should be a valid integer": "is no whole number",
        "Field required": "is needed",
        "String should have at least 1 character": "is needed",
    }.get(why, why[:1].lower() + why[1:])
