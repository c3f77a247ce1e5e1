-- name: payment_entries
-- what is applied, refunded and reversed of a payment is never more than the payment
SELECT 'check ' || check_id || ' of ' || account_name || ', ' || received_on AS id,
       format('%s %s received; %s applied, %s refunded, %s reversed', amount, currency, applied,
              refunded, taken_back) AS detail
FROM invoicer.received_payment_balance
WHERE unapplied < 0 OR applied < 0 OR (is_reversed AND (applied <> 0 OR unapplied <> 0))

-- name: payment_fits
-- a payment is applied to invoices of its payer, in its currency, on or after its date of deposit
SELECT 'invoice ' || i.invoice_number AS id,
       format('%s, %s %s; check %s of %s, received on %s in %s, is applied on %s', i.document_type,
              i.account_name, i.currency, r.check_id, r.account_name, r.received_on, r.currency,
              m.paid_on) AS detail
FROM invoicer.payment m
JOIN invoicer.invoice i USING (invoice_id)
LEFT JOIN invoicer.received_payment r USING (payment_id)
WHERE m.ledger = 'hand' AND (r.payment_id IS NULL OR i.document_type <> 'invoice'
  OR (i.billing_company, i.account_name, i.currency, m.currency)
    <> (r.billing_company, r.account_name, r.currency, r.currency)
  OR m.paid_on < r.received_on)

-- name: payment_parts
-- an entry of a received payment is the sum of its parts on the lines
SELECT 'invoice ' || i.invoice_number AS id,
       format('entry %s of payment %s is %s; its parts are %s', m.entry_no, m.payment_id, m.amount,
              coalesce(k.amount, 0)) AS detail
FROM invoicer.payment m
JOIN invoicer.invoice i USING (invoice_id)
LEFT JOIN (
  SELECT invoice_id, payment_id, entry_no, sum(amount) AS amount
  FROM invoicer.payment_line GROUP BY 1, 2, 3) k USING (invoice_id, payment_id, entry_no)
WHERE m.ledger = 'hand' AND m.amount <> coalesce(k.amount, 0)

-- name: line_balances
-- a line is worth its total less credits, and no payment takes more than that, nor its sign
WITH paid AS (
  SELECT invoice_id, line_no, sum(amount) AS paid FROM invoicer.payment_line GROUP BY 1, 2),
value AS (
  SELECT l.invoice_id, l.line_no, p.amount + l.allowance_amount + l.tax_amount AS amount
  FROM invoicer.invoice_line l JOIN invoicer.pay_line p USING (pay_line_id)
  WHERE l.invoice_id IN (SELECT invoice_id FROM paid)
  UNION ALL
  SELECT corrects_invoice_id, corrects_line_no, amount FROM invoicer.line_set_off
  WHERE corrects_invoice_id IN (SELECT invoice_id FROM paid)
  UNION ALL
  SELECT invoice_id, line_no, -amount FROM invoicer.line_set_off
  WHERE invoice_id IN (SELECT invoice_id FROM paid)),
line AS (SELECT invoice_id, line_no, sum(amount) AS value FROM value GROUP BY 1, 2)
SELECT 'invoice ' || i.invoice_number || ' line ' || v.line_no AS id,
       format('is worth %s after credits; %s is paid of it', v.value, m.paid) AS detail
FROM line v JOIN paid m USING (invoice_id, line_no) JOIN invoicer.invoice i USING (invoice_id)
WHERE m.paid NOT BETWEEN least(v.value, 0) AND greatest(v.value, 0)

-- name: document_balances
-- the balance of a document with received payments is that of its lines, and they never overpay it
WITH line AS (
  SELECT invoice_id, sum(balance) AS balance FROM invoicer.billing_record
  WHERE invoice_id IN (SELECT invoice_id FROM invoicer.payment_line) GROUP BY 1),
other AS (
  SELECT invoice_id, sum(amount) AS paid FROM invoicer.payment
  WHERE ledger <> 'hand' GROUP BY 1)
SELECT 'invoice ' || i.invoice_number AS id,
       format('has a balance of %s; its lines have %s, and %s is paid of it as a whole', b.balance,
              l.balance, coalesce(o.paid, 0)) AS detail
FROM line l
JOIN invoicer.invoice i USING (invoice_id)
JOIN invoicer.invoice_balance b USING (invoice_id)
LEFT JOIN other o USING (invoice_id)
WHERE b.balance <> l.balance - coalesce(o.paid, 0)
  OR (b.balance < 0 AND b.paid > 0 AND o.paid IS NULL)

-- name: unapplied_by_debtor
-- what a debtor owes is totals less payments: balances of its documents less unapplied money
WITH owed AS (
  SELECT i.billing_company, i.account_name, i.currency, sum(b.balance) AS balance,
         sum(i.total) AS total
  FROM invoicer.invoice i JOIN invoicer.invoice_balance b USING (invoice_id)
  WHERE (i.billing_company, i.account_name) IN (
    SELECT billing_company, account_name FROM invoicer.received_payment)
  GROUP BY 1, 2, 3),
received AS (
  SELECT billing_company, account_name, currency, sum(amount - refunded - taken_back) AS amount,
         sum(unapplied) AS unapplied
  FROM invoicer.received_payment_balance GROUP BY 1, 2, 3),
other AS (
  SELECT i.billing_company, i.account_name, i.currency, sum(m.amount) AS amount
  FROM invoicer.payment m JOIN invoicer.invoice i USING (invoice_id)
  WHERE m.ledger <> 'hand' GROUP BY 1, 2, 3)
SELECT 'debtor ' || account_name || ' at ' || billing_company AS id,
       format('%s: balances of %s less %s unapplied; documents of %s less payments of %s', currency,
              coalesce(o.balance, 0), r.unapplied, coalesce(o.total, 0),
              r.amount + coalesce(x.amount, 0)) AS detail
FROM received r
LEFT JOIN owed o USING (billing_company, account_name, currency)
LEFT JOIN other x USING (billing_company, account_name, currency)
WHERE coalesce(o.balance, 0) - r.unapplied
   <> coalesce(o.total, 0) - r.amount - coalesce(x.amount, 0)
