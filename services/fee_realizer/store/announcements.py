"""What is said, built from stored rows: statements byte for byte, holds and releases as the head of the document tells them."""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.rules.facts import in_json
from services.fee_realizer.store.statements import NewRealization
from shared.broker.producer import OutgoingMessage, stable_id
from shared.broker.topics import DOCUMENT_HELD, DOCUMENT_RELEASED, PAY_LINES_REALIZED
from shared.consumer.records import OutboxId
from shared.consumer.tables import in_chunks, parcels
from shared.database import rows
from shared.events.realizations import DocumentHeld, DocumentReleased

STATEMENTS, HELD, RELEASED = "statements", "document-held", "document-released"

_NAMED = "unnest(CAST(:kinds AS text[]), CAST(:documents AS text[]), CAST(:numbers AS integer[])) AS s(document_kind, document_id, number)"


def _named(parts: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    return {
        "kinds": [part[0] for part in parts],
        "documents": [part[1] for part in parts],
        "numbers": [part[2] for part in parts],
    }


def realization_chunks(numbers: Iterable[tuple[str, str, int]]) -> Iterator[tuple[OutboxId, int]]:
    """The in the outbox ids that stand for statements (kind, id, number), some dozens each, and for how many each stands."""
    return parcels(STATEMENTS, map(in_json, numbers))


def statements_in_parcels(
    statements: Sequence[NewRealization],
) -> dict[OutboxId, Sequence[OutgoingMessage]]:
    """New statements as they are said, by the in the outbox ids that stand for them."""
    said = iter(statements)
    ids = realization_chunks(
        (one.document_kind, one.document_id, one.realization_no) for one in statements
    )
    return {an_id: [_statement_message(one) for one in islice(said, count)] for an_id, count in ids}


def hold_id(held: bool, document_kind: str, document_id: str, hold_no: int) -> OutboxId:
    """The in the outbox id that stands for a hold, or for its end."""
    return HELD if held else RELEASED, in_json([document_kind, document_id, hold_no])


def _statement_message(one: Any) -> OutgoingMessage:
    """A statement as it is said: its body byte for byte as it is stored."""
    return OutgoingMessage(
        PAY_LINES_REALIZED.name,
        one.document_id,
        one.body.encode(),
        stable_id("statement", one.document_kind, one.document_id, one.realization_no),
    )


async def statement_messages(
    connection: AsyncConnection, ids: Sequence[str]
) -> list[OutgoingMessage]:
    """Statements, in the order of their numbers."""
    found = await rows(
        connection,
        f"SELECT t.document_kind, t.document_id, t.realization_no, t.body FROM {_NAMED} JOIN fee_realizer.realization t"
        " ON t.document_kind = s.document_kind AND t.document_id = s.document_id AND t.realization_no = s.number"
        " ORDER BY t.document_kind, t.document_id, t.realization_no",
        **_named(in_chunks(ids)),
    )
    return [_statement_message(row) for row in found]


async def hold_messages(
    connection: AsyncConnection, ids: Sequence[str], *, held: bool
) -> list[OutgoingMessage]:
    """Documents that wait (or wait no more). One whose hold has changed since is not said: what came after it is."""
    found = await rows(
        connection,
        "SELECT d.document_kind, d.document_id, d.revision, d.realization_no, d.hold_code, d.hold_message, d.hold_no"
        f" FROM {_NAMED} JOIN fee_realizer.source_document d"
        " ON d.document_kind = s.document_kind AND d.document_id = s.document_id AND d.hold_no = s.number"
        f" WHERE d.hold_code IS {'NOT ' if held else ''}NULL ORDER BY d.document_kind, d.document_id",
        **_named([json.loads(an_id) for an_id in ids]),
    )
    topic = DOCUMENT_HELD if held else DOCUMENT_RELEASED
    return [
        OutgoingMessage(
            topic.name,
            row.document_id,
            _hold_value(row, held),
            stable_id("hold", row.document_kind, row.document_id, row.hold_no),
        )
        for row in found
    ]


def _hold_value(row: Any, held: bool) -> bytes:
    named = {
        "document_kind": row.document_kind,
        "document_id": row.document_id,
        "revision": row.revision,
        "realization_no": row.realization_no or None,
    }
    if held:
        return (
            DocumentHeld(**named, code=row.hold_code, message=row.hold_message)
            .model_dump_json()
            .encode()
        )
    return DocumentReleased(**named).model_dump_json().encode()
