"""Commands about bill rates, and the effect of rate changes on invoiced lines."""

from typing import Literal

from pydantic import model_validator

from shared.events.commands.base import FeeRealizerCommand
from shared.events.field_types import Code, Day, Identifier, UnitPrice, wrong


class SetBillRate(FeeRealizerCommand):
    """Set the bill rate of a requirement and time type from a date on; open lines are re-priced.

    A rate set by command wins over a rate of the ATS for the same date. `preview` changes nothing.
    """

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


class ConfirmRates(FeeRealizerCommand):
    """Bill a rate change on invoiced lines: credit each at the old price, debit it at the new one.

    `preview` changes nothing.
    """

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


class RatesImpact(FeeRealizerCommand):
    """Where invoiced lines cite other rates than those in force now: documents, lines, hours, old,
    new and net. Of one requirement, or all.
    """

    command: Literal["rates-impact"] = "rates-impact"
    requirement_id: Identifier | None = None
