-- Approval workflows, the routing of drafts through them, and approvals.

-- The versions of workflows. `steps`: name, order, approvers, mandatory, conditions; `forbids`:
-- actions by status. A draft keeps the version that was the newest when it was made.
CREATE TABLE invoicer.workflow (
  name text NOT NULL CHECK (length(name) <= 200),
  version integer NOT NULL CHECK (version > 0),
  steps jsonb NOT NULL,
  forbids jsonb NOT NULL,
  actor text NOT NULL,
  reason text NOT NULL,
  set_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (name, version));

-- The routing of each version of a draft: the steps that apply with as many approvers as must
-- approve, and who that is. It is made when the version begins to wait for approval.
CREATE TABLE invoicer.draft_routing (
  draft_id bigint NOT NULL REFERENCES invoicer.draft,
  version integer NOT NULL,
  routed_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (draft_id, version));
-- Steps of one stage are open at the same time.
CREATE TABLE invoicer.draft_step (
  draft_id bigint NOT NULL,
  version integer NOT NULL,
  step_no smallint NOT NULL,
  step text NOT NULL,
  stage smallint NOT NULL,
  mandatory smallint NOT NULL CHECK (mandatory > 0),
  PRIMARY KEY (draft_id, version, step_no),
  UNIQUE (draft_id, version, step),
  FOREIGN KEY (draft_id, version) REFERENCES invoicer.draft_routing);
-- Who approves: as the workflow says (`given`), who that is for the draft (`planned`), and who it
-- is now; they differ where the place was given to another person. role:NAME, or person:NAME.
CREATE TABLE invoicer.draft_approver (
  draft_id bigint NOT NULL,
  version integer NOT NULL,
  step_no smallint NOT NULL,
  place_no smallint NOT NULL,
  given text NOT NULL,
  planned text NOT NULL,
  who text NOT NULL,
  PRIMARY KEY (draft_id, version, step_no, place_no),
  UNIQUE (draft_id, version, step_no, who),
  FOREIGN KEY (draft_id, version, step_no) REFERENCES invoicer.draft_step);
-- `actor` approved as `person`; they differ where one acted on behalf of the other.
CREATE TABLE invoicer.draft_approval (
  draft_id bigint NOT NULL,
  version integer NOT NULL,
  step_no smallint NOT NULL,
  place_no smallint NOT NULL,
  person text NOT NULL,
  actor text NOT NULL,
  reason text NOT NULL,
  command_id text NOT NULL,
  approved_at timestamptz NOT NULL,
  PRIMARY KEY (draft_id, version, step_no, place_no),
  UNIQUE (draft_id, version, step_no, person),
  FOREIGN KEY (draft_id, version, step_no, place_no) REFERENCES invoicer.draft_approver);
GRANT SELECT, INSERT ON invoicer.workflow, invoicer.draft_routing, invoicer.draft_step,
  invoicer.draft_approver, invoicer.draft_approval TO invoicer;
GRANT UPDATE (who) ON invoicer.draft_approver TO invoicer;

-- Workflows for the console, version by version.
CREATE VIEW invoicer.console_workflow AS
  SELECT w.name, w.version, w.steps, w.forbids, w.actor, w.reason, w.set_at,
         w.version = max(w.version) OVER (PARTITION BY w.name) AS newest
  FROM invoicer.workflow w;
-- Approvers of drafts for the console, version by version, with the approvals that there are.
CREATE VIEW invoicer.console_draft_approver AS
  SELECT s.draft_id, s.version, s.step_no, s.step, s.stage, s.mandatory, a.place_no, a.given,
         a.planned, a.who, v.person, v.actor, v.reason, v.approved_at
  FROM invoicer.draft_step s
  JOIN invoicer.draft_approver a USING (draft_id, version, step_no)
  LEFT JOIN invoicer.draft_approval v USING (draft_id, version, step_no, place_no);
