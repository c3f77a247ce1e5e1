"""Bill rates that an operator sets, and what a change of rates does to invoiced lines."""

from typing import Literal

from pydantic import model_validator

from shared.events.commands.base import Command
from shared.events.field_types import Code, Day, Identifier, UnitPrice, wrong


class SetBillRate(Command):
    """Sets the bill rate of a time type of a requirement from a date on; open lines are priced again at once. A command's rate wins
    over one of the ATS for the same date. `preview`: only says what it would do."""

    command: Literal["set-bill-rate"] = "set-bill-rate"
    requirement_id: Identifier
    time_type: Code
    effective_from: Day
    bill_rate: UnitPrice
    preview: bool = False

    @model_validator(mode="after")
    def _reasoned(self) -> "SetBillRate":
        if not self.reason and not self.preview:
            raise wrong("reason_missing", "a bill rate that is set by hand needs a reason")
        return self


class ConfirmRates(Command):
    """Bills a change of rates on invoiced lines: each becomes a credit of its whole quantity at the old price and a debit at the new one.
    `preview`: only says what it would do."""

    command: Literal["confirm-rates"] = "confirm-rates"
    requirement_id: Identifier
    time_type: Code
    effective_from: Day
    preview: bool = False

    @model_validator(mode="after")
    def _reasoned(self) -> "ConfirmRates":
        if not self.reason and not self.preview:
            raise wrong("reason_missing", "a change of invoiced lines needs a reason")
        return self


class RatesImpact(Command):
    """Where invoiced lines cite other rates than those in force now: documents, lines, hours, old, new and net. Of one requirement, or all."""

    command: Literal["rates-impact"] = "rates-impact"
    requirement_id: Identifier | None = None
