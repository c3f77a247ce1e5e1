-- name: conservation
-- value + edits = open + drafted + invoiced - credited + forgiven, for each line key
WITH parts AS (
  SELECT d.document_kind, d.document_id, l ->> 'line_key' AS line_key, l ->> 'currency' AS currency,
      'stated' AS part,
         CAST(l ->> 'quantity' AS numeric) AS quantity, CAST(l ->> 'amount' AS numeric) AS amount
  FROM invoicer.settled_document AS d
      CROSS JOIN LATERAL jsonb_array_elements(CAST(d.body AS jsonb) -> 'lines') AS l
  WHERE d.realization_no > 0 AND d.realization_kind = 'realized'
  UNION ALL
  SELECT p.document_kind, p.document_id, p.line_key, p.currency, place.part, p.quantity, p.amount
  FROM invoicer.pay_line AS p
  JOIN (SELECT pay_line_id, 'open' AS part FROM invoicer.open_line
        UNION ALL SELECT pay_line_id, 'drafted' FROM invoicer.draft_line
        UNION ALL SELECT pay_line_id, 'net' FROM invoicer.invoice_line) AS place
            USING (pay_line_id)
  WHERE p.document_kind <> 'fee'),  -- an MSP fee is no part of a realization
sums AS (
  SELECT document_kind, document_id, line_key, currency,
      count(*) FILTER (WHERE part = 'stated') AS stated,
         coalesce(sum(quantity) FILTER (WHERE part = 'stated'), 0) AS stated_quantity,
             coalesce(sum(amount) FILTER (WHERE part = 'stated'), 0) AS stated_amount,
         coalesce(sum(quantity) FILTER (WHERE part = 'open'), 0) AS open_quantity,
             coalesce(sum(amount) FILTER (WHERE part = 'open'), 0) AS open_amount,
         coalesce(sum(quantity) FILTER (WHERE part = 'drafted'), 0) AS drafted_quantity,
         coalesce(sum(amount) FILTER (WHERE part = 'drafted'), 0) AS drafted_amount,
         coalesce(sum(quantity) FILTER (WHERE part = 'net'), 0) AS net_quantity,
             coalesce(sum(amount) FILTER (WHERE part = 'net'), 0) AS net_amount
  FROM parts GROUP BY 1, 2, 3, 4),
edits AS (
  SELECT document_kind, document_id, line_key, sum(quantity_difference) AS edit_quantity,
      sum(amount_difference) AS edit_amount
  FROM invoicer.operator_edit GROUP BY 1, 2, 3),
offs AS (
  SELECT document_kind, document_id, line_key, sum(quantity) AS off_quantity,
      sum(amount) AS off_amount FROM invoicer.write_off GROUP BY 1, 2, 3),
value AS (
  SELECT sums.*, coalesce(off_quantity, 0) AS off_quantity, coalesce(off_amount, 0) AS off_amount,
         stated_quantity + CASE WHEN stated > 0 THEN coalesce(edit_quantity, 0)
             ELSE 0 END AS value_quantity,
         stated_amount + CASE WHEN stated > 0 THEN coalesce(edit_amount, 0)
             ELSE 0 END AS value_amount
  FROM sums LEFT JOIN edits USING (document_kind, document_id, line_key)
      LEFT JOIN offs USING (document_kind, document_id, line_key)),
totals AS (
  SELECT value.*, greatest(0,
      least(off_quantity, value_quantity - net_quantity)) AS forgiven_quantity,
         greatest(0, least(off_amount, value_amount - net_amount)) AS forgiven_amount
  FROM value)
SELECT document_kind || ' ' || document_id || ' ' || line_key AS id,
       format('value %s / %s, open %s / %s, drafted %s / %s, net billed %s / %s,'
              ' forgiven %s / %s %s', value_quantity, value_amount,
              open_quantity, open_amount, drafted_quantity, drafted_amount, net_quantity,
                  net_amount, forgiven_quantity, forgiven_amount,
              currency) AS detail
FROM totals
WHERE (value_quantity <> open_quantity + drafted_quantity + net_quantity + forgiven_quantity
       OR value_amount <> open_amount + drafted_amount + net_amount + forgiven_amount)
  AND NOT EXISTS (SELECT FROM invoicer.settled_document AS d
      WHERE d.document_kind = totals.document_kind
                  AND d.document_id = totals.document_id AND d.realization_kind = 'withheld')

-- name: withheld
-- nothing of a withheld document is open or on a draft
SELECT d.document_kind || ' ' || d.document_id AS id,
    'pay line ' || p.pay_line_id || ' is open or on a draft' AS detail
FROM invoicer.settled_document AS d JOIN invoicer.pay_line AS p USING (document_kind, document_id)
WHERE d.realization_kind = 'withheld'
  AND (EXISTS (SELECT FROM invoicer.open_line AS o WHERE o.pay_line_id = p.pay_line_id)
       OR EXISTS (SELECT FROM invoicer.draft_line AS w WHERE w.pay_line_id = p.pay_line_id))

-- name: settled_realization
-- what was settled is a realization as it was issued
SELECT d.document_kind || ' ' || d.document_id AS id,
       CASE WHEN s.document_id IS NULL
           THEN 'realization ' || d.realization_no || ' was never issued'
            ELSE 'realization ' || d.realization_no
                || ' was settled with other content than it was issued with' END AS detail
FROM invoicer.settled_document AS d
LEFT JOIN fee_realizer.document_realization AS s
  ON s.document_kind = d.document_kind AND s.document_id = d.document_id
      AND s.realization_no = d.realization_no
WHERE d.realization_no > 0
  AND (s.document_id IS NULL OR s.realization_kind <> d.realization_kind
       OR (s.body <> d.body AND CAST(s.body AS jsonb) <> CAST(d.body AS jsonb)))

-- name: in_flight
-- a realization is settled within minutes
SELECT d.document_kind || ' ' || d.document_id AS id,
       format('realization %s was issued at %s, settled is %s%s', d.realization_no,
           date_trunc('second', d.issued_at), coalesce(s.realization_no, 0),
              CASE WHEN s.stale_realization_no IS NULL THEN ''
                  ELSE ', realization ' || s.stale_realization_no
                      || ' waits to be priced again' END) AS detail
FROM fee_realizer.latest_realization AS d
LEFT JOIN invoicer.settled_document AS s ON s.document_kind = d.document_kind
    AND s.document_id = d.document_id
WHERE (coalesce(s.realization_no, 0) < d.realization_no
    OR s.stale_realization_no >= d.realization_no)
  AND d.issued_at < now() - make_interval(mins => CAST(:minutes AS integer))

-- name: to_be_priced
-- a document that waits to be priced again is priced within minutes
SELECT document_kind || ' ' || document_id AS id,
       format('waits to be priced again since %s', date_trunc('second', since)) AS detail
FROM (
  SELECT document_kind, document_id, queued_at AS since FROM fee_realizer.document_to_price
  UNION ALL
  SELECT document_kind, document_id, citation_ended_at FROM invoicer.stale_price_basis
  WHERE citation_ended_at IS NOT NULL) AS waits
WHERE since < now() - make_interval(mins => CAST(:minutes AS integer))

-- name: held_is_withheld
-- a held document is withheld, a document that is not held is realized
SELECT d.document_kind || ' ' || d.document_id AS id,
       CASE WHEN d.hold_code IS NULL
           THEN 'is not held, but realization ' || d.realization_no || ' withholds it'
            ELSE 'is held (' || d.hold_code || '), but realization ' || d.realization_no
                || ' realizes it' END AS detail
FROM fee_realizer.document_state AS d
    JOIN fee_realizer.latest_realization AS s USING (document_kind, document_id)
WHERE (d.hold_code IS NULL) <> (s.realization_kind = 'realized')

-- name: one_place
-- each pay line is in exactly one location: open, draft, invoice or replaced
SELECT 'pay line ' || found.pay_line_id AS id,
       CASE WHEN places = 0 THEN 'is in no location'
           ELSE 'is in ' || places || ' locations: ' || concat_ws(', ',
            CASE WHEN EXISTS (SELECT FROM invoicer.open_line AS o
                WHERE o.pay_line_id = found.pay_line_id) THEN 'open' END,
            CASE WHEN EXISTS (SELECT FROM invoicer.draft_line AS o
                WHERE o.pay_line_id = found.pay_line_id) THEN 'draft' END,
            CASE WHEN EXISTS (SELECT FROM invoicer.invoice_line AS o
                WHERE o.pay_line_id = found.pay_line_id) THEN 'invoice' END,
            CASE WHEN EXISTS (SELECT FROM invoicer.replaced_line AS o
                WHERE o.pay_line_id = found.pay_line_id) THEN 'replaced' END) END
         || coalesce(' (' || p.document_kind || ' ' || p.document_id || ')',
             ', and is no pay line') AS detail
FROM (
  SELECT pay_line_id, sum(place) AS places, sum(line) AS lines
  FROM (SELECT pay_line_id, 0 AS place, 1 AS line FROM invoicer.pay_line
        UNION ALL SELECT pay_line_id, 1, 0 FROM invoicer.open_line
        UNION ALL SELECT pay_line_id, 1, 0 FROM invoicer.draft_line
        UNION ALL SELECT pay_line_id, 1, 0 FROM invoicer.invoice_line
        UNION ALL SELECT pay_line_id, 1, 0 FROM invoicer.replaced_line) AS everywhere
  GROUP BY pay_line_id HAVING sum(place) <> 1 OR sum(line) <> 1) AS found
LEFT JOIN invoicer.pay_line AS p ON p.pay_line_id = found.pay_line_id

-- name: open_copy
-- an open row has the same company, dates and node as its pay line
SELECT 'pay line ' || p.pay_line_id AS id,
    'its open row has another company, date or node than the pay line' AS detail
FROM invoicer.open_line AS o JOIN invoicer.pay_line AS p USING (pay_line_id)
WHERE (o.billing_company, o.effective_date, o.billto_node) <> (p.billing_company, p.effective_date,
    p.billto_node)
   OR o.week_ending IS DISTINCT FROM p.week_ending
       OR (p.corrects_invoice_id IS NOT NULL AND NOT o.correction)

-- name: line_amount
-- a line that is no correction and was not edited is quantity × unit price, rounded once
WITH billed AS (
  SELECT p.document_kind, p.document_id, p.line_key, min(p.pay_line_id) AS first
  FROM invoicer.invoice_line AS i JOIN invoicer.pay_line AS p USING (pay_line_id) GROUP BY 1, 2, 3)
SELECT 'pay line ' || p.pay_line_id AS id,
       format('%s × %s is not %s %s (%s %s)', p.quantity, p.unit_price, p.amount, p.currency,
           p.document_kind, p.document_id) AS detail
FROM invoicer.pay_line AS p
JOIN unnest(CAST(:currencies AS text[]), CAST(:places AS integer[])) AS c(currency, places)
    ON c.currency = p.currency
LEFT JOIN billed AS b ON b.document_kind = p.document_kind AND b.document_id = p.document_id
    AND b.line_key = p.line_key
WHERE p.amount <> round(p.quantity * p.unit_price, c.places) AND p.corrects_invoice_id IS NULL
    AND (b.first IS NULL OR b.first >= p.pay_line_id)
    AND NOT p.derivation ? 'opening'  -- as the old system rounded it
  AND NOT EXISTS (SELECT FROM invoicer.operator_edit AS e
                  WHERE e.document_kind = p.document_kind AND e.document_id = p.document_id
                      AND e.line_key = p.line_key)

-- name: minor_unit
-- no amount has more decimals than its currency
WITH amounts AS (
  SELECT 'pay line ' || pay_line_id AS id, currency, amount FROM invoicer.pay_line
  UNION ALL
  SELECT 'invoice ' || i.invoice_number || ' line ' || l.line_no, i.currency, a.amount
  FROM invoicer.invoice_line AS l JOIN invoicer.invoice AS i USING (invoice_id)
      CROSS JOIN LATERAL (VALUES (l.tax_amount), (l.allowance_amount)) AS a(amount)
  UNION ALL
  SELECT 'invoice ' || i.invoice_number, i.currency, sums.amount
  FROM invoicer.invoice AS i
      CROSS JOIN LATERAL (VALUES (i.net), (i.tax), (i.total)) AS sums(amount))
SELECT a.id, format('%s %s has more decimals than the currency', a.amount, a.currency) AS detail
FROM amounts AS a JOIN unnest(CAST(:currencies AS text[]),
    CAST(:places AS integer[])) AS c(currency, places) ON c.currency = a.currency
WHERE a.amount <> round(a.amount, c.places)
