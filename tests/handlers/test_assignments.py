"""Assignments from the command to pay lines and documents, on a real database."""

from datetime import date, timedelta
from typing import Any

from services.console.queries import explanations, history
from services.console.queries.assignments import assignments
from services.console.queries.snapshot import open_snapshot
from services.fee_realizer.assignments.handlers import realizing
from shared.verify import verify
from tests.builders import COMPANY, command, node, placement, requirement
from tests.handlers.assigned import HEADS, RENT, AssigningFirm, firm

__all__ = ["firm"]
QUARTERLY = {"monthly_day": None, "quarterly_day": 15, "until_date": None}
ONCE = {"monthly_day": None, "from_date": None, "until_date": None, "price": None, "currency": None}


def amounts(price: str, *days: str) -> list[tuple[str, str]]:
    """Return the same amount on days of 2026."""
    return [(f"2026-{day}", price) for day in days]


async def test_a_monthly_assignment_is_scheduled_ahead_and_a_later_price_reprices_it(
    firm: AssigningFirm,
) -> None:
    """500.00 monthly on day 31 from 01-31 until 06-30 (domain-rules 12, row 1).

    550.00 from 04-15, after 03-31 was invoiced: it stays, nothing is credited (row 2).
    """
    answer = await firm.set()
    assert answer["message"] == (
        "assignment A-1 is set: 500 USD of RENT at office-1, monthly on day 31 from 2026-01-31"
        " until 2026-06-30; due 2026-01-31, 2026-02-28, 2026-03-31 ..."
    )
    every = amounts("500", "01-31", "02-28", "03-31", "04-30", "05-31", "06-30")
    assert await firm.open_lines() == every
    await firm.bill()
    assert await firm.invoiced() == [], "nothing is due on 2026-01-15"
    await firm.day(date(2026, 4, 1))
    await firm.bill()
    assert await firm.invoiced() == [("invoice", "USD", "1500", "0")]
    assert await firm.open_lines() == every[3:]
    assert (await firm.set())["message"] == "assignment A-1 is unchanged"
    answer = await firm.set(price="550.00", from_date="2026-04-15")
    assert answer["details"]["invoiced"] == []
    assert await firm.open_lines() == amounts("550", "04-30", "05-31", "06-30")
    await firm.day(date(2026, 7, 1))
    await firm.bill()
    assert [row[2] for row in await firm.invoiced()] == ["1500", "1650"]


async def test_an_earlier_price_is_credited_and_billed_again_when_it_is_confirmed(
    firm: AssigningFirm,
) -> None:
    """480.00 from 03-01, confirmed: 03-31 is credited and billed (domain-rules 12, row 3)."""
    await firm.set()
    await firm.day(date(2026, 4, 1))
    await firm.bill()
    answer = await firm.set(price="480.00", from_date="2026-03-01")
    assert "1 to confirm if the amount differs" in answer["message"]
    assert await firm.open_lines() == amounts("480", "04-30", "05-31", "06-30")
    found = await firm.tell("health-check", billing_company=COMPANY, cut_off_date="2026-04-01")
    findings = {each["code"]: each["ids"] for each in found["findings"]}
    assert findings["rate_impact"] == ["A-1@2026-03-31"]
    assert [row["unconfirmed"] for row in await listed(firm)] == [0, 1]
    fields = {"assignment_id": "A-1", "from_date": "2026-03-01", "reason": "agreed"}
    shown = await firm.tell("confirm-assignment", **fields, preview=True)
    assert shown["details"]["totals"][0]["net"] == "-20.00"
    assert shown["details"]["occurrences"][0]["invoice_number"] == "INV-000001"
    assert len(await firm.open_lines()) == 3, "a preview writes nothing"
    confirmed = await firm.tell("confirm-assignment", **fields)
    assert "1 occurrence, 500.00 to 480.00 USD" in confirmed["message"]
    assert (await firm.open_lines())[:2] == [("2026-03-31", "-500"), ("2026-03-31", "480")]
    assert (await firm.tell("confirm-assignment", **fields))["code"] == "nothing_to_confirm"
    await firm.bill()
    assert [row[:3] for row in await firm.invoiced()] == [
        ("invoice", "USD", "1500"),
        ("invoice", "USD", "480"),
        ("credit-note", "USD", "-500"),
    ]
    # What was confirmed stays confirmed when the terms change again without another price.
    await firm.set(price="480.00", from_date="2026-03-01", text="Office")
    await firm.verified()
    assert len(await firm.open_lines()) == 3


async def test_a_batch_that_closes_meanwhile_keeps_its_price(firm: AssigningFirm) -> None:
    """A new price, or an end, that was computed before a batch closed credits nothing."""
    await firm.set()
    await firm.day(date(2026, 2, 1))
    price = RENT | {"price": "480.00", "from_date": "2026-01-31"}
    under_way = await firm.pipeline.tell(
        "fee_realizer", "operator-commands", command("set-assignment", **price)
    )
    await firm.bill()
    firm.pipeline.under_way.extend(under_way)
    await firm.pipeline.settle()
    await firm.pipeline.sweep()
    later = amounts("480", "02-28", "03-31", "04-30", "05-31", "06-30")
    assert await firm.open_lines() == later
    assert [row["unconfirmed"] for row in await listed(firm)] == [1]
    await firm.day(date(2026, 3, 1))
    ended = command("end-assignment", assignment_id="A-1", last_date="2026-01-31")
    under_way = await firm.pipeline.tell("fee_realizer", "operator-commands", ended)
    await firm.bill()
    firm.pipeline.under_way.extend(under_way)
    await firm.pipeline.settle()
    await firm.pipeline.sweep()
    assert await firm.open_lines() == []
    assert [row[2] for row in await firm.invoiced()] == ["500", "480"]
    await firm.verified()


async def test_quarters_single_dates_plans_and_the_node_that_is_billed(
    firm: AssigningFirm,
) -> None:
    """Quarterly on day 15 from 02-15 (domain-rules 12, row 4); a price keeps the quarters.

    The office has an Account Name of its own: the node that is named is billed, or the nearest
    above it (row 5). Without a price the item's amount is taken; a plan divides an occurrence.
    """
    await firm.send(
        "billto-changed",
        node("group", "company", account_name="GROUP"),
        node("client", "client", account_name="", parent_id="group"),
        node("office-1", revision=2, account_name="OFFICE", parent_id="client"),
    )
    await firm.set(**QUARTERLY, from_date="2026-02-15", node_id="client")
    assert await firm.open_lines() == amounts("500", "02-15", "05-15", "08-15", "11-15")
    await firm.set(**QUARTERLY, from_date="2026-07-01", price="600", node_id="client")
    later = amounts("600", "08-15", "11-15")
    assert (await firm.open_lines())[2:] == later
    await firm.day(date(2026, 2, 15))
    await firm.bill()
    client = node("client", "client", revision=2, account_name="CLIENT", parent_id="group")
    await firm.send("billto-changed", client)
    await firm.day(date(2026, 5, 15))
    await firm.bill()
    names = await firm.rows("SELECT account_name FROM invoicer.invoice ORDER BY number")
    assert names == [("GROUP",), ("CLIENT",)]
    plan = [{"share": "1", "day": 1}, {"share": "1", "day": 31}]
    once = ONCE | {"assignment_id": "A-2", "plan": plan}
    await firm.set(**once, on_date="2026-06-01")
    assert (await firm.open_lines())[:2] == amounts("225", "06-01", "07-01")
    await firm.set(**once, on_date="2026-06-02")
    next_year = [("2027-02-15", "600"), ("2027-05-15", "600")]
    expected = sorted([*amounts("225", "06-02", "07-02"), *later, *next_year])
    assert await firm.open_lines() == expected, "it is due once, on the other date"
    await firm.verified()


async def test_products_and_commands_are_refused_where_they_do_not_belong(
    firm: AssigningFirm,
) -> None:
    """The message names the item and what it may be used for (domain-rules 12, row 6).

    A refusal stores nothing.
    """
    refused = await firm.set(item_id="DIRECT-HIRE")
    assert (refused["outcome"], refused["code"]) == ("refused", "product_kind")
    assert refused["message"] == (
        "catalog item DIRECT-HIRE is a placement product: it can be a fee of a placement"
    )
    tries = {
        "unknown_billing_company": {"billing_company": "nobody"},
        "unknown_catalog_item": {"item_id": "NOTHING"},
        "nothing_due": {"from_date": "2026-02-01", "until_date": "2026-02-10"},
    }
    for code, changes in tries.items():
        assert (await firm.set(**changes))["code"] == code
    end = {"assignment_id": "A-1", "last_date": "2026-03-01"}
    assert (await firm.tell("end-assignment", **end))["code"] == "unknown_assignment"
    assert await firm.rows("SELECT 1 FROM fee_realizer.assignment") == []
    await firm.set()
    await firm.tell("set-billing-company", billing_company="acme-eu")
    assert (await firm.set(billing_company="acme-eu"))["code"] == "other_billing_company"
    assert (await firm.set(currency="EUR"))["code"] == "other_currency"
    assert len(await firm.rows("SELECT 1 FROM fee_realizer.assignment_version")) == 1
    await firm.send("requirement-changed", requirement())
    await firm.send("placement-created", placement(fees=[{"fee_id": "F-1", "item_id": "RENT"}]))
    held = await firm.rows("SELECT hold_code, hold_message FROM fee_realizer.held_document")
    assert held[0][0] == "product_kind"
    assert "RENT is a non-placement product: it can be assigned to a company" in held[0][1]
    # The item becomes a placement product: its occurrences are held, and released.
    item = {"item_id": "RENT", "name": "Office rent", "amount": "450.00", "currency": "USD"}
    await firm.tell("set-catalog-item", **item)
    assert {row[2] for row in await firm.rows(HEADS)} == {"product_kind"}
    assert [row["held"] for row in await listed(firm)] == [6]
    why = await firm.tell("explain", document_id="A-1")
    assert why["details"]["reason"] == "product_kind"
    await firm.tell("set-catalog-item", **item, product_kind="non-placement")
    assert len(await firm.open_lines()) == 6
    await firm.tell("set-billing-company", billing_company=COMPANY, enabled=False)
    assert (await firm.set())["code"] == "billing_company_disabled"
    assert {row[2] for row in await firm.rows(HEADS)} == {"billing_company_disabled"}
    await firm.verified()


async def test_an_end_withdraws_what_is_open_and_due_later(firm: AssigningFirm) -> None:
    """What is invoiced stays, and is named; setting it again resumes it."""
    await firm.set()
    await firm.day(date(2026, 4, 1))
    await firm.bill()
    end = {"assignment_id": "A-1", "last_date": "2026-03-01", "reason": "moved out"}
    ended = await firm.tell("end-assignment", **end)
    assert (
        "ends on 2026-03-01; of what it changes, 1 occurrence on documents: 1 no longer due"
        in (ended["message"])
    )
    assert ended["details"]["invoiced"][0]["invoices"] == ["INV-000001"]
    assert await firm.open_lines() == []
    # Credited to be billed again, it is not due any more: nothing is billed.
    credited = await firm.tell(
        "credit-invoice",
        billing_company=COMPANY, invoice_number="INV-000001", to="rebill", reason="not owed",
        lines=[{"line_no": 3, "quantity": "1"}],
    )  # fmt: skip
    assert credited["outcome"] == "accepted", credited
    await firm.pipeline.sweep()
    assert await firm.open_lines() == []
    await firm.verified()
    again = await firm.tell("end-assignment", **end)
    assert again["message"] == "assignment A-1 is unchanged"
    late = await firm.tell("end-assignment", **end | {"last_date": "2026-05-01"})
    assert late["code"] == "ended_already"
    gone = await firm.tell("explain", document_id="A-1@2026-05-31")
    assert gone["message"].startswith("A-1@2026-05-31 is not due: its assignment was ended")
    await firm.set(from_date="2026-05-01", price="510")
    assert await firm.open_lines() == amounts("510", "05-31", "06-30")
    await console(firm)


async def listed(firm: AssigningFirm) -> list[dict[str, Any]]:
    """Return what `backoffice assignments list` shows."""
    async with open_snapshot(firm.database_url) as connection:
        found, total = await assignments(connection, COMPANY, 100)
    assert total == len(found)
    return found


async def console(firm: AssigningFirm) -> None:
    """The list has what is in force by date; history and `why` know assignment and occurrence."""
    assert [
        (row["price"], str(row["from_date"]), str(row["last_date"]), row["occurrences"])
        for row in await listed(firm)
    ] == [("500", "2026-01-31", "2026-03-01", 2), ("510", "2026-05-01", "2026-06-30", 2)]
    async with open_snapshot(firm.database_url) as connection:
        entries = await history.history(connection, "A-1@2026-05-31")
        ((line_id,),) = await firm.rows(
            "SELECT pay_line_id FROM invoicer.pay_line JOIN invoicer.open_line"
            " USING (billing_company, pay_line_id) WHERE document_id = 'A-1@2026-05-31'"
        )
        why = await explanations.explain_pay_line(connection, line_id)
    seen = [(one["what"], one["reason"]) for one in entries]
    assert ("end-assignment", "moved out") in seen
    assert ("set-assignment", "contract") in seen
    messages = [str(one["message"]) for one in entries]
    assert any("510 USD of RENT, due 2026-05-31, set by" in each for each in messages)
    assert any("no longer due on 2026-05-31" in each for each in messages)
    assert why["derivation"]["price"]["price"] == "510.00 USD"
    assert why["derivation"]["assignment"] == "A-1"
    assert (await firm.tell("explain", document_id="A-1"))["details"]["reason"] == "scheduled"


async def test_five_years_with_a_disturbed_clock_make_each_occurrence_once(
    firm: AssigningFirm, monkeypatch: Any
) -> None:
    """Stopped for weeks, run twice, set back, moved to another zone; what it published is lost.

    Each occurrence is one document with one realization (issue 14, 3.3).
    """
    monkeypatch.setattr(realizing, "OCCURRENCES_AT_ONCE", 7)
    await firm.set(until_date="2030-12-31", reason="five years")
    zones = ("Pacific/Auckland", "America/Los_Angeles")
    today = firm.today
    for at, days in enumerate((40, 1, -20, 400, 3, 500, 0, 700, 200)):
        today += timedelta(days=days)
        await firm.tell("set-billing-company", billing_company=COMPANY, time_zone=zones[at % 2])
        await firm.day(today)
        await firm.pipeline.sweep()
    heads = await firm.rows(HEADS)
    assert len(heads) == 60
    assert {row[1:] for row in heads} == {(1, None)}
    assert (heads[0][0], heads[-1][0]) == ("A-1@2026-01-31", "A-1@2030-12-31")
    lines = await firm.rows(
        "SELECT count(*), count(DISTINCT effective_date), sum(amount)::int FROM invoicer.pay_line"
    )
    assert lines == [(60, 60, 30_000)]
    # What is published of one more is lost, and published again; the command arrives twice.
    sent = command("set-assignment", **ONCE_ON_NEW_YEAR)
    await firm.pipeline.tell("fee_realizer", "operator-commands", sent)
    await firm.pipeline.sweep()
    await firm.send("operator-commands", sent)
    republish = {"service": "fee_realizer", "document_id": "A-3@2031-01-01"}
    assert (await firm.tell("republish", **republish))["outcome"] == "accepted"
    found = "SELECT count(*), sum(amount)::int FROM invoicer.pay_line WHERE item_id = 'RENT'"
    assert await firm.rows(found) == [(61, 30_450)]
    async with firm.engine_of("auditor").connect() as connection:
        assert (await verify(connection)).faults == ()


ONCE_ON_NEW_YEAR = {
    "assignment_id": "A-3",
    "billing_company": COMPANY,
    "node_id": "office-1",
    "item_id": "RENT",
    "on_date": "2031-01-01",
    "command_id": "new-year",
}
