"""Commands about who may act: people, programs with keys, and their roles."""

from typing import Annotated, Literal

from pydantic import Field

from shared.events.commands.base import InvoicerCommand, Role
from shared.events.field_types import Identifier, Message, Name

GRANTS_AT_MOST = 100
COMPANIES_AT_MOST = 1_000
HOURS_AT_MOST = 24 * 90


class RoleGrant(Message):
    """A role, limited to billing companies; none named: for all of them."""

    role: Role
    billing_companies: Annotated[
        tuple[Identifier, ...], Field(strict=False, max_length=COMPANIES_AT_MOST)
    ] = ()


Grants = Annotated[tuple[RoleGrant, ...], Field(strict=False, max_length=GRANTS_AT_MOST)]
PublicKey = Annotated[str, Field(pattern="^[A-Za-z0-9_-]{43}$")]
"""A public Ed25519 key: 32 bytes in base64url without padding."""


class SetPerson(InvoicerCommand):
    """Add or change a person: the roles given replace the earlier ones.

    `enabled`: false takes every right away and keeps the person on record.
    """

    command: Literal["set-person"] = "set-person"
    person: Identifier
    name: Name | None = None
    roles: Grants = ()
    enabled: bool = True


class AddKey(InvoicerCommand):
    """Add a program with its first key. Only the public key is sent.

    `asserts_actors`: its signatures may name people as actors, whose own roles then count.
    """

    command: Literal["add-key"] = "add-key"
    program: Identifier
    public_key: PublicKey
    roles: Grants = ()
    asserts_actors: bool = False


class RotateKey(InvoicerCommand):
    """Give a program a new key; the old ones end after `keep_old_hours`."""

    command: Literal["rotate-key"] = "rotate-key"
    program: Identifier
    public_key: PublicKey
    keep_old_hours: Annotated[int, Field(ge=0, le=HOURS_AT_MOST)] = 0


class DisableKey(InvoicerCommand):
    """Disable all keys of a program, or the one named; needs a reason.

    Commands that it signed and that are not carried out yet are refused.
    """

    command: Literal["disable-key"] = "disable-key"
    program: Identifier
    key_id: Identifier | None = None
