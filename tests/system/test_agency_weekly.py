"""Real input, week by week: a nursing home's agency hours of 2019 billed by cut-off, on time and late, and the weeks in which a rate changed.

In one process on a real database, each message through the services' lanes; which folder holds the data is said in `test_agency_nursing`.
"""

import csv
import itertools
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from sqlalchemy import text

from services.console.importing.csv_rows import Problems
from services.console.importing.folder import FolderContents, read_folder
from services.console.importing.plan import StoredDocuments, plan_import
from shared.events.ats import BilltoChanged, RequirementChanged, TimesheetApproved
from shared.verify import verify
from tests.builders import command
from tests.conftest import Configure, EngineOf, UnitOfWorkFor
from tests.in_process import Pipeline
from tests.system.test_agency_nursing import COMPANY, DATA, account_name_of_the_owner, control_hours

YEAR = 2019
FIRST_CUT_OFF, LAST_CUT_OFF = date(2019, 1, 9), date(2020, 1, 1)
"""Wednesdays: the week that ended on the Sunday before is complete, the one that runs is not."""
BILLED_AFTER = timedelta(days=5)
"""The batch of a Wednesday is closed on the Monday after: by then the timesheets of the next week are in, too, and must stay out."""
LATE_SEED, LATE_SHARE, LATEST_WEEKS = 20190101, 10, 8
CHANGES = (date(2020, 4, 1), date(2023, 7, 12))
WEEK = timedelta(days=7)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not DATA.is_dir(),
        reason=f"the agency's files are not at {DATA}: name their folder with BACKOFFICE_TEST_DATA",
    ),
]

BILLED = """
SELECT p.document_id, p.line_key, p.week_ending, p.worker_id, p.quantity, p.amount, p.unit_price, p.service_from, p.service_to, i.account_name,
       b.cut_off_date, o.pay_line_id IS NOT NULL AS open
FROM invoicer.pay_line p
LEFT JOIN invoicer.open_line o ON o.billing_company = p.billing_company AND o.pay_line_id = p.pay_line_id
LEFT JOIN invoicer.invoice_line l ON l.pay_line_id = p.pay_line_id
LEFT JOIN invoicer.invoice i ON i.invoice_id = l.invoice_id
LEFT JOIN invoicer.batch b ON b.batch_id = i.batch_id
ORDER BY p.document_id, p.line_key"""
CLEAR = """
DO $$
DECLARE one record;
BEGIN
  SET LOCAL session_replication_role = replica;
  FOR one IN SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind = 'r' AND n.nspname IN ('fee_realizer', 'scheduler', 'invoicer', 'arg_sync') LOOP
    EXECUTE format('DELETE FROM %I.%I', one.schema, one.name);
  END LOOP;
END $$"""


@dataclass(frozen=True)
class Agency:
    """The import's events: the facility's way up to who pays, its requirements, and timesheets."""

    nodes: list[BilltoChanged]
    requirements: list[RequirementChanged]
    timesheets: list[TimesheetApproved]


@pytest.fixture(scope="module")
def agency() -> Agency:
    """The folder as `backoffice import` reads and plans it on empty books."""
    problems = Problems()
    contents: FolderContents = read_folder(DATA, problems)
    plan = plan_import(contents, StoredDocuments(), COMPANY, date(2026, 1, 1), problems)
    assert not problems.count, problems.shown
    requirements = [
        RequirementChanged.model_validate_json(value) for _, value in plan.to_publish["requirement"]
    ]
    nodes = {
        an_id: BilltoChanged.model_validate_json(value)
        for an_id, value in plan.to_publish["billto"]
    }
    way: list[BilltoChanged] = []
    at: str | None = requirements[0].office_id
    while at is not None:
        way.append(nodes[at])
        at = nodes[at].parent_id
    return Agency(
        way,
        requirements,
        [TimesheetApproved.model_validate_json(value) for _, value in plan.to_publish["timesheet"]],
    )


@dataclass
class CommandDispatcher:
    """The services, told the day; batches are asked for one after the other."""

    pipeline: Pipeline
    engine_of: EngineOf
    configure: Configure

    async def open(self, agency: Agency) -> None:
        """The billing company, weekly from Monday to Sunday, who pays, and the requirements."""
        self.configure(today=str(FIRST_CUT_OFF))
        self.pipeline.send(
            "operator-commands",
            command("set-time-group", time_group="weekly", cycle="weekly", ends_on="sunday"),
        )
        self.pipeline.send(
            "operator-commands",
            command("set-billing-company", billing_company=COMPANY, default_time_group="weekly"),
        )
        self.pipeline.send("billto-changed", *agency.nodes)
        self.pipeline.send("requirement-changed", *agency.requirements)
        await self.pipeline.settle()

    async def receive(self, sheets: Iterable[TimesheetApproved]) -> None:
        """Timesheets come in and are settled."""
        self.pipeline.send("timesheet-approved", *sheets)
        await self.pipeline.settle(batch=500)

    async def bill(self, cut_off: date) -> None:
        """A batch, closed some days after its cut-off."""
        self.configure(today=str(cut_off + BILLED_AFTER))
        self.pipeline.send(
            "operator-commands",
            asked := command("generate-batch", billing_company=COMPANY, cut_off_date=str(cut_off)),
        )
        await self.pipeline.settle()
        answer = json.loads(self.pipeline.answers()[asked.command_id])
        assert answer["outcome"] == "accepted", answer

    async def weekly(
        self, agency: Agency, sheets: Sequence[TimesheetApproved], late: Mapping[str, int]
    ) -> list[Any]:
        """The year on empty books, batch by batch: a timesheet comes on the Monday after its week, a late one so many batches later."""
        await self.clear()
        await self.open(agency)
        arrives = {one.timesheet_id: one.week_ending + timedelta(days=1) for one in sheets}
        arrives |= {
            one.timesheet_id: arrives[one.timesheet_id] + WEEK * (late[one.timesheet_id] + 1)
            for one in sheets
            if one.timesheet_id in late
        }
        before = date.min
        for at in range((LAST_CUT_OFF - FIRST_CUT_OFF) // WEEK + 1 + (LATEST_WEEKS if late else 0)):
            cut_off = FIRST_CUT_OFF + WEEK * at
            await self.receive(
                one
                for one in sheets
                if before < arrives[one.timesheet_id] <= cut_off + BILLED_AFTER
            )
            await self.bill(cut_off)
            before = cut_off + BILLED_AFTER
        return await self.lines()

    async def lines(self) -> list[Any]:
        """Every pay line, with its batch; the books are clean."""
        async with self.engine_of("auditor").connect() as connection:
            report = await verify(connection)
            assert report.clean, report.faults
        async with self.engine_of("owner").connect() as connection:
            return list((await connection.execute(text(BILLED))).all())

    async def clear(self) -> None:
        """Empty books."""
        async with self.engine_of("owner").begin() as connection:
            await connection.execute(text(CLEAR))


@pytest.fixture
def dispatcher(
    unit_of_work_for: UnitOfWorkFor, engine_of: EngineOf, configure: Configure
) -> CommandDispatcher:
    """The services on an empty database."""
    return CommandDispatcher(Pipeline(unit_of_work_for), engine_of, configure)


def worth(lines: Sequence[Any]) -> list[tuple[Any, ...]]:
    """What was billed, whatever the batch."""
    return [
        (line.document_id, line.line_key, line.quantity, line.amount, line.account_name)
        for line in lines
    ]


def batch_of(cut_off: date) -> date:
    """The Sunday whose week a cut-off bills."""
    return cut_off - timedelta(days=cut_off.isoweekday() % 7)


async def test_a_year_billed_week_by_week(dispatcher: CommandDispatcher, agency: Agency) -> None:
    """2019 in 52 weekly batches by cut-off: each takes the week that ended on the Sunday before and nothing else. The same year in one
    batch gives the same lines, hours and money. With a tenth of the timesheets up to eight weeks late, in random order, lines are on other
    batches and no total is another. Hours of every week and role are those of the source."""
    sheets = [sheet for sheet in agency.timesheets if sheet.week_ending.year == YEAR]
    await dispatcher.open(agency)
    await dispatcher.receive(sheets)
    await dispatcher.bill(LAST_CUT_OFF)
    whole = await dispatcher.lines()
    assert not any(line.open for line in whole)
    assert {line.account_name for line in whole} == {account_name_of_the_owner()}
    assert hours_by_week_and_role(whole) == {
        key: hours
        for key, hours in control_hours().items()
        if key[0].startswith(str(YEAR)) and hours
    }

    weekly = await dispatcher.weekly(agency, sheets, {})
    assert worth(weekly) == worth(whole)
    assert all(batch_of(line.cut_off_date) == line.week_ending for line in weekly)

    rng = random.Random(LATE_SEED)
    late = {
        sheet.timesheet_id: rng.randint(1, LATEST_WEEKS)
        for sheet in rng.sample(sheets, len(sheets) // LATE_SHARE)
    }
    with_late = await dispatcher.weekly(agency, rng.sample(sheets, len(sheets)), late)
    assert worth(with_late) == worth(whole)
    for line in with_late:
        assert batch_of(line.cut_off_date) == line.week_ending + WEEK * late.get(
            line.document_id, 0
        ), "a line is on the first batch after its timesheet came"
    assert len(late) > LATE_SHARE


def hours_by_week_and_role(lines: Sequence[Any]) -> dict[tuple[str, str], Decimal]:
    """As the source's control totals have them."""
    hours: dict[tuple[str, str], Decimal] = {}
    for line in lines:
        key = (str(line.week_ending), line.worker_id.split("-")[0])
        hours[key] = hours.get(key, Decimal(0)) + line.quantity
    return hours


@pytest.mark.parametrize("changed", CHANGES, ids=str)
async def test_a_rate_that_changes_on_a_wednesday_splits_its_week(
    dispatcher: CommandDispatcher, agency: Agency, changed: date
) -> None:
    """The hours before the Wednesday are billed at the old rate and those from it on at the new one, on lines of their own; hours and money
    are those that the source's rows give by hand."""
    week_ending = changed + timedelta(days=4)
    assert (changed.isoweekday(), week_ending.isoweekday()) == (3, 7)
    await dispatcher.open(agency)
    await dispatcher.receive(
        sheet for sheet in agency.timesheets if sheet.week_ending == week_ending
    )
    await dispatcher.bill(week_ending)
    lines = await dispatcher.lines()
    by_hand = _by_hand(week_ending)
    assert {(line.document_id, line.unit_price, line.quantity, line.amount) for line in lines} == {
        (sheet, price, hours, (hours * price).quantize(Decimal("0.01"), ROUND_HALF_UP))
        for (sheet, price), hours in by_hand.items()
    }
    split = [
        list(of)
        for _, of in itertools.groupby(
            lines, key=lambda line: (line.document_id, '"REG"' in line.line_key)
        )
    ]
    both = [of for of in split if len(of) == 2]
    assert both, "no timesheet of that week has regular hours on both sides of the Wednesday"
    for before, after in both:
        assert (before.service_to < changed, after.service_from >= changed) == (True, True)
        assert before.unit_price < after.unit_price


def _by_hand(week_ending: date) -> dict[tuple[str, Decimal], Decimal]:
    """Hours of a week by timesheet and price, from the rows of the files."""
    with (DATA / "bill_rates.csv").open(encoding="utf-8", newline="") as file:
        rates = sorted(
            (
                row["effective_from"],
                row["requirement_id"],
                row["time_type"],
                Decimal(row["bill_rate"]),
            )
            for row in csv.DictReader(file)
        )
    hours: dict[tuple[str, Decimal], Decimal] = {}
    with (DATA / "timesheets.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["week_ending"] == str(week_ending):
                of = [
                    price
                    for since, order, kind, price in rates
                    if (order, kind) == (row["requirement_id"], row["time_type"])
                    and since <= row["work_date"]
                ]
                key = (row["timesheet_id"], of[-1])
                hours[key] = hours.get(key, Decimal(0)) + Decimal(row["hours"])
    return {key: value for key, value in hours.items() if value}
