-- name: add_received
-- Stores each `invoice-closed` once.
INSERT INTO arg_sync.received_document (invoice_id, billing_company, invoice_number,
  document_type, batch_id, currency, total, content_hash)
SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:companies AS text[]), CAST(:numbers AS text[]),
  CAST(:types AS text[]), CAST(:batches AS text[]), CAST(:currencies AS text[]),
  CAST(:totals AS numeric[]), CAST(:hashes AS text[]))
ON CONFLICT DO NOTHING

-- name: add_corrections
-- Stores which invoices the queued credit notes correct, and by how much.
INSERT INTO arg_sync.correction (invoice_id, corrects_invoice_id, corrects_number, amount)
SELECT l.invoice_id, l.corrects_invoice_id, min(l.corrects_invoice),
  -sum(l.amount + l.allowance_amount + l.tax_amount)
FROM invoicer.closed_invoice_line l
WHERE l.invoice_id = ANY(CAST(:ids AS bigint[])) AND l.corrects_invoice_id IS NOT NULL
  -- Opening data is never delivered: a credit note of it waits for nothing.
  AND NOT EXISTS (SELECT FROM invoicer.closed_invoice o
    WHERE o.invoice_id = l.corrects_invoice_id AND o.is_opening)
GROUP BY l.invoice_id, l.corrects_invoice_id
ON CONFLICT DO NOTHING

-- name: queue
-- Queues documents for each connection of their billing company, once.
INSERT INTO arg_sync.delivery (ledger, invoice_id, billing_company, batch_id, invoice_number,
  document_type, account_name, invoice_date, currency, total, state, next_attempt_at, queued_at)
SELECT c.ledger, i.invoice_id, i.billing_company, i.batch_id, i.invoice_number, i.document_type,
  i.account_name, i.invoice_date, i.currency, i.total, 'queued', now(), now()
FROM invoicer.closed_invoice i
JOIN arg_sync.connection c ON c.billing_company = i.billing_company
  AND c.state <> 'disconnected' AND (c.auto_sync OR NOT :auto)
WHERE (i.invoice_id = ANY(CAST(:ids AS bigint[])) OR i.batch_id = ANY(CAST(:batches AS text[])))
  AND NOT i.is_opening
ORDER BY i.invoice_id, c.ledger
ON CONFLICT (ledger, invoice_id) DO NOTHING
RETURNING delivery_id, invoice_id, document_type
