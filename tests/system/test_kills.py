"""Kill any process at any point: the books come out as if nothing had happened (faults 1-6, 9, 11)."""

import random
from collections.abc import Iterator

import pytest

from tests.conftest import Configure
from tests.system.driver import Keeper
from tests.system.dump import differences
from tests.system.kill_runs import Servers, books, new_run, play, servers, unaccounted
from tests.system.workload import Workload

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
MESSAGE_POINTS = ("before_transaction", "inside_transaction", "before_commit", "after_commit", "after_publish", "before_offset_commit", "in_shutdown")
BATCH_POINTS = ("after_locks", "batch_selected", "batch_numbered")
TIMES = 5


@pytest.fixture(scope="module")
def own_servers() -> Iterator[Servers]:
    """Servers that this module may kill."""
    with servers() as made:
        yield made


def crash_plan(seed: int) -> dict[str, list[str]]:
    """Every point five times, shared out between the workers that hear messages, in a seeded order."""
    rng = random.Random(seed)
    plan: dict[str, list[str]] = {"fee_realizer": [], "invoicer": [], "scheduler": ["watermark_moved"]}
    for point in MESSAGE_POINTS:
        for at in range(TIMES):
            visit = 1 if point == "in_shutdown" else rng.randint(1, 4)
            plan["fee_realizer" if at % 2 else "invoicer"].append(f"{point}:{visit}")
    for point in BATCH_POINTS:
        plan["invoicer"] += [point] * TIMES
    for points in plan.values():
        rng.shuffle(points)
    return plan


async def test_the_books_come_out_as_if_nothing_had_happened(own_servers: Servers, configure: Configure) -> None:
    """Workers killed at every named point five times, Kafka killed once and PostgreSQL once: the same business rows as the
    undisturbed run of the seed, verify finds nothing, and everything that was sent is accounted for one by one."""
    seed = 20261102
    async with new_run(own_servers, configure) as calm:
        sent = await play(calm, Workload(seed), Keeper(calm.environment, calm.folder, batch_records=200))
        expected = await books(calm)
        assert calm.refused == []
        assert await calm.verified() == []
        assert await unaccounted(calm, sent) == []
        assert len(expected["invoices"]) > 8 and len(expected["invoice lines"]) > 100 and len(expected["snoozes"]) >= 5
    async with new_run(own_servers, configure) as disturbed:
        keeper = Keeper(disturbed.environment, disturbed.folder, crash_plan(seed))
        sent = await play(disturbed, Workload(seed), keeper, crashes={1: "postgres", 2: "kafka"})
        print(f"fired: {dict(keeper.fired)}, restarts: {keeper.restarts}")
        assert {point: count for point, count in keeper.fired.items() if point in (*MESSAGE_POINTS, *BATCH_POINTS)} == dict.fromkeys(
            (*MESSAGE_POINTS, *BATCH_POINTS), TIMES
        )
        assert await disturbed.verified() == []
        assert await unaccounted(disturbed, sent) == []
        assert differences(expected, await books(disturbed)) == []
