"""CSV and PDF of closed documents: signs, money, content."""

import csv
import io
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pypdf import PdfReader

from shared.errors import Refused
from shared.money import ZERO, rounded
from shared.render import (
    CSV_COLUMNS,
    CSV_HEADER,
    PRINTABLE_LINES,
    ControlTotals,
    CurrencyTotals,
    csv_row,
    pdf_document,
)
from shared.render.printed import RUNNING_LENGTH
from shared.render.text import UNBROKEN_LENGTH, clean
from shared.terms import ClosedDocument, ClosedLine, CorrectedInvoice, Party, TaxTotal
from tests.twins import csv_rows

SELLER = Party(
    "Harbor Staffing LLC",
    "12 Quay Street\nBoston, MA 02110",
    "04-3456789",
    "Harbor Bank\nAccount 4711",
)
BUYER = Party("Magnolia Health", "88 Meridian Way\nRaleigh, NC 27601", "58-1190022")
CORRECTED = CorrectedInvoice("HAR-000041", date(2026, 3, 3))
PUBLISHED_COLUMNS = [
    *(
        "invoice_number",
        "document_type",
        "billing_company",
        "account_name",
        "invoice_date",
        "due_date",
        "currency",
    ),
    *(
        "line_no",
        "description",
        "worker_id",
        "week_ending",
        "service_from",
        "service_to",
        "time_type",
    ),
    *("quantity", "unit", "unit_price", "amount", "tax_code", "tax_rate", "tax_amount"),
    *("po_number", "document_id", "pay_line_id", "corrects_invoice", "corrects_line"),
]


def a_line(
    number: int = 1,
    quantity: str = "40",
    price: str = "79.50",
    currency: str = "USD",
    **changes: Any,
) -> ClosedLine:
    """A week of a nurse's regular hours at 10 % tax."""
    week = date(2026, 3, 8) + timedelta(days=7 * (number % 4))
    amount = rounded(Decimal(quantity) * Decimal(price), currency)
    line = ClosedLine(
        invoice_id=7,
        line_no=number,
        description="Registered Nurse, REG",
        document_kind="timesheet",
        document_id=f"ts-{number}",
        pay_line_id=1000 + number,
        worker_id=f"RN-{number:02d}",
        requirement_id="req-1",
        week_ending=week,
        service_from=week - timedelta(days=6),
        service_to=week - timedelta(days=2),
        time_type="REG",
        quantity=Decimal(quantity),
        unit="HUR",
        unit_price=Decimal(price),
        amount=amount,
        tax_code="MA",
        tax_rate=Decimal("10.0000"),
        tax_amount=rounded(amount / 10, currency),
        po_number="PO-117",
        project="Apollo",
        cost_center="ICU-4",
        corrects_invoice="",
        corrects_line=None,
    )
    return replace(line, **changes)


def a_document(lines: list[ClosedLine], **changes: Any) -> ClosedDocument:
    """The closed head over those lines."""
    sums: dict[tuple[str, Decimal], tuple[Decimal, Decimal]] = {}
    for line in lines:
        net, tax = sums.get((line.tax_code, line.tax_rate), (ZERO, ZERO))
        net += line.amount + line.allowance_amount
        sums[line.tax_code, line.tax_rate] = (net, tax + line.tax_amount)
    net, tax = (
        sum((each[0] for each in sums.values()), ZERO),
        sum((each[1] for each in sums.values()), ZERO),
    )
    document = ClosedDocument(
        invoice_id=7,
        invoice_number="HAR-000042",
        document_type="invoice",
        batch_id="batch-1",
        billing_company="harbor",
        account_name="Magnolia #3862",
        seller=SELLER,
        buyer=BUYER,
        invoice_date=date(2026, 4, 2),
        due_date=date(2026, 5, 2),
        cut_off_date=date(2026, 3, 31),
        currency="USD",
        payment_terms="net:30",
        po_number="PO-117",
        tax_wording="",
        net=net,
        tax=tax,
        total=net + tax,
        line_count=len(lines),
        service_from=min((line.service_from for line in lines), default=date(2026, 3, 30)),
        service_to=max((line.service_to for line in lines), default=date(2026, 3, 30)),
        tax_totals=tuple(TaxTotal(code, rate, *both) for (code, rate), both in sums.items()),
        corrects=(),
        content_hash="c0ffee",
    )
    return replace(document, **changes)


def a_credit_note() -> tuple[ClosedDocument, list[ClosedLine]]:
    """35.03 for an hour of a line of 2 × 35.0350, and two whole hours.

    Quantity × price would lose a cent.
    """
    lines = [
        a_line(
            1,
            "-1",
            "35.0350",
            amount=Decimal("-35.03"),
            tax_amount=Decimal("-3.50"),
            corrects_invoice="HAR-000041",
            corrects_line=3,
        ),
        a_line(2, "-2", "79.50", corrects_invoice="HAR-000041", corrects_line=9),
    ]
    return a_document(
        lines, document_type="credit-note", invoice_number="HAR-000043", corrects=(CORRECTED,)
    ), lines


def records(text: str) -> list[dict[str, str]]:
    """The CSV as another program reads it."""
    return list(csv.DictReader(io.StringIO(text, newline="")))


def text_of(pdf: bytes) -> str:
    """The words of a PDF, each run of blanks as one."""
    return " ".join(
        " ".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages).split()
    )


# CSV


def test_columns_are_in_the_published_order() -> None:
    """Other programs read columns by position.

    The published ones are first, additions at the end.
    """
    added = ["project", "cost_center", "worker_name", "requirement_id", "requirement_reference"]
    added += ["client_contact", "client_reference"]
    assert list(CSV_COLUMNS) == [*PUBLISHED_COLUMNS, *added, "allowance_amount"]
    assert ",".join(CSV_COLUMNS) + "\r\n" == CSV_HEADER


def test_csv_sums_to_the_control_totals() -> None:
    """What lowers the debt is negative, so a column sums to the batch."""
    invoice_lines = [a_line(number, "37.5", "33.3333") for number in range(1, 8)]
    credit, credit_lines = a_credit_note()
    totals = ControlTotals()
    text = CSV_HEADER
    for document, lines in ((a_document(invoice_lines), invoice_lines), (credit, credit_lines)):
        text += "".join(csv_rows(document, lines, totals))
    rows = records(text)
    column = {
        name: sum((Decimal(row[name]) for row in rows), ZERO)
        for name in ("quantity", "amount", "tax_amount")
    }
    counted = totals.by_currency["USD"]
    assert (counted.quantity, counted.net, counted.tax) == (
        column["quantity"],
        column["amount"],
        column["tax_amount"],
    )
    assert counted == CurrencyTotals(
        2,
        9,
        Decimal("259.5"),
        7 * Decimal("1250.00") - Decimal("194.03"),
        7 * Decimal("125.00") - Decimal("19.40"),
        counted.total,
    )
    assert counted.total == counted.net + counted.tax
    assert (totals.documents, totals.lines, totals.mismatches()) == (2, len(rows), [])
    assert (
        rows[7]["amount"] == "-35.03"
        and rows[7]["corrects_line"] == "3"
        and rows[7]["document_type"] == "credit-note"
    )


def test_a_lost_line_is_reported() -> None:
    """A file whose lines differ from its documents' heads names the figure."""
    lines = [a_line(1), a_line(2)]
    totals = ControlTotals()
    list(csv_rows(a_document(lines), lines[:1], totals))
    assert [message.split(";")[0] for message in totals.mismatches()] == [
        "USD: the file's lines have lines 1, the heads of its documents state 2",
        "USD: the file's lines have net 3180.00, the heads of its documents state 6360.00",
        "USD: the file's lines have tax 318.00, the heads of its documents state 636.00",
        "USD: the file's lines have total 3498.00, the heads of its documents state 6996.00",
    ]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝"])
def test_text_is_no_formula(start: str) -> None:
    """Text like a formula gets an apostrophe; a negative number stays a number."""
    hostile = start + 'HYPERLINK("http://x","y")'
    texts = (
        "description",
        "worker_id",
        "time_type",
        "po_number",
        "document_id",
        "project",
        "cost_center",
    )
    line = a_line(1, "-2", unit="HUR", **dict.fromkeys(texts, hostile))
    row = records(CSV_HEADER + csv_row(a_document([line], account_name=hostile), line))[0]
    assert {row[name] for name in (*texts, "account_name")} == {"'" + hostile}
    assert (row["quantity"], row["amount"]) == ("-2", "-159.00")


def test_csv_quotes_follow_rfc_4180() -> None:
    """Commas, quotes, line breaks and any script are restored; CRLF ends."""
    name = 'Nurse "ICU", 看護師\nnight — عامل'
    line = a_line(1, description=name)
    text = csv_row(a_document([line]), line)
    assert text.endswith("\r\n") and '"Nurse ""ICU"", 看護師\nnight — عامل"' in text
    assert records(CSV_HEADER + text.encode().decode())[0]["description"] == name


@pytest.mark.parametrize(
    ("currency", "amount"), [("JPY", "3180"), ("USD", "3180.00"), ("KWD", "3180.000")]
)
def test_amounts_have_the_minor_unit_of_the_currency(currency: str, amount: str) -> None:
    """JPY no decimals, USD two, KWD three.

    Quantities, prices and rates have no trailing zeros.
    """
    line = a_line(1, "40.0000", "79.5000", currency)
    row = records(CSV_HEADER + csv_row(a_document([line], currency=currency), line))[0]
    assert (row["amount"], row["quantity"], row["unit_price"], row["tax_rate"]) == (
        amount,
        "40",
        "79.5",
        "10",
    )


def test_csv_memory_is_flat() -> None:
    """A file is streamed: 20,000 lines take no more memory than 2,000."""

    def peak(count: int) -> int:
        document, line = a_document([]), a_line(1)
        endless: Iterator[ClosedLine] = (replace(line, line_no=number) for number in range(count))
        tracemalloc.start()
        written = sum(len(row) for row in csv_rows(document, endless, ControlTotals()))
        high = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert written > 100 * count
        return high

    peak(10)
    assert peak(20_000) < peak(2_000) + 20_000


# PDF


def test_an_invoice_shows_all_that_it_must() -> None:
    """Required content; the cut-off is the period."""
    lines = [
        a_line(1),
        a_line(
            2,
            "1",
            "10000",
            unit="C62",
            tax_code="X",
            tax_rate=ZERO,
            tax_amount=ZERO,
            description="Placement fee",
        ),
    ]
    text = text_of(pdf_document(a_document(lines, tax_wording="Exempt under article 44."), lines))
    for item in (
        *(
            "Invoice number HAR-000042",
            "Invoice date 2026-04-02",
            "Due date 2026-05-02",
            "Net 30 days",
            "Currency USD",
        ),
        *(
            "Harbor Staffing LLC",
            "12 Quay Street",
            "Tax ID 04-3456789",
            "Harbor Bank",
            "Account 4711",
        ),
        *("Magnolia Health", "88 Meridian Way", "Tax ID 58-1190022", "PO-117", "Magnolia #3862"),
        *(
            "Billing period up to 2026-03-31",
            "Service period 2026-03-09 – 2026-03-20",
            "Page 1 of 1",
        ),
        *(
            "2026-03-09 – 2026-03-13",
            "40.00 hours 79.50 MA 10 % 3,180.00",
            "1.00 units 10,000.00 X 0 % 10,000.00",
        ),
        *(
            *("Project Apollo", "Cost center ICU-4", "worker RN-01 · w/e 2026-03-15"),
            "Subtotal, net of tax 13,180.00",
        ),
        *(
            "Tax MA 10 % on 3,180.00 318.00",
            "Tax X 0 % on 10,000.00 0.00",
            "Exempt under article 44.",
            "Total USD 13,498.00",
        ),
    ):
        assert item in text, item
    assert "date 2026-03-31" not in text


def test_a_credit_note_is_titled_so_with_turned_signs() -> None:
    """Its total is positive on paper.

    It names the corrected invoice with its date, each line its invoice line.
    """
    document, lines = a_credit_note()
    text = text_of(pdf_document(document, lines))
    for item in (
        *(
            "Credit note number HAR-000043",
            "Credit note date 2026-04-02",
            "HAR-000041 of 2026-03-03",
            "Total USD 213.43",
        ),
        *(
            "credits line 3 of invoice HAR-000041 of 2026-03-03",
            "credits line 9 of invoice HAR-000041 of 2026-03-03",
        ),
        *("1.00 35.035 35.03", "2.00 79.500 159.00", "Tax MA 10 % on 194.03 19.40"),
    ):
        assert item in text, item
    assert "difference of amounts" in text and "Please pay" not in text
    assert not any(token.startswith("-") and token[1:2].isdigit() for token in text.split())


def test_a_netted_credit_line_stays_negative_on_an_invoice() -> None:
    """Only a credit note changes signs."""
    lines = [a_line(1), a_line(2, "-3", corrects_invoice="HAR-000041", corrects_line=1)]
    text = text_of(pdf_document(a_document(lines, corrects=(CORRECTED,)), lines))
    assert (
        "-3.00 79.50 -238.50" in text
        and "credits line 1 of invoice HAR-000041" in text
        and "Total USD 3,235.65" in text
    )


def test_the_same_document_gives_the_same_bytes() -> None:
    """No clock, no random id, no font of the machine."""
    lines = [a_line(number) for number in range(1, 30)]
    document = a_document(lines)
    first = pdf_document(document, lines)
    assert first == pdf_document(document, iter(lines))
    assert first != pdf_document(replace(document, total=document.total + 1), lines)
    made = PdfReader(io.BytesIO(first)).metadata
    assert (
        made is not None
        and made.creation_date is not None
        and made.creation_date.date() == document.invoice_date
    )


def test_each_page_has_head_and_page_number() -> None:
    """Column heads, document number, page x of y; no line is lost."""
    lines = [a_line(number) for number in range(1, 121)]
    pages = [
        page.extract_text()
        for page in PdfReader(io.BytesIO(pdf_document(a_document(lines), lines))).pages
    ]
    assert len(pages) >= 3
    for number, page in enumerate(pages, start=1):
        assert f"Page {number} of {len(pages)}" in page and "HAR-000042" in page
        assert "Description" in page or "Total USD" in page
    whole = "\n".join(pages)
    assert all(f"worker RN-{number:02d} " in whole for number in range(1, 121))


@pytest.mark.parametrize(
    ("currency", "total"),
    [("JPY", "JPY 1,358,025"), ("EUR", "EUR 1,358,024.68"), ("KWD", "KWD 1,358,024.679")],
)
def test_amounts_are_printed_in_the_currency(currency: str, total: str) -> None:
    """Thousands are separated; decimals are the currency's."""
    line = a_line(1, "1", "1234567.8901", currency)
    assert total in text_of(pdf_document(a_document([line], currency=currency), [line]))


def test_user_text_is_printed_and_never_executed() -> None:
    """Typesetter code, control marks, half characters."""
    code = "#panic(1) $x$ *b* _i_ \\ @ref <lab> // c [x] `r` ]"
    lines = [
        a_line(1, description=code, worker_id=""),
        a_line(2, description="\u202egnp.exe\u202c \x00\x07\ud800 عامل עובד 看護師 🙂"),
    ]
    text = text_of(
        pdf_document(a_document(lines, buyer=Party(code), account_name="Σίσυφος Żółć"), lines)
    )
    assert text.count(code) == 2 and "Σίσυφος Żółć" in text and "gnp.exe" in text
    unnamed = a_document(
        [], seller=Party(""), buyer=Party(""), account_name="", po_number="", content_hash=""
    )
    assert "Total USD 0.00" in text_of(pdf_document(unnamed, []))


def test_long_names_wrap_and_lose_nothing() -> None:
    """A long word breaks in its column; page heads are cut to a line."""
    name = "Wolfeschlegelsteinhausenbergerdorff" * 8
    lines = [a_line(number, description=name) for number in range(1, 12)]
    pages = PdfReader(io.BytesIO(pdf_document(a_document(lines, buyer=Party(name)), lines))).pages
    assert len(pages) > 1 and f"{name[: RUNNING_LENGTH - 1]}…" in pages[-1].extract_text()
    whole = "".join("".join(page.extract_text().split()) for page in pages).replace("\u200b", "")
    assert whole.count(name) == 12
    assert max(len(piece) for piece in clean(name).split("\u200b")) == UNBROKEN_LENGTH


def test_an_oversized_document_is_refused_with_an_alternative() -> None:
    """Before the work; the message names the CSV."""
    with pytest.raises(Refused) as refused:
        pdf_document(a_document([]), (a_line(1) for _ in range(PRINTABLE_LINES + 1)))
    assert refused.value.code == "too_many_lines_for_pdf" and "CSV" in refused.value.fix


def test_a_self_billed_document_says_who_issued_it() -> None:
    """The title names self-billing, and the text the issuer, the supplier and their agreement."""
    seller = replace(SELLER, self_billed_by="magnolia", agreement="SBA-7")
    lines = [a_line(1)]
    credit, credited = a_credit_note()
    issued = "Self-billing: issued by Magnolia Health for Harbor Staffing LLC, agreement SBA-7"
    for document, shown, title in (
        (a_document(lines, seller=seller), lines, "Self-billed invoice"),
        (replace(credit, seller=seller), credited, "Self-billed credit note"),
    ):
        pages = PdfReader(io.BytesIO(pdf_document(document, shown))).pages
        text = " ".join(pages[0].extract_text().split())
        assert title in text and issued in text
        assert "Please pay" not in text
        assert ("Magnolia Health pays" in text) == (title == "Self-billed invoice")
        assert ("BILL TO" in text.upper()) == (title == "Self-billed invoice")
