"""Messages of the stack when something is missing, in use or not its own: the thing and the fix."""

import functools
import hashlib
import http.server
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.errors import Refused, Unavailable
from shared.settings import LEDGER_KEY_FILE
from shared.stack import Stack
from shared.stack.choice import choose
from shared.stack.containers import why_no_containers
from shared.stack.folder import MADE_WITH, MARKER, DataFolder
from shared.stack.jars import Jar, class_path, listed_jars
from shared.stack.ports import HOST, LOWEST, Ports, free_port
from shared.stack.workers import replicas_of


def silent(message: str) -> None:
    """Print nothing."""


@pytest.fixture(autouse=True)
def embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses of the machine that runs the tests do not reach these tests."""
    for name in ("KAFKA", "DATABASE_URL", "WORKERS", "PORTS"):
        monkeypatch.delenv(f"BACKOFFICE_{name}", raising=False)
    monkeypatch.setenv("BACKOFFICE_STACK", "embedded")


def test_folder_that_is_not_ours(tmp_path: Path) -> None:
    """A folder with other content is refused and not touched, even by --fresh."""
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(Refused, match="data-folder-foreign"):
        Stack(tmp_path, say=silent, fresh=True).start()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_fresh_empties_the_folder_and_another_version_is_refused(tmp_path: Path) -> None:
    """Data of another version is refused.

    The message names both alternatives; --fresh deletes the data.
    """
    (tmp_path / MARKER).write_text(json.dumps({**MADE_WITH, "kafka": "3.9.1"}))
    (tmp_path / "kafka").mkdir()
    (tmp_path / LEDGER_KEY_FILE).touch()
    folder = DataFolder(tmp_path)
    with pytest.raises(Refused, match="data-folder-version") as refused:
        folder.open(fresh=False, say=silent)
    assert "kafka 3.9.1 instead of 4.3.1" in refused.value.message
    assert "--fresh" in refused.value.fix
    folder.open(fresh=True, say=silent)
    assert not (tmp_path / "kafka").exists()
    assert (tmp_path / LEDGER_KEY_FILE).exists(), "it opens secrets in a database elsewhere"
    folder.release()


def test_a_full_disk_is_reported_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message has the folder and the space needed."""
    monkeypatch.setattr("shared.stack.folder.LEAST_FREE_BYTES", 10**18)
    with pytest.raises(Refused, match="disk-full") as refused:
        Stack(tmp_path / "data", say=silent).start()
    assert str(tmp_path / "data") in refused.value.message


def test_port_taken(tmp_path: Path) -> None:
    """A requested port in use is refused by number; a stored one is replaced and reported."""
    port = free_port()
    said: list[str] = []
    with socket.create_server((HOST, port)):
        with pytest.raises(Refused, match="port-taken") as refused:
            Stack(tmp_path / "data", say=silent, provision=False, ports={"kafka": port}).start()
        assert str(port) in refused.value.message
        (tmp_path / "ports.json").write_text(json.dumps({"kafka": port}))
        other = Ports(tmp_path, said.append).take("kafka")
    assert other != port
    assert other >= LOWEST
    assert said == [
        f"port {port}, used for kafka last time, is taken by another program: another one is used"
    ]
    assert Ports(tmp_path, silent).take("kafka") == other


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[tuple[str, Jar]]:
    """A Maven repository on this machine with one jar."""
    folder = tmp_path / "repository" / "org" / "example" / "thing" / "1.0"
    folder.mkdir(parents=True)
    (folder / "thing-1.0.jar").write_bytes(b"jar")
    handler = functools.partial(_Quiet, directory=str(tmp_path / "repository"))
    with http.server.ThreadingHTTPServer((HOST, 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield (
            f"http://{HOST}:{server.server_address[1]}",
            Jar("org.example", "thing", "1.0", hashlib.sha256(b"jar").hexdigest()),
        )
        server.shutdown()


def test_jars_are_fetched_once_and_then_need_no_network(
    tmp_path: Path, repository: tuple[str, Jar]
) -> None:
    """The second start uses the cache.

    Also if the repository is gone; a damaged jar is fetched again.
    """
    address, jar = repository
    said: list[str] = []
    path = Path(class_path(said.append, tmp_path / "cache", [jar], address))
    assert path.read_bytes() == b"jar"
    assert any("1 of 1 jars" in message for message in said)
    assert class_path(pytest.fail, tmp_path / "cache", [jar], f"http://{HOST}:9") == str(path)
    path.write_bytes(b"spoiled")
    class_path(silent, tmp_path / "cache", [jar], address)
    assert path.read_bytes() == b"jar"


def test_wrong_jar_never_reaches_the_class_path(
    tmp_path: Path, repository: tuple[str, Jar]
) -> None:
    """A jar with another checksum is deleted.

    The message names it and the fix.
    """
    address, jar = repository
    wrong = Jar(jar.group, jar.artifact, jar.version, "0" * 64)
    with pytest.raises(Refused, match="jar-wrong") as refused:
        class_path(silent, tmp_path / "cache", [wrong], address)
    assert jar.coordinate in refused.value.message
    assert jar.file in refused.value.fix
    assert not list((tmp_path / "cache").rglob("*.jar"))


def test_missing_jar_is_named(tmp_path: Path, repository: tuple[str, Jar]) -> None:
    """A missing jar or a repository that does not answer is named, with the fix."""
    address, _ = repository
    for place in (address, f"http://{HOST}:9"):
        with pytest.raises(Refused, match="jar-missing") as refused:
            class_path(
                silent, tmp_path / "cache", [Jar("org.example", "absent", "2.0", "0" * 64)], place
            )
        assert "org.example:absent:2.0" in refused.value.message
        assert "BACKOFFICE_KAFKA" in refused.value.fix


def test_list_of_jars_is_whole() -> None:
    """The list has 46 jars, each once with a checksum, and one Kafka version."""
    jars = listed_jars()
    assert len(jars) == len({(jar.group, jar.artifact) for jar in jars}) == 46
    assert all(len(jar.sha256) == 64 for jar in jars)
    assert {jar.version for jar in jars if jar.group == "org.apache.kafka"} == {MADE_WITH["kafka"]}


CHOICES = [
    ("auto", "host:9092", "address"),
    ("address", "host:9092", "address"),
    ("embedded", "host:9092", "embedded"),
    ("embedded", "", "embedded"),
]


@pytest.mark.parametrize(("wish", "given", "kind"), CHOICES)
def test_choice(tmp_path: Path, wish: str, given: str, kind: str) -> None:
    """A given address has priority, unless the embedded stack is requested by name."""
    assert choose(wish, given, "BACKOFFICE_KAFKA", tmp_path / "none").kind == kind


def test_choice_by_itself(tmp_path: Path) -> None:
    """Embedded if the folder has its data, else Docker if it answers, else embedded."""
    assert choose("auto", "", "BACKOFFICE_KAFKA", tmp_path).why == "the data folder holds its data"
    assert choose("auto", "", "BACKOFFICE_KAFKA", tmp_path / "none").kind == (
        "embedded" if why_no_containers() else "docker"
    )


def test_a_docker_client_is_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A docker command without a server starts no containers."""
    client = tmp_path / "docker"
    client.write_text(
        '#!/bin/sh\necho "Client: 29.0"\necho "Cannot connect to the Docker daemon" >&2\nexit 1\n'
    )
    client.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert why_no_containers() == "no Docker engine answers"
    with pytest.raises(Refused, match="no-docker"):
        choose("docker", "", "BACKOFFICE_KAFKA", tmp_path / "none")


def test_stack_address_without_an_address_is_refused(tmp_path: Path) -> None:
    """BACKOFFICE_STACK=address needs an address.

    An unknown value is refused as well.
    """
    with pytest.raises(Refused, match="address-missing"):
        choose("address", "", "BACKOFFICE_KAFKA", tmp_path)
    with pytest.raises(Refused, match="stack-unknown"):
        choose("cloud", "", "BACKOFFICE_KAFKA", tmp_path)


def test_external_servers_that_do_not_answer_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message has the setting and no password."""
    monkeypatch.setattr("shared.stack.external.ExternalDatabase.patience_seconds", 0.2)
    monkeypatch.setenv("BACKOFFICE_STACK", "address")
    monkeypatch.setenv("BACKOFFICE_KAFKA", f"{HOST}:9")
    monkeypatch.setenv(
        "BACKOFFICE_DATABASE_URL", f"postgresql+asyncpg://{{login}}:secret@{HOST}:9/backoffice"
    )
    with pytest.raises(Unavailable, match="BACKOFFICE_DATABASE_URL") as away:
        Stack(tmp_path / "data", say=silent, provision=False).start()
    assert "secret" not in away.value.message
    assert f"{HOST}:9" in away.value.message


def test_numbers_of_replicas() -> None:
    """BACKOFFICE_WORKERS sets the replicas; unknown workers are refused."""
    assert replicas_of(("fee_realizer", "invoicer"), "invoicer=2") == {
        "fee_realizer": 1,
        "invoicer": 2,
    }
    assert replicas_of(("fee_realizer",), "invoicer=2") == {"fee_realizer": 1}
    for setting, code in (("invoicr=2", "worker-unknown"), ("invoicer:2", "setting-unreadable")):
        with pytest.raises(Refused, match=code):
            replicas_of(("invoicer",), setting)
