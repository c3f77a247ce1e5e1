"""Rejections: each kind of mistake has its code and a helpful message without any value."""

import pytest
from asyncpg import DataError

from shared.broker.topics import FLOW
from shared.consumer.records import Record, Rejection, Tombstone, reader
from shared.consumer.rejections import database_rejection
from shared.events import ats
from shared.events.field_types import MESSAGE_BYTES
from tests import builders
from tests.bad_messages import CANARY, DATABASE_ONLY, MODELS, TIME, UNREADABLE, BadMessage

COMPACTED = {topic.name for topic in FLOW if topic.compacted}


@pytest.mark.parametrize("bad_message", UNREADABLE, ids=str)
def test_each_unreadable_record_has_its_own_code_and_a_helpful_message(
    bad_message: BadMessage,
) -> None:
    """What, where, and what to send.

    Never a value of the record, which may be personal.
    """
    read = reader(MODELS[bad_message.topic], compacted=bad_message.topic in COMPACTED)
    rejection = read(Record(bad_message.topic, 0, 0, bad_message.key, bad_message.value))
    assert isinstance(rejection, Rejection)
    assert rejection.code == bad_message.code
    assert bad_message.expected_text in rejection.message
    assert CANARY not in rejection.message
    assert "{" not in rejection.message.replace("{...}", "").replace("{1,", "").replace(
        "{0,", ""
    ), "a place in the message was not filled in"


def test_there_are_more_than_forty_kinds() -> None:
    """Programs distinguish kinds by their code."""
    assert len({bad_message.code for bad_message in (*UNREADABLE, *DATABASE_ONLY)}) >= 40


@pytest.mark.parametrize("bad_message", DATABASE_ONLY, ids=str)
def test_what_only_the_database_refuses_reads_well(bad_message: BadMessage) -> None:
    """Readers do not know every limit of the database.

    These records are read, and the batch is halved until they are isolated.
    """
    assert not isinstance(
        reader(MODELS[bad_message.topic])(Record(bad_message.topic, 0, 0, b"k", bad_message.value)),
        Rejection,
    )


@pytest.mark.parametrize("hours", ["0", "0.00", "24", "24.0000", "0.2500"])
def test_zero_hours_and_a_full_day_are_valid(hours: str) -> None:
    """Zero hours are valid, with a value of 0; so are 24."""
    value = builders.timesheet(entries=[builders.entry(hours)]).model_dump_json().encode()
    assert isinstance(
        reader(ats.TimesheetApproved)(Record(TIME, 0, 0, b"k", value)), ats.TimesheetApproved
    )


def test_a_value_of_exactly_the_limit_is_valid() -> None:
    """The limit itself, in bytes, is allowed."""
    value = builders.timesheet().model_dump_json().encode()
    value = (
        value[:-1]
        + b', "free": "'
        + b"x" * (MESSAGE_BYTES - len(value) - len(b', "free": ""'))
        + b'"}'
    )
    assert len(value) == MESSAGE_BYTES
    assert isinstance(
        reader(ats.TimesheetApproved)(Record(TIME, 0, 0, b"k", value)), ats.TimesheetApproved
    )


def test_a_null_value_closes_on_a_compacted_topic() -> None:
    """The key of a tombstone names what it closes."""
    assert reader(ats.RequirementChanged, compacted=True)(
        Record("requirement-changed", 0, 0, b"REQ-1", None)
    ) == Tombstone("REQ-1")


@pytest.mark.parametrize("name", ["x" * 300, "CANARY of a person", "\u202e", "", "a.b"])
def test_a_made_up_name_of_a_field_is_not_repeated(name: str) -> None:
    """Only what looks like a field name is quoted.

    The sender chooses the names of unknown fields.
    """
    value = ('{"command": "explain", "command_id": "c", "actor": "a", "' + name + '": 1}').encode()
    rejection = reader(MODELS["operator-commands"])(Record("operator-commands", 0, 0, b"k", value))
    assert rejection.code == "unknown_field"
    assert rejection.message.startswith("explain.(a field): ")


@pytest.mark.parametrize("space", ["\u00a0", "\u2009", "\u3000"])
def test_every_kind_of_space_in_a_name_becomes_a_plain_one(space: str) -> None:
    """Names are compared exactly.

    Real names have no-break spaces; what looks the same must be the same.
    """
    assert (
        builders.node(name=f"Saint{space}Mary ", account_name=f"SAINT{space}MARY").account_name
        == "SAINT MARY"
    )


def test_what_the_driver_refuses_is_named_without_the_value() -> None:
    """The driver refuses a number before the server sees it; its message quotes the value."""
    error = DataError(f"invalid input for query argument $1: {10**30} (value out of int64 range)")
    assert database_rejection(error) == Rejection(
        "does_not_fit",
        "the database refuses a value of this record: value out of int64 range; send a value"
        " within the limits of its type",
    )
