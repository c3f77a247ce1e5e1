"""Servers with a configured address: the stack checks that they work and never starts or stops
them.
"""

import time
from dataclasses import replace

from shared.broker.security import KafkaAccess, kafka_access, sign_in_problem
from shared.errors import Unavailable
from shared.stack.postgres import list_databases, plain_dsn
from shared.stack.probe import finish, wait_until_it_works

PATIENCE_SECONDS = 20.0
PAUSE_SECONDS = 0.2


class ExternalKafka:
    """A Kafka broker with a configured address."""

    patience_seconds = PATIENCE_SECONDS
    has_our_users = False

    pid = None
    wanted = False
    alive = True

    def __init__(self, address: str) -> None:
        self.address = address

    def access(self, user: str = "") -> KafkaAccess:
        """How a process reaches it: as the settings say, whichever service asks."""
        return replace(kafka_access(), bootstrap=self.address)

    def launch(self) -> None:
        """Do nothing: the broker runs elsewhere."""

    def start(self) -> None:
        """Check that the broker answers; nothing is written to it."""
        wrong = wait_until_it_works(
            self.access(), self.patience_seconds, lambda: True, writes=False
        )
        if wrong is not None:
            if why := finish(sign_in_problem(self.access())):
                raise Unavailable(f"{why}.")
            raise Unavailable(
                f"The Kafka broker at {self.address} (BACKOFFICE_KAFKA) does not answer: {wrong}."
                " Start it, or fix the address."
            )

    def stop(self) -> None:
        """Do nothing: the broker belongs to someone else."""


class ExternalDatabase:
    """A PostgreSQL server with a configured address."""

    patience_seconds = PATIENCE_SECONDS

    pid = None
    wanted = False
    alive = True

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    def owner_url(self) -> str:
        """The address of the migrations: the only one that was given."""
        return self.url

    @property
    def admin_url(self) -> str:
        """The address of an administrator: the only one that was given."""
        return self.url

    @property
    def dsn(self) -> str:
        """The address for psql and asyncpg."""
        return plain_dsn(self.url)

    def launch(self) -> None:
        """Do nothing: the server runs elsewhere."""

    def start(self) -> None:
        """Check that a query is answered."""
        deadline = time.monotonic() + self.patience_seconds
        while list_databases(self.dsn) is None:
            if time.monotonic() < deadline:
                time.sleep(PAUSE_SECONDS)
                continue
            shown = self.dsn.rpartition("@")[2]  # the part before may hold a password
            raise Unavailable(
                f"The PostgreSQL server at {shown} (BACKOFFICE_DATABASE_URL) answers no query."
                " Start it, or fix the address."
            )

    def stop(self) -> None:
        """Do nothing: the server belongs to someone else."""
