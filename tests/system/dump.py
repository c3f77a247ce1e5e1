"""A dump of all business columns by business key, to compare runs with different faults.

Left out are surrogate ids, realization numbers, instants, rate book numbers and `replaced_line`:
they depend on how messages are batched. Lines are identified by document and line key, documents
by their number. A withheld realization is left out, too: a requirement and a revision without
approval arrive in either order, and only in one there was something to withhold. What a document
waits for, and which of its lines are open or invoiced, is compared.
"""

import json

from tests.running import Observer

LINES = (
    "(SELECT jsonb_agg(line - '{rate_book,derivation}'::text[] ORDER BY line->>'line_key') FROM"
    " jsonb_array_elements(body::jsonb->'lines') line)"
)
BOOKS: dict[str, str] = {
    "billing companies": "SELECT to_jsonb(c) AS row FROM fee_realizer.billing_company c",
    "tax rates": "SELECT to_jsonb(t) AS row FROM fee_realizer.tax_rate t",
    "requirements": "SELECT to_jsonb(r) - 'rate_book' AS row FROM fee_realizer.requirement r",
    "statuses": "SELECT to_jsonb(s) AS row FROM fee_realizer.requirement_status s",
    "bill rates in force": "SELECT to_jsonb(v) - '{since_book,until_book}'::text[] AS row"
    " FROM fee_realizer.rate_version v WHERE until_book IS NULL",
    "catalog": "SELECT to_jsonb(i) AS row FROM fee_realizer.catalog_item i",
    "documents": "SELECT jsonb_build_array(document_kind, document_id, source_id, revision,"
    " hold_code, hold_message)"
    " AS row FROM fee_realizer.source_document",
    "revisions": "SELECT to_jsonb(r) - 'received_at' AS row FROM fee_realizer.source_revision r",
    "adjustments": "SELECT to_jsonb(a) AS row FROM fee_realizer.adjustment_timesheet a",
    "facts of documents": "SELECT to_jsonb(f) AS row FROM fee_realizer.document_fact f",
    "latest worth": f"""
        SELECT jsonb_build_array(document_kind, document_id, {LINES}) AS row
        FROM fee_realizer.latest_realization WHERE realization_kind = 'realized'""",
    "settled worth": f"""
        SELECT jsonb_build_array(document_kind, document_id, stale_realization_no IS NULL, {LINES})
            AS row
        FROM invoicer.settled_document WHERE realization_kind = 'realized'""",
    "open lines": """
        SELECT to_jsonb(p) - '{pay_line_id,realization_no,created_at,opened_on}'::text[]
               - '{rate_book,corrects_invoice_id,derivation}'::text[]
               || jsonb_build_object('corrects', i.invoice_number, 'correction', o.correction)
                   AS row
        FROM invoicer.open_line o JOIN invoicer.pay_line p USING (pay_line_id) LEFT
            JOIN invoicer.invoice i ON i.invoice_id = p.corrects_invoice_id""",
    "invoices": "SELECT to_jsonb(i) - '{invoice_id,closed_at}'::text[] AS row"
    " FROM invoicer.invoice i",
    "invoice lines": """
        SELECT to_jsonb(l) - '{invoice_id,pay_line_id,realization_no,corrects_invoice_id}'::text[]
            || jsonb_build_object('number', i.invoice_number) AS row
        FROM invoicer.closed_invoice_line l JOIN invoicer.invoice i USING (invoice_id)""",
    "seals": "SELECT jsonb_build_array(i.invoice_number, s.content_hash) AS row"
    " FROM invoicer.invoice_seal s JOIN invoicer.invoice i USING (invoice_id)",
    "batches": "SELECT to_jsonb(b) - '{generated_at,closed_on}'::text[] AS row"
    " FROM invoicer.batch b",
    "series": "SELECT to_jsonb(s) AS row FROM invoicer.number_series s",
    "jumps": "SELECT to_jsonb(j) - 'jumped_at' AS row FROM invoicer.number_jump j",
    "snoozes": "SELECT to_jsonb(s) - '{snoozed_at}'::text[] AS row FROM invoicer.snooze s",
    "edits": "SELECT to_jsonb(e) - 'edited_at' AS row FROM invoicer.operator_edit e",
    "billto": "SELECT to_jsonb(n) AS row FROM invoicer.billto_node n",
    "billto revisions": "SELECT to_jsonb(n) AS row FROM invoicer.billto_revision n",
    "watermarks": "SELECT to_jsonb(w) - '{announced_at,from_date}'::text[] AS row"
    " FROM scheduler.watermark w",
    "answers": """
        SELECT jsonb_build_array(command_id, command, actor, outcome, result->>'code') AS row
        FROM (SELECT * FROM fee_realizer.command UNION ALL SELECT * FROM invoicer.command UNION ALL
            SELECT * FROM scheduler.command) c""",
    "dead letters": """
        SELECT jsonb_build_array(topic, encode(record_value, 'hex'), code, state) AS row
        FROM (SELECT * FROM fee_realizer.dead_letter UNION ALL SELECT *
            FROM invoicer.dead_letter) d""",
}


async def dump(observer: Observer) -> dict[str, list[str]]:
    """Every business row as sorted JSON text, by kind."""
    found: dict[str, list[str]] = {}
    for name, sql in BOOKS.items():
        rows = await observer.select(f"SELECT x.row FROM ({sql}) x".replace("::", "\\:\\:"))
        found[name] = sorted(json.dumps(row.row, sort_keys=True) for row in rows)
    return found


def differences(one: dict[str, list[str]], other: dict[str, list[str]]) -> list[str]:
    """Rows that are in one dump only, at most five of each kind."""
    lines = []
    for name in one:
        only_one, only_other = (
            sorted(set(one[name]) - set(other[name])),
            sorted(set(other[name]) - set(one[name])),
        )
        if len(one[name]) != len(other[name]):
            lines.append(f"{name}: {len(one[name])} rows against {len(other[name])}")
        lines += [f"{name}, only in the first: {row}" for row in only_one[:5]] + [
            f"{name}, only in the second: {row}" for row in only_other[:5]
        ]
    return lines
