"""The fee_realizer as a FastStream application: its parts, connected.

`python -m services.fee_realizer.app` or `faststream run services.fee_realizer.app:app` runs it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.handlers import commands, pricing, rates
from services.fee_realizer.handlers.documents import on_placement_created, on_timesheet_approved
from services.fee_realizer.handlers.requirements import on_requirement_changed
from services.fee_realizer.store import announcements, statements
from shared import telemetry
from shared.broker.topics import PLACEMENT_CREATED, REQUIREMENT_CHANGED, TIMESHEET_APPROVED
from shared.consumer.application import build_app, run_app
from shared.consumer.commands import CommandDispatcher, Handle
from shared.consumer.protocol import BackgroundJob, MessageBuilder, Subscription
from shared.consumer.records import Applied, reader
from shared.consumer.worker import Service
from shared.events.ats import PlacementCreated, RequirementChanged, TimesheetApproved
from shared.events.commands import RetryDocument, SetBillingCompany, SetCatalogItem

NAME = "fee_realizer"
SUBSCRIPTIONS: tuple[Subscription, ...] = (
    Subscription(
        REQUIREMENT_CHANGED.name,
        reader(RequirementChanged, compacted=True),
        on_requirement_changed,
        RequirementChanged,
    ),
    Subscription(
        TIMESHEET_APPROVED.name, reader(TimesheetApproved), on_timesheet_approved, TimesheetApproved
    ),
    Subscription(
        PLACEMENT_CREATED.name, reader(PlacementCreated), on_placement_created, PlacementCreated
    ),
)
HANDLERS: dict[type[Any], Handle] = {
    SetBillingCompany: commands.on_set_billing_company,
    SetCatalogItem: commands.on_set_catalog_item,
    RetryDocument: commands.on_retry_document,
    **rates.HANDLERS,
}
DISPATCHER = CommandDispatcher(
    NAME,
    HANDLERS,
    lambda: {subscription.topic: subscription for subscription in SUBSCRIPTIONS},
    commands.on_republish,
    frozenset({"rates-impact"}),
)
MESSAGE_BUILDERS: dict[str, MessageBuilder] = {
    announcements.STATEMENTS: announcements.statement_messages,
    announcements.HELD: partial(announcements.hold_messages, held=True),
    announcements.RELEASED: partial(announcements.hold_messages, held=False),
}


def retry_bugs_once() -> Callable[[AsyncConnection], Any]:
    """A job that works once in a process: a new version may have fixed the rule that failed."""
    done = False

    async def retry_bugs(connection: AsyncConnection) -> Applied:
        nonlocal done
        if not done:
            await statements.queue_held(connection, "new-version", code=pricing.BUG.code)
        done = True
        return Applied()

    return retry_bugs


def jobs() -> Sequence[tuple[str, BackgroundJob]]:
    """The jobs that need no message, in this order."""
    return (
        ("retry-bugs", retry_bugs_once()),
        ("price-due", pricing.price_due),
        ("price-stale", pricing.price_stale),
    )


_shown: set[str] = set()


async def collect_metrics(connection: AsyncConnection) -> None:
    """Counts the held documents by code; a code that holds none any more goes back to 0."""
    counts = await statements.held_counts(connection)
    _shown.update(counts)
    for code in _shown:
        telemetry.HELD_DOCUMENTS.labels(code).set(counts.get(code, 0))


def service() -> Service:
    """The worker's parts."""
    return Service(
        NAME,
        (*SUBSCRIPTIONS, DISPATCHER.subscription()),
        MESSAGE_BUILDERS,
        jobs(),
        collect_metrics,
        description="What a document is worth: prices timesheets and placements, holds what waits"
        " for a fact.",
    )


app = build_app(service())

if __name__ == "__main__":
    run_app(app)
