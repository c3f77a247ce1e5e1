-- name: companies
-- Billing companies, and the days from which the rate of their default tax is another one.
SELECT b.billing_company, b.known, b.enabled, b.approval_level, b.tax_date = 'work-date',
  ARRAY(
    SELECT t.from_date FROM (
      SELECT r.from_date, r.percent, lag(r.percent) OVER (ORDER BY r.from_date) AS percent_before
      FROM fee_realizer.tax_rate r
      WHERE r.billing_company = b.billing_company AND r.tax_code = b.default_tax) t
    WHERE t.percent <> t.percent_before ORDER BY t.from_date) AS tax_changes, b.time_zone,
  b.go_live
FROM fee_realizer.billing_company b
WHERE b.billing_company = ANY(CAST(:ids AS text[])) ORDER BY b.billing_company
