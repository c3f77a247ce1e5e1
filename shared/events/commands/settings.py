"""Commands that set up billing companies, catalog items, time groups and debtor terms."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, model_validator

from shared.calendar import is_time_zone
from shared.events.ats import PlanPart, check_plan
from shared.events.commands.base import FeeRealizerCommand, InvoicerCommand
from shared.events.field_types import (
    Code,
    CodeOrNone,
    Currency,
    Day,
    DecimalString,
    EmailAddress,
    Fee,
    Identifier,
    MailSubject,
    MailText,
    Message,
    Name,
    Percent,
    Picture,
    Text,
    Word,
    absent,
    wrong,
)
from shared.money import rounded

PaymentTerms = Annotated[
    str, Field(pattern=r"^(on-receipt|end-of-next-month|net:\d{1,3}|day:([1-9]|[12]\d|3[01]))$")
]
SeriesPrefix = Annotated[str, Field(pattern=r"^[A-Za-z0-9/_.-]{0,20}$")]
SeriesWidth = Annotated[int, Field(ge=1, le=18)]
MissingTimesheets = Annotated[str, Field(pattern=r"^(wait|bill|wait:\d{1,3})$")]
"""Expected timesheets are missing: wait for all, bill what is there, or wait N days after the
cycle.
"""
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
PERIODS_AT_MOST = 5_000
ADDRESSES_AT_MOST = 20
Attachment = Literal["pdf", "ubl", "timesheets"]
"""What an e-mail carries: the document as it is printed, as an e-invoice, and the days and hours of
its timesheets."""


class TaxRateFrom(Message):
    """Percent of a tax code from a date on."""

    tax_code: Code
    percent: Percent
    from_date: Day


class SetBillingCompany(FeeRealizerCommand):
    """Create or change a billing company; fields that are left out stay.

    Defaults of a new one: UTC, net 30, no tax, series INV-. A worker with more than `max_day_hours`
    (default 24) on one day parks the debtor. `tax_date`: the tax rate of time is the one on the
    week ending (default) or on each work date; then a week on both sides of a change has two lines.
    Timesheets of weeks that end before `go_live` are held, unless opening data has them.
    `invoice_per_timesheet`: the lines of each timesheet are on a document of their own.
    `default_account` and `default_item`: the accounting system's revenue account and item of lines
    for which no mapping has one.
    Documents show `remit_to` (where payments go), `payment_instructions` and `footer` (the last
    lines of each page); `logo` is a PNG or JPEG in base64. An empty one removes it.
    """

    command: Literal["set-billing-company"] = "set-billing-company"
    billing_company: Identifier
    name: Name | None = None
    address: Text | None = None
    tax_id: Name | None = None
    bank: Text | None = None
    remit_to: Text | None = None
    payment_instructions: Text | None = None
    footer: Text | None = None
    logo: Picture | None = None
    time_zone: Word | None = None
    currency: Currency | None = None
    series_prefix: SeriesPrefix | None = None
    series_width: SeriesWidth | None = None
    taxes: Annotated[tuple[TaxRateFrom, ...], Field(strict=False, max_length=5_000)] = ()
    default_tax: CodeOrNone | None = None
    tax_basis: Literal["line", "document"] | None = None
    tax_date: Literal["effective-date", "work-date"] | None = None
    default_time_group: Word | None = None
    payment_terms: PaymentTerms | None = None
    gate: Literal["approved", "reviewed"] | None = None
    enabled: bool | None = None
    max_day_hours: Annotated[int, Field(ge=1, le=999)] | None = None
    go_live: Day | None = None
    invoice_per_timesheet: bool | None = None
    default_account: Annotated[Name | None, Field(exclude_if=absent)] = None
    default_item: Annotated[Name | None, Field(exclude_if=absent)] = None
    only_if_unknown: bool = False

    @model_validator(mode="after")
    def _zone(self) -> "SetBillingCompany":
        if self.time_zone is not None and not is_time_zone(self.time_zone):
            raise wrong(
                "unknown_time_zone",
                "time_zone is not one such as Europe/Amsterdam or America/New_York",
            )
        return self


class GuaranteePart(Message):
    """How much of a whole fee is due back if the worker leaves by a day (day 1 is the start)."""

    until_day: Annotated[int, Field(strict=True, ge=1, le=3650)]
    percent: Annotated[Percent, Field(le=100)]


class SetCatalogItem(FeeRealizerCommand):
    """Create or change a catalog item: a fixed amount, or a percent of salary, OTE or another base.

    A non-placement item, such as an expense, may have neither: then each charge and assignment has
    a price of its own. It is billed at once or by a pay plan. `guarantee`: what a placement's fee
    gives back if the worker leaves early, e.g. 100 % until day 30, 75 % until day 60, 50 % until
    day 90. A placement takes the item if it starts between `valid_from` and `valid_until`, both
    days included; an assignment if it is due then.
    """

    command: Literal["set-catalog-item"] = "set-catalog-item"
    item_id: Identifier
    name: Name
    item_class: Name = ""
    family: Name = ""
    variant: Name = ""
    product_kind: Literal["placement", "non-placement"] = "placement"
    amount: Fee | None = None
    currency: Currency | None = None
    percent_of_salary: Percent | None = None
    percent_of: Literal["salary", "ote", "base"] = "salary"
    plan: Annotated[tuple[PlanPart, ...], Field(strict=False, max_length=120)] | None = None
    guarantee: Annotated[tuple[GuaranteePart, ...], Field(strict=False, max_length=60)] = ()
    tax_code: CodeOrNone = ""
    valid_from: Day | None = None
    valid_until: Day | None = None

    @model_validator(mode="after")
    def _one_price(self) -> "SetCatalogItem":
        check_plan(self.plan)
        prices = (self.amount is not None) + (self.percent_of_salary is not None)
        if prices > 1 or (not prices and self.product_kind == "placement"):
            raise wrong("not_one_of_two", "give either an amount with its currency, or a percent")
        if self.amount is not None and self.currency is None:
            raise wrong("no_currency", "an amount needs its currency")
        days = [part.until_day for part in self.guarantee]
        if days != sorted(set(days)):
            raise wrong("bad_guarantee", "until_day of the guarantee must rise from part to part")
        if self.valid_from and self.valid_until and self.valid_from > self.valid_until:
            raise wrong("period_backwards", "valid_from is after valid_until")
        return self


class Period(Message):
    """A custom billing period, both days included."""

    first_day: Day
    last_day: Day

    @model_validator(mode="after")
    def _in_order(self) -> "Period":
        if self.first_day > self.last_day:
            raise wrong("period_backwards", "first_day is after last_day")
        return self


class SetTimeGroup(InvoicerCommand):
    """Create or change a billing cycle.

    weekly: the day it ends; fortnightly: the last day of one cycle; custom: its periods.
    """

    command: Literal["set-time-group"] = "set-time-group"
    time_group: Identifier
    cycle: Literal["weekly", "fortnightly", "monthly", "custom", "non-date"]
    ends_on: Weekday | None = None
    anchor: Day | None = None
    periods: Annotated[tuple[Period, ...], Field(strict=False, max_length=PERIODS_AT_MOST)] = ()

    @model_validator(mode="after")
    def _whole(self) -> "SetTimeGroup":
        if self.time_group == "none":
            raise wrong(
                "reserved_name",
                "'none' stands for the debtors without a time group: take another name",
            )
        given = {
            "ends_on": self.ends_on is not None,
            "anchor": self.anchor is not None,
            "periods": bool(self.periods),
        }
        needed = {"weekly": "ends_on", "fortnightly": "anchor", "custom": "periods"}.get(self.cycle)
        if needed is not None and not given[needed]:
            raise wrong("cycle_incomplete", f"a {self.cycle} cycle needs {needed}")
        superfluous = [name for name, there in given.items() if there and name != needed]
        if superfluous:
            raise wrong("cycle_overdone", f"a {self.cycle} cycle takes no {superfluous[0]}")
        return self


AllowanceName = Annotated[Identifier, Field(max_length=100)]


class DebtorAllowance(Message):
    """A discount or surcharge of a debtor: a document-level allowance or charge, before tax.

    It is `percent` of the lines that it applies to, or a fixed `amount`, which each batch charges
    once per debtor and currency; with a `currency` only in that one. Exactly one of both is given.
    """

    kind: Literal["discount", "surcharge"]
    name: AllowanceName
    percent: Annotated[Decimal, DecimalString(places=4, digits=3, ge="0.0001", le="100")] | None = (
        None
    )
    amount: Annotated[Decimal, DecimalString(places=4, digits=12, ge="0.0001")] | None = None
    currency: Currency | None = None
    applies_to: Literal["all", "timesheets", "products"] = "all"

    @model_validator(mode="after")
    def _is_one_figure(self) -> "DebtorAllowance":
        if (self.percent is None) == (self.amount is None):
            raise wrong("percent_or_amount", "a discount or surcharge is a percent or an amount")
        if self.currency is not None and self.amount is None:
            raise wrong("currency_of_percent", "a percent has no currency")
        if self.amount and self.currency and rounded(self.amount, self.currency) != self.amount:
            raise wrong("too_many_decimals", "the amount has more decimals than its currency")
        return self


class SetDebtorTerms(InvoicerCommand):
    """Set what differs for a debtor from the billing company's defaults, from a date on.

    Fields that are left out stay. Without `from_date`, a debtor's first terms hold from the
    beginning and later ones from the billing company's today. An empty `time_group` or
    `payment_terms` restores the billing company's default. `emails`: who gets documents by e-mail;
    `attach`: as which files (at first the PDF); `mail_subject` and `mail_text`: templates, empty
    for those of the billing company. `timesheet_detail`: where documents show days, hours and
    approvers of their timesheets: nowhere, on the last pages of the PDF, or in a file beside it.
    Each of `allowances` replaces the one of its name, or is added; `remove_allowances` names those
    that end.
    """

    command: Literal["set-debtor-terms"] = "set-debtor-terms"
    billing_company: Identifier
    account_name: Name
    from_date: Day | None = None
    time_group: Annotated[str, Field(max_length=200)] | None = None
    payment_terms: PaymentTerms | Literal[""] | None = None
    missing_timesheets: MissingTimesheets | None = None
    credits: Literal["separate", "net", "per-invoice"] | None = None
    zero_documents: bool | None = None
    tax_regime: Literal["standard", "exempt", "reverse-charge"] | None = None
    tax_wording: Text | None = None
    tax_id: Name | None = None
    address: Text | None = None
    emails: (
        Annotated[tuple[EmailAddress, ...], Field(strict=False, max_length=ADDRESSES_AT_MOST)]
        | None
    ) = None
    attach: Annotated[tuple[Attachment, ...], Field(strict=False, max_length=5)] | None = None
    mail_subject: MailSubject | None = None
    mail_text: MailText | None = None
    contact: Name | None = None
    reference: Name | None = None
    timesheet_detail: Literal["none", "appendix", "file"] | None = None
    allowances: Annotated[
        tuple[DebtorAllowance, ...], Field(strict=False, max_length=20, exclude_if=absent)
    ] = ()
    remove_allowances: Annotated[
        tuple[AllowanceName, ...], Field(strict=False, max_length=20, exclude_if=absent)
    ] = ()

    @model_validator(mode="after")
    def _names_differ(self) -> "SetDebtorTerms":
        names = [*(each.name for each in self.allowances), *self.remove_allowances]
        if len(set(names)) < len(names):
            raise wrong("allowance_twice", "names a discount or surcharge twice: give each once")
        return self
