"""Safety rules of a batch from event to document: parked debtors, retries and warnings."""

import json
from datetime import timedelta
from typing import Any

import pytest

from shared.broker.topics import OPERATOR_COMMANDS
from shared.database import rows
from shared.verify import verify
from tests.builders import COMPANY, WEEK, command, days, entry, node, requirement, timesheet
from tests.conftest import Configure, EngineOf, UnitOfWorkFor
from tests.in_process import Pipeline

MONDAY = WEEK - timedelta(days=6)
CUT_OFF = "2026-03-31"


class Parking(Pipeline):
    """All services with three debtors: Mercy (REQ-1), Grace (REQ-2), Hope (REQ-3)."""

    engine_of: EngineOf

    async def ask(self, kind: str, **values: Any) -> dict[str, Any]:
        """Send a command, process everything, and return the result."""
        asked = command(kind, **{"billing_company": COMPANY, **values})
        self.send(OPERATOR_COMMANDS.name, asked)
        await self.settle()
        return json.loads(self.answers()[asked.command_id])  # type: ignore[no-any-return]

    async def consume(self, *events: Any) -> None:
        """Send timesheets and process everything."""
        self.send("timesheet-approved", *events)
        await self.settle()

    async def bill(self, cut_off: str = CUT_OFF) -> dict[str, Any]:
        """Generate a batch and return the result."""
        answer = await self.ask("generate-batch", cut_off_date=cut_off)
        assert answer["outcome"] == "accepted", answer
        return answer

    async def select(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        async with self.engine_of("owner").connect() as connection:
            return [tuple(row) for row in await rows(connection, statement, **values)]

    async def billed(self) -> list[tuple[str, str]]:
        """Return debtor and document of every closed line."""
        found = await self.select(
            "SELECT i.account_name, l.document_id FROM invoicer.closed_invoice_line l JOIN"
            " invoicer.invoice i USING (invoice_id) ORDER BY 1, 2"
        )
        return [(account, document) for account, document in found]

    async def parked(self) -> list[tuple[str, str, str]]:
        """Return debtor, code and documents of every parked debtor that is not billed."""
        return [
            (account, code, " ".join(ids))
            for account, code, ids in await self.select(
                "SELECT account_name, code, ids FROM invoicer.parked_debtor WHERE billed_in_batch"
                " IS NULL ORDER BY 1"
            )
        ]


@pytest.fixture
async def parking(
    unit_of_work_for: UnitOfWorkFor, engine_of: EngineOf, configure: Configure
) -> Parking:
    """All services, on 2026-05-15."""
    configure(today="2026-05-15")
    made = Parking(unit_of_work_for)
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
    """A timesheet of one week of a worker."""
    return timesheet(
        timesheet_id,
        worker_id=worker,
        entries=days(hours, requirement_id=requirement_id),
        **changes,
    )


async def test_more_hours_a_day_than_the_bound_park_the_debtor(parking: Parking) -> None:
    """More than N hours of a worker on a day (default 24) park the debtor.

    The batch closes without it.
    """
    long_day = [entry("16", MONDAY), entry("8.25", MONDAY, time_type="OT")]
    await parking.consume(
        timesheet("T-1", entries=long_day), sheet("T-2", "W-2"), sheet("T-3", "W-3", "REQ-2")
    )
    answer = await parking.bill()
    assert await parking.billed() == [("Grace", "T-3")]
    assert await parking.parked() == [("Mercy", "hours_over_bound", "T-1")]
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
    await parking.consume(timesheet("T-1", 2, entries=exactly))
    await parking.bill()
    assert await parking.billed() == [
        ("Grace", "T-3"),
        ("Mercy", "T-1"),
        ("Mercy", "T-1"),
        ("Mercy", "T-2"),
    ], "24 hours are not more than 24"


async def test_the_limit_is_a_setting_of_the_billing_company(parking: Parking) -> None:
    """N is a setting of the billing company, and hours of several documents add up.

    Invoiced hours count as well.
    """
    await parking.consume(sheet("T-1", "W-1", hours="9"))
    await parking.bill()
    await parking.ask("set-billing-company", max_day_hours=12)
    await parking.consume(
        sheet("T-2", "W-1", "REQ-2", hours="3.5"), sheet("T-3", "W-3", "REQ-3", hours="12")
    )
    await parking.bill()
    assert await parking.billed() == [("Hope", "T-3"), ("Mercy", "T-1")]
    assert await parking.parked() == [("Grace", "hours_over_bound", "T-2")]
    (said,) = await parking.select("SELECT message FROM invoicer.parked_debtor")
    assert said == (
        "worker W-1 has 12.5 h on 2026-03-02, more than 12 (T-1, T-2), and 4 more such days",
    )


@pytest.mark.parametrize("before", [False, True], ids=["together", "one invoiced before"])
@pytest.mark.parametrize("week", [0, 1], ids=["same week ending", "another week ending"])
async def test_the_same_time_in_two_originals_parks_the_debtor(
    parking: Parking, before: bool, week: int
) -> None:
    """The same worker, requirement, work date and time type in two timesheets.

    Neither the order of the timesheets nor the name of the week matters.
    """
    await parking.consume(sheet("T-1", "W-1"))
    if before:
        await parking.bill()
    await parking.consume(
        sheet("T-2", "W-1", week_ending=str(WEEK + timedelta(days=week))),
        sheet("T-3", "W-3", "REQ-2"),
    )
    answer = await parking.bill()
    assert await parking.billed() == [("Grace", "T-3"), *([("Mercy", "T-1")] if before else [])]
    assert await parking.parked() == [("Mercy", "worked_twice", "T-2" if before else "T-1 T-2")]
    assert (
        answer["details"]["parked"][0]["message"]
        == "worker W-1 has REG on 2026-03-02 for REQ-1 in two timesheets (T-1, T-2), and 4 more"
        " such days"
    )
    await parking.consume(
        timesheet("T-2", 2, entries=[], week_ending=str(WEEK + timedelta(days=week)))
    )
    await parking.bill()
    assert await parking.billed() == [("Grace", "T-3"), ("Mercy", "T-1")]


async def test_a_cancelled_timesheet_does_not_count(parking: Parking) -> None:
    """The settled realization counts: a cancelled timesheet sent anew is billed."""
    await parking.consume(sheet("T-1", "W-1"))
    await parking.bill()
    await parking.consume(timesheet("T-1", 2, entries=[]), sheet("T-2", "W-1"))
    await parking.bill()
    assert await parking.billed() == [("Mercy", "T-1"), ("Mercy", "T-1"), ("Mercy", "T-2")]
    assert await parking.parked() == []


async def test_other_days_and_time_types_are_billed(parking: Parking) -> None:
    """Two timesheets of a week may have other days or time types; adjustments do not count."""
    await parking.consume(
        timesheet("T-1", entries=[entry("8", MONDAY)]),
        timesheet("T-2", entries=[entry("8", MONDAY + timedelta(days=1))]),
        timesheet("T-3", entries=[entry("2", MONDAY, time_type="OT")]),
    )
    await parking.bill()
    await parking.consume(
        timesheet(
            "T-4",
            adjusts="T-1",
            entries=[entry("9", MONDAY)],
            workflow={"approved_at": "2026-03-10T10:00:00Z"},
        )
    )
    answer = await parking.bill()
    assert len(await parking.billed()) == 4
    assert [one["code"] for one in answer["findings"] if one["severity"] != "info"] == [
        "seller_details_missing"
    ]


async def test_a_worker_day_on_two_requirements_is_a_warning(parking: Parking) -> None:
    """Two requirements on one day are billed, with a warning."""
    await parking.consume(sheet("T-1", "W-1", hours="4"), sheet("T-2", "W-1", "REQ-2", hours="4"))
    answer = await parking.bill()
    (finding,) = [
        one for one in answer["findings"] if one["code"] == "worker_day_on_two_requirements"
    ]
    assert (finding["severity"], finding["count"], finding["ids"][0]) == (
        "warning",
        5,
        "W-1 on 2026-03-02",
    )
    assert await parking.billed() == [("Grace", "T-2"), ("Mercy", "T-1")]


async def test_retry_parked_bills_up_to_the_same_cut_off(parking: Parking) -> None:
    """retry-parked bills the parked debtors in a batch of its own.

    A debtor that is still parked stays so with its reason, and each line is billed once.
    """
    twice = [sheet("T-1", "W-1"), sheet("T-2", "W-1")]
    long_day = timesheet(
        "T-4",
        worker_id="W-4",
        entries=[entry("20", MONDAY, requirement_id="REQ-2"), entry("5", MONDAY, "OT", "REQ-2")],
    )
    await parking.consume(*twice, long_day, sheet("T-3", "W-3", "REQ-3"))
    batch = (await parking.bill())["details"]["batch_id"]
    assert [one[0] for one in await parking.parked()] == ["Grace", "Mercy"]
    again = await parking.ask("retry-parked", batch_id=batch)
    assert (again["outcome"], again["details"]["batch_id"]) == ("accepted", None)
    assert "nothing to bill" in again["message"]
    later = sheet("T-5", "W-5", week_ending="2026-04-05")
    await parking.consume(timesheet("T-2", 2, entries=[]), sheet("T-6", "W-6", "REQ-3"), later)
    done = await parking.ask("retry-parked", batch_id=batch)
    assert (done["details"]["documents"], done["details"]["cut_off_date"]) == (1, CUT_OFF)
    assert await parking.billed() == [("Hope", "T-3"), ("Mercy", "T-1")], (
        "neither another debtor's line nor one after the cut-off"
    )
    assert [one[0] for one in await parking.parked()] == ["Grace"]
    assert [one["account_name"] for one in done["details"]["still_parked"]] == ["Grace"]
    await parking.consume(
        timesheet("T-4", 2, worker_id="W-4", entries=[entry("20", MONDAY, requirement_id="REQ-2")])
    )
    last = await parking.ask("retry-parked", batch_id=batch)
    assert last["details"]["documents"] == 1
    assert await parking.parked() == []
    refused = await parking.ask("retry-parked", batch_id=batch)
    assert (refused["outcome"], refused["code"]) == ("refused", "no_parked_debtors")
    assert (await parking.ask("retry-parked", batch_id="B-0"))["code"] == "no_such_batch"
    async with parking.engine_of("auditor").connect() as connection:
        report = await verify(connection)
    assert report.clean, [str(fault) for fault in report.faults]
