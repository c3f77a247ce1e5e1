"""Latency at a steady rate: from before the ATS sends until another process can read the line.

The line is seen by a notification that PostgreSQL sends at the commit, and then read, as any
program would. Another connection commits one small row now and then: a line needs two such
commits, so the disk bounds its latency.
"""

import asyncio
import time
from dataclasses import dataclass

import asyncpg

from shared.broker.topics import TIMESHEET_APPROVED, full_name
from tests.bench import messages
from tests.bench.ingest import ready_workers
from tests.bench.setup import BenchServers, until

COMMIT_EVERY_SECONDS = 0.05
WARM_UP = 0.2
"""This part of the messages warms connections and caches, and is not counted."""
BELL_SQL = (
    "CREATE FUNCTION invoicer.ring() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM"
    " pg_notify('born', ''); RETURN NULL; END $$",
    "CREATE TRIGGER ring AFTER INSERT ON invoicer.open_line FOR EACH STATEMENT EXECUTE FUNCTION"
    " invoicer.ring()",
)
OVERTAKEN = 2_000
"""So many ids back it is looked again: transactions beside each other commit in another order
than they draw ids.
"""
BORN_SQL = (
    "SELECT pay_line_id, document_id FROM invoicer.pay_line WHERE pay_line_id > $1 ORDER BY"
    " pay_line_id"
)


@dataclass(frozen=True)
class Latency:
    """Milliseconds until a line was readable, and the rate."""

    rate: float
    seen: int
    p50: float
    p99: float
    most: float
    commit_p50: float
    commit_p99: float
    memory: dict[str, int]


def measure(bench_servers: BenchServers, rate: float, seconds: float, requirements: int) -> Latency:
    """Publish at `rate` a second for this time; measure each line separately."""
    with bench_servers.place("latency") as place:
        workers = [*ready_workers(place, requirements), *place.start("scheduler")]
        count = int(rate * seconds)

        async def run() -> tuple[list[float], list[float]]:
            connection, other = await place.owner(), await place.owner()
            committing = asyncio.create_task(_commits(other))
            try:
                took = await _timed(connection, count, rate, requirements)
            finally:
                committing.cancel()
                await asyncio.wait([committing])
                await connection.close()
            return took, committing.result()

        took, commits = map(sorted, asyncio.run(run()))
        memory = bench_servers.memory(workers)
    return Latency(
        rate,
        len(took),
        _at(took, 0.5),
        _at(took, 0.99),
        took[-1],
        _at(commits, 0.5),
        _at(commits, 0.99),
        memory,
    )


async def _commits(connection: asyncpg.Connection) -> list[float]:
    """Milliseconds of bare commits, until cancelled."""
    took: list[float] = []
    await connection.execute("CREATE TABLE public.bare_commit (at timestamptz NOT NULL)")
    try:
        while True:
            began = time.perf_counter()
            await connection.execute("INSERT INTO public.bare_commit VALUES (now())")
            took.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(COMMIT_EVERY_SECONDS)
    except asyncio.CancelledError:
        connection.terminate()
        return took


def _at(ordered: list[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


async def _timed(
    connection: asyncpg.Connection, count: int, rate: float, requirements: int
) -> list[float]:
    """Milliseconds of each message after the warm-up."""
    for statement in BELL_SQL:
        await connection.execute(statement)
    rung = asyncio.Event()
    await connection.add_listener("born", lambda *_: rung.set())
    sent: dict[str, float] = {}
    seen: dict[str, float] = {}

    async def look() -> None:
        last = 0
        while len(seen) < count:
            await rung.wait()
            rung.clear()
            found = await connection.fetch(BORN_SQL, last - OVERTAKEN)
            now = time.perf_counter()
            for row in found:
                seen.setdefault(row["document_id"], now)
                last = max(last, row["pay_line_id"])

    looking = asyncio.create_task(look())
    await _say_steadily(count, rate, requirements, sent)

    async def all_seen() -> bool:
        return looking.done()

    await until(all_seen, f"{count} lines")
    await looking
    counted = list(sent)[int(count * WARM_UP) :]
    return [(seen[document_id] - sent[document_id]) * 1000 for document_id in counted]


async def _say_steadily(count: int, rate: float, requirements: int, sent: dict[str, float]) -> None:
    """Publish each at its time: a late one does not delay the clock of the next."""
    async with messages.producer(linger_ms=0) as sender:
        topic = full_name(TIMESHEET_APPROVED.name)
        began = time.perf_counter()
        for at, (key, value) in enumerate(messages.timesheets(0, count, requirements)):
            wait = began + at / rate - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            sent[key] = time.perf_counter()
            await sender.send(topic, value, key=key.encode())
