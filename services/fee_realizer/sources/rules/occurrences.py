"""Price an occurrence of an assignment: a price that is due on a date, at once or by a pay plan.

Each occurrence is a document of its own, and each change of its terms a revision. What is open has
the newest terms. What is invoiced keeps the terms that it cites until an operator confirms later
ones: the price is part of the line key, so the whole is then credited and billed again.
"""

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from services.fee_realizer.sources.rules.facts import (
    CatalogItem,
    Facts,
    Held,
    Line,
    PricingResult,
    Realized,
    compact_json,
    format_price,
)
from services.fee_realizer.sources.rules.holds import missing_company, unknown_item
from services.fee_realizer.sources.rules.placements import (
    PIECE,
    PLACEMENT_PRODUCT,
    PRICE_LIMIT,
    not_valid,
    plan_of,
)
from services.fee_realizer.sources.rules.repricing import Impact, RateChange, Repricing
from services.fee_realizer.sources.rules.timesheets import CitedPrices
from shared.events.commands.assignments import AssignmentTerms
from shared.events.field_types import LAST_DATE, Currency, Day, Fee, Identifier, Revision
from shared.money import ZERO, minor_unit, plain, rounded, split


class Occurrence(AssignmentTerms):
    """The complete state of an occurrence. `price_from`, `set_by`: since when and by whom.

    `withdrawn`: no longer due. `confirmed`: invoiced lines take these terms, too.
    """

    assignment_id: Identifier
    revision: Revision
    billing_company: Identifier
    due_date: Day
    price: Fee
    currency: Currency
    price_from: Day
    set_by: Identifier
    withdrawn: bool = False
    confirmed: bool = False

    @property
    def document_id(self) -> str:
        """The id of its document, such as RENT@2026-01-31."""
        return f"{self.assignment_id}@{self.due_date}"


def realize_occurrence(
    occurrence: Occurrence, facts: Facts, cited: CitedPrices, revisions: Iterable[Occurrence]
) -> PricingResult:
    """Return the lines of an occurrence, or what it waits for.

    `revisions`: all of a document with invoiced lines; `cited` names the one that these cite. A
    withdrawn occurrence has no line, unless it is invoiced: then an operator decides about a
    credit.
    """
    price = cited.get((occurrence.document_id, ""))
    book = occurrence.revision if price is None else price.rate_book
    terms = occurrence if price is None else _terms_of_invoiced(book, revisions) or occurrence
    basis = {
        "requirement_id": occurrence.document_id,
        "time_type": "",
        "rate_book": book,
        "cited": price is not None,
    }
    if terms.withdrawn:
        return Realized([], [basis])
    held = missing_company(
        terms.billing_company, "assignment", terms.assignment_id, facts
    ) or _missing_item(terms, facts)
    if held is not None:
        return held
    lines = _lines(terms, facts.items[terms.item_id], book)
    return lines if isinstance(lines, Held) else Realized(lines, [basis])


def _terms_of_invoiced(cited: int, revisions: Iterable[Occurrence]) -> Occurrence | None:
    """Return the terms of invoiced lines: the last confirmed since, or else those they cite."""
    known = {one.revision: one for one in revisions}
    confirmed = [number for number, one in known.items() if number > cited and one.confirmed]
    return known.get(max(confirmed, default=cited))


def _missing_item(terms: Occurrence, facts: Facts) -> Held | None:
    """Hold if the item is unknown, is sold with placements, or is not valid on the due date."""
    item = facts.items.get(terms.item_id)
    if item is None or not item.known:
        return unknown_item(terms.item_id, f"assignment {terms.assignment_id}")
    if item.product_kind == PLACEMENT_PRODUCT:
        return Held("product_kind", not_assignable(item.item_id))
    event = f"assignment {terms.assignment_id} is due"
    return not_valid(item, terms.due_date, event, "end the assignment")


def not_assignable(item_id: str) -> str:
    """Return what a placement product may be used for, in place of an assignment."""
    return (
        f"catalog item {item_id} is a placement product: it can be a fee of a placement;"
        " assign a non-placement product"
    )


def _lines(terms: Occurrence, item: CatalogItem, book: int) -> list[Line] | Held:
    """Return a line for each instalment that is not zero."""
    whole = rounded(terms.price, terms.currency)
    if abs(whole) >= PRICE_LIMIT:
        return Held(
            "amount_too_large",
            f"assignment {terms.assignment_id} would be {PRICE_LIMIT:,} {terms.currency} or more:"
            " set the right price",
        )
    plan = plan_of(terms.plan, item)
    shares = split(whole, [part.share for part in plan], minor_unit(terms.currency))
    price = format_price(terms.price, terms.currency)
    lines: list[Line] = []
    for number, (part, share) in enumerate(zip(plan, shares, strict=True), start=1):
        if part.day - 1 > (LAST_DATE - terms.due_date).days:
            return Held(
                "date_out_of_range",
                f"instalment {number} of assignment {terms.assignment_id} would be due after"
                f" {LAST_DATE}: set the right date or plan",
            )
        if not share:
            continue
        due = (terms.due_date + timedelta(days=part.day - 1)).isoformat()
        name = terms.text or item.name or item.item_id
        key = ["p", "assignment", item.item_id, number, f"{plain(terms.price)} {terms.currency}"]
        formula = price
        if len(plan) > 1:
            name += f" · instalment {number} of {len(plan)}"
            total = plain(sum((each.share for each in plan), ZERO))
            formula += f", {plain(part.share)}/{total} of it ="
            formula += f" {format_price(share, terms.currency)}"
        lines.append(
            {
                "line_key": compact_json(key),
                "line_kind": "product",
                "billing_company": terms.billing_company,
                "billto_node": terms.node_id,
                "currency": terms.currency,
                "quantity": str(int(share.compare(ZERO))),
                "unit": PIECE,
                "unit_price": plain(abs(share)),
                "amount": plain(share),
                "effective_date": due,
                "service_from": due,
                "service_to": due,
                "item_id": item.item_id,
                "po_number": terms.po_number,
                "tax_code": item.tax_code,
                "rate_book": book,
                "description": name,
                "derivation": _derivation(terms, book, formula),
            }
        )
    return sorted(lines, key=lambda line: str(line["line_key"]))


def _derivation(terms: Occurrence, book: int, formula: str) -> dict[str, Any]:
    """Return how the amount of an instalment comes about."""
    return {
        "assignment": terms.assignment_id,
        "due": terms.due_date.isoformat(),
        "item": terms.item_id,
        "price": {
            "price": f"{format_price(terms.price, terms.currency)} {terms.currency}",
            "from": terms.price_from.isoformat(),
            "set_by": terms.set_by,
            "confirmed": "yes" if terms.revision > book else "no",
        },
        "revision": str(terms.revision),
        "formula": formula,
    }


def unconfirmed_price(occurrence: Occurrence, facts: Facts, now: Realized) -> Impact:
    """Return what the newest terms would do to invoiced lines that have earlier ones."""
    if occurrence.withdrawn:
        return {}
    then = realize_occurrence(occurrence, facts, {}, ())
    if not isinstance(then, Realized):
        return {}
    values = [{line["line_key"]: line["amount"] for line in one.lines} for one in (now, then)]
    same = {key for key, amount in values[0].items() if values[1].get(key) == amount}
    removed, added = (
        [line for line in one.lines if line["line_key"] not in same] for one in (now, then)
    )
    if not removed:
        return {}
    returned = sum((Decimal(line["amount"]) for line in added), ZERO)
    step = minor_unit(occurrence.currency)
    change = RateChange(occurrence.assignment_id, "", occurrence.price_from)
    found = [
        Repricing(
            line_key=line["line_key"],
            billing_company=line["billing_company"],
            currency=line["currency"],
            unit=line["unit"],
            quantity=Decimal(line["quantity"]),
            old_price=Decimal(line["unit_price"]),
            new_price=Decimal(added[0]["unit_price"]) if added else ZERO,
            old_amount=Decimal(line["amount"]),
            new_amount=share,
        )
        for line, share in zip(
            removed, split(returned, [Decimal(1)] * len(removed), step), strict=True
        )
    ]
    return {change: found}
