"""The suite of adapters is held against the smallest of them, in each of the four ways in which
a system can keep from doubles.
"""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.ledgers.fake import playing
from tests.ledgers.sample_ledger import SAMPLE, TOKEN, SampleVendor, sample_kind
from tests.ledgers.suite import LedgerSuite, Stage, host

WAYS = {
    "neither": (False, False, 1),
    "number": (False, True, 1),
    "key": (True, False, 1),
    "both": (True, True, 1),
    "drafts": (False, False, 2),
}


class TestToy(LedgerSuite):
    """The sample."""

    @pytest.fixture(params=WAYS.values(), ids=WAYS.keys())
    async def stage(self, request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
        """A server that plays it."""
        vendor = SampleVendor(*request.param)
        async with playing(vendor) as server:
            can = sample_kind(vendor).capabilities
            ports = [
                SAMPLE.make(
                    host(capabilities, {"base_url": server.url}, {"token": TOKEN}, SAMPLE.settings)
                )
                for capabilities in (can, replace(can, request_seconds=0.5))
            ]
            yield Stage(*ports, server, (TOKEN,), {"account": "4000", "tax": "T10"})
            for port in ports:
                await port.close()
