"""E-invoices: UBL, and CII inside a PDF/A-3, read back by another library, checked by schemas."""

import io
import tracemalloc
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from facturx import get_facturx_xml_from_pdf, parse_ubl_cii_xml, xml_check_xsd
from lxml import etree
from pypdf import PdfReader

from shared.money import rounded
from shared.render.einvoice import EInvoice
from shared.render.line_figures import line_figures
from shared.render.parties import address_lines, countries, country_of, iban_in, vat_number
from shared.render.pdfa import cii_document, pdfa_document
from shared.render.ubl import ubl_file
from shared.terms import Allowance, ClosedDocument, ClosedLine, Party
from tests.rules.test_render import (
    BUYER,
    SELLER,
    a_credit_note,
    a_document,
    a_line,
)
from tests.rules.test_render_allowances import a_credit_of_allowances, with_allowances

LINDEN = Party(
    "Linden Nederland B.V.",
    "Keizersgracht 210\n1016 DX Amsterdam\nNetherlands",
    "NL000044712B01",
    "Bank, IBAN NL91 ABNA 0417 1643 00 Amsterdam",
)
ORANJE = Party(
    "Oranje Zorg & Co <B.V.>", "Straat 1\n1000 AA Amsterdam\nNederland", "NL123456789B01"
)
UNTAXED: dict[str, Any] = {"tax_code": "", "tax_rate": Decimal(0), "tax_amount": Decimal(0)}
ZERO_RATED: dict[str, Any] = UNTAXED | {"tax_code": "ZERO"}
NETTED: dict[str, Any] = {
    "amount": Decimal("-35.03"),
    "corrects_invoice": "HAR-000041",
    "corrects_line": 3,
}


def with_fees() -> tuple[ClosedDocument, list[ClosedLine]]:
    """A line of 97.09 at 20 % with a discount of 3 %, and a markup of 3 % at 10 % (msp.md 9)."""
    fee = {"description": "MSP fee 3 %", "document_kind": "fee", "document_id": "FEE-HAR-000042"}
    fee |= {"unit": "C62", "item_id": "msp-fee", "worker_id": "", "time_type": ""}
    taxed = {"tax_rate": Decimal(20), "tax_amount": Decimal("18.84")}
    lines = [
        a_line(1, "1", "97.09", allowance_amount=Decimal("-2.91"), **taxed),
        a_line(2, "97.09", "0.03", tax_amount=Decimal("0.29"), **fee),
    ]
    figures = (Decimal("97.09"), Decimal(3), Decimal("-2.91"))
    discount = Allowance("MSP fee", lines[0].tax_code, Decimal(20), *figures)
    dutch = {"seller": LINDEN, "buyer": ORANJE}
    return a_document(lines, allowances=(discount,), **dutch), lines


def samples() -> dict[str, tuple[EInvoice, list[ClosedLine]]]:
    """One document of each kind that we close."""
    plain = [a_line(number, "37.5", "33.3333") for number in range(1, 8)]
    mixed = [
        a_line(1),
        a_line(2, tax_rate=Decimal(5), tax_amount=Decimal("159.00")),
        a_line(3, **ZERO_RATED),
        a_line(4, **UNTAXED),
    ]
    mixed.append(a_line(5, "-1", "35.0350", tax_amount=Decimal("-3.50"), **NETTED))
    credit, credited = a_credit_note()
    zero = [a_line(1, **ZERO_RATED)]
    nothing = dict.fromkeys(
        (
            "description",
            "worker_id",
            "time_type",
            "document_id",
            "po_number",
            "project",
            "cost_center",
        ),
        "",
    )
    bare = a_line(1, week_ending=None, **nothing)
    dutch = {"seller": LINDEN, "buyer": ORANJE}
    allowed, allowed_lines = with_allowances()
    taken_back, taken_back_lines = a_credit_of_allowances()
    paid = dutch | {"seller": replace(LINDEN, self_billed_by="oranje", agreement="SBA-1")}
    kinds: dict[str, tuple[ClosedDocument, list[ClosedLine]]] = {
        "allowances": (replace(allowed, **dutch), allowed_lines),
        "MSP fees": with_fees(),
        "credit of allowances": (replace(taken_back, **dutch), taken_back_lines),
        "invoice": (a_document(plain, **dutch, currency="EUR"), plain),
        "credit note": (replace(credit, **dutch), credited),
        "self-billed invoice": (a_document(plain, **paid, currency="EUR"), plain),
        "self-billed credit note": (replace(credit, **paid), credited),
        "several rates": (a_document(mixed, **dutch), mixed),
        "reverse charge": (
            a_document(zero, **dutch, tax_regime="reverse-charge", tax_wording="Btw verlegd"),
            zero,
        ),
        "exempt": (
            a_document(zero, **dutch, tax_regime="exempt", tax_wording="Exempt under article 44."),
            zero,
        ),
        "no tax at all": (
            a_document([a_line(1, **UNTAXED)], seller=SELLER, buyer=BUYER),
            [a_line(1, **UNTAXED)],
        ),
        "bare": (
            a_document(
                [bare],
                seller=replace(LINDEN, bank=""),
                buyer=Party("B"),
                po_number="",
                content_hash="",
            ),
            [bare],
        ),
    }
    return {name: (EInvoice(document, "US"), lines) for name, (document, lines) in kinds.items()}


SAMPLES = list(samples())


def ubl_of(place: Path, invoice: EInvoice, lines: Iterable[ClosedLine]) -> bytes:
    """The document as UBL."""
    with ubl_file(place, invoice) as write:
        for line in lines:
            write(line)
    return place.read_bytes()


@pytest.mark.parametrize("name", SAMPLES)
def test_it_is_valid_against_the_published_schemas(tmp_path: Path, name: str) -> None:
    """UBL 2.1 (OASIS) and CII of Factur-X.

    The validator refuses a file with one element out of place.
    """
    invoice, lines = samples()[name]
    assert invoice.problems() == []
    ubl = ubl_of(tmp_path / "a.xml", invoice, lines)
    xml_check_xsd(ubl)
    xml_check_xsd(cii_document(invoice, lines))
    spoiled = etree.fromstring(ubl)
    spoiled.append(spoiled[0])
    with pytest.raises(Exception, match="not valid against"):
        xml_check_xsd(etree.tostring(spoiled))


@pytest.mark.parametrize("name", SAMPLES)
def test_both_formats_have_the_same_content(tmp_path: Path, name: str) -> None:
    """Our UBL and the library's CII have the same business terms."""
    invoice, lines = samples()[name]
    ubl, cii = (
        parse_ubl_cii_xml(xml)
        for xml in (ubl_of(tmp_path / "a.xml", invoice, lines), cii_document(invoice, lines))
    )
    for party in (
        "BG-4",
        "BG-7",
    ):  # a local tax number has a scheme of its own in each form, and no term for it
        ubl[party].pop("tax_identifier", None), cii[party].pop("tax_identifier", None)
    if cii["BT-3"] in ("381", "261"):
        assert "BT-9" not in ubl and "BT-9" not in cii
    assert ubl == cii


def terms_of(place: Path, name: str) -> dict[str, Any]:
    invoice, lines = samples()[name]
    terms: dict[str, Any] = parse_ubl_cii_xml(ubl_of(place / "a.xml", invoice, lines))
    return terms


@pytest.mark.parametrize("name", SAMPLES)
def test_totals_equal_the_sums(tmp_path: Path, name: str) -> None:
    """BT-106 is the sum of lines, BT-110 of tax per rate, BT-112 both.

    All equal the closed document, with the sign changed for a credit.
    """
    invoice, lines = samples()[name]
    document, terms = invoice.document, terms_of(tmp_path, name)
    sign = -1 if document.document_type == "credit-note" else 1
    listed, rates = terms.get("BG-25") or [], terms["BG-23"]
    assert (
        Decimal(terms["BT-106"])
        == sum((Decimal(line["BT-131"]) for line in listed), Decimal(0))
        == sign * (document.net - document.allowance)
    )
    lowering, raising = (Decimal(str(terms.get(term, 0))) for term in ("BT-107", "BT-108"))
    assert raising - lowering == sign * document.allowance
    assert Decimal(terms["BT-109"]) == sign * document.net
    assert (
        Decimal(terms["BT-110"])
        == sum((Decimal(rate["BT-117"]) for rate in rates), Decimal(0))
        == sign * document.tax
    )
    assert Decimal(terms["BT-109"]) == sum((Decimal(rate["BT-116"]) for rate in rates), Decimal(0))
    assert Decimal(terms["BT-112"]) == Decimal(terms["BT-115"]) == sign * document.total
    codes = ("261", "389") if name.startswith("self-billed") else ("381", "380")
    assert terms["BT-3"] == codes[sign > 0]
    issued = "Self-billing: issued by Oranje Zorg & Co <B.V.> for Linden Nederland B.V."
    notes = [note["BT-22"] for note in terms.get("BG-1") or ()]
    assert (f"{issued}, agreement SBA-1" in notes) == name.startswith("self-billed")
    for line, written in zip(lines, listed, strict=True):
        assert (
            rounded(Decimal(written["BT-129"]) * Decimal(written["BT-146"]), document.currency)
            == Decimal(written["BT-131"])
            == sign * line.amount
        )
        assert Decimal(written["BT-146"]) >= 0


def test_an_invoice_shows_all_that_it_must(tmp_path: Path) -> None:
    """What a document states, in the terms of the norm."""
    terms = terms_of(tmp_path, "invoice")
    assert (terms["BT-1"], terms["BT-2"], terms["BT-5"], terms["BT-9"], terms["BT-13"]) == (
        "HAR-000042",
        date(2026, 4, 2),
        "EUR",
        date(2026, 5, 2),
        "PO-117",
    )
    assert (
        terms["BT-20"] == "Net 30 days, due 2026-05-02"
        and terms["BT-24"] == "urn:cen.eu:en16931:2017"
    )
    assert (terms["BT-73"], terms["BT-74"], terms["BT-81"], terms["BT-83"], terms["BT-84"]) == (
        *(date(2026, 3, 2), date(2026, 3, 27)),
        *("30", "HAR-000042", "NL91ABNA0417164300"),
    )
    seller, buyer = terms["BG-4"], terms["BG-7"]
    assert (
        seller["name"],
        seller["vat_identifier"],
        seller["country_code"],
        seller["addr_l1"],
    ) == (LINDEN.name, "NL000044712B01", "NL", "Keizersgracht 210")
    assert (buyer["name"], buyer["identifiers"], buyer["country_code"]) == (
        ORANJE.name,
        {None: "Magnolia #3862"},
        "NL",
    )
    (rate,) = terms["BG-23"]
    assert (rate["BT-116"], rate["BT-117"], rate["BT-118"], rate["BT-119"]) == (
        "8750.00",
        "875.00",
        "S",
        "10",
    )
    line = terms["BG-25"][0]
    assert (line["BT-129"], line["BT-130"], line["BT-146"], line["BT-134"], line["BT-153"]) == (
        *("37.5", "HUR", "33.3333"),
        *(date(2026, 3, 9), "Registered Nurse, REG"),
    )
    assert {each["BT-160"]: each["BT-161"] for each in line["BG-32"]} == {
        "Worker": "RN-01",
        "Time type": "REG",
        "Week ending": "2026-03-15",
        "Project": "Apollo",
    }
    assert (line["BT-128"], line["BT-133"]) == ({None: "ts-1"}, "ICU-4")


def test_a_credit_note_names_what_it_corrects(tmp_path: Path) -> None:
    """Number and date of the invoice (BG-3), its line on each line.

    A difference is 1 × amount with its hours in the text.
    """
    terms = terms_of(tmp_path, "credit note")
    assert [(each["BT-25"], each["BT-26"]) for each in terms["BG-3"]] == [
        ("HAR-000041", date(2026, 3, 3))
    ]
    first, second = terms["BG-25"]
    assert (first["BT-129"], first["BT-130"], first["BT-146"], first["BT-131"]) == (
        "1",
        "C62",
        "35.03",
        "35.03",
    )
    assert "-1 hours at 35.035" in first["BT-127-00"][0]["BT-127"]
    assert {"BT-160": "Corrects", "BT-161": "HAR-000041 line 3"} in first["BG-32"]
    assert (second["BT-129"], second["BT-131"]) == ("2", "159.00")


def test_every_tax_category_has_its_reason(tmp_path: Path) -> None:
    """S by rate, Z at zero, E with wording, AE with its code, O none.

    Without any tax no VAT number is shown.
    """

    def rates(name: str) -> list[tuple[Any, ...]]:
        return [
            tuple(rate.get(term) for term in ("BT-118", "BT-119", "BT-120", "BT-121"))
            for rate in terms_of(tmp_path, name)["BG-23"]
        ]

    assert rates("several rates") == [
        ("S", "10", None, None),
        ("S", "5", None, None),
        ("Z", "0", None, None),
        ("E", "0", "Exempt from tax", None),
    ]
    assert rates("reverse charge") == [("AE", "0", "Btw verlegd", "VATEX-EU-AE")]
    assert rates("exempt") == [("E", "0", "Exempt under article 44.", None)]
    assert rates("no tax at all") == [("O", None, "Not subject to tax", "VATEX-EU-O")]
    assert "vat_identifier" not in terms_of(tmp_path, "no tax at all")["BG-4"]


def test_two_codes_of_one_rate_are_one_entry(tmp_path: Path) -> None:
    """The norm sums per category and rate, not per code."""
    lines = [a_line(1), a_line(2, tax_code="NY")]
    document = a_document(lines, seller=LINDEN, buyer=ORANJE)
    assert len(document.tax_totals) == 2
    terms = parse_ubl_cii_xml(ubl_of(tmp_path / "a.xml", EInvoice(document), lines))
    assert [(rate["BT-116"], rate["BT-117"]) for rate in terms["BG-23"]] == [("6360.00", "636.00")]


def test_tax_per_line_is_written_as_it_was_closed(tmp_path: Path) -> None:
    """11.44 per line, 11.45 per document: the buyer owes 11.44.

    25.06, 25.61, 25.63 at 15 %; the norm's rules allow it.
    """
    lines = [
        a_line(
            at,
            "1",
            price,
            tax_rate=Decimal(15),
            tax_amount=rounded(Decimal(price) * 15 / 100, "USD"),
        )
        for at, price in enumerate(("25.06", "25.61", "25.63"), 1)
    ]
    invoice = EInvoice(a_document(lines, seller=LINDEN, buyer=ORANJE))
    assert invoice.problems() == []
    (rate,) = parse_ubl_cii_xml(ubl_of(tmp_path / "a.xml", invoice, lines))["BG-23"]
    assert (rate["BT-116"], rate["BT-117"]) == ("76.30", "11.44")


def test_a_unit_of_difference_is_refused_not_corrected() -> None:
    """200 lines rounded half a cent up differ by a unit.

    The message has both figures.
    """
    lines = [
        a_line(at, "1", "0.05", tax_rate=Decimal(10), tax_amount=Decimal("0.01"))
        for at in range(1, 201)
    ]
    (problem,) = EInvoice(a_document(lines, seller=LINDEN, buyer=ORANJE)).problems()
    assert (
        "closed as 2.00" in problem
        and "computes 1.00 on 10.00" in problem
        and "BR-CO-17" in problem
    )
    assert EInvoice(a_document(lines[:199], seller=LINDEN, buyer=ORANJE)).problems() == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"currency": "KWD"}, "three decimals"),
        ({"line_count": 0}, "has no line"),
        ({"buyer": replace(BUYER, tax_id="")}, "names a country"),
        ({"seller": replace(LINDEN, tax_id="")}, "has no tax id"),
        (
            {"tax_regime": "reverse-charge", "buyer": replace(ORANJE, tax_id="")},
            "tax is reversed to the buyer",
        ),
    ],
)
def test_what_the_norm_cannot_express_is_refused(changes: dict[str, Any], said: str) -> None:
    """The message names the document and what is missing."""
    lines = [a_line(1, **(ZERO_RATED if "tax_regime" in changes else {}))]
    (problem,) = EInvoice(
        a_document(lines, **({"seller": LINDEN, "buyer": ORANJE} | changes))
    ).problems()
    assert said in problem and problem.startswith("HAR-000042: ")


def test_a_country_is_found_never_guessed() -> None:
    """By the address' last line, the VAT number, or the operator."""
    for address, tax_id, country in (
        ("1 Main St\nUnited States", "", "US"),
        ("x\nUSA", "", "US"),
        ("x\nNederland", "", "NL"),
        ("x\nThe Netherlands.", "", "NL"),
        ("x\nDE", "DE123456789", "DE"),
        ("x\nFR", "", "FR"),
        ("x\nÖsterreich", "", "AT"),
        ("Boston, MA 02110", "", ""),
        ("", "EL123456789", "GR"),
        ("", "NL 0000.44.712.B01", "NL"),
        ("", "EIN 00-4471200", ""),
        ("", "INN 7707083893", ""),
        ("x\nEuropean Union", "", ""),
    ):
        assert country_of(Party("n", address, tax_id)) == country, (address, tax_id)
    assert country_of(Party("n", "Boston"), "US") == "US"
    assert {len(code) for code in countries().values()} == {2} and "eu" not in countries()
    assert (vat_number("DE 123456789"), vat_number("04-3456789"), vat_number("TX-1")) == (
        "DE123456789",
        "",
        "",
    )
    assert address_lines(Party("n", "a\n\nb\nc\nd\nFrance")) == ["a", "b", "c, d"]


def test_an_iban_is_found_by_its_check_digits() -> None:
    """In free text; with a wrong digit it is written as text."""
    assert iban_in("Bank of X, iban NL91 ABNA 0417 1643 00 BIC ABNANL2A") == "NL91ABNA0417164300"
    assert iban_in("IBAN NL91 ABNA 0417 1643 01") == iban_in("account 4471 2200") == ""
    terms = EInvoice(a_document([a_line()], seller=SELLER)).head()
    assert (terms["BT-81"], terms["BT-82"], "BT-84" in terms) == (
        "1",
        "Harbor Bank Account 4711",
        False,
    )


@pytest.mark.parametrize(
    ("quantity", "price", "amount"),
    [
        ("40", "79.5", "3180.00"),
        ("-1", "35.035", "-35.03"),
        ("1", "-5", "-5.00"),
        ("0", "5", "0.01"),
    ],
)
def test_what_is_multiplied_again_gives_the_amount(quantity: str, price: str, amount: str) -> None:
    """Quantity × price is the amount; no price is negative.

    BR-27.
    """
    line = a_line(1, quantity, price, amount=Decimal(amount))
    figures = line_figures(line, "USD")
    assert rounded(figures.quantity * figures.unit_price, "USD") == Decimal(amount)
    assert figures.unit_price >= 0


def test_user_text_is_text(tmp_path: Path) -> None:
    """Markup, control characters and empty names neither break nor empty the file."""
    lines = [
        a_line(
            1,
            description="a <b>&amp; \x00\ud800\ufffe c",
            worker_id="\x07",
            time_type="",
            project=" ",
        ),
        a_line(2, description=" ", time_type=""),
    ]
    invoice = EInvoice(
        a_document(
            lines,
            seller=LINDEN,
            buyer=replace(ORANJE, address="\x00\n<x>\nNederland"),
            account_name="]]> \x01",
        )
    )
    xml = ubl_of(tmp_path / "a.xml", invoice, lines)
    xml_check_xsd(xml)
    xml_check_xsd(cii_document(invoice, lines))
    first, second = parse_ubl_cii_xml(xml)["BG-25"]
    assert (first["BT-153"], second["BT-153"]) == ("a <b>&amp; c", "Line 2")
    assert not [
        element
        for element in etree.fromstring(xml).iter()
        if len(element) == 0 and not (element.text or "").strip()
    ]


def test_ubl_memory_is_flat(tmp_path: Path) -> None:
    """A document of 9,727 lines takes no more memory than one of a thousand."""
    invoice = EInvoice(a_document([], seller=LINDEN, buyer=ORANJE))

    def peak(count: int) -> int:
        tracemalloc.start()
        size = (
            len(
                ubl_of(
                    tmp_path / f"{count}.xml", invoice, (a_line(at) for at in range(1, count + 1))
                )
            )
            if count < 10
            else 0
        )
        if not size:
            with ubl_file(tmp_path / f"{count}.xml", invoice) as write:
                for at in range(1, count + 1):
                    write(a_line(at))
        high = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return high

    peak(2)
    assert peak(9_727) < peak(1_000) + 50_000
    sizes = [(tmp_path / f"{count}.xml").stat().st_size for count in (1_000, 9_727)]
    assert sizes[1] > 8 * sizes[0], "all lines are in the file"


# PDF/A-3


@pytest.mark.parametrize("name", ["invoice", "credit note"])
def test_the_pdf_carries_its_e_invoice(name: str) -> None:
    """The embedded file has the printed content and the published name."""
    invoice, lines = samples()[name]
    pdf = pdfa_document(invoice, lines)
    inside, xml = get_facturx_xml_from_pdf(pdf, check_xsd=True)
    assert (inside, xml) == ("factur-x.xml", cii_document(invoice, lines))
    text = " ".join(
        " ".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages).split()
    )
    total = parse_ubl_cii_xml(xml)["BT-112"]
    assert f"Total {invoice.document.currency} {Decimal(total):,.2f}" in text


def test_the_same_document_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """UBL and PDF/A-3 have the invoice date, never the clock."""
    invoice, lines = samples()["invoice"]
    made = pdfa_document(invoice, lines)
    monkeypatch.setattr(
        "facturx.facturx._get_pdf_timestamp", lambda date=None: "D:20300102030405+00'00'"
    )
    monkeypatch.setattr(
        "facturx.facturx._get_metadata_timestamp", lambda: "2030-01-02T03:04:05+00:00"
    )
    assert pdfa_document(invoice, iter(lines)) == made
    reader = PdfReader(io.BytesIO(made))
    assert (
        reader.metadata is not None
        and reader.metadata.creation_date is not None
        and reader.metadata.creation_date.date() == date(2026, 4, 2)
    )
    assert ubl_of(tmp_path / "a.xml", invoice, lines) == ubl_of(
        tmp_path / "b.xml", invoice, iter(lines)
    )
