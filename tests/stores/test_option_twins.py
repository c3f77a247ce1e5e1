"""The choice of an invoice option and its group values, in Python and in SQL, on drawn lines."""

import random
from datetime import date
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.rules import reasons
from services.invoicer.batches.store import line_options, selection
from services.invoicer.debtors.rules.companies import Agreement, BillingCompany
from services.invoicer.options import store
from services.invoicer.options.rules import (
    BILLING_TYPES,
    FIELDS,
    REQUEST_TYPES,
    InvoiceOption,
    Item,
    OptionVersion,
    choose,
    group_list,
)
from shared.events.realizations import LineEngagement, Side
from shared.stored import as_json
from tests.conftest import Transact
from tests.stores.test_batch_twins import TODAY, add_line, node

FIRST_DAY = date(2026, 1, 1)
NAMES = [f"option {number}" for number in range(16)]
LINES = 300


def some(draw: random.Random, values: tuple[str, ...]) -> tuple[str, ...]:
    """Return some of the values, or none, in their order."""
    chosen = draw.choice(((), values[: draw.randrange(1, len(values) + 1)]))
    return tuple(chosen)


def option(draw: random.Random, name: str) -> InvoiceOption:
    """Draw an option of one of two countries."""
    return InvoiceOption(
        name,
        draw.choice(("US", "DE")),
        draw.choice(("", "", "Boston")),
        some(draw, REQUEST_TYPES),
        draw.choice(("", "", "USD", "EUR")),
        draw.choice(("client", "client", "supplier")),
        some(draw, BILLING_TYPES),
        draw.choice((None, 20)),
        draw.choice((None, (), ("engagement.supplier", "custom.cost_code"))),
        is_default=draw.random() < 0.8,
        active=draw.random() < 0.9,
    )


def engagement(draw: random.Random, side: Side) -> LineEngagement | None:
    """Draw an engagement, or none; an item of the supplier's side always has one."""
    if draw.random() < 0.1 and side == "client":
        return None
    return LineEngagement(
        side=side,
        engagement_id=draw.choice(("E-1", "E-2")),
        request_type=draw.choice(("staffing", "project", "payroll", "managed")),
        supplier_id=draw.choice(("", "S-1")),
        client_country=draw.choice(("US", "DE", "FR", "")),
        location=draw.choice(("", "Boston", "Salem")),
        invoice_option=draw.choice(("",) * 10 + (*NAMES, "unknown")),
        billing_filter=draw.choice(((), ("MSP:Client",), ("MSP:Supplier",), ("a:b", "Client:MSP"))),
        custom=draw.choice(({}, {"cost_code": "A"})),
    )


def billing_type(line: dict[str, Any]) -> str:
    """Return the billing type of a line: corrections, then time, charges, other products."""
    if line["correction"]:
        return "adjustment"
    if line["kind"] == "timesheet":
        return "time"
    return "expense" if line["document_kind"] == "charge" else "product"


async def test_the_choice_of_an_option(transact: Transact) -> None:
    """SQL and the rule agree on option, reason, conflict and group of every line (msp.md 3, 4)."""

    async def work(connection: AsyncConnection) -> None:
        seen: set[str] = set()
        for round_no in range(6):
            draw = random.Random(round_no)
            side: Side = "supplier" if round_no % 3 == 2 else "client"
            owner = f"acme-{round_no}"
            agreement = Agreement("S-1", owner, FIRST_DAY, "S-1 account", "")
            company = f"S-1@{owner}" if side == "supplier" else owner
            of_company = BillingCompany(
                company, agreement=agreement if side == "supplier" else None
            )
            await node(connection) if not round_no else None
            for name in NAMES:
                version = OptionVersion(FIRST_DAY, option(draw, name))
                await store.save_option(connection, owner, version)
            await store.save_grouping(connection, owner, "US", ["engagement.id"])
            lines: dict[int, tuple[Item, dict[str, Any]]] = {}
            for number in range(LINES):
                of = engagement(draw, side)
                kind = draw.choice(("timesheet", "product"))
                line: dict[str, Any] = {
                    "kind": kind,
                    "document_kind": "timesheet" if kind == "timesheet"
                    else draw.choice(("charge", "placement")),
                    "week": date(2026, 9, 6) if kind == "timesheet" else None,
                    "currency": draw.choice(("USD", "EUR", "JPY")),
                    "correction": draw.random() < 0.2,
                    "engagement": None if of is None else of.model_dump_json(exclude_defaults=True),
                }  # fmt: skip
                found = await add_line(connection, company, document=f"T-{number}", **line)
                lines[found] = Item(of, billing_type(line), line["currency"]), line
            options = await store.options_for(connection, owner, TODAY)
            assert options.keys() == set(NAMES)
            grouping = await store.grouping_by_country(connection, owner)
            await selection.locate_lines(connection, of_company)
            await line_options.resolve_options(connection, of_company, on=TODAY, today=TODAY)
            rows = (await connection.execute(text("SELECT * FROM line_option"))).all()
            assert {row.pay_line_id for row in rows} == lines.keys()
            for row in rows:
                item, line = lines[row.pay_line_id]
                choice = choose(item, options)
                reason = reasons.REASONS[row.reason - 1] if row.reason else None
                if row.conflict is not None:
                    reason = "two_invoice_options"
                assert reason == choice.reason, (item, choice)
                assert (row.conflict or "") == ", ".join(choice.names)
                seen.add(str(reason))
                if choice.option is not None:
                    fields = group_list(choice.option, grouping)
                    stored = as_json(row.document_option)
                    assert stored["name"] == choice.option.name
                    assert stored["bill_to"] == choice.option.bill_to == side
                    assert stored["group"] == [[name, twin_value(item, name)] for name in fields]
                    seen.add("chosen")
            await selection.drop_tables(connection, "kept")
        assert seen == {"chosen", "None", "option_does_not_fit", "no_invoice_option",
                        "two_invoice_options", "not_visible"}  # fmt: skip

    await transact("owner", work)


def twin_value(item: Item, name: str) -> str:
    """Return the value of one of the fields that the test groups by."""
    of = item.engagement
    if of is None:
        return ""
    return {
        "engagement.id": of.engagement_id,
        "engagement.supplier": of.supplier_id,
        "custom.cost_code": of.custom.get("cost_code", ""),
    }[name]


async def test_every_grouping_field_has_its_value(transact: Transact) -> None:
    """Each field of msp.md 4 is read from the line; an absent value is empty."""

    async def work(connection: AsyncConnection) -> None:
        of = LineEngagement(engagement_id="E-1", supplier_id="S-1", location="L", department="D")
        await add_line(
            connection, document="T-1", engagement=of.model_dump_json(exclude_defaults=True)
        )
        await add_line(connection, document="T-2")
        fields = [*FIELDS, "custom.any"]
        found = await connection.execute(
            text(
                "SELECT invoicer.group_values(p, CAST(:fields AS text[])) FROM invoicer.pay_line p"
                " ORDER BY p.document_id"
            ),
            {"fields": fields},
        )
        first, second = (dict(as_json(row[0])) for row in found.all())
        assert [first[name] for name in FIELDS] == [
            "E-1", "S-1", "L", "D", "", "", "w", "", "", "2026-09-06", "", "T-1",
        ]  # fmt: skip
        assert {name for name in fields if second[name]} == {
            "bill.worker", "bill.week_ending", "bill.document",
        }  # fmt: skip

    await transact("owner", work)
