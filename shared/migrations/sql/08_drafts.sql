-- Drafts: documents before they are closed. A draft has an id and a version, never a number.

-- The head of a draft: what its document will have, as far as it is decided. Amounts count credits
-- negative. `made_by_id`: the batch, the command or the occurrence of the schedule that made it.
-- What the option needed when the draft was made stays: a later change holds for later drafts.
CREATE TABLE invoicer.draft (
  draft_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  billing_company text NOT NULL,
  status text NOT NULL CHECK (status IN ('pending_billing_transfer', 'pending_approval_routing',
    'pending_finalization', 'processed', 'cancelled')),
  version integer NOT NULL DEFAULT 1 CHECK (version > 0),
  made_by text NOT NULL CHECK (made_by IN ('batch', 'drafts_create', 'standard', 'schedule')),
  made_by_id text NOT NULL,
  cut_off date NOT NULL,
  option_name text NOT NULL DEFAULT '',  -- the invoice option; empty: the implicit one
  option_from date,                      -- the first day of its version
  workflow text NOT NULL DEFAULT '',
  workflow_version integer,              -- the newest when the draft was made; NULL: no workflow
  needs_transfer boolean NOT NULL DEFAULT false,
  transfer_in_flight boolean NOT NULL DEFAULT false,   -- sent and not answered: it locks the items
  document_type text NOT NULL CHECK (document_type IN ('invoice', 'credit-note')),
  bill_to text NOT NULL DEFAULT 'client' CHECK (bill_to IN ('client', 'supplier')),
  account_name text NOT NULL,
  currency text NOT NULL,
  payment_terms text NOT NULL,
  po_number text NOT NULL,
  credit_split bigint NOT NULL,
  tax_regime text NOT NULL,
  tax_wording text NOT NULL,
  tax_basis text NOT NULL,
  service_from date NOT NULL,
  service_to date NOT NULL,
  net numeric(20,4) NOT NULL,
  tax numeric(20,4) NOT NULL,
  total numeric(20,4) NOT NULL,
  hours numeric(20,4) NOT NULL DEFAULT 0,
  line_count integer NOT NULL,
  tax_totals jsonb NOT NULL,
  allowances jsonb,                      -- as those of `invoice`; NULL if none
  allowance_terms jsonb NOT NULL DEFAULT '[]',  -- the terms that it takes, in order
  invoice_option jsonb,                  -- as that of `invoice`: name, bill_to, group
  created_by text NOT NULL,
  created_at timestamptz NOT NULL,
  combined_into bigint REFERENCES invoicer.draft,      -- where the items of a combined draft went
  invoice_id bigint UNIQUE REFERENCES invoicer.invoice,    -- the document of a processed draft
  CHECK ((status = 'processed') = (invoice_id IS NOT NULL)));
CREATE INDEX draft_company ON invoicer.draft (billing_company, status);
ALTER TABLE invoicer.draft_line
  ADD CONSTRAINT draft_line_draft FOREIGN KEY (draft_id) REFERENCES invoicer.draft;
CREATE INDEX draft_line_of_draft ON invoicer.draft_line (draft_id, line_no);

-- What became of a draft, change by change, with its version and status afterwards.
-- `changes_items`: the actor created or changed it, so that he may not approve it.
CREATE TABLE invoicer.draft_event (
  draft_id bigint NOT NULL REFERENCES invoicer.draft,
  event_no integer NOT NULL,
  action text NOT NULL,
  version integer NOT NULL,
  status text NOT NULL,
  actor text NOT NULL,
  reason text NOT NULL DEFAULT '',
  changes_items boolean NOT NULL,
  details jsonb NOT NULL DEFAULT '{}',
  command_id text NOT NULL DEFAULT '',
  at timestamptz NOT NULL,
  PRIMARY KEY (draft_id, event_no));

-- The drafted lines that a realization replaced in this transaction. Before it commits, their
-- successors take their places and this table is empty again.
CREATE TABLE invoicer.replaced_draft_line (
  pay_line_id bigint PRIMARY KEY,
  draft_id bigint NOT NULL,
  line_no integer NOT NULL,
  billto_node text NOT NULL,
  billto_level integer NOT NULL);

GRANT SELECT, INSERT ON invoicer.draft, invoicer.draft_event TO invoicer;
GRANT UPDATE ON invoicer.draft TO invoicer;
GRANT USAGE ON SEQUENCE invoicer.draft_draft_id_seq TO invoicer;
GRANT SELECT, INSERT, DELETE ON invoicer.replaced_draft_line TO invoicer;
GRANT UPDATE ON invoicer.draft_line TO invoicer;

-- The people who created or changed a draft, or one whose items were combined into it.
CREATE VIEW invoicer.draft_author AS
  WITH RECURSIVE part AS (
    SELECT draft_id, draft_id AS of_draft FROM invoicer.draft
    UNION
    SELECT d.draft_id, p.of_draft FROM part p JOIN invoicer.draft d ON d.combined_into = p.draft_id)
  SELECT DISTINCT p.of_draft AS draft_id, e.actor
  FROM part p JOIN invoicer.draft_event e USING (draft_id) WHERE e.changes_items;
GRANT SELECT ON invoicer.draft_author TO invoicer;

-- Drafts for the console, with the number of the document that each became.
CREATE VIEW invoicer.console_draft AS
  SELECT 'D-' || lpad(CAST(d.draft_id AS text), greatest(6, length(CAST(d.draft_id AS text))), '0')
           AS draft,
         d.*, i.invoice_number, i.batch_id
  FROM invoicer.draft d LEFT JOIN invoicer.invoice i USING (invoice_id);
CREATE VIEW invoicer.console_draft_item AS
  SELECT l.draft_id, l.line_no, l.pay_line_id, l.billing_company, p.document_kind, p.document_id,
         invoicer.shown_description(p.description, p.worker_id, f.shown_as) AS description,
         coalesce(f.shown_as, p.worker_id) AS worker_id, p.requirement_id, p.week_ending,
         p.service_from, p.service_to, p.quantity, p.unit, p.unit_price, p.amount, p.currency,
         p.po_number, p.time_type, p.line_kind, l.tax_code, l.tax_rate, l.tax_amount,
         l.allowance_amount, p.engagement ->> 'engagement_id' AS engagement_id,
         c.invoice_number AS corrects_invoice, p.corrects_line_no
  FROM invoicer.draft_line l
  JOIN invoicer.pay_line p USING (pay_line_id)
  LEFT JOIN invoicer.invoice c ON c.invoice_id = p.corrects_invoice_id
  LEFT JOIN invoicer.forgotten_worker f ON f.worker_id = p.worker_id;
CREATE VIEW invoicer.console_draft_event AS
  SELECT draft_id, event_no, action, version, status, actor, reason, details, at
  FROM invoicer.draft_event;
