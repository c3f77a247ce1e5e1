-- The reports of `backoffice reports`. They read `console_*` views only; their rows are streamed.

-- name: pending
-- Open lines that are due and not snoozed, by month of their effective date.
SELECT to_char(p.effective_date, 'YYYY-MM') AS month, p.currency, count(*) AS lines,
    coalesce(sum(p.amount) FILTER (WHERE p.line_kind = 'timesheet'), 0) AS timesheets,
    coalesce(sum(p.amount) FILTER (WHERE p.line_kind = 'product'), 0) AS products,
    sum(p.amount) AS amount
FROM invoicer.console_open_line o
JOIN invoicer.console_pay_line p USING (pay_line_id)
LEFT JOIN invoicer.console_snooze s ON s.document_kind = p.document_kind
  AND s.document_id = p.document_id AND s.line_key = p.line_key AND p.corrects_invoice_id IS NULL
  AND (s.until_date IS NULL OR s.until_date > :today)
WHERE o.billing_company = :company AND p.effective_date <= :today AND s.line_key IS NULL
  AND p.pay_line_id NOT IN (SELECT r.pay_line_id FROM invoicer.console_rejected_line r)
GROUP BY 1, 2 ORDER BY 1, 2

-- name: scheduled
-- Open lines that are due after today, by month of their effective date.
SELECT to_char(p.effective_date, 'YYYY-MM') AS month, p.currency, count(*) AS lines,
    coalesce(sum(p.amount) FILTER (WHERE p.line_kind = 'timesheet'), 0) AS timesheets,
    coalesce(sum(p.amount) FILTER (WHERE p.line_kind = 'product'), 0) AS products,
    sum(p.amount) AS amount
FROM invoicer.console_open_line o
JOIN invoicer.console_pay_line p USING (pay_line_id)
WHERE o.billing_company = :company AND p.effective_date > :today
GROUP BY 1, 2 ORDER BY 1, 2

-- name: unbilled
-- What was not invoiced at the end of a day, by week and accounting period: open lines (snoozed
-- ones are pending), and held documents with the hours that no document has. It reads only rows and
-- days that never change, so the same day gives the same rows at any later time.
WITH line AS (
  SELECT CASE WHEN effective_date > :as_of THEN 2 ELSE 1 END AS place, line_kind AS kind,
      week_ending, accounting_period / 100 || '-' || lpad(CAST(accounting_period % 100 AS text), 2,
        '0') AS period,
      currency, document_kind, document_id, 1 AS lines, amount,
      CASE WHEN unit = 'HUR' THEN quantity END AS hours
  FROM invoicer.console_line_span
  WHERE billing_company = :company AND opened_on <= :as_of
    AND (closed_on IS NULL OR closed_on > :as_of)
    AND (replaced_on IS NULL OR replaced_on > :as_of)),
held AS (
  SELECT DISTINCT ON (document_kind, document_id) *
  FROM fee_realizer.console_hold_event WHERE held_on <= :as_of
  ORDER BY document_kind, document_id, hold_no DESC, held_at DESC),
waiting AS (
  SELECT CASE WHEN h.billing_company = '' THEN 4 ELSE 3 END AS place,
      CASE WHEN h.document_kind = 'timesheet' THEN 'timesheet' ELSE 'product' END AS kind,
      CASE WHEN h.document_kind = 'timesheet' THEN h.effective_date END AS week_ending,
      to_char(h.effective_date, 'YYYY-MM') AS period, '' AS currency, h.document_kind,
      h.document_id, 0 AS lines, CAST(NULL AS numeric) AS amount,
      h.hours - coalesce(b.hours, 0) AS hours
  FROM held h
  CROSS JOIN LATERAL (
    SELECT sum(s.quantity) AS hours FROM invoicer.console_line_span s
    WHERE s.document_kind = h.document_kind AND s.document_id = h.document_id
      AND s.closed_on <= :as_of) b
  WHERE h.hold_code IS NOT NULL AND h.billing_company IN (:company, ''))
SELECT (ARRAY['pending', 'scheduled', 'held', 'held, company unknown'])[place] AS status, kind,
    week_ending, period, currency, count(DISTINCT (document_kind, document_id)) AS documents,
    sum(lines) AS lines, sum(hours) AS hours, sum(amount) AS amount
FROM (SELECT * FROM line UNION ALL SELECT * FROM waiting) AS every
GROUP BY place, kind, week_ending, period, currency
ORDER BY place, kind DESC, week_ending, period, currency

-- name: register
-- Closed documents in the order of their numbers, by invoice date.
SELECT invoice_number, document_type, invoice_date, due_date, account_name, po_number,
    line_count AS lines, net, tax, total, currency, cut_off_date, batch_id
FROM invoicer.console_invoice
WHERE billing_company = :company AND invoice_date BETWEEN :since AND :until
  AND (CAST(:account AS text) IS NULL OR account_name = :account)
ORDER BY series, number

-- name: credits
-- Lines on closed documents that correct an invoice line or have a negative amount.
SELECT i.invoice_number, l.line_no, i.invoice_date, i.account_name, l.corrects_invoice,
    l.corrects_line_no AS corrects_line, l.document_id, l.description, l.quantity, l.unit,
    l.amount + l.allowance_amount AS net, l.tax_amount AS tax,
    l.amount + l.allowance_amount + l.tax_amount AS total, l.currency,
    CASE WHEN l.corrects_line_no IS NULL THEN 'negative amount'
         ELSE coalesce(l.derivation -> 'credit' ->> 'to', 'correction') END AS credited_to,
    b.actor, b.reason
FROM invoicer.console_invoice i
JOIN invoicer.console_closed_line l USING (invoice_id)
JOIN invoicer.console_batch b USING (batch_id)
WHERE i.billing_company = :company AND i.invoice_date BETWEEN :since AND :until
  AND (CAST(:account AS text) IS NULL OR i.account_name = :account)
  AND (l.corrects_line_no IS NOT NULL OR l.amount < 0)
ORDER BY i.series, i.number, l.line_no

-- name: snoozed
-- Open lines that are due and snoozed or rejected today, with who did it, why, since when and until
-- when.
SELECT p.pay_line_id, p.document_id, coalesce(n.account_name, g.account_name) AS account_name,
    p.description, p.week_ending,
    p.effective_date, p.quantity, p.unit, p.amount, p.currency,
    coalesce(s.reason, r.reason) AS reason, coalesce(s.actor, r.actor) AS actor,
    CAST(coalesce(s.snoozed_at, r.rejected_at) AT TIME ZONE c.time_zone AS date) AS since,
    s.until_date AS until
FROM invoicer.console_open_line o
JOIN fee_realizer.console_billing_company c USING (billing_company)
JOIN invoicer.console_pay_line p USING (pay_line_id)
LEFT JOIN invoicer.console_snooze s ON s.document_kind = p.document_kind
  AND s.document_id = p.document_id AND s.line_key = p.line_key
  AND p.corrects_invoice_id IS NULL AND (s.until_date IS NULL OR s.until_date > :today)
LEFT JOIN invoicer.console_rejected_line r ON r.pay_line_id = p.pay_line_id
LEFT JOIN invoicer.console_node_debtor n ON n.node_id = p.billto_node
LEFT JOIN invoicer.console_agreement_debtor g ON g.billing_company = p.billing_company
WHERE o.billing_company = :company AND p.effective_date <= :today
  AND (s.line_key IS NOT NULL OR r.pay_line_id IS NOT NULL)
  AND (CAST(:account AS text) IS NULL OR coalesce(n.account_name, g.account_name) = :account)
ORDER BY p.effective_date, p.pay_line_id

-- name: held
-- Documents that waited at the end of a day, the longest first: with the reason, since when, and
-- what waits. Those whose company was not known are listed for every company.
SELECT h.document_kind, h.document_id, h.billing_company, h.hold_code AS code,
    h.hold_message AS message, h.since, CAST(:as_of AS date) - h.since AS days, h.effective_date,
    h.hours
FROM (
  SELECT DISTINCT ON (document_kind, document_id) *,
      min(held_on) FILTER (WHERE hold_no > released_no)
        OVER (PARTITION BY document_kind, document_id) AS since
  FROM (
    SELECT *, coalesce(max(hold_no) FILTER (WHERE hold_code IS NULL)
        OVER (PARTITION BY document_kind, document_id), 0) AS released_no
    FROM fee_realizer.console_hold_event WHERE held_on <= :as_of) AS event
  ORDER BY document_kind, document_id, hold_no DESC, held_at DESC) AS h
WHERE h.hold_code IS NOT NULL AND h.billing_company IN (:company, '')
ORDER BY h.since, h.document_kind, h.document_id

-- name: products
-- Product lines on documents by invoice date, in the tree of today's catalog.
SELECT coalesce(c.item_class, '') AS item_class, coalesce(c.family, '') AS family,
    coalesce(c.variant, '') AS variant, l.item_id, count(*) AS lines, sum(l.quantity) AS quantity,
    sum(l.amount + l.allowance_amount) AS net, sum(l.tax_amount) AS tax,
    sum(l.amount + l.allowance_amount + l.tax_amount) AS total,
    l.currency
FROM invoicer.console_invoice i
JOIN invoicer.console_closed_line l USING (invoice_id)
LEFT JOIN fee_realizer.console_catalog_item c USING (item_id)
WHERE i.billing_company = :company AND i.invoice_date BETWEEN :since AND :until
  AND l.line_kind = 'product'
GROUP BY 1, 2, 3, 4, l.currency ORDER BY 1, 2, 3, 4, l.currency

-- name: fees
-- MSP fees on documents by invoice date, less what credits return; a discount is negative.
SELECT option_name, funded_by, charged_as, percent, count(*) AS documents, sum(base) AS base,
    sum(amount) AS net, currency
FROM invoicer.console_document_fee
WHERE billing_company = :company AND invoice_date BETWEEN :since AND :until
GROUP BY option_name, funded_by, charged_as, percent, currency
ORDER BY option_name, funded_by, charged_as, percent, currency

-- name: tax
-- Tax of closed documents by month of the invoice date, code and rate.
SELECT to_char(i.invoice_date, 'YYYY-MM') AS month, t.total ->> 'code' AS tax_code,
    CAST(t.total ->> 'rate' AS numeric) AS tax_rate, i.currency, count(*) AS documents,
    sum(CAST(t.total ->> 'net' AS numeric)) AS net, sum(CAST(t.total ->> 'tax' AS numeric)) AS tax
FROM invoicer.console_invoice i
CROSS JOIN LATERAL jsonb_array_elements(i.tax_totals) AS t(total)
WHERE i.billing_company = :company AND i.invoice_date BETWEEN :since AND :until
GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4

-- name: hours
-- Time by week ending, on documents and open: by client (the node of that level on today's billto
-- path), requirement and worker.
SELECT CASE WHEN n.level = 2 THEN n.name WHEN u.level = 2 THEN u.name
            ELSE coalesce(n.name, p.billto_node) END AS client,
    p.requirement_id, r.job_title, p.worker_id, p.unit, p.currency,
    coalesce(sum(p.quantity) FILTER (WHERE l.pay_line_id IS NOT NULL), 0) AS billed,
    coalesce(sum(p.quantity) FILTER (WHERE l.pay_line_id IS NULL), 0) AS unbilled,
    coalesce(sum(p.amount) FILTER (WHERE l.pay_line_id IS NOT NULL), 0) AS billed_amount,
    coalesce(sum(p.amount) FILTER (WHERE l.pay_line_id IS NULL), 0) AS unbilled_amount
FROM invoicer.console_pay_line p
LEFT JOIN invoicer.console_invoice_line l USING (pay_line_id)
LEFT JOIN invoicer.console_replaced_line z USING (pay_line_id)
LEFT JOIN invoicer.console_billto_node n ON n.node_id = p.billto_node
LEFT JOIN invoicer.console_billto_node u ON u.node_id = n.parent_id AND u.level < n.level
LEFT JOIN fee_realizer.console_requirement r ON r.requirement_id = p.requirement_id
WHERE p.billing_company = :company AND p.line_kind = 'timesheet' AND z.pay_line_id IS NULL
  AND p.effective_date BETWEEN :since AND :until
GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6

-- name: statement
-- The account of each debtor and currency: opening balance, documents and payments with the balance
-- after each, closing balance. A payment that a ledger reports counts from the day of its document,
-- at the earliest; a received payment from its date of deposit, whatever it is applied to.
WITH document AS (
  SELECT invoice_id, account_name, currency, invoice_date AS day, document_type, invoice_number,
      due_date, total
  FROM invoicer.console_invoice
  WHERE billing_company = :company AND invoice_date <= :until
    AND (CAST(:account AS text) IS NULL OR account_name = :account)),
received AS (
  SELECT payment_id, account_name, currency, check_id, received_on, amount
  FROM invoicer.console_received_payment
  WHERE billing_company = :company
    AND (CAST(:account AS text) IS NULL OR account_name = :account)),
entry AS (
  SELECT account_name, currency, day, document_type AS entry, invoice_number, '' AS payment,
      CASE WHEN document_type = 'invoice' THEN due_date END AS due_date, total AS amount, '' AS id
  FROM document
  UNION ALL
  SELECT d.account_name, d.currency, greatest(m.paid_on, d.day), 'payment', d.invoice_number,
      m.ledger || ' ' || m.payment_id || ' ' || m.entry_no, NULL, -m.amount, ''
  FROM invoicer.console_payment m JOIN document d USING (invoice_id)
  WHERE m.paid_on <= :until AND m.ledger <> 'hand'
  UNION ALL
  SELECT account_name, currency, received_on, 'payment', '', 'check ' || check_id, NULL, -amount,
      payment_id
  FROM received WHERE received_on <= :until
  UNION ALL
  SELECT r.account_name, r.currency, b.returned_on, b.kind, '', 'check ' || r.check_id, NULL,
      -b.amount, b.payment_id || ' ' || b.entry_no
  FROM invoicer.console_payment_return b JOIN received r USING (payment_id)
  WHERE b.returned_on <= :until),
sums AS (
  SELECT account_name, currency, coalesce(sum(amount) FILTER (WHERE day < :since), 0) AS opening
  FROM entry GROUP BY account_name, currency
  HAVING bool_or(day >= :since) OR sum(amount) <> 0),
account AS (
  SELECT account_name, currency, 1 AS part, CAST(:since AS date) AS day,
      'opening balance' AS entry, '' AS invoice_number, '' AS payment,
      CAST(NULL AS date) AS due_date, opening AS amount, '' AS id FROM sums
  UNION ALL
  SELECT account_name, currency, 2, day, entry, invoice_number, payment, due_date, amount, id
  FROM entry JOIN sums USING (account_name, currency) WHERE day >= :since
  UNION ALL
  SELECT account_name, currency, 3, :until, 'closing balance', '', '', NULL, NULL, '' FROM sums)
SELECT account_name, day, entry, invoice_number, payment, due_date, amount,
    sum(amount) OVER (PARTITION BY account_name, currency
      ORDER BY part, day, money, invoice_number, payment, entry, id) AS balance, currency
FROM (SELECT *, entry IN ('payment', 'reversal', 'refund') AS money FROM account) each_entry
ORDER BY account_name, currency, part, day, money, invoice_number, payment, entry, id
