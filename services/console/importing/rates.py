"""Reads bill rates and tax rates from CSV files, and knows the columns of those files."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from services.console.importing.cells import amount, bill_rate, code, day, identifier
from services.console.importing.command_lines import (
    Columns,
    CommandLines,
    FileColumn,
    read_command_lines,
)
from services.console.importing.csv_rows import Problems
from shared.events.commands import AnyCommand

BILL_RATES: Columns = {
    "requirement_id": FileColumn(identifier, "the requirement; it must be known"),
    "time_type": FileColumn(code, "e.g. REG or OT"),
    "effective_from": FileColumn(day, "first work date of the rate, e.g. 2026-01-01"),
    "bill_rate": FileColumn(bill_rate, "price of one unit, e.g. 79.50"),
}
TAX_RATES: Columns = {
    "tax_code": FileColumn(code, "as in the catalog and the defaults, e.g. VAT"),
    "percent": FileColumn(amount, "e.g. 20"),
    "from_date": FileColumn(day, "first day on which the percent applies, e.g. 2020-01-01"),
}


def read_bill_rates(
    path: Path, new_command: Callable[..., AnyCommand]
) -> tuple[CommandLines, Problems]:
    """The command of each line, made by `new_command(name, **fields)`, and all that is wrong."""
    return read_command_lines(
        path, BILL_RATES, "requirement_id", partial(new_command, "set-bill-rate")
    )


def read_tax_rates(
    path: Path, new_command: Callable[..., AnyCommand], billing_company: str
) -> tuple[CommandLines, Problems]:
    """The command of each line, made by `new_command(name, **fields)`, and all that is wrong."""

    def one_rate(**rate: Any) -> AnyCommand:
        return new_command("set-billing-company", billing_company=billing_company, taxes=[rate])

    return read_command_lines(path, TAX_RATES, "tax_code", one_rate)
