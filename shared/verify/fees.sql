-- name: fee_amount
-- an MSP fee is its percentage of its base: a markup rounded once, a discount once a tax rate
WITH fee AS (
  SELECT f.*, i.invoice_number, c.places, round(f.base * f.percent / 100, c.places) AS exact,
         (SELECT count(*) FROM jsonb_array_elements(i.tax_totals)) AS rates
  FROM invoicer.document_fee AS f
  JOIN invoicer.invoice AS i USING (invoice_id)
  JOIN unnest(CAST(:currencies AS text[]), CAST(:places AS integer[])) AS c(currency, places)
    ON c.currency = i.currency
  WHERE f.corrects_invoice_id IS NULL)
SELECT 'invoice ' || invoice_number || ' fee ' || fee_no AS id,
       format('%s of %s %% of %s is %s', charged_as, percent, base, amount) AS detail
FROM fee
WHERE (charged_as = 'markup' AND amount <> exact)
   OR (charged_as = 'discount' AND abs(amount + exact) > rates * power(10.0, -places))

-- name: fee_base
-- the base of an MSP fee is the sum of its lines, and none of them is more than its line
WITH lines AS (
  SELECT b.invoice_id, b.fee_no, sum(b.base) AS base, sum(b.share) AS share,
         bool_or(abs(b.base) > abs(p.amount) OR b.base * p.amount < 0
                 OR p.document_kind = 'fee') AS above
  FROM invoicer.line_fee AS b
  JOIN invoicer.invoice_line AS l USING (invoice_id, line_no)
  JOIN invoicer.pay_line AS p USING (pay_line_id) GROUP BY 1, 2)
SELECT 'invoice ' || i.invoice_number || ' fee ' || f.fee_no AS id,
       format('states base %s, amount %s; its lines have %s, shares of %s%s', f.base, f.amount,
              coalesce(l.base, 0), coalesce(l.share, 0),
              CASE WHEN l.above THEN ', one of them more than the line' ELSE '' END) AS detail
FROM invoicer.document_fee AS f
JOIN invoicer.invoice AS i USING (invoice_id)
LEFT JOIN lines AS l USING (invoice_id, fee_no)
WHERE f.base <> coalesce(l.base, 0) OR l.above
   OR CASE f.charged_as WHEN 'discount' THEN f.amount ELSE 0 END <> coalesce(l.share, 0)

-- name: fee_line
-- a markup is the line of its document that it names, and no other line is an MSP fee
SELECT 'invoice ' || i.invoice_number || coalesce(' line ' || l.line_no, ' fee ' || f.fee_no) AS id,
       CASE WHEN f.invoice_id IS NULL THEN 'is of an MSP fee that the document does not have'
            ELSE format('the document has a markup of %s, the line is %s', f.amount,
                        coalesce(l.amount, 0)) END AS detail
FROM (
  SELECT x.invoice_id, x.line_no, p.amount
  FROM invoicer.pay_line AS p JOIN invoicer.invoice_line AS x USING (pay_line_id)
  WHERE p.document_kind = 'fee') AS l
FULL JOIN (
  SELECT * FROM invoicer.document_fee WHERE charged_as = 'markup' AND amount <> 0) AS f
  USING (invoice_id, line_no)
JOIN invoicer.invoice AS i USING (invoice_id)
WHERE f.invoice_id IS NULL OR l.invoice_id IS NULL OR f.amount <> l.amount

-- name: fee_returned
-- credits return of an MSP fee never more than it was, and all of it with all of its base
WITH returned AS (
  SELECT corrects_invoice_id AS invoice_id, corrects_fee_no AS fee_no, sum(base) AS base,
         sum(amount) AS amount, bool_or(base > 0) AS adds
  FROM invoicer.document_fee WHERE corrects_invoice_id IS NOT NULL GROUP BY 1, 2)
SELECT coalesce('invoice ' || i.invoice_number || ' fee ' || r.fee_no, 'fee ' || r.fee_no) AS id,
       format('is %s of %s; credits return %s of %s', f.amount, f.base, r.amount, r.base) AS detail
FROM returned AS r
LEFT JOIN invoicer.document_fee AS f USING (invoice_id, fee_no)
LEFT JOIN invoicer.invoice AS i USING (invoice_id)
WHERE f.invoice_id IS NULL OR f.corrects_invoice_id IS NOT NULL OR r.adds
   OR f.base + r.base < 0 OR r.amount * f.amount > 0 OR abs(r.amount) > abs(f.amount)
   OR (f.base + r.base = 0 AND f.amount + r.amount <> 0)

-- name: fee_tier
-- the volume that decided a tier is what was closed before the document since its first day, where
-- none was loaded
SELECT 'invoice ' || i.invoice_number || ' fee ' || f.fee_no AS id,
       format('states a volume of %s before it; it was %s', f.volume, coalesce(v.volume, 0))
         AS detail
FROM invoicer.document_fee AS f
JOIN invoicer.invoice AS i USING (invoice_id)
CROSS JOIN LATERAL (
  SELECT sum(o.amount) AS volume
  FROM invoicer.option_volume AS o
  WHERE o.billing_company = i.billing_company AND o.option_name = f.option_name
    AND o.currency = i.currency AND o.invoice_id < i.invoice_id
    AND o.on_date BETWEEN f.volume_since AND i.invoice_date) AS v
WHERE f.volume IS NOT NULL AND f.volume <> coalesce(v.volume, 0)
  AND NOT EXISTS (
    SELECT FROM invoicer.opening_volume AS o
    WHERE o.billing_company = i.billing_company AND o.option_name = f.option_name
      AND o.currency = i.currency AND o.on_date BETWEEN f.volume_since AND i.invoice_date)
