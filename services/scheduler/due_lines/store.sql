-- name: company_watermarks
-- Id, time zone and watermark of one or all billing companies, disabled ones too.
SELECT c.billing_company, c.time_zone, w.to_date AS watermark
FROM fee_realizer.billing_company_settings c
LEFT JOIN scheduler.due_watermark w USING (billing_company)
WHERE CAST(:company AS text) IS NULL OR c.billing_company = :company
ORDER BY c.billing_company

-- name: due_ranges
-- The lines that a move makes due as ids of ranges of at most LINES_PER_RANGE lines.
SELECT min(pay_line_id) AS first, max(pay_line_id) AS last
FROM (SELECT pay_line_id, (row_number() OVER (ORDER BY pay_line_id) - 1)
        / CAST(:size AS bigint) AS range_no
      FROM invoicer.due_line WHERE billing_company = :company
        AND effective_date > :from_date AND effective_date <= :to_date) AS lines
GROUP BY range_no ORDER BY range_no
