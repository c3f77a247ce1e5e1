-- name: invoice_sums
-- a document is the sum of its lines and their allowances (net), and of net and tax (total)
WITH sums AS (
  SELECT i.invoice_id, count(*) AS lines, sum(p.amount + i.allowance_amount) AS net,
      sum(i.tax_amount) AS tax, min(i.line_no) AS first, max(i.line_no) AS last
  FROM invoicer.invoice_line AS i JOIN invoicer.pay_line AS p USING (pay_line_id) GROUP BY 1)
SELECT coalesce('invoice ' || v.invoice_number, 'invoice id ' || s.invoice_id) AS id,
       CASE WHEN v.invoice_id IS NULL THEN 'has lines but no document'
            ELSE format('states %s lines, net %s, tax %s, total %s;'
                        ' its lines are %s (%s to %s), net %s, tax %s',
                        v.line_count, v.net, v.tax, v.total,
                        coalesce(s.lines, 0), s.first, s.last, coalesce(s.net, 0),
                            coalesce(s.tax, 0)) END AS detail
FROM invoicer.invoice AS v FULL JOIN sums AS s USING (invoice_id)
WHERE v.invoice_id IS NULL OR s.invoice_id IS NULL OR v.line_count <> s.lines
    -- Opening data may have some of the lines that the old document had, under their numbers.
    OR ((s.first <> 1 OR s.last <> s.lines) AND NOT v.is_opening)
   OR v.net <> s.net OR v.tax <> s.tax OR v.total <> v.net + v.tax

-- name: tax_totals
-- a document's tax per code and rate is that of its lines
WITH lines AS (
  SELECT i.invoice_id, i.tax_code AS code, i.tax_rate AS rate,
      sum(p.amount + i.allowance_amount) AS net, sum(i.tax_amount) AS tax
  FROM invoicer.invoice_line AS i JOIN invoicer.pay_line AS p USING (pay_line_id) GROUP BY 1, 2, 3),
stated AS (
  SELECT v.invoice_id, t ->> 'code' AS code, CAST(t ->> 'rate' AS numeric) AS rate,
         sum(CAST(t ->> 'net' AS numeric)) AS net, sum(CAST(t ->> 'tax' AS numeric)) AS tax
  FROM invoicer.invoice AS v CROSS JOIN LATERAL jsonb_array_elements(v.tax_totals) AS t GROUP BY 1,
      2, 3)
SELECT 'invoice ' || v.invoice_number AS id,
       format('tax %s %s %%: states net %s, tax %s; its lines are net %s, tax %s',
           coalesce(nullif(code, ''), 'none'), rate,
              coalesce(s.net, 0), coalesce(s.tax, 0), coalesce(l.net, 0),
                  coalesce(l.tax, 0)) AS detail
FROM lines AS l FULL JOIN stated AS s USING (invoice_id, code, rate)
    JOIN invoicer.invoice AS v USING (invoice_id)
WHERE coalesce(s.net, 0) <> coalesce(l.net, 0) OR coalesce(s.tax, 0) <> coalesce(l.tax, 0)

-- name: allowances
-- the discounts and surcharges of a document are the shares of its lines, per tax code and rate
WITH shares AS (
  SELECT invoice_id, tax_code AS code, tax_rate AS rate, sum(allowance_amount) AS amount
  FROM invoicer.invoice_line WHERE allowance_amount <> 0 GROUP BY 1, 2, 3),
stated AS (
  SELECT v.invoice_id, a ->> 'code' AS code, CAST(a ->> 'rate' AS numeric) AS rate,
         sum(CAST(a ->> 'amount' AS numeric)) AS amount,
         bool_or(abs(CAST(a ->> 'amount' AS numeric)) > CAST(a ->> 'base' AS numeric)
                 AND CAST(a ->> 'base' AS numeric) > 0) AS above_base
  FROM invoicer.invoice AS v CROSS JOIN LATERAL jsonb_array_elements(v.allowances) AS a
  GROUP BY 1, 2, 3)
SELECT 'invoice ' || v.invoice_number AS id,
       format('tax %s %s %%: states allowances of %s%s; the shares of its lines are %s',
              coalesce(nullif(code, ''), 'none'), rate, coalesce(t.amount, 0),
              CASE WHEN t.above_base THEN ', one of them above its base' ELSE '' END,
              coalesce(s.amount, 0)) AS detail
FROM shares AS s FULL JOIN stated AS t USING (invoice_id, code, rate)
    JOIN invoicer.invoice AS v USING (invoice_id)
WHERE coalesce(s.amount, 0) <> coalesce(t.amount, 0) OR t.above_base

-- name: line_belongs
-- a document has one billing company, one currency and one PO number
SELECT 'invoice ' || v.invoice_number || ' line ' || i.line_no AS id,
    'is of another billing company, currency or PO number than the document' AS detail
FROM invoicer.invoice_line AS i JOIN invoicer.invoice AS v USING (invoice_id)
    JOIN invoicer.pay_line AS p USING (pay_line_id)
WHERE (p.billing_company, p.currency, p.po_number) <> (v.billing_company, v.currency, v.po_number)

-- name: group_values
-- a line's group values equal its document's; a credit has the option of what it corrects; an MSP
-- fee is of the whole document
SELECT 'invoice ' || v.invoice_number || ' line ' || i.line_no AS id,
       format('the document is grouped by %s, the line by %s', coalesce(d.stated, 'no option'),
              coalesce(d.own, 'no option')) AS detail
FROM invoicer.invoice AS v
JOIN invoicer.invoice_line AS i USING (invoice_id)
JOIN invoicer.pay_line AS p USING (pay_line_id)
LEFT JOIN invoicer.invoice AS c ON c.invoice_id = p.corrects_invoice_id
CROSS JOIN LATERAL (
  SELECT CAST(v.invoice_option AS text) AS stated,
         CASE WHEN p.corrects_invoice_id IS NOT NULL THEN CAST(c.invoice_option AS text)
              ELSE CAST(jsonb_set(v.invoice_option, '{group}', invoicer.group_values(p, ARRAY(
                SELECT f.pair ->> 0
                FROM jsonb_array_elements(v.invoice_option -> 'group') WITH ORDINALITY
                  AS f(pair, place) ORDER BY f.place))) AS text) END AS own) AS d
WHERE EXISTS (SELECT FROM invoicer.invoice AS x WHERE x.invoice_option IS NOT NULL)
  AND (v.invoice_option IS NOT NULL OR c.invoice_option IS NOT NULL)
  AND (p.document_kind <> 'fee' OR c.invoice_option IS NOT NULL)
  AND d.stated IS DISTINCT FROM d.own

-- name: batch_sums
-- documents, lines and totals of a batch are those of its documents
WITH sums AS (
  SELECT batch_id, count(*) AS documents, sum(line_count) AS lines,
         (array_agg(invoice_number ORDER BY number))[1] AS first,
             (array_agg(invoice_number ORDER BY number DESC))[1] AS last
  FROM invoicer.invoice GROUP BY 1),
money AS (
  SELECT batch_id, currency, count(*) AS documents, sum(line_count) AS lines, sum(net) AS net,
      sum(tax) AS tax, sum(total) AS total
  FROM invoicer.invoice GROUP BY 1, 2),
stated AS (
  SELECT b.batch_id, t ->> 'currency' AS currency, CAST(t ->> 'documents' AS bigint) AS documents,
      CAST(t ->> 'lines' AS bigint) AS lines,
         CAST(t ->> 'net' AS numeric) AS net, CAST(t ->> 'tax' AS numeric) AS tax,
             CAST(t ->> 'total' AS numeric) AS total
  FROM invoicer.batch AS b CROSS JOIN LATERAL jsonb_array_elements(b.totals) AS t)
SELECT 'batch ' || b.batch_id AS id,
       format('states %s documents and %s lines, %s to %s; they are %s and %s, %s to %s',
           b.documents,
           b.line_count, b.first_number, b.last_number,
              coalesce(s.documents, 0), coalesce(s.lines, 0), s.first, s.last) AS detail
FROM invoicer.batch AS b LEFT JOIN sums AS s USING (batch_id)
WHERE b.documents <> coalesce(s.documents, 0) OR b.line_count <> coalesce(s.lines, 0)
   OR b.first_number <> coalesce(s.first, '') OR b.last_number <> coalesce(s.last, '')
UNION ALL
SELECT 'batch ' || batch_id,
    format('%s: states net %s, tax %s, total %s; its documents are net %s, tax %s, total %s',
        currency,
                                    t.net, t.tax, t.total, m.net, m.tax, m.total)
FROM stated AS t FULL JOIN money AS m USING (batch_id, currency)
WHERE (t.documents, t.lines, t.net, t.tax, t.total) IS DISTINCT
    FROM (m.documents, m.lines, m.net, m.tax, m.total)

-- name: credits
-- credits never exceed the invoice line that they correct
WITH credits AS (
  SELECT p.corrects_invoice_id AS invoice_id, p.corrects_line_no AS line_no,
      sum(p.quantity) AS quantity, sum(p.amount) AS amount,
         coalesce(sum(i.tax_amount), 0) AS tax,
         coalesce(sum(i.allowance_amount), 0) AS allowance, min(p.pay_line_id) AS first
  FROM invoicer.pay_line AS p LEFT JOIN invoicer.invoice_line AS i USING (pay_line_id)
  WHERE p.corrects_invoice_id IS NOT NULL
      AND NOT EXISTS (SELECT FROM invoicer.replaced_line AS r WHERE r.pay_line_id = p.pay_line_id)
  GROUP BY 1, 2)
SELECT coalesce('invoice ' || v.invoice_number || ' line ' || c.line_no,
    'invoice id ' || c.invoice_id || ' line ' || coalesce(c.line_no, 0)) AS id,
       CASE WHEN o.pay_line_id IS NULL
           THEN 'is corrected by pay line ' || c.first || ' and does not exist'
            ELSE format('has %s / %s, allowances %s, tax %s;'
                        ' credits take %s / %s, allowances %s, tax %s',
                        o.quantity, o.amount, l.allowance_amount, l.tax_amount, c.quantity,
                            c.amount, c.allowance, c.tax) END AS detail
FROM credits AS c
LEFT JOIN invoicer.invoice_line AS l USING (invoice_id, line_no)
LEFT JOIN invoicer.invoice AS v USING (invoice_id)
LEFT JOIN invoicer.pay_line AS o ON o.pay_line_id = l.pay_line_id
WHERE o.pay_line_id IS NULL OR o.corrects_invoice_id IS NOT NULL
   OR c.quantity * sign(o.quantity) > 0 OR c.amount * sign(o.amount) > 0
   OR abs(c.quantity) > abs(o.quantity) OR abs(c.amount) > abs(o.amount)
       OR abs(c.tax) > abs(l.tax_amount)
   OR abs(c.allowance) > abs(l.allowance_amount) OR c.allowance * sign(l.allowance_amount) > 0

-- name: credit_of
-- a credit has debtor, currency, terms and tax of the invoice line that it corrects
SELECT 'invoice ' || v.invoice_number || ' line ' || l.line_no AS id,
       format('credits line %s of %s (%s, %s, tax %s %s %%) as %s, %s, tax %s %s %%', ol.line_no,
           o.invoice_number, o.account_name, o.currency,
              coalesce(nullif(ol.tax_code, ''), 'none'), ol.tax_rate,
              v.account_name, v.currency, coalesce(nullif(l.tax_code, ''), 'none'),
                  l.tax_rate) AS detail
FROM invoicer.pay_line AS p
JOIN invoicer.invoice_line AS l USING (pay_line_id)
JOIN invoicer.invoice AS v USING (invoice_id)
JOIN invoicer.invoice AS o ON o.invoice_id = p.corrects_invoice_id
JOIN invoicer.invoice_line AS ol ON ol.invoice_id = p.corrects_invoice_id
    AND ol.line_no = p.corrects_line_no
WHERE p.corrects_invoice_id IS NOT NULL
  AND ((v.account_name, v.billing_company, v.currency, v.po_number, v.tax_regime,
      l.tax_code, l.tax_rate, l.billto_node)
    <> (o.account_name, o.billing_company, o.currency, o.po_number, o.tax_regime,
        ol.tax_code, ol.tax_rate, ol.billto_node)
    -- The terms of opening data are the due date that each document had.
    OR (v.payment_terms <> o.payment_terms AND NOT v.is_opening))

-- name: written_off
-- what is forgiven was credited as a write-off by the same command
WITH credited AS (
  SELECT p.document_kind, p.document_id, p.line_key, b.command_id, -sum(p.quantity) AS quantity,
      -sum(p.amount) AS amount
  FROM invoicer.pay_line AS p JOIN invoicer.invoice_line AS l USING (pay_line_id)
      JOIN invoicer.invoice AS v USING (invoice_id)
  JOIN invoicer.batch AS b USING (batch_id)
  WHERE p.corrects_invoice_id IS NOT NULL AND p.derivation -> 'credit' ->> 'to' = 'write-off'
      GROUP BY 1, 2, 3, 4),
undone AS (
  SELECT document_kind, document_id, line_key,
      substr(command_id, length(' undone: ') + 1) AS command_id, -quantity AS quantity,
          -amount AS amount
  FROM invoicer.write_off WHERE starts_with(command_id, ' undone: ')),
kept AS (
  SELECT document_kind, document_id, line_key, command_id, quantity, amount
  FROM invoicer.write_off WHERE NOT starts_with(command_id, ' undone: '))
SELECT document_kind || ' ' || document_id || ' ' || line_key AS id,
       format('%s / %s written off by command %s, %s / %s credited by it', k.quantity, k.amount,
           command_id, c.quantity, c.amount) AS detail
FROM kept AS k FULL JOIN credited AS c USING (document_kind, document_id, line_key, command_id)
WHERE (k.quantity, k.amount) IS DISTINCT FROM (c.quantity, c.amount)
UNION ALL
SELECT document_kind || ' ' || document_id || ' ' || line_key,
    format('%s / %s of command %s taken back, %s / %s written off by it', u.quantity, u.amount,
           command_id, k.quantity, k.amount)
FROM undone AS u LEFT JOIN kept AS k USING (document_kind, document_id, line_key, command_id)
WHERE (k.quantity, k.amount) IS DISTINCT FROM (u.quantity, u.amount)

-- name: sealed
-- every closed document has a content hash
SELECT 'invoice ' || v.invoice_number AS id, 'has no content hash' AS detail
FROM invoicer.invoice AS v LEFT JOIN invoicer.invoice_seal AS s USING (invoice_id)
    WHERE s.invoice_id IS NULL

-- name: seal
-- the content of a closed document matches the hash stored at closing
SELECT coalesce('invoice ' || v.invoice_number, 'invoice id ' || s.invoice_id) AS id,
    'its content no longer matches the hash stored at closing' AS detail
FROM invoicer.invoice_seal AS s
LEFT JOIN invoicer.invoice_content AS c USING (invoice_id)
LEFT JOIN invoicer.invoice AS v USING (invoice_id)
WHERE s.content_hash IS DISTINCT FROM c.content_hash

-- name: names
-- the names on a document are those of its closing; only that of a forgotten worker is removed
SELECT 'invoice ' || v.invoice_number || ' ' || d.about || ' ' || d.subject_id AS id,
    CASE WHEN d.detail IS NULL THEN 'has no name any more, and the worker was not forgotten'
         ELSE 'its name no longer matches the digest stored at closing' END AS detail
FROM invoicer.invoice_detail AS d JOIN invoicer.invoice AS v USING (invoice_id)
LEFT JOIN invoicer.forgotten_worker AS f ON f.worker_id = d.subject_id AND d.about = 'worker'
WHERE d.detail IS NULL AND f.worker_id IS NULL
   OR d.detail IS NOT NULL AND d.digest <> invoicer.detail_digest(d.about, d.subject_id, d.detail)
