-- name: operator_changes
-- edits and write-offs summed by line key, and snoozes, of the named documents
SELECT 'edit' AS what, e.document_kind, e.document_id, e.line_key,
  sum(e.quantity_difference) AS quantity, sum(e.amount_difference) AS amount,
  (array_agg(e.after -> 'value' ORDER BY e.edited_at DESC, e.command_id DESC)
    FILTER (WHERE e.after ? 'value'))[1] AS seen,
  NULL AS code, NULL AS reason, NULL AS actor,
  CAST(NULL AS date) AS until_date, CAST(NULL AS timestamptz) AS snoozed_at
FROM invoicer.operator_edit e
JOIN unnest(CAST(:document_kind AS text[]), CAST(:document_id AS text[]))
  AS s(document_kind, document_id) USING (document_kind, document_id)
GROUP BY 2, 3, 4
UNION ALL
SELECT 'write-off', w.document_kind, w.document_id, w.line_key, sum(w.quantity), sum(w.amount),
  NULL, NULL, NULL, NULL, NULL, NULL
FROM invoicer.write_off w
JOIN unnest(CAST(:document_kind AS text[]), CAST(:document_id AS text[]))
  AS s(document_kind, document_id) USING (document_kind, document_id)
GROUP BY 2, 3, 4
UNION ALL
SELECT 'snooze', z.document_kind, z.document_id, z.line_key, NULL, NULL, NULL,
  z.code, z.reason, z.actor, z.until_date, z.snoozed_at
FROM invoicer.snooze z
JOIN unnest(CAST(:document_kind AS text[]), CAST(:document_id AS text[]))
  AS s(document_kind, document_id) USING (document_kind, document_id)

-- name: note_ended_citations
-- keeps when citations of these documents may have ended, or that nothing of them is open
UPDATE invoicer.settled_document d
SET citation_ended_at = CASE WHEN EXISTS (
    SELECT FROM invoicer.pay_line p
    JOIN invoicer.open_line o
      ON o.billing_company = p.billing_company AND o.pay_line_id = p.pay_line_id
    WHERE p.document_kind = d.document_kind AND p.document_id = d.document_id
      AND (p.line_kind = 'timesheet' OR p.document_kind = 'assignment')
      AND p.corrects_invoice_id IS NULL)
  THEN coalesce(d.citation_ended_at, now()) END
FROM unnest(CAST(:document_kind AS text[]), CAST(:document_id AS text[]))
  AS s(document_kind, document_id)
WHERE d.document_kind = s.document_kind AND d.document_id = s.document_id
