"""The columns of the files of opening data."""

from collections.abc import Callable
from typing import get_args

from services.console.importing.cells import (
    amount,
    code,
    currency,
    day,
    identifier,
    name,
    optional,
    optional_amount,
    optional_quantity,
    yes,
)
from services.console.importing.command_lines import Columns, FileColumn
from shared.terms import DocumentKind


def _one_of(*words: str) -> Callable[[str], str | None]:
    def read(cell: str) -> str | None:
        if cell and cell not in words:
            raise ValueError(f"{cell!r} is not one of {', '.join(words)}")
        return cell or None

    return read


def _whole_number(cell: str) -> int | None:
    if cell and not (cell.isascii() and cell.isdigit() and 0 < int(cell) <= 10**17):
        raise ValueError(f"{cell!r} is not a whole number such as 1")
    return int(cell) if cell else None


OPENING_LINES: Columns = {
    "billing_company": FileColumn(identifier, "the billing company that issued the document"),
    "invoice_number": FileColumn(identifier, "number of the document in the old system"),
    "type": FileColumn(
        _one_of("invoice", "credit-note"),
        "invoice (default) or credit-note (also for cash that belongs to no invoice)",
        "document_type",
    ),
    "invoice_date": FileColumn(day, "date of the document, e.g. 2026-02-15"),
    "due_date": FileColumn(
        optional(day), "day on which it is due; empty: the date of the document"
    ),
    "account_name": FileColumn(name, "the debtor, as in the billto hierarchy"),
    "currency": FileColumn(currency, "e.g. USD"),
    "paid": FileColumn(optional_amount, "what was paid of the document, tax included; empty: 0"),
    "line": FileColumn(_whole_number, "number of the line; empty: the next one", "line_no"),
    "document_kind": FileColumn(
        _one_of(*get_args(DocumentKind)),
        "what the line bills; empty: nothing that is known, a balance only",
    ),
    "document_id": FileColumn(
        optional(identifier), "its id; of a retainer the requirement, of an assignment ID@DUE-DATE"
    ),
    "requirement_id": FileColumn(optional(identifier), "requirement of a timesheet"),
    "time_type": FileColumn(optional(code), "time type of a timesheet, e.g. REG"),
    "worker_id": FileColumn(optional(identifier), "the worker"),
    "week_ending": FileColumn(optional(day), "last day of a timesheet's week"),
    "service_from": FileColumn(optional(day), "first day billed; empty: six days before the last"),
    "service_to": FileColumn(optional(day), "last day billed; empty: week ending or invoice date"),
    "item": FileColumn(optional(identifier), "item of a product", "item_id"),
    "fee": FileColumn(optional(identifier), "fee of a placement; empty: that of the item"),
    "instalment": FileColumn(_whole_number, "number of a placement's instalment; empty: 1"),
    "line_key": FileColumn(
        optional(str), "key of the line in realizations; empty: made of the other columns"
    ),
    "unit": FileColumn(optional(str), "unit of a line with a line_key: HUR (hours), DAY or C62"),
    "project": FileColumn(optional(name), "project; empty: that of the requirement"),
    "cost_center": FileColumn(optional(name), "cost centre; empty: that of the requirement"),
    "po": FileColumn(
        optional(name), "purchase order number; empty: that of the requirement", "po_number"
    ),
    "quantity": FileColumn(optional_quantity, "hours or pieces; of credits negative; empty: 1"),
    "price": FileColumn(optional_amount, "price of one; empty: the amount", "unit_price"),
    "amount": FileColumn(
        amount, "amount of the line before allowances and tax; of credits negative"
    ),
    "allowance": FileColumn(
        optional_amount, "the line's share of discounts (negative) and surcharges; empty: 0"
    ),
    "tax_code": FileColumn(optional(code), "tax code of the line"),
    "tax_rate": FileColumn(optional_amount, "percent of tax; empty: 0"),
    "tax": FileColumn(optional_amount, "tax of the line; of credits negative; empty: 0"),
    "description": FileColumn(optional(name), "text of the line"),
    "corrects": FileColumn(
        optional(identifier), "number of the invoice that the line credits", "corrects_invoice"
    ),
    "corrects_line": FileColumn(_whole_number, "line of that invoice"),
    "written_off": FileColumn(yes, "yes: what the credit took off is not billed again"),
}
OPENING_NUMBERS: Columns = {
    "billing_company": FileColumn(identifier, "the billing company"),
    "series": FileColumn(str, "prefix of the series, e.g. INV-; may be empty", "series_prefix"),
    "last_number": FileColumn(_whole_number, "last number used, without the prefix, e.g. 881"),
    "last_date": FileColumn(day, "date of the document with that number"),
}
