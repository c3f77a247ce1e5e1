-- name: summed_impact
-- The impact by change and currency, the largest first.
SELECT requirement_id, time_type, CAST(effective_from AS text) AS effective_from, currency,
  count(DISTINCT document_id) AS documents, count(*) AS lines, sum(quantity) AS hours,
  sum(old_amount) AS old, sum(new_amount) AS new
FROM fee_realizer.rate_impact WHERE CAST(:id AS text) IS NULL OR requirement_id = :id
GROUP BY requirement_id, time_type, rate_impact.effective_from, currency
ORDER BY lines DESC, requirement_id, time_type, rate_impact.effective_from LIMIT :most

-- name: queued_count
-- How many timesheets are queued for pricing: of one requirement, or all.
SELECT count(*) FROM fee_realizer.pricing_queue q
WHERE q.document_kind = 'timesheet' AND (CAST(:id AS text) IS NULL OR EXISTS (
  SELECT FROM fee_realizer.document_fact f
  WHERE f.fact_kind = 'requirement' AND f.fact_id = :id
    AND f.document_kind = q.document_kind AND f.document_id = q.document_id))
