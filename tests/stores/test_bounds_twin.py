"""The safety rules of a batch exist in Python and in SQL and agree on generated workdays."""

import random
from datetime import date, timedelta
from decimal import Decimal

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.rules.safety_checks import (
    HOURS_OVER_BOUND,
    WORKED_TWICE,
    SafetyViolation,
    UnsafeDebtor,
    parked,
)
from services.invoicer.batches.store.safety_checks import QUERIES
from shared.database import rows, run
from tests.conftest import Transact
from tests.twins import WorkedTime, safety_violations

MONDAY = date(2026, 3, 2)
MOST_HOURS = 12


def workdays(rng: random.Random) -> list[WorkedTime]:
    """Workdays of a few workers on a few requirements, so that many meet."""
    found: dict[tuple[str, date, str, str, str], WorkedTime] = {}
    for _ in range(60):
        key = (
            f"W-{rng.randint(1, 4)}",
            MONDAY + timedelta(days=rng.randint(0, 4)),
            f"R-{rng.randint(1, 2)}",
            rng.choice(["REG", "OT"]),
            f"T-{rng.randint(1, 12)}",
        )
        found[key] = WorkedTime(*key, Decimal(rng.choice(["0", "1.5", "4", "4.0001", "8"])))
    return list(found.values())


async def in_sql(connection: AsyncConnection, worked: list[WorkedTime]) -> list[SafetyViolation]:
    """Return the violations that the store finds."""
    await run(
        connection,
        "CREATE TEMP TABLE worked_time ON COMMIT DROP AS SELECT * FROM unnest(CAST(:workers AS"
        " text[]), CAST(:days AS date[]), CAST(:requirements AS text[]),"
        " CAST(:time_types AS text[]), CAST(:documents AS text[]), CAST(:hours AS numeric[]))"
        " AS w(worker_id, day, requirement_id, time_type, document_id, hours)",
        workers=[each.worker_id for each in worked],
        days=[each.day for each in worked],
        requirements=[each.requirement_id for each in worked],
        time_types=[each.time_type for each in worked],
        documents=[each.document_id for each in worked],
        hours=[each.hours for each in worked],
    )
    await run(connection, QUERIES["safety_violations"], max_hours=MOST_HOURS)
    found = await rows(
        connection,
        "SELECT code, worker_id, day, requirement_id, time_type, hours, document_ids FROM"
        " safety_violation",
    )
    return sorted(SafetyViolation(*row[:6], tuple(sorted(row.document_ids))) for row in found)


@pytest.mark.parametrize("seed", range(10))
async def test_both_find_the_same_days(transact: Transact, seed: int) -> None:
    """More than N hours of a worker on a day, or the same time in two timesheets."""
    worked = workdays(random.Random(seed))
    wanted = safety_violations(worked, MOST_HOURS)
    assert {each.code for each in wanted} == {HOURS_OVER_BOUND, WORKED_TWICE}
    assert await transact("invoicer", lambda connection: in_sql(connection, worked)) == wanted


def test_a_debtor_is_parked_for_one_reason() -> None:
    """Too many hours come before time in two timesheets.

    The message names the first day and how many more there are.
    """
    over = SafetyViolation(
        HOURS_OVER_BOUND, "W-1", MONDAY, "", "", Decimal("25.50"), ("T-1", "T-2")
    )
    twice = SafetyViolation(WORKED_TWICE, "W-1", MONDAY, "R-1", "REG", Decimal(16), ("T-1", "T-2"))
    unsafe = [
        UnsafeDebtor(2, WORKED_TWICE, 1, twice, ("T-1",)),
        UnsafeDebtor(1, WORKED_TWICE, 3, twice, ("T-1",)),
        UnsafeDebtor(1, HOURS_OVER_BOUND, 1, over, ("T-2",)),
    ]
    found = parked(unsafe, {1: "Mercy", 2: "Grace"}, 24)
    assert [(each.account_name, each.code, each.message) for each in found] == [
        (
            "Grace",
            WORKED_TWICE,
            "worker W-1 has REG on 2026-03-02 for R-1 in two timesheets (T-1, T-2)",
        ),
        ("Mercy", HOURS_OVER_BOUND, "worker W-1 has 25.5 h on 2026-03-02, more than 24 (T-1, T-2)"),
    ]
