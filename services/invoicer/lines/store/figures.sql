-- name: open_figures
-- open lines per company, kind, currency and the status that they have today
WITH day AS (
  SELECT * FROM unnest(CAST(:companies AS text[]), CAST(:days AS date[]))
    AS d(billing_company, today)),
line AS (
  SELECT o.billing_company, p.line_kind, p.currency, p.amount,
    CASE WHEN o.effective_date > coalesce(d.today, CAST(:default_day AS date)) THEN 'Scheduled'
      WHEN z.line_key IS NOT NULL AND p.corrects_invoice_id IS NULL AND (z.until_date IS NULL
        OR z.until_date > coalesce(d.today, CAST(:default_day AS date)))
        OR r.pay_line_id IS NOT NULL THEN 'Snoozed'
      ELSE 'Pending' END AS status
  FROM invoicer.open_line o
  -- Each open line is looked up by its key: the query reads no history.
  CROSS JOIN LATERAL (
    SELECT line_kind, currency, amount, corrects_invoice_id, document_kind, document_id, line_key
    FROM invoicer.pay_line WHERE pay_line_id = o.pay_line_id OFFSET 0) p
  LEFT JOIN day d ON d.billing_company = o.billing_company
  LEFT JOIN invoicer.snooze z ON z.document_kind = p.document_kind
    AND z.document_id = p.document_id AND z.line_key = p.line_key
  LEFT JOIN invoicer.rejected_line r ON r.pay_line_id = o.pay_line_id)
SELECT billing_company, line_kind, currency, status, count(*) AS lines, sum(amount) AS amount
FROM line GROUP BY 1, 2, 3, 4
