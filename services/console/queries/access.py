"""People and programs that may send commands, with their roles."""

from services.console.queries.snapshot import ReadConnection, Row, fetch

ROLES = (
    "coalesce((SELECT string_agg(g.role || CASE g.billing_company WHEN '' THEN '' ELSE ':' ||"
    " g.billing_company END, ', ' ORDER BY g.role, g.billing_company)"
    " FROM invoicer.console_role_grant g WHERE g.actor = {actor}), '') AS roles"
)


async def audience(connection: ReadConnection) -> str:
    """Return the name of this installation in signatures."""
    (row,) = await fetch(connection, "SELECT audience FROM invoicer.console_installation")
    return str(row["audience"])


async def people(connection: ReadConnection) -> list[Row]:
    """Return people in the order of their names."""
    return await fetch(
        connection,
        f"SELECT person, name, enabled, {ROLES.format(actor='p.person')}, changed_by, changed_at"
        " FROM invoicer.console_person p ORDER BY person",
    )


async def person(connection: ReadConnection, name: str) -> Row | None:
    """One person with `enabled` and `grants` (role and billing company, "" for all of them); None
    if there is none of that name.
    """
    rows = await fetch(
        connection,
        "SELECT person, name, enabled FROM invoicer.console_person WHERE person = :person",
        person=name,
    )
    if not rows:
        return None
    grants = await fetch(
        connection,
        "SELECT role, billing_company FROM invoicer.console_role_grant WHERE actor = :person",
        person=name,
    )
    return rows[0] | {"grants": [(row["role"], row["billing_company"]) for row in grants]}


async def keys(connection: ReadConnection) -> list[Row]:
    """Return keys in the order of their programs, the newest of each first."""
    return await fetch(
        connection,
        "SELECT program, key_id, CASE WHEN disabled_at IS NOT NULL THEN 'disabled'"
        " WHEN valid_until <= now() THEN 'replaced' ELSE 'valid' END AS state,"
        f" {ROLES.format(actor='k.program')}, asserts_actors, added_by, added_at, valid_until,"
        " disabled_at, disabled_by, disabled_reason"
        " FROM invoicer.console_program_key k ORDER BY program, added_at DESC",
    )
