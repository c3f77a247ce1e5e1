"""The hand-written transaction for a batch with billing cycles, five split keys, corrections.

Its author knows the case: terms are in one table with one version each, cycles are two dates,
credits take a part of lines without other credits, so their tax is in proportion; no office moved,
nothing is snoozed, one tax code has one rate.
"""

from tests.bench.seed import FORTNIGHT_ENDED

BARE_SQL = (
    "SET LOCAL work_mem = '256MB'",
    "SET LOCAL jit = off",
    f"""CREATE TEMP TABLE payer ON COMMIT DROP AS
       SELECT s.node_id, s.account_name, s.debtor, s.level,
           dense_rank() OVER (ORDER BY s.account_name COLLATE "C")::int AS debtor_no, s.buyer,
              t.payment_terms, t.tax_regime, t.tax_regime = 'standard' AS taxed,
              CASE t.time_group WHEN 'fortnights' THEN date '{FORTNIGHT_ENDED}' ELSE $cut_off END
                  AS weeks_to
       FROM (SELECT n.node_id, coalesce(nullif(n.account_name, ''), p.account_name) AS account_name,
                    CASE WHEN n.account_name <> '' THEN n.node_id ELSE p.node_id END AS debtor,
                    CASE WHEN n.account_name <> '' THEN n.level ELSE p.level END AS level,
                    jsonb_build_object('name', p.name, 'address', p.address, 'tax_id', p.tax_id)
                        AS buyer
             FROM invoicer.billto_node n JOIN invoicer.billto_node p
                 ON p.node_id = coalesce(n.parent_id, n.node_id)) s
       JOIN invoicer.debtor_terms t ON t.billing_company = $company
           AND t.account_name = s.account_name""",
    "ANALYZE payer",
    """CREATE TEMP TABLE credit ON COMMIT DROP AS
       SELECT o.pay_line_id, i.invoice_number, i.po_number, l.tax_rate,
           round(l.tax_amount * p.amount / c.amount, 2) AS tax
       FROM bare.open_line o JOIN invoicer.pay_line p ON p.pay_line_id = o.pay_line_id
       JOIN invoicer.invoice i ON i.invoice_id = p.corrects_invoice_id
       JOIN invoicer.invoice_line l ON l.invoice_id = p.corrects_invoice_id
           AND l.line_no = p.corrects_line_no
       JOIN invoicer.pay_line c ON c.pay_line_id = l.pay_line_id
       WHERE o.billing_company = $company AND o.correction""",
    "ANALYZE credit",
    """CREATE TEMP TABLE line ON COMMIT DROP AS
       SELECT debtor_no, currency, po_number, credit, (row_number() OVER w)::int AS line_no,
           pay_line_id, debtor, level, amount, tax_code, tax_rate, tax,
              service_from, service_to, invoice_number, digest
       FROM (SELECT y.debtor_no, p.currency, coalesce(k.po_number, p.po_number) AS po_number,
           k.pay_line_id IS NOT NULL AS credit, p.pay_line_id, y.debtor,
                    y.level, p.amount, 'STD' AS tax_code, coalesce(k.tax_rate, t.percent, 0)
                        AS tax_rate,
                    coalesce(k.tax, round(p.amount * t.percent / 100, 2), 0) AS tax,
                        p.service_from, p.service_to, k.invoice_number,
                    p.week_ending, p.worker_id COLLATE "C" AS worker_id, p.document_id COLLATE "C"
                        AS document_id, p.line_key COLLATE "C" AS line_key,
                    invoicer.line_digest(p) AS digest
             FROM bare.open_line o JOIN invoicer.pay_line p ON p.pay_line_id = o.pay_line_id
                 AND p.pay_line_id BETWEEN $first AND $last
             JOIN payer y ON y.node_id = o.billto_node
             LEFT JOIN fee_realizer.tax_rate t ON y.taxed AND t.billing_company = o.billing_company
                 AND t.tax_code = 'STD'
             LEFT JOIN credit k ON k.pay_line_id = o.pay_line_id
             WHERE o.billing_company = $company AND o.effective_date <= $today AND (o.correction
                 OR o.week_ending <= y.weeks_to) OFFSET 0) s
       WINDOW w AS (PARTITION BY debtor_no, currency, po_number, credit ORDER BY week_ending,
           worker_id, document_id, line_key, pay_line_id)""",
    "ANALYZE line (debtor_no, pay_line_id)",
    """INSERT INTO bare.batch (batch_id, billing_company, command_id, cut_off_date, invoice_date,
        first_number, last_number, documents, line_count, totals,
         actor, reason, generated_at)
       SELECT $batch, $company, $batch, $cut_off, $today, '', '', 0, sum(lines),
           jsonb_agg(jsonb_build_object('currency', currency, 'net', net, 'tax', tax)),
         'bench', 'bench', now()
       FROM (SELECT currency, count(*) AS lines, sum(amount) AS net, sum(tax) AS tax FROM line
           GROUP BY currency) c""",
    """CREATE TEMP TABLE document ON COMMIT DROP AS
       WITH born AS (
         INSERT INTO bare.invoice (billing_company, batch_id, series, number, invoice_number,
             document_type, account_name, currency, payment_terms, po_number,
           tax_regime, tax_wording, tax_basis, invoice_date, due_date, cut_off_date, service_from,
               service_to, net, tax, total, line_count, tax_totals, seller,
           buyer, closed_at)
         SELECT $company, $batch, 'INV-', number, 'INV-' || lpad(number::text, greatest(6,
             length(number::text)), '0'),
           CASE WHEN d.credit THEN 'credit-note' ELSE 'invoice' END, y.account_name, d.currency,
               y.payment_terms, d.po_number, y.tax_regime,
           CASE y.tax_regime WHEN 'reverse-charge' THEN 'Reverse charge: tax is due by the buyer'
               ELSE '' END, 'line', $today,
           $today + CASE y.payment_terms WHEN 'net:15' THEN 15 ELSE 30 END, $cut_off, since, until,
               net, tax, net + tax, lines,
           jsonb_build_array(jsonb_build_object('code', tax_code, 'rate',
               trim_scale(tax_rate)::text, 'net', net::numeric(20, 2)::text,
                                                'tax', tax::numeric(20, 2)::text)),
           '{"name": "Bench Staffing Inc.", "address": "1 Main Street, Springfield",
              "tax_id": "12-3456789", "bank": "Bank 001"}', y.buyer, now()
         FROM (SELECT debtor_no, currency, po_number, credit, tax_code, tax_rate, count(*)
             AS lines, min(service_from) AS since, max(service_to) AS until,
                      sum(amount) AS net, sum(tax) AS tax,
                      row_number() OVER (ORDER BY debtor_no, currency, po_number, credit) - 1
                        + (SELECT next_number FROM bare.number_series
                            WHERE billing_company = $company FOR UPDATE) AS number
               FROM line GROUP BY debtor_no, currency, po_number, credit, tax_code, tax_rate) d
         JOIN (SELECT DISTINCT ON (debtor_no) debtor_no, account_name, buyer, payment_terms,
             tax_regime FROM payer) y USING (debtor_no)
         ORDER BY number RETURNING invoice_id, account_name, currency, po_number,
             document_type = 'credit-note' AS credit)
       SELECT b.invoice_id, y.debtor_no, b.currency, b.po_number, b.credit FROM born b
       JOIN (SELECT DISTINCT account_name, debtor_no FROM payer) y USING (account_name)""",
    "ANALYZE document",
    """INSERT INTO bare.invoice_line (invoice_id, line_no, pay_line_id, billto_node, billto_level,
        tax_code, tax_rate, tax_amount)
       SELECT d.invoice_id, l.line_no, l.pay_line_id, l.debtor, l.level, l.tax_code, l.tax_rate,
           l.tax
       FROM line l JOIN document d USING (debtor_no, currency, po_number, credit)""",
    """INSERT INTO bare.invoice_seal
       SELECT i.invoice_id, invoicer.document_seal(ROW(i.*)::invoicer.invoice, s.lines)
       FROM (SELECT debtor_no, currency, po_number, credit,
                    string_agg(invoicer.line_seal(line_no, digest, invoice_number, debtor, level,
                        tax_code, tax_rate, tax), ''::bytea ORDER BY line_no) AS lines
             FROM line GROUP BY debtor_no, currency, po_number, credit) s
       JOIN document d USING (debtor_no, currency, po_number, credit) JOIN bare.invoice i
           USING (invoice_id)""",
    "DELETE FROM bare.open_line o USING line l WHERE o.billing_company = $company AND"
    " o.pay_line_id = l.pay_line_id",
    "UPDATE bare.number_series SET next_number = next_number + (SELECT count(*) FROM document),"
    " last_date = $today WHERE billing_company = $company",
)
