-- name: line
-- a line of a document: what is left to pay of it and of its document, and its open dispute
SELECT i.invoice_id, i.document_type, i.account_name, i.currency, l.pay_line_id,
  r.balance AS left, b.balance AS left_of_document, coalesce((
    SELECT sum(o.disputed) FROM invoicer.disputed_line o
    WHERE o.invoice_id = i.invoice_id), 0) AS disputed_on_document, d.dispute_id
FROM invoicer.invoice i
JOIN invoicer.invoice_line l ON l.invoice_id = i.invoice_id AND l.line_no = :line_no
JOIN invoicer.billing_record r ON r.invoice_id = i.invoice_id AND r.line_no = :line_no
JOIN invoicer.invoice_balance b ON b.invoice_id = i.invoice_id
LEFT JOIN invoicer.disputed_line d ON d.invoice_id = i.invoice_id AND d.line_no = :line_no
WHERE i.billing_company = :company AND i.invoice_number = :number

-- name: dispute
-- a dispute of a billing company
SELECT d.dispute_id, d.invoice_id, i.invoice_number, i.account_name, d.line_no, d.currency,
  d.amount, d.disputed, d.state, d.opened_on, d.last_day
FROM invoicer.dispute_balance d JOIN invoicer.invoice i USING (invoice_id)
WHERE d.billing_company = :company AND d.dispute_id = :id

-- name: add_dispute
-- a dispute with its first entry
WITH added AS (
  INSERT INTO invoicer.dispute
    (billing_company, invoice_id, line_no, currency, reason, actor, opened_on)
  VALUES (:company, :invoice, :line_no, :currency, :reason, :actor, CAST(:day AS date))
  RETURNING dispute_id),
entry AS (
  INSERT INTO invoicer.dispute_entry
    (dispute_id, entry_no, kind, amount, entered_on, command_id, actor, reason)
  SELECT dispute_id, 1, 'opened', CAST(:amount AS numeric), CAST(:day AS date), :command_id,
    :actor, :reason
  FROM added)
SELECT dispute_id FROM added

-- name: credited
-- what the lines closed in this transaction credit of disputed lines, and on which document
SELECT d.dispute_id, i.invoice_number AS credit_note,
  -sum(p.amount + l.allowance_amount + l.tax_amount) AS amount
FROM invoicer.dispute_balance d
JOIN invoicer.pay_line p
  ON p.corrects_invoice_id = d.invoice_id AND p.corrects_line_no = d.line_no
JOIN selected_line s USING (pay_line_id)
JOIN invoicer.invoice_line l USING (pay_line_id)
JOIN invoicer.invoice i ON i.invoice_id = l.invoice_id
WHERE d.billing_company = :company AND d.disputed > 0
GROUP BY d.dispute_id, i.invoice_id
HAVING sum(p.amount + l.allowance_amount + l.tax_amount) < 0
ORDER BY d.dispute_id, i.invoice_id

-- name: beyond_what_is_left
-- what is disputed of lines beyond what is left to pay of them, of a billing company
SELECT d.dispute_id, '' AS credit_note,
  d.disputed - greatest(r.balance, 0) AS amount
FROM invoicer.dispute_balance d
JOIN invoicer.billing_record r USING (invoice_id, line_no)
WHERE d.billing_company = :company AND d.disputed > greatest(r.balance, 0)
ORDER BY d.dispute_id

-- name: add_entries
-- what ends disputes or a part of them, never more than is disputed; returns what is left of each
WITH given AS (
  SELECT b.dispute_id, g.credit_note, least(g.amount, b.disputed - g.before) AS amount, g.at
  FROM (
    SELECT u.*, sum(u.amount) OVER (PARTITION BY u.dispute_id ORDER BY u.at) - u.amount AS before
    FROM unnest(CAST(:ids AS bigint[]), CAST(:amounts AS numeric[]), CAST(:notes AS text[]))
      WITH ORDINALITY AS u(dispute_id, amount, credit_note, at)) g
  JOIN invoicer.dispute_balance b USING (dispute_id)),
added AS (
  INSERT INTO invoicer.dispute_entry
    (dispute_id, entry_no, kind, amount, entered_on, credit_note, command_id, actor, reason)
  SELECT g.dispute_id, (
      SELECT count(*) FROM invoicer.dispute_entry n WHERE n.dispute_id = g.dispute_id)
      + row_number() OVER (PARTITION BY g.dispute_id ORDER BY g.at),
    :kind, -g.amount, CAST(:day AS date), g.credit_note, :command_id, :actor, :reason
  FROM given g WHERE g.amount > 0
  RETURNING dispute_id, -amount AS amount)
SELECT a.dispute_id, i.invoice_number, b.line_no, b.currency, sum(a.amount) AS taken,
  b.disputed - sum(a.amount) AS disputed
FROM added a
JOIN invoicer.dispute_balance b USING (dispute_id)
JOIN invoicer.invoice i USING (invoice_id)
GROUP BY a.dispute_id, i.invoice_number, b.line_no, b.currency, b.disputed
ORDER BY a.dispute_id
