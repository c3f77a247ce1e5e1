-- name: due_assignments
-- Assignments that were changed, or have a due date without an occurrence, at most some days after
-- the watermark of their billing company. Without a watermark there is no today: they wait.
SELECT a.assignment_id
FROM fee_realizer.assignment a
JOIN scheduler.due_watermark w USING (billing_company)
WHERE a.realized_version < a.version OR a.next_due <= w.to_date + CAST(:days AS integer)
ORDER BY a.assignment_id LIMIT :most
