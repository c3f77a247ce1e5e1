"""Choose where Kafka and PostgreSQL come from: a configured address, containers or embedded.

Each server is chosen separately, so one may be configured and the other embedded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from shared.broker.security import KafkaAccess
from shared.errors import Refused
from shared.settings import OPEN, SIGNED, Settings
from shared.stack.containers import ContainerKafka, ContainerPostgres, why_no_containers
from shared.stack.external import ExternalDatabase, ExternalKafka
from shared.stack.kafka import KafkaServer
from shared.stack.ports import Ports
from shared.stack.postgres import PostgresServer

OPEN_NOTICE = (
    "commands: open: unsigned commands are carried out, under any name;"
    " BACKOFFICE_COMMANDS=signed requires signatures"
)
KINDS = ("auto", "address", "docker", "embedded")


class Server(Protocol):
    """What the stack needs from a server, however it runs."""

    wanted: bool

    @property
    def pid(self) -> int | None: ...

    @property
    def alive(self) -> bool: ...

    def launch(self) -> None: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...


class Broker(Server, Protocol):
    """A Kafka broker. `has_our_users`: the stack made its users, and decides what each may do."""

    has_our_users: bool

    @property
    def address(self) -> str: ...

    def access(self, user: str) -> KafkaAccess: ...


class Database(Server, Protocol):
    """A PostgreSQL server; `url` has `{login}` in place of a login."""

    @property
    def url(self) -> str: ...

    @property
    def owner_url(self) -> str: ...

    @property
    def admin_url(self) -> str: ...


@dataclass(frozen=True)
class Choice:
    """Where one server comes from, and the reason shown to people."""

    kind: str
    why: str


def choose(wish: str, given: str, setting: str, embedded_data: Path) -> Choice:
    """Choose where a server comes from.

    `wish` is BACKOFFICE_STACK, `given` the configured address, `embedded_data` the data folder of
    an earlier embedded server.
    """
    if wish not in KINDS:
        raise Refused(
            "stack-unknown",
            f"BACKOFFICE_STACK is {wish!r}.",
            f"Set it to one of {', '.join(KINDS)}, or leave it out.",
        )
    if wish == "address" and not given:
        raise Refused(
            "address-missing",
            f"BACKOFFICE_STACK=address, but {setting} is empty.",
            f"Set {setting}, or leave BACKOFFICE_STACK out.",
        )
    if given and wish in ("auto", "address"):
        return Choice("address", f"{setting} is set")
    if wish == "embedded":
        return Choice("embedded", "BACKOFFICE_STACK=embedded")
    if wish == "auto" and embedded_data.exists():
        return Choice("embedded", "the data folder holds its data")
    missing = why_no_containers()
    if missing is None:
        return Choice("docker", "a Docker engine answers")
    if wish == "docker":
        raise Refused(
            "no-docker",
            f"BACKOFFICE_STACK=docker, but {missing}.",
            "Start a Docker engine, or leave BACKOFFICE_STACK out.",
        )
    return Choice("embedded", missing)


def commands_mode(wish: str, broker: Choice) -> str:
    """Whether commands need a signature: as BACKOFFICE_COMMANDS says, else by the broker.

    Others reach a broker with a configured address; one that the stack starts is of this machine.
    """
    return wish or (SIGNED if broker.kind == "address" else OPEN)


def choose_broker(
    settings: Settings,
    data: Path,
    ports: Ports,
    say: Callable[[str], None],
    proxied: tuple[int, int] | None,
) -> tuple[Broker, Choice]:
    """Return the broker of this stack, not yet started."""
    choice = choose(settings.stack, settings.kafka, "BACKOFFICE_KAFKA", data / "kafka")
    if choice.kind == "address":
        return ExternalKafka(settings.kafka), choice
    if choice.kind == "docker":
        return ContainerKafka(data, ports), choice
    return KafkaServer(data, say, ports, proxied), choice


def choose_database(
    settings: Settings, data: Path, ports: Ports, say: Callable[[str], None]
) -> tuple[Database, Choice]:
    """Return the database of this stack, not yet started."""
    choice = choose(
        settings.stack, settings.database_url, "BACKOFFICE_DATABASE_URL", data / "postgres"
    )
    if choice.kind == "address":
        return ExternalDatabase(settings.database_url), choice
    if choice.kind == "docker":
        return ContainerPostgres(data, ports), choice
    return PostgresServer(data, say, ports), choice
