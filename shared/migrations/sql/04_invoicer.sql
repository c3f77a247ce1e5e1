-- invoicer: what goes on which invoice.
-- Pay lines and their four places, the billto hierarchy, debtor terms, batches, documents, numbers.

-- The billto hierarchy, as the ATS last published it.
CREATE TABLE invoicer.billto_node (
  node_id text PRIMARY KEY CHECK (length(node_id) <= 200),
  revision bigint NOT NULL,
  closed boolean NOT NULL DEFAULT false,
  level smallint NOT NULL CHECK (level IN (1, 2, 3)),   -- 1 company, 2 client, 3 office
  parent_id text,
  name text NOT NULL,
  account_name text NOT NULL,                           -- the debtor; empty: that of the parent
  address text NOT NULL,
  tax_id text NOT NULL,
  contact text NOT NULL DEFAULT '',                     -- for whom documents are
  reference text NOT NULL DEFAULT '',                   -- what the client wants to see on them
  body jsonb NOT NULL);
CREATE INDEX billto_node_account ON invoicer.billto_node (account_name) WHERE account_name <> '';
CREATE INDEX billto_node_parent ON invoicer.billto_node (parent_id);

CREATE TABLE invoicer.billto_revision (
  node_id text NOT NULL,
  revision bigint NOT NULL,
  body jsonb NOT NULL,
  PRIMARY KEY (node_id, revision));

-- A named billing cycle. Each kind of cycle has only the columns that it needs.
CREATE TABLE invoicer.time_group (
  time_group text PRIMARY KEY CHECK (length(time_group) <= 200 AND time_group NOT IN ('', 'none')),
  cycle text NOT NULL CHECK (cycle IN ('weekly', 'fortnightly', 'monthly', 'custom', 'non-date')),
  ends_on text CHECK ((ends_on IS NOT NULL) = (cycle = 'weekly')),             -- a weekday
  anchor date CHECK ((anchor IS NOT NULL) = (cycle = 'fortnightly')),  -- the last day of a cycle
  -- The custom periods in order, without gap or overlap.
  first_days date[] CHECK ((first_days IS NOT NULL) = (cycle = 'custom')),
  last_days date[] CHECK (
    (last_days IS NOT NULL) = (cycle = 'custom')
    AND cardinality(first_days) IS NOT DISTINCT FROM cardinality(last_days)));

-- What differs for a debtor from the defaults of the billing company, from a date on.
CREATE TABLE invoicer.debtor_terms (
  billing_company text NOT NULL,
  account_name text NOT NULL,
  from_date date NOT NULL,
  payment_terms text NOT NULL,
  credits text NOT NULL DEFAULT 'separate' CHECK (credits IN ('separate', 'net', 'per-invoice')),
  zero_documents boolean NOT NULL DEFAULT false,
  tax_regime text NOT NULL DEFAULT 'standard'
    CHECK (tax_regime IN ('standard', 'exempt', 'reverse-charge')),
  tax_wording text NOT NULL DEFAULT '',
  tax_id text NOT NULL DEFAULT '',
  address text NOT NULL DEFAULT '',
  contact text NOT NULL DEFAULT '',
  reference text NOT NULL DEFAULT '',
  -- Where the days and hours of the timesheets are shown: nowhere, after the lines of the PDF, or
  -- in a file beside it.
  timesheet_detail text NOT NULL DEFAULT 'none'
    CHECK (timesheet_detail IN ('none', 'appendix', 'file')),
  time_group text NOT NULL DEFAULT '',
  missing_timesheets text NOT NULL DEFAULT 'bill',
  -- Documents by e-mail: who gets them, as which files, and templates of subject and text.
  emails text[] NOT NULL DEFAULT '{}',
  attach text[] NOT NULL DEFAULT '{pdf}',
  mail_subject text NOT NULL DEFAULT '',
  mail_text text NOT NULL DEFAULT '',
  -- Discounts and surcharges in order: kind, name, percent or amount, currency, applies_to.
  allowances jsonb NOT NULL DEFAULT '[]',
  PRIMARY KEY (billing_company, account_name, from_date));

-- Where the items of engagements go, from a date on. No request types, or no billing types: all of
-- them; an empty currency: any; group_by NULL: the whole list of the client country.
CREATE TABLE invoicer.invoice_option (
  billing_company text NOT NULL,
  name text NOT NULL CHECK (length(name) <= 200),
  from_date date NOT NULL,
  client_country text NOT NULL,
  location text NOT NULL,
  request_types text[] NOT NULL,
  currency text NOT NULL,
  bill_to text NOT NULL CHECK (bill_to IN ('client', 'supplier')),
  billing_types text[] NOT NULL,
  max_lines integer CHECK (max_lines > 0),
  group_by text[],
  is_default boolean NOT NULL,
  active boolean NOT NULL,
  workflow text NOT NULL DEFAULT '',     -- how its drafts are approved; empty: not at all
  needs_transfer boolean NOT NULL DEFAULT false,  -- the client's system confirms its items first
  PRIMARY KEY (billing_company, name, from_date));
CREATE TABLE invoicer.country_grouping (
  billing_company text NOT NULL,
  client_country text NOT NULL,
  group_by text[] NOT NULL,
  PRIMARY KEY (billing_company, client_country));

-- One row for each original document: its lock, and its settled realization.
CREATE TABLE invoicer.settled_document (
  document_kind text NOT NULL,
  document_id text NOT NULL,
  realization_no integer NOT NULL DEFAULT 0,
  realization_kind text NOT NULL DEFAULT 'realized',
  body text NOT NULL DEFAULT '',                        -- the settled realization as received
  stale_realization_no integer,  -- a later one whose prices are stale: it will be priced again
  -- When credits took the last invoiced line of a bill rate off the documents, with lines open.
  citation_ended_at timestamptz,
  PRIMARY KEY (document_kind, document_id));
CREATE INDEX settled_document_uncited ON invoicer.settled_document (document_kind, document_id)
  WHERE citation_ended_at IS NOT NULL;
CREATE INDEX settled_document_stale ON invoicer.settled_document (document_kind, document_id)
  WHERE stale_realization_no IS NOT NULL;

-- A pay line is a fact and is never updated. An amount that lowers the debt is negative.
CREATE TABLE invoicer.pay_line (
  pay_line_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  billing_company text NOT NULL,
  document_kind text NOT NULL,
  document_id text NOT NULL,
  realization_no integer NOT NULL,
  line_key text NOT NULL,
  line_kind text NOT NULL CHECK (line_kind IN ('timesheet', 'product')),
  quantity numeric(16,4) NOT NULL,
  unit text NOT NULL,
  unit_price numeric(20,4) NOT NULL,
  amount numeric(20,4) NOT NULL,
  currency text NOT NULL,
  effective_date date NOT NULL,
  service_from date NOT NULL,
  service_to date NOT NULL,
  accounting_period integer NOT NULL,                   -- yyyymm
  week_ending date,
  billto_node text NOT NULL,             -- the office of the work; a batch finds out who pays
  requirement_id text NOT NULL,
  worker_id text NOT NULL,
  time_type text NOT NULL,
  item_id text NOT NULL,
  project text NOT NULL,
  cost_center text NOT NULL,
  po_number text NOT NULL,
  tax_code text NOT NULL,
  tax_date date,                         -- decides the tax rate instead of the effective date
  rate_version text NOT NULL,
  rate_book integer NOT NULL,
  description text NOT NULL,
  derivation jsonb NOT NULL,
  day_minutes integer NOT NULL DEFAULT 0,  -- the most time of one day, for the safety checks
  announce_when_due boolean NOT NULL,      -- created for a later day: the scheduler announces it
  corrects_invoice_id bigint,              -- a credit names the invoice line that it corrects
  corrects_line_no integer,
  created_at timestamptz NOT NULL DEFAULT now(),
  -- The day on which the line was opened, at the billing company. Reports as of a day count by it,
  -- by `replaced_on` and by `closed_on`: none of them changes when a time zone does.
  opened_on date NOT NULL DEFAULT CURRENT_DATE,
  engagement jsonb);                       -- the engagement and its terms on the last service day
CREATE INDEX pay_line_document ON invoicer.pay_line (document_id, document_kind);
CREATE INDEX pay_line_corrects ON invoicer.pay_line (corrects_invoice_id, corrects_line_no)
  WHERE corrects_invoice_id IS NOT NULL;
CREATE INDEX pay_line_due ON invoicer.pay_line (billing_company, effective_date)
  WHERE announce_when_due;

-- The value of a grouping field of a line: `engagement.id`, `bill.worker`, `custom.NAME` ...; empty
-- where the line has none.
CREATE FUNCTION invoicer.group_value(p invoicer.pay_line, field text)
RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(CASE field
  WHEN 'engagement.id' THEN p.engagement ->> 'engagement_id'
  WHEN 'engagement.supplier' THEN p.engagement ->> 'supplier_id'
  WHEN 'engagement.location' THEN p.engagement ->> 'location'
  WHEN 'engagement.department' THEN p.engagement ->> 'department'
  WHEN 'engagement.requirement' THEN p.requirement_id
  WHEN 'bill.po_number' THEN p.po_number
  WHEN 'bill.worker' THEN p.worker_id
  WHEN 'bill.cost_center' THEN p.cost_center
  WHEN 'bill.project' THEN p.project
  WHEN 'bill.week_ending' THEN p.week_ending::text
  WHEN 'bill.time_type' THEN p.time_type
  WHEN 'bill.document' THEN p.document_id
  ELSE p.engagement -> 'custom' ->> substr(field, length('custom.') + 1) END, '');
-- Grouping fields with their values, in the order of the fields.
CREATE FUNCTION invoicer.group_values(p invoicer.pay_line, fields text[])
RETURNS jsonb LANGUAGE sql STABLE PARALLEL SAFE
RETURN (
  SELECT coalesce(
    jsonb_agg(jsonb_build_array(f.field, invoicer.group_value(p, f.field)) ORDER BY f.place), '[]')
  FROM unnest(fields) WITH ORDINALITY AS f(field, place));

-- The four places of a pay line: open, on a draft, replaced, or on a closed document
-- (`invoice_line`). Each line is in exactly one.
CREATE TABLE invoicer.open_line (
  billing_company text NOT NULL,
  pay_line_id bigint NOT NULL,
  effective_date date NOT NULL,
  week_ending date,
  billto_node text NOT NULL,
  correction boolean NOT NULL,
  PRIMARY KEY (billing_company, pay_line_id));
-- A line of a draft has what its line of the document will have, and `correction` for the day on
-- which it may be open again.
CREATE TABLE invoicer.draft_line (
  pay_line_id bigint PRIMARY KEY,
  billing_company text NOT NULL,
  draft_id bigint NOT NULL,
  line_no integer NOT NULL,
  correction boolean NOT NULL,
  billto_node text NOT NULL,
  billto_level smallint NOT NULL,
  tax_code text NOT NULL,
  tax_rate numeric(9,4) NOT NULL,
  tax_amount numeric(20,4) NOT NULL,
  allowance_amount numeric(20,4) NOT NULL DEFAULT 0);
CREATE TABLE invoicer.replaced_line (
  pay_line_id bigint PRIMARY KEY,
  replaced_by_realization integer NOT NULL,
  replaced_on date NOT NULL DEFAULT CURRENT_DATE);      -- the day at the billing company

-- Line keys that batches leave out until a day, or until an operator releases them.
CREATE TABLE invoicer.snooze (
  document_kind text NOT NULL,
  document_id text NOT NULL,
  line_key text NOT NULL,
  code text NOT NULL DEFAULT 'snoozed' CHECK (code IN ('snoozed', 'edit_meets_revision')),
  reason text NOT NULL,
  actor text NOT NULL,
  until_date date,
  snoozed_at timestamptz NOT NULL,
  PRIMARY KEY (document_kind, document_id, line_key));

-- Edits by operators. Settlement adds the differences to every later realization.
CREATE TABLE invoicer.operator_edit (
  document_kind text NOT NULL,
  document_id text NOT NULL,
  line_key text NOT NULL,
  command_id text NOT NULL,
  quantity_difference numeric(16,4) NOT NULL,
  amount_difference numeric(20,4) NOT NULL,
  before jsonb NOT NULL,
  after jsonb NOT NULL,
  actor text NOT NULL,
  reason text NOT NULL,
  edited_at timestamptz NOT NULL,
  PRIMARY KEY (document_kind, document_id, line_key, command_id));

-- All write-offs of a line key. Settlement computes the forgiven quantity and amount from them.
CREATE TABLE invoicer.write_off (
  document_kind text NOT NULL,
  document_id text NOT NULL,
  line_key text NOT NULL,
  command_id text NOT NULL,
  quantity numeric(16,4) NOT NULL,
  amount numeric(20,4) NOT NULL,
  actor text NOT NULL,
  reason text NOT NULL,
  PRIMARY KEY (document_kind, document_id, line_key, command_id));

-- The counter is a row that a transaction updates last, so that a rollback leaves no gap.
CREATE TABLE invoicer.number_series (
  billing_company text NOT NULL,
  series text NOT NULL,
  first_number bigint NOT NULL,
  next_number bigint NOT NULL,
  last_date date,
  PRIMARY KEY (billing_company, series));
-- The numbers that an operator skipped, both ends included.
CREATE TABLE invoicer.number_jump (
  billing_company text NOT NULL,
  series text NOT NULL,
  from_number bigint NOT NULL,
  to_number bigint NOT NULL,
  actor text NOT NULL,
  reason text NOT NULL,
  command_id text NOT NULL,
  jumped_at timestamptz NOT NULL,
  PRIMARY KEY (billing_company, series, from_number));

CREATE TABLE invoicer.batch (
  batch_id text PRIMARY KEY,
  billing_company text NOT NULL,
  command_id text NOT NULL UNIQUE,
  cut_off_date date NOT NULL,
  invoice_date date NOT NULL,
  first_number text NOT NULL,
  last_number text NOT NULL,
  documents integer NOT NULL,
  line_count bigint NOT NULL,
  totals jsonb NOT NULL,
  actor text NOT NULL,
  reason text NOT NULL,
  generated_at timestamptz NOT NULL,
  closed_on date NOT NULL DEFAULT CURRENT_DATE,         -- the day at the billing company
  chosen jsonb);                       -- the documents, workers, options ... it is limited to
CREATE INDEX batch_company ON invoicer.batch (billing_company, generated_at);

-- The debtors that a batch left out because something is wrong with them, and why.
CREATE TABLE invoicer.parked_debtor (
  batch_id text NOT NULL REFERENCES invoicer.batch,
  account_name text NOT NULL,
  code text NOT NULL,
  message text NOT NULL,
  ids text[] NOT NULL,
  billed_in_batch text REFERENCES invoicer.batch,       -- the later batch that billed the debtor
  PRIMARY KEY (batch_id, account_name));

-- The closed documents: invoices and credit notes.
CREATE TABLE invoicer.invoice (
  invoice_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  billing_company text NOT NULL,
  batch_id text NOT NULL REFERENCES invoicer.batch,
  series text NOT NULL,
  number bigint NOT NULL,
  invoice_number text NOT NULL,
  document_type text NOT NULL CHECK (document_type IN ('invoice', 'credit-note')),
  account_name text NOT NULL,
  currency text NOT NULL,
  payment_terms text NOT NULL,
  po_number text NOT NULL,
  tax_regime text NOT NULL,
  tax_wording text NOT NULL,
  tax_basis text NOT NULL,
  invoice_date date NOT NULL,
  due_date date NOT NULL,
  cut_off_date date NOT NULL,
  service_from date NOT NULL,
  service_to date NOT NULL,
  net numeric(20,4) NOT NULL,
  tax numeric(20,4) NOT NULL,
  total numeric(20,4) NOT NULL,
  line_count integer NOT NULL,
  -- Discounts and surcharges: name, code, rate, base, percent, amount (signed); NULL if none.
  allowances jsonb,
  tax_totals jsonb NOT NULL,
  seller jsonb NOT NULL,
  buyer jsonb NOT NULL,
  credit_reason text,                    -- why an operator credited, on a credit note by hand
  invoice_option jsonb,                  -- option: name, bill_to, group (fields with values)
  closed_at timestamptz NOT NULL,
  -- Closed by another system and loaded: it has that system's number and is never delivered.
  is_opening boolean NOT NULL GENERATED ALWAYS AS (series = 'opening:') STORED,
  UNIQUE (billing_company, series, number),
  UNIQUE (billing_company, invoice_number));
CREATE INDEX invoice_batch ON invoicer.invoice (batch_id);
CREATE INDEX invoice_service ON invoicer.invoice (billing_company, service_to);
CREATE INDEX invoice_account ON invoicer.invoice (billing_company, account_name, invoice_date);

CREATE TABLE invoicer.invoice_line (
  invoice_id bigint NOT NULL,
  line_no integer NOT NULL,
  pay_line_id bigint NOT NULL,
  billto_node text NOT NULL,             -- the node whose Account Name is the debtor, and its level
  billto_level smallint NOT NULL,
  tax_code text NOT NULL,
  tax_rate numeric(9,4) NOT NULL,
  tax_amount numeric(20,4) NOT NULL,
  allowance_amount numeric(20,4) NOT NULL DEFAULT 0,   -- its share of discounts and surcharges
  PRIMARY KEY (invoice_id, line_no),
  UNIQUE (pay_line_id));
-- The workers whose time is on a document, each as a 64-bit hash, in one row. The safety checks use
-- it to find the relevant documents without reading their lines.
CREATE TABLE invoicer.invoice_worker (
  invoice_id bigint PRIMARY KEY,
  worker_hashes bigint[] NOT NULL);
-- Names on a document as they were when it was closed: of a worker, or of a requirement (title,
-- reference, the client's contact and reference). The seal covers the digests, so that the detail
-- of a forgotten worker can be removed (NULL) and the seal stays right.
CREATE TABLE invoicer.invoice_detail (
  invoice_id bigint NOT NULL,
  about text NOT NULL CHECK (about IN ('worker', 'requirement')),
  subject_id text NOT NULL,
  detail jsonb,
  digest bytea NOT NULL,
  PRIMARY KEY (invoice_id, about, subject_id));
CREATE INDEX invoice_detail_subject ON invoicer.invoice_detail (subject_id) WHERE about = 'worker';
CREATE TABLE invoicer.invoice_seal (
  invoice_id bigint PRIMARY KEY,
  content_hash text NOT NULL);

-- Money received, recorded by hand or from a remittance file. `payment` has what of it is applied
-- to documents, under the ledger 'hand'; `payment_return` what was refunded or taken back; the rest
-- is an unapplied credit of the payer.
CREATE TABLE invoicer.received_payment (
  payment_id text PRIMARY KEY,                          -- the id of its command
  billing_company text NOT NULL,
  account_name text NOT NULL,                           -- the payer
  check_id text NOT NULL,
  received_on date NOT NULL,                            -- the date of deposit
  bank text NOT NULL,
  amount numeric(20,4) NOT NULL CHECK (amount > 0),
  currency text NOT NULL,
  actor text NOT NULL,
  reason text NOT NULL,
  recorded_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX received_payment_check ON invoicer.received_payment (billing_company, check_id);
CREATE INDEX received_payment_payer ON invoicer.received_payment (billing_company, account_name);
CREATE TABLE invoicer.payment_return (
  payment_id text NOT NULL REFERENCES invoicer.received_payment,
  entry_no integer NOT NULL,
  kind text NOT NULL CHECK (kind IN ('reversal', 'refund')),
  amount numeric(20,4) NOT NULL CHECK (amount <= 0),
  returned_on date NOT NULL,
  command_id text NOT NULL,
  actor text NOT NULL,
  reason text NOT NULL,
  PRIMARY KEY (payment_id, entry_no));
-- What is paid of closed documents: as accounting systems booked it, as opening data states it
-- (ledger 'opening'), or by a received payment (ledger 'hand'). A negative amount takes it back.
CREATE TABLE invoicer.payment (
  ledger text NOT NULL,
  payment_id text NOT NULL,
  invoice_id bigint NOT NULL REFERENCES invoicer.invoice,
  entry_no integer NOT NULL,
  amount numeric(20,4) NOT NULL,
  currency text NOT NULL,
  paid_on date NOT NULL,
  remote_id text NOT NULL,
  received_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (invoice_id, ledger, payment_id, entry_no));
CREATE INDEX payment_received ON invoicer.payment (payment_id) WHERE ledger = 'hand';
-- The parts of an entry of a received payment on the lines of the document. Their sum is the entry.
CREATE TABLE invoicer.payment_line (
  invoice_id bigint NOT NULL,
  ledger text NOT NULL DEFAULT 'hand' CHECK (ledger = 'hand'),
  payment_id text NOT NULL REFERENCES invoicer.received_payment,
  entry_no integer NOT NULL,
  line_no integer NOT NULL,
  amount numeric(20,4) NOT NULL,
  PRIMARY KEY (invoice_id, line_no, payment_id, entry_no),
  FOREIGN KEY (invoice_id, ledger, payment_id, entry_no) REFERENCES invoicer.payment,
  FOREIGN KEY (invoice_id, line_no) REFERENCES invoicer.invoice_line);

-- Previews: what a batch would have closed at a moment. A batch may cite the digest of a preview.
CREATE TABLE invoicer.preview (
  preview_id text PRIMARY KEY,
  billing_company text NOT NULL,
  cut_off_date date NOT NULL,
  digest text NOT NULL,
  totals jsonb NOT NULL,
  settings jsonb NOT NULL,
  actor text NOT NULL,
  previewed_at timestamptz NOT NULL);
CREATE INDEX preview_digest ON invoicer.preview (billing_company, digest);
CREATE TABLE invoicer.preview_document (
  preview_id text NOT NULL REFERENCES invoicer.preview,
  document_no integer NOT NULL,
  account_name text NOT NULL,
  document_type text NOT NULL,
  currency text NOT NULL,
  payment_terms text NOT NULL,
  po_number text NOT NULL,
  tax_regime text NOT NULL,
  line_count integer NOT NULL,
  net numeric(20,4) NOT NULL,
  tax numeric(20,4) NOT NULL,
  allowances text NOT NULL DEFAULT '',   -- JSON, as `invoice.allowances`; empty if none
  invoice_option text NOT NULL DEFAULT '',  -- JSON, as `invoice.invoice_option`; empty if none
  line_hash text NOT NULL,
  PRIMARY KEY (preview_id, document_no));
-- Every open line: in a document (reason NULL), or out for one reason.
CREATE TABLE invoicer.preview_line (
  preview_id text NOT NULL,
  pay_line_id bigint NOT NULL,
  document_no integer,
  reason text,
  PRIMARY KEY (preview_id, pay_line_id));

-- Downloads of a batch, or of one of its documents (`invoice_number`). `layout`: the name of the
-- file that said how a CSV looks.
CREATE TABLE invoicer.download (
  batch_id text NOT NULL,
  command_id text NOT NULL,
  file_format text NOT NULL,
  layout text,
  invoice_number text,
  actor text NOT NULL,
  downloaded_at timestamptz NOT NULL,
  PRIMARY KEY (batch_id, command_id));

-- Issued is issued: grants, triggers and the seal prevent every change but an insert.
CREATE FUNCTION invoicer.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'issued is issued: %.% takes no %; correct forward with a credit note',
    TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP;
END $$;
DO $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['invoice', 'invoice_line', 'invoice_seal', 'pay_line'] LOOP
    EXECUTE format('CREATE TRIGGER %1$s_no_change BEFORE UPDATE OR DELETE ON invoicer.%1$I '
      'FOR EACH ROW EXECUTE FUNCTION invoicer.refuse_change()', name);
    EXECUTE format('CREATE TRIGGER %1$s_no_truncate BEFORE TRUNCATE ON invoicer.%1$I '
      'FOR EACH STATEMENT EXECUTE FUNCTION invoicer.refuse_change()', name);
  END LOOP;
END $$;
-- The only change of a detail: that of a forgotten worker is removed.
CREATE TRIGGER invoice_detail_no_change BEFORE UPDATE ON invoicer.invoice_detail FOR EACH ROW
  WHEN (NEW.detail IS NOT NULL OR OLD.about <> 'worker'
    OR (NEW.invoice_id, NEW.about, NEW.subject_id, NEW.digest)
      IS DISTINCT FROM (OLD.invoice_id, OLD.about, OLD.subject_id, OLD.digest))
  EXECUTE FUNCTION invoicer.refuse_change();
CREATE TRIGGER invoice_detail_no_delete BEFORE DELETE ON invoicer.invoice_detail
  FOR EACH ROW EXECUTE FUNCTION invoicer.refuse_change();
CREATE TRIGGER invoice_detail_no_truncate BEFORE TRUNCATE ON invoicer.invoice_detail
  FOR EACH STATEMENT EXECUTE FUNCTION invoicer.refuse_change();
-- A number is given once: the next number of a series only grows.
CREATE FUNCTION invoicer.refuse_lower_number() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the next number of % % is %; it takes no lower one', OLD.billing_company,
    OLD.series, OLD.next_number;
END $$;
CREATE TRIGGER number_series_grows BEFORE UPDATE ON invoicer.number_series FOR EACH ROW
  WHEN (NEW.next_number < OLD.next_number) EXECUTE FUNCTION invoicer.refuse_lower_number();

-- Facts are only inserted; the head rows, series and settings are updated; lines leave their place.
GRANT SELECT, INSERT ON
  invoicer.pay_line, invoicer.invoice, invoicer.invoice_line, invoicer.invoice_worker,
  invoicer.invoice_seal, invoicer.invoice_detail, invoicer.batch, invoicer.replaced_line,
  invoicer.operator_edit,
  invoicer.write_off, invoicer.number_jump, invoicer.billto_revision, invoicer.preview,
  invoicer.preview_document, invoicer.preview_line, invoicer.download, invoicer.payment,
  invoicer.received_payment, invoicer.payment_return, invoicer.payment_line,
  invoicer.number_series, invoicer.parked_debtor TO invoicer;
GRANT UPDATE (detail) ON invoicer.invoice_detail TO invoicer;  -- of a forgotten worker
GRANT UPDATE (next_number, last_date) ON invoicer.number_series TO invoicer;
GRANT UPDATE (code, message, ids, billed_in_batch) ON invoicer.parked_debtor TO invoicer;
GRANT SELECT, INSERT, UPDATE ON
  invoicer.settled_document, invoicer.billto_node, invoicer.debtor_terms, invoicer.time_group,
  invoicer.invoice_option, invoicer.country_grouping TO invoicer;
GRANT SELECT, INSERT, DELETE ON invoicer.open_line, invoicer.draft_line TO invoicer;
GRANT SELECT, INSERT, UPDATE, DELETE ON invoicer.snooze TO invoicer;

-- Who may send commands: people, programs with the public keys of their signatures, and the roles
-- of both. A name belongs to a person or to a program.
CREATE TABLE invoicer.installation (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  -- Signatures name it: a command for another installation is refused here.
  audience text NOT NULL);
INSERT INTO invoicer.installation (audience)
  VALUES ('backoffice-' || left(replace(CAST(gen_random_uuid() AS text), '-', ''), 16));
CREATE TABLE invoicer.person (
  person text PRIMARY KEY, name text NOT NULL DEFAULT '', enabled boolean NOT NULL DEFAULT true,
  changed_by text NOT NULL, changed_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE invoicer.program (
  program text PRIMARY KEY, added_by text NOT NULL, added_at timestamptz NOT NULL DEFAULT now());
-- Keys are never deleted: what one signed can be verified for ever.
CREATE TABLE invoicer.program_key (
  key_id text PRIMARY KEY, program text NOT NULL REFERENCES invoicer.program,
  public_key text NOT NULL, asserts_actors boolean NOT NULL DEFAULT false,
  added_by text NOT NULL, added_at timestamptz NOT NULL DEFAULT now(),
  valid_until timestamptz,                                            -- set when it is replaced
  disabled_at timestamptz, disabled_by text, disabled_reason text);
CREATE INDEX program_key_program ON invoicer.program_key (program);
CREATE TABLE invoicer.role_grant (
  actor text NOT NULL,                                                -- a person or a program
  role text NOT NULL CHECK (role IN
    ('viewer', 'clerk', 'manager', 'approver', 'controller', 'admin')),
  billing_company text NOT NULL,                                      -- empty: all of them
  PRIMARY KEY (actor, role, billing_company));
GRANT SELECT ON invoicer.installation TO invoicer;
GRANT SELECT, INSERT, UPDATE ON invoicer.person, invoicer.program_key TO invoicer;
GRANT SELECT, INSERT ON invoicer.program TO invoicer;
GRANT SELECT, INSERT, DELETE ON invoicer.role_grant TO invoicer;
