"""The Business Central adapter: the suite of all adapters, and what is Business Central's own."""

from collections.abc import AsyncIterator

import pytest

from tests.ledgers.stages import central_stage
from tests.ledgers.suite import LedgerSuite, Stage


class TestBusinessCentral(LedgerSuite):
    """Business Central."""

    @pytest.fixture
    async def stage(self) -> AsyncIterator[Stage]:
        """A server that plays it."""
        async with central_stage() as stage:
            yield stage
