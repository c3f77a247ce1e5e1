"""What approvals read and write besides the routing: roles of approvers, and rejected lines."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import rows, run


async def roles_of(connection: AsyncConnection, person: str, billing_company: str) -> set[str]:
    """Return the roles that a person or program has for a billing company."""
    found = await rows(
        connection,
        "SELECT role FROM invoicer.granted_role"
        " WHERE actor = :person AND billing_company IN ('', :company)",
        person=person,
        company=billing_company,
    )
    return {row.role for row in found}


async def is_disabled(connection: AsyncConnection, person: str) -> bool:
    """Return whether a person is known and disabled."""
    query = "SELECT 1 FROM invoicer.person WHERE person = :person AND NOT enabled"
    return bool(await rows(connection, query, person=person))


async def add_rejected(
    connection: AsyncConnection,
    draft_id: int,
    pay_line_ids: Iterable[int],
    actor: str,
    reason: str,
    at: datetime,
) -> None:
    """Hold open lines because the draft that they were on was rejected."""
    await run(
        connection,
        "INSERT INTO invoicer.rejected_line (pay_line_id, draft_id, actor, reason, rejected_at)"
        " SELECT id, :draft, :actor, :reason, :at FROM unnest(CAST(:ids AS bigint[])) AS g(id)"
        " ON CONFLICT (pay_line_id) DO UPDATE SET draft_id = excluded.draft_id,"
        " actor = excluded.actor, reason = excluded.reason, rejected_at = excluded.rejected_at",
        draft=draft_id,
        ids=sorted(pay_line_ids),
        actor=actor,
        reason=reason,
        at=at,
    )
