"""The golden files: where they are, how they are written and read, and how a source is replayed."""

import asyncio
import gzip
import json
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shared.migrations.__main__ import migrate
from shared.settings import Settings
from shared.stack.choice import Database, choose_database
from shared.stack.ports import Ports
from tests.conftest import database_address, new_database
from tests.golden.replay import Replay, Rows, Step, outputs, texts
from tests.histories.office import Office

DATA = Path(__file__).parent / "data"
SAMPLE, AGENCY, HISTORIES = "sample-month", "agency-nursing", "histories"
SOURCES = (SAMPLE, AGENCY, HISTORIES)


def write(source: str, rows: Sequence[Any]) -> None:
    """One JSON value a line, compressed; the same rows give the same bytes."""
    text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    DATA.mkdir(exist_ok=True)
    with (DATA / f"{source}.jsonl.gz").open("wb") as raw:
        with gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
            file.write(text.encode())


def read(source: str) -> list[Any]:
    """The rows of a golden file."""
    with gzip.open(DATA / f"{source}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@contextmanager
def databases() -> Iterator[Any]:
    """A PostgreSQL server of its own; `next()` of what it gives is a new, migrated database."""
    with tempfile.TemporaryDirectory(prefix="backoffice-golden-") as folder:
        place = Path(folder)
        place.chmod(0o755)
        (place / "logs").mkdir()
        server, _ = choose_database(Settings(), place, Ports(place, print), print)
        server.start()
        try:
            yield _new_databases(server)
        finally:
            server.stop()


def _new_databases(server: Database) -> Iterator[str]:
    while True:
        name = f"golden_{uuid.uuid4().hex[:12]}"
        asyncio.run(new_database(server.admin_url, name))
        own = database_address(server.url, name)
        asyncio.run(migrate(own))
        yield own


async def replay_documents(url: str, steps: Sequence[Step]) -> tuple[Rows, dict[str, str]]:
    """A source that is one list of steps: the tables, and the text of its files."""
    office = Office(url)
    await office.connect()
    try:
        replay = Replay(office)
        await replay.run(steps)
        return await outputs(replay), await texts(office)
    finally:
        await office.close()


async def replay_histories(
    url: str, setup: Sequence[Step], histories: Sequence[Sequence[Step]]
) -> list[Rows]:
    """The tables of each history; what sets up is done once."""
    office = Office(url)
    await office.connect()
    try:
        await Replay(office).run(setup)
        found = []
        for steps in histories:
            await office.empty()
            replay = Replay(office)
            await replay.run(steps)
            found.append(await outputs(replay))
        return found
    finally:
        await office.close()
