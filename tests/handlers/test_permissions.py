"""Every role tries every command at the real services; the field's table says who may."""

import json
from collections.abc import Mapping
from importlib import import_module
from typing import Any, get_args

import pytest

from shared.events.commands import OPERATOR_COMMAND, AddCharge, AnyCommand, SetAssignment
from shared.events.commands.permissions import PERMISSIONS, ROLES, permission_of
from tests.conftest import Configure, EngineOf, UnitOfWorkFor, process
from tests.contracts.examples import COMMANDS
from tests.contracts.generate import SERVICES
from tests.signed import Senders, signed

MAY: Mapping[str, str] = {
    "viewer": "",
    "approver": "approve-draft reject-draft reassign-draft",
    "clerk": "snooze-pay-lines release-pay-lines edit-pay-line retry-document record-download"
    " preview-batch health-check add-charge poll-ledger record-bounces hold-reminders"
    " record-payment apply-payment unapply-payment reverse-payment apply-credit create-drafts"
    " remove-draft-line cancel-draft regenerate-draft combine-drafts record-supplier-number"
    " open-dispute",
    "manager": "snooze-pay-lines release-pay-lines edit-pay-line retry-document record-download"
    " preview-batch health-check add-charge poll-ledger generate-batch retry-parked"
    " credit-invoice set-bill-rate confirm-rates set-catalog-item set-time-group"
    " set-assignment end-assignment confirm-assignment settle-retainer"
    " load-opening-documents set-opening-number set-debtor-terms sync-batch retry-delivery"
    " resync-delivery adopt-delivery mark-posted send-batch send-invoice decide-mail"
    " record-bounces record-payment apply-payment unapply-payment reverse-payment apply-credit"
    " record-refund set-reminders hold-reminders send-reminder set-invoice-option"
    " set-country-grouping set-workflow create-drafts remove-draft-line cancel-draft"
    " regenerate-draft combine-drafts finalize-drafts record-supplier-number set-fee set-fee-tiers"
    " set-opening-volume open-dispute resolve-dispute",
    "controller": "reconcile",
    "admin": "set-billing-company set-self-billing-agreement connect-ledger test-ledger"
    " disconnect-ledger import-mapping"
    " replay-dead-letter discard-dead-letter republish skip-records resume-consumer set-person"
    " add-key rotate-key disable-key forget-worker rotate-ledger-key set-mail-account",
}
"""Who may do what, by the roles of the field; written apart from the table of the product."""
QUESTIONS = ["explain", "explain-option", "rates-impact", "list-batch-groups", "what-if"]
"""What every role may: reading."""
COMPANY, OTHER = "acme-us", "acme-eu"


def dispatcher_of(service: str) -> Any:
    """The dispatcher of a service."""
    module = "subscriptions" if service == "arg_sync" else "app"
    if service == "scheduler":
        module = "due_lines.handlers"
    return import_module(f"services.{service}.{module}").DISPATCHER


def command_of(name: str, actor: str, company: str = COMPANY) -> AnyCommand:
    """An example of a command by an actor, about a billing company."""
    body = COMMANDS[name] | {"command": name, "actor": actor, "reason": "test"}
    body |= {"command_id": f"{name} {actor} {company}"}
    if "billing_company" in body:
        body["billing_company"] = company
    return OPERATOR_COMMAND.validate_json(json.dumps(body))


def test_no_command_is_missing() -> None:
    """Each command has a row; one with ids can be looked up; one that names a company has it."""
    models = set(get_args(AnyCommand))
    assert set(PERMISSIONS) == models
    looked_up = set()
    for service in SERVICES:
        dispatcher = dispatcher_of(service)
        looked_up |= set(dispatcher.companies_of)
    for model in models:
        companies = permission_of(model).companies
        assert (companies == "looked-up") == (model in looked_up), model
        named = "billing_company" in model.model_fields
        assert (companies == "named") == (named and model not in (AddCharge, SetAssignment)), model
        ids = {"ledger", "requirement_id", "document_id", "pay_line_id"} & set(model.model_fields)
        assert companies != "all" or not ids or model.__name__ == "Republish", model


@pytest.mark.parametrize("service", SERVICES)
async def test_every_role_tries_every_command(
    service: str, engine_of: EngineOf, unit_of_work_for: UnitOfWorkFor, configure: Configure
) -> None:
    """A role too low is refused and told which role may; another billing company is refused."""
    configure(commands="signed")
    senders = Senders(engine_of("owner"))
    console = await senders.add_program("console", asserts_actors=True)
    for role in ROLES:
        await senders.add_person(role, (role, ""))
        await senders.add_person(f"{role} of another", (role, OTHER))
    await senders.change(
        "INSERT INTO fee_realizer.requirement (requirement_id, known, billing_company)"
        " VALUES ('REQ-1', true, :company)",
        company=COMPANY,
    )
    await senders.change(
        "INSERT INTO fee_realizer.assignment (assignment_id, billing_company)"
        " VALUES ('RENT-1', :company)",
        company=COMPANY,
    )
    await senders.change(
        "INSERT INTO fee_realizer.assignment_version VALUES"
        " ('RENT-1', 1, '2026-01-01', NULL, NULL, NULL, 'jane', '', 'c-1')"
    )
    dispatcher = dispatcher_of(service)
    unit_of_work = unit_of_work_for(
        service, dict(import_module(f"services.{service}.app").service().builders)
    )
    tried = 0
    for name in COMMANDS:
        for role in ROLES:
            for actor in (role, f"{role} of another"):
                command = command_of(name, actor)
                if command.owner != service:
                    continue
                record = signed(console, command, actor=actor)
                await process(unit_of_work, dispatcher.subscription(), [record])
                answer = _answer(unit_of_work, command.command_id)
                code = answer.get("code", "held")
                allowed = name in MAY[role].split() or name in QUESTIONS
                if not allowed:
                    assert code == "not_permitted", (name, actor, answer)
                    assert answer["details"]["roles"], name
                elif actor != role:
                    assert code == "other_billing_company", (name, actor, answer)
                else:
                    assert code not in ("not_permitted", "other_billing_company"), (name, answer)
                tried += 1
    assert tried or service == "scheduler"


def _answer(unit_of_work: Any, command_id: str) -> dict[str, Any]:
    """What was answered to a command; nothing if it is held."""
    said = unit_of_work.producer.published
    answers = [json.loads(one.value) for one in said if one.topic == "command-results"]
    said.clear()
    return next((one for one in answers if one["command_id"] == command_id), {})
