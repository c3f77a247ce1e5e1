"""The setup of batch tests: a billing company, billto nodes, and the invoicer's dispatcher."""

import json
from datetime import date
from typing import Any

import pytest

from services.invoicer.app import DISPATCHER
from services.invoicer.invoices.store.messages import MESSAGE_BUILDERS
from shared.broker.topics import OPERATOR_COMMANDS
from shared.verify import verify
from tests.builders import COMPANY, OFFICE, command, node, record
from tests.conftest import Configure, EngineOf, UnitOfWorkFor, process
from tests.handlers.settled import Invoicer, invoicer

TODAY = date(2026, 10, 31)


class Biller(Invoicer):
    """The invoicer of a test that builds batches."""

    async def company(self, billing_company: str = COMPANY, **changes: Any) -> None:
        """Insert or update a billing company."""
        values = {
            "name": "Acme Staffing",
            "address": "1 Main St",
            "tax_id": "TX-1",
            "bank": "IBAN 1",
        } | changes
        columns, places = ", ".join(values), ", ".join(f":{name}" for name in values)
        await self.rows(
            f"INSERT INTO fee_realizer.billing_company (billing_company, known, {columns}) VALUES"
            f" (:billing_company, true, {places})"
            " ON CONFLICT (billing_company) DO UPDATE SET"
            f" {', '.join(f'{name} = excluded.{name}' for name in values)}",
            billing_company=billing_company,
            **values,
        )

    async def tax(
        self, code: str, percent: str, since: str = "2020-01-01", billing_company: str = COMPANY
    ) -> None:
        """Insert a tax rate from a date on."""
        await self.rows(
            "INSERT INTO fee_realizer.tax_rate VALUES (:c, :code, CAST(CAST(:since AS text) AS"
            " date), CAST(CAST(:percent AS text) AS numeric))",
            c=billing_company,
            code=code,
            since=since,
            percent=percent,
        )

    async def terms(self, account_name: str, **changes: Any) -> None:
        """Insert the terms of a debtor."""
        values = {"payment_terms": "net:30"} | changes
        columns = ", ".join(values)
        await self.rows(
            "INSERT INTO invoicer.debtor_terms (billing_company, account_name, from_date,"
            f" {columns})"
            " VALUES (:company, :account_name, '2020-01-01',"
            f" {', '.join(f':{name}' for name in values)})",
            company=COMPANY,
            account_name=account_name,
            **values,
        )

    async def generate(self, cut_off: str = "2026-10-31", **values: Any) -> dict[str, Any]:
        """Generate a batch and return the result of the command."""
        return await self.tell("generate-batch", cut_off_date=cut_off, **values)

    async def preview(self, cut_off: str = "2026-10-31") -> dict[str, Any]:
        """Preview a batch and return the result of the command."""
        return await self.tell("preview-batch", cut_off_date=cut_off)

    async def tell(self, kind: str, **values: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        asked = (
            command(kind, **values)
            if kind == "explain"
            else command(kind, **{"billing_company": COMPANY, **values})
        )
        await process(
            self.unit_of_work,
            self.dispatcher.subscription(),
            [record(OPERATOR_COMMANDS.name, asked, COMPANY)],
        )
        answers = [
            json.loads(each.value)
            for each in self.published("command-results")
            if each.key == asked.command_id
        ]
        return answers[-1]  # type: ignore[no-any-return]

    def published(self, topic: str) -> list[Any]:
        """Return what was published on a topic."""
        return [each for each in self.unit_of_work.producer.published if each.topic == topic]  # type: ignore[attr-defined]

    async def documents(self) -> list[tuple[str, str, str, str, str, str]]:
        """Return number, type, debtor, net, tax and currency of every closed document."""
        found = await self.rows(
            "SELECT invoice_number, document_type, account_name, trim_scale(net) AS net,"
            " trim_scale(tax) AS tax, currency FROM invoicer.invoice ORDER BY number"
        )
        return [(row[0], row[1], row[2], str(row[3]), str(row[4]), row[5]) for row in found]

    async def lines(self, number: str) -> list[tuple[int, str, str, str]]:
        """Return line number, document, amount and tax of the lines of a closed document."""
        found = await self.rows(
            "SELECT l.line_no, l.document_id, trim_scale(l.amount) AS amount,"
            " trim_scale(l.tax_amount) AS tax FROM invoicer.closed_invoice_line l"
            " JOIN invoicer.invoice i USING (invoice_id) WHERE i.invoice_number = :number ORDER BY"
            " l.line_no",
            number=number,
        )
        return [(row[0], row[1], str(row[2]), str(row[3])) for row in found]

    async def check_seals(self) -> None:
        """Check that seals match the stored data, heads match their lines, and `verify` passes."""
        assert (
            await self.rows(
                "SELECT c.invoice_number FROM invoicer.invoice_content c LEFT JOIN"
                " invoicer.invoice_seal s USING (invoice_id)"
                " WHERE s.content_hash IS DISTINCT FROM c.content_hash"
            )
            == []
        )
        assert (
            await self.rows(
                "SELECT i.invoice_number FROM invoicer.invoice i JOIN invoicer.closed_invoice_line"
                " l USING (invoice_id) GROUP BY i.invoice_id"
                " HAVING sum(l.amount + l.allowance_amount) <> i.net OR"
                " sum(l.tax_amount) <> i.tax OR count(*) <> i.line_count"
                " OR i.total <> i.net + i.tax"
            )
            == []
        )
        async with self.console.connect() as connection:
            report = await verify(connection)
        # These tests say statements themselves: fee_realizer never issued them.
        found = [str(fault) for fault in report.faults if fault.check != "settled_realization"]
        assert found == [], found
        await self.check()


@pytest.fixture
async def biller(
    unit_of_work_for: UnitOfWorkFor, engine_of: EngineOf, configure: Configure
) -> Biller:
    """The invoicer with a company without taxes and an office that pays, on 2026-10-31."""
    configure(today=str(TODAY))
    base = invoicer(unit_of_work_for, engine_of)
    made = Biller(
        **{
            **vars(base),
            "unit_of_work": unit_of_work_for("invoicer", dict(MESSAGE_BUILDERS)),
            "dispatcher": DISPATCHER,
        }
    )
    await made.company()
    await made.consume_nodes(
        node(OFFICE, account_name="Mercy Hospital", address="2 Care Rd", tax_id="M-1")
    )
    return made
