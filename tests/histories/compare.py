"""The data of the services and of the reference as the same facts, and their differences."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tests.histories.office import Office
from tests.histories.reference.billing import Invoice
from tests.histories.reference.reference import Reference
from tests.histories.reference.values import ZERO, short

STATEMENTS = """
SELECT d.document_kind, d.document_id, d.realization_no, coalesce(d.hold_code, '') AS held,
    coalesce(s.realization_kind = 'realized', false) AS realized,
       t.realization_no AS settled, t.stale_realization_no AS stale
FROM fee_realizer.document_state d
LEFT JOIN fee_realizer.latest_realization s USING (document_kind, document_id)
LEFT JOIN invoicer.settled_document t USING (document_kind, document_id) WHERE d.revision >= 0"""
LINES = """
SELECT p.document_kind, p.document_id, p.line_key, p.quantity, p.amount, p.billing_company,
    p.billto_node, p.currency, p.effective_date, p.week_ending,
       c.invoice_number AS corrects, o.correction, i.invoice_number AS number, l.tax_amount AS tax,
           l.tax_rate AS rate, l.allowance_amount AS allowance
FROM invoicer.pay_line p
LEFT JOIN invoicer.open_line o ON o.billing_company = p.billing_company
    AND o.pay_line_id = p.pay_line_id
LEFT JOIN invoicer.invoice_line l ON l.pay_line_id = p.pay_line_id
LEFT JOIN invoicer.invoice i ON i.invoice_id = l.invoice_id
LEFT JOIN invoicer.invoice c ON c.invoice_id = p.corrects_invoice_id
WHERE o.pay_line_id IS NOT NULL OR l.pay_line_id IS NOT NULL"""
INVOICES = """
SELECT invoice_number, document_type, billing_company, account_name, currency, tax_regime,
    payment_terms, po_number, net, tax, total, line_count
FROM invoicer.invoice"""
ALLOWANCES = """
SELECT i.invoice_number, a ->> 'name', CAST(a ->> 'rate' AS numeric),
    CAST(a ->> 'base' AS numeric), CAST(a ->> 'amount' AS numeric)
FROM invoicer.invoice i CROSS JOIN LATERAL jsonb_array_elements(i.allowances) a"""
HOLDS = "SELECT document_kind, document_id, line_key, code, until_date FROM invoicer.snooze"


@dataclass
class BusinessFacts:
    """Everything that both sides must agree on, as rows of text that can be counted."""

    rows: Counter[tuple[Any, ...]] = field(default_factory=Counter)

    def add(self, what: str, *values: object) -> None:
        """Add one fact."""
        self.rows[
            (what, *(short(value) if isinstance(value, Decimal) else value for value in values))
        ] += 1


async def stored_facts(office: Office) -> BusinessFacts:
    """The facts in the tables."""
    facts = BusinessFacts()
    for row in await office.select(STATEMENTS):
        facts.add(
            "document",
            row.document_kind,
            row.document_id,
            row.realization_no,
            row.realized,
            row.held,
            row.settled or 0,
            row.stale,
        )
    for row in await office.select(LINES):
        what = (
            row.document_kind,
            row.document_id,
            row.line_key,
            row.quantity,
            row.amount,
            row.corrects,
        )
        if row.number is None:
            facts.add(
                "open",
                *what,
                row.billing_company,
                row.billto_node,
                row.currency,
                row.effective_date,
                row.week_ending,
                row.correction,
            )
        else:
            facts.add("billed", row.number, *what, row.tax, row.rate, row.allowance)
    for row in await office.select(INVOICES):
        facts.add("invoice", *row)
    for row in await office.select(ALLOWANCES):
        facts.add("allowance", *row)
    for row in await office.select(HOLDS):
        facts.add("hold", *row)
    return facts


def expected_facts(reference: Reference) -> BusinessFacts:
    """The facts of the reference."""
    facts = BusinessFacts()
    for document, paper in reference.pricing.papers.items():
        if paper.in_force is None:
            continue
        page = reference.ledger.pages.get(document)
        settled = page.settled.number if page is not None and page.settled is not None else 0
        realized = bool(paper.realizations) and paper.realizations[-1].realized
        facts.add(
            "document",
            *document,
            len(paper.realizations),
            realized,
            paper.held,
            settled,
            page.stale if page else None,
        )
    for one in reference.ledger.lines():
        line, corrects = one.line, one.corrects.number if one.corrects else None
        facts.add(
            "open",
            *one.document,
            line.key,
            one.worth.quantity,
            one.worth.amount,
            corrects,
            line.company,
            line.node,
            line.currency,
            line.effective,
            line.week,
            one.correction,
        )
    for invoice in reference.billing.invoices:
        for billed in invoice.lines:
            corrects = billed.corrects.number if billed.corrects else None
            what = (
                *billed.document,
                billed.line.key,
                billed.worth.quantity,
                billed.worth.amount,
                corrects,
            )
            facts.add("billed", billed.number, *what, billed.tax, billed.tax_rate, billed.allowance)
        for row in invoice.allowances:
            facts.add("allowance", invoice.number, *row)
        terms = invoice.terms
        facts.add(
            "invoice",
            invoice.number,
            invoice.kind,
            invoice.company,
            invoice.account,
            invoice.currency,
            terms.regime,
            terms.payment,
            invoice.po,
            invoice.net,
            invoice.tax,
            invoice.net + invoice.tax,
            len(invoice.lines),
        )
    for document, page in reference.ledger.pages.items():
        for key, hold in page.holds.items():
            facts.add("hold", *document, key, hold.code, hold.until)
    return facts


def differences(there: BusinessFacts, wanted: BusinessFacts) -> list[str]:
    """What one side has and the other has not."""
    found = [f"the tables have  {row}" for row in (there.rows - wanted.rows).elements()]
    return sorted(
        found + [f"they should have {row}" for row in (wanted.rows - there.rows).elements()],
        key=lambda line: line[17:],
    )


def expected_answer(closed: Sequence[Invoice], out: Mapping[str, int]) -> dict[str, Any]:
    """What the answer to a batch command must contain."""
    sums: dict[str, list[Decimal]] = {}
    for invoice in closed:
        was = sums.get(invoice.currency, [ZERO] * 4)
        own = [Decimal(1), Decimal(len(invoice.lines)), invoice.net, invoice.tax]
        sums[invoice.currency] = [one + other for one, other in zip(was, own, strict=True)]
    totals = [(currency, *(short(value) for value in sums[currency])) for currency in sorted(sums)]
    lines = sum(len(invoice.lines) for invoice in closed)
    return {
        "documents": len(closed),
        "lines": lines,
        "totals": totals,
        "left_out": {reason: count for reason, count in sorted(out.items()) if count},
    }


def given_answer(details: Mapping[str, Any]) -> dict[str, Any]:
    """The same of the answer of a service."""
    totals = [
        (
            row["currency"],
            *(short(Decimal(row[name])) for name in ("documents", "lines", "net", "tax")),
        )
        for row in details["totals"]
    ]
    left_out = {reason: count for reason, count in sorted(details["left_out"].items()) if count}
    return {
        "documents": details["documents"],
        "lines": details["lines"],
        "totals": totals,
        "left_out": left_out,
    }
