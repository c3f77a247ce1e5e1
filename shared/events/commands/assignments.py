"""Commands about assignments: a catalog item that a company, client or office is billed for."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from shared.events.ats import PlanPart, check_plan
from shared.events.commands.base import FeeRealizerCommand
from shared.events.field_types import (
    ID_LENGTH,
    Currency,
    Day,
    Identifier,
    Message,
    Name,
    UnitPrice,
    wrong,
)

DATES_AT_MOST = 500
DATE_LENGTH = len("@2026-01-31")
AssignmentId = Annotated[Identifier, StringConstraints(max_length=ID_LENGTH - DATE_LENGTH)]
"""An id to which a date can be added: an occurrence is the document ID@DATE."""
DayOfMonth = Annotated[int, Field(strict=True, ge=1, le=31)]


class AssignmentTerms(Message):
    """What is billed on each due date: an item at a node, and how.

    Without price and currency it is the item's amount when the command is carried out. The plan is
    the item's unless given: day 1 is the due date. `text` is printed in place of the item's name.
    """

    node_id: Identifier
    item_id: Identifier
    price: UnitPrice | None = None
    currency: Currency | None = None
    plan: Annotated[tuple[PlanPart, ...], Field(strict=False, max_length=120)] | None = None
    po_number: Name = ""
    text: Name = ""


class SetAssignment(FeeRealizerCommand, AssignmentTerms):
    """Assign a catalog item to a node of the billto hierarchy, or change that from a date on.

    Due once (`on_date`), on a day of each month or of every third one, or on `dates`. What is set
    from a date replaces what was set for that date and later. Without `from_date` that is today;
    for `on_date` and `dates` it is the assignment's beginning.
    """

    model_config = Message.model_config

    command: Literal["set-assignment"] = "set-assignment"
    assignment_id: AssignmentId
    billing_company: Identifier
    on_date: Day | None = None
    monthly_day: DayOfMonth | None = None
    quarterly_day: DayOfMonth | None = None
    dates: Annotated[tuple[Day, ...], Field(strict=False, max_length=DATES_AT_MOST)] = ()
    from_date: Day | None = None
    until_date: Day | None = None

    @model_validator(mode="after")
    def _one_schedule(self) -> "SetAssignment":
        given = (self.on_date, self.monthly_day, self.quarterly_day, self.dates or None)
        if sum(each is not None for each in given) != 1:
            raise wrong(
                "not_one_schedule",
                "give one of on_date, monthly_day, quarterly_day and dates",
            )
        if (self.price is None) != (self.currency is None):
            raise wrong("not_one_of_two", "give price and currency together, or neither")
        if self.from_date and self.until_date and self.from_date > self.until_date:
            raise wrong("period_backwards", "from_date is after until_date")
        check_plan(self.plan)
        return self


class EndAssignment(FeeRealizerCommand):
    """End an assignment after a date: open occurrences that are due later are withdrawn."""

    command: Literal["end-assignment"] = "end-assignment"
    assignment_id: AssignmentId
    last_date: Day


class ConfirmAssignment(FeeRealizerCommand):
    """Apply the price set from a date to invoiced occurrences: credited and billed again."""

    command: Literal["confirm-assignment"] = "confirm-assignment"
    assignment_id: AssignmentId
    from_date: Day
    preview: bool = False
