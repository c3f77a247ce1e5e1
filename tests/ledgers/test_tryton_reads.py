"""Payments and reconciliation against a real Tryton: what was injected into its database is
found, and nothing else.
"""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from services.arg_sync.ledgers.adapter import FrozenRequest
from services.arg_sync.ledgers.tryton import LEDGER
from shared.stack.choice import Database
from tests.conftest import Configure, EngineOf, UnitOfWorkFor
from tests.ledgers.delivering import Delivering, with_private_key
from tests.ledgers.reads import open_drifts, read_payments, reconcile
from tests.ledgers.suite import host
from tests.ledgers.tryton_server import ACCOUNT, PASSWORD, TAX, TrytonServer, tryton

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
ANYWAY = "DO $$ BEGIN SET LOCAL session_replication_role = replica; {} END $$"
INVOICES = 8


@pytest.fixture(scope="module")
def server(postgres: Database, server_folder: Path) -> Iterator[TrytonServer]:
    """One Tryton for the module."""
    with tryton(postgres.admin_url, server_folder / "tryton-reads") as running:
        yield running


@pytest.fixture
async def delivering(
    engine_of: EngineOf,
    unit_of_work_for: UnitOfWorkFor,
    configure: Configure,
    server: TrytonServer,
    tmp_path: Path,
) -> Delivering:
    """Eight invoices of two customers and a credit note, delivered to Tryton."""
    with_private_key(configure, tmp_path / "data")
    await server.rename_all()
    made = Delivering(engine_of, unit_of_work_for)
    await made.connect(
        LEDGER,
        server.url,
        **{name: value for name, value in server.settings.items() if name != "base_url"},
    )
    await made.seal({"password": PASSWORD})
    await made.map(account=ACCOUNT, tax=TAX)
    first = await made.close("INV-1", due=date(2099, 12, 31))
    for at in range(2, INVOICES + 1):
        await made.close(f"INV-{at}", account=f"Client {at % 2}", due=date(2099, 12, 31))
    await made.close("CN-9", credits=first, due=date(2099, 12, 31))
    await made.queue()
    await made.deliver()
    assert set((await made.states()).values()) == {"posted"}, await made.rows(
        "SELECT invoice_number, message FROM arg_sync.delivery"
    )
    return made


async def again(delivering: Delivering, server: TrytonServer, number: str) -> None:
    """Another program enters the same document once more, and posts it."""
    row = await delivering.delivery(number)
    port = LEDGER.make(
        host(LEDGER.capabilities, server.settings, {"password": PASSWORD}, LEDGER.settings)
    )
    (found,) = await port.create([FrozenRequest(row.request_key, row.request, "invoice", number)])
    await port.post(found.remote_id, "invoice")  # type: ignore[union-attr]
    await port.close()


async def test_each_injected_drift_is_found_and_no_other(
    delivering: Delivering, server: TrytonServer
) -> None:
    """A total that was edited, a customer that was merged, cancelled, deleted, entered twice,
    renumbered: each found with a fix, the rest quiet.
    """
    run = await reconcile(delivering)
    assert (run.state, run.documents, run.unread) == ("done", INVOICES + 1, 0), run.message
    assert await open_drifts(delivering) == set()
    ids = {
        row.invoice_number: int(row.remote_id)
        for row in await delivering.rows("SELECT invoice_number, remote_id FROM arg_sync.delivery")
    }
    await server.rows(
        "UPDATE account_invoice SET total_amount_cache = total_amount_cache + 1 WHERE id = $1",
        ids["INV-2"],
    )
    await server.rows(
        "UPDATE account_invoice SET party = (SELECT id FROM party_party WHERE name = 'Client 1')"
        " WHERE id = $1",
        ids["INV-4"],
    )
    await server.rows("UPDATE account_invoice SET state = 'cancelled' WHERE id = $1", ids["INV-3"])
    await server.rows(ANYWAY.format(f"DELETE FROM account_invoice WHERE id = {ids['INV-5']};"))
    await again(delivering, server, "INV-6")
    await server.rows("UPDATE account_invoice SET reference = 'X-7' WHERE id = $1", ids["INV-7"])
    injected = {
        ("edited", "INV-2"),
        ("customer-changed", "INV-4"),
        ("voided", "INV-3"),
        ("deleted", "INV-5"),
        ("duplicated", "INV-6"),
        ("edited", "INV-7"),
    }
    before = await server.rows(
        "SELECT id, state, reference, party FROM account_invoice ORDER BY id"
    )
    for _ in range(2):
        run = await reconcile(delivering)
        assert run.state == "done", run.message
        assert await open_drifts(delivering) == injected
        assert len(delivering.said("ledger-drift-found")) == len(injected)
    assert (
        await server.rows("SELECT id, state, reference, party FROM account_invoice ORDER BY id")
        == before
    ), "nothing is changed there"


async def test_what_could_not_be_read_is_not_deleted(
    delivering: Delivering, server: TrytonServer
) -> None:
    """Tryton is killed: no drift; when it is back, all is well."""
    server.kill()
    run = await reconcile(delivering)
    assert run.state == "waiting" and await open_drifts(delivering) == set()
    server.start()
    await delivering.rows("UPDATE arg_sync.connection SET open_until = NULL, failures = 0")
    await delivering.rows("UPDATE arg_sync.reconciliation SET next_at = now()")
    run = await reconcile(delivering)
    assert run.state == "done" and await open_drifts(delivering) == set()


async def test_payments_are_read_once(delivering: Delivering, server: TrytonServer) -> None:
    """What Tryton has no payment of gives none: a credit note that was applied is not money."""
    for _ in range(2):
        await read_payments(delivering)
    assert (
        await delivering.rows(
            "SELECT payment_id FROM arg_sync.payment WHERE invoice_id IS NOT NULL"
        )
        == []
    )
    (row,) = await delivering.rows("SELECT failures, message FROM arg_sync.payment_cursor")
    assert row.failures == 0, row.message
    assert (
        sum((one.total for one in delivering.closed if one.kind == "credit-note"), Decimal(0)) > 0
    )
