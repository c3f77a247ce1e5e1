"""The terms under which a billing company invoices, and what differs for a debtor: frozen values that the other rules decide with."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

Regime = Literal["standard", "exempt", "reverse-charge"]
Credits = Literal["separate", "net", "per-invoice"]
DEFAULT_WORDING: dict[Regime, str] = {"standard": "", "exempt": "Exempt from tax", "reverse-charge": "Reverse charge: tax is due by the buyer"}


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

    @property
    def seller(self) -> dict[str, str]:
        """The snapshot that a document keeps of who issues it."""
        return {"name": self.name or self.billing_company, "address": self.address, "tax_id": self.tax_id, "bank": self.bank}


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


@dataclass(frozen=True, slots=True, order=True)
class Terms:
    """Split keys that a debtor's terms bring: tax regime with its wording, and payment terms."""

    tax_regime: Regime
    tax_wording: str
    payment_terms: str


@dataclass(frozen=True, slots=True)
class Buyer:
    """The snapshot that a document keeps of who is invoiced."""

    name: str
    address: str = ""
    tax_id: str = ""

    @property
    def snapshot(self) -> dict[str, str]:
        """As it is stored."""
        return {"name": self.name, "address": self.address, "tax_id": self.tax_id}
