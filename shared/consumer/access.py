"""Check who sent a command: its signature, its key, its age, and the roles of its actor.

The order is that of `CommandDispatcher`: first the signature; then a command with an answer gets
this answer again, however old the signature is; then the state of the key, the age and the
permission. Roles are never taken from the command.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from shared import clock, signing
from shared.consumer import tables
from shared.consumer.records import Record
from shared.errors import Refused
from shared.events.commands import AnyCommand
from shared.events.commands.permissions import Permission, permission_of
from shared.settings import OPEN, settings
from shared.terms import buyer_of, listed

NOT_LIMITED = ""
"""The billing company of a role that holds for all of them."""

NamesOf = Callable[[AsyncConnection, Any], Awaitable[Collection[str]]]
"""Looks up names for a command: billing companies, or people."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sent a command, as far as it is proved. Without a signature nothing is.

    `grants`: the billing companies of each role of the actor.
    """

    key_id: str = ""
    program: str = ""
    client: str = ""
    key: Any = None
    claims: signing.Claims | None = None
    grants: Mapping[str, frozenset[str]] = field(default_factory=dict)


class AccessRefused(Refused):
    """A command is refused because of its signature, key, age or permission.

    `sender` is what it says of itself, which may be false.
    """

    def __init__(self, refused: Refused, sender: Sender) -> None:
        super().__init__(refused.code, refused.message, refused.fix, **refused.details)
        self.sender = sender


async def verify(connection: AsyncConnection, command: AnyCommand, record: Record) -> Sender:
    """Return who signed a command. Raises `AccessRefused`.

    Disabled keys verify too: their old commands keep their answers.
    """
    tokens = [value for name, value in record.headers if name == signing.HEADER]
    if not tokens:
        if settings().commands == OPEN:
            return Sender()
        raise AccessRefused(
            Refused(
                "not_signed",
                "the command has no signature, and only signed ones are carried out here",
                "set BACKOFFICE_KEY_FILE to a key from `backoffice keys add`, or sign as"
                " docs/signing.md describes",
            ),
            Sender(),
        )
    sender = Sender()
    try:
        if len(tokens) > 1:
            raise signing.invalid("there are two")
        token = (tokens[0] or b"").decode("ascii", "replace")
        key_id = signing.named_key(token)[:200]
        sender = Sender(key_id, client=signing.named_client(token))
        key, grants = await _key_and_grants(connection, sender.key_id, command.actor)
        sender = replace(sender, program=key.program, key=key, grants=grants)
        claims = signing.verify(token, key.public_key, key.audience, record.value or b"")
    except Refused as refused:
        raise AccessRefused(refused, sender) from refused
    return Sender(sender.key_id, key.program, claims.client, key, claims, grants)


async def _key_and_grants(
    connection: AsyncConnection, key_id: str, actor: str
) -> tuple[Any, dict[str, frozenset[str]]]:
    """Read the key, and the roles of the actor with their billing companies, in one query."""
    found = await tables.signing_key(connection, key_id, actor)
    if not found:
        raise Refused(
            "key_unknown",
            f"no program has the key {key_id}",
            "see `backoffice keys list`; add a key with `backoffice keys add`",
        )
    grants: dict[str, set[str]] = {}
    for row in found:
        if row.role is not None:
            grants.setdefault(row.role, set()).add(row.billing_company)
    return found[0], {role: frozenset(companies) for role, companies in grants.items()}


async def authorize(
    connection: AsyncConnection,
    sender: Sender,
    command: AnyCommand,
    record: Record,
    companies_of: Mapping[type[Any], NamesOf],
    authors_of: Mapping[type[Any], NamesOf],
) -> None:
    """Raise `AccessRefused` unless this sender may have this command carried out."""
    permission = permission_of(command)
    try:
        if sender.claims is not None:
            _check_key(sender, sender.claims, command, record)
            _check_role(permission, sender, command)
            companies = await _companies(connection, permission, command, companies_of)
            _check_companies(permission, sender, command, companies)
        if permission.four_eyes:
            _check_four_eyes(command, await authors_of[type(command)](connection, command))
    except Refused as refused:
        raise AccessRefused(refused, sender) from refused


def _check_key(sender: Sender, claims: signing.Claims, command: AnyCommand, record: Record) -> None:
    """Check the key, the actor and the age.

    The age is that at which the broker received the record, so what waited during an outage is
    carried out. The clock takes its place where the broker does not say.
    """
    key = sender.key
    at = record.appended_at or clock.now()
    if key.disabled_at is not None or (key.valid_until is not None and at >= key.valid_until):
        ended = key.disabled_at or key.valid_until
        raise Refused(
            "key_disabled",
            f"the key {sender.key_id} of {key.program} was"
            f" {'disabled' if key.disabled_at else 'replaced'} at {_instant(ended)}",
            "sign with the program's present key; see `backoffice keys list`",
        )
    if claims.exp - claims.iat > signing.LONGEST_SECONDS:
        hours = signing.LONGEST_SECONDS // 3600
        raise signing.invalid(f"it is valid for more than {hours} hours")
    if claims.iat > at.timestamp() + signing.SKEW_SECONDS:
        raise signing.invalid("it was made in the future: set the clock of its sender")
    if at.timestamp() >= claims.exp:
        raise Refused(
            "signature_expired",
            f"the signature ended before the record reached Kafka at {_instant(at)}",
            "send the command again with a new signature",
        )
    if claims.sub != command.actor or not (key.asserts_actors or command.actor == key.program):
        raise Refused(
            "other_actor",
            f"the key {sender.key_id} signs for"
            f" {claims.sub if key.asserts_actors else key.program}, not for {command.actor}",
            "name the signer as the actor, or sign with a key that may assert actors",
        )


def _check_role(permission: Permission, sender: Sender, command: AnyCommand) -> None:
    if not sender.grants.keys() & set(permission.roles):
        held = f"has {listed(sorted(sender.grants))}" if sender.grants else "has no role"
        raise Refused(
            "not_permitted",
            f"{command.command} needs the role {' or '.join(permission.roles)};"
            f" {command.actor} {held}",
            "ask a person with that role to send it, or an admin to grant it",
            roles=list(permission.roles),
        )


async def _companies(
    connection: AsyncConnection,
    permission: Permission,
    command: AnyCommand,
    companies_of: Mapping[type[Any], NamesOf],
) -> set[str]:
    """Return the billing companies that a command concerns; none: it concerns all."""
    if permission.companies == "named":
        return {command.billing_company}  # type: ignore[union-attr]
    if permission.companies == "looked-up":
        return set(await companies_of[type(command)](connection, command)) - {NOT_LIMITED}
    return set()


def _check_companies(
    permission: Permission, sender: Sender, command: AnyCommand, companies: set[str]
) -> None:
    allowed = set().union(*(sender.grants.get(role, ()) for role in permission.roles))
    # A grant for a billing company is one for its self-billing agreements, too.
    denied = {each for each in companies if not allowed & {each, buyer_of(each)}}
    if NOT_LIMITED in allowed or (companies and not denied):
        return
    about = listed(sorted(denied)) if companies else "all billing companies"
    raise Refused(
        "other_billing_company",
        f"{command.command} concerns {about}; {command.actor} may send it for"
        f" {listed(sorted(allowed))}",
        f"ask a {' or '.join(permission.roles)} of {about}",
        roles=list(permission.roles),
    )


def _check_four_eyes(command: AnyCommand, authors: Collection[str]) -> None:
    if command.actor in authors:
        raise Refused(
            "four_eyes",
            f"{command.actor} created or changed what {command.command} is about",
            "ask another person who may send it",
        )


def _instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")
