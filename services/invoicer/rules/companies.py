"""The terms under which a billing company invoices, and what differs for a debtor: frozen values that the other rules decide with.

A debtor's terms have validity dates: each version holds from its day until the day before the next one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from decimal import Decimal
from typing import Any, Literal, NamedTuple

Regime = Literal["standard", "exempt", "reverse-charge"]
Credits = Literal["separate", "net", "per-invoice"]
DEFAULT_WORDING: dict[Regime, str] = {
    "standard": "",
    "exempt": "Exempt from tax",
    "reverse-charge": "Reverse charge: tax is due by the buyer",
}


@dataclass(frozen=True, slots=True)
class Company:
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
    credits: Credits = "separate"
    zero_documents: bool = False
    tax_regime: Regime = "standard"
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
class TermsFrom:
    """A version of a debtor's terms and the first day on which it holds."""

    from_date: date
    terms: DebtorTerms


@dataclass(frozen=True, slots=True)
class TermsChange:
    """The version that a command makes, what held on its first day before, and the first day of the next version, if there is one."""

    before: TermsFrom | None
    after: TermsFrom
    until: date | None


FROM_THE_BEGINNING = date(1970, 1, 1)


def terms_changed(
    account_name: str,
    versions: Sequence[TermsFrom],
    given: Mapping[str, Any],
    from_date: date | None,
    today: date,
) -> TermsChange:
    """Copies the version in force and changes what is given. Without a date the first terms of a debtor hold from the beginning, later
    ones from today on."""
    since = from_date or (today if versions else FROM_THE_BEGINNING)
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
    return TermsChange(before, TermsFrom(since, terms), until)


class Terms(NamedTuple):
    """Split keys that a debtor's terms bring: tax regime with its wording, and payment terms."""

    tax_regime: Regime
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
