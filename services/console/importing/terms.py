"""Reads terms of debtors, and the periods of a billing cycle, from CSV files, with everything
that is wrong, by line.

Of terms only the column `account_name` must exist.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from services.console.importing.allowances import read_allowances, read_names
from services.console.importing.cells import Read, day, name, optional, yes
from services.console.importing.command_lines import (
    Columns,
    CommandLines,
    FileColumn,
    read_command_lines,
)
from services.console.importing.csv_rows import Problems, rows_of
from shared.events.commands import AnyCommand

DEFAULT_AGAIN = "-"
"""In a cell of `time_group` or `payment_terms`: the billing company's default again;
of `email`: none."""


def _or_default(cell: str) -> str | None:
    return "" if cell == DEFAULT_AGAIN else cell or None


def _several(cell: str) -> list[str] | None:
    """A list with semicolons or commas between; "-" is an empty one."""
    words = [word.strip() for word in cell.replace(",", ";").split(";")]
    return [word for word in words if word and word != DEFAULT_AGAIN] if cell else None


TERMS: Columns = {
    "account_name": FileColumn(name, "the debtor, as in the billto hierarchy"),
    "from_date": FileColumn(
        optional(day), "first day of these terms, e.g. 2026-07-01; a debtor's first: from ever"
    ),
    "time_group": FileColumn(_or_default, "billing cycle; - is the billing company's"),
    "payment_terms": FileColumn(
        _or_default, "on-receipt, net:N, end-of-next-month or day:N; - is the billing company's"
    ),
    "missing_timesheets": FileColumn(optional(str), "wait, bill or wait:N"),
    "credits": FileColumn(optional(str), "separate, net or per-invoice"),
    "zero_documents": FileColumn(yes, "yes or no: documents of 0.00"),
    "tax_regime": FileColumn(optional(str), "standard, exempt or reverse-charge"),
    "tax_wording": FileColumn(optional(str), "printed where no tax is charged"),
    "tax_id": FileColumn(optional(name), "the debtor's tax id"),
    "address": FileColumn(optional(str), "address as it is printed"),
    "email": FileColumn(
        _several, "who gets documents by e-mail, with ; between; - is none", "emails"
    ),
    "attach": FileColumn(_several, "what an e-mail carries: pdf, ubl, timesheets, with ; between"),
    "mail_subject": FileColumn(optional(name), "subject of its e-mails, e.g. Invoice {number}"),
    "mail_text": FileColumn(optional(str), "text of its e-mails"),
    "contact": FileColumn(optional(name), "for whom documents are"),
    "reference": FileColumn(optional(name), "the debtor's reference on documents"),
    "timesheet_detail": FileColumn(optional(str), "none, appendix or file"),
    "allowances": FileColumn(
        read_allowances,
        "discounts and surcharges before tax, with ; between: discount Volume=2.5; surcharge"
        " Fuel=3%",
    ),
    "remove_allowances": FileColumn(read_names, "names of those that end, with ; between"),
}
PERIODS: Mapping[str, Read] = {"first_day": day, "last_day": day}


def read_terms(
    path: Path, new_command: Callable[..., AnyCommand], billing_company: str
) -> tuple[CommandLines, Problems]:
    """The command of each line, made by `new_command(name, **fields)`, and all that is wrong."""
    return read_command_lines(
        path,
        TERMS,
        "account_name",
        partial(new_command, "set-debtor-terms", billing_company=billing_company),
    )


def read_periods(path: Path) -> tuple[list[dict[str, Any]], Problems]:
    """The custom periods of a file, and what is wrong with each; the invoicer finds gaps and
    overlaps.
    """
    problems = Problems()
    found: list[dict[str, Any]] = []
    for line, (first_day, last_day) in rows_of(path, PERIODS, problems, "first_day"):
        if first_day > last_day:
            problems.add(
                path.name, line, "first_day", f"{first_day} is after the last_day {last_day}"
            )
        else:
            found.append({"first_day": first_day, "last_day": last_day})
    return found, problems
