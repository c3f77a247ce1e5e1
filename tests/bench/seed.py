"""Fills the books of the invoicer as years of work would: nodes, lines, statements, closed documents. Set-based, as owner of the tables.

Nothing that a real table has is left out: each document has its head with a statement's body, each line its derivation and its row in
the place where it is, all keys and indexes stand while the rows come. Debtors are met in turn, so that the lines of one are spread
over the whole table, as they are when timesheets come in week by week.
"""

import json
from datetime import date

import asyncpg

from tests.bench.messages import COMPANY

TODAY = date(2026, 11, 30)
CUT_OFF = date(2026, 11, 29)
HISTORY_BATCHES = 12
LINES_A_DOCUMENT = 2
TAX_PERCENT = "8.25"
OFFICES_A_DEBTOR = 2

DERIVATION = json.dumps(
    {
        "sheet": "TS-00000001",
        "revision": "1",
        "hours": {f"2026-03-0{day}": "8" for day in range(2, 7)},
        "rate": {"from": "2020-01-01", "price": "50", "unit": "HUR", "source": "ats", "cited": "no"},
        "formula": "40 × 50.00 = 2000.00",
    }
)
BODY_FILLER = "x" * 1500
"""A statement of two lines as JSON has some 1,700 bytes."""

FACTS_SQL = (
    """INSERT INTO fee_realizer.billing_company (billing_company, known, name, address, tax_id, bank, default_tax)
       VALUES ($1, true, 'Bench Staffing Inc.', '1 Main Street, Springfield', '12-3456789', 'Bank 001', 'STD')""",
    f"INSERT INTO fee_realizer.tax_rate VALUES ($1, 'STD', '2020-01-01', {TAX_PERCENT})",
    "INSERT INTO invoicer.number_series VALUES ($1, 'INV-', 1, 1, NULL)",
)
NODES_SQL = """
INSERT INTO invoicer.billto_node (node_id, revision, level, parent_id, name, account_name, address, tax_id, body)
SELECT 'client-' || lpad(n::text, 6, '0'), 1, 2, NULL, 'Client ' || n, 'Client account ' || lpad(n::text, 6, '0'), n || ' High Street', 'T' || n, '{}'::jsonb
FROM generate_series(0, $1 - 1) AS n
UNION ALL
SELECT 'office-' || lpad(n::text, 6, '0'), 1, 3, 'client-' || lpad((n % $1)::text, 6, '0'), 'Office ' || n, '', '', '', '{}'::jsonb
FROM generate_series(0, $2 * $1 - 1) AS n"""

# Line n of a lot of so many lines over d debtors: debtor n % d, and every debtor's lines alternate between its offices.
LINES_SQL = f"""
INSERT INTO invoicer.pay_line (billing_company, document_kind, document_id, statement_no, line_key, line_kind, quantity, unit, unit_price, amount,
  currency, effective_date, service_from, service_to, accounting_period, week_ending, billto_node, requirement_id, worker_id, time_type, item_id,
  project, cost_center, po_number, tax_code, rate_version, rate_book, description, derivation, announce, day_minutes)
SELECT $1, 'timesheet', $2 || lpad((n / {LINES_A_DOCUMENT})::text, 8, '0'), 1,
  '["t","REQ-' || lpad((n % 3000)::text, 5, '0') || '","' || kind || '","2020-01-01@' || price || '","","",""]', 'timesheet',
  hours, 'HUR', price, hours * price, 'USD', week, week - 6, week - 2, extract(year FROM week)::int * 100 + extract(month FROM week)::int, week,
  'office-' || lpad((n % $6 + $6 * ((n / $6) % {OFFICES_A_DEBTOR}))::text, 6, '0'), 'REQ-' || lpad((n % 3000)::text, 5, '0'),
  worker, kind, '', '', '', '', '', '2020-01-01@' || price, 1,
  'Registered Nurse · ' || worker || ' · ' || kind || ' · week ending ' || week, $5::jsonb, false, CASE kind WHEN 'REG' THEN 480 ELSE 120 END
FROM (
  SELECT n, 'W-' || $2 || lpad((n / {LINES_A_DOCUMENT} * 7919 % 1000003)::text, 7, '0') AS worker,
         CASE n % {LINES_A_DOCUMENT} WHEN 0 THEN 'REG' ELSE 'OT' END AS kind, CASE n % {LINES_A_DOCUMENT} WHEN 0 THEN 50 ELSE 75 END AS price,
         CASE n % {LINES_A_DOCUMENT} WHEN 0 THEN 40 ELSE 4 + n % 3 END AS hours, $4::date - 7 * (n % 4)::integer AS week
  FROM generate_series(0, $3::bigint - 1) AS n) s
ORDER BY n"""
HEADS_SQL = f"""
INSERT INTO invoicer.settled_document (document_kind, document_id, statement_no, body)
SELECT 'timesheet', id, 1, '{{"document_kind":"timesheet","document_id":"' || id || '","statement_no":1,"statement_kind":"realized","lines":"' || $3 || '"}}'
FROM (SELECT $1 || lpad(n::text, 8, '0') AS id FROM generate_series(0, ($2::bigint + {LINES_A_DOCUMENT} - 1) / {LINES_A_DOCUMENT} - 1) AS n) s"""
OPEN_SQL = """
INSERT INTO {schema}.open_line (billing_company, pay_line_id, effective_date, week_ending, billto_node, correction)
SELECT billing_company, pay_line_id, effective_date, week_ending, billto_node, false FROM invoicer.pay_line WHERE pay_line_id > $1 ORDER BY pay_line_id"""

# History: every batch took the lines of its months for every debtor; line n of the lot is on document (batch, debtor).
OLD_BATCH_SQL = """
INSERT INTO {schema}.batch (batch_id, billing_company, command_id, cut_off_date, invoice_date, first_number, last_number, documents, line_count, totals,
  actor, reason, generated_at)
SELECT $2::text || b, $1, $2::text || b, '2025-01-31', '2025-02-01', 'OLD-' || (b * $3::int + 1), 'OLD-' || ((b + 1) * $3), $3, $4, '[]',
  'bench', 'bench', now()
FROM generate_series(0, $5 - 1) AS b"""
OLD_INVOICES_SQL = """
INSERT INTO {schema}.invoice (billing_company, batch_id, series, number, invoice_number, document_type, account_name, currency, payment_terms, po_number,
  tax_regime, tax_wording, tax_basis, invoice_date, due_date, cut_off_date, service_from, service_to, net, tax, total, line_count, tax_totals, seller, buyer,
  closed_at)
SELECT $1, $2::text || (n / $3), 'OLD-', n + 1, 'OLD-' || (n + 1), 'invoice', 'Client account ' || lpad((n % $3)::text, 6, '0'), 'USD', 'net:30', '',
  'standard', '', 'line', '2025-02-01', '2025-03-03', '2025-01-31', '2025-01-01', '2025-01-31', 100000, 8250, 108250, $4,
  '[{{"code": "STD", "rate": "8.25", "net": "100000.00", "tax": "8250.00"}}]',
  '{{"name": "Bench Staffing Inc.", "address": "1 Main Street, Springfield", "tax_id": "12-3456789", "bank": "Bank 001"}}',
  jsonb_build_object('name', 'Client ' || (n % $3), 'address', (n % $3) || ' High Street', 'tax_id', 'T' || (n % $3)), now()
FROM generate_series(0, $3::int * $5::int - 1) AS n"""
OLD_LINES_SQL = """
INSERT INTO {schema}.invoice_line (invoice_id, line_no, pay_line_id, billto_node, billto_level, tax_code, tax_rate, tax_amount)
SELECT $2::bigint + b * $3::int + d, k + 1, $1::bigint + b * $3::int * $4::int + k * $3::int + d, 'client-' || lpad(d::text, 6, '0'), 2, 'STD', 8.25, 165
FROM generate_series(0, $5 - 1) AS b, generate_series(0, $3 - 1) AS d, generate_series(0, $4 - 1) AS k
ORDER BY 1, 2"""
OLD_SEALS_SQL = """
INSERT INTO {schema}.invoice_seal
SELECT invoice_id, md5(invoice_id::text) || md5(invoice_number) FROM {schema}.invoice WHERE batch_id LIKE $1::text || '%' ORDER BY invoice_id"""

BARE_TABLES = ("open_line", "batch", "invoice", "invoice_line", "invoice_seal", "number_series")
BARE = "bare"


async def add_facts(connection: asyncpg.Connection, debtors: int) -> None:
    """The billing company, the debtors with their offices, and tables of the same shape for the bare way."""
    for statement in FACTS_SQL:
        await connection.execute(statement, COMPANY)
    await connection.execute(NODES_SQL, debtors, OFFICES_A_DEBTOR)
    await connection.execute(f"CREATE SCHEMA {BARE}")
    for table in BARE_TABLES:
        await connection.execute(f"CREATE TABLE {BARE}.{table} (LIKE invoicer.{table} INCLUDING ALL)")
    await connection.execute(f"ALTER TABLE {BARE}.invoice ADD FOREIGN KEY (batch_id) REFERENCES {BARE}.batch")
    await connection.execute(f"INSERT INTO {BARE}.number_series SELECT * FROM invoicer.number_series")


async def _add_lines(connection: asyncpg.Connection, lot: str, lines: int, debtors: int, last_week: date) -> int:
    """Pay lines with the heads of their documents; the highest id before them."""
    before = int(await connection.fetchval("SELECT coalesce(max(pay_line_id), 0) FROM invoicer.pay_line"))
    await connection.execute(LINES_SQL, COMPANY, f"{lot}-", lines, last_week, DERIVATION, debtors)
    await connection.execute(HEADS_SQL, f"{lot}-", lines, BODY_FILLER)
    return before


async def add_open_lines(connection: asyncpg.Connection, lot: str, lines: int, debtors: int) -> None:
    """Lines that a batch will take, open in both worlds."""
    before = await _add_lines(connection, lot, lines, debtors, CUT_OFF)
    for schema in ("invoicer", BARE):
        await connection.execute(OPEN_SQL.format(schema=schema), before)


async def add_history(connection: asyncpg.Connection, lot: str, lines: int, debtors: int) -> int:
    """Lines on closed documents of earlier batches, in both worlds; how many."""
    on_each = max(1, lines // (debtors * HISTORY_BATCHES))
    count = on_each * debtors * HISTORY_BATCHES
    before = await _add_lines(connection, lot, count, debtors, date(2025, 1, 26))
    for schema in ("invoicer", BARE):
        first_id = int(await connection.fetchval(f"SELECT coalesce(max(invoice_id), 0) + 1 FROM {schema}.invoice"))
        await connection.execute(OLD_BATCH_SQL.format(schema=schema), COMPANY, f"{lot}-", debtors, on_each * debtors, HISTORY_BATCHES)
        await connection.execute(OLD_INVOICES_SQL.format(schema=schema), COMPANY, f"{lot}-", debtors, on_each, HISTORY_BATCHES)
        await connection.execute(OLD_LINES_SQL.format(schema=schema), before + 1, first_id, debtors, on_each, HISTORY_BATCHES)
        await connection.execute(OLD_SEALS_SQL.format(schema=schema), f"{lot}-")
    return count


async def settle_down(connection: asyncpg.Connection) -> None:
    """What autovacuum would have done meanwhile, and a checkpoint, so that no way pays for another's rows."""
    await connection.execute("VACUUM (ANALYZE)")
    await connection.execute("CHECKPOINT")
