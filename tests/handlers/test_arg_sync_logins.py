"""What a wrong key does in a minute, an hour and a night: one login, whatever waits for it.

The vendor counts as Tryton does (`get_login` in its res/user.py): an account with more than five
failed logins in the window is locked, and a login of a locked account counts, too.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from joserfc.jwk import ECKey

from services.arg_sync.connections.handlers.adapters import (
    CACHE_SECONDS,
    TOKEN_TRIES,
    AdapterPool,
)
from services.arg_sync.connections.rules import LOGIN_WINDOW_SECONDS, LOGINS_AT_ONCE
from services.arg_sync.connections.store import connections
from services.arg_sync.deliveries.handlers.delivery_loop import DeliveryLoop
from services.arg_sync.ledgers.failures import LOGIN_REFUSED, Failure
from services.arg_sync.ledgers.registry import adapter_specs
from services.arg_sync.payments.handlers.polling import PaymentLoop
from services.arg_sync.reconciliation.handlers import ReconciliationLoop
from services.console.queries import deliveries as shown
from services.console.queries.snapshot import open_snapshot
from tests.builders import COMPANY
from tests.ledgers.delivering import LEDGER, Delivering, sealed_for
from tests.ledgers.fake import Asked, FakeServer, Fault, Reply, Written, playing
from tests.ledgers.vendors import business_central as central
from tests.ledgers.vendors import sage_intacct as intacct
from tests.ledgers.vendors.login import CLIENT_ID, CLIENT_SECRET

MINUTE, HOUR, NIGHT = 60, 3600, 10 * 3600
MOST_FAILED, WINDOW = 5, 3600
WRONG, RIGHT = "canary-wrong-1", "canary-right-1"
OF_KIND: dict[str, tuple[dict[str, str], str]] = {
    "tryton": ({"database": "ledger", "user": "clerk"}, "password"),
    "xero": ({"tenant_id": "t-1", "client_id": "c-1"}, "client_secret"),
    "quickbooks": ({"realm_id": "r-1", "client_id": "c-1"}, "client_secret"),
    "business-central": (
        {"tenant": "t-1", "company_id": "c-1", "client_id": "c-1"},
        "client_secret",
    ),
    "netsuite": (
        {
            "account_id": "123456",
            "client_id": "c-1",
            "certificate_id": "x-1",
            "currencies": "USD=1",
        },
        "private_key",
    ),
    "sage-intacct": (
        {"sender_id": "s-1", "company_id": "c-1", "user_id": "u-1", "base_currency": "USD"},
        "user_password",
    ),
}
"""Settings of each kind, and the name of its secret."""
OTHER_SECRETS = {
    "quickbooks": {"refresh_token": "canary-refresh"},
    "sage-intacct": {"sender_password": "canary-sender"},
}
LOGIN_BODIES = (b"common.db.login", b"<login>")
"""Of Tryton, and of Sage Intacct, where each call has the passwords."""


@dataclass
class LockingVendor:
    """Knows logins only; `now` is its clock in seconds."""

    journal: list[Written] = field(default_factory=list)
    failed: list[float] = field(default_factory=list)
    now: float = 0.0
    logins: int = 0
    let_in: int = 0
    others: int = 0

    def makes_document(self, asked: Asked) -> bool:
        """Never: no document gets that far."""
        return False

    def handle(self, asked: Asked) -> Reply:
        """Admit the right password if the account is not locked."""
        if asked.path != "/token" and not any(each in asked.body for each in LOGIN_BODIES):
            self.others += 1
            return Reply.of(200, {"id": 1, "error": ["UserError", ["Closed for today.", ""]]})
        self.logins += 1
        locked = len([at for at in self.failed if at > self.now - WINDOW]) > MOST_FAILED
        if not locked and RIGHT.encode() in asked.body:
            self.let_in += 1
            return Reply.of(200, {"id": 1, "result": [1, "session", None]})
        self.failed.append(self.now)
        return Reply.of(429 if locked else 401, {"error": "invalid_client"})

    def refusal(self, asked: Asked, *, in_200: bool) -> Reply:
        """Not used."""
        raise NotImplementedError

    def with_wrong_amount(self, asked: Asked) -> Reply:
        """Not used."""
        raise NotImplementedError


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    """The vendor on its port."""
    async with playing(LockingVendor()) as made:
        yield made


def secrets_of(kind: str, value: str) -> dict[str, str]:
    """The secret of a kind; a private key is of a person unknown to the vendor."""
    name = OF_KIND[kind][1]
    if name == "private_key":
        value = ECKey.generate_key("P-256").as_pem(private=True).decode()
    return {name: value} | OTHER_SECRETS.get(kind, {})


async def connect(delivering: Delivering, server: FakeServer, kind: str, value: str) -> None:
    """Connect as an operator does."""
    spec = adapter_specs()[kind]
    delivering.kinds[kind] = spec
    settings = OF_KIND[kind][0] | {"base_url": server.url}
    if any(each.name == "token_url" for each in spec.settings):
        settings["token_url"] = f"{server.url}/token"
    defaults = {
        each.name: each.default for each in spec.settings if each.default and not each.secret
    }
    sealed = sealed_for(spec, defaults | settings, secrets_of(kind, value))
    answer = await delivering.tell(
        "connect-ledger",
        ledger=LEDGER,
        kind=kind,
        billing_company=COMPANY,
        settings=settings,
        sealed_secrets=sealed,
        auto_sync=True,
    )
    assert answer["outcome"] == "accepted", answer


@contextlib.asynccontextmanager
async def two_workers(delivering: Delivering) -> AsyncIterator[list[Any]]:
    """Every loop of two workers."""
    loops = [
        make(delivering.unit_of_work, delivering.kinds, holder, lambda: 0.5)
        for holder in ("w1", "w2")
        for make in (DeliveryLoop, PaymentLoop, ReconciliationLoop)
    ]
    try:
        yield loops
    finally:
        for loop in loops:
            await loop.drain()


async def live(
    delivering: Delivering, server: FakeServer, loops: list[Any], seconds: int, step: int
) -> None:
    """Let time pass here and at the vendor, and do whatever is due after each step."""
    vendor = vendor_of(server)
    for _ in range(seconds // step):
        await asyncio.gather(*(loop.run_until_idle() for loop in loops))
        vendor.now += step
        await delivering.pass_time(step)
    await asyncio.gather(*(loop.run_until_idle() for loop in loops))


def vendor_of(server: FakeServer) -> LockingVendor:
    """The vendor on this server."""
    assert isinstance(server.vendor, LockingVendor)
    return server.vendor


async def shown_ledger(database: str) -> Mapping[str, Any]:
    """The connection as `ledger status` reads it."""
    async with open_snapshot(database) as connection:
        (found,) = await shown.ledgers(connection)
    return found


@pytest.mark.parametrize("kind", OF_KIND)
async def test_a_wrong_key_is_one_login_in_a_minute_an_hour_and_a_night(
    delivering: Delivering, server: FakeServer, database: str, kind: str
) -> None:
    """A check, deliveries, payments and a reconciliation of two workers wait for it."""
    vendor = vendor_of(server)
    for no in range(1, 4):
        await delivering.close(f"INV-{no}")
    await connect(delivering, server, kind, WRONG)
    await delivering.map(account="4000", tax="T10")
    await delivering.queue()
    assert (await delivering.tell("reconcile", ledger=LEDGER))["outcome"] == "accepted"
    async with two_workers(delivering) as loops:
        counted = []
        for seconds, step in ((MINUTE, 60), (HOUR, 1800), (NIGHT, NIGHT // 3)):
            await live(delivering, server, loops, seconds, step)
            counted.append((vendor.logins, vendor.others))
    assert counted == [(1, 0)] * 3
    found = await shown_ledger(database)
    assert found["state"] == "login refused" and "backoffice ledger connect" in found["message"]
    assert WRONG not in json.dumps(dict(found), default=str)
    assert set((await delivering.states()).values()) == {"queued"}
    refused = await delivering.tell("reconcile", command_id="late", ledger=LEDGER)
    assert "cannot log in" in refused["message"]


async def test_a_password_that_ends_in_use_is_refused_once_for_all_workers(
    delivering: Delivering,
) -> None:
    """Sage Intacct takes the password with each call. Two workers were admitted, then it is another
    one: what the first is refused, the second does not try a second later.
    """
    vendor = intacct.IntacctVendor()
    async with playing(vendor) as server:
        spec = adapter_specs()["sage-intacct"]
        await delivering.connect(spec, server.url + intacct.PATH, **intacct.SETTINGS)
        await delivering.seal(intacct.SECRETS)
        engine = delivering.unit_of_work.engine
        async with engine.connect() as connection:
            ledger = await connections.connection_for(connection, LEDGER)
        assert ledger is not None
        pools = [AdapterPool(engine, delivering.kinds) for _ in range(2)]
        opened = [await pool.adapter_for(ledger) for pool in pools]
        for each in opened:
            await each.call(each.adapter.check)
        vendor.passwords["user_password"] = "another"
        for each in opened:
            await asyncio.sleep(CACHE_SECONDS)
            with pytest.raises(Failure) as failed:
                await each.call(each.adapter.check)
            assert failed.value.failure == "auth" and failed.value.code == LOGIN_REFUSED
        for pool in pools:
            await pool.close()
    assert vendor.refused == 1


async def test_a_person_may_try_again_but_not_until_the_account_is_locked(
    delivering: Delivering, server: FakeServer, database: str
) -> None:
    """Each test is one login; the third refusal in a row makes the next one wait, and it says so.

    The right password, given in time, is used at once.
    """
    vendor = vendor_of(server)
    await connect(delivering, server, "tryton", WRONG)
    async with two_workers(delivering) as loops:
        await live(delivering, server, loops, 0, 1)
        for no in range(6):
            await delivering.tell("test-ledger", command_id=f"test-{no}", ledger=LEDGER)
            await live(delivering, server, loops, 0, 1)
        assert vendor.logins == LOGINS_AT_ONCE
        found = await shown_ledger(database)
        assert found["check_message"].startswith("login_waits: the next login is tried at ")
        assert found["state"] == "login refused"
        await live(delivering, server, loops, int(LOGIN_WINDOW_SECONDS), 1300)
        assert vendor.logins == LOGINS_AT_ONCE, "time alone changes nothing"
        await connect(delivering, server, "tryton", RIGHT)
        await live(delivering, server, loops, 0, 1)
    assert vendor.let_in and vendor.logins == LOGINS_AT_ONCE + vendor.let_in
    assert (await shown_ledger(database))["state"] == "connected"


async def test_the_waits_outlast_the_window_of_a_locked_account(
    delivering: Delivering, server: FakeServer, database: str
) -> None:
    """Another program locked the account, and every login of ours keeps it locked for an hour more:
    ours wait longer each time, until one is let in.
    """
    vendor = vendor_of(server)
    vendor.failed = [0.0] * (MOST_FAILED + 1)
    await connect(delivering, server, "tryton", RIGHT)
    await delivering.close("INV-1")
    await delivering.map(account="4000")
    await delivering.queue()
    async with two_workers(delivering) as loops:
        await live(delivering, server, loops, 0, 1)
        assert (vendor.logins, vendor.let_in) == (1, 0)
        found = await shown_ledger(database)
        assert found["resting"] and "the next login is tried at" in found["circuit_message"]
        await live(delivering, server, loops, 3 * HOUR, 900)
    assert vendor.let_in and vendor.logins - vendor.let_in <= MOST_FAILED
    assert (await shown_ledger(database))["state"] == "connected"


@contextlib.asynccontextmanager
async def with_central(
    delivering: Delivering,
) -> AsyncIterator[tuple[FakeServer, central.BusinessCentralVendor]]:
    """Business Central is connected, and two invoices are queued."""
    vendor = central.BusinessCentralVendor(posts_too=True)
    async with playing(vendor) as server:
        await delivering.connect(
            adapter_specs()["business-central"],
            server.url,
            token_url=f"{server.url}/token",
            client_id=CLIENT_ID,
            tenant=central.TENANT,
            company_id=central.COMPANY,
            environment="Production",
        )
        await delivering.seal({"client_secret": CLIENT_SECRET})
        await delivering.map(account="6110", tax="T10")
        await delivering.close("INV-1")
        await delivering.close("INV-2")
        await delivering.queue()
        yield server, vendor


async def test_a_token_that_ends_between_two_calls_is_no_refused_login(
    delivering: Delivering,
) -> None:
    """Every token ends before the first eight writes, so also each that was just renewed: the
    connection goes on, and each document is made once.
    """
    async with with_central(delivering) as (server, vendor):
        left = 8

        def ends(asked: Asked) -> Fault | None:
            nonlocal left
            if left:
                left -= 1
                vendor.login.expire()
            return None

        server.choose = ends
        seen = set()
        for _ in range(12):
            await delivering.deliver()
            seen |= set(await delivering.rows("SELECT state FROM arg_sync.connection"))
            await delivering.hurry()
        assert not left and seen == {("connected",)}
        assert await delivering.states() == {"INV-1": "posted", "INV-2": "posted"}
        assert sorted((one.number, one.state) for one in vendor.journal) == [
            ("INV-1", "posted"),
            ("INV-2", "posted"),
        ]


async def test_a_ledger_that_takes_no_token_of_ours_stops_the_connection(
    delivering: Delivering, database: str
) -> None:
    """It gives tokens and refuses each of them: after some new ones the connection stops."""
    async with with_central(delivering) as (_, vendor):
        vendor.login.dead = True
        await delivering.deliver()
        given = vendor.login.count
        assert given <= 2 + TOKEN_TRIES
        assert (await shown_ledger(database))["state"] == "login refused"
        await delivering.hurry()
        await delivering.deliver()
        assert vendor.login.count == given and vendor.journal == []
