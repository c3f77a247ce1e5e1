"""The demonstration that a new user types first: its report is true, its files add up, and
nothing of it stays running.
"""

import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from pypdf import PdfReader

from services.console.sample import month

BACKOFFICE = Path(sys.executable).with_name("backoffice")
TIMEOUT_SECONDS = 280


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that the user PostgreSQL runs as can enter."""
    with tempfile.TemporaryDirectory(prefix="backoffice-demo-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


def environment() -> dict[str, str]:
    """No address and no setting of the machine that runs the tests, but for the folder of the
    jars; a day on which instalments are due later.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("BACKOFFICE_") or name == "BACKOFFICE_CACHE"
    }
    return kept | {"BACKOFFICE_STACK": "embedded", "BACKOFFICE_TODAY": "2026-11-22"}


def start(folder: Path, *options: str) -> "subprocess.Popen[str]":
    """The demonstration in a process group of its own."""
    command = [
        str(BACKOFFICE),
        "demo",
        "--data",
        str(folder / "data"),
        "--out",
        str(folder / "out"),
        *options,
    ]
    # A shell that runs the tests in the background may have set Ctrl-C to be ignored, and processes
    # inherit that.
    heeding = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
        preexec_fn=heeding,
    )


def left_running(folder: Path) -> list[str]:
    """Processes that name the folder in their command line, or work in it."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(folder / "data") in " ".join(process.cmdline()) or process.cwd().startswith(
                str(folder)
            ):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


@pytest.fixture(scope="module")
def report(folder: Path) -> dict[str, Any]:
    """The demonstration's one JSON document."""
    process = start(folder, "--json")
    out, errors = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 0, errors[-3000:] + out[-3000:]
    report: dict[str, Any] = json.loads(out)
    return report


def test_the_demonstration_names_what_is_not_invoiced(report: dict[str, Any]) -> None:
    """Held, snoozed, scheduled, beyond the cut-off, without a payer, unreadable: each is named
    with its reason, and is on no invoice.
    """
    by_what: dict[str, list[str]] = {}
    for row in report["not_invoiced"]:
        by_what.setdefault(row["what"], []).append(row["which"])
    assert sorted(row["code"] for row in report["held"]) == [
        "no_bill_rate",
        "not_approved",
        "not_reviewed",
    ]
    assert sorted(by_what["held"]) == sorted(
        month.timesheet_id(*one) for one in (month.NOT_APPROVED, month.NOT_REVIEWED, month.NO_RATE)
    )
    assert by_what["snoozed"] == [month.timesheet_id(*month.IN_DISPUTE)]
    assert sorted(by_what["scheduled"]) == [
        "AS-portal@2026-11-30",
        "AS-portal@2026-12-31",
        "PL-1001",
        "PL-1002",
        "PL-1005",
    ]
    assert sorted(by_what["next month"]) == sorted(month.timesheet_id(*one) for one in month.EARLY)
    assert by_what["set aside"] == ["of-bluewater-camden"]
    assert [dead_letter["code"] for dead_letter in report["dead_letters"]] == ["bad_json"]


def test_the_demonstration_shows_what_is_billed_beside_hours(report: dict[str, Any]) -> None:
    """A retainer that a fee is billed less of, a recurring product, an expense without its tax and
    with its markup, and a discount, each with its document; what is due later is Scheduled.
    """
    found: dict[str, list[Decimal]] = {}
    for row in report["beside_hours"]:
        assert row["document"].startswith(("HL-", "NL26-"))
        found.setdefault(f"{row['what']} {row['which']}", []).append(Decimal(row["amount"]))
    assert found["retainer job-cto-boston"] == [10_000]
    assert found["fee PL-1005"] == [6_000], "half of 32,000.00 less the retainer"
    assert found["recurring product AS-portal@2026-10-31"] == [150]
    assert sum(name.startswith("recurring product") for name in found) == 3
    assert found["expense EX-2001"] == [110]
    (discount,) = found[f"discount {month.DISCOUNTED}"]
    (row,) = (row for row in report["beside_hours"] if row["what"] == "discount")
    base = Decimal(row["why"].rsplit(" ", 1)[1].replace(",", ""))
    assert discount == -round(base * Decimal("0.025"), 2) < 0


def test_the_files_of_the_demonstration_add_up_to_the_batch(
    report: dict[str, Any], folder: Path
) -> None:
    """Screen, CSV and PDF show the same money, each counted by itself; numbers are gapless from
    1.
    """
    for batch in report["batches"]:
        company = batch["billing_company"]
        with (folder / "out" / f"{company}.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == batch["lines"]
        sums = [Decimal(row["amount"]) + Decimal(row["allowance_amount"]) for row in rows]
        assert sum(sums) == Decimal(batch["net"])
        assert sum(Decimal(row["tax_amount"]) for row in rows) == Decimal(batch["tax"])
        assert {row["currency"] for row in rows} == {batch["currency"]}
        totals: Counter[str] = Counter()
        for row in rows:
            figures = (row["amount"], row["allowance_amount"], row["tax_amount"])
            totals[row["invoice_number"]] += sum(map(Decimal, figures))  # type: ignore[assignment]
        numbers = sorted(totals)
        assert [int(number.split("-")[1]) for number in numbers] == list(
            range(1, batch["documents"] + 1)
        )
        files = sorted((folder / "out" / company).glob("*.pdf"))
        assert [file.stem for file in files] == numbers
        for file in files:
            text = "\n".join(page.extract_text() for page in PdfReader(file).pages)
            assert f"{totals[file.stem]:,.2f}" in text, file
        assert batch["agree"] == "yes"


def test_the_demonstration_shows_the_rules(report: dict[str, Any], folder: Path) -> None:
    """A rate that changes on a Wednesday gives two lines; an adjustment takes its original's
    place; a direct hire's halves fall due apart.
    """
    rows: list[dict[str, str]] = []
    for batch in report["batches"]:
        with (folder / "out" / f"{batch['billing_company']}.csv").open(
            encoding="utf-8", newline=""
        ) as file:
            rows += csv.DictReader(file)
    changed = [
        row
        for row in rows
        if row["worker_id"] == "amara.okafor"
        and row["week_ending"] == "2026-10-18"
        and row["time_type"] == "REG"
    ]
    assert {Decimal(row["unit_price"]) for row in changed} == {Decimal("92.50"), Decimal(96)}
    adjusted = [row for row in rows if row["document_id"] == month.timesheet_id(*month.ADJUSTED)]
    assert [Decimal(row["quantity"]) for row in adjusted] == [Decimal(38)]
    signed = [row for row in rows if row["document_id"] == month.timesheet_id(*month.SIGNED_LATER)]
    assert signed
    fees = {
        row["document_id"]: Decimal(row["amount"])
        for row in rows
        if row["document_id"] in ("PL-1001", "PL-1002")
    }
    assert fees == {"PL-1001": Decimal(10800), "PL-1002": Decimal(14800)}


def test_verify_finds_nothing_and_no_process_remains(report: dict[str, Any], folder: Path) -> None:
    """`verify` finds no fault; the demonstration stops all that it started."""
    assert report["verify"]["clean"]
    assert report["verify"]["in_flight_count"] == 0
    assert left_running(folder) == []


@pytest.mark.parametrize(
    ("by", "at"),
    [(signal.SIGINT, "[3/7]"), (signal.SIGTERM, "PostgreSQL works")],
    ids=["in the middle", "while starting"],
)
def test_a_demonstration_that_is_stopped_leaves_nothing_running(
    folder: Path, by: signal.Signals, at: str, report: dict[str, Any]
) -> None:
    """Ctrl-C in the middle of the work, and a kill while servers start, stop servers and
    workers, too.
    """
    process = start(folder)
    assert process.stdout is not None
    for line in process.stdout:
        if at in line:
            break
    assert left_running(folder)
    process.send_signal(by)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert left_running(folder) == []
