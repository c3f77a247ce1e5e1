"""The invoicer as a process on real Kafka and PostgreSQL.

Published realizations become open lines; none is lost when the process is killed.
"""

import asyncio
import subprocess
import sys

import pytest

from shared.broker.producer import OutgoingMessage, Producer
from shared.broker.topics import BILLTO_CHANGED, PAY_LINES_REALIZED
from tests.builders import node, realization, realization_line
from tests.conftest import EngineOf, UnitOfWorkFor
from tests.handlers.settled import Invoicer, invoicer
from tests.kafka_users import as_user

DOCUMENTS = 300
PATIENCE_SECONDS = 60.0


@pytest.fixture
def harness(unit_of_work_for: UnitOfWorkFor, engine_of: EngineOf) -> Invoicer:
    """Reads what the worker wrote."""
    return invoicer(unit_of_work_for, engine_of)


def _start(environment: dict[str, str], **more: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "services.invoicer.app"],
        env=as_user(environment, "invoicer") | more,
        stderr=subprocess.PIPE,
    )


async def _settled(harness: Invoicer, worker: subprocess.Popen[bytes]) -> None:
    for _ in range(int(PATIENCE_SECONDS / 0.1)):
        found = await harness.rows(
            "SELECT count(*) AS documents, min(realization_no) AS lowest,"
            " (SELECT count(*) FROM invoicer.billto_node) AS nodes FROM invoicer.settled_document"
        )
        if (found[0].documents, found[0].lowest, found[0].nodes) == (DOCUMENTS, 2, 1):
            return
        assert worker.poll() is None, worker.stderr and worker.stderr.read().decode()[-2000:]
        await asyncio.sleep(0.1)
    raise AssertionError("not settled in time")


async def _publish() -> None:
    said = [
        realization(f"T-{number}", at, realization_line(hours))
        for at, hours in ((1, "40"), (2, "38"))
        for number in range(DOCUMENTS)
    ]
    async with Producer("/test") as producer:
        await producer.publish(
            [
                OutgoingMessage(
                    BILLTO_CHANGED.name, "office-1", node().model_dump_json().encode(), "n"
                )
            ]
        )
        await producer.publish(
            [
                OutgoingMessage(
                    PAY_LINES_REALIZED.name,
                    one.document_id,
                    one.model_dump_json().encode(),
                    str(at),
                )
                for at, one in enumerate(said)
            ]
        )


@pytest.mark.slow
@pytest.mark.parametrize("point", ["after_locks", "before_commit", "after_commit"])
async def test_a_worker_that_is_killed_loses_nothing(
    harness: Invoicer, stack: dict[str, str], point: str
) -> None:
    """A crash anywhere loses nothing and settles nothing twice: its successor begins
    where the database ends.
    """
    await _publish()
    killed = await asyncio.to_thread(
        _start, stack, BACKOFFICE_CRASH=f"{point}:2", BACKOFFICE_MAX_BATCH_RECORDS="100"
    )
    _, said = await asyncio.to_thread(killed.communicate, timeout=PATIENCE_SECONDS)
    assert killed.returncode == -9, said.decode()[-3000:]
    successor = await asyncio.to_thread(_start, stack)
    try:
        await _settled(harness, successor)
    finally:
        successor.terminate()
        assert await asyncio.to_thread(successor.wait, PATIENCE_SECONDS) == 0
    found = await harness.rows(
        "SELECT sum(p.quantity) AS hours, count(*) AS lines FROM invoicer.open_line JOIN"
        " invoicer.pay_line p USING (pay_line_id)"
    )
    assert (found[0].hours, found[0].lines) == (38 * DOCUMENTS, DOCUMENTS)
    assert await harness.rows("SELECT 1 FROM invoicer.dead_letter") == []
