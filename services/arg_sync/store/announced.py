"""What is said of deliveries, payments and drifts: messages built from stored rows."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.broker.producer import OutgoingMessage, stable_id
from shared.broker.topics import (
    AR_DOCUMENT_POSTED,
    AR_DOCUMENT_REFUSED,
    LEDGER_DRIFT_FOUND,
    PAYMENT_RECORDED,
    Topic,
)
from shared.consumer.protocol import MessageBuilder
from shared.consumer.records import OutboxId
from shared.database import rows
from shared.events.field_types import TEXT_LENGTH, Message
from shared.events.ledgers import (
    ArDocumentPosted,
    ArDocumentRefused,
    LedgerDriftFound,
    PaymentRecorded,
)

POSTED, REFUSED, PAYMENT, DRIFT = "posted", "refused", "payment", "drift"
DOCUMENT = (
    "ledger",
    "kind",
    "billing_company",
    "invoice_id",
    "invoice_number",
    "document_type",
    "batch_id",
)
HOW = {"adopted": "adopted", "marked": "marked"}


def of(state: str, delivery_id: int, attempt_no: int) -> OutboxId:
    """The announcement of a delivery that was posted or refused."""
    return (
        (POSTED, str(delivery_id))
        if state == "posted"
        else (REFUSED, f"{delivery_id}:{attempt_no}")
    )


async def posted_messages(connection: AsyncConnection, ids: Sequence[str]) -> list[OutgoingMessage]:
    """ar-document-posted, one a delivery."""
    found = await rows(
        connection,
        "SELECT d.*, c.kind FROM arg_sync.delivery d JOIN arg_sync.connection c USING (ledger)"
        " WHERE d.delivery_id = ANY(CAST(:ids AS bigint[])) AND d.state = 'posted' ORDER BY d.delivery_id",
        ids=[int(an_id) for an_id in ids],
    )
    return [_posted(row) for row in found]


def _posted(row: Any) -> OutgoingMessage:
    event = ArDocumentPosted(
        **_values(row, *DOCUMENT, "currency", "total", "remote_number"),
        remote_id=row.remote_id or "",
        how=HOW.get(row.code, "created"),  # type: ignore[arg-type]
        warning=row.message[:TEXT_LENGTH] if row.code == "not_applied" else "",
    )
    return _outgoing(
        AR_DOCUMENT_POSTED, row.invoice_id, event, row.ledger, row.invoice_id, row.revision
    )


async def refused_messages(
    connection: AsyncConnection, ids: Sequence[str]
) -> list[OutgoingMessage]:
    """ar-document-refused, one an attempt that was."""
    pairs = [an_id.split(":") for an_id in ids]
    found = await rows(
        connection,
        "SELECT d.ledger, c.kind, d.billing_company, d.invoice_id, d.invoice_number, d.document_type, d.batch_id, a.attempt_no, a.code, a.message, a.fix"
        " FROM unnest(CAST(:ids AS bigint[]), CAST(:attempts AS integer[])) AS s(delivery_id, attempt_no)"
        " JOIN arg_sync.attempt a USING (delivery_id, attempt_no) JOIN arg_sync.delivery d USING (delivery_id) JOIN arg_sync.connection c USING (ledger)"
        " ORDER BY d.delivery_id, a.attempt_no",
        ids=[int(an_id) for an_id, _ in pairs],
        attempts=[int(attempt) for _, attempt in pairs],
    )
    return [_refused(row) for row in found]


def _refused(row: Any) -> OutgoingMessage:
    event = ArDocumentRefused(
        **_values(row, *DOCUMENT, "code"),
        attempt=row.attempt_no,
        message=row.message[:TEXT_LENGTH],
        fix=row.fix[:TEXT_LENGTH],
    )
    return _outgoing(
        AR_DOCUMENT_REFUSED, row.invoice_id, event, row.ledger, row.invoice_id, row.attempt_no
    )


def of_payment(ledger: str, payment_id: str, remote_id: str, entry_no: int) -> OutboxId:
    """The announcement of an entry of a payment."""
    return PAYMENT, "\x1f".join((ledger, payment_id, remote_id, str(entry_no)))


async def payment_messages(
    connection: AsyncConnection, ids: Sequence[str]
) -> list[OutgoingMessage]:
    """payment-recorded, one an entry that belongs to a document of ours."""
    parts = [an_id.split("\x1f") for an_id in ids]
    found = await rows(
        connection,
        "SELECT p.*, c.billing_company, (SELECT sum(e.amount) FROM arg_sync.payment e WHERE e.ledger = p.ledger AND e.payment_id = p.payment_id"
        " AND e.remote_id = p.remote_id AND e.entry_no <= p.entry_no) = 0 AS cancelled"
        " FROM unnest(CAST(:ledgers AS text[]), CAST(:ids AS text[]), CAST(:remotes AS text[]), CAST(:entries AS integer[]))"
        "   AS s(ledger, payment_id, remote_id, entry_no)"
        " JOIN arg_sync.payment p USING (ledger, payment_id, remote_id, entry_no) JOIN arg_sync.connection c USING (ledger)"
        " WHERE p.invoice_id IS NOT NULL ORDER BY p.invoice_id, p.ledger, p.payment_id, p.entry_no",
        ledgers=[part[0] for part in parts],
        ids=[part[1] for part in parts],
        remotes=[part[2] for part in parts],
        entries=[int(part[3]) for part in parts],
    )
    return [_payment(row) for row in found]


def _payment(row: Any) -> OutgoingMessage:
    event = PaymentRecorded(**_values(row, *PaymentRecorded.model_fields))
    return _outgoing(
        PAYMENT_RECORDED,
        row.invoice_id,
        event,
        row.ledger,
        row.payment_id,
        row.remote_id,
        row.entry_no,
    )


async def drift_messages(connection: AsyncConnection, ids: Sequence[str]) -> list[OutgoingMessage]:
    """ledger-drift-found, one a drift."""
    found = await rows(
        connection,
        "SELECT d.*, c.billing_company FROM arg_sync.drift d JOIN arg_sync.connection c USING (ledger) WHERE d.drift_id = ANY(CAST(:ids AS bigint[]))",
        ids=[int(an_id) for an_id in ids],
    )
    return [_drift(row) for row in found]


def _drift(row: Any) -> OutgoingMessage:
    values = _values(row, *LedgerDriftFound.model_fields) | {
        "message": row.message[:TEXT_LENGTH],
        "fix": row.fix[:TEXT_LENGTH],
    }
    return _outgoing(
        LEDGER_DRIFT_FOUND,
        row.invoice_id or row.remote_id,
        LedgerDriftFound(**values),
        row.drift_id,
    )


def _values(row: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}


def _outgoing(topic: Topic, key: object, event: Message, *identity: object) -> OutgoingMessage:
    """A message. `identity`: what makes it this one, however often it is said."""
    return OutgoingMessage(
        topic.name, str(key), event.model_dump_json().encode(), stable_id(topic.name, *identity)
    )


async def announced_since(connection: AsyncConnection, since: date) -> list[OutboxId]:
    """What was posted or refused on that day (UTC) or later, and stands so."""
    found = await rows(
        connection,
        "SELECT state, delivery_id, attempts FROM arg_sync.delivery WHERE state IN ('posted', 'refused')"
        " AND settled_at >= CAST(:since AS date) AT TIME ZONE 'UTC' ORDER BY delivery_id",
        since=since,
    )
    return [of(row.state, row.delivery_id, row.attempts) for row in found]


async def announced_of(connection: AsyncConnection, invoice_number: str) -> list[OutboxId]:
    """The same of one document, by its number."""
    found = await rows(
        connection,
        "SELECT state, delivery_id, attempts FROM arg_sync.delivery WHERE state IN ('posted', 'refused') AND invoice_number = :n ORDER BY delivery_id",
        n=invoice_number,
    )
    return [of(row.state, row.delivery_id, row.attempts) for row in found]


MESSAGE_BUILDERS: Mapping[str, MessageBuilder] = {
    POSTED: posted_messages,
    REFUSED: refused_messages,
    PAYMENT: payment_messages,
    DRIFT: drift_messages,
}
