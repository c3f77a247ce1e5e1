"""The names of workers, as documents print them."""

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import insert_rows, kinds_of, run

WORKER = kinds_of(
    "worker_id text, worker_name text, named_on date, revision bigint, source_id text"
)


class NamedWorker(NamedTuple):
    """The name of a worker in a revision of a timesheet or placement.

    `named_on`: its week ending or start date.
    """

    worker_id: str
    worker_name: str
    named_on: date
    revision: int
    source_id: str

    @property
    def age(self) -> tuple[date, int, str]:
        """What decides which of two names is newer, whatever order they arrive in."""
        return self.named_on, self.revision, self.source_id


async def save_names(connection: AsyncConnection, named: Iterable[NamedWorker]) -> None:
    """Save the names that are newer than the stored ones, in the order of the workers' ids."""
    newest: dict[str, NamedWorker] = {}
    for one in sorted(named, key=lambda one: one.age):
        newest[one.worker_id] = one
    age = 'named_on, {0}.revision, {0}.source_id COLLATE "C"'
    assigned = ", ".join(f"{name} = excluded.{name}" for name in WORKER if name != "worker_id")
    await insert_rows(
        connection,
        "fee_realizer.worker",
        WORKER,
        [newest[worker_id] for worker_id in sorted(newest)],
        on_conflict=f"ON CONFLICT (worker_id) DO UPDATE SET {assigned}"
        f" WHERE (excluded.{age.format('excluded')}) > (worker.{age.format('worker')})",
    )


async def remove_name(connection: AsyncConnection, worker_id: str) -> int:
    """Remove the name of a worker; return how many there were."""
    return await run(
        connection, "DELETE FROM fee_realizer.worker WHERE worker_id = :id", id=worker_id
    )
