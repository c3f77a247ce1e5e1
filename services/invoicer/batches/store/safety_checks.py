"""Finds the workdays in a batch that cannot be. Looks at every line once and narrowly, and closely only at what may be wrong.

`suspect_days`: the workers and spans of days in which the lines of one worker come from several documents or requirements, or whose most hours
a day add up to more than the bound. Only for these is the statement in force of each document read, day by day (`worked_time`).

A batch is held against itself and against what is invoiced already for the same weeks: history is found by the service period of closed
documents and by whose time stands on them, never by reading all pay lines. What corrects an invoiced line widens no search: its original
was held against the others before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.rules import reasons
from services.invoicer.batches.rules.health_snapshot import NONE, CountedIds
from services.invoicer.batches.rules.safety_checks import (
    HOURS_OVER_BOUND,
    WORKED_TWICE,
    SafetyViolation,
    UnsafeDebtor,
)
from shared.database import rows, run

MOST_IDS = 20

# The weeks that a batch bills; `irregular`: a day lies outside of its week, so that weeks say nothing of which lines share a day.
WEEKS_SQL = """
CREATE TEMP TABLE batch_week ON COMMIT DROP AS
SELECT week_ending, bool_or(service_from < week_ending - 6 OR service_to > week_ending) AS irregular, bool_or(NOT correction) AS has_originals,
       min(service_from) AS first_day, max(service_to) AS last_day
FROM selected_line WHERE exclusion_reason = 0 AND is_time GROUP BY week_ending"""

# Closed documents whose service period touches one of the weeks; of these the ones with time of the same workers; of these the lines. In most
# batches there are few or none.
NEARBY_INVOICES_SQL = """
CREATE TEMP TABLE nearby_invoice ON COMMIT DROP AS
SELECT DISTINCT i.invoice_id FROM batch_week w
JOIN invoicer.invoice i ON i.billing_company = :company AND i.service_to >= w.first_day AND i.service_from <= w.last_day
WHERE w.has_originals"""
SHARED_WORKER_INVOICES_SQL = """
CREATE TEMP TABLE shared_worker_invoice ON COMMIT DROP AS
SELECT DISTINCT u.invoice_id FROM (
  SELECT i.invoice_id, unnest(i.worker_hashes) AS worker FROM nearby_invoice n JOIN invoicer.invoice_worker i ON i.invoice_id = n.invoice_id) u
WHERE u.worker IN (SELECT worker FROM selected_line WHERE exclusion_reason = 0 AND is_time)"""
INVOICED_TIME_SQL = """
CREATE TEMP TABLE invoiced_time ON COMMIT DROP AS
SELECT hashtextextended(p.worker_id, 0) AS worker, hashtextextended(p.requirement_id, hashtextextended(p.document_id, 0)) AS work_key, p.day_minutes,
       p.pay_line_id, p.week_ending, p.service_from, p.service_to
FROM shared_worker_invoice i
JOIN invoicer.invoice_line il ON il.invoice_id = i.invoice_id
JOIN invoicer.pay_line p ON p.pay_line_id = il.pay_line_id
WHERE p.line_kind = 'timesheet' AND p.corrects_invoice_id IS NULL
  AND EXISTS (SELECT FROM batch_week w WHERE p.service_to >= w.first_day AND p.service_from <= w.last_day)"""
NO_ROWS = " LIMIT 0"

BATCH_TIME_SQL = "SELECT worker, work_key, day_minutes, pay_line_id, week_ending, service_from, service_to, true AS in_batch FROM selected_line WHERE exclusion_reason = 0 AND is_time"
ALL_TIME_SQL = f"{BATCH_TIME_SQL} UNION ALL SELECT *, false FROM invoiced_time"

IS_SUSPECT = "bool_or(in_batch) AND (min(work_key) <> max(work_key) OR sum(day_minutes) > CAST(:most AS integer) * 60)"
# Weeks that all end on one day share no day, and the lines of a worker can be added up week by week; they lie within those days, so that
# nothing more need be gathered of a million of them.
BY_WEEK_SQL = f"""
CREATE TEMP TABLE suspect_days ON COMMIT DROP AS
SELECT worker, week_ending - 6 AS first_day, week_ending AS last_day FROM ({{lines}}) l GROUP BY worker, week_ending HAVING {IS_SUSPECT}"""
# Else lines belong together as long as one begins before those before it have ended.
BY_SPAN_SQL = f"""
CREATE TEMP TABLE suspect_days ON COMMIT DROP AS
SELECT worker, min(service_from) AS first_day, max(service_to) AS last_day
FROM (SELECT *, count(*) FILTER (WHERE starts_span) OVER (PARTITION BY worker ORDER BY service_from, service_to, pay_line_id) AS span
      FROM (SELECT *, service_from > max(service_to) OVER (PARTITION BY worker ORDER BY service_from, service_to, pay_line_id
                                                          ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS starts_span
            FROM ({{lines}}) l) a) s
GROUP BY worker, span HAVING {IS_SUSPECT}"""

WORKED_TIME_SQL = f"""
CREATE TEMP TABLE worked_time ON COMMIT DROP AS
SELECT l.line ->> 'worker_id' AS worker_id, CAST(h.key AS date) AS day, l.line ->> 'requirement_id' AS requirement_id,
       l.line ->> 'time_type' AS time_type, d.document_id, CASE WHEN l.line ->> 'unit' = 'HUR' THEN CAST(h.value AS numeric) ELSE 0 END AS hours
FROM (SELECT DISTINCT p.document_kind, p.document_id
      FROM suspect_days s JOIN ({ALL_TIME_SQL}) a ON a.worker = s.worker AND a.service_from <= s.last_day AND a.service_to >= s.first_day
      JOIN invoicer.pay_line p ON p.pay_line_id = a.pay_line_id) d
JOIN invoicer.settled_document h0 ON h0.document_kind = d.document_kind AND h0.document_id = d.document_id
CROSS JOIN LATERAL jsonb_array_elements(CAST(nullif(h0.body, '') AS jsonb) -> 'lines') AS l(line)
CROSS JOIN LATERAL jsonb_each_text(l.line -> 'derivation' -> 'hours') AS h
WHERE l.line ->> 'line_kind' = 'timesheet' AND l.line ->> 'billing_company' = :company"""

VIOLATIONS_SQL = f"""
CREATE TEMP TABLE safety_violation ON COMMIT DROP AS
SELECT '{HOURS_OVER_BOUND}' AS code, worker_id, day, '' AS requirement_id, '' AS time_type, sum(hours) AS hours, array_agg(DISTINCT document_id) AS document_ids
FROM worked_time GROUP BY worker_id, day HAVING sum(hours) > :most
UNION ALL
SELECT '{WORKED_TWICE}', worker_id, day, requirement_id, time_type, sum(hours), array_agg(DISTINCT document_id)
FROM worked_time GROUP BY worker_id, day, requirement_id, time_type HAVING count(DISTINCT document_id) > 1"""

# Whose lines in this batch they are, and the first of each debtor and code.
UNSAFE_DEBTORS_SQL = f"""
SELECT * FROM (
  SELECT DISTINCT ON (debtor_no, code) debtor_no, code, worker_id, day, requirement_id, time_type, hours, document_ids,
         count(*) OVER one AS days
  FROM (SELECT DISTINCT k.debtor_no, f.*
        FROM safety_violation f CROSS JOIN LATERAL unnest(f.document_ids) AS u(document_id)
        JOIN invoicer.pay_line p ON p.document_id = u.document_id AND p.document_kind = 'timesheet' AND p.worker_id = f.worker_id
          AND f.day BETWEEN p.service_from AND p.service_to
          AND (f.code = '{HOURS_OVER_BOUND}' OR (p.requirement_id = f.requirement_id AND p.time_type = f.time_type))
        JOIN selected_line k ON k.pay_line_id = p.pay_line_id AND k.exclusion_reason = 0 AND k.is_time) o
  WINDOW one AS (PARTITION BY debtor_no, code)
  ORDER BY debtor_no, code, worker_id COLLATE "C", day, requirement_id COLLATE "C", time_type COLLATE "C") d
CROSS JOIN LATERAL (SELECT array_agg(i.id) AS all_ids FROM (
  SELECT DISTINCT u.id COLLATE "C" AS id FROM safety_violation f CROSS JOIN LATERAL unnest(f.document_ids) AS u(id)
  JOIN invoicer.pay_line p ON p.document_id = u.id AND p.document_kind = 'timesheet' JOIN selected_line k ON k.pay_line_id = p.pay_line_id
  WHERE f.code = d.code AND k.debtor_no = d.debtor_no AND k.exclusion_reason = 0 ORDER BY 1 LIMIT {MOST_IDS}) i) a"""

TWO_REQUIREMENTS_SQL = f"""
SELECT worker_id || ' on ' || day AS id, count(*) OVER () AS number
FROM worked_time GROUP BY worker_id, day HAVING count(DISTINCT requirement_id) > 1 ORDER BY worker_id COLLATE "C", day LIMIT {MOST_IDS}"""


@dataclass(frozen=True, slots=True)
class SafetyResult:
    """What stands against debtors, and the workers' days on different requirements."""

    unsafe: Sequence[UnsafeDebtor] = ()
    double_days: CountedIds = NONE


async def find_unsafe_debtors(
    connection: AsyncConnection, billing_company: str, most: int
) -> SafetyResult:
    """Looks at the lines that are in. Call it after `select_lines`."""
    await run(connection, WEEKS_SQL)
    weeks = await rows(
        connection, "SELECT extract(isodow FROM week_ending) AS day, irregular FROM batch_week"
    )
    if not weeks:
        return SafetyResult()
    near = await _find_shared_worker_invoices(connection, billing_company)
    await run(connection, INVOICED_TIME_SQL if near else INVOICED_TIME_SQL + NO_ROWS)
    by_week = not any(week.irregular for week in weeks) and len({week.day for week in weeks}) == 1
    if by_week and near:
        ((by_week,),) = await rows(
            connection,
            "SELECT coalesce(bool_and(extract(isodow FROM week_ending) = :day AND service_from >= week_ending - 6 AND service_to <= week_ending), true)"
            " FROM invoiced_time",
            day=weeks[0].day,
        )
    await run(
        connection,
        (BY_WEEK_SQL if by_week else BY_SPAN_SQL).format(
            lines=ALL_TIME_SQL if near else BATCH_TIME_SQL
        ),
        most=most,
    )
    ((suspects,),) = await rows(connection, "SELECT count(*) FROM suspect_days")
    if not suspects:
        return SafetyResult()
    await run(connection, "ANALYZE suspect_days")
    await run(connection, WORKED_TIME_SQL, company=billing_company)
    await run(connection, "ANALYZE worked_time")
    await run(connection, VIOLATIONS_SQL, most=most)
    await run(connection, "ANALYZE safety_violation")
    double = await rows(connection, TWO_REQUIREMENTS_SQL)
    return SafetyResult(
        [_unsafe(row) for row in await rows(connection, UNSAFE_DEBTORS_SQL)],
        CountedIds(double[0].number, tuple(row.id for row in double)) if double else NONE,
    )


async def _find_shared_worker_invoices(connection: AsyncConnection, billing_company: str) -> int:
    """How many closed documents may share a worker's day with the batch."""
    if await run(connection, NEARBY_INVOICES_SQL, company=billing_company):
        await run(connection, "ANALYZE nearby_invoice")
    met = await run(connection, SHARED_WORKER_INVOICES_SQL)
    if met:
        await run(connection, "ANALYZE shared_worker_invoice")
    return met


async def add_workers(connection: AsyncConnection) -> None:
    """Keeps whose time stands on the documents that were just closed."""
    await run(
        connection,
        "INSERT INTO invoicer.invoice_worker (invoice_id, worker_hashes) SELECT d.invoice_id, array_agg(k.worker) FROM selected_line k"
        " JOIN closed_document d ON d.group_no = k.group_no WHERE k.exclusion_reason = 0 AND k.is_time GROUP BY d.invoice_id",
    )


def _unsafe(row: Any) -> UnsafeDebtor:
    first = SafetyViolation(
        row.code,
        row.worker_id,
        row.day,
        row.requirement_id,
        row.time_type,
        Decimal(row.hours),
        tuple(sorted(row.document_ids)),
    )
    return UnsafeDebtor(row.debtor_no, row.code, row.days, first, tuple(row.all_ids or ()))


async def exclude_debtors(connection: AsyncConnection, debtor_nos: Sequence[int]) -> None:
    """Takes every line of these debtors out."""
    if debtor_nos:
        await run(
            connection,
            "UPDATE selected_line SET exclusion_reason = :reason WHERE exclusion_reason = 0 AND debtor_no = ANY(CAST(:debtors AS integer[]))",
            reason=reasons.number(reasons.DEBTOR_PARKED),
            debtors=list(debtor_nos),
        )
