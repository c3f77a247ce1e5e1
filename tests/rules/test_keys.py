"""Whether a JSON text certainly has no repeated key (`shared.consumer.performance.unique_keys`).

Never certain where a key is repeated, certain of plain messages.
"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from shared.consumer.performance.unique_keys import has_unique_keys
from shared.consumer.records import Record, Rejection, reader
from tests.builders import realization, realization_line, timesheet


class Open(BaseModel):
    """A message most of whose keys are unknown."""

    model_config = ConfigDict(extra="ignore")
    a: Any = None


class Closed(BaseModel):
    """A message all of whose keys are known."""

    model_config = ConfigDict(extra="forbid")
    a: Any = None
    b: Any = None
    c: dict[str, Any] = {}


SPACE = st.sampled_from(["", "", "", " ", "\n", "\t", " \r\n"])
KEY = st.sampled_from(["a", "b", "c", 'quo\\"te', "sp ace", 'co\\":lon'])
SCALAR = st.sampled_from(["1", "null", "true", '"x"', '"a\\":1"', '": "', '" :"', '"é"', "1.5"])


@st.composite
def objects(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    """The text of an object, with keys that may be repeated and any spaces that JSON allows."""
    pairs = draw(st.lists(st.tuples(KEY, SPACE, SPACE, values, SPACE), max_size=4))
    return (
        "{"
        + ",".join(
            f'{before}"{key}"{before}:{after}{value}{behind}'
            for key, before, after, value, behind in pairs
        )
        + "}"
    )


TEXT = st.recursive(
    objects(SCALAR),
    lambda inner: objects(
        SCALAR | inner | st.lists(inner, max_size=2).map(lambda of: f"[{','.join(of)}]")
    ),
    max_leaves=4,
)


def _twice(text: str) -> bool:
    found = False

    def hook(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        found |= len(dict(pairs)) != len(pairs)
        return dict(pairs)

    json.loads(text, object_pairs_hook=hook)
    return found


@given(TEXT)
def test_a_repeated_key_is_never_certain_to_be_unique(text: str) -> None:
    """The reader would keep the last one silently."""
    if _twice(text):
        assert not has_unique_keys(text.encode(), Open.model_validate_json(text))


@given(st.lists(objects(SCALAR), min_size=3, max_size=3), st.lists(SPACE, min_size=3, max_size=3))
def test_a_repeated_key_of_a_closed_model_is_never_certain_to_be_unique(
    values: list[str], spaces: list[str]
) -> None:
    """The model's keys are counted.

    So are those of the free part.
    """
    text = (
        "{"
        + ",".join(
            f'"{name}"{space}:{value}'
            for name, space, value in zip("abc", spaces, values, strict=True)
        )
        + "}"
    )
    if _twice(text):
        assert not has_unique_keys(text.encode(), Closed.model_validate_json(text))


def test_plain_messages_are_certain_to_have_unique_keys() -> None:
    """Common messages take the fast path."""
    for event in (
        realization("T-1", 1, realization_line("40"), realization_line("5", time_type="OT")),
        timesheet("T-1"),
    ):
        body = event.model_dump_json().encode()
        assert has_unique_keys(body, type(event).model_validate_json(body))
    spread = json.dumps(
        json.loads(timesheet("T-1").model_dump_json())
        | {"approver": {"name": "Ann", "at": [{"step": 1}]}},
        indent=2,
    )
    assert has_unique_keys(spread.encode(), timesheet("T-1"))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("model", [Open, Closed])
def test_numbers_outside_json_are_never_certain(number: str, model: type[BaseModel]) -> None:
    """In known and in unknown keys."""
    read = reader(model)
    for text in (f'{{"a":{number}}}', f'{{"a":{{"x":[{number}]}}}}'):
        found = read(Record("t", 0, 0, b"k", text.encode()))
        assert isinstance(found, Rejection) and found.code in ("not_a_number", "infinite")
