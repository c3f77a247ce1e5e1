"""Real input: agency hours of a nursing home over nine years, against independent totals.

The data is not part of the project: BACKOFFICE_TEST_DATA names the folder that has
`agency-nursing`, else `../shared/data` is used.
"""

import asyncio
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from shared.logins import plain_dsn
from shared.stack import Stack, running_stack
from shared.stack.workers import STANDARD

DATA = (
    Path(
        os.environ.get("BACKOFFICE_TEST_DATA")
        or Path(__file__).resolve().parents[3] / "shared" / "data"
    )
    / "agency-nursing"
)
BACKOFFICE = Path(sys.executable).with_name("backoffice")
COMPANY = "excelsior-staffing"
CUT_OFF = "2025-12-31"
LINES = 9_727
HOURS = Decimal("199622.29")
TIMEOUT_SECONDS = 300
QUIET = (
    "SELECT table_schema, table_name FROM information_schema.tables WHERE table_type = 'BASE"
    " TABLE' AND table_schema = ANY($1) AND table_name <> 'outbox'"
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not DATA.is_dir(),
        reason=f"the agency's files are not at {DATA}: name their folder with BACKOFFICE_TEST_DATA",
    ),
]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """An empty stack with every worker as a process of its own."""
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory(
            prefix="backoffice-agency-", ignore_cleanup_errors=True
        ) as folder,
    ):
        for name in [
            name
            for name in os.environ
            if name.startswith("BACKOFFICE_") and name != "BACKOFFICE_CACHE"
        ]:
            patch.delenv(name)
        patch.setenv("BACKOFFICE_STACK", "embedded")
        Path(folder).chmod(0o755)
        with running_stack(Path(folder) / "data", STANDARD, fresh=True) as running:
            yield running


def backoffice(stack: Stack, *words: str) -> dict[str, Any]:
    """The JSON document of the command; it must exit with 0."""
    done = subprocess.run(
        [str(BACKOFFICE), *words, "--json"],
        env={**os.environ, **stack.environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, (
        f"{words}: exit {done.returncode}\n{done.stderr[-2000:]}\n{done.stdout[-2000:]}"
    )
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def import_all(stack: Stack, folder: Path, *options: str) -> dict[str, Any]:
    """Import the folder for the agency's billing company."""
    return backoffice(stack, "import", str(folder), "--billing-company", COMPANY, *options)


async def digests(stack: Stack) -> dict[str, str]:
    """The content of every table, as one hash each."""
    connection = await asyncpg.connect(plain_dsn(stack.postgres.admin_url))
    try:
        tables = await connection.fetch(
            QUIET, ["fee_realizer", "invoicer", "scheduler", "arg_sync"]
        )
        found = {}
        for schema, name in sorted((row["table_schema"], row["table_name"]) for row in tables):
            hashed = (
                "SELECT count(*) || ' ' || coalesce(md5(string_agg(md5(t::text), '' ORDER BY"
                f" md5(t::text))), '') FROM {schema}.{name} t"
            )
            found[f"{schema}.{name}"] = str(await connection.fetchval(hashed))
        return found
    finally:
        await connection.close()


async def looked_at_the_clock(stack: Stack) -> None:
    """Wait until the scheduler has stored its first look at the clock."""
    connection = await asyncpg.connect(plain_dsn(stack.postgres.admin_url))
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while not await connection.fetchval(
                "SELECT count(*) FROM scheduler.watermark WHERE billing_company = $1", COMPANY
            ):
                await asyncio.sleep(0.2)
    finally:
        await connection.close()


def control_hours() -> dict[tuple[str, str], Decimal]:
    """Hours by week ending and role, from the source."""
    with (DATA / "control_hours.csv").open(encoding="utf-8", newline="") as file:
        return {
            (row["week_ending"], row["role"]): Decimal(row["contract_hours"])
            for row in csv.DictReader(file)
        }


def billed_hours(path: Path) -> dict[tuple[str, str], Decimal]:
    """Hours by week ending and role, from the closed documents."""
    hours: dict[tuple[str, str], Decimal] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            key = (row["week_ending"], row["worker_id"].split("-")[0])
            hours[key] = hours.get(key, Decimal(0)) + Decimal(row["quantity"])
    return hours


def account_name_of_the_owner() -> str:
    """The only Account Name on the facility's path: that of its company."""
    with (DATA / "billto.csv").open(encoding="utf-8", newline="") as file:
        return next(row["account_name"] for row in csv.DictReader(file) if row["id"] == "co-217")


@dataclass(frozen=True)
class Billed:
    """The answers of the import and the batch."""

    looked: dict[str, Any]
    imported: dict[str, Any]
    batch: dict[str, Any]


@pytest.fixture(scope="module")
def billed(stack: Stack) -> Billed:
    """The hours imported into an empty database; a batch to 2025-12-31 that cites its preview."""
    looked = import_all(stack, DATA, "--check")
    imported = import_all(stack, DATA, "--wait")
    preview = backoffice(
        stack, "batch", "preview", "--billing-company", COMPANY, "--cut-off", CUT_OFF
    )
    digest = preview["details"]["digest"]
    batch = backoffice(
        stack,
        "batch",
        "generate",
        "--billing-company",
        COMPANY,
        "--cut-off",
        CUT_OFF,
        "--digest",
        digest,
    )
    return Billed(looked, imported, batch)


def test_an_import_into_an_empty_database_settles_every_hour(billed: Billed) -> None:
    """Every hour becomes a pay line.

    27,500 nodes, 4 requirements and 5,573 timesheets become 9,727 pay lines of 199,622.29 hours;
    --check before it wrote nothing.
    """
    assert billed.looked["documents"] == {
        "billto": {"new": 27_500, "changed": 0, "unchanged": 0},
        "requirement": {"new": 4, "changed": 0, "unchanged": 0},
        "timesheet": {"new": 5_573, "changed": 0, "unchanged": 0},
        "placement": {"new": 0, "changed": 0, "unchanged": 0},
    }
    assert not billed.looked["billing_company_known"]
    assert not billed.imported["billing_company_known"], "--check must write nothing"
    assert billed.imported["published"] == 33_077
    settled = billed.imported["settled"]
    assert (settled["pay_lines"], Decimal(settled["hours"]), settled["held"]) == (LINES, HOURS, [])


def test_nine_years_become_one_invoice_to_the_hour(
    stack: Stack, billed: Billed, tmp_path: Path
) -> None:
    """Every week and role equals the control totals.

    One debtor (the facility rolls up to its company); a week without lines counts as 0; `verify`
    finds nothing; 1,631 offices without any Account Name do not stop the batch.
    """
    details = billed.batch["details"]
    assert (billed.batch["outcome"], details["documents"], details["lines"]) == (
        "accepted",
        1,
        LINES,
    )
    shown = backoffice(stack, "batch", "show", details["batch_id"])
    assert [invoice["account_name"] for invoice in shown["invoices"]] == [
        account_name_of_the_owner()
    ]
    backoffice(
        stack,
        "batch",
        "download",
        details["batch_id"],
        "--format",
        "csv",
        "--out",
        str(tmp_path / "batch.csv"),
    )
    hours, control = billed_hours(tmp_path / "batch.csv"), control_hours()
    assert hours == {key: number for key, number in control.items() if number}
    assert sum(hours.values()) == HOURS
    assert backoffice(stack, "verify")["clean"]


async def test_a_second_import_changes_nothing(stack: Stack, billed: Billed) -> None:
    """Unchanged documents are not published; no row changes."""
    await looked_at_the_clock(stack)
    before = await digests(stack)
    again = import_all(stack, DATA, "--wait")
    assert (again["published"], again["settled"]["pay_lines"]) == (0, LINES)
    assert await digests(stack) == before


def test_a_changed_row_goes_out_as_the_next_revision(
    stack: Stack, billed: Billed, tmp_path: Path
) -> None:
    """One hour less on an invoiced timesheet is a credit.

    One document is published again.
    """
    changed = tmp_path / "changed"
    changed.mkdir()
    for name in ("billto.csv", "requirements.csv", "bill_rates.csv"):
        shutil.copyfile(DATA / name, changed / name)
    lines = (DATA / "timesheets.csv").read_text(encoding="utf-8").splitlines()
    assert lines[1].endswith(",8")
    lines[1] = lines[1].removesuffix("8") + "7"
    (changed / "timesheets.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    after = import_all(stack, changed, "--wait")
    assert after["published"] == 1
    assert after["documents"]["timesheet"] == {"new": 0, "changed": 1, "unchanged": 5_572}
    assert Decimal(after["settled"]["hours"]) == HOURS - 1
    (credit,) = backoffice(stack, "pay-lines", "list", "--billing-company", COMPANY)["pay_lines"]
    assert (Decimal(credit["quantity"]), credit["status"]) == (Decimal(-1), "Pending")
    assert backoffice(stack, "verify")["clean"]
