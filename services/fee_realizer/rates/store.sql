-- name: summed_impact
-- The impact by change and currency, the largest first.
SELECT requirement_id, time_type, CAST(effective_from AS text) AS effective_from, currency,
  count(DISTINCT document_id) AS documents, count(*) AS lines, sum(quantity) AS hours,
  sum(old_amount) AS old, sum(new_amount) AS new
FROM fee_realizer.rate_impact
WHERE document_kind = 'timesheet' AND (CAST(:id AS text) IS NULL OR requirement_id = :id)
GROUP BY requirement_id, time_type, rate_impact.effective_from, currency
ORDER BY lines DESC, requirement_id, time_type, rate_impact.effective_from LIMIT :most

-- name: queued_count
-- How many timesheets are queued for pricing: of one requirement, or all.
SELECT count(*) FROM fee_realizer.pricing_queue q
WHERE q.document_kind = 'timesheet' AND (CAST(:id AS text) IS NULL OR EXISTS (
  SELECT FROM fee_realizer.document_fact f
  WHERE f.fact_kind = 'requirement' AND f.fact_id = :id
    AND f.document_kind = q.document_kind AND f.document_id = q.document_id))

-- name: changed_documents
-- How many timesheets get another open value by a bill rate: they have time of its type on its
-- days, cite no rate of it on an invoiced line, and lack nothing but a bill rate.
SELECT count(*), (SELECT currency FROM fee_realizer.requirement WHERE requirement_id = :id)
FROM fee_realizer.document_fact f
CROSS JOIN LATERAL (
  SELECT s.* FROM fee_realizer.source_document s
  WHERE s.document_kind = f.document_kind AND s.document_id = f.document_id OFFSET 0) d
CROSS JOIN LATERAL (
  SELECT s.body FROM fee_realizer.source_revision s
  WHERE s.document_kind = f.document_kind AND s.document_id = f.document_id
    AND s.source_id = d.source_id AND s.revision = d.revision OFFSET 0) r
WHERE f.fact_kind = 'requirement' AND f.fact_id = :id AND f.document_kind = 'timesheet'
  AND coalesce(d.hold_code, 'no_bill_rate') = 'no_bill_rate'
  AND EXISTS (
    SELECT FROM jsonb_array_elements(r.body -> 'entries') AS e(entry)
    WHERE e.entry ->> 'requirement_id' = :id AND e.entry ->> 'time_type' = :time_type
      AND CAST(e.entry ->> 'work_date' AS date) >= :since
      AND (CAST(:until AS date) IS NULL OR CAST(e.entry ->> 'work_date' AS date) < :until))
  AND NOT EXISTS (
    SELECT FROM invoicer.cited_rate_version c
    WHERE c.document_kind = 'timesheet' AND c.document_id = f.document_id
      AND c.requirement_id = :id AND c.time_type = :time_type)
