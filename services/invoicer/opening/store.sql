-- name: loaded_documents
-- the closed documents with these numbers, each with the digest it was loaded with and what is paid
SELECT i.invoice_number, i.invoice_id, i.series,
  coalesce((
    SELECT p.derivation -> 'opening' ->> 'digest'
    FROM invoicer.invoice_line l JOIN invoicer.pay_line p USING (pay_line_id)
    WHERE l.invoice_id = i.invoice_id ORDER BY l.line_no LIMIT 1), '') AS digest,
  m.paid, m.entries
FROM invoicer.invoice i
CROSS JOIN LATERAL (
  SELECT coalesce(sum(amount), 0) AS paid, CAST(count(*) AS integer) AS entries
  FROM invoicer.payment WHERE invoice_id = i.invoice_id AND ledger = :ledger) m
WHERE i.billing_company = :company AND i.invoice_number = ANY(CAST(:numbers AS text[]))

-- name: companies_of
-- the billing companies of the source documents with these ids, and of those on these invoices
SELECT DISTINCT billing_company FROM invoicer.pay_line
WHERE document_id IN (
  SELECT unnest(CAST(:ids AS text[]))
  UNION ALL
  SELECT p.document_id
  FROM invoicer.invoice i
  JOIN invoicer.invoice_line l USING (invoice_id)
  JOIN invoicer.pay_line p USING (pay_line_id)
  WHERE i.billing_company = :company AND i.invoice_number = ANY(CAST(:corrected AS text[])))

-- name: selected_lines
-- the pay lines, found by their document and by the old number that their derivation names
CREATE TEMP TABLE selected_line ON COMMIT DROP AS
SELECT s.group_no, s.line_no, p.pay_line_id, 0 AS exclusion_reason, n.location_no,
  s.code AS tax_code, s.rate AS tax_rate, s.tax, invoicer.line_digest(p) AS digest,
  s.corrects AS corrects_invoice
FROM {lines}
JOIN invoicer.pay_line p ON p.document_id = s.document_id AND p.document_kind = s.document_kind
  AND p.derivation -> 'opening' ->> 'invoice' = s.number
  AND p.derivation -> 'opening' ->> 'line' = s.own_line
JOIN line_location n ON n.debtor_node = s.node AND n.debtor_level = s.level
ORDER BY s.group_no, s.line_no

-- name: line_allowances
-- the shares of the lines in the allowances of their documents
CREATE TEMP TABLE line_allowance ON COMMIT DROP AS
SELECT k.pay_line_id, s.allowance
FROM unnest(CAST(:group_no AS bigint[]), CAST(:line_no AS integer[]), CAST(:shares AS numeric[]))
  AS s(group_no, line_no, allowance)
JOIN selected_line k USING (group_no, line_no)
