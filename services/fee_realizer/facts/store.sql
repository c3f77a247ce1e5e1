-- name: queue_dependents
-- Queue the documents that name one of these facts for pricing.
INSERT INTO fee_realizer.pricing_queue
SELECT DISTINCT document_kind, document_id, CAST(:cause AS text)
FROM fee_realizer.document_fact
WHERE fact_kind = :kind AND fact_id = ANY(CAST(:ids AS text[]))
ORDER BY document_kind, document_id ON CONFLICT DO NOTHING

-- name: queue_company
-- Queue the documents of a billing company or of its requirements for pricing; return how many.
INSERT INTO fee_realizer.pricing_queue
SELECT f.document_kind, f.document_id, CAST(:cause AS text)
FROM (
  SELECT f.document_kind, f.document_id
  FROM fee_realizer.requirement r
  JOIN fee_realizer.document_fact f
    ON f.fact_kind = 'requirement' AND f.fact_id = r.requirement_id
  WHERE r.billing_company = :company
  UNION
  SELECT document_kind, document_id
  FROM fee_realizer.document_fact WHERE fact_kind = 'billing_company' AND fact_id = :company) f
ORDER BY f.document_kind, f.document_id ON CONFLICT DO NOTHING
