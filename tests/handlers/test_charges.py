"""Charges by event and by command through pricing, settlement, batches and `verify`."""

import json
from datetime import date
from typing import Any

import pytest

from services.fee_realizer.sources.handlers.commands import companies_of
from shared.verify import verify
from tests.builders import COMPANY, charge, command, days, entry, node, requirement, timesheet
from tests.conftest import Configure, EngineOf, UnitOfWorkFor
from tests.in_process import Pipeline

TODAY = date(2026, 3, 31)
FIELDS = {
    "billing_company": COMPANY,
    "charge_id": "EXP-2",
    "node_id": "office-1",
    "item_id": "TRAVEL",
    "quantity": "2",
    "price": "25.00",
    "currency": "EUR",
    "service_date": "2026-03-20",
}


class Firm:
    """A pipeline of all services, with a catalog item and an office."""

    def __init__(self, engine_of: EngineOf, unit_of_work_for: UnitOfWorkFor) -> None:
        self.engine_of, self.pipeline = engine_of, Pipeline(unit_of_work_for)

    async def send(self, topic: str, *events: Any) -> None:
        """Send events and let all services consume them."""
        self.pipeline.send(topic, *events)
        await self.pipeline.settle()
        await self.pipeline.sweep()

    async def tell(self, name: str, /, **fields: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        sent = command(name, **fields)
        await self.send("operator-commands", sent)
        return json.loads(self.pipeline.answers()[sent.command_id])  # type: ignore[no-any-return]

    async def bill(self) -> None:
        """Generate a batch of all that is due, and verify."""
        answer = await self.tell("generate-batch", billing_company=COMPANY, cut_off_date=str(TODAY))
        assert answer["outcome"] == "accepted", answer
        async with self.engine_of("auditor").connect() as connection:
            assert (await verify(connection)).faults == ()

    async def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        async with self.engine_of("owner").connect() as connection:
            found = await connection.exec_driver_sql(statement)
            return [tuple(row) for row in found]

    async def invoiced(self) -> list[tuple[Any, ...]]:
        """Return kind, currency, net and tax of the closed documents."""
        return await self.rows(
            "SELECT document_type, currency, trim_scale(net)::text, trim_scale(tax)::text"
            " FROM invoicer.invoice ORDER BY number"
        )


@pytest.fixture
def firm(engine_of: EngineOf, unit_of_work_for: UnitOfWorkFor, configure: Configure) -> Firm:
    """A firm without any document."""
    configure(today=TODAY)
    return Firm(engine_of, unit_of_work_for)


async def set_up(firm: Firm) -> None:
    """Set up a billing company with a tax, the item TRAVEL, and an office."""
    await firm.tell(
        "set-billing-company",
        billing_company=COMPANY,
        taxes=[{"tax_code": "VAT", "percent": "20", "from_date": "2020-01-01"}],
        default_tax="VAT",
    )
    await firm.tell(
        "set-catalog-item",
        item_id="TRAVEL", name="Travel", amount="1", currency="USD", product_kind="non-placement",
    )  # fmt: skip
    await firm.send("billto-changed", node())


async def test_an_expense_waits_for_its_facts_and_is_billed(firm: Firm) -> None:
    """Held until item and billing company are known, then 92.81 + 18.56 (domain-rules 12, row 17).

    A pure disbursement is outside the scope of tax: its item has a code of 0 %.
    """
    await firm.send("charge-added", charge())
    held = "SELECT hold_code FROM fee_realizer.held_document WHERE billing_company = 'acme-us'"
    assert await firm.rows(held) == [("unknown_billing_company",)]
    retry = command("retry-document", document_kind="charge", document_id="EXP-1")
    async with firm.engine_of("fee_realizer").connect() as connection:
        assert await companies_of(connection, retry) == {COMPANY}
    await set_up(firm)
    assert await firm.rows(held) == []
    await firm.bill()
    assert await firm.invoiced() == [("invoice", "USD", "92.81", "18.56")]
    outside = {"tax_code": "OUTSIDE", "percent": "0", "from_date": "2020-01-01"}
    await firm.tell("set-billing-company", billing_company=COMPANY, taxes=[outside])
    await firm.tell(
        "set-catalog-item",
        item_id="FILING", name="Filing fee", amount="1", currency="USD",
        product_kind="non-placement", tax_code="OUTSIDE",
    )  # fmt: skip
    await firm.tell(
        "add-charge", **FIELDS | {"item_id": "FILING", "quantity": "1", "price": "101.24"}
    )
    await firm.bill()
    assert ("invoice", "EUR", "101.24", "0") in await firm.invoiced()


async def test_a_charge_by_hand_is_corrected_by_settlement(firm: Firm) -> None:
    """A charge in another currency is a document of its own (domain-rules 12, row 18); a change is
    a difference.
    """
    await set_up(firm)
    await firm.send("charge-added", charge())
    added = await firm.tell("add-charge", **FIELDS)
    assert added["message"] == "charge EXP-2 is added"
    assert (await firm.tell("add-charge", **FIELDS))["message"] == "charge EXP-2 is unchanged"
    await firm.bill()
    assert await firm.invoiced() == [
        ("invoice", "EUR", "50", "10"),
        ("invoice", "USD", "92.81", "18.56"),
    ]
    changed = await firm.tell("add-charge", **FIELDS | {"quantity": "3"})
    assert changed["message"] == "charge EXP-2 is changed"
    await firm.bill()
    await firm.tell("add-charge", **FIELDS | {"cancelled": True})
    await firm.bill()
    assert [row[2] for row in await firm.invoiced() if row[1] == "EUR"] == ["50", "25", "-75"]


async def test_time_that_is_not_billable_has_no_value_until_it_is(firm: Firm) -> None:
    """3 h of 40 are not billable: 37 h (domain-rules 12, row 19); changed after the invoice: 3 h
    (row 20).
    """
    await set_up(firm)
    await firm.send("requirement-changed", requirement())
    worked = [*days("8", 4), entry("5", "2026-03-06")]
    free = entry("3", "2026-03-06")
    await firm.send("timesheet-approved", timesheet(entries=[*worked, free | {"billable": False}]))
    await firm.bill()
    await firm.send("timesheet-approved", timesheet(revision=2, entries=[*worked, free]))
    await firm.bill()
    assert [row[2] for row in await firm.invoiced()] == ["1850", "150"]
