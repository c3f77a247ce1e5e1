-- name: add_drifts
-- Stores drifts that are not open yet.
INSERT INTO arg_sync.drift (ledger, invoice_id, invoice_number, code, remote_id, message, fix)
SELECT :ledger, * FROM unnest(CAST(:ids AS bigint[]), CAST(:numbers AS text[]),
  CAST(:codes AS text[]), CAST(:remotes AS text[]), CAST(:messages AS text[]),
  CAST(:fixes AS text[]))
ON CONFLICT (ledger, invoice_number, code, remote_id) WHERE resolved_at IS NULL DO NOTHING
RETURNING drift_id

-- name: resolve_drifts
-- Resolves the open drifts of the compared documents that were not found again.
UPDATE arg_sync.drift d SET resolved_at = now()
WHERE d.ledger = :ledger AND d.resolved_at IS NULL
  AND d.invoice_number = ANY(CAST(:compared AS text[])) AND d.code = ANY(CAST(:kinds AS text[]))
  AND NOT EXISTS (
    SELECT FROM unnest(CAST(:numbers AS text[]), CAST(:codes AS text[]), CAST(:remotes AS text[]))
      AS f(number, code, remote)
    WHERE f.number = d.invoice_number AND f.code = d.code AND f.remote = d.remote_id)

-- name: internal_differences
-- Compares received events, closed documents and deliveries of the connection's billing company.
WITH company AS (
  SELECT billing_company, auto_sync, connected_at FROM arg_sync.connection
  WHERE ledger = :ledger),
ours AS (
  SELECT i.invoice_id, i.invoice_number, i.currency, i.total, i.content_hash, i.closed_at,
    c.auto_sync AND i.closed_at > c.connected_at AS wanted
  FROM invoicer.closed_invoice i JOIN company c USING (billing_company) WHERE NOT i.is_opening),
received AS (SELECT h.* FROM arg_sync.received_document h JOIN company USING (billing_company))
SELECT 'not-received' AS code, o.invoice_id, o.invoice_number, '' AS received FROM ours o
WHERE o.closed_at < now() - make_interval(mins => :late_minutes)
  AND o.closed_at > (SELECT connected_at FROM company)
  AND NOT EXISTS (SELECT FROM received h WHERE h.invoice_id = o.invoice_id)
UNION ALL
SELECT 'received-differently', o.invoice_id, o.invoice_number,
  h.invoice_number || ' of ' || trim_scale(h.total) || ' ' || h.currency
FROM ours o JOIN received h USING (invoice_id)
WHERE (o.invoice_number, o.currency, o.total)
    IS DISTINCT FROM (h.invoice_number, h.currency, h.total)
  OR coalesce(o.content_hash, '') <> h.content_hash
UNION ALL
SELECT 'unknown-document', h.invoice_id, h.invoice_number, '' FROM received h
WHERE NOT EXISTS (SELECT FROM ours o WHERE o.invoice_id = h.invoice_id)
UNION ALL
SELECT 'missing', o.invoice_id, o.invoice_number, '' FROM ours o
WHERE o.wanted
  AND EXISTS (SELECT FROM received h WHERE h.invoice_id = o.invoice_id
    AND h.received_at < now() - make_interval(mins => :late_minutes))
  AND NOT EXISTS (SELECT FROM arg_sync.delivery d
    WHERE d.ledger = :ledger AND d.invoice_id = o.invoice_id)
UNION ALL
SELECT 'not-applied', n.invoice_id, n.invoice_number, string_agg(c.corrects_number, ', '
    ORDER BY c.corrects_invoice_id)
FROM arg_sync.delivery n JOIN arg_sync.correction c USING (invoice_id)
LEFT JOIN arg_sync.delivery i ON i.ledger = n.ledger AND i.invoice_id = c.corrects_invoice_id
WHERE n.ledger = :ledger
  AND (n.state = 'posted' AND n.code = 'unapplied' AND i.remote_id IS NULL
    OR n.state = 'queued' AND i.delivery_id IS NULL)
GROUP BY n.invoice_id, n.invoice_number
ORDER BY 2, 1
