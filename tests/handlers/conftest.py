"""Fixtures of handler tests: those of `tests.ledgers.delivering`, pauses, the sample service."""

from pathlib import Path

import pytest

from shared.broker.acls import ADMIN
from shared.consumer.unit_of_work import UnitOfWork
from tests.conftest import Configure, EngineOf, UnitOfWorkFor
from tests.kafka_users import as_user
from tests.ledgers.delivering import delivering, sample
from tests.running import Pauses
from tests.sample_service import SERVICE, SampleService, make_table

__all__ = ["delivering", "pauses", "sample"]


@pytest.fixture
def pauses(configure: Configure, tmp_path: Path) -> Pauses:
    """Pauses of this process."""
    configure(pause=tmp_path)
    return Pauses(tmp_path)


@pytest.fixture
async def unit_of_work(engine_of: EngineOf, unit_of_work_for: UnitOfWorkFor) -> UnitOfWork:
    """The sample service's transactions."""
    await make_table(engine_of("owner"))
    return unit_of_work_for(SERVICE, {"sample": SampleService().say})


@pytest.fixture
async def sample_setup(
    engine_of: EngineOf, stack: dict[str, str], configure: Configure
) -> dict[str, str]:
    """The sample table, topics of this test, and a worker that looks around often.

    It consumes and publishes what no service may, so it is `admin`.
    """
    await make_table(engine_of("owner"))
    configure(sweep_seconds=0.3)
    return as_user(stack, ADMIN)
