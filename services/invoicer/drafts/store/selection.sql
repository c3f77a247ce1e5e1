-- Drafts in the temporary tables from which documents are closed: the number of a group is the id
-- of its draft.

-- name: line_locations
-- the debtor nodes of the lines, each with a number
CREATE TEMP TABLE line_location ON COMMIT DROP AS
SELECT CAST(row_number() OVER (ORDER BY node, level) AS integer) AS location_no,
  node AS debtor_node, level AS debtor_level
FROM (SELECT DISTINCT billto_node AS node, billto_level AS level
  FROM invoicer.draft_line WHERE draft_id = ANY(CAST(:drafts AS bigint[]))) n

-- name: debtors
-- the debtors of the drafts, for the safety checks
CREATE TEMP TABLE debtor_decision ON COMMIT DROP AS
SELECT CAST(row_number() OVER (ORDER BY account_name) AS integer) AS debtor_no, account_name,
  CAST(NULL AS date) AS weeks_from
FROM (SELECT DISTINCT account_name FROM invoicer.draft
  WHERE draft_id = ANY(CAST(:drafts AS bigint[]))) a

-- name: selected_lines
-- the lines of the drafts, with the tax that they have; the types of the columns are those of a
-- batch, because prepared statements read both
CREATE TEMP TABLE selected_line ON COMMIT DROP AS
SELECT d.draft_id AS group_no,
  CAST(row_number() OVER (PARTITION BY d.draft_id ORDER BY d.line_no) AS integer) AS line_no,
  d.pay_line_id, hashtextextended(p.worker_id, 0) AS worker,
  hashtextextended(p.requirement_id, hashtextextended(p.document_id, 0)) AS work_key,
  {digest} AS digest, 0 AS exclusion_reason, s.location_no,
  p.line_kind = 'timesheet' AND p.corrects_invoice_id IS NULL AS is_time, d.correction,
  p.service_from, p.service_to, h.credit_split, b.debtor_no, p.day_minutes, p.week_ending,
  p.corrects_invoice_id AS corrects, p.amount, CAST(d.tax_amount AS numeric) AS tax,
  CASE WHEN p.unit = 'HUR' THEN p.quantity ELSE 0 END AS hours,
  CAST(d.tax_rate AS numeric) AS tax_rate, d.tax_code, p.currency,
  h.po_number, i.invoice_number AS corrects_invoice
FROM invoicer.draft_line d
JOIN invoicer.draft h USING (draft_id)
JOIN invoicer.pay_line p USING (pay_line_id)
JOIN line_location s ON s.debtor_node = d.billto_node AND s.debtor_level = d.billto_level
JOIN debtor_decision b ON b.account_name = h.account_name
LEFT JOIN invoicer.invoice i ON i.invoice_id = p.corrects_invoice_id
WHERE d.draft_id = ANY(CAST(:drafts AS bigint[]))

-- name: line_allowances
-- the shares of the lines in the allowances of their drafts
CREATE TEMP TABLE line_allowance ON COMMIT DROP AS
SELECT pay_line_id, CAST(allowance_amount AS numeric) AS allowance FROM invoicer.draft_line
WHERE draft_id = ANY(CAST(:drafts AS bigint[])) AND allowance_amount <> 0

-- name: tax_now
-- A part: the tax code and the tax rate of the debits as rates are now. NULL: there is no rate.
SELECT k.pay_line_id, k.group_no, coalesce(nullif(p.tax_code, ''), :default_tax) AS tax_code,
  CASE WHEN h.tax_regime <> 'standard' OR coalesce(nullif(p.tax_code, ''), :default_tax) = '' THEN 0
       ELSE t.percent END AS tax_rate
FROM selected_line k
JOIN invoicer.draft h ON h.draft_id = k.group_no
JOIN invoicer.pay_line p ON p.pay_line_id = k.pay_line_id
LEFT JOIN tax_span t ON t.tax_code = coalesce(nullif(p.tax_code, ''), :default_tax)
  AND coalesce(p.tax_date, p.effective_date) >= t.from_date
  AND coalesce(p.tax_date, p.effective_date) < t.to_date
WHERE k.corrects IS NULL

-- name: other_rates
-- the drafts with debits whose tax code or rate would be another one now
SELECT k.group_no AS draft_id, k.tax_code AS code, k.tax_rate AS rate, n.tax_code AS code_now,
  n.tax_rate AS rate_now, count(*) AS lines
FROM selected_line k JOIN ({tax_now}) n USING (pay_line_id)
WHERE n.tax_rate IS DISTINCT FROM k.tax_rate OR n.tax_code <> k.tax_code
GROUP BY k.group_no, k.tax_code, k.tax_rate, n.tax_code, n.tax_rate
ORDER BY k.group_no, k.tax_code, k.tax_rate

-- name: tax_again
-- the tax of the debits per line, as rates are now, before allowances
UPDATE selected_line k
SET tax_code = n.tax_code, tax_rate = coalesce(n.tax_rate, 0),
  tax = round(k.amount * coalesce(n.tax_rate, 0) / 100, coalesce(m.decimals, 2))
FROM ({tax_now}) n JOIN invoicer.pay_line p USING (pay_line_id)
LEFT JOIN currency_decimals m ON m.currency = p.currency
WHERE k.pay_line_id = n.pay_line_id

-- name: group_totals
-- the lines added up by draft, tax code and rate, after the stored shares of allowances
SELECT k.group_no, count(*) AS line_count, count(k.corrects) AS credit_count,
  min(k.service_from) AS service_from, max(k.service_to) AS service_to,
  max(k.corrects) AS newest_corrected, k.tax_code, k.tax_rate,
  sum(k.amount{allowance}) AS net, sum(k.tax) AS tax, sum(k.hours) AS hours
FROM selected_line k {allowances}
GROUP BY k.group_no, k.tax_code, k.tax_rate ORDER BY k.group_no, k.tax_code, k.tax_rate

-- name: save_taxes
-- the tax and the allowances of the lines as they were computed again
UPDATE invoicer.draft_line d
SET tax_code = k.tax_code, tax_rate = k.tax_rate, tax_amount = k.tax, allowance_amount = {share}
FROM selected_line k {shares}
WHERE d.pay_line_id = k.pay_line_id

-- name: finish_lines
-- removes the selected lines from their drafts: they are on documents now
DELETE FROM invoicer.draft_line d USING selected_line k WHERE d.pay_line_id = k.pay_line_id
