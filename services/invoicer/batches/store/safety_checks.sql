-- Find the workdays of a batch that break a safety rule; `safety_checks.py` runs these in order.
-- The store fills in the parts in braces: `lines` is `batch_time`, or `all_time` where closed
-- documents must be compared too; the others are the parts of that name.

-- name: batch_weeks
-- The weeks that a batch bills.
-- `irregular`: a day is outside its week, so the weeks do not say which lines share a day.
CREATE TEMP TABLE batch_week ON COMMIT DROP AS
SELECT week_ending,
       bool_or(service_from < week_ending - 6 OR service_to > week_ending) AS irregular,
       bool_or(NOT correction) AS has_originals,
       min(service_from) AS first_day, max(service_to) AS last_day
FROM selected_line WHERE exclusion_reason = 0 AND is_time GROUP BY week_ending

-- name: nearby_invoices
-- The closed documents whose service period touches one of the weeks with originals.
CREATE TEMP TABLE nearby_invoice ON COMMIT DROP AS
SELECT DISTINCT i.invoice_id FROM batch_week w
JOIN invoicer.invoice i ON i.billing_company = :company
  AND i.service_to >= w.first_day AND i.service_from <= w.last_day
WHERE w.has_originals

-- name: shared_worker_invoices
-- Those of the nearby documents that have time of a worker of the batch: in most batches none.
CREATE TEMP TABLE shared_worker_invoice ON COMMIT DROP AS
SELECT DISTINCT u.invoice_id FROM (
  SELECT i.invoice_id, unnest(i.worker_hashes) AS worker
  FROM nearby_invoice n JOIN invoicer.invoice_worker i ON i.invoice_id = n.invoice_id) u
WHERE u.worker IN (SELECT worker FROM selected_line WHERE exclusion_reason = 0 AND is_time)

-- name: invoiced_time
-- The lines of time on those documents that touch a week of the batch.
CREATE TEMP TABLE invoiced_time ON COMMIT DROP AS
SELECT hashtextextended(p.worker_id, 0) AS worker,
       hashtextextended(p.requirement_id, hashtextextended(p.document_id, 0)) AS work_key,
       p.day_minutes, p.pay_line_id, p.week_ending, p.service_from, p.service_to
FROM shared_worker_invoice i
JOIN invoicer.invoice_line il ON il.invoice_id = i.invoice_id
JOIN invoicer.pay_line p ON p.pay_line_id = il.pay_line_id
WHERE p.line_kind = 'timesheet' AND p.corrects_invoice_id IS NULL
  AND EXISTS (SELECT FROM batch_week w
              WHERE p.service_to >= w.first_day AND p.service_from <= w.last_day)

-- name: invoiced_by_week
-- Whether the weeks of the invoiced time end on this weekday too and hold all their days.
SELECT coalesce(bool_and(extract(isodow FROM week_ending) = :day
                         AND service_from >= week_ending - 6 AND service_to <= week_ending), true)
FROM invoiced_time

-- name: batch_time
-- A part: the lines of time that are in the batch.
SELECT worker, work_key, day_minutes, pay_line_id, week_ending, service_from, service_to,
       true AS in_batch
FROM selected_line WHERE exclusion_reason = 0 AND is_time

-- name: all_time
-- A part: the lines of time that are in the batch, and the invoiced ones.
{batch_time}
UNION ALL SELECT *, false FROM invoiced_time

-- name: is_suspect
-- A part: several documents or requirements, or more than the most hours of a day added up.
bool_or(in_batch) AND (min(work_key) <> max(work_key)
                       OR sum(day_minutes) > CAST(:max_hours AS integer) * 60)

-- name: suspect_days_by_week
-- The weeks of workers that may break a rule, where all weeks end on one weekday.
-- Such weeks share no day, so the lines of a worker are added up week by week.
CREATE TEMP TABLE suspect_days ON COMMIT DROP AS
SELECT worker, week_ending - 6 AS first_day, week_ending AS last_day
FROM ({lines}) l GROUP BY worker, week_ending HAVING {is_suspect}

-- name: suspect_days_by_span
-- The spans of days of workers that may break a rule.
-- Lines are in one span as long as each begins before those before it have ended.
CREATE TEMP TABLE suspect_days ON COMMIT DROP AS
SELECT worker, min(service_from) AS first_day, max(service_to) AS last_day
FROM (
  SELECT *, count(*) FILTER (WHERE starts_span) OVER (
              PARTITION BY worker ORDER BY service_from, service_to, pay_line_id) AS span
  FROM (
    SELECT *, service_from > max(service_to) OVER (
                PARTITION BY worker ORDER BY service_from, service_to, pay_line_id
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS starts_span
    FROM ({lines}) l) a) s
GROUP BY worker, span HAVING {is_suspect}

-- name: worked_time
-- The hours of each day in the settled realizations of the documents that touch a suspect day.
CREATE TEMP TABLE worked_time ON COMMIT DROP AS
SELECT l.line ->> 'worker_id' AS worker_id, CAST(h.key AS date) AS day,
       l.line ->> 'requirement_id' AS requirement_id, l.line ->> 'time_type' AS time_type,
       d.document_id,
       CASE WHEN l.line ->> 'unit' = 'HUR' THEN CAST(h.value AS numeric) ELSE 0 END AS hours
FROM (
  SELECT DISTINCT p.document_kind, p.document_id
  FROM suspect_days s
  JOIN ({lines}) a ON a.worker = s.worker
    AND a.service_from <= s.last_day AND a.service_to >= s.first_day
  JOIN invoicer.pay_line p ON p.pay_line_id = a.pay_line_id) d
JOIN invoicer.settled_document r
  ON r.document_kind = d.document_kind AND r.document_id = d.document_id
CROSS JOIN LATERAL jsonb_array_elements(CAST(nullif(r.body, '') AS jsonb) -> 'lines') AS l(line)
CROSS JOIN LATERAL jsonb_each_text(l.line -> 'derivation' -> 'hours') AS h
WHERE l.line ->> 'line_kind' = 'timesheet' AND l.line ->> 'billing_company' = :company

-- name: safety_violations
-- The days that break a rule; the twin of `rules.safety_checks.safety_violations`.
CREATE TEMP TABLE safety_violation ON COMMIT DROP AS
SELECT 'hours_over_bound' AS code, worker_id, day, '' AS requirement_id, '' AS time_type,
       sum(hours) AS hours, array_agg(DISTINCT document_id) AS document_ids
FROM worked_time GROUP BY worker_id, day HAVING sum(hours) > :max_hours
UNION ALL
SELECT 'worked_twice', worker_id, day, requirement_id, time_type, sum(hours),
       array_agg(DISTINCT document_id)
FROM worked_time
GROUP BY worker_id, day, requirement_id, time_type HAVING count(DISTINCT document_id) > 1

-- name: unsafe_debtors
-- The debtors whose lines in this batch break a rule: by code the first day and all documents.
SELECT * FROM (
  SELECT DISTINCT ON (debtor_no, code) debtor_no, code, worker_id, day, requirement_id, time_type,
         hours, document_ids, count(*) OVER of_code AS days
  FROM (
    SELECT DISTINCT k.debtor_no, v.*
    FROM safety_violation v
    CROSS JOIN LATERAL unnest(v.document_ids) AS u(document_id)
    JOIN invoicer.pay_line p ON p.document_id = u.document_id AND p.document_kind = 'timesheet'
      AND p.worker_id = v.worker_id AND v.day BETWEEN p.service_from AND p.service_to
      AND (v.code = 'hours_over_bound'
           OR (p.requirement_id = v.requirement_id AND p.time_type = v.time_type))
    JOIN selected_line k
      ON k.pay_line_id = p.pay_line_id AND k.exclusion_reason = 0 AND k.is_time) o
  WINDOW of_code AS (PARTITION BY debtor_no, code)
  ORDER BY debtor_no, code, worker_id COLLATE "C", day, requirement_id COLLATE "C",
           time_type COLLATE "C") d
CROSS JOIN LATERAL (
  SELECT array_agg(i.id) AS all_ids FROM (
    SELECT DISTINCT u.id COLLATE "C" AS id
    FROM safety_violation v
    CROSS JOIN LATERAL unnest(v.document_ids) AS u(id)
    JOIN invoicer.pay_line p ON p.document_id = u.id AND p.document_kind = 'timesheet'
    JOIN selected_line k ON k.pay_line_id = p.pay_line_id
    WHERE v.code = d.code AND k.debtor_no = d.debtor_no AND k.exclusion_reason = 0
    ORDER BY 1 LIMIT :most) i) a

-- name: double_days
-- The days on which one worker works on several requirements.
SELECT worker_id || ' on ' || day AS id, count(*) OVER () AS number
FROM worked_time GROUP BY worker_id, day HAVING count(DISTINCT requirement_id) > 1
ORDER BY worker_id COLLATE "C", day LIMIT :most

-- name: add_document_workers
-- The workers of the documents that were just closed.
INSERT INTO invoicer.invoice_worker (invoice_id, worker_hashes)
SELECT d.invoice_id, array_agg(k.worker)
FROM selected_line k JOIN closed_document d ON d.group_no = k.group_no
WHERE k.exclusion_reason = 0 AND k.is_time GROUP BY d.invoice_id
