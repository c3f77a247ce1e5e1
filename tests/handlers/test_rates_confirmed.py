"""Bill rates by command through all services: set, impact, confirm."""

import json
from datetime import date
from typing import Any

import pytest

from services.console.queries import rates as shown
from services.console.queries.explanations import explain_pay_line
from services.console.queries.snapshot import fetch
from services.fee_realizer.rates import handlers as rate_commands
from shared.broker.topics import OPERATOR_COMMANDS
from shared.database import rows
from shared.verify import verify
from tests.builders import (
    COMPANY,
    OFFICE,
    REQUIREMENT,
    command,
    days,
    entry,
    node,
    rate,
    requirement,
    timesheet,
)
from tests.conftest import Configure, EngineOf, UnitOfWorkFor, as_console
from tests.in_process import Pipeline

NAMED = {"requirement_id": REQUIREMENT, "time_type": "REG"}


class Operator(Pipeline):
    """All services in one process, with an operator who sends commands."""

    engine_of: EngineOf

    async def ask(self, kind: str, **values: Any) -> dict[str, Any]:
        """Send a command, let everything settle, and return the answer."""
        sent = command(kind, **values)
        self.send(OPERATOR_COMMANDS.name, sent)
        await self.settle()
        return json.loads(self.answers()[sent.command_id])  # type: ignore[no-any-return]

    async def send_events(self, topic: str, *events: Any) -> None:
        """Send events of the ATS and process them completely."""
        self.send(topic, *events)
        await self.settle()

    async def bill(self, cut_off: str = "2026-03-31") -> list[tuple[str, str, str, str]]:
        """Run a batch and return its lines."""
        answer = await self.ask("generate-batch", billing_company=COMPANY, cut_off_date=cut_off)
        assert answer["outcome"] == "accepted", answer
        return await self.on("l.batch_id = :batch", batch=answer["details"]["batch_id"])

    async def on(self, which: str, **values: Any) -> list[tuple[str, str, str, str]]:
        """Return invoice, rate version, quantity and amount of closed lines."""
        async with self.engine_of("owner").connect() as connection:
            found = await rows(
                connection,
                "SELECT * FROM (SELECT i.invoice_number, p.rate_version, trim_scale(p.quantity)"
                " AS quantity, trim_scale(p.amount) AS amount, i.batch_id"
                " FROM invoicer.invoice_line il JOIN invoicer.pay_line p USING (pay_line_id) JOIN"
                " invoicer.invoice i USING (invoice_id)) l"
                f" WHERE {which} ORDER BY 1, 2, 3",
                **values,
            )
        return [(row[0], row[1], str(row[2]), str(row[3])) for row in found]

    async def open(self) -> list[tuple[str, str, str]]:
        """Return rate version, quantity and amount of open lines."""
        async with self.engine_of("owner").connect() as connection:
            found = await rows(
                connection,
                "SELECT p.rate_version, trim_scale(p.quantity) AS quantity, trim_scale(p.amount)"
                " AS amount FROM invoicer.open_line o"
                " JOIN invoicer.pay_line p USING (pay_line_id) ORDER BY 1, 2, p.document_id",
            )
        return [(row[0], str(row[1]), str(row[2])) for row in found]

    async def clean(self) -> None:
        """Assert that `verify` finds nothing."""
        async with self.engine_of("auditor").connect() as connection:
            report = await verify(connection)
        assert report.clean, [str(fault) for fault in report.faults]


@pytest.fixture
async def operator(
    unit_of_work_for: UnitOfWorkFor, engine_of: EngineOf, configure: Configure
) -> Operator:
    """A billing company, its debtor, a requirement with REG at 50.00 and OT at 75.00; today is"
    " 2026-05-15."""
    configure(today="2026-05-15")
    operator = Operator(unit_of_work_for)
    operator.engine_of = engine_of
    await operator.ask("set-billing-company", billing_company=COMPANY)
    await operator.send_events("billto-changed", node(OFFICE, account_name="Mercy Hospital"))
    await operator.send_events("requirement-changed", requirement())
    return operator


async def test_a_rate_that_is_set_prices_open_lines_again_at_once(operator: Operator) -> None:
    """A changed rate reprices open lines at once; a change on a Wednesday splits the week."""
    await operator.send_events("timesheet-approved", timesheet())
    assert await operator.open() == [("2020-01-01@50", "40", "2000")]
    values = NAMED | {"effective_from": "2026-03-04", "bill_rate": "55.00"}
    preview = await operator.ask("set-bill-rate", **values, preview=True)
    assert preview["details"]["open"] == [
        {
            "currency": "USD",
            "documents": 1,
            "lines": 1,
            "hours": "24",
            "old": "1200.00",
            "new": "1320.00",
            "net": "120.00",
        }
    ]
    assert (preview["details"]["documents"], await operator.open()) == (
        0,
        [("2020-01-01@50", "40", "2000")],
    ), "a preview writes nothing"
    answer = await operator.ask("set-bill-rate", **values)
    assert answer["details"]["before"] == {
        "effective_from": "2020-01-01",
        "bill_rate": "50",
        "unit": "HUR",
        "source": "ats",
    }
    assert answer["details"]["after"] == {
        "effective_from": "2026-03-04",
        "bill_rate": "55",
        "unit": "HUR",
        "source": "command",
    }
    assert await operator.open() == [
        ("2020-01-01@50", "16", "800"),
        ("2026-03-04@55", "24", "1320"),
    ]
    again = await operator.ask("set-bill-rate", **values)
    assert "is unchanged" in again["message"]
    await operator.clean()


async def test_the_answer_counts_the_documents_whose_value_changes(operator: Operator) -> None:
    """Issue 11, 24: all documents of the requirement are looked at; those on invoices, of other
    days or other time types keep their value and are not counted.
    """
    await operator.send_events("timesheet-approved", timesheet("T-1"))
    await operator.bill()
    await operator.send_events(
        "timesheet-approved",
        timesheet("T-2", worker_id="w-2"),
        timesheet("T-3", worker_id="w-3", entries=[entry("2", time_type="OT")]),
        timesheet("T-4", worker_id="w-4", entries=[entry("8", work_date="2026-03-02")]),
        timesheet("T-5", worker_id="w-5", workflow={}),
    )
    values = NAMED | {"effective_from": "2026-03-04", "bill_rate": "1055"}
    answer = await operator.ask("set-bill-rate", **values)
    assert answer["message"] == (
        "the bill rate of REQ-1 REG from 2026-03-04 is 1,055.00; 1 of 5 documents priced anew"
    )
    assert (answer["details"]["documents_to_price"], answer["details"]["documents_changed"]) == (
        5,
        1,
    )
    values |= {"effective_from": "2026-03-31"}
    answer = await operator.ask("set-bill-rate", **values)
    assert answer["message"].endswith("is 1,055.00; no open line changes")


async def test_the_ats_never_replaces_a_price_by_command(operator: Operator) -> None:
    """The ATS replaces its own versions only; for one from-date the command's version wins."""
    await operator.send_events("timesheet-approved", timesheet())
    await operator.ask("set-bill-rate", **NAMED, effective_from="2020-01-01", bill_rate="52.00")
    assert await operator.open() == [("2020-01-01@52", "40", "2080")]
    await operator.send_events(
        "requirement-changed",
        requirement(
            revision=2, rates=[rate(price="51.00"), rate(price="60.00", since="2026-03-06")]
        ),
    )
    assert await operator.open() == [("2020-01-01@52", "32", "1664"), ("2026-03-06@60", "8", "480")]
    await operator.ask("set-bill-rate", **NAMED, effective_from="2026-03-06", bill_rate="61.00")
    await operator.ask("set-bill-rate", **NAMED, effective_from="2026-03-06", bill_rate="62.5050")
    assert await operator.open() == [
        ("2020-01-01@52", "32", "1664"),
        ("2026-03-06@62.505", "8", "500.04"),
    ]
    async with operator.engine_of("owner").connect() as connection:
        found = await rows(
            connection,
            "SELECT source, actor FROM fee_realizer.console_bill_rate WHERE until_book IS NULL AND"
            " effective_from = '2026-03-06' ORDER BY 1",
        )
    assert [tuple(row) for row in found] == [("ats", "ats"), ("command", "pat")]


async def assert_rates_are_explained(operator: Operator) -> None:
    """Assert that the list of rates and the explanation of a line name the confirmation."""
    async with as_console(operator.engine_of("console")) as connection:
        listed = await shown.rates(connection, REQUIREMENT, 10)
        (first,) = await fetch(
            connection,
            "SELECT min(pay_line_id) AS line FROM invoicer.console_pay_line"
            " WHERE rate_version = '2026-03-02@54.5'",
        )
        explained = await explain_pay_line(connection, first["line"])
    assert [
        (one["effective_from"], one["source"], one["actor"], len(one["confirmed"]))
        for one in listed
        if one["time_type"] == "REG"
    ] == [
        (date(2020, 1, 1), "ats", "ats", 0),
        (date(2026, 3, 2), "command", "pat", 1),
    ]
    assert explained["rate"] == {
        "rate_version": "2026-03-02@54.5",
        "rate_book": 1,
        "source": "command",
        "actor": "pat",
        "confirmed_by": "pat",
    }


async def test_invoiced_lines_keep_their_price_until_it_is_confirmed(operator: Operator) -> None:
    """Until it is confirmed, the change is a finding.

    A confirmed change credits the whole quantity at the old price and debits it at the new one.
    """
    await operator.send_events(
        "timesheet-approved", timesheet(), timesheet("T-2", entries=days("7.5"), worker_id="W-2")
    )
    assert await operator.bill() == [
        ("INV-000001", "2020-01-01@50", "37.5", "1875"),
        ("INV-000001", "2020-01-01@50", "40", "2000"),
    ]
    change = NAMED | {"effective_from": "2026-03-02"}
    preview = await operator.ask("set-bill-rate", **change, bill_rate="54.50", preview=True)
    await operator.ask("set-bill-rate", **change, bill_rate="54.50")
    assert await operator.open() == []
    impact = await operator.ask("rates-impact", requirement_id=REQUIREMENT)
    sums = {"hours": "77.5", "old": "3875.00", "new": "4223.75", "net": "348.75"}
    total = {"currency": "USD", "documents": 2, "lines": 2} | sums
    assert impact["details"]["totals"] == preview["details"]["totals"] == [total]
    assert impact["details"]["invoices"] == [
        {
            "billing_company": COMPANY,
            "account_name": "Mercy Hospital",
            "invoice_number": "INV-000001",
        }
        | total
    ]
    assert impact["details"]["changes"] == [
        change | {"unit": "HUR", "old_price": "50.00", "new_price": "54.50"} | total
    ]
    assert (await operator.ask("rates-impact"))["details"] == impact["details"]
    findings = {
        one["code"]: one
        for one in (await operator.ask("health-check", billing_company=COMPANY))["findings"]
    }
    assert (
        findings["rate_impact"]["severity"],
        findings["rate_impact"]["count"],
        findings["rate_impact"]["ids"],
    ) == ("warning", 2, ["T-1", "T-2"])
    assert (await operator.ask("confirm-rates", **change, preview=True))["details"]["totals"] == [
        total
    ]
    assert await operator.open() == []
    confirmed = await operator.ask("confirm-rates", **change)
    assert confirmed["details"]["totals"] == [total]
    assert await operator.open() == [
        *(("2020-01-01@50", "-40", "-2000"), ("2020-01-01@50", "-37.5", "-1875")),
        *(("2026-03-02@54.5", "37.5", "2043.75"), ("2026-03-02@54.5", "40", "2180")),
    ]
    assert (await operator.ask("confirm-rates", **change))["code"] == "nothing_to_confirm"
    assert (await operator.ask("confirm-rates", **NAMED, effective_from="2026-03-03"))[
        "code"
    ] == "no_such_rate"
    assert [line[1:] for line in await operator.bill()] == [
        *(("2026-03-02@54.5", "37.5", "2043.75"), ("2026-03-02@54.5", "40", "2180")),
        *(("2020-01-01@50", "-40", "-2000"), ("2020-01-01@50", "-37.5", "-1875")),
    ]
    assert (await operator.ask("rates-impact"))["details"]["documents"] == 0
    await assert_rates_are_explained(operator)
    await operator.send_events("timesheet-approved", timesheet(revision=2, entries=days("7.6")))
    assert await operator.open() == [("2026-03-02@54.5", "-2", "-109")], (
        "an adjustment takes the price that was confirmed"
    )
    await operator.clean()


async def change_rates_of_a_billed_timesheet(operator: Operator) -> None:
    """Bill regular time and overtime, then change both rates without confirmation."""
    await operator.send_events(
        "timesheet-approved", timesheet(entries=[*days(), entry("2", time_type="OT")])
    )
    await operator.bill()
    await operator.ask("set-bill-rate", **NAMED, effective_from="2026-03-03", bill_rate="51.00")
    await operator.ask("set-bill-rate", **NAMED, effective_from="2026-03-05", bill_rate="53.00")
    await operator.ask(
        "set-bill-rate",
        requirement_id=REQUIREMENT,
        time_type="OT",
        effective_from="2026-03-01",
        bill_rate="80.00",
    )


async def unconfirmed_changes(operator: Operator) -> list[tuple[str, str, str, str]]:
    """Return time type, from-date, hours and difference of each rate that is not confirmed."""
    changes = (await operator.ask("rates-impact"))["details"]["changes"]
    return [(one["time_type"], one["effective_from"], one["hours"], one["net"]) for one in changes]


async def test_only_what_is_confirmed_is_taken(operator: Operator) -> None:
    """Unconfirmed changes have no effect through repricing, adjustments and later rate changes."""
    await change_rates_of_a_billed_timesheet(operator)
    assert await unconfirmed_changes(operator) == [
        *(
            ("OT", "2026-03-01", "2", "10.00"),
            ("REG", "2026-03-03", "16", "16.00"),
            ("REG", "2026-03-05", "16", "48.00"),
        ),
    ]
    await operator.ask("confirm-rates", **NAMED, effective_from="2026-03-05")
    assert await operator.open() == [
        ("2020-01-01@50", "-16", "-800"),
        ("2026-03-05@53", "16", "848"),
    ]
    await operator.ask("set-bill-rate", **NAMED, effective_from="2026-03-05", bill_rate="58.00")
    assert await operator.open() == [
        ("2020-01-01@50", "-16", "-800"),
        ("2026-03-05@53", "16", "848"),
    ], "the price of that day was confirmed, not what came later"
    await operator.bill()
    await operator.send_events(
        "timesheet-approved",
        timesheet(revision=2, entries=[*days("9"), entry("2", time_type="OT")]),
    )
    assert await operator.open() == [("2020-01-01@50", "3", "150"), ("2026-03-05@53", "2", "106")]
    await operator.send_events(
        "requirement-changed",
        requirement(
            revision=2,
            rates=[
                rate(price="50.00"),
                rate("OT", "75.00"),
                rate(price="70.00", since="2026-03-06"),
            ],
        ),
    )
    assert await operator.open() == [("2020-01-01@50", "3", "150"), ("2026-03-05@53", "2", "106")]
    assert await unconfirmed_changes(operator) == [
        *(
            ("OT", "2026-03-01", "2", "10.00"),
            ("REG", "2026-03-03", "18", "18.00"),
            ("REG", "2026-03-05", "9", "45.00"),
            ("REG", "2026-03-06", "9", "153.00"),
        ),
    ]
    await operator.ask("confirm-rates", **NAMED, effective_from="2026-03-06")
    assert await operator.open() == [
        *(
            ("2020-01-01@50", "3", "150"),
            ("2026-03-05@53", "-7", "-371"),
            ("2026-03-06@70", "9", "630"),
        ),
    ]
    await operator.clean()


async def test_an_unknown_requirement_is_refused(operator: Operator) -> None:
    """A misspelled requirement gets no price."""
    values = {"time_type": "REG", "effective_from": "2026-03-02"}
    for kind, more in (("set-bill-rate", {"bill_rate": "1"}), ("confirm-rates", {})):
        answer = await operator.ask(kind, requirement_id="REQ-9", **values, **more)
        assert (answer["outcome"], answer["code"]) == ("refused", "unknown_requirement")
    async with operator.engine_of("owner").connect() as connection:
        assert (
            await rows(
                connection, "SELECT 1 FROM fee_realizer.requirement WHERE requirement_id = 'REQ-9'"
            )
            == []
        )


async def test_a_price_by_command_releases_what_waited_for_it(operator: Operator) -> None:
    """A missing bill rate holds a document; a command can supply it."""
    await operator.send_events(
        "timesheet-approved", timesheet(entries=[entry("3", time_type="DT")])
    )
    values = {
        "requirement_id": REQUIREMENT,
        "time_type": "DT",
        "effective_from": "2026-01-01",
        "bill_rate": "100.00",
    }
    assert (await operator.ask("set-bill-rate", **values, preview=True))["details"][
        "held_released"
    ] == 1
    assert await operator.open() == []
    await operator.ask("set-bill-rate", **values)
    assert await operator.open() == [("2026-01-01@100", "3", "300")]


async def test_too_many_lines_are_added_up(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above the limit the answer has the sums of each change, so that memory is bounded."""
    await operator.send_events("timesheet-approved", timesheet(), timesheet("T-2", worker_id="W-2"))
    await operator.bill()
    await operator.ask("set-bill-rate", **NAMED, effective_from="2026-03-03", bill_rate="51.00")
    monkeypatch.setattr(rate_commands, "LINE_LIMIT", 1)
    details = (await operator.ask("rates-impact"))["details"]
    assert [
        (one["documents"], one["lines"], one["hours"], one["old"], one["new"], one["net"])
        for one in details["changes"]
    ] == [(2, 2, "64", "3200.00", "3264.00", "64.00")]


async def test_what_was_credited_by_hand_keeps_no_price(operator: Operator) -> None:
    """A line credited whole cites no rate book: its replacement has today's price once repriced."""
    await operator.send_events("timesheet-approved", timesheet())
    await operator.bill()
    await operator.ask("set-bill-rate", **NAMED, effective_from="2026-03-02", bill_rate="51.00")
    await operator.ask(
        "credit-invoice", billing_company=COMPANY, invoice_number="INV-000001", to="reissue"
    )
    assert (await operator.ask("rates-impact"))["details"]["documents"] == 0
    assert (await operator.ask("confirm-rates", **NAMED, effective_from="2026-03-02"))[
        "code"
    ] == "nothing_to_confirm"
    await operator.clean()
