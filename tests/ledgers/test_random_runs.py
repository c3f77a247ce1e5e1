"""All faults by chance, workers killed and stopped at any moment, every vendor: the server's own
journal has one document per invoice.

A run is repeated by its seed. For Business Central, which has neither request key nor unique
number, the faults stay within the server's own time limit, in which nothing may arise twice; what
happens beyond it has a test of its own.
"""

import asyncio
import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey

from services.arg_sync.ledgers.adapter import AdapterSpec
from services.arg_sync.ledgers.business_central import LEDGER as BUSINESS_CENTRAL
from services.arg_sync.ledgers.netsuite import LEDGER as NETSUITE
from services.arg_sync.ledgers.quickbooks import LEDGER as QUICKBOOKS
from services.arg_sync.ledgers.xero import LEDGER as XERO
from shared import sealing
from tests.ledgers.delivering import LEDGER, Closed, Delivering
from tests.ledgers.fake import Asked, FakeServer, Fault, FaultName, playing
from tests.ledgers.vendors import business_central, netsuite, quickbooks, xero
from tests.ledgers.vendors.login import CLIENT_ID, CLIENT_SECRET, REFRESH, SECRETS
from tests.ledgers.worker import SERVER_SECONDS

FAULTS: tuple[FaultName, ...] = (
    "silence",
    "reset",
    "cut",
    "slow",
    "late",
    "page-after",
    "page-503",
    "429",
    "expired",
    "redirect",
    "error-200",
    "refuse",
    "wrong-amount",
)
ABSURD = ("9" * 12, "Fri, 31 Dec 9999 23:59:59 GMT", "-1", "soon")
FAULTS_AT_LEAST = 4
CREDITS = {"CN-13": "INV-1", "CN-14": "INV-2"}
STAYS_REFUSED = {"different", "number_taken"}
PAIR = ECKey.generate_key("P-256")
PRIVATE_KEY = PAIR.as_pem(private=True).decode()


@dataclass(frozen=True)
class Played:
    """A vendor in a run."""

    kind: AdapterSpec
    settings: dict[str, str]
    codes: dict[str, str]
    base: str = ""
    secrets: dict[str, str] = field(
        default_factory=lambda: {"client_secret": CLIENT_SECRET, "refresh_token": REFRESH}
    )

    def vendor(self) -> Any:
        """An empty one."""
        if self.kind is XERO:
            return xero.XeroVendor()
        if self.kind is QUICKBOOKS:
            return quickbooks.QuickBooksVendor()
        if self.kind is BUSINESS_CENTRAL:
            return business_central.BusinessCentralVendor(posts_too=True)
        made = netsuite.NetSuiteVendor()
        made.login.certificate = PAIR
        return made


PLAYED = {
    "xero": Played(
        XERO, {"tenant_id": xero.TENANT}, {"account": "200", "tax": "OUTPUT"}, xero.BASE
    ),
    "quickbooks": Played(
        QUICKBOOKS,
        {"realm_id": quickbooks.REALM, "tax_model": "us"},
        {"account": "4000", "item": "11", "tax": "3"},
    ),
    "business-central": Played(
        BUSINESS_CENTRAL,
        {
            "tenant": business_central.TENANT,
            "company_id": business_central.COMPANY,
            "environment": "Production",
        },
        {"account": "6110", "tax": "T10"},
    ),
    "netsuite": Played(
        NETSUITE,
        {"account_id": "123456", "certificate_id": "cert-1", "currencies": "USD=1"},
        {"account": "4000", "item": "42", "tax": "5"},
        secrets={"private_key": PRIVATE_KEY},
    ),
}


@dataclass
class Chance:
    """Which requests misbehave: by the seed, so many in all.

    A token that expires does so for all calls, until it is renewed.
    """

    dice: random.Random
    left: int
    vendor: Any
    faults: Sequence[FaultName] = FAULTS
    met: Counter[str] = field(default_factory=Counter)

    def __call__(self, asked: Asked) -> Fault | None:
        """The fault for a request."""
        if not self.left or (self.met.total() >= FAULTS_AT_LEAST and self.dice.random() < 0.3):
            return None
        name = self.dice.choice(self.faults)
        self.left -= 1
        self.met[name] += 1
        if name == "expired":
            self.vendor.login.expire()
            return None
        late = self.dice.uniform(0.5, 0.5 + SERVER_SECONDS * 0.8)
        seconds = {"late": late, "slow": 0.2}.get(name, 1.0)
        return Fault(name, seconds, self.dice.choice(ABSURD) if name == "429" else "")


@dataclass
class Workers:
    """Processes that deliver, and what they leave behind."""

    folder: Path
    running: list[asyncio.subprocess.Process] = field(default_factory=list)
    started: int = 0

    async def start(self) -> None:
        """One more."""
        self.started += 1
        with (self.folder / f"log-{self.started}").open("wb") as log:
            asked = [
                sys.executable,
                "-m",
                "tests.ledgers.worker",
                str(self.folder / f"said-{self.started}"),
            ]
            self.running.append(
                await asyncio.create_subprocess_exec(*asked, stdout=log, stderr=log, env=os.environ)
            )

    async def kill(self) -> None:
        """kill -9 of the oldest."""
        if self.running:
            process = self.running.pop(0)
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def pause(self, seconds: float) -> None:
        """SIGSTOP for a while: longer than a lease, so that another takes over."""
        process = self.running[0]
        if process.returncode is None:
            process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(seconds)
            process.send_signal(signal.SIGCONT)

    def left(self) -> str:
        """Their logs and what they said."""
        return "\n".join(
            path.read_text(errors="replace")
            for path in sorted(self.folder.iterdir())
            if path.is_file()
        )


@pytest.fixture
async def workers(tmp_path: Path) -> AsyncIterator[Workers]:
    """None yet; none afterwards."""
    made = Workers(tmp_path)
    yield made
    while made.running:
        await made.kill()


async def connected(delivering: Delivering, played: Played, server: FakeServer) -> None:
    """The connection of a vendor, with the secrets that it wants."""
    urls = {"token_url": server.url + "/token", "client_id": CLIENT_ID}
    await delivering.connect(played.kind, server.url + played.base, **urls, **played.settings)
    await delivering.seal(played.secrets)
    await delivering.map(**played.codes)


async def time_passes(delivering: Delivering) -> None:
    """What waits longer than the server's own limit needs, waits less: absurd wishes and long
    rests are not sat out, safety is.
    """
    await delivering.rows(
        "UPDATE arg_sync.delivery SET next_attempt_at = now() WHERE state = 'queued' AND NOT"
        " outcome_unknown AND next_attempt_at > now()"
    )
    await delivering.rows(
        "UPDATE arg_sync.delivery SET next_attempt_at = LEAST(next_attempt_at, now() +"
        " make_interval(secs => :s)) WHERE state IN ('queued', 'unknown')",
        s=SERVER_SECONDS + 2.5,
    )
    await delivering.rows(
        "UPDATE arg_sync.connection SET open_until = LEAST(open_until, now() + interval '0.3"
        " seconds')"
    )


async def fixed(delivering: Delivering) -> None:
    """The operator retries what was refused."""
    for row in await delivering.rows(
        "SELECT invoice_number, code FROM arg_sync.delivery WHERE state = 'refused'"
    ):
        if row.code not in STAYS_REFUSED:
            await delivering.tell(
                "retry-delivery", ledger=LEDGER, invoice_number=row.invoice_number
            )


async def settled(delivering: Delivering, workers: Workers, seconds: float = 180.0) -> None:
    """All are posted, or refused for good."""
    until = asyncio.get_running_loop().time() + seconds
    asked = (
        "SELECT invoice_number, state, code, message FROM arg_sync.delivery WHERE state <>"
        " 'posted' AND NOT (state = 'refused' AND code = ANY(:codes))"
    )
    while open_ := [
        one
        for one in await delivering.rows(asked, codes=list(STAYS_REFUSED))
        if not await waits_for_a_refused_one(delivering, one)
    ]:
        at = await delivering.rows(
            "SELECT state, message, open_until, failures FROM arg_sync.connection"
        )
        dead = [one.pid for one in workers.running if one.returncode is not None]
        assert asyncio.get_running_loop().time() < until and not dead, (
            f"{open_}\n{at}\ndied: {dead}\n{workers.left()[-3000:]}"
        )
        await time_passes(delivering)
        await fixed(delivering)
        await asyncio.sleep(0.4)


async def waits_for_a_refused_one(delivering: Delivering, one: Any) -> bool:
    """A credit note whose invoice is refused for good waits as long as that."""
    states = await delivering.states()
    return one.state == "queued" and states.get(CREDITS.get(one.invoice_number, "")) == "refused"


async def closed_documents(delivering: Delivering, count: int) -> list[Closed]:
    """Invoices of some customers, and credit notes for two of them."""
    invoices = {
        f"INV-{at}": await delivering.close(f"INV-{at}", account=f"Client {at % 3}")
        for at in range(1, count + 1)
    }
    for credit, number in CREDITS.items():
        await delivering.close(credit, account=invoices[number].account, credits=invoices[number])
    return delivering.closed


async def trouble(
    delivering: Delivering, workers: Workers, server: FakeServer, dice: random.Random
) -> None:
    """Documents come in waves, each consumed twice; meanwhile workers are killed, stopped for
    longer than a lease, and started.
    """
    for at in range(0, len(delivering.closed), 4):
        before = len(server.calls)
        for _ in range(2):
            await delivering.queue(*delivering.closed[at : at + 4])
        for _ in range(100):  # on a busy machine a process takes its time to start
            if len(server.calls) > before:
                break
            await asyncio.sleep(0.1)
            await time_passes(delivering)
        await asyncio.sleep(dice.uniform(0.3, 2.0))
        await time_passes(delivering)
        if dice.random() < 0.35:
            await workers.pause(7.0)
        else:
            await workers.kill()
            await workers.start()


@pytest.mark.slow
@pytest.mark.parametrize(
    "seed",
    [1, pytest.param(2, marks=pytest.mark.nightly), pytest.param(3, marks=pytest.mark.nightly)],
)
@pytest.mark.parametrize("name", list(PLAYED))
async def test_one_document_for_each_invoice_whatever_happens(
    delivering: Delivering, workers: Workers, name: str, seed: int
) -> None:
    """Two workers, kills, stops, every fault: one accepted document an invoice, posted to the
    cent, or parked with a message; and no secret anywhere.
    """
    played, dice = PLAYED[name], random.Random(seed)
    async with playing(played.vendor()) as server:
        await connected(delivering, played, server)
        documents = await closed_documents(delivering, 12)
        server.choose = chance = Chance(dice, 14, server.vendor)
        for _ in range(2):
            await workers.start()
        await trouble(delivering, workers, server, dice)
        await settled(delivering, workers)
        states = {
            row.invoice_number: row
            for row in await delivering.rows(
                "SELECT invoice_number, state, code, message FROM arg_sync.delivery"
            )
        }
        journal = Counter((one.number, one.kind) for one in server.vendor.journal)
        sent = [
            one for one in documents if states[one.number].state != "queued"
        ]  # but a credit note of a refused invoice
        assert {one.number for one in documents} - {one.number for one in sent} <= set(CREDITS)
        assert journal == Counter({(one.number, one.kind): 1 for one in sent}), (seed, chance.met)
        assert chance.met.total() >= FAULTS_AT_LEAST, chance.met
        totals = {one.number: (one.total, one.state) for one in server.vendor.journal}
        for one in sent:
            if states[one.number].state == "posted":
                assert totals[one.number] == (one.total, "posted"), one
            else:
                assert totals[one.number][0] != one.total and states[one.number].message, one
        assert (
            sum(row.state == "refused" for row in states.values())
            <= chance.met["wrong-amount"] * played.kind.capabilities.batch_max
        )
        await no_secret_anywhere(delivering, workers, server)


@pytest.mark.slow
async def test_a_token_that_ends_again_and_again_ends_no_connection(
    delivering: Delivering, workers: Workers
) -> None:
    """Two workers, killed and stopped, renew a rotating token at almost every document: no old
    one is ever used where a new one was.
    """
    played, dice = PLAYED["business-central"], random.Random(14)
    async with playing(played.vendor()) as server:
        await connected(delivering, played, server)
        documents = await closed_documents(delivering, 12)
        server.choose = Chance(dice, 400, server.vendor, ("expired",))
        for _ in range(2):
            await workers.start()
        await trouble(delivering, workers, server, dice)
        await settled(delivering, workers)
        assert Counter((one.number, one.state) for one in server.vendor.journal) == Counter(
            (one.number, "posted") for one in documents
        )
        assert server.vendor.login.count > FAULTS_AT_LEAST and not server.vendor.login.dead
        assert "connection stopped" not in workers.left()


async def no_secret_anywhere(delivering: Delivering, workers: Workers, server: FakeServer) -> None:
    """Tables, messages, dead letters, logs: the vendor quoted our keys again and again, and
    nothing of it stayed.
    """
    login = server.vendor.login  # type: ignore[attr-defined]
    assert login.count, "no token was ever asked for"
    tables = await delivering.rows(
        "SELECT table_schema s, table_name n FROM information_schema.tables WHERE table_schema NOT"
        " IN ('pg_catalog')"
    )
    dump = ""
    for table in tables:
        if table.s != "information_schema":
            dump += "\n".join(
                str(row)
                for (row,) in await delivering.rows(
                    f'SELECT t::text FROM "{table.s}"."{table.n}" t'
                )
            )
    everything = (
        dump
        + workers.left()
        + json.dumps([one.value.decode() for one in delivering.unit_of_work.producer.published])
    )  # type: ignore[attr-defined]
    key_lines = [line for line in PRIVATE_KEY.splitlines() if "PRIVATE" not in line]
    for secret in (*SECRETS, *key_lines):
        assert secret not in everything, (
            f"{secret[:12]}... is in {'a table' if secret in dump else 'a log or a message'}"
        )
    assert "INV-1" in dump and f"{sealing.FORMAT}." in dump  # what lies there is there, sealed


@pytest.mark.slow
async def test_beyond_the_stated_window_a_second_draft_may_arise_and_is_reported(
    delivering: Delivering, workers: Workers
) -> None:
    """Business Central carries a draft out later than its own limit says: a second one may be
    there. It is not posted, and a look-up shows both.
    """
    played = PLAYED["business-central"]
    async with playing(played.vendor()) as server:
        await connected(delivering, played, server)
        await delivering.close("INV-1")
        server.plan(Fault("late", 0.5 + SERVER_SECONDS + 8.0))
        await delivering.queue()
        await workers.start()
        await settled(delivering, workers)
        await asyncio.sleep(9.0)
        found = sorted(one.state for one in server.vendor.journal)
        assert found == ["draft", "posted"]
        assert (await delivering.delivery("INV-1")).state == "posted"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["xero", "quickbooks", "netsuite"])
async def test_a_number_that_another_program_took_is_parked(
    delivering: Delivering, workers: Workers, name: str
) -> None:
    """Another program made a document of our number: ours is not made beside it, a person is
    told, the next invoice goes on.
    """
    played = PLAYED[name]
    async with playing(played.vendor()) as server:
        await connected(delivering, played, server)
        await delivering.close("INV-2")
        await delivering.queue()
        await workers.start()
        await settled(delivering, workers)
        server.vendor.by_another("INV-1", "5.00", server.vendor.journal[0].customer)  # type: ignore[attr-defined]
        await delivering.close("INV-1")
        await delivering.close("INV-3")
        await delivering.queue()
        await settled(delivering, workers)
        row = await delivering.delivery("INV-1")
        assert (
            row.state == "refused" and row.code == "different" and "its total is 5" in row.message
        )
        assert Counter(one.number for one in server.vendor.journal) == {
            "INV-1": 1,
            "INV-2": 1,
            "INV-3": 1,
        }
        assert [one.total for one in server.vendor.journal if one.number == "INV-1"] == [
            Decimal("5.00")
        ]
