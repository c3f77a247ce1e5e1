-- Placements, received timesheets and held timesheets, read through the views of fee_realizer.
-- Each query takes the keys that the one before gave. PostgreSQL cannot estimate how many rows a
-- JSON body matches: joined in one query, it would compare every row with every other.

-- name: placements
-- Everyone who is placed for a billing company.
SELECT office_id, requirement_id, worker_id, start_date, end_date
FROM fee_realizer.expected_placement WHERE billing_company = :company

-- name: billable_spans
-- When these requirements may be billed.
SELECT requirement_id, from_date, until FROM fee_realizer.billable_span
WHERE requirement_id = ANY(CAST(:requirements AS text[]))

-- name: received_timesheets
-- The timesheets of these requirements that are in, and the newest week ending of each requirement.
-- The newest timesheet of a requirement shows on which day its weeks end. A timesheet is in when it
-- is settled at its latest realization, so that its lines are open or invoiced, and also when it is
-- invoiced but lost its approval since.
WITH week AS MATERIALIZED (
  SELECT requirement_id, worker_id, week_ending, document_id, realization_no, hold_code
  FROM fee_realizer.timesheet_week WHERE requirement_id = ANY(CAST(:requirements AS text[])))
SELECT requirement_id, worker_id, week_ending, false AS newest FROM week w
WHERE w.week_ending BETWEEN :first AND :last
  AND coalesce(
    (SELECT true FROM invoicer.settled_document s
     WHERE s.document_kind = 'timesheet' AND s.document_id = w.document_id AND w.hold_code IS NULL
       AND s.realization_no >= w.realization_no AND s.realization_no > 0
       AND s.realization_kind = 'realized'),
    (SELECT true FROM invoicer.pay_line p
     CROSS JOIN LATERAL (
       SELECT FROM invoicer.invoice_line i WHERE i.pay_line_id = p.pay_line_id OFFSET 0) l
     WHERE p.document_id = w.document_id AND p.document_kind = 'timesheet' LIMIT 1),
    false)
UNION ALL
SELECT requirement_id, '', max(week_ending), true FROM week GROUP BY requirement_id

-- name: held_timesheets
-- The held timesheets of a billing company.
SELECT DISTINCT office_id, hold_code, document_id, week_ending
FROM fee_realizer.held_timesheet WHERE billing_company = :company
