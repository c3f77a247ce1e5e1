"""People, programs, their keys and their roles."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.access.rules import Grant
from shared.database import rows, run


async def lock_access(connection: AsyncConnection) -> None:
    """Wait for other changes of people and keys, so that two cannot each take an admin away."""
    await run(connection, "LOCK TABLE invoicer.role_grant IN SHARE ROW EXCLUSIVE MODE")


async def audience(connection: AsyncConnection) -> str:
    """Return the name of this installation in signatures."""
    (row,) = await rows(connection, "SELECT audience FROM invoicer.installation")
    return str(row.audience)


async def person_for(connection: AsyncConnection, person: str) -> Any | None:
    """Return name and state of a person, or None."""
    found = await rows(
        connection,
        "SELECT name, enabled FROM invoicer.person WHERE person = :person",
        person=person,
    )
    return found[0] if found else None


async def save_person(
    connection: AsyncConnection, person: str, name: str, *, enabled: bool, actor: str
) -> None:
    """Add a person, or change one."""
    await run(
        connection,
        "INSERT INTO invoicer.person (person, name, enabled, changed_by)"
        " VALUES (:person, :name, :enabled, :actor) ON CONFLICT (person) DO UPDATE SET"
        " name = excluded.name, enabled = excluded.enabled, changed_by = excluded.changed_by,"
        " changed_at = now()",
        person=person,
        name=name,
        enabled=enabled,
        actor=actor,
    )


async def grants_for(connection: AsyncConnection, actor: str) -> set[Grant]:
    """Return the roles of a person or program."""
    found = await rows(
        connection,
        "SELECT role, billing_company FROM invoicer.role_grant WHERE actor = :actor",
        actor=actor,
    )
    return {(row.role, row.billing_company) for row in found}


async def save_grants(connection: AsyncConnection, actor: str, grants: Iterable[Grant]) -> None:
    """Replace the roles of a person or program."""
    wanted = sorted(grants)
    await run(connection, "DELETE FROM invoicer.role_grant WHERE actor = :actor", actor=actor)
    await run(
        connection,
        "INSERT INTO invoicer.role_grant (actor, role, billing_company) SELECT :actor, *"
        " FROM unnest(CAST(:roles AS text[]), CAST(:companies AS text[]))",
        actor=actor,
        roles=[role for role, _ in wanted],
        companies=[company for _, company in wanted],
    )


async def is_program(connection: AsyncConnection, program: str) -> bool:
    """Whether there is a program of this name."""
    return bool(
        await rows(
            connection, "SELECT 1 FROM invoicer.program WHERE program = :program", program=program
        )
    )


async def add_program(connection: AsyncConnection, program: str, actor: str) -> None:
    """Add a program."""
    await run(
        connection,
        "INSERT INTO invoicer.program (program, added_by) VALUES (:program, :actor)",
        program=program,
        actor=actor,
    )


async def keys_of(connection: AsyncConnection, program: str) -> list[Any]:
    """Return the keys of a program, oldest first."""
    return await rows(
        connection,
        "SELECT key_id, asserts_actors, valid_until, disabled_at FROM invoicer.program_key"
        " WHERE program = :program ORDER BY added_at, key_id",
        program=program,
    )


async def is_key(connection: AsyncConnection, key_id: str) -> bool:
    """Whether any program has this key, or had it."""
    return bool(
        await rows(
            connection, "SELECT 1 FROM invoicer.program_key WHERE key_id = :key_id", key_id=key_id
        )
    )


async def add_key(
    connection: AsyncConnection,
    program: str,
    key_id: str,
    public_key: str,
    *,
    asserts_actors: bool,
    actor: str,
) -> None:
    """Add a key of a program."""
    await run(
        connection,
        "INSERT INTO invoicer.program_key (key_id, program, public_key, asserts_actors, added_by)"
        " VALUES (:key_id, :program, :public_key, :asserts_actors, :actor)",
        key_id=key_id,
        program=program,
        public_key=public_key,
        asserts_actors=asserts_actors,
        actor=actor,
    )


async def end_other_keys(
    connection: AsyncConnection, program: str, key_id: str, keep: timedelta
) -> None:
    """Let all other keys of a program end after a time; one that ends earlier keeps its end."""
    await run(
        connection,
        "UPDATE invoicer.program_key SET valid_until = least(valid_until, now() + :keep)"
        " WHERE program = :program AND key_id <> :key_id AND disabled_at IS NULL",
        program=program,
        key_id=key_id,
        keep=keep,
    )


async def disable_keys(
    connection: AsyncConnection, program: str, key_id: str | None, actor: str, reason: str
) -> list[str]:
    """Disable the keys of a program that are not disabled, or one of them; return their ids."""
    found = await rows(
        connection,
        "UPDATE invoicer.program_key SET disabled_at = now(), disabled_by = :actor,"
        " disabled_reason = :reason WHERE program = :program AND disabled_at IS NULL"
        " AND (CAST(:key_id AS text) IS NULL OR key_id = :key_id) RETURNING key_id",
        program=program,
        key_id=key_id,
        actor=actor,
        reason=reason,
    )
    return sorted(row.key_id for row in found)


async def admin_keys(connection: AsyncConnection) -> int:
    """Count the keys with which an admin of all billing companies can act now.

    A program acts itself, or a person by a key that may assert actors.
    """
    (row,) = await rows(
        connection,
        "SELECT count(*) AS number FROM invoicer.signing_key k WHERE disabled_at IS NULL"
        " AND (valid_until IS NULL OR valid_until > now()) AND EXISTS ("
        "   SELECT FROM invoicer.granted_role g WHERE g.role = 'admin' AND g.billing_company = ''"
        "   AND (g.actor = k.program OR k.asserts_actors AND g.actor IN"
        "     (SELECT person FROM invoicer.person)))",
    )
    return int(row.number)
