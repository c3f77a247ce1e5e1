"""Limits of what comes in: stated in one table, and none is missing in a message from outside."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from shared.consumer.records import Record, Rejection, reader
from shared.events import ats
from shared.events.commands import OPERATOR_COMMAND, ConnectLedger
from shared.events.field_types import ID_LENGTH, MESSAGE_BYTES, SEALED_LENGTH, TEXT_LENGTH
from shared.events.registry import EVENT_MODELS
from tests import builders

ATS = [model for model in EVENT_MODELS.values() if getattr(model, "__module__", "") == ats.__name__]
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


@pytest.mark.parametrize(
    ("field", "most"),
    [("node_id", ID_LENGTH), ("name", 2 * ID_LENGTH), ("address", TEXT_LENGTH)],
)
def test_a_field_of_one_character_more_is_unreadable(field: str, most: int) -> None:
    """An id, a name and a text: the limit itself is valid, one character more is none."""
    body = builders.node().model_dump(mode="json")
    for length, valid in ((most, True), (most + 1, False)):
        value = json.dumps(body | {field: "x" * length}).encode()
        found = reader(ats.BilltoChanged)(Record("billto-changed", 0, 0, b"k", value))
        assert isinstance(found, ats.BilltoChanged if valid else Rejection), length


def test_a_value_of_one_byte_more_is_unreadable() -> None:
    """As it comes from the broker, with the fields that we do not know."""
    body = builders.node().model_dump_json().encode()
    for length, valid in ((MESSAGE_BYTES, True), (MESSAGE_BYTES + 1, False)):
        value = body + b" " * (length - len(body))
        found = reader(ats.BilltoChanged)(Record("billto-changed", 0, 0, b"k", value))
        assert isinstance(found, ats.BilltoChanged if valid else Rejection), length


def test_a_sealed_box_of_one_character_more_is_refused() -> None:
    """The box of a command that connects a ledger."""
    given: dict[str, Any] = {"ledger": "gl-us", "kind": "xero", "billing_company": "acme-us"}
    for length, valid in ((SEALED_LENGTH, True), (SEALED_LENGTH + 1, False)):
        sealed = {"sealed_secrets": "x" * length}
        made = builders.command("connect-ledger", **given, settings={}).model_dump() | sealed
        if valid:
            ConnectLedger.model_validate(made)
            continue
        with pytest.raises(ValidationError):
            ConnectLedger.model_validate(made)
