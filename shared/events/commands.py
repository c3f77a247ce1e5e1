"""What an operator or a schedule asks for: one typed union on `operator-commands`, told apart by `command`.

Command id, actor and reason are in the body. The key on the topic is the billing company, else the owning service's name.
"""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, model_validator

from shared.calendar import known_time_zone
from shared.events.ats import PlanPart, check_plan
from shared.events.wire import Amount, Code, Currency, Day, Fee, Identifier, Message, Name, Percent, Quantity, Text, wrong
from shared.terms import DocumentKind

ServiceName = Literal["fee_realizer", "invoicer", "scheduler", "arg_sync"]


class Command(Message):
    """What every command carries: its id (the same id with the same body gives the same result), who asks, and why."""

    command_id: Identifier
    actor: Identifier
    reason: Text = ""


class TaxRateFrom(Message):
    """Percent of a tax code from a date on."""

    tax_code: Code
    percent: Percent
    from_date: Day


class SetBillingCompany(Command):
    """Makes or changes a billing company; what is left out stays as it is (at first: UTC, net 30, no tax, series INV:6)."""

    command: Literal["set-billing-company"] = "set-billing-company"
    billing_company: Identifier
    name: Name | None = None
    address: Text | None = None
    tax_id: Name | None = None
    bank: Text | None = None
    time_zone: str | None = None
    currency: Currency | None = None
    series_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9/_.-]{0,20}$")] | None = None
    series_width: Annotated[int, Field(ge=1, le=18)] | None = None
    taxes: Annotated[tuple[TaxRateFrom, ...], Field(strict=False)] = ()
    default_tax: str | None = None
    tax_basis: Literal["line", "document"] | None = None
    default_time_group: str | None = None
    payment_terms: Annotated[str, Field(pattern=r"^(on-receipt|end-of-next-month|net:\d{1,3}|day:([1-9]|[12]\d|3[01]))$")] | None = None
    gate: Literal["approved", "reviewed"] | None = None
    enabled: bool | None = None
    only_if_unknown: bool = False

    @model_validator(mode="after")
    def _zone(self) -> "SetBillingCompany":
        if self.time_zone is not None and not known_time_zone(self.time_zone):
            raise wrong("unknown_time_zone", "time_zone is not one such as Europe/Amsterdam or America/New_York")
        return self


class SetCatalogItem(Command):
    """Makes or changes a catalog item: a fixed amount, or a percent of the salary; at once or by a pay plan."""

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
    plan: Annotated[tuple[PlanPart, ...], Field(strict=False, max_length=120)] | None = None
    tax_code: str = ""

    @model_validator(mode="after")
    def _one_price(self) -> "SetCatalogItem":
        check_plan(self.plan)
        if (self.amount is None) == (self.percent_of_salary is None):
            raise wrong("not_one_of_two", "give either amount with currency, or percent_of_salary")
        if self.amount is not None and self.currency is None:
            raise wrong("no_currency", "an amount needs its currency")
        return self


class RetryDocument(Command):
    """Prices held documents again: one, or all that are held."""

    command: Literal["retry-document"] = "retry-document"
    document_kind: DocumentKind | None = None
    document_id: Identifier | None = None


class SnoozePayLines(Command):
    """Puts lines on hold with a reason, until released or until a date; a snooze belongs to document and line key."""

    command: Literal["snooze-pay-lines"] = "snooze-pay-lines"
    billing_company: Identifier
    pay_line_ids: Annotated[tuple[int, ...], Field(strict=False, min_length=1, max_length=10_000)]
    until: Day | None = None


class ReleasePayLines(Command):
    """Ends the snooze of lines."""

    command: Literal["release-pay-lines"] = "release-pay-lines"
    billing_company: Identifier
    pay_line_ids: Annotated[tuple[int, ...], Field(strict=False, min_length=1, max_length=10_000)]


class EditPayLine(Command):
    """Changes quantity or amount of an open line; kept as a difference that is added to every later statement."""

    command: Literal["edit-pay-line"] = "edit-pay-line"
    billing_company: Identifier
    pay_line_id: int
    quantity: Quantity | None = None
    amount: Amount | None = None

    @model_validator(mode="after")
    def _one(self) -> "EditPayLine":
        if (self.quantity is None) == (self.amount is None):
            raise wrong("not_one_of_two", "give either quantity or amount")
        return self


class HealthCheck(Command):
    """Looks at everything that a batch would take, and says what stands in its way."""

    command: Literal["health-check"] = "health-check"
    billing_company: Identifier
    cut_off_date: Day | None = None


class PreviewBatch(Command):
    """What generate-batch would do now, stored with a digest; nothing else is written."""

    command: Literal["preview-batch"] = "preview-batch"
    billing_company: Identifier
    cut_off_date: Day


class GenerateBatch(Command):
    """Builds, numbers and closes a batch. A cited `digest` must still hold."""

    command: Literal["generate-batch"] = "generate-batch"
    billing_company: Identifier
    cut_off_date: Day
    digest: str | None = None
    invoice_date: Day | None = None
    first_number: Annotated[int, Field(ge=1, le=10**17)] | None = None


class Explain(Command):
    """Why is this not billed? About a document or a pay line; one reason is answered."""

    command: Literal["explain"] = "explain"
    document_id: Identifier | None = None
    pay_line_id: int | None = None
    cut_off_date: Day | None = None


class RecordDownload(Command):
    """Keeps that a batch was downloaded, by whom and in which format."""

    command: Literal["record-download"] = "record-download"
    billing_company: Identifier
    batch_id: Identifier
    file_format: Literal["csv", "pdf"]


class ReplayDeadLetter(Command):
    """Reads a dead letter again, as it was or mended (`value`, the whole JSON text)."""

    command: Literal["replay-dead-letter"] = "replay-dead-letter"
    service: ServiceName
    dead_letter_id: int
    value: str | None = None


class DiscardDeadLetter(Command):
    """Sets a dead letter aside for good; needs a reason."""

    command: Literal["discard-dead-letter"] = "discard-dead-letter"
    service: ServiceName
    dead_letter_id: int


class Republish(Command):
    """Says again what was said of a document, or since a date."""

    command: Literal["republish"] = "republish"
    service: ServiceName
    document_kind: DocumentKind | None = None
    document_id: Identifier | None = None
    since: Day | None = None


AnyCommand = (
    SetBillingCompany
    | SetCatalogItem
    | RetryDocument
    | SnoozePayLines
    | ReleasePayLines
    | EditPayLine
    | HealthCheck
    | PreviewBatch
    | GenerateBatch
    | Explain
    | RecordDownload
    | ReplayDeadLetter
    | DiscardDeadLetter
    | Republish
)
OperatorCommand = Annotated[AnyCommand, Field(discriminator="command")]
OPERATOR_COMMAND: TypeAdapter[AnyCommand] = TypeAdapter(OperatorCommand)

OWNERS: dict[str, ServiceName] = {
    "set-billing-company": "fee_realizer",
    "set-catalog-item": "fee_realizer",
    "retry-document": "fee_realizer",
    "snooze-pay-lines": "invoicer",
    "release-pay-lines": "invoicer",
    "edit-pay-line": "invoicer",
    "health-check": "invoicer",
    "preview-batch": "invoicer",
    "generate-batch": "invoicer",
    "explain": "invoicer",
    "record-download": "invoicer",
}


def owner_of(command: AnyCommand) -> ServiceName:
    """The service that answers a command: by its kind, or the one that the command itself names."""
    if isinstance(command, ReplayDeadLetter | DiscardDeadLetter | Republish):
        return command.service
    return OWNERS[command.command]


def key_of(command: AnyCommand) -> str:
    """The key on the topic: the billing company, else the owning service's name."""
    company = getattr(command, "billing_company", None)
    return company if isinstance(company, str) else owner_of(command)
