"""Messages about deliveries, built from stored rows: ar-document-posted, ar-document-refused."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.broker.producer import OutgoingMessage, stable_id
from shared.broker.topics import AR_DOCUMENT_POSTED, AR_DOCUMENT_REFUSED, Topic
from shared.consumer.records import OutboxId
from shared.consumer.unit_of_work import MessageBuilder
from shared.database import rows
from shared.events.field_types import TEXT_LENGTH, Message
from shared.events.ledgers import ArDocumentPosted, ArDocumentRefused

POSTED, REFUSED = "posted", "refused"
NOT_APPLIED = ("not_applied", "unapplied")
"""Codes of posted credit notes that are not applied, because of a refusal or without an invoice."""
DOCUMENT = (
    "ledger",
    "kind",
    "billing_company",
    "invoice_id",
    "invoice_number",
    "document_type",
    "batch_id",
)


def outbox_id(row: Any) -> OutboxId:
    """Return the outbox id of the message about a posted or refused delivery.

    It has what a later revision of the delivery overwrites, so that its message stays the same.
    """
    if row.state == POSTED:
        return POSTED, f"{row.delivery_id}:{row.revision}:{row.code}"
    return row.state, f"{row.delivery_id}:{row.attempt_no}"


async def posted_messages(connection: AsyncConnection, ids: Sequence[str]) -> list[OutgoingMessage]:
    """Build ar-document-posted, one for each posted revision of a delivery.

    A delivery that an operator queued again since then has had the document all the same.
    """
    parts = [an_id.split(":") for an_id in ids]
    found = await rows(
        connection,
        "SELECT d.ledger, c.kind, d.billing_company, d.invoice_id, d.invoice_number,"
        "   d.document_type, d.batch_id, d.currency, d.total, d.remote_id, d.remote_number,"
        "   s.revision, s.code, coalesce(a.message, '') AS message"
        " FROM unnest(CAST(:ids AS bigint[]), CAST(:revisions AS integer[]),"
        "   CAST(:codes AS text[])) AS s(delivery_id, revision, code)"
        " JOIN arg_sync.delivery d USING (delivery_id) JOIN arg_sync.connection c USING (ledger)"
        " LEFT JOIN arg_sync.attempt a ON a.delivery_id = d.delivery_id"
        "   AND a.revision = s.revision AND a.state = 'posted'"
        " ORDER BY d.delivery_id, s.revision",
        ids=[int(part[0]) for part in parts],
        revisions=[int(part[1]) for part in parts],
        codes=[part[2] for part in parts],
    )
    return [_posted(row) for row in found]


def _posted(row: Any) -> OutgoingMessage:
    event = ArDocumentPosted(
        **select_values(row, *DOCUMENT, "currency", "total", "remote_number"),
        remote_id=row.remote_id or "",
        how=row.code if row.code in ("adopted", "marked") else "created",
        warning=row.message[:TEXT_LENGTH] if row.code in NOT_APPLIED else "",
    )
    identity = (row.ledger, row.invoice_id, row.revision)
    return build_message(AR_DOCUMENT_POSTED, row.invoice_id, event, *identity)


async def refused_messages(
    connection: AsyncConnection, ids: Sequence[str]
) -> list[OutgoingMessage]:
    """Build ar-document-refused, one for each refused attempt."""
    pairs = [an_id.split(":") for an_id in ids]
    found = await rows(
        connection,
        "SELECT d.ledger, c.kind, d.billing_company, d.invoice_id, d.invoice_number,"
        "   d.document_type, d.batch_id, a.attempt_no AS attempt, a.code, a.message, a.fix"
        " FROM unnest(CAST(:ids AS bigint[]), CAST(:attempts AS integer[]))"
        "   AS s(delivery_id, attempt_no)"
        " JOIN arg_sync.attempt a USING (delivery_id, attempt_no)"
        " JOIN arg_sync.delivery d USING (delivery_id)"
        " JOIN arg_sync.connection c USING (ledger) ORDER BY d.delivery_id, a.attempt_no",
        ids=[int(an_id) for an_id, _ in pairs],
        attempts=[int(attempt) for _, attempt in pairs],
    )
    return [
        build_message(
            AR_DOCUMENT_REFUSED,
            row.invoice_id,
            ArDocumentRefused(**select_values(row, *DOCUMENT, "code", "message", "fix", "attempt")),
            *(row.ledger, row.invoice_id, row.attempt),
        )
        for row in found
    ]


def select_values(row: Any, *names: str) -> dict[str, Any]:
    """Return these columns of a row by name, texts cut to what a message may hold."""
    values = {name: getattr(row, name) for name in names}
    return {
        name: value[:TEXT_LENGTH] if isinstance(value, str) else value
        for name, value in values.items()
    }


def build_message(topic: Topic, key: object, event: Message, *identity: object) -> OutgoingMessage:
    """Build a message. `identity` gives repeats of the message the same id."""
    return OutgoingMessage(
        topic.name, str(key), event.model_dump_json().encode(), stable_id(topic.name, *identity)
    )


async def outbox_ids_since(connection: AsyncConnection, since: date) -> list[OutboxId]:
    """Return the messages about deliveries posted or refused on that day (UTC) or later."""
    return await _outbox_ids(
        connection, "settled_at >= CAST(:value AS date) AT TIME ZONE 'UTC'", since
    )


async def outbox_ids_of(connection: AsyncConnection, invoice_number: str) -> list[OutboxId]:
    """Return the messages about the deliveries of one document."""
    return await _outbox_ids(connection, "invoice_number = :value", invoice_number)


async def _outbox_ids(
    connection: AsyncConnection, condition: str, value: date | str
) -> list[OutboxId]:
    found = await rows(
        connection,
        "SELECT state, delivery_id, revision, code, attempts AS attempt_no FROM arg_sync.delivery"
        f" WHERE state IN ('posted', 'refused') AND {condition} ORDER BY delivery_id",
        value=value,
    )
    return [outbox_id(row) for row in found]


MESSAGE_BUILDERS: Mapping[str, MessageBuilder] = {
    POSTED: posted_messages,
    REFUSED: refused_messages,
}
