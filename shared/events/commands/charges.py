"""The command that adds or changes a charge by hand."""

from typing import Literal

from shared.events.ats import Charge
from shared.events.commands.base import FeeRealizerCommand
from shared.events.field_types import Message


class AddCharge(FeeRealizerCommand, Charge):
    """Add a charge or replace it, as its next revision; fields as in the event `charge-added`."""

    model_config = Message.model_config

    command: Literal["add-charge"] = "add-charge"
