"""Convert stored rows and JSON to closed documents and lines.

The caller decides how to read an amount: what is shown keeps surplus decimals, because a fault must
be visible; what is delivered has the currency's decimals.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import date
from decimal import Decimal
from typing import Any

from shared.terms import (
    Allowance,
    ClosedDocument,
    ClosedLine,
    ClosedTimesheet,
    CorrectedInvoice,
    Names,
    Party,
    RequirementNames,
    TaxTotal,
    TimesheetTime,
)

InCurrency = Callable[[Decimal, str], Decimal]
"""Converts an amount to the decimals of a currency."""

_APART = ("corrects", "names")
HEAD_COLUMNS = tuple(each.name for each in fields(ClosedDocument) if each.name not in _APART)
LINE_COLUMNS = tuple(
    {"corrects_line": "corrects_line_no"}.get(each.name, each.name) for each in fields(ClosedLine)
)
"""The columns of the views, in the order of the nouns' fields."""
AMOUNTS = tuple(LINE_COLUMNS.index(name) for name in ("amount", "tax_amount", "allowance_amount"))
CORRECTS_INVOICE = LINE_COLUMNS.index("corrects_invoice")


def as_json(value: Any) -> Any:
    """Return a stored JSON value, whether the driver returned it as text or parsed."""
    return json.loads(value) if isinstance(value, str) else value


def decimal_of(stored: str | int | Decimal | None) -> Decimal:
    """Read a decimal that JSON keeps as a string; None is zero.

    Raises TypeError for a JSON fraction, which would have lost digits.
    """
    if stored is None:
        return Decimal(0)
    if isinstance(stored, str | int | Decimal):
        return Decimal(stored)
    raise TypeError(f"an amount is stored as {type(stored).__name__}, not as a decimal string")


def closed_document(
    row: Mapping[str, Any],
    corrects: Sequence[CorrectedInvoice],
    in_currency: InCurrency,
    names: Names | None = None,
) -> ClosedDocument:
    """Build the head of a closed document from a row with HEAD_COLUMNS."""
    currency = row["currency"]
    values = {name: row[name] for name in HEAD_COLUMNS}
    values |= {name: in_currency(row[name], currency) for name in ("net", "tax", "total")}
    values |= {side: _party(as_json(row[side])) for side in ("seller", "buyer")}
    values["tax_totals"] = tuple(
        _tax_total(each, currency, in_currency) for each in as_json(row["tax_totals"])
    )
    values["allowances"] = tuple(
        _allowance(each, currency, in_currency) for each in as_json(row["allowances"]) or ()
    )
    values |= {name: row[name] or "" for name in ("content_hash", "credit_reason")}
    return ClosedDocument(**values, corrects=tuple(corrects), names=names or Names())


def names_of(rows: Iterable[Mapping[str, Any]]) -> dict[int, Names]:
    """Build the names on each document from rows of `closed_invoice_detail`."""
    workers: dict[int, dict[str, str]] = {}
    requirements: dict[int, dict[str, RequirementNames]] = {}
    for row in rows:
        invoice_id, detail = row["invoice_id"], as_json(row["detail"])
        if row["about"] == "worker":
            workers.setdefault(invoice_id, {})[row["subject_id"]] = detail["name"]
        else:
            of_document = requirements.setdefault(invoice_id, {})
            of_document[row["subject_id"]] = RequirementNames(**detail)
    return {
        invoice_id: Names(workers.get(invoice_id, {}), requirements.get(invoice_id, {}))
        for invoice_id in workers.keys() | requirements.keys()
    }


def closed_timesheet(row: Mapping[str, Any]) -> ClosedTimesheet:
    """Build a timesheet on a document from a row of `closed_timesheet`."""
    billed = set(row["requirement_ids"])
    times = tuple(
        TimesheetTime(
            entry["requirement_id"],
            date.fromisoformat(entry["work_date"]),
            entry["time_type"],
            Decimal(entry["hours"]),
            entry.get("billable", True),
        )
        for entry in as_json(row["entries"])
        if entry["requirement_id"] in billed
    )
    return ClosedTimesheet(
        row["document_id"],
        row["source_id"],
        row["worker_id"],
        row["week_ending"],
        (row["approved_at"] or "")[:10],
        row["approved_by"] or "",
        times,
    )


def closed_line(row: Sequence[Any], currency: str, in_currency: InCurrency) -> ClosedLine:
    """Build a line of a closed document from the values of LINE_COLUMNS."""
    values = list(row)
    for at in AMOUNTS:
        values[at] = in_currency(values[at], currency)
    values[CORRECTS_INVOICE] = values[CORRECTS_INVOICE] or ""
    return ClosedLine(*values)


def _party(snapshot: Mapping[str, Any]) -> Party:
    return Party(*(snapshot.get(each.name) or "" for each in fields(Party)))


def _tax_total(stored: Mapping[str, Any], currency: str, in_currency: InCurrency) -> TaxTotal:
    net, tax = (in_currency(decimal_of(stored[name]), currency) for name in ("net", "tax"))
    return TaxTotal(stored["code"], decimal_of(stored["rate"]), net, tax)


def _allowance(stored: Mapping[str, Any], currency: str, in_currency: InCurrency) -> Allowance:
    base, amount = (in_currency(decimal_of(stored[name]), currency) for name in ("base", "amount"))
    percent = None if stored["percent"] is None else decimal_of(stored["percent"])
    return Allowance(
        stored["name"], stored["code"], decimal_of(stored["rate"]), base, percent, amount
    )
