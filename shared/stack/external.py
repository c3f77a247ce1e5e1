"""Servers with a configured address: the stack checks that they work and never starts or stops
them.
"""

import asyncio
import time
from dataclasses import replace

from shared.broker.security import KafkaAccess, kafka_access, sign_in_problem
from shared.errors import Unavailable
from shared.logins import CONSOLE, OWNER, address_of, connect_to, shown
from shared.stack.logins import SUPERUSER
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
        """The address of the migrations."""
        return address_of(OWNER, self.url)

    @property
    def admin_url(self) -> str:
        """The address of the superuser."""
        return address_of(SUPERUSER, self.url)

    def launch(self) -> None:
        """Do nothing: the server runs elsewhere."""

    def start(self) -> None:
        """Check that the console may connect; the workers check their own logins."""
        self._wait(address_of(CONSOLE, self.url))

    def _wait(self, url: str) -> None:
        deadline = time.monotonic() + self.patience_seconds
        while (wrong := asyncio.run(_failure(url))) is not None:
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"The PostgreSQL server at {shown(url)} (BACKOFFICE_DATABASE_URL) answers no"
                    f" query ({wrong}). Start it, or fix the address."
                )
            time.sleep(PAUSE_SECONDS)

    def stop(self) -> None:
        """Do nothing: the server belongs to someone else."""


async def _failure(url: str) -> str | None:
    """Return why a server cannot be used, or None if it can. Not by psql: the one of the stack has
    no TLS.
    """
    try:
        await (await connect_to(url)).close()
    except Exception as error:
        return str(error) or type(error).__name__
    return None
