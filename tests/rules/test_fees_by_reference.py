"""Random placements with plans, leavers and a retainer: the rules equal the slow reference.

The reference of the histories (`tests/histories/reference`) was written from domain-rules 2 and 12
without a line of the product.
"""

import json
import random
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

from services.fee_realizer.sources.rules.facts import (
    CatalogItem,
    Facts,
    GuaranteePart,
    Realized,
    RetainerState,
)
from services.fee_realizer.sources.rules.placements import realize_placement
from services.fee_realizer.sources.rules.retainers import (
    claim_retainer,
    realize_retainer,
    value_retainers,
)
from shared.events.ats import PlacementCreated, Retainer
from tests.builders import COMPANY, OFFICE, REQUIREMENT, WORKER, placement
from tests.histories.domain import PLANS
from tests.histories.reference.fees import GUARANTEE, Fees, instalments, retainer_line
from tests.histories.reference.pricing import Order
from tests.histories.reference.values import Line
from tests.rules.test_fee_realizer_pricing import facts_with, lines_of

FIRST_START = date(2026, 2, 20)
ROUNDS = 200


def facts_of(order: Order) -> Facts:
    """A product with a guarantee, and the requirement with its retainer."""
    guarantee = tuple(GuaranteePart(day, Decimal(percent)) for day, percent in GUARANTEE)
    facts = facts_with()
    facts.items["HIRE"] = CatalogItem("HIRE", True, "Hire", Decimal(1), "USD", guarantee=guarantee)
    facts.items["RETAINER"] = CatalogItem("RETAINER", True, percent_of_salary=Decimal(1))
    terms = {"item_id": "RETAINER", "amount": str(order.retainer), "refundable": order.refundable}
    retainer = Retainer.model_validate_json(json.dumps(terms | {"approved_on": "2020-01-01"}))
    facts.requirements[REQUIREMENT] = replace(facts.requirement(REQUIREMENT), retainer=retainer)
    facts.retainers[REQUIREMENT] = RetainerState()
    value_retainers(facts)
    return facts


def random_placement(draw: random.Random, placement_id: str) -> tuple[PlacementCreated, Fees]:
    """The same placement for both sides: up to two fees, maybe a last day."""
    start = FIRST_START + timedelta(days=draw.randrange(5))
    end = draw.choice([None, start + timedelta(days=draw.randrange(-1, 21))])
    drawn = [
        (draw.choice(["100.01", "333.333", "1000", "0"]), draw.choice(PLANS))
        for _ in range(draw.randrange(3))
    ]
    fees = [
        {
            "fee_id": f"F{at}",
            "item_id": "HIRE",
            "amount": amount,
            "plan": [{"share": share, "day": day} for share, day in plan],
        }
        for at, (amount, plan) in enumerate(drawn)
    ]
    event = placement(
        placement_id, start_date=str(start), end_date=end and str(end), salary=None, fees=fees
    )
    said = tuple(
        (f"F{at}", "HIRE", Decimal(amount), tuple((Decimal(share), day) for share, day in plan))
        for at, (amount, plan) in enumerate(drawn)
    )
    return event, Fees(1, REQUIREMENT, WORKER, start, "USD", said, end)


def as_expected(line: Line) -> tuple[object, ...]:
    """What both sides must agree on."""
    credit_on = line.credit_on and str(line.credit_on)
    return line.key, line.worth.quantity, line.worth.amount, str(line.effective), credit_on


def test_fees_and_retainers_equal_the_reference() -> None:
    """Each instalment, what the retainer is worth, and the dates of their credits."""
    draw = random.Random(14)
    compared = 0
    for _ in range(ROUNDS):
        order = Order(REQUIREMENT, COMPANY, OFFICE, "USD")
        order.retainer = Decimal(draw.choice(["0", "90.005", "500"]))
        order.refundable = draw.choice([True, False])
        facts = facts_of(order)
        both = {f"P{at}": random_placement(draw, f"P{at}") for at in range(draw.randrange(4))}
        placed = {placement_id: fees for placement_id, (_, fees) in both.items()}
        for event, _ in both.values():
            claim_retainer(event, facts)
        for placement_id, (event, _) in both.items():
            result = realize_placement(event, facts)
            assert isinstance(result, Realized)
            if result.retainer_use is not None:
                facts.retainers[REQUIREMENT].uses[placement_id] = result.retainer_use
            found = [
                (
                    line["line_key"],
                    Decimal(line["quantity"]),
                    Decimal(line["amount"]),
                    line["effective_date"],
                    line.get("credit_date"),
                )
                for line in result.lines
            ]
            assert found == [
                as_expected(one) for one in instalments(order, placed, placement_id)[0]
            ]
            compared += len(found)
        (line,) = lines_of(realize_retainer(REQUIREMENT, facts))
        _, _, amount, _, credit_on = as_expected(retainer_line(order, placed))
        assert (Decimal(line["amount"]), line.get("credit_date")) == (amount, credit_on)
    assert compared > ROUNDS
