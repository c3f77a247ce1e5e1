-- Discounts and surcharges of the documents of a selection, in two temporary tables.
-- `line_allowance` has the signed share of each line that takes one, `document_allowance` the rows
-- of the documents. The rows of what credits take back come after all positions of terms.

-- name: create_line_allowance
-- The shares of lines in the allowances of their documents.
CREATE TEMP TABLE line_allowance (
  pay_line_id bigint PRIMARY KEY, allowance numeric NOT NULL) ON COMMIT DROP

-- name: create_document_allowance
-- The allowances of documents: one row for each name, tax code and rate.
CREATE TEMP TABLE document_allowance (
  group_no bigint, position integer, name text, tax_code text, tax_rate numeric, base numeric,
  percent numeric, amount numeric) ON COMMIT DROP

-- name: clear
-- Forget what was computed.
TRUNCATE line_allowance, document_allowance

-- name: credits_with_allowances
-- Whether an open credit corrects a line with a share of allowances.
SELECT EXISTS (SELECT FROM open_credit WHERE corrected_allowance <> 0) AS found

-- name: original_lines
-- Which kinds of original debits groups have.
SELECT group_no, bool_or(is_time) AS timesheets, bool_or(NOT is_time) AS products
FROM selected_line
WHERE exclusion_reason = 0 AND corrects IS NULL AND NOT correction AND amount > 0
  AND group_no = ANY(CAST(:groups AS bigint[]))
GROUP BY group_no

-- name: take_credits
-- The share of each credit: in proportion to what it takes of the line that it corrects, at most
-- what is left of that line's share; the last credit takes the rest. Tax is shared in the same way.
INSERT INTO line_allowance (pay_line_id, allowance)
SELECT pay_line_id,
       -sign_of_share * (up_to - lag(up_to, 1, CAST(0 AS numeric)) OVER of_line) AS allowance
FROM (
  SELECT *, CASE WHEN corrected_amount <> 0 AND corrected_amount + credited + running = 0
                 THEN rest ELSE least(rest, shares) END AS up_to
  FROM (
    SELECT c.pay_line_id, c.corrects_invoice_id, c.corrects_line_no, c.corrected_amount, c.credited,
           CASE WHEN c.corrected_allowance < 0 THEN -1 ELSE 1 END AS sign_of_share,
           abs(c.corrected_allowance + c.allowance_credited) AS rest,
           sum(c.amount) OVER of_line AS running,
           sum(coalesce(abs(round(
             c.corrected_allowance * c.amount / nullif(c.corrected_amount, 0),
             coalesce(m.decimals, 2))), 0)) OVER of_line AS shares
    FROM open_credit c
    JOIN selected_line k ON k.pay_line_id = c.pay_line_id
    LEFT JOIN currency_decimals m ON m.currency = c.currency
    WHERE c.corrected_allowance <> 0 AND k.exclusion_reason = 0
    WINDOW of_line AS (
      PARTITION BY c.corrects_invoice_id, c.corrects_line_no ORDER BY c.pay_line_id)) a) b
WINDOW of_line AS (PARTITION BY corrects_invoice_id, corrects_line_no ORDER BY pay_line_id)

-- name: keep_credits
-- The shares of credits that are on drafts.
INSERT INTO line_allowance (pay_line_id, allowance)
SELECT k.pay_line_id, d.allowance_amount
FROM selected_line k JOIN invoicer.draft_line d USING (pay_line_id)
WHERE k.corrects IS NOT NULL AND d.allowance_amount <> 0

-- name: note_credits
-- What the credits of a document take back, one row for each corrected document and tax rate.
INSERT INTO document_allowance
SELECT k.group_no, :position, k.corrects_invoice, k.tax_code, k.tax_rate, sum(k.amount), NULL,
       sum(a.allowance)
FROM line_allowance a JOIN selected_line k ON k.pay_line_id = a.pay_line_id
WHERE k.corrects IS NOT NULL AND a.allowance <> 0
GROUP BY k.group_no, k.corrects_invoice, k.tax_code, k.tax_rate

-- name: take_terms
-- The discounts and surcharges of one position, each on the debits of its group.
-- A percentage is rounded once for each tax code and rate, a fixed amount is spread over all lines
-- that it applies to; both are shared out in whole units of the currency by largest remainder,
-- equal remainders to the earlier line. Neither is more than what the lines are worth before it.
WITH term AS MATERIALIZED (
  SELECT * FROM unnest({columns}) AS t({names}) WHERE group_no IS NOT NULL),
line AS (
  SELECT k.pay_line_id, k.group_no, k.line_no, k.tax_code, k.tax_rate, t.name, t.sign, t.percent,
         t.fixed, t.percent IS NULL AS is_fixed, d.decimals,
         power(CAST(10 AS numeric), d.decimals) AS per,
         k.amount + coalesce(a.allowance, 0) AS base
  FROM term t
  JOIN selected_line k ON k.group_no = t.group_no
  LEFT JOIN line_allowance a ON a.pay_line_id = k.pay_line_id
  LEFT JOIN currency_decimals m ON m.currency = k.currency
  CROSS JOIN LATERAL (SELECT coalesce(m.decimals, 2) AS decimals) d
  WHERE k.exclusion_reason = 0 AND k.corrects IS NULL AND k.amount > 0
    AND (t.applies_to = 'all' OR (t.applies_to = 'timesheets') = k.is_time)
    AND (t.percent IS NOT NULL OR NOT k.correction)),
part AS (
  SELECT *, round(base * per) AS units,
         sum(round(base * per)) OVER (
           PARTITION BY group_no, CASE WHEN NOT is_fixed THEN tax_code END,
                        CASE WHEN NOT is_fixed THEN tax_rate END) AS whole
  FROM line),
figure AS (
  SELECT *, least(round(CASE WHEN is_fixed THEN fixed * per ELSE whole * percent / 100 END), whole)
            AS taken
  FROM part WHERE whole > 0),
ranked AS (
  SELECT *, div(taken * units, whole) AS floor_units,
         row_number() OVER (
           PARTITION BY group_no, CASE WHEN NOT is_fixed THEN tax_code END,
                        CASE WHEN NOT is_fixed THEN tax_rate END
           ORDER BY mod(taken * units, whole) DESC, line_no) AS rank,
         sum(div(taken * units, whole)) OVER (
           PARTITION BY group_no, CASE WHEN NOT is_fixed THEN tax_code END,
                        CASE WHEN NOT is_fixed THEN tax_rate END) AS floors
  FROM figure),
shared AS (
  SELECT *, sign * round((floor_units + CASE WHEN rank <= taken - floors THEN 1 ELSE 0 END) / per,
                         decimals) AS share
  FROM ranked),
noted AS (
  INSERT INTO document_allowance
  SELECT group_no, :position, name, tax_code, tax_rate, sum(base), percent, sum(share)
  FROM shared GROUP BY group_no, name, tax_code, tax_rate, percent HAVING sum(share) <> 0)
INSERT INTO line_allowance AS a (pay_line_id, allowance)
SELECT pay_line_id, share FROM shared WHERE share <> 0
ON CONFLICT (pay_line_id) DO UPDATE SET allowance = a.allowance + excluded.allowance

-- name: tax_lines
-- Tax per line of the debits of groups, after their allowances.
UPDATE selected_line k SET tax = c.tax
FROM (
  SELECT p.pay_line_id,
         round((p.amount + coalesce(a.allowance, 0)) * p.tax_rate / 100, coalesce(m.decimals, 2))
           AS tax
  FROM selected_line p
  LEFT JOIN line_allowance a ON a.pay_line_id = p.pay_line_id
  LEFT JOIN currency_decimals m ON m.currency = p.currency
  WHERE p.group_no = ANY(CAST(:groups AS bigint[])) AND p.exclusion_reason = 0
    AND p.corrects IS NULL) c
WHERE c.pay_line_id = k.pay_line_id AND c.tax <> k.tax

-- name: groups_with_shares
-- The groups of the lines that take a share.
SELECT DISTINCT k.group_no
FROM line_allowance a JOIN selected_line k ON k.pay_line_id = a.pay_line_id

-- name: net_and_tax
-- Net after allowances and tax of groups, by code and rate.
SELECT k.group_no, k.tax_code, k.tax_rate, sum(k.amount + coalesce(a.allowance, 0)) AS net,
       sum(k.tax) AS tax
FROM selected_line k LEFT JOIN line_allowance a ON a.pay_line_id = k.pay_line_id
WHERE k.exclusion_reason = 0 AND k.group_no = ANY(CAST(:groups AS bigint[]))
GROUP BY k.group_no, k.tax_code, k.tax_rate ORDER BY k.group_no, k.tax_code, k.tax_rate

-- name: document_allowances
-- The allowances of all documents, in the order in which they are taken.
SELECT group_no, name, tax_code, tax_rate, base, percent, amount, position
FROM document_allowance
ORDER BY group_no, position, name COLLATE "C", tax_code COLLATE "C", tax_rate
