-- name: sides
-- an item of a supplier belongs to its self-billing agreement, every other to a billing company
SELECT 'pay line ' || p.pay_line_id AS id,
       format('is of the %s''s side and belongs to %s',
              coalesce(p.engagement ->> 'side', 'client'), p.billing_company) AS detail
FROM invoicer.pay_line AS p
WHERE p.engagement IS NOT NULL
  AND (p.engagement @> '{"side": "supplier"}') <> (position('@' IN p.billing_company) > 0)
  -- What another system billed for a supplier was loaded without its side.
  AND NOT EXISTS (
    SELECT FROM invoicer.invoice_line AS l JOIN invoicer.invoice AS v USING (invoice_id)
    WHERE l.pay_line_id = p.pay_line_id AND v.is_opening)
UNION ALL
-- The seller of a self-billed document names the buyer who issued it; no other seller does.
SELECT 'invoice ' || v.invoice_number,
       format('belongs to %s and states that it was issued by %s', v.billing_company,
              coalesce(v.seller ->> 'self_billed_by', 'its seller'))
FROM invoicer.invoice AS v
WHERE NOT v.is_opening
  AND v.seller ->> 'self_billed_by' IS DISTINCT FROM CASE WHEN v.is_self_billed
    THEN substr(v.billing_company, length(v.billing_company)
                                   - position('@' IN reverse(v.billing_company)) + 2) END
