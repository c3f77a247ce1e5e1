"""The command that decides about the excess of a retainer."""

from typing import Literal

from pydantic import model_validator

from shared.events.commands.base import FeeRealizerCommand
from shared.events.field_types import Identifier, wrong


class SettleRetainer(FeeRealizerCommand):
    """Keep or credit what no fee takes of a requirement's retainer. It needs a reason.

    If a fee takes more of the retainer later, the decision covers less: it never changes a total.
    """

    command: Literal["settle-retainer"] = "settle-retainer"
    requirement_id: Identifier
    excess: Literal["keep", "credit"]

    @model_validator(mode="after")
    def _reasoned(self) -> "SettleRetainer":
        if not self.reason:
            raise wrong("reason_missing", "to keep or credit a retainer needs a reason")
        return self
