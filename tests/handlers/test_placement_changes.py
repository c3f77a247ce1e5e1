"""A placement that is cancelled or corrected by a new revision, or has several fees.

All goes through settlement: open lines are replaced, the difference to what is invoiced is billed
or credited. Source: domain-rules 2 and 5; brightmove (one-time and scheduled catalog items).
"""

from typing import Any

import pytest

from tests.handlers.test_retainers import FILLED, Firm, day, firm

__all__ = ["firm"]
FEE: dict[str, Any] = {"fee_id": "FEE", "item_id": "FEE"}
CHECK = {"fee_id": "CHECK", "item_id": "CHECK"}
THIRDS = [{"share": "1", "day": at} for at in (1, 60, 90)]
# What the next revision changes, how many halves are invoiced, the open lines after it (amount and
# day), and the total in the end. The fee is 12,000.00 in halves on day 1 and day 60.
CASES: dict[str, tuple[dict[str, Any], int, list[tuple[str, int]], int]] = {
    "cancelled before any invoice": ({"fees": []}, 0, [], 0),
    "cancelled after the first half": ({"fees": []}, 1, [("-6000", 1)], 0),
    "cancelled after both": ({"fees": []}, 2, [("-6000", 1), ("-6000", 60)], 0),
    "the amount is corrected": (
        {"fees": [FEE | {"amount": "9000.00"}]}, 1, [("-1500", 1), ("4500", 60)], 9000,
    ),
    "another plan": (
        {"fees": [FEE | {"plan": THIRDS}]}, 1, [("-2000", 1), ("4000", 60), ("4000", 90)], 12000,
    ),
    "one instalment": (
        {"fees": [FEE | {"plan": [{"share": "1", "day": 1}]}]}, 2, [("6000", 1), ("-6000", 60)],
        12000,
    ),
    "it starts a week later": ({"start_date": str(day(8))}, 1, [("6000", 67)], 12000),
    "a fee is added": ({"fees": [FEE, CHECK]}, 2, [("600", 1)], 12600),
    "a fee takes the place of another": (
        {"fees": [CHECK]}, 2, [("-6000", 1), ("600", 1), ("-6000", 60)], 600,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
async def test_a_revision_of_a_placement_is_settled(firm: Firm, case: str) -> None:
    """The total is that of the last revision, whatever was invoiced before it."""
    changes, invoiced, expected, total = CASES[case]
    await firm.open()
    await firm.item("CHECK", name="Check", amount="600.00", plan=[{"share": "1", "day": 1}])
    await firm.require(None, statuses=[FILLED])
    await firm.place()
    for on in (1, 60)[:invoiced]:
        await firm.bill(on)
    await firm.place(**changes)
    opened = await firm.open_lines()
    assert sorted((amount, at) for _, amount, at in opened) == sorted(
        (amount, str(day(at))) for amount, at in expected
    )
    await firm.bill(200)
    assert sum(int(net) for _, net, _ in await firm.documents()) == total
    await firm.check()


async def test_a_snoozed_instalment_is_no_leaver(firm: Firm) -> None:
    """Without a guarantee an open instalment after the end is a finding, until an operator decides:
    he snoozes it, or a batch bills it.
    """
    await firm.open()
    await firm.require(None, statuses=[FILLED])
    await firm.place(end=40)
    assert "leaver" in await firm.codes()
    ((line,),) = await firm.rows(
        f"SELECT pay_line_id FROM invoicer.pay_line WHERE effective_date = '{day(60)}'"
    )
    await firm.tell("snooze-pay-lines", pay_line_ids=[line])
    assert "leaver" not in await firm.codes()
    await firm.tell("release-pay-lines", pay_line_ids=[line])
    assert "leaver" in await firm.codes()
    await firm.bill(60)
    assert "leaver" not in await firm.codes()
