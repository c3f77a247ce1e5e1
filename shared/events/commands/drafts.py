"""Commands about drafts: documents before they are numbered and closed."""

from typing import Annotated, Literal

from pydantic import Field

from shared.events.commands.base import InvoicerCommand
from shared.events.field_types import Day, Identifier, Message

DRAFTS_AT_MOST = 10_000
OptionNames = Annotated[tuple[Identifier, ...], Field(strict=False, max_length=1_000)]


class CreateDrafts(InvoicerCommand):
    """Make drafts of all that is due up to a cut-off date, grouped as a batch would group it.

    `options`: the items of these invoice options only; none: of every option.
    """

    command: Literal["create-drafts"] = "create-drafts"
    billing_company: Identifier
    cut_off_date: Day
    options: OptionNames = ()


class DraftVersion(Message):
    """A draft, D-000001, in the version that the sender has seen."""

    draft: Identifier
    version: Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]


class DraftCommand(InvoicerCommand):
    """The fields of commands about one draft."""

    billing_company: Identifier
    draft: Identifier


class RemoveDraftLine(DraftCommand):
    """Take a line off a draft: it is open again."""

    command: Literal["remove-draft-line"] = "remove-draft-line"
    line_no: Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]


class CancelDraft(DraftCommand):
    """Cancel a draft: its lines are open again."""

    command: Literal["cancel-draft"] = "cancel-draft"


class RegenerateDraft(DraftCommand):
    """Compute a draft again with the terms, tax rates and discounts of today: a new version."""

    command: Literal["regenerate-draft"] = "regenerate-draft"


class CombineDrafts(InvoicerCommand):
    """Move the lines of drafts with the same keys to the first of them."""

    command: Literal["combine-drafts"] = "combine-drafts"
    billing_company: Identifier
    drafts: Annotated[tuple[Identifier, ...], Field(strict=False, min_length=2, max_length=100)]


class FinalizeDrafts(InvoicerCommand):
    """Number and close drafts, each in the version that is cited, as one batch."""

    command: Literal["finalize-drafts"] = "finalize-drafts"
    billing_company: Identifier
    drafts: Annotated[
        tuple[DraftVersion, ...], Field(strict=False, min_length=1, max_length=DRAFTS_AT_MOST)
    ]
    invoice_date: Day | None = None
