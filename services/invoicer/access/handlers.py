"""Commands about people and keys: set-person, add-key, rotate-key, disable-key.

All services read the result in the views `invoicer.signing_key` and `invoicer.granted_role`.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.access import store
from services.invoicer.access.rules import Grant, grants_of, require_admin, require_other_name
from shared import signing
from shared.consumer.commands import Answer, CommandHandler
from shared.errors import Refused
from shared.events.commands import AddKey, DisableKey, RoleGrant, RotateKey, SetPerson
from shared.terms import counted

SEE_KEYS = "see `backoffice keys list`"


async def on_set_person(connection: AsyncConnection, command: SetPerson) -> Answer:
    """Add or change a person; the roles given replace the earlier ones."""
    person = command.person
    async with _still_administered(connection):
        require_other_name(person, "program", await store.is_program(connection, person))
        known = await store.person_for(connection, person)
        held = await store.grants_for(connection, person)
        name = (known.name if known else "") if command.name is None else command.name
        grants = _grants(command.roles)
        await store.save_person(
            connection, person, name, enabled=command.enabled, actor=command.actor
        )
        await store.save_grants(connection, person, grants)
    state = "" if command.enabled else ", and is disabled"
    before = None if known is None else _details(known.name, known.enabled, held)
    return Answer(
        f"{person} has {_listed(grants)}{state}",
        details={"person": person, "roles": _listed(grants)},
        before=before,
        after=_details(name, command.enabled, grants),
        subjects=[person],
    )


async def on_add_key(connection: AsyncConnection, command: AddKey) -> Answer:
    """Add a program with its first key and its roles."""
    program = command.program
    await store.lock_access(connection)
    require_other_name(program, "person", await store.person_for(connection, program) is not None)
    if await store.is_program(connection, program):
        raise Refused(
            "program_known",
            f"{program} has a key already",
            f"give it a new one with `backoffice keys rotate {program}`, or take another name",
        )
    grants = _grants(command.roles)
    await store.add_program(connection, program, command.actor)
    key_id = await _add_key(connection, command, asserts_actors=command.asserts_actors)
    await store.save_grants(connection, program, grants)
    asserts = "; its signatures may name other actors" if command.asserts_actors else ""
    return await _answer(
        connection,
        command,
        key_id,
        f"{program} has the key {key_id} and {_listed(grants)}{asserts}",
    )


async def on_rotate_key(connection: AsyncConnection, command: RotateKey) -> Answer:
    """Give a program a new key; its other keys end now or after a time."""
    await store.lock_access(connection)
    keys = await _require_keys(connection, command.program)
    key_id = await _add_key(connection, command, asserts_actors=keys[-1].asserts_actors)
    keep = timedelta(hours=command.keep_old_hours)
    await store.end_other_keys(connection, command.program, key_id, keep)
    end = f"in {counted(command.keep_old_hours, 'hour')}" if keep else "now"
    return await _answer(
        connection,
        command,
        key_id,
        f"{command.program} has the new key {key_id}; its other keys end {end}",
    )


async def on_disable_key(connection: AsyncConnection, command: DisableKey) -> Answer:
    """Disable the keys of a program. What they signed and is not carried out is refused."""
    if not command.reason:
        raise Refused("reason_missing", "disabling a key needs a reason", "give --reason")
    async with _still_administered(connection):
        await _require_keys(connection, command.program)
        disabled = await store.disable_keys(
            connection, command.program, command.key_id, command.actor, command.reason
        )
        if not disabled:
            raise Refused(
                "no_such_key",
                f"{command.program} has no such key that is not disabled already",
                SEE_KEYS,
            )
    return Answer(
        f"{counted(len(disabled), 'key')} of {command.program} disabled: {', '.join(disabled)}",
        details={"program": command.program, "key_ids": disabled},
        after={"disabled": disabled},
        subjects=[command.program, *disabled],
    )


@asynccontextmanager
async def _still_administered(connection: AsyncConnection) -> AsyncIterator[None]:
    """Refuse what the block changed if no admin could act any more."""
    await store.lock_access(connection)
    before = await store.admin_keys(connection)
    yield
    require_admin(before, await store.admin_keys(connection))


async def _require_keys(connection: AsyncConnection, program: str) -> Sequence[Any]:
    keys = await store.keys_of(connection, program)
    if not keys:
        raise Refused("no_such_program", f"there is no program {program}", SEE_KEYS)
    return keys


async def _add_key(
    connection: AsyncConnection, command: AddKey | RotateKey, *, asserts_actors: bool
) -> str:
    key_id = signing.key_id_of(command.public_key)
    if await store.is_key(connection, key_id):
        raise Refused("key_known", f"a program has the key {key_id} already", "make a new key pair")
    await store.add_key(
        connection,
        command.program,
        key_id,
        command.public_key,
        asserts_actors=asserts_actors,
        actor=command.actor,
    )
    return key_id


async def _answer(
    connection: AsyncConnection, command: AddKey | RotateKey, key_id: str, message: str
) -> Answer:
    audience = await store.audience(connection)
    return Answer(
        message,
        details={"program": command.program, "key_id": key_id, "audience": audience},
        after={"key_id": key_id},
        subjects=[command.program, key_id],
    )


def _grants(roles: Sequence[RoleGrant]) -> set[Grant]:
    return grants_of((each.role, each.billing_companies) for each in roles)


def _details(name: str, enabled: bool, grants: set[Grant]) -> dict[str, Any]:
    return {"name": name, "enabled": enabled, "roles": _listed(grants)}


def _listed(grants: set[Grant]) -> str:
    """Return the grants as people read them: `clerk of acme-eu, manager`."""
    named = [f"{role} of {company}" if company else role for role, company in sorted(grants)]
    return ", ".join(named) or "no role"


HANDLERS: Mapping[type[Any], CommandHandler] = {
    SetPerson: on_set_person,
    AddKey: on_add_key,
    RotateKey: on_rotate_key,
    DisableKey: on_disable_key,
}
