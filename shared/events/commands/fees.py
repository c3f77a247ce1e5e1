"""Commands about the MSP fees of invoice options: the fee, its volume tiers, loaded volume."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from shared.events.commands.base import InvoicerCommand
from shared.events.field_types import (
    Amount,
    CodeOrNone,
    Currency,
    Day,
    DecimalString,
    Identifier,
    Message,
)

FeePercent = Annotated[Decimal, DecimalString(places=2, digits=3, ge="0", le="100")]
Volume = Annotated[Decimal, DecimalString(places=4, digits=16, ge="0")]
FundedBy = Literal["client", "supplier"]


class SetFee(InvoicerCommand):
    """Set the MSP fee of an invoice option, whole, from a date on: who pays it, how, and how much.

    A markup is a line of the document with its own tax code (by default that of the billing
    company); a discount lowers the net of the document. The percentage is taken of timesheets net
    after discounts, and of what `base_adds` names. Without `from_date` the first version holds from
    the beginning, a later one from the billing company's today.
    """

    command: Literal["set-fee"] = "set-fee"
    billing_company: Identifier
    option: Identifier
    funded_by: FundedBy = "client"
    charged_as: Literal["markup", "discount"]
    percent: FeePercent
    tax_code: CodeOrNone = ""
    base_adds: Annotated[
        tuple[Literal["products", "expenses"], ...], Field(strict=False, max_length=2)
    ] = ()
    from_date: Day | None = None


class FeeTier(Message):
    """The percentage of a fee from a volume on."""

    volume: Volume
    percent: FeePercent


class SetFeeTiers(InvoicerCommand):
    """Set the tiers of an MSP fee in one currency, whole, from a date on.

    The volume that is reached before a document decides its percentage. It is that of the option in
    this currency, over the days before the invoice date (`364-days`, `91-days`) or in its year.
    Without `tiers` the fee has one percentage again.
    """

    command: Literal["set-fee-tiers"] = "set-fee-tiers"
    billing_company: Identifier
    option: Identifier
    funded_by: FundedBy = "client"
    currency: Currency
    volume_of: Literal["364-days", "91-days", "year-to-date"] = "364-days"
    tiers: Annotated[tuple[FeeTier, ...], Field(strict=False, max_length=20)] = ()
    from_date: Day | None = None


class SetOpeningVolume(InvoicerCommand):
    """Set the volume of an invoice option that another system billed, as volume of one day."""

    command: Literal["set-opening-volume"] = "set-opening-volume"
    billing_company: Identifier
    option: Identifier
    currency: Currency
    amount: Amount
    on_date: Day
