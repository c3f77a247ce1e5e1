"""The invoicer as a FastStream application: its parts, connected.

`python -m services.invoicer.app` or `faststream run services.invoicer.app:app` runs it.
"""

import time
from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.access import handlers as access
from services.invoicer.approvals import handlers as approvals
from services.invoicer.batches.handlers import batches
from services.invoicer.credits import handlers as credits
from services.invoicer.debtors.handlers import billto, terms
from services.invoicer.disputes import handlers as disputes
from services.invoicer.drafts.handlers import changing, creating, finalizing
from services.invoicer.drafts.handlers.redrafting import redrafting, redrafting_subscription
from services.invoicer.fees import handlers as fees
from services.invoicer.invoices.handlers import record_download
from services.invoicer.invoices.handlers.republish import on_republish
from services.invoicer.invoices.store.closing import forget_worker
from services.invoicer.invoices.store.messages import MESSAGE_BUILDERS
from services.invoicer.lines.store import figures
from services.invoicer.opening import handlers as opening
from services.invoicer.options import handlers as options
from services.invoicer.payments.handlers import commands as payments
from services.invoicer.payments.handlers import read_back
from services.invoicer.payments.handlers.freeing import freeing
from services.invoicer.questions.handlers import explain, explain_option, groups, what_if
from services.invoicer.self_billing import handlers as self_billing
from services.invoicer.settlement.handlers import pay_lines, realizations
from services.invoicer.workflows import handlers as workflows
from shared import clock, telemetry
from shared.consumer.application import build_app, run_app
from shared.consumer.commands import CommandDispatcher
from shared.consumer.processing import Subscription
from shared.consumer.worker import Service
from shared.events.commands import ApproveDraft, Explain, ExplainOption

NAME = "invoicer"
COLLECT_EVERY_SECONDS = 15.0
COLLECT_PAUSE_FACTOR = 20
"""Reading a million open lines takes a second: the next collection waits that many times longer."""


def subscriptions() -> Mapping[str, Subscription]:
    """Return what the invoicer consumes, by topic."""
    return {
        subscription.topic: subscription
        for subscription in (
            billto.SUBSCRIPTION,
            redrafting_subscription(realizations.SUBSCRIPTION),
            read_back.SUBSCRIPTION,
            DISPATCHER.subscription(),
        )
    }


DISPATCHER = CommandDispatcher(
    service=NAME,
    handlers={
        **redrafting(pay_lines.HANDLERS),
        **changing.HANDLERS,
        **freeing(
            {
                **batches.HANDLERS,
                **creating.HANDLERS,
                **finalizing.HANDLERS,
                **redrafting({**credits.HANDLERS, **disputes.HANDLERS}),
                **opening.HANDLERS,
            }
        ),
        **payments.HANDLERS,
        **terms.HANDLERS,
        **options.HANDLERS,
        **workflows.HANDLERS,
        **self_billing.HANDLERS,
        **approvals.HANDLERS,
        **fees.HANDLERS,
        **groups.HANDLERS,
        **what_if.HANDLERS,
        **explain.HANDLERS,
        **explain_option.HANDLERS,
        **record_download.HANDLERS,
        **access.HANDLERS,
    },
    subscriptions=subscriptions,
    republish=on_republish,
    forget=forget_worker,
    snapshot=batches.SNAPSHOT
    | groups.SNAPSHOT
    | what_if.SNAPSHOT
    | explain.SNAPSHOT
    | explain_option.SNAPSHOT,
    companies_of={
        Explain: explain.companies_of,
        ExplainOption: explain_option.companies_of,
        **dict.fromkeys(approvals.HANDLERS, approvals.companies_of),
    },
    authors_of={ApproveDraft: approvals.authors_of},
)


class InvoicerMetrics:
    """Collects the invoicer's own metrics from time to time: pending lines and closed documents."""

    def __init__(self) -> None:
        self._next_at = 0.0

    async def __call__(self, connection: AsyncConnection) -> None:
        """Collect the metrics if the pause since the last collection is over."""
        began = time.monotonic()
        if began < self._next_at:
            return
        days = {
            company: clock.today_of(zone)
            for company, zone in (await figures.zones(connection)).items()
        }
        open_figures = await figures.open_figures(connection, days, clock.today_of("UTC"))
        telemetry.PAY_LINES.clear()
        telemetry.PENDING_AMOUNT.clear()
        for company, line_kind, currency, status, lines, amount in open_figures:
            telemetry.PAY_LINES.labels(company, status).inc(lines)
            if status == "Pending":  # a gauge is a float
                telemetry.PENDING_AMOUNT.labels(company, line_kind, currency).inc(float(amount))
        for company, document_type, documents in await figures.document_figures(connection):
            telemetry.INVOICES.labels(company, document_type).set(documents)
        took = time.monotonic() - began
        self._next_at = time.monotonic() + max(COLLECT_EVERY_SECONDS, took * COLLECT_PAUSE_FACTOR)


def service() -> Service:
    """The invoicer as a worker runs it."""
    return Service(
        name=NAME,
        subscriptions=list(subscriptions().values()),
        builders=MESSAGE_BUILDERS,
        collect_metrics=InvoicerMetrics(),
        description="What goes on which invoice: settles realizations, carries out commands, "
        "generates and closes batches.",
    )


app = build_app(service())

if __name__ == "__main__":
    run_app(app)
