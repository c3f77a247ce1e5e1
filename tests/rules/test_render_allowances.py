"""Discounts and surcharges in files and on paper: CSV, XLSX, IIF and PDF."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from openpyxl import load_workbook

from shared.render import CSV_HEADER, ControlTotals, csv_row, pdf_document
from shared.render.iif import IifRows
from shared.render.xlsx import XlsxBook
from shared.terms import Allowance, ClosedDocument, ClosedLine
from tests.rules.test_render import CORRECTED, a_document, a_line, records, text_of


def with_allowances() -> tuple[ClosedDocument, list[ClosedLine]]:
    """Lines of 1,333.20 and 258.31 less 2.5 %, taxed at 20 % (domain-rules 12), and 15.00 for
    administration.
    """
    taxed = {"tax_code": "MA", "tax_rate": Decimal(20)}
    lines = [
        a_line(
            number,
            *figures,
            allowance_amount=Decimal(share),
            tax_amount=Decimal(tax),
            **taxed,
        )
        for number, figures, share, tax in (
            (1, ("40", "33.33"), "-20.76", "262.49"),
            (2, ("1", "258.31"), "-4.03", "50.86"),
        )
    ]
    allowances = (
        Allowance(
            "Volume", "MA", Decimal(20), Decimal("1591.51"), Decimal("2.5"), Decimal("-39.79")
        ),
        Allowance("Administration", "MA", Decimal(20), Decimal("1551.72"), None, Decimal("15.00")),
    )
    return a_document(lines, allowances=allowances), lines


def a_credit_of_allowances() -> tuple[ClosedDocument, list[ClosedLine]]:
    """The line of 258.31 credited whole: net 251.85, tax 50.37 (domain-rules 12)."""
    line = a_line(
        1,
        "-1",
        "258.31",
        tax_rate=Decimal(20),
        tax_amount=Decimal("-50.37"),
        allowance_amount=Decimal("6.46"),
        corrects_invoice="HAR-000041",
        corrects_line=2,
    )
    taken_back = Allowance(
        "allowances of HAR-000041", "MA", Decimal(20), Decimal("-258.31"), None, Decimal("6.46")
    )
    changes = {"document_type": "credit-note", "corrects": (CORRECTED,)}
    return a_document([line], allowances=(taken_back,), **changes), [line]


def test_a_file_and_a_page_show_discounts_and_surcharges() -> None:
    """The amounts of the lines, their shares and the tax sum to the total; the page has a row for
    each discount and surcharge, and the lines before them.
    """
    document, lines = with_allowances()
    assert (document.net, document.tax, document.total) == (
        Decimal("1566.72"),
        Decimal("313.35"),
        Decimal("1880.07"),
    )
    rows = records(CSV_HEADER + "".join(csv_row(document, line) for line in lines))
    shares = [row["allowance_amount"] for row in rows]
    assert shares == ["-20.76", "-4.03"]
    columns = ("amount", "allowance_amount", "tax_amount")
    assert sum(Decimal(row[name]) for row in rows for name in columns) == document.total
    totals = ControlTotals()
    totals.add_document(document)
    for line in lines:
        totals.add_line("USD", line)
    assert totals.mismatches() == []
    printed = text_of(pdf_document(document, lines))
    for words in (
        "Lines 1,591.51",
        "Volume 2.5 % on 1,591.51 -39.79",
        "Administration on 1,551.72 15.00",
        "Subtotal, net of tax 1,566.72",
    ):
        assert words in printed


def test_an_iif_file_has_a_line_for_each(tmp_path: Path) -> None:
    """The lines, the allowances and the tax of the document are the opposite of its total."""
    document, lines = with_allowances()
    rows = IifRows()
    text = [*rows.begin(document), *(rows.line(document, line) for line in lines)]
    text += rows.end(document)
    splits = [row.split("\t") for row in text if row.startswith("SPL")]
    amounts = [Decimal(cells[5]) for cells in splits]
    assert amounts == [
        Decimal(each) for each in ("-1333.20", "-258.31", "39.79", "-15.00", "-313.35")
    ]
    assert sum(amounts) == -document.total
    assert splits[2][7] == "Volume 2.5 % of 1591.51"


def test_a_workbook_has_a_sheet_of_them(tmp_path: Path) -> None:
    """The sheet `allowances` has a row for each; the net of a document sums lines and shares."""
    document, lines = with_allowances()
    book = XlsxBook(tmp_path / "a.xlsx", datetime(2026, 4, 2, tzinfo=UTC))
    book.begin(document)
    for line in lines:
        book.line(document, line)
    book.end(document)
    book.close({}, {})
    sheets = load_workbook(tmp_path / "a.xlsx", data_only=True)
    rows = [[cell.value for cell in row] for row in sheets["allowances"].iter_rows(min_row=2)]
    assert [(row[2], row[5], row[6], row[7]) for row in rows] == [
        ("Volume", 1591.51, 2.5, -39.79),
        ("Administration", 1551.72, None, 15),
    ]
    heads = [cell.value for cell in sheets["documents"][1]]
    values = [cell.value for cell in sheets["documents"][2]]
    assert values[heads.index("net")] == 1566.72
