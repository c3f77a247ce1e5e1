"""What is asked of batches: looking at one before it is made, making it, crediting what it closed, taking it as a file."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, model_validator

from shared.events.commands.base import Command
from shared.events.commands.settings import MissingTimesheets
from shared.events.field_types import Day, DecimalString, Identifier, Message, Name, wrong


class HealthCheck(Command):
    """Looks at everything that a batch would take, and says what stands in its way."""

    command: Literal["health-check"] = "health-check"
    billing_company: Identifier
    cut_off_date: Day | None = None


class Narrowed(Command):
    """A command about a batch may take some groups only (`none`: debtors without a time group) and leave debtors out; their lines stay
    open for a later batch. `missing_timesheets` takes the place of each debtor's own rule, with a reason."""

    groups: Annotated[tuple[Identifier, ...], Field(strict=False, max_length=1_000)] = ()
    exclude_debtors: Annotated[tuple[Name, ...], Field(strict=False, max_length=10_000)] = ()
    missing_timesheets: MissingTimesheets | None = None

    @model_validator(mode="after")
    def _reasoned(self) -> "Narrowed":
        if self.missing_timesheets is not None and not self.reason:
            raise wrong(
                "reason_missing",
                "another rule for missing timesheets than the debtors' own needs a reason",
            )
        return self


class PreviewBatch(Narrowed):
    """What generate-batch would do now, stored with a digest; nothing else is written."""

    command: Literal["preview-batch"] = "preview-batch"
    billing_company: Identifier
    cut_off_date: Day


class GenerateBatch(Narrowed):
    """Builds, numbers and closes a batch. A cited `digest` must still hold."""

    command: Literal["generate-batch"] = "generate-batch"
    billing_company: Identifier
    cut_off_date: Day
    digest: str | None = None
    invoice_date: Day | None = None
    first_number: Annotated[int, Field(ge=1, le=10**17)] | None = None


class ListBatchGroups(Command):
    """The batch groups of a cut-off date (default: the billing company's today): cycle, debtors, what is in, late, held, expected."""

    command: Literal["list-batch-groups"] = "list-batch-groups"
    billing_company: Identifier
    cut_off_date: Day | None = None


class WhatIf(Command):
    """Several cut-off dates side by side over the same state; nothing is written."""

    command: Literal["what-if"] = "what-if"
    billing_company: Identifier
    cut_off_dates: Annotated[tuple[Day, ...], Field(strict=False, min_length=1, max_length=12)]


class RetryParked(Command):
    """Bills the debtors that a batch parked, against the same cut-off, as a batch of its own."""

    command: Literal["retry-parked"] = "retry-parked"
    billing_company: Identifier
    batch_id: Identifier


class CreditedLine(Message):
    """A line of an invoice and the quantity to credit; None: all that is left on it."""

    line_no: Annotated[int, Field(ge=1)]
    quantity: Annotated[Decimal, DecimalString(places=4, digits=12, ge="0.0001")] | None = None


class CreditInvoice(Command):
    """Credits an invoice by hand: named lines (none named: all of it) to `rebill` or `write-off`; `reissue` credits all and opens the
    lines again. The credit note closes at once."""

    command: Literal["credit-invoice"] = "credit-invoice"
    billing_company: Identifier
    invoice_number: Identifier
    lines: Annotated[tuple[CreditedLine, ...], Field(strict=False, max_length=10_000)] = ()
    to: Literal["rebill", "write-off", "reissue"]
    invoice_date: Day | None = None

    @model_validator(mode="after")
    def _clear(self) -> "CreditInvoice":
        if not self.reason:
            raise wrong("reason_missing", "a credit by hand needs a reason")
        if self.to == "reissue" and self.lines:
            raise wrong("reissue_is_whole", "reissue credits the whole invoice: name no lines")
        named = [one.line_no for one in self.lines]
        if len(set(named)) != len(named):
            raise wrong(
                "line_twice", "a line is named twice: name it once with the sum of the quantities"
            )
        return self


class RecordDownload(Command):
    """Keeps that a batch was downloaded, by whom and in which format."""

    command: Literal["record-download"] = "record-download"
    billing_company: Identifier
    batch_id: Identifier
    file_format: Literal["csv", "pdf", "xlsx", "iif", "ubl", "pdfa"]
