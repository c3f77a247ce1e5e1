"""The checks are checked: each injected defect is found, and the right code has no finding.

For defects of locks two transactions are overlapped by hand, so that chance plays no part. Source:
faults.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from services.fee_realizer import app as fee_realizer
from services.invoicer import app as invoicer
from services.invoicer.invoices.store.messages import MESSAGE_BUILDERS
from services.invoicer.settlement.handlers import realizations as statements
from shared import faults
from shared.broker.security import kafka_access
from shared.consumer.lag import LagReader, groups_of
from shared.consumer.processing import Subscription
from shared.consumer.records import Received, Record
from shared.consumer.unit_of_work import UnitOfWork
from shared.verify import verify
from tests.builders import (
    COMPANY,
    OFFICE,
    command,
    days,
    entry,
    node,
    rate,
    record,
    requirement,
    timesheet,
)
from tests.conftest import Configure, EngineOf, UnitOfWorkFor, process
from tests.handlers.realizing import Realizer
from tests.in_process import Pipeline
from tests.running import TABLES, Observer, event, publish, until
from tests.running import command as sent_command
from tests.system.driver import Keeper, kept
from tests.system.dump import differences, dump
from tests.system.injected_defects import SEQUENCE, inject
from tests.system.kill_runs import unaccounted

TODAY = "2026-03-31"
CUT_OFF = "2026-03-29"
PATIENCE_SECONDS = 60.0
SWEEPS_SECONDS = 1.0
RIGHT = pytest.param("", id="right code")


def right_and(defect: str) -> pytest.MarkDecorator:
    """The same test with the right code, and with a defect in it."""
    return pytest.mark.parametrize("defect", [RIGHT, pytest.param(defect, id=defect)])


@dataclass
class Scene:
    """A company with a requirement, the invoicer's transactions, and the findings."""

    pipeline: Pipeline
    unit_of_work: UnitOfWork
    engine_of: EngineOf

    async def open(self, price: str = "50.00") -> None:
        """A billing company, its requirement and the paying office."""
        self.pipeline.send(
            "operator-commands", command("set-billing-company", billing_company=COMPANY)
        )
        self.pipeline.send("billto-changed", node(OFFICE))
        self.pipeline.send("requirement-changed", requirement(rates=[rate(price=price)]))
        await self.pipeline.settle()

    async def consume(self, *sheets: Any) -> None:
        """Timesheets, through all services."""
        self.pipeline.send("timesheet-approved", *sheets)
        await self.pipeline.settle()

    async def realizations_of(self, *sheets: Any) -> list[Record]:
        """The realizations of timesheets, not consumed yet."""
        said = await self.pipeline.tell("fee_realizer", "timesheet-approved", *sheets)
        return [one for one in said if one.topic == "pay-lines-realized"]

    async def settle(self, said: Sequence[Record]) -> None:
        """The invoicer consumes realizations."""
        await process(self.unit_of_work, statements.SUBSCRIPTION, said)

    async def generate(self, command_id: str = "c-batch") -> None:
        """Send a batch command to the invoicer."""
        asked = command(
            "generate-batch", billing_company=COMPANY, cut_off_date=CUT_OFF, command_id=command_id
        )
        await process(
            self.unit_of_work,
            invoicer.DISPATCHER.subscription(),
            [record("operator-commands", asked, COMPANY)],
        )

    async def found(self) -> set[str]:
        """The checks that fail."""
        async with self.engine_of("auditor").connect() as connection:
            report = await verify(connection, in_flight_minutes=0)
        return {fault.check for fault in report.faults}


@pytest.fixture
def scene(unit_of_work_for: UnitOfWorkFor, engine_of: EngineOf, configure: Configure) -> Scene:
    """An empty database."""
    configure(today=TODAY)
    return Scene(
        Pipeline(unit_of_work_for),
        unit_of_work_for("invoicer", dict(MESSAGE_BUILDERS)),
        engine_of,
    )


async def met(engine_of: EngineOf, task: asyncio.Task[Any]) -> None:
    """Wait until a transaction has ended or waits for a lock of the other one."""

    async def stuck() -> bool:
        return task.done() or await Observer(engine_of).waiting_for_locks() > 0

    await until("the second one is done, or waits", stuck, every=0.05)


async def run_in_thread(
    engine_of: EngineOf,
    unit_of_work: UnitOfWork,
    subscription: Subscription,
    first: Sequence[Record],
    second: Any,
) -> None:
    """Begin `second` when the transaction of `first` is done but not committed."""
    async with unit_of_work.engine.connect() as connection, connection.begin():
        await subscription.apply(
            connection, [Received(subscription.read(one), one) for one in first]
        )
        task = asyncio.create_task(second)
        await met(engine_of, task)
    await asyncio.wait_for(task, PATIENCE_SECONDS)


@right_and("no document lock")
async def test_two_realizations_of_one_document_at_the_same_time(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, defect: str
) -> None:
    """Without the lock both leave their hours open.

    A worker taken for dead settles realization 3 while its successor settles realization 4.
    """
    await scene.open()
    await scene.consume(timesheet(revision=1))
    await scene.consume(timesheet(revision=2, workflow={"submitted_at": "2026-03-09T08:00:00Z"}))
    third = await scene.realizations_of(timesheet(revision=3))
    fourth = await scene.realizations_of(timesheet(revision=4, entries=days("8.5")))
    inject(defect, monkeypatch.setattr)
    await run_in_thread(
        scene.engine_of, scene.unit_of_work, statements.SUBSCRIPTION, third, scene.settle(fourth)
    )
    assert await scene.found() == ({"conservation"} if defect else set())


@right_and("no company lock")
async def test_a_revision_arrives_during_a_batch(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, configure: Configure, tmp_path: Path, defect: str
) -> None:
    """Without the lock the line is on a document and replaced.

    A batch has selected its lines when a revision replaces one of them.
    """
    configure(pause=tmp_path)
    await scene.open()
    await scene.consume(timesheet(revision=1))
    said = await scene.realizations_of(timesheet(revision=2, entries=days("7")))
    inject(defect, monkeypatch.setattr)
    (tmp_path / "batch_selected.hold").touch()
    batch = asyncio.create_task(scene.generate())
    while not (tmp_path / "batch_selected.reached").exists():
        assert not batch.done()
        await asyncio.sleep(0.02)
    settling = asyncio.create_task(scene.settle(said))
    await met(scene.engine_of, settling)
    (tmp_path / "batch_selected.hold").unlink()
    await asyncio.wait_for(asyncio.gather(batch, settling), PATIENCE_SECONDS)
    found = await scene.found()
    assert ({"conservation", "one_place"} <= found) if defect else not found


@right_and("no company lock")
async def test_a_batch_starts_during_a_revision(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, defect: str
) -> None:
    """The other order of the same.

    A revision has replaced a line and not committed yet when a batch looks for open lines.
    """
    await scene.open()
    await scene.consume(timesheet(revision=1))
    said = await scene.realizations_of(timesheet(revision=2, entries=days("7")))
    inject(defect, monkeypatch.setattr)
    await run_in_thread(
        scene.engine_of, scene.unit_of_work, statements.SUBSCRIPTION, said, scene.generate()
    )
    found = await scene.found()
    assert ({"conservation", "one_place"} <= found) if defect else not found


@right_and("no lock on facts")
async def test_a_timesheet_and_its_requirement_arrive_together(
    unit_of_work_for: UnitOfWorkFor,
    engine_of: EngineOf,
    monkeypatch: pytest.MonkeyPatch,
    defect: str,
) -> None:
    """Without the lock it is held for ever.

    A timesheet finds no requirement at the moment at which the requirement looks for held
    documents.
    """
    observer = Observer(engine_of)
    company = command("set-billing-company", billing_company=COMPANY)
    calm = Realizer(unit_of_work_for("fee_realizer", fee_realizer.MESSAGE_BUILDERS), engine_of)
    await calm.consume(company, timesheet("T-0"), timesheet("T-1"), requirement())
    expected = await dump(observer)
    await _emptied(engine_of)
    realizer = Realizer(unit_of_work_for("fee_realizer", fee_realizer.MESSAGE_BUILDERS), engine_of)
    subscriptions = {
        subscription.topic: subscription for subscription in fee_realizer.SUBSCRIPTIONS
    }
    await realizer.consume(company, timesheet("T-0"))
    inject(defect, monkeypatch.setattr)
    change = process(
        realizer.unit_of_work,
        subscriptions["requirement-changed"],
        [record("requirement-changed", requirement())],
    )
    await run_in_thread(
        engine_of,
        realizer.unit_of_work,
        subscriptions["timesheet-approved"],
        [record("timesheet-approved", timesheet("T-1"))],
        change,
    )
    await realizer.do_jobs()
    assert await realizer.held() == ({"T-1": "unknown_requirement"} if defect else {})
    findings = differences(expected, await dump(observer))
    assert {one.partition(":")[0].partition(",")[0] for one in findings} == (
        {"documents", "latest worth"} if defect else set()
    )


async def _emptied(engine_of: EngineOf) -> None:
    """Delete every row."""
    names = [
        f"{row.schema}.{row.name}"
        for row in await Observer(engine_of).select(TABLES)
        if row.schema != "public"
    ]
    async with engine_of("owner").begin() as connection:
        await connection.execute(text("SET LOCAL session_replication_role = replica"))
        await connection.execute(text(f"TRUNCATE {', '.join(names)}"))


@right_and("float money")
async def test_half_a_cent(scene: Scene, monkeypatch: pytest.MonkeyPatch, defect: str) -> None:
    """0.5 h at 2.01 is 1.005 and so 1.01; a binary float is a little less and gives 1.00."""
    inject(defect, monkeypatch.setattr)
    await scene.open(price="2.01")
    await scene.consume(timesheet(entries=[entry("0.5")]))
    assert await scene.found() == ({"line_amount"} if defect else set())


@right_and("round(difference × price)")
async def test_a_correction_of_half_a_cent(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, defect: str
) -> None:
    """1.5 h at 0.33 were billed as 0.50; 3 h are 0.99: correction 0.49.

    Not 1.5 × 0.33 rounded to 0.50.
    """
    inject(defect, monkeypatch.setattr)
    await scene.open(price="0.33")
    await scene.consume(timesheet(entries=[entry("1.5")]))
    await scene.generate()
    await scene.consume(timesheet(revision=2, entries=[entry("3")]))
    assert await scene.found() == ({"conservation"} if defect else set())


@right_and("a sequence for numbers")
async def test_a_batch_dies_after_it_took_its_numbers(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, defect: str
) -> None:
    """A rolled back batch leaves no gap; a sequence would."""
    async with scene.engine_of("owner").begin() as connection:
        await connection.execute(text(f"CREATE SEQUENCE {SEQUENCE}"))
        await connection.execute(text(f"GRANT USAGE ON SEQUENCE {SEQUENCE} TO invoicer"))
    inject(defect, monkeypatch.setattr)
    await scene.open()
    await scene.consume(timesheet("T-1"))
    await scene.generate("c-first")
    await scene.consume(timesheet("T-2", worker_id="W-2"))
    right = faults.point

    async def die(name: str) -> None:
        if name == "batch_numbered":
            raise ConnectionError("the worker died here")
        await right(name)

    with monkeypatch.context() as dying:
        dying.setattr(faults, "point", die)
        with pytest.raises(ConnectionError):
            await scene.generate("c-second")
    await scene.generate("c-second")
    assert await scene.found() == ({"gap_certificate"} if defect else set())


# -- defects that only a kill shows


@pytest.mark.slow
@pytest.mark.parametrize(
    ("defect", "point"),
    [
        pytest.param("", "inside_transaction", id="right code inside"),
        pytest.param("offset before commit", "inside_transaction", id="offset before commit"),
        pytest.param("", "after_commit", id="right code after"),
        pytest.param("no outbox", "after_commit", id="no outbox"),
    ],
)
async def test_a_worker_dies(
    stack: dict[str, str], engine_of: EngineOf, tmp_path: Path, defect: str, point: str
) -> None:
    """kill -9 inside the transaction, and between commit and publish.

    With offsets committed first the records are lost, which only the list of what was sent shows.
    Without an outbox the message is never published, and its realization stays in flight.
    """
    services = ("fee_realizer", "invoicer")
    keeper = Keeper(stack | {"BACKOFFICE_TODAY": TODAY}, tmp_path, defect=defect)
    observer = Observer(engine_of)
    opening = [
        event("requirement-changed", "REQ-1", requirement()),
        event("billto-changed", OFFICE, node(OFFICE)),
    ]
    sheets = [event("timesheet-approved", f"T-{at}", timesheet(f"T-{at}")) for at in range(30)]
    async with kept(keeper, services):
        await publish(
            [*opening, sent_command(command("set-billing-company", billing_company=COMPANY))]
        )
        await Observer(engine_of, services).settled()
        keeper.arm("fee_realizer", [f"{point}@timesheet-approved"])
        await publish(sheets)
        await until("the worker died", lambda: asyncio.sleep(0, keeper.fired[point]))
        if defect:
            await _read_all(services)
        else:
            await Observer(engine_of, services).settled()
    assert keeper.fired == {point: 1}
    async with engine_of("auditor").connect() as connection:
        found = {fault.check for fault in (await verify(connection, in_flight_minutes=0)).faults}
    missing = await unaccounted(observer, [*opening, *sheets])
    assert found == ({"in_flight"} if defect == "no outbox" else set())
    assert bool(missing) is (defect == "offset before commit")


async def _read_all(services: Sequence[str]) -> None:
    """Wait until these services have consumed everything and have swept several times."""
    async with LagReader(kafka_access()) as lag:

        async def read() -> bool:
            return sum(one.behind for one in await lag.lag(groups_of(services))) == 0

        for _ in range(3):
            await until("everything is read", read)
            await asyncio.sleep(SWEEPS_SECONDS)
