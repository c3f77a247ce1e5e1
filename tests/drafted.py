"""SQL that puts pay lines on a draft of their own, for tests of what happens to them there."""


def draft_of(lines: str, status: str = "pending_finalization") -> str:
    """Return a statement that puts the pay lines of a query on one new draft, without tax."""
    return f"""
        WITH line AS MATERIALIZED ({lines}),
        head AS (
          INSERT INTO invoicer.draft (billing_company, status, made_by, made_by_id, cut_off,
            document_type, account_name, currency, payment_terms, po_number, credit_split,
            tax_regime, tax_wording, tax_basis, service_from, service_to, net, tax, total,
            line_count, tax_totals, created_by, created_at)
          SELECT min(billing_company), '{status}', 'drafts_create', 'C-1', max(effective_date),
            'invoice', 'St. Anne', min(currency), 'net:30', min(po_number), 0, 'standard', '',
            'line', min(service_from), max(service_to), sum(amount), 0, sum(amount), count(*),
            '[]', 'pat', now()
          FROM line RETURNING draft_id),
        event AS (
          INSERT INTO invoicer.draft_event (draft_id, event_no, action, version, status, actor,
            changes_items, at)
          SELECT draft_id, 1, 'created', 1, '{status}', 'pat', true, now() FROM head)
        INSERT INTO invoicer.draft_line (pay_line_id, billing_company, draft_id, line_no,
          correction, billto_node, billto_level, tax_code, tax_rate, tax_amount)
        SELECT pay_line_id, billing_company, draft_id, row_number() OVER (ORDER BY pay_line_id),
          corrects_invoice_id IS NOT NULL, billto_node, 3, tax_code, 0, 0
        FROM line CROSS JOIN head"""
