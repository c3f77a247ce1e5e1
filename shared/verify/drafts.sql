-- name: draft_totals
-- net, tax and number of lines of a draft that has not ended are those of its items
SELECT format('D-%s', lpad(CAST(d.draft_id AS text), 6, '0')) AS id,
       format('net %s, tax %s, total %s, %s lines; its items have net %s, tax %s, %s lines', d.net,
              d.tax, d.total, d.line_count, s.net, s.tax, s.lines) AS detail
FROM invoicer.draft d
CROSS JOIN LATERAL (
  SELECT count(*) AS lines, coalesce(sum(p.amount + l.allowance_amount), 0) AS net,
         coalesce(sum(l.tax_amount), 0) AS tax
  FROM invoicer.draft_line l JOIN invoicer.pay_line p USING (pay_line_id)
  WHERE l.draft_id = d.draft_id) s
WHERE d.status NOT IN ('processed', 'cancelled')
  AND (d.net <> s.net OR d.tax <> s.tax OR d.total <> s.net + s.tax OR d.line_count <> s.lines)

-- name: draft_ended
-- a draft that is processed or cancelled has no items
SELECT DISTINCT format('D-%s', lpad(CAST(d.draft_id AS text), 6, '0')) AS id,
       format('is %s and has items', d.status) AS detail
FROM invoicer.draft d JOIN invoicer.draft_line l USING (draft_id)
WHERE d.status IN ('processed', 'cancelled')

-- name: draft_document
-- a processed draft has the debtor, the amounts and the number of lines of its document
SELECT format('D-%s', lpad(CAST(d.draft_id AS text), 6, '0')) AS id,
       format('%s of %s, %s lines; document %s: %s of %s, %s lines', d.total, d.account_name,
              d.line_count, i.invoice_number, i.total, i.account_name, i.line_count) AS detail
FROM invoicer.draft d JOIN invoicer.invoice i USING (invoice_id)
WHERE (d.net, d.tax, d.total, d.line_count) <> (i.net, i.tax, i.total, i.line_count)
   OR (d.billing_company, d.account_name, d.currency, d.document_type)
      <> (i.billing_company, i.account_name, i.currency, i.document_type)

-- name: draft_places
-- no place of a replaced item waits for a successor
SELECT 'pay line ' || pay_line_id AS id,
       format('its place on draft %s is still kept', draft_id) AS detail
FROM invoicer.replaced_draft_line
