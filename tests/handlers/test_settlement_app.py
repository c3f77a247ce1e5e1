"""The invoicer's application: its topics, commands and metrics, and publishing again."""

import json

import pytest
from prometheus_client import generate_latest

from services.invoicer import app
from shared import telemetry
from shared.broker.topics import CONSUMED, OPERATOR_COMMANDS
from shared.events.commands import OWNERS
from tests.builders import COMPANY, command, product_line, realization, realization_line, record
from tests.conftest import Configure, EngineOf, UnitOfWorkFor, process
from tests.handlers.settled import Invoicer, invoicer


@pytest.fixture
def harness(unit_of_work_for: UnitOfWorkFor, engine_of: EngineOf, configure: Configure) -> Invoicer:
    """The invoicer's subscriptions; today is 2026-03-10."""
    configure(today="2026-03-10")
    return invoicer(unit_of_work_for, engine_of)


def test_the_invoicer_consumes_its_topics() -> None:
    """Each topic has its consumers; a topic without one would fill up unread."""
    subscriptions = app.service().subscriptions
    assert {subscription.topic for subscription in subscriptions} == {
        topic.name for topic in CONSUMED["invoicer"]
    }
    assert [
        subscription.one_by_one
        for subscription in subscriptions
        if subscription.topic == OPERATOR_COMMANDS.name
    ] == [True]


def test_each_of_its_commands_has_a_handler() -> None:
    """What the invoicer owns it answers."""
    answered = {kind.model_fields["command"].default for kind in app.DISPATCHER.handlers}  # type: ignore[attr-defined]
    assert {name for name, owner in OWNERS.items() if owner == "invoicer"} <= answered


async def test_what_is_pending_is_shown_by_status(harness: Invoicer, engine_of: EngineOf) -> None:
    """Pending counts open lines that are due and not snoozed, credits negative,
    per currency; Scheduled and Snoozed apart.
    """
    await harness.consume(
        realization(
            "T-1", 1, realization_line("40"), realization_line("2", "75.00", time_type="OT")
        ),
        realization("P-1", 1, product_line("10000.00", "2026-05-30")),
    )
    await harness.ask("snooze-pay-lines", pay_line_ids=[2])
    async with engine_of("invoicer").connect() as connection:
        await app.InvoicerMetrics()(connection)
    shown = generate_latest(telemetry.REGISTRY).decode()
    for status in ("Pending", "Snoozed", "Scheduled"):
        assert f'backoffice_pay_lines{{billing_company="{COMPANY}",status="{status}"}} 1.0' in shown
    assert (
        f'backoffice_pending_amount{{billing_company="{COMPANY}",currency="USD",kind="timesheet"}}'
        " 2000.0" in shown
    )


async def test_closed_documents_can_be_republished(
    harness: Invoicer, unit_of_work_for: UnitOfWorkFor
) -> None:
    """Republish publishes again on request, from the stored rows."""
    await harness.consume(realization("T-1", 1, realization_line("40")))
    invoice_id = await harness.invoice()
    again = unit_of_work_for("invoicer", dict(app.service().builders))
    asked = command("republish", service="invoicer", document_id="T-1")
    await process(again, app.DISPATCHER.subscription(), [record(OPERATOR_COMMANDS.name, asked)])
    said = {message.topic: json.loads(message.value) for message in again.producer.published}  # type: ignore[attr-defined]
    assert said["invoice-closed"]["invoice_id"] == invoice_id
    assert said["command-results"]["details"] == {"batch": 0, "invoice": 1}
    nothing = command("republish", service="invoicer", document_id="T-9")
    await process(again, app.DISPATCHER.subscription(), [record(OPERATOR_COMMANDS.name, nothing)])
    assert json.loads(again.producer.published[-1].value)["code"] == "nothing_to_say"  # type: ignore[attr-defined]
