-- The routing of drafts: the steps of each version with their approvers, and the approvals.

-- name: drafts_to_route
-- the drafts that wait for approval and whose version is not routed, each with its workflow
SELECT d.draft_id, d.version AS draft_version, d.currency, d.net, w.name, w.version, w.steps,
  w.forbids
FROM invoicer.draft d
JOIN invoicer.workflow w ON w.name = d.workflow AND w.version = d.workflow_version
WHERE d.draft_id = ANY(CAST(:ids AS bigint[])) AND d.status = 'pending_approval_routing'
  AND NOT EXISTS (
    SELECT FROM invoicer.draft_routing r
    WHERE r.draft_id = d.draft_id AND r.version = d.version)
ORDER BY d.draft_id

-- name: engagement_values
-- departments, locations and the values of custom fields on the lines of drafts; empty: none
SELECT DISTINCT l.draft_id, f.field,
  coalesce(CASE f.field WHEN '.department' THEN p.engagement ->> 'department'
                        WHEN '.location' THEN p.engagement ->> 'location'
                        ELSE p.engagement -> 'custom' ->> f.field END, '') AS value
FROM invoicer.draft_line l
JOIN invoicer.pay_line p ON p.pay_line_id = l.pay_line_id
CROSS JOIN unnest(CAST(:fields AS text[])) AS f(field)
WHERE l.draft_id = ANY(CAST(:ids AS bigint[]))

-- name: reassigned
-- who approves in place of whom in the version of a draft that was routed last
SELECT a.draft_id, s.step, a.planned, a.who
FROM invoicer.draft_approver a
JOIN invoicer.draft_step s USING (draft_id, version, step_no)
WHERE a.draft_id = ANY(CAST(:ids AS bigint[])) AND a.who <> a.planned
  AND a.version = (
    SELECT max(r.version) FROM invoicer.draft_routing r WHERE r.draft_id = a.draft_id)

-- name: routed_steps
-- the steps of a version of a draft with their approvers, in order
SELECT s.step_no, s.step, s.stage, s.mandatory, a.given, a.planned, a.who
FROM invoicer.draft_step s
JOIN invoicer.draft_approver a USING (draft_id, version, step_no)
WHERE s.draft_id = :id AND s.version = :version
ORDER BY s.step_no, a.place_no

-- name: approvals
-- the approvals of a version of a draft
SELECT s.step, a.who, v.person, v.actor
FROM invoicer.draft_approval v
JOIN invoicer.draft_step s USING (draft_id, version, step_no)
JOIN invoicer.draft_approver a USING (draft_id, version, step_no, place_no)
WHERE v.draft_id = :id AND v.version = :version
ORDER BY v.approved_at, s.step_no

-- name: add_approvals
-- approvals of places in steps of a version, by the names of the steps and who they are for
INSERT INTO invoicer.draft_approval
  (draft_id, version, step_no, place_no, person, actor, reason, command_id, approved_at)
SELECT s.draft_id, s.version, s.step_no, a.place_no, :person, :actor, :reason, :command_id, :at
FROM unnest(CAST(:steps AS text[]), CAST(:who AS text[])) AS g(step, who)
JOIN invoicer.draft_step s ON s.draft_id = :id AND s.version = :version AND s.step = g.step
JOIN invoicer.draft_approver a USING (draft_id, version, step_no)
WHERE a.who = g.who

-- name: reassign
-- another person in a place of a step
UPDATE invoicer.draft_approver a SET who = :to
FROM invoicer.draft_step s
WHERE s.draft_id = :id AND s.version = :version AND s.step = :step AND a.draft_id = s.draft_id
  AND a.version = s.version AND a.step_no = s.step_no AND a.who = :who
