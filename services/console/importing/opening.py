"""Reads opening data: what another system billed, and its last numbers.

Lines of one document need not be together. Lines of time find the bill rate that they were billed
at, because a line key names it: a later revision of their timesheet must have the same key.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, get_args

from pydantic import ValidationError
from pydantic_core import to_json

from services.console.importing.command_lines import (
    CommandLines,
    read_command_lines,
    read_rows,
)
from services.console.importing.csv_rows import Problems
from services.console.importing.opening_columns import OPENING_LINES, OPENING_NUMBERS
from services.console.queries.opening import OpeningFacts
from shared.events.commands import AnyCommand, OpeningDocument, OpeningLine
from shared.money import plain
from shared.terms import DocumentKind, listed

LINES, NUMBERS = OPENING_FILES = ("opening-lines.csv", "opening-numbers.csv")
COMMAND_BYTES = 500_000
"""Documents of one command, as JSON: a message has a limit, and a transaction should be short."""
MOST_BYTES = 850_000
ZERO = Decimal(0)
HOUR, PIECE = "HUR", "C62"
TOLERANCE = Decimal("0.05")

OF_DOCUMENT = ("document_type", "invoice_date", "due_date", "account_name", "currency", "paid")
"""The columns that belong to the document; lines may leave them out where an earlier one has it."""
NEEDED = ("billing_company", "invoice_date", "account_name", "currency", "amount")


class OpeningRow(NamedTuple):
    """A line of the file with its fields."""

    line: int
    values: dict[str, Any]


@dataclass(slots=True)
class OpeningRows:
    """The rows of the file by billing company and number, in the order of the file."""

    documents: dict[tuple[str, str], list[OpeningRow]] = field(default_factory=dict)

    def names(self, column: str) -> set[str]:
        """All values of a column."""
        rows = (row for rows in self.documents.values() for row in rows)
        return {row.values[column] for row in rows if row.values.get(column)}

    @property
    def occurrences(self) -> set[str]:
        """The ids of the occurrences of assignments."""
        rows = (row.values for rows in self.documents.values() for row in rows)
        return {
            values["document_id"]
            for values in rows
            if values.get("document_kind") == "assignment" and values.get("document_id")
        }


def read_opening_lines(path: Path, problems: Problems) -> OpeningRows:
    """The rows of the file; what is wrong in single cells is in `problems`."""
    found = OpeningRows()
    for line, values in read_rows(path, OPENING_LINES, "invoice_number", problems):
        missing = [each for each in NEEDED if each not in values or values[each] == ""]
        for column in missing:
            problems.add(path.name, line, column, "is missing")
        if not missing:
            key = (values["billing_company"], values["invoice_number"])
            found.documents.setdefault(key, []).append(OpeningRow(line, values))
    return found


def read_opening_numbers(
    path: Path, new_command: Callable[..., AnyCommand]
) -> tuple[CommandLines, Problems]:
    """The command of each line, made by `new_command(name, **fields)`, and all that is wrong."""
    return read_command_lines(
        path, OPENING_NUMBERS, "billing_company", partial(new_command, "set-opening-number")
    )


def documents_of(
    rows: OpeningRows, known: OpeningFacts, file: str, problems: Problems
) -> Iterator[tuple[str, OpeningDocument]]:
    """The documents of the rows with their billing companies; wrong ones are left out."""
    for (company, number), of_document in rows.documents.items():
        before = problems.count
        first = of_document[0].values
        head = {column: first[column] for column in OF_DOCUMENT if column in first}
        lines: list[dict[str, Any]] = []
        _check_names(company, of_document[0], known, file, problems)
        for row in of_document:
            _same_document(number, row, of_document[0], file, problems)
            line = _line(company, row, known, len(lines) + 1, file, problems)
            if line is not None:
                lines.append(line)
        po_numbers = {line.pop("po_number") for line in lines}
        if len(po_numbers) > 1:
            problems.add(
                file, of_document[0].line, "po", f"{number} has lines with different PO numbers"
            )
        if problems.count > before:
            continue
        head |= {"po_number": po_numbers.pop(), "invoice_number": number}
        head.setdefault("document_type", "invoice")
        head.setdefault("due_date", head["invoice_date"])
        head.setdefault("paid", ZERO)
        try:
            yield company, OpeningDocument(**head, lines=tuple(OpeningLine(**x) for x in lines))
        except ValidationError as error:
            for each in error.errors():
                where = ".".join(map(str, each["loc"]))
                problems.add(file, of_document[0].line, where, each["msg"])


def _check_names(
    company: str, row: OpeningRow, known: OpeningFacts, file: str, problems: Problems
) -> None:
    if company not in known.companies:
        fix = f"create it with `backoffice billing-company set {company}`"
        problems.add(file, row.line, "billing_company", f"{company} is not known; {fix}")
    account_name = row.values["account_name"]
    if account_name not in known.account_names:
        problems.add(
            file,
            row.line,
            "account_name",
            f"no node of the billto hierarchy has {account_name!r}; import billto.csv first",
        )


def _same_document(
    number: str, row: OpeningRow, first: OpeningRow, file: str, problems: Problems
) -> None:
    for column in OF_DOCUMENT:
        value = row.values.get(column, first.values.get(column))
        if value != first.values.get(column):
            before = first.values.get(column, "empty")
            problems.add(
                file,
                row.line,
                column,
                f"is {value}, but {number} has {before} on line {first.line}",
            )


def _line(
    company: str, row: OpeningRow, known: OpeningFacts, next_no: int, file: str, problems: Problems
) -> dict[str, Any] | None:
    """The fields of an OpeningLine and `po_number`; None if something is wrong."""
    values = row.values
    own = {
        column: value
        for column, value in values.items()
        if column not in (*OF_DOCUMENT, "billing_company", "invoice_number", "fee", "instalment")
    }
    last = values.get("service_to") or values.get("week_ending") or values["invoice_date"]
    week = values.get("week_ending")
    own |= {
        "line_no": values.get("line_no", next_no),
        "service_to": last,
        "service_from": values.get("service_from")
        or (week - timedelta(days=6) if week is not None else last),
        "quantity": values.get("quantity", Decimal(-1 if values["amount"] < 0 else 1)),
        "tax_rate": values.get("tax_rate", ZERO),
        "tax": values.get("tax", ZERO),
        "po_number": values.get("po_number", ""),
    }
    own.setdefault("unit_price", abs(values["amount"]))
    wrong = [
        *_wrong_figures(own, values["currency"]),
        *_add_key(own, company, values, known),
    ]
    for column, message in wrong:
        problems.add(file, row.line, column, message)
    if "description" not in own:
        shown = (own.get(x) for x in ("requirement_id", "item_id", "worker_id", "time_type"))
        words = [*filter(None, shown), *([f"week ending {week}"] if week else [])]
        own["description"] = " · ".join(words) or f"Balance of {values['invoice_number']}"
    return None if wrong else own


def _wrong_figures(line: dict[str, Any], of_currency: str) -> Iterable[tuple[str, str]]:
    """Typing mistakes: figures that do not go together, beyond what another rounding explains.

    A line with a given key comes from an export: it may be edited, or take an amount off a fee.
    """
    if line.get("line_key"):
        return
    expected = line["quantity"] * line["unit_price"]
    if _differs(line["amount"], expected):
        product = f"{plain(line['quantity'])} × {plain(line['unit_price'])}"
        yield "amount", f"is {plain(line['amount'])}, but {product} is {plain(expected)}"
    net = line["amount"] + line.get("allowance", ZERO)
    tax = net * line["tax_rate"] / 100
    if _differs(line["tax"], tax):
        base = f"{plain(line['tax_rate'])} % of {plain(net)} {of_currency}"
        yield "tax", f"is {plain(line['tax'])}, but {base} is {plain(tax)}"


def _differs(value: Decimal, expected: Decimal) -> bool:
    return abs(value - expected) > max(TOLERANCE, abs(expected) / 100)


def _add_key(
    line: dict[str, Any], company: str, values: dict[str, Any], known: OpeningFacts
) -> Iterable[tuple[str, str]]:
    """Adds line key and kind; yields column and message of what is wrong or missing."""
    kind = line.get("document_kind")
    if kind is None:
        if line.get("document_id"):
            yield "document_kind", f"is missing: {listed(get_args(DocumentKind))}"
        return
    needed = {
        "timesheet": ("document_id", "requirement_id", "time_type", "week_ending"),
    }.get(kind, ("document_id", "item_id"))
    missing = [column for column in needed if not line.get(column)]
    if missing:
        for column in missing:
            yield column.removesuffix("_id") if column == "item_id" else column, "is missing"
        return
    if kind == "assignment":
        # A later price changes what is loaded only if it is confirmed: the line cites its terms.
        line["rate_book"] = known.occurrences.get(line["document_id"], 0)
    if line.get("line_key"):
        yield from _add_given_key(line, kind, known)
        return
    if kind == "timesheet":
        yield from _add_time_key(line, company, known)
        return
    item, number = line["item_id"], values.get("instalment", 1)
    keys: dict[str, list[Any]] = {
        "placement": ["p", values.get("fee") or item, item, number],
        "assignment": [
            "p",
            kind,
            item,
            number,
            f"{plain(line['unit_price'])} {values['currency']}",
        ],
    }
    line["line_key"] = _key(keys.get(kind, ["p", kind, item, 1]))


def _add_given_key(
    line: dict[str, Any], kind: str, known: OpeningFacts
) -> Iterable[tuple[str, str]]:
    """The key is as another installation exported it; only the rate book is ours."""
    try:
        parts = json.loads(line["line_key"])
        version = parts[3] if kind == "timesheet" else ""
    except (ValueError, LookupError, TypeError):
        yield "line_key", f"{line['line_key']!r} is no line key"
        return
    if kind == "timesheet":
        requirement = known.requirements.get(line.get("requirement_id", ""))
        rate_book = requirement.rate_book if requirement else 0
        line |= {"line_kind": "timesheet", "rate_version": version, "rate_book": rate_book}


def _add_time_key(
    line: dict[str, Any], company: str, known: OpeningFacts
) -> Iterable[tuple[str, str]]:
    requirement_id, time_type = line["requirement_id"], line["time_type"]
    requirement = known.requirements.get(requirement_id)
    if requirement is None or requirement.billing_company != company:
        whose = "is not known" if requirement is None else f"is not of {company}"
        yield "requirement_id", f"{requirement_id} {whose}; import requirements.csv first"
        return
    price, first, last = line["unit_price"], line["service_from"], line["service_to"]
    rates = known.rates.get((requirement_id, time_type), [])
    ends = [each.effective_from for each in rates[1:]] + [date.max]
    in_force = [
        rate
        for rate, end in zip(rates, ends, strict=True)
        if rate.effective_from <= last and end > first
    ]
    found = next((rate for rate in in_force if rate.price == price), None)
    if found is None:
        there = ", ".join(f"{plain(each.price)} from {each.effective_from}" for each in in_force)
        yield (
            "price",
            f"{requirement_id} has no bill rate of {plain(price)} for {time_type} from {first} to"
            f" {last} (there is {there or 'none'}); import bill_rates.csv with what was billed",
        )
        return
    for column in ("project", "cost_center", "po_number"):
        line[column] = line.get(column) or getattr(requirement, column)
    version = f"{found.effective_from}@{plain(found.price)}"
    version += "" if found.unit == HOUR else f"/{found.unit}"
    engagement = [line["project"], line["cost_center"], line["po_number"]]
    line |= {
        "line_kind": "timesheet",
        "unit": found.unit,
        "rate_version": version,
        "rate_book": requirement.rate_book,
        "line_key": _key(["t", requirement_id, time_type, version, *engagement]),
    }


def _key(parts: Sequence[Any]) -> str:
    """A line key in the form that realizations have."""
    return to_json(list(parts)).decode()


def commands_of(
    documents: Iterable[tuple[str, OpeningDocument]],
    new_command: Callable[..., AnyCommand],
    file: str,
    problems: Problems,
) -> list[AnyCommand]:
    """Commands that load the documents, invoices before the credit notes that correct them."""
    parts: dict[tuple[str, bool], list[list[OpeningDocument]]] = {}
    sizes: dict[tuple[str, bool], int] = {}
    for company, each in documents:
        corrects = any(line.corrects_invoice for line in each.lines)
        key = (company, corrects)
        size = len(each.model_dump_json().encode())
        if size > MOST_BYTES:
            problems.add(
                file,
                1,
                "",
                f"{each.invoice_number} has {len(each.lines):,} lines, more than a message holds;"
                " load it in parts, with numbers such as OLD-881/1 and OLD-881/2",
            )
        chunks = parts.setdefault(key, [[]])
        numbers = {line.corrects_invoice for line in each.lines}
        corrects_loaded = any(other.invoice_number in numbers for other in chunks[-1])
        if chunks[-1] and (corrects_loaded or sizes[key] + size > COMMAND_BYTES):
            chunks.append([])
            sizes[key] = 0
        chunks[-1].append(each)
        sizes[key] = sizes.get(key, 0) + size
    return [
        new_command(
            "load-opening-documents",
            billing_company=company,
            documents=[each.model_dump(mode="json", exclude_defaults=True) for each in chunk],
        )
        for company, corrects in sorted(parts, key=lambda part: (part[1], part[0]))
        for chunk in parts[company, corrects]
    ]
