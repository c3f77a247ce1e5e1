"""Documents by e-mail: accounts, states, attempts, and the progress of a batch."""

from typing import Any

from services.console.queries.snapshot import ReadConnection, Row, fetch, fetch_page
from shared.errors import Refused
from shared.stored import as_json

OPEN = ("queued", "sending")
COLUMNS = (
    "mail_id, invoice_number, document_type, billing_company, account_name, address, state, code,"
    " message, fix, attempts, revision, message_id, subject, attach, batch_id, queued_at,"
    " next_attempt_at, settled_at"
)


async def mail_account(connection: ReadConnection, billing_company: str) -> Row:
    """The mail account of a billing company, without its password. Refused if it has none."""
    found = await fetch(
        connection,
        "SELECT * FROM arg_sync.console_mail_account WHERE billing_company = :company",
        company=billing_company,
    )
    if not found:
        raise Refused(
            "no_mail_account",
            f"{billing_company} has no mail account",
            "set one up with `backoffice send set-account`",
        )
    return found[0] | {"settings": as_json(found[0]["settings"])}


async def mail_settings(connection: ReadConnection, billing_company: str) -> dict[str, str]:
    """The settings of the mail account of a billing company; empty if it has none."""
    found = await fetch(
        connection,
        "SELECT settings FROM arg_sync.console_mail_account WHERE billing_company = :company",
        company=billing_company,
    )
    return dict(as_json(found[0]["settings"])) if found else {}


async def mails(
    connection: ReadConnection,
    state: str | None = None,
    batch_id: str | None = None,
    billing_company: str | None = None,
    limit: int = 100,
) -> tuple[list[Row], int]:
    """E-mails, the newest first, and how many there are in all."""
    return await fetch_page(
        connection,
        COLUMNS,
        "arg_sync.console_mail WHERE (CAST(:state AS text) IS NULL OR state = :state)"
        " AND (CAST(:batch AS text) IS NULL OR batch_id = :batch)"
        " AND (CAST(:company AS text) IS NULL OR billing_company = :company)",
        "mail_id DESC",
        limit,
        state=state,
        batch=batch_id,
        company=billing_company,
    )


async def document_mails(
    connection: ReadConnection, invoice_number: str, billing_company: str
) -> list[Row]:
    """The e-mails of a document, by address; none if it was never sent."""
    return await fetch(
        connection,
        f"SELECT {COLUMNS} FROM arg_sync.console_mail"
        " WHERE invoice_number = :number AND billing_company = :company ORDER BY address",
        number=invoice_number,
        company=billing_company,
    )


async def mails_of(connection: ReadConnection, invoice_number: str) -> list[Row]:
    """The e-mails of a document with their attempts. Refused if there is none."""
    found = await fetch(
        connection,
        f"SELECT {COLUMNS} FROM arg_sync.console_mail WHERE invoice_number = :number"
        " ORDER BY billing_company, address",
        number=invoice_number,
    )
    if not found:
        raise Refused(
            "never_sent",
            f"{invoice_number} was never sent by e-mail",
            f"send it with `backoffice send invoice {invoice_number}`",
        )
    attempts = await fetch(
        connection,
        "SELECT mail_id, attempt_no, revision, ended_at, duration_ms, state, code, message,"
        " message_id, worker FROM arg_sync.console_mail_attempt"
        " WHERE mail_id = ANY(CAST(:ids AS bigint[])) ORDER BY mail_id, attempt_no",
        ids=[row["mail_id"] for row in found],
    )
    by_mail: dict[int, list[Row]] = {}
    for row in attempts:
        by_mail.setdefault(row.pop("mail_id"), []).append(row)
    return [row | {"attempts_made": by_mail.get(row["mail_id"], [])} for row in found]


async def mail_progress(connection: ReadConnection, batch_id: str) -> dict[str, Any]:
    """How far a batch is: e-mails by state, how many are open, and what holds them up."""
    counts = await fetch(
        connection,
        "SELECT state, count(*) AS n FROM arg_sync.console_mail WHERE batch_id = :id"
        " GROUP BY state",
        id=batch_id,
    )
    accounts = await fetch(
        connection,
        "SELECT state, message, resting, circuit_message FROM arg_sync.console_mail_account"
        " WHERE billing_company IN (SELECT billing_company FROM arg_sync.console_mail"
        "   WHERE batch_id = :id)",
        id=batch_id,
    )
    states = {row["state"]: row["n"] for row in counts}
    stopped = [f"{row['state']}: {row['message']}" for row in accounts if row["state"] != "ready"]
    resting = [
        f"the mail server rests: {row['circuit_message']}" for row in accounts if row["resting"]
    ]
    return {
        "batch_id": batch_id,
        "mails": states,
        "open": sum(states.get(state, 0) for state in OPEN),
        "stopped": bool(stopped),
        "held_up": stopped + resting,
    }
