"""The fee_realizer as a FastStream application: its parts, connected.

`python -m services.fee_realizer.app` or `faststream run services.fee_realizer.app:app` runs it.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.agreements.handlers import on_set_self_billing_agreement
from services.fee_realizer.assignments.handlers import commands as assignments
from services.fee_realizer.assignments.handlers.realizing import realize_occurrences
from services.fee_realizer.catalog.handlers import on_set_catalog_item
from services.fee_realizer.companies.handlers import on_set_billing_company, record_today_once
from services.fee_realizer.engagements.handlers import on_engagement_changed, on_supplier_changed
from services.fee_realizer.rates import handlers as rates
from services.fee_realizer.sources.handlers import commands, personal_data, pricing
from services.fee_realizer.sources.handlers.arrivals import (
    on_charge_added,
    on_placement_created,
    on_requirement_changed,
    on_timesheet_approved,
)
from services.fee_realizer.sources.store import messages, realizations
from shared import telemetry
from shared.broker.topics import (
    CHARGE_ADDED,
    ENGAGEMENT_CHANGED,
    PLACEMENT_CREATED,
    REQUIREMENT_CHANGED,
    SUPPLIER_CHANGED,
    TIMESHEET_APPROVED,
)
from shared.consumer.application import build_app, run_app
from shared.consumer.commands import CommandDispatcher, CommandHandler
from shared.consumer.processing import Subscription
from shared.consumer.records import reader
from shared.consumer.unit_of_work import BackgroundJob, MessageBuilder
from shared.consumer.worker import Service
from shared.events.ats import (
    ChargeAdded,
    EngagementChanged,
    PlacementCreated,
    RequirementChanged,
    SupplierChanged,
    TimesheetApproved,
)
from shared.events.commands import (
    AddCharge,
    ConfirmAssignment,
    ConfirmRates,
    EndAssignment,
    RatesImpact,
    RetryDocument,
    SetAssignment,
    SetBillingCompany,
    SetBillRate,
    SetCatalogItem,
    SetSelfBillingAgreement,
    SettleRetainer,
)

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
    Subscription(CHARGE_ADDED.name, reader(ChargeAdded), on_charge_added, ChargeAdded),
    Subscription(
        ENGAGEMENT_CHANGED.name,
        reader(EngagementChanged, compacted=True),
        on_engagement_changed,
        EngagementChanged,
    ),
    Subscription(
        SUPPLIER_CHANGED.name,
        reader(SupplierChanged, compacted=True),
        on_supplier_changed,
        SupplierChanged,
    ),
)
HANDLERS: dict[type[Any], CommandHandler] = {
    SetBillingCompany: on_set_billing_company,
    SetSelfBillingAgreement: on_set_self_billing_agreement,
    SetCatalogItem: on_set_catalog_item,
    AddCharge: commands.on_add_charge,
    SetAssignment: assignments.on_set_assignment,
    EndAssignment: assignments.on_end_assignment,
    ConfirmAssignment: assignments.on_confirm_assignment,
    SettleRetainer: commands.on_settle_retainer,
    SetBillRate: rates.on_set_bill_rate,
    RatesImpact: rates.on_rates_impact,
    ConfirmRates: rates.on_confirm_rates,
    RetryDocument: commands.on_retry_document,
}
DISPATCHER: CommandDispatcher = CommandDispatcher(
    NAME,
    HANDLERS,
    lambda: {each.topic: each for each in (*SUBSCRIPTIONS, DISPATCHER.subscription())},
    commands.on_republish,
    forget=personal_data.forget_worker,
    snapshot=frozenset({"rates-impact"}),
    companies_of={
        **dict.fromkeys((SetBillRate, ConfirmRates, RatesImpact), rates.companies_of),
        **dict.fromkeys(
            (SetAssignment, EndAssignment, ConfirmAssignment), assignments.companies_of
        ),
        RetryDocument: commands.companies_of,
        AddCharge: commands.companies_of_charge,
        SettleRetainer: commands.companies_of_retainer,
    },
)
MESSAGE_BUILDERS: dict[str, MessageBuilder] = {
    messages.REALIZATIONS: messages.realization_messages,
    messages.HELD: partial(messages.hold_messages, held=True),
    messages.RELEASED: partial(messages.hold_messages, held=False),
}


def jobs() -> Sequence[tuple[str, BackgroundJob]]:
    """Return the background jobs, in the order in which they run."""
    return (
        ("record-today", record_today_once()),
        ("retry-errors", pricing.retry_errors_once()),
        ("realize-occurrences", realize_occurrences),
        ("price-queued", pricing.price_queued),
        ("price-stale", pricing.price_stale),
    )


_reported_codes: set[str] = set()


async def collect_metrics(connection: AsyncConnection) -> None:
    """Report held documents by code, and how many wait to be priced again and for how long.

    A code without documents returns to 0.
    """
    waiting, seconds = await realizations.documents_to_price(connection)
    telemetry.TO_PRICE.set(waiting)
    telemetry.TO_PRICE_AGE.set(seconds)
    counts = await realizations.held_counts(connection)
    _reported_codes.update(counts)
    for code in _reported_codes:
        telemetry.HELD_DOCUMENTS.labels(code).set(counts.get(code, 0))


def service() -> Service:
    """Return the parts of the worker."""
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
