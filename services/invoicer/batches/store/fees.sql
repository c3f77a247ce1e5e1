-- MSP fees of the documents that a selection would close, in temporary tables.
-- A markup, and what credits return of one, is a row of `selected_line` with a negative id until
-- the batch closes; a discount is an allowance. `group_fee` has the fees of the documents.

-- name: fee_segments
-- The fees of options and currencies between two dates.
CREATE TEMP TABLE fee_segment ON COMMIT DROP AS
SELECT * FROM unnest({columns}) AS d({names}) WHERE segment_no IS NOT NULL

-- name: fee_bases
-- The debits that a fee is taken of, net after discounts, each with the fee of its effective date.
CREATE TEMP TABLE fee_base ON COMMIT DROP AS
SELECT k.pay_line_id, k.group_no, k.line_no, f.segment_no,
       k.amount + coalesce(a.discount, 0) AS base, k.tax_code, k.tax_rate, p.effective_date,
       p.service_from, p.service_to
FROM selected_line k
JOIN line_option x ON x.pay_line_id = k.pay_line_id
JOIN invoicer.pay_line p ON p.pay_line_id = k.pay_line_id
JOIN fee_segment f ON f.option_name = x.document_option ->> 'name' AND f.currency = k.currency
  AND p.effective_date >= f.from_date AND p.effective_date < f.to_date
LEFT JOIN line_allowance a ON a.pay_line_id = k.pay_line_id
WHERE k.exclusion_reason = 0 AND k.corrects IS NULL AND k.amount > 0
  AND CASE WHEN k.is_time THEN true WHEN p.document_kind = 'charge' THEN f.expenses
           ELSE f.products END

-- name: fee_credits
-- What each credit returns of the base of a fee and of its share of a discount: in proportion to
-- what it takes of the line that it corrects, at most what is left; the last credit takes the rest.
CREATE TEMP TABLE fee_credit ON COMMIT DROP AS
SELECT pay_line_id, group_no, line_no, corrects_invoice_id, fee_no,
       base_up_to - lag(base_up_to, 1, CAST(0 AS numeric)) OVER of_line AS base,
       share_up_to - lag(share_up_to, 1, CAST(0 AS numeric)) OVER of_line AS share
FROM (
  SELECT *, CASE WHEN is_last THEN base_left ELSE least(base_left, bases) END AS base_up_to,
         CASE WHEN is_last THEN share_left ELSE least(share_left, shares) END AS share_up_to
  FROM (
    SELECT c.pay_line_id, k.group_no, k.line_no, c.corrects_invoice_id, c.corrects_line_no,
           f.fee_no, c.corrected_amount + c.credited + sum(c.amount) OVER of_line = 0 AS is_last,
           f.base + r.base AS base_left, -(f.share + r.share) AS share_left,
           sum(round(f.base * -c.amount / c.corrected_amount, d.decimals)) OVER of_line AS bases,
           sum(round(-f.share * -c.amount / c.corrected_amount, d.decimals)) OVER of_line AS shares
    FROM open_credit c
    JOIN selected_line k ON k.pay_line_id = c.pay_line_id
    JOIN invoicer.line_fee f
      ON f.invoice_id = c.corrects_invoice_id AND f.line_no = c.corrects_line_no
    LEFT JOIN currency_decimals m ON m.currency = c.currency
    CROSS JOIN LATERAL (SELECT coalesce(m.decimals, 2) AS decimals) d
    CROSS JOIN LATERAL (
      SELECT coalesce(sum(b.base), 0) AS base, coalesce(sum(b.share), 0) AS share
      FROM invoicer.pay_line e
      JOIN invoicer.invoice_line l ON l.pay_line_id = e.pay_line_id
      JOIN invoicer.line_fee b ON b.invoice_id = l.invoice_id AND b.line_no = l.line_no
      WHERE e.corrects_invoice_id = c.corrects_invoice_id
        AND e.corrects_line_no = c.corrects_line_no) r
    WHERE k.exclusion_reason = 0 AND c.corrected_amount <> 0
    WINDOW of_line AS (
      PARTITION BY c.corrects_invoice_id, c.corrects_line_no ORDER BY c.pay_line_id)) a) b
WINDOW of_line AS (PARTITION BY corrects_invoice_id, corrects_line_no ORDER BY pay_line_id)

-- name: create_fees
-- The fees of documents, and what credits return of fees.
CREATE TEMP TABLE group_fee (
  group_no bigint, fee_no integer, segment_no integer, pay_line_id bigint, line_no integer,
  option_name text, funded_by text, charged_as text, fee_from date, percent numeric, base numeric,
  amount numeric, volume numeric, volume_since date, corrects_invoice_id bigint,
  corrects_fee_no integer, corrects_line_no integer, tax_code text, tax_rate numeric, tax numeric,
  effective_date date, service_from date, service_to date) ON COMMIT DROP

-- name: create_shares
-- The share of each line in a discount.
CREATE TEMP TABLE line_share (pay_line_id bigint PRIMARY KEY, fee_no integer, share numeric)
  ON COMMIT DROP

-- name: bases_of_groups
-- The fees of which the documents have lines, and the last effective date of these.
SELECT group_no, segment_no, max(effective_date) AS effective_date FROM fee_base GROUP BY 1, 2

-- name: returned_discounts
-- What credits return of discounts, by document: it is a part of their allowances.
SELECT group_no, sum(share) AS share FROM fee_credit GROUP BY group_no HAVING sum(share) <> 0

-- name: clear
-- Undo the fees that were taken before, so that others can be.
WITH gone AS (DELETE FROM selected_line WHERE pay_line_id < 0),
terms AS (DELETE FROM document_allowance WHERE position = CAST(:position AS integer))
UPDATE line_allowance a SET allowance = a.allowance - s.share
FROM line_share s WHERE s.pay_line_id = a.pay_line_id

-- name: take_fees
-- The fees that documents take; the amounts of discounts follow.
INSERT INTO group_fee (group_no, fee_no, segment_no, option_name, funded_by, charged_as, fee_from,
  percent, base, amount, volume, volume_since, tax_code, tax_rate, effective_date, service_from,
  service_to)
SELECT t.group_no, t.fee_no, t.segment_no, f.option_name, f.funded_by, f.charged_as, f.fee_from,
       t.percent, b.base, CASE f.charged_as WHEN 'markup'
                 THEN round(b.base * t.percent / 100, coalesce(m.decimals, 2)) ELSE 0 END,
       t.volume, t.volume_since, t.tax_code, t.tax_rate, b.effective_date, b.service_from,
       b.service_to
FROM unnest({columns}) AS t({names})
JOIN fee_segment f ON f.segment_no = t.segment_no
JOIN (
  SELECT group_no, segment_no, sum(base) AS base, max(effective_date) AS effective_date,
         min(service_from) AS service_from, max(service_to) AS service_to
  FROM fee_base GROUP BY 1, 2) b ON b.group_no = t.group_no AND b.segment_no = t.segment_no
LEFT JOIN currency_decimals m ON m.currency = f.currency

-- name: share_discounts
-- Discounts, rounded once for each tax code and rate, and shared out in whole units of the currency
-- by largest remainder, equal remainders to the earlier line.
INSERT INTO line_share (pay_line_id, fee_no, share)
SELECT pay_line_id, fee_no,
       -round((floors + CASE WHEN rank <= taken - all_floors THEN 1 ELSE 0 END) / per, decimals)
FROM (
  SELECT *, row_number() OVER (of_rate ORDER BY mod(taken * units, whole) DESC, line_no) AS rank,
         sum(floors) OVER of_rate AS all_floors
  FROM (
    SELECT *, div(taken * units, whole) AS floors
    FROM (
      SELECT *, round(whole * percent / 100) AS taken
      FROM (
        SELECT b.pay_line_id, b.group_no, b.line_no, b.tax_code, b.tax_rate, t.fee_no, t.percent,
               d.decimals, power(CAST(10 AS numeric), d.decimals) AS per,
               round(b.base * power(CAST(10 AS numeric), d.decimals)) AS units,
               sum(round(b.base * power(CAST(10 AS numeric), d.decimals))) OVER (
                 PARTITION BY b.group_no, t.fee_no, b.tax_code, b.tax_rate) AS whole
        FROM unnest({columns}) AS t({names})
        JOIN fee_segment f ON f.segment_no = t.segment_no AND f.charged_as = 'discount'
        JOIN fee_base b ON b.group_no = t.group_no AND b.segment_no = t.segment_no
        LEFT JOIN currency_decimals m ON m.currency = f.currency
        CROSS JOIN LATERAL (SELECT coalesce(m.decimals, 2) AS decimals) d) l
      WHERE whole > 0) w) s
  WINDOW of_rate AS (PARTITION BY group_no, fee_no, tax_code, tax_rate)) r

-- name: note_discounts
-- Discounts as allowances: of the lines, of the documents, and of the fees.
WITH shares AS (
  INSERT INTO line_allowance AS a (pay_line_id, allowance)
  SELECT pay_line_id, share FROM line_share WHERE share <> 0
  ON CONFLICT (pay_line_id) DO UPDATE SET allowance = a.allowance + excluded.allowance),
noted AS (
  INSERT INTO document_allowance
  SELECT b.group_no, CAST(:position AS integer), CAST(:name AS text), b.tax_code, b.tax_rate,
         sum(b.base), f.percent, sum(s.share)
  FROM line_share s
  JOIN fee_base b ON b.pay_line_id = s.pay_line_id
  JOIN group_fee f ON f.group_no = b.group_no AND f.fee_no = s.fee_no
  GROUP BY b.group_no, f.fee_no, b.tax_code, b.tax_rate, f.percent HAVING sum(s.share) <> 0)
UPDATE group_fee f SET amount = d.amount
FROM (
  SELECT b.group_no, s.fee_no, sum(s.share) AS amount
  FROM line_share s JOIN fee_base b ON b.pay_line_id = s.pay_line_id GROUP BY 1, 2) d
WHERE d.group_no = f.group_no AND d.fee_no = f.fee_no

-- name: return_fees
-- What the credits of each document return of the fees of an invoice: of a markup pro rata at its
-- percentage, at most what is left, the rest with the last of its base; with its tax in proportion.
INSERT INTO group_fee (group_no, fee_no, option_name, funded_by, charged_as, fee_from, percent,
  base, amount, corrects_invoice_id, corrects_fee_no, corrects_line_no, tax_code, tax_rate, tax,
  effective_date, service_from, service_to)
SELECT group_no,
       100 + row_number() OVER (PARTITION BY group_no ORDER BY corrects_invoice_id, fee_no),
       option_name, funded_by, charged_as, fee_from, percent, -base,
       CASE charged_as WHEN 'discount' THEN share ELSE -back END, corrects_invoice_id, fee_no,
       fee_line, coalesce(tax_code, ''), coalesce(tax_rate, 0),
       CASE WHEN fee_line IS NULL THEN 0
            ELSE -(tax_up_to - lag(tax_up_to, 1, CAST(0 AS numeric)) OVER of_fee) END,
       effective_date, service_from, service_to
FROM (
  SELECT *, CASE WHEN amount_left = up_to THEN tax_left
                 ELSE least(tax_left, sum(coalesce(round(line_tax * back / nullif(amount, 0),
                                                         decimals), 0)) OVER of_fee) END
              AS tax_up_to
  FROM (
    SELECT *, up_to - lag(up_to, 1, CAST(0 AS numeric)) OVER of_fee AS back
    FROM (
      SELECT *, CASE WHEN base_left <= sum(base) OVER of_fee THEN amount_left
                     ELSE least(amount_left, sum(round(base * percent / 100, decimals)) OVER of_fee)
                     END AS up_to
      FROM (
        SELECT c.group_no, c.corrects_invoice_id, c.fee_no, c.base, c.share, f.option_name,
               f.funded_by, f.charged_as, f.fee_from, f.percent, f.amount, f.line_no AS fee_line,
               f.base + r.base AS base_left, f.amount + r.amount AS amount_left,
               l.tax_code, l.tax_rate, l.tax_amount AS line_tax, l.tax_amount + r.tax AS tax_left,
               coalesce(m.decimals, 2) AS decimals,
               c.effective_date, c.service_from, c.service_to
        FROM (
          SELECT k.group_no, k.corrects_invoice_id, k.fee_no, sum(k.base) AS base,
                 sum(k.share) AS share, max(p.effective_date) AS effective_date,
                 min(p.service_from) AS service_from, max(p.service_to) AS service_to
          FROM fee_credit k JOIN invoicer.pay_line p ON p.pay_line_id = k.pay_line_id
          GROUP BY 1, 2, 3) c
        JOIN invoicer.document_fee f
          ON f.invoice_id = c.corrects_invoice_id AND f.fee_no = c.fee_no
        JOIN invoicer.invoice i ON i.invoice_id = f.invoice_id
        LEFT JOIN invoicer.invoice_line l
          ON l.invoice_id = f.invoice_id AND l.line_no = f.line_no
        LEFT JOIN currency_decimals m ON m.currency = i.currency
        CROSS JOIN LATERAL (
          SELECT coalesce(sum(b.base), 0) AS base, coalesce(sum(b.amount), 0) AS amount,
                 coalesce(sum(t.tax_amount), 0) AS tax
          FROM invoicer.document_fee b
          LEFT JOIN invoicer.invoice_line t
            ON t.invoice_id = b.invoice_id AND t.line_no = b.line_no
          WHERE b.corrects_invoice_id = f.invoice_id AND b.corrects_fee_no = f.fee_no) r) x
      WINDOW of_fee AS (PARTITION BY corrects_invoice_id, fee_no ORDER BY group_no)) y
    WINDOW of_fee AS (PARTITION BY corrects_invoice_id, fee_no ORDER BY group_no)) z
  WINDOW of_fee AS (PARTITION BY corrects_invoice_id, fee_no ORDER BY group_no)) q
WINDOW of_fee AS (PARTITION BY corrects_invoice_id, fee_no ORDER BY group_no)

-- name: number_lines
-- The lines of markups come after the others of their document.
UPDATE group_fee f SET line_no = n.line_no, pay_line_id = -n.place,
       tax = CASE WHEN f.corrects_invoice_id IS NULL
                  THEN round(f.amount * f.tax_rate / 100, n.decimals) ELSE f.tax END
FROM (
  SELECT d.group_no, d.fee_no, coalesce(m.decimals, 2) AS decimals,
         row_number() OVER (ORDER BY d.group_no, d.fee_no) AS place,
         l.last_line + row_number() OVER (PARTITION BY d.group_no ORDER BY d.fee_no) AS line_no
  FROM group_fee d
  JOIN (
    SELECT group_no, max(line_no) AS last_line, any_value(currency) AS currency
    FROM selected_line WHERE exclusion_reason = 0 GROUP BY group_no) l ON l.group_no = d.group_no
  LEFT JOIN currency_decimals m ON m.currency = l.currency
  WHERE d.charged_as = 'markup' AND d.amount <> 0) n
WHERE n.group_no = f.group_no AND n.fee_no = f.fee_no

-- name: locate_lines
-- The debtor nodes of the markups that credits return, where no open credit is at them.
INSERT INTO line_location (location_no, account_name, debtor_node, debtor_level, known, of_credit,
  lines)
SELECT (SELECT max(location_no) FROM line_location) + row_number() OVER (), *, true, true, 0
FROM (
  SELECT DISTINCT i.account_name, l.billto_node, CAST(l.billto_level AS integer)
  FROM group_fee f
  JOIN invoicer.invoice i ON i.invoice_id = f.corrects_invoice_id
  JOIN invoicer.invoice_line l
    ON l.invoice_id = f.corrects_invoice_id AND l.line_no = f.corrects_line_no
  WHERE f.pay_line_id < 0
  EXCEPT
  SELECT account_name, debtor_node, debtor_level FROM line_location WHERE of_credit) n

-- name: add_lines
-- The lines of markups, and of what credits return of them.
INSERT INTO selected_line (group_no, line_no, pay_line_id, worker, work_key, digest,
  exclusion_reason, location_no, is_time, correction, service_from, service_to, credit_split,
  debtor_no, terms_no, day_minutes, week_ending, corrects, amount, tax, hours, tax_rate, tax_code,
  currency, po_number, corrects_invoice)
SELECT f.group_no, f.line_no, f.pay_line_id, 0, 0, 0, 0, coalesce(s.location_no, g.location_no),
       false, f.corrects_invoice_id IS NOT NULL, f.service_from, f.service_to, g.credit_split,
       g.debtor_no, g.terms_no, 0, NULL, f.corrects_invoice_id, f.amount, f.tax, 0, f.tax_rate,
       f.tax_code, g.currency, g.po_number, i.invoice_number
FROM group_fee f
JOIN selected_line g ON g.pay_line_id = f.group_no
LEFT JOIN invoicer.invoice i ON i.invoice_id = f.corrects_invoice_id
LEFT JOIN invoicer.invoice_line l
  ON l.invoice_id = f.corrects_invoice_id AND l.line_no = f.corrects_line_no
LEFT JOIN line_location s ON s.of_credit AND s.account_name = i.account_name
  AND s.debtor_node = l.billto_node AND s.debtor_level = l.billto_level
WHERE f.pay_line_id < 0

-- name: fees_of_groups
-- The fees of the documents, in order.
SELECT f.group_no, f.fee_no, f.option_name, f.funded_by, f.charged_as, f.fee_from, f.percent,
       f.base, f.amount, f.line_no, f.volume, coalesce(i.invoice_number, '') AS corrects
FROM group_fee f LEFT JOIN invoicer.invoice i ON i.invoice_id = f.corrects_invoice_id
ORDER BY f.group_no, f.fee_no

-- name: drop_lines
-- Groups that stay open have no line of a fee.
DELETE FROM selected_line
WHERE pay_line_id < 0 AND group_no = ANY(CAST(:groups AS bigint[]))

-- name: open_lines
-- The pay lines of markups, when the batch closes: facts as the others, with what they were
-- computed from. A line that returns a fee has the document and the key of the line that it
-- corrects.
WITH given AS MATERIALIZED (
  SELECT * FROM unnest(CAST(:groups AS bigint[]), CAST(:numbers AS text[])) AS n(group_no, number)),
added AS (
  INSERT INTO invoicer.pay_line (billing_company, document_kind, document_id, realization_no,
    line_key, line_kind, quantity, unit, unit_price, amount, currency, effective_date, service_from,
    service_to, accounting_period, billto_node, requirement_id, worker_id, time_type, item_id,
    project, cost_center, po_number, tax_code, rate_version, rate_book, description, derivation,
    announce_when_due, corrects_invoice_id, corrects_line_no, opened_on)
  SELECT CAST(:company AS text), 'fee', coalesce(c.document_id, 'FEE-' || n.number), 1,
         coalesce(c.line_key, jsonb_build_array('fee', f.option_name, f.fee_no)::text), 'product',
         f.base, 'C62', f.percent / 100, f.amount, k.currency, f.effective_date, f.service_from,
         f.service_to, CAST(to_char(f.effective_date, 'YYYYMM') AS integer),
         coalesce(c.billto_node, g.billto_node), '', '', '', CAST(:item AS text), '', '',
         k.po_number, coalesce(c.tax_code, f.tax_code), '', 0,
         CAST(:name AS text) || ' ' || trim_scale(f.percent) || ' %'
           || coalesce(', returned with credits of ' || k.corrects_invoice, ''),
         jsonb_build_object('fee', jsonb_strip_nulls(jsonb_build_object(
           'rule', 'the percentage of the base, rounded once', 'option', f.option_name,
           'funded_by', f.funded_by, 'percent', trim_scale(f.percent)::text,
           'version', f.fee_from, 'base', trim_scale(f.base)::text,
           'volume', trim_scale(f.volume)::text, 'invoice', n.number, 'fee_no', f.fee_no,
           'corrects', k.corrects_invoice))),
         false, f.corrects_invoice_id, f.corrects_line_no, CAST(:today AS date)
  FROM group_fee f
  JOIN given n ON n.group_no = f.group_no
  JOIN selected_line k ON k.pay_line_id = f.pay_line_id
  JOIN invoicer.pay_line g ON g.pay_line_id = f.group_no
  LEFT JOIN invoicer.invoice_line l
    ON l.invoice_id = f.corrects_invoice_id AND l.line_no = f.corrects_line_no
  LEFT JOIN invoicer.pay_line c ON c.pay_line_id = l.pay_line_id
  WHERE f.pay_line_id < 0 ORDER BY f.pay_line_id DESC
  RETURNING pay_line_id, derivation, invoicer.line_digest(pay_line) AS digest)
UPDATE selected_line k SET pay_line_id = a.pay_line_id, digest = a.digest
FROM added a
JOIN given n ON n.number = a.derivation -> 'fee' ->> 'invoice'
JOIN group_fee f ON f.group_no = n.group_no
  AND f.fee_no = CAST(a.derivation -> 'fee' ->> 'fee_no' AS integer)
WHERE k.pay_line_id = f.pay_line_id

-- name: keep_fees
-- The fees of the documents that were closed.
INSERT INTO invoicer.document_fee (invoice_id, fee_no, option_name, funded_by, charged_as, fee_from,
  percent, base, amount, line_no, volume, volume_since, corrects_invoice_id, corrects_fee_no)
SELECT d.invoice_id, f.fee_no, f.option_name, f.funded_by, f.charged_as, f.fee_from, f.percent,
       f.base, f.amount, f.line_no, f.volume, f.volume_since, f.corrects_invoice_id,
       f.corrects_fee_no
FROM group_fee f JOIN closed_document d ON d.group_no = f.group_no

-- name: keep_lines
-- What the lines of the documents are of their fees.
INSERT INTO invoicer.line_fee (invoice_id, line_no, fee_no, base, share)
SELECT d.invoice_id, b.line_no, f.fee_no, b.base, coalesce(s.share, 0)
FROM fee_base b
JOIN group_fee f ON f.group_no = b.group_no AND f.segment_no = b.segment_no
JOIN closed_document d ON d.group_no = b.group_no
LEFT JOIN line_share s ON s.pay_line_id = b.pay_line_id
UNION ALL
SELECT d.invoice_id, c.line_no, f.fee_no, -c.base, c.share
FROM fee_credit c
JOIN group_fee f ON f.group_no = c.group_no AND f.corrects_invoice_id = c.corrects_invoice_id
  AND f.corrects_fee_no = c.fee_no
JOIN closed_document d ON d.group_no = c.group_no
