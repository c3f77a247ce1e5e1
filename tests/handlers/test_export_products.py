"""`backoffice export` and back for retainers, assignments and allowances.

What another installation billed is loaded as billed, so that nothing is billed or credited again
(issue 14, "First day"; domain-rules 12, "Opening data").
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.console.importing.catalog import read_catalog
from services.console.importing.export import (
    ASSIGNMENTS,
    DEBTOR_TERMS,
    RETAINERS,
    SETTINGS,
)
from services.console.importing.opening import (
    LINES,
    NUMBERS,
    commands_of,
    documents_of,
    read_opening_lines,
    read_opening_numbers,
)
from services.console.queries.opening import known_for_opening
from services.console.queries.snapshot import open_snapshot
from services.scheduler.due_lines.handlers import MESSAGE_BUILDERS, announce, companies_behind
from shared.consumer.unit_of_work import UnitOfWork
from shared.database import engine_for
from shared.events.commands import OPERATOR_COMMAND
from shared.verify import verify
from tests.builders import COMPANY, node, placement, requirement
from tests.conftest import RecordingProducer
from tests.handlers import test_export
from tests.handlers.test_export import NEW, firms
from tests.in_process import Pipeline

__all__ = ["firms"]
MERCY = {"billing_company": COMPANY, "account_name": "office-1 account"}
OPEN = (
    "SELECT p.document_kind, p.document_id, trim_scale(p.amount)::text FROM invoicer.open_line"
    " JOIN invoicer.pay_line p USING (pay_line_id) WHERE p.effective_date <= '2026-10-31'"
    " ORDER BY 1, 2, 3"
)
BALANCES = (
    "SELECT invoice_number, trim_scale(i.net)::text, trim_scale(i.tax)::text,"
    " trim_scale(b.balance)::text FROM invoicer.invoice i"
    " JOIN invoicer.invoice_balance b USING (invoice_id) ORDER BY 1"
)


@dataclass
class Office:
    """All services of one process on the database of a firm."""

    firm: test_export.Firm

    def __post_init__(self) -> None:
        self.pipeline = Pipeline(lambda service, _: self.firm.units[service])

    async def send(self, topic: str, *values: Any) -> None:
        """All services consume records; refused commands fail."""
        self.pipeline.send(topic, *values)
        await self.pipeline.settle()
        await self.pipeline.sweep()
        answers = [json.loads(each) for each in self.pipeline.answers().values()]
        assert [each for each in answers if each["outcome"] != "accepted"] == []

    async def command(self, name: str, /, **fields: Any) -> None:
        await self.send("operator-commands", NEW(name, **fields))

    async def begin_day(self) -> None:
        """The scheduler announces today."""
        engine = engine_for("scheduler", self.firm.url)
        unit = UnitOfWork("scheduler", engine, RecordingProducer(), dict(MESSAGE_BUILDERS))  # type: ignore[arg-type]
        async with engine.connect() as connection:
            behind = await companies_behind(connection)
        for company in behind:
            await announce(unit, company)
        await engine.dispose()
        await self.pipeline.sweep()

    async def rows(self, statement: str) -> list[tuple[Any, ...]]:
        async with engine_for("auditor", self.firm.url).connect() as connection:
            return [tuple(row) for row in await connection.exec_driver_sql(statement)]

    async def verified(self) -> None:
        async with engine_for("auditor", self.firm.url).connect() as connection:
            assert (await verify(connection)).faults == ()

    async def export(self, folder: Path) -> dict[str, str]:
        return await self.firm.export(folder)

    async def take(self, folder: Path) -> None:
        """Imports the exported files in the documented order."""

        async def publish(file: str, topic: str) -> None:
            texts = (folder / file).read_text().splitlines()
            await self.send(topic, *(self._event(topic, text) for text in texts))

        await publish(SETTINGS, "operator-commands")
        await self.begin_day()
        for topic in ("billto-changed", "requirement-changed"):
            await publish(f"{topic}.jsonl", topic)
        await publish(DEBTOR_TERMS, "operator-commands")
        lines, problems = read_catalog(folder / "catalog.csv", NEW)
        assert not problems.shown
        await self.send("operator-commands", *(each for _, each in lines))
        await publish(ASSIGNMENTS, "operator-commands")
        await self.load(folder)
        await publish("placement-created.jsonl", "placement-created")
        await publish(RETAINERS, "operator-commands")

    @staticmethod
    def _event(topic: str, text: str) -> Any:
        models = {"billto-changed": node, "requirement-changed": requirement}
        if topic == "operator-commands":
            return OPERATOR_COMMAND.validate_json(text)
        return type(models.get(topic, placement)()).model_validate_json(text)

    async def load(self, folder: Path) -> None:
        """Imports the last numbers and the opening lines."""
        numbers, problems = read_opening_numbers(folder / NUMBERS, NEW)
        await self.send("operator-commands", *(each for _, each in numbers))
        rows = read_opening_lines(folder / LINES, problems)
        async with open_snapshot(self.firm.url) as connection:
            known = await known_for_opening(
                connection,
                {COMPANY},
                rows.names("account_name"),
                rows.names("requirement_id"),
                rows.occurrences,
            )
        documents = list(documents_of(rows, known, LINES, problems))
        commands = commands_of(documents, NEW, LINES, problems)
        assert not problems.shown
        await self.send("operator-commands", *commands)


async def live(office: Office) -> None:
    """A retainer of 4,000.00 of which a fee of 3,000.00 leaves 1,000.00 to credit, a rent monthly
    from August whose price changes in October, both less 2.5 %, one that is due once, and a credit
    by hand.
    """
    taxes = [{"tax_code": "VAT", "percent": "20", "from_date": "2020-01-01"}]
    await office.command(
        "set-billing-company", billing_company=COMPANY, taxes=taxes, default_tax="VAT", name="Acme"
    )
    await office.begin_day()
    await office.send("billto-changed", node())
    discount = {"kind": "discount", "name": "Volume", "percent": "2.5"}
    await office.command(
        "set-debtor-terms", **MERCY, allowances=[discount], emails=["pay@mercy.example"]
    )
    fee = {"kind": "surcharge", "name": "Administration", "amount": "15", "currency": "EUR"}
    await office.command("set-debtor-terms", **MERCY, allowances=[fee], from_date="2026-09-01")
    await office.command(
        "set-debtor-terms", **MERCY, remove_allowances=["Administration"], from_date="2026-10-01"
    )
    items = {"RETAINER": ("4000", "placement"), "FEE": ("3000", "placement")}
    for item, (amount, kind) in (items | {"RENT": ("500", "non-placement")}).items():
        fields = {"name": item, "amount": amount, "currency": "USD", "product_kind": kind}
        await office.command("set-catalog-item", item_id=item, **fields)
    statuses = [{"from_date": "2026-08-02", "status": "Approved"}]
    await office.send(
        "requirement-changed",
        requirement(statuses=statuses, rates=[], retainer={"item_id": "RETAINER"}),
    )
    rent = {"billing_company": COMPANY, "node_id": "office-1", "item_id": "RENT", "monthly_day": 31}
    for price, since in (("500", "2026-08-01"), ("550", "2026-10-01")):
        await office.command(
            "set-assignment", assignment_id="A-1", price=price, currency="USD", from_date=since,
            **rent,
        )  # fmt: skip
    await office.command("end-assignment", assignment_id="A-1", last_date="2027-01-31")
    once = {name: value for name, value in rent.items() if name != "monthly_day"}
    await office.command("set-assignment", assignment_id="A-2", on_date="2026-12-01", **once)
    await office.command("generate-batch", billing_company=COMPANY, cut_off_date="2026-10-31")
    await office.send(
        "placement-created",
        placement("P-1", 1, start_date="2026-09-01", fees=[{"fee_id": "F", "item_id": "FEE"}]),
    )
    await office.command("settle-retainer", requirement_id="REQ-1", excess="credit")
    await office.command("generate-batch", billing_company=COMPANY, cut_off_date="2026-10-31")
    await office.command(
        "credit-invoice", billing_company=COMPANY, invoice_number="INV-000001", to="rebill",
        lines=[{"line_no": 1}],
    )  # fmt: skip


async def test_products_and_allowances_move_to_another_installation(
    firms: tuple[test_export.Firm, test_export.Firm], tmp_path: Path
) -> None:
    """Documents have the same totals and balances, what was billed is not billed again, what was
    credited to rebill is open, and a credit gives back its part of the discount.
    """
    here, there = Office(firms[0]), Office(firms[1])
    await live(here)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    first = await here.export(tmp_path / "first")
    await there.take(tmp_path / "first")
    assert await there.export(tmp_path / "second") == first
    for statement in (OPEN, BALANCES):
        assert await there.rows(statement) == await here.rows(statement), statement
    for office in (here, there):
        await office.verified()
        await office.command(
            "credit-invoice", billing_company=COMPANY, invoice_number="INV-000001", to="write-off",
            lines=[{"line_no": 2}],
        )  # fmt: skip
        await office.command(
            "set-assignment", assignment_id="A-1", billing_company=COMPANY, node_id="office-1",
            item_id="RENT", monthly_day=31, price="600", currency="USD", from_date="2026-09-01",
        )  # fmt: skip
        await office.verified()
    nets = "SELECT trim_scale(net)::text, trim_scale(tax)::text FROM invoicer.invoice"
    newest = f"{nets} ORDER BY invoice_id DESC LIMIT 1"
    assert await there.rows(newest) == await here.rows(newest)
    # What is invoiced keeps its price until the change is confirmed, here and there.
    assert await there.rows(OPEN) == await here.rows(OPEN)
