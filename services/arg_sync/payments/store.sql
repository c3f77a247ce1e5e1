-- name: claim_poll
-- Claims the poll of a connection; a changed connection is read from its beginning.
INSERT INTO arg_sync.payment_cursor AS p (ledger, generation, poll_no, polling_until, next_at)
VALUES (:ledger, :generation, 1,
  clock_timestamp() + make_interval(secs => CAST(:seconds AS float8)), clock_timestamp())
ON CONFLICT (ledger) DO UPDATE SET
  poll_no = p.poll_no + 1, polling_until = excluded.polling_until, poll_requested = false,
  generation = excluded.generation,
  cursor = CASE WHEN p.generation = excluded.generation THEN p.cursor ELSE '' END
WHERE coalesce(p.polling_until < clock_timestamp(), true)
  AND (p.poll_requested OR p.next_at <= clock_timestamp())
RETURNING p.poll_no, p.cursor, p.failures

-- name: add_entries
-- Stores entries, each with our invoice if the ledger's id or number of the document is known.
INSERT INTO arg_sync.payment (ledger, payment_id, remote_id, entry_no, invoice_id, invoice_number,
  amount, currency, paid_on)
SELECT :ledger, e.payment_id, e.remote_id, e.entry_no, d.invoice_id,
  coalesce(d.invoice_number, e.number), e.amount,
  coalesce(nullif(e.currency, ''), d.currency, ''), e.paid_on
FROM unnest(CAST(:payments AS text[]), CAST(:remotes AS text[]), CAST(:numbers AS text[]),
    CAST(:entries AS integer[]), CAST(:amounts AS numeric[]), CAST(:currencies AS text[]),
    CAST(:days AS date[]))
  AS e(payment_id, remote_id, number, entry_no, amount, currency, paid_on)
LEFT JOIN LATERAL (
  SELECT d.invoice_id, d.invoice_number, d.currency FROM arg_sync.delivery d
  WHERE d.ledger = :ledger AND d.document_type = 'invoice'
    AND (d.remote_id = e.remote_id OR (e.number <> '' AND d.invoice_number = e.number))
  ORDER BY d.remote_id = e.remote_id DESC NULLS LAST LIMIT 1) d ON true
RETURNING payment_id, remote_id, entry_no, invoice_id

-- name: match_entries
-- Assigns entries to invoices that were delivered after the entries were read.
UPDATE arg_sync.payment p SET invoice_id = d.invoice_id, invoice_number = d.invoice_number,
  currency = coalesce(nullif(p.currency, ''), d.currency)
FROM arg_sync.delivery d
WHERE p.ledger = :ledger AND p.invoice_id IS NULL AND d.ledger = p.ledger
  AND d.remote_id = p.remote_id AND d.document_type = 'invoice'
RETURNING p.payment_id, p.remote_id, p.entry_no, p.invoice_id

-- name: payment_messages
-- The content of `payment-recorded`, with whether the entries up to this one sum up to nothing.
SELECT p.*, c.billing_company, (
  SELECT sum(e.amount) FROM arg_sync.payment e
  WHERE e.ledger = p.ledger AND e.payment_id = p.payment_id AND e.remote_id = p.remote_id
    AND e.entry_no <= p.entry_no) = 0 AS cancelled
FROM unnest(CAST(:ledgers AS text[]), CAST(:ids AS text[]), CAST(:remotes AS text[]),
  CAST(:entries AS integer[])) AS s(ledger, payment_id, remote_id, entry_no)
JOIN arg_sync.payment p USING (ledger, payment_id, remote_id, entry_no)
JOIN arg_sync.connection c USING (ledger)
WHERE p.invoice_id IS NOT NULL
ORDER BY p.invoice_id, p.ledger, p.payment_id, p.entry_no
