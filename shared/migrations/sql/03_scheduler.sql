-- scheduler: the watermark of each billing company, the local date up to which its Scheduled lines
-- have been announced.

-- One row for each move of a watermark, which announces the days after from_date up to to_date.
CREATE TABLE scheduler.watermark (
  billing_company text NOT NULL,
  from_date date NOT NULL,
  to_date date NOT NULL,
  announced_at timestamptz NOT NULL,
  PRIMARY KEY (billing_company, to_date),
  CHECK (from_date < to_date)
);
GRANT SELECT, INSERT ON scheduler.watermark TO scheduler;

CREATE VIEW scheduler.due_watermark AS
  SELECT billing_company, max(to_date) AS to_date FROM scheduler.watermark GROUP BY billing_company;
GRANT SELECT ON scheduler.due_watermark TO scheduler, invoicer, fee_realizer;
