"""The table of a run, as Markdown for the README: what, against what, ratio, target.

Ratios are given twice: of elapsed time and of processor time. They are equal on an idle machine;
on a busy one the second is the better measure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from tests.bench.batch import BatchRun
from tests.bench.delivery import Delivered
from tests.bench.idle import Idle
from tests.bench.ingest import Ingest
from tests.bench.latency import Latency
from tests.bench.pdf import Set
from tests.bench.replicas import Shared
from tests.bench.setup import Took


@dataclass(frozen=True)
class Row:
    """One line of the table. `met` is None without a target."""

    what: str
    measured: str
    against: str
    ratio: str
    aim: str = ""
    met: bool | None = None

    def __str__(self) -> str:
        aim = self.aim if self.met is None else f"{self.aim}: {'met' if self.met else '**missed**'}"
        return f"| {self.what} | {self.measured} | {self.against} | {self.ratio} | {aim} |"


HEAD = "| what | measured | against | ratio (of processor time) | aim |\n|---|---|---|---|---|"


def _rate(took: Took) -> str:
    return f"{took.rate:,.0f}/s, {took.cost:,.0f} µs"


def _middle(rounds: Sequence[Took]) -> Took:
    """The median round."""
    return sorted(rounds, key=lambda took: took.rate)[len(rounds) // 2]


def ingest_rows(rounds: Sequence[Ingest]) -> list[Row]:
    """Each round is compared within itself; the median of the ratios is shown."""
    workers, bare, alone = (
        _middle([getattr(one, name) for one in rounds])
        for name in ("workers", "bare", "read_alone")
    )
    quick, quick_alone, orm = (
        _middle([getattr(one, name) for one in rounds])
        for name in ("quick_bare", "quick_read_alone", "one_by_one")
    )
    of_alone = _ratios([(one.bare, one.read_alone) for one in rounds])
    of_quick_alone = _ratios([(one.quick_bare, one.quick_read_alone) for one in rounds])
    of_bare = _ratios([(one.workers, one.bare) for one in rounds])
    of_quick = _ratios([(one.workers, one.quick_bare) for one in rounds])
    of_orm = _ratios([(one.workers, one.one_by_one) for one in rounds])
    return [
        Row(
            "bare loop: decode the event, one keyed and logged row",
            _rate(bare),
            f"consume and decode alone: {_rate(alone)}",
            "{:.2f} ({:.2f})".format(*of_alone),
            "≥ 0.5",
            of_alone[0] >= 0.5,
        ),
        Row(
            "ingest: published → open line, two durable hops",
            _rate(workers),
            f"bare loop, one hop: {_rate(bare)}",
            "{:.3f} ({:.3f})".format(*of_bare),
            "≥ 0.3",
            of_bare[0] >= 0.3,
        ),
        Row(
            "a quicker loop: five fields with msgspec, nothing checked",
            _rate(quick),
            f"consume and decode alone: {_rate(quick_alone)}",
            "{:.2f} ({:.2f})".format(*of_quick_alone),
        ),
        Row(
            "the same ingest",
            _rate(workers),
            f"the quicker loop: {_rate(quick)}",
            "{:.3f} ({:.3f})".format(*of_quick),
        ),
        Row(
            "the same ingest",
            _rate(workers),
            f"ORM, one message a transaction, one hop: {_rate(orm)}",
            "{:.1f} ({:.1f})".format(*of_orm),
            "≥ 20",
            of_orm[0] >= 20,
        ),
    ]


def _ratios(pairs: Sequence[tuple[Took, Took]]) -> tuple[float, float]:
    """The median ratio of rates, and of processor time."""
    return median(one.rate / other.rate for one, other in pairs), median(
        other.cost / one.cost for one, other in pairs
    )


def batch_rows(runs: Sequence[BatchRun]) -> list[Row]:
    """The batches, then their ratios without and with history."""
    found = [_batch_row(run, "batch of", 1.5) for run in runs]
    for size in sorted({run.lines for run in runs}):
        first, *_, last = [run for run in runs if run.lines == size] * 2
        if len(runs) > 1 and first.history != last.history:
            ratio, cost = (
                last.worker.seconds / first.worker.seconds,
                last.worker.computed / first.worker.computed,
            )
            found.append(
                Row(
                    f"the same {size:,} lines, {last.history:,} before",
                    f"{last.worker.seconds:.2f} s",
                    f"{first.history:,} before: {first.worker.seconds:.2f} s",
                    f"{ratio:.2f} ({cost:.2f})",
                    "flat (≤ 1.2)",
                    min(ratio, cost) <= 1.2,
                )
            )
    return found + _memory_rows(runs, "memory of the worker")


def cycles_rows(runs: Sequence[BatchRun]) -> list[Row]:
    """The batches with billing cycles, five split keys and corrections."""
    found = [
        _batch_row(run, "batch with cycles, five split keys, 2 % corrections, of", 2.0)
        for run in runs
    ]
    return found + _memory_rows(runs, "memory of the worker, with cycles")


def _batch_row(run: BatchRun, what: str, bound: float) -> Row:
    cost = run.worker.computed / run.bare.computed
    return Row(
        f"{what} {run.lines:,} lines, {run.history:,} lines before",
        f"answered in {run.worker.seconds:.2f} s, announced in {run.announced:.2f} s; peak"
        f" {run.worker_memory} MiB, PostgreSQL {run.postgres_memory} MiB",
        f"bare SQL, same rows: {run.bare.seconds:.2f} s; PostgreSQL {run.bare_postgres_memory} MiB",
        f"{run.ratio:.2f} ({cost:.2f})",
        f"≤ {bound:g}",
        run.ratio <= bound,
    )


def _memory_rows(runs: Sequence[BatchRun], what: str) -> list[Row]:
    small, large = min(runs, key=lambda run: run.lines), max(runs, key=lambda run: run.lines)
    if small.lines == large.lines:
        return []
    ratio = large.worker_memory / small.worker_memory
    return [
        Row(
            what,
            f"{large.lines:,} lines: {large.worker_memory} MiB",
            f"{small.lines:,} lines: {small.worker_memory} MiB",
            f"{ratio:.2f}",
            "flat (≤ 1.2)",
            ratio <= 1.2,
        ),
    ]


def latency_rows(found: Latency) -> list[Row]:
    """Latency, and the memory of every process meanwhile."""
    return [
        Row(
            f"one timesheet → open line at {found.rate:.0f}/s",
            f"p50 {found.p50:.0f} ms, p99 {found.p99:.0f} ms, most {found.most:.0f} ms",
            f"one bare commit meanwhile (a line needs two): p50 {found.commit_p50:.0f} ms, p99"
            f" {found.commit_p99:.0f} ms",
            "",
            "p99 < 100 ms",
            found.p99 < 100,
        ),
        Row("memory meanwhile", memory(found.memory), "", ""),
    ]


def pdf_rows(many: Set, long: Set) -> list[Row]:
    """PDFs a second on all cores, and one of very many lines; the bytes are the same each time."""
    rate = many.documents / many.seconds
    small = long.seconds <= 5 and long.megabytes <= 400
    return [
        Row(
            f"{many.documents:,} PDFs of {many.lines} lines",
            f"{rate:,.0f}/s, {many.computed / many.documents * 1e3:,.1f} ms of processor time each",
            "",
            "",
            "≥ 40/s on two cores, byte-equal",
            rate >= 40 and many.same_bytes,
        ),
        Row(
            f"one PDF of {long.lines:,} lines",
            f"{long.seconds:.1f} s ({long.computed:.1f} s of processor time), {long.megabytes} MB",
            "",
            "",
            "≤ 5 s, ≤ 400 MB, byte-equal",
            small and long.same_bytes,
        ),
    ]


def idle_rows(found: Idle) -> list[Row]:
    """What a stack costs while nothing happens, as a part of one core, and each process's part."""
    workers, bare = (sum(costs.values()) for costs in (found.workers, found.bare))
    met = workers <= 0.06 or workers <= 1.5 * bare
    return [
        Row(
            f"idle stack, all workers, {found.seconds:.0f} s",
            f"{workers:.1%} of a core ({_shares(found.workers)})",
            f"four plain consumers: {bare:.1%} ({_shares(found.bare)})",
            f"{workers / max(bare, 1e-9):.2f}",
            "≤ 6 % or ≤ 1.5 ×",
            met,
        )
    ]


def _shares(costs: dict[str, float]) -> str:
    return ", ".join(f"{name} {cost:.1%}" for name, cost in costs.items())


def memory(of: dict[str, int]) -> str:
    """MiB of each process."""
    return ", ".join(f"{name} {mebibytes} MiB" for name, mebibytes in of.items())


def shared_row(found: Shared) -> Row:
    """Several workers of each kind."""
    cost = found.one.cost / found.several.cost
    slowed = (
        f", each commit slowed by {found.commit_ms:g} ms, {found.records} records a transaction"
        if found.commit_ms
        else ""
    )
    bound = 1.0 if found.commit_ms else 0.9
    return Row(
        f"{found.replicas} workers of each kind{slowed}",
        _rate(found.several),
        f"one of each: {_rate(found.one)}",
        f"{found.ratio:.2f} ({cost:.2f})",
        f"{'>' if found.commit_ms else '≥'} {bound:g}",
        found.ratio > bound if found.commit_ms else found.ratio >= bound,
    )


def delivery_row(found: Delivered) -> Row:
    """Deliveries to a ledger without a limit."""
    return Row(
        f"{found.documents:,} documents to a ledger that takes {found.latency_ms:g} ms for a call,"
        f" {found.concurrency} at once",
        f"{found.engine:,.0f}/s",
        f"bare client: {found.bare:,.0f}/s",
        f"{found.ratio:.2f}",
        "≥ 0.8",
        found.ratio >= 0.8,
    )
