-- name: approvals_complete
-- a draft that needs no more approval has as many in each step of its version as are mandatory
SELECT format('D-%s', lpad(CAST(d.draft_id AS text), 6, '0')) AS id,
       CASE WHEN r.draft_id IS NULL THEN format('version %s was never routed', d.version)
            ELSE format('version %s: step %s has %s of %s approvals', d.version, s.step, s.approved,
                        s.mandatory) END AS detail
FROM invoicer.draft d
LEFT JOIN invoicer.draft_routing r ON r.draft_id = d.draft_id AND r.version = d.version
LEFT JOIN LATERAL (
  SELECT t.step, t.mandatory,
         (SELECT count(*) FROM invoicer.draft_approval v
          WHERE v.draft_id = t.draft_id AND v.version = t.version AND v.step_no = t.step_no)
           AS approved
  FROM invoicer.draft_step t WHERE t.draft_id = d.draft_id AND t.version = d.version) s ON true
WHERE d.workflow <> '' AND d.status IN ('pending_finalization', 'processed')
  AND (r.draft_id IS NULL OR s.approved < s.mandatory)

-- name: approved_by_approver
-- who approved for a named approver is this person, and approved once in a step
SELECT format('D-%s', lpad(CAST(draft_id AS text), 6, '0')) AS id,
       format('version %s, step %s: %s approved as %s', a.version, a.step_no, v.person, a.who)
         AS detail
FROM invoicer.draft_approval v
JOIN invoicer.draft_approver a USING (draft_id, version, step_no, place_no)
WHERE starts_with(a.who, 'person:') AND a.who <> 'person:' || v.person

-- name: four_eyes
-- no one who created or changed a draft approved its last version, or had it approved for him
SELECT DISTINCT format('D-%s', lpad(CAST(d.draft_id AS text), 6, '0')) AS id,
       format('version %s: %s created or changed it, and approved it', d.version, w.actor) AS detail
FROM invoicer.draft d
JOIN invoicer.draft_approval v ON v.draft_id = d.draft_id AND v.version = d.version
JOIN invoicer.draft_author w ON w.draft_id = d.draft_id AND w.actor IN (v.person, v.actor)

-- name: routed_by_amount
-- a step that only an amount decides is routed if, and only if, the total before tax reaches it
SELECT format('D-%s', lpad(CAST(d.draft_id AS text), 6, '0')) AS id,
       format('version %s, %s %s: step %s is%s routed', d.version, d.net, d.currency, g.step,
              CASE WHEN g.routed THEN '' ELSE ' not' END) AS detail
FROM invoicer.draft d
JOIN invoicer.draft_routing r ON r.draft_id = d.draft_id AND r.version = d.version
JOIN invoicer.workflow w ON w.name = d.workflow AND w.version = d.workflow_version
CROSS JOIN LATERAL (
  SELECT e.step ->> 'step' AS step,
         NOT EXISTS (
           SELECT FROM jsonb_array_elements(e.step -> 'at_least') AS a(least)
           WHERE a.least ->> 'currency' = d.currency
             AND abs(d.net) < CAST(a.least ->> 'amount' AS numeric)) AS applies,
         EXISTS (
           SELECT FROM invoicer.draft_step s
           WHERE s.draft_id = d.draft_id AND s.version = d.version AND s.step = e.step ->> 'step')
           AS routed
  FROM jsonb_array_elements(w.steps) AS e(step)
  WHERE e.step -> 'departments' = '[]' AND e.step -> 'locations' = '[]') g
WHERE g.applies <> g.routed
