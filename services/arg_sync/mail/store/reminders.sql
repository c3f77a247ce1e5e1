-- name: companies_that_remind
-- The billing companies that remind a debtor, unless payments were not read for a day.
SELECT c.billing_company, coalesce(z.time_zone, 'UTC') AS time_zone, c.looked_at
FROM arg_sync.reminder_settings c
LEFT JOIN fee_realizer.billing_company_settings z USING (billing_company)
WHERE c.account_name = ''
  AND EXISTS (SELECT FROM arg_sync.reminder_settings s
              WHERE s.billing_company = c.billing_company AND s.enabled)
  AND NOT EXISTS (SELECT FROM arg_sync.console_late_payments p
                  WHERE p.billing_company = c.billing_company)
ORDER BY c.billing_company

-- name: add_reminder
-- Adds a reminder with its invoices.
WITH added AS (
  INSERT INTO arg_sync.reminder
    (billing_company, account_name, currency, stage, reminded_on, subject, content)
  VALUES (:company, :account, :currency, :stage, :today, :subject, :content)
  RETURNING reminder_id, stage),
invoices AS (
  INSERT INTO arg_sync.reminded_invoice (invoice_id, stage, reminder_id)
  SELECT i.invoice_id, a.stage, a.reminder_id
  FROM added a, unnest(CAST(:ids AS bigint[])) AS i(invoice_id))
SELECT reminder_id FROM added

-- name: queue
-- Queues a reminder for addresses. An e-mail that is there stays as it is, unless it was refused
-- before a mail server accepted it, or an operator sends it again: then it is a new revision.
INSERT INTO arg_sync.mail AS m (billing_company, reminder_id, batch_id, invoice_number,
  document_type, account_name, address, subject, content, attach, message_id, state,
  next_attempt_at, queued_at)
SELECT :company, :id, '', 'reminder:' || CAST(:id AS bigint), 'reminder', :account, a.address,
  :subject, :content, '{}', gen_random_uuid() || '@' || CAST(:domain AS text), 'queued', now(),
  now()
FROM unnest(CAST(:addresses AS text[])) AS a(address)
ON CONFLICT (reminder_id, address) DO UPDATE SET
