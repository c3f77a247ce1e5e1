-- arg_sync: how documents reach the accounting systems. Connections, mappings, deliveries, the rate budget.

CREATE TABLE arg_sync.ledger_kind (                    -- which systems there are and what each needs: written when a worker starts
  kind text PRIMARY KEY, title text NOT NULL, needs text NOT NULL, settings jsonb NOT NULL, capabilities jsonb NOT NULL);

CREATE TABLE arg_sync.connection (
  ledger text PRIMARY KEY CHECK (length(ledger) <= 200), kind text NOT NULL, billing_company text NOT NULL,
  settings jsonb NOT NULL, auto_sync boolean NOT NULL,
  state text NOT NULL CHECK (state IN ('connected', 'stopped', 'disconnected')),
  message text NOT NULL DEFAULT '',                   -- why it is stopped
  generation integer NOT NULL DEFAULT 1,               -- counts the connects: workers make their port anew
  failures integer NOT NULL DEFAULT 0,                 -- the circuit: failures of the connection in a row,
  open_until timestamptz, circuit_message text NOT NULL DEFAULT '',   -- and until when nothing is sent because of them
  check_asked_at timestamptz, checked_at timestamptz, check_outcome text NOT NULL DEFAULT '', check_message text NOT NULL DEFAULT '',
  actor text NOT NULL, connected_at timestamptz NOT NULL);
CREATE INDEX connection_company ON arg_sync.connection (billing_company);

CREATE TABLE arg_sync.secret (                         -- sealed; nobody but this service may read even that
  ledger text PRIMARY KEY REFERENCES arg_sync.connection, version integer NOT NULL, sealed text NOT NULL,
  renewing_until timestamptz);

CREATE TABLE arg_sync.mapping (
  ledger text NOT NULL REFERENCES arg_sync.connection, what text NOT NULL CHECK (what IN ('account', 'item', 'term', 'tax', 'customer')),
  code text NOT NULL, remote text NOT NULL, actor text NOT NULL, mapped_at timestamptz NOT NULL,
  PRIMARY KEY (ledger, what, code));
CREATE TABLE arg_sync.customer (                       -- customers found or made: asked once, by one worker at a time
  ledger text NOT NULL REFERENCES arg_sync.connection, account_name text NOT NULL, currency text NOT NULL, generation integer NOT NULL,
  remote_id text, asked_until timestamptz NOT NULL,
  PRIMARY KEY (ledger, account_name, currency));

CREATE TABLE arg_sync.received_document (                 -- what invoice-closed told us: one side of the three-way check
  invoice_id bigint PRIMARY KEY, billing_company text NOT NULL, invoice_number text NOT NULL, document_type text NOT NULL, batch_id text NOT NULL,
  currency text NOT NULL, total numeric(20,4) NOT NULL, content_hash text NOT NULL, received_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX received_document_batch ON arg_sync.received_document (batch_id);
CREATE TABLE arg_sync.held_command (                   -- a command about a batch that we have not heard of
  command_id text PRIMARY KEY, body jsonb NOT NULL, held_at timestamptz NOT NULL);

CREATE TABLE arg_sync.delivery (
  delivery_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  ledger text NOT NULL REFERENCES arg_sync.connection, invoice_id bigint NOT NULL,
  billing_company text NOT NULL, batch_id text NOT NULL, invoice_number text NOT NULL, document_type text NOT NULL, account_name text NOT NULL,
  invoice_date date NOT NULL, currency text NOT NULL, total numeric(20,4) NOT NULL,
  state text NOT NULL CHECK (state IN ('queued', 'sending', 'posted', 'unknown', 'refused')),
  revision integer NOT NULL DEFAULT 0,                 -- counts the renderings: a retry after a fix is a new one under a new key
  request_key text, request text, customer text,       -- frozen before the first call of the revision
  doubt boolean NOT NULL DEFAULT false,                -- an earlier call may have reached the ledger: look before anything is sent
  remote_id text, remote_number text NOT NULL DEFAULT '', remote_state text NOT NULL DEFAULT '' CHECK (remote_state IN ('', 'draft', 'posted')),
  code text NOT NULL DEFAULT '', message text NOT NULL DEFAULT '', fix text NOT NULL DEFAULT '',
  attempts integer NOT NULL DEFAULT 0,                 -- in all
  tries integer NOT NULL DEFAULT 0,                    -- in a row without getting on: what the backoff grows with
  failing_since timestamptz,
  next_attempt_at timestamptz NOT NULL,                -- of a row that is being sent: the end of its lease
  lease bigint NOT NULL DEFAULT 0, leased_by text NOT NULL DEFAULT '',   -- counts the leases: who was overtaken writes nothing
  queued_at timestamptz NOT NULL, settled_at timestamptz,
  UNIQUE (ledger, invoice_id));
CREATE INDEX delivery_open ON arg_sync.delivery (ledger, invoice_date, document_type DESC, invoice_id) WHERE state IN ('queued', 'sending', 'unknown');
CREATE INDEX delivery_batch ON arg_sync.delivery (batch_id);
CREATE INDEX delivery_number ON arg_sync.delivery (invoice_number);
CREATE INDEX delivery_remote ON arg_sync.delivery (ledger, remote_id) WHERE remote_id IS NOT NULL;

CREATE TABLE arg_sync.correction (                     -- a credit note goes out after the invoices that it corrects
  invoice_id bigint NOT NULL, corrects_invoice_id bigint NOT NULL, corrects_number text NOT NULL, amount numeric(20,4) NOT NULL,
  PRIMARY KEY (invoice_id, corrects_invoice_id));

CREATE TABLE arg_sync.attempt (
  delivery_id bigint NOT NULL REFERENCES arg_sync.delivery, attempt_no integer NOT NULL, revision integer NOT NULL,
  state text NOT NULL, code text NOT NULL, message text NOT NULL, fix text NOT NULL, steps text NOT NULL,
  worker text NOT NULL, duration_ms integer NOT NULL, ended_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (delivery_id, attempt_no));

CREATE TABLE arg_sync.call_slot (                           -- how many calls of a ledger are under way, over all workers
  ledger text NOT NULL REFERENCES arg_sync.connection, slot_no integer NOT NULL, holder text NOT NULL, until timestamptz NOT NULL,
  PRIMARY KEY (ledger, slot_no));
CREATE TABLE arg_sync.call_pacing (                           -- when the next call of a ledger may begin
  ledger text PRIMARY KEY REFERENCES arg_sync.connection, next_at timestamptz NOT NULL);
CREATE TABLE arg_sync.call_count (                          -- by hour, for limits of a day
  ledger text NOT NULL REFERENCES arg_sync.connection, hour timestamptz NOT NULL, calls integer NOT NULL,
  PRIMARY KEY (ledger, hour));

CREATE TABLE arg_sync.payment (                        -- what a ledger booked against a document, entry by entry: a change is an entry of the difference
  ledger text NOT NULL REFERENCES arg_sync.connection, payment_id text NOT NULL, remote_id text NOT NULL, entry_no integer NOT NULL,
  invoice_id bigint,                                   -- NULL: of a document that we did not deliver, or not yet
  invoice_number text NOT NULL, amount numeric(20,4) NOT NULL, currency text NOT NULL, paid_on date NOT NULL, read_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (ledger, payment_id, remote_id, entry_no));
CREATE INDEX payment_unmatched ON arg_sync.payment (ledger, remote_id) WHERE invoice_id IS NULL;
CREATE TABLE arg_sync.payment_cursor (
  ledger text PRIMARY KEY REFERENCES arg_sync.connection, generation integer NOT NULL, cursor text NOT NULL DEFAULT '',
  polls bigint NOT NULL DEFAULT 0,                     -- counts the polls: who was overtaken keeps nothing
  polling_until timestamptz,                           -- somebody reads, at most so long
  next_at timestamptz NOT NULL, asked boolean NOT NULL DEFAULT false,   -- asked: a verified webhook said that something changed
  read_at timestamptz, failures integer NOT NULL DEFAULT 0, message text NOT NULL DEFAULT '');
CREATE TABLE arg_sync.drift (                          -- what reconciliation found, once for each kind of drift of a document
  drift_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  ledger text NOT NULL REFERENCES arg_sync.connection, invoice_id bigint, invoice_number text NOT NULL, code text NOT NULL, remote_id text NOT NULL,
  message text NOT NULL, fix text NOT NULL, found_at timestamptz NOT NULL DEFAULT now(), gone_at timestamptz);
CREATE UNIQUE INDEX drift_open ON arg_sync.drift (ledger, invoice_number, code, remote_id) WHERE gone_at IS NULL;
CREATE TABLE arg_sync.reconciliation (                 -- three-way checks, asked for or nightly; one at a time for a ledger
  run_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  ledger text NOT NULL REFERENCES arg_sync.connection, actor text NOT NULL, asked_at timestamptz NOT NULL DEFAULT now(),
  since date,                                          -- only documents of that day and later; NULL: all
  state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'reading', 'done', 'failed')),
  takes bigint NOT NULL DEFAULT 0, next_at timestamptz NOT NULL DEFAULT now(),   -- of a run that is read: the end of its lease
  position bigint NOT NULL DEFAULT 0,                  -- the last delivery that was compared: a run goes on where it stood
  tries integer NOT NULL DEFAULT 0, documents integer NOT NULL DEFAULT 0, unread integer NOT NULL DEFAULT 0,
  message text NOT NULL DEFAULT '', ended_at timestamptz);
CREATE UNIQUE INDEX reconciliation_open ON arg_sync.reconciliation (ledger) WHERE state IN ('waiting', 'reading');

-- What the invoicer's health check may know: whether the documents of a billing company can be delivered.
CREATE VIEW arg_sync.connection_health AS
  SELECT ledger, kind, billing_company, auto_sync, state, message, failures, open_until, circuit_message, check_outcome, check_message, checked_at
  FROM arg_sync.connection;
CREATE VIEW arg_sync.mapped_code AS SELECT ledger, what, code, remote FROM arg_sync.mapping;
GRANT SELECT ON arg_sync.connection_health, arg_sync.mapped_code TO invoicer;

GRANT SELECT, INSERT, UPDATE, DELETE ON arg_sync.ledger_kind, arg_sync.secret, arg_sync.call_slot, arg_sync.call_count, arg_sync.held_command, arg_sync.customer TO arg_sync;
GRANT SELECT, INSERT, UPDATE ON arg_sync.connection, arg_sync.mapping, arg_sync.delivery, arg_sync.call_pacing, arg_sync.drift, arg_sync.payment_cursor,
  arg_sync.payment, arg_sync.reconciliation TO arg_sync;
GRANT SELECT, INSERT ON arg_sync.received_document, arg_sync.correction, arg_sync.attempt TO arg_sync;
