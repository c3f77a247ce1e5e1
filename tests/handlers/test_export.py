"""`backoffice export` and back: an empty database that imports the files exports the same files."""

import base64
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.console.actions.commands import new_command
from services.console.importing.catalog import read_catalog
from services.console.importing.csv_rows import Problems
from services.console.importing.export import DEBTOR_TERMS, PAYMENTS, SETTINGS, write_export
from services.console.importing.opening import (
    LINES,
    NUMBERS,
    commands_of,
    documents_of,
    read_opening_lines,
    read_opening_numbers,
)
from services.console.importing.rates import read_bill_rates
from services.console.queries.opening import known_for_opening
from services.console.queries.snapshot import open_snapshot
from services.fee_realizer import app as fee_realizer
from services.invoicer import app as invoicer
from shared.consumer.unit_of_work import UnitOfWork
from shared.database import engine_for
from shared.events.commands import OPERATOR_COMMAND
from shared.verify import verify
from tests import builders
from tests.builders import COMPANY, realization, realization_line, record
from tests.conftest import (
    Configure,
    Database,
    RecordingProducer,
    database_address,
    new_database,
    process,
    run_sql,
)
from tests.handlers import test_opening as opening
from tests.rules.test_render_details import picture

NEW = partial(new_command, actor="pat", reason="moved")
SUBSCRIPTIONS = {
    "fee_realizer": {
        each.topic: each
        for each in (*fee_realizer.SUBSCRIPTIONS, fee_realizer.DISPATCHER.subscription())
    },
    "invoicer": invoicer.subscriptions(),
}
WEEK = {"service_from": "2026-03-02", "service_to": "2026-03-08", "week_ending": "2026-03-08"}
OLD_881 = opening.document(
    "OLD-881",
    opening.line(**WEEK),
    invoice_date="2026-03-10",
    due_date="2026-03-25",
    account_name="office-1 account",
    paid="1000",
)
CATALOG = {
    "item_id": "hire",
    "name": "Direct hire, permanent",
    "percent_of_salary": "20",
    "plan": [{"share": "50", "day": 1}, {"share": "50", "day": 90}],
    "guarantee": [{"until_day": 30, "percent": "100"}],
}


@dataclass
class Firm:
    """A database with what two services did in it."""

    url: str
    units: dict[str, UnitOfWork]

    async def consume(self, topic: str, *values: Any, key: str = "k") -> None:
        """Both services consume records; refused commands fail."""
        for name, subscriptions in SUBSCRIPTIONS.items():
            subscription = subscriptions.get(topic)
            for value in values if subscription is not None else ():
                assert subscription is not None
                unit = self.units[name]
                await process(unit, subscription, [record(topic, value, key)])
                for each in unit.producer.published:  # type: ignore[attr-defined]
                    answer = json.loads(each.value) if each.topic == "command-results" else {}
                    assert answer.get("outcome", "accepted") == "accepted", answer

    async def command(self, name: str, /, **fields: Any) -> None:
        """Sends a command."""
        await self.consume("operator-commands", NEW(name, **fields))

    async def export(self, folder: Path) -> dict[str, str]:
        """The exported files; ids of commands are masked."""
        async with open_snapshot(self.url) as connection:
            await write_export(connection, folder, NEW)
        return files_of(folder)

    async def check(self) -> None:
        """`verify` finds nothing but realizations that no fee_realizer issued."""
        async with engine_for("auditor", self.url).connect() as connection:
            report = await verify(connection)
        assert [each for each in report.faults if each.check != "settled_realization"] == []


def files_of(folder: Path) -> dict[str, str]:
    """The text of every file."""
    return {
        path.name: "".join(
            line if '"command_id"' not in line else _masked(line)
            for line in path.read_text().splitlines(keepends=True)
        )
        for path in sorted(folder.iterdir())
    }


def _masked(line: str) -> str:
    return json.dumps(json.loads(line) | {"command_id": ""}) + "\n"


@pytest.fixture
async def firms(
    postgres: Database, template: str, configure: Configure
) -> AsyncIterator[tuple[Firm, Firm]]:
    """Two empty databases, on 2026-10-31."""
    configure(today="2026-10-31")
    names = [f"test_{uuid.uuid4().hex[:12]}" for _ in range(2)]
    made: list[Firm] = []
    engines: list[AsyncEngine] = []
    for name in names:
        await new_database(postgres.admin_url, name, template)
        url = database_address(postgres.url, name)
        units = {}
        for service, app in (("fee_realizer", fee_realizer), ("invoicer", invoicer)):
            engines.append(engine_for(service, url))
            builders_of = dict(app.service().builders)
            units[service] = UnitOfWork(service, engines[-1], RecordingProducer(), builders_of)  # type: ignore[arg-type]
        made.append(Firm(url, units))
    yield made[0], made[1]
    for engine in engines:
        await engine.dispose()
    for name in names:
        await run_sql(postgres.admin_url, f"DROP DATABASE {name} WITH (FORCE)")


async def live(firm: Firm) -> None:
    """Settings, facts, opening data, a batch with its credit note, credits by hand."""
    taxes = [{"tax_code": "VAT", "percent": "20", "from_date": "2020-01-01"}]
    await firm.command(
        "set-billing-company", billing_company=COMPANY, taxes=taxes, default_tax="VAT",
        go_live="2026-03-09", address="1 Main St\nNewark", name="Acme",
        logo=base64.b64encode(picture()).decode(),
    )  # fmt: skip
    await firm.command("set-time-group", time_group="weekly", cycle="weekly", ends_on="sunday")
    await firm.command("set-catalog-item", **CATALOG)
    await firm.consume("billto-changed", builders.node(address="2 Care Rd\nNewark", tax_id="M-1"))
    await firm.consume("requirement-changed", builders.requirement())
    account = {"billing_company": COMPANY, "account_name": "office-1 account"}
    await firm.command("set-debtor-terms", **account, address="3 New Rd", time_group="weekly")
    await firm.command("set-debtor-terms", **account, address="", from_date="2026-10-01")
    await firm.command("set-bill-rate", requirement_id="REQ-1", time_type="NIGHT",
                       effective_from="2026-01-01", bill_rate="60")  # fmt: skip
    number = {"series_prefix": "INV-", "last_number": 881, "last_date": "2026-03-10"}
    await firm.command("set-opening-number", billing_company=COMPANY, **number)
    await firm.command("load-opening-documents", billing_company=COMPANY, documents=[OLD_881])
    lines = {"T-9": "38", "T-1": "40"}
    for document, hours in lines.items():
        of = realization_line(hours, tax_code="VAT", rate_book=1)
        await firm.consume("pay-lines-realized", realization(document, 1, of))
    await firm.command("generate-batch", billing_company=COMPANY, cut_off_date="2026-10-31")
    for to, hours in (("write-off", "2"), ("rebill", "3")):
        await firm.command(
            "credit-invoice", billing_company=COMPANY, invoice_number="INV-000883", to=to,
            lines=[{"line_no": 1, "quantity": hours}],
        )  # fmt: skip
    await firm.command(
        "record-payment", **account, check_id="4711", received_on="2026-10-05", amount="500",
        currency="USD", apply_to=[{"invoice_number": "INV-000883", "amount": "100"}],
    )  # fmt: skip


async def take(firm: Firm, folder: Path) -> None:
    """Imports the exported files in the documented order."""
    for file, topic in (
        (SETTINGS, "operator-commands"),
        ("billto-changed.jsonl", "billto-changed"),
        ("requirement-changed.jsonl", "requirement-changed"),
        (DEBTOR_TERMS, "operator-commands"),
    ):
        values = [json.loads(line) for line in (folder / file).read_text().splitlines()]
        await firm.consume(topic, *values)
    for lines, problems in (
        read_catalog(folder / "catalog.csv", NEW),
        read_bill_rates(folder / "rates.csv", NEW),
        read_opening_numbers(folder / NUMBERS, NEW),
    ):
        assert not problems.shown
        await firm.consume("operator-commands", *(command for _, command in lines))
    problems = Problems()
    rows = read_opening_lines(folder / LINES, problems)
    async with open_snapshot(firm.url) as connection:
        known = await known_for_opening(
            connection, {COMPANY}, rows.names("account_name"), rows.names("requirement_id")
        )
    documents = list(documents_of(rows, known, LINES, problems))
    commands = commands_of(documents, NEW, LINES, problems)
    assert not problems.shown
    await firm.consume("operator-commands", *commands)
    values = [json.loads(line) for line in (folder / PAYMENTS).read_text().splitlines()]
    await firm.consume("operator-commands", *values)


async def test_an_export_can_be_imported_into_an_empty_database(
    firms: tuple[Firm, Firm], tmp_path: Path
) -> None:
    """Settings, facts and closed documents are the same again, what is forgiven is forgiven, what
    is to be billed again is open again, and the next number follows.
    """
    here, there = firms
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    await live(here)
    first = await here.export(tmp_path / "first")
    assert len(first[LINES].splitlines()) == 6
    assert [json.loads(line)["amount"] for line in first[PAYMENTS].splitlines()] == ["400"]
    assert OPERATOR_COMMAND.validate_json(first[SETTINGS].splitlines()[0].replace('""', '"x"', 1))
    await take(there, tmp_path / "first")
    assert await there.export(tmp_path / "second") == first
    for document, hours in (("T-9", "38"), ("T-1", "40")):
        # The lines cite the rate book of the import: a rate by command made it the second one.
        of = realization_line(hours, tax_code="VAT", rate_book=2)
        await there.consume("pay-lines-realized", realization(document, 1, of))
    open_lines = []
    for firm in firms:
        await firm.check()
        async with engine_for("auditor", firm.url).connect() as connection:
            found = await connection.exec_driver_sql(
                "SELECT document_id, trim_scale(quantity), trim_scale(amount)"
                " FROM invoicer.open_line JOIN invoicer.pay_line USING (pay_line_id)"
            )
            open_lines.append([(row[0], str(row[1]), str(row[2])) for row in found])
    assert open_lines == [[("T-1", "3", "150")]] * 2
