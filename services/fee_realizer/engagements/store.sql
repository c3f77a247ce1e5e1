-- name: queue_timesheets
-- Queue the timesheets of workers on requirements, if a placement of theirs has an engagement.
INSERT INTO fee_realizer.pricing_queue
SELECT DISTINCT d.document_kind, d.document_id, CAST(:cause AS text)
FROM unnest(CAST(:requirements AS text[]), CAST(:workers AS text[]))
  AS s(requirement_id, worker_id)
JOIN fee_realizer.document_fact f
  ON f.fact_kind = 'requirement' AND f.fact_id = s.requirement_id AND f.document_kind = 'timesheet'
JOIN fee_realizer.source_document d
  ON d.document_kind = f.document_kind AND d.document_id = f.document_id
CROSS JOIN LATERAL (
  SELECT r.body ->> 'worker_id' AS worker_id FROM fee_realizer.source_revision r
  WHERE r.document_kind = d.document_kind AND r.document_id = d.document_id
    AND r.source_id = d.source_id AND r.revision = d.revision OFFSET 0) w
WHERE w.worker_id = s.worker_id AND EXISTS (
  SELECT FROM fee_realizer.placed_engagement p
  JOIN fee_realizer.engagement e USING (engagement_id)
  WHERE p.requirement_id = s.requirement_id AND p.worker_id = s.worker_id AND (p.named OR e.known))
ORDER BY d.document_kind, d.document_id ON CONFLICT DO NOTHING

-- name: queue_engaged
-- Queue the documents that name an engagement, its placements and the timesheets of their workers.
INSERT INTO fee_realizer.pricing_queue
SELECT document_kind, document_id, CAST(:cause AS text)
FROM (
  SELECT document_kind, document_id FROM fee_realizer.document_fact
  WHERE fact_kind = 'engagement' AND fact_id = ANY(CAST(:ids AS text[]))
  UNION
  SELECT 'placement', placement_id FROM fee_realizer.placed_engagement
  WHERE engagement_id = ANY(CAST(:ids AS text[]))
  UNION
  SELECT d.document_kind, d.document_id
  FROM fee_realizer.placed_engagement p
  JOIN fee_realizer.document_fact f ON f.fact_kind = 'requirement'
    AND f.fact_id = p.requirement_id AND f.document_kind = 'timesheet'
  JOIN fee_realizer.source_document d
    ON d.document_kind = f.document_kind AND d.document_id = f.document_id
  CROSS JOIN LATERAL (
    SELECT r.body ->> 'worker_id' AS worker_id FROM fee_realizer.source_revision r
    WHERE r.document_kind = d.document_kind AND r.document_id = d.document_id
      AND r.source_id = d.source_id AND r.revision = d.revision OFFSET 0) w
  WHERE p.engagement_id = ANY(CAST(:ids AS text[])) AND w.worker_id = p.worker_id) q
ORDER BY document_kind, document_id ON CONFLICT DO NOTHING
