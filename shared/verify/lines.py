"""Checks of documents and their lines: conservation, one place for each line, amounts. Each is SQL whose rows are (id, detail)."""

DOCUMENT = "d.document_kind || ' ' || d.document_id"
KEY = "document_kind || ' ' || document_id || ' ' || line_key"

_PLACED = """
placed AS (
  SELECT p.document_kind, p.document_id, p.line_key, p.currency,
         coalesce(sum(p.quantity) FILTER (WHERE o.pay_line_id IS NOT NULL), 0) AS open_quantity,
         coalesce(sum(p.amount) FILTER (WHERE o.pay_line_id IS NOT NULL), 0) AS open_amount,
         coalesce(sum(p.quantity) FILTER (WHERE w.pay_line_id IS NOT NULL), 0) AS drafted_quantity,
         coalesce(sum(p.amount) FILTER (WHERE w.pay_line_id IS NOT NULL), 0) AS drafted_amount,
         coalesce(sum(p.quantity) FILTER (WHERE i.pay_line_id IS NOT NULL), 0) AS net_quantity,
         coalesce(sum(p.amount) FILTER (WHERE i.pay_line_id IS NOT NULL), 0) AS net_amount
  FROM invoicer.pay_line p
  LEFT JOIN invoicer.open_line o ON o.pay_line_id = p.pay_line_id
  LEFT JOIN invoicer.draft_line w ON w.pay_line_id = p.pay_line_id
  LEFT JOIN invoicer.invoice_line i ON i.pay_line_id = p.pay_line_id
  WHERE o.pay_line_id IS NOT NULL OR w.pay_line_id IS NOT NULL OR i.pay_line_id IS NOT NULL
  GROUP BY 1, 2, 3, 4)"""

# Worth + edits = open + drafted + (invoiced - credited) + forgiven. Credits are negative lines, so `net` is invoiced less credited.
# An edit counts while its key is in the statement; a withheld document's worth is what is settled, so it is looked at apart.
CONSERVATION = f"""
WITH said AS (
  SELECT d.document_kind, d.document_id, l ->> 'line_key' AS line_key, l ->> 'currency' AS currency,
         sum(CAST(l ->> 'quantity' AS numeric)) AS quantity, sum(CAST(l ->> 'amount' AS numeric)) AS amount
  FROM invoicer.settled_document d CROSS JOIN LATERAL jsonb_array_elements(CAST(d.body AS jsonb) -> 'lines') AS l
  WHERE d.statement_no > 0 AND d.statement_kind = 'realized'
  GROUP BY 1, 2, 3, 4),
edits AS (
  SELECT document_kind AS kind, document_id AS id, line_key AS of_key, sum(quantity_difference) AS quantity, sum(amount_difference) AS amount
  FROM invoicer.operator_edit GROUP BY 1, 2, 3),
offs AS (
  SELECT document_kind, document_id, line_key, sum(quantity) AS quantity, sum(amount) AS amount FROM invoicer.write_off GROUP BY 1, 2, 3),
{_PLACED},
side_by_side AS (
  SELECT document_kind, document_id, line_key, currency,
         coalesce(s.quantity, 0) + coalesce(e.quantity, 0) AS worth_quantity, coalesce(s.amount, 0) + coalesce(e.amount, 0) AS worth_amount,
         coalesce(p.open_quantity, 0) AS open_quantity, coalesce(p.open_amount, 0) AS open_amount,
         coalesce(p.drafted_quantity, 0) AS drafted_quantity, coalesce(p.drafted_amount, 0) AS drafted_amount,
         coalesce(p.net_quantity, 0) AS net_quantity, coalesce(p.net_amount, 0) AS net_amount
  FROM said AS s
  FULL JOIN placed AS p USING (document_kind, document_id, line_key, currency)
  LEFT JOIN edits AS e ON e.kind = s.document_kind AND e.id = s.document_id AND e.of_key = s.line_key),
whole AS (
  SELECT b.*, greatest(0, least(coalesce(f.quantity, 0), worth_quantity - net_quantity)) AS forgiven_quantity,
         greatest(0, least(coalesce(f.amount, 0), worth_amount - net_amount)) AS forgiven_amount
  FROM side_by_side AS b LEFT JOIN offs AS f USING (document_kind, document_id, line_key))
SELECT {KEY} AS id,
       format('worth %s / %s, open %s / %s, drafted %s / %s, net billed %s / %s, forgiven %s / %s %s', worth_quantity, worth_amount,
              open_quantity, open_amount, drafted_quantity, drafted_amount, net_quantity, net_amount, forgiven_quantity, forgiven_amount,
              currency) AS detail
FROM whole LEFT JOIN invoicer.settled_document AS d USING (document_kind, document_id)
WHERE coalesce(d.statement_kind, 'realized') = 'realized'
  AND (worth_quantity <> open_quantity + drafted_quantity + net_quantity + forgiven_quantity
       OR worth_amount <> open_amount + drafted_amount + net_amount + forgiven_amount)"""

WITHHELD = """
SELECT d.document_kind || ' ' || d.document_id AS id, 'pay line ' || p.pay_line_id || ' is open or on a draft' AS detail
FROM invoicer.settled_document AS d JOIN invoicer.pay_line AS p USING (document_kind, document_id)
WHERE d.statement_kind = 'withheld'
  AND (EXISTS (SELECT FROM invoicer.open_line AS o WHERE o.pay_line_id = p.pay_line_id)
       OR EXISTS (SELECT FROM invoicer.draft_line AS w WHERE w.pay_line_id = p.pay_line_id))"""

SETTLED_STATEMENT = f"""
SELECT {DOCUMENT} AS id,
       CASE WHEN s.document_id IS NULL THEN 'statement ' || d.statement_no || ' was never issued'
            ELSE 'statement ' || d.statement_no || ' was settled with other content than it was issued with' END AS detail
FROM invoicer.settled_document AS d
LEFT JOIN fee_realizer.document_statement AS s
  ON s.document_kind = d.document_kind AND s.document_id = d.document_id AND s.statement_no = d.statement_no
WHERE d.statement_no > 0
  AND (s.document_id IS NULL OR s.statement_kind <> d.statement_kind
       OR (s.body <> d.body AND CAST(s.body AS jsonb) <> CAST(d.body AS jsonb)))"""

IN_FLIGHT = """
SELECT d.document_kind || ' ' || d.document_id AS id,
       format('statement %s was issued at %s, settled is %s%s', d.statement_no, date_trunc('second', d.issued_at), coalesce(s.statement_no, 0),
              CASE WHEN s.stale_statement_no IS NULL THEN '' ELSE ', statement ' || s.stale_statement_no || ' waits to be priced again' END) AS detail
FROM fee_realizer.latest_statement AS d
LEFT JOIN invoicer.settled_document AS s ON s.document_kind = d.document_kind AND s.document_id = d.document_id
WHERE (coalesce(s.statement_no, 0) < d.statement_no OR s.stale_statement_no >= d.statement_no)
  AND d.issued_at < now() - make_interval(mins => CAST(:minutes AS integer))"""

HELD_IS_WITHHELD = """
SELECT d.document_kind || ' ' || d.document_id AS id,
       CASE WHEN d.hold_code IS NULL THEN 'waits for nothing, but statement ' || d.statement_no || ' withholds it'
            ELSE 'is held (' || d.hold_code || '), but statement ' || d.statement_no || ' realizes it' END AS detail
FROM fee_realizer.document_state AS d JOIN fee_realizer.latest_statement AS s USING (document_kind, document_id)
WHERE (d.hold_code IS NULL) <> (s.statement_kind = 'realized')"""

ONE_PLACE = """
SELECT 'pay line ' || pay_line_id AS id,
       CASE WHEN places = 0 THEN 'lies nowhere' ELSE 'lies in ' || places || ' places: ' || words END
         || coalesce(' (' || p.document_kind || ' ' || p.document_id || ')', ', and is no pay line') AS detail
FROM (
  SELECT pay_line_id, count(place) AS places, string_agg(place, ', ') AS words
  FROM (SELECT pay_line_id, NULL AS place FROM invoicer.pay_line
        UNION ALL SELECT pay_line_id, 'open' FROM invoicer.open_line
        UNION ALL SELECT pay_line_id, 'draft' FROM invoicer.draft_line
        UNION ALL SELECT pay_line_id, 'invoice' FROM invoicer.invoice_line
        UNION ALL SELECT pay_line_id, 'replaced' FROM invoicer.replaced_line) AS everywhere
  GROUP BY pay_line_id) AS found
LEFT JOIN invoicer.pay_line AS p USING (pay_line_id)
WHERE places <> 1 OR p.pay_line_id IS NULL"""

OPEN_COPY = """
SELECT 'pay line ' || p.pay_line_id AS id, 'its open row tells another company, date or node than the line' AS detail
FROM invoicer.open_line AS o JOIN invoicer.pay_line AS p USING (pay_line_id)
WHERE (o.billing_company, o.effective_date, o.billto_node) <> (p.billing_company, p.effective_date, p.billto_node)
   OR o.week_ending IS DISTINCT FROM p.week_ending OR (p.corrects_invoice_id IS NOT NULL AND NOT o.correction)"""

# A correction is a difference of rounded amounts: a line is one if its key was on a document before it was born.
LINE_AMOUNT = """
WITH billed AS (
  SELECT p.document_kind, p.document_id, p.line_key, min(p.pay_line_id) AS first
  FROM invoicer.invoice_line AS i JOIN invoicer.pay_line AS p USING (pay_line_id) GROUP BY 1, 2, 3)
SELECT 'pay line ' || p.pay_line_id AS id,
       format('%s × %s is not %s %s (%s %s)', p.quantity, p.unit_price, p.amount, p.currency, p.document_kind, p.document_id) AS detail
FROM invoicer.pay_line AS p
JOIN unnest(CAST(:currencies AS text[]), CAST(:places AS integer[])) AS c(currency, places) ON c.currency = p.currency
LEFT JOIN billed AS b ON b.document_kind = p.document_kind AND b.document_id = p.document_id AND b.line_key = p.line_key
WHERE p.amount <> round(p.quantity * p.unit_price, c.places) AND p.corrects_invoice_id IS NULL AND (b.first IS NULL OR b.first >= p.pay_line_id)
  AND NOT EXISTS (SELECT FROM invoicer.operator_edit AS e
                  WHERE e.document_kind = p.document_kind AND e.document_id = p.document_id AND e.line_key = p.line_key)"""

MINOR_UNIT = """
WITH amounts AS (
  SELECT 'pay line ' || pay_line_id AS id, currency, amount FROM invoicer.pay_line
  UNION ALL
  SELECT 'invoice ' || i.invoice_number || ' line ' || l.line_no, i.currency, l.tax_amount
  FROM invoicer.invoice_line AS l JOIN invoicer.invoice AS i USING (invoice_id)
  UNION ALL
  SELECT 'invoice ' || i.invoice_number, i.currency, sums.amount
  FROM invoicer.invoice AS i CROSS JOIN LATERAL (VALUES (i.net), (i.tax), (i.total)) AS sums(amount))
SELECT a.id, format('%s %s has more decimals than the currency', a.amount, a.currency) AS detail
FROM amounts AS a JOIN unnest(CAST(:currencies AS text[]), CAST(:places AS integer[])) AS c(currency, places) ON c.currency = a.currency
WHERE a.amount <> round(a.amount, c.places)"""
