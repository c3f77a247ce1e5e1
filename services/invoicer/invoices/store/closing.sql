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
  (invoice_id, line_no, pay_line_id, billto_node, billto_level, tax_code, tax_rate, tax_amount
   {column})
SELECT d.invoice_id, k.line_no, k.pay_line_id, s.debtor_node, s.debtor_level, k.tax_code,
  k.tax_rate, k.tax {share}
FROM selected_line k
JOIN closed_document d ON d.group_no = k.group_no
JOIN line_location s ON s.location_no = k.location_no
{shares}

-- name: any_names
-- whether the names of any worker, or of any requirement at its client, are known
SELECT EXISTS (SELECT FROM fee_realizer.worker_name)
  OR EXISTS (SELECT FROM fee_realizer.requirement_reference) AS any_names

-- name: add_details
-- the names on the documents as they are now: of workers, and of requirements at their clients
WITH named AS MATERIALIZED (
  SELECT DISTINCT d.invoice_id, p.worker_id, p.requirement_id
  FROM selected_line k
  JOIN closed_document d ON d.group_no = k.group_no
  JOIN invoicer.pay_line p ON p.pay_line_id = k.pay_line_id
  WHERE k.exclusion_reason = 0)
INSERT INTO invoicer.invoice_detail (invoice_id, about, subject_id, detail, digest)
SELECT invoice_id, about, subject_id, detail,
  invoicer.detail_digest(about, subject_id, detail)
FROM (
  SELECT DISTINCT n.invoice_id, 'worker' AS about, n.worker_id AS subject_id,
    jsonb_build_object('name', w.worker_name) AS detail
  FROM named n JOIN fee_realizer.worker_name w ON w.worker_id = n.worker_id
  WHERE NOT EXISTS (SELECT FROM invoicer.forgotten_worker f WHERE f.worker_id = n.worker_id)
  UNION ALL
  SELECT DISTINCT n.invoice_id, 'requirement', n.requirement_id,
    jsonb_strip_nulls(jsonb_build_object('job_title', nullif(r.job_title, ''),
      'reference', nullif(r.reference, ''), 'client_contact', nullif(r.client_contact, ''),
      'client_reference', nullif(r.client_reference, '')))
  FROM named n JOIN fee_realizer.requirement_reference r
    ON r.requirement_id = n.requirement_id) d

-- name: add_seals
-- the seals of the documents: a hash of the document, its lines in order, and its names
INSERT INTO invoicer.invoice_seal (invoice_id, content_hash)
SELECT i.invoice_id, invoicer.document_seal(i, l.lines || invoicer.detail_seal(i.invoice_id))
FROM closed_document d
JOIN invoicer.invoice i ON i.invoice_id = d.invoice_id
JOIN (
  SELECT k.group_no, string_agg(
      invoicer.line_seal(k.line_no, k.digest, k.corrects_invoice, s.debtor_node, s.debtor_level,
        k.tax_code, k.tax_rate, k.tax {share}),
      CAST('' AS bytea) ORDER BY k.line_no) AS lines
  FROM selected_line k JOIN line_location s ON s.location_no = k.location_no
  {shares}
  WHERE k.exclusion_reason = 0 GROUP BY k.group_no) l ON l.group_no = d.group_no
