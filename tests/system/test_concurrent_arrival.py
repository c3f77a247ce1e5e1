"""Ten thousand timesheets and their requirements arrive at once at two workers.

They are on different partitions; no timesheet stays held.
"""

import random
import time
from pathlib import Path

import pytest

from tests import builders
from tests.builders import COMPANY, days
from tests.conftest import EngineOf
from tests.running import Observer, Sent, command, event, publish, start, until

RECORDS = 10_000
SHEETS_OF_AN_ORDER = 9
SEEDS = range(10)


def together(seed: int) -> list[Sent]:
    """Requirements and their timesheets in one shuffled stream; each seed has ids of its own."""
    rng = random.Random(seed)
    orders = [f"S{seed}-REQ-{at:04}" for at in range(RECORDS // (SHEETS_OF_AN_ORDER + 1))]
    sent = [event("requirement-changed", order, builders.requirement(order)) for order in orders]
    for number, order in enumerate(orders * SHEETS_OF_AN_ORDER):
        name = f"S{seed}-T-{number:05}"
        made = builders.timesheet(name, entries=days(requirement_id=order, count=2))
        sent.append(event("timesheet-approved", name, made))
    rng.shuffle(sent)
    return sent


@pytest.mark.slow
@pytest.mark.timeout(1500)
async def test_no_timesheet_stays_held(
    stack: dict[str, str], engine_of: EngineOf, tmp_path: Path
) -> None:
    """In any order every timesheet is realized, once per value.

    Over ten seeds; each had timesheets that were held and released.
    """
    observer = Observer(engine_of, ("fee_realizer",))
    await publish([command(builders.command("set-billing-company", billing_company=COMPANY))])
    workers = [
        await start("fee_realizer", stack, tmp_path, replica=f"r{number}", sweep_seconds=2)
        for number in range(2)
    ]
    try:
        await observer.settled()
        for seed in SEEDS:
            sent = together(seed)
            began = time.monotonic()
            await publish(sent)
            await until(
                f"all of seed {seed} realized",
                lambda seed=seed: _realized(observer, seed),
                within=600,
            )  # type: ignore[misc]
            print(f"seed {seed}: {len(sent)} records in {time.monotonic() - began:.1f} s")
        await observer.settled()
        for worker in workers:
            await worker.stop()
    finally:
        for worker in workers:
            if worker.process.returncode is None:
                worker.process.kill()
    assert (
        await observer.one(
            "SELECT count(*) FROM fee_realizer.source_document WHERE hold_code IS NOT NULL"
        )
        == 0
    )
    assert await observer.one("SELECT count(*) FROM fee_realizer.pricing_queue") == 0
    worth = await observer.select(
        "SELECT realization_kind, count(*) FROM fee_realizer.latest_realization GROUP BY 1"
    )
    assert [tuple(row) for row in worth] == [
        ("realized", len(SEEDS) * RECORDS * SHEETS_OF_AN_ORDER // (SHEETS_OF_AN_ORDER + 1))
    ]
    assert (
        await observer.one("SELECT max(realization_no) FROM fee_realizer.latest_realization") == 1
    ), "priced once, when its requirement was there"
    assert await observer.one("SELECT count(*) FROM fee_realizer.dead_letter") == 0
    met = await observer.select(
        "SELECT left(document_id, 2), count(*) FILTER (WHERE hold_no > 0) FROM"
        " fee_realizer.source_document GROUP BY 1"
    )
    assert all(waited > 0 for _, waited in met), "some came before their requirement"


async def _realized(observer: Observer, seed: int) -> bool:
    count = RECORDS * SHEETS_OF_AN_ORDER // (SHEETS_OF_AN_ORDER + 1)
    found = await observer.one(
        "SELECT count(*) FROM fee_realizer.source_document WHERE document_id LIKE :ids AND"
        " realization_no > 0 AND hold_code IS NULL",
        ids=f"S{seed}-%",
    )
    return bool(found == count)
