"""Two months of an operator with a real Tryton: two currencies, tax, credit notes, payments, kills.

Everything is done as a stranger does it: the commands of `backoffice` on a stack of its own, the
program of the accounting system for payments. `make nightly` runs it.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from shared.stack.choice import Database
from tests.ledgers.bookkeeper import Bookkeeper
from tests.ledgers.tryton_server import ACCOUNT, PASSWORD, TAX, TrytonServer, tryton
from tests.running import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.nightly, pytest.mark.timeout(1800)]
COMPANY, LEDGER = "acme-us", "main"
SEED = int(os.environ.get("TRYTON_SEED", "5"))
NEEDED = "currency EUR (Euro) needs a currency exchange debit account and credit account"
PAID = 6
TIMES = {"request_seconds": "20", "server_seconds": "5"}
DEBTORS = 8
"""Debtors in each currency: US dollars, and euros."""
ADJUSTED = {"T-USD-0-2026-08-16": "6.25", "T-EUR-1-2026-08-23": "5", "T-EUR-2-2026-08-30": "8.75"}


def write_month(folder: Path, weeks: dict[str, str], hours: dict[str, str]) -> None:
    """Write the files of a month: a timesheet a week (week ending → work date) and debtor."""
    each = [f"{currency}-{no}" for currency in ("USD", "EUR") for no in range(DEBTORS)]
    files = {
        "billto.csv": ["level,id,parent_id,name,account_name,address,city,state,zip"]
        + [
            f"client,C-{one},,Clinic {one},Hospital {one},1 Care Rd,BOSTON,MA,02115" for one in each
        ],
        "requirements.csv": [
            "requirement_id,office_id,job_title,status,position_type,currency",
            *(f"R-{one},C-{one},Nurse,Filled,Temp,{one[:3]}" for one in each),
        ],
        "bill_rates.csv": ["requirement_id,time_type,effective_from,bill_rate"]
        + [f"R-{one},REG,2026-01-01,{'50.25' if 'USD' in one else '41.07'}" for one in each],
        "timesheets.csv": [
            "timesheet_id,requirement_id,worker_id,week_ending,work_date,time_type,hours",
            *(
                f"T-{one}-{week},R-{one},W-{one},{week},{day},REG,"
                + hours.get(f"T-{one}-{week}", "7.5")
                for week, day in weeks.items()
                for one in each
            ),
        ],
    }
    folder.mkdir()
    for name, lines in files.items():
        (folder / name).write_text("\n".join(lines) + "\n")


class Operator:
    """A person with the commands of a stack of its own."""

    def __init__(self, data: Path) -> None:
        ours = {name: value for name, value in os.environ.items() if "BACKOFFICE" not in name}
        self.environment = ours | {
            "BACKOFFICE_DATA": str(data),
            "BACKOFFICE_STACK": "embedded",
            "BACKOFFICE_LEDGER_TEST_HOSTS": "127.0.0.1",
        }

    def run(self, *words: object, code: int = 0) -> str:
        """The output of a command that ends with this code."""
        program = Path(sys.executable).with_name("backoffice")
        done = subprocess.run(
            [program, *map(str, words)],
            env=self.environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if code else subprocess.PIPE,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == code, f"{words}\n{done.stdout}{done.stderr}"
        return done.stdout

    def ask(self, *words: object) -> Any:
        """The same as JSON."""
        return json.loads(self.run(*words, "--json"))

    def batch(self, month_end: str) -> str:
        """Generate what is due at the end of a month; its id."""
        on = ("--cut-off", month_end, "--invoice-date", month_end)
        found = self.ask("batch", "generate", "--billing-company", COMPANY, *on)
        return str(found["details"]["batch_id"])

    def pid(self, service: str) -> int:
        """The process of a worker."""
        workers = self.ask("status")["workers"]
        (pid,) = (each["pid"] for each in workers if each["service"] == service)
        return int(pid)


@pytest.fixture
def operator() -> Iterator[Operator]:
    """One with a stack that has just started, and an empty data folder."""
    with tempfile.TemporaryDirectory(prefix="backoffice-tests-") as folder:
        one = Operator(Path(folder) / "data")
        one.run("up", "--detach")
        try:
            yield one
        finally:
            one.run("down")


@pytest.fixture(scope="module")
def server(postgres: Database, server_folder: Path) -> Iterator[TrytonServer]:
    """A Tryton that is killed."""
    with tryton(postgres.admin_url, server_folder / "tryton-months") as running:
        yield running


def deliver(operator: Operator, server: TrytonServer, batch_id: str, rng: random.Random) -> None:
    """Send a batch; meanwhile arg_sync and then Tryton are killed once each."""
    failed: list[BaseException] = []

    def send() -> None:
        try:
            operator.run("batch", "sync", batch_id, "--wait")
        except BaseException as error:
            failed.append(error)

    sending = threading.Thread(target=send)
    sending.start()
    time.sleep(rng.uniform(1.0, 3.0))
    arg_sync = operator.pid("arg_sync")
    assert sending.is_alive(), "the kill interrupts the delivery"
    os.kill(arg_sync, signal.SIGKILL)
    time.sleep(rng.uniform(1.0, 4.0))
    assert sending.is_alive(), "the kill interrupts the delivery"
    server.kill()
    time.sleep(rng.uniform(0.2, 2.0))
    server.start()
    sending.join()
    if failed:
        raise failed[0]


def deliveries(operator: Operator) -> list[dict[str, Any]]:
    """Every delivery."""
    return list(operator.ask("deliveries", "list")["deliveries"])


def documents(operator: Operator) -> dict[str, dict[str, Any]]:
    """Every closed document by number."""
    found = operator.ask("invoices", "search", "--billing-company", COMPANY)
    return {row["invoice_number"]: row for row in found["invoices"]}


async def test_two_months_end_equal_on_both_sides(
    operator: Operator, server: TrytonServer, tmp_path: Path
) -> None:
    """Each document is there once, balances are equal, and reconcile finds no difference."""
    rng = random.Random(SEED)
    by_hand = Bookkeeper(server)
    await by_hand.add_euro()
    august = {"2026-08-16": "2026-08-12", "2026-08-23": "2026-08-19", "2026-08-30": "2026-08-26"}
    september = {"2026-09-06": "2026-09-02", "2026-09-13": "2026-09-09"}
    write_month(tmp_path / "august", august, {})
    write_month(tmp_path / "september", august | september, ADJUSTED)
    (tmp_path / "tryton.json").write_text(
        json.dumps(server.settings | TIMES | {"password": PASSWORD})
    )
    (tmp_path / "codes.csv").write_text(f"what,code,remote\naccount,,{ACCOUNT}\ntax,VAT,{TAX}\n")
    taxed = ("--tax", "VAT=10@2026-01-01", "--default-tax", "VAT", "--tax-basis", "document")
    run = operator.run
    run("billing-company", "set", COMPANY, "--currency", "USD", *taxed)
    run("import", tmp_path / "august", "--billing-company", COMPANY, "--wait")
    settings = ("--settings", tmp_path / "tryton.json")
    run("ledger", "connect", LEDGER, "--kind", "tryton", "--billing-company", COMPANY, *settings)
    run("ledger", "map", "import", tmp_path / "codes.csv", "--ledger", LEDGER)
    due = ("batch", "generate", "--billing-company", COMPANY, "--cut-off", "2026-08-31")
    assert NEEDED in run(*due, code=1)
    assert NEEDED in run("ledger", "test", LEDGER)
    await by_hand.set_exchange_accounts()
    run("ledger", "test", LEDGER)
    deliver(operator, server, operator.batch("2026-08-31"), rng)
    run("import", tmp_path / "september", "--billing-company", COMPANY, "--wait")
    deliver(operator, server, operator.batch("2026-09-30"), rng)
    every = documents(operator)
    assert await server.invoices() == sorted(
        (number, "posted", Decimal(row["total"])) for number, row in every.items()
    )
    credits = [row for row in every.values() if row["document_type"] == "credit-note"]
    assert {row["currency"] for row in credits} == {"USD", "EUR"}
    ids = {row["invoice_number"]: int(row["remote_id"]) for row in deliveries(operator)}
    open_ones = [number for number, row in every.items() if Decimal(row["balance"]) > 0]
    for number in rng.sample(open_ones, PAID):
        await by_hand.pay_by_wizard(ids[number], every[number]["balance"])
        open_ones.remove(number)
    for number in rng.sample(open_ones, PAID):
        await by_hand.pay_by_wizard(ids[number], "100.10")
    run("ledger", "poll", LEDGER)
    run("lag", "--wait")
    # Tryton shows a credit note as open until its invoice is paid whole; the invoice has it all.
    invoices = every.keys() - {row["invoice_number"] for row in credits}
    here = documents(operator)
    for number in sorted(invoices):
        _, left = await by_hand.left(ids[number])
        assert Decimal(here[number]["balance"]) == left, number
    await by_hand.port.close()
    assert sum(Decimal(here[number]["balance"]) == 0 for number in invoices) == PAID
    found = operator.ask("reconcile", "--ledger", LEDGER)
    assert (found["outcome"], found["documents"], found["drifts"]) == ("done", len(every), [])
    assert run("verify").strip().startswith("clean: ")
