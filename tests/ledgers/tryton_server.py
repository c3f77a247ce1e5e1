"""A real Tryton for tests: installed from PyPI into an environment of its own, on a database of
its own, as a process of its own.

From nothing it takes a minute or two; the environment and a dump of the seeded database are kept in
the user's cache, then it takes seconds. Tryton is GPL-3: it is asked over HTTP and never imported
here.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import make_url

from shared.logins import plain_dsn
from shared.stack.jars import cache_folder
from shared.stack.postgres import PROGRAMS
from tests.running import free_port

HERE = Path(__file__).parent
REQUIREMENTS, SEED = HERE / "tryton_requirements.txt", HERE / "tryton_seed.py"
USER, PASSWORD, COMPANY = "admin", "canary-tryton-5e1f", "Dunder Mifflin"
START_SECONDS = 90.0
BUILD_SECONDS = 900.0
ACCOUNT, TAX = "4.1.1", "VAT 10"


def _folder() -> Path:
    """One for each version of what it is made of."""
    made_of = hashlib.sha256(
        REQUIREMENTS.read_bytes() + SEED.read_bytes() + f"{sys.version_info[:2]}".encode()
    ).hexdigest()[:16]
    folder = cache_folder() / "tryton" / made_of
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time builds."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(*command: object, **environment: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    assert done.returncode == 0, (
        f"{' '.join(map(str, command))} ended with"
        f" {done.returncode}:\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}"
    )
    return done.stdout


def python_of_tryton() -> Path:
    """Tryton's own Python, with Tryton."""
    folder = _folder()
    python = folder / "venv" / "bin" / "python"
    with _alone(folder):
        if not (folder / "installed").exists():
            shutil.rmtree(folder / "venv", ignore_errors=True)
            uv = Path(sys.executable).with_name("uv")
            if uv.exists():
                _run(uv, "venv", "--quiet", "--python", sys.executable, folder / "venv")
                _run(uv, "pip", "install", "--quiet", "--python", python, "-r", REQUIREMENTS)
            else:
                _run(sys.executable, "-m", "venv", folder / "venv")
                _run(
                    python,
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "-r",
                    REQUIREMENTS,
                )
            (folder / "installed").touch()
    return python


def with_password(url: str) -> str:
    """The address with the password of its passfile: Tryton reads no passfile."""
    address = make_url(url)
    path = address.query.get("passfile")
    if path is None:
        return url
    password = Path(str(path)).read_text().strip().rpartition(":")[2]
    return (
        address.set(password=password)
        .difference_update_query(["passfile"])
        .render_as_string(hide_password=False)
    )


@dataclass
class TrytonServer:
    """A Tryton on a database of a PostgreSQL that already runs."""

    postgres_url: str
    folder: Path
    database: str = field(default_factory=lambda: f"tryton_{uuid.uuid4().hex[:8]}")
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def settings(self) -> dict[str, str]:
        """What a connection to it needs, but for the password."""
        return {"base_url": self.url, "database": self.database, "user": USER}

    @property
    def dsn(self) -> str:
        """Its database."""
        return self._dsn(self.database)

    def _dsn(self, database: str) -> str:
        """A database with the password in the address: Tryton reads no passfile."""
        url = make_url(self.postgres_url).set(database=database)
        if passfile := url.query.get("passfile"):
            password = Path(str(passfile)).read_text().strip().rpartition(":")[2]
            url = url.set(query={}, password=password)
        return plain_dsn(url.render_as_string(hide_password=False))

    @property
    def _configuration(self) -> Path:
        return self.folder / f"{self.database}.conf"

    @property
    def log(self) -> Path:
        """What it says."""
        return self.folder / f"{self.database}.log"

    def build(self) -> None:
        """Makes the database: from the dump in the cache, else from nothing, which makes the
        dump.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        python = python_of_tryton()
        base = self._dsn("")
        self._configuration.write_text(
            f"[database]\nuri = {base.rstrip('/')}/\npath = {self.folder}/files\n[web]\nlisten ="
            f" 127.0.0.1:{self.port}\n"
            "[session]\ntimeout"
            " ="
            # A worker, which we do not start, prints the reports of invoices.
            " 36000\n[queue]\nworker = True\n"
        )
        dump = _folder() / "seeded.dump"
        with _alone(_folder()):
            _thread(self._sql(plain_dsn(self.postgres_url), f"CREATE DATABASE {self.database}"))
            if dump.exists():
                _run(PROGRAMS / "pg_restore", "--no-owner", "--no-acl", "-d", self.dsn, dump)
                return
            (self.folder / "password").write_text(PASSWORD + "\n")
            admin = python.with_name("trytond-admin")
            about = (
                "-c",
                self._configuration,
                "-d",
                self.database,
                "-u",
                "account_invoice",
                "account_statement",
                "--activate-dependencies",
                "--email",
                "pat@example.com",
            )
            _run(admin, *about, TRYTONPASSFILE=str(self.folder / "password"))
            _run(
                python,
                SEED,
                self._configuration,
                self.database,
                TRYTOND_DATABASE_URI=f"{base.rstrip('/')}/",
            )
            with contextlib.suppress(
                AssertionError
            ):  # a server newer than our pg_dump: then each session seeds anew
                _run(PROGRAMS / "pg_dump", "-Fc", "-Z1", "-f", dump.with_suffix(".new"), self.dsn)
                dump.with_suffix(".new").rename(dump)

    def start(self) -> None:
        """Starts it and waits until it answers."""
        with self.log.open("ab") as sink:
            self.process = subprocess.Popen(
                [
                    python_of_tryton().with_name("trytond"),
                    "-c",
                    self._configuration,
                    "-d",
                    self.database,
                ],
                stdout=sink,
                stderr=sink,
            )
        last = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self.process.poll() is None and time.monotonic() < last, (
                f"Tryton did not start:\n{self.log.read_text()[-2000:]}"
            )
            time.sleep(0.2)

    def _answers(self) -> bool:
        asked = urllib.request.Request(
            f"{self.url}/rpc/",
            b'{"id":0,"method":"common.server.version","params":[]}',
            {"content-type": "application/json"},
        )
        try:
            with urllib.request.urlopen(asked, timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        """Ends it, and drops its database."""
        self.kill()
        _thread(
            self._sql(
                plain_dsn(self.postgres_url),
                f"DROP DATABASE IF EXISTS {self.database} WITH (FORCE)",
            )
        )

    async def _sql(self, dsn: str, statement: str, *values: Any) -> list[Any]:
        connection = await asyncpg.connect(dsn)
        try:
            return list(await connection.fetch(statement, *values))
        finally:
            await connection.close()

    async def rows(self, statement: str, *values: Any) -> list[Any]:
        """Rows of its tables, read without its server."""
        return await self._sql(self.dsn, statement, *values)

    async def invoices(self) -> list[tuple[str, str, Decimal]]:
        """Reference, state and total of every customer invoice, from its own lines and taxes."""
        found = await self.rows(
            "SELECT i.reference, i.state, coalesce((SELECT sum(round(CAST(l.quantity AS numeric) *"
            " l.unit_price, 2)) FROM account_invoice_line l"
            " WHERE l.invoice = i.id), 0) + coalesce((SELECT sum(t.amount) FROM"
            " account_invoice_tax t WHERE t.invoice = i.id), 0) AS total"
            " FROM account_invoice i WHERE i.type = 'out' AND i.reference NOT LIKE '%/old/%' ORDER"
            " BY i.reference, i.id"
        )
        return [(row["reference"], row["state"], row["total"]) for row in found]

    async def close_period(self, day: date, *, closed: bool = True) -> None:
        """Closes the period of a day, or opens it again."""
        await self.rows(
            "UPDATE account_period SET state = $1 WHERE $2 BETWEEN start_date AND end_date",
            "closed" if closed else "open",
            day,
        )

    async def block(self, party: str, *, blocked: bool = True) -> None:
        """Makes a party inactive, or active again."""
        await self.rows("UPDATE party_party SET active = $1 WHERE name = $2", not blocked, party)

    async def rename_all(self) -> None:
        """What earlier tests made is out of the way."""
        await self.rows(
            "UPDATE account_invoice SET reference = reference || '/old/' || id WHERE reference NOT"
            " LIKE '%/old/%'"
        )


def _thread(work: Any) -> Any:
    from tests.conftest import finish

    return finish(work)


@contextlib.contextmanager
def tryton(postgres_url: str, folder: Path) -> Iterator[TrytonServer]:
    """A seeded Tryton that runs while the block lasts."""
    server = TrytonServer(with_password(postgres_url), folder)
    server.build()
    try:
        server.start()
        yield server
    finally:
        server.stop()
