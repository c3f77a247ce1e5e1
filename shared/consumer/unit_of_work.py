"""The unit of work: one database transaction with its outbox, then the messages that it caused."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared import faults
from shared.broker.producer import OutgoingMessage, Producer
from shared.consumer import tables
from shared.consumer.records import Applied, OutboxId

OUTBOX_CHUNK = 50
READ_COMMITTED = "READ COMMITTED"

MessageBuilder = Callable[[AsyncConnection, Sequence[str]], Awaitable[list[OutgoingMessage]]]
"""Builds the messages of outbox entries of one kind from the stored rows with these ids."""
BackgroundJob = Callable[[AsyncConnection], Awaitable[Applied]]


@dataclass
class UnitOfWork:
    """What the transactions of one worker share.

    `published` has the outbox entries that are published but not yet deleted from the outbox.
    """

    service: str
    engine: AsyncEngine
    producer: Producer
    builders: Mapping[str, MessageBuilder]
    published: set[OutboxId] = field(default_factory=set)
    _deleting: set[OutboxId] = field(default_factory=set)

    async def build(
        self, connection: AsyncConnection, entries: Sequence[OutboxId]
    ) -> list[OutgoingMessage]:
        """Build the messages of outbox entries from the stored rows."""
        ids_by_kind: dict[str, list[str]] = {}
        for kind, an_id in entries:
            ids_by_kind.setdefault(kind, []).append(an_id)
        messages: list[OutgoingMessage] = []
        for kind, ids in ids_by_kind.items():
            if kind in tables.MESSAGE_BUILDERS:
                messages += await tables.MESSAGE_BUILDERS[kind](connection, self.service, ids)
            else:
                messages += await self.builders[kind](connection, ids)
        return messages

    async def transact(
        self,
        work: Callable[[AsyncConnection], Awaitable[Applied]],
        isolation: str = READ_COMMITTED,
    ) -> Applied:
        """Run `work` in a transaction, commit it, and publish the messages that it recorded.

        Every change that has messages goes this way. (A delivery also claims and releases rows
        of its own without any.)
        """
        await faults.point("before_transaction")
        # Concurrent transactions delete different entries. Otherwise a short one would wait for
        # the row locks of a long one. At REPEATABLE READ a delete would fail on an entry that
        # another transaction changed. An entry that this transaction adds again must stay.
        deleting = self.published - self._deleting if isolation == READ_COMMITTED else set()
        self._deleting |= deleting
        try:
            async with self.engine.connect() as connection, connection.begin():
                if isolation != READ_COMMITTED:
                    await connection.execute(text(f"SET TRANSACTION ISOLATION LEVEL {isolation}"))
                applied = await work(connection)
                await faults.point("inside_transaction")
                applied.publish_now += await tables.add_dead_letters(
                    connection, self.service, applied.rejected
                )
                added = [*applied.publish_now, *applied.publish_after]
                await tables.update_outbox(
                    connection, self.service, added, deleting.difference(added)
                )
                messages = [message for built in applied.prebuilt.values() for message in built]
                messages += await self.build(
                    connection,
                    [entry for entry in applied.publish_now if entry not in applied.prebuilt],
                )
                await faults.point("before_commit")
            self.published -= deleting
        finally:
            self._deleting -= deleting
        await faults.point("after_commit")
        await self._publish(messages, applied.publish_now)
        await faults.point("after_publish")
        await self.publish_pending(applied.publish_after)
        return applied

    async def publish_pending(self, entries: Sequence[OutboxId]) -> int:
        """Publish stored outbox entries; return the number of messages.

        It reads them in chunks, because one entry may stand for many messages.
        """
        published = 0
        for start in range(0, len(entries), OUTBOX_CHUNK):
            chunk = entries[start : start + OUTBOX_CHUNK]
            async with self.engine.connect() as connection:
                messages = await self.build(connection, chunk)
            await self._publish(messages, chunk)
            published += len(messages)
        return published

    async def _publish(
        self, messages: Sequence[OutgoingMessage], entries: Sequence[OutboxId]
    ) -> None:
        await self.producer.publish(messages)
        self.published.update(entries)
