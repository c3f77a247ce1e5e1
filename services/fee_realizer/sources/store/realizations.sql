-- name: latest_realizations
-- Kind and lines of the latest realization of each document that has one.
SELECT d.document_id, r.realization_kind, r.body
FROM fee_realizer.source_document d
JOIN fee_realizer.realization r ON r.document_kind = d.document_kind
  AND r.document_id = d.document_id AND r.realization_no = d.realization_no
WHERE d.document_kind = :kind AND d.document_id = ANY(CAST(:ids AS text[]))

-- name: stale_documents
-- Documents whose latest realization is stale, with its number.
SELECT d.document_kind, d.document_id, d.realization_no
FROM invoicer.stale_price_basis s
JOIN fee_realizer.source_document d ON d.document_kind = s.document_kind
  AND d.document_id = s.document_id AND d.realization_no = s.stale_realization_no
ORDER BY d.document_kind, d.document_id LIMIT :most

-- name: documents_to_price
-- How many documents wait to be priced again, and the seconds since the oldest of them waits.
SELECT count(*) AS documents,
       CAST(coalesce(extract(epoch FROM now() - min(since)), 0) AS double precision) AS seconds
FROM (
  SELECT queued_at AS since FROM fee_realizer.pricing_queue
  UNION ALL
  SELECT coalesce(s.citation_ended_at, r.issued_at) FROM invoicer.stale_price_basis s
  JOIN fee_realizer.realization r ON r.document_kind = s.document_kind
    AND r.document_id = s.document_id AND r.realization_no = s.stale_realization_no) w

-- name: queue_held
-- Queue held documents for pricing: all, of one kind, one, or those with one code.
INSERT INTO fee_realizer.pricing_queue
SELECT document_kind, document_id, CAST(:cause AS text) FROM fee_realizer.source_document
WHERE hold_code IS NOT NULL AND (CAST(:kind AS text) IS NULL OR document_kind = :kind)
  AND (CAST(:id AS text) IS NULL OR document_id = :id)
  AND (CAST(:code AS text) IS NULL OR hold_code = :code)
ORDER BY document_kind, document_id ON CONFLICT DO NOTHING
