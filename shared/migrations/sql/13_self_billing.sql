-- Self-billing: a billing company issues the invoices of its suppliers to itself.

-- The agreements. Each is a billing company of its own, `SUPPLIER@COMPANY`, because the supplier is
-- the seller of its documents. `buyer`: the billing company that pays; `account_name`: empty: the
-- one that the ATS has of the supplier.
CREATE TABLE fee_realizer.self_billing_agreement (
  billing_company text PRIMARY KEY REFERENCES fee_realizer.billing_company,
  supplier_id text NOT NULL,
  buyer text NOT NULL REFERENCES fee_realizer.billing_company,
  from_date date NOT NULL,
  account_name text NOT NULL,
  reference text NOT NULL,
  actor text NOT NULL,
  reason text NOT NULL,
  set_at timestamptz NOT NULL DEFAULT now(),
  CHECK (billing_company = supplier_id || '@' || buyer));
GRANT SELECT, INSERT, UPDATE ON fee_realizer.self_billing_agreement TO fee_realizer;

-- The agreements as they are in force, with the Account Name of the supplier.
CREATE VIEW fee_realizer.self_billing AS
  SELECT a.billing_company, a.supplier_id, a.buyer, a.from_date,
         coalesce(nullif(a.account_name, ''), s.body ->> 'account_name', '') AS account_name,
         a.reference
  FROM fee_realizer.self_billing_agreement a
  LEFT JOIN fee_realizer.supplier s ON s.supplier_id = a.supplier_id AND s.known;
-- The suppliers that the ATS has sent.
CREATE VIEW fee_realizer.known_supplier AS
  SELECT supplier_id FROM fee_realizer.supplier WHERE known;
GRANT SELECT ON fee_realizer.self_billing, fee_realizer.known_supplier TO invoicer;
GRANT SELECT ON fee_realizer.self_billing TO arg_sync;

-- The numbers that suppliers give to the documents that are issued for them. Each is used once.
CREATE TABLE invoicer.supplier_number (
  billing_company text NOT NULL,                        -- the agreement
  invoice_number text NOT NULL,
  supplier_id text NOT NULL,
  supplier_number text NOT NULL,
  actor text NOT NULL,
  reason text NOT NULL,
  recorded_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (billing_company, invoice_number),
  UNIQUE (supplier_id, supplier_number),
  FOREIGN KEY (billing_company, invoice_number)
    REFERENCES invoicer.invoice (billing_company, invoice_number));
GRANT SELECT, INSERT ON invoicer.supplier_number TO invoicer;

-- The Account Name of each agreement: its items are at no billto node.
CREATE VIEW invoicer.console_agreement_debtor AS
  SELECT billing_company, nullif(account_name, '') AS account_name FROM fee_realizer.self_billing;

-- Agreements with the settings of their sellers.
CREATE VIEW fee_realizer.console_self_billing AS
  SELECT g.billing_company, g.supplier_id, g.buyer, g.from_date, g.account_name,
         a.account_name AS own_account_name, g.reference, c.name, c.address, c.tax_id, c.bank,
         c.payment_terms, c.series_prefix, c.series_width, c.default_tax
  FROM fee_realizer.self_billing g
  JOIN fee_realizer.self_billing_agreement a USING (billing_company)
  JOIN fee_realizer.billing_company c USING (billing_company);
-- Documents that are issued for suppliers, with the number that the supplier gave to each, and what
-- is still to pay.
CREATE VIEW invoicer.console_self_billed AS
  SELECT i.billing_company, i.invoice_id, i.invoice_number, i.document_type, i.account_name,
         i.invoice_date, i.due_date, i.currency, i.net, i.tax, i.total, b.paid, b.balance, b.state,
         coalesce(n.supplier_number, '') AS supplier_number
  FROM invoicer.invoice i
  JOIN invoicer.invoice_balance b USING (invoice_id)
  LEFT JOIN invoicer.supplier_number n USING (billing_company, invoice_number)
  WHERE i.is_self_billed;
