"""The content of a printed document: the plain data that `document.typ` lays out.

Owns the signs of a credit note, number formats and labels. The template only places them, and user
text reaches it as JSON data, never as code.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from shared.calendar import describe_payment_terms
from shared.money import ZERO, minor_unit, plain, rounded
from shared.render.text import BREAK, clean, decimals_of, figure
from shared.render.timesheets import printed_timesheets
from shared.terms import (
    Allowance,
    ClosedDocument,
    ClosedLine,
    ClosedTimesheet,
    Party,
    TaxTotal,
    credit_reason,
)

UNITS = {
    "HUR": "hours",
    "DAY": "days",
    "WEE": "weeks",
    "MON": "months",
    "C62": "units",
    "EA": "each",
}
# More corrected invoices than this are listed after the lines, so that the lines still begin on the
# first page.
CORRECTED_ON_TOP = 8
RUNNING_LENGTH = 48
FOOTER_WIDTH = 110
ENGAGEMENT = ("project", "cost_center")
CLIENT_NAMES = ("reference", "client_contact", "client_reference")
# The template of a longer document sets each line by itself and repeats the heads of the columns on
# top of the page: a table of so many rows would take four times as long and twice the memory.
TABLE_LINES = 500


class Figures:
    """The number formats of one document, and its sign: a credit note turns all signs."""

    def __init__(self, document: ClosedDocument, lines: Sequence[ClosedLine]) -> None:
        self.sign = document.sign
        self.currency = document.currency
        exponent = minor_unit(document.currency).as_tuple().exponent
        self.money_decimals = -exponent if isinstance(exponent, int) else 0
        hours = any(line.unit == "HUR" for line in lines)
        self.quantity_decimals = decimals_of((line.quantity for line in lines), 2 if hours else 0)
        self.price_decimals = decimals_of((line.unit_price for line in lines), self.money_decimals)

    def signed(self, value: Decimal) -> Decimal:
        """Return the value with its printed sign; zero has none."""
        return value * self.sign or abs(value)

    def money(self, amount: Decimal) -> str:
        """Return an amount in the document's currency."""
        return figure(self.signed(amount), self.money_decimals)

    def quantity(self, quantity: Decimal) -> str:
        """Return a quantity."""
        return figure(self.signed(quantity), self.quantity_decimals)

    def price(self, price: Decimal) -> str:
        """Return a unit price; its sign is never turned."""
        return figure(price, self.price_decimals)


def printed_document(document: ClosedDocument, lines: Sequence[ClosedLine]) -> dict[str, Any]:
    """Return everything that the template prints."""
    figures = Figures(document, lines)
    credit = document.document_type == "credit-note"
    shared = _shared(document, lines)
    # A line that credits part of another names its date too; the dates are in the head.
    dates = {each.number: each.invoice_date.isoformat() for each in document.corrects}
    columns = _columns(document, lines)
    rows = [_row(line, document, figures, dates, columns, shared) for line in lines]
    corrected = [
        f"{clean(each.number)} of {each.invoice_date.isoformat()}" for each in document.corrects
    ]
    return printed_head(document) | {
        "facts": _facts(document, shared),
        "highlight": {
            "label": "Total credit" if credit else "Amount due",
            "amount": f"{document.currency} {figures.money(document.total)}",
        },
        "corrected": corrected,
        "corrected_label": "This credit note corrects" if credit else "This invoice also corrects",
        "corrected_on_top": len(corrected) <= CORRECTED_ON_TOP,
        "reason": clean(credit_reason(document, lines)) if credit else "",
        "long": len(lines) > TABLE_LINES,
        "heads": [head for _, head, _ in columns],
        "sides": [side for _, _, side in columns],
        "rows": rows,
        # The widest text of each figure column: the template measures these instead of every cell.
        "widest": [_widest(row[at] for row in rows) for at in range(3, 3 + len(columns))],
        "quantities": _quantities(lines, figures),
        "lines_total": figures.money(document.net - document.allowance),
        "allowances": [_allowance(each, figures) for each in document.allowances],
        "subtotal": figures.money(document.net),
        "taxes": [_tax(each, figures) for each in document.tax_totals],
        "tax_sum": figures.money(document.tax) if len(document.tax_totals) > 1 else "",
        "total_label": f"Total {document.currency}",
        "total": figures.money(document.total),
        "wording": clean("\n".join(filter(None, (document.self_billing, document.tax_wording)))),
        "payment": [] if credit else _payment(document, figures),
    }


def printed_head(document: ClosedDocument) -> dict[str, Any]:
    """Return what the template prints on the documents and on their timesheets: the parties."""
    return {
        "title": document.title,
        "sort": document.sort,
        "number": clean(document.invoice_number),
        "date": [
            document.invoice_date.year,
            document.invoice_date.month,
            document.invoice_date.day,
        ],
        "running": {
            "seller": _one_line(document.seller.name),
            "buyer": _one_line(document.buyer.name),
        },
        "seller": _party(document.seller),
        "buyer": _party(document.buyer),
        "footer": clean(document.seller.footer),
        "footer_lines": _footer_lines(document.seller.footer),
        "content_hash": clean(document.content_hash),
    }


def timesheets_document(
    document: ClosedDocument, timesheets: Sequence[ClosedTimesheet]
) -> dict[str, Any]:
    """Return everything that the template prints of the timesheets in a file of their own."""
    return printed_head(document) | printed_timesheets(document, timesheets)


def _party(party: Party) -> dict[str, str]:
    return {
        "name": clean(party.name),
        "address": clean(party.address),
        "tax_id": clean(party.tax_id),
        "contact": clean(party.contact),
    }


def _footer_lines(footer: str) -> int:
    """Return how many lines of the page the footer takes, at most."""
    return sum(len(line) // FOOTER_WIDTH + 1 for line in footer.splitlines())


def _one_line(name: str) -> str:
    """Return a name shortened for page heads and feet; the first page shows it in full."""
    line = " ".join(clean(name).replace(BREAK, "").split())
    return line if len(line) <= RUNNING_LENGTH else f"{line[: RUNNING_LENGTH - 1].rstrip()}…"


def _shared(document: ClosedDocument, lines: Sequence[ClosedLine]) -> dict[str, str]:
    """Return what all lines have alike, by name: it is printed once, not with each line."""
    alike: dict[str, set[str]] = {name: {getattr(x, name) for x in lines} for name in ENGAGEMENT}
    for requirement_id in {line.requirement_id for line in lines}:
        named = document.names.requirement(requirement_id)
        for name in CLIENT_NAMES:
            alike.setdefault(name, set()).add(getattr(named, name))
    return {
        name: values.pop() for name, values in alike.items() if len(values) == 1 and any(values)
    }


def _facts(document: ClosedDocument, shared: Mapping[str, str]) -> list[tuple[str, str]]:
    own = document.buyer.reference
    payable = [
        ("Due date", document.due_date.isoformat()),
        ("Terms", describe_payment_terms(document.payment_terms)),
    ]
    facts = [
        (f"{document.sort} number", document.invoice_number),
        (f"{document.sort} date", document.invoice_date.isoformat()),
        *(payable if document.sign > 0 else []),
        ("Purchase order", document.po_number),
        ("Your reference", own),
        ("Project", shared.get("project", "")),
        ("Cost center", shared.get("cost_center", "")),
        ("Requirement", shared.get("reference", "")),
        ("Ordered by", shared.get("client_contact", "")),
        (
            "Order reference" if own else "Your reference",
            "" if shared.get("client_reference") == own else shared.get("client_reference", ""),
        ),
        (
            "Service period",
            _span(document.service_from.isoformat(), document.service_to.isoformat()),
        ),
        ("Billing period", f"up to {document.cut_off_date.isoformat()}"),
        ("Currency", document.currency),
        ("Account", document.account_name),
    ]
    return [(label, clean(value)) for label, value in facts if value]


def _span(first: str, last: str) -> str:
    return first if first == last else f"{first} – {last}"


def _columns(document: ClosedDocument, lines: Sequence[ClosedLine]) -> list[tuple[str, str, str]]:
    """Return the columns after the description: content, head, alignment.

    A value that all lines share is printed once: one unit in the head of the quantities, one tax
    rate under the lines. Fewer cells also save a third of time and memory.
    """
    units = {line.unit for line in lines}
    rates = {(line.tax_code, line.tax_rate) for line in lines}
    one_unit = clean(UNITS.get(min(units), min(units))).capitalize() if len(units) == 1 else ""
    columns = [("period", "Service period", "left"), ("quantity", one_unit or "Quantity", "right")]
    if not one_unit:
        columns.append(("unit", "Unit", "left"))
    columns.append(("price", "Unit price", "right"))
    if len(rates) > 1:
        columns.append(("tax", "Tax", "right"))
    return [*columns, ("net", f"Net {document.currency}", "right")]


def _row(
    line: ClosedLine,
    document: ClosedDocument,
    figures: Figures,
    dates: dict[str, str],
    columns: Sequence[tuple[str, str, str]],
    shared: Mapping[str, str],
) -> list[str]:
    """Return number, description, details and the columns."""
    rate = f"{plain(line.tax_rate)} %" if line.tax_code or line.tax_rate else "–"
    cells = {
        "period": _span(line.service_from.isoformat(), line.service_to.isoformat()),
        "quantity": figures.quantity(line.quantity),
        "unit": clean(UNITS.get(line.unit, line.unit)),
        "price": figures.price(line.unit_price),
        "tax": f"{clean(line.tax_code)} {rate}".strip(),
        "net": figures.money(line.amount),
    }
    description = document.names.described(line)
    details = " · ".join(_details(line, document, dates, description, shared))
    return [
        str(line.line_no),
        clean(description),
        details,
        *(cells[column] for column, _, _ in columns),
    ]


def _details(
    line: ClosedLine,
    document: ClosedDocument,
    dates: dict[str, str],
    said: str,
    shared: Mapping[str, str],
) -> list[str]:
    """Return what identifies the line and is not in its description or shared by the document."""
    week = line.week_ending.isoformat() if line.week_ending else ""
    requirement = document.names.requirement(line.requirement_id)
    named = (
        ("worker", document.names.workers.get(line.worker_id, line.worker_id)),
        ("", requirement.job_title),
        ("", line.time_type),
        ("w/e", week),
        ("PO", line.po_number if line.po_number != document.po_number else ""),
        ("requirement", "" if "reference" in shared else requirement.reference),
        ("ordered by", "" if "client_contact" in shared else requirement.client_contact),
        ("your reference", "" if "client_reference" in shared else requirement.client_reference),
        ("project", "" if "project" in shared else line.project),
        ("cost center", "" if "cost_center" in shared else line.cost_center),
    )
    found = [
        f"{label} {clean(value)}".strip()
        for label, value in named
        if value and not _says(said, value)
    ]
    if line.corrects_invoice:
        verb = "credits" if line.amount < 0 else "corrects"
        place = f"line {line.corrects_line} of " if line.corrects_line is not None else ""
        dated = f" of {dates[line.corrects_invoice]}" if line.corrects_invoice in dates else ""
        found.append(f"{verb} {place}invoice {clean(line.corrects_invoice)}{dated}")
    if rounded(line.quantity * line.unit_price, document.currency) != line.amount:
        # A correction is a difference of rounded amounts; without this note a reader takes the cent
        # for a mistake.
        found.append("net is a difference of amounts, not quantity × price")
    return found


def _says(text: str, word: str) -> bool:
    """Whether the text contains the word as a whole: "RN-17" does not contain "1"."""
    at = text.find(word)
    while at >= 0:
        end = at + len(word)
        if not text[at - 1 : at].isalnum() and not text[end : end + 1].isalnum():
            return True
        at = text.find(word, at + 1)
    return False


def _widest(texts: Iterable[str]) -> str:
    return max(texts, key=len, default="")


def _quantities(lines: Sequence[ClosedLine], figures: Figures) -> list[tuple[str, str]]:
    sums: dict[str, Decimal] = {}
    for line in lines:
        sums[line.unit] = sums.get(line.unit, ZERO) + line.quantity
    return [
        (f"Total {clean(UNITS.get(unit, unit))}", figures.quantity(total))
        for unit, total in sorted(sums.items())
    ]


def _tax(total: TaxTotal, figures: Figures) -> tuple[str, str, str]:
    label = (
        f"Tax {clean(total.code)} {plain(total.rate)} %"
        if total.code or total.rate
        else "Not taxed"
    )
    return (" ".join(label.split()), figures.money(total.net), figures.money(total.tax))


def _allowance(each: Allowance, figures: Figures) -> tuple[str, str, str]:
    """Return the name and percentage of a discount or surcharge, its base, and its amount."""
    percent = "" if each.percent is None else f" {plain(each.percent)} %"
    return (clean(f"{each.name}{percent}"), figures.money(each.base), figures.money(each.amount))


def _payment(document: ClosedDocument, figures: Figures) -> list[tuple[str, str]]:
    """Return how to pay, each with its label; a document of zero asks for nothing."""
    total, seller = f"{document.currency} {figures.money(document.total)}", document.seller
    due, number = document.due_date.isoformat(), document.invoice_number
    asked = (
        f"{document.buyer.name} pays {total} by {due}, quoting {number}."
        if document.is_self_billed
        else f"Please pay {total} by {due}, quoting {number}."
    )
    please = f"{asked}\nTerms: {describe_payment_terms(document.payment_terms)}"
    named = (
        ("Bank details", seller.bank),
        ("Payment", please if document.total > 0 else ""),
        ("Remit to", seller.remit_to),
        ("Payment instructions", seller.payment_instructions),
    )
    return [(label, clean(text)) for label, text in named if text]
