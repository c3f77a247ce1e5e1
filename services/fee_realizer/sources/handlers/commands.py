"""The commands retry-document and republish."""

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.sources.store import realizations
from services.fee_realizer.sources.store.documents import heads_for
from services.fee_realizer.sources.store.messages import hold_id, realization_chunks
from shared.consumer.commands import Answer
from shared.errors import Refused
from shared.events.commands import Republish, RetryDocument

REPUBLISH_LIMIT = 20_000


async def on_retry_document(connection: AsyncConnection, command: RetryDocument) -> Answer:
    """Queue held documents for pricing: one, those of a kind, or all."""
    document_id = command.document_id
    if document_id is not None:
        kinds = [command.document_kind] if command.document_kind else ["placement", "timesheet"]
        found = [
            head
            for kind in kinds
            for head in (await heads_for(connection, kind, [document_id], lock=False)).values()
            if head.revision >= 0
        ]
        if not found:
            raise Refused(
                "no_such_document",
                f"fee_realizer knows no document {document_id}",
                "see `backoffice documents held`",
            )
        if all(head.hold_code is None for head in found):
            message = f"document {document_id} is not held: there is nothing to retry"
            raise Refused("not_held", message)
    queued = await realizations.queue_held(
        connection, command.command, command.document_kind, document_id
    )
    return Answer(
        f"{queued} held documents are priced again",
        {"documents": queued},
        subjects=[document_id] if document_id else [],
        jobs_due=queued > 0,
    )


async def on_republish(connection: AsyncConnection, command: Republish) -> Answer:
    """Publish realizations and holds again unchanged: of a document, or since a date."""
    document_id = command.document_id
    if document_id is None and command.since is None:
        raise Refused(
            "nothing_named", "republish needs a document or a date", "give --document or --since"
        )
    wanted = (command.document_kind, document_id, command.since, REPUBLISH_LIMIT + 1)
    realized = await realizations.published(connection, "realizations", *wanted)
    held = await realizations.published(connection, "holds", *wanted)
    if len(realized) + len(held) > REPUBLISH_LIMIT:
        raise Refused(
            "too_many",
            f"more than {REPUBLISH_LIMIT:,} messages would be published again",
            "give a later date, or reset the offsets of the consumer that missed them",
        )
    if document_id is not None and not realized and not held:
        raise Refused(
            "nothing_published",
            f"fee_realizer has published nothing about document {document_id}",
            "see `backoffice why-not`",
        )
    chunks = [outbox_id for outbox_id, _ in realization_chunks(realized)]
    return Answer(
        f"{len(realized)} realizations and {len(held)} holds are published again",
        {"realizations": len(realized), "held": len(held)},
        publish_after=chunks + [hold_id(True, *one) for one in held],
        subjects=[document_id] if document_id else [],
    )
