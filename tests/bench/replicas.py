"""Several workers of each kind share the partitions; with slow commits they do more than one.

A slow commit is made in the database: every transaction that writes or settles a realization also
inserts a row into a small table whose deferred trigger sleeps at the commit, like a slow disk or a
distant standby.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from tests.bench.ingest import ready_workers, work_off
from tests.bench.setup import BenchServers, Place, Took

SLOW_COMMIT_SQL = """
CREATE TABLE public.slow_commit (at timestamptz NOT NULL);
CREATE FUNCTION public.wait_at_commit() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON public.slow_commit DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION public.wait_at_commit();
CREATE FUNCTION public.mark_commit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
  BEGIN INSERT INTO public.slow_commit VALUES (now()); RETURN NULL; END $$;
CREATE TRIGGER mark AFTER INSERT
    ON fee_realizer.realization FOR EACH STATEMENT EXECUTE FUNCTION public.mark_commit();
CREATE TRIGGER mark AFTER INSERT
    ON invoicer.settled_document FOR EACH STATEMENT EXECUTE FUNCTION public.mark_commit();
"""


@dataclass(frozen=True)
class Shared:
    """One worker of each kind, and several, on the same messages.

    `commit_ms`: the delay of each commit; `records`: the most records in a transaction.
    """

    one: Took
    several: Took
    replicas: int
    commit_ms: float
    records: int

    @property
    def ratio(self) -> float:
        """The rate of several as a multiple of that of one."""
        return self.several.rate / self.one.rate


def measure(
    bench_servers: BenchServers,
    count: int,
    requirements: int,
    replicas: int,
    commit_ms: float,
    records: int,
    rounds: int,
) -> Shared:
    """The same number of messages with one worker of each kind and with several.

    In more than one round the order is one, several, several, one, so that neither gains by a
    machine that gets warm or busy meanwhile.
    """
    order = (1, replicas, replicas, 1) if rounds > 1 else (1, replicas)
    took = [
        (each, _round(bench_servers, count, requirements, each, commit_ms, records))
        for each in order
    ]
    return Shared(
        *(_sum([one for each, one in took if each == wanted]) for wanted in (1, replicas)),
        replicas,
        commit_ms,
        records,
    )


def _sum(took: Sequence[Took]) -> Took:
    return Took(
        sum(one.messages for one in took),
        sum(one.seconds for one in took),
        sum(one.computed for one in took),
    )


def _round(
    bench_servers: BenchServers,
    count: int,
    requirements: int,
    replicas: int,
    commit_ms: float,
    records: int,
) -> Took:
    with bench_servers.place(f"shared{replicas}") as place:
        workers = ready_workers(place, requirements, replicas, max_batch_records=records)
        if commit_ms:
            asyncio.run(_slow_down(place, commit_ms))
        return asyncio.run(work_off(place, bench_servers.clock(workers), count, requirements))


async def _slow_down(place: Place, commit_ms: float) -> None:
    connection: asyncpg.Connection = await place.owner()
    try:
        await connection.execute(SLOW_COMMIT_SQL.format(seconds=commit_ms / 1000))
    finally:
        await connection.close()
