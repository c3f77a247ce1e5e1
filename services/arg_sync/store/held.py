"""Commands about batches that we have not heard of: kept until the batch is there, or their time is over."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import rows, run

PATIENCE_MINUTES = 15


async def hold(connection: AsyncConnection, command_id: str, body: str) -> None:
    """Keeps a command; the same again changes nothing."""
    await run(
        connection,
        "INSERT INTO arg_sync.held_command (command_id, body, held_at) VALUES (:id, CAST(:body AS jsonb), now()) ON CONFLICT DO NOTHING",
        id=command_id,
        body=body,
    )


async def ripe(connection: AsyncConnection) -> list[Any]:
    """Held commands whose batch is there by now, or whose time is over; locked, `too_late` says which."""
    return await rows(
        connection,
        "SELECT command_id, body, too_late FROM (SELECT h.*, held_at < now() - make_interval(mins => :minutes) AS too_late FROM arg_sync.held_command h) h"
        " WHERE too_late OR EXISTS (SELECT FROM invoicer.closed_invoice i WHERE i.batch_id = h.body ->> 'batch_id') ORDER BY held_at LIMIT 50",
        minutes=PATIENCE_MINUTES,
    )


async def let_go(connection: AsyncConnection, command_id: str) -> bool:
    """Takes a command from the held ones; False if another worker did."""
    return bool(await run(connection, "DELETE FROM arg_sync.held_command WHERE command_id = :id", id=command_id))
