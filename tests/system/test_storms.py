"""Storms of random faults: the result is that of an undisturbed month, to the cent."""

import os
from collections.abc import Iterator

import pytest

from tests.conftest import Configure
from tests.system.driver import Keeper
from tests.system.dump import differences
from tests.system.kill_runs import Servers, business_dump, new_run, servers, unaccounted
from tests.system.storm import Month, Storm
from tests.system.workload import Workload

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.timeout(3 * 3600),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small disk"),
]
SEEDS = [int(seed) for seed in os.environ.get("STORM_SEEDS", "20261130,20261201").split(",")]
"""`STORM_SEEDS=1,2,3` plays other storms."""
ONLY = tuple(name for name in os.environ.get("STORM_ONLY", "").split(",") if name)
"""`STORM_ONLY='full disk'` plays faults of some kinds only."""
DISK_MEGABYTES = 3_000
FAULTS = int(os.environ.get("STORM_FAULTS", "60"))


@pytest.fixture(scope="module")
def own_servers() -> Iterator[Servers]:
    """Servers that this module may kill, on a disk that it may fill."""
    with servers(DISK_MEGABYTES) as made:
        yield made


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_storm_changes_nothing(
    own_servers: Servers, configure: Configure, seed: int
) -> None:
    """Sixty faults while a month is priced, billed, credited and re-priced by signed commands.

    Verify finds nothing, all that was sent is accounted for, nothing of an aborted transaction
    exists, and the business rows are those of the undisturbed run of the seed.
    """
    results = []
    for faults in (0, FAULTS):
        async with new_run(own_servers, configure, signed=True) as run:
            keeper = Keeper(run.environment, run.folder)
            storm = Storm(run, keeper, seed, faults, ONLY)
            await storm.play(Month(Workload(seed, documents=600, offices=8)).phases())
            print(f"seed {seed}: {dict(storm.happened)}, restarts: {keeper.restarts}")
            assert storm.happened.total() == faults
            assert run.refused == []
            assert await run.verified() == []
            assert await unaccounted(run.observer, storm.sent) == []
            results.append(await business_dump(run))
    calm, stormy = results
    assert len(calm["invoices"]) > 20 and calm["open lines"]
    differing = differences(calm, stormy)
    assert not differing, "\n".join(differing)
