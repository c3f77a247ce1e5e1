"""A firm whose debtors have different billing cycles, with both services in one process.

For tests of cut-offs and batch groups.
"""

import json
from typing import Any

import pytest
from sqlalchemy import text

from shared.verify import verify
from tests.builders import COMPANY, command, entry, node, placement, rate, requirement, timesheet
from tests.conftest import Configure, EngineOf, UnitOfWorkFor
from tests.in_process import Pipeline

SCENARIO_TODAY = "2010-09-20"
THURSDAY = "2010-09-09"
WEEKS = ("2010-07-25", "2010-08-01", "2010-08-29", "2010-09-05", "2010-09-12", "2010-09-19")


class Firm:
    """A firm with both services in one process.

    The office, requirement and timesheets of a debtor bear its name.
    """

    def __init__(self, pipeline: Pipeline, engine_of: EngineOf, configure: Configure) -> None:
        self.pipeline, self.engine_of, self.configure = pipeline, engine_of, configure

    async def opens(self, *debtors: str, **company: Any) -> None:
        """The billing company, and an office and a Filled Temp requirement for each debtor.

        The requirement is at 50.00 an hour since 2000.
        """
        self.pipeline.send(
            "operator-commands", command("set-billing-company", billing_company=COMPANY, **company)
        )
        for name in debtors:
            self.pipeline.send("billto-changed", node(f"office-{name}", account_name=name))
            self.order(name)
        await self.settle()

    def order(self, name: str, revision: int = 1, **changes: Any) -> None:
        """The debtor's requirement."""
        since = {
            "statuses": [{"from_date": "2000-01-01", "status": "Filled", "position_type": "Temp"}],
            "rates": [rate(since="2000-01-01")],
        }
        self.pipeline.send(
            "requirement-changed",
            requirement(
                f"REQ-{name}", revision, **{"office_id": f"office-{name}"} | since | changes
            ),
        )

    async def group(self, name: str, cycle: str, *debtors: str, **values: Any) -> None:
        """A time group, and debtors who have it."""
        assert (await self.ask("set-time-group", time_group=name, cycle=cycle, **values))[
            "outcome"
        ] == "accepted"
        for debtor in debtors:
            await self.terms(debtor, time_group=name)

    async def terms(self, debtor: str, **values: Any) -> None:
        """The terms of a debtor."""
        assert (
            await self.ask(
                "set-debtor-terms", billing_company=COMPANY, account_name=debtor, **values
            )
        )["outcome"] == "accepted"

    async def sheets(
        self,
        debtor: str,
        *week_endings: str,
        worker: str = "w",
        hours: str = "8",
        revision: int = 1,
        **changes: Any,
    ) -> None:
        """One timesheet a week, of eight hours on its last day."""
        for week in week_endings:
            entries = [entry(hours, week, requirement_id=f"REQ-{debtor}")]
            sheet = timesheet(
                f"{debtor} {worker} {week}",
                revision,
                entries,
                worker_id=f"{worker}-{debtor}",
                week_ending=week,
                **changes,
            )
            self.pipeline.send("timesheet-approved", sheet)
        await self.settle()

    async def placed(
        self, debtor: str, *workers: str, start: str = "2000-01-03", **changes: Any
    ) -> None:
        """Temps on the debtor's requirement."""
        for worker in workers:
            own: dict[str, Any] = {"salary": None, "currency": None, "fees": []}
            values = (
                {
                    "requirement_id": f"REQ-{debtor}",
                    "worker_id": f"{worker}-{debtor}",
                    "start_date": start,
                }
                | own
                | changes
            )
            self.pipeline.send("placement-created", placement(f"P {debtor} {worker}", **values))
        await self.settle()

    async def ask(self, kind: str, **values: Any) -> dict[str, Any]:
        """Send a command of an operator; return its answer."""
        asked = command(kind, **values)
        self.pipeline.send("operator-commands", asked)
        await self.settle()
        return json.loads(self.pipeline.answers()[asked.command_id])  # type: ignore[no-any-return]

    async def batch(self, cut_off: str, **values: Any) -> list[str]:
        """Generate a batch; return the ids of its documents, in order."""
        answer = await self.ask(
            "generate-batch", billing_company=COMPANY, cut_off_date=cut_off, **values
        )
        assert answer["outcome"] == "accepted", answer
        return await self.taken(answer["details"]["batch_id"])

    async def taken(self, batch_id: str | None) -> list[str]:
        """Ids of the documents whose lines a batch took."""
        found = await self.select(
            "SELECT DISTINCT l.document_id FROM invoicer.closed_invoice_line l JOIN"
            " invoicer.invoice i USING (invoice_id) WHERE i.batch_id = :id ORDER BY 1",
            id=batch_id,
        )
        return [row[0] for row in found]

    async def groups(self, cut_off: str | None = None) -> dict[str, dict[str, Any]]:
        """The batch groups of a cut-off by name."""
        answer = await self.ask(
            "list-batch-groups",
            billing_company=COMPANY,
            **{"cut_off_date": cut_off} if cut_off else {},
        )
        assert answer["outcome"] == "accepted", answer
        return {group["group"]: group for group in answer["details"]["groups"]}

    async def why_not(self, document_id: str, cut_off: str) -> tuple[str, str, str]:
        """Reason, message and fix."""
        answer = await self.ask("explain", document_id=document_id, cut_off_date=cut_off)
        return answer["details"]["reason"], answer["message"], answer["details"]["fix"]

    async def settle(self) -> None:
        """Deliver everything to its consumers."""
        await self.pipeline.settle()
        await self.pipeline.sweep()

    async def select(self, statement: str, **values: Any) -> list[Any]:
        """Read as the owner."""
        async with self.engine_of("owner").connect() as connection:
            return list((await connection.execute(text(statement), values)).all())

    async def check(self) -> None:
        """`verify` finds nothing."""
        async with self.engine_of("auditor").connect() as connection:
            report = await verify(connection)
        assert report.faults == (), report.faults

    def day(self, today: str) -> None:
        """Go to another day."""
        self.configure(today=today)


@pytest.fixture
def firm(unit_of_work_for: UnitOfWorkFor, engine_of: EngineOf, configure: Configure) -> Firm:
    """A firm without debtors, on 2010-09-20."""
    configure(today=SCENARIO_TODAY)
    return Firm(Pipeline(unit_of_work_for), engine_of, configure)


def of(debtor: str, *week_endings: str, worker: str = "w") -> list[str]:
    """Ids of timesheets."""
    return sorted(f"{debtor} {worker} {week}" for week in week_endings)
