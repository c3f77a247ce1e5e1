-- Heads and history of drafts.

-- name: add_drafts
-- new drafts; their ids go with the numbers of their groups. A draft keeps the version of its
-- workflow that is the newest now.
WITH given AS MATERIALIZED (
  SELECT * FROM unnest({columns}) WITH ORDINALITY AS g({given}, position)
  WHERE group_no IS NOT NULL),
numbered AS MATERIALIZED (
  SELECT nextval(pg_get_serial_sequence('invoicer.draft', 'draft_id')) AS draft_id, g.*
  FROM (SELECT * FROM given ORDER BY position) g),
inserted AS (
  INSERT INTO invoicer.draft (draft_id, workflow_version, {names}) OVERRIDING SYSTEM VALUE
  SELECT draft_id,
    CASE WHEN n.workflow <> ''
         THEN (SELECT max(w.version) FROM invoicer.workflow w WHERE w.name = n.workflow) END,
    {names}
  FROM numbered n)
SELECT group_no, draft_id FROM numbered ORDER BY draft_id

-- name: save_processed
-- drafts that became closed documents; their version stays the approved one
UPDATE invoicer.draft d SET status = 'processed', invoice_id = s.invoice_id
FROM unnest(CAST(:drafts AS bigint[]), CAST(:invoices AS bigint[])) AS s(draft_id, invoice_id)
WHERE d.draft_id = s.draft_id

-- name: add_events
-- changes of drafts, each numbered after those that its draft has
INSERT INTO invoicer.draft_event
  (draft_id, event_no, action, version, status, actor, reason, changes_items, details, command_id,
   at)
SELECT s.draft_id,
  coalesce((SELECT max(e.event_no) FROM invoicer.draft_event e WHERE e.draft_id = s.draft_id), 0)
    + row_number() OVER (PARTITION BY s.draft_id ORDER BY s.position),
  s.action, s.version, s.status, s.actor, s.reason, s.changes_items, CAST(s.details AS jsonb),
  s.command_id, s.at
FROM (SELECT *, row_number() OVER () AS position FROM {given}) s
