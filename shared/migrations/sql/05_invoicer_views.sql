-- What others may read of the invoicer.

-- The closed documents with their seals.
CREATE VIEW invoicer.closed_invoice AS
  SELECT i.*, s.content_hash
  FROM invoicer.invoice i LEFT JOIN invoicer.invoice_seal s USING (invoice_id);

-- The description of a line without the id of a worker who was forgotten.
CREATE FUNCTION invoicer.shown_description(description text, worker_id text, shown_as text)
RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN shown_as IS NULL THEN description ELSE (
  SELECT substring(shown FROM 4 FOR length(shown) - 6)
  FROM replace(' · ' || description || ' · ', ' · ' || worker_id || ' · ',
               ' · ' || shown_as || ' · ') AS shown) END;

-- The lines of closed documents, each with the document that it corrects.
CREATE VIEW invoicer.closed_invoice_line AS
  SELECT il.invoice_id, il.line_no, p.description, p.document_kind, p.document_id, il.pay_line_id,
         p.worker_id, p.requirement_id, p.week_ending, p.service_from, p.service_to, p.time_type,
         p.item_id, p.quantity, p.unit, p.unit_price, p.amount, p.currency, il.tax_code,
         il.tax_rate, il.tax_amount, il.allowance_amount, p.po_number, p.project, p.cost_center,
         p.line_key,
         p.line_kind, p.realization_no, il.billto_node, il.billto_level, p.corrects_invoice_id,
         p.corrects_line_no, c.invoice_number AS corrects_invoice, c.invoice_date AS corrects_date
  FROM invoicer.invoice_line il
  JOIN invoicer.pay_line p USING (pay_line_id)
  LEFT JOIN invoicer.invoice c ON c.invoice_id = p.corrects_invoice_id;

-- The names on closed documents, without those of forgotten workers.
CREATE VIEW invoicer.closed_invoice_detail AS
  SELECT invoice_id, about, subject_id, detail FROM invoicer.invoice_detail
  WHERE detail IS NOT NULL;

-- The timesheets on closed documents, each as it was realized for the document: worker, week,
-- stamps of the approval and all entries. A forgotten worker has a pseudonym.
CREATE VIEW invoicer.closed_timesheet AS
  SELECT t.invoice_id, t.document_id, t.requirement_ids, r.source_id,
    coalesce(f.shown_as, s.body ->> 'worker_id') AS worker_id,
    CAST(s.body ->> 'week_ending' AS date) AS week_ending,
    s.body -> 'workflow' ->> 'approved_at' AS approved_at,
    s.body -> 'workflow' ->> 'approved_by' AS approved_by,
    coalesce(s.body -> 'entries', '[]') AS entries
  FROM (
    SELECT il.invoice_id, p.document_id, max(p.realization_no) AS realization_no,
      array_agg(DISTINCT p.requirement_id) AS requirement_ids
    FROM invoicer.invoice_line il JOIN invoicer.pay_line p USING (pay_line_id)
    WHERE p.document_kind = 'timesheet'
    GROUP BY il.invoice_id, p.document_id) t
  JOIN fee_realizer.realization r ON r.document_kind = 'timesheet'
    AND r.document_id = t.document_id AND r.realization_no = t.realization_no
  JOIN fee_realizer.source_revision s ON s.document_kind = 'timesheet'
    AND s.document_id = r.document_id AND s.source_id = r.source_id AND s.revision = r.revision
  LEFT JOIN invoicer.forgotten_worker f ON f.worker_id = s.body ->> 'worker_id';

-- What each document takes off the invoices that its credit lines correct (negative).
-- Credits first pay the debits of their own document: that is what netting means. So an invoice
-- takes nothing off others, and a credit note its total. The oldest corrected invoice comes first.
CREATE VIEW invoicer.set_off AS
  SELECT invoice_id, corrects_invoice_id,
         greatest(least(running, greatest(all_set_off, 0)), least(all_set_off, 0))
         - greatest(least(running - credits, greatest(all_set_off, 0)), least(all_set_off, 0))
           AS amount
  FROM (
    SELECT *, CASE WHEN all_credits < 0 THEN greatest(least(total, 0), all_credits)
                   ELSE least(greatest(total, 0), all_credits) END AS all_set_off
    FROM (
      SELECT l.invoice_id, p.corrects_invoice_id, i.total, sum(x.amount) AS credits,
             sum(sum(x.amount)) OVER (PARTITION BY l.invoice_id) AS all_credits,
             sum(sum(x.amount)) OVER (
               PARTITION BY l.invoice_id ORDER BY p.corrects_invoice_id) AS running
      FROM invoicer.invoice_line l
      JOIN invoicer.pay_line p USING (pay_line_id)
      JOIN invoicer.invoice i USING (invoice_id)
      CROSS JOIN LATERAL (
        SELECT p.amount + l.allowance_amount + l.tax_amount AS amount) x
      WHERE p.corrects_invoice_id IS NOT NULL
      GROUP BY l.invoice_id, p.corrects_invoice_id, i.total) c) s;

-- The same for each credit line. Their sum is what the document takes off the corrected invoice.
CREATE VIEW invoicer.line_set_off AS
  SELECT invoice_id, line_no, corrects_invoice_id, corrects_line_no,
         greatest(least(running, greatest(all_set_off, 0)), least(all_set_off, 0))
         - greatest(least(running - credit, greatest(all_set_off, 0)), least(all_set_off, 0))
           AS amount
  FROM (
    SELECT *, CASE WHEN all_credits < 0 THEN greatest(least(total, 0), all_credits)
                   ELSE least(greatest(total, 0), all_credits) END AS all_set_off
    FROM (
      SELECT l.invoice_id, l.line_no, p.corrects_invoice_id, p.corrects_line_no, i.total,
             x.amount AS credit,
             sum(x.amount) OVER (PARTITION BY l.invoice_id) AS all_credits,
             sum(x.amount) OVER (
               PARTITION BY l.invoice_id ORDER BY p.corrects_invoice_id, l.line_no) AS running
      FROM invoicer.invoice_line l
      JOIN invoicer.pay_line p USING (pay_line_id)
      JOIN invoicer.invoice i USING (invoice_id)
      CROSS JOIN LATERAL (
        SELECT p.amount + l.allowance_amount + l.tax_amount AS amount) x
      WHERE p.corrects_invoice_id IS NOT NULL) c) s;

-- The billing records: the lines of closed documents with what is left of each. `charged` is net
-- after allowance plus tax, without what a credit line takes off another document; `credited` is
-- what other documents take off the line; `paid` and `check_ids` are those of received payments.
-- What accounting systems and opening data state as paid is of the document, not of its lines.
CREATE VIEW invoicer.billing_record AS
  SELECT x.*, x.charged + x.credited - x.paid AS balance
  FROM (
    SELECT i.billing_company, i.account_name, l.invoice_id, i.invoice_number, l.line_no,
           l.pay_line_id, p.document_kind, p.document_id, p.currency,
           p.amount + l.allowance_amount + l.tax_amount
           - coalesce(CASE WHEN p.corrects_invoice_id IS NOT NULL THEN (
               SELECT s.amount FROM invoicer.line_set_off s
               WHERE s.invoice_id = l.invoice_id AND s.line_no = l.line_no) END, 0) AS charged,
           coalesce((
             SELECT sum(s.amount)
             FROM invoicer.pay_line c
             JOIN invoicer.invoice_line d ON d.pay_line_id = c.pay_line_id
             JOIN invoicer.line_set_off s
               ON s.invoice_id = d.invoice_id AND s.line_no = d.line_no
             WHERE c.corrects_invoice_id = l.invoice_id
               AND c.corrects_line_no = l.line_no), 0) AS credited,
           coalesce(m.paid, 0) AS paid, coalesce(m.check_ids, '{}') AS check_ids
    FROM invoicer.invoice_line l
    JOIN invoicer.invoice i USING (invoice_id)
    JOIN invoicer.pay_line p USING (pay_line_id)
    LEFT JOIN LATERAL (
      SELECT sum(e.paid) AS paid,
             array_agg(DISTINCT e.check_id) FILTER (WHERE e.paid <> 0) AS check_ids
      FROM (
        SELECT r.check_id, sum(k.amount) AS paid
        FROM invoicer.payment_line k JOIN invoicer.received_payment r USING (payment_id)
        WHERE k.invoice_id = l.invoice_id AND k.line_no = l.line_no
        GROUP BY r.payment_id) e) m ON true) x;

-- What became of the money of each received payment.
CREATE VIEW invoicer.received_payment_balance AS
  SELECT r.*, a.applied, t.refunded, t.taken_back, t.is_reversed,
         r.amount - a.applied - t.refunded - t.taken_back AS unapplied,
         greatest(a.last_day, t.last_day) AS last_day
  FROM invoicer.received_payment r
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(m.amount), 0) AS applied, max(m.paid_on) AS last_day
    FROM invoicer.payment m WHERE m.ledger = 'hand' AND m.payment_id = r.payment_id) a
  CROSS JOIN LATERAL (
    SELECT coalesce(-sum(b.amount) FILTER (WHERE b.kind = 'refund'), 0) AS refunded,
           coalesce(-sum(b.amount) FILTER (WHERE b.kind = 'reversal'), 0) AS taken_back,
           coalesce(bool_or(b.kind = 'reversal'), false) AS is_reversed,
           max(b.returned_on) AS last_day
    FROM invoicer.payment_return b WHERE b.payment_id = r.payment_id) t;

GRANT SELECT ON invoicer.line_set_off, invoicer.received_payment_balance TO invoicer;

-- The balance of each document: its total less credits and payments.
-- `set_off`: what it takes off other invoices. `charged`: its total without that. `credited`: what
-- other documents take off it. `paid`: what payments and accounting systems pay of it.
-- A document with nothing but credits of one invoice takes all of them off it: that is known
-- without reading the other lines of the document.
CREATE VIEW invoicer.invoice_balance AS
  SELECT x.*, x.charged + x.credited AS after_credits, x.charged + x.credited - x.paid AS balance,
         CASE WHEN x.charged + x.credited < x.paid
                THEN CASE WHEN x.paid > 0 THEN 'overpaid' ELSE 'unapplied' END
              WHEN x.charged + x.credited > x.paid
                THEN CASE WHEN x.paid <> 0 THEN 'part paid'
                          WHEN x.credited <> 0 THEN 'partly credited' ELSE 'open' END
              WHEN x.paid <> 0 THEN 'paid'
              WHEN x.charged <> 0 THEN 'credited'
              WHEN x.set_off <> 0 THEN 'applied' ELSE 'zero' END AS state
  FROM (
    SELECT i.invoice_id, i.document_type, i.total - o.set_off AS charged, o.set_off,
           coalesce((
             SELECT sum(CASE WHEN c.lines = d.line_count THEN c.amount ELSE (
               SELECT s.amount FROM invoicer.set_off s
               WHERE s.invoice_id = c.invoice_id AND s.corrects_invoice_id = i.invoice_id) END)
             FROM (
               SELECT l.invoice_id, count(*) AS lines,
                      sum(p.amount + l.allowance_amount + l.tax_amount) AS amount
               FROM invoicer.pay_line p JOIN invoicer.invoice_line l USING (pay_line_id)
               WHERE p.corrects_invoice_id = i.invoice_id GROUP BY l.invoice_id) c
             JOIN invoicer.invoice d ON d.invoice_id = c.invoice_id), 0) AS credited,
           coalesce((
             SELECT sum(m.amount) FROM invoicer.payment m
             WHERE m.invoice_id = i.invoice_id), 0) AS paid
    FROM invoicer.invoice i
    CROSS JOIN LATERAL (
      SELECT coalesce(sum(s.amount), 0) AS set_off FROM invoicer.set_off s
      WHERE s.invoice_id = i.invoice_id) o) x;

-- What the seal of a closed document covers, in one place for closing and for verifying.
-- It covers no surrogate id and no instant, so the same data has the same seal in another database.
-- A line is part of it as a 64-bit hash of its record. PostgreSQL partitions tables by that hash,
-- so it is the same in every release. A cryptographic hash of each of a million lines would double
-- the time of a batch.
CREATE FUNCTION invoicer.line_digest(p invoicer.pay_line)
RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE
RETURN hash_record_extended(ROW(
  p.document_kind, p.document_id, p.line_key, p.description, p.worker_id, p.requirement_id,
  p.time_type, p.item_id, p.project, p.cost_center, p.po_number, p.unit, p.quantity, p.unit_price,
  p.amount, p.currency, p.service_from, p.service_to, p.week_ending, p.corrects_line_no), 0);
CREATE FUNCTION invoicer.line_seal(
  line_no integer, digest bigint, corrects_invoice text, billto_node text, billto_level integer,
  tax_code text, tax_rate numeric, tax_amount numeric)
RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE
RETURN int8send(hash_record_extended(ROW(
  line_no, digest, corrects_invoice, billto_node, billto_level, tax_code, tax_rate, tax_amount),
  0));
-- The same for a line that may have a share of the document's allowances; without one it is equal.
CREATE FUNCTION invoicer.line_seal(
  line_no integer, digest bigint, corrects_invoice text, billto_node text, billto_level integer,
  tax_code text, tax_rate numeric, tax_amount numeric, allowance_amount numeric)
RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN allowance_amount = 0
  THEN invoicer.line_seal(line_no, digest, corrects_invoice, billto_node, billto_level, tax_code,
    tax_rate, tax_amount)
  ELSE int8send(hash_record_extended(ROW(
    line_no, digest, corrects_invoice, billto_node, billto_level, tax_code, tax_rate, tax_amount,
    allowance_amount), 0)) END;
CREATE FUNCTION invoicer.document_seal(i invoicer.invoice, lines bytea)
RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
RETURN encode(sha256(convert_to(concat_ws(chr(31),
    i.billing_company, i.series, i.number, i.invoice_number, i.document_type, i.account_name,
    i.currency, i.payment_terms, i.po_number, i.tax_regime, i.tax_wording, i.tax_basis,
    i.invoice_date, i.due_date, i.cut_off_date, coalesce(i.service_from::text, ''),
    coalesce(i.service_to::text, ''), i.net, i.tax, i.total, i.line_count, i.tax_totals, i.seller,
    i.buyer, i.allowances, i.credit_reason, i.invoice_option), 'UTF8')
  || coalesce(lines, ''::bytea)), 'hex');

CREATE FUNCTION invoicer.detail_digest(about text, subject_id text, detail jsonb)
RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE
RETURN sha256(convert_to(concat_ws(chr(31), about, subject_id, detail), 'UTF8'));
-- The part of the seal that covers the names on a document; empty without names.
CREATE FUNCTION invoicer.detail_seal(of_invoice bigint)
RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE
RETURN (
  SELECT coalesce(string_agg(d.digest, CAST('' AS bytea)
                             ORDER BY d.about COLLATE "C", d.subject_id COLLATE "C"), '')
  FROM invoicer.invoice_detail d WHERE d.invoice_id = of_invoice);

-- The seal that each closed document should have, computed from what is stored now.
CREATE VIEW invoicer.invoice_content AS
  SELECT i.invoice_id, i.billing_company, i.batch_id, i.invoice_number,
         invoicer.document_seal(i, l.lines || invoicer.detail_seal(i.invoice_id)) AS content_hash
  FROM invoicer.invoice i
  LEFT JOIN (
    SELECT il.invoice_id,
           string_agg(
             invoicer.line_seal(il.line_no, invoicer.line_digest(p), c.invoice_number,
                                il.billto_node, il.billto_level, il.tax_code, il.tax_rate,
                                il.tax_amount, il.allowance_amount),
             ''::bytea ORDER BY il.line_no) AS lines
    FROM invoicer.invoice_line il
    JOIN invoicer.pay_line p USING (pay_line_id)
    LEFT JOIN invoicer.invoice c ON c.invoice_id = p.corrects_invoice_id
    GROUP BY il.invoice_id) l USING (invoice_id);

-- The rate book of the invoiced lines of a document that are not fully credited; of an occurrence
-- of an assignment its revision, by the document's id. An adjustment is priced from that book.
-- A line that was written off counts as well: its hours are forgiven under its line key, and a new
-- price would bill them again under another key. `by_work_date`: the tax of some lines follows the
-- work date; `first_day`: the first work day of lines whose tax does not. What suppliers are paid
-- cites nothing.
CREATE VIEW invoicer.cited_rate_version AS
  SELECT p.document_kind, p.document_id,
         CASE p.document_kind WHEN 'assignment' THEN p.document_id
                              ELSE p.requirement_id END AS requirement_id,
         p.time_type, max(p.rate_book) AS rate_book,
         bool_or(p.tax_date IS NOT NULL) AS by_work_date,
         min(p.service_from) FILTER (WHERE p.tax_date IS NULL) AS first_day
  FROM invoicer.pay_line p
  JOIN invoicer.invoice_line il USING (pay_line_id)
  WHERE (p.line_kind = 'timesheet' OR p.document_kind = 'assignment')
    AND p.corrects_invoice_id IS NULL AND position('@' IN p.billing_company) = 0
    AND (p.quantity + coalesce((
           SELECT sum(c.quantity)
           FROM invoicer.pay_line c
           JOIN invoicer.invoice_line cl ON cl.pay_line_id = c.pay_line_id
           WHERE c.corrects_invoice_id = il.invoice_id AND c.corrects_line_no = il.line_no), 0) <> 0
         OR coalesce((
           SELECT sum(w.quantity) FROM invoicer.write_off w
           WHERE w.document_kind = p.document_kind AND w.document_id = p.document_id
             AND w.line_key = p.line_key), 0) <> 0)
  GROUP BY p.document_kind, p.document_id, 3, p.time_type;

-- The invoices on which the line keys of a document are: a change of rates lists them with debtors.
CREATE VIEW invoicer.invoiced_line_key AS
  SELECT p.document_kind, p.document_id, p.line_key,
         i.invoice_id, i.invoice_number, i.invoice_date, i.account_name
  FROM invoicer.pay_line p
  JOIN invoicer.invoice_line il USING (pay_line_id)
  JOIN invoicer.invoice i USING (invoice_id)
  WHERE p.corrects_invoice_id IS NULL;
GRANT SELECT ON invoicer.invoiced_line_key TO fee_realizer;

-- The documents that fee_realizer must price again: a batch closed after their rates were read, or
-- credits took all invoiced lines of a requirement and time type off the documents and one is open.
-- What is open takes the rates in force; invoiced lines kept the rate book that they cited.
CREATE VIEW invoicer.stale_price_basis AS
  SELECT document_kind, document_id, realization_no, stale_realization_no,
         CAST(NULL AS timestamptz) AS citation_ended_at
  FROM invoicer.settled_document WHERE stale_realization_no IS NOT NULL
  UNION ALL
  SELECT d.document_kind, d.document_id, d.realization_no, d.realization_no, d.citation_ended_at
  FROM invoicer.settled_document d
  WHERE d.citation_ended_at IS NOT NULL AND d.stale_realization_no IS NULL AND EXISTS (
    SELECT FROM jsonb_array_elements(CAST(d.body AS jsonb) -> 'basis') AS b(basis)
    JOIN LATERAL (
      SELECT q.requirement_id, q.rate_book FROM fee_realizer.requirement q
      WHERE d.document_kind <> 'assignment' AND q.requirement_id = b.basis ->> 'requirement_id'
      UNION ALL
      SELECT s.document_id, CAST(s.revision AS integer) FROM fee_realizer.source_document s
      WHERE d.document_kind = 'assignment' AND s.document_kind = d.document_kind
        AND s.document_id = d.document_id) r
      ON r.rate_book <> CAST(b.basis ->> 'rate_book' AS integer)
    WHERE NOT EXISTS (
      SELECT FROM invoicer.cited_rate_version c
      WHERE c.document_kind = d.document_kind AND c.document_id = d.document_id
        AND c.requirement_id = r.requirement_id AND c.time_type = b.basis ->> 'time_type')
    AND EXISTS (
      SELECT FROM invoicer.pay_line p
      JOIN invoicer.open_line o
        ON o.billing_company = p.billing_company AND o.pay_line_id = p.pay_line_id
      WHERE p.document_kind = d.document_kind AND p.document_id = d.document_id
        AND p.corrects_invoice_id IS NULL AND position('@' IN p.billing_company) = 0
        AND (p.document_kind = 'assignment' OR p.line_kind = 'timesheet'
             AND p.requirement_id = r.requirement_id AND p.time_type = b.basis ->> 'time_type'))
    AND EXISTS (
      SELECT FROM invoicer.pay_line p JOIN invoicer.invoice_line USING (pay_line_id)
      WHERE p.document_kind = d.document_kind AND p.document_id = d.document_id
        AND p.corrects_invoice_id IS NULL AND position('@' IN p.billing_company) = 0
        AND (p.document_kind = 'assignment' OR p.line_kind = 'timesheet'
             AND p.requirement_id = r.requirement_id AND p.time_type = b.basis ->> 'time_type')));
GRANT SELECT ON invoicer.cited_rate_version, invoicer.stale_price_basis TO fee_realizer, invoicer;

-- The lines that the scheduler announces when they become due.
CREATE VIEW invoicer.due_line AS
  SELECT pay_line_id, billing_company, document_kind, document_id, line_key, effective_date,
         currency, amount, description
  FROM invoicer.pay_line p
  WHERE p.announce_when_due
    AND NOT EXISTS (SELECT FROM invoicer.replaced_line r WHERE r.pay_line_id = p.pay_line_id);
GRANT SELECT ON invoicer.due_line TO scheduler;
GRANT SELECT ON invoicer.closed_invoice_detail, invoicer.closed_timesheet TO arg_sync;
GRANT SELECT ON invoicer.closed_invoice, invoicer.closed_invoice_line
  TO invoicer, arg_sync, scheduler;

-- What every service needs to check a command: keys of programs, and the roles in force.
CREATE VIEW invoicer.signing_key AS
  SELECT k.key_id, k.program, k.public_key, k.asserts_actors, k.valid_until, k.disabled_at,
         i.audience
  FROM invoicer.program_key k CROSS JOIN invoicer.installation i;
CREATE VIEW invoicer.granted_role AS
  SELECT g.actor, g.role, g.billing_company FROM invoicer.role_grant g
  WHERE NOT EXISTS (SELECT FROM invoicer.person p WHERE p.person = g.actor AND NOT p.enabled);
GRANT SELECT ON invoicer.signing_key, invoicer.granted_role
  TO invoicer, fee_realizer, scheduler, arg_sync;

-- Who gets the documents of a debtor by e-mail, and how, from a date on.
CREATE VIEW invoicer.debtor_mail AS
  SELECT billing_company, account_name, from_date, emails, attach, mail_subject, mail_text
  FROM invoicer.debtor_terms;
GRANT SELECT ON invoicer.debtor_mail TO arg_sync;
