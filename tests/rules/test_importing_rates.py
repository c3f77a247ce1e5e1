"""Bill rates and tax rates from CSV files: each line is a command, a wrong line is named."""

from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path

from services.console.actions.commands import new_command
from services.console.importing.rates import read_bill_rates, read_tax_rates
from shared.events.commands import SetBillingCompany, SetBillRate
from tests.builders import COMPANY

NEW = partial(new_command, actor="pat", reason="first day")


def test_bill_rates(tmp_path: Path) -> None:
    """A price with a decimal comma is one; a day that does not exist is named."""
    path = tmp_path / "rates.csv"
    path.write_text(
        "requirement_id;time_type;effective_from;bill_rate\n"
        "req-1;REG;2026-01-01;79,50\nreq-1;OT;2026-02-30;90\n"
    )
    ((line, rate),), problems = read_bill_rates(path, NEW)
    assert isinstance(rate, SetBillRate)
    assert (line, rate.bill_rate, rate.effective_from) == (2, Decimal("79.5"), date(2026, 1, 1))
    assert [str(each) for each in problems.shown] == [
        "rates.csv, line 3, effective_from: '2026-02-30' is not a date such as 2026-10-31"
    ]


def test_bill_rates_need_a_reason(tmp_path: Path) -> None:
    """As `rates set` does."""
    path = tmp_path / "rates.csv"
    path.write_text("requirement_id,time_type,effective_from,bill_rate\nreq-1,REG,2026-01-01,8\n")
    _, problems = read_bill_rates(path, partial(new_command, actor="pat", reason=""))
    assert "needs a reason" in str(problems.shown[0])


def test_tax_rates(tmp_path: Path) -> None:
    """Each line adds one rate to the billing company; a column that is missing is named."""
    path = tmp_path / "tax.csv"
    path.write_text("tax_code,percent,from_date\nVAT,19,2020-01-01\nVAT,20,2026-07-01\n")
    lines, problems = read_tax_rates(path, NEW, COMPANY)
    assert not problems.count
    commands = [command for _, command in lines]
    assert [
        (each.billing_company, [(tax.tax_code, tax.percent, tax.from_date) for tax in each.taxes])
        for each in commands
        if isinstance(each, SetBillingCompany)
    ] == [
        (COMPANY, [("VAT", Decimal(19), date(2020, 1, 1))]),
        (COMPANY, [("VAT", Decimal(20), date(2026, 7, 1))]),
    ]
    path.write_text("tax_code,percent\nVAT,19\n")
    assert "from_date" in str(read_tax_rates(path, NEW, COMPANY)[1].shown[0])
