-- The views of the console. Its role reads these and nothing else, so tables may change as long as
-- a view keeps its columns. A view selects plainly, so that the planner sees through it to the
-- indexes of its tables.

-- Dead letters and commands, in the same shape for every service.
DO $$
DECLARE service text;
BEGIN
  FOREACH service IN ARRAY ARRAY['fee_realizer', 'scheduler', 'invoicer', 'arg_sync'] LOOP
    EXECUTE format($v$
      -- Records that the service could not read, with why and what became of each.
      CREATE VIEW %1$I.console_dead_letter AS
        SELECT dead_letter_id, topic, partition_no, record_offset, sha256, record_key, record_value,
            headers, code, message, state,
               closed_by, closed_reason, closed_at, received_at, value_length, value_sha256,
               appended_at
        FROM %1$I.dead_letter;
      -- Partitions that a consumer of the service does not read on, and why.
      CREATE VIEW %1$I.console_stopped_partition AS
        SELECT topic, partition_no, record_offset, following_offset, code, message, stopped_at,
            continue_at
        FROM %1$I.stopped_partition;
      -- Messages that the service has still to publish, or published and not deleted yet.
      CREATE VIEW %1$I.console_outbox AS SELECT kind, id FROM %1$I.outbox;
      -- Commands that the service answered, with actor, reason, result and the subjects by which
      -- history finds them.
      CREATE VIEW %1$I.console_command AS
        SELECT command_id, command, actor, reason, outcome, result, before, after, subjects,
            answered_at, key_id, program, client FROM %1$I.command;
      -- Commands that the service refused because of signature, key or permission: who and which
      -- key sent them as they say, from where, and why they were refused.
      CREATE VIEW %1$I.console_refused_command AS
        SELECT partition_no, record_offset, command_id, command, actor, reason, key_id, program,
            client, result, subjects, appended_at, answered_at FROM %1$I.refused_command;
    $v$, service);
  END LOOP;
END $$;

-- The local date up to which the due lines of each billing company are announced.
CREATE VIEW scheduler.console_due_watermark AS
  SELECT billing_company, to_date FROM scheduler.due_watermark;

-- Billing companies that were set, with their settings.
CREATE VIEW fee_realizer.console_billing_company AS
  SELECT billing_company, enabled, name, address, tax_id, bank, time_zone, currency, series_prefix,
      series_width, default_tax,
         tax_basis, tax_date, default_time_group, payment_terms, approval_level, go_live,
         invoice_per_timesheet, max_day_hours,
         remit_to, payment_instructions, footer, logo, default_account, default_item
  FROM fee_realizer.billing_company WHERE known;
-- The pictures that documents name as their logo.
CREATE VIEW fee_realizer.console_logo AS SELECT logo, picture FROM fee_realizer.document_logo;
-- The instant of the database, and the date that the workers use as today, if they use another
-- (`recorded`: whether a worker has started on this database).
CREATE VIEW fee_realizer.console_business_date AS
  SELECT now() AS instant, d.today, d.only_row IS NOT NULL AS recorded
  FROM (SELECT) one LEFT JOIN fee_realizer.business_date d ON true;
-- Tax rates of billing companies, each from a date on.
CREATE VIEW fee_realizer.console_tax_rate AS SELECT billing_company, tax_code, from_date, percent
    FROM fee_realizer.tax_rate;
-- Products and services with their prices.
CREATE VIEW fee_realizer.console_catalog_item AS
  SELECT item_id, name, item_class, family, variant, product_kind, amount, currency,
      percent_of_salary, percent_of, plan, guarantee, tax_code, valid_from, valid_until, version
  FROM fee_realizer.catalog_item WHERE known;
-- Charges as they are in force, with the hold if there is one.
CREATE VIEW fee_realizer.console_charge AS
  SELECT d.document_id AS charge_id, d.revision, d.hold_code, d.hold_message, r.body, r.received_at
  FROM fee_realizer.source_document d
  CROSS JOIN LATERAL (
    SELECT s.body, s.received_at FROM fee_realizer.source_revision s
    WHERE s.document_kind = 'charge' AND s.document_id = d.document_id
      AND s.source_id = d.source_id AND s.revision = d.revision OFFSET 0) r
  WHERE d.document_kind = 'charge';
-- What is set for assignments, from each date on, up to the day before the next: item, price,
-- schedule, and the occurrences of that time.
CREATE VIEW fee_realizer.console_assignment AS
  SELECT v.assignment_id, a.billing_company, v.version, v.from_date,
    v.until_date, least(v.until_date, n.last_date) AS last_date, v.schedule, v.terms, v.actor,
    v.reason, v.set_at,
    count(o.due_date) AS occurrences, count(d.hold_code) AS held,
    count(o.due_date) FILTER (WHERE EXISTS (
      SELECT FROM fee_realizer.rate_impact i
      WHERE i.document_kind = d.document_kind AND i.document_id = d.document_id)) AS unconfirmed,
    max(o.due_date) AS realized_until
  FROM fee_realizer.assignment a
  JOIN fee_realizer.assignment_version v USING (assignment_id)
  CROSS JOIN LATERAL (
    SELECT min(w.from_date) - 1 AS last_date, bool_or(w.from_date <= v.from_date) AS replaced
    FROM fee_realizer.assignment_version w
    WHERE w.assignment_id = v.assignment_id AND w.version > v.version) n
  LEFT JOIN fee_realizer.assignment_occurrence o ON o.assignment_id = v.assignment_id
    AND NOT o.withdrawn AND o.due_date >= v.from_date
    AND o.due_date <= coalesce(n.last_date, o.due_date)
  LEFT JOIN fee_realizer.source_document d ON d.document_kind = 'assignment'
    AND d.document_id = o.assignment_id || '@' || o.due_date
  WHERE v.terms IS NOT NULL AND NOT coalesce(n.replaced, false)
  GROUP BY v.assignment_id, v.version, a.billing_company, n.last_date;
-- Retainers with what placements take off them, and the hold if there is one.
CREATE VIEW fee_realizer.console_retainer AS
  SELECT t.*, d.hold_code
  FROM fee_realizer.retainer_state t
  LEFT JOIN fee_realizer.source_document d
    ON d.document_kind = 'retainer' AND d.document_id = t.requirement_id;
-- Engagements that the ATS has sent, each with its placements in force.
CREATE VIEW fee_realizer.console_engagement AS
  SELECT engagement_id, revision, closed, coalesce(body ->> 'request_type', 'staffing')
           AS request_type,
         coalesce(body ->> 'supplier_id', '') AS supplier_id,
         coalesce(body ->> 'client_country', '') AS client_country,
         coalesce(body ->> 'location', '') AS location,
         coalesce(body ->> 'department', '') AS department,
         coalesce(body -> 'terms', '[]') AS terms, coalesce(body -> 'custom', '{}') AS custom,
         (SELECT count(*) FROM fee_realizer.placed_engagement p
          WHERE p.engagement_id = e.engagement_id) AS placements, body
  FROM fee_realizer.engagement e WHERE known;
-- The engagement of each placement in force; `named`: the placement names it.
CREATE VIEW fee_realizer.console_placed_engagement AS
  SELECT engagement_id, placement_id, requirement_id, worker_id, start_date, end_date, named
  FROM fee_realizer.placed_engagement;
-- Suppliers that the ATS has sent, each with the number of its engagements.
CREATE VIEW fee_realizer.console_supplier AS
  SELECT supplier_id, revision, closed, coalesce(body ->> 'name', '') AS name,
         coalesce(body ->> 'account_name', '') AS account_name,
         coalesce(body ->> 'address', '') AS address, coalesce(body ->> 'tax_id', '') AS tax_id,
         coalesce(body -> 'custom', '{}') AS custom,
         (SELECT count(*) FROM fee_realizer.engagement e
          WHERE e.known AND e.body ->> 'supplier_id' = s.supplier_id) AS engagements, body
  FROM fee_realizer.supplier s WHERE known;
-- Source documents with the timesheet and revision in force, the latest realization, and the hold
-- if there is one.
CREATE VIEW fee_realizer.console_document AS
  SELECT document_kind, document_id, source_id, revision, realization_no, hold_code, hold_message,
      held_since
  FROM fee_realizer.source_document WHERE revision >= 0;
-- Source documents that wait, with code, message and billing company ('' while it is unknown).
CREATE VIEW fee_realizer.console_held_document AS
  SELECT document_kind, document_id, source_id, revision, hold_code, hold_message, held_since,
      billing_company
  FROM fee_realizer.held_document;
-- Holds of source documents, what changed of them meanwhile, and their ends: what waits, and since
-- which day of its billing company.
CREATE VIEW fee_realizer.console_hold_event AS
  SELECT document_kind, document_id, hold_no, hold_code, hold_message, held_at, billing_company,
      held_on, effective_date, hours
      FROM fee_realizer.hold_event;
-- Every revision of a source document that the ATS published, with its body.
CREATE VIEW fee_realizer.console_source_revision AS
  SELECT document_kind, document_id, source_id, revision, body, received_at
      FROM fee_realizer.source_revision;
-- Every realization of a source document, with its cause and its body.
CREATE VIEW fee_realizer.console_realization AS
  SELECT document_kind, document_id, realization_no, realization_kind, source_id, revision, cause,
      body, issued_at
  FROM fee_realizer.realization;
-- The number of the latest realization of each source document that has one.
CREATE VIEW fee_realizer.console_latest_realization AS
  SELECT document_kind, document_id, realization_no FROM fee_realizer.latest_realization;
-- Requirements in their newest revision.
CREATE VIEW fee_realizer.console_requirement AS
  SELECT requirement_id, revision, closed, billing_company, office_id, job_title, currency,
      rate_book, body
  FROM fee_realizer.requirement WHERE known;
-- Bill rate versions, with the rate books in which each is in force.
CREATE VIEW fee_realizer.console_bill_rate AS
  SELECT requirement_id, time_type, effective_from, source, unit_price, unit, since_book,
      until_book, actor
  FROM fee_realizer.rate_version;
-- Who confirmed a rate version for lines on documents, and why.
CREATE VIEW fee_realizer.console_rate_confirmation AS
  SELECT requirement_id, time_type, effective_from, rate_book, actor, reason, confirmed_at
      FROM fee_realizer.rate_confirmation;
-- Lines on documents whose price differs from the rate in force, which someone may confirm.
CREATE VIEW fee_realizer.console_price_impact AS
  SELECT billing_company, document_id, requirement_id, time_type, effective_from, currency, unit,
      quantity, old_amount, new_amount
  FROM fee_realizer.rate_impact WHERE requirement_id <> '' AND document_kind = 'timesheet';
-- Documents that wait to be priced again, and assignments whose occurrences are not made yet as
-- they were last set.
CREATE VIEW fee_realizer.console_pricing_queue AS
  SELECT document_kind, document_id FROM fee_realizer.pricing_queue
  UNION ALL
  SELECT 'assignment', assignment_id FROM fee_realizer.assignment WHERE realized_version < version;

-- Billto nodes in their newest revision.
CREATE VIEW invoicer.console_billto_node AS
  SELECT node_id, revision, level, parent_id, name, account_name, body FROM invoicer.billto_node;
-- The debtor of each billto node as of now: the lowest Account Name on its path, NULL for none.
CREATE VIEW invoicer.console_node_debtor AS
  SELECT n.node_id, coalesce(nullif(n.account_name, ''), nullif(p.account_name, ''),
                             nullif(g.account_name, '')) AS account_name
  FROM invoicer.billto_node n
  LEFT JOIN invoicer.billto_node p ON p.node_id = n.parent_id AND p.level < n.level
  LEFT JOIN invoicer.billto_node g ON g.node_id = p.parent_id AND g.level < p.level;
-- Billing cycles, custom ones with their periods.
CREATE VIEW invoicer.console_time_group AS
  SELECT time_group, cycle, ends_on, anchor, first_days, last_days FROM invoicer.time_group;
-- Every version of the invoice options, and the grouping lists of client countries.
CREATE VIEW invoicer.console_invoice_option AS
  SELECT v.billing_company, v.name, v.from_date, v.client_country, v.location, v.request_types,
         v.currency, v.bill_to, v.billing_types, v.max_lines, v.group_by, v.is_default, v.active,
         v.workflow, v.needs_transfer,
         coalesce(v.group_by, g.group_by, CAST(ARRAY[] AS text[])) AS fields
  FROM invoicer.invoice_option v
  LEFT JOIN invoicer.country_grouping g USING (billing_company, client_country);
CREATE VIEW invoicer.console_country_grouping AS
  SELECT billing_company, client_country, group_by FROM invoicer.country_grouping;
-- Terms of debtors, version by version.
CREATE VIEW invoicer.console_debtor_terms AS
  SELECT billing_company, account_name, from_date, payment_terms, time_group, missing_timesheets,
      credits, zero_documents,
         tax_regime, tax_wording, tax_id, address, emails, attach, mail_subject, mail_text,
         contact, reference, timesheet_detail, allowances
  FROM invoicer.debtor_terms;
-- The latest settled realization of each document.
CREATE VIEW invoicer.console_settled_document AS
  SELECT document_kind, document_id, realization_no FROM invoicer.settled_document;

-- Pay lines, wherever they are; a forgotten worker has a pseudonym.
CREATE VIEW invoicer.console_pay_line AS
  SELECT pay_line_id, billing_company, document_kind, document_id, realization_no, line_key,
      line_kind, invoicer.shown_description(description, p.worker_id, f.shown_as) AS description,
         coalesce(f.shown_as, p.worker_id) AS worker_id,
         requirement_id, time_type, item_id, week_ending, effective_date, service_from, service_to,
             quantity, unit, unit_price,
         amount, currency, po_number, billto_node, rate_version, rate_book, derivation,
             corrects_invoice_id, corrects_line_no
  FROM invoicer.pay_line p
  LEFT JOIN invoicer.forgotten_worker f ON f.worker_id = p.worker_id;
-- Pay lines that a batch may take.
CREATE VIEW invoicer.console_open_line AS SELECT billing_company, pay_line_id
    FROM invoicer.open_line;
-- Pay lines on a draft.
CREATE VIEW invoicer.console_draft_line AS SELECT billing_company, pay_line_id
    FROM invoicer.draft_line;
-- Pay lines that a later realization replaced.
CREATE VIEW invoicer.console_replaced_line AS SELECT pay_line_id, replaced_by_realization
    FROM invoicer.replaced_line;
-- Every pay line with the days on which it was opened and ended, by a document or a later
-- realization: what was open on a day is read from here, and stays the same ever after.
CREATE VIEW invoicer.console_line_span AS
  SELECT p.pay_line_id, p.billing_company, p.document_kind, p.document_id, p.line_kind,
      p.requirement_id, p.week_ending, p.effective_date, p.accounting_period, p.unit, p.quantity,
      p.amount, p.currency, p.opened_on, b.closed_on, r.replaced_on
  FROM invoicer.pay_line p
  LEFT JOIN invoicer.replaced_line r USING (pay_line_id)
  LEFT JOIN invoicer.invoice_line l USING (pay_line_id)
  LEFT JOIN invoicer.invoice i USING (invoice_id)
  LEFT JOIN invoicer.batch b USING (batch_id);
-- Pay lines that an operator put on hold, with who, why, since when and until when.
CREATE VIEW invoicer.console_snooze AS
  SELECT document_kind, document_id, line_key, code, reason, actor, until_date, snoozed_at
  FROM invoicer.snooze;

-- What operators forgave of a line key, and took back (below zero).
CREATE VIEW invoicer.console_write_off AS
  SELECT document_kind, document_id, line_key, command_id, quantity, amount, actor, reason
      FROM invoicer.write_off;

-- Batches with their numbers and totals, and how often and when last their files were downloaded.
CREATE VIEW invoicer.console_batch AS
  SELECT b.batch_id, b.billing_company, b.cut_off_date, b.invoice_date, b.first_number,
      b.last_number, b.documents, b.line_count,
         b.totals, b.actor, b.reason, b.generated_at, b.command_id,
         (SELECT max(d.downloaded_at) FROM invoicer.download d
             WHERE d.batch_id = b.batch_id AND d.invoice_number IS NULL) AS downloaded_on,
         (SELECT count(*) FROM invoicer.download d
             WHERE d.batch_id = b.batch_id AND d.invoice_number IS NULL) AS downloads
  FROM invoicer.batch b;
-- Downloads of the files of a batch, or of one of its documents.
CREATE VIEW invoicer.console_download AS
  SELECT batch_id, file_format, layout, invoice_number, actor, downloaded_at
  FROM invoicer.download;
-- Debtors that a batch parked, with the reason and the batch that billed them since.
CREATE VIEW invoicer.console_parked_debtor AS
  SELECT batch_id, account_name, code, message, ids, billed_in_batch FROM invoicer.parked_debtor;
-- Stored previews of batches.
CREATE VIEW invoicer.console_preview AS
  SELECT preview_id, billing_company, cut_off_date, digest, totals, actor, previewed_at
      FROM invoicer.preview;
-- Documents of a preview.
CREATE VIEW invoicer.console_preview_document AS
  SELECT preview_id, document_no, account_name, document_type, currency, payment_terms, po_number,
      tax_regime, line_count, net, tax, allowances
  FROM invoicer.preview_document;
-- Pay lines of a preview: with the document of each that is in, and the reason of each other one.
CREATE VIEW invoicer.console_preview_line AS SELECT preview_id, pay_line_id, document_no, reason
    FROM invoicer.preview_line;

-- Closed invoices and credit notes, with their seal.
CREATE VIEW invoicer.console_invoice AS SELECT * FROM invoicer.closed_invoice;
-- Lines of closed documents: which pay line is on which line, who pays, and the tax.
CREATE VIEW invoicer.console_invoice_line AS
  SELECT invoice_id, line_no, pay_line_id, billto_node, billto_level, tax_code, tax_rate,
      tax_amount, allowance_amount
      FROM invoicer.invoice_line;
-- The same lines with what their pay lines say, and the invoice that a credit corrects.
CREATE VIEW invoicer.console_closed_line AS
  SELECT il.invoice_id, il.line_no,
      invoicer.shown_description(p.description, p.worker_id, f.shown_as) AS description,
      p.document_kind, p.document_id, il.pay_line_id,
      coalesce(f.shown_as, p.worker_id) AS worker_id, p.requirement_id,
         p.week_ending, p.service_from, p.service_to, p.time_type, p.item_id, p.quantity, p.unit,
             p.unit_price, p.amount, p.currency,
         il.tax_code, il.tax_rate, il.tax_amount, p.po_number, p.project, p.cost_center, p.line_key,
             p.line_kind, p.realization_no,
         il.billto_node, il.billto_level, il.allowance_amount, p.corrects_invoice_id,
         p.corrects_line_no, p.derivation,
         c.invoice_number AS corrects_invoice, c.invoice_date AS corrects_date
  FROM invoicer.invoice_line il
  JOIN invoicer.pay_line p USING (pay_line_id)
  LEFT JOIN invoicer.invoice c ON c.invoice_id = p.corrects_invoice_id
  LEFT JOIN invoicer.forgotten_worker f ON f.worker_id = p.worker_id;
-- Names on closed documents as they were when each was closed.
CREATE VIEW invoicer.console_closed_detail AS
  SELECT invoice_id, about, subject_id, detail FROM invoicer.closed_invoice_detail;
-- Timesheets on closed documents with their entries, as each was realized for the document.
CREATE VIEW invoicer.console_closed_timesheet AS
  SELECT invoice_id, document_id, requirement_ids, source_id, worker_id, week_ending, approved_at,
      approved_by, entries
  FROM invoicer.closed_timesheet;
-- What is open of each closed document, and its state.
CREATE VIEW invoicer.console_invoice_balance AS
  SELECT invoice_id, charged, credited, after_credits, paid, balance, state
  FROM invoicer.invoice_balance;
-- What each document takes off the invoices that it corrects.
CREATE VIEW invoicer.console_set_off AS SELECT invoice_id, corrects_invoice_id, amount
    FROM invoicer.set_off;
-- Payments of closed documents: as accounting systems reported them, or of a received payment,
-- with its check identifier.
CREATE VIEW invoicer.console_payment AS
  SELECT m.invoice_id, m.ledger, m.payment_id, m.entry_no, m.amount, m.currency, m.paid_on,
      m.remote_id, m.received_at, r.check_id, r.bank
  FROM invoicer.payment m
  LEFT JOIN invoicer.received_payment r
    ON m.ledger = 'hand' AND r.payment_id = m.payment_id;
-- Received payments, and what became of the money.
CREATE VIEW invoicer.console_received_payment AS
  SELECT payment_id, billing_company, account_name, check_id, received_on, bank, amount, currency,
      applied, refunded, taken_back, is_reversed, unapplied, actor, reason, recorded_at
  FROM invoicer.received_payment_balance;
-- Refunds and reversals of received payments.
CREATE VIEW invoicer.console_payment_return AS
  SELECT payment_id, entry_no, kind, amount, returned_on, actor, reason
  FROM invoicer.payment_return;
-- The parts of received payments on the lines of documents.
CREATE VIEW invoicer.console_payment_line AS
  SELECT invoice_id, line_no, payment_id, entry_no, amount FROM invoicer.payment_line;
-- Lines of closed documents with what is left of each and the checks that pay it.
CREATE VIEW invoicer.console_billing_record AS
  SELECT billing_company, account_name, invoice_id, invoice_number, line_no, pay_line_id,
      document_kind, document_id, currency, charged, credited, paid, check_ids, balance
  FROM invoicer.billing_record;
-- Series of document numbers with the next number of each.
CREATE VIEW invoicer.console_number_series AS
  SELECT billing_company, series, first_number, next_number, last_date FROM invoicer.number_series;
-- Ranges of numbers that an operator passed over, with who and why.
CREATE VIEW invoicer.console_number_jump AS
  SELECT billing_company, series, from_number, to_number, actor, reason, command_id, jumped_at
      FROM invoicer.number_jump;

-- The name of this installation in signatures.
CREATE VIEW invoicer.console_installation AS SELECT audience FROM invoicer.installation;
-- People who may send commands, and since when each is as it is.
CREATE VIEW invoicer.console_person AS
  SELECT person, name, enabled, changed_by, changed_at FROM invoicer.person;
-- Keys of programs; a private key is nowhere but with its program.
CREATE VIEW invoicer.console_program_key AS
  SELECT key_id, program, asserts_actors, added_by, added_at, valid_until, disabled_at, disabled_by,
      disabled_reason FROM invoicer.program_key;
-- Roles of people and programs; an empty billing company stands for all.
CREATE VIEW invoicer.console_role_grant AS
  SELECT actor, role, billing_company FROM invoicer.role_grant;

-- Kinds of accounting systems, with the settings that each needs.
CREATE VIEW arg_sync.console_ledger_kind AS SELECT kind, title, needs, settings, capabilities
    FROM arg_sync.ledger_kind;
-- Connections to accounting systems, without their secrets.
CREATE VIEW arg_sync.console_connection AS
  SELECT ledger, kind, billing_company, state, message, auto_sync, settings, failures, open_until,
      circuit_message,
         coalesce(open_until > clock_timestamp(), false) AS resting,
         check_requested_at, checked_at, check_outcome, check_message, actor, connected_at
  FROM arg_sync.connection;
-- Code mappings, and what the last test of the connection found wrong with them. A default of the
-- billing company has no actor and no time.
CREATE VIEW arg_sync.console_mapping AS
  SELECT k.ledger, k.what, k.code, k.remote, coalesce(m.actor, '') AS actor, m.mapped_at
  FROM arg_sync.mapped_code k LEFT JOIN arg_sync.mapping m USING (ledger, what, code);
CREATE VIEW arg_sync.console_mapping_problem AS
  SELECT ledger, what, code, remote, message FROM arg_sync.mapping_problem;
-- What a billing company may put on a document.
CREATE VIEW fee_realizer.console_company_code AS
  SELECT billing_company, what, code FROM fee_realizer.company_code;
-- The public key with which secrets of connections are sealed, whether another one is asked for in
-- its place, and how many connections have secrets that are sealed for an older key.
CREATE VIEW arg_sync.console_sealing_key AS
  SELECT key_id, public_key, published_at, rotation_requested_at,
         (SELECT count(*) FROM arg_sync.secret s
          WHERE split_part(s.sealed, '.', 2) <> k.key_id) AS sealed_for_older
  FROM arg_sync.sealing_key k ORDER BY published_at DESC LIMIT 1;
-- Deliveries of documents to accounting systems.
CREATE VIEW arg_sync.console_delivery AS
  SELECT delivery_id, ledger, invoice_id, invoice_number, document_type, account_name, invoice_date,
      currency, total, batch_id, state,
         revision, request_key, request, outcome_unknown, remote_id, remote_number, code, message,
             fix,
             attempts, tries, next_attempt_at, leased_by,
         queued_at, settled_at
  FROM arg_sync.delivery;
-- Open deliveries that wait for their connection or for the invoice that they credit: for which
-- (`waits_for`), why (the state of what they wait for), and whether only a person can end that.
CREATE VIEW arg_sync.console_delivery_wait AS
  SELECT d.delivery_id, d.ledger, d.batch_id, d.invoice_number, d.invoice_date, '' AS waits_for,
      c.state AS why, c.message, true AS needs_person
  FROM arg_sync.delivery d JOIN arg_sync.connection c USING (ledger)
  WHERE d.state IN ('queued', 'sending', 'unknown') AND c.state <> 'connected'
  UNION ALL
  SELECT d.delivery_id, d.ledger, d.batch_id, d.invoice_number, d.invoice_date, w.corrects_number,
      coalesce(w.state, 'missing'), coalesce(w.message, ''),
      coalesce(w.state, 'refused') = 'refused'
  FROM arg_sync.delivery d JOIN arg_sync.connection c USING (ledger)
  CROSS JOIN LATERAL (
    SELECT r.corrects_number, i.state, i.message FROM arg_sync.correction r
    LEFT JOIN arg_sync.delivery i ON i.ledger = d.ledger AND i.invoice_id = r.corrects_invoice_id
    WHERE r.invoice_id = d.invoice_id AND i.state IS DISTINCT FROM 'posted'
    ORDER BY coalesce(i.state, 'refused') = 'refused' DESC, r.corrects_invoice_id LIMIT 1) w
  WHERE d.state IN ('queued', 'unknown') AND d.document_type = 'credit-note' AND NOT d.unapplied
    AND c.state = 'connected';
-- Attempts of each delivery.
CREATE VIEW arg_sync.console_attempt AS
  SELECT delivery_id, attempt_no, revision, ended_at, duration_ms, steps, state, code, message, raw,
      worker FROM arg_sync.attempt;
-- Reading of payments: the polls so far, whether one is asked for, under way or about to follow,
-- and how many entries are stored.
CREATE VIEW arg_sync.console_payment_poll AS
  SELECT c.ledger, coalesce(p.poll_no, 0) AS polls,
      p.ledger IS NULL OR p.poll_requested OR coalesce(p.polling_until > clock_timestamp(), false)
        OR p.failures = 0 AND p.next_at < clock_timestamp() + interval '5 seconds' AS busy,
      p.read_at, coalesce(p.failures, 0) AS failures, coalesce(p.message, '') AS message,
      (SELECT count(*) FROM arg_sync.payment e WHERE e.ledger = c.ledger) AS entries
  FROM arg_sync.connection c LEFT JOIN arg_sync.payment_cursor p USING (ledger);
-- Differences that a reconciliation found and no later one has seen end.
CREATE VIEW arg_sync.console_open_drift AS
  SELECT drift_id, ledger, invoice_number, code, remote_id, message, fix, found_at
      FROM arg_sync.drift WHERE resolved_at IS NULL;
-- Runs of reconciliation.
CREATE VIEW arg_sync.console_reconciliation AS
  SELECT run_id, ledger, actor, state, message, documents, unread, ended_at
      FROM arg_sync.reconciliation;

-- How billing companies send e-mails, without their passwords.
CREATE VIEW arg_sync.console_mail_account AS
  SELECT a.billing_company, a.settings, a.state, a.message, a.failures, a.open_until,
      a.circuit_message, coalesce(a.open_until > clock_timestamp(), false) AS resting,
      EXISTS (SELECT FROM arg_sync.secret s WHERE s.ledger = ' mail ' || a.billing_company)
          AS has_password, a.actor, a.changed_at
  FROM arg_sync.mail_account a;
-- Documents sent by e-mail, one row for each document and address.
CREATE VIEW arg_sync.console_mail AS
  SELECT mail_id, billing_company, batch_id, invoice_number, document_type, account_name, address,
      revision, message_id, subject, attach, state, code, message, fix, attempts, next_attempt_at,
      queued_at, settled_at
  FROM arg_sync.mail;
-- Attempts of each e-mail.
CREATE VIEW arg_sync.console_mail_attempt AS
  SELECT mail_id, attempt_no, revision, state, code, message, message_id, worker, duration_ms,
      ended_at
  FROM arg_sync.mail_attempt;
-- Settings of reminders, of companies (no Account Name) and debtors.
CREATE VIEW arg_sync.console_reminder_settings AS
  SELECT billing_company, account_name, enabled, stages, minimum, looked_at, actor, changed_at
  FROM arg_sync.reminder_settings;
-- Reminders with the invoices of each.
CREATE VIEW arg_sync.console_reminder AS
  SELECT r.reminder_id, r.billing_company, r.account_name, r.currency, r.stage, r.reminded_on,
      array(SELECT i.invoice_number
            FROM arg_sync.reminded_invoice d JOIN invoicer.invoice i USING (invoice_id)
            WHERE d.reminder_id = r.reminder_id ORDER BY i.due_date, i.invoice_number)
        AS invoice_numbers
  FROM arg_sync.reminder r;
-- The reminders of each invoice.
CREATE VIEW arg_sync.console_reminded_invoice AS
  SELECT i.billing_company, i.invoice_number, d.stage, d.reminder_id
  FROM arg_sync.reminded_invoice d JOIN invoicer.invoice i USING (invoice_id);
-- What decides whether an invoice is reminded: what is open of it, what of that is disputed, its
-- latest reminder, a hold.
CREATE VIEW arg_sync.console_open_invoice AS
  SELECT i.invoice_id, i.billing_company, i.account_name, i.invoice_number, i.invoice_date,
      i.due_date, i.currency, b.balance, i.is_opening, i.seller ->> 'name' AS company_name,
      i.buyer ->> 'name' AS debtor_name, r.stage AS reminded_stage, r.reminder_id,
      h.reason AS hold_reason, h.until_date AS hold_until,
      least(greatest(b.balance, 0), coalesce((
        SELECT sum(d.disputed) FROM invoicer.disputed_line d
        WHERE d.invoice_id = i.invoice_id), 0)) AS disputed
  FROM invoicer.invoice i
  JOIN invoicer.invoice_balance b USING (invoice_id)
  LEFT JOIN LATERAL (
    SELECT d.stage, d.reminder_id FROM arg_sync.reminded_invoice d
    WHERE d.invoice_id = i.invoice_id ORDER BY d.stage DESC LIMIT 1) r ON true
  LEFT JOIN arg_sync.reminder_hold h ON h.invoice_id = i.invoice_id
  WHERE i.document_type = 'invoice' AND NOT i.is_self_billed;
-- The connections of which no payments were read for a day: what is paid may be unknown.
CREATE VIEW arg_sync.console_late_payments AS
  SELECT c.billing_company, c.ledger, p.read_at
  FROM arg_sync.connection c LEFT JOIN arg_sync.payment_cursor p USING (ledger)
  WHERE c.state <> 'disconnected'
    AND coalesce(p.read_at, c.connected_at) < clock_timestamp() - interval '1 day';

-- arg_sync decides about reminders by what the preview of the console shows.
GRANT SELECT ON arg_sync.console_open_invoice, arg_sync.console_late_payments TO arg_sync;
-- arg_sync sends documents as the console shows them: workers who were forgotten by a pseudonym.
GRANT SELECT ON invoicer.console_closed_line TO arg_sync;
