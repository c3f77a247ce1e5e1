"""Closed documents in the terms of EN 16931-1: business terms (BT) and groups (BG), values as
text.

Owns the translation: signs, tax categories, parties and their terms. `ubl` writes these terms as
UBL, `pdfa` as CII inside a PDF. The keys are those of the library that writes and reads CII, so
that a test can compare our UBL with what its reader finds.

Tax: the standard computes tax per category and rate as net × rate, rounded (BR-CO-17), and its
rules (Schematron) allow a difference of less than one unit of the currency. Documents that are
taxed per line differ by the sum of the lines' roundings. Tax is written as it was closed, never
recomputed, because the buyer owes what the document states; the payable rounding (BT-114) is for
cash only. A document that differs by a unit or more is refused by `problems`.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from shared.calendar import describe_payment_terms
from shared.money import ZERO, minor_unit, plain, rounded
from shared.render.line_figures import line_figures
from shared.render.parties import (
    address_lines,
    country_of,
    iban_in,
    place_like_country,
    vat_number,
    xml_text,
)
from shared.terms import ClosedDocument, ClosedLine, Party, TaxRegime

Terms = dict[str, Any]
EN_16931 = "urn:cen.eu:en16931:2017"
INVOICE, CREDIT_NOTE = "380", "381"
SELF_BILLED_INVOICE, SELF_BILLED_CREDIT_NOTE = "389", "261"
CREDIT_TRANSFER, NOT_DEFINED = "30", "1"
TOLERANCE = Decimal(1)
"""Of BR-CO-17 and BR-S-09, in units of the currency; the difference must be less."""
DECIMALS = Decimal("0.01")
"""An amount of the norm has two decimals at most (BR-DEC)."""
UNKNOWN_UNITS = {"": "C62", "EA": "EA"}
NOTHING_TO_PAY = "Nothing to pay: this document is a credit"
REASONS = {"AE": "Reverse charge", "E": "Exempt from tax", "O": "Not subject to tax"}
REASON_CODES = {"AE": "VATEX-EU-AE", "O": "VATEX-EU-O"}


@dataclass(frozen=True, slots=True)
class Category:
    """A tax category (S standard, Z zero, E exempt, AE reverse charge, O outside tax) with its
    rate.
    """

    code: str
    rate: Decimal

    @property
    def percent(self) -> str | None:
        """The rate as text; None for O, which has no rate, not even zero (BR-O-05)."""
        return None if self.code == "O" else plain(self.rate)


def category_of(tax_code: str, rate: Decimal, regime: TaxRegime, *, untaxed: bool) -> Category:
    """Return the category of a line.

    `untaxed`: the whole document has no tax code, so it may be outside tax; the standard forbids
    mixing.
    """
    if rate:
        return Category("S", rate)
    if regime != "standard":
        return Category("AE" if regime == "reverse-charge" else "E", ZERO)
    if tax_code:
        return Category("Z", ZERO)
    return Category("O" if untaxed else "E", ZERO)


class EInvoice:
    """One document in the terms of EN 16931.

    `country` applies to parties whose address and tax id name none.
    """

    def __init__(self, document: ClosedDocument, country: str = "") -> None:
        self.document = document
        self.country = country
        self.sign = document.sign
        self.untaxed = document.tax_regime == "standard" and all(
            not each.code and not each.rate for each in document.tax_totals
        )

    def _home(self, party: Party) -> str:
        """Return the seller's country for the buyer; the seller has no other party to go by."""
        seller = self.document.seller
        return "" if party is seller else country_of(seller, self.country)

    def category(self, tax_code: str, rate: Decimal) -> Category:
        """Return the tax category of a line with that code and rate."""
        return category_of(tax_code, rate, self.document.tax_regime, untaxed=self.untaxed)

    def breakdown(self) -> dict[Category, tuple[Decimal, Decimal]]:
        """Return net and tax per category and rate (BG-23), with the e-invoice's signs.

        Tax codes of one category and rate become one entry.
        """
        sums: dict[Category, tuple[Decimal, Decimal]] = {}
        for each in self.document.tax_totals:
            category = self.category(each.code, each.rate)
            net, tax = sums.get(category, (ZERO, ZERO))
            sums[category] = (net + each.net * self.sign, tax + each.tax * self.sign)
        return sums

    def problems(self) -> list[str]:
        """Return why this document cannot be an e-invoice, one message each; empty if it can."""
        document, found = self.document, []
        number = document.invoice_number
        if minor_unit(document.currency) < DECIMALS:
            found.append(
                f"{number}: amounts in {document.currency} have three decimals, EN 16931 allows two"
            )
        if not document.line_count:
            found.append(f"{number}: the document has no line (BR-16)")
        for role, party in (("seller", document.seller), ("buyer", document.buyer)):
            if not country_of(party, self.country, self._home(party)):
                place = place_like_country(party, self._home(party))
                but = f"; {place!r} may be a state or a city" if place else ""
                found.append(
                    f"{number}: neither the address nor the tax id of the {role} {party.name!r}"
                    f" names a country (BT-40, BT-55){but}"
                )
        codes = {category.code for category in self.breakdown()}
        if codes & {"S", "Z", "E", "AE"} and not document.seller.tax_id:
            found.append(
                f"{number}: the seller {document.seller.name!r} has no tax id (BT-31, BT-32)"
            )
        if "AE" in codes and not document.buyer.tax_id:
            found.append(
                f"{number}: tax is reversed to the buyer {document.buyer.name!r}, who has no tax"
                " id (BT-48)"
            )
        for category, (net, tax) in self.breakdown().items():
            meant = rounded(net * category.rate / 100, document.currency)
            if abs(abs(tax) - abs(meant)) >= TOLERANCE:
                found.append(
                    f"{number}: tax at {plain(category.rate)} % was closed as {tax}, EN 16931"
                    f" computes {meant} on {net} and allows less than"
                    f" {TOLERANCE} {document.currency} of difference (BR-CO-17)"
                )
        return found

    def money(self, amount: Decimal) -> str:
        """Return an amount as text: signs of a credit note are turned, zero has no sign."""
        value = amount * self.sign
        return format(value or abs(value), "f")

    @property
    def type_code(self) -> str:
        """Return the type of the document by UNTDID 1001 (BT-3)."""
        if self.document.is_self_billed:
            return SELF_BILLED_CREDIT_NOTE if self.sign < 0 else SELF_BILLED_INVOICE
        return CREDIT_NOTE if self.sign < 0 else INVOICE

    def head(self) -> Terms:
        """Return all terms except those of the lines."""
        document = self.document
        codes = {category.code for category in self.breakdown()}
        notes = [document.tax_wording] if document.tax_wording and not codes & set(REASONS) else []
        notes += [document.credit_reason] if document.credit_reason and self.sign < 0 else []
        notes += [document.self_billing] if document.is_self_billed else []
        reference = xml_text(document.buyer.reference)
        return {
            "BT-1": xml_text(document.invoice_number),
            "BT-2": document.invoice_date,
            "BT-3": self.type_code,
            "BT-5": document.currency,
            **({"BT-9": document.due_date} if self.sign > 0 else {}),
            **({"BT-10": reference} if reference else {}),
            **({"BT-13": xml_text(document.po_number)} if xml_text(document.po_number) else {}),
            "BT-20": self._terms(),
            "BT-24": EN_16931,
            "BT-72": document.service_to,
            "BT-73": document.service_from,
            "BT-74": document.service_to,
            **(self._payment() if self.sign > 0 else {}),
            # BT-113, 114: no prepayment or payable rounding ever appears on our documents.
            "BT-106": self.money(document.net - document.allowance),
            **self._allowance_sums(),
            "BT-109": self.money(document.net),
            "BT-110": self.money(document.tax),
            "BT-112": self.money(document.total),
            "BT-115": self.money(document.total),
            "BG-1": [{"BT-22": xml_text(note)} for note in notes],
            "BG-3": [
                {"BT-25": xml_text(each.number), "BT-26": each.invoice_date}
                for each in document.corrects
            ],
            "BG-4": self._party(document.seller, document.billing_company),
            "BG-7": self._party(document.buyer, document.account_name),
            "BG-20": self._allowances(charges=False),
            "BG-21": self._allowances(charges=True),
            "BG-23": [
                self._tax(category, net, tax) for category, (net, tax) in self.breakdown().items()
            ],
        }

    def _allowance_sums(self) -> Terms:
        """Return the sums of discounts (BT-107) and of surcharges (BT-108), if there are any."""
        amounts = [each.amount * self.sign for each in self.document.allowances]
        sums = {
            "BT-107": -sum((amount for amount in amounts if amount < 0), ZERO),
            "BT-108": sum((amount for amount in amounts if amount > 0), ZERO),
        }
        return {term: format(amount, "f") for term, amount in sums.items() if amount}

    def _allowances(self, *, charges: bool) -> list[Terms]:
        """Return the discounts (BG-20) or the surcharges (BG-21).

        On a credit note a discount that is taken back is a discount again, because signs are
        turned; on an invoice it is a surcharge. Only a percentage has its base.
        """
        found = []
        for each in self.document.allowances:
            amount = each.amount * self.sign
            if not amount or (amount > 0) != charges:
                continue
            category = self.category(each.code, each.rate)
            terms: Terms = {
                "amount": format(abs(amount), "f"),
                "reason": xml_text(each.name) or ("Surcharge" if charges else "Discount"),
                "vat_category_code": category.code,
            }
            if category.percent is not None:
                terms["vat_rate"] = category.percent
            if each.percent is not None:
                terms["base_amount"] = format(abs(each.base), "f")
                terms["rate"] = plain(each.percent)
            found.append(terms)
        return found

    def _tax(self, category: Category, net: Decimal, tax: Decimal) -> Terms:
        terms: Terms = {
            "BT-116": format(net, "f"),
            "BT-117": format(tax, "f"),
            "BT-118": category.code,
        }
        if category.percent is not None:
            terms["BT-119"] = category.percent
        if category.code in REASONS:
            terms["BT-120"] = xml_text(self.document.tax_wording) or REASONS[category.code]
        if category.code in REASON_CODES:
            terms["BT-121"] = REASON_CODES[category.code]
        return terms

    def _terms(self) -> str:
        """Return the terms of payment; those of a credit note only say that there are none, because
        the norm demands terms where an amount is above zero (BR-CO-25).
        """
        if self.sign < 0:
            return NOTHING_TO_PAY
        seller = self.document.seller
        remit_to = f"Remit to: {seller.remit_to}" if seller.remit_to else ""
        terms = describe_payment_terms(self.document.payment_terms)
        due = f"{terms}, due {self.document.due_date.isoformat()}"
        return xml_text(". ".join(filter(None, (due, remit_to, seller.payment_instructions))))

    def _payment(self) -> Terms:
        """Return the means of payment: a transfer if the bank details hold an IBAN, else text."""
        bank = xml_text(self.document.seller.bank)
        number = iban_in(bank)
        terms: Terms = {
            "BT-81": CREDIT_TRANSFER if number else NOT_DEFINED,
            "BT-83": xml_text(self.document.invoice_number),
        }
        if bank:
            terms["BT-82"] = bank
        if number:
            terms["BT-84"] = number
        return terms

    def _party(self, party: Party, identifier: str) -> Terms:
        """Seller (BG-4) or buyer (BG-7).

        A tax id without a country code is a local registration (BT-32, BT-47), not a VAT
        number.
        """
        terms: Terms = {
            "name": xml_text(party.name) or xml_text(identifier),
            "identifiers": {None: xml_text(identifier)},
        }
        number = vat_number(party.tax_id)
        if number and not self.untaxed:  # BR-O-02: outside tax no party shows a VAT number
            terms["vat_identifier"] = number
        elif party.tax_id and party is self.document.seller:
            terms["tax_identifier"] = xml_text(party.tax_id)
        elif party.tax_id:
            terms["legal_identifier"] = xml_text(party.tax_id)
        home = self._home(party)
        terms["country_code"] = country_of(party, self.country, home)
        if contact := xml_text(party.contact):
            terms["contacts"] = [{"name": contact}]
        lines = address_lines(party, home)
        return terms | dict(zip(("addr_l1", "addr_l2", "addr_l3"), lines, strict=False))

    def line(self, line: ClosedLine) -> Terms:
        """Return the terms of one line (BG-25)."""
        figures = line_figures(line, self.document.currency)
        category = self.category(line.tax_code, line.tax_rate)
        quantity = figures.quantity * self.sign
        terms: Terms = {
            "BT-126": str(line.line_no),
            "BT-129": plain(quantity),
            "BT-130": UNKNOWN_UNITS.get(figures.unit, figures.unit),
            "BT-131": self.money(line.amount),
            "BT-134": line.service_from,
            "BT-135": line.service_to,
            "BT-146": plain(figures.unit_price),
            "BT-151": category.code,
            "BT-153": xml_text(self.document.names.described(line))
            or xml_text(line.time_type)
            or f"Line {line.line_no}",
            "BG-32": self._attributes(line),
        }
        if category.percent is not None:
            terms["BT-152"] = category.percent
        if figures.note:
            terms["BT-127-00"] = [{"BT-127": figures.note}]
        if document_id := xml_text(line.document_id):
            terms["BT-128"] = {None: document_id}
        if cost_center := xml_text(line.cost_center):
            terms["BT-133"] = cost_center
        return terms

    def _attributes(self, line: ClosedLine) -> list[Terms]:
        """Return values without a term in the standard (BG-32), none empty (BR-54)."""
        corrected = line.corrects_invoice and f"{line.corrects_invoice} line {line.corrects_line}"
        requirement = self.document.names.requirement(line.requirement_id)
        named = (
            ("Worker", self.document.names.workers.get(line.worker_id, line.worker_id)),
            ("Job title", requirement.job_title),
            ("Requirement", requirement.reference),
            ("Client contact", requirement.client_contact),
            ("Client reference", requirement.client_reference),
            ("Time type", line.time_type),
            ("Week ending", line.week_ending.isoformat() if line.week_ending else ""),
            ("PO", line.po_number if line.po_number != self.document.po_number else ""),
            ("Project", line.project),
            ("Corrects", corrected),
        )
        return [
            {"BT-160": name, "BT-161": xml_text(value)} for name, value in named if xml_text(value)
        ]
