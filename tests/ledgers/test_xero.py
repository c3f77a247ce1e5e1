"""The Xero adapter: the suite of all adapters, and what is Xero's own."""

from collections.abc import AsyncIterator

import pytest

from services.arg_sync.ledgers.xero import LEDGER
from tests.ledgers.stages import staged
from tests.ledgers.suite import LedgerSuite, Stage
from tests.ledgers.vendors.xero import BASE, TENANT, XeroVendor


class TestXero(LedgerSuite):
    """Xero."""

    @pytest.fixture
    async def stage(self) -> AsyncIterator[Stage]:
        """A server that plays it."""
        async with staged(LEDGER, XeroVendor(), {"tenant_id": TENANT}, {"account": "200", "tax": "OUTPUT"}, BASE) as stage:
            yield stage
