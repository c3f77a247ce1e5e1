-- Disputes: what debtors do not accept of lines of invoices.

-- A dispute of a line. What is disputed of it is the sum of its entries; nothing is ever changed.
CREATE TABLE invoicer.dispute (
  dispute_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  billing_company text NOT NULL,
  invoice_id bigint NOT NULL,
  line_no integer NOT NULL,
  currency text NOT NULL,
  reason text NOT NULL,
  actor text NOT NULL,
  opened_on date NOT NULL,
  FOREIGN KEY (invoice_id, line_no) REFERENCES invoicer.invoice_line);
CREATE INDEX dispute_line ON invoicer.dispute (invoice_id, line_no);
CREATE INDEX dispute_company ON invoicer.dispute (billing_company);
-- What was disputed, and what was upheld, credited or paid of it after all, below zero.
CREATE TABLE invoicer.dispute_entry (
  dispute_id bigint NOT NULL REFERENCES invoicer.dispute,
  entry_no integer NOT NULL,
  kind text NOT NULL CHECK (kind IN ('opened', 'upheld', 'credited', 'paid')),
  amount numeric(20,4) NOT NULL CHECK (amount <> 0 AND (kind = 'opened') = (amount > 0)),
  entered_on date NOT NULL,
  credit_note text NOT NULL DEFAULT '',                 -- its number, where one credits the line
  command_id text NOT NULL,
  actor text NOT NULL,
  reason text NOT NULL,
  entered_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (dispute_id, entry_no));

-- Each dispute with what was disputed first, what is disputed now, and its state: `open`, or what
-- ended it.
CREATE VIEW invoicer.dispute_balance AS
  SELECT d.*, e.opened AS amount, e.disputed, e.last_day,
         CASE WHEN e.disputed > 0 THEN 'open' ELSE e.last_kind END AS state
  FROM invoicer.dispute d
  CROSS JOIN LATERAL (
    SELECT sum(n.amount) AS disputed, sum(n.amount) FILTER (WHERE n.kind = 'opened') AS opened,
           max(n.entered_on) AS last_day,
           (array_agg(n.kind ORDER BY n.entry_no DESC))[1] AS last_kind
    FROM invoicer.dispute_entry n WHERE n.dispute_id = d.dispute_id) e;
-- What is disputed of lines now.
CREATE VIEW invoicer.disputed_line AS
  SELECT invoice_id, line_no, disputed, dispute_id FROM invoicer.dispute_balance
  WHERE disputed > 0;

-- Disputes with the document and the debtor of each.
CREATE VIEW invoicer.console_dispute AS
  SELECT d.dispute_id, d.billing_company, d.invoice_id, i.invoice_number, i.account_name, d.line_no,
      d.currency, d.amount, d.disputed, d.state, d.reason, d.actor, d.opened_on, d.last_day
  FROM invoicer.dispute_balance d JOIN invoicer.invoice i USING (invoice_id);
-- What became of each dispute.
CREATE VIEW invoicer.console_dispute_entry AS
  SELECT dispute_id, entry_no, kind, amount, entered_on, credit_note, actor, reason
  FROM invoicer.dispute_entry;

GRANT SELECT, INSERT ON invoicer.dispute, invoicer.dispute_entry TO invoicer;
GRANT SELECT ON invoicer.dispute_balance, invoicer.disputed_line, invoicer.billing_record,
  invoicer.invoice_balance TO invoicer;
