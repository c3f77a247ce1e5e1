"""History: every command about a subject, accepted or refused, and what happened to a document
in between.

A subject is what people know: a document, an invoice number, a bare number, an Account Name, a
batch, a billing company, a pay line, a command id. It is widened to what belongs to it: the lines
of a document, the batch of an invoice.
"""

import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from services.console.queries.amounts import at_minor_unit
from services.console.queries.dead_letters import SERVICES
from services.console.queries.invoices import number_span
from services.console.queries.snapshot import SQL, ReadConnection, Row, fetch
from shared.money import plain
from shared.reminders import PREFIX
from shared.stored import as_json
from shared.terms import counted

MAX_LINES = 10_000
DATE = r"\d{4}-\d\d-\d\d"
LOOK_UPS = ["explain", "health-check", "list-batch-groups", "rates-impact", "what-if"]
"""Commands that only ask. They are answered once as others are, and are no part of the history of
what they ask about; by its id each is still found."""


COMMAND = (
    "'{service}' AS service, answered_at AS at, command AS what, actor, reason,"
    " result->>'outcome' AS outcome, result->>'code' AS code, result->>'message' AS message,"
    " command_id, key_id, program, client"
)
"""`key_id`, `program` and `client` say which key signed a command, and where its sender is; of a
refused signature they are what it says of itself."""


async def history(connection: ReadConnection, subject: str, limit: int = 200) -> list[Row]:
    """What is known of a subject, oldest first; of more than `limit` entries the newest."""
    subjects, command_ids = await _widen(connection, subject)
    entries = [
        *await _document_events(connection, subject),
        *await _jumps(connection, subject),
        *await _mails(connection, subject),
    ]
    for service in SERVICES:
        rows = await fetch(
            connection,
            f"SELECT {COMMAND.format(service=service)}, before, after"
            f" FROM {service}.console_command"
            " WHERE subjects && CAST(:subjects AS text[]) AND command <> ALL(CAST(:look_ups AS"
            " text[])) AND coalesce(result -> 'details' ->> 'preview', '') <> 'true'"
            " OR command_id = ANY(CAST(:ids AS text[]))"
            f" UNION ALL SELECT {COMMAND.format(service=service)}, NULL, NULL"
            f" FROM {service}.console_refused_command"
            " WHERE subjects && CAST(:subjects AS text[]) OR command_id = ANY(CAST(:ids AS text[]))"
            " ORDER BY at DESC LIMIT :most",
            subjects=sorted(subjects),
            look_ups=LOOK_UPS,
            ids=sorted(command_ids),
            most=limit,
        )
        entries += [
            row | {name: as_json(row[name]) for name in ("before", "after")} for row in rows
        ]
    return sorted(entries, key=lambda entry: entry["at"])[-limit:]


async def _widen(connection: ReadConnection, subject: str) -> tuple[set[str], set[str]]:
    """Subjects under which commands about this one are kept, and ids of the commands that made
    its batches.
    """
    number = _number(subject)
    lines = await fetch(
        connection,
        "SELECT p.pay_line_id, i.batch_id FROM invoicer.console_pay_line p"
        " LEFT JOIN invoicer.console_invoice_line il USING (pay_line_id)"
        " LEFT JOIN invoicer.console_invoice i USING (invoice_id)"
        " WHERE p.document_id = :subject OR p.pay_line_id = CAST(:line AS bigint) ORDER BY 1 LIMIT"
        " :most",
        subject=subject,
        line=number,
        most=MAX_LINES,
    )
    batches = await fetch(
        connection,
        SQL["batches_of_subject"],
        subject=subject,
        batches=sorted({row["batch_id"] for row in lines if row["batch_id"]}),
        number=number,
    )
    pay_lines = {row["pay_line_id"] for row in lines} | ({number} if number is not None else set())
    named = {f"pay-line {pay_line_id}" for pay_line_id in pay_lines}
    assignment_id, _, due = subject.rpartition("@")  # of an occurrence, ID@DATE
    named |= {assignment_id} if assignment_id and re.fullmatch(DATE, due) else set()
    subjects = {subject, *named, *(row["batch_id"] for row in batches)}
    return subjects, {subject, *(row["command_id"] for row in batches)}


async def _document_events(connection: ReadConnection, document_id: str) -> list[Row]:
    """Revisions, realizations, holds, what was forgiven, and the documents on which it is."""
    rows = await fetch(connection, SQL["document_events"], id=document_id)
    for row in rows:
        kind, cause, body = row.pop("kind"), row.pop("cause"), row.pop("body")
        if body is None:
            continue
        content = json.loads(body)
        if kind == "forgiven":
            amount = at_minor_unit(Decimal(content["amount"]), content["currency"])
            row["message"] = (
                f"{plain(Decimal(content['quantity']))} {content['unit']},"
                f" {amount:,f} {content['currency']} of {content['description']}"
            )
        elif cause is None:
            row["message"] = "; ".join(filter(None, (REVISIONS[kind](content), row["message"])))
        else:
            lines = counted(len(content.get("lines", [])), "line")
            row["message"] = (
                f"{kind}, {lines} ({cause})" if kind == "realized" else f"{kind} ({cause})"
            )
    return rows


def _revision(timesheet: Mapping[str, Any]) -> str:
    """The hours of a revision by time type, and whether it lacks its approval."""
    hours: dict[str, Decimal] = {}
    for entry in timesheet.get("entries") or ():
        time_type = entry["time_type"]
        hours[time_type] = hours.get(time_type, Decimal(0)) + Decimal(str(entry["hours"]))
    words = ", ".join(f"{plain(number)} h {name}" for name, number in sorted(hours.items()))
    workflow = timesheet.get("workflow")
    waits = workflow is not None and workflow.get("approved_at") is None
    return (words or "no hours") + (", not approved" if waits else "")


def _placement(placement: Mapping[str, Any]) -> str:
    """The fees and the dates of a revision of a placement."""
    ends = f" to {placement['end_date']}" if placement.get("end_date") else ""
    fees = counted(len(placement.get("fees") or ()), "fee")
    return f"{fees}, from {placement.get('start_date')}{ends}"


def _charge(charge: Mapping[str, Any]) -> str:
    """Quantity, item and date of a revision of a charge."""
    if charge.get("cancelled"):
        return "cancelled"
    price = f" at {charge['price']} {charge['currency']}" if charge.get("price") else ""
    return f"{charge['quantity']} × {charge['item_id']}{price}, {charge['service_date']}"


def _occurrence(occurrence: Mapping[str, Any]) -> str:
    """Price, item and date of a revision of an occurrence of an assignment."""
    if occurrence.get("withdrawn"):
        return f"no longer due on {occurrence['due_date']}"
    price = f"{occurrence['price']} {occurrence['currency']} of {occurrence['item_id']}"
    confirmed = ", confirmed for invoiced lines" if occurrence.get("confirmed") else ""
    return f"{price}, due {occurrence['due_date']}, set by {occurrence['set_by']}{confirmed}"


def _requirement(requirement: Mapping[str, Any]) -> str:
    """The retainer of a revision of a requirement."""
    retainer = requirement.get("retainer")
    if not retainer:
        return "no retainer"
    return f"{retainer.get('amount') or 'amount of'} {retainer['item_id']}"


REVISIONS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "timesheet": _revision,
    "placement": _placement,
    "charge": _charge,
    "assignment": _occurrence,
    "retainer": _requirement,
}


async def _jumps(connection: ReadConnection, subject: str) -> list[Row]:
    """Who passed over this number of a series."""
    rows = await fetch(
        connection,
        f"SELECT j.*, n.width FROM invoicer.console_number_jump j"
        f" JOIN ({SQL['number_series']}) n USING (billing_company, series)"
        " WHERE CAST(:number AS bigint) BETWEEN j.from_number AND j.to_number",
        number=_number(subject),
    )
    return [
        {name: row[name] for name in ("actor", "reason", "command_id")}
        | {
            "at": row["jumped_at"],
            "what": "number passed over",
            "message": f"{row['billing_company']}: {number_span(row, row)} passed over",
        }
        for row in rows
    ]


async def _mails(connection: ReadConnection, subject: str) -> list[Row]:
    """What became of each attempt to send this document, or a reminder of it, by e-mail."""
    rows = await fetch(
        connection,
        "SELECT a.ended_at AS at, a.state, a.message, m.address, m.document_type, m.invoice_number"
        " FROM arg_sync.console_mail_attempt a JOIN arg_sync.console_mail m USING (mail_id)"
        " WHERE m.invoice_number = :subject OR m.invoice_number IN ("
        f"   SELECT '{PREFIX}' || r.reminder_id FROM arg_sync.console_reminded_invoice r"
        "   WHERE r.invoice_number = :subject AND r.billing_company = m.billing_company)"
        " ORDER BY a.ended_at DESC LIMIT :most",
        subject=subject,
        most=MAX_LINES,
    )
    return [
        {
            "at": row["at"],
            "what": f"e-mail {row['state']}",
            "actor": "",
            "reason": "",
            "command_id": None,
            "message": f"{_about(row)}to {row['address']}: {row['message']}",
        }
        for row in rows
    ]


def _about(mail: Row) -> str:
    """Which reminder an e-mail is; a document of its own needs no name."""
    return f"{mail['invoice_number']} " if mail["document_type"] == "reminder" else ""


def _number(subject: str) -> int | None:
    """The subject as a number, if it is one that the database takes."""
    return int(subject) if subject.isascii() and subject.isdigit() and len(subject) < 18 else None
