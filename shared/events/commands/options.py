"""Commands about invoice options and the grouping of documents."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from shared.events.commands.base import InvoicerCommand
from shared.events.field_types import Currency, Day, Identifier, Name, RequestType, RowId

BillingType = Literal["time", "product", "expense", "adjustment"]
Country = Annotated[str, StringConstraints(strict=True, pattern=r"^[A-Z]{2}$")]
GroupBy = Annotated[tuple[Identifier, ...], Field(strict=False, max_length=20)]


class SetInvoiceOption(InvoicerCommand):
    """Set an invoice option, whole, from a date on: where the items of engagements go.

    No request types, or no billing types: all of them; no `currency`: any; no `location`: the whole
    country. Without `group_by` the option inherits the list of its country. `default`: for items
    whose engagement names no option. Without `from_date` the first version holds from the
    beginning, a later one from the billing company's today.
    """

    command: Literal["set-invoice-option"] = "set-invoice-option"
    billing_company: Identifier
    name: Identifier
    client_country: Country
    bill_to: Literal["client", "supplier"]
    location: Name = ""
    request_types: Annotated[tuple[RequestType, ...], Field(strict=False, max_length=4)] = ()
    currency: Currency | None = None
    billing_types: Annotated[tuple[BillingType, ...], Field(strict=False, max_length=4)] = ()
    max_lines: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] | None = None
    group_by: GroupBy | None = None
    workflow: Name = ""
    needs_transfer: bool = False
    default: bool = False
    active: bool = True
    from_date: Day | None = None


class SetCountryGrouping(InvoicerCommand):
    """Set the grouping list of a client country; options without a list of their own have it."""

    command: Literal["set-country-grouping"] = "set-country-grouping"
    billing_company: Identifier
    client_country: Country
    group_by: GroupBy = ()


class ExplainOption(InvoicerCommand):
    """Ask which invoice option an open pay line gets, and why: the steps of the choice."""

    command: Literal["explain-option"] = "explain-option"
    pay_line_id: RowId
