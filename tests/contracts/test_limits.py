"""Limits of what comes in: stated in one table, and none is missing in a message from outside."""

from collections.abc import Iterator
from typing import Any

import pytest

from shared.events.ats import BilltoChanged, PlacementCreated, RequirementChanged, TimesheetApproved
from shared.events.commands import OPERATOR_COMMAND

ATS = (BilltoChanged, PlacementCreated, RequirementChanged, TimesheetApproved)
SCHEMAS = [*(model.model_json_schema() for model in ATS), OPERATOR_COMMAND.json_schema()]
BOUNDS = {
    "string": ("maxLength", "pattern", "enum", "const", "format"),
    "array": ("maxItems",),
    "integer": ("maximum", "const"),
    "number": ("maximum",),
}


def without_limit(schema: dict[str, Any], path: str, names: dict[str, Any]) -> Iterator[str]:
    """The paths of texts, lists and numbers of any length."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        yield from without_limit(names[name], f"{path}:{name}", names)
    for kind in ("anyOf", "oneOf", "allOf"):
        for one in schema.get(kind, ()):
            yield from without_limit(one, path, names)
    bounds = BOUNDS.get(schema.get("type", ""), ())
    if bounds and not any(bound in schema for bound in bounds):
        yield path
    if schema.get("type") == "array":
        yield from without_limit(schema.get("items", {}), f"{path}[]", names)
    for name, one in schema.get("properties", {}).items():
        yield from without_limit(one, f"{path}.{name}", names)
    more = schema.get("additionalProperties")
    if isinstance(more, dict):
        yield from [] if "maxProperties" in schema else [path]
        yield from without_limit(more, f"{path}{{}}", names)


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.get("title", "commands"))
def test_every_field_from_outside_has_a_limit(schema: dict[str, Any]) -> None:
    """A new field of the ATS or of a command has a maximum of its own, however deep it is."""
    assert sorted(set(without_limit(schema, "", schema.get("$defs", {})))) == []
