"""What every command carries, and the services that answer commands."""

from typing import Literal

from shared.events.field_types import Identifier, Message, Text

ServiceName = Literal["fee_realizer", "invoicer", "scheduler", "arg_sync"]


class Command(Message):
    """What every command carries: its id (the same id with the same body gives the same result), who asks, and why."""

    command_id: Identifier
    actor: Identifier
    reason: Text = ""
