-- name: open_deliveries
-- The open deliveries of a ledger. A credit note waits until the invoices that it credits are
-- there, unless an operator lets it go unapplied.
SELECT d.delivery_id, d.account_name, d.invoice_date,
  d.next_attempt_at <= clock_timestamp() AS due, d.tries
FROM arg_sync.delivery d
WHERE d.ledger = :ledger AND d.state IN ('queued', 'sending', 'unknown')
  AND (NOT :only_due OR d.next_attempt_at <= clock_timestamp())
  AND NOT EXISTS (
    SELECT FROM arg_sync.waiting_credit_note w WHERE w.delivery_id = d.delivery_id)
ORDER BY d.invoice_date, d.document_type DESC, d.invoice_id
LIMIT :most

-- name: claim
-- Gives the claimer a new lease on each delivery, regardless of who had the last one.
WITH before AS (
  SELECT delivery_id, state FROM arg_sync.delivery
  WHERE delivery_id = ANY(CAST(:ids AS bigint[])) FOR UPDATE)
UPDATE arg_sync.delivery d SET
  state = 'sending', lease = d.lease + 1, leased_by = :holder, attempts = d.attempts + 1,
  outcome_unknown = d.outcome_unknown OR before.state IN ('sending', 'unknown'),
  next_attempt_at = clock_timestamp() + make_interval(secs => CAST(:seconds AS float8))
FROM before
WHERE before.delivery_id = d.delivery_id
RETURNING d.delivery_id, d.lease, d.invoice_id, d.invoice_number, d.account_name, d.currency,
  d.revision, d.request_key, d.request, d.customer, d.outcome_unknown, d.remote_id, d.tries,
  coalesce(CAST(extract(epoch FROM clock_timestamp() - d.failing_since) AS float8), 0)
    AS failing_seconds

-- name: settle
-- Stores outcomes and their attempts, and ends the leases; a delivery with a newer lease is
-- skipped.
WITH o AS (
  SELECT * FROM jsonb_to_recordset(CAST(:outcomes AS jsonb)) AS o(
    delivery_id bigint, lease bigint, state text, wait float8, outcome_unknown boolean,
    tries integer, code text, message text, fix text, raw text, remote_id text, remote_number text,
    remote_state text, steps text, duration_ms integer)),
done AS (
  UPDATE arg_sync.delivery d SET
    state = o.state, outcome_unknown = o.outcome_unknown, tries = o.tries,
    code = o.code, message = o.message, fix = o.fix,
    remote_id = coalesce(o.remote_id, d.remote_id),
    remote_number = coalesce(o.remote_number, d.remote_number),
    remote_state = coalesce(o.remote_state, d.remote_state),
    lease = d.lease + 1, leased_by = '',
    failing_since = CASE WHEN o.tries > 0 THEN coalesce(d.failing_since, now()) END,
    settled_at = CASE WHEN o.state IN ('posted', 'refused') THEN now() END,
    next_attempt_at = clock_timestamp() + make_interval(secs => o.wait)
  FROM o WHERE d.delivery_id = o.delivery_id AND d.lease = o.lease
  RETURNING d.delivery_id, d.attempts, d.revision, d.state)
INSERT INTO arg_sync.attempt
  (delivery_id, attempt_no, revision, state, code, message, fix, raw, steps, worker, duration_ms)
SELECT done.delivery_id, done.attempts, done.revision, done.state, o.code, o.message, o.fix, o.raw,
  o.steps, :worker, o.duration_ms
FROM done JOIN o USING (delivery_id)
RETURNING delivery_id, attempt_no, revision, state, code
