-- invoicer: the fees of a managed service programme (MSP), and the volume that decides their tiers.

-- The MSP fee of an invoice option, from a date on: a markup is a line of the document, a discount
-- an allowance of it. `base`: what of a document it is a percentage of, net after discounts.
CREATE TABLE invoicer.fee (
  billing_company text NOT NULL,
  option_name text NOT NULL,
  funded_by text NOT NULL CHECK (funded_by IN ('client', 'supplier')),
  from_date date NOT NULL,
  charged_as text NOT NULL CHECK (charged_as IN ('markup', 'discount')),
  percent numeric(5,2) NOT NULL CHECK (percent BETWEEN 0 AND 100),
  tax_code text NOT NULL,                -- of a markup; empty: that of the billing company
  base text[] NOT NULL CHECK (base <@ ARRAY['timesheets', 'products', 'expenses']),
  PRIMARY KEY (billing_company, option_name, funded_by, from_date));
-- Percentages by the volume that is reached before a document, from a date on; no tiers: the
-- percentage of the fee. Amounts and percentages are decimal strings.
CREATE TABLE invoicer.fee_tiers (
  billing_company text NOT NULL,
  option_name text NOT NULL,
  funded_by text NOT NULL CHECK (funded_by IN ('client', 'supplier')),
  currency text NOT NULL,
  from_date date NOT NULL,
  volume_of text NOT NULL CHECK (volume_of IN ('364-days', '91-days', 'year-to-date')),
  tiers jsonb NOT NULL,
  PRIMARY KEY (billing_company, option_name, funded_by, currency, from_date));
-- What another system billed under an option, as volume of a day.
CREATE TABLE invoicer.opening_volume (
  billing_company text NOT NULL,
  option_name text NOT NULL,
  currency text NOT NULL,
  on_date date NOT NULL,
  amount numeric(20,4) NOT NULL,
  PRIMARY KEY (billing_company, option_name, currency, on_date));

-- The fees of closed documents. `amount` is signed as in the document's net; it is negative for a
-- discount, and for a markup that a credit returns. What a credit returns has the percentage of the
-- fee that it names. `line_no`: the line of a markup. `volume`: what was reached before the
-- document since a day, where a tier decided the percentage.
CREATE TABLE invoicer.document_fee (
  invoice_id bigint NOT NULL REFERENCES invoicer.invoice,
  fee_no integer NOT NULL,
  option_name text NOT NULL,
  funded_by text NOT NULL,
  charged_as text NOT NULL,
  fee_from date NOT NULL,                -- the version of the fee
  percent numeric(5,2) NOT NULL,
  base numeric(20,4) NOT NULL,
  amount numeric(20,4) NOT NULL,
  line_no integer,
  volume numeric(20,4),
  volume_since date CHECK ((volume_since IS NULL) = (volume IS NULL)),
  corrects_invoice_id bigint REFERENCES invoicer.invoice,
  corrects_fee_no integer,
  PRIMARY KEY (invoice_id, fee_no));
CREATE INDEX document_fee_corrects ON invoicer.document_fee (corrects_invoice_id, corrects_fee_no)
  WHERE corrects_invoice_id IS NOT NULL;
-- What each line is of the base of a fee, and its share of a discount, which is a part of its
-- `allowance_amount`.
CREATE TABLE invoicer.line_fee (
  invoice_id bigint NOT NULL,
  line_no integer NOT NULL,
  fee_no integer NOT NULL,
  base numeric(20,4) NOT NULL,
  share numeric(20,4) NOT NULL,
  PRIMARY KEY (invoice_id, line_no),
  FOREIGN KEY (invoice_id, line_no) REFERENCES invoicer.invoice_line,
  FOREIGN KEY (invoice_id, fee_no) REFERENCES invoicer.document_fee);

-- The volume of closed documents with an option: net before fees, credits negative.
CREATE VIEW invoicer.option_volume AS
  SELECT i.billing_company, i.invoice_option ->> 'name' AS option_name, i.currency,
         i.invoice_date AS on_date, i.invoice_id, i.number,
         i.net - coalesce((
           SELECT sum(f.amount) FROM invoicer.document_fee f
           WHERE f.invoice_id = i.invoice_id), 0) AS amount
  FROM invoicer.invoice i WHERE i.invoice_option IS NOT NULL
  UNION ALL
  SELECT billing_company, option_name, currency, on_date, NULL, NULL, amount
  FROM invoicer.opening_volume;
CREATE INDEX invoice_option_volume
  ON invoicer.invoice (billing_company, (invoice_option ->> 'name'), currency, invoice_date)
  WHERE invoice_option IS NOT NULL;
-- The first day of the volume of a document that is dated `on_date`.
CREATE FUNCTION invoicer.volume_from(volume_of text, on_date date)
RETURNS date LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE volume_of WHEN '364-days' THEN on_date - 364 WHEN '91-days' THEN on_date - 91
  ELSE CAST(date_trunc('year', CAST(on_date AS timestamp)) AS date) END;

CREATE TRIGGER document_fee_no_change BEFORE UPDATE OR DELETE ON invoicer.document_fee
  FOR EACH ROW EXECUTE FUNCTION invoicer.refuse_change();
CREATE TRIGGER document_fee_no_truncate BEFORE TRUNCATE ON invoicer.document_fee
  FOR EACH STATEMENT EXECUTE FUNCTION invoicer.refuse_change();
CREATE TRIGGER line_fee_no_change BEFORE UPDATE OR DELETE ON invoicer.line_fee
  FOR EACH ROW EXECUTE FUNCTION invoicer.refuse_change();
CREATE TRIGGER line_fee_no_truncate BEFORE TRUNCATE ON invoicer.line_fee
  FOR EACH STATEMENT EXECUTE FUNCTION invoicer.refuse_change();
GRANT SELECT, INSERT ON invoicer.document_fee, invoicer.line_fee TO invoicer;
GRANT SELECT, INSERT, UPDATE ON invoicer.fee, invoicer.fee_tiers, invoicer.opening_volume
  TO invoicer;
GRANT SELECT ON invoicer.option_volume TO invoicer;

-- Every version of the fees and their tiers, loaded volume, and the fees of documents.
CREATE VIEW invoicer.console_fee AS
  SELECT billing_company, option_name, funded_by, from_date, charged_as, percent, tax_code, base
  FROM invoicer.fee;
CREATE VIEW invoicer.console_fee_tiers AS
  SELECT billing_company, option_name, funded_by, currency, from_date, volume_of, tiers
  FROM invoicer.fee_tiers;
CREATE VIEW invoicer.console_opening_volume AS
  SELECT billing_company, option_name, currency, on_date, amount FROM invoicer.opening_volume;
CREATE VIEW invoicer.console_option_volume AS
  SELECT billing_company, option_name, currency, on_date, amount FROM invoicer.option_volume;
CREATE VIEW invoicer.console_document_fee AS
  SELECT f.invoice_id, f.fee_no, i.billing_company, i.invoice_number, i.invoice_date,
         i.account_name, i.currency, f.option_name, f.funded_by, f.charged_as, f.fee_from,
         f.percent, f.base, f.amount, f.line_no, f.volume, c.invoice_number AS corrects_invoice,
         i.series, i.number
  FROM invoicer.document_fee f
  JOIN invoicer.invoice i USING (invoice_id)
  LEFT JOIN invoicer.invoice c ON c.invoice_id = f.corrects_invoice_id;
CREATE VIEW invoicer.console_line_fee AS
  SELECT l.pay_line_id, f.base, f.share, d.option_name, d.funded_by, d.charged_as, d.fee_from,
         d.percent, d.volume, d.corrects_invoice_id IS NOT NULL AS returned
  FROM invoicer.line_fee f
  JOIN invoicer.invoice_line l USING (invoice_id, line_no)
  JOIN invoicer.document_fee d USING (invoice_id, fee_no);
GRANT SELECT ON ALL TABLES IN SCHEMA invoicer TO auditor;
GRANT SELECT ON invoicer.console_fee, invoicer.console_fee_tiers, invoicer.console_opening_volume,
  invoicer.console_option_volume, invoicer.console_document_fee, invoicer.console_line_fee
  TO console;
