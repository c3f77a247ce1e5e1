"""Readers in a test: payments and reconciliation of the connections of `Delivering`."""

import contextlib
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

from services.arg_sync.payments.handlers.polling import PaymentLoop
from services.arg_sync.reconciliation.handlers import ReconciliationLoop
from shared import clock
from tests.ledgers.delivering import Closed, Delivering
from tests.ledgers.fake import FakeServer


class Readers:
    """The payment loop and the reconciliation loop of a worker."""

    def __init__(self, delivering: Delivering, holder: str) -> None:
        self._loops = [
            make(delivering.unit_of_work, delivering.kinds, holder, lambda: 0.5)
            for make in (PaymentLoop, ReconciliationLoop)
        ]

    async def run_until_idle(self) -> None:
        """Read until nothing is due."""
        for loop in self._loops:
            await loop.run_until_idle()

    async def start_due_work(self) -> int:
        """Start what is due; return how many tasks run."""
        return sum([await loop.start_due_work() for loop in self._loops])

    async def drain(self) -> None:
        """End running reads."""
        for loop in self._loops:
            await loop.drain()


@contextlib.asynccontextmanager
async def readers(delivering: Delivering, holder: str = "w1") -> AsyncIterator[Readers]:
    """The reading loops of a worker."""
    made = Readers(delivering, holder)
    try:
        yield made
    finally:
        await made.drain()


async def read_payments(delivering: Delivering) -> None:
    """Time passes, and payments are read until nothing is due."""
    await delivering.rows(
        "UPDATE arg_sync.payment_cursor SET next_at = now(), polling_until = NULL"
    )
    await delivering.rows("UPDATE arg_sync.connection SET open_until = NULL, failures = 0")
    async with readers(delivering) as reader:
        await reader.run_until_idle()


async def reconcile(delivering: Delivering, ledger: str = "gl-us") -> Any:
    """Asks for a reconciliation and does it; its run."""
    answer = await delivering.tell("reconcile", ledger=ledger)
    assert answer["outcome"] == "accepted", answer
    async with readers(delivering) as reader:
        await reader.run_until_idle()
    (run,) = await delivering.rows(
        "SELECT * FROM arg_sync.reconciliation WHERE run_id = :id", id=answer["details"]["run_id"]
    )
    return run


async def open_drifts(delivering: Delivering) -> set[tuple[str, str]]:
    """Code and number of what is open."""
    return {
        (row.code, row.invoice_number)
        for row in await delivering.rows(
            "SELECT code, invoice_number FROM arg_sync.drift WHERE resolved_at IS NULL"
        )
    }


def remote_id(server: FakeServer, number: str) -> str:
    """The id that the ledger gave to a document."""
    return next(one.remote_id for one in server.vendor.journal if one.number == number)


def book(
    server: FakeServer,
    payment: str,
    closed: Closed,
    amount: str | Decimal,
    on: str = "2026-04-20",
    **more: Any,
) -> None:
    """The ledger records a payment."""
    entry = {
        "id": payment,
        "document": remote_id(server, closed.number),
        "number": closed.number,
        "amount": str(amount),
        "currency": "USD",
        "on": on,
    }
    server.vendor.payments.append(entry | more)  # type: ignore[attr-defined]


def today() -> str:
    """The date in UTC."""
    return clock.now().date().isoformat()
