"""What suppliers are paid for time: hours × pay rate of the engagement (msp.md 3.4)."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from services.fee_realizer.engagements.rules import EngagementState
from services.fee_realizer.sources.rules.facts import BillingCompany, Facts, Held, Line, Realized
from services.fee_realizer.sources.rules.timesheets import CitedPrice, realize_timesheet
from tests.builders import COMPANY, days, engagement, entry, timesheet
from tests.rules.test_fee_realizer_pricing import facts_with, version


def pays(price: str, since: str = "2020-01-01", *types: str, **terms: Any) -> dict[str, Any]:
    """Terms of an engagement from a day on, with one pay rate for some time types."""
    rates = [{"time_type": each, "pay_rate": price} for each in types or ("REG",)]
    return {"from_date": since, "supplier_rates": rates} | terms


def facts_of(*terms: dict[str, Any], **changes: Any) -> Facts:
    """REQ-1 at 50.00 an hour, and the engagement E-1 of the supplier S-1 with these terms."""
    known = EngagementState("E-1", engagement(terms=list(terms), **changes))
    facts = facts_with(version("50"), version("75", time_type="OT"))
    return replace(facts, engagements={"E-1": known})


def realized(facts: Facts, entries: list[dict[str, Any]], **cited: Any) -> tuple[Line, ...]:
    """Return the lines of the supplier's side of a timesheet of E-1."""
    result = realize_timesheet(timesheet(entries=entries, engagement_id="E-1"), facts, cited)
    assert isinstance(result, Realized), result
    return tuple(x for x in result.lines if x["engagement"].get("side") == "supplier")


def test_a_week_has_an_item_for_each_side() -> None:
    """The client's at the bill rate, the supplier's at its pay rate; the key tells them apart."""
    facts = facts_of(pays("40.125", supplier_option="pay", invoice_option="bill"))
    result = realize_timesheet(timesheet(engagement_id="E-1"), facts, {})
    assert isinstance(result, Realized)
    client, paid = result.lines
    assert (client["amount"], paid["amount"], paid["quantity"]) == ("2000", "1605", "40")
    assert (client["billing_company"], paid["billing_company"]) == (COMPANY, f"S-1@{COMPANY}")
    assert client["engagement"]["invoice_option"] == "bill"
    assert "side" not in client["engagement"]
    assert (paid["engagement"]["invoice_option"], paid["engagement"]["side"]) == (
        "pay", "supplier",
    )  # fmt: skip
    assert json.loads(paid["line_key"])[3] == "supplier@40.125"
    assert client["line_key"] != paid["line_key"]
    assert paid["derivation"]["formula"] == "40 × 40.125 = 1605.00"
    assert paid["derivation"]["rate"]["source"] == "engagement E-1"


def test_a_pay_rate_that_changes_on_a_wednesday_gives_two_items() -> None:
    """Terms hold from a work date on; terms without pay rates end them."""
    facts = facts_of(pays("40"), pays("42", "2026-03-04"), {"from_date": "2026-03-06"})
    lines = realized(facts, days("8", 5))
    assert [(x["quantity"], x["amount"], x["service_to"]) for x in lines] == [
        ("16", "640", "2026-03-03"), ("16", "672", "2026-03-05"),
    ]  # fmt: skip


def test_terms_that_change_something_else_give_one_item() -> None:
    """The pay rate names the item, not the day from which it is stated."""
    facts = facts_of(pays("40"), pays("40", "2026-03-04", supplier_option="other"))
    (line,) = realized(facts, days("8", 5))
    assert (line["amount"], line["engagement"]["invoice_option"]) == ("1600", "other")


def test_it_has_no_po_number_and_is_apart_by_the_clients() -> None:
    """A PO number is the client's; two of them leave two items, whose keys differ."""
    entries = [entry("8", "2026-03-02", po_number="PO-1"), entry("8", "2026-03-03", po_number="2")]
    lines = realized(facts_of(pays("40")), entries)
    assert [x.get("po_number", "") for x in lines] == ["", ""]
    assert len({x["line_key"] for x in lines}) == 2


def test_the_bill_rate_that_invoiced_lines_cite_is_not_its_concern() -> None:
    """The supplier's side follows the engagement, whatever the client's side cites."""
    cited = {("REQ-1", "REG"): CitedPrice(1)}
    result = realize_timesheet(timesheet(engagement_id="E-1"), facts_of(pays("40")), cited)
    assert isinstance(result, Realized)
    assert [x["amount"] for x in result.lines] == ["2000", "1600"]


def test_a_time_type_without_a_pay_rate_holds() -> None:
    """`no_supplier_rate`, as a missing bill rate does."""
    entries = [entry("8", "2026-03-02"), entry("2", "2026-03-02", "OT")]
    held = realize_timesheet(
        timesheet(entries=entries, engagement_id="E-1"), facts_of(pays("40")), {}
    )
    assert isinstance(held, Held) and held.code == "no_supplier_rate"
    assert "no pay rate for OT on 2026-03-02" in held.message
    assert len(realized(facts_of(pays("40", "2020-01-01", "REG", "OT")), entries)) == 2


def test_ids_that_are_too_long_together_hold() -> None:
    """An agreement's id is that of the supplier, an @, and that of the billing company."""
    held = realize_timesheet(
        timesheet(engagement_id="E-1"), facts_of(pays("40"), supplier_id="S" * 199), {}
    )
    assert isinstance(held, Held) and held.code == "supplier_id_too_long"


def test_an_agreement_bills_no_client() -> None:
    """A requirement, charge or assignment that names an agreement as its company waits."""
    facts = facts_of(pays("40"))
    agreement = f"S-1@{COMPANY}"
    named = replace(facts.requirements["REQ-1"], billing_company=agreement)
    companies = facts.companies | {agreement: BillingCompany(agreement, True)}
    held = realize_timesheet(
        timesheet(), replace(facts, requirements={"REQ-1": named}, companies=companies), {}
    )
    assert isinstance(held, Held) and held.code == "unknown_billing_company"


def test_without_pay_rates_there_is_one_side_only() -> None:
    """An engagement without pay rates is priced as ever, and so is time without an engagement."""
    facts = facts_of({"from_date": "2020-01-01", "supplier_option": "pay"})
    assert realized(facts, days()) == ()
    result = realize_timesheet(timesheet(), facts_of(pays("40")), {})
    assert isinstance(result, Realized) and len(result.lines) == 1
    assert Decimal(result.lines[0]["amount"]) == 2000


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"supplier_id": None, "terms": [pays("40")]}, "no_supplier"),
        ({"terms": [pays("40", "2020-01-01", "REG", "REG")]}, "rate_given_twice"),
    ],
)
def test_pay_rates_that_an_engagement_cannot_have(changes: dict[str, Any], code: str) -> None:
    """Pay rates are of a supplier, one for each time type."""
    with pytest.raises(ValidationError) as refused:
        engagement(**changes)
    assert [each["type"] for each in refused.value.errors()] == [code]
