"""Find what an e-invoice needs in the plain text of a party: country, kind of tax id, IBAN.

Nothing is guessed: the country is the last line of the address, or the country code of a VAT
number, or the caller's default; without any of these there is none. A last line that is also a
state or a city is a country only if it cannot be that place (Georgia; CA: Canada or California).
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
STATES = {
    "US": re.compile(
        "georgia|a[klrsz]|c[aot]|d[ce]|fl|g[au]|hi|i[adln]|k[sy]|la|m[adeinopst]|n[cdehjmvy]|o[hkr]"
        "|p[ar]|ri|s[cd]|t[nx]|ut|v[ait]|w[aivy]"
    ),
    "CA": re.compile("ab|bc|mb|n[blstu]|on|pe|qc|sk|yt"),
    "AU": re.compile("act|nsw|nt|qld|sa|tas|vic|wa"),
}
"""States and provinces that people write as the last line: their codes, and names of countries."""
CITIES = re.compile(
    "brazil|china|cuba|denmark|england|greece|holland|italy|jamaica|jordan|lebanon|malta|mexico"
    "|norway|panama|peru|poland|scotland|turkey|wales"
)
"""Cities of the United States with the name of a country."""
# A code before the city, as in most of Europe: no address of the countries in STATES has it.
POSTCODE_FIRST = re.compile(r"([A-Z]{1,3}-)?\d{4,5} \D")
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


def _vat_country(party: Party) -> str:
    prefix = vat_number(party.tax_id)[:2]
    return {"EL": "GR", "XI": "GB"}.get(prefix, prefix)


def _country_line(party: Party, home: str) -> tuple[str, str]:
    """Return the last line of the address and its country, each empty if there is none."""
    lines = [line.strip() for line in party.address.splitlines() if line.strip()]
    last = lines[-1].rstrip(".") if lines else ""
    country = countries().get(last.lower(), "")
    if country in (home, _vat_country(party)) or not _is_place(last.lower(), lines, home):
        return last, country
    return last, ""


def _is_place(last: str, lines: Sequence[str], home: str) -> bool:
    """Whether the last line may be a state or a city of the home country; without a home country,
    of any.
    """
    if any(names.fullmatch(last) for country, names in STATES.items() if home in ("", country)):
        return len(lines) < ADDRESS_LINES or not POSTCODE_FIRST.match(lines[-2])
    return home == "US" and len(lines) < ADDRESS_LINES and bool(CITIES.fullmatch(last))


def country_of(party: Party, fallback: str = "", home: str = "") -> str:
    """Return an ISO 3166-1 country code, or an empty string.

    `home` is the country of the billing company, in which a last line may be a state or a city.
    """
    _, named = _country_line(party, home)
    return named or _vat_country(party) or fallback


def place_like_country(party: Party, home: str = "") -> str:
    """Return the last line of the address if it names a country and is not taken for one."""
    last, country = _country_line(party, home)
    return last if not country and last.lower() in countries() else ""


def address_lines(party: Party, home: str = "") -> list[str]:
    """Return the address in at most three lines, without the line that names the country.

    Further lines are appended to the third.
    """
    lines = [line for line in map(xml_text, party.address.splitlines()) if line]
    if lines and _country_line(party, home)[1]:
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
