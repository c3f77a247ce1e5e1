"""The invoicer as a FastStream application: its parts, connected.

`python -m services.invoicer.app` or `faststream run services.invoicer.app:app` runs it.
"""

import time
from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.handlers import (
    batches,
    billto,
    credits,
    groups,
    lines,
    parked,
    payments,
    statements,
    terms,
    what_if,
)
from services.invoicer.handlers.again import on_republish
from services.invoicer.store import figures
from shared import clock, telemetry
from shared.consumer.application import build_app, run_app
from shared.consumer.commands import CommandDispatcher
from shared.consumer.protocol import Subscription
from shared.consumer.worker import Service

NAME = "invoicer"
LOOK_EVERY_SECONDS = 15.0
REST = 20
"""Reading a million open lines takes a second: the next look waits so many times as long."""


def heard() -> Mapping[str, Subscription]:
    """What the invoicer consumes, by topic."""
    return {
        subscription.topic: subscription
        for subscription in (
            billto.SUBSCRIPTION,
            statements.SUBSCRIPTION,
            payments.SUBSCRIPTION,
            DISPATCHER.subscription(),
        )
    }


DISPATCHER = CommandDispatcher(
    service=NAME,
    handlers={
        **lines.HANDLERS,
        **batches.HANDLERS,
        **credits.HANDLERS,
        **terms.HANDLERS,
        **groups.HANDLERS,
        **parked.HANDLERS,
        **what_if.HANDLERS,
    },
    subscriptions=heard,
    republish=on_republish,
    snapshot=batches.SNAPSHOT | groups.SNAPSHOT | what_if.SNAPSHOT,
)


class Watch:
    """Fills the invoicer's own metrics now and then: pending lines and closed documents."""

    def __init__(self) -> None:
        self._next_at = 0.0

    async def __call__(self, connection: AsyncConnection) -> None:
        """One look, if it is time."""
        began = time.monotonic()
        if began < self._next_at:
            return
        days = {
            company: clock.today_of(zone)
            for company, zone in (await figures.zones(connection)).items()
        }
        found = await figures.open_figures(connection, days, clock.today_of("UTC"))
        telemetry.PAY_LINES.clear()
        telemetry.PENDING_AMOUNT.clear()
        for one in found:
            telemetry.PAY_LINES.labels(one.billing_company, one.status).inc(one.lines)
            if one.status == "Pending":
                telemetry.PENDING_AMOUNT.labels(
                    one.billing_company, one.line_kind, one.currency
                ).inc(float(one.amount))  # a gauge knows no decimals
        for (company, document_type), documents in (
            await figures.document_figures(connection)
        ).items():
            telemetry.INVOICES.labels(company, document_type).set(documents)
        took = time.monotonic() - began
        self._next_at = time.monotonic() + max(LOOK_EVERY_SECONDS, took * REST)


def service() -> Service:
    """The invoicer as a worker runs it."""
    return Service(
        name=NAME,
        subscriptions=list(heard().values()),
        builders=batches.MESSAGE_BUILDERS,
        collect_metrics=Watch(),
        description="What goes on which invoice: settles statements, answers operators, generates"
        " and closes batches.",
    )


app = build_app(service())

if __name__ == "__main__":
    run_app(app)
