-- What each debtor has open for a cut-off, added up from the selection.

-- name: counts_by_debtor
-- Timesheets, late timesheets and corrections (each a number of documents), and lines of products.
-- A document counts once in each kind: a late timesheet may also have a line that is a correction.
SELECT k.debtor_no,
       count(DISTINCT p.document_id) FILTER (
         WHERE l.is_time AND NOT o.correction AND NOT l.late) AS timesheets,
       count(DISTINCT p.document_id) FILTER (
         WHERE l.is_time AND NOT o.correction AND l.late) AS late,
       count(DISTINCT p.document_id) FILTER (WHERE l.is_time AND o.correction) AS corrections,
       count(*) FILTER (WHERE NOT l.is_time) AS products
FROM selected_line k
JOIN debtor_decision d ON d.debtor_no = k.debtor_no
JOIN invoicer.pay_line p ON p.pay_line_id = k.pay_line_id
JOIN invoicer.open_line o
  ON o.billing_company = p.billing_company AND o.pay_line_id = p.pay_line_id
CROSS JOIN LATERAL (
  SELECT p.line_kind = 'timesheet' AS is_time,
         coalesce(o.week_ending < d.weeks_from, false) AS late) l
WHERE k.exclusion_reason = ANY(CAST(:counted AS integer[]))
GROUP BY k.debtor_no

-- name: amounts_by_debtor
-- Lines, net and hours of what is in, and net of what is kept back, by debtor and currency; without
-- MSP fees, which are no open lines.
SELECT debtor_no, currency, count(*) FILTER (WHERE exclusion_reason = 0) AS lines,
       coalesce(sum(amount) FILTER (WHERE exclusion_reason = 0), 0) AS net,
       coalesce(sum(amount) FILTER (WHERE exclusion_reason <> 0), 0) AS kept,
       coalesce(sum(hours) FILTER (WHERE exclusion_reason = 0), 0) AS hours
FROM selected_line
WHERE exclusion_reason = ANY(CAST(:counted AS integer[])) AND pay_line_id > 0
GROUP BY debtor_no, currency ORDER BY debtor_no, currency
