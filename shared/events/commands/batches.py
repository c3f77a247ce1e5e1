"""Commands about batches: check, preview, generate, compare, credit, and record a download."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, model_validator

from shared.events.commands.base import InvoicerCommand
from shared.events.commands.settings import MissingTimesheets
from shared.events.field_types import (
    Day,
    DecimalString,
    Identifier,
    Message,
    Name,
    Word,
    absent,
    wrong,
)


class HealthCheck(InvoicerCommand):
    """Check everything that a batch would bill and report what prevents it."""

    command: Literal["health-check"] = "health-check"
    billing_company: Identifier
    cut_off_date: Day | None = None


class FilteredBatchCommand(InvoicerCommand):
    """A command that may bill some groups, options, documents or workers only and exclude debtors.

    What is left out stays open. `documents` and `workers` choose the lines of timesheets (or other
    documents) by their ids and by worker: a line of either is in.
    `options`: the invoice options whose lines are in; `exclude_credits`: credits stay open.
    The group `none` is the debtors without a time group. `missing_timesheets` overrides each
    debtor's own rule and needs a reason.
    """

    groups: Annotated[tuple[Identifier, ...], Field(strict=False, max_length=1_000)] = ()
    exclude_debtors: Annotated[tuple[Name, ...], Field(strict=False, max_length=10_000)] = ()
    missing_timesheets: MissingTimesheets | None = None
    documents: Annotated[tuple[Identifier, ...], Field(strict=False, max_length=10_000)] = ()
    workers: Annotated[tuple[Identifier, ...], Field(strict=False, max_length=10_000)] = ()
    options: Annotated[
        tuple[Identifier, ...], Field(strict=False, max_length=1_000, exclude_if=absent)
    ] = ()
    exclude_credits: Annotated[bool, Field(exclude_if=lambda value: not value)] = False

    @model_validator(mode="after")
    def _reasoned(self) -> "FilteredBatchCommand":
        if self.missing_timesheets is not None and not self.reason:
            raise wrong(
                "reason_missing",
                "another rule for missing timesheets than the debtors' own needs a reason",
            )
        return self


class PreviewBatch(FilteredBatchCommand):
    """Store what generate-batch would do now, with a digest; nothing else is written."""

    command: Literal["preview-batch"] = "preview-batch"
    billing_company: Identifier
    cut_off_date: Day


class GenerateBatch(FilteredBatchCommand):
    """Build, number and close a batch. A cited `digest` must still match.

    To exclude debtors, to override their rule for missing timesheets, and to pass over numbers
    need a reason.
    """

    command: Literal["generate-batch"] = "generate-batch"
    billing_company: Identifier
    cut_off_date: Day
    digest: Word | None = None
    invoice_date: Day | None = None
    first_number: Annotated[int, Field(ge=1, le=10**17)] | None = None

    @model_validator(mode="after")
    def _exclusions_reasoned(self) -> "GenerateBatch":
        if self.exclude_debtors and not self.reason:
            raise wrong("reason_missing", "leaving debtors out of a batch needs a reason")
        return self


class ListBatchGroups(InvoicerCommand):
    """List the batch groups of a cut-off date: cycle, debtors, included, late, held and expected.

    The default cut-off date is today in the billing company's time zone.
    """

    command: Literal["list-batch-groups"] = "list-batch-groups"
    billing_company: Identifier
    cut_off_date: Day | None = None


class WhatIf(InvoicerCommand):
    """Compare several cut-off dates over the same state; nothing is written."""

    command: Literal["what-if"] = "what-if"
    billing_company: Identifier
    cut_off_dates: Annotated[tuple[Day, ...], Field(strict=False, min_length=1, max_length=12)]


class RetryParked(InvoicerCommand):
    """Bill the debtors that a batch parked, with the same cut-off date, as a new batch."""

    command: Literal["retry-parked"] = "retry-parked"
    billing_company: Identifier
    batch_id: Identifier


class CreditedLine(Message):
    """A line of an invoice and the quantity to credit; None credits all that is left of it."""

    line_no: Annotated[int, Field(ge=1, le=2**31 - 1)]
    quantity: Annotated[Decimal, DecimalString(places=4, digits=12, ge="0.0001")] | None = None


class CreditInvoice(InvoicerCommand):
    """Credit an invoice by hand; the credit note is closed at once.

    Names lines (none: all of them) to `rebill` or `write-off`; `reissue` credits all lines and
    opens them again.
    """

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


class RecordDownload(InvoicerCommand):
    """Record who downloaded a batch, or one document of it, and in which format.

    `layout`: the name of the file that said how a CSV looks.
    """

    command: Literal["record-download"] = "record-download"
    billing_company: Identifier
    batch_id: Identifier
    file_format: Literal["csv", "pdf", "xlsx", "iif", "ubl", "pdfa"]
    invoice_number: Annotated[Identifier | None, Field(exclude_if=absent)] = None
    layout: Annotated[Name | None, Field(exclude_if=absent)] = None
