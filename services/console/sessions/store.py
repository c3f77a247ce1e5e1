"""The tables of the schema `console`, under the login `console_session`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from services.console.queries.snapshot import raise_if_unavailable
from services.console.sessions import rules
from services.console.sessions.openid import Begun
from shared.errors import Refused
from shared.logins import SESSIONS, connect
from shared.sql import named_queries

SQL = named_queries(Path(__file__).with_name("sessions.sql"))
MOST_CONNECTIONS = 3
MOST_SESSIONS = 500
OPENID = "openid"
WAIT_FIX = "wait a quarter of an hour, or ask for a link of `backoffice console link`"


@dataclass(frozen=True, slots=True)
class Session:
    """Who is signed in; `csrf_token` is in every form that this session gets."""

    person: str
    csrf_token: str


@dataclass(frozen=True, slots=True)
class OpenIdSignIn:
    """What the answer of the OpenID provider must fit, and where the person goes then."""

    nonce: str
    code_verifier: str
    redirect_uri: str
    next_path: str


class SessionStore:
    """A pool of connections to the schema `console`; it connects when it is first used."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._pool: Any = None
        self._turn = asyncio.Lock()

    async def close(self) -> None:
        """Disconnect."""
        if self._pool is not None:
            await self._pool.close()

    async def prepare(self) -> None:
        """Make the tables if they are missing. Raises `Unavailable`."""
        async with self._connection() as connection, connection.transaction():
            await connection.execute(SQL["lock"])
            await connection.execute(SQL["tables"])

    async def new_link(self, person: str) -> str:
        """Return the token of a one-time link that signs a person in."""
        token = rules.new_token()
        async with self._connection() as connection:
            await connection.execute(
                "INSERT INTO console.sign_in_link VALUES ($1, $2, now() + $3::interval)",
                rules.digest_of(token),
                person,
                rules.LINK,
            )
        return token

    async def set_password(self, person: str, password: str) -> None:
        """Store the password of a person; raises `Refused` for a bad one. His sessions end."""
        stored = await asyncio.to_thread(rules.hashed, password)
        async with self._connection() as connection, connection.transaction():
            await connection.execute(
                "INSERT INTO console.local_user (person, password_hash) VALUES ($1, $2)"
                " ON CONFLICT (person) DO UPDATE SET password_hash = excluded.password_hash,"
                " changed_at = now()",
                person,
                stored,
            )
            await connection.execute(
                "DELETE FROM console.browser_session WHERE person = $1", person
            )

    async def sign_in_by_link(self, token: str, address: str) -> str:
        """Use up a link; return the token of the new session. Raises `Refused`."""
        async with self._connection() as connection:
            person = await connection.fetchval(
                "DELETE FROM console.sign_in_link WHERE token_sha256 = $1 AND expires_at > now()"
                " RETURNING person",
                rules.digest_of(token),
            )
            await self._record(connection, person or "", address, "link", done=person is not None)
            if person is None:
                raise Refused(
                    "link_used",
                    "this sign-in link was used already, or is older than 10 minutes",
                    "get a new one with `backoffice console link`",
                )
            return await self._start(connection, str(person), address)

    async def sign_in_by_password(self, person: str, password: str, address: str) -> str:
        """Return the token of a new session. Raises `Refused`, also after too many failures."""
        async with self._connection() as connection:
            failures = await connection.fetchrow(SQL["failures"], person, address, rules.WINDOW)
            if (
                failures["of_person"] >= rules.PERSON_FAILURES
                or failures["of_address"] >= rules.ADDRESS_FAILURES
            ):
                raise Refused("too_many_attempts", "too many sign-ins failed", WAIT_FIX)
            stored = await connection.fetchval(
                "SELECT password_hash FROM console.local_user WHERE person = $1", person
            )
            done = await asyncio.to_thread(rules.fits, password, stored)
            await self._record(connection, person, address, "password", done=done)
            if not done:
                raise Refused(
                    "wrong_password",
                    "person and password do not belong together",
                    "type them again; `backoffice console password` sets a new one",
                )
            return await self._start(connection, person, address)

    async def session(self, token: str) -> Session | None:
        """The session of a token; None if there is none, or it has ended."""
        async with self._connection() as connection:
            row = await connection.fetchrow(
                SQL["use_session"], rules.digest_of(token), rules.IDLE, rules.LONGEST
            )
        return Session(row["person"], row["csrf_token"]) if row else None

    async def sign_out(self, token: str) -> str:
        """End a session; return the ID token with which it began, or ""."""
        async with self._connection() as connection:
            found = await connection.fetchval(
                "DELETE FROM console.browser_session WHERE token_sha256 = $1 RETURNING id_token",
                rules.digest_of(token),
            )
        return found or ""

    async def begin_openid(self, begun: Begun, redirect_uri: str, next_path: str) -> None:
        """Keep what the answer to a sign-in at the OpenID provider must fit."""
        async with self._connection() as connection:
            await connection.execute(
                SQL["begin_openid"],
                rules.digest_of(begun.state),
                begun.nonce,
                begun.code_verifier,
                redirect_uri,
                next_path,
                rules.LINK,
            )

    async def take_openid(self, state: str) -> OpenIdSignIn | None:
        """The sign-in of a state, which serves once; None if there is none, or it is too old."""
        async with self._connection() as connection:
            row = await connection.fetchrow(SQL["take_openid"], rules.digest_of(state))
        return OpenIdSignIn(**row) if row else None

    async def sign_in_by_openid(self, person: str, id_token: str, address: str) -> str:
        """Return the token of a new session of a person whom the OpenID provider named."""
        async with self._connection() as connection, connection.transaction():
            await self._record(connection, person, address, OPENID, done=True)
            return await self._start(connection, person, address, id_token)

    async def refuse_openid(self, person: str, address: str) -> None:
        """Record a sign-in at the OpenID provider that was refused."""
        async with self._connection() as connection:
            await self._record(connection, person, address, OPENID, done=False)

    async def sessions(self, person: str | None = None) -> list[dict[str, Any]]:
        """The sessions of a person, or of all, that have not ended; the last used first.

        `session_id` names a session and signs no one in.
        """
        async with self._connection() as connection:
            rows = await connection.fetch(
                SQL["sessions"], person, rules.IDLE, rules.LONGEST, MOST_SESSIONS
            )
        return [dict(row) for row in rows]

    async def end_sessions(
        self, person: str, by: str, address: str, session_id: str | None = None
    ) -> int:
        """End all sessions of a person, or the named one of his; return their number.

        Who ended them and from where is in the record of sign-ins.
        """
        async with self._connection() as connection, connection.transaction():
            ended = await connection.fetch(SQL["end_sessions"], person, session_id)
            if ended:
                await connection.execute(
                    SQL["record"], person, address, "session", f"ended by {by}"
                )
        return len(ended)

    async def sign_ins(
        self, limit: int = 100, person: str | None = None, before: int | None = None
    ) -> list[dict[str, Any]]:
        """Sign-ins, refusals and ended sessions, the newest first.

        `before`: only those older than the one with this `sign_in_no`.
        """
        async with self._connection() as connection:
            rows = await connection.fetch(SQL["sign_ins"], person, before, limit)
        return [dict(row) for row in rows]

    async def _start(self, connection: Any, person: str, address: str, id_token: str = "") -> str:
        token = rules.new_token()
        await connection.execute(
            "INSERT INTO console.browser_session (token_sha256, person, csrf_token, address,"
            " id_token) VALUES ($1, $2, $3, $4, $5)",
            rules.digest_of(token),
            person,
            rules.new_token(),
            address,
            id_token,
        )
        await connection.execute(SQL["forget_ended"], rules.IDLE, rules.LONGEST)
        return token

    async def _record(
        self, connection: Any, person: str, address: str, way: str, *, done: bool
    ) -> None:
        outcome = "signed in" if done else "refused"
        await connection.execute(SQL["record"], person, address, way, outcome)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        """A connection of the pool. Raises `Unavailable` if the database cannot be used."""
        try:
            async with self._turn:
                if self._pool is None:
                    self._pool = await asyncpg.create_pool(
                        connect=self._connect, min_size=0, max_size=MOST_CONNECTIONS
                    )
            async with self._pool.acquire() as connection:
                yield connection
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise_if_unavailable(error)
            raise

    async def _connect(self, *_: Any, **__: Any) -> Any:
        return await connect(SESSIONS, self._url)
