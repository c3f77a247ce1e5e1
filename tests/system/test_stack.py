"""The local stack of a new machine: ready when it reports so, durable, nothing left running."""

import asyncio
import contextlib
import errno
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from shared.broker.acls import ADMIN
from shared.broker.security import KafkaAccess
from shared.errors import Refused
from shared.logins import LOGINS, OWNER, address_of, plain_dsn
from shared.stack import Stack, down, logins, running_stack, status, up
from shared.stack import stack as stack_module
from shared.stack.containers import ContainerPostgres, why_no_containers
from shared.stack.folder import DataFolder
from shared.stack.kafka import KafkaServer
from shared.stack.postgres import PostgresServer, list_databases
from shared.stack.probe import TOPIC
from shared.stack.process import Launch, Record, start_child
from tests.system.logins_of_before import check_upgraded, make_logins_of_before

PATIENCE_SECONDS = 30.0


def silent(message: str) -> None:
    """Print nothing."""


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder that the user of PostgreSQL can open.

    That of pytest is closed to others by every pytest that starts as root.
    """
    with tempfile.TemporaryDirectory(
        prefix="backoffice-tests-", ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


@pytest.fixture(autouse=True)
def embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses of the machine that runs the tests do not reach these tests."""
    for name in ("KAFKA", "DATABASE_URL", "WORKERS", "PORTS"):
        monkeypatch.delenv(f"BACKOFFICE_{name}", raising=False)
    monkeypatch.setenv("BACKOFFICE_STACK", "embedded")


def within_patience(condition: Callable[[], bool]) -> bool:
    """Whether it became true in time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def processes_of(data: Path) -> list[str]:
    """Every process that works on a data folder, found without the stack's own records."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            line = " ".join(process.cmdline())
            beneath = Path(process.cwd()).is_relative_to(data)
            if (
                process.pid != os.getpid()
                and process.status() != psutil.STATUS_ZOMBIE
                and (str(data) in line or beneath)
            ):
                found.append(f"{process.pid} {line[:80]}")
    return found


async def _append(kafka: KafkaAccess, value: bytes) -> int:
    producer = AIOKafkaProducer(**kafka.client_options(), acks="all", enable_idempotence=True)
    await producer.start()
    try:
        return int((await producer.send_and_wait(TOPIC, value, partition=0)).offset)
    finally:
        await producer.stop()


async def _read(kafka: KafkaAccess, offset: int) -> bytes:
    consumer = AIOKafkaConsumer(**kafka.client_options(), enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(TOPIC, 0)])
        consumer.seek(TopicPartition(TOPIC, 0), offset)
        return bytes((await asyncio.wait_for(consumer.getone(), PATIENCE_SECONDS)).value)
    finally:
        await consumer.stop()


async def _sql(dsn: str, *statements: str) -> list[str]:
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements[:-1]:
            await connection.execute(statement)
        return [str(row[0]) for row in await connection.fetch(statements[-1])]
    finally:
        await connection.close()


def append(kafka: KafkaAccess, value: bytes) -> int:
    """Write one acknowledged record; return its offset."""
    return asyncio.run(_append(kafka, value))


def read(kafka: KafkaAccess, offset: int) -> bytes:
    """The record at an offset."""
    return asyncio.run(_read(kafka, offset))


def sql(dsn: str, *statements: str) -> list[str]:
    """Run statements; return the first column of the last one."""
    return asyncio.run(_sql(dsn, *statements))


def passwords(data: Path) -> list[str]:
    """The generated passwords, of PostgreSQL and Kafka."""
    files = [path for path in (data / logins.PASSFILES).rglob("*") if path.is_file()]
    return [path.read_text().strip().rpartition(":")[2] for path in files]


def check_kafka_closed(kafka: KafkaServer) -> None:
    """A client without a password, or with a guessed one, can neither write nor read."""
    guessed = replace(kafka.access(ADMIN), password_file=None, password="guessed")
    for stranger in (KafkaAccess(bootstrap=kafka.address), guessed):
        with pytest.raises(KafkaError):
            append(stranger, b"forged")
        with pytest.raises(KafkaError):
            read(stranger, 0)


def check_closed(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user of the machine gets in nowhere: no login without its password, by TCP or by
    socket; services are no superuser; the data folder and its files are this user's alone; the
    servers have no variable of ours.
    """
    postgres = stack.postgres
    assert isinstance(postgres, PostgresServer)
    monkeypatch.setenv("PGPASSFILE", "/nonexistent")
    for dsn in (plain_dsn(postgres.admin_url), postgres.socket_dsn):
        address = re.sub(r"passfile=[^&]*&?", "", dsn)
        for login in (logins.SUPERUSER, OWNER, *LOGINS):
            for password in (":guessed", ""):
                with pytest.raises(asyncpg.InvalidPasswordError):
                    sql(address.replace("//postgres@", f"//{login}{password}@"), "SELECT 1")
    program = "COPY kept FROM PROGRAM 'env'"
    for login in (OWNER, *LOGINS):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            sql(plain_dsn(address_of(login, postgres.url)), program, "SELECT 1")
    assert sql(
        postgres.socket_dsn,
        "SELECT DISTINCT auth_method FROM pg_hba_file_rules",
    ) == ["scram-sha-256"]
    assert stat.S_IMODE(stack.data.stat().st_mode) & 0o067 == 0
    opened = [
        f"{path} {stat.S_IMODE(path.stat().st_mode):o}"
        for path in stack.data.rglob("*")
        if not path.is_relative_to(stack.data / "postgres")
        and not path.is_symlink()
        and stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    assert opened == []
    for pid in (stack.kafka.pid, postgres.pid):
        environment = psutil.Process(pid).environ()
        assert not [name for name in environment if name.startswith("BACKOFFICE_")]
        assert "CANARY" not in environment
    lines = [" ".join(one.info["cmdline"] or []) for one in psutil.process_iter(["cmdline"])]
    lines += [path.read_text() for path in (stack.data / "logs").glob("*.log")]
    assert not [line for line in lines if any(secret in line for secret in passwords(stack.data))]
    if os.geteuid() == 0:
        refused = subprocess.run(
            ["/bin/cat", logins.passfile(stack.data, logins.SUPERUSER)],
            user=12345,
            group=12345,
            cwd="/",
            capture_output=True,
            check=False,
        )
        assert b"Permission denied" in refused.stderr


def test_what_was_written_survives_a_restart_and_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record and a row survive stop and kill -9.

    The addresses stay the same. Meanwhile another user of the machine gets in nowhere. The logins
    of the version before are brought up to date.
    """
    monkeypatch.setenv("BACKOFFICE_CANARY", "canary")
    monkeypatch.setenv("CANARY", "canary")
    with running_stack(tmp_path / "data", say=silent, provision=False) as stack:
        offset = append(stack.kafka.access(ADMIN), b"kept")
        sql(
            plain_dsn(stack.postgres.admin_url),
            "CREATE TABLE kept (word text)",
            "INSERT INTO kept VALUES ('kept') RETURNING word",
        )
        addresses = stack.kafka_address, stack.database_url
        check_closed(stack, monkeypatch)
        assert isinstance(stack.kafka, KafkaServer)
        check_kafka_closed(stack.kafka)
        make_logins_of_before(stack.data, stack.postgres)
    # As in a data folder of the versions whose Kafka had no users: they are made at this start.
    shutil.rmtree(tmp_path / "data" / logins.PASSFILES / "kafka")
    (tmp_path / "data" / "kafka" / "users.sha256").unlink()
    with running_stack(tmp_path / "data", say=silent, provision=False) as stack:
        assert (stack.kafka_address, stack.database_url) == addresses
        assert read(stack.kafka.access(ADMIN), offset) == b"kept"
        later = append(stack.kafka.access(ADMIN), b"later")
        sql(plain_dsn(stack.postgres.admin_url), "INSERT INTO kept VALUES ('later') RETURNING word")
        kafka, postgres = stack.kafka, stack.postgres
        assert isinstance(kafka, KafkaServer)
        assert isinstance(postgres, PostgresServer)
        check_upgraded(stack.data, postgres)
        kafka.kill()
        postgres.kill()
        assert (kafka.pid, postgres.pid, list_databases(postgres.admin_url)) == (None, None, None)
        postgres.start()
        kafka.start()
        assert read(stack.kafka.access(ADMIN), later) == b"later"
        assert sql(postgres.socket_dsn, "SELECT word FROM kept ORDER BY 1") == ["kept", "later"]
        assert sql(
            postgres.socket_dsn,
            "SELECT setting FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit')",
        ) == ["on", "on"]
    assert processes_of(tmp_path / "data") == []


def test_a_server_that_ends_or_hangs_is_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kill -9 of the postmaster, then SIGSTOP of both servers: each is restarted on the same data
    and the same address, and `status` says why. The slow start of Kafka does not delay PostgreSQL.
    """
    monkeypatch.setenv("BACKOFFICE_LIVE_LIMIT_SECONDS", "3")
    data = tmp_path / "data"
    said: list[str] = []
    with running_stack(data, say=said.append, provision=False) as stack:
        first = stack.postgres.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert within_patience(lambda: said[-1] == "postgres was started again")
        assert list_databases(stack.postgres.admin_url) is not None
        assert "was killed by signal 9 at" in status(data)["servers"]["postgres"]["reason"]
        for pid in (stack.kafka.pid, stack.postgres.pid):
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
        assert within_patience(lambda: said[-1] == "kafka was started again")
        order = [line for line in said if line.endswith("was started again")]
        assert order == [f"{name} was started again" for name in ("postgres", "postgres", "kafka")]
        for name, restarts in (("postgres", 2), ("kafka", 1)):
            server = status(data)["servers"][name]
            assert (server["alive"], server["restarts"]) == (True, restarts)
            assert "did not answer for" in server["reason"]
        append(stack.kafka.access(ADMIN), b"works")
    assert processes_of(data) == []


def test_a_full_disk_during_a_check_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state that cannot be written is reported once.

    Writing it is retried until it succeeds.
    """
    said: list[str] = []
    full = threading.Event()
    write = stack_module.write_json

    def write_or_not(path: Path, body: object) -> None:
        if full.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, body)

    monkeypatch.setattr(stack_module, "write_json", write_or_not)
    with running_stack(tmp_path / "data", say=said.append, provision=False) as stack:
        full.set()
        first = stack.postgres.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert within_patience(lambda: any("tried again" in each for each in said))
        time.sleep(2)
        assert sum("tried again" in each for each in said) == 1
        full.clear()
        assert within_patience(lambda: stack.postgres.pid not in (None, first))
        assert within_patience(lambda: list_databases(stack.postgres.admin_url) is not None)


def test_up_and_down(tmp_path: Path) -> None:
    """`up --detach` returns when the stack is ready; `status` and a second `up` find it.

    `down` leaves nothing.
    """
    data = tmp_path / "data"
    up(data, detach=True, workers=(), say=silent, provision=False)
    now = status(data)
    assert now["running"]
    log, stopping = data / "logs" / "supervisor.log", f"backoffice down --data {data}"
    assert within_patience(lambda: stopping in log.read_text()), "issue 11, 24: not Ctrl-C"
    assert all(server["alive"] for server in now["servers"].values())
    said: list[str] = []
    assert (
        up(data, detach=True, workers=(), say=said.append, provision=False)["supervisor_pid"]
        == now["supervisor_pid"]
    )
    assert said == [f"a stack already runs on {data}"]
    with pytest.raises(Refused, match="stack-in-use"):
        up(data, workers=(), say=silent, provision=False)
    assert status(data) == now, "the one that was refused has stopped or changed something"
    after = down(data, say=silent)
    assert (after["phase"], after["running"], processes_of(data)) == ("stopped", False, [])


def test_killed_supervisor(tmp_path: Path) -> None:
    """kill -9 of the command: `status` reports it, and the next `up` works.

    It has all data, and no process is left.
    """
    data = tmp_path / "data"
    now = up(data, detach=True, workers=(), say=silent, provision=False)
    assert all(secret not in json.dumps(now) for secret in passwords(data))
    server = now["database_url"].partition("@")[2].partition("/")[0]
    dsn = plain_dsn(logins.address(data, server, logins.SUPERUSER))
    sql(dsn, "CREATE TABLE kept (word text)", "INSERT INTO kept VALUES ('kept') RETURNING word")
    os.kill(now["supervisor_pid"], signal.SIGKILL)
    assert within_patience(lambda: status(data)["phase"] == "killed")
    assert not status(data)["running"]
    with running_stack(data, say=silent, provision=False) as stack:
        assert sql(plain_dsn(stack.postgres.admin_url), "SELECT word FROM kept") == ["kept"]
    assert processes_of(data) == []


@pytest.mark.parametrize(
    ("number", "after_seconds"),
    [(signal.SIGINT, 0.7), (signal.SIGTERM, None)],
    ids=["ctrl-c-while-it-starts", "sigterm-when-it-is-up"],
)
def test_stopped_in_the_foreground(
    tmp_path: Path, number: signal.Signals, after_seconds: float | None
) -> None:
    """Ctrl-C or SIGTERM, at the start or when it is up: exit 0.

    Nothing is left running.
    """
    data = tmp_path / "data"
    command = [sys.executable, "-m", "shared.stack", str(data), "--no-provision"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        if after_seconds is None:
            assert any("the stack is up" in line for line in process.stdout)
        else:
            assert within_patience(lambda: status(data)["phase"] == "starting")
            time.sleep(after_seconds)
        process.send_signal(number)
        assert process.wait(PATIENCE_SECONDS) == 0
    assert (status(data)["phase"], processes_of(data)) == ("stopped", [])


def test_a_leftover_is_ended_and_a_stranger_is_not(tmp_path: Path) -> None:
    """The next command ends processes of an earlier one.

    A process that only has the same pid is not touched.
    """
    folder = DataFolder(tmp_path / "data")
    folder.open(fresh=False, say=silent)
    command = (sys.executable, "-c", "import time; time.sleep(100)")
    leftover, stranger = subprocess.Popen(command), subprocess.Popen(command)
    try:
        started = psutil.Process(leftover.pid).create_time()
        Record("worker-1", leftover.pid, started, command, int(signal.SIGTERM)).save(folder.path)
        Record("worker-2", stranger.pid, started - 1000, command, int(signal.SIGTERM)).save(
            folder.path
        )
        Record("worker-3", stranger.pid, started, ("another", "command"), int(signal.SIGTERM)).save(
            folder.path
        )
        said: list[str] = []
        assert [record.name for record in folder.sweep(said.append)] == ["worker-1"]
        assert leftover.wait(PATIENCE_SECONDS) == -signal.SIGTERM
        assert stranger.poll() is None
        assert f"worker-1 (pid {leftover.pid})" in said[0]
        assert list((folder.path / "run").iterdir()) == []
    finally:
        folder.release()
        for process in (leftover, stranger):
            process.kill()
            process.wait()


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux ties a child's life to its parent's"
)
def test_a_child_does_not_outlive_its_parent(tmp_path: Path) -> None:
    """kill -9 of the command ends its workers at once.

    A thread that ends stops no child.
    """
    log = tmp_path / "log"
    launch = Launch(
        "sleeper",
        (sys.executable, "-c", "import time; time.sleep(100)"),
        log,
        dict(os.environ),
        signal.SIGTERM,
        signal.SIGKILL,
    )
    children = []
    thread = threading.Thread(target=lambda: children.append(start_child(tmp_path, launch)))
    thread.start()
    thread.join()
    time.sleep(0.3)
    assert children[0].exit_code() is None
    children[0].end(patience_seconds=5)
    program = (
        "import os, signal, sys, time; from pathlib import Path; from shared.stack.process import"
        " Launch, start_child;"
        f"launch = Launch('sleeper', {launch.command!r}, Path({str(log)!r}), dict(os.environ),"
        " signal.SIGTERM, signal.SIGKILL);"
        f"print(start_child(Path({str(tmp_path)!r}), launch).pid, flush=True); time.sleep(0.5);"
        " os.kill(os.getpid(), signal.SIGKILL)"
    )
    parent = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert parent.returncode == -signal.SIGKILL
    pid = int(parent.stdout)
    assert within_patience(
        lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    )


@pytest.mark.skipif(
    why_no_containers() is not None, reason=f"needs containers: {why_no_containers()}"
)
def test_containers_hold_a_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a Docker engine the same stack runs in containers."""
    monkeypatch.setenv("BACKOFFICE_STACK", "docker")
    with running_stack(tmp_path / "data", say=silent, provision=False) as stack:
        assert isinstance(stack.postgres, ContainerPostgres)
        assert sql(plain_dsn(stack.postgres.admin_url), "SELECT 1") == ["1"]
