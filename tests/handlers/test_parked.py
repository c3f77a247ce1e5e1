"""Safety bounds of a batch on the whole road: debtors that are parked, tried again, and what is only a warning. Source: domain rules 4, issue's
parked debtors."""

import json
from datetime import timedelta
from typing import Any

import pytest

from shared.broker.topics import OPERATOR_COMMANDS
from shared.database import rows
from shared.verify import verify
from tests.builders import COMPANY, WEEK, command, days, entry, node, requirement, timesheet
from tests.conftest import BooksOf, Configure, EngineOf
from tests.in_process import Road

MONDAY = WEEK - timedelta(days=6)
CUT_OFF = "2026-03-31"


class Parking(Road):
    """The road with three debtors: Mercy (REQ-1), Grace (REQ-2), Hope (REQ-3)."""

    engine_of: EngineOf

    async def ask(self, kind: str, **values: Any) -> dict[str, Any]:
        """Gives a command, lets everything settle, and gives the answer."""
        asked = command(kind, **{"billing_company": COMPANY, **values})
        self.send(OPERATOR_COMMANDS.name, asked)
        await self.settle()
        return json.loads(self.answers()[asked.command_id])  # type: ignore[no-any-return]

    async def hears(self, *events: Any) -> None:
        """Timesheets, brought to their end."""
        self.send("timesheet-approved", *events)
        await self.settle()

    async def bill(self, cut_off: str = CUT_OFF) -> dict[str, Any]:
        """A batch; its answer."""
        answer = await self.ask("generate-batch", cut_off_date=cut_off)
        assert answer["outcome"] == "accepted", answer
        return answer

    async def select(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        """Rows."""
        async with self.engine_of("owner").connect() as connection:
            return [tuple(row) for row in await rows(connection, statement, **values)]

    async def billed(self) -> list[tuple[str, str]]:
        """Debtor and document of every closed line."""
        found = await self.select(
            "SELECT i.account_name, l.document_id FROM invoicer.closed_invoice_line l JOIN invoicer.invoice i USING (invoice_id) ORDER BY 1, 2"
        )
        return [(account, document) for account, document in found]

    async def parked(self) -> list[tuple[str, str, str]]:
        """Debtor, code and documents of every parked debtor that no retry has billed."""
        return [
            (account, code, " ".join(ids))
            for account, code, ids in await self.select(
                "SELECT account_name, code, ids FROM invoicer.parked_debtor WHERE billed_in_batch IS NULL ORDER BY 1"
            )
        ]


@pytest.fixture
async def road(books_of: BooksOf, engine_of: EngineOf, configure: Configure) -> Parking:
    """Today is 2026-05-15."""
    configure(today="2026-05-15")
    made = Parking(books_of)
    made.engine_of = engine_of
    await made.ask("set-billing-company")
    for at, name in enumerate(("Mercy", "Grace", "Hope"), start=1):
        made.send("billto-changed", node(f"office-{at}", account_name=name))
        made.send("requirement-changed", requirement(f"REQ-{at}", office_id=f"office-{at}"))
    await made.settle()
    return made


def sheet(
    timesheet_id: str, worker: str, requirement_id: str = "REQ-1", hours: str = "8", **changes: Any
) -> Any:
    """A week of a worker."""
    return timesheet(
        timesheet_id,
        worker_id=worker,
        entries=days(hours, requirement_id=requirement_id),
        **changes,
    )


async def test_more_hours_a_day_than_the_bound_park_the_debtor(road: Parking) -> None:
    """More than N hours a worker a day (default 24) park the debtor with the reason, and the batch closes without it."""
    long_day = [entry("16", MONDAY), entry("8.25", MONDAY, time_type="OT")]
    await road.hears(
        timesheet("T-1", entries=long_day), sheet("T-2", "W-2"), sheet("T-3", "W-3", "REQ-2")
    )
    answer = await road.bill()
    assert await road.billed() == [("Grace", "T-3")]
    assert await road.parked() == [("Mercy", "hours_over_bound", "T-1")]
    assert answer["details"]["parked"] == [
        {
            "account_name": "Mercy",
            "code": "hours_over_bound",
            "message": "worker W-1 has 24.25 h on 2026-03-02, more than 24 (T-1)",
            "ids": ["T-1"],
        }
    ]
    (finding,) = [one for one in answer["findings"] if one["code"] == "debtor_parked"]
    assert (finding["severity"], finding["ids"]) == ("error", ["Mercy"])
    assert answer["details"]["left_out"] == {"debtor_parked": 3}
    exactly = [entry("16", MONDAY), entry("8", MONDAY, time_type="OT")]
    await road.hears(timesheet("T-1", 2, entries=exactly))
    await road.bill()
    assert await road.billed() == [
        ("Grace", "T-3"),
        ("Mercy", "T-1"),
        ("Mercy", "T-1"),
        ("Mercy", "T-2"),
    ], "24 hours are not more than 24"


async def test_the_bound_is_the_billing_company_s(road: Parking) -> None:
    """N is a setting of the billing company; hours of several documents count together, also with what is invoiced already."""
    await road.hears(sheet("T-1", "W-1", hours="9"))
    await road.bill()
    await road.ask("set-billing-company", max_day_hours=12)
    await road.hears(
        sheet("T-2", "W-1", "REQ-2", hours="3.5"), sheet("T-3", "W-3", "REQ-3", hours="12")
    )
    await road.bill()
    assert await road.billed() == [("Hope", "T-3"), ("Mercy", "T-1")]
    assert await road.parked() == [("Grace", "hours_over_bound", "T-2")]
    (said,) = await road.select("SELECT message FROM invoicer.parked_debtor")
    assert said == (
        "worker W-1 has 12.5 h on 2026-03-02, more than 12 (T-1, T-2), and 4 more such days",
    )


@pytest.mark.parametrize("before", [False, True], ids=["together", "one invoiced before"])
@pytest.mark.parametrize("week", [0, 1], ids=["same week ending", "another week ending"])
async def test_the_same_time_in_two_originals_parks_the_debtor(
    road: Parking, before: bool, week: int
) -> None:
    """The same worker, requirement, work date and time type in two different originals: whichever came first, and whatever the week is called."""
    await road.hears(sheet("T-1", "W-1"))
    if before:
        await road.bill()
    await road.hears(
        sheet("T-2", "W-1", week_ending=str(WEEK + timedelta(days=week))),
        sheet("T-3", "W-3", "REQ-2"),
    )
    answer = await road.bill()
    assert await road.billed() == [("Grace", "T-3"), *([("Mercy", "T-1")] if before else [])]
    assert await road.parked() == [("Mercy", "worked_twice", "T-2" if before else "T-1 T-2")]
    assert (
        answer["details"]["parked"][0]["message"]
        == "worker W-1 has REG on 2026-03-02 for REQ-1 in two originals (T-1, T-2), and 4 more such days"
    )
    await road.hears(timesheet("T-2", 2, entries=[], week_ending=str(WEEK + timedelta(days=week))))
    await road.bill()
    assert await road.billed() == [("Grace", "T-3"), ("Mercy", "T-1")]


async def test_an_original_that_was_cancelled_stands_in_nobody_s_way(road: Parking) -> None:
    """What counts is the statement in force: an original that was cancelled and sent anew under another id is billed."""
    await road.hears(sheet("T-1", "W-1"))
    await road.bill()
    await road.hears(timesheet("T-1", 2, entries=[]), sheet("T-2", "W-1"))
    await road.bill()
    assert await road.billed() == [("Mercy", "T-1"), ("Mercy", "T-1"), ("Mercy", "T-2")]
    assert await road.parked() == []


async def test_other_days_and_time_types_are_good(road: Parking) -> None:
    """Two originals of a week may share it: other days, or overtime apart; an adjustment is no other original."""
    await road.hears(
        timesheet("T-1", entries=[entry("8", MONDAY)]),
        timesheet("T-2", entries=[entry("8", MONDAY + timedelta(days=1))]),
        timesheet("T-3", entries=[entry("2", MONDAY, time_type="OT")]),
    )
    await road.bill()
    await road.hears(
        timesheet(
            "T-4",
            adjusts="T-1",
            entries=[entry("9", MONDAY)],
            workflow={"approved_at": "2026-03-10T10:00:00Z"},
        )
    )
    answer = await road.bill()
    assert len(await road.billed()) == 4
    assert [one["code"] for one in answer["findings"] if one["severity"] != "info"] == [
        "seller_details_missing"
    ]


async def test_a_worker_day_on_two_requirements_is_a_warning(road: Parking) -> None:
    """It may be right: both are billed, and the health check says so."""
    await road.hears(sheet("T-1", "W-1", hours="4"), sheet("T-2", "W-1", "REQ-2", hours="4"))
    answer = await road.bill()
    (finding,) = [
        one for one in answer["findings"] if one["code"] == "worker_day_on_two_requirements"
    ]
    assert (finding["severity"], finding["count"], finding["ids"][0]) == (
        "warning",
        5,
        "W-1 on 2026-03-02",
    )
    assert await road.billed() == [("Grace", "T-2"), ("Mercy", "T-1")]


async def test_parked_debtors_are_tried_again_against_the_same_cut_off(road: Parking) -> None:
    """retry-parked bills just those debtors as a batch of its own; one who is still parked stays with its reason; lines are billed once."""
    twice = [sheet("T-1", "W-1"), sheet("T-2", "W-1")]
    long_day = timesheet(
        "T-4",
        worker_id="W-4",
        entries=[entry("20", MONDAY, requirement_id="REQ-2"), entry("5", MONDAY, "OT", "REQ-2")],
    )
    await road.hears(*twice, long_day, sheet("T-3", "W-3", "REQ-3"))
    batch = (await road.bill())["details"]["batch_id"]
    assert [one[0] for one in await road.parked()] == ["Grace", "Mercy"]
    again = await road.ask("retry-parked", batch_id=batch)
    assert (again["outcome"], again["details"]["batch_id"]) == ("accepted", None)
    assert "nothing to bill" in again["message"]
    later = sheet("T-5", "W-5", week_ending="2026-04-05")
    await road.hears(timesheet("T-2", 2, entries=[]), sheet("T-6", "W-6", "REQ-3"), later)
    done = await road.ask("retry-parked", batch_id=batch)
    assert (done["details"]["documents"], done["details"]["cut_off_date"]) == (1, CUT_OFF)
    assert await road.billed() == [("Hope", "T-3"), ("Mercy", "T-1")], (
        "neither another debtor's line nor one after the cut-off"
    )
    assert [one[0] for one in await road.parked()] == ["Grace"]
    assert [one["account_name"] for one in done["details"]["still_parked"]] == ["Grace"]
    await road.hears(
        timesheet("T-4", 2, worker_id="W-4", entries=[entry("20", MONDAY, requirement_id="REQ-2")])
    )
    last = await road.ask("retry-parked", batch_id=batch)
    assert last["details"]["documents"] == 1
    assert await road.parked() == []
    refused = await road.ask("retry-parked", batch_id=batch)
    assert (refused["outcome"], refused["code"]) == ("refused", "nobody_parked")
    assert (await road.ask("retry-parked", batch_id="B-0"))["code"] == "no_such_batch"
    async with road.engine_of("auditor").connect() as connection:
        report = await verify(connection)
    assert report.clean, [str(fault) for fault in report.faults]
