"""The QuickBooks adapter: the suite of all adapters, and what is QuickBooks' own."""

from collections.abc import AsyncIterator

import pytest

from services.arg_sync.ledgers.quickbooks import LEDGER
from tests.ledgers.stages import staged
from tests.ledgers.suite import LedgerSuite, Stage
from tests.ledgers.vendors.quickbooks import REALM, QuickBooksVendor


class TestQuickBooks(LedgerSuite):
    """QuickBooks."""

    @pytest.fixture
    async def stage(self) -> AsyncIterator[Stage]:
        """A server that plays it."""
        async with staged(
            LEDGER,
            QuickBooksVendor(),
            {"realm_id": REALM},
            {"account": "4000", "item": "11", "tax": "3"},
        ) as stage:
            yield stage
