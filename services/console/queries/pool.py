"""Snapshots on a pool of connections, for a process that reads again and again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from services.console.queries.snapshot import ReadConnection, raise_if_unavailable
from shared.logins import CONSOLE, connect

MOST_CONNECTIONS = 5


class ReadPool:
    """Connections under the login `console`; the first is made when the first page is read."""

    def __init__(self, database_url: str, most: int = MOST_CONNECTIONS) -> None:
        self._url, self._most = database_url, most
        self._pool: Any = None
        self._turn = asyncio.Lock()

    async def close(self) -> None:
        """Disconnect."""
        if self._pool is not None:
            await self._pool.close()

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[ReadConnection]:
        """A connection that reads one snapshot. Raises `Unavailable`."""
        try:
            async with self._turn:
                if self._pool is None:
                    self._pool = await asyncpg.create_pool(
                        connect=self._connect, min_size=0, max_size=self._most
                    )
            async with (
                self._pool.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                yield ReadConnection(connection)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise_if_unavailable(error)
            raise

    async def _connect(self, *_: Any, **__: Any) -> Any:
        return await connect(CONSOLE, self._url)
