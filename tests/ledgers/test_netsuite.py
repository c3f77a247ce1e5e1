"""The NetSuite adapter: the suite of all adapters, and what is NetSuite's own."""

from collections.abc import AsyncIterator

import pytest
from joserfc.jwk import ECKey

from services.arg_sync.ledgers.netsuite import LEDGER
from tests.ledgers.stages import staged
from tests.ledgers.suite import LedgerSuite, Stage
from tests.ledgers.vendors.netsuite import NetSuiteVendor

SETTINGS = {"account_id": "123456_SB1", "certificate_id": "cert-1", "currencies": "USD=1,EUR=4"}


class TestNetSuite(LedgerSuite):
    """NetSuite."""

    @pytest.fixture
    async def stage(self) -> AsyncIterator[Stage]:
        """A server that plays it, with a key pair of its own."""
        pair = ECKey.generate_key("P-256")
        vendor = NetSuiteVendor()
        vendor.login.certificate = pair
        secrets = {"private_key": pair.as_pem(private=True).decode()}
        async with staged(
            LEDGER, vendor, SETTINGS, {"account": "4000", "item": "42", "tax": "5"}, secrets=secrets
        ) as stage:
            yield stage
