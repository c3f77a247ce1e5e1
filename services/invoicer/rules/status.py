"""The status that people see is derived, so that it is right even if no worker runs (design 3). Today is an argument.

Invoiced = on a document; Scheduled = open, effective date after today; Snoozed = open, due, on hold; Pending = open and due.
"""

from datetime import date
from typing import Literal

from services.invoicer.rules.settlement import Place

Status = Literal["Scheduled", "Pending", "Snoozed", "Draft", "Invoiced"]


def on_hold(until_date: date | None, today: date, *, is_credit: bool = False) -> bool:
    """Whether a snooze still holds a line: until released, or until its date has come. Credit lines are never on hold."""
    return not is_credit and (until_date is None or until_date > today)


def status_of(place: Place, effective_date: date, today: date, *, held: bool) -> Status:
    """What people call the line today. A snooze that is set on a Scheduled line shows Scheduled until its day comes."""
    if place == "invoiced":
        return "Invoiced"
    if place == "draft":
        return "Draft"
    if effective_date > today:
        return "Scheduled"
    return "Snoozed" if held else "Pending"
