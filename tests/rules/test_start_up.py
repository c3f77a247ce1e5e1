"""What a start leaves out because it is known, and what waits instead of failing."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shared.consumer import application
from shared.consumer.worker import Service, Worker
from shared.stack import provisions
from shared.stack.kafka import KafkaServer
from shared.stack.ports import free_port
from shared.stack.provisions import IDENTITIES, Provisions


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of embedded servers, and a program with one migration."""
    for name in IDENTITIES:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("one")
    (tmp_path / "0001.sql").write_text("CREATE TABLE a ()")
    monkeypatch.setattr(provisions, "SOURCES", (tmp_path / "0001.sql",))
    return tmp_path


def test_migrations_and_topics_are_known_until_something_differs(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another migration, another prefix of topics, or a server whose data was made anew."""
    assert not Provisions(data).are_current
    Provisions(data).store()
    assert Provisions(data).are_current
    monkeypatch.setenv("BACKOFFICE_TOPIC_PREFIX", "other.")
    assert not Provisions(data).are_current
    monkeypatch.delenv("BACKOFFICE_TOPIC_PREFIX")
    assert Provisions(data).are_current
    (data / "0001.sql").write_text("CREATE TABLE b ()")
    assert not Provisions(data).are_current
    Provisions(data).store()
    for name in IDENTITIES:
        replaced = (data / name).with_suffix(".new")
        replaced.write_text("one")
        replaced.replace(data / name)
        assert not Provisions(data).are_current, name
        Provisions(data).store()
    (data / "provisioned.json").write_text("{")
    assert not Provisions(data).are_current


def test_nothing_is_remembered_of_servers_that_run_elsewhere(data: Path) -> None:
    """Their owner may have emptied them since."""
    (data / IDENTITIES[0]).unlink()
    Provisions(data).store()
    assert not (data / "provisioned.json").exists()
    assert not Provisions(data).are_current


def test_the_class_archive_is_made_once_for_these_jars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another file under a jar's name needs another archive. Where none can be made, none is used,
    and no start tries again.
    """
    jar, made = tmp_path / "kafka.jar", [b"archive", b"", b"archive"]
    jar.write_bytes(b"jar")
    monkeypatch.setattr(KafkaServer, "_make_archive", lambda _, path: path.write_bytes(made.pop(0)))
    server = KafkaServer(tmp_path / "data", pytest.fail, cache=tmp_path)
    (option, quiet) = server._class_archive(str(jar))
    assert option.startswith(f"-XX:AOTCache={tmp_path}") and quiet.startswith("-Xlog")
    assert server._class_archive(str(jar)) == (option, quiet)
    os.utime(jar, ns=(1, 1))
    assert server._class_archive(str(jar)) == server._class_archive(str(jar)) == ()
    assert made == [b"archive"]


class _Engine:
    """A database that answers from the third attempt on."""

    def __init__(self) -> None:
        self.attempts = 0

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[None]:
        """Refuse the first two."""
        self.attempts += 1
        if self.attempts < 3:
            raise ConnectionRefusedError(111, "Connection refused")
        yield


async def test_a_worker_waits_for_its_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """They start beside it. When time is up the last error says which did not come."""
    port, engine = free_port(), _Engine()
    worker: Any = Worker(Service("scheduler", [], {}))
    worker.__dict__["unit_of_work"] = SimpleNamespace(engine=engine)
    monkeypatch.setattr(
        application, "settings", lambda: SimpleNamespace(kafka=f"127.0.0.1:9,127.0.0.1:{port}")
    )
    monkeypatch.setattr(application, "SERVERS_SECONDS", 0.2)
    with pytest.raises(OSError, match=str(port)):
        await application._wait_for_servers(worker)
    monkeypatch.setattr(application, "SERVERS_SECONDS", 10.0)
    waiting = asyncio.create_task(application._wait_for_servers(worker))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    kafka = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
    async with kafka:
        await asyncio.wait_for(waiting, 5)
    worker.stop()
    with pytest.raises(OSError, match=str(port)):
        await application._wait_for_servers(worker)
