"""Who did it: every command about a subject, accepted or refused, and what happened to a document in between.

A subject is what people have in hand: a document, an invoice number, a bare number, an Account Name, a batch, a billing company, a pay
line, a command id. It is widened to what belongs to it: the lines of a document, the batch of an invoice.
"""

import json
from typing import Any

from services.console.client.books import ReadConnection, Row, found
from services.console.client.dead_letters import SERVICES
from shared.stored import as_json

MOST_LINES = 10_000
COMMAND = (
    "c.answered_at AS at, c.command AS what, c.actor, c.reason, c.outcome, c.result->>'code' AS code, c.result->>'message' AS message,"
    " c.before, c.after, c.command_id"
)


async def history(connection: ReadConnection, subject: str, limit: int = 200) -> list[Row]:
    """What is known of a subject, oldest first; of more than `limit` the newest."""
    subjects, command_ids = await _widened(connection, subject)
    entries = [*await _facts(connection, subject), *await _numbers(connection, subject)]
    for service in SERVICES:
        rows = await found(
            connection,
            f"SELECT '{service}' AS service, {COMMAND} FROM {service}.command c"
            " WHERE c.subjects && CAST(:subjects AS text[]) OR c.command_id = ANY(CAST(:ids AS text[])) ORDER BY c.answered_at DESC LIMIT :most",
            subjects=sorted(subjects),
            ids=sorted(command_ids),
            most=limit,
        )
        entries += [
            row | {"before": as_json(row["before"]), "after": as_json(row["after"])} for row in rows
        ]
    return sorted(entries, key=lambda entry: entry["at"])[-limit:]


async def _widened(connection: ReadConnection, subject: str) -> tuple[set[str], set[str]]:
    """Subjects under which commands are kept that concern this one, and ids of commands that made what it is on."""
    lines = await found(
        connection,
        "SELECT p.pay_line_id, i.batch_id FROM invoicer.pay_line p LEFT JOIN invoicer.invoice_line il USING (pay_line_id)"
        " LEFT JOIN invoicer.invoice i USING (invoice_id) WHERE p.document_id = :subject OR p.pay_line_id = CAST(:line AS bigint) ORDER BY 1 LIMIT :most",
        subject=subject,
        line=_number(subject),
        most=MOST_LINES,
    )
    batches = await found(
        connection,
        "SELECT DISTINCT b.batch_id, b.command_id FROM invoicer.batch b LEFT JOIN invoicer.invoice i USING (batch_id)"
        " WHERE b.batch_id = :subject OR b.batch_id = ANY(CAST(:batches AS text[])) OR i.invoice_number = :subject"
        " OR i.account_name = :subject OR i.number = CAST(:number AS bigint)",
        subject=subject,
        batches=sorted({row["batch_id"] for row in lines if row["batch_id"]}),
        number=_number(subject),
    )
    subjects = {
        subject,
        *(f"pay-line {row['pay_line_id']}" for row in lines),
        *(row["batch_id"] for row in batches),
    }
    if _number(subject) is not None:
        subjects.add(f"pay-line {subject}")
    return subjects, {subject, *(row["command_id"] for row in batches)}


async def _facts(connection: ReadConnection, document_id: str) -> list[Row]:
    """What the ATS said of a document, what it was worth, and on which documents it was invoiced."""
    said = await found(
        connection,
        "SELECT received_at AS at, 'ATS' AS actor, 'revision ' || revision || CASE WHEN source_id NOT IN ('', document_id)"
        " THEN ' of adjustment ' || source_id ELSE '' END AS what, '' AS message FROM fee_realizer.document_revision WHERE document_id = :id",
        id=document_id,
    )
    worth = await found(
        connection,
        "SELECT issued_at AS at, 'fee_realizer' AS actor, 'statement ' || realization_no AS what, realization_kind, cause, body"
        " FROM fee_realizer.document_realization WHERE document_id = :id",
        id=document_id,
    )
    held = await found(
        connection,
        "SELECT held_since AS at, 'fee_realizer' AS actor, 'held' AS what, hold_code || ': ' || hold_message AS message"
        " FROM fee_realizer.document_state WHERE document_id = :id AND hold_code IS NOT NULL",
        id=document_id,
    )
    billed = await found(
        connection,
        "SELECT i.closed_at AS at, 'invoicer' AS actor, 'invoiced' AS what, i.document_type || ' ' || i.invoice_number || ' of ' || i.account_name"
        " || ', line ' || string_agg(CAST(il.line_no AS text), ', ' ORDER BY il.line_no) AS message"
        " FROM invoicer.pay_line p JOIN invoicer.invoice_line il USING (pay_line_id) JOIN invoicer.invoice i USING (invoice_id)"
        " WHERE p.document_id = :id GROUP BY i.invoice_id, i.closed_at, i.document_type, i.invoice_number, i.account_name",
        id=document_id,
    )
    return [*said, *[_statement(row) for row in worth], *held, *billed]


def _statement(row: Row) -> Row:
    lines: list[dict[str, Any]] = json.loads(row.pop("body")).get("lines", [])
    kind, cause = row.pop("realization_kind"), row.pop("cause")
    number = f"{len(lines)} line{'' if len(lines) == 1 else 's'}"
    return row | {
        "message": f"{kind}, {number} ({cause})" if kind == "realized" else f"{kind} ({cause})"
    }


async def _numbers(connection: ReadConnection, subject: str) -> list[Row]:
    """Who passed over this number of a series."""
    return await found(
        connection,
        "SELECT jumped_at AS at, actor, reason, command_id, 'number passed over' AS what,"
        " billing_company || ' ' || series || ': ' || from_number || ' to ' || to_number || ' were passed over' AS message"
        " FROM invoicer.number_jump WHERE CAST(:number AS bigint) BETWEEN from_number AND to_number",
        number=_number(subject),
    )


def _number(subject: str) -> int | None:
    """The subject as a number, if it is one that a database takes."""
    return int(subject) if subject.isascii() and subject.isdigit() and len(subject) < 18 else None
