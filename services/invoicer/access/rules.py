"""What may be said of people and programs: one name for one of them, and never without an admin."""

from collections.abc import Iterable

from shared.errors import Refused

ALL_COMPANIES = ""
Grant = tuple[str, str]
"""A role, and a billing company for which it holds; empty: all of them."""


def grants_of(roles: Iterable[tuple[str, Iterable[str]]]) -> set[Grant]:
    """Return the grants of roles, each with its billing companies; none: all of them."""
    return {
        (role, company)
        for role, companies in roles
        for company in (tuple(companies) or (ALL_COMPANIES,))
    }


def require_other_name(name: str, kind: str, taken: bool) -> None:
    """Refuse a name that a person and a program would share: the history tells them apart by it."""
    if taken:
        raise Refused("name_taken", f"{name} is the name of a {kind}", "take another name")


def require_admin(before: int, after: int) -> None:
    """Refuse to take the last key away with which an admin can act.

    The numbers are those of usable keys of admins, or of keys that may assert admins as actors.
    """
    if before and not after:
        raise Refused(
            "last_admin",
            "no one could add people or keys any more",
            "give another person or program the role admin first",
        )
