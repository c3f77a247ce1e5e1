"""Retainers: pricing, settlement, batches, the health check and `verify` together.

A retainer is billed when its requirement is approved, and taken off the earliest instalments of the
fees of its placements. Source: domain-rules 2 and 12.
"""

import asyncio
import json
from datetime import date, timedelta
from typing import Any

import pytest

from shared.verify import verify
from tests.builders import COMPANY, command, node, placement, requirement
from tests.conftest import Configure, EngineOf, UnitOfWorkFor
from tests.in_process import Pipeline

START = date(2026, 3, 2)
HALVES = [{"share": "1", "day": 1}, {"share": "1", "day": 60}]
GUARANTEE = [
    {"until_day": until, "percent": percent}
    for until, percent in ((30, "100"), (60, "75"), (90, "50"))
]
APPROVED = {"from_date": "2026-02-02", "status": "Approved"}
FILLED = {"from_date": "2026-03-02", "status": "Filled", "position_type": "Perm"}

WITHOUT_COMPANY = ("set-catalog-item", "settle-retainer")


def day(number: int) -> date:
    """Return the date of a day of the placement; day 1 is the start."""
    return START + timedelta(days=number - 1)


class Firm:
    """A requirement with a retainer of 4,000.00 in a pipeline of all services."""

    def __init__(
        self, engine_of: EngineOf, unit_of_work_for: UnitOfWorkFor, configure: Configure
    ) -> None:
        self.engine_of, self.configure = engine_of, configure
        configure(today="2026-02-02")
        self.pipeline = Pipeline(unit_of_work_for)
        self.revisions: dict[str, int] = {}

    def next_revision(self, subject: str) -> int:
        """Return the next revision of a requirement or placement."""
        self.revisions[subject] = self.revisions.get(subject, 0) + 1
        return self.revisions[subject]

    async def open(self, **fee: Any) -> None:
        """Set up a billing company, two products and an office."""
        await self.tell("set-billing-company")
        await self.item("RETAINER", name="Retainer")
        await self.item("FEE", **{"name": "Direct hire", "amount": "12000.00"} | fee)
        self.pipeline.send("billto-changed", node())
        await self.pipeline.settle()

    async def item(self, item_id: str, **values: Any) -> None:
        """Set a catalog item; without an amount it has a percent, which a retainer ignores."""
        price: dict[str, Any] = {"percent_of_salary": "20"}
        if "amount" in values:
            price = {"currency": "USD", "plan": HALVES}
        await self.tell("set-catalog-item", item_id=item_id, **{"name": item_id} | price | values)

    async def require(
        self, amount: str | None = "4000.00", statuses: Any = (APPROVED,), **retainer: Any
    ) -> None:
        """Send the next revision of the requirement; with amount None it has no retainer."""
        terms = {"item_id": "RETAINER", "amount": amount} | retainer
        self.pipeline.send(
            "requirement-changed",
            requirement(
                revision=self.next_revision("REQ-1"),
                statuses=list(statuses),
                rates=[],
                **({"retainer": terms} if amount is not None else {}),
            ),
        )
        await self.pipeline.settle()

    async def place(
        self, placement_id: str = "P-1", fees: Any = ("FEE",), end: int | None = None, **more: Any
    ) -> None:
        """Send the next revision of a placement, with the day of the last work."""
        values = {
            "start_date": str(START),
            "end_date": None if end is None else str(day(end)),
            "fees": [
                {"fee_id": fee, "item_id": fee} if isinstance(fee, str) else fee for fee in fees
            ],
        }
        self.pipeline.send(
            "placement-created",
            placement(placement_id, self.next_revision(placement_id), **values | more),
        )
        await self.pipeline.settle()

    async def tell(self, kind: str, **values: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        company = {} if kind in WITHOUT_COMPANY else {"billing_company": COMPANY}
        sent = command(kind, **company | values)
        self.pipeline.send("operator-commands", sent)
        await self.pipeline.settle()
        return json.loads(self.pipeline.answers()[sent.command_id])  # type: ignore[no-any-return]

    async def bill(self, on: date | int) -> dict[str, Any]:
        """Generate a batch on a date, or on a day of the placement."""
        at = on if isinstance(on, date) else day(on)
        self.configure(today=at)
        return await self.tell("generate-batch", cut_off_date=str(at))

    async def findings(self, on: int = 200) -> dict[str, str]:
        """Return the messages of the health check about retainers, by code."""
        self.configure(today=day(on))
        answer = await self.tell("health-check", cut_off_date=str(day(on)))
        found = [each for each in answer["findings"] if "retainer" in each["code"]]
        assert all("backoffice retainers" in each["fix"] for each in found)
        return {each["code"]: each["message"] for each in found}

    async def codes(self, on: int = 200) -> set[str]:
        """Return the codes of the findings of the health check."""
        self.configure(today=day(on))
        answer = await self.tell("health-check", cut_off_date=str(day(on)))
        return {each["code"] for each in answer["findings"]}

    async def open_lines(self) -> list[tuple[str, str, str]]:
        """Return document, amount and effective date of the open lines."""
        return await self.rows(
            "SELECT p.document_id, trim_scale(p.amount)::text, p.effective_date::text"
            " FROM invoicer.open_line o JOIN invoicer.pay_line p USING (pay_line_id)"
            " ORDER BY p.document_kind DESC, p.effective_date, p.document_id, p.pay_line_id"
        )

    async def documents(self) -> list[tuple[str, str, str]]:
        """Return type, net and tax of the closed documents."""
        return await self.rows(
            "SELECT document_type, trim_scale(net)::text, trim_scale(tax)::text"
            " FROM invoicer.invoice ORDER BY number"
        )

    async def held(self) -> dict[str, str]:
        """Return kind and id, and the code, of each held document."""
        return dict(
            await self.rows(
                "SELECT document_kind || ' ' || document_id, hold_code"
                " FROM fee_realizer.held_document"
            )
        )

    async def check(self) -> None:
        """Check conservation and all else that `verify` knows."""
        async with self.engine_of("auditor").connect() as connection:
            assert (await verify(connection)).faults == ()

    async def rows(self, statement: str) -> list[Any]:
        """Return rows as the owner sees them."""
        async with self.engine_of("owner").connect() as connection:
            return [tuple(row) for row in await connection.exec_driver_sql(statement)]


@pytest.fixture
def firm(engine_of: EngineOf, unit_of_work_for: UnitOfWorkFor, configure: Configure) -> Firm:
    """A firm without any document."""
    return Firm(engine_of, unit_of_work_for, configure)


def invoices(*amounts: str) -> list[tuple[str, str, str]]:
    """Return closed documents without tax; a negative one is a credit note."""
    kinds = {True: "credit-note", False: "invoice"}
    return [(kinds[amount.startswith("-")], amount, "0") for amount in amounts]


async def test_an_invoiced_retainer_is_taken_off_the_earliest_instalments(firm: Firm) -> None:
    """Fee 12,000.00 in halves on day 1 and day 60, retainer 4,000.00 invoiced: 2,000.00 on day 1
    and 6,000.00 on day 60; three invoices, no credit note (domain-rules 12, row 7).
    """
    await firm.open()
    await firm.require()
    assert await firm.open_lines() == [("REQ-1", "4000", "2026-02-02")]
    await firm.bill(date(2026, 2, 10))
    await firm.place()
    assert await firm.open_lines() == [("P-1", "2000", str(day(1))), ("P-1", "6000", str(day(60)))]
    await firm.bill(1)
    await firm.bill(60)
    assert await firm.documents() == invoices("4000", "2000", "6000")
    assert await firm.findings() == {}
    await firm.check()


async def test_an_open_retainer_stays_and_is_billed(firm: Firm) -> None:
    """The same, open when the placement comes: it is billed, the fee is set off as well
    (domain-rules 12, row 8).
    """
    await firm.open()
    await firm.require()
    await firm.place()
    assert [line[:2] for line in await firm.open_lines()] == [
        ("REQ-1", "4000"), ("P-1", "2000"), ("P-1", "6000"),
    ]  # fmt: skip
    await firm.bill(60)
    assert await firm.documents() == invoices("12000")
    await firm.check()


async def test_the_order_of_arrival_changes_nothing(firm: Firm) -> None:
    """The placement first, then the requirement without its retainer, then with it."""
    await firm.open()
    await firm.place()
    await firm.require(None, statuses=(APPROVED, FILLED))
    assert [line[1] for line in await firm.open_lines()] == ["6000", "6000"]
    await firm.require(statuses=(APPROVED, FILLED))
    assert [line[1] for line in await firm.open_lines()] == ["4000", "2000", "6000"]
    await firm.bill(60)
    await firm.check()


@pytest.mark.parametrize("decision", ["credit", "keep", "by hand", "fee corrected"])
async def test_an_excess_is_a_finding_until_it_is_decided(firm: Firm, decision: str) -> None:
    """Retainer 4,000.00, fee 3,000.00: nothing to bill for the fee, and 1,000.00 are a finding
    (domain-rules 12, row 9).
    """
    await firm.open(amount="3000.00")
    await firm.require()
    await firm.bill(date(2026, 2, 10))
    await firm.place()
    assert await firm.open_lines() == []
    left = "1 retainer of which fees take less than the whole: REQ-1 1,000.00 USD"
    assert await firm.findings() == {"retainer_exceeds_fee": left}
    opened: list[str] = []
    if decision == "by hand":
        credit = {"line_no": 1, "quantity": "0.25"}
        ((number,),) = await firm.rows("SELECT invoice_number FROM invoicer.invoice")
        answer = await firm.tell(
            "credit-invoice", invoice_number=number, lines=[credit], to="write-off"
        )
    elif decision == "fee corrected":
        await firm.item("FEE", amount="5000.00")
        answer, opened = {"outcome": "accepted"}, ["1000"]
    else:
        answer = await firm.tell("settle-retainer", requirement_id="REQ-1", excess=decision)
        opened = ["-1000"] if decision == "credit" else []
    assert answer["outcome"] == "accepted", answer
    assert await firm.findings() == {}
    assert [line[1] for line in await firm.open_lines()] == opened
    await firm.bill(200)
    total = {"credit": 3000, "by hand": 3000, "keep": 4000, "fee corrected": 5000}[decision]
    assert sum(int(net) for _, net, _ in await firm.documents()) == total
    await firm.check()


async def test_a_decision_covers_less_when_a_fee_takes_more(firm: Firm) -> None:
    """1,000.00 credited; then the fee rises to 3,600.00: 600.00 of the credit are billed again."""
    await firm.open(amount="3000.00")
    await firm.require()
    await firm.place()
    await firm.bill(1)
    await firm.tell("settle-retainer", requirement_id="REQ-1", excess="credit")
    await firm.bill(2)
    await firm.item("FEE", amount="3600.00")
    await firm.bill(200)
    assert await firm.documents() == invoices("4000", "-1000", "600")
    again = await firm.tell("settle-retainer", requirement_id="REQ-1", excess="keep")
    assert (again["outcome"], again["code"]) == ("refused", "no_excess")
    await firm.check()


async def test_a_cancelled_requirement_is_a_finding(firm: Firm) -> None:
    """Cancelled after the retainer was invoiced: credited only by an operator (domain-rules 12,
    row 10).
    """
    await firm.open()
    await firm.require()
    await firm.bill(date(2026, 2, 10))
    assert await firm.findings() == {}
    cancelled = {"from_date": str(day(10)), "status": "Cancelled"}
    await firm.require(statuses=(APPROVED, cancelled))
    assert await firm.findings(on=9) == {}
    assert list(await firm.findings(on=10)) == ["retainer_without_placement"]
    assert await firm.open_lines() == []
    await firm.tell("settle-retainer", requirement_id="REQ-1", excess="credit")
    assert await firm.findings(on=10) == {}
    await firm.bill(10)
    assert await firm.documents() == invoices("4000", "-4000")
    await firm.check()


async def test_each_line_keeps_its_own_tax(firm: Firm) -> None:
    """Retainer billed at 20 % (800.00), fee later at 22 %: set off before tax, 2,000.00 + 440.00
    and 6,000.00 + 1,320.00 (domain-rules 12, row 15).
    """
    await firm.open()
    rates = [
        {"tax_code": "VAT", "from_date": since, "percent": percent}
        for since, percent in (("2020-01-01", "20"), ("2026-03-01", "22"))
    ]
    await firm.tell("set-billing-company", default_tax="VAT", taxes=rates)
    await firm.require()
    await firm.bill(date(2026, 2, 10))
    await firm.place()
    await firm.bill(1)
    await firm.bill(60)
    assert await firm.documents() == [
        ("invoice", "4000", "800"), ("invoice", "2000", "440"), ("invoice", "6000", "1320"),
    ]  # fmt: skip
    await firm.check()


@pytest.mark.parametrize(
    ("left", "refundable", "kept", "invoiced"),
    [
        (45, False, 4000, True),  # 9,000.00 are due back, and the instalments have 8,000.00
        (45, True, 3000, True),
        (20, True, 0, False),
    ],
)
async def test_a_guarantee_gives_the_retainer_back_last(
    firm: Firm, left: int, refundable: bool, kept: int, invoiced: bool
) -> None:
    """The base is the whole fee of 12,000.00; the retainer is credited last, if refundable
    (domain-rules 12, row 16).
    """
    await firm.open(guarantee=GUARANTEE)
    await firm.require(refundable=refundable)
    await firm.bill(date(2026, 2, 10))
    await firm.place()
    if invoiced:
        await firm.bill(60)
    await firm.place(end=left)
    opened = await firm.open_lines()
    credits = [line for line in opened if line[1].startswith("-")]
    assert {line[2] for line in credits} == {str(day(left))}
    await firm.bill(200)
    assert sum(int(net) for _, net, _ in await firm.documents()) == kept
    await firm.place()
    await firm.bill(201)
    assert sum(int(net) for _, net, _ in await firm.documents()) == 12000
    await firm.check()


@pytest.mark.parametrize("order", [("P-1", "P-2"), ("P-2", "P-1")])
async def test_two_placements_share_a_retainer(firm: Firm, order: tuple[str, str]) -> None:
    """The one that starts first takes it off; without its fees the other does."""
    await firm.open(amount="3000.00")
    await firm.require()
    starts = {"P-1": str(START), "P-2": str(day(8))}
    for placement_id in order:
        await firm.place(placement_id, start_date=starts[placement_id])
    assert [line[:2] for line in await firm.open_lines()] == [
        ("REQ-1", "4000"), ("P-2", "500"), ("P-2", "1500"),
    ]  # fmt: skip
    await firm.bill(60)
    await firm.bill(100)
    await firm.place("P-1", fees=())
    await firm.bill(101)
    assert sum(int(net) for _, net, _ in await firm.documents()) == 4000
    assert list(await firm.findings()) == ["retainer_exceeds_fee"]
    await firm.check()


@pytest.mark.parametrize("item_id", ["FEE", "RETAINER"])
async def test_placements_that_wait_do_not_queue_each_other(firm: Firm, item_id: str) -> None:
    """Both wait for an item and keep what they took; a revision of one is priced once."""
    await firm.open(amount="3000.00")
    await firm.require()
    await firm.place("P-1")
    await firm.place("P-2", start_date=str(day(8)))
    items: dict[str, dict[str, Any]] = {
        "FEE": {"name": "Direct hire", "amount": "3000.00"}, "RETAINER": {"name": "Retainer"},
    }  # fmt: skip
    await firm.item(item_id, **items[item_id], product_kind="non-placement")
    await firm.require("2000.00")
    assert (await firm.held()).keys() >= {"placement P-1", "placement P-2"}
    async with asyncio.timeout(30):
        await firm.place("P-1")
    assert await firm.rows("SELECT document_id FROM fee_realizer.pricing_queue") == []
    await firm.item(item_id, **items[item_id])
    assert [line[:2] for line in await firm.open_lines()] == [
        ("REQ-1", "2000"), ("P-2", "1500"), ("P-1", "1000"), ("P-2", "1500"),
    ]  # fmt: skip
    await firm.check()


async def test_several_fees_of_a_placement(firm: Firm) -> None:
    """The earliest instalment of any fee gives first; one in another currency gives nothing."""
    await firm.open(amount="5000.00")
    plan = [{"share": "1", "day": 30}]
    await firm.item("CHECK", name="Check", amount="600.00", plan=plan)
    await firm.item("ABROAD", name="Visa", amount="900.00", currency="EUR", plan=plan)
    await firm.require()
    await firm.place(fees=("CHECK", "FEE", "ABROAD"), currency=None, salary=None)
    assert [line[1:] for line in await firm.open_lines()] == [
        ("4000", "2026-02-02"), ("900", str(day(30))), ("1600", str(day(60))),
    ]  # fmt: skip
    await firm.place(fees=("CHECK", "ABROAD"), currency=None, salary=None)
    await firm.bill(60)
    assert sum(int(net) for _, net, _ in await firm.documents()) == 4900
    assert "3,400.00 USD" in (await firm.findings())["retainer_exceeds_fee"]
    await firm.check()


async def test_a_corrected_or_removed_retainer_is_settled(firm: Firm) -> None:
    """All is invoiced; the retainer becomes 5,000.00, then none: the total stays the fee."""
    await firm.open()
    await firm.require()
    await firm.place()
    await firm.bill(60)
    await firm.require("5000.00")
    assert [line[1] for line in await firm.open_lines()] == ["1000", "-1000"]
    await firm.bill(61)
    await firm.require(None)
    assert sorted(line[1] for line in await firm.open_lines()) == ["-1000", "-4000", "5000"]
    await firm.bill(62)
    assert sum(int(net) for _, net, _ in await firm.documents()) == 12000
    await firm.check()


async def test_a_placement_moves_to_another_requirement(firm: Firm) -> None:
    """Its fee is no longer set off; the next placement of the requirement takes the retainer."""
    await firm.open()
    await firm.require()
    self_standing = requirement("REQ-2", statuses=[FILLED], rates=[])
    firm.pipeline.send("requirement-changed", self_standing)
    await firm.place()
    await firm.place(requirement_id="REQ-2")
    await firm.place("P-2", start_date=str(day(2)))
    assert [line[:2] for line in await firm.open_lines()] == [
        ("REQ-1", "4000"), ("P-1", "6000"), ("P-2", "2000"), ("P-1", "6000"), ("P-2", "6000"),
    ]  # fmt: skip
    await firm.check()


async def test_a_retainer_waits_for_what_it_lacks(firm: Firm) -> None:
    """Its item, a placement product, an amount, the approval; its placement waits for the first
    three, and both are released when they arrive.
    """
    await firm.open()
    await firm.require(item_id="UNKNOWN", amount=None, statuses=())
    await firm.require("4000.00", item_id="LATER", statuses=())
    await firm.place()
    both = ("retainer REQ-1", "placement P-1")
    assert await firm.held() == dict.fromkeys(both, "unknown_catalog_item")
    await firm.item("LATER", product_kind="non-placement")
    assert await firm.held() == dict.fromkeys(both, "product_kind")
    await firm.item("LATER")
    assert await firm.held() == {"retainer REQ-1": "requirement_not_approved"}
    await firm.require(item_id="LATER", statuses=(FILLED,))
    assert await firm.held() == {}
    assert [line[1] for line in await firm.open_lines()] == ["4000", "2000", "6000"]
    await firm.check()


async def test_an_item_may_bring_the_amount_and_the_message_the_day(firm: Firm) -> None:
    """`approved_on` wins over the statuses; the amount of the catalog item fills in."""
    await firm.open()
    await firm.item("RETAINER", name="Retainer", amount="2500.00")
    self_approved = {"item_id": "RETAINER", "approved_on": "2026-01-20"}
    firm.pipeline.send(
        "requirement-changed", requirement(statuses=[FILLED], rates=[], retainer=self_approved)
    )
    await firm.pipeline.settle()
    assert await firm.open_lines() == [("REQ-1", "2500", "2026-01-20")]
    await firm.item("RETAINER", name="Retainer", amount="2600.00")
    assert await firm.open_lines() == [("REQ-1", "2600", "2026-01-20")]
    refused = await firm.tell("settle-retainer", requirement_id="REQ-9", excess="keep")
    assert (refused["outcome"], refused["code"]) == ("refused", "no_retainer")
