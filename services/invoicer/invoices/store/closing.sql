-- name: add_batch
-- the row of a batch
INSERT INTO invoicer.batch
  (batch_id, billing_company, command_id, cut_off_date, invoice_date, first_number, last_number,
   documents, line_count, totals, actor, reason, generated_at, closed_on,
   chosen)
VALUES (:batch_id, :company, :command_id, :cut_off, :invoice_date, :first, :last,
  :documents, :lines, CAST(:totals AS jsonb), :actor, :reason, :at, :closed_on,
  CAST(CAST(:chosen AS text) AS jsonb))

-- name: close_lines
-- removes the selected lines from the open ones
DELETE FROM invoicer.open_line o USING selected_line k
WHERE o.billing_company = :company AND o.pay_line_id = k.pay_line_id AND k.exclusion_reason = 0

-- name: add_lines
-- the lines of the documents, in the order of `selected_line`, so that both indexes grow at the end
INSERT INTO invoicer.invoice_line
  (invoice_id, line_no, pay_line_id, billto_node, billto_level, tax_code, tax_rate, tax_amount)
SELECT d.invoice_id, k.line_no, k.pay_line_id, s.debtor_node, s.debtor_level, k.tax_code,
  k.tax_rate, k.tax
FROM selected_line k
JOIN closed_document d ON d.group_no = k.group_no
JOIN line_location s ON s.location_no = k.location_no

-- name: add_seals
-- the seals of the documents: a hash of the document and its lines in order
INSERT INTO invoicer.invoice_seal (invoice_id, content_hash)
SELECT i.invoice_id, invoicer.document_seal(i, l.lines)
FROM closed_document d
JOIN invoicer.invoice i ON i.invoice_id = d.invoice_id
JOIN (
  SELECT k.group_no, string_agg(
      invoicer.line_seal(k.line_no, k.digest, k.corrects_invoice, s.debtor_node, s.debtor_level,
        k.tax_code, k.tax_rate, k.tax),
      CAST('' AS bytea) ORDER BY k.line_no) AS lines
  FROM selected_line k JOIN line_location s ON s.location_no = k.location_no
  WHERE k.exclusion_reason = 0 GROUP BY k.group_no) l ON l.group_no = d.group_no
