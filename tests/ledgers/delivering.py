"""The delivery engine in a test: closed documents in the database, a connection to a fake
ledger, engines that deliver.
"""

import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from services.arg_sync import subscriptions
from services.arg_sync.connections.handlers.adapters import binding_of
from services.arg_sync.deliveries.handlers.delivery_loop import DeliveryLoop
from services.arg_sync.ledgers.adapter import AdapterSpec
from services.arg_sync.ledgers.registry import adapter_specs
from services.arg_sync.subscriptions import MESSAGE_BUILDERS
from services.invoicer.invoices.store import messages
from shared import sealing
from shared.broker.producer import OutgoingMessage
from shared.broker.topics import OPERATOR_COMMANDS
from shared.consumer.unit_of_work import UnitOfWork
from tests.builders import COMPANY, command, record
from tests.conftest import Configure, EngineOf, UnitOfWorkFor, process
from tests.ledgers.fake import FakeServer, playing
from tests.ledgers.sample_ledger import TOKEN, SampleVendor

LEDGER = "gl-us"
FIRST_DAY = date(2026, 3, 1)
WAITS = (
    ("delivery", "next_attempt_at"),
    ("connection", "open_until"),
    ("customer", "claimed_until"),
    ("payment_cursor", "next_at", "polling_until"),
    ("reconciliation", "next_at"),
    ("secret", "login_after", "login_until", "renewing_until"),
    ("call_slot", "held_until"),
)
"""Moments until which something waits, by table."""

BATCH = """
INSERT INTO invoicer.batch (batch_id, billing_company, command_id, cut_off_date, invoice_date,
  first_number, last_number, documents, line_count, totals, actor,
  reason, generated_at) VALUES (:batch, :company, :batch, '2026-03-31', '2026-03-31', 'a', 'z', 1,
    1, '[]', 'pat', '', now()) ON CONFLICT DO NOTHING"""
INVOICE = """
INSERT INTO invoicer.invoice (billing_company, batch_id, series, number, invoice_number,
  document_type, account_name, currency, payment_terms, po_number,
  tax_regime, tax_wording, tax_basis, invoice_date, due_date, cut_off_date, service_from,
    service_to, net, tax, total, line_count, tax_totals, seller, buyer,
  closed_at)
VALUES (:company, :batch, 'INV-', :no, :number, :type, :account, 'USD', 'net:30', '', 'standard',
  '', 'line', :day, :due, :day, :day, :day, :net, :tax, :total,
  :lines, CAST(:taxes AS jsonb), '{"name": "Acme"}', CAST(:buyer AS jsonb),
    now()) RETURNING invoice_id"""
LINE = """
WITH p AS (
  INSERT INTO invoicer.pay_line (billing_company, document_kind, document_id, realization_no,
    line_key, line_kind, quantity, unit, unit_price, amount, currency,
    effective_date, service_from, service_to, accounting_period, week_ending, billto_node,
      requirement_id, worker_id, time_type, item_id, project, cost_center,
    po_number, tax_code, rate_version, rate_book, description, derivation, announce_when_due,
      corrects_invoice_id, corrects_line_no)
  VALUES (:company, 'timesheet', :doc, 1, :doc, 'timesheet', :quantity, 'HUR', :price, :amount,
    'USD', :day, :day, :day, 202603, :day, 'office-1', 'REQ-1',
    'W-1', 'REG', '', '', '', '', :code, '', 1, :words, '{}', false, CAST(:corrects AS bigint),
      CAST(:corrects_line AS integer)) RETURNING pay_line_id)
INSERT INTO invoicer.invoice_line (invoice_id, line_no, pay_line_id, billto_node, billto_level,
  tax_code, tax_rate, tax_amount)
SELECT :invoice, :line_no, pay_line_id, 'office-1', 3, :code, :rate, :tax FROM p"""


@dataclass(frozen=True)
class Closed:
    """A closed document in the database."""

    invoice_id: int
    number: str
    kind: str
    total: Decimal
    account: str


def _values(no: int, credits: Closed | None) -> list[tuple[Decimal, Decimal]]:
    """Return quantity and price of both lines; a credit note takes those of its invoice."""
    if credits is None:
        return [(Decimal(40), Decimal("50.00")), (Decimal("7.25"), _price(no))]
    credited = int("".join(filter(str.isdigit, credits.number)))
    return [(Decimal(-40), Decimal("50.00")), (Decimal("-7.25"), _price(credited))]


def _price(no: int) -> Decimal:
    return Decimal("33.33") + Decimal(no) / 100


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), rounding="ROUND_HALF_UP")


@dataclass
class Delivering:
    """arg_sync in a test, with its command dispatcher and as many engines as a test needs."""

    engine_of: EngineOf
    unit_of_work_for: UnitOfWorkFor
    kinds: dict[str, AdapterSpec] = field(default_factory=dict)
    closed: list[Closed] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.unit_of_work: UnitOfWork = self.unit_of_work_for("arg_sync", dict(MESSAGE_BUILDERS))

    async def rows(self, sql: str, **values: Any) -> list[Any]:
        """As the owner."""
        async with self.engine_of("owner").begin() as connection:
            result = await connection.execute(text(sql), values)
            return list(result.all()) if result.returns_rows else []

    async def connect(
        self, kind: AdapterSpec, url: str, ledger: str = LEDGER, auto: bool = True, **settings: str
    ) -> None:
        """A connection as the command leaves it, and a mapping of everything."""
        self.kinds[kind.name] = kind
        await self.rows(
            "INSERT INTO arg_sync.connection (ledger, kind, billing_company, settings, auto_sync,"
            " state, actor, connected_at)"
            " VALUES (:ledger, :kind, :company, CAST(:settings AS jsonb), :auto, 'connected',"
            " 'pat', now())",
            ledger=ledger,
            kind=kind.name,
            company=COMPANY,
            settings=json.dumps({"base_url": url} | settings),
            auto=auto,
        )
        await self.rows("INSERT INTO arg_sync.call_pacing VALUES (:ledger, now())", ledger=ledger)
        await self.seal({"token": TOKEN}, ledger)
        await self.map(ledger, account="4000", tax="T10")

    async def seal(self, secrets: Mapping[str, str], ledger: str = LEDGER) -> None:
        """Store these secrets, sealed for the connection as it is now."""
        (row,) = await self.rows(
            "SELECT kind, settings FROM arg_sync.connection WHERE ledger = :ledger", ledger=ledger
        )
        spec = self.kinds.get(row.kind) or adapter_specs()[row.kind]
        await self.rows(
            "INSERT INTO arg_sync.secret VALUES (:ledger, 1, :sealed) ON CONFLICT (ledger)"
            " DO UPDATE SET version = secret.version + 1, sealed = excluded.sealed,"
            " login_refused = ''",
            ledger=ledger,
            sealed=sealed_for(spec, row.settings, secrets, ledger),
        )

    async def move(self, url: str, changes: str = "") -> None:
        """Connect to another address with the secrets, as the command does; `changes` is SQL."""
        await self.rows(
            "UPDATE arg_sync.connection SET generation = generation + 1, settings ="
            f" jsonb_set(settings, '{{base_url}}', to_jsonb(CAST(:url AS text))){changes}",
            url=url,
        )
        await self.seal({"token": TOKEN})

    async def map(self, ledger: str = LEDGER, **codes: str) -> None:
        """Default codes; of tax the one for VAT."""
        for what, remote in codes.items():
            await self.rows(
                "INSERT INTO arg_sync.mapping VALUES (:ledger, :what, :code, :remote, 'pat', now())"
                " ON CONFLICT (ledger, what, code) DO UPDATE SET remote = excluded.remote",
                ledger=ledger,
                what=what,
                code="VAT" if what == "tax" else "",
                remote=remote,
            )

    async def close(
        self,
        number: str,
        *,
        account: str = "Mercy Hospital",
        credits: Closed | None = None,
        batch: str = "B-1",
        day: int = 0,
        due: date | None = None,
        company: str = COMPANY,
    ) -> Closed:
        """A document of two lines, the amounts of which follow its number; a credit note credits
        the whole of an invoice.
        """
        no = int("".join(filter(str.isdigit, number)))
        when = FIRST_DAY + timedelta(days=day)
        values = _values(no, credits)
        amounts = [_cents(quantity * price) for quantity, price in values]
        taxes = [_cents(amount / 10) for amount in amounts]
        net, tax = sum(amounts, Decimal(0)), sum(taxes, Decimal(0))
        await self.rows(BATCH, batch=batch, company=company)
        kind = "credit-note" if credits is not None else "invoice"
        parts = json.dumps([{"code": "VAT", "rate": "10", "net": str(net), "tax": str(tax)}])
        ((invoice_id,),) = await self.rows(
            INVOICE,
            company=company,
            batch=batch,
            no=no,
            number=number,
            type=kind,
            account=account,
            day=when,
            due=due or when + timedelta(days=30),
            net=net,
            tax=tax,
            total=net + tax,
            lines=2,
            taxes=parts,
            buyer=json.dumps({"name": account, "address": "2 Care Rd", "tax_id": ""}),
        )
        for at, ((quantity, price), amount, due) in enumerate(
            zip(values, amounts, taxes, strict=True), 1
        ):
            await self.rows(
                LINE,
                company=company,
                doc=f"{number}-{at}",
                quantity=quantity,
                price=price,
                amount=amount,
                day=when,
                code="VAT",
                words=f"Nurse · line {at}",
                corrects=credits.invoice_id if credits else None,
                corrects_line=at if credits else None,
                invoice=invoice_id,
                line_no=at,
                rate=Decimal(10),
                tax=due,
            )
        await self.rows(
            "INSERT INTO invoicer.invoice_seal VALUES (:id, :seal)",
            id=invoice_id,
            seal=f"seal of {number}",
        )
        self.closed.append(Closed(invoice_id, number, kind, abs(net + tax), account))
        return self.closed[-1]

    async def announced(self) -> tuple[list[OutgoingMessage], list[OutgoingMessage]]:
        """What the invoicer says of all that is closed: of the documents, and of their batch."""
        ids = [
            an_id for _, an_id in messages.invoice_chunks([one.invoice_id for one in self.closed])
        ]
        async with self.engine_of("invoicer").connect() as connection:
            return await messages.invoice_messages(connection, ids), await messages.batch_messages(
                connection, ["B-1"]
            )

    async def queue(self, *closed: Closed) -> None:
        """As `invoice-closed` does."""
        await self.unit_of_work.transact(
            lambda connection: _queue(connection, [one.invoice_id for one in closed or self.closed])
        )

    @contextlib.asynccontextmanager
    async def engine(self, holder: str = "w1") -> AsyncIterator[DeliveryLoop]:
        """A worker's engine."""
        engine = DeliveryLoop(self.unit_of_work, self.kinds, holder)
        try:
            yield engine
        finally:
            await engine.drain()

    async def deliver(self, holder: str = "w1", seconds: float = 60.0) -> None:
        """One engine works until nothing is due."""
        async with self.engine(holder) as engine:
            await engine.run_until_idle(seconds)

    async def hurry(self) -> None:
        """Time passes: what waits, waits no more; circuits close; leases end."""
        await self.rows(
            "UPDATE arg_sync.delivery SET next_attempt_at = now() WHERE state IN ('queued',"
            " 'unknown', 'sending')"
        )
        await self.rows("UPDATE arg_sync.connection SET open_until = NULL")
        await self.rows("UPDATE arg_sync.customer SET claimed_until = now() - interval '1 second'")
        await self.rows("DELETE FROM arg_sync.call_slot")

    async def pass_time(self, seconds: float) -> None:
        """Let this much time pass for every wait, claim and pause that is stored."""
        for table, *columns in WAITS:
            changes = ", ".join(
                f"{name} = {name} - make_interval(secs => CAST(:seconds AS float8))"
                for name in columns
            )
            await self.rows(f"UPDATE arg_sync.{table} SET {changes}", seconds=seconds)

    async def states(self) -> dict[str, str]:
        """State by number."""
        return {
            row.invoice_number: row.state
            for row in await self.rows(
                "SELECT invoice_number, state FROM arg_sync.delivery ORDER BY invoice_number"
            )
        }

    async def delivery(self, number: str) -> Any:
        """One."""
        (row,) = await self.rows(
            "SELECT * FROM arg_sync.delivery WHERE invoice_number = :n", n=number
        )
        return row

    async def tell(self, command_name: str, /, **values: Any) -> dict[str, Any]:
        """Gives a command to the command dispatcher and returns its result."""
        asked = command(command_name, **values)
        await process(
            self.unit_of_work,
            subscriptions.subscriptions()[OPERATOR_COMMANDS.name],
            [record(OPERATOR_COMMANDS.name, asked)],
        )
        return self.answer(asked.command_id)

    def answer(self, command_id: str) -> dict[str, Any]:
        """The last answer to a command; empty if there was none."""
        found = [
            json.loads(one.value) for one in self.said("command-results") if one.key == command_id
        ]
        return found[-1] if found else {}

    def said(self, topic: str) -> list[Any]:
        """What was said on a topic."""
        return [one for one in self.unit_of_work.producer.published if one.topic == topic]  # type: ignore[attr-defined]


def with_private_key(configure: Configure, folder: Path) -> None:
    """Let this process, and those with its environment, have a private key in this data folder."""
    configure(data=folder)
    sealing.make_private_key(sealing.key_file())


def sealed_for(
    spec: AdapterSpec, settings: Mapping[str, str], secrets: Mapping[str, str], ledger: str = LEDGER
) -> str:
    """The secrets as the console seals them for a connection with these settings."""
    public_key = sealing.public_key_of(sealing.read_private_key())
    return sealing.seal(secrets, public_key, binding_of(spec, ledger, settings))


@pytest.fixture
async def delivering(
    engine_of: EngineOf, unit_of_work_for: UnitOfWorkFor, configure: Configure, tmp_path: Path
) -> Delivering:
    """arg_sync on an empty database."""
    with_private_key(configure, tmp_path / "data")
    return Delivering(engine_of, unit_of_work_for)


@pytest.fixture
async def sample() -> AsyncIterator[FakeServer]:
    """A ledger that plays: a document in one call, without unique numbers."""
    async with playing(SampleVendor()) as server:
        yield server


async def _queue(connection: Any, ids: Sequence[int]) -> Any:
    from services.arg_sync.deliveries.store import deliveries
    from shared.consumer.records import Applied

    await deliveries.queue(connection, invoice_ids=ids, auto=True)
    return Applied()
