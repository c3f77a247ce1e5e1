-- arg_sync (AR/GL synchronisation): connections, code mappings, deliveries, rate budget,
-- payments read back, reconciliation.

-- supported systems and their settings, stored by each worker
CREATE TABLE arg_sync.ledger_kind (
  kind text PRIMARY KEY, title text NOT NULL, needs text NOT NULL, settings jsonb NOT NULL,
      capabilities jsonb NOT NULL);

CREATE TABLE arg_sync.connection (
  ledger text PRIMARY KEY CHECK (length(ledger) <= 200), kind text NOT NULL,
      billing_company text NOT NULL,
  settings jsonb NOT NULL, auto_sync boolean NOT NULL,
  state text NOT NULL
      CHECK (state IN ('connected', 'login refused', 'stopped', 'disconnected')),
  message text NOT NULL DEFAULT '',                   -- why nothing is sent
  -- counts connects; workers then open a new adapter
  generation integer NOT NULL DEFAULT 1,
  failures integer NOT NULL DEFAULT 0,                 -- consecutive failures of the connection,
  -- and until when the circuit is open
  open_until timestamptz, circuit_message text NOT NULL DEFAULT '',
  check_requested_at timestamptz, checked_at timestamptz, check_outcome text NOT NULL DEFAULT '',
      check_message text NOT NULL DEFAULT '',
  actor text NOT NULL, connected_at timestamptz NOT NULL);
CREATE INDEX connection_company ON arg_sync.connection (billing_company);

-- Sealed; only this service may read it. `ledger`: a connection, or ' mail ' and a billing company.
CREATE TABLE arg_sync.secret (
  ledger text PRIMARY KEY, version integer NOT NULL, sealed text NOT NULL,
  renewing_until timestamptz,
  -- the claim of the one login at a time; no login before `login_after`
  login_until timestamptz, login_after timestamptz,
  logins_failed integer NOT NULL DEFAULT 0,            -- in a row
  login_refused text NOT NULL DEFAULT '');             -- with these secrets; '' if it is not

-- Public keys with which secrets are sealed; the newest is used. arg_sync has the private ones.
CREATE TABLE arg_sync.sealing_key (
  key_id text PRIMARY KEY, public_key text NOT NULL,
      published_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- An operator asked for another key in place of this one.
  rotation_requested_at timestamptz);

CREATE TABLE arg_sync.mapping (
  ledger text NOT NULL REFERENCES arg_sync.connection,
      what text NOT NULL CHECK (what IN ('account', 'item', 'term', 'tax', 'customer')),
  code text NOT NULL, remote text NOT NULL, actor text NOT NULL, mapped_at timestamptz NOT NULL,
  PRIMARY KEY (ledger, what, code));
-- What the last test of a connection found wrong with its mapping. `remote` is empty for a code of
-- the billing company that is not mapped.
CREATE TABLE arg_sync.mapping_problem (
  ledger text NOT NULL REFERENCES arg_sync.connection,
      what text NOT NULL CHECK (what IN ('account', 'item', 'term', 'tax', 'currency')),
  code text NOT NULL, remote text NOT NULL, message text NOT NULL,
  PRIMARY KEY (ledger, what, code));
-- customer ids; one worker at a time looks up or creates
CREATE TABLE arg_sync.customer (
  ledger text NOT NULL REFERENCES arg_sync.connection, account_name text NOT NULL,
      currency text NOT NULL, generation integer NOT NULL,
  remote_id text, claimed_until timestamptz NOT NULL,
  PRIMARY KEY (ledger, account_name, currency));

-- content of invoice-closed, for the three-way check
CREATE TABLE arg_sync.received_document (
  invoice_id bigint PRIMARY KEY, billing_company text NOT NULL, invoice_number text NOT NULL,
      document_type text NOT NULL, batch_id text NOT NULL,
  currency text NOT NULL, total numeric(20,4) NOT NULL, content_hash text NOT NULL,
      received_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX received_document_batch ON arg_sync.received_document (batch_id);
-- a command about a batch that is not closed yet
CREATE TABLE arg_sync.held_command (
  command_id text PRIMARY KEY, body jsonb NOT NULL, held_at timestamptz NOT NULL,
  -- The record that brought it, unchanged: its signature is of these bytes and of that time.
  topic text NOT NULL, partition_no integer NOT NULL, record_offset bigint NOT NULL,
  record_key bytea, record_value bytea NOT NULL, headers jsonb NOT NULL, appended_at timestamptz);

CREATE TABLE arg_sync.delivery (
  delivery_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  ledger text NOT NULL REFERENCES arg_sync.connection, invoice_id bigint NOT NULL,
  billing_company text NOT NULL, batch_id text NOT NULL, invoice_number text NOT NULL,
      document_type text NOT NULL, account_name text NOT NULL,
  invoice_date date NOT NULL, currency text NOT NULL, total numeric(20,4) NOT NULL,
  state text NOT NULL CHECK (state IN ('queued', 'sending', 'posted', 'unknown', 'refused')),
  -- counts what an operator queued again; each has a key of its own (a request that was never
  -- sent is rendered again under the same key)
  revision integer NOT NULL DEFAULT 0,
  -- frozen before the first call of the revision
  request_key text, request text, customer text,
  -- an earlier call may have taken effect: look up first
  outcome_unknown boolean NOT NULL DEFAULT false,
  remote_id text, remote_number text NOT NULL DEFAULT '',
      remote_state text NOT NULL DEFAULT '' CHECK (remote_state IN ('', 'draft', 'posted')),
  code text NOT NULL DEFAULT '', message text NOT NULL DEFAULT '', fix text NOT NULL DEFAULT '',
  attempts integer NOT NULL DEFAULT 0,                 -- all attempts
  -- consecutive failed attempts, for the backoff
  tries integer NOT NULL DEFAULT 0,
  failing_since timestamptz,
  next_attempt_at timestamptz NOT NULL,                -- while sending: the end of the lease
  -- every write names its lease
  lease bigint NOT NULL DEFAULT 0, leased_by text NOT NULL DEFAULT '',
  queued_at timestamptz NOT NULL, settled_at timestamptz,
  -- an operator lets a credit note go before its invoices are in the ledger
  unapplied boolean NOT NULL DEFAULT false,
  UNIQUE (ledger, invoice_id));
CREATE INDEX delivery_open
    ON arg_sync.delivery (ledger, invoice_date, document_type DESC, invoice_id)
        WHERE state IN ('queued', 'sending', 'unknown');
CREATE INDEX delivery_batch ON arg_sync.delivery (batch_id);
CREATE INDEX delivery_number ON arg_sync.delivery (invoice_number);
CREATE INDEX delivery_remote ON arg_sync.delivery (ledger, remote_id) WHERE remote_id IS NOT NULL;
CREATE INDEX delivery_unapplied ON arg_sync.delivery (ledger, invoice_id)
    WHERE state = 'posted' AND code = 'unapplied';

-- a credit note is sent after the invoices it corrects
CREATE TABLE arg_sync.correction (
  invoice_id bigint NOT NULL, corrects_invoice_id bigint NOT NULL, corrects_number text NOT NULL,
      amount numeric(20,4) NOT NULL,
  PRIMARY KEY (invoice_id, corrects_invoice_id));
CREATE INDEX correction_corrected ON arg_sync.correction (corrects_invoice_id);
-- Open credit notes with an invoice that is not in the ledger yet. They are not sent, unless an
-- operator lets them go unapplied. An invoice that waits for the rest of its batch, because all of
-- it goes in one file, holds up no credit note of that batch.
CREATE VIEW arg_sync.waiting_credit_note AS
  SELECT d.delivery_id FROM arg_sync.delivery d
  WHERE d.state IN ('queued', 'sending', 'unknown') AND d.document_type = 'credit-note'
    AND NOT d.unapplied AND EXISTS (
      SELECT FROM arg_sync.correction c LEFT JOIN arg_sync.delivery i
        ON i.ledger = d.ledger AND i.invoice_id = c.corrects_invoice_id
      WHERE c.invoice_id = d.invoice_id AND i.state IS DISTINCT FROM 'posted'
        AND (i.batch_id = d.batch_id AND i.code = 'batch_incomplete') IS NOT TRUE);

CREATE TABLE arg_sync.attempt (
  delivery_id bigint NOT NULL REFERENCES arg_sync.delivery, attempt_no integer NOT NULL,
      revision integer NOT NULL,
  state text NOT NULL, code text NOT NULL, message text NOT NULL, fix text NOT NULL,
      raw text NOT NULL DEFAULT '',                    -- what the ledger answered
      steps text NOT NULL,
  worker text NOT NULL, duration_ms integer NOT NULL, ended_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (delivery_id, attempt_no));

-- parallel calls to a ledger, over all workers
CREATE TABLE arg_sync.call_slot (
  ledger text NOT NULL REFERENCES arg_sync.connection, slot_no integer NOT NULL,
      holder text NOT NULL, held_until timestamptz NOT NULL,
  PRIMARY KEY (ledger, slot_no));
CREATE TABLE arg_sync.call_pacing (                    -- when the next call to a ledger may begin
  ledger text PRIMARY KEY REFERENCES arg_sync.connection, next_at timestamptz NOT NULL);
CREATE TABLE arg_sync.call_count (                     -- calls by hour, for the limit of a day
  ledger text NOT NULL REFERENCES arg_sync.connection, hour timestamptz NOT NULL,
      calls integer NOT NULL,
  PRIMARY KEY (ledger, hour));

-- payments as entries; a change is an entry of the difference
CREATE TABLE arg_sync.payment (
  ledger text NOT NULL REFERENCES arg_sync.connection, payment_id text NOT NULL,
      remote_id text NOT NULL, entry_no integer NOT NULL,
  -- NULL: no delivered document of ours is known
  invoice_id bigint,
  invoice_number text NOT NULL, amount numeric(20,4) NOT NULL, currency text NOT NULL,
      paid_on date NOT NULL, read_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (ledger, payment_id, remote_id, entry_no));
CREATE INDEX payment_document ON arg_sync.payment (ledger, remote_id);
-- A payment is assigned to an invoice once.
CREATE FUNCTION arg_sync.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'payment % of % belongs to %; a change is an entry of the difference',
    OLD.payment_id, OLD.ledger, OLD.invoice_number;
END $$;
CREATE TRIGGER payment_assigned_once BEFORE UPDATE ON arg_sync.payment FOR EACH ROW
  WHEN (OLD.invoice_id IS NOT NULL) EXECUTE FUNCTION arg_sync.refuse_change();
CREATE INDEX payment_unmatched ON arg_sync.payment (ledger, remote_id) WHERE invoice_id IS NULL;
CREATE TABLE arg_sync.payment_cursor (
  ledger text PRIMARY KEY REFERENCES arg_sync.connection, generation integer NOT NULL,
      cursor text NOT NULL DEFAULT '',
  poll_no bigint NOT NULL DEFAULT 0,                   -- counts polls; every write names its poll
  polling_until timestamptz,                           -- the end of the claim of a running poll
  -- requested by a signed webhook
  next_at timestamptz NOT NULL, poll_requested boolean NOT NULL DEFAULT false,
  read_at timestamptz, failures integer NOT NULL DEFAULT 0, message text NOT NULL DEFAULT '');
-- differences that reconciliation found, one row each
CREATE TABLE arg_sync.drift (
  drift_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  ledger text NOT NULL REFERENCES arg_sync.connection, invoice_id bigint,
      invoice_number text NOT NULL, code text NOT NULL, remote_id text NOT NULL,
  message text NOT NULL, fix text NOT NULL, found_at timestamptz NOT NULL DEFAULT now(),
      resolved_at timestamptz);
CREATE UNIQUE INDEX drift_open ON arg_sync.drift (ledger, invoice_number, code, remote_id)
    WHERE resolved_at IS NULL;
-- three-way checks; one open run for a ledger
CREATE TABLE arg_sync.reconciliation (
  run_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  ledger text NOT NULL REFERENCES arg_sync.connection, actor text NOT NULL,
      requested_at timestamptz NOT NULL DEFAULT now(),
  -- only documents of that day or later; NULL: all
  since date,
  state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'reading', 'done', 'failed')),
  -- while reading: the end of the lease
  lease bigint NOT NULL DEFAULT 0, next_at timestamptz NOT NULL DEFAULT now(),
  -- the last compared delivery, where the run resumes
  position bigint NOT NULL DEFAULT 0,
  tries integer NOT NULL DEFAULT 0, documents integer NOT NULL DEFAULT 0,
      unread integer NOT NULL DEFAULT 0,
  message text NOT NULL DEFAULT '', ended_at timestamptz);
CREATE UNIQUE INDEX reconciliation_open ON arg_sync.reconciliation (ledger)
    WHERE state IN ('waiting', 'reading');

-- How a billing company sends documents by e-mail.
CREATE TABLE arg_sync.mail_account (
  billing_company text PRIMARY KEY, settings jsonb NOT NULL,
  state text NOT NULL CHECK (state IN ('ready', 'login refused', 'stopped')),
  message text NOT NULL DEFAULT '',                    -- why nothing is sent
  generation integer NOT NULL DEFAULT 1,               -- counts changes of the settings
  -- consecutive failures of the server, and until when nothing is tried
  failures integer NOT NULL DEFAULT 0, open_until timestamptz,
      circuit_message text NOT NULL DEFAULT '',
  actor text NOT NULL, changed_at timestamptz NOT NULL);
-- Reminders of overdue invoices, of a billing company (no Account Name) or a debtor. What is NULL
-- for a debtor is as for the company. `stages`: days after the due date, subject, text.
CREATE TABLE arg_sync.reminder_settings (
  billing_company text NOT NULL REFERENCES arg_sync.mail_account, account_name text NOT NULL,
  enabled boolean, stages jsonb, minimum numeric(20,4) CHECK (minimum >= 0),
  -- of the company: the last day on which its invoices were looked at; NULL: to do now
  looked_at date,
  actor text NOT NULL, changed_at timestamptz NOT NULL,
  PRIMARY KEY (billing_company, account_name));
-- Invoices that are not reminded, until the day before a date or for good.
CREATE TABLE arg_sync.reminder_hold (
  invoice_id bigint PRIMARY KEY, reason text NOT NULL, until_date date, actor text NOT NULL,
  held_at timestamptz NOT NULL DEFAULT now());
-- One reminder of a debtor: the invoices in a currency that reached a stage on a day.
CREATE TABLE arg_sync.reminder (
  reminder_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  billing_company text NOT NULL, account_name text NOT NULL, currency text NOT NULL,
  stage integer NOT NULL CHECK (stage > 0), reminded_on date NOT NULL,
  -- templates of the stage
  subject text NOT NULL, content text NOT NULL);
CREATE TABLE arg_sync.reminded_invoice (
  invoice_id bigint NOT NULL, stage integer NOT NULL,
  reminder_id bigint NOT NULL REFERENCES arg_sync.reminder,
  PRIMARY KEY (invoice_id, stage));                    -- once for each stage
CREATE INDEX reminded_invoice_reminder ON arg_sync.reminded_invoice (reminder_id);
-- A document or a reminder for one address: sent once in each revision.
CREATE TABLE arg_sync.mail (
  mail_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  billing_company text NOT NULL REFERENCES arg_sync.mail_account, invoice_id bigint,
      -- of a reminder: no batch, and its name
      batch_id text NOT NULL, invoice_number text NOT NULL, document_type text NOT NULL,
      account_name text NOT NULL, reminder_id bigint REFERENCES arg_sync.reminder,
  address text NOT NULL, subject text NOT NULL, content text NOT NULL, attach text[] NOT NULL,
  -- counts what an operator sends again; each has a message id of its own
  revision integer NOT NULL DEFAULT 0, message_id text NOT NULL UNIQUE,
  state text NOT NULL CHECK (state IN ('queued', 'sending', 'sent', 'unknown', 'refused')),
  -- The end of the message was about to go out: from here on the server may have it.
  handed_over boolean NOT NULL DEFAULT false,
  code text NOT NULL DEFAULT '', message text NOT NULL DEFAULT '', fix text NOT NULL DEFAULT '',
  attempts integer NOT NULL DEFAULT 0,
  -- consecutive failed attempts, for the backoff
  tries integer NOT NULL DEFAULT 0, failing_since timestamptz,
  next_attempt_at timestamptz NOT NULL,                -- while sending: the end of the lease
  -- every write names its lease
  lease bigint NOT NULL DEFAULT 0, leased_by text NOT NULL DEFAULT '',
  queued_at timestamptz NOT NULL, settled_at timestamptz,
  CHECK ((invoice_id IS NULL) <> (reminder_id IS NULL)),
  UNIQUE (invoice_id, address), UNIQUE (reminder_id, address));
CREATE INDEX mail_open ON arg_sync.mail (billing_company, mail_id)
    WHERE state IN ('queued', 'sending');
CREATE INDEX mail_batch ON arg_sync.mail (batch_id);
CREATE INDEX mail_number ON arg_sync.mail (invoice_number);
CREATE TABLE arg_sync.mail_attempt (
  mail_id bigint NOT NULL REFERENCES arg_sync.mail, attempt_no integer NOT NULL,
      revision integer NOT NULL, message_id text NOT NULL,
  state text NOT NULL, code text NOT NULL, message text NOT NULL,
  worker text NOT NULL, duration_ms integer NOT NULL, ended_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (mail_id, attempt_no));

-- For the invoicer's health check: whether the documents of a billing company can be delivered.
CREATE VIEW arg_sync.connection_health AS
  SELECT ledger, kind, billing_company, auto_sync, state, message, failures, open_until,
      circuit_message, check_outcome, check_message, checked_at,
      coalesce(k.capabilities ->> 'tax_basis', 'any') AS tax_basis,
      coalesce(k.capabilities ->> 'line_code', 'either') AS line_code,
      coalesce(CAST(k.capabilities ->> 'maps_codes' AS boolean), true) AS maps_codes
  FROM arg_sync.connection LEFT JOIN arg_sync.ledger_kind k USING (kind);
-- The mapping of each connection: its own rows, and the billing company's account and item where
-- it has no default of its own.
CREATE VIEW arg_sync.mapped_code AS
  SELECT ledger, what, code, remote FROM arg_sync.mapping
  UNION ALL
  SELECT c.ledger, d.what, '', d.remote
  FROM arg_sync.connection c
  JOIN fee_realizer.billing_company_settings s USING (billing_company)
  CROSS JOIN LATERAL (
    VALUES ('account', s.default_account), ('item', s.default_item)) AS d(what, remote)
  WHERE d.remote <> '' AND NOT EXISTS (
    SELECT FROM arg_sync.mapping m
    WHERE m.ledger = c.ledger AND m.what = d.what AND m.code = '');
-- Mapped codes and currencies that the ledger does not take.
CREATE VIEW arg_sync.unusable_code AS
  SELECT ledger, what, code, message FROM arg_sync.mapping_problem WHERE remote <> '';
GRANT SELECT ON arg_sync.connection_health, arg_sync.mapped_code, arg_sync.unusable_code
  TO invoicer;
GRANT SELECT ON arg_sync.mapped_code TO arg_sync;

GRANT SELECT, INSERT, UPDATE, DELETE ON arg_sync.ledger_kind, arg_sync.secret, arg_sync.call_slot,
    arg_sync.call_count, arg_sync.held_command, arg_sync.customer, arg_sync.mapping_problem
    TO arg_sync;
GRANT SELECT, INSERT, UPDATE ON arg_sync.connection, arg_sync.mapping, arg_sync.delivery,
    arg_sync.call_pacing, arg_sync.payment_cursor, arg_sync.reconciliation,
    arg_sync.sealing_key, arg_sync.mail_account, arg_sync.mail TO arg_sync;
GRANT SELECT, INSERT, UPDATE, DELETE ON arg_sync.reminder_settings, arg_sync.reminder_hold
    TO arg_sync;
GRANT SELECT ON arg_sync.waiting_credit_note TO arg_sync;
GRANT SELECT, INSERT ON arg_sync.received_document, arg_sync.correction, arg_sync.payment,
    arg_sync.drift, arg_sync.attempt, arg_sync.mail_attempt, arg_sync.reminder,
    arg_sync.reminded_invoice TO arg_sync;
GRANT UPDATE (invoice_id, invoice_number, currency) ON arg_sync.payment TO arg_sync;
GRANT UPDATE (resolved_at) ON arg_sync.drift TO arg_sync;
