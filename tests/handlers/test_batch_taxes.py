"""Taxes of batches on a real PostgreSQL: by code, rate and date, per document, and of credits."""

from tests.builders import (
    realization,
    realization_line,
)
from tests.handlers.billed import Biller, biller

__all__ = ["biller"]


async def test_tax_by_code_rate_and_date(biller: Biller) -> None:
    """Domain rules 7: the code of the line, else the company's, and the rate of that date.

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
    """Domain rules 7: 25.06, 25.61, 25.63 at 15 % are 11.45 per document: 3.76, 3.84, 3.85."""
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
    """Domain rules 7: an exempt or reverse-charge debtor has a wording and needs no rate."""
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
    """Domain rules 7: a partial credit has its share of the tax, the last one the rest."""
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
