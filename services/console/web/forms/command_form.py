"""The form of a command, made from its model."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from services.console.actions.commands import MODELS
from services.console.columns.help import HELP
from services.console.web.forms.fields import FormField, Unformable, read_fields
from services.console.web.forms.texts import Posted, Texts, body_of, read_posted, texts_of

OF_EVERY_COMMAND = ("command", "command_id", "actor")
NO_FORM = {
    "load-opening-documents": "has documents with lines: they come as CSV files",
    "record-bounces": "has the reports of a mail server, which the command line reads from files",
}
"""Commands without a form, each with the reason."""


@dataclass(frozen=True, slots=True)
class CommandForm:
    """The form of a command. `about`: what the command does, in the words of its schema."""

    command: str
    about: str
    fields: tuple[FormField, ...]

    def texts(self, body: Mapping[str, Any] | None = None) -> dict[str, list[str]]:
        """The texts of a form with these values; of an empty form, the defaults."""
        given = {each.name: each.default for each in self.fields} | dict(body or {})
        return texts_of(self.fields, given, "")

    def given(self, posted: Posted) -> dict[str, list[str]]:
        """What was typed; rows that are empty are left out, and the others move up."""
        names = list(posted.keys())
        return read_posted(self.fields, posted, names, "", "")

    def body(self, texts: Texts, was: Texts | None = None) -> dict[str, Any]:
        """The fields of the command. `was`: what the form began with, to leave out what stays."""
        return body_of(self.fields, texts, was, "")


@lru_cache(maxsize=200)
def form_of(command: str, leave_out: Collection[str] = ()) -> CommandForm:
    """The form of a command, without some of its fields (a tuple). Raises `Unformable`."""
    if command in NO_FORM:
        raise Unformable(NO_FORM[command])
    schema = MODELS[command].model_json_schema()
    fields = read_fields(schema, schema.get("$defs", {}), "")
    kept = [each for each in fields if each.name not in (*OF_EVERY_COMMAND, *leave_out)]
    kept = [replace(each, help=HELP.get(f"{command}.{each.name}", each.help)) for each in kept]
    kept.sort(key=lambda each: each.name == "reason")
    return CommandForm(command, schema.get("description", ""), tuple(kept))
