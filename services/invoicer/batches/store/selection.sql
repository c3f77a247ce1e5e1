-- Select the open lines of a batch into temporary tables, which `selection.py` describes.
-- The store fills in the parts in braces: the numbers of the reasons in `rules.reasons`, and in
-- `selected_lines` also the way to the pay lines and whether four of the joined tables have rows.

-- name: open_credits
-- The open lines that correct an invoiced line, with that line and what was credited of it before,
-- on closed documents or on drafts.
CREATE TEMP TABLE open_credit ON COMMIT DROP AS
SELECT o.pay_line_id, o.effective_date, o.week_ending, p.amount,
       p.corrects_invoice_id, p.corrects_line_no,
       i.invoice_number, i.account_name, i.currency, i.po_number,
       i.payment_terms, i.tax_regime, i.tax_wording,
       l.tax_code, l.tax_rate, l.billto_node, l.billto_level, l.tax_amount,
       l.allowance_amount AS corrected_allowance, c.amount AS corrected_amount,
       before.amount AS credited, before.tax AS tax_credited,
       before.allowance AS allowance_credited
FROM invoicer.open_line o
JOIN invoicer.pay_line p ON p.pay_line_id = o.pay_line_id
JOIN invoicer.invoice i ON i.invoice_id = p.corrects_invoice_id
JOIN invoicer.invoice_line l
  ON l.invoice_id = p.corrects_invoice_id AND l.line_no = p.corrects_line_no
JOIN invoicer.pay_line c ON c.pay_line_id = l.pay_line_id
CROSS JOIN LATERAL (
  SELECT coalesce(sum(e.amount), 0) AS amount, coalesce(sum(el.tax_amount), 0) AS tax,
         coalesce(sum(el.allowance_amount), 0) AS allowance
  FROM invoicer.pay_line e
  JOIN (
    SELECT pay_line_id, tax_amount, allowance_amount FROM invoicer.invoice_line
    UNION ALL
    SELECT pay_line_id, tax_amount, allowance_amount FROM invoicer.draft_line) el
    ON el.pay_line_id = e.pay_line_id
  WHERE e.corrects_invoice_id = p.corrects_invoice_id
    AND e.corrects_line_no = p.corrects_line_no) before
WHERE o.billing_company = :company AND o.correction

-- name: line_locations
-- The billto nodes of open lines, and the nodes on the documents that open credits correct.
CREATE TEMP TABLE line_location ON COMMIT DROP AS
SELECT CAST(row_number() OVER () AS integer) AS location_no, node, account_name, debtor_node,
       CAST(debtor_level AS integer) AS debtor_level, known, of_credit, first_line, last_line, lines
FROM (
  SELECT o.billto_node AS node, r.account_name, r.debtor_node, r.debtor_level,
         r.node_id IS NOT NULL AS known, false AS of_credit, o.first_line, o.last_line, o.lines
  FROM (
    SELECT billto_node, min(pay_line_id) AS first_line, max(pay_line_id) AS last_line,
           count(*) AS lines
    FROM invoicer.open_line WHERE billing_company = :company GROUP BY billto_node) o
  LEFT JOIN ({resolved_nodes}) r ON r.node_id = o.billto_node
  UNION ALL
  SELECT NULL, account_name, billto_node, billto_level, true, true, NULL, NULL, 0
  FROM open_credit GROUP BY account_name, billto_node, billto_level) s

-- name: snoozed_lines
-- A snooze belongs to a document and line key, and never holds a credit.
CREATE TEMP TABLE snoozed_line ON COMMIT DROP AS
SELECT o.pay_line_id, z.code
FROM invoicer.snooze z
JOIN invoicer.pay_line p ON p.document_id = z.document_id AND p.document_kind = z.document_kind
  AND p.line_key = z.line_key
JOIN invoicer.open_line o
  ON o.billing_company = p.billing_company AND o.pay_line_id = p.pay_line_id
WHERE p.billing_company = :company AND p.corrects_invoice_id IS NULL
  AND (z.until_date IS NULL OR z.until_date > CAST(:today AS date))

-- name: lines_to_price
-- The open lines of documents that wait to be priced again: their prices are no longer right.
CREATE TEMP TABLE line_to_price ON COMMIT DROP AS
SELECT o.pay_line_id
FROM (
  SELECT document_kind, document_id FROM fee_realizer.document_to_price
  UNION
  SELECT document_kind, document_id FROM invoicer.stale_price_basis) w
JOIN invoicer.pay_line p USING (document_kind, document_id)
JOIN invoicer.open_line o
  ON o.billing_company = p.billing_company AND o.pay_line_id = p.pay_line_id
WHERE p.billing_company = :company

-- name: lines_not_chosen
-- The open lines that a batch does not choose, each with its reason; none if it chooses nothing.
-- Lines are chosen by option as debits, and by document or worker.
CREATE TEMP TABLE line_not_chosen ON COMMIT DROP AS
SELECT pay_line_id, reason
FROM (
  SELECT o.pay_line_id,
         CASE {option_choice}
              WHEN :exclude_credits AND p.corrects_invoice_id IS NOT NULL THEN {credit_left_out}
              WHEN :by_id AND p.document_id <> ALL(CAST(:documents AS text[]))
                AND p.worker_id <> ALL(CAST(:workers AS text[])) THEN {document_not_chosen}
              END AS reason
  FROM invoicer.open_line o
  JOIN invoicer.pay_line p ON p.pay_line_id = o.pay_line_id
  {option_lines}
  WHERE :limited AND o.billing_company = :company) l
WHERE reason IS NOT NULL

-- name: node_decisions
-- What the selection needs to know of the node that a line is at, in one narrow row.
CREATE TEMP TABLE node_decision ON COMMIT DROP AS
SELECT s.node, s.location_no, d.debtor_no, d.terms_no, d.taxed, d.waits,
       CASE WHEN NOT s.known THEN {unknown_node}
            WHEN s.account_name IS NULL THEN {no_account_name}
            ELSE d.exclusion_reason END AS exclusion_reason,
       CASE WHEN d.debtor_no IS NULL THEN CAST(:cut_off AS date) ELSE d.weeks_to END AS weeks_to,
       CASE WHEN d.cyclic THEN {not_in_cycle} ELSE {after_cut_off} END AS week_reason,
       coalesce(d.products_to, :cut_off) AS products_to
FROM line_location s
LEFT JOIN debtor_decision d ON d.account_name = s.account_name
WHERE NOT s.of_credit

-- name: credit_decisions
-- The reason and the tax of each open credit, in the order of `rules.reasons`.
-- A credit has the debtor of the document that it corrects. It is never snoozed and waits for no
-- cycle, but a credit of a timesheet waits with its debtor's timesheets. Its tax is its share of
-- the tax of the corrected line, at most what is left of it; the last credit takes the rest.
CREATE TEMP TABLE credit_decision ON COMMIT DROP AS
SELECT pay_line_id, invoice_number, debtor_no, terms_no, location_no, currency, po_number,
       tax_code, tax_rate, exclusion_reason,
       CASE credit_split WHEN 2 THEN 1 + corrects_invoice_id ELSE credit_split END AS credit_split,
       -sign_of_tax * (credited_up_to
                       - lag(credited_up_to, 1, CAST(0 AS numeric)) OVER of_line) AS tax
FROM (
  SELECT *, CASE WHEN corrected_amount <> 0 AND corrected_amount + credited + running = 0
                 THEN rest ELSE least(rest, shares) END AS credited_up_to
  FROM (
    SELECT *, CASE WHEN tax_amount < 0 THEN -1 ELSE 1 END AS sign_of_tax,
           abs(tax_amount + tax_credited) AS rest,
           sum(amount) OVER of_line AS running,
           sum(coalesce(abs(round(tax_amount * amount / nullif(corrected_amount, 0), decimals)), 0))
             OVER of_line AS shares
    FROM (
      SELECT k.*, d.debtor_no, d.credit_split, t.terms_no, s.location_no,
             coalesce(m.decimals, 2) AS decimals,
             CASE WHEN k.effective_date > CAST(:today AS date) THEN {scheduled}
                  WHEN k.pay_line_id IN (SELECT w.pay_line_id FROM line_to_price w)
                    THEN {to_be_priced}
                  WHEN k.week_ending IS NULL AND k.effective_date > d.products_to
                    THEN {after_cut_off}
                  WHEN d.exclusion_reason <> 0 THEN d.exclusion_reason
                  WHEN n.reason IS NOT NULL THEN n.reason
                  WHEN d.waits AND k.week_ending IS NOT NULL THEN {waits_for_timesheets}
                  ELSE 0 END AS exclusion_reason
      FROM open_credit k
      JOIN debtor_decision d ON d.account_name = k.account_name
      JOIN document_terms t ON t.tax_regime = k.tax_regime AND t.tax_wording = k.tax_wording
        AND t.payment_terms = k.payment_terms
      JOIN line_location s ON s.of_credit AND s.account_name = k.account_name
        AND s.debtor_node = k.billto_node AND s.debtor_level = k.billto_level
      LEFT JOIN line_not_chosen n ON n.pay_line_id = k.pay_line_id
      LEFT JOIN currency_decimals m ON m.currency = k.currency) a
    WINDOW of_line AS (
      PARTITION BY corrects_invoice_id, corrects_line_no, exclusion_reason ORDER BY pay_line_id)
    ) b) c
WINDOW of_line AS (
  PARTITION BY corrects_invoice_id, corrects_line_no, exclusion_reason ORDER BY pay_line_id)

-- name: selected_lines
-- One row for each open line, with its document or its reason, the first that holds.
-- `decision_key` is one number that tells most rows from each other; keys that rarely decide come
-- last, because half of the time is sorting. `split_keys` has the split keys that are not in it.
-- The invoice that a credit corrects is in `split_keys` where each has a document of its own, and
-- the timesheet of a debit or of a credit that is netted, where each has an invoice of its own.
-- The number of a group is the id of its first line.
-- Columns of one width that are never NULL come first: columns after others take longer to find.
-- Where the company has invoice options, `split_keys` begins with option and group of the line.
-- A table without rows is not searched line by line: its join says `false`.
-- OFFSET 0 keeps the digest of a line below the sort: without it every column of the pay line would
-- travel through the sort. `work_key` is a hash of requirement and document, for the safety checks.
CREATE TEMP TABLE selected_line ON COMMIT DROP AS
SELECT first_value(pay_line_id) OVER of_group AS group_no,
       CAST(row_number() OVER of_group AS integer) AS line_no,
       pay_line_id, worker, work_key, digest, exclusion_reason, location_no, is_time, correction,
       service_from, service_to, credit_split, debtor_no, terms_no, day_minutes,
       week_ending, corrects, amount, tax, hours, tax_rate, tax_code, currency, po_number,
       corrects_invoice
FROM (
  SELECT *, ((debtor_no * CAST(16777216 AS bigint) + terms_no) * 4 + least(credit_split, 2)) * 32
            + exclusion_reason AS decision_key
  FROM (
  SELECT o.pay_line_id, p.amount, o.week_ending, p.worker_id COLLATE "C" AS worker_id,
         o.effective_date, p.document_id COLLATE "C" AS document_id,
         p.line_key COLLATE "C" AS line_key, p.service_from, p.service_to,
         p.corrects_invoice_id AS corrects, p.corrects_line_no, p.currency,
         CASE WHEN p.unit = 'HUR' THEN p.quantity ELSE 0 END AS hours,
         coalesce(k.debtor_no, s.debtor_no, 0) AS debtor_no,
         coalesce(k.terms_no, s.terms_no, 0) AS terms_no,
         coalesce(k.credit_split, 0) AS credit_split,
         coalesce(k.po_number, p.po_number) AS po_number,
         coalesce(k.location_no, s.location_no) AS location_no,
         {option_key}CASE WHEN k.credit_split > 1
              THEN concat_ws(chr(31), p.currency, k.credit_split, k.po_number)
              ELSE p.currency || chr(31) || coalesce(k.po_number, p.po_number){timesheet}
              END COLLATE "C" AS split_keys,
         coalesce(k.tax_code, nullif(p.tax_code, ''), :default_tax) AS tax_code,
         coalesce(k.tax_rate, t.percent, 0) AS tax_rate,
         coalesce(k.tax, round(p.amount * t.fraction, coalesce(m.decimals, 2)), 0) AS tax,
         CASE WHEN k.pay_line_id IS NOT NULL THEN k.exclusion_reason
              WHEN o.effective_date > CAST(:today AS date) THEN {scheduled}
              WHEN z.code = 'snoozed' THEN {snoozed}
              WHEN z.code IS NOT NULL THEN {edit_meets_revision}
              WHEN w.pay_line_id IS NOT NULL THEN {to_be_priced}
              WHEN p.line_kind = 'product' AND o.effective_date > s.products_to
                THEN {after_cut_off}
              WHEN p.line_kind = 'timesheet' AND NOT o.correction AND o.week_ending > s.weeks_to
                THEN s.week_reason
              WHEN s.exclusion_reason <> 0 THEN s.exclusion_reason
              {option_reason}WHEN c.reason IS NOT NULL THEN c.reason
              WHEN s.waits AND p.line_kind = 'timesheet' THEN {waits_for_timesheets}
              WHEN s.taxed AND t.percent IS NULL
                AND coalesce(nullif(p.tax_code, ''), :default_tax) <> '' THEN {no_tax_rate}
              ELSE 0 END AS exclusion_reason,
         k.invoice_number AS corrects_invoice, p.digest,
         p.line_kind = 'timesheet' AND p.corrects_invoice_id IS NULL AS is_time, o.correction,
         hashtextextended(p.worker_id, 0) AS worker,
         hashtextextended(p.requirement_id, hashtextextended(p.document_id, 0)) AS work_key,
         p.day_minutes
  FROM invoicer.open_line o
  {pay_lines}
  JOIN node_decision s ON s.node = o.billto_node
  LEFT JOIN credit_decision k ON {has_credits} AND k.pay_line_id = o.pay_line_id
  LEFT JOIN currency_decimals m ON m.currency = p.currency
  LEFT JOIN tax_span t ON s.taxed
    AND t.tax_code = coalesce(nullif(p.tax_code, ''), :default_tax)
    AND coalesce(p.tax_date, o.effective_date) >= t.from_date
    AND coalesce(p.tax_date, o.effective_date) < t.to_date
  LEFT JOIN snoozed_line z ON {has_snoozes} AND z.pay_line_id = o.pay_line_id
  LEFT JOIN line_to_price w ON {has_unpriced} AND w.pay_line_id = o.pay_line_id
  LEFT JOIN line_not_chosen c ON {has_choice} AND c.pay_line_id = o.pay_line_id
  {line_options}WHERE o.billing_company = :company
  OFFSET 0) l) q
WINDOW of_group AS (
  PARTITION BY decision_key, split_keys
  ORDER BY week_ending, worker_id, document_id, line_key, effective_date, corrects,
           corrects_line_no, pay_line_id
  ROWS UNBOUNDED PRECEDING)

-- name: pay_lines_in_range
-- A part of `selected_lines`: reads the piece of the table that holds all open lines once.
JOIN (
    SELECT x.*, {digest} AS digest FROM invoicer.pay_line x
    WHERE x.pay_line_id BETWEEN :first AND :last) p
    ON p.pay_line_id = o.pay_line_id

-- name: pay_lines_by_key
-- A part of `selected_lines`: looks each open line up by its key, where history lies between them.
CROSS JOIN LATERAL (
    SELECT x.*, {digest} AS digest FROM invoicer.pay_line x
    WHERE x.pay_line_id = o.pay_line_id OFFSET 0) p

-- name: group_totals
-- The lines that are in, added up by group, tax code and rate.
-- All lines of a group have the same debtor, terms, currency and PO number: any value is the value.
SELECT group_no, any_value(debtor_no) AS debtor_no, any_value(terms_no) AS terms_no,
       any_value(credit_split) AS credit_split, any_value(currency) AS currency,
       any_value(po_number) AS po_number, count(*) AS line_count, count(corrects) AS credit_count,
       min(service_from) AS service_from, max(service_to) AS service_to,
       max(corrects) AS newest_corrected, tax_code, tax_rate, sum(amount) AS net, sum(tax) AS tax,
       sum(hours) AS hours
FROM selected_line WHERE exclusion_reason = 0
GROUP BY group_no, tax_code, tax_rate ORDER BY group_no, tax_code, tax_rate

-- name: spread_tax
-- Tax over the sum of a document's lines of one code and rate, spread by largest remainder.
-- The twin of `rules.totals.document_tax`. Only debits: a credit keeps the tax that it takes from
-- the line that it corrects. `taxed`: the amount of a line, after its share of allowances if any.
UPDATE selected_line k SET tax = c.tax
FROM (
  SELECT pay_line_id,
         (floor_units + CASE WHEN rank <= round(sum_exact) - sum_floors THEN 1 ELSE 0 END) * step
           AS tax
  FROM (
    SELECT *,
           row_number() OVER (PARTITION BY group_no, tax_code, tax_rate
                              ORDER BY exact - floor_units DESC, line_no) AS rank,
           sum(exact) OVER (PARTITION BY group_no, tax_code, tax_rate) AS sum_exact,
           sum(floor_units) OVER (PARTITION BY group_no, tax_code, tax_rate) AS sum_floors
    FROM (
      SELECT p.pay_line_id, p.group_no, p.tax_code, p.tax_rate, p.line_no,
             power(CAST(10 AS numeric), -coalesce(m.decimals, 2)) AS step,
             {taxed} * p.tax_rate / 100 * power(CAST(10 AS numeric), coalesce(m.decimals, 2))
               AS exact,
             floor({taxed} * p.tax_rate / 100
                   * power(CAST(10 AS numeric), coalesce(m.decimals, 2))) AS floor_units
      FROM selected_line p LEFT JOIN currency_decimals m ON m.currency = p.currency {shares}
      WHERE p.group_no = ANY(CAST(:groups AS bigint[]))
        AND p.corrects IS NULL AND p.tax_rate <> 0) e) s) c
WHERE c.pay_line_id = k.pay_line_id AND c.tax <> k.tax

-- name: group_taxes
-- The tax of groups by code and rate.
SELECT group_no, tax_code, tax_rate, sum(tax) AS tax FROM selected_line
WHERE group_no = ANY(CAST(:groups AS bigint[])) GROUP BY group_no, tax_code, tax_rate

-- name: exclude_groups
-- Exclude whole groups.
UPDATE selected_line SET exclusion_reason = :reason
WHERE group_no = ANY(CAST(:groups AS bigint[]))

-- name: exclude_debtors
-- Exclude every line of some debtors that is in.
UPDATE selected_line SET exclusion_reason = {debtor_parked}
WHERE exclusion_reason = 0 AND debtor_no = ANY(CAST(:debtors AS integer[]))

-- name: left_out
-- How many open lines are out, by reason.
SELECT exclusion_reason, count(*) AS lines FROM selected_line
WHERE exclusion_reason <> 0 GROUP BY exclusion_reason ORDER BY exclusion_reason

-- name: unknown_documents
-- The ids that are no document of a company: those of other companies, and those never received. A
-- received document without lines, because it waits or is worth nothing, may be one of the company.
SELECT n.id FROM unnest(CAST(:ids AS text[])) AS n(id)
WHERE NOT EXISTS (
  SELECT FROM invoicer.pay_line p WHERE p.document_id = n.id AND p.billing_company = :company)
AND (EXISTS (SELECT FROM invoicer.pay_line p WHERE p.document_id = n.id)
     OR NOT EXISTS (SELECT FROM fee_realizer.document_state d WHERE d.document_id = n.id))

-- name: unknown_workers
-- The workers of whom a company never had a line. The open lines are searched first.
SELECT n.id FROM unnest(CAST(:ids AS text[])) AS n(id)
WHERE n.id NOT IN (
  SELECT p.worker_id FROM invoicer.open_line o JOIN invoicer.pay_line p USING (pay_line_id)
  WHERE o.billing_company = :company)
AND NOT EXISTS (
  SELECT FROM invoicer.pay_line p WHERE p.billing_company = :company AND p.worker_id = n.id)

-- name: chosen_without_lines
-- The chosen documents of which no line is open.
SELECT n.id FROM unnest(CAST(:ids AS text[])) AS n(id)
WHERE NOT EXISTS (
  SELECT FROM selected_line k JOIN invoicer.pay_line p USING (pay_line_id)
  WHERE p.document_id = n.id)
ORDER BY n.id

-- name: documents_to_note
-- The timesheets and occurrences of assignments with closed credits and open debits, and those that
-- were noted before.
SELECT c.document_kind, c.document_id
FROM (
  SELECT DISTINCT p.document_kind, p.document_id
  FROM selected_line k JOIN invoicer.pay_line p USING (pay_line_id)
  WHERE k.exclusion_reason = 0 AND k.corrects IS NOT NULL
    AND (p.line_kind = 'timesheet' OR p.document_kind = 'assignment')) c
WHERE EXISTS (
  SELECT FROM invoicer.pay_line p JOIN invoicer.open_line o
    ON o.billing_company = p.billing_company AND o.pay_line_id = p.pay_line_id
  WHERE p.document_kind = c.document_kind AND p.document_id = c.document_id
    AND p.corrects_invoice_id IS NULL)
UNION
SELECT d.document_kind, d.document_id FROM invoicer.settled_document d
WHERE d.citation_ended_at IS NOT NULL AND EXISTS (
  SELECT FROM invoicer.pay_line p
  WHERE p.document_kind = d.document_kind AND p.document_id = d.document_id
    AND p.billing_company = :company)

-- name: temporary_tables
-- The temporary tables of this session whose names do not begin with a prefix.
SELECT relname FROM pg_class
WHERE relnamespace = pg_my_temp_schema() AND relkind = 'r' AND NOT starts_with(relname, :kept)
ORDER BY relname
