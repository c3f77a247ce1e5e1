-- name: dispute_entries
-- a dispute begins with what is disputed, and no more than that is upheld, credited and paid
SELECT 'dispute DP-' || lpad(CAST(d.dispute_id AS text), 6, '0') AS id,
       format('%s was disputed at first; the sum of its entries is %s', coalesce(d.amount, 0),
              coalesce(d.disputed, 0)) AS detail
FROM invoicer.dispute_balance d
WHERE d.amount IS NULL OR d.disputed < 0 OR 1 <> (
  SELECT count(*) FILTER (WHERE n.kind = 'opened') + count(*) FILTER (
    WHERE (n.kind = 'opened') <> (n.entry_no = 1))
  FROM invoicer.dispute_entry n WHERE n.dispute_id = d.dispute_id)

-- name: disputed_lines
-- what is disputed of a line of an invoice, in one open dispute, is left to pay of it
SELECT 'invoice ' || i.invoice_number || ' line ' || d.line_no AS id,
       format('%s %s in %s open disputes; %s is left to pay of the %s', sum(d.disputed),
              min(b.currency), count(*), min(r.balance), i.document_type) AS detail
FROM invoicer.disputed_line d
JOIN invoicer.dispute_balance b USING (dispute_id)
JOIN invoicer.invoice i ON i.invoice_id = d.invoice_id
JOIN invoicer.billing_record r ON r.invoice_id = d.invoice_id AND r.line_no = d.line_no
GROUP BY i.invoice_id, d.line_no
HAVING count(*) > 1 OR sum(d.disputed) > min(r.balance) OR i.document_type <> 'invoice'
  OR bool_or((b.billing_company, b.currency) <> (i.billing_company, i.currency))
