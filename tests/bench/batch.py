"""A batch against bare SQL with the same result, in one database, on the same open lines.

The worker is a process that consumes `generate-batch`; its time runs from publishing the command
to the answer, with everything between: locks, rules, safety checks, health, commit. Documents are
published after the answer; that time is shown separately. The bare way is one transaction written
by hand for this case, and publishes nothing. Its result is compared: documents, lines, numbers,
tax and seals. A small batch takes a second or two, in which a shared machine may be slow: it is
measured several times, and the median round is shown.
"""

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.broker.security import kafka_access
from shared.broker.topics import COMMAND_RESULTS, INVOICE_CLOSED, OPERATOR_COMMANDS
from shared.settings import TEMP_BUFFERS
from shared.stack.workers import Worker
from tests.bench import cycles, messages, seed
from tests.bench.setup import (
    BenchServers,
    Clock,
    Place,
    Took,
    forget_peak,
    metrics,
    peak_memory,
    private_memory,
    until,
)

ANSWER_SECONDS = 900
SAMPLE_SECONDS = 0.5
TIMES_BEHIND = 3
SMALL = 200_000
REACH = {"first": "min", "last": "max"}

BARE_SQL = (
    "SET LOCAL work_mem = '256MB'",
    "SET LOCAL jit = off",
    """CREATE TEMP TABLE payer ON COMMIT DROP AS
       SELECT node_id, account_name, debtor, level,
           dense_rank() OVER (ORDER BY account_name COLLATE "C")::int AS debtor_no, buyer
       FROM (SELECT n.node_id, coalesce(nullif(n.account_name, ''), p.account_name) AS account_name,
                    CASE WHEN n.account_name <> '' THEN n.node_id ELSE p.node_id END AS debtor,
                    CASE WHEN n.account_name <> '' THEN n.level ELSE p.level END AS level,
                    jsonb_build_object('name', p.name, 'address', p.address, 'tax_id', p.tax_id)
                        AS buyer
             FROM invoicer.billto_node n JOIN invoicer.billto_node p
                 ON p.node_id = coalesce(n.parent_id, n.node_id)) s""",
    "ANALYZE payer",
    """CREATE TEMP TABLE line ON COMMIT DROP AS
       SELECT debtor_no, currency, po_number, (row_number() OVER w)::int AS line_no, pay_line_id,
           debtor, level, amount, tax_code, tax_rate, tax,
              service_from, service_to, digest
       FROM (SELECT y.debtor_no, p.currency, p.po_number, p.pay_line_id, y.debtor, y.level,
           p.amount, t.tax_code, t.percent AS tax_rate,
                    round(p.amount * t.percent / 100, 2) AS tax, p.service_from, p.service_to,
                        p.week_ending, p.worker_id COLLATE "C" AS worker_id,
                    p.effective_date, p.document_id COLLATE "C" AS document_id,
                        p.line_key COLLATE "C" AS line_key, invoicer.line_digest(p) AS digest
             FROM bare.open_line o JOIN invoicer.pay_line p ON p.pay_line_id = o.pay_line_id
                 AND p.pay_line_id BETWEEN $first AND $last
             JOIN payer y ON y.node_id = o.billto_node
             JOIN fee_realizer.tax_rate t ON t.billing_company = o.billing_company
                 AND t.tax_code = 'STD'
             WHERE o.billing_company = $company AND o.effective_date <= $today
                 AND o.week_ending <= $cut_off OFFSET 0) s
       WINDOW w AS (PARTITION BY debtor_no, currency, po_number ORDER BY week_ending, worker_id,
           effective_date, document_id, line_key, pay_line_id)""",
    "ANALYZE line (debtor_no, pay_line_id)",
    """INSERT INTO bare.batch (batch_id, billing_company, command_id, cut_off_date, invoice_date,
        first_number, last_number, documents, line_count, totals,
         actor, reason, generated_at)
       SELECT $batch, $company, $batch, $cut_off, $today, '', '', count(DISTINCT debtor_no),
           count(*),
         jsonb_build_array(jsonb_build_object('net', sum(amount), 'tax', sum(tax))), 'bench',
             'bench', now() FROM line""",
    """CREATE TEMP TABLE document ON COMMIT DROP AS
       WITH born AS (
         INSERT INTO bare.invoice (billing_company, batch_id, series, number, invoice_number,
             document_type, account_name, currency, payment_terms, po_number,
           tax_regime, tax_wording, tax_basis, invoice_date, due_date, cut_off_date, service_from,
               service_to, net, tax, total, line_count, tax_totals, seller,
           buyer, closed_at)
         SELECT $company, $batch, 'INV-', number, 'INV-' || lpad(number::text, greatest(6,
             length(number::text)), '0'), 'invoice', y.account_name, d.currency,
           'net:30', d.po_number, 'standard', '', 'line', $today, $today + 30, $cut_off, since,
               until, net, tax, net + tax, lines,
           jsonb_build_array(jsonb_build_object('code', tax_code, 'rate',
               trim_scale(tax_rate)::text, 'net', net::numeric(20, 2)::text,
                                                'tax', tax::numeric(20, 2)::text)),
           '{"name": "Bench Staffing Inc.", "address": "1 Main Street, Springfield",
              "tax_id": "12-3456789", "bank": "Bank 001"}', y.buyer, now()
         FROM (SELECT debtor_no, currency, po_number, tax_code, tax_rate, count(*) AS lines,
             min(service_from) AS since, max(service_to) AS until,
                      sum(amount) AS net, sum(tax) AS tax,
                      row_number() OVER (ORDER BY debtor_no, currency, po_number) - 1
                        + (SELECT next_number FROM bare.number_series
                            WHERE billing_company = $company FOR UPDATE) AS number
               FROM line GROUP BY debtor_no, currency, po_number, tax_code, tax_rate) d
         JOIN (SELECT DISTINCT ON (debtor_no) debtor_no, account_name, buyer FROM payer) y
             USING (debtor_no)
         ORDER BY number RETURNING invoice_id, account_name, currency, po_number)
       SELECT b.invoice_id, y.debtor_no, b.currency, b.po_number FROM born b
       JOIN (SELECT DISTINCT account_name, debtor_no FROM payer) y USING (account_name)""",
    "ANALYZE document",
    """INSERT INTO bare.invoice_line (invoice_id, line_no, pay_line_id, billto_node, billto_level,
        tax_code, tax_rate, tax_amount)
       SELECT d.invoice_id, l.line_no, l.pay_line_id, l.debtor, l.level, l.tax_code, l.tax_rate,
           l.tax
       FROM line l JOIN document d USING (debtor_no, currency, po_number)""",
    """INSERT INTO bare.invoice_seal
       SELECT i.invoice_id, invoicer.document_seal(ROW(i.*)::invoicer.invoice, s.lines)
       FROM (SELECT debtor_no, currency, po_number,
                    string_agg(invoicer.line_seal(line_no, digest, NULL, debtor, level, tax_code,
                        tax_rate, tax), ''::bytea ORDER BY line_no) AS lines
             FROM line GROUP BY debtor_no, currency, po_number) s
       JOIN document d USING (debtor_no, currency, po_number) JOIN bare.invoice i
           USING (invoice_id)""",
    "DELETE FROM bare.open_line o USING line l WHERE o.billing_company = $company AND"
    " o.pay_line_id = l.pay_line_id",
    "UPDATE bare.number_series SET next_number = next_number + (SELECT count(*) FROM document),"
    " last_date = $today WHERE billing_company = $company",
)

WAYS: dict[seed.Shape, Sequence[str]] = {seed.PLAIN: BARE_SQL, seed.CYCLES: cycles.BARE_SQL}

_SAME_DOCUMENT = (
    "number, invoice_number, account_name, currency, due_date, net, tax, total, line_count,"
    " tax_totals, seller, buyer, content_hash"
)
_SAME_LINE = (
    "number, line_no, pay_line_id, billto_node, billto_level, tax_code, tax_rate, tax_amount"
)
DIFFERENCE_SQL = f"""
WITH ours AS (SELECT {_SAME_DOCUMENT} FROM invoicer.invoice JOIN invoicer.invoice_seal
    USING (invoice_id) WHERE series = 'INV-'),
     bares AS (SELECT {_SAME_DOCUMENT} FROM bare.invoice JOIN bare.invoice_seal USING (invoice_id)
         WHERE series = 'INV-'),
     our_lines AS (SELECT {_SAME_LINE} FROM invoicer.invoice JOIN invoicer.invoice_line
         USING (invoice_id) WHERE series = 'INV-'),
     bare_lines AS (SELECT {_SAME_LINE} FROM bare.invoice JOIN bare.invoice_line USING (invoice_id)
         WHERE series = 'INV-')
SELECT (SELECT count(*) FROM (TABLE ours EXCEPT TABLE bares) a) + (SELECT count(*)
    FROM (TABLE bares EXCEPT TABLE ours) b)
     + (SELECT count(*) FROM (TABLE our_lines EXCEPT TABLE bare_lines) c) + (SELECT count(*)
         FROM (TABLE bare_lines EXCEPT TABLE our_lines) d)
     + (SELECT count(*) FROM (TABLE invoicer.open_line EXCEPT TABLE bare.open_line) e)
     + (SELECT count(*) FROM (TABLE bare.open_line EXCEPT TABLE invoicer.open_line) f)"""


@dataclass(frozen=True)
class BatchRun:
    """One batch both ways. Memory in MiB: the peak of the worker, and of PostgreSQL's processes.

    `announced`: seconds from the command until the last document was published.
    """

    what: str
    lines: int
    history: int
    worker: Took
    bare: Took
    worker_memory: int
    postgres_memory: int
    bare_postgres_memory: int
    announced: float = 0.0

    @property
    def ratio(self) -> float:
        """The time of the worker as a multiple of the bare time."""
        return self.worker.seconds / self.bare.seconds


@dataclass
class Watcher:
    """Sample memory while something runs."""

    bench_servers: BenchServers
    most: int = 0
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Sample while the block lasts."""

        def look() -> None:
            while not self._over.wait(SAMPLE_SECONDS):
                self.most = max(self.most, private_memory(self.bench_servers.postgres_pids()))

        looking = threading.Thread(target=look, daemon=True)
        looking.start()
        try:
            yield
        finally:
            self._over.set()
            looking.join()


def measure(
    bench_servers: BenchServers,
    sizes: list[int],
    history: int,
    debtors: int,
    rounds: int,
    say: Callable[[str], None],
) -> list[BatchRun]:
    """Each size without history, and again with it; the median round of a small size."""
    found: list[BatchRun] = []
    tries = {size: rounds if size <= SMALL else 1 for size in sizes}
    to_come = 2 * sum(tries.values())
    with bench_servers.place("batch") as place:
        asyncio.run(_with_owner(place, seed.add_facts, debtors))
        behind = 0
        for years in (0, history):
            if years:
                began = time.perf_counter()
                behind += asyncio.run(
                    _with_owner(place, seed.add_history, "H", max(years - behind, 1), debtors)
                )
                say(f"history seeded: {behind:,} lines in {time.perf_counter() - began:.0f} s")
            for size in sizes:
                tried = []
                for at in range(tries[size]):
                    to_come -= 1
                    lot = f"L{len(found)}-{at}"
                    asyncio.run(
                        _with_owner(place, seed.add_open_lines, lot, size, debtors, to_come)
                    )
                    one = _one(bench_servers, place, lot, size, behind, seed.PLAIN)
                    say(
                        f"batch of {size:,} lines, {behind:,} before: {one.worker.seconds:.2f} s,"
                        f" bare {one.bare.seconds:.2f} s: {one.ratio:.2f}"
                    )
                    tried.append(one)
                    behind += size
                found.append(sorted(tried, key=lambda one: one.ratio)[len(tried) // 2])
    return found


def measure_cycles(
    bench_servers: BenchServers,
    sizes: list[int],
    history: int,
    debtors: int,
    say: Callable[[str], None],
) -> list[BatchRun]:
    """Each size in a database of its own, with up to three times as many closed lines."""
    found = []
    for size in sizes:
        with bench_servers.place("cycles") as place:
            asyncio.run(_with_owner(place, seed.add_facts, debtors))
            asyncio.run(_with_owner(place, seed.add_cycles, debtors))
            behind = asyncio.run(
                _with_owner(
                    place,
                    seed.add_history,
                    "H",
                    min(history, TIMES_BEHIND * size),
                    debtors,
                    seed.CYCLES,
                )
            )
            asyncio.run(_with_owner(place, seed.add_open_lines_of_cycles, "L", size, debtors))
            found.append(_one(bench_servers, place, "L", size, behind, seed.CYCLES))
        say(
            f"batch with cycles of {size:,} lines, {behind:,} before:"
            f" {found[-1].worker.seconds:.1f} s, bare {found[-1].bare.seconds:.1f} s"
        )
    return found


async def _with_owner(place: Place, work: Callable[..., Awaitable[Any]], *arguments: object) -> Any:
    connection = await place.owner()
    try:
        return await work(connection, *arguments)
    finally:
        await connection.close()


def _one(
    bench_servers: BenchServers, place: Place, lot: str, size: int, behind: int, shape: seed.Shape
) -> BatchRun:
    asyncio.run(_with_owner(place, seed.settle_down))
    bare_memory, memory = Watcher(bench_servers), Watcher(bench_servers)
    with bare_memory.watching():
        bare = asyncio.run(_with_owner(place, _bare, bench_servers.clock(), lot, size, WAYS[shape]))
    (worker,) = place.start("invoicer", today=seed.TODAY)
    asyncio.run(until(lambda: _has_looked(worker), "the worker's first look at its open lines"))
    asyncio.run(_asked(place, bench_servers.clock([worker]), seed.IDLE, f"idle-{lot}", 0))
    asyncio.run(_with_owner(place, seed.settle_down))
    pid = worker.pid or 0
    forget_peak(pid)
    with memory.watching():
        took, announced = asyncio.run(_generated(place, bench_servers.clock([worker]), lot, size))
    peak = peak_memory(pid)
    place.stop()
    differences = asyncio.run(place.value(DIFFERENCE_SQL))
    if differences:
        raise AssertionError(
            f"the worker and the bare SQL differ in {differences} rows: the comparison of their"
            " times counts for nothing"
        )
    return BatchRun(
        shape.name, size, behind, took, bare, peak, memory.most, bare_memory.most, announced
    )


async def _has_looked(worker: Worker) -> bool:
    """Wait until the worker has collected its metrics, and generate an empty batch.

    A new worker reads all open lines for its metrics, and its first batch finds nothing prepared;
    it is measured as it runs for years.
    """
    return "backoffice_pay_lines{" in await asyncio.to_thread(metrics, worker)


async def _bare(
    connection: asyncpg.Connection, clock: Clock, lot: str, size: int, way: Sequence[str]
) -> Took:
    """The hand-written transaction; its parameters are constants, as its author would write
    them.
    """
    values = {
        "company": f"'{messages.COMPANY}'",
        "today": f"date '{seed.TODAY}'",
        "cut_off": f"date '{seed.CUT_OFF}'",
        "batch": f"'bare-{lot}'",
    }
    await connection.execute(f"SET temp_buffers = '{TEMP_BUFFERS}'")
    began = clock.now()
    async with connection.transaction():
        for name in ("first", "last"):
            values[name] = str(
                await connection.fetchval(f"SELECT {REACH[name]}(pay_line_id) FROM bare.open_line")
            )
        for statement in way:
            for name, value in values.items():
                statement = statement.replace(f"${name}", value)
            await connection.execute(statement)
    return clock.took(size, began)


async def _generated(place: Place, clock: Clock, lot: str, size: int) -> tuple[Took, float]:
    """Seconds from the command to its answer, and until its documents were published."""
    answer, took, announced = await _asked(place, clock, messages.COMPANY, f"batch-{lot}", size)
    if answer["outcome"] != "accepted" or answer["details"]["lines"] != size:
        raise AssertionError(
            f"the batch came out otherwise: {answer['message']}; {answer['details']}"
        )
    return took, announced


async def _asked(
    place: Place, clock: Clock, company: str, command_id: str, size: int
) -> tuple[dict[str, Any], Took, float]:
    command = {
        "command": "generate-batch",
        "command_id": command_id,
        "actor": "bench",
        "reason": "bench",
        "billing_company": company,
    }
    value = json.dumps(command | {"cut_off_date": str(seed.CUT_OFF)}).encode()
    async with (
        AIOKafkaConsumer(
            place.topic(COMMAND_RESULTS.name),
            **kafka_access().client_options(),
            auto_offset_reset="earliest",
        ) as answers,
        AIOKafkaConsumer(
            **kafka_access().client_options()
        ) as looker,  # one that reads lets a question about offsets wait for its records
        messages.producer() as sender,
        asyncio.timeout(ANSWER_SECONDS),
    ):
        topic = place.topic(INVOICE_CLOSED.name)
        partitions = [
            TopicPartition(topic, number) for number in await sender.partitions_for(topic)
        ]
        before = await _announced(looker, partitions)
        began = clock.now()
        await sender.send_and_wait(place.topic(OPERATOR_COMMANDS.name), value, key=company.encode())
        async for record in answers:
            answer = json.loads(record.value)
            if answer["command_id"] == command_id:
                break
        took = clock.took(size, began)
        while await _announced(looker, partitions) < before + answer["details"].get("documents", 0):
            await asyncio.sleep(0.01)
        return answer, took, clock.took(size, began).seconds


async def _announced(consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> int:
    """How many documents were ever published: nothing else is on their topic."""
    return sum((await consumer.end_offsets(partitions)).values())
