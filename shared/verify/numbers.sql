-- name: gap_certificate
-- every number from the first to the last was used once or is in a declared jump
WITH spans AS (
  SELECT billing_company, series, number AS first, number AS last,
      'invoice ' || invoice_number AS what FROM invoicer.invoice
  UNION ALL
  SELECT billing_company, series, from_number, to_number,
      'the jump from ' || from_number || ' to ' || to_number FROM invoicer.number_jump),
along AS (
  SELECT spans.*, lag(last) OVER (PARTITION BY billing_company, series ORDER BY first,
      last) AS before,
         lead(first) OVER (PARTITION BY billing_company, series ORDER BY first, last) AS after
  FROM spans)
SELECT billing_company || ' ' || series || ' ' || coalesce(a.first, s.first_number) AS id,
       CASE WHEN s.billing_company IS NULL THEN a.what || ' is of a series without a counter'
            WHEN a.billing_company IS NULL
                THEN format('the counter is at %s, but no number was ever used', s.next_number)
            WHEN a.before IS NULL AND a.first <> s.first_number
                THEN format('the series begins with %s, but its first number is %s', a.what,
                    s.first_number)
            WHEN a.before >= a.first THEN format(
                '%s takes a number that is already used (up to %s)', a.what, a.before)
            WHEN a.before + 1 < a.first
                THEN format('numbers %s to %s are neither used nor in a declared jump',
                    a.before + 1, a.first - 1)
            ELSE format('the series ends with %s, but the counter has %s as the next number',
                a.what,
                s.next_number) END AS detail
FROM along AS a FULL JOIN invoicer.number_series AS s USING (billing_company, series)
WHERE s.billing_company IS NULL OR (a.billing_company IS NULL AND s.next_number <> s.first_number)
   OR (a.before IS NULL AND a.first <> s.first_number) OR a.before + 1 <> a.first
       OR (a.after IS NULL AND a.last <> s.next_number - 1)

-- name: printed_number
-- a document prints the number that it has
SELECT 'invoice ' || invoice_number AS id,
    'prints another number than its own, ' || number AS detail
FROM invoicer.invoice WHERE right(invoice_number,
    length(CAST(number AS text))) <> CAST(number AS text) AND NOT is_opening

-- name: dates_along_numbers
-- invoice dates do not go back along the numbers
SELECT 'invoice ' || invoice_number AS id,
    format('is dated %s, after %s of the number before', invoice_date, before) AS detail
FROM (SELECT invoice_number, invoice_date,
    lag(invoice_date) OVER (PARTITION BY billing_company, series ORDER BY number) AS before
      FROM invoicer.invoice WHERE NOT is_opening) AS along
WHERE before > invoice_date
UNION ALL
SELECT s.billing_company || ' ' || s.series,
    format('the counter has %s as the last date, the documents have %s', s.last_date,
        d.last_date)
FROM invoicer.number_series AS s
JOIN (SELECT billing_company, series, max(invoice_date) AS last_date FROM invoicer.invoice
    GROUP BY 1, 2) AS d USING (billing_company, series)
WHERE s.last_date IS DISTINCT FROM d.last_date

-- name: due_date
-- a document is due as its payment terms state
SELECT 'invoice ' || v.invoice_number AS id,
    format('is due on %s; %s from %s is another day', v.due_date, v.payment_terms,
        v.invoice_date) AS detail
FROM invoicer.invoice AS v
JOIN unnest(CAST(:terms AS text[]), CAST(:dates AS date[]), CAST(:due AS date[])) AS t(terms,
    invoice_date, due_date)
  ON (v.payment_terms, v.invoice_date, v.due_date) = (t.terms, t.invoice_date, t.due_date)

-- name: watermark
-- every day was announced by exactly one move of a watermark
SELECT billing_company AS id,
    format('the move to %s begins at %s, but the one before ended at %s', to_date, from_date,
        before) AS detail
FROM (SELECT billing_company, from_date, to_date,
    lag(to_date) OVER (PARTITION BY billing_company ORDER BY to_date) AS before
      FROM scheduler.watermark) AS moves
WHERE before <> from_date

-- name: due_date_combinations
-- the combinations of payment terms, invoice date and due date on closed documents
SELECT DISTINCT payment_terms, invoice_date, due_date FROM invoicer.invoice
