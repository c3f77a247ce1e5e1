"""The terms under which a billing company invoices, and what differs for a debtor: frozen values that the other rules decide with.

A debtor's terms have validity dates: each version holds from its day until the day before the next one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Literal, NamedTuple

TaxRegime = Literal["standard", "exempt", "reverse-charge"]
CreditSplit = Literal["separate", "net", "per-invoice"]
DEFAULT_WORDING: dict[TaxRegime, str] = {
    "standard": "",
    "exempt": "Exempt from tax",
    "reverse-charge": "Reverse charge: tax is due by the buyer",
}


@dataclass(frozen=True, slots=True)
class BillingCompany:
    """A billing company as fee_realizer's card shows it."""

    billing_company: str
    enabled: bool = True
    name: str = ""
    address: str = ""
    tax_id: str = ""
    bank: str = ""
    time_zone: str = "UTC"
    currency: str = "USD"
    series_prefix: str = "INV-"
    series_width: int = 6
    default_tax: str = ""
    tax_basis: str = "line"
    default_time_group: str = ""
    payment_terms: str = "net:30"
    max_day_hours: int = 24

    @property
    def seller(self) -> dict[str, str]:
        """The snapshot that a document keeps of who issues it."""
        return {
            "name": self.name or self.billing_company,
            "address": self.address,
            "tax_id": self.tax_id,
            "bank": self.bank,
        }


@dataclass(frozen=True, slots=True)
class TaxRate:
    """Percent of a tax code from a date on."""

    tax_code: str
    from_date: date
    percent: Decimal


@dataclass(frozen=True, slots=True)
class DebtorTerms:
    """What differs for a debtor from the billing company's defaults, in force on the day of the document."""

    account_name: str
    payment_terms: str
    credits: CreditSplit = "separate"
    zero_documents: bool = False
    tax_regime: TaxRegime = "standard"
    tax_wording: str = ""
    tax_id: str = ""
    address: str = ""
    time_group: str = ""
    missing_timesheets: str = "bill"

    @property
    def values(self) -> dict[str, Any]:
        """By name, what they say."""
        return {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name != "account_name"
        }


@dataclass(frozen=True, slots=True)
class TermsVersion:
    """A version of a debtor's terms and the first day on which it holds."""

    from_date: date
    terms: DebtorTerms


@dataclass(frozen=True, slots=True)
class TermsChange:
    """The version that a command makes, what held on its first day before, and the first day of the next version, if there is one."""

    before: TermsVersion | None
    after: TermsVersion
    until: date | None


EARLIEST_DATE = date(1970, 1, 1)


def change_terms(
    account_name: str,
    versions: Sequence[TermsVersion],
    given: Mapping[str, Any],
    from_date: date | None,
    today: date,
) -> TermsChange:
    """Copies the version in force and changes what is given. Without a date the first terms of a debtor hold from the beginning, later
    ones from today on."""
    since = from_date or (today if versions else EARLIEST_DATE)
    before = max(
        (each for each in versions if each.from_date <= since),
        key=lambda each: each.from_date,
        default=None,
    )
    held = before.terms if before else DebtorTerms(account_name, "")
    terms = replace(held, **given)
    if terms.tax_regime != held.tax_regime and "tax_wording" not in given:
        terms = replace(terms, tax_wording="")  # the wording belonged to the regime that ends
    until = min((each.from_date for each in versions if each.from_date > since), default=None)
    return TermsChange(before, TermsVersion(since, terms), until)


class DocumentTerms(NamedTuple):
    """Split keys that a debtor's terms bring: tax regime with its wording, and payment terms."""

    tax_regime: TaxRegime
    tax_wording: str
    payment_terms: str


class Buyer(NamedTuple):
    """The snapshot that a document keeps of who is invoiced."""

    name: str
    address: str = ""
    tax_id: str = ""

    @property
    def snapshot(self) -> dict[str, str]:
        """As it is stored."""
        return {"name": self.name, "address": self.address, "tax_id": self.tax_id}


def similar_names(name: str, known: Iterable[str]) -> list[str]:
    """Known names that look like this one, whatever the case of their letters."""
    folded: dict[str, str] = {}
    for each in sorted(known):
        folded.setdefault(each.casefold(), each)
    return [folded[match] for match in get_close_matches(name.casefold(), folded, n=3, cutoff=0.6)]
