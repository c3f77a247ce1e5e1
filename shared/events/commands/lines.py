"""Commands about single documents and open lines."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from shared.events.commands.base import FeeRealizerCommand, InvoicerCommand
from shared.events.field_types import Amount, Day, Identifier, Quantity, RowId, wrong
from shared.terms import DocumentKind


class RetryDocument(FeeRealizerCommand):
    """Price held documents again: one, or all that are held."""

    command: Literal["retry-document"] = "retry-document"
    document_kind: DocumentKind | None = None
    document_id: Identifier | None = None


class SnoozePayLines(InvoicerCommand):
    """Put lines on hold with a reason, until released or until a date.

    A snooze belongs to document and line key.
    """

    command: Literal["snooze-pay-lines"] = "snooze-pay-lines"
    billing_company: Identifier
    pay_line_ids: Annotated[tuple[RowId, ...], Field(strict=False, min_length=1, max_length=10_000)]
    until: Day | None = None


class ReleasePayLines(InvoicerCommand):
    """End the snooze of lines."""

    command: Literal["release-pay-lines"] = "release-pay-lines"
    billing_company: Identifier
    pay_line_ids: Annotated[tuple[RowId, ...], Field(strict=False, min_length=1, max_length=10_000)]


class EditPayLine(InvoicerCommand):
    """Change quantity or amount of an open line.

    It is kept as a difference that is added to every later realization.
    """

    command: Literal["edit-pay-line"] = "edit-pay-line"
    billing_company: Identifier
    pay_line_id: RowId
    quantity: Quantity | None = None
    amount: Amount | None = None

    @model_validator(mode="after")
    def _one(self) -> "EditPayLine":
        if (self.quantity is None) == (self.amount is None):
            raise wrong("not_one_of_two", "give either quantity or amount")
        return self


class Explain(InvoicerCommand):
    """Ask why a document or a pay line is not billed; the answer is one reason."""

    command: Literal["explain"] = "explain"
    document_id: Identifier | None = None
    pay_line_id: RowId | None = None
    cut_off_date: Day | None = None
