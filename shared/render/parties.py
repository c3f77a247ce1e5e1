"""Find what an e-invoice needs in the plain text of a party: country, kind of tax id, IBAN.

Nothing is guessed: the country is the last line of the address, or the country code of a VAT
number, or the caller's default; without any of these there is none.
"""

import re
from collections.abc import Sequence
from functools import cache

from babel import Locale
from stdnum import iban

from shared.terms import Party

LANGUAGES = ("en", "nl", "de", "fr", "es")
NO_COUNTRIES = frozenset(
    {"AC", "CP", "CQ", "DG", "EA", "EU", "EZ", "IC", "QO", "TA", "UN", "XA", "XB", "ZZ"}
)
"""Codes that lists of territories have beside the countries of ISO 3166-1."""
ALSO = {
    "usa": "US",
    "u.s.a.": "US",
    "u.s.": "US",
    "united states of america": "US",
    "the netherlands": "NL",
    "holland": "NL",
    "uk": "GB",
    "u.k.": "GB",
    "great britain": "GB",
    "england": "GB",
    "scotland": "GB",
    "wales": "GB",
    "czech republic": "CZ",
    "republic of ireland": "IE",
    "turkey": "TR",
}
VAT_NUMBER = re.compile(
    r"(AT|BE|BG|CY|CZ|DE|DK|EE|EL|ES|FI|FR|GR|HR|HU|IE|IT|LT|LU|LV|MT|NL|PL|PT|RO|SE|SI|SK|XI|GB|CHE|NO|IS)(?=[A-Z0-9+*]*\d{2})[A-Z0-9+*]{5,13}"
)
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}")
FILLERS = re.compile(r"[\s.\-/]")
ADDRESS_LINES = 3
FORBIDDEN_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def xml_text(text: str) -> str:
    """Return user text as one line for XML: no control characters, single spaces."""
    return " ".join(FORBIDDEN_IN_XML.sub(" ", text).split())


@cache
def countries() -> dict[str, str]:
    """Return names and codes of countries in lower case with their ISO 3166-1 codes."""
    found: dict[str, str] = {}
    for language in reversed(LANGUAGES):
        for code, name in Locale(language).territories.items():
            if len(code) == 2 and code.isalpha() and code not in NO_COUNTRIES:
                found[str(name).lower()] = found[code.lower()] = code
    return found | ALSO


def vat_number(tax_id: str) -> str:
    """Return the tax id as a VAT number (country code and number), or an empty string."""
    packed = FILLERS.sub("", tax_id).upper()
    return packed if VAT_NUMBER.fullmatch(packed) else ""


def country_of(party: Party, fallback: str = "") -> str:
    """Return an ISO 3166-1 country code, or an empty string."""
    lines = party.address.strip().splitlines()
    named = countries().get(lines[-1].strip().rstrip(".").lower(), "") if lines else ""
    prefix = vat_number(party.tax_id)[:2]
    return named or {"EL": "GR", "XI": "GB"}.get(prefix, prefix) or fallback


def address_lines(party: Party) -> list[str]:
    """Return the address in at most three lines, without the line that names the country.

    Further lines are appended to the third.
    """
    lines = [line for line in map(xml_text, party.address.splitlines()) if line]
    if lines and lines[-1].rstrip(".").lower() in countries():
        lines.pop()
    return _joined(lines)


def _joined(lines: Sequence[str]) -> list[str]:
    return (
        [*lines[: ADDRESS_LINES - 1], ", ".join(lines[ADDRESS_LINES - 1 :])]
        if len(lines) > ADDRESS_LINES
        else list(lines)
    )


def iban_in(bank: str) -> str:
    """Return the first valid IBAN in the bank details without spaces, or an empty string."""
    for found in IBAN.findall(bank.upper()):
        words = found.split()
        for end in range(len(words), 0, -1):  # a word after the number looks like more of it
            number = "".join(words[:end])
            if iban.is_valid(number, check_country=False):
                return str(number)
    return ""
