"""Readable input never stops a worker: the strangest commands, and answers that list much.

Such a value has an effect, is refused with a message, is held, or is a dead letter; it is never an
unexpected error outside of the rules of a document.
"""

import json
from datetime import date, timedelta
from typing import Any

from shared.broker.topics import OPERATOR_COMMANDS
from shared.events.field_types import TEXT_LENGTH
from tests import builders
from tests.builders import COMPANY
from tests.handlers.extremes import observer, pipeline
from tests.in_process import Pipeline
from tests.running import Observer

__all__ = ["observer", "pipeline"]
HUGE = 10**30


def ask(kind: str, /, **values: Any) -> dict[str, Any]:
    """A command as JSON."""
    return {"command": kind, "actor": "pat", "reason": "a test"} | values


FAR = "2999-12-31"
COMMANDS = (
    ask("snooze-pay-lines", billing_company=COMPANY, pay_line_ids=[HUGE]),
    ask("snooze-pay-lines", billing_company=COMPANY, pay_line_ids=[-1, 0, 1], until=FAR),
    ask("release-pay-lines", billing_company=COMPANY, pay_line_ids=[2**63]),
    ask("edit-pay-line", billing_company=COMPANY, pay_line_id=HUGE, quantity="1"),
    ask("edit-pay-line", billing_company=COMPANY, pay_line_id=1, quantity="999999999999.9999"),
    ask("edit-pay-line", billing_company=COMPANY, pay_line_id=1, amount="-9999999999999999.9999"),
    ask("explain", pay_line_id=HUGE),
    ask("explain", document_id="NULL", cut_off_date="1970-01-01"),
    ask("explain"),
    ask("health-check", billing_company="nobody"),
    ask("health-check", billing_company=COMPANY, cut_off_date=FAR),
    ask("preview-batch", billing_company=COMPANY, cut_off_date=FAR),
    ask("preview-batch", billing_company=COMPANY, cut_off_date="1970-01-01"),
    ask("generate-batch", billing_company=COMPANY, cut_off_date="1970-01-01", first_number=10**17),
    ask("generate-batch", billing_company=COMPANY, cut_off_date=FAR, digest="\\x00' OR 1=1"),
    ask("generate-batch", billing_company=COMPANY, cut_off_date=FAR, invoice_date="1970-01-01"),
    ask("generate-batch", billing_company=COMPANY, cut_off_date=FAR, invoice_date=FAR),
    ask("record-download", billing_company=COMPANY, batch_id="NULL", file_format="csv"),
    ask("replay-dead-letter", service="invoicer", dead_letter_id=HUGE),
    ask("discard-dead-letter", service="fee_realizer", dead_letter_id=-HUGE),
    ask("republish", service="invoicer", since="1970-01-01"),
    ask("republish", service="fee_realizer", document_kind="timesheet", document_id="NULL"),
    ask("republish", service="arg_sync", since="1970-01-01"),
    ask("test-ledger", ledger="NULL"),
    ask("disconnect-ledger", ledger="\\x00' OR 1=1"),
    ask(
        "connect-ledger",
        ledger="{}",
        kind="tryton",
        billing_company="nobody",
        settings={"base_url": "file:///etc/passwd"},
        sealed_secrets="?",
    ),
    ask("import-mapping", ledger="x" * 200, rows=[{"what": "tax", "code": "", "remote": ""}]),
    ask("retry-delivery", ledger="NULL", invoice_number="x" * 200),
    ask("adopt-delivery", ledger="NULL", invoice_number="1", remote_id="-1"),
    ask("reconcile", ledger="NULL"),
    ask(
        "set-time-group",
        time_group="x" * 200,
        cycle="custom",
        periods=[{"first_day": "1970-01-01", "last_day": FAR}],
    ),
    ask("set-time-group", time_group="\u00e9", cycle="fortnightly", anchor=FAR),
    ask(
        "set-debtor-terms",
        billing_company=COMPANY,
        account_name="",
        from_date=FAR,
        time_group="nothing like it",
    ),
    ask("list-batch-groups", billing_company=COMPANY, cut_off_date=FAR),
    ask("list-batch-groups", billing_company=COMPANY, cut_off_date="1970-01-01"),
    ask("what-if", billing_company=COMPANY, cut_off_dates=["1970-01-01", FAR]),
    ask("retry-parked", billing_company=COMPANY, batch_id="NULL"),
    ask("credit-invoice", billing_company=COMPANY, invoice_number="NULL", to="reissue"),
    ask(
        "credit-invoice",
        billing_company=COMPANY,
        invoice_number="1",
        lines=[{"line_no": 2**63}],
        to="write-off",
    ),
    ask(
        "set-bill-rate",
        requirement_id="REQ-1",
        time_type="REG",
        effective_from=FAR,
        bill_rate="9999999999.9999",
    ),
    ask("confirm-rates", requirement_id="NULL", time_type="REG", effective_from="1970-01-01"),
    ask("rates-impact"),
    ask("retry-document", document_kind="timesheet", document_id="{}"),
    ask("retry-document"),
    ask(
        "set-billing-company",
        billing_company="NULL",
        name="",
        time_zone="America/Argentina/ComodRivadavia",
        series_prefix="",
        series_width=18,
    ),
    ask(
        "set-billing-company",
        billing_company="x" * 200,
        taxes=[{"tax_code": "V", "percent": "1000", "from_date": FAR}] * 2,
        default_tax="V",
    ),
    ask("set-billing-company", billing_company=COMPANY, default_tax="no such code"),
    ask(
        "set-billing-company",
        billing_company=COMPANY,
        default_time_group="x" * 5000,
        address="\u0000",
    ),
    ask("set-billing-company", billing_company=COMPANY, name="a\u202eb"),
    ask("set-billing-company", billing_company=COMPANY, payment_terms="net:999"),
    ask(
        "set-catalog-item",
        item_id="{}",
        name="",
        amount="-999999999999.9999",
        currency="JPY",
        plan=[{"share": "100", "day": 3650}],
    ),
    ask("set-catalog-item", item_id="NULL", name="n", percent_of_salary="1000", tax_code="\u0000"),
    ask("snooze-pay-lines", billing_company=COMPANY, pay_line_ids=[1], reason="\u0000"),
    ask("snooze-pay-lines", billing_company="\u00e9" * 200, pay_line_ids=list(range(1, 10_001))),
)


async def test_no_command_stops_a_worker(pipeline: Pipeline, observer: Observer) -> None:
    """Each of the strangest commands is answered, accepted or refused."""
    pipeline.send(
        "operator-commands", builders.command("set-billing-company", billing_company=COMPANY)
    )
    pipeline.send("requirement-changed", builders.requirement())
    pipeline.send("timesheet-approved", builders.timesheet())
    await pipeline.settle()
    for at, command in enumerate(COMMANDS):
        pipeline.under_way.append(
            builders.record(
                OPERATOR_COMMANDS.name, command | {"command_id": f"odd-{at}"}, offset=at
            )
        )
        await pipeline.settle()
    answers = {an_id: json.loads(text) for an_id, text in pipeline.answers().items()}
    missing = [command for at, command in enumerate(COMMANDS) if f"odd-{at}" not in answers]
    assert missing == []
    assert all(answer["message"] for answer in answers.values())
    numbers = await observer.select(
        "SELECT code, split_part(message, ': ', 2) AS message FROM invoicer.dead_letter"
        " WHERE code IN ('too_high', 'too_low', 'does_not_fit')"
    )
    assert ("too_high", f"must be {2**63 - 1} or less") in {tuple(row) for row in numbers}
    assert "does_not_fit" not in {row.code for row in numbers}, "the database had to refuse it"
    report = await observer.verified()
    assert report.clean, report.faults


async def test_an_answer_that_lists_much_stops_no_worker(pipeline: Pipeline) -> None:
    """A refusal lists as much as fits a message.

    Every from-date of a requirement, or every tax code of a company.
    """
    rates = [
        builders.rate(price=str(at), since=str(date(2020, 1, 1) + timedelta(days=7 * at)))
        for at in range(1, 301)
    ]
    taxes = [
        {"tax_code": f"SALES-TAX-OF-COUNTY-{at:04}", "percent": "7", "from_date": "2020-01-01"}
        for at in range(100)
    ]
    pipeline.send(
        "operator-commands",
        builders.command("set-billing-company", billing_company=COMPANY, taxes=taxes),
    )
    pipeline.send("requirement-changed", builders.requirement(rates=rates))
    pipeline.send(
        "operator-commands",
        builders.command(
            "set-billing-company", command_id="tax", billing_company=COMPANY, default_tax="NONE"
        ),
    )
    confirm = builders.command(
        "confirm-rates",
        command_id="rate",
        requirement_id="REQ-1",
        time_type="REG",
        effective_from="2019-01-01",
    )
    pipeline.send("operator-commands", confirm)
    await pipeline.settle()
    answers = {an_id: json.loads(text) for an_id, text in pipeline.answers().items()}
    assert (answers["tax"]["code"], answers["rate"]["code"]) == (
        "default_tax_unknown",
        "no_such_rate",
    )
    assert all(
        len(answers[an_id]["message"]) == TEXT_LENGTH and answers[an_id]["message"].endswith(" ...")
        for an_id in ("tax", "rate")
    )


async def test_an_answer_longer_than_a_message_stops_no_worker(
    pipeline: Pipeline, observer: Observer
) -> None:
    """Tax districts set in several commands.

    Each command is accepted; the answer that would list all is cut.
    """
    for part in range(3):
        taxes = [
            {
                "tax_code": f"SALES-TAX-OF-DISTRICT-{part}-{at:04}",
                "percent": "7",
                "from_date": "2020-01-01",
            }
            for at in range(4000)
        ]
        pipeline.send(
            "operator-commands",
            builders.command(
                "set-billing-company",
                command_id=f"tax-{part}",
                billing_company=COMPANY,
                taxes=taxes,
            ),
        )
        await pipeline.settle()
    answers = {an_id: json.loads(text) for an_id, text in pipeline.answers().items()}
    assert [answer["outcome"] for answer in answers.values()] == ["accepted"] * 3
    assert len(answers["tax-0"]["details"]["settings"]["taxes"]) == 4000
    assert (answers["tax-2"]["details"]["settings"], answers["tax-2"]["details"]["shortened"]) == (
        {},
        ["settings"],
    )
    assert await observer.one("SELECT count(*) FROM fee_realizer.tax_rate") == 12_000
