"""E-mails: one row for each document and address, queued, leased, settled, and their attempts."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.mail.rules import NOT_DUE, MailOutcome
from shared.database import rows, run
from shared.sql import named_queries

QUERIES = named_queries(Path(__file__).with_suffix(".sql"))


@dataclass(frozen=True, slots=True)
class Recipients:
    """A document with the addresses of its debtor and what goes there."""

    invoice_id: int
    account_name: str
    emails: Sequence[str]
    attach: Sequence[str]
    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class ClaimedMail:
    """An e-mail that this worker holds under a lease; every write names the lease.

    It is about a document or a reminder; `invoice_number` names either.
    """

    mail_id: int
    lease: int
    invoice_id: int | None
    reminder_id: int | None
    invoice_number: str
    address: str
    subject: str
    content: str
    attach: Sequence[str]
    message_id: str
    tries: int
    failing_seconds: float


async def documents_of(
    connection: AsyncConnection, billing_company: str, *, batch_id: str = "", number: str = ""
) -> list[int]:
    """Return the closed documents of a batch or of a number."""
    column = "batch_id" if batch_id else "invoice_number"
    found = await rows(
        connection,
        "SELECT invoice_id FROM invoicer.closed_invoice"
        f" WHERE billing_company = :company AND {column} = :value AND NOT is_opening"
        " ORDER BY invoice_id",
        company=billing_company,
        value=batch_id or number,
    )
    return [row.invoice_id for row in found]


async def recipients(
    connection: AsyncConnection, invoice_ids: Sequence[int], today: date
) -> list[Recipients]:
    """Return documents with the addresses that their debtors have today; none: an empty list."""
    found = await rows(connection, QUERIES["recipients"], ids=list(invoice_ids), today=today)
    return [
        Recipients(
            row.invoice_id,
            row.account_name,
            row.emails or (),
            row.attach or (),
            row.mail_subject or "",
            row.mail_text or "",
        )
        for row in found
    ]


async def queue(
    connection: AsyncConnection,
    mails: Iterable[Mapping[str, Any]],
    account: str,
    domain: str,
    *,
    again: bool,
) -> int:
    """Queue e-mails, each once; return how many are new or a new revision.

    `mails` have invoice_id, address, subject, content and attach; `account`: the billing company
    whose account sends them; `domain` is of their ids.
    """
    found = await rows(
        connection,
        QUERIES["queue"] + "\n" + QUERIES["queue_again"],
        mails=json.dumps(list(mails)),
        account=account,
        domain=domain,
        again=again,
    )
    return len(found)


async def states_of(connection: AsyncConnection, invoice_ids: Sequence[int]) -> dict[str, int]:
    """Return the number of e-mails of these documents by state."""
    found = await rows(
        connection,
        "SELECT state, count(*) AS n FROM arg_sync.mail"
        " WHERE invoice_id = ANY(CAST(:ids AS bigint[])) GROUP BY state",
        ids=list(invoice_ids),
    )
    return {row.state: row.n for row in found}


async def claim(
    connection: AsyncConnection, billing_company: str, holder: str, seconds: float
) -> ClaimedMail | None:
    """Lease the oldest due e-mail; None if nothing is due that no other worker holds."""
    found = await rows(
        connection, QUERIES["claim"], company=billing_company, holder=holder, seconds=seconds
    )
    return ClaimedMail(*found[0]) if found else None


async def hand_over(connection: AsyncConnection, claimed: ClaimedMail) -> bool:
    """Store that the end of the message goes out now; False if the lease is over.

    It must be committed before the end is sent: without it, a worker that stopped is followed by
    one that sends the message again.
    """
    return bool(
        await run(
            connection,
            "UPDATE arg_sync.mail SET handed_over = true WHERE mail_id = :mail_id"
            " AND lease = :lease AND state = 'sending' AND next_attempt_at > clock_timestamp()",
            mail_id=claimed.mail_id,
            lease=claimed.lease,
        )
    )


async def settle(
    connection: AsyncConnection,
    claimed: ClaimedMail,
    after: MailOutcome,
    worker: str,
    duration_ms: int,
) -> bool:
    """Store the outcome of an attempt; False if another worker has the lease."""
    return bool(
        await rows(
            connection,
            QUERIES["settle"],
            mail_id=claimed.mail_id,
            lease=claimed.lease,
            state=after.state,
            code=after.code,
            message=after.message.replace("\0", ""),
            fix=after.fix,
            tries=after.tries,
            seconds=after.wait_seconds,
            worker=worker,
            duration_ms=duration_ms,
        )
    )


async def holders(connection: AsyncConnection) -> list[str]:
    """Return the workers that hold e-mails."""
    found = await rows(
        connection, "SELECT DISTINCT leased_by FROM arg_sync.mail WHERE state = 'sending'"
    )
    return [row.leased_by for row in found]


async def end_leases(connection: AsyncConnection, dead: Sequence[str], fix: str) -> None:
    """End leases that are over or whose worker is gone."""
    await run(connection, QUERIES["end_leases"], dead=list(dead), fix=fix)


async def mail_for(connection: AsyncConnection, billing_company: str, number: str, to: str) -> Any:
    """Lock and return the e-mail of a document to an address; None if there is none."""
    found = await rows(
        connection,
        "SELECT m.mail_id, m.state FROM arg_sync.mail m"
        " LEFT JOIN invoicer.closed_invoice i USING (invoice_id)"
        " WHERE coalesce(i.billing_company, m.billing_company) = :company"
        " AND m.invoice_number = :number AND m.address = :to FOR UPDATE OF m",
        company=billing_company,
        number=number,
        to=to,
    )
    return found[0] if found else None


async def decide(connection: AsyncConnection, mail_id: int, state: str, message: str) -> None:
    """Settle an e-mail of unknown outcome as a person says: `sent`, or `queued` once more."""
    await run(
        connection,
        "WITH decided AS (UPDATE arg_sync.mail SET state = :state, code = 'decided',"
        "   message = :message, fix = '', tries = 0, failing_since = NULL, lease = lease + 1,"
        "   handed_over = CAST(:state AS text) = 'sent', attempts = attempts + 1,"
        "   settled_at = CASE WHEN CAST(:state AS text) = 'sent' THEN now() END,"
        "   next_attempt_at = now() WHERE mail_id = :id"
        "   RETURNING mail_id, attempts, revision, message_id, code)"
        " INSERT INTO arg_sync.mail_attempt (mail_id, attempt_no, revision, message_id, state,"
        "   code, message, worker, duration_ms)"
        " SELECT mail_id, attempts, revision, message_id, :state, code, :message, '', 0"
        " FROM decided",
        id=mail_id,
        state=state,
        message=message,
    )


async def record_bounces(
    connection: AsyncConnection, messages: Mapping[str, str], fix: str
) -> list[str]:
    """Record which e-mails came back; return the numbers of the documents of those that did.

    `messages`: why, by message id.
    """
    found = await rows(
        connection,
        QUERIES["record_bounces"],
        message_ids=list(messages),
        messages=list(messages.values()),
        fix=fix,
    )
    return [row.invoice_number for row in found]


async def companies_of_messages(
    connection: AsyncConnection, message_ids: Sequence[str]
) -> set[str]:
    """Return the billing companies whose e-mails have these message ids."""
    found = await rows(
        connection,
        "SELECT DISTINCT billing_company FROM arg_sync.mail"
        " WHERE message_id = ANY(CAST(:ids AS text[]))",
        ids=list(message_ids),
    )
    return {row.billing_company for row in found}


async def count_by_state(connection: AsyncConnection) -> list[tuple[str, str, int]]:
    """Return (billing company, state, number of e-mails) for the metrics.

    Reminders of which nothing is due any more are left out.
    """
    found = await rows(
        connection,
        "SELECT billing_company, state, count(*) AS n FROM arg_sync.mail"
        " WHERE code <> :needless GROUP BY billing_company, state",
        needless=NOT_DUE,
    )
    return [(row.billing_company, row.state, row.n) for row in found]


async def oldest_open_seconds(connection: AsyncConnection) -> Decimal:
    """Return the age of the oldest e-mail that waits to be sent."""
    (row,) = await rows(
        connection,
        "SELECT coalesce(extract(epoch FROM now() - min(queued_at)), 0) AS age FROM arg_sync.mail"
        " WHERE state IN ('queued', 'sending')",
    )
    age: Decimal = row.age
    return age
