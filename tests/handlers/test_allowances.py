"""Discounts and surcharges per debtor: document-level allowances and charges (domain-rules 12)."""

from decimal import Decimal
from typing import Any

import pytest

from services.console.cli.explaining import _allowances as shown_allowances
from services.console.columns.debtors import in_words
from services.console.queries import batches, debtors, explanations, invoices
from services.console.queries.snapshot import open_snapshot
from shared.events.billing import InvoiceClosed
from tests.builders import COMPANY, product_line, realization, realization_line
from tests.handlers.billed import Biller, biller
from tests.report_totals import check_reports

__all__ = ["biller"]

Row = tuple[str, str, str, str | None, str]
MERCY = "Mercy Hospital"


def discount(name: str, percent: str, applies_to: str = "all") -> dict[str, Any]:
    return {"kind": "discount", "name": name, "percent": percent, "applies_to": applies_to}


def surcharge(name: str, **values: str) -> dict[str, Any]:
    return {"kind": "surcharge", "name": name, **values}


async def taxed(biller: Biller, percent: str = "20", **changes: Any) -> None:
    """A billing company whose lines are all taxed."""
    await biller.company(default_tax="VAT", **changes)
    await biller.tax("VAT", percent)


async def terms(biller: Biller, *allowances: dict[str, Any], **values: Any) -> dict[str, Any]:
    """Sets the terms of Mercy Hospital by command and returns the answer."""
    return await biller.ask(
        "set-debtor-terms", account_name=MERCY, allowances=list(allowances), **values
    )


async def amounts(biller: Biller, number: str) -> list[tuple[str, str, str]]:
    """Amount, allowance and tax of the lines of a document."""
    found = await biller.rows(
        "SELECT trim_scale(l.amount)::text, trim_scale(l.allowance_amount)::text,"
        " trim_scale(l.tax_amount)::text FROM invoicer.closed_invoice_line l"
        " JOIN invoicer.invoice i USING (invoice_id) WHERE i.invoice_number = :number"
        " ORDER BY l.line_no",
        number=number,
    )
    return [tuple(row) for row in found]


async def allowances(biller: Biller, number: str) -> list[Row]:
    """Name, tax rate, base, percent and amount of the allowances of a document."""
    (row,) = await biller.rows(
        "SELECT allowances FROM invoicer.invoice WHERE invoice_number = :number", number=number
    )
    return [
        (each["name"], each["rate"], each["base"], each["percent"], each["amount"])
        for each in row.allowances or ()
    ]


async def two_weeks(biller: Biller) -> None:
    """Timesheets of 1,333.20 and 258.31, taxed at 20 %, with 2.5 % off timesheets."""
    await taxed(biller)
    await terms(biller, discount("Volume", "2.5", "timesheets"))
    await biller.consume(
        realization("T-1", 1, realization_line("40", "33.33")),
        realization("T-2", 1, realization_line("1", "258.31")),
    )


async def test_a_discount_on_timesheets(biller: Biller) -> None:
    """Allowance 39.79, net 1,551.72, tax 310.34, total 1,862.06 (domain-rules 12, row 21)."""
    await two_weeks(biller)
    previewed = await biller.preview()
    generated = await biller.generate(digest=previewed["details"]["digest"])
    assert generated["outcome"] == "accepted", generated
    assert await biller.documents() == [
        ("INV-000001", "invoice", MERCY, "1551.72", "310.34", "USD")
    ]
    assert await amounts(biller, "INV-000001") == [
        ("1333.2", "-33.33", "259.97"),
        ("258.31", "-6.46", "50.37"),
    ]
    rows = [("Volume", "20", "1591.51", "2.5", "-39.79")]
    assert await allowances(biller, "INV-000001") == rows
    for answer in (previewed, generated):
        (document,) = answer["details"]["listed"]
        assert document["total"] == "1862.06"
        assert [each["amount"] for each in document["allowances"]] == ["-39.79"]
    (closed,) = biller.published("invoice-closed")
    event = InvoiceClosed.model_validate_json(closed.value)
    assert event.allowances is not None
    assert (str(event.net), str(event.allowances[0].amount)) == ("1551.72", "-39.79")
    await biller.check_seals()


async def test_people_see_where_a_discount_comes_from(biller: Biller, database: str) -> None:
    """A stored preview, a batch, an invoice and a line show the discount, its base and shares."""
    await two_weeks(biller)
    previewed = await biller.preview()
    generated = await biller.generate()
    row = {
        "name": "Volume",
        "code": "VAT",
        "rate": "20",
        "base": "1591.51",
        "percent": "2.5",
        "amount": "-39.79",
    }
    (found,) = await biller.rows(
        "SELECT pay_line_id AS id FROM invoicer.pay_line WHERE document_id = 'T-2'"
    )
    async with open_snapshot(database) as connection:
        stored = await batches.preview(connection, previewed["details"]["preview_id"])
        assert stored is not None
        closed = await batches.batch_documents(connection, generated["details"]["batch_id"])
        for document in (*stored["documents"], *closed):
            assert (document["allowance"], document["allowances"]) == (Decimal("-39.79"), [row])
        why = await explanations.explain_pay_line(connection, found.id)
        head = await invoices.invoice(connection, "INV-000001")
        lines = await invoices.invoice_lines(connection, head["invoice_id"])
        (terms_now,) = await debtors.debtor_terms(connection, COMPANY, MERCY)
    assert (why["place"]["allowance_amount"], why["place"]["allowances"]) == (
        Decimal("-6.46"),
        [row],
    )
    assert shown_allowances(why["place"], "USD") == (
        "-6.46 USD of: Volume -39.79, 2.5 % of 1,591.51"
    )
    assert head["allowances"] == [row]
    assert [str(each["amount_left"]) for each in lines] == ["1299.87", "251.85"]
    assert [in_words(each) for each in terms_now["allowances"]] == [
        "discount Volume 2.5 % of timesheets"
    ]


async def test_a_line_with_a_discount_credited_whole(biller: Biller) -> None:
    """The line of 258.31 credited whole: net 251.85, tax 50.37 (domain-rules 12, row 22)."""
    await two_weeks(biller)
    await biller.generate()
    credited = await biller.tell(
        "credit-invoice", invoice_number="INV-000001", lines=[{"line_no": 2}], to="write-off"
    )
    assert credited["message"].startswith(
        "credit note INV-000002 for INV-000001: 251.85 net, 50.37 tax"
    )
    assert (await biller.documents())[1:] == [
        ("INV-000002", "credit-note", MERCY, "-251.85", "-50.37", "USD")
    ]
    assert await amounts(biller, "INV-000002") == [("-258.31", "6.46", "-50.37")]
    assert await allowances(biller, "INV-000002") == [
        ("allowances of INV-000001", "20", "-258.31", None, "6.46")
    ]
    balance = "SELECT trim_scale(balance)::text AS b FROM invoicer.invoice_balance ORDER BY 1"
    assert [row.b for row in await biller.rows(balance)] == ["0", "1559.84"]
    await biller.check_seals()


async def test_credits_of_parts_take_the_share_in_proportion(biller: Biller) -> None:
    """A part takes its share of allowance and tax, the last credit of a line takes the rest."""
    await taxed(biller)
    await terms(biller, discount("Volume", "2.5"))
    await biller.consume(realization("T-1", 1, realization_line("3", "33.33")))
    await biller.generate()
    assert await amounts(biller, "INV-000001") == [("99.99", "-2.5", "19.5")]
    for number, hours in enumerate(("2", "1", "0"), start=2):
        lines = [] if hours == "0" else [realization_line(hours, "33.33")]
        await biller.consume(realization("T-1", number, *lines))
        await biller.generate()
    # 2.50 in thirds is 0.83 and 0.83; the last credit takes 0.84.
    assert [await amounts(biller, f"INV-00000{each}") for each in (2, 3, 4)] == [
        [("-33.33", "0.83", "-6.5")],
        [("-33.33", "0.83", "-6.5")],
        [("-33.33", "0.84", "-6.5")],
    ]
    balances = "SELECT balance, state FROM invoicer.invoice_balance ORDER BY invoice_id"
    assert [(int(row.balance), row.state) for row in await biller.rows(balances)] == [
        (0, "credited"),
        *[(0, "applied")] * 3,
    ]
    await biller.check_seals()


async def test_a_fee_in_two_halves_with_a_discount_and_a_leaver(biller: Biller) -> None:
    """10 % off a fee of 8,000.00 in two invoiced halves; the second is given back.

    Credit 4,000.00 − 400.00 = 3,600.00 (domain-rules 12, row 14).
    """
    await biller.company()
    await terms(biller, discount("Framework", "10", "products"))
    halves = [
        product_line("4000", line_key=f'["p","FEE","day {day}"]', effective_date="2026-03-02")
        for day in (1, 60)
    ]
    await biller.consume(realization("P-1", 1, *halves, document_kind="placement"))
    await biller.generate()
    await biller.consume(realization("P-1", 2, halves[0], document_kind="placement"))
    await biller.generate()
    assert [(kind, net) for _, kind, _, net, *_ in await biller.documents()] == [
        ("invoice", "7200"),
        ("credit-note", "-3600"),
    ]
    assert await amounts(biller, "INV-000002") == [("-4000", "400", "0")]
    await biller.check_seals()


async def test_netted_credits_keep_their_own_share(biller: Biller, database: str) -> None:
    """On a netted document the percentage takes the debits, credits keep the share of their line.

    The discount has changed since: 10 % on 1,000.00 invoiced, 20 % on 600.00 of new work. Reports
    count net after allowances.
    """
    await taxed(biller)
    await terms(biller, discount("Volume", "10"), credits="net")
    await biller.consume(realization("T-1", 1, realization_line("10", "100")))
    await biller.generate()
    await terms(biller, discount("Volume", "20"))
    await biller.consume(
        realization("T-1", 2, realization_line("8", "100")),
        realization("T-2", 1, realization_line("6", "100")),
    )
    await biller.generate()
    assert (await biller.documents())[1:] == [("INV-000002", "invoice", MERCY, "300", "60", "USD")]
    assert sorted(await amounts(biller, "INV-000002")) == [
        ("-200", "20", "-36"),
        ("600", "-120", "96"),
    ]
    assert await allowances(biller, "INV-000002") == [
        ("Volume", "20", "600.00", "20", "-120.00"),
        ("allowances of INV-000001", "20", "-200.00", None, "20.00"),
    ]
    async with open_snapshot(database) as connection:
        found = await check_reports(connection, biller.rows, COMPANY)
    assert (found["register"], found["credits"]) == (2, 1)
    await biller.check_seals()


async def test_discounts_come_before_surcharges_each_of_what_is_left(biller: Biller) -> None:
    """100.00 less 10 % less 5 % of 90.00 plus 3 % of 85.50, once per name and tax rate."""
    await taxed(biller)
    await biller.tax("LOW", "5")
    await terms(biller, surcharge("Fuel", percent="3"), discount("A", "10"), discount("B", "5"))
    await biller.consume(
        realization("T-1", 1, realization_line("1", "100")),
        realization("T-2", 1, realization_line("1", "40", tax_code="LOW")),
    )
    await biller.generate()
    assert sorted(await allowances(biller, "INV-000001")) == [
        ("A", "20", "100.00", "10", "-10.00"),
        ("A", "5", "40.00", "10", "-4.00"),
        ("B", "20", "90.00", "5", "-4.50"),
        ("B", "5", "36.00", "5", "-1.80"),
        ("Fuel", "20", "85.50", "3", "2.57"),
        ("Fuel", "5", "34.20", "3", "1.03"),
    ]
    assert sorted(await amounts(biller, "INV-000001")) == [
        ("100", "-11.93", "17.61"),
        ("40", "-4.77", "1.76"),
    ]
    await biller.check_seals()


async def test_tax_per_document_is_on_amount_less_allowance(biller: Biller) -> None:
    """25.06, 25.61 and 25.63 less 10 % at 15 %: 68.67 × 15 % = 10.30, spread over the lines."""
    await taxed(biller, "15", tax_basis="document")
    await terms(biller, discount("Volume", "10"))
    prices = enumerate(("25.06", "25.61", "25.63"))
    await biller.consume(
        *(realization(f"T-{at}", 1, realization_line("1", price)) for at, price in prices)
    )
    await biller.generate()
    assert await biller.documents() == [("INV-000001", "invoice", MERCY, "68.67", "10.3", "USD")]
    assert await amounts(biller, "INV-000001") == [
        ("25.06", "-2.51", "3.38"),
        ("25.61", "-2.56", "3.46"),
        ("25.63", "-2.56", "3.46"),
    ]
    await biller.check_seals()


async def test_a_fixed_amount_is_charged_once_a_batch(biller: Biller) -> None:
    """Once per debtor, currency and batch, on the first document with original lines.

    Never on a correction; what was charged is given back in proportion to the line.
    """
    await biller.company()
    await terms(biller, surcharge("Administration", amount="15"))
    await biller.consume(
        realization("T-1", 1, realization_line("2", "50", po_number="A")),
        realization("T-2", 1, realization_line("1", "50", po_number="B")),
        realization("T-3", 1, realization_line("1", "5000", currency="JPY")),
    )
    await biller.generate()
    assert [(net, currency) for *_, net, _, currency in await biller.documents()] == [
        ("5015", "JPY"),
        ("115", "USD"),
        ("50", "USD"),
    ]
    await biller.consume(realization("T-1", 2, realization_line("3", "50", po_number="A")))
    await biller.consume(realization("T-2", 2))
    await biller.generate()
    assert [(kind, net) for _, kind, _, net, *_ in (await biller.documents())[3:]] == [
        ("invoice", "50"),
        ("credit-note", "-50"),
    ]
    await biller.tell("credit-invoice", invoice_number="INV-000002", lines=[], to="reissue")
    await biller.generate()
    assert [(kind, net) for _, kind, _, net, *_ in (await biller.documents())[5:]] == [
        ("credit-note", "-115"),
        ("invoice", "100"),
    ]
    await biller.check_seals()


async def test_an_allowance_is_capped_and_a_document_of_zero_stays_open(biller: Biller) -> None:
    """A discount is at most its base. A document that comes to zero stays open, so the next one
    takes the fixed amount.
    """
    await biller.company()
    off = {"kind": "discount", "name": "Goodwill", "amount": "80", "currency": "USD"}
    await terms(biller, off)
    await biller.consume(
        realization("T-1", 1, realization_line("1", "50", po_number="A")),
        realization("T-2", 1, realization_line("2", "50", po_number="B")),
    )
    answer = await biller.generate()
    assert answer["details"]["left_out"] == {"zero_total": 1}
    assert [net for *_, net, _, _ in await biller.documents()] == ["20"]
    assert await allowances(biller, "INV-000001") == [("Goodwill", "0", "100.00", None, "-80.00")]
    await biller.check_seals()


async def test_a_changed_discount_makes_a_preview_outdated(biller: Biller) -> None:
    """The digest covers allowances; a batch that cites the earlier preview names the change."""
    await two_weeks(biller)
    previewed = await biller.preview()
    await terms(biller, discount("Volume", "3", "timesheets"))
    refused = await biller.generate(digest=previewed["details"]["digest"])
    assert (refused["code"], refused["details"]["settings"]) == (
        "digest_differs",
        [f"terms of {MERCY}"],
    )
    answer = await terms(biller, remove_allowances=["Volume"])
    assert answer["details"]["allowances"] == []
    await biller.generate()
    assert await allowances(biller, "INV-000001") == []
    await biller.check_seals()


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"remove_allowances": ["Other"]}, "unknown_allowance"),
        ({"allowances": [discount(f"D{at}", "1") for at in range(20)]}, "too_many_allowances"),
    ],
)
async def test_refused_allowances(biller: Biller, values: dict[str, Any], code: str) -> None:
    """A name that is not there cannot be removed; a debtor has at most twenty."""
    await biller.company()
    await terms(biller, discount("Volume", "2.5"))
    refused = await biller.ask("set-debtor-terms", account_name=MERCY, **values)
    assert (refused["outcome"], refused["code"]) == ("refused", code)
