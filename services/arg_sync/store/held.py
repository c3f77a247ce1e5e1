"""Commands about batches that we have not heard of: kept until the batch is there, or their time is over."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import rows, run


async def hold(connection: AsyncConnection, command_id: str, body: str) -> None:
    """Keeps a command; the same again changes nothing."""
    await run(
        connection,
        "INSERT INTO arg_sync.held_command (command_id, body, held_at) VALUES (:id, CAST(:body AS jsonb), now()) ON CONFLICT DO NOTHING",
        id=command_id,
        body=body,
    )


async def ripe(connection: AsyncConnection, minutes: int) -> list[Any]:
    """Held commands whose batch is there by now, or whose time, so many minutes, is over."""
    return await rows(
        connection,
        "SELECT command_id, body FROM arg_sync.held_command h"
        " WHERE held_at < now() - make_interval(mins => :minutes)"
        " OR EXISTS (SELECT FROM invoicer.closed_invoice i WHERE i.batch_id = h.body ->> 'batch_id') ORDER BY held_at LIMIT 50",
        minutes=minutes,
    )


async def let_go(connection: AsyncConnection, command_id: str) -> bool:
    """Takes a command from the held ones; False if another worker did."""
    return bool(
        await run(
            connection, "DELETE FROM arg_sync.held_command WHERE command_id = :id", id=command_id
        )
    )
