"""The loop that delivers: finds connections with due deliveries or checks and runs each."""

from typing import ClassVar

from services.arg_sync.connections.handlers.adapters import OpenAdapter
from services.arg_sync.connections.handlers.checks import run_check
from services.arg_sync.connections.handlers.loops import ConnectionLoop
from services.arg_sync.connections.store import connections
from services.arg_sync.connections.store.connections import LedgerConnection
from services.arg_sync.deliveries.handlers.delivery_run import DeliveryRun
from services.arg_sync.deliveries.handlers.lease_holders import is_dead
from services.arg_sync.deliveries.rules.claiming import MARGIN_SECONDS
from services.arg_sync.deliveries.store import claims
from services.arg_sync.ledgers.registry import capabilities_of


class DeliveryLoop(ConnectionLoop):
    """Delivers documents and checks connections."""

    drain_seconds: ClassVar[float] = 40.0

    async def due(self) -> list[LedgerConnection]:
        """Return connections with a due delivery or a requested check."""
        async with self.unit_of_work.engine.connect() as connection:
            return await connections.connections_with_work(connection)

    async def work(self, ledger: LedgerConnection, open_adapter: OpenAdapter) -> None:
        """Check the connection if an operator asked for it, then deliver."""
        if ledger.check_requested_at is not None:
            spec = self.specs[ledger.kind]
            await run_check(self.unit_of_work.engine, ledger, open_adapter, spec)
        if ledger.state == "connected" and not ledger.circuit_open:
            await DeliveryRun(self, ledger, open_adapter).run()

    async def end_leases(self) -> None:
        """Let the deliveries of killed workers continue as soon as is safe."""
        engine = self.unit_of_work.engine
        async with engine.connect() as connection:
            holders = await claims.holders(connection)
        for ledger, holder in holders:
            if not is_dead(holder):
                continue
            async with engine.begin() as connection:
                known = await connections.connection_for(connection, ledger)
                if known is None or known.kind not in self.specs:
                    continue
                can = capabilities_of(self.specs[known.kind], known.settings)
                seconds = can.server_seconds + MARGIN_SECONDS
                await claims.shorten_leases(connection, ledger, holder, seconds)
