"""`python -m tests.bench [ingest] [batch] [cycles] [latency] [replicas] [delivery] [pdf] [idle]`:
measures what is named, or all, and prints one table for the README."""

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil

from tests.bench import batch, delivery, idle, ingest, latency, pdf, replicas, table
from tests.bench.setup import BenchServers, bench_servers
from tests.bench.table import Row

PARTS = ("ingest", "batch", "cycles", "latency", "replicas", "delivery", "pdf", "idle")


def main(arguments: Sequence[str] | None = None) -> str:
    """Measures and prints; gives the table."""
    wish = _options().parse_args(arguments)
    wanted = wish.parts or PARTS
    with tempfile.TemporaryDirectory(prefix="backoffice-bench-", ignore_cleanup_errors=True) as own:
        with bench_servers(Path(wish.data or own), _say) as servers:
            rows = [
                row for part in PARTS if part in wanted for row in MEASURES[part](servers, wish)
            ]
    text = "\n".join([_where_and_when(), "", table.HEAD, *map(str, rows)])
    print(text)
    if wish.out:
        Path(wish.out).write_text(text + "\n", encoding="utf-8")
    return text


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    options.add_argument(
        "parts", nargs="*", choices=[[], *PARTS], help="what to measure; nothing: all"
    )
    _options_of_events(options)
    _options_of_batches(options)
    _options_of_slow_servers(options)
    options.add_argument("--data", help="folder for the servers' data; else a temporary one")
    options.add_argument("--out", help="file to which the table is written, too")
    return options


def _options_of_events(options: argparse.ArgumentParser) -> None:
    """Add how many events are sent, how fast, and to how many workers."""
    options.add_argument(
        "--messages", type=int, default=60_000, help="timesheets of a round of ingest (60000)"
    )
    options.add_argument(
        "--rounds",
        type=int,
        default=3,
        help="rounds of ingest and of small batches, of which the middle is shown, and of several"
        " workers (3)",
    )
    options.add_argument(
        "--one-by-one", type=int, default=400, help="messages of the ORM way (400)"
    )
    options.add_argument(
        "--requirements",
        type=int,
        default=1_000,
        help="requirements that the timesheets are about (1000)",
    )
    options.add_argument(
        "--rate", type=float, default=200, help="timesheets a second when latency is measured (200)"
    )
    options.add_argument(
        "--seconds", type=float, default=30, help="how long latency is measured (30)"
    )
    options.add_argument(
        "--shared-messages",
        type=int,
        default=60_000,
        help="timesheets when several workers are measured (60000)",
    )
    options.add_argument(
        "--replicas", type=int, default=2, help="workers of each kind that share the partitions (2)"
    )


def _options_of_batches(options: argparse.ArgumentParser) -> None:
    """Add how large the batches are, and the tables in which they are generated."""
    options.add_argument(
        "--lines", default="100000,1000000", help="sizes of the batches (100000,1000000)"
    )
    options.add_argument(
        "--history", type=int, default=3_000_000, help="lines on closed documents (3000000)"
    )
    options.add_argument("--debtors", type=int, default=5_000, help="billtos of a batch (5000)")


def _options_of_slow_servers(options: argparse.ArgumentParser) -> None:
    """Add how slow commits and the ledger are, and how long an idle stack is measured."""
    options.add_argument(
        "--commit-ms", type=float, default=5, help="by how much commits are slowed (5)"
    )
    options.add_argument(
        "--slow-records",
        type=int,
        default=50,
        help="records of a transaction where commits are slowed (50)",
    )
    options.add_argument(
        "--documents",
        type=int,
        default=3_000,
        help="documents that are delivered to a ledger (3000)",
    )
    options.add_argument(
        "--ledger-ms", type=float, default=20, help="how long the ledger takes to answer (20)"
    )
    options.add_argument("--pdfs", type=int, default=1_000, help="PDFs of five lines (1000)")
    options.add_argument(
        "--pdf-lines", type=int, default=9_727, help="lines of one long PDF (9727)"
    )
    options.add_argument(
        "--idle-seconds", type=float, default=60, help="how long an idle stack is measured (60)"
    )
    options.add_argument(
        "--settle-seconds",
        type=float,
        default=15,
        help="how long a start may have after-effects before that (15)",
    )


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _where_and_when() -> str:
    now = datetime.now(UTC)  # noqa: TID251 - the date of the run, for people
    memory = psutil.virtual_memory().total // 2**30
    load = os.getloadavg()[0]
    return (
        f"Measured {now:%Y-%m-%d %H:%M} UTC on {os.cpu_count()} cores ({platform.machine()},"
        f" {memory} GiB, {platform.system()}),"
        f" Python {platform.python_version()}; load average at the end {load:.1f}. Everything, the"
        " servers too, ran on this machine."
    )


def _ingest(servers: BenchServers, wish: argparse.Namespace) -> list[Row]:
    rounds = []
    for at in range(wish.rounds):
        rounds.append(ingest.measure(servers, wish.messages, wish.one_by_one, wish.requirements))
        _say(
            f"ingest, round {at + 1}: {rounds[-1].workers.rate:,.0f}/s, bare"
            f" {rounds[-1].bare.rate:,.0f}/s, one by one {rounds[-1].one_by_one.rate:,.0f}/s"
        )
    return [
        *table.ingest_rows(rounds),
        Row("memory under that load", table.memory(rounds[-1].memory), "", ""),
    ]


def _batch(servers: BenchServers, wish: argparse.Namespace) -> list[Row]:
    sizes = [int(size) for size in wish.lines.split(",")]
    return table.batch_rows(
        batch.measure(servers, sizes, wish.history, wish.debtors, wish.rounds, _say)
    )


def _cycles(servers: BenchServers, wish: argparse.Namespace) -> list[Row]:
    sizes = [int(size) for size in wish.lines.split(",")]
    return table.cycles_rows(batch.measure_cycles(servers, sizes, wish.history, wish.debtors, _say))


def _latency(servers: BenchServers, wish: argparse.Namespace) -> list[Row]:
    return table.latency_rows(latency.measure(servers, wish.rate, wish.seconds, wish.requirements))


def _replicas(servers: BenchServers, wish: argparse.Namespace) -> list[Row]:
    found = [
        replicas.measure(
            servers,
            wish.shared_messages,
            wish.requirements,
            wish.replicas,
            commit_ms,
            records,
            wish.rounds,
        )
        for commit_ms, records in ((0.0, 1000), (wish.commit_ms, wish.slow_records))
    ]
    return [table.shared_row(one) for one in found]


def _delivery(servers: BenchServers, wish: argparse.Namespace) -> list[Row]:
    return [table.delivery_row(delivery.measure(servers, wish.documents, 8, wish.ledger_ms))]


def _pdf(_: BenchServers, wish: argparse.Namespace) -> list[Row]:
    return table.pdf_rows(
        pdf.measure(wish.pdfs, pdf.LINES_OF_A_DOCUMENT), pdf.measure(1, wish.pdf_lines)
    )


def _idle(servers: BenchServers, wish: argparse.Namespace) -> list[Row]:
    return table.idle_rows(idle.measure(servers, wish.idle_seconds, wish.settle_seconds))


MEASURES: dict[str, Callable[[BenchServers, argparse.Namespace], list[Row]]] = {
    "ingest": _ingest,
    "batch": _batch,
    "cycles": _cycles,
    "latency": _latency,
    "replicas": _replicas,
    "delivery": _delivery,
    "pdf": _pdf,
    "idle": _idle,
}


if __name__ == "__main__":
    main()
