"""Days, tax and money through the real services: cycle ends, dates, due dates, rounding.

The rules are in docs/billing.md: cut-off, rates, money, tax, numbers and dates.
"""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from shared import clock
from shared.money import plain
from tests.builders import COMPANY, entry, rate, timesheet
from tests.system.firms import Firm, firm, of

__all__ = ["firm"]
MINUTE = timedelta(minutes=1)


def at(monkeypatch: pytest.MonkeyPatch, firm: Firm, instant: datetime) -> None:
    """Set the clock of every service to an instant."""
    firm.configure(today="")
    monkeypatch.setattr(clock, "now", lambda: instant)


def midnight(day: str, zone: str) -> datetime:
    """The instant at which a day begins in a time zone."""
    return datetime.combine(date.fromisoformat(day), time.min, ZoneInfo(zone)).astimezone(UTC)


async def documents(firm: Firm) -> list[dict[str, Any]]:
    """What is on closed documents, in the order of their numbers."""
    found = await firm.select("SELECT * FROM invoicer.invoice ORDER BY number")
    return [dict(row._mapping) for row in found]


# -- the day on which a cycle is complete


@pytest.mark.parametrize(
    ("zone", "cycle", "last_day"),
    [
        ("Pacific/Midway", {"cycle": "monthly"}, "2024-02-29"),
        ("Pacific/Midway", {"cycle": "weekly", "ends_on": "sunday"}, "2026-12-27"),
        ("America/New_York", {"cycle": "weekly", "ends_on": "sunday"}, "2026-03-08"),
        ("America/New_York", {"cycle": "fortnightly", "anchor": "2026-11-15"}, "2026-11-01"),
        ("America/St_Johns", {"cycle": "monthly"}, "2026-12-31"),
        ("UTC", {"cycle": "weekly", "ends_on": "saturday"}, "2028-02-26"),
        ("Europe/Amsterdam", {"cycle": "weekly", "ends_on": "sunday"}, "2026-03-29"),
        ("Europe/Amsterdam", {"cycle": "weekly", "ends_on": "sunday"}, "2026-10-25"),
        ("Asia/Kathmandu", {"cycle": "monthly"}, "2025-02-28"),
        ("Australia/Lord_Howe", {"cycle": "weekly", "ends_on": "sunday"}, "2026-04-05"),
        ("Pacific/Auckland", {"cycle": "weekly", "ends_on": "sunday"}, "2026-09-27"),
        ("Pacific/Kiritimati", {"cycle": "monthly"}, "2026-12-31"),
    ],
    ids=lambda value: value["cycle"] if isinstance(value, dict) else str(value).replace("/", "-"),
)
async def test_a_cycle_is_complete_when_its_last_day_begins(
    firm: Firm, monkeypatch: pytest.MonkeyPatch, zone: str, cycle: dict[str, str], last_day: str
) -> None:
    """Today at the billing company.

    One minute before the last day begins, the cycle is not complete and its last timesheet is still
    Scheduled; then it is billed, with a late one.
    """
    begins = midnight(last_day, zone)
    at(monkeypatch, firm, begins - MINUTE)
    await firm.opens("A", time_zone=zone)
    await firm.group(
        "cycle",
        cycle["cycle"],
        "A",
        **{name: value for name, value in cycle.items() if name != "cycle"},
    )
    day_before = str(date.fromisoformat(last_day) - timedelta(days=1))
    long_ago = str(date.fromisoformat(last_day) - timedelta(days=70))
    await firm.sheets("A", long_ago, day_before, last_day)
    assert await firm.batch(day_before) == of("A", long_ago)
    assert (await firm.why_not(f"A w {last_day}", day_before))[0] == "scheduled"
    assert (await firm.why_not(f"A w {day_before}", day_before))[0] == "not_in_cycle"
    at(monkeypatch, firm, begins)
    await firm.sheets("A", long_ago, worker="late")
    shown = (await firm.groups())["cycle"]
    assert (shown["last_day"], shown["timesheets"], shown["late"]) == (last_day, 2, 1)
    assert await firm.batch(last_day) == sorted(
        of("A", day_before, last_day) + of("A", long_ago, worker="late")
    )
    assert [str(one["invoice_date"]) for one in await documents(firm)] == [day_before, last_day]
    await firm.check()


# -- dates of documents


@pytest.mark.parametrize(
    ("zone", "local"),
    [
        ("Pacific/Midway", "2026-12-30"),
        ("America/New_York", "2026-12-31"),
        ("UTC", "2026-12-31"),
        ("Asia/Tokyo", "2026-12-31"),
        ("Pacific/Kiritimati", "2027-01-01"),
    ],
)
async def test_a_document_is_dated_where_the_billing_company_is(
    firm: Firm, monkeypatch: pytest.MonkeyPatch, zone: str, local: str
) -> None:
    """Local date at close, or given.

    A given date is not after the local date and not before the last in the series. The cut-off is
    never the date.
    """
    at(monkeypatch, firm, datetime(2026, 12, 31, 10, 59, tzinfo=UTC))
    await firm.opens("A", time_zone=zone)
    await firm.sheets("A", "2026-12-06", "2026-12-13", "2026-12-20")
    tomorrow, yesterday = (
        str(date.fromisoformat(local) + timedelta(days=days)) for days in (1, -1)
    )
    refused = await firm.ask(
        "generate-batch", billing_company=COMPANY, cut_off_date="2026-12-06", invoice_date=tomorrow
    )
    assert (refused["outcome"], refused["code"]) == ("refused", "date_in_future")
    assert await firm.batch("2026-12-06", invoice_date=yesterday) == of("A", "2026-12-06")
    assert await firm.batch("2026-12-13") == of("A", "2026-12-13")
    refused = await firm.ask(
        "generate-batch", billing_company=COMPANY, cut_off_date="2026-12-20", invoice_date=yesterday
    )
    assert (refused["outcome"], refused["code"]) == ("refused", "date_goes_back")
    assert [
        (str(one["invoice_date"]), str(one["cut_off_date"])) for one in await documents(firm)
    ] == [(yesterday, "2026-12-06"), (local, "2026-12-13")]
    await firm.check()


@pytest.mark.parametrize(
    ("today", "terms", "due"),
    [
        ("2026-08-15", "on-receipt", "2026-08-15"),
        ("2026-08-15", "net:15", "2026-08-30"),
        ("2026-08-15", "end-of-next-month", "2026-09-30"),
        ("2026-02-10", "day:31", "2026-02-28"),
        ("2026-08-20", "day:15", "2026-09-15"),
        ("2024-01-31", "net:29", "2024-02-29"),
        ("2023-12-15", "end-of-next-month", "2024-01-31"),
        ("2026-12-31", "day:31", "2026-12-31"),
        ("2026-12-20", "day:15", "2027-01-15"),
    ],
)
async def test_due_dates(firm: Firm, today: str, terms: str, due: str) -> None:
    """On receipt, net n, end of next month, day of month.

    2026-08-15 + 15 = 08-30; 08-15 → 09-30; 2026-02-10, day 31 → 02-28; 08-20, day 15 → 09-15; over
    leap days and year ends. A credit note by hand has the terms of what it corrects.
    """
    firm.day(today)
    await firm.opens("A")
    await firm.terms("A", payment_terms=terms)
    week = str(date.fromisoformat(today) - timedelta(days=7))
    await firm.sheets("A", week)
    assert await firm.batch(today) == of("A", week)
    (number,) = [one["invoice_number"] for one in await documents(firm)]
    answer = await firm.ask(
        "credit-invoice", billing_company=COMPANY, invoice_number=number, to="write-off"
    )
    assert answer["outcome"] == "accepted", answer
    assert [
        (one["document_type"], str(one["invoice_date"]), str(one["due_date"]))
        for one in await documents(firm)
    ] == [
        ("invoice", today, due),
        ("credit-note", today, due),
    ]
    await firm.check()


# -- money and tax


@pytest.mark.parametrize(
    ("currency", "hours", "price", "amount"),
    [
        ("USD", "2", "35.0350", "70.07"),
        ("USD", "1", "35.0350", "35.04"),
        ("USD", "7.5", "33.33", "249.98"),
        ("JPY", "7.5", "33.33", "250"),
        ("JPY", "1", "0.5", "1"),
        ("KWD", "7.5", "33.3333", "250"),
        ("KWD", "0.3333", "17.1234", "5.707"),
        ("KWD", "1", "0.0005", "0.001"),
    ],
)
async def test_an_amount_is_rounded_once_to_the_currency(
    firm: Firm, currency: str, hours: str, price: str, amount: str
) -> None:
    """Half up to JPY 0, USD 2, KWD 3.

    Rates and quantities have 4 decimals; hours are summed before.
    """
    await firm.opens("A")
    firm.order("A", 2, currency=currency, rates=[rate(price=price, since="2000-01-01")])
    parts = (plain(Decimal(hours) - Decimal("0.1")), "0.1")
    entries = [
        entry(part, day, requirement_id="REQ-A")
        for part, day in zip(parts, ("2010-08-30", "2010-08-31"), strict=True)
    ]
    firm.pipeline.send("timesheet-approved", timesheet("T-1", 1, entries, week_ending="2010-09-05"))
    await firm.settle()
    assert await firm.batch("2010-09-05") == ["T-1"]
    (document,) = await documents(firm)
    assert (plain(document["net"]), document["currency"]) == (amount, currency)
    await firm.check()


@pytest.mark.parametrize(
    ("basis", "taxes", "total"),
    [("line", ["3.76", "3.84", "3.84"], "11.44"), ("document", ["3.76", "3.84", "3.85"], "11.45")],
)
async def test_tax_per_line_and_per_document(
    firm: Firm, basis: str, taxes: list[str], total: str
) -> None:
    """11.44 by line, 11.45 by document.

    25.06, 25.61, 25.63 at 15 %: 3.76 + 3.84 + 3.84, or 3.76 + 3.84 + 3.85. Credited line by line,
    each credit takes the tax of its line and nothing is left.
    """
    codes = {
        "taxes": [{"tax_code": "VAT", "percent": "15", "from_date": "2000-01-01"}],
        "default_tax": "VAT",
    }
    await firm.opens("A", tax_basis=basis, **codes)
    rates = [
        rate(kind, price, "2000-01-01")
        for kind, price in (("A", "25.06"), ("B", "25.61"), ("C", "25.63"))
    ]
    firm.order("A", 2, rates=rates)
    entries = [entry("1", "2010-09-05", kind, "REQ-A") for kind in ("A", "B", "C")]
    firm.pipeline.send("timesheet-approved", timesheet("T-1", 1, entries, week_ending="2010-09-05"))
    await firm.settle()
    assert await firm.batch("2010-09-05") == ["T-1"]
    (document,) = await documents(firm)
    lines = await firm.select(
        "SELECT tax_amount FROM invoicer.closed_invoice_line ORDER BY line_no"
    )
    assert ([plain(row[0]) for row in lines], plain(document["tax"])) == (taxes, total)
    for line_no in (1, 2, 3):
        asked = {
            "billing_company": COMPANY,
            "invoice_number": document["invoice_number"],
            "lines": [{"line_no": line_no}],
            "to": "write-off",
        }
        assert (await firm.ask("credit-invoice", **asked))["outcome"] == "accepted"
    assert [plain(one["tax"]) for one in (await documents(firm))[1:]] == [
        f"-{tax}" for tax in taxes
    ]
    await firm.check()


@pytest.mark.parametrize(
    ("tax_date", "lines", "tax"),
    [
        ("effective-date", [("200", "16", "32")], "32"),
        ("work-date", [("100", "19", "19"), ("100", "16", "16")], "35"),
    ],
)
async def test_tax_of_a_week_that_spans_a_change_of_rate(
    firm: Firm, tax_date: str, lines: list[tuple[str, str, str]], tax: str
) -> None:
    """The rate on the week ending, or, by choice, on each work date.

    1 h on 30 June and 1 h on 1 July at 100.00, 19 % and then 16 %: 32.00 or 35.00. A preview from
    before the choice does not hold for the batch after it. A revision credits the line that it
    concerns, with the tax of that line, also after the company chose otherwise.
    """
    firm.day("2010-07-20")
    since = [("19", "2000-01-01"), ("16", "2010-07-01")]
    taxes = [{"tax_code": "VAT", "percent": percent, "from_date": day} for percent, day in since]
    await firm.opens("A", taxes=taxes, default_tax="VAT")
    firm.order("A", 2, rates=[rate(price="100", since="2000-01-01")])
    entries = [entry("1", day, requirement_id="REQ-A") for day in ("2010-06-30", "2010-07-01")]
    firm.pipeline.send("timesheet-approved", timesheet("T-1", 1, entries, week_ending="2010-07-04"))
    await firm.settle()
    asked = {"billing_company": COMPANY, "cut_off_date": "2010-07-04"}
    seen = (await firm.ask("preview-batch", **asked))["details"]["digest"]
    await firm.ask("set-billing-company", billing_company=COMPANY, tax_date=tax_date)
    await firm.settle()
    if tax_date == "work-date":
        refused = await firm.ask("generate-batch", **asked, digest=seen)
        assert refused["code"] == "digest_differs"
    assert await firm.batch("2010-07-04") == ["T-1"]
    (document,) = await documents(firm)
    assert plain(document["tax"]) == tax
    taxed = "SELECT amount, tax_rate, tax_amount FROM invoicer.closed_invoice_line"
    found = await firm.select(f"{taxed} ORDER BY service_from")
    assert [tuple(plain(value) for value in row) for row in found] == lines
    other = "effective-date" if tax_date == "work-date" else "work-date"
    await firm.ask("set-billing-company", billing_company=COMPANY, tax_date=other)
    firm.pipeline.send(
        "timesheet-approved", timesheet("T-1", 2, entries[1:], week_ending="2010-07-04")
    )
    await firm.settle()
    assert await firm.batch("2010-07-04") == ["T-1"]
    (credit,) = await firm.select(f"{taxed} WHERE amount < 0")
    percent = lines[0][1]
    assert tuple(plain(value) for value in credit) == ("-100", percent, f"-{percent}")
    await firm.check()


async def test_the_tax_rate_of_the_effective_date_applies_and_a_credit_keeps_it(firm: Firm) -> None:
    """Of the line.

    Not of the day of the batch; a credit has the code and rate of its line, whatever is in force
    then.
    """
    firm.day("2010-09-20")
    since = [("15", "2000-01-01"), ("20", "2010-09-01")]
    await firm.opens(
        "A",
        taxes=[{"tax_code": "VAT", "percent": percent, "from_date": day} for percent, day in since],
        default_tax="VAT",
    )
    await firm.sheets("A", "2010-08-29", "2010-09-05")
    assert await firm.batch("2010-09-19") == of("A", "2010-08-29", "2010-09-05")
    later = [{"tax_code": "VAT", "percent": "25", "from_date": "2010-08-01"}]
    assert (await firm.ask("set-billing-company", billing_company=COMPANY, taxes=later))[
        "outcome"
    ] == "accepted"
    await firm.sheets("A", "2010-08-29", revision=2, hours="7")
    assert await firm.batch("2010-09-19") == of("A", "2010-08-29")
    taxed = await firm.select(
        "SELECT l.document_id, l.amount, l.tax_rate, l.tax_amount FROM"
        " invoicer.closed_invoice_line l ORDER BY l.invoice_id, l.document_id"
    )
    assert [(row[0][-5:], *(plain(value) for value in row[1:])) for row in taxed] == [
        ("08-29", "400", "15", "60"),
        ("09-05", "400", "20", "80"),
        ("08-29", "-50", "15", "-7.5"),
    ]
    await firm.check()


@pytest.mark.parametrize(
    ("unit", "quantity", "amount"), [("HUR", "2", "100"), ("DAY", "1", "50"), ("C62", "3", "150")]
)
async def test_kinds_of_rates(firm: Firm, unit: str, quantity: str, amount: str) -> None:
    """Per hour, day, unit: the quantity has the unit of the rate."""
    await firm.opens("A")
    firm.order("A", 2, rates=[rate(price="50", since="2000-01-01", unit=unit)])
    firm.pipeline.send(
        "timesheet-approved",
        timesheet(
            "T-1",
            1,
            [entry(quantity, "2010-09-05", requirement_id="REQ-A")],
            week_ending="2010-09-05",
        ),
    )
    await firm.settle()
    assert await firm.batch("2010-09-05") == ["T-1"]
    ((printed, taken, net),) = await firm.select(
        "SELECT unit, quantity, amount FROM invoicer.closed_invoice_line"
    )
    assert (printed, plain(taken), plain(net)) == (unit, quantity, amount)
    await firm.check()
