"""Commands about invoice options, the grouping of documents and self-billing."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from shared.events.commands.base import FeeRealizerCommand, InvoicerCommand
from shared.events.commands.settings import (
    PaymentTerms,
    SeriesPrefix,
    SeriesWidth,
    TaxRateFrom,
)
from shared.events.field_types import (
    CodeOrNone,
    Currency,
    Day,
    Identifier,
    Name,
    RequestType,
    RowId,
    Text,
)

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


class SetSelfBillingAgreement(FeeRealizerCommand):
    """Set an agreement by which a billing company issues a supplier's invoices to itself.

    Fields that are left out stay; a new one takes name, address and tax id of the supplier as the
    ATS sent it. It holds for documents of `from_date` and later (default: the billing company's
    today). Its id is SUPPLIER@COMPANY: the billing company of its documents, whose further settings
    set-billing-company changes. `account_name`: the supplier's, where the ATS has none.
    `reference`: the number of the agreement, which documents print.
    """

    command: Literal["set-self-billing-agreement"] = "set-self-billing-agreement"
    billing_company: Identifier
    supplier_id: Identifier
    from_date: Day | None = None
    account_name: Name | None = None
    reference: Name | None = None
    name: Name | None = None
    address: Text | None = None
    tax_id: Name | None = None
    bank: Text | None = None
    payment_terms: PaymentTerms | None = None
    series_prefix: SeriesPrefix | None = None
    series_width: SeriesWidth | None = None
    taxes: Annotated[tuple[TaxRateFrom, ...], Field(strict=False, max_length=5_000)] = ()
    default_tax: CodeOrNone | None = None


class RecordSupplierNumber(InvoicerCommand):
    """Record the number that a supplier gives to a document that is issued for it.

    `billing_company`: the agreement, SUPPLIER@COMPANY. A supplier uses each number once.
    """

    command: Literal["record-supplier-number"] = "record-supplier-number"
    billing_company: Identifier
    invoice_number: Identifier
    supplier_number: Identifier


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
