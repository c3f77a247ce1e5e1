-- What the health check reads after the selection. Each query but `held` gives ids; the store
-- counts them and keeps the first ones. A query about the whole company has the name of its rule's
-- code. The health of a selection that other companies share (dead letters, documents that are
-- priced again, billto nodes) has no filter by company.

-- name: lines_out
-- The lines that are out for a reason.
SELECT pay_line_id AS id FROM selected_line WHERE exclusion_reason = :reason

-- name: very_late_lines
-- The lines in the batch with work long before the cut-off.
SELECT pay_line_id AS id FROM selected_line
WHERE exclusion_reason = 0 AND week_ending < :before AND corrects IS NULL

-- name: parent_of_wrong_level
-- The billto nodes whose parent is not of a higher level.
SELECT n.node_id AS id FROM invoicer.billto_node n
JOIN invoicer.billto_node p ON p.node_id = n.parent_id WHERE p.level >= n.level

-- name: parent_unknown
-- The billto nodes without an Account Name whose parent the ATS has not sent.
SELECT n.node_id AS id FROM invoicer.billto_node n
LEFT JOIN invoicer.billto_node p ON p.node_id = n.parent_id
WHERE n.parent_id IS NOT NULL AND p.node_id IS NULL AND n.account_name = ''

-- name: nodes_without_lines
-- The offices without open lines and without an Account Name on their path.
SELECT n.node_id AS id FROM invoicer.billto_node n
WHERE n.account_name = '' AND n.level = 3
  AND NOT EXISTS (SELECT FROM line_location s WHERE s.node = n.node_id)
  AND NOT EXISTS (
    SELECT FROM invoicer.billto_node p
    LEFT JOIN invoicer.billto_node g ON g.node_id = p.parent_id AND g.level < p.level
    WHERE p.node_id = n.parent_id AND p.level < n.level
      AND (p.account_name <> '' OR g.account_name <> ''))

-- name: realizations_in_flight
-- The documents whose latest realization is not settled yet.
-- Of those only the ones that name the company, or no company because they have no lines.
SELECT l.document_id AS id FROM fee_realizer.latest_realization l
LEFT JOIN invoicer.settled_document s
  ON s.document_kind = l.document_kind AND s.document_id = l.document_id
WHERE l.realization_no > coalesce(s.realization_no, 0) AND s.stale_realization_no IS NULL
  AND (jsonb_array_length(CAST(l.body AS jsonb) -> 'lines') = 0
       OR CAST(l.body AS jsonb) -> 'lines' @> jsonb_build_array(
            jsonb_build_object('billing_company', CAST(:company AS text))))

-- name: to_be_priced
-- The documents of the company that wait to be priced again, and since when.
SELECT document_id AS id, queued_at AS since FROM fee_realizer.document_to_price
WHERE billing_company IN (:company, '')
UNION ALL
SELECT s.document_id, coalesce(s.citation_ended_at, r.issued_at)
FROM invoicer.stale_price_basis s
JOIN fee_realizer.latest_realization r
  ON r.document_kind = s.document_kind AND r.document_id = s.document_id
WHERE EXISTS (
  SELECT FROM invoicer.pay_line p WHERE p.document_kind = s.document_kind
    AND p.document_id = s.document_id AND p.billing_company = :company)

-- name: rate_impact
-- The invoiced timesheets and occurrences of the company with another price than the one in force.
SELECT DISTINCT document_id AS id FROM fee_realizer.price_impact WHERE billing_company = :company

-- name: dead_letters_open
-- The open dead letters of the invoicer.
SELECT dead_letter_id AS id FROM invoicer.dead_letter WHERE state = 'open'

-- name: one_name_two_addresses
-- The debtors of the selection that have billto nodes with different details.
SELECT n.account_name AS id FROM invoicer.billto_node n
WHERE n.account_name IN (SELECT account_name FROM line_location)
GROUP BY n.account_name HAVING count(DISTINCT (n.name, n.address, n.tax_id)) > 1

-- name: details_of_names
-- The different details of the billto nodes of some debtors, each with the lowest node that has it.
SELECT account_name, string_agg(node_id || ' (' || details || ')', ', ' ORDER BY node_id) AS details
FROM (
  SELECT account_name, min(node_id) AS node_id,
         left(concat_ws(', ', nullif(name, ''), nullif(replace(address, chr(10), ', '), ''),
                        nullif(tax_id, '')), 120) AS details
  FROM invoicer.billto_node WHERE account_name = ANY(CAST(:names AS text[]))
  GROUP BY account_name, name, address, tax_id) d
GROUP BY account_name ORDER BY account_name

-- name: leaver
-- The placements that end before an open instalment of theirs falls due, without a guarantee that
-- says what is owed. One that an operator has snoozed is decided.
SELECT DISTINCT p.document_id AS id
FROM invoicer.open_line o
JOIN invoicer.pay_line p USING (pay_line_id)
CROSS JOIN LATERAL (
  SELECT e.end_date FROM fee_realizer.ended_placement e
  WHERE e.placement_id = p.document_id OFFSET 0) e
WHERE o.billing_company = :company AND p.document_kind = 'placement'
  AND p.corrects_invoice_id IS NULL AND o.effective_date > e.end_date
  AND NOT EXISTS (SELECT FROM fee_realizer.guaranteed_item g WHERE g.item_id = p.item_id)
  AND NOT EXISTS (
    SELECT FROM invoicer.snooze z
    WHERE z.document_kind = p.document_kind AND z.document_id = p.document_id
      AND z.line_key = p.line_key AND (z.until_date IS NULL OR z.until_date > CAST(:today AS date)))

-- name: step_without_approver
-- The steps of the workflows of active options that fewer can approve than are mandatory: no one
-- has a role, or a person is disabled. Who a field of the engagement names is not judged here.
SELECT DISTINCT format('%s, %s (%s)', o.workflow, c.step, c.missing_names) AS id
FROM (
  SELECT DISTINCT ON (name) active, workflow FROM invoicer.invoice_option
  WHERE billing_company = :company AND from_date <= CAST(:today AS date)
  ORDER BY name, from_date DESC) o
CROSS JOIN LATERAL (
  SELECT w.steps FROM invoicer.workflow w WHERE w.name = o.workflow
  ORDER BY w.version DESC LIMIT 1) w
CROSS JOIN LATERAL (
  SELECT s.step ->> 'step' AS step, count(*) AS approvers,
         coalesce(CAST(s.step ->> 'mandatory' AS integer), count(*)) AS mandatory,
         count(*) FILTER (WHERE m.missing) AS missing,
         string_agg(a.who, ', ' ORDER BY a.who) FILTER (WHERE m.missing) AS missing_names
  FROM jsonb_array_elements(w.steps) AS s(step)
  CROSS JOIN LATERAL jsonb_array_elements_text(s.step -> 'approvers') AS a(who)
  CROSS JOIN LATERAL (
    SELECT CASE split_part(a.who, ':', 1)
      WHEN 'role' THEN NOT EXISTS (
        SELECT FROM invoicer.granted_role g
        WHERE 'role:' || g.role = a.who AND g.billing_company IN ('', :company))
      WHEN 'person' THEN EXISTS (
        SELECT FROM invoicer.person p WHERE 'person:' || p.person = a.who AND NOT p.enabled)
      ELSE false END AS missing) m
  GROUP BY s.step) c
WHERE o.active AND c.approvers - c.missing < c.mandatory

-- name: approver_field_empty
-- The engagements of open lines whose option routes by a custom field that they do not have.
SELECT DISTINCT format('%s (%s)', p.engagement ->> 'engagement_id', f.field) AS id
FROM line_option x
JOIN option_in_force v ON v.name = x.document_option ->> 'name'
CROSS JOIN LATERAL (
  SELECT w.steps FROM invoicer.workflow w WHERE w.name = v.workflow
  ORDER BY w.version DESC LIMIT 1) w
CROSS JOIN LATERAL (
  SELECT DISTINCT substr(a.who, length('field:') + 1) AS field
  FROM jsonb_array_elements(w.steps) AS s(step)
  CROSS JOIN LATERAL jsonb_array_elements_text(s.step -> 'approvers') AS a(who)
  WHERE starts_with(a.who, 'field:')) f
JOIN invoicer.pay_line p ON p.pay_line_id = x.pay_line_id
WHERE coalesce(p.engagement -> 'custom' ->> f.field, '') = ''

-- name: retainers_left
-- The billed retainers of which fees take less than the whole, without what operators kept,
-- credited or wrote off; of requirements without a placement only those cancelled or closed.
SELECT requirement_id, currency, left_over,
       CASE WHEN placements > 0 THEN 'retainer_exceeds_fee' ELSE 'retainer_without_placement' END
         AS code
FROM (
  SELECT t.requirement_id, t.currency, t.placements, t.undecided - coalesce((
           SELECT sum(w.amount) FROM invoicer.write_off w
           WHERE w.document_kind = 'retainer' AND w.document_id = t.requirement_id), 0) AS left_over
  FROM fee_realizer.retainer_state t
  WHERE t.billing_company = :company AND t.undecided > 0
    AND (t.placements > 0 OR t.ended_from <= CAST(:today AS date))
    AND EXISTS (
      SELECT FROM invoicer.pay_line p
      WHERE p.document_kind = 'retainer' AND p.document_id = t.requirement_id
        AND NOT EXISTS (SELECT FROM invoicer.replaced_line r WHERE r.pay_line_id = p.pay_line_id)
  )) f
WHERE left_over > 0 ORDER BY requirement_id

-- name: account_names
-- All Account Names, each with whether the selection has lines of that debtor.
SELECT n.account_name, bool_or(s.account_name IS NOT NULL) AS selected
FROM invoicer.billto_node n
LEFT JOIN (SELECT DISTINCT account_name FROM line_location) s USING (account_name)
WHERE n.account_name <> '' GROUP BY n.account_name

-- name: held
-- The held documents of the company and those without a known company, by code.
SELECT hold_code, count(*) AS number,
       (array_agg(document_id ORDER BY document_id))[1 : CAST(:most AS integer)] AS ids
FROM fee_realizer.held_document WHERE billing_company IN (:company, '') GROUP BY hold_code
