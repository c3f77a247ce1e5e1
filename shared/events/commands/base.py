"""The fields of every command, and the services that carry commands out."""

from typing import Literal

from shared.events.field_types import Identifier, Message, Text

ServiceName = Literal["fee_realizer", "invoicer", "scheduler", "arg_sync"]


class Command(Message):
    """The fields of every command. The same id with the same body returns the same result."""

    command_id: Identifier
    actor: Identifier
    reason: Text = ""
