-- Lines of drafts.

-- name: draft_lines
-- moves the selected lines of groups to their drafts, in the order of `selected_line`
WITH drafted AS MATERIALIZED (
  SELECT * FROM unnest(CAST(:groups AS bigint[]), CAST(:drafts AS bigint[]))
    AS g(group_no, draft_id)),
moved AS (
  DELETE FROM selected_line k USING drafted g
  WHERE k.group_no = g.group_no AND k.exclusion_reason = 0
  RETURNING k.*, g.draft_id),
no_longer_open AS (
  DELETE FROM invoicer.open_line o USING moved k
  WHERE o.billing_company = :company AND o.pay_line_id = k.pay_line_id)
INSERT INTO invoicer.draft_line
  (pay_line_id, billing_company, draft_id, line_no, correction, billto_node, billto_level, tax_code,
   tax_rate, tax_amount, allowance_amount)
SELECT k.pay_line_id, :company, k.draft_id, k.line_no, k.correction, s.debtor_node, s.debtor_level,
  k.tax_code, k.tax_rate, k.tax, {share}
FROM moved k
JOIN line_location s ON s.location_no = k.location_no
{shares}

-- name: reopen_lines
-- moves lines of drafts back to the open ones
WITH gone AS (
  DELETE FROM invoicer.draft_line d
  WHERE d.draft_id = ANY(CAST(:drafts AS bigint[]))
    AND (:all_lines OR d.line_no = ANY(CAST(:line_nos AS integer[])))
  RETURNING d.pay_line_id, d.correction)
INSERT INTO invoicer.open_line
  (billing_company, pay_line_id, effective_date, week_ending, billto_node, correction)
SELECT p.billing_company, p.pay_line_id, p.effective_date, p.week_ending, p.billto_node,
  g.correction
FROM gone g JOIN invoicer.pay_line p USING (pay_line_id)
RETURNING pay_line_id

-- name: lines_of
-- the lines of drafts with their documents and keys
SELECT d.draft_id, d.line_no, d.pay_line_id, p.document_kind, p.document_id, p.line_key
FROM invoicer.draft_line d JOIN invoicer.pay_line p USING (pay_line_id)
WHERE d.draft_id = ANY(CAST(:drafts AS bigint[]))
ORDER BY d.draft_id, d.line_no

-- name: move_lines
-- moves the lines of drafts behind the last line of another draft
UPDATE invoicer.draft_line d SET draft_id = :into, line_no = s.line_no
FROM (
  SELECT pay_line_id,
    (SELECT coalesce(max(line_no), 0) FROM invoicer.draft_line WHERE draft_id = :into)
      + CAST(row_number() OVER (ORDER BY draft_id, line_no) AS integer) AS line_no
  FROM invoicer.draft_line WHERE draft_id = ANY(CAST(:drafts AS bigint[]))) s
WHERE d.pay_line_id = s.pay_line_id
