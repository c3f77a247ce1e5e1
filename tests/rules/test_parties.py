"""The country of a party: its last line may be a state or a city of the seller's own country."""

from dataclasses import replace

import pytest
from lxml import etree

from shared.render.einvoice import EInvoice
from shared.render.parties import address_lines, country_of
from shared.render.pdfa import cii_document
from shared.terms import Party
from tests.rules.test_render import a_document, a_line


@pytest.mark.parametrize(
    ("address", "home", "country"),
    [
        ("1 Peachtree St\nAtlanta\nGeorgia", "US", ""),
        ("1 Peachtree St\nAtlanta\nGeorgia", "", ""),
        ("1 Peachtree St\nAtlanta\nGeorgia\nUSA", "", "US"),
        ("1 Rustaveli Ave\nTbilisi\nGeorgia", "GE", "GE"),
        ("1 Rustaveli Ave\nTbilisi\nGeorgia", "DE", "GE"),
        ("1 Bay St\nSan Jose\nCA", "US", ""),
        ("1 Bay St\nSan Jose\nCA", "", ""),
        ("1 Bay St\nSan Jose\nCA\nUnited States", "CA", "US"),
        ("1 Bay St\nToronto\nCA", "CA", "CA"),
        ("1 Bay St\nToronto\nCanada", "US", "CA"),
        ("1 Water St\nSt. John's\nNL", "CA", ""),
        ("Keizersgracht 1\n1015 Amsterdam\nNL", "CA", "NL"),
        ("Rosenheimer Str. 1\n80331 München\nDE", "US", "DE"),
        ("1 Main St\nWilmington\nDE", "US", ""),
        ("1 Main St\nLebanon", "US", ""),
        ("1 Hamra St\nBeirut\nLebanon", "US", "LB"),
        ("1 Raffles Place\nSingapore", "US", "SG"),
    ],
)
def test_a_state_or_a_city_is_no_country(address: str, home: str, country: str) -> None:
    """A last line that may be a place of the seller's country is none, and stays in the address."""
    party = Party("n", address)
    assert country_of(party, "", home) == country
    assert country_of(party, "FI", home) == (country or "FI")
    lines = address.splitlines()
    assert address_lines(party, home) == (lines[:-1] if country else lines)


def test_a_state_that_is_a_country_asks_for_the_country() -> None:
    """Seller and buyer in the state of Georgia; with --country US both are in the United States."""
    georgia = Party("Peach", "1 Peachtree St\nAtlanta\nGeorgia", "58-1234567")
    lines = [a_line(1)]
    document = a_document(lines, seller=georgia, buyer=replace(georgia, name="Pear"))
    assert [problem.partition("; ")[2] for problem in EInvoice(document).problems()] == [
        "'Georgia' may be a state or a city",
        "'Georgia' may be a state or a city",
    ]
    invoice = EInvoice(document, "US")
    xml = etree.fromstring(cii_document(invoice, lines))
    assert not invoice.problems()
    assert xml.xpath("//*[local-name() = 'CountryID']/text()") == ["US", "US"]
    assert xml.xpath("//*[local-name() = 'LineThree']/text()") == ["Georgia", "Georgia"]
