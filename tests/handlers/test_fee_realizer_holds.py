"""What holds a document: its approval level, a missing fact, a requirement that is not Filled."""

import pytest

from services.console.queries.history import history
from tests.builders import (
    COMPANY,
    command,
    days,
    entry,
    rate,
    record,
    requirement,
    timesheet,
)
from tests.conftest import EngineOf, as_console
from tests.handlers.realizing import COMPANY_SET, STAMPS, Realizer, ready, realizer

__all__ = ["ready", "realizer"]


@pytest.mark.parametrize(
    ("gate", "missing", "code"),
    [("approved", "reviewed_at", None), ("approved", "approved_at", "not_approved")]
    + [
        ("reviewed", f"{step}_at", f"not_{step}")
        for step in ("submitted", "approved", "released", "interpreted", "reviewed")
    ],
)
async def test_the_approval_level_of_the_billing_company(
    ready: Realizer, gate: str, missing: str, code: str | None
) -> None:
    """Approval level `approved` requires the approval, `reviewed` every step.

    The document is held with the first missing step.
    """
    await ready.consume(
        command("set-billing-company", billing_company=COMPANY, gate=gate),
        timesheet(workflow=STAMPS | {missing: None}),
    )
    assert (await ready.held()).get("T-1") == code


async def test_a_lower_approval_level_releases_and_a_higher_one_withholds(
    ready: Realizer,
) -> None:
    """A change of a billing company reprices its documents."""
    await ready.consume(timesheet(workflow=STAMPS | {"reviewed_at": None}))
    await ready.consume(command("set-billing-company", billing_company=COMPANY, gate="reviewed"))
    await ready.consume(command("set-billing-company", billing_company=COMPANY, gate="approved"))
    await ready.consume(command("set-billing-company", billing_company=COMPANY, enabled=False))
    assert ready.kinds() == [(1, "realized"), (2, "withheld"), (3, "realized"), (4, "withheld")]
    assert ready.hold_events() == ["held not_reviewed", "released", "held billing_company_disabled"]


async def test_the_history_shows_hours_holds_and_overtaken_revisions(
    ready: Realizer, engine_of: EngineOf
) -> None:
    """Issue 11, 21: the hours of each revision, every hold and its end, and a revision that came
    after a newer one.
    """
    waiting = STAMPS | {"approved_at": None}
    overtime = entry("2", time_type="OT")
    await ready.consume(timesheet(revision=2, workflow=waiting))
    await ready.consume(timesheet(revision=1, entries=[*days("7"), overtime]))
    await ready.consume(timesheet(revision=3, workflow=STAMPS))
    await ready.consume(timesheet(revision=4, entries=[], workflow=STAMPS))
    async with as_console(engine_of("console")) as connection:
        found = [(row["what"], row["message"]) for row in await history(connection, "T-1")]
    held = (
        "not_approved: timesheet T-1 was not approved: send its next revision with approved_at"
        " when it is"
    )
    assert sorted(found) == sorted(
        [
            ("revision 2", "40 h REG, not approved"),
            ("held", held),
            ("revision 1", "2 h OT, 35 h REG; without effect: revision 2 came before"),
            ("revision 3", "40 h REG"),
            ("released", ""),
            ("realization 1", "realized, 1 line (revision)"),
            ("revision 4", "no hours"),
            ("realization 2", "realized, 0 lines (revision)"),
        ]
    )


async def test_each_missing_fact_is_named_in_turn(realizer: Realizer) -> None:
    """Each missing fact has a code and a message.

    Only a changed hold is published.
    """
    await realizer.consume(timesheet())
    assert (
        await realizer.message() == "requirement REQ-1 is not known: send it on requirement-changed"
    )
    await realizer.consume(requirement(rates=[], statuses=[]))
    await realizer.consume(COMPANY_SET)
    await realizer.consume(
        requirement(
            revision=2,
            statuses=[{"from_date": "2026-03-09", "status": "Filled", "position_type": "Temp"}],
            rates=[],
        )
    )
    await realizer.consume(
        requirement(
            revision=3,
            statuses=[{"from_date": "2026-01-01", "status": "Filled", "position_type": "Perm"}],
            rates=[],
        )
    )
    await realizer.consume(requirement(revision=4, rates=[rate(since="2026-03-03")]))
    assert "requirement REQ-1 has no bill rate for REG on 2026-03-02" in await realizer.message()
    await realizer.consume(requirement(revision=5))
    assert realizer.hold_events() == [
        *(
            "held unknown_requirement",
            "held unknown_billing_company",
            "held requirement_not_filled",
        ),
        *("held position_type_not_billable", "held no_bill_rate", "released"),
    ]
    assert realizer.kinds() == [(1, "realized")]


async def test_a_closed_requirement_does_not_block_its_last_timesheets(ready: Realizer) -> None:
    """Status and position type are those of the week ending.

    A tombstone closes a requirement and never deletes it.
    """
    ended = [
        {"from_date": "2020-01-01", "status": "Filled", "position_type": "Contract"},
        {"from_date": "2026-03-09", "status": "Closed"},
    ]
    await ready.consume(requirement(revision=2, statuses=ended))
    await ready.consume(record("requirement-changed", None, key="REQ-1"))
    await ready.consume(timesheet(), timesheet("T-2", week_ending="2026-03-15"))
    assert await ready.held() == {"T-2": "requirement_not_filled"}
    assert [
        row.closed
        for row in await ready.select("SELECT closed FROM fee_realizer.console_requirement")
    ] == [True]


async def test_a_held_timesheet_belongs_to_the_company_of_its_revision_in_force(
    ready: Realizer,
) -> None:
    """What waits is shown to the company that it belongs to now.

    Found by a random history: an older revision that came late named a requirement of another
    company, and the held timesheet was shown to that one.
    """
    waiting = STAMPS | {"approved_at": None}
    await ready.consume(
        command("set-billing-company", billing_company="a-company", gate="approved"),
        requirement("REQ-A", billing_company="a-company"),
        timesheet(revision=2, workflow=waiting),
        timesheet(revision=1, entries=days("8", requirement_id="REQ-A"), workflow=STAMPS),
    )
    assert await _waits(ready) == ({COMPANY}, {("REQ-1", COMPANY)}, [COMPANY])
    await ready.consume(requirement(revision=9, billing_company="a-company"))
    assert await _waits(ready) == ({"a-company"}, {("REQ-1", "a-company")}, [COMPANY, "a-company"])
    await ready.consume(requirement(revision=10, billing_company="a-company", reference="R-1"))
    assert (await _waits(ready))[2] == [COMPANY, "a-company"], "nothing changed of what waits"


async def _waits(ready: Realizer) -> tuple[set[str], set[tuple[str, str]], list[str]]:
    """The company of the held document, requirement and company of the week, and of each hold."""
    documents = await ready.select("SELECT billing_company FROM fee_realizer.held_document")
    weeks = await ready.select(
        "SELECT requirement_id, billing_company FROM fee_realizer.held_timesheet"
    )
    holds = await ready.select(
        "SELECT billing_company FROM fee_realizer.hold_event ORDER BY hold_no, held_at"
    )
    return (
        {row.billing_company for row in documents},
        {(row.requirement_id, row.billing_company) for row in weeks},
        [row.billing_company for row in holds],
    )
