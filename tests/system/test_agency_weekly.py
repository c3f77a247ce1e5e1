"""Real input by week: agency hours of 2019 billed by cut-off, on time, late, rate changes.

In one process on a real database; `test_agency_nursing` states which folder has the data.
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
"""The batch of a Wednesday is closed on the Monday after: by then the timesheets of the next
week are in, too, and must stay out.
"""
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
SELECT p.document_id, p.line_key, p.week_ending, p.worker_id, p.quantity, p.amount, p.unit_price,
    p.service_from, p.service_to, i.account_name,
       b.cut_off_date, o.pay_line_id IS NOT NULL AS open
FROM invoicer.pay_line p
LEFT JOIN invoicer.open_line o ON o.billing_company = p.billing_company
    AND o.pay_line_id = p.pay_line_id
LEFT JOIN invoicer.invoice_line l ON l.pay_line_id = p.pay_line_id
LEFT JOIN invoicer.invoice i ON i.invoice_id = l.invoice_id
LEFT JOIN invoicer.batch b ON b.batch_id = i.batch_id
ORDER BY p.document_id, p.line_key"""
CLEAR = """
DO $$
DECLARE one record;
BEGIN
  SET LOCAL session_replication_role = replica;
  FOR one IN SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n
      ON n.oid = c.relnamespace
             WHERE c.relkind = 'r' AND n.nspname IN ('fee_realizer', 'scheduler', 'invoicer',
                 'arg_sync') LOOP
    EXECUTE format('DELETE FROM %I.%I', one.schema, one.name);
  END LOOP;
END $$"""


@dataclass(frozen=True)
class Agency:
    """The events of the import: the facility's ancestors, its requirements, its timesheets."""

    nodes: list[BilltoChanged]
    requirements: list[RequirementChanged]
    timesheets: list[TimesheetApproved]


@pytest.fixture(scope="module")
def agency() -> Agency:
    """The folder as `backoffice import` reads and plans it on an empty database."""
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
class AgencyRun:
    """The services with a settable day; batches are generated one after the other."""

    pipeline: Pipeline
    engine_of: EngineOf
    configure: Configure

    async def open(self, agency: Agency) -> None:
        """The billing company, weekly from Monday to Sunday, the payer, and the requirements."""
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
        """Timesheets arrive and are settled."""
        self.pipeline.send("timesheet-approved", *sheets)
        await self.pipeline.settle(batch=500)

    async def bill(self, cut_off: date) -> None:
        """Generate a batch some days after its cut-off."""
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
        """The year, batch by batch, in an empty database.

        A timesheet arrives on the Monday after its week, a late one some weeks later.
        """
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
        """Every pay line with its batch; `verify` finds nothing."""
        async with self.engine_of("auditor").connect() as connection:
            report = await verify(connection)
            assert report.clean, report.faults
        async with self.engine_of("owner").connect() as connection:
            return list((await connection.execute(text(BILLED))).all())

    async def clear(self) -> None:
        """Delete every row."""
        async with self.engine_of("owner").begin() as connection:
            await connection.execute(text(CLEAR))


@pytest.fixture
def agency_run(
    unit_of_work_for: UnitOfWorkFor, engine_of: EngineOf, configure: Configure
) -> AgencyRun:
    """The services on an empty database."""
    return AgencyRun(Pipeline(unit_of_work_for), engine_of, configure)


def worth(lines: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The billed value, whatever the batch."""
    return [
        (line.document_id, line.line_key, line.quantity, line.amount, line.account_name)
        for line in lines
    ]


def batch_of(cut_off: date) -> date:
    """The Sunday whose week a cut-off bills."""
    return cut_off - timedelta(days=cut_off.isoweekday() % 7)


async def test_a_year_billed_week_by_week(agency_run: AgencyRun, agency: Agency) -> None:
    """Each of 52 weekly batches takes exactly the week that ended before.

    The same year in one batch gives the same lines, hours and money. With a tenth of the timesheets
    up to eight weeks late, in random order, lines are on other batches and all totals are the same.
    Hours of every week and role are those of the source.
    """
    sheets = [sheet for sheet in agency.timesheets if sheet.week_ending.year == YEAR]
    await agency_run.open(agency)
    await agency_run.receive(sheets)
    await agency_run.bill(LAST_CUT_OFF)
    whole = await agency_run.lines()
    assert not any(line.open for line in whole)
    assert {line.account_name for line in whole} == {account_name_of_the_owner()}
    assert hours_by_week_and_role(whole) == {
        key: hours
        for key, hours in control_hours().items()
        if key[0].startswith(str(YEAR)) and hours
    }

    weekly = await agency_run.weekly(agency, sheets, {})
    assert worth(weekly) == worth(whole)
    assert all(batch_of(line.cut_off_date) == line.week_ending for line in weekly)

    rng = random.Random(LATE_SEED)
    late = {
        sheet.timesheet_id: rng.randint(1, LATEST_WEEKS)
        for sheet in rng.sample(sheets, len(sheets) // LATE_SHARE)
    }
    with_late = await agency_run.weekly(agency, rng.sample(sheets, len(sheets)), late)
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
    agency_run: AgencyRun, agency: Agency, changed: date
) -> None:
    """Each day has the rate in force, on own lines.

    Hours and money are those computed by hand from the source's rows.
    """
    week_ending = changed + timedelta(days=4)
    assert (changed.isoweekday(), week_ending.isoweekday()) == (3, 7)
    await agency_run.open(agency)
    await agency_run.receive(
        sheet for sheet in agency.timesheets if sheet.week_ending == week_ending
    )
    await agency_run.bill(week_ending)
    lines = await agency_run.lines()
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
