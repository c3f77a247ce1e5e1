"""Remittance files: payments with their documents, and each wrong line by its number."""

from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from services.console.actions.commands import new_command
from services.console.importing.csv_rows import Problems
from services.console.importing.payments import (
    PAYMENTS,
    check_payments,
    payment_commands,
    read_payments,
)
from services.console.queries.payments import RemittanceFacts, StoredDocument
from shared.events.commands import RecordPayment
from tests.builders import COMPANY

D = Decimal
HEADER = ",".join(PAYMENTS)
PAYER = "Mercy Hospital"
GOOD = [
    f"4713,{PAYER},2026-10-05,First Bank,300.00,USD,INV-2,,",
    f"4713,{PAYER},2026-10-05,First Bank,300.00,USD,INV-3,2,150.00",
    f"4714,{PAYER},2026-10-06,,20.00,USD,,,",
]
FACTS = RemittanceFacts(
    {PAYER: [COMPANY], "St. Anne": [COMPANY, "acme-eu"]},
    {
        (COMPANY, "INV-2"): StoredDocument(PAYER, "invoice", "USD", 1, D(100)),
        (COMPANY, "INV-3"): StoredDocument(PAYER, "invoice", "USD", 2, D(250)),
        (COMPANY, "CN-4"): StoredDocument(PAYER, "credit-note", "USD", 1, D(0)),
        (COMPANY, "INV-5"): StoredDocument(PAYER, "invoice", "EUR", 1, D(100)),
        (COMPANY, "INV-6"): StoredDocument("St. Anne", "invoice", "USD", 1, D(100)),
    },
    {(COMPANY, PAYER, "4700", date(2026, 10, 1)): (D(75), "USD", "")},
)


def file_of(folder: Path, *lines: str) -> Path:
    """A remittance file with these lines."""
    path = folder / "remittance.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return path


def wrong(folder: Path, *lines: str, company: str | None = None) -> list[str]:
    """All that is wrong in a file."""
    path = file_of(folder, *lines)
    payments, problems = read_payments(path)
    check_payments(path.name, payments, FACTS, company, problems)
    return [str(each).removeprefix("remittance.csv, ") for each in problems.shown]


def test_one_check_over_several_lines_is_one_payment(tmp_path: Path) -> None:
    """msp 8: one check over several documents is one payment; without an invoice it is
    unapplied.
    """
    path = file_of(tmp_path, *GOOD)
    payments, problems = read_payments(path)
    companies = check_payments(path.name, payments, FACTS, None, problems)
    lines = payment_commands(
        path.name, payments, companies, partial(new_command, actor="pat"), problems
    )
    assert problems.shown == []
    assert [line for line, _ in lines] == [2, 4]
    made = lines[0][1]
    assert isinstance(made, RecordPayment)
    assert (made.check_id, made.account_name, made.amount, made.bank) == (
        "4713",
        PAYER,
        D(300),
        "First Bank",
    )
    assert [(each.invoice_number, each.line_nos, each.amount) for each in made.apply_to] == [
        ("INV-2", (), None),
        ("INV-3", (2,), D(150)),
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            f"4713,{PAYER},2026-10-05,First Bank,301.00,USD,,,",
            "line 5, amount: is 301.00, on line 2 of the same check 300.00",
        ),
        (
            f"4713,{PAYER},2026-10-05,First Bank,300.00,USD,INV-2,,",
            "line 5, invoice: INV-2 is named for this check on line 2",
        ),
        (f"4,{PAYER},2026-10-05,,9.00,USD,X-1,,", "line 5, invoice: there is no document X-1"),
        (
            f"4,{PAYER},2026-10-05,,9.00,USD,CN-4,,",
            "line 5, invoice: CN-4 is a credit note, which takes no payment",
        ),
        (f"4,{PAYER},2026-10-05,,9.00,USD,INV-5,,", "line 5, currency: INV-5 is in EUR"),
        (
            f"4,{PAYER},2026-10-05,,9.00,USD,INV-6,,",
            "line 5, invoice: INV-6 is an invoice of St. Anne",
        ),
        (
            f"4,{PAYER},2026-10-05,,900.00,USD,INV-3,,200.00",
            "line 5, applied: 200 is more than 100 left of INV-3",
        ),
        (
            f"4,{PAYER},2026-10-05,,9.00,USD,INV-3,,10.00",
            "line 5, applied: 10 is applied of a payment of 9",
        ),
        (f"4,{PAYER},2026-10-05,,9.001,USD,,,", "line 5, amount: 9.001 is no amount of USD"),
        (f"4,{PAYER},2026-10-05,,0,USD,,,", "line 5, amount: is not above zero"),
        (f"4,{PAYER},2026-10-05,,9.00,USD,,1,", "line 5, line: is given without an invoice"),
        (
            f"4,{PAYER},2026-10-05,,9.00,USD,INV-2,x,",
            "line 5, line: 'x' is not the number of a line, such as 1",
        ),
        (
            f"4,{PAYER},5.10.2026,,9.00,USD,INV-2,,",
            "line 5, received_on: '5.10.2026' is not a date such as 2026-10-31",
        ),
        (
            f"4700,{PAYER},2026-10-01,,76.00,USD,,,",
            "line 5, check: 4700 is recorded with 75 USD; reverse it first, or give another date"
            " of deposit",
        ),
        (
            "4,St. Anne,2026-10-05,,9.00,USD,,,",
            f"line 5, payer: St. Anne is a debtor of {COMPANY}, acme-eu; name one with"
            " --billing-company",
        ),
        (
            "4,St. Paul,2026-10-05,,9.00,USD,,,",
            "line 5, payer: there is no document of St. Paul; give the debtor's Account Name, or"
            " --billing-company",
        ),
    ],
)
def test_each_wrong_line_is_named(tmp_path: Path, line: str, expected: str) -> None:
    """File, line and column; the good lines before it have no message."""
    assert wrong(tmp_path, *GOOD, line) == [expected]


def test_a_payment_that_is_recorded_already_is_no_problem(tmp_path: Path) -> None:
    """The file of yesterday with more lines: repeats change nothing."""
    assert wrong(tmp_path, f"4700,{PAYER},2026-10-01,,75.00,USD,INV-2,,100.00") == []


def test_a_missing_column_and_an_empty_file_are_named(tmp_path: Path) -> None:
    """Columns that each line needs are in the file; other columns are misspelt."""
    assert wrong(tmp_path) == ["line 1: has no rows below its columns"]
    path = tmp_path / "short.csv"
    path.write_text("check,payer\n4713,Mercy Hospital\n")
    problems: Problems
    _, problems = read_payments(path)
    assert [each.column for each in problems.shown] == ["received_on", "amount", "currency"]
