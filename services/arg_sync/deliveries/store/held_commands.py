"""Commands about a batch that is not closed yet: held until it is, or until the time limit."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import rows, run


async def hold(connection: AsyncConnection, command_id: str, body: str) -> None:
    """Hold a command; a repeat of it changes nothing."""
    await run(
        connection,
        "INSERT INTO arg_sync.held_command (command_id, body, held_at)"
        " VALUES (:id, CAST(:body AS jsonb), now()) ON CONFLICT DO NOTHING",
        id=command_id,
        body=body,
    )


async def ready_commands(connection: AsyncConnection, minutes: int) -> list[Any]:
    """Return held commands whose batch is closed, or that are older than these minutes."""
    return await rows(
        connection,
        "SELECT command_id, body FROM arg_sync.held_command h"
        " WHERE held_at < now() - make_interval(mins => :minutes)"
        " OR EXISTS (SELECT FROM invoicer.closed_invoice i"
        "   WHERE i.batch_id = h.body ->> 'batch_id') ORDER BY held_at LIMIT 50",
        minutes=minutes,
    )


async def release(connection: AsyncConnection, command_id: str) -> bool:
    """Delete a held command; False if another worker did."""
    return bool(
        await run(
            connection, "DELETE FROM arg_sync.held_command WHERE command_id = :id", id=command_id
        )
    )
