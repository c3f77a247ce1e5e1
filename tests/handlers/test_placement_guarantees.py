"""A worker who leaves in the guarantee: pricing, settlement, batches and `verify` together.

The table is 30/60/90 days at 100/75/50 %, the fee 8,000.00 in two halves, on day 1 and day 60
(domain-rules.md 12).
"""

import json
from datetime import date, timedelta

import pytest

from shared.verify import verify
from tests.builders import COMPANY, command, node, placement, requirement
from tests.conftest import Configure, EngineOf, UnitOfWorkFor
from tests.in_process import Pipeline

START = date(2026, 3, 2)
PLAN = [{"share": "1", "day": 1}, {"share": "1", "day": 60}]
PERCENTS = ((30, "100"), (60, "75"), (90, "50"))


def day(number: int) -> date:
    """Return the date of a day of the placement; day 1 is the start."""
    return START + timedelta(days=number - 1)


class Firm:
    """A placement in a pipeline of all services; dates move by `configure`."""

    def __init__(
        self, engine_of: EngineOf, unit_of_work_for: UnitOfWorkFor, configure: Configure
    ) -> None:
        self.engine_of, self.configure = engine_of, configure
        configure(today=START)
        self.pipeline = Pipeline(unit_of_work_for)
        self.revision = 0

    async def open(self) -> None:
        """Set up a billing company, a catalog item with a guarantee, an office, a requirement."""
        guarantee = [{"until_day": until, "percent": percent} for until, percent in PERCENTS]
        self.pipeline.send(
            "operator-commands",
            command("set-billing-company", billing_company=COMPANY),
            command(
                "set-catalog-item",
                item_id="FEE",
                name="Direct hire",
                amount="8000.00",
                currency="USD",
                plan=PLAN,
                guarantee=guarantee,
            ),
        )
        self.pipeline.send("billto-changed", node())
        self.pipeline.send("requirement-changed", requirement())
        await self.place()

    async def place(self, end: int | None = None) -> None:
        """Send the next revision of the placement, with the day of the last work."""
        self.revision += 1
        self.pipeline.send(
            "placement-created",
            placement(
                revision=self.revision,
                start_date=str(START),
                end_date=None if end is None else str(day(end)),
                fees=[{"fee_id": "F-1", "item_id": "FEE"}],
            ),
        )
        await self.pipeline.settle()

    async def bill(self, on: int) -> None:
        """Generate a batch on a day of the placement."""
        self.configure(today=day(on))
        self.pipeline.send(
            "operator-commands",
            command("generate-batch", billing_company=COMPANY, cut_off_date=str(day(on))),
        )
        await self.pipeline.settle()

    async def open_lines(self) -> list[tuple[str, str]]:
        """Return amount and effective date of the open lines."""
        return await self._rows(
            "SELECT trim_scale(p.amount)::text, p.effective_date::text FROM invoicer.open_line o"
            " JOIN invoicer.pay_line p USING (pay_line_id) ORDER BY p.pay_line_id"
        )

    async def documents(self) -> list[tuple[str, str]]:
        """Return kind and net of the closed documents."""
        return await self._rows(
            "SELECT document_type, trim_scale(net)::text FROM invoicer.invoice ORDER BY number"
        )

    async def corrected(self) -> list[tuple[str, str]]:
        """Return the document and the day of the lines that credits correct."""
        return await self._rows(
            "SELECT i.invoice_number, d.effective_date::text FROM invoicer.pay_line c"
            " JOIN invoicer.invoice i ON i.invoice_id = c.corrects_invoice_id"
            " JOIN invoicer.invoice_line l ON l.invoice_id = c.corrects_invoice_id"
            " AND l.line_no = c.corrects_line_no JOIN invoicer.pay_line d"
            " ON d.pay_line_id = l.pay_line_id ORDER BY c.pay_line_id"
        )

    async def check(self) -> None:
        """Check conservation and all else that `verify` knows."""
        async with self.engine_of("auditor").connect() as connection:
            assert (await verify(connection)).faults == ()

    async def _rows(self, statement: str) -> list[tuple[str, str]]:
        async with self.engine_of("owner").connect() as connection:
            found = await connection.exec_driver_sql(statement)
            return [(row[0], row[1]) for row in found]


@pytest.fixture
def firm(engine_of: EngineOf, unit_of_work_for: UnitOfWorkFor, configure: Configure) -> Firm:
    """A firm without any document."""
    return Firm(engine_of, unit_of_work_for, configure)


@pytest.mark.parametrize(
    ("left", "given_back"),
    [(30, 8000), (31, 6000), (60, 6000), (61, 4000), (90, 4000), (91, 0), (0, 8000)],
)
@pytest.mark.parametrize("invoiced", [0, 1, 2])
async def test_a_leaver_is_settled_with_what_was_invoiced(
    firm: Firm, left: int, given_back: int, invoiced: int
) -> None:
    """Open instalments are withdrawn first, invoiced ones credited; what is kept is the same.

    The credit's effective date is the last day worked.
    """
    await firm.open()
    for on in (1, 60)[:invoiced]:
        await firm.bill(on)
    await firm.place(left)
    billed = 4000 * invoiced
    credited = max(0, billed - (8000 - given_back))
    opened = await firm.open_lines()
    credits = [(int(amount), at) for amount, at in opened if amount.startswith("-")]
    assert -sum(amount for amount, _ in credits) == credited
    assert {at for _, at in credits} <= {str(day(left))}
    assert billed + sum(int(amount) for amount, _ in opened) == 8000 - given_back
    await firm.bill(200)
    await firm.check()
    documents = await firm.documents()
    total = sum(int(net) for _, net in documents)
    assert total == 8000 - given_back


@pytest.mark.parametrize(
    ("invoiced", "opened", "documents"),
    [
        (1, [], [("invoice", "4000")]),
        (2, ["-4000"], [("invoice", "4000"), ("invoice", "4000"), ("credit-note", "-4000")]),
    ],
)
async def test_a_leaver_on_day_75_gives_back_the_second_half(
    firm: Firm, invoiced: int, opened: list[str], documents: list[tuple[str, str]]
) -> None:
    """Due back 4,000.00: the second half is withdrawn if it is open, and nothing is credited
    (domain-rules 12, row 11); if it is invoiced, one credit note names its line (row 12).
    """
    await firm.open()
    for on in (1, 60)[:invoiced]:
        await firm.bill(on)
    await firm.place(75)
    assert [amount for amount, _ in await firm.open_lines()] == opened
    await firm.bill(200)
    assert await firm.documents() == documents
    second_half = [("INV-000002", str(day(60)))] if invoiced == 2 else []
    assert await firm.corrected() == second_half
    await firm.check()


async def test_the_leaving_date_is_corrected_twice(firm: Firm) -> None:
    """Day 75 after both halves were invoiced credits 4,000.00; day 95 bills them again; day 75
    credits them again (domain-rules 12, row 13).
    """
    await firm.open()
    await firm.bill(1)
    await firm.bill(60)
    for left, expected in ((75, "-4000"), (95, "4000"), (75, "-4000")):
        await firm.place(left)
        (line,) = await firm.open_lines()
        assert line[0] == expected
        await firm.bill(200)
        await firm.check()
    assert [net for _, net in await firm.documents()] == ["4000", "4000", "-4000", "4000", "-4000"]


async def test_the_health_check_has_no_leaver_whom_a_guarantee_covers(firm: Firm) -> None:
    """A guarantee says what is owed; without one an instalment after the end is a finding."""
    await firm.open()
    await firm.place(95)
    plan = [{"share": "1", "day": 1}, {"share": "1", "day": 120}]
    codes = []
    for guarantee in ([{"until_day": 30, "percent": "100"}], []):
        firm.pipeline.send(
            "operator-commands",
            command(
                "set-catalog-item", item_id="FEE", name="Direct hire", amount="8000.00",
                currency="USD", plan=plan, guarantee=guarantee,
            ),
        )  # fmt: skip
        await firm.pipeline.settle()
        await firm.pipeline.sweep()
        health = command("health-check", billing_company=COMPANY, cut_off_date=str(day(200)))
        firm.pipeline.send("operator-commands", health)
        await firm.pipeline.settle()
        answer = json.loads(firm.pipeline.answers()[health.command_id])
        codes.append("leaver" in [finding["code"] for finding in answer["findings"]])
    assert codes == [False, True]
