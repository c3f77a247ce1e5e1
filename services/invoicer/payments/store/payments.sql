-- name: received_payments
-- the payments with a check, of a payer or of all, with what became of the money
SELECT payment_id, account_name, check_id, received_on, bank, amount, currency, applied,
  refunded + taken_back AS returned, is_reversed, last_day
FROM invoicer.received_payment_balance
WHERE billing_company = :company
  AND (CAST(:check_id AS text) IS NULL OR check_id = :check_id)
  AND (CAST(:account_name AS text) IS NULL OR account_name = :account_name)
  AND (CAST(:received_on AS date) IS NULL OR received_on = :received_on)
ORDER BY received_on, recorded_at, payment_id

-- name: documents
-- the heads of closed documents, each with what is paid of it as a whole
SELECT i.invoice_id, i.invoice_number, i.document_type, i.account_name, i.currency, i.invoice_date,
  coalesce((
    SELECT sum(m.amount) FROM invoicer.payment m
    WHERE m.invoice_id = i.invoice_id AND m.ledger <> :ledger), 0) AS paid_on_document
FROM invoicer.invoice i
WHERE i.billing_company = :company AND (
  i.invoice_number = ANY(CAST(:numbers AS text[])) OR i.invoice_id = ANY(CAST(:ids AS bigint[])))

-- name: line_values
-- the value of each line of documents: net after allowance plus tax, less credits, without what a
-- credit line takes off another document
WITH wanted AS (SELECT unnest(CAST(:ids AS bigint[])) AS invoice_id),
crediting AS (
  SELECT DISTINCT d.invoice_id
  FROM wanted w
  JOIN invoicer.pay_line c ON c.corrects_invoice_id = w.invoice_id
  JOIN invoicer.invoice_line d ON d.pay_line_id = c.pay_line_id),
change AS (
  SELECT s.corrects_invoice_id AS invoice_id, s.corrects_line_no AS line_no, s.amount
  FROM crediting d
  CROSS JOIN LATERAL (
    SELECT * FROM invoicer.line_set_off o WHERE o.invoice_id = d.invoice_id) s
  JOIN wanted w ON w.invoice_id = s.corrects_invoice_id
  UNION ALL
  SELECT s.invoice_id, s.line_no, -s.amount
  FROM wanted w
  CROSS JOIN LATERAL (
    SELECT * FROM invoicer.line_set_off o WHERE o.invoice_id = w.invoice_id) s),
changes AS (SELECT invoice_id, line_no, sum(amount) AS amount FROM change GROUP BY 1, 2)
SELECT l.invoice_id, l.line_no,
  p.amount + l.allowance_amount + l.tax_amount + coalesce(c.amount, 0) AS value
FROM wanted w
JOIN invoicer.invoice_line l USING (invoice_id)
JOIN invoicer.pay_line p USING (pay_line_id)
LEFT JOIN changes c USING (invoice_id, line_no)
ORDER BY l.invoice_id, l.line_no

-- name: paid_lines
-- what each received payment pays of each line of documents, in the order of the first entries
SELECT k.invoice_id, k.payment_id, k.line_no, sum(k.amount) AS amount
FROM invoicer.payment_line k
JOIN invoicer.received_payment r USING (payment_id)
JOIN LATERAL (
  SELECT min(m.received_at) AS first_at FROM invoicer.payment m
  WHERE m.invoice_id = k.invoice_id AND m.ledger = k.ledger AND m.payment_id = k.payment_id) f
  ON true
WHERE k.invoice_id = ANY(CAST(:ids AS bigint[]))
GROUP BY k.invoice_id, k.payment_id, k.line_no, f.first_at, r.received_on
HAVING sum(k.amount) <> 0
ORDER BY k.invoice_id, f.first_at, r.received_on, k.payment_id, k.line_no

-- name: disputed_lines
-- what is disputed of lines of documents
SELECT invoice_id, line_no, disputed FROM invoicer.disputed_line
WHERE invoice_id = ANY(CAST(:ids AS bigint[]))

-- name: add_entries
-- entries of received payments on documents, each with the next number
INSERT INTO invoicer.payment
  (ledger, payment_id, invoice_id, entry_no, amount, currency, paid_on, remote_id)
SELECT :ledger, e.payment_id, e.invoice_id, coalesce((
    SELECT max(m.entry_no) FROM invoicer.payment m
    WHERE m.invoice_id = e.invoice_id AND m.ledger = :ledger
      AND m.payment_id = e.payment_id), 0) + 1,
  e.amount, e.currency, e.paid_on, ''
FROM unnest(CAST(:payments AS text[]), CAST(:invoices AS bigint[]), CAST(:amounts AS numeric[]),
  CAST(:currencies AS text[]), CAST(:days AS date[]))
  AS e(payment_id, invoice_id, amount, currency, paid_on)
RETURNING payment_id, invoice_id, entry_no

-- name: credited_with_payments
-- the invoices that the lines closed in this transaction correct, if received payments pay of them
SELECT i.billing_company, i.invoice_id
FROM (SELECT DISTINCT corrects_invoice FROM selected_line
      WHERE corrects_invoice IS NOT NULL AND corrects_invoice <> '') k
JOIN invoicer.invoice i
  ON i.billing_company = :company AND i.invoice_number = k.corrects_invoice
WHERE EXISTS (SELECT FROM invoicer.payment_line p WHERE p.invoice_id = i.invoice_id)

-- name: is_payer
-- whether an Account Name is one of the billto hierarchy or of a closed document
SELECT EXISTS (SELECT FROM invoicer.billto_node WHERE account_name = :account_name)
  OR EXISTS (
    SELECT FROM invoicer.invoice
    WHERE billing_company = :company AND account_name = :account_name) AS known
