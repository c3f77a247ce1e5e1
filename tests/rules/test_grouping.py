"""Documents of a batch and decisions on debtors."""

import hashlib
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from services.invoicer.batches.rules import reasons
from services.invoicer.batches.rules.batch_filter import (
    BatchFilter,
    check_excluded_debtors,
    check_groups,
)
from services.invoicer.batches.rules.digest import (
    PreviewDocument,
    changed_settings,
    debtors_that_differ,
    digest,
)
from services.invoicer.batches.rules.expected import ExpectedTimesheet, TimesheetCount
from services.invoicer.batches.rules.grouping import debtors, may_be_waiting, with_waiting
from services.invoicer.debtors.rules.companies import (
    BillingCompany,
    DebtorTerms,
    DocumentTerms,
    TermsVersion,
    change_terms,
)
from services.invoicer.debtors.rules.cycles import Span, TimeGroup
from services.invoicer.invoices.rules.documents import (
    Document,
    Group,
    build_documents,
    check_tax_parts,
    document_type,
    recheck_totals,
    taxed_per_document,
)
from services.invoicer.invoices.rules.totals import TaxPart
from shared.errors import Refused

D = Decimal
CUT_OFF = date(2026, 8, 9)
COMPANY = BillingCompany("acme", payment_terms="net:30")
STANDARD = DocumentTerms("standard", "", "net:30")


def group(net: str, account: str = "A", tax: str = "0", **changes: Any) -> Group:
    values: dict[str, Any] = {
        "group_no": 1,
        "account_name": account,
        "currency": "USD",
        "terms": STANDARD,
        "po_number": "",
        "credit_split": 0,
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
        ("-0.01", "8", "invoice"),
        ("50", "-300", "credit-note"),
        ("10", "-10", "invoice"),
        ("0", "0", None),
        ("0", "21", "invoice"),
        ("0", "-0.01", "credit-note"),
    ],
)
def test_what_lowers_the_debt_is_one_credit_note(net: str, tax: str, expected: str | None) -> None:
    """Netted lines below zero are one credit note; zero stays open."""
    assert document_type(group(net, tax=tax)) == expected


def test_a_zero_sum_stays_open_unless_the_debtor_asks_for_it() -> None:
    """Lines with a zero total stay open by default.

    Their reason is zero_total. A debtor with zero documents gets an invoice.
    """
    zero = group("0")
    assert build_documents([zero]) == ([], [zero])
    closed, left = build_documents([zero], frozenset({"A"}))
    assert [each.document_type for each in closed] == ["invoice"]
    assert left == []
    (credit,), _ = build_documents([group("0", credit_count=1)], frozenset({"A"}))
    assert credit.document_type == "credit-note"


def test_documents_are_numbered_by_account_name_then_split_keys_invoices_first() -> None:
    """The order gives the same numbers again.

    By Account Name, then by the split keys, invoices before credit notes.
    """
    groups = [
        group("5", "b"),
        group("-1", "A", credit_split=1, group_no=2, po_number="2"),
        group("1", "A", group_no=3, po_number="2"),
        group("1", "A", group_no=4, po_number="10"),
        group("1", "A", group_no=5, currency="EUR"),
        group("1", "É", group_no=6),
    ]
    closed, _ = build_documents(groups)
    assert [(each.group.group_no, each.document_type) for each in closed] == [
        (5, "invoice"),
        (4, "invoice"),
        (3, "invoice"),
        (2, "credit-note"),
        (1, "invoice"),
        (6, "invoice"),
    ]
    assert build_documents(list(reversed(groups)))[0] == closed


def test_debtors_take_what_their_own_terms_leave_open_from_the_company() -> None:
    """Company defaults fill in terms."""
    own = {
        "B": DebtorTerms("B", "net:15", credits="net", tax_regime="reverse-charge"),
        "C": DebtorTerms("C", "on-receipt", tax_regime="exempt", tax_wording="Art. 132"),
    }
    a, b, c = debtors(["C", "A", "B", "A"], COMPANY, own, CUT_OFF)
    assert (a.account_name, a.terms, a.credits, a.window.weeks_to) == (
        "A",
        STANDARD,
        "separate",
        CUT_OFF,
    )
    assert (b.terms.tax_regime, b.terms.payment_terms, b.credits) == (
        "reverse-charge",
        "net:15",
        "net",
    )
    assert b.terms.tax_wording
    assert c.terms == DocumentTerms("exempt", "Art. 132", "on-receipt")
    assert [each.debtor_no for each in (a, b, c)] == [1, 2, 3]


def test_a_debtor_whose_time_group_does_not_exist_is_parked() -> None:
    """An error about a debtor parks the debtor."""
    parked, free = debtors(
        ["A", "B"], COMPANY, {"A": DebtorTerms("A", "net:30", time_group="weekly")}, CUT_OFF
    )
    assert "weekly" in parked.parked
    assert not free.parked


WEEKLY = TimeGroup("weekly", "weekly", ends_on="sunday")
RETAIL = TimeGroup("retail", "custom", periods=(Span(date(2026, 7, 5), date(2026, 8, 1)),))
GROUPS = {"weekly": WEEKLY, "retail": RETAIL}


def test_the_time_group_on_the_cut_off_date_decides() -> None:
    """The time group is that of the cut-off date.

    All other terms, also the rule for missing timesheets, are those of the date of the documents.
    """
    on_documents = {
        "A": DebtorTerms("A", "net:60", time_group="monthly", missing_timesheets="wait")
    }
    (a,) = debtors(
        ["A"],
        COMPANY,
        on_documents,
        CUT_OFF,
        on_cut_off={"A": DebtorTerms("A", "net:10", time_group="weekly")},
        time_groups=GROUPS,
    )
    assert (a.batch_group, a.window.cycle, a.terms.payment_terms) == (
        "weekly",
        Span(date(2026, 8, 3), CUT_OFF),
        "net:60",
    )
    assert a.missing_timesheets == "wait"


def test_the_companys_default_is_for_debtors_who_have_none() -> None:
    """Without any time group, week ending <= cut-off."""
    company = BillingCompany("acme", default_time_group="weekly")
    a, b = debtors(
        ["A", "B"],
        company,
        {"B": DebtorTerms("B", "", time_group="retail")},
        date(2026, 8, 1),
        time_groups=GROUPS,
    )
    assert (a.batch_group, b.batch_group) == ("weekly", "retail")
    assert a.window.weeks_to == date(2026, 7, 26)
    (none,) = debtors(["A"], COMPANY, {}, CUT_OFF)
    assert (none.batch_group, none.window.weeks_to) == ("none", CUT_OFF)


def test_debtors_whose_periods_end_before_the_cut_off_are_parked() -> None:
    """A cut-off after the last period parks the debtor.

    A batch that names the group is refused.
    """
    own = {
        "A": DebtorTerms("A", "", time_group="retail"),
        "B": DebtorTerms("B", "", time_group="weekly"),
    }
    a, b = debtors(["A", "B"], COMPANY, own, CUT_OFF, time_groups=GROUPS)
    assert "time group 'retail'" in a.parked
    assert b.is_in
    check_groups(BatchFilter(groups=frozenset({"weekly", "none"})), GROUPS, GROUPS, CUT_OFF)
    with pytest.raises(Refused, match="beyond the last period"):
        check_groups(BatchFilter(groups=frozenset({"retail"})), GROUPS, GROUPS, CUT_OFF)


def test_a_batch_of_some_groups_leaves_the_others_out() -> None:
    """FastTrack: choose batch groups, exclude debtors; a later batch bills the others."""
    own = {
        "A": DebtorTerms("A", "", time_group="weekly"),
        "B": DebtorTerms("B", "", time_group="weekly"),
    }
    batch_filter = BatchFilter(groups=frozenset({"weekly"}), excluded=frozenset({"B"}))
    found = debtors(
        ["A", "B", "C"], COMPANY, own, CUT_OFF, time_groups=GROUPS, batch_filter=batch_filter
    )
    assert [each.left_out for each in found] == [
        "",
        reasons.DEBTOR_LEFT_OUT,
        reasons.GROUP_NOT_CHOSEN,
    ]
    only_none = debtors(
        ["A", "C"],
        COMPANY,
        own,
        CUT_OFF,
        time_groups=GROUPS,
        batch_filter=BatchFilter(groups=frozenset({"none"})),
    )
    assert [each.left_out for each in only_none] == [reasons.GROUP_NOT_CHOSEN, ""]


def test_unknown_names_are_refused() -> None:
    """A misspelt debtor or group is refused with similar or known names.

    Otherwise a batch would bill the debtor that the operator excluded.
    """
    with pytest.raises(Refused) as refused:
        check_excluded_debtors({"mercy hospitl"}, {"Mercy Hospital", "Other"})
    assert "'Mercy Hospital'" in refused.value.fix
    with pytest.raises(Refused, match="known are none, retail, weekly"):
        check_groups(BatchFilter(groups=frozenset({"daily"})), GROUPS, {}, CUT_OFF)


def test_only_debtors_with_such_a_rule_wait() -> None:
    """The debtor's rule says wait, bill, or wait N days.

    One rule for the batch replaces it; excluded debtors do not wait.
    """
    own = {
        "A": DebtorTerms("A", "", time_group="weekly", missing_timesheets="wait"),
        "B": DebtorTerms("B", "", time_group="weekly"),
    }
    missing = {name: TimesheetCount(2, 1, (ExpectedTimesheet("R", "w", CUT_OFF),)) for name in "AB"}

    def waiting(**narrowed: Any) -> list[str]:
        decided = debtors(
            ["A", "B"],
            COMPANY,
            own,
            CUT_OFF,
            time_groups=GROUPS,
            batch_filter=BatchFilter(**narrowed),
            today=CUT_OFF,
        )
        assert {each.account_name for each in may_be_waiting(decided, CUT_OFF)} == {
            each.account_name for each in with_waiting(decided, missing, CUT_OFF) if each.waiting
        }
        return [
            each.account_name for each in with_waiting(decided, missing, CUT_OFF) if each.waiting
        ]

    assert waiting() == ["A"]
    assert waiting(missing_timesheets="bill") == []
    assert waiting(missing_timesheets="wait") == ["A", "B"]
    assert waiting(excluded=frozenset({"A"})) == []


def test_terms_begin_on_a_day_and_copy_what_held_before() -> None:
    """The first terms apply from the beginning, later ones from today.

    Each version copies the one in force and changes what is given.
    """
    today = date(2026, 8, 9)
    first = change_terms("A", [], {"time_group": "weekly"}, None, today)
    assert (first.before, first.after.from_date, first.until) == (None, date(1970, 1, 1), None)
    later = change_terms("A", [first.after], {"payment_terms": "net:5"}, None, today)
    assert (later.before, later.after.from_date) == (first.after, today)
    assert (later.after.terms.time_group, later.after.terms.payment_terms) == ("weekly", "net:5")
    between = change_terms(
        "A", [first.after, later.after], {"credits": "net"}, date(2026, 3, 1), today
    )
    assert (between.until, between.after.terms.payment_terms, between.after.terms.credits) == (
        today,
        "",
        "net",
    )


def test_a_wording_ends_with_its_regime() -> None:
    """The wording of an exemption is not printed under a reverse charge."""
    exempt = TermsVersion(
        date(1970, 1, 1), DebtorTerms("A", "", tax_regime="exempt", tax_wording="Art. 132")
    )
    changed = change_terms("A", [exempt], {"tax_regime": "reverse-charge"}, None, CUT_OFF)
    assert changed.after.terms.tax_wording == ""
    assert (
        change_terms("A", [exempt], {"credits": "net"}, None, CUT_OFF).after.terms.tax_wording
        == "Art. 132"
    )


def test_every_reason_has_a_number_that_fits() -> None:
    """The selection keeps a reason in five bits."""
    assert len(reasons.REASONS) < 32


def test_a_credit_note_never_computes_tax_per_document() -> None:
    """Its tax is the sum of the tax of its lines."""
    closed, _ = build_documents(
        [group("100", "A"), group("-100", "B"), group("1", "C", credit_count=1)]
    )
    assert [each.group.account_name for each in taxed_per_document(closed, "document")] == ["A"]
    assert taxed_per_document(closed, "line") == []


@pytest.mark.parametrize(
    ("net", "tax", "account", "closes"),
    [
        ("0", "0.01", "A", True),
        ("0", "0", "A", False),
        ("0", "-0.01", "A", False),
        ("0", "0", "ASKS", True),
        ("0", "-0.01", "ASKS", False),
        ("1", "0", "A", True),
    ],
)
def test_tax_over_the_sum_may_leave_nothing_to_pay(
    net: str, tax: str, account: str, *, closes: bool
) -> None:
    """A zero total stays open; no invoice is below zero."""
    one = Document(group(net, account, tax), "invoice", "document")
    assert recheck_totals([one], frozenset({"ASKS"})) == (
        ([one], []) if closes else ([], [one.group])
    )


def preview(account: str, net: str = "1", line_hash: str = "h", at: int = 1) -> PreviewDocument:
    return PreviewDocument(
        at, account, "invoice", "USD", "net:30", "", "standard", 1, D(net), D(0), line_hash
    )


def test_a_digest_of_a_stored_preview_stays_valid() -> None:
    """A batch of a later version closes what a preview of an earlier one showed."""
    row = '["É", "invoice", "USD", "net:30", "", "standard", 1, "1", "0", "h"]'
    text = f"acme\n2026-08-09\n{row}"
    expected = hashlib.sha256(text.encode()).hexdigest()
    assert digest("acme", CUT_OFF, [preview("É", line_hash="h")]) == expected


def test_a_digest_is_of_the_documents_not_of_their_order() -> None:
    """The hash of the rows; 1 equals 1.00; the cut-off counts."""
    one, two = preview("A"), preview("B", at=2)
    same = digest("acme", CUT_OFF, [one, two])
    assert same == digest("acme", CUT_OFF, [preview("B", at=1), preview("A", "1.00", at=2)])
    assert same != digest("acme", CUT_OFF, [one])
    assert same != digest("acme", CUT_OFF, [one, preview("B", line_hash="other", at=2)])
    assert same != digest("acme", date(2026, 8, 10), [one, two])
    assert same != digest("other", CUT_OFF, [one, two])
    assert same != digest("acme", CUT_OFF, [one, preview("C", at=2)])
    assert same != digest(
        "acme", CUT_OFF, [one, two], BatchFilter(groups=frozenset({"none"})).written
    )


def test_a_difference_names_debtors_and_settings() -> None:
    """The refusal names the debtors and settings that differ."""
    assert debtors_that_differ(
        [preview("A"), preview("B")], [preview("B", at=1), preview("C")]
    ) == ["A", "C"]
    assert changed_settings(
        {"tax": "21", "terms": "net:30"}, {"tax": "19", "terms": "net:30", "bank": "x"}
    ) == ["bank", "tax"]


def test_a_group_counts_the_lines_of_all_its_tax_rates() -> None:
    """Lines, credits and the service period of each tax rate are added up."""
    one = group("100", line_count=3, credit_count=1, newest_corrected=4)
    part = TaxPart("VAT", D(20), D(50), D(10))
    both = one.joined(part, 5, 2, date(2026, 7, 1), date(2026, 8, 30), 9, D("2.5"))
    assert (both.line_count, both.credit_count, both.net, both.tax) == (8, 3, D(150), D(10))
    assert both.hours == one.hours + D("2.5")
    assert (both.service_from, both.service_to) == (date(2026, 7, 1), date(2026, 8, 30))
    assert both.newest_corrected == 9
    narrow = both.joined(part, 1, 0, date(2026, 7, 2), date(2026, 8, 29), None, D(0))
    assert (narrow.service_from, narrow.service_to) == (both.service_from, both.service_to)
    assert narrow.newest_corrected == 9


def test_a_zero_document_of_credits_alone_is_a_credit_note() -> None:
    """A debtor who wants zero documents gets a credit note only where all lines are credits."""
    wants = frozenset({"A"})
    for credits, expected in ((2, "credit-note"), (1, "invoice"), (0, "invoice")):
        zero = group("0", line_count=2, credit_count=credits)
        assert [each.document_type for each in build_documents([zero], wants)[0]] == [expected]


def test_a_document_taxed_per_line_keeps_its_type() -> None:
    """Only tax on the sum can change the sign of a total: others are not looked at again."""
    one = Document(group("0", tax="-0.01"), "invoice", "line")
    assert recheck_totals([one]) == ([one], [])


def test_the_filter_of_a_batch_is_written_by_name_and_in_order() -> None:
    """What is not set is not written; no debtor at all is a setting, too."""
    assert (BatchFilter().settings, BatchFilter().written) == ({}, "")
    narrow = BatchFilter(frozenset("ba"), frozenset({"É", "A"}), "wait", frozenset())
    assert narrow.settings == {
        "groups": ["a", "b"],
        "excluded debtors": ["A", "É"],
        "rule for missing timesheets": "wait",
        "only debtors": [],
    }
    assert BatchFilter(frozenset("a"), frozenset("A")).written == (
        '{"excluded debtors": ["A"], "groups": ["a"]}'
    )
    assert '"É"' in narrow.written


def test_a_batch_of_named_debtors_leaves_the_others_out() -> None:
    """No debtor named: every debtor; none at all: no debtor."""
    for only, left_out in ((None, ["", ""]), ({"A"}, ["", "B"]), (set(), ["A", "B"])):
        named = None if only is None else frozenset(only)
        found = [BatchFilter(only=named).left_out(name, "") for name in "AB"]
        assert found == [reasons.DEBTOR_LEFT_OUT if each else "" for each in left_out]


def test_reasons_are_numbered_in_their_order() -> None:
    """0 means in; the first reason that holds has the lowest number."""
    assert [reasons.number(reasons.SCHEDULED), reasons.number(reasons.ZERO_TOTAL)] == [1, 21]
    assert reasons.IN == 0


def test_a_wording_belongs_to_a_regime_without_tax() -> None:
    """A debtor who is taxed again prints none."""
    own = {"A": DebtorTerms("A", "net:30", tax_wording="Art. 132")}
    (a,) = debtors(["A"], COMPANY, own, CUT_OFF)
    assert a.terms == STANDARD


def test_terms_hold_until_the_day_before_the_next_version() -> None:
    """Of several later versions the first."""
    versions = [
        TermsVersion(date(2026, month, 1), DebtorTerms("A", f"net:{month}")) for month in (9, 5, 7)
    ]
    change = change_terms("A", versions, {"time_group": "w"}, date(2026, 3, 1), CUT_OFF)
    assert (change.before, change.until) == (None, date(2026, 5, 1))
    assert change_terms("A", versions, {}, date(2026, 5, 1), CUT_OFF).until == date(2026, 7, 1)
    assert change_terms("A", versions, {}, date(2026, 9, 1), CUT_OFF).until is None
    assert "account_name" not in change.after.terms.values
    assert change.after.terms.values["time_group"] == "w"


def test_a_seller_without_a_name_is_named_by_its_id() -> None:
    """A document always names its seller."""
    assert COMPANY.seller["name"] == "acme"
    assert BillingCompany("acme", name="Acme Ltd").seller["name"] == "Acme Ltd"


def test_a_document_has_at_most_5000_tax_codes_and_rates() -> None:
    """More do not fit into its message."""
    part = TaxPart("", D(0), D(1), D(0))
    check_tax_parts([group("1", tax_parts=(part,) * 5_000)])
    with pytest.raises(Refused, match="5,001 tax codes"):
        check_tax_parts([group("1"), group("1", tax_parts=(part,) * 5_001)])
