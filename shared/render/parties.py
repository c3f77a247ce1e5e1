"""What an e-invoice must know of a party and a snapshot keeps as plain text: its country, its kind of tax id, an IBAN.

Nothing is guessed: a country is the last line of the address, or the two letters of a VAT number, or what the caller says for the
rest; where none of these tells it, there is none.
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
    "usa": "US", "u.s.a.": "US", "u.s.": "US", "united states of america": "US", "the netherlands": "NL", "holland": "NL", "uk": "GB", "u.k.": "GB",
    "great britain": "GB", "england": "GB", "scotland": "GB", "wales": "GB", "czech republic": "CZ", "republic of ireland": "IE", "turkey": "TR",
}  # fmt: skip
VAT_NUMBER = re.compile(
    r"(AT|BE|BG|CY|CZ|DE|DK|EE|EL|ES|FI|FR|GR|HR|HU|IE|IT|LT|LU|LV|MT|NL|PL|PT|RO|SE|SI|SK|XI|GB|CHE|NO|IS)(?=[A-Z0-9+*]*\d{2})[A-Z0-9+*]{5,13}"
)
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}")
FILLERS = re.compile(r"[\s.\-/]")
ADDRESS_LINES = 3
FORBIDDEN_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def xml_text(text: str) -> str:
    """User text as one line that XML can carry: no control characters, no half letters, blanks run together."""
    return " ".join(FORBIDDEN_IN_XML.sub(" ", text).split())


@cache
def countries() -> dict[str, str]:
    """Names and codes of countries, in small letters, to their two letters of ISO 3166-1."""
    found: dict[str, str] = {}
    for language in reversed(LANGUAGES):
        for code, name in Locale(language).territories.items():
            if len(code) == 2 and code.isalpha() and code not in NO_COUNTRIES:
                found[str(name).lower()] = found[code.lower()] = code
    return found | ALSO


def vat_number(tax_id: str) -> str:
    """The tax id as a VAT number (country letters and number, no blanks), or nothing if it has no country's letters before it."""
    packed = FILLERS.sub("", tax_id).upper()
    return packed if VAT_NUMBER.fullmatch(packed) else ""


def country_of(party: Party, fallback: str = "") -> str:
    """Two letters of ISO 3166-1, or nothing."""
    lines = party.address.strip().splitlines()
    named = countries().get(lines[-1].strip().rstrip(".").lower(), "") if lines else ""
    letters = vat_number(party.tax_id)[:2]
    return named or {"EL": "GR", "XI": "GB"}.get(letters, letters) or fallback


def address_lines(party: Party) -> list[str]:
    """The address without the line that only names the country, in at most three lines; what is more runs on in the third."""
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
    """The first IBAN of the bank details whose check digits are right, without blanks; or nothing."""
    for found in IBAN.findall(bank.upper()):
        words = found.split()
        for end in range(len(words), 0, -1):  # a word after the number looks like more of it
            number = "".join(words[:end])
            if iban.is_valid(number, check_country=False):
                return str(number)
    return ""
