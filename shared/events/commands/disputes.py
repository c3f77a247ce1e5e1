"""Commands about disputes: what a debtor does not accept of a line of an invoice."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, model_validator

from shared.events.commands.base import InvoicerCommand
from shared.events.commands.payments import LineNo, PositiveAmount
from shared.events.field_types import DecimalString, Identifier, absent, wrong

Quantity = Annotated[Decimal, DecimalString(places=4, digits=12, ge="0.0001")]


class OpenDispute(InvoicerCommand):
    """Dispute a part of what is left to pay of a line; the rest stays due. It needs a reason."""

    command: Literal["open-dispute"] = "open-dispute"
    billing_company: Identifier
    invoice_number: Identifier
    line_no: LineNo
    amount: PositiveAmount

    @model_validator(mode="after")
    def _clear(self) -> "OpenDispute":
        if not self.reason:
            raise wrong("reason_missing", "a dispute needs a reason")
        return self


class ResolveDispute(InvoicerCommand):
    """Uphold what is disputed, so that it is due again, or credit it. It needs a reason.

    `credit` credits the quantity whose value is disputed, or `quantity`, and upholds the rest.
    """

    command: Literal["resolve-dispute"] = "resolve-dispute"
    billing_company: Identifier
    dispute: Identifier
    resolution: Literal["uphold", "credit"]
    quantity: Annotated[Quantity | None, Field(exclude_if=absent)] = None
    to: Literal["write-off", "rebill"] = "write-off"

    @model_validator(mode="after")
    def _clear(self) -> "ResolveDispute":
        if not self.reason:
            raise wrong("reason_missing", "the resolution of a dispute needs a reason")
        if self.resolution == "uphold" and self.quantity is not None:
            raise wrong("quantity_of_a_credit", "only a credit has a quantity: leave it out")
        return self
