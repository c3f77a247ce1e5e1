"""Results of commands, by the id of the command."""

from services.console.queries.snapshot import ReadConnection, Row, fetch
from shared.events.commands.base import ServiceName
from shared.stored import as_json


async def command_result(
    connection: ReadConnection, service: ServiceName, command_id: str
) -> Row | None:
    """The result of a command as its service published it, with `command_id`, `outcome`, `code`,
    `message`, `fix`, `details` and `findings`, and who sent it; None while there is none.

    A command that was refused because of its signature or a role may be sent again, so an answer
    to it counts more than such a refusal.
    """
    rows = await fetch(
        connection,
        f"SELECT 1 AS place, actor, result, answered_at FROM {service}.console_command"
        " WHERE command_id = :id UNION ALL (SELECT 2, actor, result, answered_at"
        f" FROM {service}.console_refused_command WHERE command_id = :id"
        " ORDER BY answered_at DESC LIMIT 1) ORDER BY place LIMIT 1",
        id=command_id,
    )
    if not rows:
        return None
    (row,) = rows
    return dict(as_json(row["result"])) | {name: row[name] for name in ("actor", "answered_at")}


async def command_results(
    connection: ReadConnection, service: ServiceName, command_ids: list[str]
) -> dict[str, Row]:
    """The results of many commands of a service, by command id; those without one are left out."""
    rows = await fetch(
        connection,
        "SELECT DISTINCT ON (command_id) command_id, result FROM ("
        f"SELECT 1 AS place, command_id, result, answered_at FROM {service}.console_command"
        " WHERE command_id = ANY(CAST(:ids AS text[]))"
        f" UNION ALL SELECT 2, command_id, result, answered_at"
        f" FROM {service}.console_refused_command WHERE command_id = ANY(CAST(:ids AS text[]))"
        ") found ORDER BY command_id, place, answered_at DESC",
        ids=command_ids,
    )
    return {row["command_id"]: dict(as_json(row["result"])) for row in rows}
