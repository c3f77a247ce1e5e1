"""Reports through the command line, on documents that went through all services."""

import asyncio
import csv
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook
from sqlalchemy import text
from typer.testing import CliRunner

from services.console.cli import application
from services.console.queries.history import history
from services.console.queries.reports import REPORTS
from services.console.queries.snapshot import open_snapshot
from shared.clock import now
from shared.events.ledgers import PaymentRecorded
from tests.builders import COMPANY, charge, days, placement, requirement, timesheet
from tests.conftest import Configure, EngineOf, UnitOfWorkFor
from tests.handlers.test_charges import Firm, set_up
from tests.report_totals import check_reports

MARCH = "2026-03-31"
MERCY = "office-1 account"
NOT_APPROVED = {"submitted_at": "2026-03-09T08:00:00Z"}
Typed = Callable[..., Any]


class Office(Firm):
    """A firm with a hire, timesheets, an expense, and two timesheets that wait."""

    database: str
    configure: Configure

    async def day(self, today: str) -> None:
        """Another day has come; what is due is done."""
        self.configure(today=today)
        async with self.engine_of("owner").begin() as connection:
            await connection.execute(
                text(f"UPDATE fee_realizer.business_date SET today = '{today}'")
            )
        await self.pipeline.sweep()

    async def batch(self, cut_off: str, **fields: Any) -> None:
        """Generate a batch of what is due by a cut-off date."""
        fields |= {"billing_company": COMPANY, "cut_off_date": cut_off}
        answer = await self.tell("generate-batch", **fields)
        assert answer["outcome"] == "accepted", answer

    async def pay(self, number: str, amount: str, paid_on: str) -> None:
        """The accounting system reports a payment."""
        ((invoice_id,),) = await self.rows(
            f"SELECT invoice_id FROM invoicer.invoice WHERE invoice_number = '{number}'"
        )
        await self.send(
            "payment-recorded",
            PaymentRecorded(
                ledger="xero-us",
                billing_company=COMPANY,
                payment_id="P-1",
                entry_no=1,
                invoice_id=invoice_id,
                invoice_number=number,
                remote_id="R-1",
                amount=amount,  # type: ignore[arg-type]
                currency="USD",
                paid_on=date.fromisoformat(paid_on),
            ),
        )

    async def check(self) -> None:
        """All reports add up to the tables."""
        async with open_snapshot(self.database) as connection:
            await check_reports(connection, self.select, COMPANY)

    async def select(self, statement: str, **values: Any) -> list[Any]:
        """Rows, as the owner sees them."""
        async with self.engine_of("owner").connect() as connection:
            return list((await connection.execute(text(statement), values)).all())


async def run(*words: object, exit_code: int = 0) -> str:
    """What `backoffice reports` prints, or its message if another exit is expected."""
    arguments = ["reports", *map(str, words)]
    result = await asyncio.to_thread(CliRunner().invoke, application(), arguments)
    assert result.exit_code == exit_code, (arguments, result.output, result.exception)
    return str(result.output)


async def read(name: str, *words: object) -> list[dict[str, Any]]:
    """The rows of a report."""
    found = json.loads(await run(name, "--billing-company", COMPANY, "--json", *words))
    assert found["report"] == name
    assert found["total"] == len(found["rows"])
    return list(found["rows"])


async def cells(name: str, columns: str, *words: object) -> list[tuple[Any, ...]]:
    """Some columns of a report."""
    return [tuple(row[column] for column in columns.split()) for row in await read(name, *words)]


@pytest.fixture
async def office(
    database: str, engine_of: EngineOf, unit_of_work_for: UnitOfWorkFor, configure: Configure
) -> Office:
    """The end of March: one invoice of a week, half a hire and an expense, of which 500.00 is paid.

    T-2 is snoozed, T-8 waits for its approval, T-9 for its requirement.
    """
    configure(today=MARCH, kafka="127.0.0.1:1")
    made = Office(engine_of, unit_of_work_for)
    made.database, made.configure = database, configure
    await made.pipeline.sweep()
    await set_up(made)
    await made.tell(
        "set-catalog-item",
        item_id="DIRECT-HIRE", name="Direct hire", percent_of_salary="20", currency="USD",
        item_class="Placement", family="Permanent", variant="Direct",
    )  # fmt: skip
    await made.send("requirement-changed", requirement())
    await made.send("placement-created", placement())
    await made.send("charge-added", charge())
    await made.send(
        "timesheet-approved",
        timesheet(),
        timesheet("T-2", week_ending="2026-03-15", entries=days("6", 5, date(2026, 3, 15))),
        timesheet("T-8", worker_id="W-8", workflow=NOT_APPROVED),
        timesheet("T-9", worker_id="W-9", entries=days(requirement_id="REQ-9")),
    )
    ((line,),) = await made.rows(
        "SELECT pay_line_id FROM invoicer.pay_line WHERE document_id = 'T-2'"
    )
    snoozed = {"pay_line_ids": [line], "reason": "disputed"}
    await made.tell("snooze-pay-lines", billing_company=COMPANY, **snoozed)
    await made.batch("2026-03-10")
    await made.pay("INV-000001", "500.00", MARCH)
    return made


async def a_month_of_business(office: Office) -> None:
    """What waited arrives, what was invoiced is corrected and credited, batches close, one of them
    with a date in March; the company moves to another time zone.
    """
    await office.day("2026-04-10")
    await office.tell("set-billing-company", billing_company=COMPANY, time_zone="Asia/Tokyo")
    await office.send("requirement-changed", requirement("REQ-9"))
    approved = NOT_APPROVED | {"approved_at": "2026-04-09T08:00:00Z"}
    await office.send(
        "timesheet-approved",
        timesheet("T-8", 2, worker_id="W-8", workflow=approved),
        timesheet(revision=2, entries=[*days("8", 4), *days("6", 1)]),
    )
    await office.batch("2026-03-10", invoice_date=MARCH)
    await office.day("2026-04-30")
    ((line,),) = await office.rows(
        "SELECT p.pay_line_id FROM invoicer.open_line JOIN invoicer.pay_line p USING (pay_line_id)"
        " WHERE document_id = 'T-2'"
    )
    await office.tell("release-pay-lines", billing_company=COMPANY, pay_line_ids=[line])
    entries = days(requirement_id="REQ-9")
    lost = timesheet("T-9", 2, worker_id="W-9", entries=entries, workflow=NOT_APPROVED)
    await office.send("timesheet-approved", lost)
    await office.batch("2026-04-30")
    named = {"invoice_number": "INV-000001", "lines": [{"line_no": 1, "quantity": "10"}]}
    await office.tell("credit-invoice", billing_company=COMPANY, to="write-off", **named)
    await office.day("2026-05-30")
    await office.batch("2026-05-30")


async def test_unbilled_revenue_is_by_week_and_period_with_what_is_held(office: Office) -> None:
    """Pending (snoozed lines included), scheduled, and held documents with their hours."""
    columns = "status kind week_ending period documents lines hours amount currency"
    assert await cells("unbilled", columns, "--as-of", MARCH) == [
        ("pending", "timesheet", "2026-03-15", "2026-03", 1, 1, "30", "1500.00", "USD"),
        ("scheduled", "product", None, "2026-05", 1, 1, None, "10000.00", "USD"),
        ("held", "timesheet", "2026-03-08", "2026-03", 1, 0, "40", None, ""),
        ("held, company unknown", "timesheet", "2026-03-08", "2026-03", 1, 0, "40", None, ""),
    ]
    assert await cells("unbilled", columns, "--as-of", "2026-03-30") == []
    await office.check()


async def test_a_past_day_is_the_same_to_the_byte_after_a_month(
    office: Office, tmp_path: Path
) -> None:
    """What arrived, was corrected, credited or closed since, even with a date in March, and another
    time zone change nothing of March.
    """

    async def files(folder: str) -> list[bytes]:
        found = []
        for name, kind in (("unbilled", "csv"), ("unbilled", "xlsx"), ("held", "csv")):
            path = tmp_path / folder / f"{name}.{kind}"
            words = ("--billing-company", COMPANY, "--as-of", MARCH, "--format", kind)
            await run(name, *words, "--out", path)
            found.append(path.read_bytes())
        return [*found, json.dumps(await read("unbilled", "--as-of", MARCH)).encode()]

    before, then = await files("before"), await read("unbilled")
    await a_month_of_business(office)
    await office.check()
    assert await files("after") == before
    assert await read("unbilled") != then
    assert await read("unbilled", "--as-of", "2026-04-10") not in (then, await read("unbilled"))


async def test_hours_that_a_held_document_has_on_invoices_are_not_unbilled(office: Office) -> None:
    """T-1 loses its approval after 40 h of it were invoiced; the revision says 44 h."""
    await office.day("2026-04-10")
    more = [*days("8", 5), *days("4", 1, date(2026, 3, 13))]
    await office.send(
        "timesheet-approved", timesheet(revision=2, entries=more, workflow=NOT_APPROVED)
    )
    held = await cells("held", "document_id code since days hours")
    assert held == [
        ("T-8", "not_approved", MARCH, 10, "40"),
        ("T-9", "unknown_requirement", MARCH, 10, "40"),
        ("T-1", "not_approved", "2026-04-10", 0, "44"),
    ]
    rows = await cells("unbilled", "status documents hours", "--as-of", "2026-04-10")
    assert ("held", 2, "44") in rows
    # A further revision under the same hold has other hours from its own day on.
    await office.day("2026-04-12")
    await office.send("timesheet-approved", timesheet(revision=3, workflow=NOT_APPROVED))
    rows = await cells("unbilled", "status documents hours", "--as-of", "2026-04-12")
    assert ("held", 2, "40") in rows
    rows = await cells("unbilled", "status documents hours", "--as-of", "2026-04-10")
    assert ("held", 2, "44") in rows
    assert (await cells("held", "document_id since days"))[-1] == ("T-1", "2026-04-10", 2)
    async with open_snapshot(office.database) as connection:
        events = [entry["what"] for entry in await history(connection, "T-1")]
    assert events.count("held") == 1  # it is one hold


async def test_registers_of_what_was_invoiced(office: Office) -> None:
    """Documents, credits, tax, products and hours of a period; credits are negative."""
    await a_month_of_business(office)
    period = ("--from", "2026-03-01", "--to", "2026-05-31")
    columns = "invoice_number document_type invoice_date lines net tax total"
    assert await cells("register", columns, *period) == [
        ("INV-000001", "invoice", "2026-03-31", 3, "12092.81", "2418.56", "14511.37"),
        ("INV-000002", "invoice", "2026-03-31", 2, "4000.00", "800.00", "4800.00"),
        ("INV-000003", "credit-note", "2026-03-31", 1, "-100.00", "-20.00", "-120.00"),
        ("INV-000004", "invoice", "2026-04-30", 1, "1500.00", "300.00", "1800.00"),
        ("INV-000005", "credit-note", "2026-04-30", 1, "-500.00", "-100.00", "-600.00"),
        ("INV-000006", "invoice", "2026-05-30", 1, "10000.00", "2000.00", "12000.00"),
    ]
    columns = "invoice_number corrects_invoice corrects_line document_id quantity net credited_to"
    assert await cells("credits", columns, *period) == [
        ("INV-000003", "INV-000001", 1, "T-1", "-2", "-100.00", "correction"),
        ("INV-000005", "INV-000001", 1, "T-1", "-10", "-500.00", "write-off"),
    ]
    assert await cells("tax", "month tax_code tax_rate documents net tax", *period) == [
        ("2026-03", "VAT", "20", 3, "15992.81", "3198.56"),
        ("2026-04", "VAT", "20", 2, "1000.00", "200.00"),
        ("2026-05", "VAT", "20", 1, "10000.00", "2000.00"),
    ]
    columns = "item_class family variant item_id lines net"
    assert await cells("products", columns, *period) == [
        ("", "", "", "TRAVEL", 1, "92.81"),
        ("Placement", "Permanent", "Direct", "DIRECT-HIRE", 2, "20000.00"),
    ]
    columns = "client requirement_id worker_id unit billed unbilled billed_amount unbilled_amount"
    assert await cells("hours", columns, *period) == [
        ("office-1", "REQ-1", "W-1", "HUR", "58", "0", "2900.00", "0.00"),
        ("office-1", "REQ-1", "W-8", "HUR", "40", "0", "2000.00", "0.00"),
        ("office-1", "REQ-9", "W-9", "HUR", "40", "0", "2000.00", "0.00"),
    ]
    assert await cells("register", "invoice_number", "--from", "2026-05-01") == [("INV-000006",)]


async def test_what_is_pending_scheduled_and_snoozed_today(office: Office) -> None:
    """Each open line is in one of the three; months are those of the effective date."""
    columns = "month lines timesheets products amount currency"
    assert await cells("pending", columns) == []
    assert await cells("scheduled", columns) == [
        ("2026-05", 1, "0.00", "10000.00", "10000.00", "USD")
    ]
    columns = "document_id account_name amount reason actor since until"
    assert await cells("snoozed", columns) == [
        ("T-2", MERCY, "1500.00", "disputed", "pat", str(now().date()), None)
    ]


async def test_a_statement_carries_the_balance_and_its_ages(office: Office) -> None:
    """Opening balance, documents, payments and closing balance; 30 days past due is in 1-30
    (domain-rules 8). A payment lowers the debt, so it is negative.
    """
    await a_month_of_business(office)
    period = ("--from", "2026-04-01", "--to", "2026-05-30", "--account-name", MERCY)
    assert await cells(
        "statement", "day entry invoice_number due_date amount balance", *period
    ) == [
        ("2026-04-01", "opening balance", "", None, "18691.37", "18691.37"),
        ("2026-04-30", "invoice", "INV-000004", "2026-05-30", "1800.00", "20491.37"),
        ("2026-04-30", "credit-note", "INV-000005", None, "-600.00", "19891.37"),
        ("2026-05-30", "invoice", "INV-000006", "2026-06-29", "12000.00", "31891.37"),
        ("2026-05-30", "closing balance", "", None, None, "31891.37"),
    ]
    closing = (await read("statement", *period))[-1]
    # INV-000001 (13,291.37 left) and INV-000002 were due on 04-30: 30 days before.
    ages = [closing[age] for age in ("current", "1-30", "31-60")]
    assert ages == ["13800.00", "18091.37", "0.00"]
    paid = await cells("statement", "entry amount balance", "--from", "2026-03-01", "--to", MARCH)
    assert paid[0] == ("opening balance", "0.00", "0.00")
    assert ("payment", "-500.00", "18691.37") in paid
    assert await read("statement", "--account-name", "nobody") == []


async def test_a_workbook_has_rows_sums_and_what_it_is_of(office: Office, tmp_path: Path) -> None:
    """Every report as XLSX and CSV: as many rows as the screen has, and columns that add up."""
    await a_month_of_business(office)
    for name, report in REPORTS.items():
        words = ("--billing-company", COMPANY)
        if report.of == "period":
            words += ("--from", "2026-03-01", "--to", "2026-05-30")
        rows = json.loads(await run(name, *words, "--json"))["rows"]
        for kind in ("csv", "xlsx"):
            out = tmp_path / f"{name}.{kind}"
            said = json.loads(await run(name, *words, "--format", kind, "--out", out, "--json"))
            assert (said["path"], said["total"]) == (str(out), len(rows))
        with (tmp_path / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            assert [row | {} for row in csv.DictReader(file)] == [
                {key: "" if value is None else str(value) for key, value in row.items()}
                for row in rows
            ]
        book = load_workbook(tmp_path / f"{name}.xlsx")
        assert book.sheetnames == [name, "totals", "about"]
        assert book[name].max_row == len(rows) + 1
        assert [cell.value for cell in book[name][1]] == [column.head for column in report.columns]
    sums = load_workbook(tmp_path / "register.xlsx", data_only=True)["totals"]
    assert [cell.value for cell in sums[2]] == ["USD", 9, 26992.81, 5398.56, 32391.37]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("pending", "--as-of", MARCH), "pending does not take --as-of: it is of today"),
        (("register", "--as-of", MARCH), "it takes --from and --to"),
        (("unbilled", "--from", MARCH), "it takes --as-of"),
        (("tax", "--account-name", MERCY), "leave --account-name out"),
        (("tax", "--format", "csv"), "give --format csv or xlsx with --out FILE"),
        (("tax", "--out", "tax.csv"), "give --format csv or xlsx with --out FILE"),
        (("profit",), "is not one of pending, scheduled"),
    ],
)
async def test_a_wrong_use_says_what_the_report_takes(
    configure: Configure, words: tuple[str, ...], message: str
) -> None:
    """Exit 2, before anything is read."""
    configure(database_url="postgresql://nowhere.invalid/x", kafka="127.0.0.1:1")
    said = await run(*words, "--billing-company", COMPANY, exit_code=2)
    assert message in " ".join(said.replace("│", " ").split())


async def test_an_unknown_company_and_a_period_that_ends_before_it_begins_are_refused(
    office: Office,
) -> None:
    """Exit 1, with what to do."""
    said = await run("tax", "--billing-company", "acme-eu", exit_code=1)
    assert "there is no billing company acme-eu" in said
    words = ("--billing-company", COMPANY, "--from", "2026-04-01", "--to", MARCH)
    assert "give --from a day that is not after --to" in await run("tax", *words, exit_code=1)
