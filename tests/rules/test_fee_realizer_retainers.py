"""Retainers without a database: what is taken off which instalment, and what is given back.

Source: domain-rules 2 and 12.
"""

import json
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.fee_realizer.requirements.rules import StatusFrom
from services.fee_realizer.sources.rules.facts import (
    CatalogItem,
    Facts,
    GuaranteePart,
    Held,
    Instalment,
    Realized,
    RetainerState,
)
from services.fee_realizer.sources.rules.placements import realize_placement
from services.fee_realizer.sources.rules.retainers import (
    claim_retainer,
    realize_retainer,
    value_retainers,
)
from shared.events.ats import Retainer
from tests.builders import REQUIREMENT, placement
from tests.rules.test_fee_realizer_pricing import facts_with, lines_of

START = date(2026, 3, 2)
GUARANTEE = tuple(
    GuaranteePart(day, Decimal(percent)) for day, percent in ((30, 100), (60, 75), (90, 50))
)


def facts_of(amount: str = "12000.00", days: tuple[int, ...] = (1, 60), **retainer: Any) -> Facts:
    """A requirement with a retainer of 4,000.00, approved 2026-02-02, and a fee in equal parts."""
    plan = tuple(Instalment(Decimal(1), day) for day in days)
    fee = CatalogItem("FEE", True, "Hire", Decimal(amount), "USD", plan=plan, guarantee=GUARANTEE)
    facts = facts_with(item=fee)
    facts.items["FEE"] = fee
    facts.items["RETAINER"] = CatalogItem("RETAINER", True, "Retainer", Decimal(1), "USD")
    values = {"item_id": "RETAINER", "amount": "4000.00", "approved_on": "2026-02-02"} | retainer
    terms = Retainer.model_validate_json(json.dumps(values))
    requirement = replace(facts.requirement(REQUIREMENT), retainer=terms)
    facts.requirements[REQUIREMENT] = requirement
    facts.retainers[REQUIREMENT] = RetainerState()
    value_retainers(facts)
    return facts


def hire(facts: Facts, placement_id: str = "P-1", **changes: Any) -> list[str]:
    """Price a placement with the fee, and return the amounts of its instalments."""
    values = {"start_date": str(START), "fees": [{"fee_id": "F", "item_id": "FEE"}]} | changes
    event = placement(placement_id, **values)
    claim_retainer(event, facts)
    result = realize_placement(event, facts)
    assert isinstance(result, Realized)
    if result.retainer_use is not None:
        facts.retainers[REQUIREMENT].uses[placement_id] = result.retainer_use
    return [line["amount"] for line in result.lines]


@pytest.mark.parametrize(
    ("fee", "days", "instalments", "excess"),
    [
        ("12000.00", (1, 60), ["2000", "6000"], 0),
        ("12000.00", (60, 1), ["6000", "2000"], 0),  # the earliest, not the first
        ("12000.00", (5, 5, 5), ["0", "4000", "4000"], 0),
        ("6000.00", (1, 30, 60), ["0", "0", "2000"], 0),
        ("4000.00", (1,), ["0"], 0),
        ("3000.00", (1, 60), ["0", "0"], 1000),
        ("0.00", (1,), [], 4000),
        ("-500.00", (1,), ["-500"], 4000),
    ],
)
def test_the_earliest_instalments_give_first(
    fee: str, days: tuple[int, ...], instalments: list[str], excess: int
) -> None:
    """No instalment falls below zero; what no fee takes is the excess."""
    facts = facts_of(fee, days)
    assert hire(facts) == instalments
    assert facts.retainers[REQUIREMENT].excess == excess


@pytest.mark.parametrize(
    ("day", "instalments", "refund"),
    [
        (20, ["0", "0"], 4000),
        (30, ["0", "0"], 4000),
        (31, ["0", "0"], 1000),
        (60, ["0", "0"], 1000),
        (61, ["2000", "0"], 0),
        (90, ["2000", "0"], 0),
        (91, ["2000", "6000"], 0),
        (0, ["0", "0"], 4000),
    ],
)
@pytest.mark.parametrize("refundable", [False, True])
def test_a_guarantee_takes_the_instalments_and_then_the_retainer(
    day: int, instalments: list[str], refund: int, refundable: bool
) -> None:
    """Of 12,000.00 are due back 100, 75 or 50 %; only a refundable retainer gives of its own."""
    facts = facts_of(refundable=refundable)
    last_day = START + timedelta(days=day - 1)
    assert hire(facts, end_date=str(last_day)) == instalments
    (line,) = lines_of(realize_retainer(REQUIREMENT, facts))
    kept = 4000 - refund if refundable else 4000
    assert line["amount"] == str(kept)
    assert ("credit_date" in line) is (kept < 4000)
    if kept < 4000:
        assert line["credit_date"] == str(last_day)


def test_placements_take_it_in_the_order_of_their_starts() -> None:
    """In whatever order they are priced; one without fees takes nothing."""
    facts = facts_of("3000.00", (1,))
    hire(facts, "P-2", start_date="2026-03-09")
    hire(facts, "P-1")
    state = facts.retainers[REQUIREMENT]
    assert (state.shares, state.excess) == ({"P-1": 3000, "P-2": 1000}, 0)
    hire(facts, "P-1", fees=[])
    assert (state.shares, state.excess) == ({"P-2": 3000}, 1000)


@pytest.mark.parametrize(("credited", "value"), [("0", "4000"), ("600", "3400"), ("5000", "3000")])
def test_an_operator_credits_at_most_the_excess(credited: str, value: str) -> None:
    """A decision of before covers what the excess is now, and no more."""
    facts = facts_of("3000.00")
    hire(facts)
    facts.retainers[REQUIREMENT].credited = Decimal(credited)
    (line,) = lines_of(realize_retainer(REQUIREMENT, facts))
    assert line["amount"] == value


def test_the_derivation_names_the_retainer() -> None:
    """A line says what the retainer took and what the guarantee took after it."""
    facts = facts_of()
    event = placement(
        fees=[{"fee_id": "F", "item_id": "FEE"}], start_date=str(START), end_date="2026-05-15"
    )
    claim_retainer(event, facts)
    first, second = lines_of(realize_placement(event, facts))
    assert first["derivation"]["formula"].endswith(
        "; retainer of REQ-1: 6000.00 − 4000.00 = 2000.00; guarantee: left on day 75, 50 % of the"
        " fee (6000.00) is due back: 2000.00 − 0.00 = 2000.00"
    )
    assert first["derivation"]["retainer"] == {"requirement": "REQ-1", "set_off": "4000"}
    assert "retainer" not in second["derivation"]
    (line,) = lines_of(realize_retainer(REQUIREMENT, facts))
    assert line["derivation"]["formula"] == "4000.00"
    assert (line["line_key"], line["description"]) == (
        '["p","retainer","RETAINER",1]', "Retainer · Registered Nurse",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "item", "code", "placement_waits"),
    [
        ({"item_id": "NEW"}, {}, "unknown_catalog_item", True),
        ({}, {"product_kind": "non-placement"}, "product_kind", True),
        ({"amount": None}, {"amount": None}, "no_price", True),
        ({"approved_on": None}, {}, "requirement_not_approved", False),
        ({}, {"valid_from": date(2026, 2, 3)}, "catalog_item_not_valid", False),
    ],
)
def test_what_a_retainer_waits_for(
    changes: dict[str, Any], item: dict[str, Any], code: str, placement_waits: bool
) -> None:
    """Without its amount the placement waits, too: its fee cannot be known."""
    facts = facts_of()
    terms = facts.requirement(REQUIREMENT).retainer
    assert terms is not None
    retainer = terms.model_copy(update=changes)
    facts.requirements[REQUIREMENT] = replace(
        facts.requirement(REQUIREMENT), retainer=retainer, statuses=()
    )
    facts.items["RETAINER"] = replace(facts.items["RETAINER"], **item)
    value_retainers(facts)
    held = realize_retainer(REQUIREMENT, facts)
    assert isinstance(held, Held)
    assert (held.code, "send" in held.message or "set" in held.message) == (code, True)
    event = placement(fees=[{"fee_id": "F", "item_id": "FEE"}])
    claim_retainer(event, facts)
    result = realize_placement(event, facts)
    assert isinstance(result, Held) is placement_waits


@pytest.mark.parametrize(
    ("statuses", "day"),
    [
        ((("2026-01-05", "Open"), ("2026-01-20", " APPROVED"), ("2026-02-01", "Filled")), 20),
        ((("2026-01-05", "Open"), ("2026-01-25", "filled")), 25),
    ],
)
def test_the_day_of_approval(statuses: tuple[tuple[str, str], ...], day: int) -> None:
    """The first status Approved or Filled, whatever comes later."""
    facts = facts_of(approved_on=None)
    facts.requirements[REQUIREMENT] = replace(
        facts.requirement(REQUIREMENT),
        statuses=tuple(StatusFrom(date.fromisoformat(at), name, "") for at, name in statuses),
    )
    (line,) = lines_of(realize_retainer(REQUIREMENT, facts))
    assert line["effective_date"] == str(date(2026, 1, day))
