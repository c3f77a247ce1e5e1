"""What the golden files record: one SQL query a table, with column names that no rename touches.

Only the SQL text and the imports name tables and fields of the product. Every output column has a
name of its own (`AS ...`), because the golden files outlive the renames. A column whose name ends
in `code`, `codes`, `kind`, `status` or `state` holds machine codes, to which the comparator applies
the table of renamed codes. Surrogate ids, instants, seals and messages for people are left out.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """A query, and how many of its first columns name a row for people who read a difference."""

    name: str
    key_columns: int
    sql: str


PAY_LINE = """
SELECT p.pay_line_id AS id, p.document_kind AS source_kind, p.document_id AS source_id,
       p.realization_no AS realization_no, p.line_key AS line_identity,
       c.invoice_number AS corrects_number, p.corrects_line_no AS corrects_line,
       r.replaced_by_realization AS replaced_by_realization, p.line_kind AS line_kind,
       p.billing_company AS company, p.billto_node AS work_node, p.currency AS currency,
       p.quantity AS quantity, p.unit AS unit, p.unit_price AS price, p.amount AS amount,
       p.effective_date AS effective_on, p.service_from AS service_first,
       p.service_to AS service_last, p.accounting_period AS period, p.week_ending AS week,
       p.requirement_id AS requirement, p.worker_id AS worker, p.time_type AS time_type,
       p.item_id AS item, p.project AS project, p.cost_center AS cost_center,
       p.po_number AS purchase_order, p.tax_code AS tax_category, p.rate_version AS rate,
       p.rate_book AS rate_list, p.description AS description, p.announce_when_due AS announced,
       o.correction AS is_correction
FROM invoicer.pay_line p
LEFT JOIN invoicer.invoice c ON c.invoice_id = p.corrects_invoice_id
LEFT JOIN invoicer.replaced_line r ON r.pay_line_id = p.pay_line_id
LEFT JOIN invoicer.open_line o
       ON o.billing_company = p.billing_company AND o.pay_line_id = p.pay_line_id
"""
"""Every pay line; its `id` finds its status and is not recorded."""

REALIZATION = """
SELECT document_kind AS source_kind, document_id AS source_id, realization_no AS realization_no,
       realization_kind AS realization_kind, source_id AS source_revision_id, revision AS revision,
       cause AS cause_code, body AS body
FROM fee_realizer.realization
"""
"""Every realization of fee_realizer; its lines are read from the body of the message."""

OPEN_DEBIT = """
SELECT o.pay_line_id AS id
FROM invoicer.open_line o JOIN invoicer.pay_line p USING (pay_line_id)
WHERE p.document_kind = :kind AND p.document_id = :source AND p.line_key = :identity
  AND p.corrects_invoice_id IS NULL
"""
"""The open line, not a credit, of a key: there is one at most."""

IDENTITY_OF = """
SELECT document_kind AS source_kind, document_id AS source_id, line_key AS line_identity
FROM invoicer.pay_line WHERE pay_line_id = :id
"""

OVERTIME_OF = """
SELECT document_kind AS source_kind, document_id AS source_id, line_key AS line_identity
FROM invoicer.pay_line WHERE document_id = :id AND time_type = 'OT' ORDER BY line_key
"""

BATCHES = """
SELECT batch_id AS id, billing_company AS company, first_number AS first_number
FROM invoicer.batch WHERE documents > 0 ORDER BY billing_company, first_number
"""

PAY_LINE_KEY_COLUMNS = 6
REALIZATION_KEY_COLUMNS = 3

TABLES = (
    Table(
        "invoice",
        2,
        """
SELECT i.billing_company AS company, i.invoice_number AS invoice_number, i.series AS series,
       i.number AS number, i.document_type AS document_kind, i.account_name AS debtor,
       i.currency AS currency, i.payment_terms AS payment_terms, i.po_number AS purchase_order,
       i.tax_regime AS tax_regime_code, i.tax_wording AS tax_wording, i.tax_basis AS tax_basis_code,
       i.invoice_date AS issued_on, i.due_date AS due_on, i.cut_off_date AS cut_off,
       i.service_from AS service_first, i.service_to AS service_last,
       i.net AS net, i.tax AS tax, i.total AS total, i.line_count AS lines,
       (SELECT array_agg(concat_ws(' ', t ->> 'code', t ->> 'rate', t ->> 'net', t ->> 'tax')
                         ORDER BY at)
        FROM jsonb_array_elements(i.tax_totals) WITH ORDINALITY AS each(t, at)) AS taxes,
       ARRAY[i.seller ->> 'name', i.seller ->> 'address', i.seller ->> 'tax_id',
             i.seller ->> 'bank'] AS seller,
       ARRAY[i.buyer ->> 'name', i.buyer ->> 'address', i.buyer ->> 'tax_id'] AS buyer,
       b.charged AS own_amount, b.credited AS credited_amount, b.paid AS paid_amount,
       b.balance AS balance, b.state AS balance_state
FROM invoicer.invoice i JOIN invoicer.invoice_balance b USING (invoice_id)
""",
    ),
    Table(
        "invoice line",
        3,
        """
SELECT i.billing_company AS company, i.invoice_number AS invoice_number, l.line_no AS line_number,
       p.document_kind AS source_kind, p.document_id AS source_id,
       p.realization_no AS realization_no, p.line_key AS line_identity,
       c.invoice_number AS corrects_number, p.corrects_line_no AS corrects_line,
       p.quantity AS quantity, p.amount AS amount, l.billto_node AS debtor_node,
       l.billto_level AS debtor_level, l.tax_code AS tax_category, l.tax_rate AS tax_percent,
       l.tax_amount AS tax
FROM invoicer.invoice_line l
JOIN invoicer.invoice i USING (invoice_id) JOIN invoicer.pay_line p USING (pay_line_id)
LEFT JOIN invoicer.invoice c ON c.invoice_id = p.corrects_invoice_id
""",
    ),
    Table(
        "batch",
        3,
        """
SELECT billing_company AS company, first_number AS first_number, last_number AS last_number,
       cut_off_date AS cut_off, invoice_date AS issued_on, documents AS documents,
       line_count AS lines,
       (SELECT array_agg(concat_ws(' ', t ->> 'currency', t ->> 'documents', t ->> 'lines',
                                   t ->> 'net', t ->> 'tax', t ->> 'total') ORDER BY at)
        FROM jsonb_array_elements(totals) WITH ORDINALITY AS each(t, at)) AS totals
FROM invoicer.batch
""",
    ),
    Table(
        "parked debtor",
        3,
        """
SELECT b.billing_company AS company, b.first_number AS first_number, d.account_name AS debtor,
       d.code AS parked_code, r.first_number AS billed_in_first_number
FROM invoicer.parked_debtor d JOIN invoicer.batch b USING (batch_id)
LEFT JOIN invoicer.batch r ON r.batch_id = d.billed_in_batch
""",
    ),
    Table(
        "number series",
        2,
        """
SELECT billing_company AS company, series AS series, first_number AS first_number,
       next_number AS next_number, last_date AS last_issued_on
FROM invoicer.number_series
""",
    ),
    Table(
        "source document",
        2,
        """
SELECT d.document_kind AS source_kind, d.document_id AS source_id,
       d.source_id AS source_revision_id, d.revision AS revision,
         d.realization_no AS realization_no,
       d.hold_code AS hold_code, t.realization_no AS settled_realization_no,
       t.stale_realization_no AS stale_realization_no
FROM fee_realizer.source_document d
LEFT JOIN invoicer.settled_document t USING (document_kind, document_id)
WHERE d.revision >= 0
""",
    ),
    Table(
        "held document",
        2,
        """
SELECT document_kind AS source_kind, document_id AS source_id, revision AS revision,
       billing_company AS company, hold_code AS hold_code
FROM fee_realizer.held_document
""",
    ),
    Table(
        "snooze",
        3,
        """
SELECT document_kind AS source_kind, document_id AS source_id, line_key AS line_identity,
       code AS snooze_code, until_date AS until
FROM invoicer.snooze
""",
    ),
    Table(
        "operator edit",
        4,
        """
SELECT document_kind AS source_kind, document_id AS source_id, line_key AS line_identity,
       command_id AS command_id, quantity_difference AS quantity, amount_difference AS amount
FROM invoicer.operator_edit
""",
    ),
    Table(
        "write-off",
        4,
        """
SELECT document_kind AS source_kind, document_id AS source_id, line_key AS line_identity,
       command_id AS command_id, quantity AS quantity, amount AS amount
FROM invoicer.write_off
""",
    ),
    Table(
        "price difference",
        5,
        """
SELECT document_id AS source_id, requirement_id AS requirement, time_type AS time_type,
       effective_from AS effective_from, line_key AS line_identity, billing_company AS company,
       currency AS currency, quantity AS quantity, old_price AS old_price, new_price AS new_price,
       old_amount AS old_amount, new_amount AS new_amount
FROM fee_realizer.rate_impact
""",
    ),
    Table(
        "dead letter",
        2,
        """
SELECT 'fee_realizer' AS service, convert_from(record_key, 'UTF8') AS message_key,
       topic AS topic, code AS refusal_code, state AS dead_letter_state
FROM fee_realizer.dead_letter
UNION ALL
SELECT 'invoicer', convert_from(record_key, 'UTF8'), topic, code, state FROM invoicer.dead_letter
""",
    ),
)
