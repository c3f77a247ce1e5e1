-- Lines of drafts that were replaced in this transaction, and the lines that take their places.

-- name: place
-- Moves successors from the open lines to the places of the lines that they replace; of several
-- lines of one key, in the order of their ids. A held line, one that is due after the cut-off of
-- the draft and one of another debtor stay open.
WITH place AS MATERIALIZED (
  SELECT r.*, o.document_kind, o.document_id, o.line_key, o.billing_company, o.currency,
    o.po_number, o.billto_node AS node, o.effective_date,
    row_number() OVER (PARTITION BY o.document_kind, o.document_id, o.line_key
                       ORDER BY r.pay_line_id) AS position
  FROM invoicer.replaced_draft_line r JOIN invoicer.pay_line o USING (pay_line_id)
  WHERE o.corrects_invoice_id IS NULL),
successor AS MATERIALIZED (
  SELECT n.pay_line_id, n.document_kind, n.document_id, n.line_key, n.billing_company, n.currency,
    n.po_number, n.billto_node AS node, n.effective_date, q.correction,
    row_number() OVER (PARTITION BY n.document_kind, n.document_id, n.line_key
                       ORDER BY n.pay_line_id) AS position
  FROM (SELECT DISTINCT document_kind, document_id, line_key, billing_company FROM place) k
  JOIN invoicer.pay_line n USING (document_kind, document_id, line_key, billing_company)
  JOIN invoicer.open_line q
    ON q.billing_company = n.billing_company AND q.pay_line_id = n.pay_line_id
  WHERE n.corrects_invoice_id IS NULL
    AND NOT EXISTS (
      SELECT FROM invoicer.snooze z
      WHERE z.document_kind = n.document_kind AND z.document_id = n.document_id
        AND z.line_key = n.line_key)),
placed AS MATERIALIZED (
  SELECT s.pay_line_id, s.billing_company, s.correction, p.draft_id, p.line_no, p.billto_node,
    p.billto_level
  FROM place p
  JOIN successor s USING (document_kind, document_id, line_key, billing_company, position)
  JOIN invoicer.draft d ON d.draft_id = p.draft_id
  WHERE s.currency = p.currency AND s.po_number = p.po_number AND s.node = p.node
    AND s.effective_date <= greatest(d.cut_off, p.effective_date)),
gone AS (
  DELETE FROM invoicer.open_line o USING placed x
  WHERE o.billing_company = x.billing_company AND o.pay_line_id = x.pay_line_id),
emptied AS (
  DELETE FROM invoicer.replaced_draft_line)
INSERT INTO invoicer.draft_line
  (pay_line_id, billing_company, draft_id, line_no, correction, billto_node, billto_level, tax_code,
   tax_rate, tax_amount, allowance_amount)
SELECT pay_line_id, billing_company, draft_id, line_no, correction, billto_node, billto_level, '',
  0, 0, 0
FROM placed

-- name: take_off
-- Moves lines from drafts to the open ones. Their places are noted as replaced; a held line does
-- not come back to its place.
WITH gone AS (
  DELETE FROM invoicer.draft_line WHERE pay_line_id = ANY(CAST(:ids AS bigint[]))
  RETURNING pay_line_id, draft_id, line_no, billto_node, billto_level, correction),
noted AS (
  INSERT INTO invoicer.replaced_draft_line
    (pay_line_id, draft_id, line_no, billto_node, billto_level)
  SELECT pay_line_id, draft_id, line_no, billto_node, billto_level FROM gone)
INSERT INTO invoicer.open_line
  (billing_company, pay_line_id, effective_date, week_ending, billto_node, correction)
SELECT p.billing_company, p.pay_line_id, p.effective_date, p.week_ending, p.billto_node,
  g.correction
FROM gone g JOIN invoicer.pay_line p USING (pay_line_id)
