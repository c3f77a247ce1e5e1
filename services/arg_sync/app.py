"""arg_sync (AR/GL synchronisation) as a FastStream application: its parts, connected.

`python -m services.arg_sync.app` or `faststream run services.arg_sync.app:app` runs it.
"""

import asyncio
import logging
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync import subscriptions
from services.arg_sync.connections.handlers.commands import described
from services.arg_sync.connections.handlers.keys import publish_key
from services.arg_sync.connections.handlers.loops import ConnectionLoop, DueLoop
from services.arg_sync.connections.store import connections
from services.arg_sync.deliveries.handlers.delivery_loop import DeliveryLoop
from services.arg_sync.deliveries.handlers.lease_holders import holder_name
from services.arg_sync.deliveries.store import deliveries
from services.arg_sync.ledgers.registry import adapter_specs
from services.arg_sync.mail.handlers import reminders
from services.arg_sync.mail.handlers.mail_loop import MailLoop
from services.arg_sync.mail.store import mails
from services.arg_sync.payments.handlers.polling import PaymentLoop
from services.arg_sync.payments.handlers.webhooks import answer_webhook
from services.arg_sync.reconciliation.handlers import ReconciliationLoop
from shared import telemetry
from shared.consumer.application import build_app, run_app
from shared.consumer.records import Applied
from shared.consumer.unit_of_work import BackgroundJob
from shared.consumer.worker import Service, Worker
from shared.settings import settings

LOOP_SECONDS = 1.0
LOOPS: tuple[type[ConnectionLoop], ...] = (DeliveryLoop, PaymentLoop, ReconciliationLoop)


class Loop:
    """The worker's timer: starts due deliveries, polls, reconciliations and e-mails."""

    def __init__(self) -> None:
        self._loops: list[DueLoop[Any]] = []

    async def __call__(self, worker: Worker) -> None:
        """Start what is due, then pause."""
        if not self._loops:
            holder = holder_name(settings().replica)
            unit_of_work = worker.unit_of_work
            self._loops = [
                *(make(unit_of_work, adapter_specs(), holder) for make in LOOPS),
                MailLoop(unit_of_work, holder),
            ]
        for each in self._loops:
            await each.start_due_work()
        await asyncio.sleep(LOOP_SECONDS)

    async def drain(self) -> None:
        """End running work. The worker calls this after it cancelled its timers."""
        await asyncio.gather(*(each.drain() for each in self._loops))


def store_ledger_kinds() -> BackgroundJob:
    """Return a background job that stores once which ledger systems this version supports."""
    stored = False

    async def job(connection: AsyncConnection) -> Applied:
        nonlocal stored
        if not stored:
            kinds = [described(spec) for spec in adapter_specs().values()]
            await connections.put_ledger_kinds(connection, kinds)
            stored = True
        return Applied()

    return job


async def collect_metrics(connection: AsyncConnection) -> None:
    """Export the number of deliveries and e-mails by state, and the age of the oldest open one."""
    telemetry.DELIVERIES.clear()
    for ledger, state, number in await deliveries.count_by_state(connection):
        telemetry.DELIVERIES.labels(ledger, state).set(number)
    telemetry.OLDEST_UNSYNCED.set(float(await deliveries.oldest_open_seconds(connection)))
    telemetry.MAILS.clear()
    for company, state, number in await mails.count_by_state(connection):
        telemetry.MAILS.labels(company, state).set(number)
    telemetry.OLDEST_UNSENT.set(float(await mails.oldest_open_seconds(connection)))


def service() -> Service:
    """Return arg_sync as a worker runs it."""
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    loop = Loop()
    return Service(
        name=subscriptions.NAME,
        subscriptions=list(subscriptions.subscriptions().values()),
        builders=subscriptions.MESSAGE_BUILDERS,
        jobs=[
            ("kinds", store_ledger_kinds()),
            ("sealing key", publish_key()),
            ("held commands", subscriptions.answer_held),
            ("reminders", reminders.queue_due),
        ],
        collect_metrics=collect_metrics,
        timers=[loop],
        routes={"/webhooks/": answer_webhook},
        closings=[loop.drain],
        description="How documents reach the accounting systems and the debtors: delivers each"
        " closed document once, publishes the outcome, and sends documents by e-mail.",
    )


app = build_app(service())

if __name__ == "__main__":
    run_app(app)
