"""What operators ask of fee_realizer: billing companies, catalog items, held documents tried again, what was said said again."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.store import facts, settings, statements
from services.fee_realizer.store.announcements import hold_id, realization_chunks
from services.fee_realizer.store.documents import heads_for
from shared import faults
from shared.consumer.commands import Answer
from shared.database import lock_companies
from shared.errors import Refused
from shared.events.commands import Republish, RetryDocument, SetBillingCompany, SetCatalogItem

REPUBLISHED_AT_MOST = 20_000
PRICED_FROM = ("gate", "enabled")
"""Settings of a billing company that decide whether its documents wait."""


async def on_set_billing_company(connection: AsyncConnection, command: SetBillingCompany) -> Answer:
    """Makes or changes a billing company under its exclusive lock; documents that waited for it are priced."""
    company = command.billing_company
    await lock_companies(connection, [company], exclusive=True)
    before = await settings.lock_company(connection, company)
    await faults.point("after_locks")
    if before["known"] and command.only_if_unknown:
        return Answer(
            f"billing company {company} is known already; nothing was changed",
            _settings(company, before),
            subjects=[company],
        )
    changes = {
        name: value
        for name in settings.COMPANY_FIELDS
        if (value := getattr(command, name)) is not None
    }
    await settings.save_company(connection, company, changes, command.taxes)
    after = await settings.lock_company(connection, company)
    codes = sorted({tax["tax_code"] for tax in after["taxes"]})
    if after["default_tax"] and after["default_tax"] not in codes:
        raise Refused(
            "default_tax_unknown",
            f"{after['default_tax']!r} can't be the default tax of {company}: it has no rate; the codes with a rate are: {', '.join(codes) or 'none'}",
            "give its rate with it, as CODE=PERCENT@FROM_DATE",
        )
    queued = 0
    if not before["known"] or any(before[name] != after[name] for name in PRICED_FROM):
        queued = await facts.queue_company(connection, company, command.command)
    message = f"billing company {company} is {'changed' if before['known'] else 'made'}"
    if before == after:
        message = f"billing company {company} was like this before"
    details = _settings(company, after) | {"documents_to_price": queued}
    return Answer(
        message,
        details,
        before=before if before["known"] else None,
        after=after,
        subjects=[company],
        jobs_due=queued > 0,
    )


def _settings(company: str, values: dict[str, Any]) -> dict[str, Any]:
    return {
        "billing_company": company,
        "settings": {name: value for name, value in values.items() if name != "known"},
    }


async def on_set_catalog_item(connection: AsyncConnection, command: SetCatalogItem) -> Answer:
    """Makes or changes a catalog item; placements that name it are priced again."""
    before = await settings.lock_item(connection, command.item_id)
    await faults.point("after_locks")
    said = settings.item_values(command)
    if before["known"] and all(before[name] == value for name, value in said.items()):
        return Answer(
            f"catalog item {command.item_id} was like this before",
            {"item_id": command.item_id, "item": before},
            subjects=[command.item_id],
        )
    await settings.save_item(connection, command)
    after = await settings.lock_item(connection, command.item_id)
    queued = await facts.queue_dependents(
        connection, "catalog_item", [command.item_id], command.command
    )
    return Answer(
        f"catalog item {command.item_id} is {'changed' if before['known'] else 'made'}",
        {"item_id": command.item_id, "item": after, "documents_to_price": queued},
        before=before if before["known"] else None,
        after=after,
        subjects=[command.item_id],
        jobs_due=queued > 0,
    )


async def on_retry_document(connection: AsyncConnection, command: RetryDocument) -> Answer:
    """Puts held documents in line: one, or all."""
    if command.document_id is not None:
        kinds = [command.document_kind] if command.document_kind else ["placement", "timesheet"]
        found = [
            head
            for kind in kinds
            for head in (
                await heads_for(connection, kind, [command.document_id], lock=False)
            ).values()
            if head.revision >= 0
        ]
        if not found:
            raise Refused(
                "no_such_document",
                f"fee_realizer knows no document {command.document_id}",
                "see `backoffice documents held`",
            )
        if all(head.hold_code is None for head in found):
            raise Refused(
                "not_held", f"document {command.document_id} is not held: there is nothing to retry"
            )
    queued = await statements.queue_held(
        connection, command.command, command.document_kind, command.document_id
    )
    subjects = [command.document_id] if command.document_id else []
    return Answer(
        f"{queued} held documents are priced again",
        {"documents": queued},
        subjects=subjects,
        jobs_due=queued > 0,
    )


async def on_republish(connection: AsyncConnection, command: Republish) -> Answer:
    """Says statements and holds again as they were said: of a document, or since a date."""
    if command.document_id is None and command.since is None:
        raise Refused(
            "nothing_named", "republish needs a document or a date", "give --document or --since"
        )
    wanted = (command.document_kind, command.document_id, command.since, REPUBLISHED_AT_MOST + 1)
    said = await statements.said_statements(connection, *wanted)
    held = await statements.said_holds(connection, *wanted)
    if len(said) + len(held) > REPUBLISHED_AT_MOST:
        raise Refused(
            "too_many",
            f"more than {REPUBLISHED_AT_MOST:,} messages would be said again",
            "give a later date, or reset the offsets of who missed them",
        )
    if command.document_id is not None and not said and not held:
        raise Refused(
            "nothing_said",
            f"fee_realizer has said nothing of document {command.document_id}",
            "see `backoffice why-not`",
        )
    pending = [an_id for an_id, _ in realization_chunks(said)]
    pending += [hold_id(True, *one) for one in held]
    return Answer(
        f"{len(said)} statements and {len(held)} holds are said again",
        {"statements": len(said), "held": len(held)},
        publish_after=pending,
        subjects=[command.document_id] if command.document_id else [],
    )
