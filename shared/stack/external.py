"""Owns the servers that somebody else runs: their addresses were given. They are asked whether they work, and are never started or stopped."""

import time

from shared.errors import Unavailable
from shared.stack.postgres import list_databases, plain_dsn
from shared.stack.probe import wait_until_it_works

PATIENCE_SECONDS = 20.0
PAUSE_SECONDS = 0.2


class ExternalKafka:
    """A broker by its address."""

    patience_seconds = PATIENCE_SECONDS

    pid = None
    wanted = False
    alive = True

    def __init__(self, address: str) -> None:
        self.address = address

    def launch(self) -> None:
        """Nothing to begin: it runs elsewhere."""

    def start(self) -> None:
        """Make sure that it answers; nothing is written to it."""
        wrong = wait_until_it_works(self.address, self.patience_seconds, lambda: True, writes=False)
        if wrong is not None:
            raise Unavailable(
                f"The Kafka broker at {self.address} (BACKOFFICE_KAFKA) does not answer: {wrong}. Start it, or fix the address."
            )

    def stop(self) -> None:
        """Not ours to stop."""


class ExternalDatabase:
    """A PostgreSQL server by its address."""

    patience_seconds = PATIENCE_SECONDS

    pid = None
    wanted = False
    alive = True

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    def dsn(self) -> str:
        """The address for psql and asyncpg itself."""
        return plain_dsn(self.url)

    def launch(self) -> None:
        """Nothing to begin: it runs elsewhere."""

    def start(self) -> None:
        """Make sure that a query is answered."""
        deadline = time.monotonic() + self.patience_seconds
        while list_databases(self.dsn) is None:
            if time.monotonic() < deadline:
                time.sleep(PAUSE_SECONDS)
                continue
            shown = self.dsn.rpartition("@")[2]  # the part before may hold a password
            raise Unavailable(
                f"The PostgreSQL server at {shown} (BACKOFFICE_DATABASE_URL) answers no query. Start it, or fix the address."
            )

    def stop(self) -> None:
        """Not ours to stop."""
