"""What comes on one document, and what it is. Sources: domain rules 5, 8 and 9; design 5."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from services.invoicer.rules.companies import Company, DebtorTerms, Terms
from services.invoicer.rules.digest import PreviewDocument, changed_settings, debtors_that_differ, digest
from services.invoicer.rules.grouping import Group, debtors, document_type, documents, per_document
from services.invoicer.rules.totals import TaxPart

D = Decimal
CUT_OFF = date(2026, 8, 9)
COMPANY = Company("acme", payment_terms="net:30")
STANDARD = Terms("standard", "", "net:30")


def group(net: str, account: str = "A", tax: str = "0", **changes: Any) -> Group:
    values: dict[str, Any] = {
        "group_no": 1,
        "account_name": account,
        "currency": "USD",
        "terms": STANDARD,
        "po_number": "",
        "apart": 0,
        "line_count": 1,
        "credit_count": 0,
        "service_from": CUT_OFF,
        "service_to": CUT_OFF,
        "tax_parts": (TaxPart("", D(0), D(net), D(tax)),),
    }
    return Group(**(values | changes))


@pytest.mark.parametrize(
    ("net", "tax", "expected"),
    [
        ("100", "0", "invoice"),
        ("-100", "0", "credit-note"),
        ("-0.01", "8", "credit-note"),
        ("0", "0", None),
        ("0", "21", "invoice"),
        ("0", "-0.01", "credit-note"),
    ],
)
def test_what_lowers_the_debt_is_one_credit_note(net: str, tax: str, expected: str | None) -> None:
    """Domain rules 5: netted lines whose sum is below zero become one credit note with all of them; exactly zero stays open."""
    assert document_type(group(net, tax=tax)) == expected


def test_a_zero_sum_stays_open_unless_the_debtor_asks_for_it() -> None:
    """Domain rules 5: the lines stay open with reason zero_total, unless the option asks for zero documents."""
    zero = group("0")
    assert documents([zero]) == ([], [zero])
    closed, left = documents([zero], frozenset({"A"}))
    assert [each.document_type for each in closed] == ["invoice"]
    assert left == []
    (credit,), _ = documents([group("0", credit_count=1)], frozenset({"A"}))
    assert credit.document_type == "credit-note"


def test_documents_are_numbered_by_account_name_then_split_keys_invoices_first() -> None:
    """Domain rules 8: by Account Name, then the split keys, invoices before credit notes, so a rerun gives the same numbers."""
    groups = [
        group("5", "b"),
        group("-1", "A", apart=1, group_no=2, po_number="2"),
        group("1", "A", group_no=3, po_number="2"),
        group("1", "A", group_no=4, po_number="10"),
        group("1", "A", group_no=5, currency="EUR"),
        group("1", "É", group_no=6),
    ]
    closed, _ = documents(groups)
    assert [(each.group.group_no, each.document_type) for each in closed] == [
        (5, "invoice"),
        (4, "invoice"),
        (3, "invoice"),
        (2, "credit-note"),
        (1, "invoice"),
        (6, "invoice"),
    ]
    assert documents(list(reversed(groups)))[0] == closed


def test_debtors_take_what_their_own_terms_leave_open_from_the_company() -> None:
    """Domain rules 4 and 7: terms, regime with its wording, and window of each debtor."""
    own = {
        "B": DebtorTerms("B", "net:15", credits="net", tax_regime="reverse-charge"),
        "C": DebtorTerms("C", "on-receipt", tax_regime="exempt", tax_wording="Art. 132"),
    }
    a, b, c = debtors(["C", "A", "B", "A"], COMPANY, own, CUT_OFF)
    assert (a.account_name, a.terms, a.credits, a.window.weeks_to) == ("A", STANDARD, "separate", CUT_OFF)
    assert (b.terms.tax_regime, b.terms.payment_terms, b.credits) == ("reverse-charge", "net:15", "net")
    assert b.terms.tax_wording
    assert c.terms == Terms("exempt", "Art. 132", "on-receipt")
    assert [each.debtor_no for each in (a, b, c)] == [1, 2, 3]


def test_a_debtor_whose_time_group_does_not_exist_is_parked() -> None:
    """Design 5: an error about a debtor parks the debtor, the others close."""
    parked, free = debtors(["A", "B"], COMPANY, {"A": DebtorTerms("A", "net:30", time_group="weekly")}, CUT_OFF)
    assert "weekly" in parked.parked
    assert not free.parked


def test_a_credit_note_never_computes_tax_per_document() -> None:
    """Domain rules 7: its tax is the sum of what its lines take from the lines that they correct."""
    closed, _ = documents([group("100", "A"), group("-100", "B"), group("1", "C", credit_count=1)])
    assert [each.group.account_name for each in per_document(closed, "document")] == ["A"]
    assert per_document(closed, "line") == []


def preview(account: str, net: str = "1", line_hash: str = "h", at: int = 1) -> PreviewDocument:
    return PreviewDocument(at, account, "invoice", "USD", "net:30", "", "standard", 1, D(net), D(0), line_hash)


def test_a_digest_is_of_the_documents_not_of_their_order() -> None:
    """Design 5: the hash of the rows; 1 is 1.00; another cut-off is another batch."""
    one, two = preview("A"), preview("B", at=2)
    same = digest("acme", CUT_OFF, [one, two])
    assert same == digest("acme", CUT_OFF, [preview("B", at=1), preview("A", "1.00", at=2)])
    assert same != digest("acme", CUT_OFF, [one])
    assert same != digest("acme", CUT_OFF, [one, preview("B", line_hash="other", at=2)])
    assert same != digest("acme", date(2026, 8, 10), [one, two])
    assert same != digest("other", CUT_OFF, [one, two])


def test_a_difference_names_debtors_and_settings() -> None:
    """Design 5: refused naming the debtors that differ and the settings changed since."""
    assert debtors_that_differ([preview("A"), preview("B")], [preview("B", at=1), preview("C")]) == ["A", "C"]
    assert changed_settings({"tax": "21", "terms": "net:30"}, {"tax": "19", "terms": "net:30", "bank": "x"}) == ["bank", "tax"]
