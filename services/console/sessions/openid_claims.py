"""What the claims of an OpenID provider say: who someone is, and which roles he has.

Sections named `Core` are of OpenID Connect Core 1.0.
"""

from collections.abc import Mapping
from typing import Any

from shared.errors import Refused
from shared.events.commands.permissions import ROLES

Grant = tuple[str, str]
"""A role, and its billing company or "" for all."""
MOST_GROUPS = 1_000
LONGEST = 200


def read_mapping(text: str) -> dict[str, set[Grant]]:
    """The roles of each value of the claim, from the setting: `staff=viewer,us=clerk:acme-us`.

    A value may be named several times. Raises `Refused` for what cannot be read.
    """
    found: dict[str, set[Grant]] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        value, equals, role = (each.strip() for each in part.rpartition("="))
        grant = read_grant(role)
        if not equals or not value or grant is None:
            raise Refused(
                "setting-unreadable",
                f"BACKOFFICE_OPENID_ROLES has {part!r}, which is not VALUE=ROLE[:COMPANY]",
                f"write it like finance=manager,us-desk=clerk:acme-us; roles: {', '.join(ROLES)}",
            )
        found.setdefault(value, set()).add(grant)
    return found


def read_grant(text: str) -> Grant | None:
    """`ROLE` or `ROLE:COMPANY` as a grant; None if it names no role."""
    role, colon, company = text.partition(":")
    return (role, company) if role in ROLES and bool(colon) == bool(company) else None


def claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name, or by the names that lead to it (`realm_access.roles`); None if there
    is none.
    """
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def person_of(claims: Mapping[str, Any], name: str) -> str:
    """The name of a person in commands and people. Raises `Refused` without a usable one.

    An e-mail address counts only if the provider has verified it (Core 5.1, 5.7): else anybody
    could give himself the address of another person.
    """
    found = claim(claims, name)
    if not isinstance(found, str) or not 0 < len(found.strip()) <= LONGEST:
        raise Refused(
            "openid_no_person",
            f"the provider sent no claim {name} of text",
            "have the provider send it, or name another one in BACKOFFICE_OPENID_PERSON_CLAIM;"
            " claims may need a scope of BACKOFFICE_OPENID_SCOPES",
        )
    if name == "email" and claims.get("email_verified") is not True:
        raise Refused(
            "openid_email_unverified",
            f"the provider has not verified the address {found}",
            "verify it there (claim email_verified), or name another claim in"
            " BACKOFFICE_OPENID_PERSON_CLAIM",
        )
    return found.strip()


def grants_of(
    claims: Mapping[str, Any], name: str, mapping: Mapping[str, set[Grant]]
) -> set[Grant]:
    """The roles that a claim gives: by the mapping, or without one by values in the form
    `ROLE` or `ROLE:COMPANY`. Other values give none.
    """
    found = claim(claims, name)
    values = found.split() if isinstance(found, str) else found if isinstance(found, list) else []
    texts = [each for each in values[:MOST_GROUPS] if isinstance(each, str)]
    if mapping:
        return {grant for each in texts for grant in mapping.get(each, ())}
    return {grant for each in texts if (grant := read_grant(each)) is not None}
