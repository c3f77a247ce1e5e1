"""Fill the tables of the invoicer as years of work would. Set-based, as their owner.

Nothing of a real table is left out: each document has its head with the body of a realization,
each line its derivation and its row in its place, and all keys and indexes exist during the
inserts. Debtors alternate, so that the lines of one are spread over the whole table, as when
timesheets arrive week by week.
"""

import json
from dataclasses import dataclass, replace
from datetime import date, timedelta

import asyncpg

from tests.bench.messages import COMPANY

IDLE = "bench-idle"
TODAY = date(2026, 11, 30)
CUT_OFF = date(2026, 11, 29)
HISTORY_BATCHES = 12
LINES_A_DOCUMENT = 2
WEEKS_OF_A_LOT = 4
TAX_PERCENT = "8.25"
OFFICES_A_DEBTOR = 2


@dataclass(frozen=True)
class Shape:
    """What makes a batch different, as SQL about debtor number `d` and, of a line, its `place`.

    The place is computed from the line's number `n` and the number of debtors `$6`. Lines of one
    place have the same debtor, requirement and week.
    """

    name: str = "batch"
    currency: str = "'USD'"
    po_number: str = "''"
    place: str = "n"
    week: str = "$4::date - 7 * (place % 4)::integer"
    payment_terms: str = "'net:30'"
    regime: str = "'standard'"
    wording: str = "''"
    tax_rate: str = "8.25"
    only: str = "true"


PLAIN = Shape()

# A third of the debtors is billed weekly, a third fortnightly, the others by the cut-off alone. The
# last fortnight ended a week before the cut-off: debtors of that cycle have lines of their four
# weeks up to then, and some of the week after it, which stay open.
FORTNIGHT_ENDED = date(2026, 11, 22)
WEEKLY, FORTNIGHTLY = "d % 3 = 0", "d % 3 = 1"
REVERSE_CHARGE = "d % 10 = 7"
CYCLES = Shape(
    name="cycles",
    currency="CASE (d / 3) % 2 WHEN 0 THEN 'USD' ELSE 'EUR' END",
    po_number=f"'PO-' || (place / ($6 * {OFFICES_A_DEBTOR})) % 2 + 1",
    place=f"n / {LINES_A_DOCUMENT}",
    week=f"$4::date - 7 * (place % 4)::integer - CASE WHEN {FORTNIGHTLY} THEN 7 ELSE 0 END",
    payment_terms="CASE (d / 6) % 2 WHEN 0 THEN 'net:30' ELSE 'net:15' END",
    regime=f"CASE WHEN {REVERSE_CHARGE} THEN 'reverse-charge' ELSE 'standard' END",
    wording=f"CASE WHEN {REVERSE_CHARGE} THEN 'Reverse charge: tax is due by the buyer' ELSE ''"
    " END",
    tax_rate=f"CASE WHEN {REVERSE_CHARGE} THEN 0 ELSE 8.25 END",
)
NOT_YET = replace(CYCLES, week="$4::date", only=FORTNIGHTLY)
"""Lines of the week after the fortnight, which no batch takes yet."""
OF_A_HUNDRED = 1
"""How many of a hundred lines are credits, how many debits of adjusted timesheets, and how many
more stay open.
"""
CREDITED_HOURS = 2

DERIVATION = json.dumps(
    {
        "timesheet": "TS-00000001",
        "revision": "1",
        "hours": {f"2026-03-0{day}": "8" for day in range(2, 7)},
        "rate": {
            "from": "2020-01-01",
            "price": "50",
            "unit": "HUR",
            "source": "ats",
            "cited": "no",
        },
        "formula": "40 × 50.00 = 2000.00",
    }
)
BODY_FILLER = "x" * 1500
"""A statement of two lines as JSON has some 1,700 bytes."""

FACTS_SQL = (
    """INSERT INTO fee_realizer.billing_company (billing_company, known, name, address, tax_id,
        bank, default_tax)
       VALUES ($1, true, 'Bench Staffing Inc.', '1 Main Street, Springfield', '12-3456789',
           'Bank 001', 'STD')""",
    f"INSERT INTO fee_realizer.billing_company (billing_company, known) SELECT '{IDLE}', true"
    " WHERE $1 <> ''",
    f"INSERT INTO fee_realizer.tax_rate VALUES ($1, 'STD', '2020-01-01', {TAX_PERCENT})",
    "INSERT INTO invoicer.number_series VALUES ($1, 'INV-', 1, 1, NULL)",
)
NODES_SQL = """
INSERT INTO invoicer.billto_node (node_id, revision, level, parent_id, name, account_name, address,
    tax_id, body)
SELECT 'client-' || lpad(n::text, 6, '0'), 1, 2, NULL, 'Client ' || n, 'Client account '
    || lpad(n::text, 6, '0'), n || ' High Street', 'T' || n, '{}'::jsonb
FROM generate_series(0, $1 - 1) AS n
UNION ALL
SELECT 'office-' || lpad(n::text, 6, '0'), 1, 3, 'client-' || lpad((n % $1)::text, 6, '0'),
    'Office ' || n, '', '', '', '{}'::jsonb
FROM generate_series(0, $2 * $1 - 1) AS n"""

# A lot of so many lines: every debtor's lines alternate between its offices.
LINES_SQL = """
INSERT INTO invoicer.pay_line (billing_company, document_kind, document_id, realization_no,
    line_key, line_kind, quantity, unit, unit_price, amount,
  currency, effective_date, service_from, service_to, accounting_period, week_ending, billto_node,
      requirement_id, worker_id, time_type, item_id,
  project, cost_center, po_number, tax_code, rate_version, rate_book, description, derivation,
      announce_when_due, day_minutes)
SELECT $1, 'timesheet', $2 || lpad((n / {of_a_document})::text, 8, '0'), 1,
  '["t","REQ-' || lpad((place % 3000)::text, 5, '0') || '","' || kind || '","2020-01-01@' || price
      || '","","",""]', 'timesheet',
  hours, 'HUR', price, hours * price, {currency}, week, week - 6, week - 2, extract(year
      FROM week)::int * 100 + extract(month FROM week)::int, week,
  'office-' || lpad((d + $6 * ((place / $6) % {of_a_debtor}))::text, 6, '0'), 'REQ-'
      || lpad((place % 3000)::text, 5, '0'),
  worker, kind, '', '', '', {po_number}, '', '2020-01-01@' || price, 1,
  'Registered Nurse · ' || worker || ' · ' || kind || ' · week ending ' || week, $5::jsonb, false,
      CASE kind WHEN 'REG' THEN 480 ELSE 120 END
FROM (
  SELECT n, place, d, 'W-' || $2 || lpad((n / {of_a_document} * 7919 % 1000003)::text, 7, '0')
      AS worker,
         CASE n % {of_a_document} WHEN 0 THEN 'REG' ELSE 'OT' END AS kind, CASE n % {of_a_document}
             WHEN 0 THEN 50 ELSE 75 END AS price,
         CASE n % {of_a_document} WHEN 0 THEN 40 ELSE 4 + n % 3 END AS hours, {week} AS week
  FROM (SELECT n, {place} AS place, {place} % $6 AS d FROM generate_series(0, $3::bigint - 1)
      AS n) m WHERE {only}) s
ORDER BY n"""
HEADS_SQL = f"""
INSERT INTO invoicer.settled_document (document_kind, document_id, realization_no, body)
SELECT 'timesheet', id, 1, '{{"document_kind":"timesheet","document_id":"' || id
     || '","realization_no":1,"realization_kind":"realized","lines":"' || $3 || '"}}'
FROM (SELECT $1 || lpad(n::text, 8, '0') AS id FROM generate_series(0,
    ($2::bigint + {LINES_A_DOCUMENT} - 1) / {LINES_A_DOCUMENT} - 1) AS n) s"""
OPEN_SQL = """
INSERT INTO {schema}.open_line (billing_company, pay_line_id, effective_date, week_ending,
    billto_node, correction)
SELECT billing_company, pay_line_id, effective_date, week_ending, billto_node, $2
    FROM invoicer.pay_line WHERE pay_line_id > $1 ORDER BY pay_line_id"""

# History: every batch took the lines of its months for every debtor; line n of the lot is on
# document (batch, debtor).
OLD_BATCH_SQL = """
INSERT INTO {schema}.batch (batch_id, billing_company, command_id, cut_off_date, invoice_date,
    first_number, last_number, documents, line_count, totals,
  actor, reason, generated_at)
SELECT $2::text || b, $1, $2::text || b, '2025-01-31', '2025-02-01', 'OLD-' || (b * $3::int + 1),
    'OLD-' || ((b + 1) * $3), $3, $4, '[]',
  'bench', 'bench', now()
FROM generate_series(0, $5 - 1) AS b"""
OLD_INVOICES_SQL = """
INSERT INTO {schema}.invoice (billing_company, batch_id, series, number, invoice_number,
    document_type, account_name, currency, payment_terms, po_number,
  tax_regime, tax_wording, tax_basis, invoice_date, due_date, cut_off_date, service_from,
      service_to, net, tax, total, line_count, tax_totals, seller, buyer,
  closed_at)
SELECT $1, $2::text || (n / $3), 'OLD-', n + 1, 'OLD-' || (n + 1), 'invoice', 'Client account '
    || lpad(d::text, 6, '0'), {shape.currency},
  {shape.payment_terms}, {shape.po_number}, {shape.regime}, {shape.wording}, 'line', '2025-02-01',
      '2025-03-03', '2025-01-31', '2025-01-01', '2025-01-31',
  100000, 8250, 108250, $4,
      '[{{"code": "STD", "rate": "8.25", "net": "100000.00", "tax": "8250.00"}}]',
  '{{"name": "Bench Staffing Inc.", "address": "1 Main Street, Springfield",
     "tax_id": "12-3456789", "bank": "Bank 001"}}',
  jsonb_build_object('name', 'Client ' || d, 'address', d || ' High Street', 'tax_id', 'T' || d),
      now()
FROM (SELECT n, n % $3 AS d FROM generate_series(0, $3::int * $5::int - 1) AS n) s"""
OLD_LINES_SQL = """
INSERT INTO {schema}.invoice_line (invoice_id, line_no, pay_line_id, billto_node, billto_level,
    tax_code, tax_rate, tax_amount)
SELECT $2::bigint + b * $3::int + d, k + 1, pay_line_id, 'client-' || lpad(d::text, 6, '0'), 2,
    'STD', {shape.tax_rate},
       round(amount * {shape.tax_rate} / 100, 2)
FROM (SELECT pay_line_id, amount, (pay_line_id - $1::bigint) / ($3::int * $4::int) AS b,
    (pay_line_id - $1::bigint) % $3::int AS d,
             (pay_line_id - $1::bigint) / $3::int % $4::int AS k
      FROM invoicer.pay_line WHERE pay_line_id >= $1::bigint
          AND pay_line_id < $1::bigint + $3::int * $4::int * $5::int) l
ORDER BY 1, 2"""
OLD_SEALS_SQL = """
INSERT INTO {schema}.invoice_seal
SELECT invoice_id, md5(invoice_id::text) || md5(invoice_number) FROM {schema}.invoice
    WHERE batch_id LIKE $1::text || '%' ORDER BY invoice_id"""

# What the terms of debtors say; every second debtor's differ from the billing company's.
CYCLES_SQL = (
    "INSERT INTO invoicer.time_group (time_group, cycle, ends_on) VALUES ('weeks', 'weekly',"
    " 'sunday')",
    "INSERT INTO invoicer.time_group (time_group, cycle, anchor) VALUES ('fortnights',"
    f" 'fortnightly', '{FORTNIGHT_ENDED}')",
)
TERMS_SQL = f"""
INSERT INTO invoicer.debtor_terms (billing_company, account_name, from_date, payment_terms,
    tax_regime, time_group)
SELECT $1, 'Client account ' || lpad(d::text, 6, '0'), '1970-01-01', {CYCLES.payment_terms},
    {CYCLES.regime},
       CASE WHEN {WEEKLY} THEN 'weeks' WHEN {FORTNIGHTLY} THEN 'fortnights' ELSE '' END
FROM generate_series(0, $2 - 1) AS d"""

# Timesheets of closed documents were adjusted: some hours less is a credit that names the invoice
# line, an hour more is a debit. The lines that are corrected lie all over the history, and nothing
# has corrected them before.
ADJUSTED_SQL = f"""
INSERT INTO invoicer.pay_line (billing_company, document_kind, document_id, realization_no,
    line_key, line_kind, quantity, unit, unit_price, amount,
  currency, effective_date, service_from, service_to, accounting_period, week_ending, billto_node,
      requirement_id, worker_id, time_type, item_id,
  project, cost_center, po_number, tax_code, rate_version, rate_book, description, derivation,
      announce_when_due, day_minutes, corrects_invoice_id, corrects_line_no)
SELECT billing_company, document_kind, document_id, 2, line_key, line_kind, more, unit, unit_price,
    more * unit_price,
  currency, effective_date, service_from, service_to, accounting_period, week_ending, billto_node,
      requirement_id, worker_id, time_type, item_id,
  project, cost_center, po_number, tax_code, rate_version, rate_book, description, derivation,
      false, day_minutes,
  CASE WHEN more < 0 THEN invoice_id END, CASE WHEN more < 0 THEN line_no END
FROM (SELECT p.*, l.invoice_id, l.line_no, CASE
    WHEN row_number() OVER (ORDER BY hashint8(p.pay_line_id)) > $1 THEN 1 ELSE -{CREDITED_HOURS}
    END AS more
      FROM invoicer.invoice_line l JOIN invoicer.pay_line p USING (pay_line_id)
      ORDER BY hashint8(p.pay_line_id) LIMIT 2 * $1) s"""

BARE_TABLES = ("open_line", "batch", "invoice", "invoice_line", "invoice_seal", "number_series")
BARE = "bare"


async def add_facts(connection: asyncpg.Connection, debtors: int) -> None:
    """The billing company, debtors with their offices, and tables of the same shape for bare
    SQL.
    """
    for statement in FACTS_SQL:
        await connection.execute(statement, COMPANY)
    await connection.execute(NODES_SQL, debtors, OFFICES_A_DEBTOR)
    await connection.execute(f"CREATE SCHEMA {BARE}")
    for table in BARE_TABLES:
        await connection.execute(
            f"CREATE TABLE {BARE}.{table} (LIKE invoicer.{table} INCLUDING ALL)"
        )
    await connection.execute(
        f"ALTER TABLE {BARE}.invoice ADD FOREIGN KEY (batch_id) REFERENCES {BARE}.batch"
    )
    await connection.execute(
        f"INSERT INTO {BARE}.number_series SELECT * FROM invoicer.number_series"
    )


async def add_cycles(connection: asyncpg.Connection, debtors: int) -> None:
    """Two billing cycles, and terms for every debtor."""
    for statement in CYCLES_SQL:
        await connection.execute(statement)
    await connection.execute(TERMS_SQL, COMPANY, debtors)


async def _add_lines(
    connection: asyncpg.Connection,
    lot: str,
    lines: int,
    debtors: int,
    last_week: date,
    shape: Shape,
) -> int:
    """Pay lines with the heads of their documents; returns the highest id before them."""
    before = int(
        await connection.fetchval("SELECT coalesce(max(pay_line_id), 0) FROM invoicer.pay_line")
    )
    statement = LINES_SQL.format(
        of_a_document=LINES_A_DOCUMENT, of_a_debtor=OFFICES_A_DEBTOR, **vars(shape)
    )
    await connection.execute(statement, COMPANY, f"{lot}-", lines, last_week, DERIVATION, debtors)
    await connection.execute(HEADS_SQL, f"{lot}-", lines, BODY_FILLER)
    return before


async def _open(connection: asyncpg.Connection, before: int, *, correction: bool = False) -> None:
    """Open the lines above an id for both ways."""
    for schema in ("invoicer", BARE):
        await connection.execute(OPEN_SQL.format(schema=schema), before, correction)


async def add_open_lines(
    connection: asyncpg.Connection, lot: str, lines: int, debtors: int, lots_to_come: int
) -> None:
    """Lines that a batch takes, open for both ways: of four weeks that no other set has."""
    last_week = CUT_OFF - timedelta(weeks=WEEKS_OF_A_LOT * lots_to_come)
    await _open(connection, await _add_lines(connection, lot, lines, debtors, last_week, PLAIN))


async def add_open_lines_of_cycles(
    connection: asyncpg.Connection, lot: str, lines: int, debtors: int
) -> None:
    """Lines that a batch takes, 2 % of them corrections, and lines that stay open."""
    each = lines * OF_A_HUNDRED // 100
    await _open(
        connection, await _add_lines(connection, lot, lines - 2 * each, debtors, CUT_OFF, CYCLES)
    )
    await _open(
        connection, await _add_lines(connection, f"{lot}-N", 3 * each, debtors, CUT_OFF, NOT_YET)
    )
    before = int(await connection.fetchval("SELECT max(pay_line_id) FROM invoicer.pay_line"))
    await connection.execute(ADJUSTED_SQL, each)
    await _open(connection, before, correction=True)


async def add_history(
    connection: asyncpg.Connection, lot: str, lines: int, debtors: int, shape: Shape = PLAIN
) -> int:
    """Lines on closed documents of earlier batches, for both ways; returns their number."""
    on_each = max(1, lines // (debtors * HISTORY_BATCHES))
    count = on_each * debtors * HISTORY_BATCHES
    old = replace(
        shape,
        po_number="'PO-1'" if shape.po_number != PLAIN.po_number else PLAIN.po_number,
        place=PLAIN.place,
        week=PLAIN.week,
    )
    before = await _add_lines(connection, lot, count, debtors, date(2025, 1, 26), old)
    for schema in ("invoicer", BARE):
        first_id = int(
            await connection.fetchval(
                f"SELECT coalesce(max(invoice_id), 0) + 1 FROM {schema}.invoice"
            )
        )
        await connection.execute(
            OLD_BATCH_SQL.format(schema=schema),
            COMPANY,
            f"{lot}-",
            debtors,
            on_each * debtors,
            HISTORY_BATCHES,
        )
        await connection.execute(
            OLD_INVOICES_SQL.format(schema=schema, shape=old),
            COMPANY,
            f"{lot}-",
            debtors,
            on_each,
            HISTORY_BATCHES,
        )
        await connection.execute(
            OLD_LINES_SQL.format(schema=schema, shape=old),
            before + 1,
            first_id,
            debtors,
            on_each,
            HISTORY_BATCHES,
        )
        await connection.execute(OLD_SEALS_SQL.format(schema=schema), f"{lot}-")
    return count


async def settle_down(connection: asyncpg.Connection) -> None:
    """Vacuum and analyze, and a checkpoint, so that no way pays for the rows of another."""
    await connection.execute("VACUUM (ANALYZE)")
    await connection.execute("CHECKPOINT")
