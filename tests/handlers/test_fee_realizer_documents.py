"""fee_realizer on a real PostgreSQL: documents are held, realized, withheld and repriced."""

import itertools
from typing import Any

import pytest

from shared.events.realizations import DocumentHeld
from tests.builders import (
    days,
    entry,
    placement,
    rate,
    record,
    requirement,
    timesheet,
)
from tests.conftest import nothing
from tests.handlers.realizing import (
    COMPANY_SET,
    ITEM_SET,
    STAMPS,
    Realizer,
    as_record,
    ready,
    realizer,
)

__all__ = ["ready", "realizer"]


def approved(at: str, **changes: Any) -> dict[str, Any]:
    """Return a workflow approved at an instant."""
    return {"workflow": STAMPS | {"approved_at": at} | changes}


UNAPPROVED = {"workflow": STAMPS | {"approved_at": None}}
HOURS_38 = days("7.6")


async def test_a_timesheet_is_realized_in_full(ready: Realizer) -> None:
    """40 h × 50.00 is one line of 2,000.00 with its derivation."""
    await ready.consume(timesheet())
    (realization,) = ready.realizations()
    (line,) = realization.lines
    assert (
        realization.realization_no,
        realization.realization_kind,
        realization.source_id,
        realization.revision,
    ) == (
        1,
        "realized",
        "T-1",
        1,
    )
    assert (line.line_key, line.effective_date.isoformat(), line.billto_node) == (
        '["t","REQ-1","REG","2020-01-01@50","","",""]',
        "2026-03-08",
        "office-1",
    )
    assert (
        line.service_from.isoformat(),
        line.service_to.isoformat(),
        line.derivation["formula"],
    ) == ("2026-03-02", "2026-03-06", "40 × 50.00 = 2000.00")
    assert line.description == "Registered Nurse · W-1 · REG · week ending 2026-03-08"
    assert await ready.held() == {}


ARRIVALS = {
    "company": COMPANY_SET,
    "item": ITEM_SET,
    "requirement": requirement(),
    "rates": requirement(revision=2, rates=[rate(price="55.00"), rate("OT", "80.00")]),
    "timesheet": timesheet(),
    "placement": placement(),
}


@pytest.mark.parametrize(
    "order",
    [order for at, order in enumerate(itertools.permutations(ARRIVALS)) if at % 29 == 0],
    ids="-".join,
)
async def test_any_order_of_arrival_ends_in_the_same_state(
    realizer: Realizer, order: tuple[str, ...]
) -> None:
    """A document that lacks a fact waits, and is released when the fact arrives.

    A changed rate reprices it.
    """
    await realizer.consume(*(ARRIVALS[name] for name in order))
    assert await realizer.held() == {}
    assert realizer.latest_lines() == [("REG", "40", "55", "2200")]
    assert [line[3] for line in realizer.latest_lines("P-1")] == ["10000", "10000"]
    assert await realizer.select("SELECT * FROM fee_realizer.pricing_queue") == []


ADJUSTED = {
    "original": timesheet(**approved("2026-03-09T10:00:00Z")),
    "adjustment": timesheet(
        "T-2", adjusts="T-1", entries=HOURS_38, **approved("2026-03-10T10:00:00Z")
    ),
    "second": timesheet(
        "T-3", adjusts="T-1", entries=days("8.2"), **approved("2026-03-11T10:00:00Z")
    ),
    "lost": timesheet("T-3", 2, adjusts="T-1", entries=days("8.2"), **UNAPPROVED),
    "again": timesheet(
        "T-3", 3, adjusts="T-1", entries=days("7.8"), **approved("2026-03-09T11:00:00Z")
    ),
    "draft": timesheet("T-4", adjusts="T-1", entries=[entry("1")], **UNAPPROVED),
}


@pytest.mark.parametrize("batched", [True, False], ids=["one batch", "one by one"])
@pytest.mark.parametrize(
    "order",
    [order for at, order in enumerate(itertools.permutations(ADJUSTED)) if at % 101 == 0],
    ids="-".join,
)
async def test_adjustments_and_revisions_in_any_order(
    ready: Realizer, order: tuple[str, ...], batched: bool
) -> None:
    """The timesheet with the highest (approved_at, id) of all newest revisions is in force.

    T-3 lost its approval and was approved again at an earlier instant, so T-2 is in force.
    """
    events = [ADJUSTED[name] for name in order]
    for batch in [events] if batched else [[event] for event in events]:
        await ready.consume(*batch)
    (head,) = await ready.select(
        "SELECT source_id, revision, hold_code FROM fee_realizer.source_document WHERE"
        " document_id = 'T-1'"
    )
    assert tuple(head) == ("T-2", 1, None)
    assert ready.latest_lines() == [("REG", "38", "50", "1900")]
    assert [realization.realization_no for realization in ready.realizations()] == list(
        range(1, len(ready.realizations()) + 1)
    )
    assert await ready.dead_letters() == []
    if batched:
        assert len(ready.realizations()) == 1, "several revisions in one batch are priced once"


async def test_a_repeat_changes_no_table_and_publishes_nothing(ready: Realizer) -> None:
    """The same revision with the same values, 40 written as 40.0, has no effect."""
    await ready.consume(timesheet(entries=[entry("8")]), placement(), ITEM_SET)
    before, count = await ready.dump(), len(ready.published)
    stored = await ready.select(
        "SELECT * FROM fee_realizer.realization ORDER BY document_id, realization_no"
    )
    await ready.consume(requirement(), timesheet(entries=[entry("8.00")]), placement())
    assert await ready.dump() == before
    assert (
        await ready.select(
            "SELECT * FROM fee_realizer.realization ORDER BY document_id, realization_no"
        )
        == stored
    )
    assert len(ready.published) == count


async def test_the_same_revision_with_other_values_is_a_conflict(ready: Realizer) -> None:
    """It is a dead letter, within one batch and across batches.

    The other records of the batch are not affected.
    """
    await ready.consume(timesheet(), timesheet(entries=HOURS_38), timesheet("T-9"))
    await ready.consume(
        timesheet(entries=HOURS_38),
        requirement(job_title="Other"),
        placement(),
        placement(salary="1"),
    )
    assert await ready.dead_letters() == ["conflict"] * 4
    assert ready.latest_lines() == ready.latest_lines("T-9") == [("REG", "40", "50", "2000")]


async def test_an_older_revision_is_kept_without_effect(ready: Realizer) -> None:
    """An older revision after a newer one is recorded without effect."""
    await ready.consume(timesheet(revision=5))
    await ready.consume(
        timesheet(revision=2, entries=HOURS_38), requirement(revision=0, rates=[rate(price="1.00")])
    )
    assert ready.kinds() == [(1, "realized")]
    assert ready.latest_lines() == [("REG", "40", "50", "2000")]
    assert [
        row.revision
        for row in await ready.select(
            "SELECT revision FROM fee_realizer.source_revision ORDER BY 1"
        )
    ] == [2, 5]
    assert [
        row.revision
        for row in await ready.select(
            "SELECT revision FROM fee_realizer.requirement_revision ORDER BY 1"
        )
    ] == [0, 1]


async def test_an_adjustment_never_changes_its_original(ready: Realizer) -> None:
    """An adjustment that names another original, or is an original itself, is a conflict.

    An adjustment of an adjustment is rejected, too.
    """
    await ready.consume(timesheet("T-1"), timesheet("T-2", adjusts="T-1"))
    await ready.consume(timesheet("T-2", 2, adjusts="T-8"))
    await ready.consume(timesheet("T-2", 3))
    await ready.consume(timesheet("T-1", 2, adjusts="T-7"))
    await ready.consume(timesheet("T-3", adjusts="T-2"))
    await ready.consume(timesheet("T-4", adjusts="T-4"))
    await ready.consume(timesheet("T-5", adjusts="T-6"), timesheet("T-5", 2))
    assert await ready.dead_letters() == [
        "conflict",
        "conflict",
        "conflict",
        "adjusts_adjustment",
        "adjusts_itself",
        "conflict",
    ]
    documents = await ready.select(
        "SELECT document_id, source_id FROM fee_realizer.document_state ORDER BY 1"
    )
    assert [tuple(row) for row in documents] == [("T-1", "T-2"), ("T-6", "T-5")]


async def test_a_lost_approval_withholds_what_was_realized(ready: Realizer) -> None:
    """The hold of a realized document is a realization `withheld` without lines.

    A new approval realizes it again.
    """
    await ready.consume(timesheet(**approved("2026-03-09T10:00:00Z")))
    await ready.consume(timesheet(revision=2, **UNAPPROVED))
    held = DocumentHeld.model_validate_json(
        next(one.value for one in ready.published if one.topic == "document-held")
    )
    assert (held.code, held.realization_no, held.revision) == ("not_approved", 2, 2)
    await ready.consume(
        timesheet(revision=3, **UNAPPROVED),
        timesheet(revision=4, **approved("2026-03-12T10:00:00Z")),
    )
    assert ready.kinds() == [(1, "realized"), (2, "withheld"), (3, "realized")]
    assert ready.realizations()[1].lines == ()
    assert ready.hold_events() == ["held not_approved", "released"]


async def test_a_cancelled_timesheet_and_one_of_zero_hours_have_no_lines(
    ready: Realizer,
) -> None:
    """A revision without entries or with zero hours is realized without lines."""
    await ready.consume(
        timesheet(), timesheet("T-2", entries=[entry("0", time_type="NEVER"), entry("0")])
    )
    await ready.consume(timesheet(revision=2, entries=[]))
    assert ready.kinds() == [(1, "realized"), (2, "realized")]
    assert ready.latest_lines() == ready.latest_lines("T-2") == []
    assert ready.kinds("T-2") == [(1, "realized")]


async def test_a_realization_over_the_limit_of_a_message_is_held(ready: Realizer) -> None:
    """A realization of more than 900 kB holds its document.

    A realized one is withheld.
    """
    await ready.consume(timesheet())
    await ready.consume(
        timesheet(
            revision=2,
            entries=[entry("1", project=f"project {at} " + "x" * 300) for at in range(1000)],
        )
    )
    assert await ready.held() == {"T-1": "realization_too_large"}
    assert ready.kinds() == [(1, "realized"), (2, "withheld")]


async def test_a_replay_of_everything_changes_no_table(ready: Realizer) -> None:
    """Offsets are reset to the beginning.

    No table changes, only answers are published.
    """
    events = [
        *(
            COMPANY_SET,
            requirement(),
            ITEM_SET,
            *(ADJUSTED[name] for name in sorted(ADJUSTED)),
            timesheet(entries=HOURS_38),
            placement(),
        ),
        *(
            requirement(revision=3, rates=[rate(price="51.00")]),
            requirement(revision=2),
            record("requirement-changed", None, key="REQ-1", offset=7),
        ),
        *(
            timesheet("T-2", adjusts="T-9"),
            timesheet("T-9", **UNAPPROVED),
            timesheet("T-9", 2),
            record("requirement-changed", None, key="REQ-8", offset=8),
        ),
    ]
    records = [as_record(event) for event in events]
    await ready.consume(*records)
    tables = [
        row.name
        for row in await ready.select(
            "SELECT relname AS name FROM pg_class WHERE relnamespace ="
            " 'fee_realizer'::regnamespace AND relkind = 'r'"
        )
    ]
    await ready.unit_of_work.transact(nothing)

    async def contents() -> dict[str, list[str]]:
        return {
            table: sorted(
                str(tuple(row)) for row in await ready.select(f"SELECT * FROM fee_realizer.{table}")
            )
            for table in tables
        }

    before, count = await contents(), len(ready.published)
    assert len(await ready.dead_letters()) == 2
    await ready.consume(*records)
    await ready.unit_of_work.transact(nothing)
    assert await contents() == before
    assert {one.topic for one in ready.published[count:]} == {"command-results"}
