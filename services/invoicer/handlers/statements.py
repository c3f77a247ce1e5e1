"""Hears `pay-lines-realized`: settles what documents are worth into pay lines.

Most statements are the first of their document: they take a road of four statements for the whole batch. Those of known documents are
read, locked, read again and settled by `rules.settlement`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.rules.holds import Hold, follow, group_of
from services.invoicer.rules.settlement import NewLine, Standing, first_lines
from services.invoicer.rules.statements import Head, apply_last, judge
from services.invoicer.store import lines, settlement
from services.invoicer.store.lines import DocKey, Opened, Replaced
from services.invoicer.store.settlement import Added, EditRow, SettledHead
from shared import clock, faults
from shared.broker.topics import PAY_LINES_REALIZED
from shared.consumer.protocol import Subscription
from shared.consumer.records import Applied, Received, Record, Rejection, reader
from shared.database import lock_companies
from shared.errors import Unavailable
from shared.events.realizations import PayLinesRealized, RealizationLine

Heard = dict[DocKey, list[Received[PayLinesRealized]]]

_READ = reader(PayLinesRealized)


@dataclass
class Changes:
    """All that a batch of statements changes; written at the end, table by table."""

    opened: list[Opened] = field(default_factory=list)
    replaced: list[Replaced] = field(default_factory=list)
    heads: list[SettledHead] = field(default_factory=list)
    stale: dict[DocKey, int] = field(default_factory=dict)
    holds: dict[tuple[DocKey, str], Hold | None] = field(default_factory=dict)
    edits: list[EditRow] = field(default_factory=list)


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
            group_of(key)
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
    heard, rejected = gather(received)
    heads = await settlement.heads_for(connection, heard)
    rejected += drop_repeats(heard, heads)
    if not heard:
        return Applied(rejected=rejected)
    companies = {
        line.billing_company
        for of_one in heard.values()
        for one in of_one
        for line in one.event.lines
    }
    companies |= await lines.companies_of(connection, heard.keys() & heads.keys())
    await lock_companies(connection, companies)
    added = await settlement.add_heads(
        connection, [_head(heard[document][-1]) for document in sorted(heard.keys() - heads.keys())]
    )
    known = heard.keys() - added
    heads = await settlement.heads_for(connection, known, lock=True) if known else {}
    await faults.point("after_locks")
    changes = Changes(
        opened=[
            line
            for document, of_one in heard.items()
            if document in added
            for line in _first(document, of_one[-1].event)
        ]
    )
    if known:
        rejected += drop_repeats(heard, heads)
        await _settle_known(
            connection,
            {document: heard[document] for document in sorted(known & heard.keys())},
            heads,
            companies,
            changes,
        )
    await write(connection, changes)
    return Applied(rejected=rejected)


SUBSCRIPTION = Subscription(PAY_LINES_REALIZED.name, read, on_pay_lines_realized, PayLinesRealized)


def gather(
    received: Sequence[Received[PayLinesRealized]],
) -> tuple[Heard, list[tuple[Record, Rejection]]]:
    """The statements of each document in ascending order, each number once; the same number with other values is a conflict."""
    heard: Heard = {}
    rejected: list[tuple[Record, Rejection]] = []
    for one in received:
        of_one = heard.setdefault((one.event.document_kind, one.event.document_id), [])
        twin = next(
            (other for other in of_one if other.event.realization_no == one.event.realization_no),
            None,
        )
        if twin is None:
            of_one.append(one)
        elif twin.event != one.event:
            rejected.append((one.record, _conflict(one.event)))
    for of_one in heard.values():
        of_one.sort(key=lambda one: one.event.realization_no)
    return heard, rejected


def drop_repeats(heard: Heard, heads: dict[DocKey, Head]) -> list[tuple[Record, Rejection]]:
    """Takes out what has been dealt with; the settled statement again with other values is a conflict."""
    rejected: list[tuple[Record, Rejection]] = []
    for document, head in heads.items():
        new: list[Received[PayLinesRealized]] = []
        for one in heard.get(document, ()):
            if one.event.realization_no > head.heard:
                new.append(one)
            elif one.event.realization_no == head.realization_no and not _same(one, head.body):
                rejected.append((one.record, _conflict(one.event)))
        if new:
            heard[document] = new
        else:
            heard.pop(document, None)
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


def _head(one: Received[PayLinesRealized]) -> SettledHead:
    event = one.event
    return SettledHead(
        (event.document_kind, event.document_id),
        event.realization_no,
        event.realization_kind,
        _text(one.record),
    )


def _first(document: DocKey, event: PayLinesRealized) -> list[Opened]:
    return [
        Opened(document, event.realization_no, NewLine(line)) for line in first_lines(event.lines)
    ]


async def _settle_known(
    connection: AsyncConnection,
    heard: Heard,
    heads: dict[DocKey, Head],
    locked: set[str],
    changes: Changes,
) -> None:
    """Documents that were settled before: what stands is read now, under the locks."""
    standing = await lines.standing_for(connection, heard)
    check_locked(
        locked, (one.line.billing_company for of_one in standing.values() for one in of_one)
    )
    added = await settlement.added_for(connection, heard)
    invoiced = [
        document
        for document, of_one in standing.items()
        if any(one.place == "invoiced" for one in of_one)
    ]
    cited = await settlement.cited_for(connection, invoiced)
    at = clock.now()
    for document, of_one in heard.items():
        judged = judge(heads[document], [one.event for one in of_one], cited.get(document, {}))
        if judged.settling:
            text = next(_text(one.record) for one in of_one if one.event is judged.settling[-1])
            settle_document(
                changes,
                document,
                heads[document],
                judged.settling,
                text,
                standing.get(document, ()),
                added.get(document, Added()),
                at,
            )
        if judged.stale_realization_no is not None:
            changes.stale[document] = judged.stale_realization_no


def settle_document(
    changes: Changes,
    document: DocKey,
    head: Head,
    settling: Sequence[PayLinesRealized],
    text: str,
    standing: Sequence[Standing],
    added: Added,
    at: datetime,
) -> None:
    """Decides one document; its locks are held and everything that counts of it is at hand."""
    before = PayLinesRealized.model_validate_json(head.body) if added.holds or added.edits else None
    followed = follow(before, settling, added.holds, added.edits, at)
    settled = apply_last(settling, standing, followed, added.written_off)
    last = settling[-1]
    changes.opened += [Opened(document, last.realization_no, line) for line in settled.opened]
    changes.replaced += [Replaced(one, last.realization_no) for one in settled.replaced]
    changes.heads.append(SettledHead(document, last.realization_no, last.realization_kind, text))
    changes.holds |= settlement.changed_holds(document, added.holds, followed.holds)
    changes.edits += [settlement.opposite_of(document, one, at) for one in followed.set_aside]


async def write(connection: AsyncConnection, changes: Changes) -> None:
    """Saves what was decided."""
    await settlement.save_heads(connection, changes.heads, changes.stale)
    await settlement.add_edits(connection, changes.edits)
    await settlement.save_holds(connection, changes.holds)
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


def check_locked(locked: set[str], companies: Iterable[str]) -> None:
    """What turned up between looking and locking is right at the next try."""
    missing = set(companies) - locked
    if missing:
        raise Unavailable(
            f"lines of {', '.join(sorted(missing)[:5])} turned up while the companies were being locked; it is tried again"
        )
