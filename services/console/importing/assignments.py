"""Reads assignments from a CSV file, and knows the columns of that file."""

import re
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path

from services.console.importing.catalog import pay_plan
from services.console.importing.cells import (
    bill_rate,
    currency,
    day,
    identifier,
    name,
    optional,
)
from services.console.importing.command_lines import (
    Columns,
    CommandLines,
    FileColumn,
    read_command_lines,
)
from services.console.importing.csv_rows import Problems
from shared.events.commands import AnyCommand


def read_dates(text: str) -> tuple[date, ...]:
    """Dates between commas or spaces, such as `2026-03-01,2026-06-01`."""
    return tuple(day(each) for each in re.split(r"[,;\s]+", text.strip()) if each)


def _day_of_month(cell: str) -> int:
    if not re.fullmatch(r"[1-9]|[12]\d|3[01]", cell):
        raise ValueError(f"{cell!r} is not a day of the month, 1 to 31")
    return int(cell)


ASSIGNMENTS: Columns = {
    "assignment_id": FileColumn(identifier, "the assignment's id; a line with a known id sets it"),
    "billing_company": FileColumn(identifier, "the billing company"),
    "node": FileColumn(
        identifier, "company, client or office of the billto hierarchy that is billed", "node_id"
    ),
    "item": FileColumn(identifier, "a non-placement product of the catalog", "item_id"),
    "price": FileColumn(
        optional(bill_rate), "price, e.g. 500.00; empty: the item's amount and currency of today"
    ),
    "currency": FileColumn(optional(currency), "currency of the price, e.g. USD"),
    "on": FileColumn(
        optional(day), "due once; give one of on, monthly, quarterly and dates", "on_date"
    ),
    "monthly": FileColumn(
        optional(_day_of_month), "due on this day of each month, 1 to 31", "monthly_day"
    ),
    "quarterly": FileColumn(
        optional(_day_of_month), "due on this day of every third month, 1 to 31", "quarterly_day"
    ),
    "dates": FileColumn(optional(read_dates), "due on these dates, e.g. 2026-03-01 2026-09-15"),
    "from": FileColumn(
        optional(day),
        "from when these terms hold; empty: today, or with on or dates the beginning",
        "from_date",
    ),
    "until": FileColumn(optional(day), "the last date", "until_date"),
    "plan": FileColumn(
        pay_plan, "shares and days of a pay plan, day 1 is the due date, e.g. 50@1 50@31"
    ),
    "po": FileColumn(optional(name), "purchase order number", "po_number"),
    "text": FileColumn(optional(name), "text on the document; empty: the item's name"),
}


def read_assignments(
    path: Path, new_command: Callable[..., AnyCommand]
) -> tuple[CommandLines, Problems]:
    """The command of each line, made by `new_command(name, **fields)`, and all that is wrong."""
    return read_command_lines(
        path, ASSIGNMENTS, "assignment_id", partial(new_command, "set-assignment")
    )
