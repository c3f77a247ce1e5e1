"""Consumes `pay-lines-realized`: turns realizations of source documents into pay lines.

Most realizations are the first of their document: they cost four queries for the whole batch.
Documents that were settled before are read, locked, read again, and settled by `rules.settlement`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.lines.rules import DocKey, NewLine, PayLine
from services.invoicer.lines.store import lines
from services.invoicer.lines.store.lines import OpenedLine, ReplacedLine
from services.invoicer.settlement import store as settlement
from services.invoicer.settlement.rules.realizations import (
    SettledDocument,
    has_ended_citation,
    settle_latest,
    sort_realizations,
)
from services.invoicer.settlement.rules.settlement import first_lines
from services.invoicer.settlement.rules.snoozes import (
    OperatorChanges,
    OperatorEdit,
    Snooze,
    carry_changes,
    snooze_group,
)
from services.invoicer.settlement.store import SettledRealization
from shared import clock, faults
from shared.broker.topics import PAY_LINES_REALIZED
from shared.consumer.processing import Subscription
from shared.consumer.records import Applied, Received, Record, Rejection, reader
from shared.database import lock_companies
from shared.errors import Unavailable
from shared.events.realizations import PayLinesRealized

MOST_NAMED = 5
ReceivedRealizations = dict[DocKey, list[Received[PayLinesRealized]]]

_READ = reader(PayLinesRealized)


@dataclass
class SettlementChanges:
    """All changes of a batch of realizations; they are saved at the end, table by table."""

    opened: list[OpenedLine] = field(default_factory=list)
    replaced: list[ReplacedLine] = field(default_factory=list)
    settled: list[SettledRealization] = field(default_factory=list)
    stale: dict[DocKey, int] = field(default_factory=dict)
    uncited: list[DocKey] = field(default_factory=list)
    snoozes: dict[tuple[DocKey, str], Snooze | None] = field(default_factory=dict)
    edits: list[OperatorEdit] = field(default_factory=list)


def read(record: Record) -> PayLinesRealized | Rejection:
    """Read a realization; reject one whose line keys are repeated or not in their form."""
    event: PayLinesRealized | Rejection = _READ(record)
    if isinstance(event, Rejection):
        return event
    keys = [line.line_key for line in event.lines]
    if len(set(keys)) != len(keys):
        return Rejection(
            "line_key_twice",
            "two lines have one line_key: a line key identifies one billable item, send their sum",
        )
    try:
        for key in keys:
            snooze_group(key)
    except (ValueError, TypeError):
        return Rejection(
            "bad_line_key",
            'a line_key is a JSON array that begins with "t" (time) or "p" (product):'
            " see the schema of the event",
        )
    if event.lines and event.realization_kind == "withheld":
        return Rejection(
            "withheld_with_lines",
            "a withheld realization has lines: send it without lines, because its document waits",
        )
    return event


async def on_pay_lines_realized(
    connection: AsyncConnection, received: Sequence[Received[PayLinesRealized]]
) -> Applied:
    """Settle a batch of realizations in the caller's transaction.

    A realization that is not newer than the settled one is a repeat.
    """
    by_document, rejected = group_by_document(received)
    heads = await settlement.settled_documents_for(connection, by_document)
    rejected += drop_repeats(by_document, heads)
    if not by_document:
        return Applied(rejected=rejected)
    companies = {
        line.billing_company
        for of_document in by_document.values()
        for message in of_document
        for line in message.event.lines
    }
    companies |= await lines.companies_of(connection, by_document.keys() & heads.keys())
    await lock_companies(connection, companies)
    new_documents = await settlement.add_settled_documents(
        connection,
        [_settled(by_document[key][-1]) for key in sorted(by_document.keys() - heads.keys())],
    )
    known = by_document.keys() - new_documents
    heads = await settlement.settled_documents_for(connection, known, lock=True) if known else {}
    await faults.point("after_locks")
    changes = SettlementChanges()
    for document, of_document in by_document.items():
        if document in new_documents:
            last = of_document[-1].event
            changes.opened += [
                OpenedLine(document, last.realization_no, NewLine(line))
                for line in first_lines(last.lines)
            ]
    if known:
        rejected += drop_repeats(by_document, heads)
        new = {key: by_document[key] for key in sorted(known & by_document.keys())}
        await _settle_known(connection, new, heads, companies, changes)
    await save_changes(connection, changes)
    return Applied(rejected=rejected)


SUBSCRIPTION = Subscription(PAY_LINES_REALIZED.name, read, on_pay_lines_realized, PayLinesRealized)


def group_by_document(
    received: Sequence[Received[PayLinesRealized]],
) -> tuple[ReceivedRealizations, list[tuple[Record, Rejection]]]:
    """Group realizations by document in ascending order, each number once.

    The same number with other values is a conflict.
    """
    by_document: ReceivedRealizations = {}
    rejected: list[tuple[Record, Rejection]] = []
    for message in received:
        event = message.event
        of_document = by_document.setdefault((event.document_kind, event.document_id), [])
        same_number = (m for m in of_document if m.event.realization_no == event.realization_no)
        earlier = next(same_number, None)
        if earlier is None:
            of_document.append(message)
        elif earlier.event != event:
            rejected.append((message.record, _conflict(event)))
    for of_document in by_document.values():
        of_document.sort(key=lambda message: message.event.realization_no)
    return by_document, rejected


def drop_repeats(
    by_document: ReceivedRealizations, heads: Mapping[DocKey, SettledDocument]
) -> list[tuple[Record, Rejection]]:
    """Drop realizations that were handled before.

    The settled realization again with other values is a conflict.
    """
    rejected: list[tuple[Record, Rejection]] = []
    for document, head in heads.items():
        received = by_document.pop(document, [])
        rejected += [
            (message.record, _conflict(message.event))
            for message in received
            if message.event.realization_no == head.realization_no
            and _text(message.record) != head.body
            and PayLinesRealized.model_validate_json(head.body) != message.event
        ]
        new = [m for m in received if m.event.realization_no > head.handled_no]
        if new:
            by_document[document] = new
    return rejected


def _conflict(event: PayLinesRealized) -> Rejection:
    return Rejection(
        "conflict",
        f"realization {event.realization_no} arrived before with other values:"
        " send the change as the next realization",
    )


def _text(record: Record) -> str:
    return (record.value or b"").decode()


def _settled(message: Received[PayLinesRealized]) -> SettledRealization:
    event = message.event
    return SettledRealization(
        (event.document_kind, event.document_id),
        event.realization_no,
        event.realization_kind,
        _text(message.record),
    )


async def _settle_known(
    connection: AsyncConnection,
    by_document: ReceivedRealizations,
    heads: Mapping[DocKey, SettledDocument],
    locked: set[str],
    changes: SettlementChanges,
) -> None:
    """Settle documents that were settled before; their lines are read under the locks."""
    pay_lines = await lines.pay_lines_for(connection, by_document)
    require_locked(
        locked, [line.realized.billing_company for each in pay_lines.values() for line in each]
    )
    operator_changes = await settlement.operator_changes_for(connection, by_document)
    invoiced = [
        document
        for document, of_document in pay_lines.items()
        if any(line.location == "invoiced" for line in of_document)
    ]
    cited = await settlement.cited_for(connection, invoiced)
    at = clock.now()
    for document, received in by_document.items():
        events = [message.event for message in received]
        settling, stale_no = sort_realizations(heads[document], events, cited.get(document, {}))
        if settling:
            settle_document(
                changes,
                heads[document],
                settling,
                next(_settled(message) for message in received if message.event is settling[-1]),
                pay_lines.get(document, ()),
                operator_changes.get(document, OperatorChanges()),
                at,
            )
            if has_ended_citation(settling[-1], cited.get(document, {})):
                changes.uncited.append(document)
        if stale_no is not None:
            changes.stale[document] = stale_no


def settle_document(
    changes: SettlementChanges,
    head: SettledDocument,
    settling: Sequence[PayLinesRealized],
    last: SettledRealization,
    pay_lines: Sequence[PayLine],
    operator_changes: OperatorChanges,
    at: datetime,
) -> None:
    """Add the changes of one document; its locks are held. `last`: the last one of `settling`."""
    edits, snoozes, document = operator_changes.edits, operator_changes.snoozes, last.document
    before = None
    if (snoozes or edits) and head.body:
        before = PayLinesRealized.model_validate_json(head.body)
    carried = carry_changes(before, settling, snoozes, edits, at)
    replaced, opened = settle_latest(settling, pay_lines, carried, operator_changes.written_off)
    changes.opened += [OpenedLine(document, last.realization_no, line) for line in opened]
    changes.replaced += [ReplacedLine(line, last.realization_no) for line in replaced]
    changes.settled.append(last)
    changes.snoozes |= {
        (document, key): carried.snoozes.get(key)
        for key in snoozes.keys() | carried.snoozes.keys()
        if snoozes.get(key) != carried.snoozes.get(key)
    }
    changes.edits += carried.cancelled_edits


async def settle_again(
    connection: AsyncConnection, heads: Mapping[DocKey, SettledDocument]
) -> tuple[SettlementChanges, list[DocKey]]:
    """Settle documents again from their settled realization, after an edit or a credit.

    The second value are the withheld documents: they stay as they are until their next realization.
    So does a document of opening data of which nothing was realized yet.
    A realization that waits for a new price basis continues to wait.
    """
    pay_lines = await lines.pay_lines_for(connection, heads)
    operator_changes = await settlement.operator_changes_for(connection, heads)
    changes, withheld, at = SettlementChanges(), [], clock.now()
    for document in sorted(heads):
        head = heads[document]
        if not head.body:
            withheld.append(document)
            continue
        realization = PayLinesRealized.model_validate_json(head.body)
        if realization.realization_kind == "withheld":
            withheld.append(document)
            continue
        settle_document(
            changes,
            head,
            [realization],
            SettledRealization(document, head.realization_no, "realized", head.body),
            pay_lines.get(document, ()),
            operator_changes.get(document, OperatorChanges()),
            at,
        )
    changes.settled.clear()  # the settled realizations are the same as before
    await save_changes(connection, changes)
    return changes, withheld


async def save_changes(connection: AsyncConnection, changes: SettlementChanges) -> None:
    """Save the changes of all documents."""
    await settlement.save_settled_documents(connection, changes.settled, changes.stale)
    await settlement.add_edits(connection, changes.edits)
    await settlement.save_snoozes(connection, changes.snoozes)
    companies = {opened.new.realized.billing_company for opened in changes.opened}
    companies |= {replaced.pay_line.realized.billing_company for replaced in changes.replaced}
    if companies:
        days = await lines.company_days(connection, companies)
        today = {company: clock.today_of(zone) for company, (zone, _) in days.items()}
        await lines.replace_lines(connection, changes.replaced, today)
        # A line is announced if it is due after the watermark, or after today if there is none yet.
        announced_until = {
            company: watermark or today[company] for company, (_, watermark) in days.items()
        }
        await lines.add_lines(
            connection,
            changes.opened,
            lambda line: line.effective_date > announced_until[line.billing_company],
            today,
        )
    await settlement.note_ended_citations(connection, changes.uncited)


def require_locked(locked: set[str], companies: Iterable[str]) -> None:
    """Raise `Unavailable` if a company is not locked: the next try locks it too."""
    missing = set(companies) - locked
    if missing:
        raise Unavailable(
            f"lines of {', '.join(sorted(missing)[:MOST_NAMED])} were added before the companies"
            " were locked; the messages are processed again"
        )
