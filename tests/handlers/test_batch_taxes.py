"""Taxes of batches on a real PostgreSQL: by code, rate and date, per document, and of credits."""

from datetime import date
from decimal import Decimal

from services.invoicer.invoices.rules.documents import MOST_TAX_PARTS
from shared.events.billing import InvoiceClosed, TaxLine
from shared.events.field_types import MESSAGE_BYTES
from tests.builders import (
    COMPANY,
    realization,
    realization_line,
)
from tests.handlers.billed import Biller, biller

__all__ = ["biller"]


async def test_tax_by_code_rate_and_date(biller: Biller) -> None:
    """The code of the line, else the company's, and the rate of that date.

    The document has totals for each code and rate.
    """
    await biller.company(default_tax="VAT")
    await biller.tax("VAT", "19")
    await biller.tax("VAT", "21", "2026-03-05")
    await biller.tax("LOW", "9")
    old = {"effective_date": "2026-03-01", "week_ending": "2026-03-01"}
    await biller.consume(
        realization("T-1", 1, realization_line("1", "25.06")),
        realization("T-2", 1, realization_line("1", "10.00", tax_code="LOW")),
    )
    await biller.consume(realization("T-3", 1, realization_line("1", "100.00", **old)))
    await biller.generate()
    assert await biller.documents() == [
        ("INV-000001", "invoice", "Mercy Hospital", "135.06", "25.16", "USD")
    ]
    (head,) = await biller.rows("SELECT tax_totals FROM invoicer.invoice")
    assert head.tax_totals == [
        {"code": "LOW", "rate": "9", "net": "10.00", "tax": "0.90"},
        {"code": "VAT", "rate": "19", "net": "100.00", "tax": "19.00"},
        {"code": "VAT", "rate": "21", "net": "25.06", "tax": "5.26"},
    ]
    await biller.check_seals()


async def test_tax_per_document(biller: Biller) -> None:
    """25.06, 25.61, 25.63 at 15 % are 11.45 per document: 3.76, 3.84, 3.85."""
    await biller.company(default_tax="VAT", tax_basis="document")
    await biller.tax("VAT", "15")
    await biller.consume(
        *(
            realization(f"T-{at}", 1, realization_line("1", price))
            for at, price in enumerate(("25.06", "25.61", "25.63"))
        )
    )
    await biller.generate()
    assert await biller.documents() == [
        ("INV-000001", "invoice", "Mercy Hospital", "76.3", "11.45", "USD")
    ]
    assert [line[3] for line in await biller.lines("INV-000001")] == ["3.76", "3.84", "3.85"]
    await biller.check_seals()


async def test_exempt_and_reverse_charge_print_their_wording(biller: Biller) -> None:
    """An exempt or reverse-charge debtor has a wording and needs no rate."""
    await biller.company(default_tax="VAT")
    await biller.terms(
        "Mercy Hospital",
        tax_regime="reverse-charge",
        tax_wording="Art. 196",
        payment_terms="day:15",
        tax_id="NL1",
        address="There",
    )
    await biller.consume(realization("T-1", 1, realization_line("40")))
    await biller.generate()
    (head,) = await biller.rows(
        "SELECT tax, tax_regime, tax_wording, due_date, buyer FROM invoicer.invoice"
    )
    assert (head.tax, head.tax_regime, head.tax_wording, str(head.due_date)) == (
        0,
        "reverse-charge",
        "Art. 196",
        "2026-11-15",
    )
    assert head.buyer == {"name": "office-1", "address": "There", "tax_id": "NL1"}


async def test_the_last_credit_of_a_line_takes_the_rest_of_its_tax(biller: Biller) -> None:
    """A partial credit has its share of the tax, the last one the rest."""
    await biller.company(default_tax="VAT")
    await biller.tax("VAT", "8.875")
    await biller.consume(realization("T-1", 1, realization_line("3", "33.33")))
    await biller.generate()
    for realization_no, hours in ((2, "2"), (3, "1")):
        await biller.consume(realization("T-1", realization_no, realization_line(hours, "33.33")))
        await biller.generate()
    await biller.consume(realization("T-1", 4))
    await biller.generate()
    assert [(net, tax) for *_, net, tax, _ in await biller.documents()] == [
        ("99.99", "8.87"),
        ("-33.33", "-2.96"),
        ("-33.33", "-2.96"),
        ("-33.33", "-2.95"),
    ]
    await biller.check_seals()


async def test_a_document_with_too_many_tax_rates_is_refused(biller: Biller) -> None:
    """Its message would exceed the limit of a message, and would stop every worker for good."""
    await biller.company(default_tax="VAT")
    await biller.rows(
        "INSERT INTO fee_realizer.tax_rate SELECT :company, 'T' || lpad(CAST(n AS text), 39, '0'),"
        " '2020-01-01', 12.3456 FROM generate_series(1, 9000) n",
        company=COMPANY,
    )
    codes = [f"T{n:039}" for n in range(1, 9_001)]
    for at in range(0, len(codes), 1_000):
        lines = (
            realization_line("1", "9999999.99", line_key=f'["t","R","REG","{code}"]', tax_code=code)
            for code in codes[at : at + 1_000]
        )
        await biller.consume(realization(f"T-{at}", 1, *lines))
    answer = await biller.generate()
    assert (answer["outcome"], answer["code"]) == ("refused", "too_many_tax_rates")
    assert "Mercy Hospital would have 9,000 tax codes" in answer["message"]


def test_the_message_of_most_tax_rates_fits() -> None:
    """Every part with the longest code, rate and amounts, and a head of the longest texts."""
    part = TaxLine(
        code="T" * 40, rate="1000.0000", net=Decimal("9" * 16), tax=Decimal("-" + "9" * 16)
    )
    event = InvoiceClosed(
        invoice_id=2**62,
        invoice_number="9" * 60,
        document_type="credit-note",
        batch_id="B20261031-0123abcd",
        billing_company="\N{GRINNING FACE}" * 200,
        account_name="\N{GRINNING FACE}" * 400,
        invoice_date=date(2026, 10, 31),
        due_date=date(2026, 11, 30),
        currency="USD",
        po_number="\N{GRINNING FACE}" * 400,
        net=Decimal("9" * 16),
        tax=Decimal("9" * 16),
        total=Decimal("9" * 16),
        tax_totals=(part,) * MOST_TAX_PARTS,
        line_count=2**31,
        content_hash="f" * 64,
    )
    assert len(event.model_dump_json().encode()) < MESSAGE_BYTES
