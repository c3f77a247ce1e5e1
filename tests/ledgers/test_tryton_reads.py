"""Payments and reconciliation against a real Tryton: what was injected into its database is
found, and nothing else.
"""

import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from services.arg_sync.ledgers.adapter import FrozenRequest
from services.arg_sync.ledgers.tryton import LEDGER
from services.console.queries.ageing import ageing
from services.console.queries.invoices import invoice
from services.invoicer.payments.handlers.read_back import SUBSCRIPTION
from shared.consumer.records import Record
from shared.stack.choice import Database
from tests.builders import COMPANY
from tests.conftest import Configure, EngineOf, UnitOfWorkFor, as_console, process
from tests.ledgers.bookkeeper import Bookkeeper
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
    await made.deliver(seconds=300.0)
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
    """What Tryton's wizard records and what a move without an origin pays, each once; a credit note
    that was applied is not money.
    """
    ids = {
        row.invoice_number: int(row.remote_id)
        for row in await delivering.rows("SELECT invoice_number, remote_id FROM arg_sync.delivery")
    }
    bookkeeper = Bookkeeper(server)
    await bookkeeper.pay_by_wizard(ids["INV-2"], "10.00")
    await bookkeeper.pay_by_move(ids["INV-3"], "20.00")
    await bookkeeper.pay_by_wizard(ids["INV-2"], "1.50")
    await bookkeeper.port.close()
    for _ in range(2):
        await read_payments(delivering)
    stored = await delivering.rows(
        "SELECT invoice_number, amount, currency, paid_on FROM arg_sync.payment"
        " WHERE invoice_id IS NOT NULL ORDER BY amount"
    )
    assert [tuple(row) for row in stored] == [
        ("INV-2", Decimal("1.50"), "USD", date(2026, 3, 31)),
        ("INV-2", Decimal("10.00"), "USD", date(2026, 3, 31)),
        ("INV-3", Decimal("20.00"), "USD", date(2026, 3, 31)),
    ]
    (row,) = await delivering.rows("SELECT failures, message FROM arg_sync.payment_cursor")
    assert row.failures == 0, row.message
    assert any(one.kind == "credit-note" for one in delivering.closed)


async def remote_ids(delivering: Delivering) -> dict[str, int]:
    """The id in Tryton by number."""
    return {
        row.invoice_number: int(row.remote_id)
        for row in await delivering.rows("SELECT invoice_number, remote_id FROM arg_sync.delivery")
    }


async def paid(delivering: Delivering) -> dict[str, Decimal]:
    """What is stored as paid by number."""
    rows = await delivering.rows(
        "SELECT invoice_number, sum(amount) AS paid FROM arg_sync.payment"
        " WHERE invoice_number NOT LIKE '%/old/%' GROUP BY invoice_number"
    )
    return {row.invoice_number: row.paid for row in rows}


async def test_every_way_to_pay_is_read(
    delivering: Delivering, server: TrytonServer, unit_of_work_for: UnitOfWorkFor
) -> None:
    """Wizard in whole and in part, write-off, bank statement, reconciled by hand, cancelled later,
    linked later, in another currency: paid here is what Tryton says is settled, to the cent, and
    the balances and the ageing follow from it.
    """
    ids = await remote_ids(delivering)
    by_hand = Bookkeeper(server)
    total = {one.number: one.total for one in delivering.closed}
    await by_hand.pay_by_wizard(ids["INV-2"], str(total["INV-2"]))
    await by_hand.pay_by_wizard(ids["INV-3"], str(total["INV-3"] - 1), write_off=True)
    await by_hand.enter_statement(ids["INV-4"], str(total["INV-4"]))
    await by_hand.pay_by_wizard(ids["INV-5"], "100.00")
    await by_hand.reconcile(ids["INV-6"], str(total["INV-6"]))
    await by_hand.enter_statement(ids["INV-7"], "7.50")
    await by_hand.add_euro()
    euro = await deliver_euro(delivering, server)
    await by_hand.pay_by_wizard(euro, "60.00")
    await read_payments(delivering)
    found = await paid(delivering)
    assert found.pop("EUR-1") == Decimal("60.00")
    assert found == {
        **{number: total[number] for number in ("INV-2", "INV-3", "INV-4", "INV-6")},
        "INV-5": Decimal("100.00"),
        "INV-7": Decimal("7.50"),
    }
    await by_hand.cancel_payment(ids["INV-5"])
    await by_hand.pay_by_move(ids["INV-8"], "20.00")
    await read_payments(delivering)
    (before,) = await delivering.rows("SELECT count(*) AS n FROM arg_sync.payment")
    await read_payments(delivering)
    assert await delivering.rows("SELECT count(*) AS n FROM arg_sync.payment") == [before]
    found = await paid(delivering)
    assert (found["INV-5"], found["INV-8"]) == (0, Decimal("20.00"))
    await record(delivering, unit_of_work_for)
    for number in (f"INV-{no}" for no in range(2, INVOICES + 1)):
        whole, left = await by_hand.left(ids[number])
        assert found[number] == whole - left, number
        async with as_console(delivering.engine_of("console")) as connection:
            assert (await invoice(connection, number))["balance"] == left, number
    async with as_console(delivering.engine_of("console")) as connection:
        (owed,) = (await ageing(connection, COMPANY, date(2026, 12, 31)))["totals"]
    open_ones = [await by_hand.left(ids[number]) for number in ("INV-5", "INV-7", "INV-8")]
    assert owed["total"] == sum(left for _, left in open_ones)
    await by_hand.port.close()


async def deliver_euro(delivering: Delivering, server: TrytonServer) -> int:
    """An invoice in euro, as another program of ours would make it; its id."""
    row = await delivering.delivery("INV-2")
    port = LEDGER.make(
        host(LEDGER.capabilities, server.settings, {"password": PASSWORD}, LEDGER.settings)
    )
    body = json.loads(row.request) | {"reference": "EUR-1", "currency": "EUR"}
    request = FrozenRequest("euro", json.dumps(body), "invoice", "EUR-1")
    (found,) = await port.create([request])
    await port.post(found.remote_id, "invoice")  # type: ignore[union-attr]
    await port.close()
    return int(found.remote_id)  # type: ignore[union-attr]


async def record(delivering: Delivering, unit_of_work_for: UnitOfWorkFor) -> None:
    """The invoicer consumes every published payment."""
    records = [
        Record("payment-recorded", 0, at, one.key.encode(), one.value)
        for at, one in enumerate(delivering.said("payment-recorded"))
    ]
    await process(unit_of_work_for("invoicer"), SUBSCRIPTION, records)
