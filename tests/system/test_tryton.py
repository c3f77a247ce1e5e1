"""Delivery to a real Tryton with real Kafka: repeated messages, killed workers and Tryton.

Tryton's own tables are the oracle: each document once, posted, to the cent; those that Tryton
refuses wait with its message for the fix.
"""

import asyncio
import contextlib
import json
import random
import re
import shlex
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from services.arg_sync.ledgers.registry import adapter_specs
from services.console.cli import application
from shared.events.commands import ConnectLedger
from shared.stack.choice import Database
from tests.builders import COMPANY, command
from tests.conftest import Configure, EngineOf, UnitOfWorkFor
from tests.ledgers.delivering import Closed, Delivering, sealed_for, with_private_key
from tests.ledgers.tryton_server import ACCOUNT, PASSWORD, TAX, TrytonServer, tryton
from tests.running import ROOT, Running, Sent, answered, publish, running, start, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
INVOICES, CREDITS, IN_CLOSED_PERIOD, OF_BLOCKED_PARTY = 60, 10, 3, 3
MARCH, JUNE = 30, 121
"""Days after the first of March: all documents of a month have one date, because Tryton takes
none that is older than the last.
"""
BLOCKED = "Blocked Clinic"
DUE = date(2099, 12, 31)
"""Never in the past: each invoice that is due would be one more warning to accept, which Tryton
gives by failing once.
"""
SETTLE_SECONDS = 1500.0
KILLS_OF_WORKERS, KILLS_OF_TRYTON = 5, 3
LEDGER = "tryton-us"
TIMES = {"request_seconds": "60", "server_seconds": "5"}


@pytest.fixture(scope="module")
def server(postgres: Database, server_folder: Path) -> Iterator[TrytonServer]:
    """A Tryton that is killed."""
    with tryton(postgres.admin_url, server_folder / "tryton-killed") as running:
        yield running


@dataclass
class Workers:
    """Two replicas of arg_sync; a killed one is restarted at once."""

    environment: dict[str, str]
    folder: Path
    rng: random.Random
    running: dict[str, Running] = field(default_factory=dict)
    kills: int = 0

    async def start(self, replica: str) -> None:
        """Start one."""
        self.running[replica] = await start(
            "arg_sync",
            self.environment,
            self.folder,
            replica=replica,
        )

    async def kill(self) -> None:
        """kill -9 of one, whatever it does."""
        replica = self.rng.choice(sorted(self.running))
        self.running[replica].process.kill()
        await self.running[replica].process.wait()
        self.kills += 1
        await self.start(replica)

    def check_alive(self) -> None:
        """None ended by itself."""
        for one in self.running.values():
            assert one.process.returncode is None, one.log.read_text()[-3000:]


@contextlib.asynccontextmanager
async def two_workers(
    environment: dict[str, str], folder: Path, rng: random.Random
) -> AsyncIterator[Workers]:
    """They run while the block lasts, and exit with 0."""
    workers = Workers(environment, folder, rng)
    try:
        for replica in ("1", "2"):
            await workers.start(replica)
        yield workers
        await asyncio.gather(*(one.stop() for one in workers.running.values()))
    finally:
        for one in workers.running.values():
            if one.process.returncode is None:
                one.process.kill()
                await one.process.wait()


async def said(delivering: Delivering) -> list[Sent]:
    """The messages of the invoicer of everything closed, each twice, shuffled."""
    invoices, batches = await delivering.announced()
    records = [Sent(one.topic, one.key.encode(), one.value) for one in (*invoices, *batches)] * 2
    random.Random(7).shuffle(records)
    return records


async def insert(delivering: Delivering) -> None:
    """60 invoices of several customers and 10 credit notes.

    Some are in a closed period, some of a blocked party.
    """
    first: list[Closed] = []
    for no in range(1, INVOICES + 1):
        if no > INVOICES - IN_CLOSED_PERIOD:
            await delivering.close(f"INV-{no:04d}", account="Client 1", day=JUNE, due=DUE)
        elif no > INVOICES - IN_CLOSED_PERIOD - OF_BLOCKED_PARTY:
            await delivering.close(f"INV-{no:04d}", account=BLOCKED, day=MARCH, due=DUE)
        else:
            first.append(
                await delivering.close(
                    f"INV-{no:04d}", account=f"Client {no % 7}", day=MARCH, due=DUE
                )
            )
    for no, invoice in enumerate(first[:CREDITS], INVOICES + 1):
        await delivering.close(
            f"CN-{no:04d}", credits=invoice, account=invoice.account, day=MARCH, due=DUE
        )


async def settled(delivering: Delivering) -> Counter[str] | None:
    """How many deliveries are in which state, once none is in progress."""
    states = Counter((await delivering.states()).values())
    return (
        states
        if sum(states.values()) == INVOICES + CREDITS
        and not states.keys() & {"queued", "sending", "unknown"}
        else None
    )


async def havoc(
    delivering: Delivering, workers: Workers, server: TrytonServer, rng: random.Random
) -> None:
    """Kills at random moments, each after a further delivery, so that they interrupt work."""
    ahead = ["worker"] * KILLS_OF_WORKERS + ["tryton"] * KILLS_OF_TRYTON
    rng.shuffle(ahead)
    done = 0
    for which in ahead:
        done = await until(
            "something is delivered",
            partial(more_than, delivering, done),
            SETTLE_SECONDS,
            every=0.2,
        )
        await asyncio.sleep(rng.uniform(0.0, 3.0))
        if which == "worker":
            await workers.kill()
        else:
            server.kill()
            await asyncio.sleep(rng.uniform(0.2, 2.0))
            await asyncio.to_thread(server.start)


async def more_than(delivering: Delivering, done: int) -> int:
    """How many are posted, if more than this."""
    posted = Counter((await delivering.states()).values())["posted"]
    return posted if posted > done else 0


def wanted(delivering: Delivering, *numbers: str) -> list[tuple[str, str, Decimal]]:
    """What Tryton must have, posted."""
    return sorted(
        (one.number, "posted", one.total if one.kind == "invoice" else -one.total)
        for one in delivering.closed
        if one.number not in numbers
    )


async def connect(server: TrytonServer) -> None:
    """Connect as an operator does."""
    settings = server.settings | TIMES
    sealed = sealed_for(adapter_specs()["tryton"], settings, {"password": PASSWORD}, LEDGER)
    rows = [
        {"what": "account", "code": "", "remote": ACCOUNT},
        {"what": "tax", "code": "VAT", "remote": TAX},
    ]
    asked: list[Any] = [
        ConnectLedger(
            command_id="connect",
            actor="pat",
            ledger=LEDGER,
            kind="tryton",
            billing_company=COMPANY,
            settings=settings,
            sealed_secrets=sealed,
            auto_sync=True,
        ),
        command("import-mapping", ledger=LEDGER, rows=rows),
    ]
    for answer in [(await answered(one))[0] for one in asked]:
        assert answer["outcome"] == "accepted", answer


async def test_tryton_holds_each_document_once(
    stack: dict[str, str],
    engine_of: EngineOf,
    unit_of_work_for: UnitOfWorkFor,
    configure: Configure,
    server: TrytonServer,
    tmp_path: Path,
) -> None:
    """Each document is posted once, to the cent.

    Every message twice, two workers, five kills of a worker, three of Tryton.
    """
    rng = random.Random(11)
    with_private_key(configure, Path(stack["BACKOFFICE_DATA"]))
    delivering = Delivering(engine_of, unit_of_work_for)
    await insert(delivering)
    await server.rows(
        "INSERT INTO party_party (create_date, create_uid, name, code, active) VALUES (now(), 1,"
        " $1, 'BL-1', false)",
        BLOCKED,
    )
    await server.close_period(date(2026, 6, 30))
    refused = [
        f"INV-{no:04d}"
        for no in range(INVOICES - IN_CLOSED_PERIOD - OF_BLOCKED_PARTY + 1, INVOICES + 1)
    ]
    async with two_workers(stack, tmp_path, rng) as workers:
        await connect(server)
        await publish(await said(delivering))
        await havoc(delivering, workers, server, rng)
        states = await until("all settled", lambda: settled(delivering), SETTLE_SECONDS, every=1.0)
        workers.check_alive()
        assert states == {"posted": INVOICES + CREDITS - len(refused), "refused": len(refused)}, (
            await messages(delivering)
        )
        await check_parked(delivering, server, refused)
        await fix(delivering, server, refused)
        await until("all posted", lambda: all_posted(delivering), SETTLE_SECONDS, every=1.0)
        assert await server.invoices() == wanted(delivering)
        await publish(await said(delivering))  # a replay of everything
        await asyncio.sleep(3.0)
        assert (await settled(delivering)) == {"posted": INVOICES + CREDITS}
    assert await server.invoices() == wanted(delivering)
    assert workers.kills == KILLS_OF_WORKERS
    check_logs(tmp_path, PASSWORD)
    await check_applied(server)


def check_logs(folder: Path, *secrets: str) -> None:
    """No log has a secret."""
    logs = "".join(path.read_text() for path in folder.glob("*.log"))
    assert logs and not [secret for secret in secrets if secret in logs]


async def check_parked(delivering: Delivering, server: TrytonServer, refused: list[str]) -> None:
    """Refused documents stop no other, have Tryton's message, and are not posted there."""
    assert [one for one in await server.invoices() if one[1] != "draft"] == wanted(
        delivering, *refused
    )
    found = await messages(delivering)
    assert sorted(found) == refused
    closed, blocked = refused[OF_BLOCKED_PARTY:], refused[:OF_BLOCKED_PARTY]
    assert all(
        "reopen the period" in found[number] and "2026-06" in found[number] for number in closed
    ), found
    assert all(BLOCKED in found[number] and "inactive" in found[number] for number in blocked), (
        found
    )


async def fix(delivering: Delivering, server: TrytonServer, refused: list[str]) -> None:
    """The period is opened, the party activated with an address; each is retried by command."""
    await server.close_period(date(2026, 6, 30), closed=False)
    await server.block(BLOCKED, blocked=False)
    await server.rows(
        "INSERT INTO party_address (create_date, create_uid, party, active, street_unstructured)"
        " SELECT now(), 1, id, true, '1 Ward' FROM party_party WHERE name = $1",
        BLOCKED,
    )
    for number in refused:
        (answer,) = await answered(command("retry-delivery", ledger=LEDGER, invoice_number=number))
        assert answer["outcome"] == "accepted", answer


async def messages(delivering: Delivering) -> dict[str, str]:
    """Why the refused ones are refused."""
    rows = await delivering.rows(
        "SELECT invoice_number, message FROM arg_sync.delivery WHERE state = 'refused'"
    )
    return {row.invoice_number: row.message for row in rows}


async def all_posted(delivering: Delivering) -> bool:
    """Nothing is left; a second refusal ends the wait."""
    refused = await messages(delivering)
    states = Counter((await delivering.states()).values())
    waiting = states["queued"] + states["sending"] + states["unknown"]
    assert waiting or not refused, json.dumps(refused, indent=1)
    return states == {"posted": INVOICES + CREDITS}


async def check_applied(server: TrytonServer) -> None:
    """Each credit note pays its invoice."""
    found = await server.rows(
        'SELECT i.reference FROM "account_invoice-account_move_line" p JOIN account_invoice i ON'
        " i.id = p.invoice ORDER BY i.reference"
    )
    assert [row["reference"] for row in found] == [f"INV-{no:04d}" for no in range(1, CREDITS + 1)]


FIRST_MONTH = {
    "billto.csv": "level,id,parent_id,name,account_name,address,city,state,zip\n"
    "client,clinic,,Mercy Clinic,Mercy Hospital,,,,\n"
    "office,ward,clinic,Mercy Ward,,1 Care Rd,BOSTON,MA,02115\n",
    "requirements.csv": "requirement_id,office_id,job_title,status,position_type,currency\n"
    "R1,ward,Nurse,Filled,Temp,USD\n",
    "bill_rates.csv": "requirement_id,time_type,effective_from,bill_rate\nR1,REG,2026-01-01,50\n",
    "timesheets.csv": "timesheet_id,requirement_id,worker_id,week_ending,work_date,time_type,"
    "hours\n"
    "T1,R1,W1,2026-09-06,2026-09-02,REG,8\n",
}


def write_files(folder: Path, server: TrytonServer) -> None:
    """What a new customer has: timesheets, the settings of Tryton, and its account."""
    (folder / "month").mkdir()
    for name, text in FIRST_MONTH.items():
        (folder / "month" / name).write_text(text)
    (folder / "tryton.json").write_text(json.dumps(server.settings | {"password": PASSWORD}))
    (folder / "codes.csv").write_text(f"what,code,remote\naccount,,{ACCOUNT}\n")


async def test_six_commands_lead_to_the_first_posted_document(
    stack: dict[str, str], server: TrytonServer, tmp_path: Path
) -> None:
    """The commands of docs/delivery.md, in their order, on services that are not restarted.

    The first, `backoffice up --detach`, starts the services; here the test starts them.
    """
    await server.rename_all()
    write_files(tmp_path, server)
    commands = re.findall(r"^backoffice (.+)$", first_document_block(), re.MULTILINE)
    assert len(commands) == 6 and commands[0] == "up --detach"
    batch_id = seen = ""
    async with running(stack, tmp_path, "fee_realizer", "invoicer", "scheduler", "arg_sync"):
        for line in commands[1:]:
            words = shlex.split(line.replace("ID", batch_id) if "batch sync" in line else line)
            words = [str(tmp_path / one) if (tmp_path / one).exists() else one for one in words]
            done = await asyncio.to_thread(CliRunner().invoke, application(), [*words, "--json"])
            assert done.exit_code == 0, f"{line}\n{done.stdout}{done.stderr}"
            found = json.loads(done.stdout)
            if "batch generate" in line:
                batch_id = found["details"]["batch_id"]
                assert batch_id, f"{found}\n{seen}"
            seen += f"{line}\n{done.stdout}"
    ((number, state, total),) = await server.invoices()
    assert (state, total) == ("posted", Decimal("400.00")), number


def first_document_block() -> str:
    """The commands under the heading of docs/delivery.md."""
    text = (ROOT / "docs" / "delivery.md").read_text(encoding="utf-8")
    return text.split("## From nothing to the first posted document")[1].split("```")[1]
