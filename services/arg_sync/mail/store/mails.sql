-- name: recipients
-- Closed documents with what the terms of their debtors say about e-mail on a day.
SELECT i.invoice_id, i.account_name, t.emails, t.attach, t.mail_subject, t.mail_text
FROM invoicer.closed_invoice i
LEFT JOIN LATERAL (
  SELECT d.emails, d.attach, d.mail_subject, d.mail_text FROM invoicer.debtor_mail d
  WHERE d.billing_company = i.billing_company AND d.account_name = i.account_name
    AND d.from_date <= CAST(:today AS date)
  ORDER BY d.from_date DESC LIMIT 1) t ON true
WHERE i.invoice_id = ANY(CAST(:ids AS bigint[]))
ORDER BY i.invoice_id

-- name: queue
-- Queues a document for an address. One that is there stays as it is, unless it was refused before
-- a mail server accepted it, or an operator sends it again: then it is a new revision. It goes out
-- by a mail account: that of a self-billing agreement, or of its buyer.
INSERT INTO arg_sync.mail AS m (billing_company, invoice_id, batch_id, invoice_number,
  document_type, account_name, address, subject, content, attach, message_id, state,
  next_attempt_at, queued_at)
SELECT CAST(:account AS text), i.invoice_id, i.batch_id, i.invoice_number, i.document_type,
  i.account_name, r.address, r.subject, r.content, r.attach,
  gen_random_uuid() || '@' || CAST(:domain AS text), 'queued', now(), now()
FROM jsonb_to_recordset(CAST(:mails AS jsonb)) AS r(
  invoice_id bigint, address text, subject text, content text, attach text[])
JOIN invoicer.closed_invoice i USING (invoice_id)
ORDER BY i.invoice_id, r.address
ON CONFLICT (invoice_id, address) DO UPDATE SET

-- name: queue_again
-- The end of a statement that queues e-mails: what becomes of one that is there.
  subject = excluded.subject, content = excluded.content, attach = excluded.attach,
  revision = m.revision + 1, message_id = excluded.message_id, state = 'queued',
  handed_over = false, code = '', message = '', fix = '', tries = 0, failing_since = NULL,
  lease = m.lease + 1, leased_by = '', next_attempt_at = now(), queued_at = now(),
  settled_at = NULL
WHERE m.state = 'refused' AND m.code <> 'bounced'
  OR CAST(:again AS boolean) AND m.state IN ('sent', 'refused')
RETURNING mail_id

-- name: claim
-- Leases the oldest due e-mail of a billing company that no other worker holds.
UPDATE arg_sync.mail m SET
  state = 'sending', lease = m.lease + 1, leased_by = :holder, attempts = m.attempts + 1,
  next_attempt_at = clock_timestamp() + make_interval(secs => CAST(:seconds AS float8))
FROM (
  SELECT mail_id FROM arg_sync.mail
  WHERE billing_company = :company AND state = 'queued' AND next_attempt_at <= clock_timestamp()
  ORDER BY next_attempt_at, mail_id LIMIT 1 FOR UPDATE SKIP LOCKED) due
WHERE m.mail_id = due.mail_id
RETURNING m.mail_id, m.lease, m.invoice_id, m.reminder_id, m.invoice_number, m.address,
  m.subject, m.content, m.attach, m.message_id, m.tries,
  coalesce(CAST(extract(epoch FROM clock_timestamp() - m.failing_since) AS float8), 0)
    AS failing_seconds

-- name: settle
-- Stores the outcome of an attempt and ends its lease; nothing if another worker has the lease.
WITH done AS (
  UPDATE arg_sync.mail SET
    state = :state, code = :code, message = :message, fix = :fix, tries = :tries,
    failing_since = CASE WHEN CAST(:tries AS integer) > 0 THEN coalesce(failing_since, now()) END,
    handed_over = CAST(:state AS text) IN ('sent', 'unknown'),
    lease = lease + 1, leased_by = '',
    settled_at = CASE WHEN CAST(:state AS text) IN ('sent', 'refused') THEN now() END,
    next_attempt_at = clock_timestamp() + make_interval(secs => CAST(:seconds AS float8))
  WHERE mail_id = :mail_id AND lease = :lease AND state = 'sending'
  RETURNING mail_id, attempts, revision, message_id)
INSERT INTO arg_sync.mail_attempt
  (mail_id, attempt_no, revision, message_id, state, code, message, worker, duration_ms)
SELECT mail_id, attempts, revision, message_id, :state, :code, :message, :worker, :duration_ms
FROM done
RETURNING mail_id

-- name: end_leases
-- Ends leases that are over, and those of workers that are gone. What the mail server cannot have
-- is queued again; what it may have waits for a person.
WITH lost AS (
  UPDATE arg_sync.mail SET
    state = CASE WHEN handed_over THEN 'unknown' ELSE 'queued' END,
    code = 'worker_lost',
    message = CASE WHEN handed_over
      THEN 'the worker stopped before it stored the answer of the mail server'
      ELSE 'the worker stopped before the message was complete' END,
    fix = CASE WHEN handed_over THEN CAST(:fix AS text) ELSE '' END,
    lease = lease + 1, next_attempt_at = clock_timestamp()
  WHERE state = 'sending'
    AND (next_attempt_at <= clock_timestamp() OR leased_by = ANY(CAST(:dead AS text[])))
  RETURNING mail_id, attempts, revision, message_id, state, code, message, leased_by)
INSERT INTO arg_sync.mail_attempt
  (mail_id, attempt_no, revision, message_id, state, code, message, worker, duration_ms)
SELECT mail_id, attempts, revision, message_id, state, code, message, leased_by, 0 FROM lost

-- name: record_bounces
-- E-mails that were sent, or of which that was unknown, came back. A report about an earlier
-- revision, and one that is there, change nothing.
WITH changed AS (
  UPDATE arg_sync.mail m SET state = 'refused', code = 'bounced', message = r.message, fix = :fix,
    settled_at = now(), attempts = m.attempts + 1
  FROM unnest(CAST(:message_ids AS text[]), CAST(:messages AS text[])) AS r(message_id, message)
  WHERE m.message_id = r.message_id AND m.state IN ('sent', 'unknown')
  RETURNING m.mail_id, m.attempts, m.revision, m.message_id, m.state, m.code, m.message,
    m.invoice_number),
attempted AS (
  INSERT INTO arg_sync.mail_attempt
    (mail_id, attempt_no, revision, message_id, state, code, message, worker, duration_ms)
  SELECT mail_id, attempts, revision, message_id, state, code, message, '', 0 FROM changed)
SELECT invoice_number FROM changed ORDER BY mail_id
