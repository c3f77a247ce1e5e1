"""Credits by hand: what stands on a closed document, the credit lines put where closing takes them from, and write-offs.

Closing is the same as a batch's (`store.closing`): it writes documents, lines and seals from the temporary tables `selected_line` and `line_location`,
which are filled here with the lines of one credit note.
"""

from collections.abc import Sequence
from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.credits.rules import GROUP_NO, IssuedDocument, IssuedLine, LineCredit
from services.invoicer.debtors.rules.companies import DocumentTerms
from services.invoicer.lines.rules import DocKey, QuantityAmount
from shared.database import rows, run
from shared.events.realizations import RealizationLine

UNDONE = " undone: "
"""Begins the id of the row that takes a write-off back. It begins with a space, which no command's id does."""

LINES_SQL = """
SELECT l.line_no, l.billto_node AS debtor_node, l.billto_level, l.tax_code AS tax_code_taken, l.tax_rate, l.tax_amount, p.*,
       c.quantity AS credited_quantity, c.amount AS credited_amount, c.tax AS credited_tax
FROM invoicer.invoice_line l
JOIN invoicer.pay_line p USING (pay_line_id)
CROSS JOIN LATERAL (
  SELECT coalesce(sum(e.quantity), 0) AS quantity, coalesce(sum(e.amount), 0) AS amount, coalesce(sum(el.tax_amount), 0) AS tax
  FROM invoicer.pay_line e JOIN invoicer.invoice_line el USING (pay_line_id)
  WHERE e.corrects_invoice_id = l.invoice_id AND e.corrects_line_no = l.line_no) c
WHERE l.invoice_id = :id ORDER BY l.line_no"""

LINE_LOCATIONS_SQL = """
CREATE TEMP TABLE line_location ON COMMIT DROP AS
SELECT CAST(row_number() OVER (ORDER BY node, level) AS integer) AS location_no, node AS debtor_node, level AS debtor_level
FROM (SELECT DISTINCT * FROM unnest(CAST(:nodes AS text[]), CAST(:levels AS integer[])) AS n(node, level)) n"""

# A credit is found by the line that it corrects and by its command, which its derivation names: others of that line may be open beside it.
SELECTED_LINES_SQL = """
CREATE TEMP TABLE selected_line ON COMMIT DROP AS
SELECT CAST(:group_no AS bigint) AS group_no, CAST(t.line_no AS integer) AS line_no, p.pay_line_id, 0 AS exclusion_reason, s.location_no, t.tax_code, t.tax_rate, t.tax,
       invoicer.line_digest(p) AS digest, CAST(:invoice_number AS text) AS corrects_invoice
FROM unnest(CAST(:corrected AS integer[]), CAST(:nodes AS text[]), CAST(:levels AS integer[]), CAST(:codes AS text[]), CAST(:rates AS numeric[]),
            CAST(:taxes AS numeric[])) WITH ORDINALITY AS t(corrected, node, level, tax_code, tax_rate, tax, line_no)
JOIN invoicer.pay_line p ON p.corrects_invoice_id = :id AND p.corrects_line_no = t.corrected AND p.derivation -> 'credit' ->> 'command_id' = :command_id
JOIN line_location s ON s.debtor_node = t.node AND s.debtor_level = t.level"""


async def issued_for(
    connection: AsyncConnection, billing_company: str, invoice_number: str
) -> IssuedDocument | None:
    """The head of a closed document by its number."""
    query = """
        SELECT invoice_id, invoice_number, document_type, account_name, currency, tax_regime, tax_wording, payment_terms, po_number, invoice_date,
               cut_off_date, total
        FROM invoicer.invoice WHERE billing_company = :company AND invoice_number = :number"""
    found = await rows(connection, query, company=billing_company, number=invoice_number)
    if not found:
        return None
    (row,) = found
    terms = DocumentTerms(row.tax_regime, row.tax_wording, row.payment_terms)
    return IssuedDocument(
        row.invoice_id, row.invoice_number, row.document_type, row.account_name, row.currency, terms, row.po_number, row.invoice_date, row.cut_off_date,
        row.total,
    )  # fmt: skip


async def documents_of(connection: AsyncConnection, invoice_id: int) -> set[DocKey]:
    """The source documents whose lines stand on a closed document: they never change."""
    query = """
        SELECT DISTINCT p.document_kind, p.document_id FROM invoicer.invoice_line l JOIN invoicer.pay_line p USING (pay_line_id)
        WHERE l.invoice_id = :id"""
    return {
        (row.document_kind, row.document_id) for row in await rows(connection, query, id=invoice_id)
    }


async def issued_lines(connection: AsyncConnection, invoice_id: int) -> list[IssuedLine]:
    """The lines of a closed document with what was credited of each, in their order. To be read under the locks."""
    return [
        IssuedLine(
            line_no=row.line_no,
            document=(row.document_kind, row.document_id),
            line=RealizationLine.model_construct(
                **{name: getattr(row, name) for name in RealizationLine.model_fields}
            ),
            is_credit=row.corrects_invoice_id is not None,
            node=row.debtor_node,
            level=row.billto_level,
            tax_code=row.tax_code_taken,
            tax_rate=row.tax_rate,
            tax=row.tax_amount,
            credited=QuantityAmount(row.credited_quantity, row.credited_amount),
            tax_credited=row.credited_tax,
        )
        for row in await rows(connection, LINES_SQL, id=invoice_id)
    ]


async def select_credit_lines(
    connection: AsyncConnection,
    issued: IssuedDocument,
    credits: Sequence[LineCredit],
    command_id: str,
) -> None:
    """Puts the credits, which are open lines by now, where closing takes the lines of a document from."""
    nodes, levels = [each.of.node for each in credits], [each.of.level for each in credits]
    await run(connection, LINE_LOCATIONS_SQL, nodes=nodes, levels=levels)
    laid = await run(
        connection,
        SELECTED_LINES_SQL,
        group_no=GROUP_NO,
        id=issued.invoice_id,
        invoice_number=issued.invoice_number,
        command_id=command_id,
        corrected=[each.of.line_no for each in credits],
        nodes=nodes,
        levels=levels,
        codes=[each.of.tax_code for each in credits],
        rates=[each.of.tax_rate for each in credits],
        taxes=[each.tax for each in credits],
    )
    if laid not in (-1, len(credits)):
        raise AssertionError(f"{laid} lines laid out for {len(credits)} credits")


async def add_write_offs(
    connection: AsyncConnection,
    credits: Sequence[LineCredit],
    *,
    command_id: str,
    actor: str,
    reason: str,
) -> None:
    """Keeps what a credit wrote off, per document and line key, as quantities and amounts above zero."""
    sums: dict[tuple[str, str, str], QuantityAmount] = {}
    for each in credits:
        key = (*each.of.document, each.of.line.line_key)
        sums[key] = sums.get(key, QuantityAmount()) - each.value
    keys = sorted(sums)
    await run(
        connection,
        "INSERT INTO invoicer.write_off (document_kind, document_id, line_key, command_id, quantity, amount, actor, reason)"
        " SELECT k, d, l, :command_id, q, a, :actor, :reason FROM unnest(CAST(:kinds AS text[]), CAST(:ids AS text[]), CAST(:keys AS text[]),"
        " CAST(:quantities AS numeric[]), CAST(:amounts AS numeric[])) AS w(k, d, l, q, a)",
        command_id=command_id,
        actor=actor,
        reason=reason,
        kinds=[kind for kind, _, _ in keys],
        ids=[document_id for _, document_id, _ in keys],
        keys=[key for _, _, key in keys],
        quantities=[sums[key].quantity for key in keys],
        amounts=[sums[key].amount for key in keys],
    )


async def undo_write_offs(
    connection: AsyncConnection, invoice_id: int, *, actor: str, reason: str
) -> dict[DocKey, Decimal]:
    """Takes back what was written off on a closed document, each write-off once, by rows of the opposite; the amount by source document."""
    query = """
        INSERT INTO invoicer.write_off (document_kind, document_id, line_key, command_id, quantity, amount, actor, reason)
        SELECT w.document_kind, w.document_id, w.line_key, CAST(:undone AS text) || w.command_id, -w.quantity, -w.amount, :actor, :reason
        FROM invoicer.write_off w
        WHERE w.command_id IN (
          SELECT b.command_id FROM invoicer.pay_line p JOIN invoicer.invoice_line l USING (pay_line_id)
          JOIN invoicer.invoice i ON i.invoice_id = l.invoice_id JOIN invoicer.batch b ON b.batch_id = i.batch_id
          WHERE p.corrects_invoice_id = :id AND p.derivation -> 'credit' ->> 'to' = 'write-off')
          AND (w.document_kind, w.document_id) IN (
            SELECT p.document_kind, p.document_id FROM invoicer.invoice_line l JOIN invoicer.pay_line p USING (pay_line_id) WHERE l.invoice_id = :id)
        ON CONFLICT DO NOTHING
        RETURNING document_kind, document_id, amount"""
    undone: dict[DocKey, Decimal] = {}
    for row in await rows(
        connection, query, id=invoice_id, undone=UNDONE, actor=actor, reason=reason
    ):
        document = (row.document_kind, row.document_id)
        undone[document] = undone.get(document, Decimal(0)) - row.amount
    return undone
