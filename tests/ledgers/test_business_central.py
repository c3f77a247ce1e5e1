"""The Business Central adapter: the suite of all adapters, and what is Business Central's own."""

from collections.abc import AsyncIterator

import pytest

from services.arg_sync.ledgers.business_central import LEDGER
from tests.ledgers.stages import staged
from tests.ledgers.suite import LedgerSuite, Stage
from tests.ledgers.vendors.business_central import COMPANY, TENANT, BusinessCentralVendor


class TestBusinessCentral(LedgerSuite):
    """Business Central."""

    @pytest.fixture
    async def stage(self) -> AsyncIterator[Stage]:
        """A server that plays it."""
        async with staged(
            LEDGER,
            BusinessCentralVendor(),
            {"tenant": TENANT, "company_id": COMPANY},
            {"account": "6110", "tax": "T10"},
        ) as stage:
            yield stage
