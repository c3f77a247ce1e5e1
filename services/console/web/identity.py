"""Who is signed in, and what his roles let a page offer.

The service that carries a command out decides; a page only leaves out what would be refused.
"""

from dataclasses import dataclass

from services.console.actions.commands import MODELS
from services.console.queries import access
from services.console.queries.snapshot import ReadConnection
from shared.errors import Refused
from shared.events.commands.permissions import permission_of

ALL_COMPANIES = ""
Grant = tuple[str, str]
"""A role, and its billing company or "" for all."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A person who is signed in. `grants`: roles, each with a billing company or "" for all.

    None where commands are open: there the services check no role.
    """

    person: str
    name: str
    grants: frozenset[Grant] | None

    @property
    def roles(self) -> str:
        """The roles for people to read."""
        if self.grants is None:
            return "all roles: commands are open here"
        named = sorted(f"{role} ({company})" if company else role for role, company in self.grants)
        return ", ".join(named) or "no role"

    @property
    def sees_all(self) -> bool:
        """Whether he may read what belongs to any billing company."""
        return self.sees(ALL_COMPANIES)

    def sees(self, billing_company: str) -> bool:
        """Whether he may read what belongs to a billing company."""
        return self.grants is None or any(
            company in (ALL_COMPANIES, billing_company) for _, company in self.grants
        )

    def has(self, *roles: str) -> bool:
        """Whether he has one of these roles for all billing companies."""
        return self.grants is None or any((role, ALL_COMPANIES) in self.grants for role in roles)

    def may(self, command: str, billing_company: str = ALL_COMPANIES) -> bool:
        """Whether a command of this name, for a billing company if it is about one, would pass."""
        permission = permission_of(MODELS[command])
        return self.grants is None or any(
            role in permission.roles and company in (ALL_COMPANIES, billing_company)
            for role, company in self.grants
        )

    def may_somewhere(self, command: str) -> bool:
        """Whether a command of this name would pass for at least one billing company."""
        permission = permission_of(MODELS[command])
        return self.grants is None or any(role in permission.roles for role, _ in self.grants)

    def who_may(self, command: str) -> str:
        """The roles that may send a command, for people to read."""
        return " or ".join(permission_of(MODELS[command]).roles)


async def identify(connection: ReadConnection, person: str, *, is_open: bool) -> Identity:
    """The identity of a person who is signed in. Refused for one who may do nothing here."""
    found = await access.person(connection, person)
    if is_open:
        return Identity(person, (found or {}).get("name") or person, None)
    if found is None or not found["enabled"] or not found["grants"]:
        state = "is not known" if found is None else "is disabled"
        raise Refused(
            "no_role",
            f"{person} {state if not found or not found['enabled'] else 'has no role'} here",
            "ask an admin for a role (`backoffice people set`)",
        )
    return Identity(person, found["name"] or person, frozenset(found["grants"]))
