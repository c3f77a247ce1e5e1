-- The console's long statements. They read `console_*` views only.

-- name: outstanding_amounts
-- What each debtor owes as of a day, by the day from which the amount ages: what credit notes set
-- off and payments are applied to their invoices in the order of their dates, and what is left
-- below zero ages by its own date, as does what is unapplied of a received payment. `disputed`:
-- what of an invoice was disputed on that day.
WITH closed AS (
  SELECT invoice_id, account_name, currency, invoice_date, due_date, total
      FROM invoicer.console_invoice
  WHERE billing_company = :company AND invoice_date <= :as_of),
credits AS (
  SELECT s.invoice_id AS credited_on, s.corrects_invoice_id AS corrects,
         closed.invoice_date AS day, s.amount
  FROM invoicer.console_set_off s JOIN closed ON closed.invoice_id = s.invoice_id
  WHERE s.amount <> 0),
own AS (
  SELECT closed.*, total - coalesce(credited.amount, 0) AS own
  FROM closed LEFT JOIN (SELECT credited_on, sum(amount) AS amount FROM credits GROUP BY 1) credited
    ON credited.credited_on = closed.invoice_id),
applied AS (
  SELECT corrects AS invoice_id, day, 0 AS kind, CAST(credited_on AS text) AS id, -amount AS amount
      FROM credits
  UNION ALL
  SELECT m.invoice_id, min(m.paid_on), 1, m.ledger || ' ' || m.payment_id, sum(m.amount)
  FROM invoicer.console_payment m JOIN closed USING (invoice_id)
  WHERE m.paid_on <= :as_of GROUP BY m.invoice_id, m.ledger, m.payment_id),
running AS (
  SELECT o.account_name, o.currency, t.invoice_id, t.day, t.amount, greatest(o.own, 0) AS room,
         sum(t.amount) OVER (PARTITION BY t.invoice_id ORDER BY t.day, t.kind, t.id) AS so_far
  FROM applied t JOIN own o USING (invoice_id)),
disputed AS (
  SELECT d.invoice_id, sum(e.amount) AS amount
  FROM invoicer.console_dispute d JOIN invoicer.console_dispute_entry e USING (dispute_id)
  WHERE d.billing_company = :company AND e.entered_on <= :as_of GROUP BY d.invoice_id),
parts AS (
  SELECT account_name, currency, invoice_id, invoice_date AS day, own AS amount, 0 AS disputed
  FROM own WHERE own < 0
  UNION ALL
  SELECT o.account_name, o.currency, o.invoice_id, o.due_date, o.own - coalesce(t.amount, 0),
      least(o.own - coalesce(t.amount, 0), coalesce(d.amount, 0))
  FROM own o LEFT JOIN (SELECT invoice_id, sum(amount) AS amount FROM applied GROUP BY 1) t
      USING (invoice_id)
  LEFT JOIN disputed d USING (invoice_id)
  WHERE o.own > coalesce(t.amount, 0)
  UNION ALL
  SELECT account_name, currency, invoice_id, day, -least(amount, so_far - room), 0
  FROM running WHERE so_far > room AND amount > 0
  UNION ALL
  SELECT account_name, currency, NULL, received_on, -unapplied, 0
  FROM (
    SELECT r.account_name, r.currency, r.received_on, r.amount
        + (SELECT coalesce(sum(b.amount), 0) FROM invoicer.console_payment_return b
           WHERE b.payment_id = r.payment_id AND b.returned_on <= :as_of)
        - (SELECT coalesce(sum(m.amount), 0) FROM invoicer.console_payment m
           JOIN invoicer.console_invoice i USING (invoice_id)
           WHERE m.ledger = 'hand' AND m.payment_id = r.payment_id
             AND m.paid_on <= :as_of AND i.invoice_date <= :as_of) AS unapplied
    FROM invoicer.console_received_payment r
    WHERE r.billing_company = :company AND r.received_on <= :as_of) received
  WHERE unapplied <> 0)
SELECT account_name, currency, day, sum(amount) AS amount, sum(disputed) AS disputed,
    count(invoice_id) AS documents
FROM parts GROUP BY account_name, currency, day ORDER BY account_name, currency, day

-- name: time_groups
-- Billing cycles with how many debtors have each by their newest terms.
SELECT g.*, coalesce(t.debtors, 0) AS debtors
FROM invoicer.console_time_group g
LEFT JOIN (
  SELECT time_group, count(*) AS debtors
  FROM (SELECT DISTINCT ON (billing_company, account_name) time_group
        FROM invoicer.console_debtor_terms ORDER BY billing_company, account_name,
            from_date DESC) newest
  GROUP BY time_group) t USING (time_group)
ORDER BY g.time_group

-- name: debtor_terms
-- Terms of debtors, version by version, with the day on which the next version begins.
SELECT account_name, from_date,
    lead(from_date) OVER (PARTITION BY account_name ORDER BY from_date) AS next_from,
       payment_terms, time_group, missing_timesheets, credits, zero_documents, tax_regime,
           tax_wording, tax_id, address, emails, attach, mail_subject, mail_text,
           contact, reference, timesheet_detail, allowances
FROM invoicer.console_debtor_terms
WHERE billing_company = :company AND (CAST(:name AS text) IS NULL OR account_name = :name)
ORDER BY account_name, from_date

-- name: delivery_rates
-- The connections of a batch's deliveries: why they are held up, what is open, and how much was
-- settled lately.
SELECT c.ledger, c.state, c.message, c.circuit_message, c.resting, k.capabilities, c.settings,
    d.open, d.recent
FROM arg_sync.console_connection c
LEFT JOIN arg_sync.console_ledger_kind k USING (kind)
CROSS JOIN LATERAL (
  SELECT count(*) FILTER (WHERE state IN ('queued', 'sending', 'unknown')) AS open,
         count(*) FILTER (WHERE settled_at > clock_timestamp() - make_interval(
             secs => :recent)) AS recent
  FROM arg_sync.console_delivery WHERE ledger = c.ledger) d
WHERE c.ledger IN (SELECT ledger FROM arg_sync.console_delivery WHERE batch_id = :id)

-- name: waiting_in_order
-- Deliveries that are not sent before an earlier one, where a ledger takes them in order.
SELECT d.delivery_id, d.ledger, e.invoice_number AS waits_for, e.state AS why, e.message
FROM arg_sync.console_delivery d JOIN arg_sync.console_connection c USING (ledger)
JOIN arg_sync.console_ledger_kind k USING (kind)
CROSS JOIN LATERAL (
  SELECT e.invoice_number, e.state, e.message FROM arg_sync.console_delivery e
  WHERE e.ledger = d.ledger AND e.state IN ('queued', 'sending', 'unknown')
    AND e.tries < 3 AND e.next_attempt_at > clock_timestamp()
    AND (k.capabilities ->> 'order' = 'connection' OR e.account_name = d.account_name)
    AND (e.invoice_date < d.invoice_date OR e.invoice_date = d.invoice_date
      AND (e.document_type > d.document_type
        OR e.document_type = d.document_type AND e.invoice_id < d.invoice_id))
  ORDER BY e.invoice_date, e.document_type DESC, e.invoice_id LIMIT 1) e
WHERE d.delivery_id = ANY(CAST(:ids AS bigint[])) AND d.state IN ('queued', 'unknown')
  AND d.tries < 3 AND c.state = 'connected'
  AND k.capabilities ->> 'order' IN ('connection', 'customer')

-- name: invoice_conditions
-- The conditions of a search for documents: each holds where its value is not given.
(CAST(:company AS text) IS NULL OR i.billing_company = :company)
AND (CAST(:number AS text) IS NULL OR i.invoice_number = :number
    OR CAST(i.number AS text) = :number)
AND (CAST(:since AS date) IS NULL OR i.invoice_date >= :since)
AND (CAST(:until AS date) IS NULL OR i.invoice_date <= :until)
AND (CAST(:account AS text) IS NULL OR i.account_name = :account)
AND (CAST(:type AS text) IS NULL OR i.document_type = :type)
AND (CAST(:amount AS numeric) IS NULL
     OR abs(i.total) = abs(CAST(:amount AS numeric)) OR abs(i.net) = abs(CAST(:amount AS numeric)))
AND (CAST(:batch AS text) IS NULL OR i.batch_id = :batch)
AND (CAST(:text AS text) IS NULL
     OR strpos(lower(concat_ws(' ', i.invoice_number, i.account_name, i.po_number, i.buyer->>'name',
         i.buyer->>'address',
                               i.buyer->>'tax_id')), lower(:text)) > 0
     OR i.invoice_id IN (SELECT invoice_id FROM invoicer.console_closed_line
         WHERE document_id = :text))
AND (CAST(:state AS text) IS NULL
     OR :state = (SELECT b.state FROM invoicer.console_invoice_balance b
         WHERE b.invoice_id = i.invoice_id))

-- name: invoice_lines
-- The lines of a document, and of each that is no credit what credits left of it.
SELECT l.line_no, l.pay_line_id, l.description, l.document_kind, l.document_id, l.worker_id,
    l.week_ending, l.service_from,
       l.service_to, l.time_type, l.quantity, l.unit, l.unit_price, l.amount, l.currency,
           l.tax_code, l.tax_rate, l.tax_amount, l.allowance_amount,
       l.po_number, l.corrects_invoice, l.corrects_line_no AS corrects_line,
       CASE WHEN l.corrects_line_no IS NULL THEN l.quantity + c.quantity END AS quantity_left,
       CASE WHEN l.corrects_line_no IS NULL
            THEN l.amount + l.allowance_amount + c.amount END AS amount_left
FROM invoicer.console_closed_line l
CROSS JOIN LATERAL (
  SELECT coalesce(sum(e.quantity), 0) AS quantity,
         coalesce(sum(e.amount + e.allowance_amount), 0) AS amount
  FROM invoicer.console_closed_line e
  WHERE e.corrects_invoice_id = l.invoice_id AND e.corrects_line_no = l.line_no) c
WHERE l.invoice_id = :id ORDER BY l.line_no LIMIT :most

-- name: invoice_credits
-- The lines that credit a document: on which document, how much, by whom and why, and what becomes
-- of the amount.
SELECT i.invoice_number, i.document_type, i.invoice_date, l.line_no,
    l.corrects_line_no AS corrects_line, l.quantity, l.unit,
       l.amount, l.allowance_amount, l.tax_amount, l.currency,
           coalesce(l.derivation -> 'credit' ->> 'to', 'correction') AS credited_to,
       b.actor, b.reason, b.batch_id
FROM invoicer.console_closed_line l
JOIN invoicer.console_invoice i ON i.invoice_id = l.invoice_id
JOIN invoicer.console_batch b ON b.batch_id = i.batch_id
WHERE l.corrects_invoice_id = :id ORDER BY i.closed_at, i.invoice_id, l.line_no LIMIT :most

-- name: number_series
-- Series of numbers with how many are used and how many digits documents show.
SELECT s.billing_company, s.series, s.first_number, s.next_number, s.last_date,
    (SELECT count(*) FROM invoicer.console_invoice i
     WHERE i.billing_company = s.billing_company AND i.series = s.series) AS used,
    coalesce(
      (SELECT length(i.invoice_number) - length(i.series) FROM invoicer.console_invoice i
       WHERE i.billing_company = s.billing_company AND i.series = s.series
       ORDER BY i.number LIMIT 1),
      c.series_width, 1) AS width
FROM invoicer.console_number_series s
LEFT JOIN fee_realizer.console_billing_company c ON c.billing_company = s.billing_company

-- name: unexplained_numbers
-- Ranges of numbers of a series that no document has and that no operator passed over.
WITH taken AS (
  SELECT number AS low, number AS high FROM invoicer.console_invoice
      WHERE billing_company = :company AND series = :series
  UNION ALL
  SELECT from_number, to_number FROM invoicer.console_number_jump WHERE billing_company = :company
      AND series = :series
  UNION ALL SELECT CAST(:first AS bigint) - 1, CAST(:first AS bigint) - 1
  UNION ALL SELECT CAST(:next AS bigint), CAST(:next AS bigint)),
stepped AS (
  SELECT low, max(high) OVER (ORDER BY low, high ROWS BETWEEN UNBOUNDED PRECEDING
      AND 1 PRECEDING) AS before FROM taken)
SELECT before + 1 AS from_number, low - 1 AS to_number FROM stepped WHERE low > before + 1
    ORDER BY 1 LIMIT 100

-- name: pay_line_facts
-- A pay line with the realization that it comes from, where it is now, and the invoice that it
-- corrects.
SELECT p.*, p.billto_node AS work_node, s.source_id, s.revision, s.cause, i.invoice_number,
    i.document_type, i.account_name,
       i.batch_id, il.line_no, il.billto_node AS paying_node, il.billto_level, il.tax_code,
           il.tax_rate, il.tax_amount, il.allowance_amount, i.allowances,
       c.invoice_number AS corrects_invoice, c.account_name AS corrects_account,
           r.replaced_by_realization,
       o.pay_line_id IS NOT NULL AS open, d.pay_line_id IS NOT NULL AS drafted
FROM invoicer.console_pay_line p
LEFT JOIN fee_realizer.console_realization s
  ON s.document_kind = p.document_kind AND s.document_id = p.document_id
      AND s.realization_no = p.realization_no
LEFT JOIN invoicer.console_invoice_line il ON il.pay_line_id = p.pay_line_id
LEFT JOIN invoicer.console_invoice i ON i.invoice_id = il.invoice_id
LEFT JOIN invoicer.console_invoice c ON c.invoice_id = p.corrects_invoice_id
LEFT JOIN invoicer.console_replaced_line r ON r.pay_line_id = p.pay_line_id
LEFT JOIN invoicer.console_open_line o ON o.billing_company = p.billing_company
    AND o.pay_line_id = p.pay_line_id
LEFT JOIN invoicer.console_draft_line d ON d.pay_line_id = p.pay_line_id
WHERE p.pay_line_id = :id

-- name: billto_path
-- A billto node and the nodes above it, from the lowest to the highest.
WITH RECURSIVE path AS (
  SELECT node_id, level, parent_id, name, account_name FROM invoicer.console_billto_node
      WHERE node_id = :node
  UNION ALL
  SELECT n.node_id, n.level, n.parent_id, n.name, n.account_name
  FROM path p JOIN invoicer.console_billto_node n ON n.node_id = p.parent_id AND n.level < p.level)
SELECT node_id, level, name, account_name FROM path ORDER BY level DESC

-- name: rate_version
-- Who set the rate version of a pay line, and who confirmed it for lines on documents.
SELECT r.source, r.actor, (
  SELECT max(c.actor) FROM fee_realizer.console_rate_confirmation c
  WHERE c.requirement_id = r.requirement_id AND c.time_type = r.time_type
      AND c.effective_from = r.effective_from
    AND c.rate_book >= r.since_book
        AND (r.until_book IS NULL OR c.rate_book < r.until_book)) AS confirmed_by
FROM fee_realizer.console_bill_rate r
WHERE r.requirement_id = :requirement AND r.time_type = :time_type AND r.source = :source
  AND r.effective_from = CAST(CAST(:day AS text) AS date)
      AND r.since_book = CAST(CAST(:book AS text) AS integer)

-- name: document_events
-- What happened to a document: revisions received, realizations, holds, what was forgiven, and the
-- documents on which it was invoiced.
SELECT received_at AS at, 'ATS' AS actor,
    'revision ' || revision || CASE WHEN source_id NOT IN ('', document_id)
         THEN ' of adjustment ' || source_id ELSE '' END AS what,
    CASE WHEN overtaken_by > revision
         THEN 'without effect: revision ' || overtaken_by || ' came before' ELSE '' END AS message,
    document_kind AS kind, NULL AS cause, CAST(body AS text) AS body, '' AS reason
FROM (
  SELECT *, max(revision) OVER (
    PARTITION BY document_kind, source_id ORDER BY received_at, revision) AS overtaken_by
  FROM fee_realizer.console_source_revision WHERE document_id = :id) r
UNION ALL
SELECT issued_at, 'fee_realizer', 'realization ' || realization_no, '', realization_kind, cause,
    body, ''
FROM fee_realizer.console_realization WHERE document_id = :id
UNION ALL
SELECT min(held_at), 'fee_realizer', CASE WHEN hold_code IS NULL THEN 'released' ELSE 'held' END,
    coalesce(hold_code || ': ' || hold_message, ''), NULL, NULL, NULL, ''
FROM fee_realizer.console_hold_event WHERE document_id = :id
GROUP BY document_kind, hold_no, hold_code, hold_message
UNION ALL
SELECT c.answered_at, w.actor, CASE WHEN w.quantity < 0 OR w.amount < 0 THEN 'write-off taken back'
                                   ELSE 'written off' END, '', 'forgiven', NULL,
    CAST(jsonb_build_object('quantity', CAST(abs(w.quantity) AS text),
                            'amount', CAST(abs(w.amount) AS text), 'unit', p.unit,
                            'currency', p.currency, 'description', p.description) AS text), w.reason
FROM invoicer.console_write_off w
CROSS JOIN LATERAL (
  SELECT l.unit, l.currency, l.description FROM invoicer.console_pay_line l
  WHERE l.document_id = w.document_id AND l.document_kind = w.document_kind
    AND l.line_key = w.line_key ORDER BY l.pay_line_id LIMIT 1) p
-- What takes a write-off back was said by the command that reissued the invoice.
CROSS JOIN LATERAL (
  SELECT max(answered_at) AS answered_at FROM invoicer.console_command o
  WHERE o.command_id = w.command_id
     OR w.quantity <= 0 AND w.amount <= 0 AND o.command = 'credit-invoice'
        AND o.subjects && ARRAY[w.document_id] AND o.actor = w.actor AND o.reason = w.reason) c
WHERE w.document_id = :id AND c.answered_at IS NOT NULL
UNION ALL
SELECT i.closed_at, 'invoicer', 'invoiced',
    i.document_type || ' ' || i.invoice_number || ' of ' || i.account_name
         || ', line ' || string_agg(CAST(l.line_no AS text), ', ' ORDER BY l.line_no), NULL, NULL,
             NULL, ''
FROM invoicer.console_closed_line l JOIN invoicer.console_invoice i USING (invoice_id)
WHERE l.document_id = :id GROUP BY i.invoice_id, i.closed_at, i.document_type, i.invoice_number,
    i.account_name

-- name: batches_of_subject
-- The batches that a subject of history is on: by batch, invoice number, bare number or Account
-- Name.
SELECT DISTINCT b.batch_id, b.command_id
FROM invoicer.console_batch b LEFT JOIN invoicer.console_invoice i USING (batch_id)
WHERE b.batch_id = :subject OR b.batch_id = ANY(CAST(:batches AS text[]))
    OR i.invoice_number = :subject
   OR i.account_name = :subject OR i.number = CAST(:number AS bigint)

-- name: work_in_progress
-- Documents that wait to be priced again, assignments without the occurrences of what was set, and
-- realizations that are not settled yet.
SELECT (SELECT count(*) FROM fee_realizer.console_pricing_queue) AS pricing_queue,
       (SELECT count(*) FROM fee_realizer.console_latest_realization l
        LEFT JOIN invoicer.console_settled_document s USING (document_kind, document_id)
        WHERE coalesce(s.realization_no, 0) < l.realization_no) AS in_flight

-- name: assignments_set
-- What is assigned from each date on. One that ended without an occurrence is left out: occurrences
-- are made 366 days ahead.
SELECT assignment_id, billing_company, from_date, until_date, last_date, schedule, terms,
  row_number() OVER (PARTITION BY assignment_id ORDER BY from_date DESC) = 1 AS is_last
FROM fee_realizer.console_assignment
WHERE occurrences > 0 OR last_date IS NULL OR last_date > CURRENT_DATE + 366
ORDER BY assignment_id, from_date

-- name: billed_lines
-- The lines of closed documents with the columns of opening data. A credit counts as written off
-- while its write-off was not taken back.
SELECT i.billing_company, i.invoice_number, i.document_type, i.invoice_date, i.due_date,
  i.account_name, i.currency, s.paid, l.line_no,
  CASE WHEN NOT b.balance THEN l.document_kind END AS document_kind,
  CASE WHEN NOT b.balance THEN l.document_id END AS document_id,
  CASE WHEN NOT b.balance THEN l.line_key END AS line_key, l.unit,
  l.requirement_id, l.time_type, l.worker_id, l.week_ending, l.service_from, l.service_to,
  l.item_id, l.project, l.cost_center, i.po_number, l.quantity, l.unit_price, l.amount,
  nullif(l.allowance_amount, 0) AS allowance, l.tax_code,
  l.tax_rate, l.tax_amount AS tax, l.description, l.corrects_invoice,
  l.corrects_line_no AS corrects_line,
  CASE WHEN l.derivation -> 'credit' ->> 'to' = 'write-off' AND NOT EXISTS (
      SELECT FROM invoicer.console_write_off u
      WHERE u.document_kind = l.document_kind AND u.document_id = l.document_id
        AND u.line_key = l.line_key AND u.command_id = ' undone: ' || k.command_id)
    THEN 'yes' END AS written_off
FROM invoicer.console_invoice i
JOIN invoicer.console_batch k USING (batch_id)
JOIN invoicer.console_invoice_balance s USING (invoice_id)
JOIN invoicer.console_closed_line l USING (invoice_id)
CROSS JOIN LATERAL (SELECT starts_with(l.document_id, 'opening:')
  AND l.document_kind = 'charge' AS balance) b
-- As the import closes them, so that the next export is the same: what corrects others is last.
ORDER BY i.billing_company, EXISTS (
    SELECT FROM invoicer.console_closed_line c
    WHERE c.invoice_id = i.invoice_id AND c.corrects_invoice_id IS NOT NULL),
  i.invoice_id, l.line_no

-- name: waiting_deliveries
-- Deliveries that only a person can end: refused, of unknown outcome after all attempts, or behind
-- a connection or a document that waits for a person.
SELECT d.delivery_id, d.ledger, c.billing_company, d.invoice_number, d.document_type,
    d.account_name, d.currency, d.total, d.state, d.code, d.message, d.fix, d.attempts,
    coalesce(d.settled_at, d.queued_at) AS since, coalesce(w.waits_for, '') AS waits_for,
    coalesce(w.why, '') AS why, coalesce(w.message, '') AS why_message
FROM arg_sync.console_delivery d
LEFT JOIN arg_sync.console_connection c USING (ledger)
LEFT JOIN arg_sync.console_delivery_wait w ON w.delivery_id = d.delivery_id AND w.needs_person
WHERE (d.state = 'refused' OR d.state = 'unknown' OR w.delivery_id IS NOT NULL)
  AND c.billing_company = ANY(CAST(:companies AS text[]))
ORDER BY d.state <> 'refused', since, d.delivery_id LIMIT :most

-- name: price_impact
-- Changes of rates that lines on documents have not taken yet.
SELECT min(billing_company) AS billing_company, requirement_id, time_type, effective_from, currency,
    count(DISTINCT document_id) AS documents, count(*) AS lines,
    sum(old_amount) AS old, sum(new_amount) AS new, sum(new_amount - old_amount) AS net
FROM fee_realizer.console_price_impact WHERE billing_company = ANY(CAST(:companies AS text[]))
GROUP BY requirement_id, time_type, effective_from, currency
ORDER BY requirement_id, time_type, effective_from LIMIT :most

-- name: inbox_counts
-- How much waits for a person, by kind. :everywhere also counts what belongs to no company.
SELECT
  (SELECT count(*) FROM fee_realizer.console_held_document
   WHERE billing_company = ANY(CAST(:companies AS text[]))
     OR CAST(:everywhere AS boolean) AND billing_company = '') AS held,
  CASE WHEN CAST(:everywhere AS boolean) THEN
    (SELECT count(*) FROM fee_realizer.console_dead_letter WHERE state = 'open')
    + (SELECT count(*) FROM scheduler.console_dead_letter WHERE state = 'open')
    + (SELECT count(*) FROM invoicer.console_dead_letter WHERE state = 'open')
    + (SELECT count(*) FROM arg_sync.console_dead_letter WHERE state = 'open')
    ELSE 0 END AS dead_letters,
  CASE WHEN CAST(:everywhere AS boolean) THEN
    (SELECT count(*) FROM fee_realizer.console_stopped_partition)
    + (SELECT count(*) FROM scheduler.console_stopped_partition)
    + (SELECT count(*) FROM invoicer.console_stopped_partition)
    + (SELECT count(*) FROM arg_sync.console_stopped_partition)
    ELSE 0 END AS stopped,
  (SELECT count(*) FROM arg_sync.console_delivery d
   JOIN arg_sync.console_connection c USING (ledger)
   WHERE c.billing_company = ANY(CAST(:companies AS text[]))
     AND (d.state IN ('refused', 'unknown') OR EXISTS (
       SELECT FROM arg_sync.console_delivery_wait w
       WHERE w.delivery_id = d.delivery_id AND w.needs_person))) AS deliveries,
  (SELECT count(*) FROM arg_sync.console_mail WHERE state IN ('refused', 'unknown')
     AND billing_company = ANY(CAST(:companies AS text[]))) AS mails,
  (SELECT count(*) FROM arg_sync.console_open_drift
   JOIN arg_sync.console_connection c USING (ledger)
   WHERE c.billing_company = ANY(CAST(:companies AS text[]))) AS drifts,
  (SELECT count(*) FROM invoicer.console_parked_debtor p JOIN invoicer.console_batch b
     USING (batch_id)
   WHERE p.billed_in_batch IS NULL AND b.billing_company = ANY(CAST(:companies AS text[])))
     AS parked,
  (SELECT count(*) FROM (
     SELECT DISTINCT requirement_id, time_type, effective_from
     FROM fee_realizer.console_price_impact
     WHERE billing_company = ANY(CAST(:companies AS text[]))) i) AS price_impact

-- name: oldest_undelivered
-- What is not delivered to each ledger, and not sent by each billing company: how many documents,
-- and the oldest of them.
SELECT 'delivery' AS kind, ledger AS channel, min(c.billing_company) AS billing_company,
    count(*) AS waiting,
    (array_agg(invoice_number ORDER BY queued_at, delivery_id))[1] AS invoice_number,
    (array_agg(d.state ORDER BY queued_at, delivery_id))[1] AS state,
    (array_agg(d.message ORDER BY queued_at, delivery_id))[1] AS message,
    extract(epoch FROM clock_timestamp() - min(queued_at)) AS seconds
FROM arg_sync.console_delivery d LEFT JOIN arg_sync.console_connection c USING (ledger)
WHERE d.state IN ('queued', 'sending', 'unknown') GROUP BY ledger
UNION ALL
SELECT 'e-mail', billing_company, billing_company, count(*),
    (array_agg(invoice_number ORDER BY queued_at, mail_id))[1],
    (array_agg(state ORDER BY queued_at, mail_id))[1],
    (array_agg(message ORDER BY queued_at, mail_id))[1],
    extract(epoch FROM clock_timestamp() - min(queued_at))
FROM arg_sync.console_mail WHERE state IN ('queued', 'sending') GROUP BY billing_company
ORDER BY seconds DESC

-- name: why_document
-- A closed document with its batch and its balance.
SELECT i.invoice_id, i.total, i.currency, i.due_date, i.closed_at, b.cut_off_date, b.actor,
    b.reason, b.generated_at, s.paid, s.balance, s.state
FROM invoicer.console_invoice i
JOIN invoicer.console_batch b USING (batch_id)
JOIN invoicer.console_invoice_balance s USING (invoice_id)
WHERE i.batch_id = :batch AND i.invoice_number = :number

-- name: why_credits
-- The lines that credit a line of a document, with who generated them and why.
SELECT i.invoice_number, l.amount, l.currency, b.actor, b.reason, b.generated_at
FROM invoicer.console_closed_line l
JOIN invoicer.console_invoice i USING (invoice_id)
JOIN invoicer.console_batch b USING (batch_id)
WHERE l.corrects_invoice_id = :invoice AND l.corrects_line_no = :line
ORDER BY b.generated_at, l.line_no LIMIT :most

-- name: why_deliveries
-- The deliveries of a document to accounting systems, and its e-mails.
SELECT 'delivery' AS kind, ledger AS channel, invoice_number, state, remote_number, message, fix,
    settled_at
FROM arg_sync.console_delivery WHERE invoice_id = :invoice AND invoice_number = :number
UNION ALL
(SELECT 'e-mail', m.address, m.invoice_number, m.state, NULL, m.message, m.fix, m.settled_at
 FROM arg_sync.console_mail m
 JOIN invoicer.console_invoice i USING (billing_company, invoice_number)
 WHERE m.invoice_number = :number AND i.invoice_id = :invoice ORDER BY m.mail_id LIMIT :most)
