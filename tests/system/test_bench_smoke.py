"""The benchmarks themselves, with tiny sizes: every way runs to its end, both ways of a batch
come to the same rows. Nothing is timed.
"""

from pathlib import Path

import pytest

from tests.bench.__main__ import PARTS, main

TINY = [
    *("--messages", "300", "--rounds", "1", "--one-by-one", "20", "--requirements", "20"),
    *("--lines", "200,600", "--history", "2400", "--debtors", "50"),
    *(
        "--rate",
        "50",
        "--seconds",
        "2",
        "--shared-messages",
        "200",
        "--replicas",
        "2",
        "--slow-records",
        "50",
        "--documents",
        "100",
    ),
    *("--pdfs", "5", "--pdf-lines", "20"),
    *("--idle-seconds", "1", "--settle-seconds", "0"),
]


@pytest.mark.slow
def test_every_measurement_gives_its_rows(stack: dict[str, str], tmp_path: Path) -> None:
    """One command measures ingest, batches, latency, replicas and an idle stack, and writes one
    table with date and machine.
    """
    out = tmp_path / "table.md"
    assert stack[
        "BACKOFFICE_KAFKA"
    ]  # the servers of the tests: the benchmarks take those that the settings name
    text = main([*TINY, "--data", str(tmp_path / "bench"), "--out", str(out)])
    assert out.read_text(encoding="utf-8") == text + "\n"
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    for part in (
        "bare loop",
        "ingest: published",
        "ORM, one message",
        "batch of 200 lines, 0 lines before",
        "batch of 600 lines",
        "batch with cycles, five split keys, 2 % corrections, of 600 lines, 1,800 lines before",
        "memory",
        "p99",
        "2 workers",
        "documents to a ledger",
        "PDFs of 5 lines",
        "one PDF of 20 lines",
        "idle stack, all workers",
    ):
        assert any(part in row for row in rows), f"no row about {part}:\n{text}"
    assert "cores" in text and len(PARTS) == 8
