-- name: issued_lines
-- the lines of closed documents, with the sums of the credits on closed documents
SELECT l.invoice_id, l.line_no, l.billto_node AS debtor_node, l.billto_level,
  l.tax_code AS invoiced_tax_code, l.tax_rate, l.tax_amount, l.allowance_amount, p.*,
  c.quantity AS credited_quantity, c.amount AS credited_amount, c.tax AS credited_tax,
  c.allowance AS credited_allowance
FROM invoicer.invoice_line l
JOIN invoicer.pay_line p USING (pay_line_id)
CROSS JOIN LATERAL (
  SELECT coalesce(sum(e.quantity), 0) AS quantity, coalesce(sum(e.amount), 0) AS amount,
    coalesce(sum(el.tax_amount), 0) AS tax, coalesce(sum(el.allowance_amount), 0) AS allowance
  FROM invoicer.pay_line e JOIN invoicer.invoice_line el USING (pay_line_id)
  WHERE e.corrects_invoice_id = l.invoice_id AND e.corrects_line_no = l.line_no) c
WHERE l.invoice_id = ANY(CAST(:ids AS bigint[])) ORDER BY l.invoice_id, l.line_no

-- name: line_locations
-- the debtor nodes of lines to close, each with a number
CREATE TEMP TABLE line_location ON COMMIT DROP AS
SELECT CAST(row_number() OVER (ORDER BY node, level) AS integer) AS location_no,
  node AS debtor_node, level AS debtor_level
FROM (SELECT DISTINCT *
  FROM unnest(CAST(:nodes AS text[]), CAST(:levels AS integer[])) AS n(node, level)) n

-- name: selected_lines
-- the pay lines of the credits, found by the line that they correct and by their command
CREATE TEMP TABLE selected_line ON COMMIT DROP AS
SELECT CAST(:group_no AS bigint) AS group_no, CAST(t.line_no AS integer) AS line_no, p.pay_line_id,
  0 AS exclusion_reason, s.location_no, t.tax_code, t.tax_rate, t.tax,
  invoicer.line_digest(p) AS digest, CAST(:invoice_number AS text) AS corrects_invoice
FROM unnest(CAST(:corrected AS integer[]), CAST(:nodes AS text[]), CAST(:levels AS integer[]),
    CAST(:codes AS text[]), CAST(:rates AS numeric[]), CAST(:taxes AS numeric[]))
  WITH ORDINALITY AS t(corrected, node, level, tax_code, tax_rate, tax, line_no)
-- The derivation names the command: other credits of the same line may be open too.
JOIN invoicer.pay_line p ON p.corrects_invoice_id = :id AND p.corrects_line_no = t.corrected
  AND p.derivation -> 'credit' ->> 'command_id' = :command_id
JOIN line_location s ON s.debtor_node = t.node AND s.debtor_level = t.level

-- name: line_allowances
-- what the credits, in the order of their lines, give back of the allowances of the invoice
CREATE TEMP TABLE line_allowance ON COMMIT DROP AS
SELECT k.pay_line_id, s.allowance
FROM unnest(CAST(:shares AS numeric[])) WITH ORDINALITY AS s(allowance, line_no)
JOIN selected_line k ON k.line_no = s.line_no

-- name: undo_write_offs
-- rows that take back, once, what was written off on a closed document
INSERT INTO invoicer.write_off
  (document_kind, document_id, line_key, command_id, quantity, amount, actor, reason)
SELECT w.document_kind, w.document_id, w.line_key, CAST(:undone AS text) || w.command_id,
  -w.quantity, -w.amount, :actor, :reason
FROM invoicer.write_off w
WHERE w.command_id IN (
    SELECT b.command_id
    FROM invoicer.pay_line p JOIN invoicer.invoice_line l USING (pay_line_id)
    JOIN invoicer.invoice i ON i.invoice_id = l.invoice_id
    JOIN invoicer.batch b ON b.batch_id = i.batch_id
    WHERE p.corrects_invoice_id = :id AND p.derivation -> 'credit' ->> 'to' = 'write-off')
  AND (w.document_kind, w.document_id) IN (
    SELECT p.document_kind, p.document_id
    FROM invoicer.invoice_line l JOIN invoicer.pay_line p USING (pay_line_id)
    WHERE l.invoice_id = :id)
ON CONFLICT DO NOTHING
RETURNING document_kind, document_id, amount
