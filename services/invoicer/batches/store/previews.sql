-- Store previews, and compare a stored one with the selection of now.

-- name: line_hashes
-- The hash of the lines of each document: their ids, billto nodes, tax codes and rates.
SELECT k.group_no,
       encode(sha256(string_agg(
         int8send(hash_record_extended(
           ROW(k.pay_line_id, s.debtor_node, k.tax_code, k.tax_rate), 0)),
         CAST('' AS bytea) ORDER BY k.line_no)), 'hex') AS line_hash
FROM selected_line k JOIN line_location s ON s.location_no = k.location_no
WHERE k.exclusion_reason = 0 GROUP BY k.group_no

-- name: add_preview
-- The head of a preview.
INSERT INTO invoicer.preview
  (preview_id, billing_company, cut_off_date, digest, totals, settings, actor, previewed_at)
VALUES (:id, :company, :cut_off, :digest, CAST(:totals AS jsonb), CAST(:settings AS jsonb),
        :actor, :at)

-- name: add_lines
-- Every open line of a preview, with its document or its reason; lines of fees are no open lines.
INSERT INTO invoicer.preview_line (preview_id, pay_line_id, document_no, reason)
SELECT :id, k.pay_line_id, d.document_no,
       (CAST(:reasons AS text[]))[nullif(k.exclusion_reason, 0)]
FROM selected_line k
LEFT JOIN unnest(CAST(:groups AS bigint[]), CAST(:numbers AS integer[]))
  AS d(group_no, document_no) ON d.group_no = k.group_no AND k.exclusion_reason = 0
WHERE k.pay_line_id > 0
ORDER BY k.pay_line_id

-- name: newest_preview
-- The newest preview of a company with a digest.
SELECT preview_id, cut_off_date, settings FROM invoicer.preview
WHERE billing_company = :company AND digest = :digest ORDER BY previewed_at DESC LIMIT 1

-- name: changed_lines
-- The lines that are in only one of a preview and the selection: the first ids, and how many.
SELECT pay_line_id, count(*) OVER () AS lines
FROM (
  SELECT pay_line_id FROM invoicer.preview_line WHERE preview_id = :id AND reason IS NULL) v
FULL JOIN (
  SELECT pay_line_id FROM selected_line WHERE exclusion_reason = 0 AND pay_line_id > 0) k
  USING (pay_line_id)
WHERE v.pay_line_id IS NULL OR k.pay_line_id IS NULL
ORDER BY pay_line_id LIMIT :most
