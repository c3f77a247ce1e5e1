"""A firm with assignments in all services of one process; the scheduler's clock moves by `day`."""

from datetime import date
from typing import Any

import pytest

from services.scheduler.due_lines.handlers import MESSAGE_BUILDERS, announce, companies_behind
from shared.verify import verify
from tests.builders import COMPANY, command, node
from tests.conftest import Configure, EngineOf, UnitOfWorkFor
from tests.handlers.test_charges import Firm

JANUARY = date(2026, 1, 15)
RENT: dict[str, Any] = {
    "assignment_id": "A-1",
    "billing_company": COMPANY,
    "node_id": "office-1",
    "item_id": "RENT",
    "price": "500.00",
    "currency": "USD",
    "monthly_day": 31,
    "from_date": "2026-01-31",
    "until_date": "2026-06-30",
    "reason": "contract",
}
HEADS = (
    "SELECT document_id, realization_no, hold_code FROM fee_realizer.source_document"
    " WHERE document_kind = 'assignment' ORDER BY document_id"
)


class AssigningFirm(Firm):
    """A firm that assigns items of its catalog to nodes."""

    def __init__(
        self,
        engine_of: EngineOf,
        unit_of_work_for: UnitOfWorkFor,
        configure: Configure,
        database: str,
    ) -> None:
        super().__init__(engine_of, unit_of_work_for)
        self.configure, self.database_url = configure, database
        self.scheduler = unit_of_work_for("scheduler", dict(MESSAGE_BUILDERS))
        self.today = JANUARY
        configure(today=JANUARY)

    async def open(self) -> None:
        """Set up a billing company, the items RENT and DIRECT-HIRE, and an office."""
        await self.tell("set-billing-company", billing_company=COMPANY)
        await self.tell(
            "set-catalog-item",
            item_id="RENT", name="Office rent", amount="450.00", currency="USD",
            product_kind="non-placement",
        )  # fmt: skip
        await self.tell(
            "set-catalog-item", item_id="DIRECT-HIRE", name="Direct hire", percent_of_salary="20"
        )
        await self.send("billto-changed", node())
        await self.day(JANUARY)

    async def day(self, today: date) -> None:
        """Begin a day: the scheduler moves the watermark, the other services follow."""
        self.today = today
        self.configure(today=today)
        async with self.engine_of("scheduler").connect() as connection:
            behind = await companies_behind(connection)
        for company in behind:
            await announce(self.scheduler, company)
        await self.pipeline.sweep()

    async def set(self, **changes: Any) -> dict[str, Any]:
        """Set the assignment A-1, with changes of its fields."""
        fields = {name: value for name, value in (RENT | changes).items() if value is not None}
        return await self.tell("set-assignment", **fields)

    async def open_lines(self) -> list[tuple[Any, ...]]:
        """Return due date and amount of the open lines."""
        return await self.rows(
            "SELECT p.effective_date::text, trim_scale(p.amount)::text FROM invoicer.pay_line p"
            " JOIN invoicer.open_line o USING (billing_company, pay_line_id)"
            " ORDER BY p.effective_date, p.amount"
        )

    async def bill(self) -> None:
        """Generate a batch of all that is due today, and verify."""
        sent = command("generate-batch", billing_company=COMPANY, cut_off_date=str(self.today))
        await self.send("operator-commands", sent)
        await self.verified()

    async def verified(self) -> None:
        """Check that `verify` finds no fault."""
        async with self.engine_of("auditor").connect() as connection:
            assert (await verify(connection)).faults == ()


@pytest.fixture
async def firm(
    engine_of: EngineOf, unit_of_work_for: UnitOfWorkFor, configure: Configure, database: str
) -> AssigningFirm:
    """A firm in the middle of January 2026, without an assignment."""
    found = AssigningFirm(engine_of, unit_of_work_for, configure, database)
    await found.open()
    return found
