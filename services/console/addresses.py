"""Where Kafka and PostgreSQL are: from the settings, else from the state file of the stack on
the data folder.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from shared.broker.security import KafkaAccess, access_from, kafka_access
from shared.errors import Unavailable
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
