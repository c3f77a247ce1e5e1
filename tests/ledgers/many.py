"""Many closed documents at once, and a worker process for the smallest ledger: what throughput
and restarts are measured with.

`python -m tests.ledgers.many CONCURRENCY` works until it is killed; database and key come from the
settings.
"""

import asyncio
import sys
from dataclasses import replace
from typing import Any

from services.arg_sync.deliveries.handlers.delivery_loop import DeliveryLoop
from services.arg_sync.deliveries.handlers.lease_holders import holder_name
from services.arg_sync.subscriptions import MESSAGE_BUILDERS
from shared.consumer.unit_of_work import UnitOfWork
from shared.database import engine_for
from tests.builders import COMPANY
from tests.ledgers.delivering import BATCH, FIRST_DAY, Delivering
from tests.ledgers.sample_ledger import CAPABILITIES, SAMPLE

DOCUMENTS = """
INSERT INTO invoicer.invoice (billing_company, batch_id, series, number, invoice_number,
  document_type, account_name, currency, payment_terms, po_number,
  tax_regime, tax_wording, tax_basis, invoice_date, due_date, cut_off_date, service_from,
    service_to, net, tax, total, line_count, tax_totals, seller, buyer,
  closed_at)
SELECT :company, 'B-1', 'INV-', n, 'INV-' || lpad(n::text, 6, '0'), 'invoice', 'Mercy Hospital',
  'USD', 'net:30', '', 'standard', '', 'line', :day, :day, :day,
  :day, :day, 50, 0, 50, 1, '[]', '{"name": "Acme"}', '{"name": "Mercy Hospital"}', now()
    FROM generate_series(1, CAST(:most AS integer)) AS n"""
LINES = """
WITH p AS (
  INSERT INTO invoicer.pay_line (billing_company, document_kind, document_id, realization_no,
    line_key, line_kind, quantity, unit, unit_price, amount, currency,
    effective_date, service_from, service_to, accounting_period, week_ending, billto_node,
      requirement_id, worker_id, time_type, item_id, project, cost_center,
    po_number, tax_code, rate_version, rate_book, description, derivation, announce_when_due)
  SELECT :company, 'timesheet', 'T-' || i.invoice_id, 1, CAST(i.invoice_id AS text), 'timesheet',
    1, 'HUR', 50, 50, 'USD', :day, :day, :day, 202603, :day,
    'office-1', 'REQ-1', 'W-1', 'REG', '', '', '', '', '', '', 1, 'Nurse', '{}', false
      FROM invoicer.invoice i
  RETURNING pay_line_id, line_key)
INSERT INTO invoicer.invoice_line (invoice_id, line_no, pay_line_id, billto_node, billto_level,
  tax_code, tax_rate, tax_amount)
SELECT CAST(line_key AS bigint), 1, pay_line_id, 'office-1', 3, '', 0, 0 FROM p"""
TIMES: dict[str, Any] = {"request_seconds": 10.0, "server_seconds": 0.5}


async def fill_many(delivering: Delivering, documents: int) -> None:
    """So many invoices of one line and one customer, in one batch."""
    await delivering.rows(BATCH, batch="B-1", company=COMPANY)
    await delivering.rows(DOCUMENTS, company=COMPANY, day=FIRST_DAY, most=documents)
    await delivering.rows(LINES, company=COMPANY, day=FIRST_DAY)


async def queue_many(delivering: Delivering, documents: int) -> None:
    """So many invoices of one line and one customer, queued."""
    from services.arg_sync.deliveries.store import deliveries
    from shared.consumer.records import Applied

    await fill_many(delivering, documents)

    async def queue(connection: Any) -> Applied:
        assert await deliveries.queue(connection, batch_ids=["B-1"], auto=True) == documents
        return Applied()

    await delivering.unit_of_work.transact(queue)


class Silent:
    """Takes the place of the producer."""

    async def publish(self, records: object) -> None:
        """Publish nothing."""


async def work(concurrency: int) -> None:
    """Delivers to the sample until it is killed."""
    kind = replace(
        SAMPLE,
        capabilities=replace(CAPABILITIES, unique_number=True, concurrency=concurrency, **TIMES),
    )
    unit_of_work = UnitOfWork("arg_sync", engine_for("arg_sync"), Silent(), dict(MESSAGE_BUILDERS))  # type: ignore[arg-type]
    engine = DeliveryLoop(unit_of_work, {kind.name: kind}, holder_name("1"))
    while True:
        await engine.start_due_work()
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(work(int(sys.argv[1])))
