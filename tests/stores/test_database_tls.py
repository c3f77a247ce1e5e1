"""TLS to PostgreSQL with an authority of one's own: logins, migrations, services and the console.

The server is the system's PostgreSQL: that of the stack is built without TLS.
"""

import asyncio
import glob
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text

from services.console.queries.snapshot import fetch, open_snapshot
from services.console.queries.verification import run_checks
from shared.database import engine_for
from shared.errors import Unavailable
from shared.logins import CONSOLE, LOGINS, connect, connect_to, plain_dsn
from shared.stack.choice import Database
from shared.stack.external import ExternalDatabase
from tests.conftest import database_address, run_sql
from tests.running import free_port
from tests.stores.test_logins import migrations
from tests.system.test_system_certificates import make_certificates

PROGRAMS = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
PASSWORD = "of-the-superuser"
# Without TLS no one gets in; the office's database asks for a certificate of the client, too.
ACCESS = """\
hostssl office all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca
hostssl all all 127.0.0.1/32 scram-sha-256
"""

pytestmark = pytest.mark.skipif(not PROGRAMS, reason="needs a PostgreSQL with TLS of the system")


@dataclass(frozen=True)
class Server:
    """A PostgreSQL with TLS: the files that its clients need, and its port."""

    folder: Path
    port: int

    def url(
        self,
        login: str = "{login}",
        host: str = "localhost",
        database: str = "office",
        **options: object,
    ) -> str:
        """An address; the options replace those that serve, and None leaves one out."""
        given = {
            "passfile": f"{self.folder}/passwords/{login}",
            "sslmode": "verify-full",
            "sslrootcert": self.folder / "authority.pem",
            "sslcert": self.folder / "chain.pem",
            "sslkey": self.folder / "chain.pem",
        } | options
        query = "&".join(f"{name}={value}" for name, value in given.items() if value is not None)
        return f"postgresql+asyncpg://{login}@{host}:{self.port}/{database}?{query}"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """With logins and schemas that were made over TLS."""
    with tempfile.TemporaryDirectory(prefix="backoffice-tls-", ignore_cleanup_errors=True) as name:
        made = Server(Path(name), free_port())
        made.folder.chmod(0o755)
        make_certificates(made.folder / "authority.pem", made.folder / "chain.pem")
        make_certificates(made.folder / "other.pem", made.folder / "other-chain.pem")
        process = _start(made)
        try:
            asyncio.run(_create_database(made))
            _prepare(made)
            yield made
        finally:
            process.terminate()
            process.wait(30)


def _start(made: Server) -> "subprocess.Popen[bytes]":
    user = "postgres" if os.geteuid() == 0 else None
    data, key, password = made.folder / "data", made.folder / "server.pem", made.folder / "password"
    data.mkdir(mode=0o700)
    shutil.copy(made.folder / "chain.pem", key)
    password.write_text(PASSWORD)
    key.chmod(0o600)
    for path in (data, key, password):
        if user:
            os.chown(path, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
    programs = Path(PROGRAMS[-1]).parent
    subprocess.run(
        [
            *(programs / "initdb", "-D", data, "-U", "postgres", f"--pwfile={password}"),
            *("-E", "UTF8", "--auth=scram-sha-256", "--locale=C"),
        ],
        user=user,
        check=True,
        capture_output=True,
        cwd="/",
    )
    (data / "pg_hba.conf").write_text(ACCESS)
    options = {
        "port": made.port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "ssl": "on",
        "ssl_cert_file": key,
        "ssl_key_file": key,
        "ssl_ca_file": made.folder / "authority.pem",
        "fsync": "off",
    }
    flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    with (made.folder / "log").open("wb") as log:
        return subprocess.Popen(
            [programs / "postgres", "-D", data, *flags], user=user, cwd="/", stderr=log, stdout=log
        )


def _administrator(made: Server, database: str) -> str:
    return made.url("postgres", database=database, passfile=None, password=PASSWORD)


async def _create_database(made: Server) -> None:
    for _ in range(200):
        try:
            await run_sql(_administrator(made, "postgres"), "CREATE DATABASE office")
        except (OSError, asyncpg.CannotConnectNowError):
            await asyncio.sleep(0.1)
        else:
            return
    pytest.fail((made.folder / "log").read_text()[-2000:])


def _prepare(made: Server) -> None:
    folder = str(made.folder / "passwords")
    for url, arguments in (
        (_administrator(made, "office"), ("logins", folder)),
        (made.url(), ("upgrade",)),
    ):
        done = migrations(url, *arguments)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
async def test_every_login_works_over_tls(server: Server, mode: str) -> None:
    """Its password and a client's certificate; the connections are encrypted. `ssl` may be written
    for `sslmode`.
    """
    encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    url = server.url(sslmode=mode)
    for login in LOGINS:
        connection = await connect(login, url)
        assert await connection.fetchval(encrypted)
        await connection.close()
    engine = engine_for("invoicer", url.replace("sslmode=", "ssl="))
    async with engine.connect() as pooled:
        assert await pooled.scalar(text(encrypted))
    await engine.dispose()
    async with open_snapshot(url) as snapshot:
        assert await fetch(snapshot, "SELECT 1 AS one FROM invoicer.console_batch") == []
    assert (await run_checks(url)).faults == ()


def test_the_stack_uses_a_server_with_tls(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks it once before the workers start, and says why it cannot be used."""
    ExternalDatabase(server.url()).start()
    monkeypatch.setattr(ExternalDatabase, "patience_seconds", 0.1)
    wrong = ExternalDatabase(server.url(sslrootcert=server.folder / "other.pem"))
    with pytest.raises(Unavailable, match="is not of the CA in sslrootcert"):
        wrong.start()


REFUSED = {
    "another authority": (
        {"sslrootcert": "other.pem"},
        "its certificate is not of the CA in sslrootcert",
    ),
    "another host name": ({"host": "127.0.0.1"}, "its certificate is for another host"),
    "no file": ({"sslrootcert": "none.pem"}, "sslrootcert, sslcert or sslkey cannot be read"),
    "unknown mode": ({"sslmode": "maybe"}, "its address cannot be used"),
    "no TLS": ({"sslmode": "disable"}, "refuses the login .*no encryption"),
    "no client certificate": (
        {"sslcert": None, "sslkey": None},
        "refuses the login .*valid client certificate",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_wrong_with_tls_is_said(server: Server, case: str) -> None:
    """Each is refused, for a service, the console and the migrations, with what to do."""
    changed, message = REFUSED[case]
    options = {
        name: server.folder / value if str(value).endswith(".pem") else value
        for name, value in changed.items()
    }
    url = server.url(**options)  # type: ignore[arg-type]
    with pytest.raises(Unavailable, match=message) as refused:
        await connect("invoicer", url)
    assert f":{server.port}/office" in refused.value.message
    with pytest.raises(Unavailable, match=message):
        async with open_snapshot(url):
            pass
    with pytest.raises(Unavailable, match=message):
        await engine_for("auditor", url).connect().start()


async def test_a_client_certificate_of_another_authority_is_refused(server: Server) -> None:
    """The server ends the connection, at once or after the handshake."""
    chain = server.folder / "other-chain.pem"
    with pytest.raises((Unavailable, asyncpg.PostgresConnectionError, OSError)):
        await connect("invoicer", server.url(sslcert=chain, sslkey=chain))


async def test_migrations_say_what_is_wrong_with_tls(server: Server) -> None:
    """One message and exit 1, no traceback."""
    done = await asyncio.to_thread(migrations, server.url(host="127.0.0.1"))
    assert done.returncode == 1
    assert "its certificate is for another host" in done.stderr
    assert "Traceback" not in done.stderr


async def test_the_authority_is_checked_though_the_name_is_not(server: Server) -> None:
    """`verify-ca` accepts another host name and no other authority."""
    url = server.url(host="127.0.0.1", sslmode="verify-ca")
    await (await connect(CONSOLE, url)).close()
    other = server.url(sslmode="verify-ca", sslrootcert=server.folder / "other.pem")
    with pytest.raises(Unavailable, match="is not of the CA"):
        await connect(CONSOLE, other)


async def test_a_server_without_tls_is_refused(postgres: Database) -> None:
    """`sslmode=require` never falls back to an open connection."""
    url = database_address(postgres.admin_url, "postgres") + "&sslmode=require"
    assert "sslmode=require" in plain_dsn(url)
    with pytest.raises(Unavailable, match="it has no TLS, which sslmode asks for"):
        await connect_to(url)
