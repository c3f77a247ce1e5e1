-- The invoice option of each open line of a company that has options, in temporary tables.

-- name: options_in_force
-- The options of a company and party on a day, each with its grouping fields: its own or its
-- country's.
CREATE TEMP TABLE option_in_force ON COMMIT DROP AS
SELECT v.*, coalesce(v.group_by, g.group_by, CAST(ARRAY[] AS text[])) AS fields
FROM (
  SELECT DISTINCT ON (name) * FROM invoicer.invoice_option
  WHERE billing_company = :company AND from_date <= CAST(:on AS date)
  ORDER BY name, from_date DESC) v
LEFT JOIN invoicer.country_grouping g USING (billing_company, client_country)
WHERE v.bill_to = :side

-- name: line_options
-- The option of each line, or the reason why it has none: the twin of `options.rules.choose`.
-- `document_option` is what its document says of it: option, party and group; NULL: the implicit
-- option. `conflict`: the names of default options of one rank. A credit has what the document has
-- that it corrects. Lines of one kind are decided once.
CREATE TEMP TABLE line_option ON COMMIT DROP AS
WITH item AS MATERIALIZED (
  SELECT p.pay_line_id, p.currency, coalesce(p.engagement ->> 'invoice_option', '') AS named,
         coalesce(p.engagement ->> 'client_country', '') AS country,
         coalesce(p.engagement ->> 'location', '') AS location,
         coalesce(p.engagement ->> 'request_type', 'staffing') AS request_type,
         coalesce(p.engagement -> 'billing_filter', CAST('[]' AS jsonb)) AS billing_filter,
         CASE WHEN o.correction THEN 'adjustment' WHEN p.line_kind = 'timesheet' THEN 'time'
              WHEN p.document_kind = 'charge' THEN 'expense' ELSE 'product' END AS billing_type
  FROM invoicer.open_line o
  JOIN invoicer.pay_line p ON p.pay_line_id = o.pay_line_id
  WHERE o.billing_company = :company AND p.corrects_invoice_id IS NULL),
kind AS MATERIALIZED (
  SELECT DISTINCT named, country, location, request_type, billing_filter, billing_type, currency
  FROM item),
candidate AS (
  SELECT k.*, n.name AS named_option, d.names,
         CAST(:side AS text) = 'supplier' OR EXISTS (
           SELECT FROM option_in_force v WHERE v.active AND v.client_country = k.country)
           AS in_country
  FROM kind k
  LEFT JOIN option_in_force n ON k.named <> '' AND n.name = k.named AND n.active
    AND (cardinality(n.request_types) = 0 OR k.request_type = ANY(n.request_types))
    AND (cardinality(n.billing_types) = 0 OR k.billing_type = ANY(n.billing_types))
    AND n.currency IN ('', k.currency)
  CROSS JOIN LATERAL (
    SELECT array_agg(r.name ORDER BY r.name COLLATE "C") AS names
    FROM (
      SELECT v.name, rank() OVER (ORDER BY v.location <> '' DESC, v.currency <> '' DESC) AS place
      FROM option_in_force v
      WHERE k.named = '' AND v.active AND v.is_default AND v.client_country = k.country
        AND v.location IN ('', k.location) AND v.currency IN ('', k.currency)
        AND (cardinality(v.request_types) = 0 OR k.request_type = ANY(v.request_types))
        AND (cardinality(v.billing_types) = 0 OR k.billing_type = ANY(v.billing_types))) r
    WHERE r.place = 1) d),
chosen AS (
  SELECT c.*, CASE WHEN named <> '' THEN named_option WHEN cardinality(names) = 1 THEN names[1] END
           AS option_name
  FROM candidate c),
decided AS (
  SELECT c.named, c.country, c.location, c.request_type, c.billing_filter, c.billing_type,
         c.currency, v.name, v.bill_to, v.max_lines, v.fields,
         CASE WHEN cardinality(c.names) > 1 THEN array_to_string(c.names, ', ') END AS conflict,
         CASE WHEN c.named <> '' AND v.name IS NULL THEN CAST(:option_does_not_fit AS integer)
              WHEN c.named = '' AND c.in_country AND c.names IS NULL
                THEN CAST(:no_invoice_option AS integer)
              WHEN v.name IS NOT NULL AND jsonb_array_length(c.billing_filter) > 0 AND NOT EXISTS (
                SELECT FROM jsonb_array_elements_text(c.billing_filter) AS f(pair)
                WHERE v.bill_to = ANY(string_to_array(lower(f.pair), ':')))
                THEN CAST(:not_visible AS integer)
              ELSE 0 END AS reason
  FROM chosen c LEFT JOIN option_in_force v ON v.name = c.option_name)
SELECT p.pay_line_id, d.reason, d.conflict, d.max_lines,
       CASE WHEN d.name IS NOT NULL
            THEN jsonb_build_object('name', d.name, 'bill_to', d.bill_to,
                                    'group', invoicer.group_values(p, d.fields)) END
         AS document_option
FROM item i
JOIN decided d USING (named, country, location, request_type, billing_filter, billing_type,
                      currency)
JOIN invoicer.pay_line p ON p.pay_line_id = i.pay_line_id
UNION ALL
SELECT c.pay_line_id, 0, NULL, v.max_lines, i.invoice_option
FROM open_credit c
JOIN invoicer.invoice i ON i.invoice_id = c.corrects_invoice_id
LEFT JOIN option_in_force v ON v.name = i.invoice_option ->> 'name'

-- name: conflicts
-- The debtors of lines that are due and have two default options of one rank, with the options.
SELECT DISTINCT s.account_name, x.conflict
FROM line_option x
JOIN invoicer.open_line o ON o.billing_company = :company AND o.pay_line_id = x.pay_line_id
JOIN line_location s ON s.node = o.billto_node AND NOT s.of_credit
WHERE x.conflict IS NOT NULL AND s.account_name IS NOT NULL
  AND o.effective_date <= CAST(:today AS date)
ORDER BY s.account_name, x.conflict

-- name: cut_lines
-- The lines beyond the maximum of a document, with the document of their part: 41 at 20 are three.
CREATE TEMP TABLE cut_line ON COMMIT DROP AS
SELECT pay_line_id, origin_no, part, first_value(pay_line_id) OVER of_part AS group_no,
       CAST(row_number() OVER of_part AS integer) AS line_no
FROM (
  SELECT k.pay_line_id, k.group_no AS origin_no, k.line_no AS position,
         (k.line_no - 1) / x.max_lines AS part
  FROM selected_line k JOIN line_option x USING (pay_line_id)
  WHERE k.exclusion_reason = 0 AND k.line_no > x.max_lines) s
WINDOW of_part AS (PARTITION BY origin_no, part ORDER BY position ROWS UNBOUNDED PRECEDING)

-- name: move_cut_lines
-- The cut lines get the number of their document and their position on it.
UPDATE selected_line k SET group_no = c.group_no, line_no = c.line_no
FROM cut_line c WHERE c.pay_line_id = k.pay_line_id

-- name: group_options
-- Option and group of each document that has an option, and its place among the parts of a group.
SELECT k.group_no, any_value(x.document_option) AS document_option,
       coalesce(min(c.origin_no), k.group_no) AS origin_no, coalesce(min(c.part), 0) AS part
FROM selected_line k
JOIN line_option x USING (pay_line_id)
LEFT JOIN cut_line c USING (pay_line_id)
WHERE k.exclusion_reason = 0 AND x.document_option IS NOT NULL
GROUP BY k.group_no
