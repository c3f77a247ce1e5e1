-- scheduler: when. The watermark of a billing company says up to which local date its Scheduled lines have been announced.
CREATE TABLE scheduler.watermark (                    -- one row a move; the highest to_date is the watermark
  billing_company text NOT NULL, from_date date NOT NULL, to_date date NOT NULL, announced_at timestamptz NOT NULL,
  PRIMARY KEY (billing_company, to_date),
  CHECK (from_date < to_date));
GRANT SELECT, INSERT ON scheduler.watermark TO scheduler;
CREATE VIEW scheduler.due_watermark AS SELECT billing_company, max(to_date) AS to_date FROM scheduler.watermark GROUP BY billing_company;
GRANT SELECT ON scheduler.due_watermark TO scheduler, invoicer, fee_realizer, console;
GRANT SELECT ON scheduler.watermark TO console;          -- verify looks at every move
