"""The terms of a billing company, and what differs from them for a debtor.

A debtor's terms have validity dates: each version applies from its first day until the day before
the next version.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from services.invoicer.debtors.rules.allowances import AllowanceTerm, change_allowances
from shared.events.realizations import Side

TaxRegime = Literal["standard", "exempt", "reverse-charge"]
CreditSplit = Literal["separate", "net", "per-invoice"]
DEFAULT_WORDING: dict[TaxRegime, str] = {
    "standard": "",
    "exempt": "Exempt from tax",
    "reverse-charge": "Reverse charge: tax is due by the buyer",
}


PRINTED = ("remit_to", "payment_instructions", "footer", "logo")


class Agreement(NamedTuple):
    """A self-billing agreement: a supplier sells, and `buyer`, a billing company, pays.

    `account_name`: the supplier's; empty where neither the agreement nor the ATS has one.
    """

    supplier_id: str
    buyer: str
    from_date: date
    account_name: str
    reference: str

    @property
    def values(self) -> dict[str, str]:
        """The agreement by field, with JSON values."""
        return {name: str(value) for name, value in self._asdict().items()}


@dataclass(frozen=True, slots=True)
class BillingCompany:
    """The settings of a billing company, as fee_realizer provides them.

    `agreement`: it is a supplier that bills by self-billing; the documents have it as seller.
    """

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
    invoice_per_timesheet: bool = False
    remit_to: str = ""
    payment_instructions: str = ""
    footer: str = ""
    logo: str = ""
    agreement: Agreement | None = None

    @property
    def options_of(self) -> str:
        """The billing company that sets the invoice options: of an agreement the buyer."""
        return self.agreement.buyer if self.agreement else self.billing_company

    @property
    def side(self) -> Side:
        """The party of its invoice options."""
        return "supplier" if self.agreement else "client"

    @property
    def seller(self) -> dict[str, str]:
        """The snapshot of the seller that a document keeps; `PRINTED` only where given.

        Of an agreement it has the buyer, who issues the document, and the agreement's reference.
        """
        given = {name: value for name in PRINTED if (value := getattr(self, name))}
        if self.agreement:
            given["self_billed_by"] = self.agreement.buyer
            given |= {"agreement": self.agreement.reference} if self.agreement.reference else {}
        return {
            "name": self.name or self.billing_company,
            "address": self.address,
            "tax_id": self.tax_id,
            "bank": self.bank,
        } | given


class TaxRate(NamedTuple):
    """The percentage of a tax code from a date on."""

    tax_code: str
    from_date: date
    percent: Decimal


class DebtorTerms(NamedTuple):
    """What differs for a debtor from the billing company's defaults on a day."""

    account_name: str
    payment_terms: str
    credits: CreditSplit = "separate"
    zero_documents: bool = False
    tax_regime: TaxRegime = "standard"
    tax_wording: str = ""
    tax_id: str = ""
    address: str = ""
    contact: str = ""
    reference: str = ""
    timesheet_detail: str = "none"
    time_group: str = ""
    missing_timesheets: str = "bill"
    emails: Sequence[str] = ()
    attach: Sequence[str] = ("pdf",)
    mail_subject: str = ""
    mail_text: str = ""
    allowances: tuple[AllowanceTerm, ...] = ()

    @property
    def values(self) -> dict[str, Any]:
        """The terms by name, without the Account Name; discounts and surcharges in words."""
        values = {name: value for name, value in self._asdict().items() if name != "account_name"}
        return values | {"allowances": [each.words for each in self.allowances]}


class TermsVersion(NamedTuple):
    """A version of a debtor's terms and the first day on which it applies."""

    from_date: date
    terms: DebtorTerms


class TermsChange(NamedTuple):
    """A new version, the version it was copied from, and the first day of the next version."""

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
    allowances: Sequence[AllowanceTerm] = (),
    removed_allowances: Sequence[str] = (),
) -> TermsChange:
    """Copy the version that applies and change the given values.

    `allowances` are added to those of the version or replace those of the same name.
    Without a date, the first terms of a debtor apply from the beginning, later ones from today.
    """
    since = from_date or (today if versions else EARLIEST_DATE)
    before = max(
        (each for each in versions if each.from_date <= since),
        key=lambda each: each.from_date,
        default=None,
    )
    copied = before.terms if before else DebtorTerms(account_name, "")
    terms = copied._replace(
        allowances=change_allowances(
            account_name, copied.allowances, allowances, removed_allowances
        ),
        **given,
    )
    if terms.tax_regime != copied.tax_regime and "tax_wording" not in given:
        terms = terms._replace(tax_wording="")  # the wording belonged to the regime that ends
    until = min((each.from_date for each in versions if each.from_date > since), default=None)
    return TermsChange(before, TermsVersion(since, terms), until)


class DocumentTerms(NamedTuple):
    """The split keys that come from a debtor's terms: tax regime, wording, payment terms."""

    tax_regime: TaxRegime
    tax_wording: str
    payment_terms: str


class Buyer(NamedTuple):
    """The snapshot of the debtor that a document keeps.

    `timesheets`: where it shows the detail of its timesheets (`appendix` or `file`).
    """

    name: str
    address: str = ""
    tax_id: str = ""
    contact: str = ""
    reference: str = ""
    timesheets: str = ""

    def with_terms(self, own: DebtorTerms) -> "Buyer":
        """Return the buyer with what the debtor's terms state instead of the hierarchy."""
        wanted = "" if own.timesheet_detail == "none" else own.timesheet_detail
        return Buyer(
            self.name,
            own.address or self.address,
            own.tax_id or self.tax_id,
            own.contact or self.contact,
            own.reference or self.reference,
            wanted,
        )

    @property
    def snapshot(self) -> dict[str, str]:
        """The values to store: name, address and tax id, and the others where given."""
        always = ("name", "address", "tax_id")
        return {name: text for name, text in self._asdict().items() if text or name in always}
