"""What a timesheet still lacks: facts, approval steps, a requirement that can be billed."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from services.fee_realizer.requirements.rules import StatusFrom
from services.fee_realizer.sources.rules.facts import BillingCompany, Facts, Held, Realized
from services.fee_realizer.sources.rules.holds import missing_fact, missing_step, not_billable
from services.fee_realizer.sources.rules.timesheets import CitedPrice, realize_timesheet
from tests.builders import COMPANY, days, timesheet
from tests.rules.test_fee_realizer_pricing import facts_with, version

STEPS = ("submitted", "approved", "released", "interpreted", "reviewed")
STAMP = "2026-03-09T10:00:00Z"


def facts_of(**levels: str) -> Facts:
    """Return a requirement for each billing company, with the approval level of the company."""
    base = facts_with()
    requirements = {
        name: replace(base.requirements["REQ-1"], requirement_id=name, billing_company=name)
        for name in levels
    }
    companies = {name: BillingCompany(name, True, True, level) for name, level in levels.items()}
    return Facts(requirements, companies, {})


def code(held: Any) -> str | None:
    return held and held.code


@pytest.mark.parametrize(
    ("levels", "passed", "expected"),
    [
        ({"a": "approved"}, ["approved"], None),
        ({"a": "approved"}, ["submitted"], "not_approved"),
        ({"a": "reviewed"}, ["approved"], "not_submitted"),
        ({"a": "reviewed"}, STEPS, None),
        ({"a": "reviewed"}, STEPS[:1], "not_approved"),
        ({"a": "reviewed"}, STEPS[:2], "not_released"),
        ({"a": "reviewed"}, STEPS[:3], "not_interpreted"),
        ({"a": "reviewed"}, STEPS[:4], "not_reviewed"),
        ({"a": "approved", "b": "reviewed"}, ["approved"], "not_submitted"),
        ({"a": "reviewed", "b": "approved"}, ["approved"], "not_submitted"),
        ({"a": "approved", "b": "approved"}, ["approved"], None),
        ({}, ["approved"], None),
        ({}, [], "not_approved"),
    ],
)
def test_the_first_missing_step_holds(
    levels: dict[str, str], passed: list[str], expected: str | None
) -> None:
    """All steps if one of its billing companies reviews, else the approval alone."""
    one = timesheet(workflow={f"{step}_at": STAMP for step in passed})
    assert code(missing_step(one, list(levels), facts_of(**levels))) == expected


def test_an_imported_timesheet_passed_all_steps() -> None:
    """An imported row without stamps counts as approved and reviewed."""
    assert missing_step(timesheet(workflow=None), ["a"], facts_of(a="reviewed")) is None


def test_a_requirement_of_an_unknown_company_asks_for_approval_alone() -> None:
    """A billing company that is not known requires no further step."""
    facts = replace(facts_of(a="reviewed"), companies={})
    one = timesheet(workflow={"approved_at": STAMP})
    assert missing_step(one, ["a"], facts) is None


@pytest.mark.parametrize(
    ("status", "position", "since", "expected"),
    [
        ("Filled", "Temp", "2026-03-08", None),
        ("FILLED", " contract ", "2026-03-08", None),
        ("Open", "Temp", "2026-03-08", "requirement_not_filled"),
        ("Filled", "Perm", "2026-03-08", "position_type_not_billable"),
        ("Filled", "Temp", "2026-03-09", "requirement_not_filled"),
    ],
)
def test_the_status_on_the_week_ending_decides(
    status: str, position: str, since: str, expected: str | None
) -> None:
    """Filled, and Contract or Temp, both as of the week ending 2026-03-08."""
    statuses = (StatusFrom(date.fromisoformat(since), status, position),)
    facts = facts_with(statuses=statuses)
    held = not_billable(timesheet(week_ending="2026-03-08"), ["REQ-1"], facts)
    assert code(held) == expected


def test_the_message_names_the_status_that_was() -> None:
    """The hold tells which status there was, or that there was none."""
    for statuses, was in (
        ((StatusFrom(date(2020, 1, 1), "Closed", "Temp"),), "was Closed on"),
        ((), "had no status on"),
    ):
        held = not_billable(timesheet(), ["REQ-1"], facts_with(statuses=statuses))
        assert held is not None
        assert was in held.message


@pytest.mark.parametrize(
    ("company", "known", "expected"),
    [
        (BillingCompany(COMPANY, True), True, None),
        (BillingCompany(COMPANY, True), False, "unknown_requirement"),
        (BillingCompany(COMPANY, False), True, "unknown_billing_company"),
        (BillingCompany(COMPANY, True, False), True, "billing_company_disabled"),
        (None, True, "unknown_billing_company"),
    ],
)
def test_a_missing_fact_holds(
    company: BillingCompany | None, known: bool, expected: str | None
) -> None:
    """The requirement must be known, and its billing company known and enabled."""
    companies = {COMPANY: company} if company else {}
    facts = replace(facts_with(known=known), companies=companies)
    held = missing_fact(["REQ-1"], facts)
    assert code(held) == expected
    if held and expected != "unknown_requirement":
        assert f"billing company {COMPANY} of requirement REQ-1" in held.message


def test_the_second_requirement_is_looked_at_too() -> None:
    """A known requirement does not hide an unknown one after it."""
    assert code(missing_fact(["REQ-1", "REQ-2"], facts_with())) == "unknown_requirement"
    facts = facts_with()
    facts.requirements["REQ-2"] = replace(
        facts.requirements["REQ-1"], requirement_id="REQ-2", statuses=()
    )
    assert code(not_billable(timesheet(), ["REQ-1", "REQ-2"], facts)) == "requirement_not_filled"


def test_weeks_before_go_live_are_held_unless_they_were_loaded() -> None:
    """Another system billed them. A week that ends on the day, one whose billed lines were loaded,
    and a timesheet that was realized before are priced.
    """
    facts = facts_with(version("50.00"))
    sheet = timesheet(entries=days())  # the week ending 2026-03-08
    loaded = {("REQ-1", "REG"): CitedPrice(1)}
    for go_live, expected in ((date(2026, 3, 9), "before_go_live"), (date(2026, 3, 8), None)):
        facts.companies[COMPANY] = BillingCompany(COMPANY, True, go_live=go_live)
        found = realize_timesheet(sheet, facts, {}, is_new=True)
        assert (found.code if isinstance(found, Held) else None) == expected
        assert isinstance(realize_timesheet(sheet, facts, loaded, is_new=True), Realized)
        assert isinstance(realize_timesheet(sheet, facts, {}), Realized)
