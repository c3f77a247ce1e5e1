"""Programs with keys, and records that they signed, for tests of commands."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.consumer.records import Record
from shared.events.commands.permissions import ROLES
from shared.signing import HEADER, Signer
from tests.builders import record
from tests.conftest import Configure

COMMANDS = "operator-commands"
Grant = tuple[str, str]
"""A role, and its billing company; empty: all."""


@dataclass
class Senders:
    """Who may send commands, written as the owner of the tables would."""

    owner: AsyncEngine

    async def add_program(
        self, program: str, *grants: Grant, asserts_actors: bool = False
    ) -> Signer:
        """Add a program with a key and roles; return its key."""
        async with self.owner.begin() as connection:
            audience = await connection.scalar(text("SELECT audience FROM invoicer.installation"))
            signer = Signer.new(program, str(audience), asserts_actors=asserts_actors)
            await connection.execute(
                text("INSERT INTO invoicer.program (program, added_by) VALUES (:p, 'test')"),
                {"p": program},
            )
            await connection.execute(
                text(
                    "INSERT INTO invoicer.program_key (key_id, program, public_key,"
                    " asserts_actors, added_by) VALUES (:id, :p, :key, :asserts, 'test')"
                ),
                {
                    "id": signer.key_id,
                    "p": program,
                    "key": signer.public_key,
                    "asserts": asserts_actors,
                },
            )
        await self.grant(program, *grants)
        return signer

    async def add_person(self, person: str, *grants: Grant) -> None:
        """Add a person with roles."""
        await self.change(
            "INSERT INTO invoicer.person (person, changed_by) VALUES (:p, 'test')", p=person
        )
        await self.grant(person, *grants)

    async def sign_everything(self, configure: Configure, folder: Path) -> dict[str, str]:
        """Give `pat`, the actor of the tests, every role and this process a key that asserts him.

        Return the setting of workers that carry out signed commands only.
        """
        signer = await self.add_program("tests", asserts_actors=True)
        signer.save(folder / "tests.jwk")
        await self.add_person("pat", *((role, "") for role in ROLES))
        configure(key_file=folder / "tests.jwk", commands="signed")
        return {"BACKOFFICE_COMMANDS": "signed"}

    async def grant(self, actor: str, *grants: Grant) -> None:
        """Give roles."""
        for role, company in grants:
            await self.change(
                "INSERT INTO invoicer.role_grant VALUES (:a, :r, :c)", a=actor, r=role, c=company
            )

    async def change(self, statement: str, **values: Any) -> None:
        """Run a statement."""
        async with self.owner.begin() as connection:
            await connection.execute(text(statement), values)

    async def select(self, query: str) -> Sequence[Any]:
        """The rows of a query."""
        async with self.owner.connect() as connection:
            return (await connection.execute(text(query))).all()


def signed(
    signer: Signer,
    command: BaseModel | dict[str, Any] | bytes,
    *,
    actor: str = "",
    at: float | None = None,
    appended: float | None = None,
    seconds: float = 300,
) -> Record:
    """A command that a program signed at `at` and the broker received at `appended` (seconds since
    1970; default now).
    """
    now = time.time() if at is None else at
    made = record(COMMANDS, command)
    header = signer.sign(made.value or b"", now, actor, seconds=seconds)
    received = int((now if appended is None else appended) * 1000)
    return made._replace(headers=((HEADER, header),), appended_ms=received)
