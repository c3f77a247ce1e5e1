"""Text of all scripts on paper: set with the fonts that ship, and named where no font has it."""

import io
from dataclasses import replace

import pytest
from pypdf import PdfReader

from shared.render import EInvoice, pdf_document
from shared.render.pdf import uncommon_words, without_font
from shared.render.pdfa import pdfa_document
from shared.terms import Party
from tests.rules.test_render import a_document, a_line

NAMES = (
    "Ａｃｍｅ Ｌｔｄ", "株式会社 山田商事", "北京某某有限公司", "한국 주식회사", "شركة الاتصالات",
    "โรงพยาบาลกรุงเทพ", "हिन्दी लिमिटेड", "Հայաստան", "საქართველო", "বাংলা", "தமிழ்",
    "Care 😀 Team 🫨 🇺🇸",
    "Σίσυφος Żółć Съюз עברית",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_of_all_scripts_are_set_in_pdf_and_pdfa(name: str) -> None:
    """PDF/A refuses text that no font has; each character is found in the file again."""
    lines = [a_line(1, description=name)]
    buyer = Party(name, f"1 Main St\n{name}\nUnited States")
    document = a_document(lines, buyer=buyer)
    document = replace(document, seller=replace(document.seller, address="1 Quay\nUnited States"))
    assert not without_font(uncommon_words(document, lines))
    for made in (pdf_document(document, lines), pdfa_document(EInvoice(document), lines)):
        text = "".join(page.extract_text() for page in PdfReader(io.BytesIO(made)).pages)
        if name.isascii() or any(ord(character) > 0x2E7F for character in name):
            assert all(character in text for character in name if character != " ")


@pytest.mark.parametrize(
    ("word", "missing"),
    [
        ("Acme", ""),
        ("𠮷野家", "𠮷"),
        ("አማ", "አማ"),
        ("x⃝y", "⃝"),
        ("Ԁog", "Ԁ"),
        ("\uffffx", "\uffff"),
    ],
)
def test_what_no_font_has_is_found(word: str, missing: str) -> None:
    """Among other words too; characters that have no font together count."""
    assert without_font([word]) == set(missing)
    assert without_font([*NAMES, word, "Ａ"]) == set(missing)
