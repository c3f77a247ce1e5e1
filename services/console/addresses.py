"""Where Kafka and PostgreSQL are: from the settings, else from the state file of the stack on
the data folder.
"""

import asyncio
import json
import socket
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from shared.broker.security import KafkaAccess, access_from, kafka_access
from shared.errors import Refused, Unavailable
from shared.settings import settings

STATE_FILE = "stack.json"
RUNNING = ("ready", "starting")
START_TOLERANCE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Addresses:
    """The two servers: `kafka` with credentials, `database_url` an address for SQLAlchemy with
    asyncpg.
    """

    kafka: KafkaAccess
    database_url: str


@dataclass(frozen=True, slots=True)
class WorkerPage:
    """Where a process serves its pages; `pid` and `restarts` are known of our own stack only."""

    name: str
    service: str
    url: str
    pid: int | None = None
    restarts: int | None = None
    reason: str = ""


def data_folder(data: Path | None = None) -> Path:
    """The data folder that was named, else that of the settings."""
    return (data or settings().data).expanduser().resolve()


def find_addresses(data: Path | None = None) -> Addresses:
    """Both addresses.

    Raises `Unavailable` with what to do if one is neither set nor known from a running stack.

    If a folder is named, its stack is meant, whatever addresses the environment has.
    """
    kafka = None if data or not settings().kafka else kafka_access()
    database_url = "" if data else settings().database_url
    if not (kafka and database_url):
        state = _running_stack(data_folder(data))
        kafka = kafka or _access_of(state)
        database_url = database_url or state.get("database_url", "")
    if not (kafka and database_url):
        raise Unavailable(
            f"no stack runs on {data_folder(data)}: start it with `backoffice up --detach`, name"
            " the"
            " folder of a running stack with --data, or set BACKOFFICE_KAFKA and"
            " BACKOFFICE_DATABASE_URL"
        )
    return Addresses(kafka, database_url)


async def find_worker_pages(data: Path | None = None) -> list[WorkerPage]:
    """The pages of all workers and of the lag exporter; empty if none is known.

    Each address that the name of a service has is a replica. Raises `Refused` for a setting that
    cannot be read.
    """
    if settings().worker_pages and not data:
        pages = [_page(part) for part in settings().worker_pages.split(",") if part.strip()]
        return [each for page in pages for each in await _replicas(*page)]
    return [
        WorkerPage(
            each["name"],
            each["service"],
            f"http://127.0.0.1:{each['port']}",
            each["pid"],
            each["restarts"],
            each["reason"],
        )
        for each in _running_stack(data_folder(data)).get("workers", ())
    ]


def _page(part: str) -> tuple[str, str, int]:
    name, equals, address = part.strip().partition("=")
    host, _, port = address.rpartition(":")
    if not (name and equals and host and port.isdecimal()):
        raise Refused(
            "setting-unreadable",
            f"BACKOFFICE_WORKER_PAGES has {part.strip()!r}, which is not NAME=HOST:PORT",
            "write it like lag_exporter=lag:9100,invoicer=invoicer:9100",
        )
    return name, host, int(port)


async def _replicas(service: str, host: str, port: int) -> list[WorkerPage]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return [WorkerPage(service, service, f"http://{host}:{port}")]
    hosts = sorted({str(address[0]) for *_, address in found})
    several = len(hosts) > 1
    return [
        WorkerPage(
            f"{service} {one}" if several else service,
            service,
            f"http://[{one}]:{port}" if ":" in one else f"http://{one}:{port}",
        )
        for one in hosts
    ]


def _access_of(state: dict[str, Any]) -> KafkaAccess | None:
    """How the console reaches the Kafka of a stack: by its state if it has the credentials, else
    by the settings.
    """
    if not state.get("kafka"):
        return None
    if variables := state.get("kafka_console"):
        return access_from(variables)
    return replace(kafka_access(), bootstrap=state["kafka"])


def _running_stack(folder: Path) -> dict[str, Any]:
    """The state of the stack on a folder if its supervisor is alive, else nothing."""
    try:
        state = json.loads((folder / STATE_FILE).read_text())
        supervisor = state["supervisor"]
        started = psutil.Process(int(supervisor["pid"])).create_time()
        alive = abs(started - float(supervisor["started"])) < START_TOLERANCE_SECONDS
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return {}
    return state if alive and state.get("phase") in RUNNING else {}
