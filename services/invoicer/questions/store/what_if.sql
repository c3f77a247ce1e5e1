-- Keep the selections of several cut-offs over one snapshot, and compare two of them.

-- name: keep_selection
-- A narrow copy of the selection, under a number.
CREATE TEMP TABLE cut_off_{number} ON COMMIT DROP AS
SELECT pay_line_id, CAST(exclusion_reason AS smallint) AS exclusion_reason, debtor_no, currency,
       amount, week_ending
FROM selected_line WHERE pay_line_id > 0  -- the lines of MSP fees are no open lines

-- name: differences
-- The lines that are in only one of two selections, by debtor, currency and reasons.
SELECT debtor_no, currency, reason_before, reason_after, count(*) AS lines, sum(amount) AS amount,
       min(week_ending) AS first_week, max(week_ending) AS last_week,
       array_agg(pay_line_id ORDER BY pay_line_id) FILTER (WHERE position <= :most) AS pay_line_ids
FROM (
  SELECT a.debtor_no, a.currency, a.exclusion_reason AS reason_before,
         b.exclusion_reason AS reason_after, a.amount, a.week_ending, a.pay_line_id,
         row_number() OVER (
           PARTITION BY a.debtor_no, a.currency, a.exclusion_reason, b.exclusion_reason
           ORDER BY a.pay_line_id) AS position
  FROM cut_off_{before} a JOIN cut_off_{after} b ON b.pay_line_id = a.pay_line_id
  WHERE (a.exclusion_reason = 0) <> (b.exclusion_reason = 0)) l
GROUP BY debtor_no, currency, reason_before, reason_after
ORDER BY debtor_no, currency, reason_before, reason_after
