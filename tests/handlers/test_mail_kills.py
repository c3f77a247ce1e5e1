"""A worker that is killed while it sends: an e-mail that was confirmed is not sent twice, and
what the mail server may have is not sent again by itself.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import Configure
from tests.handlers.mailing import HOST, Mailing, MailServer, mailing_at
from tests.ledgers.delivering import Delivering
from tests.ledgers.many import fill_many

DOCUMENTS = 120
KILLS = 3
PATIENCE_SECONDS = 300.0
MOST_MB = 400


@pytest.fixture
async def mailing(delivering: Delivering, configure: Configure) -> AsyncIterator[Mailing]:
    """A mail account at a server without TLS and login."""
    async with mailing_at(delivering, configure, MailServer()) as mailing:
        await mailing.set_account()
        yield mailing


async def worker(database: str, **environment: str) -> asyncio.subprocess.Process:
    """Start a worker that sends."""
    given = {"BACKOFFICE_DATABASE_URL": database, "BACKOFFICE_MAIL_HOSTS": HOST}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.handlers.mailing", env=os.environ | given | environment
    )


@pytest.mark.parametrize(
    ("point", "state", "messages"),
    [
        ("mail_taken", "sent", 1),
        ("mail_before_end", "sent", 1),
        ("mail_handed_over", "unknown", 0),
        ("mail_answered", "unknown", 1),
    ],
)
async def test_a_kill_at_each_step(
    mailing: Mailing, database: str, tmp_path: Path, point: str, state: str, messages: int
) -> None:
    """Before the end of the message it is sent again; from there on a person decides."""
    await mailing.delivering.close("INV-1")
    await mailing.address("Mercy Hospital", "ap@mercy.example")
    await mailing.send_batch()
    killed = await worker(database, BACKOFFICE_CRASH=point, BACKOFFICE_PAUSE=str(tmp_path))
    assert await asyncio.wait_for(killed.wait(), 60) == -9
    assert await mailing.states() == {"sending": 1}
    await mailing.work()
    assert await mailing.states() == {state: 1}
    assert len(mailing.server.taken) == messages
    assert mailing.server.sessions == (2 if point == "mail_before_end" else 1)


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_many_documents_survive_kills(mailing: Mailing, database: str) -> None:
    """kill -9 three times in the middle: each document once, but for those that say unknown."""
    await fill_many(mailing.delivering, DOCUMENTS)
    await mailing.address("Mercy Hospital", "ap@mercy.example")
    assert (await mailing.send_batch())["details"]["queued"] == DOCUMENTS
    began, most = time.monotonic(), 0
    for kills in range(1, KILLS + 2):
        process = await worker(database)
        wanted = DOCUMENTS * kills // (KILLS + 1)
        while len(mailing.server.taken) < wanted - KILLS:
            assert time.monotonic() < began + PATIENCE_SECONDS, len(mailing.server.taken)
            await asyncio.sleep(0.01)
        while kills > KILLS and (await mailing.states()).keys() - {"sent", "unknown"}:
            assert time.monotonic() < began + PATIENCE_SECONDS, await mailing.states()
            await asyncio.sleep(0.2)
        most = max(most, psutil.Process(process.pid).memory_info().rss >> 20)
        process.kill()
        await process.wait()
    seconds = time.monotonic() - began
    states = await mailing.states()
    numbers = [message["Subject"] for message in mailing.server.messages()]
    assert len(numbers) == len(set(numbers)), "no document is there twice"
    assert states["sent"] + states["unknown"] == DOCUMENTS and states["unknown"] <= KILLS
    assert states["sent"] <= len(numbers) <= DOCUMENTS
    print(f"{DOCUMENTS} e-mails in {seconds:.0f} s, {dict(states)}, at most {most} MB")
    assert most < MOST_MB
