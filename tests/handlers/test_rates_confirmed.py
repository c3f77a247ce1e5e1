"""Bill rates by command on the whole road: set, asked about, confirmed. Source: domain rules 6."""

import json
from datetime import date
from typing import Any

import pytest

from services.console.client import rates as shown
from services.console.client.books import found
from services.console.client.why import why
from services.fee_realizer.handlers import rates as asked_about
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
from tests.conftest import BooksOf, Configure, EngineOf, as_console
from tests.in_process import Road

NAMED = {"requirement_id": REQUIREMENT, "time_type": "REG"}


class Told(Road):
    """The road with somebody who asks."""

    engine_of: EngineOf

    async def ask(self, kind: str, **values: Any) -> dict[str, Any]:
        """Gives a command, lets everything settle, and gives the answer."""
        asked = command(kind, **values)
        self.send(OPERATOR_COMMANDS.name, asked)
        await self.settle()
        return json.loads(self.answers()[asked.command_id])  # type: ignore[no-any-return]

    async def hears(self, topic: str, *events: Any) -> None:
        """Events of the ATS, brought to their end."""
        self.send(topic, *events)
        await self.settle()

    async def bill(self, cut_off: str = "2026-03-31") -> list[tuple[str, str, str, str]]:
        """A batch, and its lines."""
        answer = await self.ask("generate-batch", billing_company=COMPANY, cut_off_date=cut_off)
        assert answer["outcome"] == "accepted", answer
        return await self.on("l.batch_id = :batch", batch=answer["details"]["batch_id"])

    async def on(self, which: str, **values: Any) -> list[tuple[str, str, str, str]]:
        """Invoice, rate version, quantity and amount of closed lines."""
        async with self.engine_of("owner").connect() as connection:
            found = await rows(
                connection,
                "SELECT * FROM (SELECT i.invoice_number, p.rate_version, trim_scale(p.quantity) AS quantity, trim_scale(p.amount) AS amount, i.batch_id"
                " FROM invoicer.invoice_line il JOIN invoicer.pay_line p USING (pay_line_id) JOIN invoicer.invoice i USING (invoice_id)) l"
                f" WHERE {which} ORDER BY 1, 2, 3",
                **values,
            )
        return [(row[0], row[1], str(row[2]), str(row[3])) for row in found]

    async def open(self) -> list[tuple[str, str, str]]:
        """Rate version, quantity and amount of open lines."""
        async with self.engine_of("owner").connect() as connection:
            found = await rows(
                connection,
                "SELECT p.rate_version, trim_scale(p.quantity) AS quantity, trim_scale(p.amount) AS amount FROM invoicer.open_line o"
                " JOIN invoicer.pay_line p USING (pay_line_id) ORDER BY 1, 2, p.document_id",
            )
        return [(row[0], str(row[1]), str(row[2])) for row in found]

    async def clean(self) -> None:
        """`verify` finds nothing."""
        async with self.engine_of("console").connect() as connection:
            report = await verify(connection)
        assert report.clean, [str(fault) for fault in report.faults]


@pytest.fixture
async def road(books_of: BooksOf, engine_of: EngineOf, configure: Configure) -> Told:
    """A billing company, its debtor, a requirement with REG at 50.00 and OT at 75.00; today is 2026-05-15."""
    configure(today="2026-05-15")
    made = Told(books_of)
    made.engine_of = engine_of
    await made.ask("set-billing-company", billing_company=COMPANY)
    await made.hears("billto-changed", node(OFFICE, account_name="Mercy Hospital"))
    await made.hears("requirement-changed", requirement())
    return made


async def test_a_rate_that_is_set_prices_open_lines_again_at_once(road: Told) -> None:
    """Whatever changes a rate, open lines are re-priced at once, without a question; a Wednesday splits its week."""
    await road.hears("timesheet-approved", timesheet())
    assert await road.open() == [("2020-01-01@50", "40", "2000")]
    asked = NAMED | {"effective_from": "2026-03-04", "bill_rate": "55.00"}
    seen = await road.ask("set-bill-rate", **asked, preview=True)
    assert seen["details"]["open"] == [
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
    assert (seen["details"]["documents"], await road.open()) == (
        0,
        [("2020-01-01@50", "40", "2000")],
    ), "a preview writes nothing"
    answer = await road.ask("set-bill-rate", **asked)
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
    assert await road.open() == [("2020-01-01@50", "16", "800"), ("2026-03-04@55", "24", "1320")]
    again = await road.ask("set-bill-rate", **asked)
    assert "like this before" in again["message"]
    await road.clean()


async def test_a_statement_of_the_ats_never_replaces_a_price_by_command(road: Told) -> None:
    """An ATS statement replaces the versions that came from the ATS, never those of a command; for one from-date the command's wins."""
    await road.hears("timesheet-approved", timesheet())
    await road.ask("set-bill-rate", **NAMED, effective_from="2020-01-01", bill_rate="52.00")
    assert await road.open() == [("2020-01-01@52", "40", "2080")]
    await road.hears(
        "requirement-changed",
        requirement(
            revision=2, rates=[rate(price="51.00"), rate(price="60.00", since="2026-03-06")]
        ),
    )
    assert await road.open() == [("2020-01-01@52", "32", "1664"), ("2026-03-06@60", "8", "480")]
    await road.ask("set-bill-rate", **NAMED, effective_from="2026-03-06", bill_rate="61.00")
    await road.ask("set-bill-rate", **NAMED, effective_from="2026-03-06", bill_rate="62.5050")
    assert await road.open() == [
        ("2020-01-01@52", "32", "1664"),
        ("2026-03-06@62.505", "8", "500.04"),
    ]
    async with road.engine_of("owner").connect() as connection:
        found = await rows(
            connection,
            "SELECT source, actor FROM fee_realizer.bill_rate WHERE until_book IS NULL AND effective_from = '2026-03-06' ORDER BY 1",
        )
    assert [tuple(row) for row in found] == [("ats", "ats"), ("command", "pat")]


async def test_invoiced_lines_keep_their_price_until_it_is_confirmed(road: Told) -> None:
    """Until then the change is a finding; confirmed, an invoiced line becomes a credit of its whole quantity at the old price and a debit at
    the new one."""
    await road.hears(
        "timesheet-approved", timesheet(), timesheet("T-2", entries=days("7.5"), worker_id="W-2")
    )
    assert await road.bill() == [
        ("INV-000001", "2020-01-01@50", "37.5", "1875"),
        ("INV-000001", "2020-01-01@50", "40", "2000"),
    ]
    change = NAMED | {"effective_from": "2026-03-02"}
    seen = await road.ask("set-bill-rate", **change, bill_rate="54.50", preview=True)
    await road.ask("set-bill-rate", **change, bill_rate="54.50")
    assert await road.open() == []
    impact = await road.ask("rates-impact", requirement_id=REQUIREMENT)
    total = {
        "currency": "USD",
        "documents": 2,
        "lines": 2,
        "hours": "77.5",
        "old": "3875.00",
        "new": "4223.75",
        "net": "348.75",
    }
    assert impact["details"]["totals"] == seen["details"]["totals"] == [total]
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
    assert (await road.ask("rates-impact"))["details"] == impact["details"]
    findings = {
        one["code"]: one
        for one in (await road.ask("health-check", billing_company=COMPANY))["findings"]
    }
    assert (
        findings["rate-impact"]["severity"],
        findings["rate-impact"]["count"],
        findings["rate-impact"]["ids"],
    ) == ("warning", 2, ["T-1", "T-2"])
    assert (await road.ask("confirm-rates", **change, preview=True))["details"]["totals"] == [total]
    assert await road.open() == []
    confirmed = await road.ask("confirm-rates", **change)
    assert confirmed["details"]["totals"] == [total]
    assert await road.open() == [
        *(("2020-01-01@50", "-40", "-2000"), ("2020-01-01@50", "-37.5", "-1875")),
        *(("2026-03-02@54.5", "37.5", "2043.75"), ("2026-03-02@54.5", "40", "2180")),
    ]
    assert (await road.ask("confirm-rates", **change))["code"] == "nothing_to_confirm"
    assert (await road.ask("confirm-rates", **NAMED, effective_from="2026-03-03"))[
        "code"
    ] == "no_such_rate"
    assert [line[1:] for line in await road.bill()] == [
        *(("2026-03-02@54.5", "37.5", "2043.75"), ("2026-03-02@54.5", "40", "2180")),
        *(("2020-01-01@50", "-40", "-2000"), ("2020-01-01@50", "-37.5", "-1875")),
    ]
    assert (await road.ask("rates-impact"))["details"]["documents"] == 0
    async with as_console(road.engine_of("console")) as connection:
        listed = await shown.rates(connection, REQUIREMENT, 10)
        (first,) = await found(
            connection,
            "SELECT min(pay_line_id) AS line FROM invoicer.pay_line WHERE rate_version = '2026-03-02@54.5'",
        )
        told = await why(connection, first["line"])
    assert [
        (one["effective_from"], one["source"], one["actor"], len(one["confirmed"]))
        for one in listed
        if one["time_type"] == "REG"
    ] == [
        (date(2020, 1, 1), "ats", "ats", 0),
        (date(2026, 3, 2), "command", "pat", 1),
    ]
    assert told["rate"] == {
        "rate_version": "2026-03-02@54.5",
        "rate_book": 1,
        "source": "command",
        "actor": "pat",
        "confirmed_by": "pat",
    }
    await road.hears("timesheet-approved", timesheet(revision=2, entries=days("7.6")))
    assert await road.open() == [("2026-03-02@54.5", "-2", "-109")], (
        "an adjustment takes the price that was confirmed"
    )
    await road.clean()


async def test_only_what_is_confirmed_is_taken(road: Told) -> None:
    """An unconfirmed change elsewhere stays cited, through re-pricings, adjustments and later changes of the confirmed rate."""
    await road.hears("timesheet-approved", timesheet(entries=[*days(), entry("2", time_type="OT")]))
    await road.bill()
    await road.ask("set-bill-rate", **NAMED, effective_from="2026-03-03", bill_rate="51.00")
    await road.ask("set-bill-rate", **NAMED, effective_from="2026-03-05", bill_rate="53.00")
    await road.ask(
        "set-bill-rate",
        requirement_id=REQUIREMENT,
        time_type="OT",
        effective_from="2026-03-01",
        bill_rate="80.00",
    )
    changes = (await road.ask("rates-impact"))["details"]["changes"]
    assert [
        (one["time_type"], one["effective_from"], one["hours"], one["net"]) for one in changes
    ] == [
        *(
            ("OT", "2026-03-01", "2", "10.00"),
            ("REG", "2026-03-03", "16", "16.00"),
            ("REG", "2026-03-05", "16", "48.00"),
        ),
    ]
    await road.ask("confirm-rates", **NAMED, effective_from="2026-03-05")
    assert await road.open() == [("2020-01-01@50", "-16", "-800"), ("2026-03-05@53", "16", "848")]
    await road.ask("set-bill-rate", **NAMED, effective_from="2026-03-05", bill_rate="58.00")
    assert await road.open() == [
        ("2020-01-01@50", "-16", "-800"),
        ("2026-03-05@53", "16", "848"),
    ], "the price of that day was confirmed, not what came later"
    await road.bill()
    await road.hears(
        "timesheet-approved",
        timesheet(revision=2, entries=[*days("9"), entry("2", time_type="OT")]),
    )
    assert await road.open() == [("2020-01-01@50", "3", "150"), ("2026-03-05@53", "2", "106")]
    await road.hears(
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
    assert await road.open() == [("2020-01-01@50", "3", "150"), ("2026-03-05@53", "2", "106")]
    changes = (await road.ask("rates-impact"))["details"]["changes"]
    assert [
        (one["time_type"], one["effective_from"], one["hours"], one["net"]) for one in changes
    ] == [
        *(
            ("OT", "2026-03-01", "2", "10.00"),
            ("REG", "2026-03-03", "18", "18.00"),
            ("REG", "2026-03-05", "9", "45.00"),
            ("REG", "2026-03-06", "9", "153.00"),
        ),
    ]
    await road.ask("confirm-rates", **NAMED, effective_from="2026-03-06")
    assert await road.open() == [
        *(
            ("2020-01-01@50", "3", "150"),
            ("2026-03-05@53", "-7", "-371"),
            ("2026-03-06@70", "9", "630"),
        ),
    ]
    await road.clean()


async def test_a_requirement_that_nobody_knows_is_refused(road: Told) -> None:
    """A misspelled requirement must not get a price of its own."""
    asked = {"time_type": "REG", "effective_from": "2026-03-02"}
    for kind, more in (("set-bill-rate", {"bill_rate": "1"}), ("confirm-rates", {})):
        answer = await road.ask(kind, requirement_id="REQ-9", **asked, **more)
        assert (answer["outcome"], answer["code"]) == ("refused", "unknown_requirement")
    async with road.engine_of("owner").connect() as connection:
        assert (
            await rows(
                connection, "SELECT 1 FROM fee_realizer.requirement WHERE requirement_id = 'REQ-9'"
            )
            == []
        )


async def test_a_price_by_command_releases_what_waited_for_it(road: Told) -> None:
    """A missing bill rate holds a document; the fact may come from a command."""
    await road.hears("timesheet-approved", timesheet(entries=[entry("3", time_type="DT")]))
    asked = {
        "requirement_id": REQUIREMENT,
        "time_type": "DT",
        "effective_from": "2026-01-01",
        "bill_rate": "100.00",
    }
    assert (await road.ask("set-bill-rate", **asked, preview=True))["details"]["held_released"] == 1
    assert await road.open() == []
    await road.ask("set-bill-rate", **asked)
    assert await road.open() == [("2026-01-01@100", "3", "300")]


async def test_too_many_lines_are_added_up(road: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits have numbers: beyond them the answer has the sums of each change, and memory stays flat."""
    await road.hears("timesheet-approved", timesheet(), timesheet("T-2", worker_id="W-2"))
    await road.bill()
    await road.ask("set-bill-rate", **NAMED, effective_from="2026-03-03", bill_rate="51.00")
    monkeypatch.setattr(asked_about, "LOOKED_AT_EACH", 1)
    details = (await road.ask("rates-impact"))["details"]
    assert [
        (one["documents"], one["lines"], one["hours"], one["old"], one["new"], one["net"])
        for one in details["changes"]
    ] == [(2, 2, "64", "3200.00", "3264.00", "64.00")]


async def test_what_was_credited_by_hand_keeps_no_price(road: Told) -> None:
    """A line that was credited whole cites nothing any more: what is open in its place has the price of its credit until it is priced again."""
    await road.hears("timesheet-approved", timesheet())
    await road.bill()
    await road.ask("set-bill-rate", **NAMED, effective_from="2026-03-02", bill_rate="51.00")
    await road.ask(
        "credit-invoice", billing_company=COMPANY, invoice_number="INV-000001", to="reissue"
    )
    assert (await road.ask("rates-impact"))["details"]["documents"] == 0
    assert (await road.ask("confirm-rates", **NAMED, effective_from="2026-03-02"))[
        "code"
    ] == "nothing_to_confirm"
    await road.clean()
