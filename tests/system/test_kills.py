"""Kill any process at any point: the result is that of an undisturbed run."""

import os
import random
from collections.abc import Iterator

import pytest

from shared.faults import POINTS
from tests.conftest import Configure
from tests.system.driver import Keeper
from tests.system.dump import differences
from tests.system.kill_runs import (
    Deaths,
    Servers,
    business_dump,
    new_run,
    play,
    servers,
    unaccounted,
)
from tests.system.workload import Workload

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
ANYWHERE = (
    "before_transaction",
    "inside_transaction",
    "before_commit",
    "after_commit",
    "after_publish",
    "before_offset_commit",
)
IN_A_BATCH = ("after_locks", "batch_selected", "batch_numbered")
IN_A_DAY = "watermark_moved"
IN_SHUTDOWN = "in_shutdown"
TIMES = 5
SEEDS = [int(seed) for seed in os.environ.get("KILL_SEEDS", "20261102").split(",")]
"""`KILL_SEEDS=1,2,3` plays other runs, as many as a night has time for."""
CONSUMED = (
    (1, "fee_realizer", "timesheet-approved"),
    (1, "fee_realizer", "placement-created"),
    (1, "invoicer", "pay-lines-realized"),
    (2, "fee_realizer", "timesheet-approved"),
    (2, "fee_realizer", "requirement-changed"),
    (2, "invoicer", "pay-lines-realized"),
    (2, "invoicer", "billto-changed"),
    (3, "fee_realizer", "timesheet-approved"),
    (3, "invoicer", "pay-lines-realized"),
)
"""Phase, service and subscription in which a point is to fire."""


@pytest.fixture(scope="module")
def own_servers() -> Iterator[Servers]:
    """Servers that this module may kill."""
    with servers() as made:
        yield made


def deaths(seed: int) -> Deaths:
    """Every point five times, spread over workers, subscriptions and phases; each server once."""
    rng = random.Random(seed)
    consuming: dict[int, dict[str, list[str]]] = {
        phase: {"fee_realizer": [], "invoicer": []} for phase in range(4)
    }
    answering: dict[int, dict[str, list[str]]] = {
        phase: {"fee_realizer": [], "invoicer": [], "scheduler": []} for phase in range(3)
    }
    for point in ANYWHERE:
        *_, to_answer = range(TIMES)
        for at in range(TIMES):
            phase, service, topic = rng.choice(CONSUMED)
            if at == to_answer:
                answering[rng.choice((1, 2))]["invoicer"].append(f"{point}@operator-commands")
            else:
                consuming[phase][service].append(f"{point}@{topic}:{rng.choice((1, 1, 2))}")
    for at in range(TIMES):
        consuming[1 + at % 3]["fee_realizer" if at % 2 else "invoicer"].append(IN_SHUTDOWN)
        for point in IN_A_BATCH:
            answering[1 + at % 2]["invoicer"].insert(0, f"{point}@operator-commands")
        answering[0]["scheduler"].append(IN_A_DAY)
    for of_phase in consuming.values():
        for points in of_phase.values():
            rng.shuffle(points)
    return Deaths(consuming, answering, {1: "postgres", 2: "kafka"})


@pytest.mark.parametrize("seed", SEEDS)
async def test_the_result_equals_that_of_an_undisturbed_run(
    own_servers: Servers, configure: Configure, seed: int
) -> None:
    """Every named point kills a worker five times, and every command must be signed.

    Kafka and PostgreSQL are killed once each. The business rows are those of the undisturbed run of
    the seed, verify finds nothing, and everything that was sent is accounted for.
    """
    async with new_run(own_servers, configure) as calm:
        sent = await play(
            calm, Workload(seed), Keeper(calm.environment, calm.folder, batch_records=200)
        )
        expected = await business_dump(calm)
        assert calm.refused == []
        assert await calm.verified() == []
        assert await unaccounted(calm.observer, sent) == []
        assert {name for name, rows in expected.items() if not rows} == {"jumps"}, (
            "a month in which everything else happens"
        )
        assert len(expected["invoices"]) > 8
        assert len(expected["invoice lines"]) > 100
    async with new_run(own_servers, configure, signed=True) as disturbed:
        keeper = Keeper(disturbed.environment, disturbed.folder)
        sent = await play(disturbed, Workload(seed), keeper, deaths(seed))
        print(f"fired: {dict(keeper.fired)}, restarts: {keeper.restarts}")
        assert keeper.fired == keeper.asked
        assert {point: keeper.fired[point] for point in POINTS} == dict.fromkeys(POINTS, TIMES)
        assert disturbed.refused == []
        assert await disturbed.verified() == []
        assert await unaccounted(disturbed.observer, sent) == []
        differing = differences(expected, await business_dump(disturbed))
        assert not differing, "\n".join(differing)
