"""The fields of every command, and the services that carry commands out.

Every command derives from the class of its owner, the service that carries it out.
"""

from typing import ClassVar, Literal

from shared.events.field_types import Identifier, Message, Text

ServiceName = Literal["fee_realizer", "invoicer", "scheduler", "arg_sync"]
Role = Literal["viewer", "clerk", "manager", "approver", "controller", "admin"]
"""The roles of people and programs; `permissions` has what each may do."""


class Command(Message):
    """The fields of every command. The same id with the same body returns the same result."""

    command_id: Identifier
    actor: Identifier
    reason: Text = ""


class FeeRealizerCommand(Command):
    """A command that fee_realizer carries out."""

    owner: ClassVar[ServiceName] = "fee_realizer"


class InvoicerCommand(Command):
    """A command that the invoicer carries out."""

    owner: ClassVar[ServiceName] = "invoicer"


class ArgSyncCommand(Command):
    """A command that arg_sync carries out."""

    owner: ClassVar[ServiceName] = "arg_sync"


class ServiceCommand(Command):
    """A command that names the service that carries it out."""

    command: str
    service: ServiceName

    @property
    def owner(self) -> ServiceName:
        """The named service."""
        return self.service
