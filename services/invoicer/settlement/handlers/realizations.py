"""Hears `pay-lines-realized`: settles what documents are worth into pay lines.

Most statements are the first of their document: they take a road of four statements for the whole batch. Those of known documents are
read, locked, read again and settled by `rules.settlement`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.lines.rules import DocKey, NewLine, PayLine
from services.invoicer.lines.store import lines
from services.invoicer.lines.store.lines import OpenedLine, ReplacedLine
from services.invoicer.settlement import store as settlement
from services.invoicer.settlement.rules.realizations import (
    SettledDocument,
    settle_latest,
    sort_realizations,
)
from services.invoicer.settlement.rules.settlement import first_lines
from services.invoicer.settlement.rules.snoozes import Snooze, carry_changes, snooze_group
from services.invoicer.settlement.store import OperatorChanges, OperatorEdit, SettledRealization
from shared import clock, faults
from shared.broker.topics import PAY_LINES_REALIZED
from shared.consumer.processing import Subscription
from shared.consumer.records import Applied, Received, Record, Rejection, reader
from shared.database import lock_companies
from shared.errors import Unavailable
from shared.events.realizations import PayLinesRealized, RealizationLine

ReceivedRealizations = dict[DocKey, list[Received[PayLinesRealized]]]

_READ = reader(PayLinesRealized)


@dataclass
class SettlementChanges:
    """All that a batch of statements changes; written at the end, table by table."""

    opened: list[OpenedLine] = field(default_factory=list)
    replaced: list[ReplacedLine] = field(default_factory=list)
    heads: list[SettledRealization] = field(default_factory=list)
    stale: dict[DocKey, int] = field(default_factory=dict)
    snoozes: dict[tuple[DocKey, str], Snooze | None] = field(default_factory=dict)
    edits: list[OperatorEdit] = field(default_factory=list)


def read(record: Record) -> PayLinesRealized | Rejection:
    """A statement whose line keys are each there once, in the form that snoozes are passed on by."""
    event: PayLinesRealized | Rejection = _READ(record)
    if isinstance(event, Rejection):
        return event
    keys = [line.line_key for line in event.lines]
    if len(set(keys)) != len(keys):
        return Rejection(
            "line_key_twice",
            "two lines have one line_key: a line key identifies one billable thing, send their sum",
        )
    try:
        for key in keys:
            snooze_group(key)
    except (ValueError, TypeError):
        return Rejection(
            "bad_line_key",
            'a line_key is a JSON array that begins with "t" (time) or "p" (product): see the schema of the event',
        )
    if event.lines and event.realization_kind == "withheld":
        return Rejection(
            "withheld_with_lines",
            "a withheld statement has no lines: it says that the document waits",
        )
    return event


async def on_pay_lines_realized(
    connection: AsyncConnection, received: Sequence[Received[PayLinesRealized]]
) -> Applied:
    """Settles a batch of statements in the caller's transaction. A statement that is not newer than the settled one is a repeat."""
    received_by_document, rejected = group_by_document(received)
    heads = await settlement.settled_documents_for(connection, received_by_document)
    rejected += drop_repeats(received_by_document, heads)
    if not received_by_document:
        return Applied(rejected=rejected)
    companies = {
        line.billing_company
        for of_document in received_by_document.values()
        for one in of_document
        for line in one.event.lines
    }
    companies |= await lines.companies_of(connection, received_by_document.keys() & heads.keys())
    await lock_companies(connection, companies)
    new_documents = await settlement.add_settled_documents(
        connection,
        [
            _head(received_by_document[document][-1])
            for document in sorted(received_by_document.keys() - heads.keys())
        ],
    )
    known = received_by_document.keys() - new_documents
    heads = await settlement.settled_documents_for(connection, known, lock=True) if known else {}
    await faults.point("after_locks")
    changes = SettlementChanges(
        opened=[
            line
            for document, of_document in received_by_document.items()
            if document in new_documents
            for line in _first_lines(document, of_document[-1].event)
        ]
    )
    if known:
        rejected += drop_repeats(received_by_document, heads)
        await _settle_known(
            connection,
            {
                document: received_by_document[document]
                for document in sorted(known & received_by_document.keys())
            },
            heads,
            companies,
            changes,
        )
    await save_changes(connection, changes)
    return Applied(rejected=rejected)


SUBSCRIPTION = Subscription(PAY_LINES_REALIZED.name, read, on_pay_lines_realized, PayLinesRealized)


def group_by_document(
    received: Sequence[Received[PayLinesRealized]],
) -> tuple[ReceivedRealizations, list[tuple[Record, Rejection]]]:
    """The statements of each document in ascending order, each number once; the same number with other values is a conflict."""
    received_by_document: ReceivedRealizations = {}
    rejected: list[tuple[Record, Rejection]] = []
    for one in received:
        of_document = received_by_document.setdefault(
            (one.event.document_kind, one.event.document_id), []
        )
        twin = next(
            (
                other
                for other in of_document
                if other.event.realization_no == one.event.realization_no
            ),
            None,
        )
        if twin is None:
            of_document.append(one)
        elif twin.event != one.event:
            rejected.append((one.record, _conflict(one.event)))
    for of_document in received_by_document.values():
        of_document.sort(key=lambda one: one.event.realization_no)
    return received_by_document, rejected


def drop_repeats(
    received_by_document: ReceivedRealizations, heads: dict[DocKey, SettledDocument]
) -> list[tuple[Record, Rejection]]:
    """Takes out what has been dealt with; the settled statement again with other values is a conflict."""
    rejected: list[tuple[Record, Rejection]] = []
    for document, head in heads.items():
        new: list[Received[PayLinesRealized]] = []
        for one in received_by_document.get(document, ()):
            if one.event.realization_no > head.handled_no:
                new.append(one)
            elif one.event.realization_no == head.realization_no and not _same(one, head.body):
                rejected.append((one.record, _conflict(one.event)))
        if new:
            received_by_document[document] = new
        else:
            received_by_document.pop(document, None)
    return rejected


def _same(one: Received[PayLinesRealized], body: str) -> bool:
    return _text(one.record) == body or PayLinesRealized.model_validate_json(body) == one.event


def _conflict(event: PayLinesRealized) -> Rejection:
    return Rejection(
        "conflict",
        f"statement {event.realization_no} was said before with other values: say a change as the next statement",
    )


def _text(record: Record) -> str:
    return (record.value or b"").decode()


def _head(one: Received[PayLinesRealized]) -> SettledRealization:
    event = one.event
    return SettledRealization(
        (event.document_kind, event.document_id),
        event.realization_no,
        event.realization_kind,
        _text(one.record),
    )


def _first_lines(document: DocKey, event: PayLinesRealized) -> list[OpenedLine]:
    return [
        OpenedLine(document, event.realization_no, NewLine(line))
        for line in first_lines(event.lines)
    ]


async def _settle_known(
    connection: AsyncConnection,
    received_by_document: ReceivedRealizations,
    heads: dict[DocKey, SettledDocument],
    locked: set[str],
    changes: SettlementChanges,
) -> None:
    """Documents that were settled before: what stands is read now, under the locks."""
    pay_lines = await lines.pay_lines_for(connection, received_by_document)
    require_locked(
        locked,
        (one.line.billing_company for of_document in pay_lines.values() for one in of_document),
    )
    operator_changes = await settlement.operator_changes_for(connection, received_by_document)
    invoiced = [
        document
        for document, of_document in pay_lines.items()
        if any(one.location == "invoiced" for one in of_document)
    ]
    cited = await settlement.cited_for(connection, invoiced)
    at = clock.now()
    for document, of_document in received_by_document.items():
        sorted_realizations = sort_realizations(
            heads[document], [one.event for one in of_document], cited.get(document, {})
        )
        if sorted_realizations.settling:
            text = next(
                _text(one.record)
                for one in of_document
                if one.event is sorted_realizations.settling[-1]
            )
            settle_document(
                changes,
                document,
                heads[document],
                sorted_realizations.settling,
                text,
                pay_lines.get(document, ()),
                operator_changes.get(document, OperatorChanges()),
                at,
            )
        if sorted_realizations.stale_realization_no is not None:
            changes.stale[document] = sorted_realizations.stale_realization_no


def settle_document(
    changes: SettlementChanges,
    document: DocKey,
    head: SettledDocument,
    settling: Sequence[PayLinesRealized],
    text: str,
    pay_lines: Sequence[PayLine],
    operator_changes: OperatorChanges,
    at: datetime,
) -> None:
    """Decides one document; its locks are held and everything that counts of it is at hand."""
    before = (
        PayLinesRealized.model_validate_json(head.body)
        if operator_changes.snoozes or operator_changes.edits
        else None
    )
    carried = carry_changes(before, settling, operator_changes.snoozes, operator_changes.edits, at)
    settled = settle_latest(settling, pay_lines, carried, operator_changes.written_off)
    last = settling[-1]
    changes.opened += [OpenedLine(document, last.realization_no, line) for line in settled.opened]
    changes.replaced += [ReplacedLine(one, last.realization_no) for one in settled.replaced]
    changes.heads.append(
        SettledRealization(document, last.realization_no, last.realization_kind, text)
    )
    changes.snoozes |= settlement.changed_snoozes(
        document, operator_changes.snoozes, carried.snoozes
    )
    changes.edits += [
        settlement.cancelling_edit(document, one, at) for one in carried.cancelled_edits
    ]


async def save_changes(connection: AsyncConnection, changes: SettlementChanges) -> None:
    """Saves what was decided."""
    await settlement.save_settled_documents(connection, changes.heads, changes.stale)
    await settlement.add_edits(connection, changes.edits)
    await settlement.save_snoozes(connection, changes.snoozes)
    await lines.replace_lines(connection, changes.replaced)
    if changes.opened:
        until = await _announced_until(
            connection, {one.line.line.billing_company for one in changes.opened}
        )

        def announce(line: RealizationLine) -> bool:
            return line.effective_date > until[line.billing_company]

        await lines.add_lines(connection, changes.opened, announce)


async def _announced_until(
    connection: AsyncConnection, companies: Iterable[str]
) -> dict[str, date]:
    """Up to which day a company's lines need no announcement: its watermark, or today where there is none yet."""
    days = await lines.company_days(connection, companies)
    return {
        company: watermark or clock.today_of(zone) for company, (zone, watermark) in days.items()
    }


def require_locked(locked: set[str], companies: Iterable[str]) -> None:
    """What turned up between looking and locking is right at the next try."""
    missing = set(companies) - locked
    if missing:
        raise Unavailable(
            f"lines of {', '.join(sorted(missing)[:5])} turned up while the companies were being locked; it is tried again"
        )
