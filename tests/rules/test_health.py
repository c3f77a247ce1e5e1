"""The health check: each rule finds its problem, names ids and a fix."""

from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest

from services.invoicer.batches.rules.health import RULES, findings, refusal
from services.invoicer.batches.rules.health_snapshot import MOST_IDS, CountedIds, HealthSnapshot
from services.invoicer.batches.rules.ledgers import LedgerConnection
from services.invoicer.debtors.rules.companies import BillingCompany
from services.invoicer.invoices.rules.numbers import Series

VALID_COMPANY = BillingCompany("acme", name="Acme", address="1 Main St", tax_id="T", bank="IBAN")
TODAY = date(2026, 8, 15)


def snapshot(**changes: Any) -> HealthSnapshot:
    values: dict[str, Any] = {
        "company": VALID_COMPANY,
        "today": TODAY,
        "cut_off": TODAY,
        "series": Series("INV-", 6),
        "documents": 1,
    }
    return HealthSnapshot(**(values | changes))


def test_nothing_is_found_when_all_is_well() -> None:
    """A company without problems has no findings."""
    assert findings(snapshot()) == []


CASES: list[tuple[str, str, str, dict[str, Any]]] = [
    (
        "company_disabled",
        "error",
        "billing_company",
        {"company": BillingCompany("acme", False, "Acme", "1 Main St", "T", "IBAN")},
    ),
    (
        "default_time_group_unknown",
        "error",
        "billing_company",
        {"company": BillingCompany("acme", True, "A", "B", "C", "D", default_time_group="weekly")},
    ),
    ("debtor_parked", "error", "debtor", {"parked": {"Mercy": "time group weekly does not exist"}}),
    (
        "waits_for_timesheets",
        "warning",
        "debtor",
        {"waiting": {"Mercy": "waits for timesheets: 14 of 16 in"}},
    ),
    ("no_account_name", "error", "line", {"lines": {"no_account_name": {"office-9": 3}}}),
    ("unknown_node", "error", "line", {"lines": {"unknown_node": {"office-7": 2}}}),
    ("no_tax_rate", "error", "line", {"lines": {"no_tax_rate": {"VAT": 4}}}),
    (
        "two_invoice_options",
        "error",
        "debtor",
        {"counts": {"two_invoice_options": CountedIds(1, ("Mercy (US, again)",))}},
    ),
    *(
        (code, "error", "line", {"counts": {code: CountedIds(2, ("17", "18"))}})
        for code in ("option_does_not_fit", "no_invoice_option", "not_visible")
    ),
    (
        "step_without_approver",
        "warning",
        "billing_company",
        {"counts": {"step_without_approver": CountedIds(1, ("W, two (role:controller)",))}},
    ),
    (
        "approver_field_empty",
        "warning",
        "line",
        {"counts": {"approver_field_empty": CountedIds(1, ("E-1 (manager)",))}},
    ),
    ("seller_details_missing", "warning", "billing_company", {"company": BillingCompany("acme")}),
    (
        "number_outgrows_width",
        "warning",
        "batch",
        {"series": Series("A", 1, next_number=9), "documents": 2},
    ),
    (
        "ledger_not_well",
        "warning",
        "billing_company",
        {"ledgers": (LedgerConnection("gl-us", "stopped", message="the token is dead"),)},
    ),
    (
        "ledger_mapping_missing",
        "error",
        "billing_company",
        {"unmapped": {"gl-us": ["account REG", "tax VAT"], "others": []}},
    ),
    (
        "ledger_code_unusable",
        "error",
        "billing_company",
        {"unusable": {"gl-us": ["Xero has no account 400"], "others": []}},
    ),
    (
        "ledger_tax_basis",
        "warning",
        "billing_company",
        {"ledgers": (LedgerConnection("gl-us", "connected", tax_basis="document"),)},
    ),
    (
        "parent_of_wrong_level",
        "warning",
        "debtor",
        {"counts": {"parent_of_wrong_level": CountedIds(1, ("office-1",))}},
    ),
    (
        "parent_unknown",
        "warning",
        "debtor",
        {"counts": {"parent_unknown": CountedIds(1, ("office-1",))}},
    ),
    (
        "one_name_two_addresses",
        "warning",
        "debtor",
        {"counts": {"one_name_two_addresses": CountedIds(1, ("Mercy",))}},
    ),
    (
        "retainer_exceeds_fee",
        "warning",
        "document",
        {"retainers": {"retainer_exceeds_fee": {"REQ-1": "1,000.00 USD"}}},
    ),
    (
        "retainer_without_placement",
        "warning",
        "document",
        {"retainers": {"retainer_without_placement": {"REQ-1": "4,000.00 USD"}}},
    ),
    ("leaver", "warning", "document", {"counts": {"leaver": CountedIds(1, ("P-1",))}}),
    (
        "account_names_look_alike",
        "warning",
        "debtor",
        {"look_alikes": [("Mercy", "Мercy")]},
    ),
    (
        "held_documents",
        "warning",
        "document",
        {"held": {"no_bill_rate": CountedIds(2, ("T-1", "T-2"))}},
    ),
    (
        "realizations_in_flight",
        "warning",
        "document",
        {"counts": {"realizations_in_flight": CountedIds(1, ("T-1",))}},
    ),
    (
        "to_be_priced",
        "warning",
        "document",
        {"counts": {"to_be_priced": CountedIds(1, ("T-1",))}, "waits_for_price": 2_525},
    ),
    (
        "dead_letters_open",
        "warning",
        "document",
        {"counts": {"dead_letters_open": CountedIds(1, ("1",))}},
    ),
    (
        "edit_meets_revision",
        "warning",
        "line",
        {"counts": {"edit_meets_revision": CountedIds(1, ("17",))}},
    ),
    ("rate_impact", "warning", "document", {"counts": {"rate_impact": CountedIds(1, ("T-1",))}}),
    (
        "worker_day_on_two_requirements",
        "warning",
        "line",
        {"counts": {"worker_day_on_two_requirements": CountedIds(1, ("W-1 2026-03-02",))}},
    ),
    ("cut_off_in_future", "warning", "batch", {"cut_off": date(2026, 8, 16)}),
    ("snoozed_lines", "info", "line", {"counts": {"snoozed_lines": CountedIds(1, ("17",))}}),
    ("very_late_lines", "info", "line", {"counts": {"very_late_lines": CountedIds(1, ("17",))}}),
    (
        "debtor_in_two_currencies",
        "info",
        "debtor",
        {"counts": {"debtor_in_two_currencies": CountedIds(1, ("Mercy",))}},
    ),
    ("zero_total", "info", "debtor", {"counts": {"zero_total": CountedIds(1, ("Mercy",))}}),
    (
        "nodes_without_lines",
        "info",
        "debtor",
        {"counts": {"nodes_without_lines": CountedIds(1631)}},
    ),
    ("nothing_to_bill", "info", "batch", {"documents": 0}),
]


@pytest.mark.parametrize(
    ("code", "severity", "about", "changes"), CASES, ids=[case[0] for case in CASES]
)
def test_each_rule_finds_its_own(
    code: str, severity: str, about: str, changes: dict[str, Any]
) -> None:
    """Each finding has a severity, a code, a message, and a fix."""
    (found,) = findings(snapshot(**changes))
    assert (found.code, found.severity, found.about) == (code, severity, about)
    assert found.message
    assert found.fix


def test_every_rule_is_tried() -> None:
    """Each rule has a case that triggers it."""
    assert len(CASES) == len(RULES)


def test_errors_come_first_and_ids_are_limited() -> None:
    """At most `MOST_IDS` ids; the count says how many there are."""
    found = findings(
        snapshot(
            company=BillingCompany("acme"),
            documents=0,
            lines={"no_account_name": {f"office-{at:02}": 2 for at in range(40)}},
        )
    )
    assert [each.severity for each in found] == ["error", "warning", "info"]
    assert len(found[0].ids) == MOST_IDS
    assert found[0].count == 80


def test_only_an_error_about_the_company_refuses_the_batch() -> None:
    """An error about the billing company refuses the batch.

    An error about a line excludes the line, one about a debtor parks the debtor.
    """
    assert (
        refusal(
            findings(snapshot(lines={"no_account_name": {"office-9": 3}}, parked={"Mercy": "why"}))
        )
        is None
    )
    stop = refusal(findings(snapshot(company=BillingCompany("acme", False))))
    assert stop is not None
    assert stop.code == "company_disabled"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 seconds"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "1 minute"),
        (3_599, "59 minutes"),
        (3_600, "1 hour"),
        (86_399, "23 hours"),
        (86_400, "1 day"),
        (172_800, "2 days"),
    ],
)
def test_the_age_of_the_oldest_wait_is_named(seconds: int, text: str) -> None:
    """A document that waits to be priced again names its age in the largest unit that it fills."""
    (found,) = findings(
        snapshot(counts={"to_be_priced": CountedIds(3, ("T-1",))}, waits_for_price=seconds)
    )
    assert f"3 documents to be priced again, the oldest for {text}: " in found.message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"series": Series("A", 1, next_number=9), "documents": 2},
            "would be A10, more than the 1",
        ),
        ({"parked": {"Mercy": "why"}}, "Mercy: why"),
        ({"parked": {"Mercy": "why", "St. Anne": "why"}}, "2 debtors: why"),
        ({"counts": {"leaver": CountedIds.all("ABCDEFG")}}, "falls due: A, B, C, D, E"),
    ],
)
def test_a_finding_names_what_it_found(changes: dict[str, Any], message: str) -> None:
    """The last number of the batch, one debtor or how many, and the first five ids."""
    (found,) = findings(snapshot(**changes))
    assert message in found.message
    assert not found.message.endswith(", F")


def test_a_finding_about_one_thing_counts_one() -> None:
    """It has the id of what it is about, if that has one."""
    (stopped,) = findings(snapshot(company=VALID_COMPANY, documents=0))
    assert (stopped.count, stopped.ids) == (1, ())
    (disabled,) = findings(
        snapshot(company=BillingCompany("acme", False, "Acme", "1 Main St", "T", "IBAN"))
    )
    assert (disabled.count, disabled.ids) == (1, ("acme",))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, ""),
        ({"state": "disconnected", "check_failed": True}, "it is disconnected"),
        ({"state": "stopped", "circuit_open": True}, "it is stopped: why"),
        ({"state": "login refused"}, "its login is refused: why"),
        ({"circuit_open": True, "check_failed": True}, "it does not answer and is retried later"),
        ({"check_failed": True}, "its last check failed: why"),
    ],
)
def test_what_is_wrong_with_a_ledger(changes: dict[str, Any], problem: str) -> None:
    """The first that holds: disconnected, stopped, without an answer, a failed check."""
    connection = LedgerConnection(
        **({"ledger": "a", "state": "connected", "message": "why"} | changes)
    )
    assert connection.problem.startswith(problem)
    assert bool(connection.problem) is bool(problem)


def test_counted_ids_are_those_of_the_rows() -> None:
    """The rows are the first ids, each with the number of all; no rows are none."""
    rows = [SimpleNamespace(id=name, number=40) for name in "ab"]
    assert CountedIds.of(rows) == CountedIds(40, ("a", "b"))
    assert CountedIds.of(rows[:1]) == CountedIds(40, ("a",))
    assert CountedIds.of([]) == CountedIds()
