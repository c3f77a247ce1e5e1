"""Payments and reconciliation against a real Tryton: what was injected into its database is
found, and nothing else.
"""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

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
CASH = ["code", "=", "1.1.1"]
DAY = {"__class__": "date", "year": 2026, "month": 3, "day": 31}
FIRST = DAY | {"day": 1}


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


class Bookkeeper:
    """A person who records payments in Tryton, by its own wizard and as plain moves."""

    def __init__(self, server: TrytonServer) -> None:
        self.port: Any = LEDGER.make(
            host(LEDGER.capabilities, server.settings, {"password": PASSWORD}, LEDGER.settings)
        )

    async def one(self, model: str, *domain: Any) -> int:
        """The id of a record."""
        rows = await self.port._search(f"model.{model}", list(domain), ["id"])
        an_id: int = rows[0]["id"]
        return an_id

    async def add(self, model: str, **values: Any) -> int:
        """A new record."""
        (an_id,) = await self.port._call(f"model.{model}.create", [values], writes=True)
        assert isinstance(an_id, int)
        return an_id

    async def pay_by_wizard(self, invoice: int, amount: str) -> None:
        """The button Pay: a part of what is open."""
        company, cash = await self.port._company(), await self.one("account.account", CASH)
        journal = await self.one("account.journal", ["type", "=", "cash"])
        accounts = {"credit_account": cash, "debit_account": cash}
        method = await self.add(
            "account.invoice.payment.method",
            name=f"Cash {invoice}",
            company=company,
            journal=journal,
            **accounts,
        )
        on = {"active_model": "account.invoice", "active_id": invoice, "active_ids": [invoice]}
        pay, call = "wizard.account.invoice.pay", self.port._call
        session, *_ = await call(f"{pay}.create", writes=True)
        shown = await call(f"{pay}.execute", session, {}, "start", writes=True, more=on)
        start = shown["view"]["defaults"] | {
            "amount": {"__class__": "Decimal", "decimal": amount},
            "payment_method": method,
            "date": DAY,
        }
        start = {name: value for name, value in start.items() if "." not in name}
        await call(f"{pay}.execute", session, {"start": start}, "choice", writes=True, more=on)
        ask = {"ask": {"type": "partial"}}
        await call(f"{pay}.execute", session, ask, "pay", writes=True, more=on)

    async def pay_by_move(self, invoice: int, amount: str) -> None:
        """A move without an origin, and its line among the payments of the invoice."""
        fields = ["account", "party"]
        (row,) = await self.port._call("model.account.invoice.read", [invoice], fields)
        cash = await self.one("account.account", CASH)
        worth, nothing = ({"__class__": "Decimal", "decimal": each} for each in (amount, "0"))
        mine = {"account": row["account"], "party": row["party"], "debit": nothing, "credit": worth}
        move = await self.add(
            "account.move",
            journal=await self.one("account.journal", ["type", "=", "cash"]),
            period=await self.one("account.period", ["start_date", "=", FIRST]),
            date=DAY,
            company=await self.port._company(),
            lines=[["create", [mine, {"account": cash, "debit": worth, "credit": nothing}]]],
        )
        await self.port._call("model.account.move.post", [move], writes=True)
        line = await self.one(
            "account.move.line", ["move", "=", move], ["account", "=", row["account"]]
        )
        added = {"payment_lines": [["add", [line]]]}
        await self.port._call("model.account.invoice.write", [invoice], added, writes=True)


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
