"""Whether something may be sent to a connection or over a mail account: its state and circuit."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.connections.rules import Circuit
from services.arg_sync.connections.store import FROM_NOW
from shared.database import rows, run

CIRCUIT_CLOSED = "coalesce(open_until <= clock_timestamp(), true)"
"""The SQL condition that the circuit is closed."""


@dataclass(frozen=True, slots=True)
class SendingStates:
    """The states of the rows of a table. `key`: the column with the name of a row. `usable`: the
    state in which something is sent.
    """

    table: str
    key: str
    usable: str

    async def may_send(self, connection: AsyncConnection, name: str, generation: int) -> bool:
        """Return whether it is usable and unchanged, and its circuit closed."""
        return bool(
            await rows(
                connection,
                f"SELECT generation FROM {self.table} WHERE {self.key} = :name"
                f" AND generation = :generation AND state = :usable AND {CIRCUIT_CLOSED}",
                name=name,
                generation=generation,
                usable=self.usable,
            )
        )

    async def set_state(
        self, connection: AsyncConnection, name: str, state: str, message: str = ""
    ) -> None:
        """Set the state; with a message if nothing is sent in it."""
        await run(
            connection,
            f"UPDATE {self.table} SET state = :state, message = :message WHERE {self.key} = :name",
            name=name,
            state=state,
            message=message,
        )

    async def set_circuit(
        self, connection: AsyncConnection, name: str, circuit: Circuit, message: str
    ) -> None:
        """Store the failures and open the circuit; an open circuit never closes earlier."""
        await run(
            connection,
            f"UPDATE {self.table} SET failures = :failures, circuit_message = :message,"
            " open_until = CASE WHEN CAST(:seconds AS float8) > 0"
            f"   THEN greatest(open_until, {FROM_NOW}) ELSE open_until END"
            f" WHERE {self.key} = :name",
            name=name,
            failures=circuit.failures,
            seconds=circuit.open_seconds,
            message=message,
        )

    async def close_circuit(self, connection: AsyncConnection, name: str) -> None:
        """Close the circuit, because it works again."""
        await run(
            connection,
            f"UPDATE {self.table} SET failures = 0, open_until = NULL, circuit_message = ''"
            f" WHERE {self.key} = :name AND failures > 0",
            name=name,
        )
