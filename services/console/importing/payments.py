"""Reads a remittance file: payments with the documents that they pay, one line for each document.

Lines with the same payer, check and date of deposit are one payment; each of them repeats its
amount, currency and bank. What is wrong is reported by line, also what the database would refuse.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from services.console.importing.cells import amount, currency, day, identifier, name, optional
from services.console.importing.command_lines import Columns, CommandLines, FileColumn, read_rows
from services.console.importing.csv_rows import Problems
from services.console.queries.payments import RemittanceFacts, StoredDocument
from shared.events.commands import AnyCommand
from shared.money import plain, rounded

MAX_LINE = 1_000_000


def line_number(cell: str) -> int:
    """The number of a line of a document."""
    if not (cell.isascii() and cell.isdigit() and 0 < int(cell) <= MAX_LINE):
        raise ValueError(f"{cell!r} is not the number of a line, such as 1")
    return int(cell)


PAYMENTS: Columns = {
    "check": FileColumn(identifier, "check or transfer identifier, as the bank shows it"),
    "payer": FileColumn(name, "Account Name of the debtor that pays"),
    "received_on": FileColumn(day, "date of deposit"),
    "bank": FileColumn(optional(name), "bank to which the money came; may be empty"),
    "amount": FileColumn(amount, "amount of the whole payment, the same on each of its lines"),
    "currency": FileColumn(currency, "currency of the payment, e.g. USD"),
    "invoice": FileColumn(
        optional(identifier), "document that it pays; empty: nothing is applied yet"
    ),
    "line": FileColumn(optional(line_number), "only this line of the document"),
    "applied": FileColumn(
        optional(amount), "how much of it pays the document; empty: as much as both have left"
    ),
}
HEAD = ("amount", "currency", "bank")
REQUIRED = ("payer", "received_on", "amount", "currency")


@dataclass(slots=True)
class RemittedPayment:
    """A payment of the file: its first line, its fields, and the documents of its lines."""

    line: int
    check_id: str
    account_name: str
    received_on: date
    head: dict[str, Any]
    documents: list[tuple[int, dict[str, Any]]] = field(default_factory=list)


def read_payments(path: Path) -> tuple[list[RemittedPayment], Problems]:
    """The payments of a file in the order of their first lines, and all that is wrong in it."""
    problems = Problems()
    found: dict[tuple[str, str, date], RemittedPayment] = {}
    any_row = False
    for line, row in read_rows(path, PAYMENTS, "check", problems):
        any_row = True
        missing = [column for column in REQUIRED if column not in row]
        for column in missing:
            problems.add(path.name, line, column, "is missing; each line needs it")
        if missing:
            continue
        key = (row["payer"], row["check"], row["received_on"])
        head = {column: row.get(column, "") for column in HEAD}
        payment = found.setdefault(
            key, RemittedPayment(line, row["check"], row["payer"], row["received_on"], head)
        )
        for column in HEAD:
            if head[column] != payment.head[column]:
                problems.add(
                    path.name,
                    line,
                    column,
                    f"is {head[column]}, on line {payment.line} of the same check"
                    f" {payment.head[column]}",
                )
        _add_document(path.name, payment, line, row, problems)
    if not any_row and not problems.count:
        problems.add(path.name, 1, "", "has no rows below its columns")
    return list(found.values()), problems


def _add_document(
    file: str, payment: RemittedPayment, line: int, row: Mapping[str, Any], problems: Problems
) -> None:
    number = row.get("invoice")
    if number is None:
        for column in ("line", "applied"):
            if column in row:
                problems.add(file, line, column, "is given without an invoice")
        return
    before = [at for at, document in payment.documents if document["invoice_number"] == number]
    if before:
        problems.add(file, line, "invoice", f"{number} is named for this check on line {before[0]}")
        return
    target = {"invoice_number": number, "amount": row.get("applied")}
    target["line_nos"] = [row["line"]] if "line" in row else []
    payment.documents.append((line, target))


def check_payments(
    file: str,
    payments: list[RemittedPayment],
    facts: RemittanceFacts,
    billing_company: str | None,
    problems: Problems,
) -> dict[int, str]:
    """Report what the invoicer would refuse; returns the billing company by the payment's line."""
    companies: dict[int, str] = {}
    used: dict[tuple[str, str], Decimal] = {}
    for payment in payments:
        company = billing_company or _company(file, payment, facts, problems)
        if company is None:
            continue
        companies[payment.line] = company
        if not _is_new(file, payment, facts, company, problems):
            continue
        money = payment.head["currency"]
        if payment.head["amount"] != rounded(payment.head["amount"], money):
            given = plain(payment.head["amount"])
            problems.add(file, payment.line, "amount", f"{given} is no amount of {money}")
        if payment.head["amount"] <= 0:
            problems.add(file, payment.line, "amount", "is not above zero")
        total = sum((each["amount"] or Decimal(0) for _, each in payment.documents), Decimal(0))
        if total > payment.head["amount"]:
            problems.add(
                file,
                payment.line,
                "applied",
                f"{plain(total)} is applied of a payment of {plain(payment.head['amount'])}",
            )
        for line, document in payment.documents:
            key = (company, document["invoice_number"])
            wrong = _wrong_document(payment, document, facts.documents.get(key), used.get(key))
            if wrong is not None:
                problems.add(file, line, *wrong)
            used[key] = used.get(key, Decimal(0)) + (document["amount"] or Decimal(0))
    return companies


def _company(
    file: str, payment: RemittedPayment, facts: RemittanceFacts, problems: Problems
) -> str | None:
    found = facts.companies.get(payment.account_name, [])
    if len(found) == 1:
        return found[0]
    message = (
        f"{payment.account_name} is a debtor of {', '.join(found)}; name one with --billing-company"
        if found
        else f"there is no document of {payment.account_name}; give the debtor's Account Name, or"
        " --billing-company"
    )
    problems.add(file, payment.line, "payer", message)
    return None


def _is_new(
    file: str, payment: RemittedPayment, facts: RemittanceFacts, company: str, problems: Problems
) -> bool:
    """Whether the payment is not recorded yet; one that has other values is a problem."""
    key = (company, payment.account_name, payment.check_id, payment.received_on)
    known = facts.payments.get(key)
    if known is None:
        return True
    if known != tuple(payment.head[column] for column in HEAD):
        problems.add(
            file,
            payment.line,
            "check",
            f"{payment.check_id} is recorded with {plain(known[0])} {known[1]} {known[2]}".rstrip()
            + "; reverse it first, or give another date of deposit",
        )
    return False


def _wrong_document(
    payment: RemittedPayment,
    document: Mapping[str, Any],
    known: StoredDocument | None,
    used: Decimal | None,
) -> tuple[str, str] | None:
    """The column and the message of what is wrong with a document that is to be paid."""
    number = document["invoice_number"]
    if known is None:
        return "invoice", f"there is no document {number}"
    if known.document_type == "credit-note":
        return "invoice", f"{number} is a credit note, which takes no payment"
    if known.account_name != payment.account_name:
        return "invoice", f"{number} is an invoice of {known.account_name}"
    if known.currency != payment.head["currency"]:
        return "currency", f"{number} is in {known.currency}"
    left = known.balance - (used or Decimal(0))
    if document["amount"] is not None and document["amount"] > left:
        return "applied", f"{plain(document['amount'])} is more than {plain(left)} left of {number}"
    if document["amount"] is not None and document["amount"] <= 0:
        return "applied", "is not above zero"
    return None


def payment_commands(
    file: str,
    payments: list[RemittedPayment],
    companies: Mapping[int, str],
    new_command: Callable[..., AnyCommand],
    problems: Problems,
    *,
    although_ledger: bool = False,
) -> CommandLines:
    """The command of each payment, by its first line."""
    found: CommandLines = []
    for payment in payments:
        try:
            command = new_command(
                "record-payment",
                billing_company=companies[payment.line],
                check_id=payment.check_id,
                account_name=payment.account_name,
                received_on=payment.received_on,
                **payment.head,
                apply_to=[document for _, document in payment.documents],
                although_ledger=although_ledger,
            )
        except ValidationError as error:
            for each in error.errors():
                where = ".".join(str(part) for part in each["loc"])
                problems.add(file, payment.line, where, each["msg"])
        else:
            found.append((payment.line, command))
    return found
