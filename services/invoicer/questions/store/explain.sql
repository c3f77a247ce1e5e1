-- What is on file about a document or a pay line that is not billed.

-- name: document_states
-- The hold, the latest and the settled realization of a document, or of the document of an
-- adjustment in force, and for how many seconds it has waited to be priced again.
SELECT d.document_kind, d.document_id, d.hold_code, d.hold_message, d.realization_no,
       coalesce(s.realization_no, 0) AS settled_no, s.realization_kind, b.stale_realization_no,
       CAST(extract(epoch FROM now() - q.queued_at) AS bigint) AS waits_for_price
FROM fee_realizer.document_state d
LEFT JOIN invoicer.stale_price_basis b
  ON b.document_kind = d.document_kind AND b.document_id = d.document_id
LEFT JOIN fee_realizer.document_to_price q
  ON q.document_kind = d.document_kind AND q.document_id = d.document_id
LEFT JOIN invoicer.settled_document s
  ON s.document_kind = d.document_kind AND s.document_id = d.document_id
WHERE d.document_id = :id OR d.source_id = :id
UNION ALL
SELECT s.document_kind, s.document_id, NULL, NULL, s.realization_no, s.realization_no,
       s.realization_kind, s.stale_realization_no, NULL
FROM invoicer.settled_document s
WHERE s.document_id = :id AND s.realization_no > 0
  AND NOT EXISTS (
    SELECT FROM fee_realizer.document_state d
    WHERE d.document_kind = s.document_kind AND d.document_id = s.document_id)
ORDER BY document_kind DESC, document_id

-- name: next_occurrence
-- The document of the first occurrence of an assignment that is due and not invoiced, or else of
-- one that is; NULL if it has none.
SELECT a.assignment_id, a.next_due, d.document_id
FROM fee_realizer.assignment_state a
LEFT JOIN LATERAL (
  SELECT o.document_id FROM fee_realizer.assignment_document o
  WHERE o.assignment_id = a.assignment_id
  ORDER BY o.withdrawn, EXISTS (
    SELECT FROM invoicer.pay_line p JOIN invoicer.invoice_line USING (pay_line_id)
    WHERE p.document_kind = 'assignment' AND p.document_id = o.document_id), o.due_date
  LIMIT 1) d ON true
WHERE a.assignment_id = :id

-- name: companies
-- The billing companies of a document, or of the document of an adjustment in force, whether it has
-- lines or waits; or of a pay line.
WITH named AS (
  SELECT CAST(:document_id AS text) AS document_id
  UNION SELECT document_id FROM fee_realizer.document_state WHERE source_id = :document_id)
SELECT billing_company FROM invoicer.pay_line JOIN named USING (document_id)
UNION SELECT billing_company FROM fee_realizer.held_document JOIN named USING (document_id)
UNION SELECT billing_company FROM fee_realizer.assignment_state
WHERE assignment_id = :document_id
UNION SELECT billing_company FROM fee_realizer.assignment_document JOIN named USING (document_id)
UNION SELECT billing_company FROM invoicer.pay_line WHERE pay_line_id = CAST(:pay_line_id AS bigint)

-- name: lines
-- Pay lines with the place of each: open, on a draft, replaced, or on a closed document.
SELECT p.pay_line_id, p.billing_company, p.document_kind, p.document_id, p.realization_no,
       p.line_key, p.description, p.effective_date, p.week_ending, p.billto_node, p.tax_code,
       p.currency, p.worker_id, o.pay_line_id IS NOT NULL AS open, r.replaced_by_realization,
       p.corrects_invoice_id, p.quantity, p.amount, i.invoice_number, i.invoice_date,
       d.draft_id, d.status AS draft_status, d.version
FROM invoicer.pay_line p
LEFT JOIN invoicer.draft_line w ON w.pay_line_id = p.pay_line_id
LEFT JOIN invoicer.draft d ON d.draft_id = w.draft_id
LEFT JOIN invoicer.open_line o
  ON o.billing_company = p.billing_company AND o.pay_line_id = p.pay_line_id
LEFT JOIN invoicer.replaced_line r ON r.pay_line_id = p.pay_line_id
LEFT JOIN invoicer.invoice_line l ON l.pay_line_id = p.pay_line_id
LEFT JOIN invoicer.invoice i ON i.invoice_id = l.invoice_id
WHERE {condition} ORDER BY p.pay_line_id

-- name: last_edit
-- The last edit of a document on a line key whose edits do not cancel out, with its newest line.
SELECT e.actor, e.reason, (
         SELECT max(p.pay_line_id) FROM invoicer.pay_line p
         WHERE p.document_kind = e.document_kind AND p.document_id = e.document_id
           AND p.line_key = e.line_key) AS pay_line_id
FROM invoicer.operator_edit e
WHERE e.document_kind = :kind AND e.document_id = :id AND e.line_key IN (
  SELECT s.line_key FROM invoicer.operator_edit s
  WHERE s.document_kind = :kind AND s.document_id = :id
  GROUP BY s.line_key HAVING sum(s.quantity_difference) <> 0 OR sum(s.amount_difference) <> 0)
ORDER BY e.edited_at DESC, e.command_id DESC LIMIT 1

-- name: forgiven
-- What is forgiven of a document: the quantity and amount of its write-offs.
SELECT coalesce(sum(quantity), 0) AS quantity, coalesce(sum(amount), 0) AS amount
FROM invoicer.write_off WHERE document_kind = :kind AND document_id = :id

-- name: snooze
-- The snooze of a line key.
SELECT reason, actor, snoozed_at, until_date FROM invoicer.snooze
WHERE document_kind = :kind AND document_id = :id AND line_key = :key

-- name: rejection
-- Who rejected the draft that an open line was on, and why.
SELECT 'D-' || lpad(CAST(draft_id AS text), 6, '0') AS draft, reason, actor, rejected_at
FROM invoicer.rejected_line WHERE pay_line_id = :id

-- name: limiting_batch
-- The last batch of a company, if it was limited to other documents than this one. Credits by hand
-- and opening data are closed as batches of their own, and select nothing.
SELECT batch_id, cut_off_date FROM (
  SELECT batch_id, cut_off_date, chosen FROM invoicer.batch a
  WHERE billing_company = :company AND NOT EXISTS (
    SELECT FROM invoicer.invoice i
    WHERE i.batch_id = a.batch_id AND (i.credit_reason IS NOT NULL OR i.is_opening))
  ORDER BY generated_at DESC, batch_id LIMIT 1) b
WHERE jsonb_exists_any(chosen, ARRAY['documents', 'workers'])
  AND NOT coalesce(chosen -> 'documents' @> to_jsonb(CAST(:document_id AS text)), false)
  AND NOT coalesce(chosen -> 'workers' @> to_jsonb(CAST(:worker_id AS text)), false)

-- name: line_option
-- What of a pay line decides its invoice option, and the option of the document that it corrects.
SELECT p.billing_company, p.document_id, p.currency, p.engagement,
       o.pay_line_id IS NOT NULL AS is_open,
       CASE WHEN o.correction THEN 'adjustment' WHEN p.line_kind = 'timesheet' THEN 'time'
            WHEN p.document_kind = 'charge' THEN 'expense' ELSE 'product' END AS billing_type,
       i.invoice_number AS corrects_invoice, i.invoice_option AS corrected_option
FROM invoicer.pay_line p
LEFT JOIN invoicer.open_line o
  ON o.billing_company = p.billing_company AND o.pay_line_id = p.pay_line_id
LEFT JOIN invoicer.invoice i ON i.invoice_id = p.corrects_invoice_id
WHERE p.pay_line_id = :id
