"""Reconciliation and payments of each vendor on the fault server: what was injected is found,
and of an untouched ledger nothing.
"""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.ledgers.delivering import Delivering
from tests.ledgers.fake import Fault, playing
from tests.ledgers.reads import open_drifts, read_payments, reconcile, remote_id
from tests.ledgers.test_random_runs import PLAYED, connected

Stored = dict[str, dict[str, Any]]
INVOICES_OF: dict[str, tuple[Callable[[Any], Stored], str]] = {
    "xero": (lambda vendor: vendor.documents, "Total"),
    "quickbooks": (lambda vendor: vendor.things["Invoice"], "TotalAmt"),
    "business-central": (lambda vendor: vendor.documents, "totalAmountIncludingTax"),
    "netsuite": (lambda vendor: vendor.records["invoice"], "total"),
}
"""Where a vendor of the tests keeps its invoices, by id, and under which name their total."""


@pytest.mark.parametrize("name", sorted(PLAYED))
async def test_each_injected_drift_is_found_and_no_other(delivering: Delivering, name: str) -> None:
    """Untouched: nothing.

    One deleted, one edited by a cent, one entered anew under our number by another program: these,
    and no other.
    """
    played = PLAYED[name]
    can = replace(played.kind.capabilities, per_minute=None, per_day=None)
    async with playing(played.vendor()) as server:
        await connected(
            delivering, replace(played, kind=replace(played.kind, capabilities=can)), server
        )
        first = await delivering.close("INV-1")
        for at in range(2, 6):
            await delivering.close(f"INV-{at}")
        await delivering.close("CN-6", credits=first)
        await delivering.queue()
        await delivering.deliver()
        assert set((await delivering.states()).values()) == {"posted"}
        await read_payments(delivering)
        (poll,) = await delivering.rows("SELECT failures, message FROM arg_sync.payment_cursor")
        assert poll.failures == 0, poll.message
        assert delivering.said("payment-recorded") == [], (
            "a credit note that was applied is not money"
        )
        run = await reconcile(delivering)
        assert (run.state, run.documents, run.unread) == ("done", 6, 0), run.message
        assert await open_drifts(delivering) == set()
        kept, total = INVOICES_OF[name]
        stored = kept(server.vendor)
        del stored[remote_id(server, "INV-2")]
        stored[remote_id(server, "INV-3")][total] += Decimal("0.01")
        injected = {("deleted", "INV-2"), ("edited", "INV-3")}
        if name == "business-central":
            an_id = remote_id(server, "INV-4")
            stored["00000000-0000-0000-0000-0000000000aa"] = stored[an_id] | {
                "id": "00000000-0000-0000-0000-0000000000aa"
            }
            injected.add(("duplicated", "INV-4"))
        for _ in range(2):
            assert (await reconcile(delivering)).state == "done"
            assert await open_drifts(delivering) == injected
        assert len(delivering.said("ledger-drift-found")) == len(injected)


async def test_the_second_draft_of_the_stated_window_is_found(delivering: Delivering) -> None:
    """Business Central carries a create out long after we gave up: the second draft is reported,
    with what to delete.
    """
    played = PLAYED["business-central"]
    times = {"request_seconds": 0.5, "server_seconds": 0.2, "per_minute": None}
    async with playing(played.vendor()) as server:
        await connected(
            delivering,
            replace(
                played,
                kind=replace(played.kind, capabilities=replace(played.kind.capabilities, **times)),
            ),
            server,
        )
        await delivering.close("INV-1")
        await delivering.queue()
        server.plan(Fault("late", 60.0))
        await delivering.deliver()
        assert (await delivering.states()) == {"INV-1": "unknown"}
        await delivering.hurry()
        await delivering.deliver()
        assert (await delivering.states()) == {"INV-1": "posted"}
        late = next(iter(server._late))
        late.cancel()
        stored = server.vendor.documents  # type: ignore[attr-defined]
        an_id = remote_id(server, "INV-1")
        stored["late"] = stored[an_id] | {"id": "late", "status": "Draft"}
        await reconcile(delivering)
        (row,) = await delivering.rows("SELECT code, remote_id, fix FROM arg_sync.drift")
        assert (row.code, row.remote_id) == (
            "duplicated",
            "late",
        ) and "delete the draft late" in row.fix
