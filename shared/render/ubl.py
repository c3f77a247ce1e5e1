"""UBL 2.1 of one closed document: Invoice or CreditNote by EN 16931 (CEN/TS 16931-3-2).

Written element by element, so memory is one line. The terms come from `einvoice`; this module
places them in the order of the schema.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from lxml import etree

from shared.render.einvoice import EInvoice, Terms
from shared.terms import ClosedLine

CAC = "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2"
CBC = "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2"
ROOT = "urn:oasis:names:specification:ubl:schema:xsd:{}-2"
ADDRESS = ("StreetName", "AdditionalStreetName")
TIMESHEET_REFERENCE = "130"
"""The type code by which UBL carries the object that a line is about (BT-128)."""


def _parent(name: str, *children: Any) -> Any:
    """Return an aggregate with the given children, or None without any."""
    kept = [child for child in children if child is not None]
    if not kept:
        return None
    element = etree.Element(f"{{{CAC}}}{name}", nsmap={"cac": CAC, "cbc": CBC})
    element.extend(kept)
    return element


def _leaf(tag: str, value: str | date | None, /, **attributes: str) -> Any:
    """Return an element with its value and attributes, or None without a value."""
    if value is None or value == "":
        return None
    element = etree.Element(f"{{{CBC}}}{tag}", attrib=attributes, nsmap={"cac": CAC, "cbc": CBC})
    element.text = value.isoformat() if isinstance(value, date) else value
    return element


@contextmanager
def ubl_file(path: Path, invoice: EInvoice) -> Iterator[Callable[[ClosedLine], None]]:
    """Open a document's file, write its head, yield the function that writes a line, and close
    it.
    """
    terms = invoice.head()
    credit = invoice.sign < 0
    kind = "CreditNote" if credit else "Invoice"
    namespace = ROOT.format(kind)
    with etree.xmlfile(str(path), encoding="UTF-8") as file:
        file.write_declaration()
        with file.element(
            f"{{{namespace}}}{kind}", nsmap={None: namespace, "cac": CAC, "cbc": CBC}
        ):
            for element in _head(terms, credit):
                if element is not None:
                    file.write("\n", element)

            def write(line: ClosedLine) -> None:
                file.write("\n", _line(invoice.line(line), terms["BT-5"], credit))

            yield write
            file.write("\n")


def _head(terms: Terms, credit: bool) -> list[Any]:
    """Return the elements before the lines, in the order of the schema."""
    get = terms.get
    return [
        _leaf("CustomizationID", terms["BT-24"]),
        _leaf("ID", terms["BT-1"]),
        _leaf("IssueDate", terms["BT-2"]),
        _leaf("DueDate", get("BT-9")),
        _leaf("CreditNoteTypeCode" if credit else "InvoiceTypeCode", terms["BT-3"]),
        *(_leaf("Note", each["BT-22"]) for each in terms["BG-1"]),
        _leaf("DocumentCurrencyCode", terms["BT-5"]),
        _leaf("BuyerReference", get("BT-10")),
        _parent("InvoicePeriod", _leaf("StartDate", get("BT-73")), _leaf("EndDate", get("BT-74"))),
        _parent("OrderReference", _leaf("ID", get("BT-13"))),
        *(
            _parent(
                "BillingReference",
                _parent(
                    "InvoiceDocumentReference",
                    _leaf("ID", each["BT-25"]),
                    _leaf("IssueDate", each["BT-26"]),
                ),
            )
            for each in terms["BG-3"]
        ),
        _parent("AccountingSupplierParty", _party(terms["BG-4"])),
        _parent("AccountingCustomerParty", _party(terms["BG-7"])),
        _parent("Delivery", _leaf("ActualDeliveryDate", terms["BT-72"])),
        _payment(terms),
        _parent("PaymentTerms", _leaf("Note", get("BT-20"))),
        *(_allowance(each, terms["BT-5"], "false") for each in terms["BG-20"]),
        *(_allowance(each, terms["BT-5"], "true") for each in terms["BG-21"]),
        _tax_total(terms),
        _totals(terms),
    ]


def _party(party: Terms) -> Any:
    get = party.get
    third = get("addr_l3")
    schemes = (("VAT", get("vat_identifier")), ("TAX", get("tax_identifier")))
    return _parent(
        "Party",
        *(
            _parent("PartyIdentification", _leaf("ID", value))
            for value in party["identifiers"].values()
        ),
        _parent(
            "PostalAddress",
            *(
                _leaf(name, get(key))
                for name, key in zip(ADDRESS, ("addr_l1", "addr_l2"), strict=True)
            ),
            _parent("AddressLine", _leaf("Line", third)),
            _parent("Country", _leaf("IdentificationCode", party["country_code"])),
        ),
        *(
            _parent("PartyTaxScheme", _leaf("CompanyID", number), _scheme(scheme))
            for scheme, number in schemes
            if number
        ),
        _parent(
            "PartyLegalEntity",
            _leaf("RegistrationName", party["name"]),
            _leaf("CompanyID", get("legal_identifier")),
        ),
        *(_parent("Contact", _leaf("Name", each["name"])) for each in get("contacts", ())),
    )


def _scheme(name: str) -> Any:
    return _parent("TaxScheme", _leaf("ID", name))


def _payment(terms: Terms) -> Any:
    if "BT-81" not in terms:
        return None
    named = {"name": terms["BT-82"]} if "BT-82" in terms else {}
    return _parent(
        "PaymentMeans",
        _leaf("PaymentMeansCode", terms["BT-81"], **named),
        _leaf("PaymentID", terms.get("BT-83")),
        _parent("PayeeFinancialAccount", _leaf("ID", terms.get("BT-84"))),
    )


def _allowance(each: Terms, currency: str, is_charge: str) -> Any:
    """Return a discount or surcharge of the document."""
    get = each.get
    return _parent(
        "AllowanceCharge",
        _leaf("ChargeIndicator", is_charge),
        _leaf("AllowanceChargeReason", each["reason"]),
        _leaf("MultiplierFactorNumeric", get("rate")),
        _leaf("Amount", each["amount"], currencyID=currency),
        _leaf("BaseAmount", get("base_amount"), currencyID=currency),
        _parent(
            "TaxCategory",
            _leaf("ID", each["vat_category_code"]),
            _leaf("Percent", get("vat_rate")),
            _scheme("VAT"),
        ),
    )


def _tax_total(terms: Terms) -> Any:
    currency = terms["BT-5"]
    return _parent(
        "TaxTotal",
        _leaf("TaxAmount", terms["BT-110"], currencyID=currency),
        *(
            _parent(
                "TaxSubtotal",
                _leaf("TaxableAmount", each["BT-116"], currencyID=currency),
                _leaf("TaxAmount", each["BT-117"], currencyID=currency),
                _parent(
                    "TaxCategory",
                    _leaf("ID", each["BT-118"]),
                    _leaf("Percent", each.get("BT-119")),
                    _leaf("TaxExemptionReasonCode", each.get("BT-121")),
                    _leaf("TaxExemptionReason", each.get("BT-120")),
                    _scheme("VAT"),
                ),
            )
            for each in terms["BG-23"]
        ),
    )


def _totals(terms: Terms) -> Any:
    placed = (
        ("LineExtensionAmount", "BT-106"),
        ("TaxExclusiveAmount", "BT-109"),
        ("TaxInclusiveAmount", "BT-112"),
        ("AllowanceTotalAmount", "BT-107"),
        ("ChargeTotalAmount", "BT-108"),
        ("PayableAmount", "BT-115"),
    )
    return _parent(
        "LegalMonetaryTotal",
        *(_leaf(name, terms.get(term), currencyID=terms["BT-5"]) for name, term in placed),
    )


def _line(line: Terms, currency: str, credit: bool) -> Any:
    get = line.get
    return _parent(
        "CreditNoteLine" if credit else "InvoiceLine",
        _leaf("ID", line["BT-126"]),
        *(_leaf("Note", each["BT-127"]) for each in get("BT-127-00", [])),
        _leaf(
            "CreditedQuantity" if credit else "InvoicedQuantity",
            line["BT-129"],
            unitCode=line["BT-130"],
        ),
        _leaf("LineExtensionAmount", line["BT-131"], currencyID=currency),
        _leaf("AccountingCost", get("BT-133")),
        _parent(
            "InvoicePeriod", _leaf("StartDate", line["BT-134"]), _leaf("EndDate", line["BT-135"])
        ),
        *(
            _parent(
                "DocumentReference",
                _leaf("ID", value),
                _leaf("DocumentTypeCode", TIMESHEET_REFERENCE),
            )
            for value in get("BT-128", {}).values()
        ),
        _parent(
            "Item",
            _leaf("Name", line["BT-153"]),
            _parent(
                "ClassifiedTaxCategory",
                _leaf("ID", line["BT-151"]),
                _leaf("Percent", get("BT-152")),
                _scheme("VAT"),
            ),
            *(
                _parent(
                    "AdditionalItemProperty",
                    _leaf("Name", each["BT-160"]),
                    _leaf("Value", each["BT-161"]),
                )
                for each in line["BG-32"]
            ),
        ),
        _parent("Price", _leaf("PriceAmount", line["BT-146"], currencyID=currency)),
    )
