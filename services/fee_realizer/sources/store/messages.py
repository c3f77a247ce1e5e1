"""Messages built from stored rows: realizations byte for byte, holds from the document's head."""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.sources.rules.facts import compact_json
from services.fee_realizer.sources.store.documents import NewRealization
from shared.broker.producer import OutgoingMessage, stable_id
from shared.broker.topics import DOCUMENT_HELD, DOCUMENT_RELEASED, PAY_LINES_REALIZED
from shared.consumer.records import OutboxId
from shared.consumer.tables import names_in_chunks, outbox_chunks
from shared.database import by_column, kinds_of, rows, unnested
from shared.events.realizations import DocumentHeld, DocumentReleased

REALIZATIONS, HELD, RELEASED = "realizations", "document-held", "document-released"
KEY = kinds_of("document_kind text, document_id text, number integer")


def realization_chunks(keys: Iterable[tuple[str, str, int]]) -> Iterator[tuple[OutboxId, int]]:
    """Return outbox ids for realizations (kind, id, number), each with how many it covers."""
    return outbox_chunks(REALIZATIONS, map(compact_json, keys))


def new_messages(
    realizations: Sequence[NewRealization],
) -> dict[OutboxId, Sequence[OutgoingMessage]]:
    """Build the messages of new realizations, by the outbox ids that cover them."""
    remaining = iter(realizations)
    chunks = realization_chunks(one[:3] for one in realizations)
    return {
        outbox_id: [_realization_message(one) for one in islice(remaining, count)]
        for outbox_id, count in chunks
    }


def hold_id(held: bool, document_kind: str, document_id: str, hold_no: int) -> OutboxId:
    """Return the outbox id of a hold, or of its release."""
    return HELD if held else RELEASED, compact_json([document_kind, document_id, hold_no])


def _realization_message(one: Any) -> OutgoingMessage:
    event_id = stable_id("realization", one.document_kind, one.document_id, one.realization_no)
    return OutgoingMessage(PAY_LINES_REALIZED.name, one.document_id, one.body.encode(), event_id)


async def realization_messages(
    connection: AsyncConnection, ids: Sequence[str]
) -> list[OutgoingMessage]:
    """Build messages of stored realizations, in the order of their numbers."""
    return [
        _realization_message(row)
        for row in await rows(
            connection,
            "SELECT r.document_kind, r.document_id, r.realization_no, r.body"
            f" FROM {unnested(KEY)} JOIN fee_realizer.realization r"
            " ON r.document_kind = s.document_kind AND r.document_id = s.document_id"
            " AND r.realization_no = s.number"
            " ORDER BY r.document_kind, r.document_id, r.realization_no",
            **by_column(KEY, names_in_chunks(ids)),
        )
    ]


async def hold_messages(
    connection: AsyncConnection, ids: Sequence[str], *, held: bool
) -> list[OutgoingMessage]:
    """Build messages of documents that are held, or released.

    A hold that has changed since has no message: its later change has one.
    """
    found = await rows(
        connection,
        "SELECT d.document_kind, d.document_id, d.revision, nullif(d.realization_no, 0)"
        f" AS realization_no, d.hold_code, d.hold_message, d.hold_no FROM {unnested(KEY)}"
        " JOIN fee_realizer.source_document d ON d.document_kind = s.document_kind"
        " AND d.document_id = s.document_id AND d.hold_no = s.number"
        f" WHERE d.hold_code IS {'NOT ' if held else ''}NULL"
        " ORDER BY d.document_kind, d.document_id",
        **by_column(KEY, map(json.loads, ids)),
    )
    topic = DOCUMENT_HELD if held else DOCUMENT_RELEASED
    return [
        OutgoingMessage(
            topic.name,
            row.document_id,
            _hold_event(row, held).model_dump_json().encode(),
            stable_id("hold", row.document_kind, row.document_id, row.hold_no),
        )
        for row in found
    ]


def _hold_event(row: Any, held: bool) -> DocumentHeld | DocumentReleased:
    head = {
        "document_kind": row.document_kind,
        "document_id": row.document_id,
        "revision": row.revision,
        "realization_no": row.realization_no,
    }
    if held:
        return DocumentHeld(**head, code=row.hold_code, message=row.hold_message)
    return DocumentReleased(**head)
