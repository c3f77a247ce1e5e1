"""Fixtures of the tests with extreme values: the services that answer, and the tables."""

import pytest

from services.arg_sync import app as arg_sync
from services.fee_realizer import app as fee_realizer
from services.invoicer import app as invoicer
from tests.conftest import EngineOf, UnitOfWorkFor
from tests.in_process import Pipeline
from tests.running import Observer


@pytest.fixture
def pipeline(unit_of_work_for: UnitOfWorkFor) -> Pipeline:
    """The services that answer commands, in one process."""
    return Pipeline(
        unit_of_work_for, services=[fee_realizer.service(), invoicer.service(), arg_sync.service()]
    )


@pytest.fixture
def observer(engine_of: EngineOf) -> Observer:
    """The tables."""
    return Observer(engine_of)
