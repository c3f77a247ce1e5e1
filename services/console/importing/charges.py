"""Reads charges from a CSV file, and knows the columns of that file."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from services.console.importing.cells import (
    currency,
    day,
    identifier,
    name,
    optional,
    optional_amount,
    quantity,
)
from services.console.importing.command_lines import (
    Columns,
    CommandLines,
    FileColumn,
    read_command_lines,
)
from services.console.importing.csv_rows import Problems
from shared.events.commands import AnyCommand

CHARGES: Columns = {
    "charge_id": FileColumn(identifier, "the charge's id; a line with a known id replaces it"),
    "node": FileColumn(
        identifier, "company, client or office of the billto hierarchy that is billed", "node_id"
    ),
    "item": FileColumn(identifier, "a non-placement product of the catalog", "item_id"),
    "quantity": FileColumn(quantity, "how many, e.g. 2"),
    "price": FileColumn(
        optional_amount, "price of one, e.g. 101.24; empty: the item's amount and currency"
    ),
    "currency": FileColumn(optional(currency), "currency of the price, e.g. USD"),
    "service_date": FileColumn(day, "date of the service or receipt: the effective date"),
    "po": FileColumn(optional(name), "purchase order number", "po_number"),
    "text": FileColumn(optional(name), "text on the document; empty: the item's name"),
    "receipt": FileColumn(optional(name), "receipt number of an expense"),
    "recoverable_tax": FileColumn(
        optional_amount, "percent of tax in the price that you recover; it is taken off first"
    ),
    "markup": FileColumn(optional_amount, "percent that is added after that"),
}


def read_charges(
    path: Path, new_command: Callable[..., AnyCommand], billing_company: str
) -> tuple[CommandLines, Problems]:
    """The command of each line, made by `new_command(name, **fields)`, and all that is wrong."""
    return read_command_lines(
        path,
        CHARGES,
        "charge_id",
        partial(new_command, "add-charge", billing_company=billing_company),
    )
