"""Payments read back: the cursor of each connection, who reads now, and the entries. Who was overtaken while it read keeps nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.rules.payments import Entry, Kept
from services.arg_sync.store.connections import Connection
from shared.database import rows, run

CLAIM = """
INSERT INTO arg_sync.payment_cursor AS p (ledger, generation, polls, polling_until, next_at)
VALUES (:ledger, :generation, 1, clock_timestamp() + make_interval(secs => CAST(:seconds AS float8)), clock_timestamp())
ON CONFLICT (ledger) DO UPDATE SET polls = p.polls + 1, polling_until = excluded.polling_until, asked = false, generation = excluded.generation,
  cursor = CASE WHEN p.generation = excluded.generation THEN p.cursor ELSE '' END
WHERE coalesce(p.polling_until < clock_timestamp(), true) AND (p.asked OR p.next_at <= clock_timestamp())
RETURNING p.polls, p.cursor, p.failures"""
ADD = """
INSERT INTO arg_sync.payment (ledger, payment_id, remote_id, entry_no, invoice_id, invoice_number, amount, currency, paid_on)
SELECT :ledger, e.payment_id, e.remote_id, e.entry_no, d.invoice_id, coalesce(d.invoice_number, e.number), e.amount,
  coalesce(nullif(e.currency, ''), d.currency, ''), e.paid_on
FROM unnest(CAST(:payments AS text[]), CAST(:remotes AS text[]), CAST(:numbers AS text[]), CAST(:entries AS integer[]), CAST(:amounts AS numeric[]),
            CAST(:currencies AS text[]), CAST(:days AS date[])) AS e(payment_id, remote_id, number, entry_no, amount, currency, paid_on)
LEFT JOIN LATERAL (
  SELECT d.invoice_id, d.invoice_number, d.currency FROM arg_sync.delivery d
  WHERE d.ledger = :ledger AND d.document_type = 'invoice' AND (d.remote_id = e.remote_id OR (e.number <> '' AND d.invoice_number = e.number))
  ORDER BY d.remote_id = e.remote_id DESC NULLS LAST LIMIT 1) d ON true
RETURNING payment_id, remote_id, entry_no, invoice_id"""
MATCH = """
UPDATE arg_sync.payment p SET invoice_id = d.invoice_id, invoice_number = d.invoice_number, currency = coalesce(nullif(p.currency, ''), d.currency)
FROM arg_sync.delivery d
WHERE p.ledger = :ledger AND p.invoice_id IS NULL AND d.ledger = p.ledger AND d.remote_id = p.remote_id AND d.document_type = 'invoice'
RETURNING p.payment_id, p.remote_id, p.entry_no"""


@dataclass(frozen=True, slots=True)
class Poll:
    """A poll of ours: its number, where the last one ended, and how many failed before it."""

    number: int
    cursor: str
    failures: int


async def due(connection: AsyncConnection) -> list[str]:
    """Connections that are well and whose payments are to be read now: it is time, or a webhook asked for it."""
    found = await rows(
        connection,
        "SELECT c.ledger FROM arg_sync.connection c LEFT JOIN arg_sync.payment_cursor p USING (ledger)"
        " WHERE c.state = 'connected' AND coalesce(c.open_until <= clock_timestamp(), true)"
        " AND (p.ledger IS NULL OR (coalesce(p.polling_until < clock_timestamp(), true) AND (p.asked OR p.next_at <= clock_timestamp()))) ORDER BY c.ledger",
    )
    return [row.ledger for row in found]


async def claim(connection: AsyncConnection, ledger: Connection, seconds: float) -> Poll | None:
    """Takes the poll, for so long; None if another has it. A connection that was changed is read from its beginning."""
    found = await rows(
        connection, CLAIM, ledger=ledger.ledger, generation=ledger.generation, seconds=seconds
    )
    return Poll(*found[0]) if found else None


async def still_ours(connection: AsyncConnection, ledger: str, poll: Poll) -> bool:
    """Whether nobody has taken the poll meanwhile; the row stays locked."""
    found = await rows(
        connection,
        "SELECT polls FROM arg_sync.payment_cursor WHERE ledger = :ledger FOR UPDATE",
        ledger=ledger,
    )
    return bool(found and found[0].polls == poll.number)


async def end(
    connection: AsyncConnection,
    ledger: str,
    poll: Poll,
    cursor: str,
    seconds: float,
    failures: int = 0,
    message: str = "",
) -> None:
    """Ends the poll: where the next one begins, and when."""
    await run(
        connection,
        "UPDATE arg_sync.payment_cursor SET cursor = :cursor, polling_until = NULL, next_at = clock_timestamp() + make_interval(secs => CAST(:secs AS float8)),"
        " failures = :failures, message = :message, read_at = CASE WHEN :failures = 0 THEN clock_timestamp() ELSE read_at END"
        " WHERE ledger = :ledger AND polls = :number",
        ledger=ledger,
        number=poll.number,
        cursor=cursor,
        secs=seconds,
        failures=failures,
        message=message,
    )


async def ask(connection: AsyncConnection, ledger: str) -> None:
    """Payments are to be read soon."""
    await run(
        connection,
        "UPDATE arg_sync.payment_cursor SET asked = true WHERE ledger = :ledger AND NOT asked",
        ledger=ledger,
    )


async def kept_of(
    connection: AsyncConnection, ledger: str, payment_ids: Sequence[str]
) -> list[Kept]:
    """What is kept of these payments."""
    found = await rows(
        connection,
        "SELECT payment_id, remote_id, sum(amount) AS amount, CAST(max(entry_no) AS integer) AS entries, max(paid_on) AS paid_on, max(currency) AS currency"
        " FROM arg_sync.payment WHERE ledger = :ledger AND payment_id = ANY(CAST(:ids AS text[])) GROUP BY payment_id, remote_id",
        ledger=ledger,
        ids=sorted(set(payment_ids)),
    )
    return [Kept(*row) for row in found]


async def add(
    connection: AsyncConnection, ledger: str, entries: Sequence[Entry]
) -> list[tuple[str, str, int]]:
    """Keeps entries; payment, remote id and number of those that belong to an invoice of ours."""
    found = await rows(
        connection,
        ADD,
        ledger=ledger,
        payments=[each.payment_id for each in entries],
        remotes=[each.remote_id for each in entries],
        numbers=[each.number for each in entries],
        entries=[each.entry_no for each in entries],
        amounts=[each.amount for each in entries],
        currencies=[each.currency for each in entries],
        days=[each.paid_on for each in entries],
    )
    return [
        (row.payment_id, row.remote_id, row.entry_no) for row in found if row.invoice_id is not None
    ]


async def match(connection: AsyncConnection, ledger: str) -> list[tuple[str, str, int]]:
    """Entries whose document was not known when they were read, and is by now."""
    return [
        (row.payment_id, row.remote_id, row.entry_no)
        for row in await rows(connection, MATCH, ledger=ledger)
    ]
