"""The reader of commands, and the body by which a repeated command is recognized."""

import json
from functools import cache

from services.invoicer.app import DISPATCHER
from shared.broker.topics import OPERATOR_COMMANDS
from shared.consumer.commands import body_of
from shared.consumer.records import Record, Rejection, reader
from shared.events.commands import OPERATOR_COMMAND
from tests.fuzz.hostile import Picks, changed
from tests.fuzz.messages import GOLDEN, RAW_VALUE, check, golden

READ = reader(OPERATOR_COMMAND)


@cache
def names() -> list[str]:
    """The golden messages of all commands."""
    return sorted(path.stem for path in GOLDEN.glob("operator-commands.*.json"))


def run(data: bytes) -> None:
    """Read one command."""
    picks = Picks(data)
    if picks.number(RAW_VALUE) == 1:
        value = picks.rest
    else:
        value = changed(golden(names()[picks.number(len(names()))]), picks)
    record = Record(OPERATOR_COMMANDS.name, 0, 0, b"k", value)
    command = READ(record)
    if isinstance(command, Rejection):
        check(record, command)
    else:
        body, sha = body_of(command)
        again = OPERATOR_COMMAND.validate_json(command.model_dump_json())
        assert again == command and body_of(again) == (body, sha)
        assert json.loads(body)["command_id"] == command.command_id
    DISPATCHER.read(record)
