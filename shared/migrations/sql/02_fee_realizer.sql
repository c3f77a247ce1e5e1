-- fee_realizer: facts (billing companies, requirements, rates, catalog items), source documents
-- with their revisions and holds, and realizations: what a document is worth, line by line.
--
-- A fact is a requirement, a catalog item or a billing company. A row with `known` = false is a
-- stub: a document that waits for a fact locks its stub, so the fact cannot arrive unnoticed.

CREATE TABLE fee_realizer.billing_company (
  billing_company text PRIMARY KEY CHECK (length(billing_company) <= 200),
  known boolean NOT NULL DEFAULT false,
  enabled boolean NOT NULL DEFAULT true,
  name text NOT NULL DEFAULT '',
  address text NOT NULL DEFAULT '',
  tax_id text NOT NULL DEFAULT '',
  bank text NOT NULL DEFAULT '',
  -- Printed on its documents, if given: where cheques go, how to pay, the last lines of each page,
  -- and the logo (the name of a row of the table logo).
  remit_to text NOT NULL DEFAULT '',
  payment_instructions text NOT NULL DEFAULT '',
  footer text NOT NULL DEFAULT '',
  logo text NOT NULL DEFAULT '',
  time_zone text NOT NULL DEFAULT 'UTC',
  currency text NOT NULL DEFAULT 'USD',
  series_prefix text NOT NULL DEFAULT 'INV-',
  series_width integer NOT NULL DEFAULT 6,
  default_tax text NOT NULL DEFAULT '',
  tax_basis text NOT NULL DEFAULT 'line' CHECK (tax_basis IN ('line', 'document')),
  -- The date that decides the tax rate of time. By work date, a week on both sides of a change of
  -- the default tax's rate has lines of their own for the days before it.
  tax_date text NOT NULL DEFAULT 'effective-date'
    CHECK (tax_date IN ('effective-date', 'work-date')),
  default_time_group text NOT NULL DEFAULT '',
  payment_terms text NOT NULL DEFAULT 'net:30',
  -- The step of its workflow that a timesheet must have passed to be billed.
  approval_level text NOT NULL DEFAULT 'approved'
    CHECK (approval_level IN ('approved', 'reviewed')),
  -- A worker with more hours on one day parks the debtor.
  max_day_hours integer NOT NULL DEFAULT 24 CHECK (max_day_hours > 0),
  invoice_per_timesheet boolean NOT NULL DEFAULT false,
  -- Names in the accounting system: the revenue account and the item of lines that have none.
  default_account text NOT NULL DEFAULT '',
  default_item text NOT NULL DEFAULT '',
  -- Weeks before it were billed by another system: their timesheets are held unless loaded.
  go_live date
);

-- The logos of billing companies, by the SHA-256 of the picture. A closed document names its logo,
-- so a row stays.
CREATE TABLE fee_realizer.logo (
  logo text PRIMARY KEY,
  picture bytea NOT NULL
);

CREATE TABLE fee_realizer.tax_rate (
  billing_company text NOT NULL REFERENCES fee_realizer.billing_company,
  tax_code text NOT NULL,
  from_date date NOT NULL,
  percent numeric(9,4) NOT NULL,
  PRIMARY KEY (billing_company, tax_code, from_date)
);

CREATE TABLE fee_realizer.requirement (
  requirement_id text PRIMARY KEY CHECK (length(requirement_id) <= 200),
  known boolean NOT NULL DEFAULT false,
  closed boolean NOT NULL DEFAULT false,  -- set by a tombstone; a requirement is never deleted
  revision bigint NOT NULL DEFAULT -1,
  billing_company text NOT NULL DEFAULT '',
  office_id text NOT NULL DEFAULT '',
  job_title text NOT NULL DEFAULT '',
  reference text NOT NULL DEFAULT '',         -- the requirement's number in the client's words
  client_contact text NOT NULL DEFAULT '',    -- who ordered at the client
  client_reference text NOT NULL DEFAULT '',  -- what the client wants to see on documents
  currency text NOT NULL DEFAULT '',
  project text NOT NULL DEFAULT '',
  cost_center text NOT NULL DEFAULT '',
  po_number text NOT NULL DEFAULT '',
  -- Counts the changes of the bill rates. A line cites the number from which it was priced.
  rate_book integer NOT NULL DEFAULT 0,
  body jsonb,
  retainer jsonb
);
CREATE INDEX requirement_company ON fee_realizer.requirement (billing_company);

-- Every revision that the ATS sent, to tell a repeat from a conflict.
CREATE TABLE fee_realizer.requirement_revision (
  requirement_id text NOT NULL REFERENCES fee_realizer.requirement,
  revision bigint NOT NULL,
  body jsonb NOT NULL,
  PRIMARY KEY (requirement_id, revision)
);

CREATE TABLE fee_realizer.requirement_status (
  requirement_id text NOT NULL REFERENCES fee_realizer.requirement,
  from_date date NOT NULL,
  status text NOT NULL,
  position_type text NOT NULL,
  PRIMARY KEY (requirement_id, from_date)
);

-- Engagements and suppliers as the ATS last published them; the rest is in the body. A tombstone
-- sets `closed`: neither is ever deleted.
CREATE TABLE fee_realizer.engagement (
  engagement_id text PRIMARY KEY CHECK (length(engagement_id) <= 200),
  known boolean NOT NULL DEFAULT false,
  closed boolean NOT NULL DEFAULT false,
  revision bigint NOT NULL DEFAULT -1,
  body jsonb
);
CREATE TABLE fee_realizer.supplier (
  supplier_id text PRIMARY KEY CHECK (length(supplier_id) <= 200),
  known boolean NOT NULL DEFAULT false,
  closed boolean NOT NULL DEFAULT false,
  revision bigint NOT NULL DEFAULT -1,
  body jsonb
);
-- Every revision of both that the ATS sent, to tell a repeat from a conflict.
CREATE TABLE fee_realizer.engagement_revision (
  engagement_id text NOT NULL REFERENCES fee_realizer.engagement,
  revision bigint NOT NULL,
  body jsonb NOT NULL,
  PRIMARY KEY (engagement_id, revision)
);
CREATE TABLE fee_realizer.supplier_revision (
  supplier_id text NOT NULL REFERENCES fee_realizer.supplier,
  revision bigint NOT NULL,
  body jsonb NOT NULL,
  PRIMARY KEY (supplier_id, revision)
);

-- The engagement of each placement in force: the one that it names (`named`), or else its own id.
-- The time of its worker on its requirement finds its engagement here. Changed only under the lock
-- of the requirement.
CREATE TABLE fee_realizer.placed_engagement (
  placement_id text PRIMARY KEY,
  requirement_id text NOT NULL,
  worker_id text NOT NULL,
  start_date date NOT NULL,
  end_date date,
  engagement_id text NOT NULL,
  named boolean NOT NULL
);
CREATE INDEX placed_engagement_worker
  ON fee_realizer.placed_engagement (requirement_id, worker_id);
CREATE INDEX placed_engagement_engagement ON fee_realizer.placed_engagement (engagement_id);

-- The retainers of requirements: the row is the lock of all that price from one. Amount and
-- currency are NULL until its catalog item is known; `kept` and `credited` are what operators
-- decided of an excess over the fees.
CREATE TABLE fee_realizer.retainer (
  requirement_id text PRIMARY KEY REFERENCES fee_realizer.requirement,
  amount numeric(20,4),
  currency text,
  kept numeric(20,4) NOT NULL DEFAULT 0,
  credited numeric(20,4) NOT NULL DEFAULT 0
);

-- What each placement takes off a retainer: at most its fee. `refund`: what a guarantee gives back
-- beyond the instalments.
CREATE TABLE fee_realizer.retainer_use (
  requirement_id text NOT NULL REFERENCES fee_realizer.retainer,
  placement_id text NOT NULL,
  start_date date NOT NULL,
  fee numeric(20,4) NOT NULL,
  set_off numeric(20,4) NOT NULL,
  refund numeric(20,4) NOT NULL,
  last_day date,
  PRIMARY KEY (requirement_id, placement_id)
);

-- A rate version is (requirement, time type, from-date, price): an edited price is a new version.
-- It is in force for the rate books since_book <= n < until_book.
CREATE TABLE fee_realizer.rate_version (
  requirement_id text NOT NULL REFERENCES fee_realizer.requirement,
  time_type text NOT NULL,
  effective_from date NOT NULL,
  source text NOT NULL CHECK (source IN ('ats', 'command')),
  unit_price numeric(20,4) NOT NULL,
  unit text NOT NULL,
  since_book integer NOT NULL,
  until_book integer,
  actor text NOT NULL,
  PRIMARY KEY (requirement_id, time_type, effective_from, source, since_book)
);

-- The rate versions that an operator confirmed for invoiced lines: these lines take the version's
-- price on the days on which it is in force in this rate book.
CREATE TABLE fee_realizer.rate_confirmation (
  requirement_id text NOT NULL REFERENCES fee_realizer.requirement,
  time_type text NOT NULL,
  effective_from date NOT NULL,
  rate_book integer NOT NULL,
  actor text NOT NULL,
  reason text NOT NULL,
  command_id text NOT NULL,
  confirmed_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (requirement_id, time_type, effective_from, rate_book)
);

-- Invoiced lines that have another price than the one in force. Pricing writes these rows, so that
-- a question about rate changes counts a few rows and prices nothing. One row for each line key and
-- from-date of the version that would replace the price. Of an assignment, requirement_id has its
-- id and time_type is empty.
CREATE TABLE fee_realizer.rate_impact (
  document_kind text NOT NULL,
  document_id text NOT NULL,
  requirement_id text NOT NULL,
  time_type text NOT NULL,
  effective_from date NOT NULL,
  line_key text NOT NULL,
  billing_company text NOT NULL,
  currency text NOT NULL,
  unit text NOT NULL,
  quantity numeric(16,4) NOT NULL,
  old_price numeric(20,4) NOT NULL,
  new_price numeric(20,4) NOT NULL,
  old_amount numeric(20,4) NOT NULL,
  new_amount numeric(20,4) NOT NULL,
  PRIMARY KEY (document_kind, document_id, requirement_id, time_type, effective_from, line_key)
);
CREATE INDEX rate_impact_requirement
  ON fee_realizer.rate_impact (requirement_id, time_type, effective_from);

CREATE TABLE fee_realizer.catalog_item (
  item_id text PRIMARY KEY CHECK (length(item_id) <= 200),
  known boolean NOT NULL DEFAULT false,
  name text NOT NULL DEFAULT '',
  item_class text NOT NULL DEFAULT '',
  family text NOT NULL DEFAULT '',
  variant text NOT NULL DEFAULT '',
  product_kind text NOT NULL DEFAULT 'placement',
  amount numeric(20,4),
  currency text,
  percent_of_salary numeric(9,4),
  percent_of text NOT NULL DEFAULT 'salary',
  plan jsonb,
  guarantee jsonb,
  tax_code text NOT NULL DEFAULT '',
  valid_from date,
  valid_until date,
  version integer NOT NULL DEFAULT 0
);

-- The head row of each original document: its lock and its state. An adjustment timesheet has a
-- head row with revision -1, too: under its lock it becomes an original or an adjustment, never
-- both.
CREATE TABLE fee_realizer.source_document (
  document_kind text NOT NULL
    CHECK (document_kind IN ('timesheet', 'placement', 'charge', 'retainer', 'assignment')),
  document_id text NOT NULL CHECK (length(document_id) <= 200),
  -- The timesheet or placement and its revision in force.
  source_id text NOT NULL DEFAULT '',
  revision bigint NOT NULL DEFAULT -1,
  realization_no integer NOT NULL DEFAULT 0,  -- the latest realization, 0 for none
  hold_code text,
  hold_message text,
  held_since timestamptz,
  hold_no integer NOT NULL DEFAULT 0,  -- counts the published events about holds
  -- The facts that any revision of the document names. They are locked before the document.
  requirement_ids text[] NOT NULL DEFAULT '{}',
  item_ids text[] NOT NULL DEFAULT '{}',
  company_ids text[] NOT NULL DEFAULT '{}',  -- those that it names without a requirement
  PRIMARY KEY (document_kind, document_id)
);
CREATE INDEX source_document_held ON fee_realizer.source_document (hold_code)
  WHERE hold_code IS NOT NULL;
CREATE INDEX source_document_without_hours ON fee_realizer.source_document (document_id)
  WHERE document_kind = 'timesheet' AND requirement_ids = '{}';

-- The name of each worker: that of the newest timesheet or placement that has one, by week ending
-- or start date, then by revision and id.
CREATE TABLE fee_realizer.worker (
  worker_id text PRIMARY KEY CHECK (length(worker_id) <= 200),
  worker_name text NOT NULL,
  named_on date NOT NULL,
  revision bigint NOT NULL,
  source_id text NOT NULL
);

-- Every hold of a document, what changed of its company, date and hours while it waited, and its
-- end: the head row has the last one only. Reports as of a day count by `held_on`, so nothing here
-- ever changes.
CREATE TABLE fee_realizer.hold_event (
  document_kind text NOT NULL,
  document_id text NOT NULL,
  hold_no integer NOT NULL,
  hold_code text,       -- NULL: the document was released
  hold_message text,
  held_at timestamptz NOT NULL DEFAULT now(),
  -- The billing company as far as it was known, and the day there (in UTC while it is unknown).
  billing_company text NOT NULL DEFAULT '',
  held_on date NOT NULL DEFAULT CURRENT_DATE,
  -- What waits: the week ending, start or service date, and the billable hours of a timesheet.
  effective_date date,
  hours numeric(16,4),
  PRIMARY KEY (document_kind, document_id, hold_no, held_at)
);

-- Every revision of every timesheet (originals and adjustments), placement, charge (as received)
-- and occurrence of an assignment.
CREATE TABLE fee_realizer.source_revision (
  document_kind text NOT NULL,
  document_id text NOT NULL,
  source_id text NOT NULL,
  revision bigint NOT NULL,
  approved boolean NOT NULL,
  approved_at timestamptz,  -- null although approved: an imported row
  body jsonb NOT NULL,
  received_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (document_kind, document_id, source_id, revision)
);

-- The original of each adjustment timesheet; it never changes.
CREATE TABLE fee_realizer.adjustment_timesheet (
  source_id text PRIMARY KEY,
  document_id text NOT NULL
);

-- Assignments: a catalog item that a company, client or office is billed for on its due dates. Each
-- due date is an occurrence: a source document ID@DATE, made ahead, once.
CREATE TABLE fee_realizer.assignment (
  assignment_id text PRIMARY KEY,
  billing_company text NOT NULL,
  version integer NOT NULL DEFAULT 0,           -- counts the changes
  realized_version integer NOT NULL DEFAULT 0,  -- the occurrences follow this version
  next_due date                                 -- the first due date without an occurrence
);
CREATE INDEX assignment_company ON fee_realizer.assignment (billing_company);

-- What is set from a date on; it replaces what earlier versions set for that date and later.
CREATE TABLE fee_realizer.assignment_version (
  assignment_id text NOT NULL REFERENCES fee_realizer.assignment,
  version integer NOT NULL,
  from_date date NOT NULL,
  until_date date,
  schedule jsonb,  -- NULL: the assignment has ended
  terms jsonb,
  actor text NOT NULL,
  reason text NOT NULL,
  command_id text NOT NULL,
  set_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (assignment_id, version)
);

CREATE TABLE fee_realizer.assignment_occurrence (
  assignment_id text NOT NULL REFERENCES fee_realizer.assignment,
  due_date date NOT NULL,
  revision integer NOT NULL,   -- the latest revision of its document
  withdrawn boolean NOT NULL,  -- no longer due
  PRIMARY KEY (assignment_id, due_date)
);

-- The facts that a document names: a changed fact finds its documents here.
CREATE TABLE fee_realizer.document_fact (
  fact_kind text NOT NULL
    CHECK (fact_kind IN ('requirement', 'catalog_item', 'billing_company', 'engagement')),
  fact_id text NOT NULL,
  document_kind text NOT NULL,
  document_id text NOT NULL,
  PRIMARY KEY (fact_kind, fact_id, document_kind, document_id)
);

-- The realizations of a document, numbered 1, 2, ...: all its lines, or none if it is withheld.
CREATE TABLE fee_realizer.realization (
  document_kind text NOT NULL,
  document_id text NOT NULL,
  realization_no integer NOT NULL,
  realization_kind text NOT NULL CHECK (realization_kind IN ('realized', 'withheld')),
  source_id text NOT NULL,
  revision bigint NOT NULL,
  cause text NOT NULL,
  body text NOT NULL,  -- the value of the event (JSON), byte for byte as published
  issued_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (document_kind, document_id, realization_no)
);

-- Documents to price again, because a fact changed or an operator retries them.
CREATE TABLE fee_realizer.pricing_queue (
  document_kind text NOT NULL,
  document_id text NOT NULL,
  cause text NOT NULL,
  queued_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (document_kind, document_id)
);

-- The date that the workers use as today in every time zone; NULL: the clock decides. A worker
-- records it when it starts, so that the console has the same today.
CREATE TABLE fee_realizer.business_date (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  today date
);

GRANT SELECT, INSERT, UPDATE ON fee_realizer.business_date TO fee_realizer;
GRANT SELECT, INSERT, UPDATE ON fee_realizer.billing_company, fee_realizer.tax_rate,
  fee_realizer.requirement, fee_realizer.requirement_status, fee_realizer.catalog_item,
  fee_realizer.retainer, fee_realizer.source_document, fee_realizer.engagement,
  fee_realizer.supplier, fee_realizer.placed_engagement TO fee_realizer;
GRANT SELECT, INSERT ON fee_realizer.engagement_revision, fee_realizer.supplier_revision
  TO fee_realizer;
GRANT DELETE ON fee_realizer.requirement_status TO fee_realizer;
GRANT SELECT, INSERT ON fee_realizer.requirement_revision, fee_realizer.source_revision,
  fee_realizer.adjustment_timesheet, fee_realizer.realization, fee_realizer.rate_version,
  fee_realizer.rate_confirmation,
  fee_realizer.hold_event TO fee_realizer;
GRANT SELECT, INSERT ON fee_realizer.assignment, fee_realizer.assignment_version,
  fee_realizer.assignment_occurrence TO fee_realizer;
GRANT UPDATE (version, realized_version, next_due) ON fee_realizer.assignment TO fee_realizer;
GRANT UPDATE (revision, withdrawn) ON fee_realizer.assignment_occurrence TO fee_realizer;
GRANT UPDATE (body) ON fee_realizer.source_revision TO fee_realizer;  -- of a forgotten worker
GRANT SELECT, INSERT ON fee_realizer.logo TO fee_realizer;
GRANT SELECT, INSERT, UPDATE, DELETE ON fee_realizer.worker TO fee_realizer;
GRANT UPDATE (until_book) ON fee_realizer.rate_version TO fee_realizer;
GRANT SELECT, INSERT, DELETE ON fee_realizer.document_fact, fee_realizer.rate_impact
  TO fee_realizer;
GRANT SELECT, INSERT, UPDATE, DELETE ON fee_realizer.pricing_queue, fee_realizer.retainer_use
  TO fee_realizer;

-- Views for other services, which read the data of fee_realizer only through them.

CREATE VIEW fee_realizer.billing_company_settings AS
  SELECT billing_company, enabled, name, address, tax_id, bank, time_zone, currency, series_prefix,
    series_width, default_tax, tax_basis, default_time_group, payment_terms, approval_level,
    max_day_hours, invoice_per_timesheet, remit_to, payment_instructions, footer, logo,
    default_account, default_item
  FROM fee_realizer.billing_company WHERE known;

-- The names of workers, and what requirements are called by clients, as documents print them.
CREATE VIEW fee_realizer.worker_name AS SELECT worker_id, worker_name FROM fee_realizer.worker;
CREATE VIEW fee_realizer.requirement_reference AS
  SELECT requirement_id, job_title, reference, client_contact, client_reference
  FROM fee_realizer.requirement
  WHERE known AND (reference, client_contact, client_reference) <> ('', '', '');
-- The pictures that documents name as their logo.
CREATE VIEW fee_realizer.document_logo AS SELECT logo, picture FROM fee_realizer.logo;

CREATE VIEW fee_realizer.company_tax_rate AS
  SELECT billing_company, tax_code, from_date, percent FROM fee_realizer.tax_rate;

-- What a billing company may put on a document: a ledger needs a code for each.
CREATE VIEW fee_realizer.company_code AS
  SELECT billing_company, 'currency' AS what, currency AS code
  FROM fee_realizer.billing_company WHERE known
  UNION
  SELECT billing_company, 'currency', currency FROM fee_realizer.requirement
  WHERE known AND NOT closed AND currency <> ''
  UNION
  SELECT r.billing_company, 'time', b.time_type
  FROM fee_realizer.requirement r JOIN fee_realizer.rate_version b USING (requirement_id)
  WHERE r.known AND NOT r.closed
  UNION
  SELECT billing_company, 'tax', tax_code FROM fee_realizer.tax_rate
  UNION
  SELECT c.billing_company, 'item', i.item_id
  FROM fee_realizer.billing_company c CROSS JOIN fee_realizer.catalog_item i
  WHERE c.known AND i.known;

-- The company is that of the revision in force: an earlier revision may have named another's
-- requirement.
CREATE VIEW fee_realizer.held_document AS
  SELECT d.document_kind, d.document_id, d.source_id, d.revision, d.realization_no, d.hold_code,
    d.hold_message, d.held_since,
    coalesce((SELECT h.billing_company FROM fee_realizer.hold_event h
              WHERE h.document_kind = d.document_kind AND h.document_id = d.document_id
              ORDER BY h.hold_no DESC, h.held_at DESC LIMIT 1), '') AS billing_company
  FROM fee_realizer.source_document d WHERE d.hold_code IS NOT NULL;

CREATE VIEW fee_realizer.latest_realization AS
  SELECT r.document_kind, r.document_id, r.realization_no, r.realization_kind, r.source_id,
    r.revision, r.cause, r.body, r.issued_at
  FROM fee_realizer.source_document d
  JOIN fee_realizer.realization r ON r.document_kind = d.document_kind
    AND r.document_id = d.document_id AND r.realization_no = d.realization_no;

CREATE VIEW fee_realizer.document_realization AS
  SELECT document_kind, document_id, realization_no, realization_kind, source_id, revision, cause,
    body, issued_at
  FROM fee_realizer.realization;

CREATE VIEW fee_realizer.document_state AS
  SELECT document_kind, document_id, source_id, revision, realization_no, hold_code, hold_message,
    held_since
  FROM fee_realizer.source_document WHERE revision >= 0;

-- The views below join documents to the JSON body of their revision in force. LATERAL with OFFSET 0
-- makes PostgreSQL look up one key after the other: it cannot estimate how many bodies match a
-- condition, and would otherwise compare all with all.

-- Placements from which timesheets can be expected: all but direct hires, which have a salary.
CREATE VIEW fee_realizer.expected_placement AS
  SELECT q.billing_company, q.office_id, d.document_id AS placement_id, q.requirement_id,
    r.body ->> 'worker_id' AS worker_id, (r.body ->> 'start_date')::date AS start_date,
    (r.body ->> 'end_date')::date AS end_date
  FROM fee_realizer.source_document d
  CROSS JOIN LATERAL (
    SELECT s.body FROM fee_realizer.source_revision s
    WHERE s.document_kind = 'placement' AND s.document_id = d.document_id
      AND s.source_id = d.source_id AND s.revision = d.revision OFFSET 0) r
  CROSS JOIN LATERAL (
    SELECT s.* FROM fee_realizer.requirement s
    WHERE s.requirement_id = r.body ->> 'requirement_id' AND s.known OFFSET 0) q
  WHERE d.document_kind = 'placement' AND r.body ->> 'salary' IS NULL;

-- Placements in force that ended, or will end on a known day.
CREATE VIEW fee_realizer.ended_placement AS
  SELECT d.document_id AS placement_id, (r.body ->> 'end_date')::date AS end_date
  FROM fee_realizer.source_document d
  CROSS JOIN LATERAL (
    SELECT s.body FROM fee_realizer.source_revision s
    WHERE s.document_kind = 'placement' AND s.document_id = d.document_id
      AND s.source_id = d.source_id AND s.revision = d.revision OFFSET 0) r
  WHERE d.document_kind = 'placement' AND r.body ->> 'end_date' IS NOT NULL;

-- Catalog items whose fees shrink by a rule when a worker leaves early.
CREATE VIEW fee_realizer.guaranteed_item AS
  SELECT item_id FROM fee_realizer.catalog_item WHERE guarantee IS NOT NULL;

-- Retainers with what placements take off them and what is left of them for an operator to decide.
-- `ended_from`: the day from which the requirement is cancelled or closed, if it is.
CREATE VIEW fee_realizer.retainer_state AS
  SELECT q.requirement_id, q.billing_company, q.retainer ->> 'item_id' AS item_id,
    coalesce((q.retainer ->> 'refundable')::boolean, false) AS refundable,
    t.amount, t.currency, u.set_off, u.placements, t.kept, least(t.credited, u.excess) AS credited,
    greatest(0, u.excess - t.kept - t.credited) AS undecided,
    CASE WHEN lower(btrim(e.status)) IN ('cancelled', 'canceled', 'closed') THEN e.from_date
      END AS ended_from
  FROM fee_realizer.retainer t
  JOIN fee_realizer.requirement q USING (requirement_id)
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(s.set_off), 0) AS set_off, count(*) AS placements,
      t.amount - coalesce(sum(s.set_off), 0) AS excess
    FROM fee_realizer.retainer_use s WHERE s.requirement_id = t.requirement_id) u
  LEFT JOIN LATERAL (
    SELECT s.status, s.from_date FROM fee_realizer.requirement_status s
    WHERE s.requirement_id = t.requirement_id ORDER BY s.from_date DESC LIMIT 1) e ON true
  WHERE q.retainer IS NOT NULL;

-- Periods, by week ending, in which a requirement is Filled as Contract or Temp.
CREATE VIEW fee_realizer.billable_span AS
  SELECT s.requirement_id, s.from_date, n.until
  FROM fee_realizer.requirement_status s
  CROSS JOIN LATERAL (
    SELECT min(l.from_date) AS until FROM fee_realizer.requirement_status l
    WHERE l.requirement_id = s.requirement_id AND l.from_date > s.from_date) n
  WHERE lower(s.status) = 'filled' AND lower(btrim(s.position_type)) IN ('contract', 'temp');

-- The worker and week of each timesheet in force, by requirement. A timesheet with hours is found
-- through its facts. One with zero hours (a week without work) names no fact and has its own index.
CREATE VIEW fee_realizer.timesheet_week AS
  SELECT f.fact_id AS requirement_id, r.body ->> 'worker_id' AS worker_id,
    (r.body ->> 'week_ending')::date AS week_ending, d.document_id, d.realization_no, d.hold_code
  FROM fee_realizer.document_fact f
  CROSS JOIN LATERAL (
    SELECT s.* FROM fee_realizer.source_document s
    WHERE s.document_kind = 'timesheet' AND s.document_id = f.document_id OFFSET 0) d
  CROSS JOIN LATERAL (
    SELECT s.body FROM fee_realizer.source_revision s
    WHERE s.document_kind = 'timesheet' AND s.document_id = d.document_id
      AND s.source_id = d.source_id AND s.revision = d.revision OFFSET 0) r
  WHERE f.fact_kind = 'requirement' AND f.document_kind = 'timesheet'
    AND r.body -> 'entries' @> jsonb_build_array(jsonb_build_object('requirement_id', f.fact_id))
  UNION ALL
  SELECT DISTINCT e.entry ->> 'requirement_id', r.body ->> 'worker_id',
    (r.body ->> 'week_ending')::date, d.document_id, d.realization_no, d.hold_code
  FROM fee_realizer.source_document d
  CROSS JOIN LATERAL (
    SELECT s.body FROM fee_realizer.source_revision s
    WHERE s.document_kind = 'timesheet' AND s.document_id = d.document_id
      AND s.source_id = d.source_id AND s.revision = d.revision OFFSET 0) r
  CROSS JOIN LATERAL jsonb_array_elements(r.body -> 'entries') AS e(entry)
  WHERE d.document_kind = 'timesheet' AND d.requirement_ids = '{}';

-- Held timesheets, one row for each requirement that their revision in force names.
CREATE VIEW fee_realizer.held_timesheet AS
  SELECT q.billing_company, q.office_id, q.requirement_id, d.document_id, d.hold_code,
    r.body ->> 'worker_id' AS worker_id, (r.body ->> 'week_ending')::date AS week_ending
  FROM fee_realizer.source_document d
  CROSS JOIN LATERAL (
    SELECT s.body FROM fee_realizer.source_revision s
    WHERE s.document_kind = 'timesheet' AND s.document_id = d.document_id
      AND s.source_id = d.source_id AND s.revision = d.revision OFFSET 0) r
  CROSS JOIN LATERAL (
    SELECT DISTINCT e.entry ->> 'requirement_id' AS requirement_id
    FROM jsonb_array_elements(r.body -> 'entries') AS e(entry)) u
  CROSS JOIN LATERAL (
    SELECT s.* FROM fee_realizer.requirement s
    WHERE s.requirement_id = u.requirement_id OFFSET 0) q
  WHERE d.document_kind = 'timesheet' AND d.hold_code IS NOT NULL;

-- Documents that wait to be priced again: their realizations have prices that are no longer right.
CREATE VIEW fee_realizer.document_to_price AS
  SELECT q.document_kind, q.document_id, q.queued_at,
    coalesce((SELECT min(r.billing_company) FROM fee_realizer.requirement r
              WHERE r.requirement_id = ANY(d.requirement_ids)), '') AS billing_company
  FROM fee_realizer.pricing_queue q
  JOIN fee_realizer.source_document d USING (document_kind, document_id);

-- The documents of the occurrences of assignments.
CREATE VIEW fee_realizer.assignment_document AS
  SELECT o.assignment_id, a.billing_company, o.assignment_id || '@' || o.due_date AS document_id,
    o.due_date, o.withdrawn
  FROM fee_realizer.assignment_occurrence o JOIN fee_realizer.assignment a USING (assignment_id);

-- Assignments, and the first due date that has no occurrence yet.
CREATE VIEW fee_realizer.assignment_state AS
  SELECT assignment_id, billing_company, next_due FROM fee_realizer.assignment;

CREATE VIEW fee_realizer.price_impact AS
  SELECT billing_company, document_id, requirement_id, time_type, effective_from, line_key,
    currency, unit, quantity, old_price, new_price, old_amount, new_amount
  FROM fee_realizer.rate_impact;

GRANT SELECT ON fee_realizer.billing_company_settings, fee_realizer.company_tax_rate,
  fee_realizer.held_document, fee_realizer.latest_realization, fee_realizer.document_state
  TO invoicer, scheduler, arg_sync;
GRANT SELECT ON fee_realizer.company_code, fee_realizer.document_logo TO arg_sync;
GRANT SELECT ON fee_realizer.worker_name, fee_realizer.requirement_reference TO invoicer;
GRANT SELECT ON fee_realizer.expected_placement, fee_realizer.billable_span,
  fee_realizer.timesheet_week, fee_realizer.held_timesheet, fee_realizer.document_to_price,
  fee_realizer.price_impact, fee_realizer.ended_placement,
  fee_realizer.assignment_document, fee_realizer.assignment_state,
  fee_realizer.guaranteed_item, fee_realizer.retainer_state TO invoicer;
