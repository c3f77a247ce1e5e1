"""Engagements and suppliers through fee_realizer, settlement and the console (msp.md 1)."""

import itertools
import json
from datetime import date
from typing import Any

import pytest

from services.console.queries import engagements as queries
from services.console.queries.snapshot import open_snapshot
from shared.verify import verify
from tests.builders import (
    COMPANY,
    command,
    engagement,
    entry,
    node,
    placement,
    record,
    requirement,
    supplier,
    timesheet,
)
from tests.conftest import Configure, EngineOf, UnitOfWorkFor
from tests.handlers.realizing import COMPANY_SET, ITEM_SET, Realizer, realizer
from tests.in_process import Pipeline

__all__ = ["realizer"]
OPTION = {"from_date": "2026-01-01", "invoice_option": "US staffing"}
HIDDEN = OPTION | {"billing_filter": ["MSP:Supplier"]}


def engagements_of(realizer: Realizer, document_id: str = "T-1") -> list[Any]:
    """Return the engagement of each line of the latest realization; None for a line without one."""
    return [
        line.engagement and line.engagement.engagement_id
        for line in realizer.realizations(document_id)[-1].lines
    ]


async def test_a_named_engagement_that_is_unknown_holds_until_it_arrives(
    realizer: Realizer,
) -> None:
    """Named but unknown: `unknown_engagement`; the line has the terms of its last service day."""
    await realizer.consume(
        COMPANY_SET, ITEM_SET, requirement(), timesheet(engagement_id="E-1"),
        placement(engagement_id="E-1"),
    )  # fmt: skip
    assert await realizer.held() == {"T-1": "unknown_engagement", "P-1": "unknown_engagement"}
    later = {"from_date": "2026-03-07", "invoice_option": "too late"}
    await realizer.consume(
        engagement(terms=[OPTION | {"needs_transfer": True}, later], custom={"cost_code": "A"})
    )
    assert await realizer.held() == {}
    (line,) = realizer.realizations()[-1].lines
    assert line.engagement is not None
    assert line.engagement.model_dump(exclude_defaults=True) == {
        "engagement_id": "E-1",
        "supplier_id": "S-1",
        "client_country": "US",
        "location": "Boston",
        "department": "Surgery",
        "invoice_option": "US staffing",
        "needs_transfer": True,
        "custom": {"cost_code": "A"},
    }
    first, second = realizer.realizations("P-1")[-1].lines
    assert (first.engagement, second.engagement) != (None, None)
    assert first.engagement and first.engagement.invoice_option == "US staffing"
    assert second.engagement and second.engagement.invoice_option == "too late"


async def test_without_a_name_it_is_the_placement_of_worker_and_requirement_on_the_day(
    realizer: Realizer,
) -> None:
    """The engagement has the placement's id, or the one that the placement names."""
    stay = {"fees": [], "start_date": "2026-03-01", "end_date": "2026-03-06"}
    await realizer.consume(
        COMPANY_SET, requirement(), placement(**stay), timesheet(), engagement("P-1")
    )
    assert engagements_of(realizer) == ["P-1"]
    await realizer.consume(placement(revision=2, **stay, engagement_id="E-1"))
    assert await realizer.held() == {"T-1": "unknown_engagement"}
    await realizer.consume(engagement("E-1"))
    assert engagements_of(realizer) == ["E-1"]
    await realizer.consume(placement(revision=3, **stay | {"end_date": "2026-03-01"}))
    assert engagements_of(realizer) == [None], "the placement ended before the time"
    await realizer.consume(timesheet("T-2", worker_id="W-2"))
    assert engagements_of(realizer, "T-2") == [None], "another worker's placement"


async def test_two_candidates_hold_the_document(realizer: Realizer) -> None:
    """Two placements on the day with different engagements: `ambiguous_engagement`."""
    stay = {"fees": [], "start_date": "2026-03-01"}
    await realizer.consume(
        COMPANY_SET, requirement(), engagement("E-1"), engagement("E-2"), timesheet(),
        placement("P-1", **stay, engagement_id="E-1"), placement("P-2", **stay),
    )  # fmt: skip
    assert await realizer.held() == {"T-1": "ambiguous_engagement"}
    assert "E-1, P-2: send its next revision with engagement_id" in await realizer.message()
    await realizer.consume(timesheet(revision=2, engagement_id="E-2"))
    assert await realizer.held() == {}
    assert engagements_of(realizer) == ["E-2"]


async def test_placements_without_engagements_change_nothing(realizer: Realizer) -> None:
    """Two placements on the day and no engagement: the time is priced as ever, and only once."""
    stay = {"fees": [], "start_date": "2026-03-01"}
    await realizer.consume(
        COMPANY_SET, requirement(), timesheet(), placement(**stay), placement("P-2", **stay)
    )
    assert realizer.kinds() == [(1, "realized")]
    assert b"engagement" not in b"".join(one.value for one in realizer.published)


async def test_a_week_over_two_engagements_has_a_line_for_each(realizer: Realizer) -> None:
    """One placement ends on Tuesday, the next begins on Wednesday: two lines with two keys."""
    week = [entry("8", f"2026-03-0{day}") for day in range(2, 7)]
    await realizer.consume(
        COMPANY_SET, requirement(), engagement("E-1"), engagement("E-2"), timesheet(entries=week),
        placement("P-1", fees=[], start_date="2026-02-01", end_date="2026-03-03",
                  engagement_id="E-1"),
        placement("P-2", fees=[], start_date="2026-03-04", engagement_id="E-2"),
    )  # fmt: skip
    lines = sorted(realizer.realizations()[-1].lines, key=lambda line: line.service_from)
    assert [(line.engagement and line.engagement.engagement_id, str(line.quantity),
             json.loads(line.line_key)[7:]) for line in lines] == [
        ("E-1", "16", ["engagement E-1"]), ("E-2", "24", []),
    ]  # fmt: skip


async def test_the_filter_is_stamped_once_and_other_terms_follow(realizer: Realizer) -> None:
    """A filter set later for the same dates leaves the item as it is; its option changes."""
    await realizer.consume(
        COMPANY_SET, requirement(), engagement(terms=[HIDDEN]), timesheet(engagement_id="E-1")
    )
    other = {"billing_filter": ["MSP:Client"], "invoice_option": "other"}
    await realizer.consume(engagement(revision=2, terms=[HIDDEN | other]))
    (line,) = realizer.realizations()[-1].lines
    assert line.engagement is not None
    assert (line.engagement.billing_filter, line.engagement.invoice_option) == (
        ("MSP:Supplier",), "other",
    )  # fmt: skip


async def test_any_order_of_arrival_ends_alike(realizer: Realizer) -> None:
    """Requirement, placement, engagement and timesheet in all orders: one engagement at the end."""
    for number, order in enumerate(itertools.permutations(range(4))):
        ids = {"requirement_id": f"R-{number}"}
        events = [
            requirement(f"R-{number}"),
            placement(f"P-{number}", fees=[], start_date="2026-03-01",
                      engagement_id=f"E-{number}", **ids),
            engagement(f"E-{number}"),
            timesheet(f"T-{number}", entries=[entry("8", "2026-03-04", **ids)]),
        ]  # fmt: skip
        for event in (COMPANY_SET, *(events[at] for at in order)):
            await realizer.consume(event)
        assert engagements_of(realizer, f"T-{number}") == [f"E-{number}"], order
    assert await realizer.held() == {}


@pytest.mark.parametrize("make", [engagement, supplier])
async def test_repeats_conflicts_and_tombstones(realizer: Realizer, make: Any) -> None:
    """A repeat changes nothing, other values are rejected, a tombstone closes what stays usable."""
    topic = "engagement-changed" if make is engagement else "supplier-changed"
    table = topic.removesuffix("-changed")
    first = make(revision=2)
    await realizer.consume(first, make(revision=1, custom={"a": "old"}), first)
    state = f"SELECT revision, closed, body ->> 'custom' AS custom FROM fee_realizer.{table}"
    assert [tuple(row) for row in await realizer.select(state)] == [(2, False, "{}")]
    await realizer.consume(make(revision=2, custom={"a": "other"}))
    dead = "SELECT code FROM fee_realizer.dead_letter"
    assert [row.code for row in await realizer.select(dead)] == ["conflict"]
    key = getattr(first, f"{table}_id")
    await realizer.consume(record(topic, None, key))
    assert [tuple(row) for row in await realizer.select(state)] == [(2, True, "{}")]
    await realizer.consume(first)
    assert [tuple(row) for row in await realizer.select(state)] == [(2, False, "{}")]


async def test_the_console_lists_engagements_and_suppliers(
    realizer: Realizer, database: str
) -> None:
    """`engagements list | show ID`, `suppliers list`: newest terms, placements, counts."""
    await realizer.consume(
        COMPANY_SET, requirement(), supplier(), engagement(terms=[HIDDEN]),
        placement(fees=[], engagement_id="E-1"),
    )  # fmt: skip
    async with open_snapshot(database) as connection:
        rows, total = await queries.engagements(connection, "S-1", 10)
        assert total == 1
        assert (rows[0]["invoice_option"], rows[0]["placements"]) == ("US staffing", 1)
        assert await queries.engagements(connection, "S-2", 10) == ([], 0)
        found = await queries.engagement(connection, "E-1")
        assert found is not None
        assert [one["placement_id"] for one in found["placements"]] == ["P-1"]
        assert found["billing_filter"] == ["MSP:Supplier"]
        assert await queries.engagement(connection, "E-9") is None
        rows, _ = await queries.suppliers(connection, 10)
        assert [(one["supplier_id"], one["engagements"]) for one in rows] == [("S-1", 1)]


async def test_pay_lines_have_the_engagement_until_they_are_invoiced(
    unit_of_work_for: UnitOfWorkFor, engine_of: EngineOf, configure: Configure
) -> None:
    """A change of the engagement replaces what is open, and changes nothing that is invoiced."""
    configure(today=date(2026, 3, 31))
    pipeline = Pipeline(unit_of_work_for)

    async def send(topic: str, *events: Any) -> list[tuple[Any, ...]]:
        pipeline.send(topic, *events)
        await pipeline.settle()
        async with engine_of("auditor").connect() as connection:
            assert (await verify(connection)).faults == ()
            query = (
                "SELECT p.engagement ->> 'location', r.pay_line_id IS NOT NULL,"
                " il.pay_line_id IS NOT NULL FROM invoicer.pay_line p"
                " LEFT JOIN invoicer.replaced_line r USING (pay_line_id)"
                " LEFT JOIN invoicer.invoice_line il USING (pay_line_id) ORDER BY p.pay_line_id"
            )
            return [tuple(row) for row in await connection.exec_driver_sql(query)]

    await send("operator-commands", COMPANY_SET)
    await send("billto-changed", node())
    await send("requirement-changed", requirement())
    await send("engagement-changed", engagement())
    lines = await send("timesheet-approved", timesheet(engagement_id="E-1"))
    assert lines == [("Boston", False, False)]
    lines = await send("engagement-changed", engagement(revision=2, location="Salem"))
    assert lines == [("Boston", True, False), ("Salem", False, False)]
    batch = command("generate-batch", billing_company=COMPANY, cut_off_date="2026-03-31")
    await send("operator-commands", batch)
    lines = await send("engagement-changed", engagement(revision=3, location="Quincy"))
    assert lines == [("Boston", True, False), ("Salem", False, True)]
    lines = await send("timesheet-approved", timesheet(revision=2, entries=[], engagement_id="E-1"))
    assert lines[2:] == [("Salem", False, False)], "a credit has the engagement of its line"
