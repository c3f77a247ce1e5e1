"""Corrections of invoiced lines through the real services, row by row."""

import json
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from shared.money import plain
from shared.verify import verify
from tests.builders import COMPANY, OFFICE, WEEK, command, entry, node, rate, requirement, timesheet
from tests.conftest import Configure, EngineOf, UnitOfWorkFor
from tests.in_process import Pipeline

TODAY = date(2026, 10, 31)
OTHER = "REQ-2"


class Agency:
    """Both services of one agency: one requirement at 50.00 an hour, one office that pays."""

    def __init__(self, pipeline: Pipeline, engine_of: EngineOf) -> None:
        self.pipeline, self.engine_of = pipeline, engine_of
        self.revisions: dict[str, int] = {}

    async def opens(self, price: str = "50.00") -> None:
        """Billing company, debtor, requirements."""
        self.pipeline.send(
            "operator-commands", command("set-billing-company", billing_company=COMPANY)
        )
        self.pipeline.send(
            "billto-changed", node(OFFICE, account_name="Mercy Hospital", address="2 Care Rd")
        )
        self.pipeline.send(
            "requirement-changed",
            requirement(rates=[rate(price=price), rate("OT", "75.00")]),
            requirement(OTHER, office_id=OFFICE),
        )
        await self.pipeline.settle()

    async def sheet(
        self, name: str = "T-1", week: date = WEEK, adjusts: str | None = None, **hours: str
    ) -> None:
        """The next revision of a timesheet with hours by time type: `REG="40"`.

        Of another requirement: `REG_2="8"`.
        """
        revision = self.revisions[name] = self.revisions.get(name, 0) + 1
        entries: list[dict[str, Any]] = []
        for kind, count in hours.items():
            time_type, _, order = kind.partition("_")
            entries += _days(Decimal(count), week, time_type, OTHER if order else "REQ-1")
        more = {"adjusts": adjusts, "approved_at": "2026-10-30T12:00:00Z"} if adjusts else {}
        self.pipeline.send(
            "timesheet-approved", timesheet(name, revision, entries, week_ending=str(week), **more)
        )
        await self.settle()

    async def settle(self) -> None:
        """Deliver everything to its consumers; `verify` finds nothing."""
        await self.pipeline.settle()
        await self.pipeline.sweep()
        async with self.engine_of("auditor").connect() as connection:
            report = await verify(connection)
        assert report.faults == (), report.faults
        assert report.in_flight_count == 0

    async def ask(self, kind: str, **values: Any) -> dict[str, Any]:
        """Send a command of an operator; return its answer."""
        asked = command(kind, billing_company=COMPANY, **values)
        self.pipeline.send("operator-commands", asked)
        await self.settle()
        return json.loads(self.pipeline.answers()[asked.command_id])  # type: ignore[no-any-return]

    async def batch(self, cut_off: str = str(TODAY)) -> list[tuple[str, str]]:
        """Generate a batch; type and net of its documents."""
        answer = await self.ask("generate-batch", cut_off_date=cut_off)
        assert answer["outcome"] == "accepted", answer
        return await self.documents(answer["details"]["batch_id"])

    async def credit(
        self, number: str, *lines: tuple[int, str], to: str = "rebill"
    ) -> dict[str, Any]:
        """A credit by hand."""
        named = [{"line_no": line_no, "quantity": quantity} for line_no, quantity in lines]
        return await self.ask("credit-invoice", invoice_number=number, lines=named, to=to)

    async def documents(self, batch_id: str | None) -> list[tuple[str, str]]:
        """Type and net of the documents of a batch."""
        found = await self.select(
            "SELECT document_type, net FROM invoicer.invoice WHERE batch_id = :id ORDER BY number",
            id=batch_id,
        )
        return [(row[0], plain(row[1])) for row in found]

    async def lines(self, number: str) -> list[tuple[str, str, str | None]]:
        """Quantity, amount and the corrected invoice of each line of a document."""
        found = await self.select(
            "SELECT quantity, amount, corrects_invoice FROM invoicer.closed_invoice_line l JOIN"
            " invoicer.invoice i USING (invoice_id)"
            " WHERE i.invoice_number = :number ORDER BY line_no",
            number=number,
        )
        return [(plain(row[0]), plain(row[1]), row[2]) for row in found]

    async def open(self) -> list[tuple[str, str]]:
        """Quantity and amount of what is open."""
        found = await self.select(
            "SELECT quantity, amount FROM invoicer.open_line JOIN invoicer.pay_line USING"
            " (pay_line_id) ORDER BY pay_line_id"
        )
        return [(plain(row[0]), plain(row[1])) for row in found]

    async def select(self, statement: str, **values: Any) -> list[Any]:
        """Read as the owner."""
        async with self.engine_of("owner").connect() as connection:
            return list((await connection.execute(text(statement), values)).all())


def _days(count: Decimal, week: date, time_type: str, order: str) -> list[dict[str, Any]]:
    """Hours spread over the days of a week, at most eight a day."""
    found, at = [], 0
    while count > 0:
        hours = min(count, Decimal(8))
        found.append(entry(plain(hours), week - timedelta(days=6 - at), time_type, order))
        count, at = count - hours, at + 1
    return found


@pytest.fixture
async def agency(
    unit_of_work_for: UnitOfWorkFor, engine_of: EngineOf, configure: Configure
) -> Agency:
    """An agency with nothing billed yet."""
    configure(today=str(TODAY))
    made = Agency(Pipeline(unit_of_work_for), engine_of)
    await made.opens()
    return made


# -- the table


async def test_an_adjustment_before_the_batch_takes_the_place_of_the_original(
    agency: Agency,
) -> None:
    """FT: 40 h, adjusted to 38 h.

    One line of 38 h, 1,900.00; the original's line is replaced.
    """
    await agency.sheet(REG="40")
    await agency.sheet("T-1-A", adjusts="T-1", REG="38")
    assert await agency.batch() == [("invoice", "1900")]
    assert await agency.lines("INV-000001") == [("38", "1900", None)]


async def test_an_adjustment_after_the_batch_is_a_credit_note(agency: Agency) -> None:
    """FT: 2,000.00 invoiced, 38 h: 100.00 credited.

    For 2 h of that invoice line.
    """
    await agency.sheet(REG="40")
    await agency.batch()
    await agency.sheet("T-1-A", adjusts="T-1", REG="38")
    assert await agency.batch() == [("credit-note", "-100")]
    assert await agency.lines("INV-000002") == [("-2", "-100", "INV-000001")]


async def test_an_adjustment_upwards_is_an_invoice(agency: Agency) -> None:
    """FT: 2,000.00 invoiced, then 41 h: invoice for 1 h, 50.00."""
    await agency.sheet(REG="40")
    await agency.batch()
    await agency.sheet(REG="41")
    assert await agency.batch() == [("invoice", "50")]


async def test_what_never_reached_a_document_leaves_no_trace_on_one(agency: Agency) -> None:
    """38 h, then 41 h, no batch.

    One debit of 1 h; the 38 h are on no document.
    """
    await agency.sheet(REG="40")
    await agency.batch()
    await agency.sheet(REG="38")
    await agency.sheet(REG="41")
    assert await agency.batch() == [("invoice", "50")]


async def test_a_correction_is_never_quantity_times_price(
    unit_of_work_for: UnitOfWorkFor, engine_of: EngineOf, configure: Configure
) -> None:
    """It is a difference of amounts.

    2 h × 35.0350 = 70.07 invoiced, adjusted to 1 h = 35.04: credit 35.03 (1 × 35.0350 loses a
    cent).
    """
    configure(today=str(TODAY))
    agency = Agency(Pipeline(unit_of_work_for), engine_of)
    await agency.opens("35.0350")
    await agency.sheet(REG="2")
    assert await agency.batch() == [("invoice", "70.07")]
    await agency.sheet(REG="1")
    assert await agency.batch() == [("credit-note", "-35.03")]


@pytest.mark.parametrize(
    ("credits", "expected"),
    [
        ("separate", [("invoice", "150"), ("credit-note", "-225")]),
        ("net", [("credit-note", "-75")]),
    ],
)
async def test_a_swap_of_time_types_is_two_documents_or_one(
    agency: Agency, credits: str, expected: list[tuple[str, str]]
) -> None:
    """An invoice and a credit note.

    40 REG + 5 OT invoiced, adjusted to 43 REG + 2 OT; one document if netted.
    """
    await agency.sheet(REG="40", OT="5")
    await agency.batch()
    async with agency.engine_of("owner").begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO invoicer.debtor_terms (billing_company, account_name, from_date,"
                " payment_terms, credits)"
                " VALUES (:company, 'Mercy Hospital', '2020-01-01', 'net:30', :credits)"
            ),
            {"company": COMPANY, "credits": credits},
        )
    await agency.sheet(REG="43", OT="2")
    assert await agency.batch() == expected


async def test_credits_take_the_newest_invoice_first(agency: Agency) -> None:
    """40 h and 1 h invoiced, adjusted to 38 h.

    1 h of invoice 2 and 2 h of invoice 1 are credited.
    """
    await agency.sheet(REG="40")
    await agency.batch()
    await agency.sheet(REG="41")
    await agency.batch()
    await agency.sheet(REG="38")
    assert await agency.batch() == [("credit-note", "-150")]
    assert sorted(await agency.lines("INV-000003")) == [
        ("-1", "-50", "INV-000002"),
        ("-2", "-100", "INV-000001"),
    ]


async def test_hours_written_off_are_not_credited_twice(agency: Agency) -> None:
    """Forgiven hours are not credited again.

    40 h invoiced, 2 h written off, adjusted to 38 h: no document.
    """
    await agency.sheet(REG="40")
    await agency.batch()
    await agency.credit("INV-000001", (1, "2"), to="write-off")
    await agency.sheet(REG="38")
    assert await agency.open() == []
    assert await agency.batch() == []
    await agency.sheet(REG="37")
    assert await agency.open() == [("-1", "-50")], "what was not forgiven is credited"


async def test_the_order_of_write_off_and_adjustment_does_not_matter(agency: Agency) -> None:
    """Adjusted to 38 h first.

    Then 2 h written off by hand: the same, 38 h billed and nothing open.
    """
    await agency.sheet(REG="40")
    await agency.batch()
    await agency.sheet(REG="38")
    assert await agency.open() == [("-2", "-100")]
    await agency.credit("INV-000001", (1, "2"), to="write-off")
    assert await agency.open() == []
    assert await agency.batch() == []


async def test_forgiven_has_no_memory(agency: Agency) -> None:
    """40 h invoiced, 2 h written off: what is open follows.

    40, 39, 38 → nothing; 36 → credit 2 h; back to 39 → 1 h.
    """
    await agency.sheet(REG="40")
    await agency.batch()
    await agency.credit("INV-000001", (1, "2"), to="write-off")
    seen = []
    for hours in ("39", "38", "40", "36"):
        await agency.sheet(REG=hours)
        seen.append(await agency.open())
    assert seen == [[], [], [], [("-2", "-100")]]
    assert await agency.batch() == [("credit-note", "-100")]
    await agency.sheet(REG="39")
    assert await agency.batch() == [("invoice", "50")]


async def test_a_cancelled_original_is_credited_whole(agency: Agency) -> None:
    """A revision without entries credits all."""
    await agency.sheet(REG="40", OT="5")
    await agency.batch()
    await agency.sheet()
    assert await agency.batch() == [("credit-note", "-2375")]


async def test_hours_to_rebill_are_billed_once(agency: Agency) -> None:
    """8 h invoiced, 3.5 h credited to rebill, 1 h more.

    4.5 h (week ending 2022-06-19) and 3.5 h (2022-07-24), then 1 h (2022-07-31): the batch to
    2022-07-31 bills 4.5 h, never 9.0 h.
    """
    await agency.sheet("T-1", date(2022, 6, 19), REG="4.5")
    await agency.sheet("T-2", date(2022, 7, 24), REG="3.5")
    assert await agency.batch("2022-07-24") == [("invoice", "400")]
    answer = await agency.credit("INV-000001", (2, "3.5"))
    assert answer["details"]["open_again"] == {
        "lines": 1,
        "net": "175.00",
        "was_open": "0.00",
        "currency": "USD",
    }
    await agency.sheet("T-3", date(2022, 7, 31), REG="1")
    assert await agency.batch("2022-07-31") == [("invoice", "225")]
    assert await agency.lines("INV-000003") == [("3.5", "175", None), ("1", "50", None)]


async def test_hours_of_one_sheet_to_rebill_are_billed_once(agency: Agency) -> None:
    """The same on one document and key.

    8 h invoiced, 3.5 h credited to rebill, then 9 h worked: the batch bills 4.5 h.
    """
    await agency.sheet(REG="8")
    await agency.batch()
    await agency.credit("INV-000001", (1, "3.5"))
    await agency.sheet(REG="9")
    assert await agency.batch() == [("invoice", "225")]
    assert await agency.lines("INV-000003") == [("4.5", "225", None)]


async def test_billing_is_per_line_never_per_timesheet(agency: Agency) -> None:
    """One of two requirements is invoiced.

    The other stays open.
    """
    await agency.sheet(REG="40", REG_2="8")
    held = await agency.select(
        "SELECT pay_line_id FROM invoicer.pay_line WHERE requirement_id = :order", order=OTHER
    )
    await agency.ask("snooze-pay-lines", pay_line_ids=[row[0] for row in held])
    assert await agency.batch() == [("invoice", "2000")]
    assert await agency.open() == [("8", "400")]
    await agency.ask("release-pay-lines", pay_line_ids=[row[0] for row in held])
    assert await agency.batch() == [("invoice", "400")]


async def test_a_credit_goes_to_the_old_debtor_and_a_debit_to_the_new_one(agency: Agency) -> None:
    """The office moved.

    To another Account Name between invoice and adjustment; a credit to rebill is treated the same.
    """
    await agency.sheet(REG="40", OT="5")
    await agency.batch()
    agency.pipeline.send("billto-changed", node(OFFICE, revision=2, account_name="Alpha Health"))
    await agency.sheet(REG="41", OT="4")
    await agency.batch()
    found = await agency.select(
        "SELECT account_name, document_type, net FROM invoicer.invoice ORDER BY number"
    )
    assert [(row[0], row[1], plain(row[2])) for row in found[1:]] == [
        ("Alpha Health", "invoice", "50"),
        ("Mercy Hospital", "credit-note", "-75"),
    ]
    await agency.credit("INV-000001", (2, "10"))
    await agency.batch()
    found = await agency.select(
        "SELECT account_name, document_type, net FROM invoicer.invoice ORDER BY number"
    )
    assert [(row[0], row[1], plain(row[2])) for row in found[3:]] == [
        ("Mercy Hospital", "credit-note", "-500"),
        ("Alpha Health", "invoice", "500"),
    ]


# -- credits by hand, and what comes after


async def test_a_wrong_write_off_is_undone_by_reissue(agency: Agency) -> None:
    """Issued is issued: further documents correct it.

    Reissue credits what is left of the invoice and opens all of it again, with its write-offs.
    """
    await agency.sheet(REG="40", OT="5")
    await agency.batch()
    await agency.credit("INV-000001", (2, "2"), to="write-off")
    answer = await agency.credit("INV-000001", to="reissue")
    assert answer["details"]["written_off_taken_back"] == "100.00"
    assert await agency.batch() == [("invoice", "2375")]
    await agency.sheet(REG="39", OT="5")
    assert await agency.batch() == [("credit-note", "-50")], "nothing is forgiven any more"


async def test_a_whole_write_off_is_undone_without_a_credit_note(agency: Agency) -> None:
    """Nothing is left on the invoice to credit.

    Reissue reverses the write-off, once, and the next batch bills it again.
    """
    await agency.sheet(REG="40")
    await agency.batch()
    await agency.credit("INV-000001", to="write-off")
    assert await agency.open() == []
    answer = await agency.credit("INV-000001", to="reissue")
    assert (answer["outcome"], answer["details"]["batch_id"], await agency.open()) == (
        "accepted",
        None,
        [("40", "2000")],
    )
    assert (await agency.credit("INV-000001", to="reissue"))["code"] == "nothing_left"
    assert await agency.batch() == [("invoice", "2000")]


async def test_a_credit_to_rebill_of_a_withheld_document_waits_with_it(agency: Agency) -> None:
    """Nothing of it is open.

    What is credited to rebill is opened when the document is released.
    """
    await agency.sheet(REG="40")
    await agency.batch()
    agency.pipeline.send(
        "requirement-changed",
        requirement(
            revision=2,
            statuses=[{"from_date": "2020-01-01", "status": "Open", "position_type": "Temp"}],
        ),
    )
    await agency.settle()
    answer = await agency.credit("INV-000001", (1, "3.5"))
    assert [each["code"] for each in answer["findings"]] == ["withheld"]
    assert await agency.open() == []
    agency.pipeline.send("requirement-changed", requirement(revision=3))
    await agency.settle()
    assert await agency.open() == [("3.5", "175")]


async def test_a_whole_invoice_of_which_part_was_adjusted(agency: Agency) -> None:
    """An open credit reserves nothing.

    The whole document is credited by hand; the adjustment then credits nothing again.
    """
    await agency.sheet(REG="40")
    await agency.batch()
    await agency.sheet(REG="38")
    answer = await agency.credit("INV-000001")
    assert answer["details"]["totals"][0]["net"] == "-2000.00"
    assert (
        answer["details"]["open_again"]["net"],
        answer["details"]["open_again"]["was_open"],
        answer["findings"],
    ) == ("1900.00", "-100.00", [])
    assert await agency.open() == [("38", "1900")]
    assert await agency.batch() == [("invoice", "1900")]


async def test_written_off_hours_stay_forgiven_when_the_rate_changes(agency: Agency) -> None:
    """Cited rates apply.

    Lines that were written off are cited, too: else their hours would be billed at the new price.
    """
    await agency.sheet(REG="40")
    await agency.batch()
    await agency.credit("INV-000001", to="write-off")
    agency.pipeline.send(
        "requirement-changed",
        requirement(revision=2, rates=[rate(price="60.00"), rate("OT", "75.00")]),
    )
    await agency.settle()
    assert await agency.open() == []
    await agency.sheet(REG="41")
    assert await agency.open() == [("1", "50")]
