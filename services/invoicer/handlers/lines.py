"""Commands about open pay lines: snooze, release, edit. All under the shared lock of the billing company and the locks of the documents."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.handlers.statements import Changes, check_locked, settle_document, write
from services.invoicer.rules.edits import edited
from services.invoicer.rules.holds import Hold
from services.invoicer.rules.settlement import Worth, worth_of
from services.invoicer.store import lines, settlement
from services.invoicer.store.lines import FoundLine
from services.invoicer.store.settlement import Added, EditRow
from shared import clock, faults
from shared.consumer.commands import Answer, Handle
from shared.database import lock_companies
from shared.errors import Refused
from shared.events.commands import EditPayLine, ReleasePayLines, SnoozePayLines
from shared.events.realizations import PayLinesRealized, RealizationLine
from shared.money import plain

NAMED_IDS = 20
DETAILED_IDS = 1_000
REPLACED = "replaced by a later statement, not open"
LOOK = "see `backoffice pay-lines list` for the lines that are open now"


async def on_snooze_pay_lines(connection: AsyncConnection, command: SnoozePayLines) -> Answer:
    """Puts lines on hold. The snooze belongs to document and line key, so whatever replaces the line inherits it."""
    if not command.reason.strip():
        raise Refused("reason_missing", "a line is put on hold with a reason only", "give --reason")
    found = await _locked(connection, command.billing_company, command.pay_line_ids)
    await _check_until(connection, command.billing_company, command.until)
    now = clock.now()
    hold = Hold("snoozed", command.reason, command.actor, command.until, now)
    before = await _holds_of(connection, found)
    await settlement.save_holds(
        connection, {(one.document, one.standing.line.line_key): hold for one in found}
    )
    until = f" until {command.until}" if command.until else " until released"
    return Answer(
        f"{_count(found)} on hold{until}: {command.reason}",
        details={
            "pay_line_ids": _some(found),
            "lines": len(found),
            "until": None if command.until is None else str(command.until),
        },
        before=before,
        after={str(one.pay_line_id): _words(hold) for one in found},
        subjects=_subjects(found),
    )


async def on_release_pay_lines(connection: AsyncConnection, command: ReleasePayLines) -> Answer:
    """Ends the hold of lines, whoever or whatever set it."""
    found = await _locked(connection, command.billing_company, command.pay_line_ids)
    before = await _holds_of(connection, found)
    held = [one for one in found if before[str(one.pay_line_id)] is not None]
    if not held:
        raise Refused(
            "not_on_hold",
            f"{_named(one.pay_line_id for one in found)}: not on hold",
            "see `backoffice pay-lines list`",
        )
    await settlement.save_holds(
        connection, {(one.document, one.standing.line.line_key): None for one in held}
    )
    rest = f"; {len(found) - len(held)} were not on hold" if len(held) < len(found) else ""
    return Answer(
        f"{_count(held)} released{rest}",
        details={
            "pay_line_ids": _some(held),
            "lines": len(held),
            "not_on_hold": len(found) - len(held),
        },
        before=before,
        after={str(one.pay_line_id): None for one in found},
        subjects=_subjects(found),
    )


async def on_edit_pay_line(connection: AsyncConnection, command: EditPayLine) -> Answer:
    """Changes quantity or amount of an open line: the difference is kept for every later statement, then the document is settled again.
    A line of which an edit left nothing may be edited once more, from zero: nobody else could bring it back."""
    if not command.reason.strip():
        raise Refused("reason_missing", "a line is edited with a reason only", "give --reason")
    (one,) = await _locked(
        connection, command.billing_company, [command.pay_line_id], replaced=True
    )
    heads = await settlement.heads_for(connection, [one.document])
    head = heads[one.document]
    statement = PayLinesRealized.model_validate_json(head.body)
    said = next(
        (said for said in statement.lines if said.line_key == one.standing.line.line_key), None
    )
    line = one.standing.line if one.place == "open" else await _edited_away(connection, one, said)
    difference = edited(line, command.quantity, command.amount)
    after = worth_of(line) + difference
    seen = Worth() if said is None else worth_of(said)
    now = clock.now()
    row = EditRow(
        one.document, line.line_key, command.command_id, difference, worth_of(line).in_words(), {**after.in_words(), "worth": seen.in_words()},
        command.actor, command.reason, now,
    )  # fmt: skip
    await settlement.add_edits(connection, [row])
    standing = (await lines.standing_for(connection, [one.document])).get(one.document, [])
    added = (await settlement.added_for(connection, [one.document])).get(one.document, Added())
    changes = Changes()
    settle_document(changes, one.document, head, [statement], head.body, standing, added, now)
    changes.heads.clear()  # the settled statement is the same; a statement that waits for a fresh price goes on waiting
    await write(connection, changes)
    words = f"{plain(line.quantity)} → {plain(after.quantity)}, {plain(line.amount)} → {plain(after.amount)} {line.currency}"
    left = (
        "the new line takes its place"
        if after
        else "nothing of it is left to bill; edit it again to bring it back"
    )
    return Answer(
        f"pay line {one.pay_line_id} of {one.document[1]} edited: {words}; {left}",
        details={
            "document_id": one.document[1],
            "before": worth_of(line).in_words(),
            "after": after.in_words(),
            "currency": line.currency,
        },
        before={str(one.pay_line_id): worth_of(line).in_words()},
        after={str(one.pay_line_id): after.in_words()},
        subjects=_subjects([one]),
    )


HANDLERS: dict[type, Handle] = {
    SnoozePayLines: on_snooze_pay_lines,
    ReleasePayLines: on_release_pay_lines,
    EditPayLine: on_edit_pay_line,
}


async def _edited_away(
    connection: AsyncConnection, one: FoundLine, said: RealizationLine | None
) -> RealizationLine:
    """A line that is open no more because the last edit left nothing of its key: what the statement says of it, at zero."""
    key = one.standing.line.line_key
    standing = (await lines.standing_for(connection, [one.document])).get(one.document, [])
    there = any(other.place != "invoiced" and other.line.line_key == key for other in standing)
    if said is None or there or not await settlement.is_edited_away(connection, one.document, key):
        raise _refusal("not_open", [one.pay_line_id], REPLACED, LOOK)
    return said.model_copy(update={"quantity": Decimal(0), "amount": Decimal(0)})


async def _locked(
    connection: AsyncConnection,
    company: str,
    pay_line_ids: Sequence[int],
    *,
    replaced: bool = False,
) -> list[FoundLine]:
    """The lines that a command names, all open and of that company, with their companies and documents locked. `replaced`: or open no more."""
    documents = {
        one.document for one in (await lines.lines_by_id(connection, pay_line_ids)).values()
    }
    companies = {company} | await lines.companies_of(connection, documents)
    await lock_companies(connection, companies)
    await settlement.heads_for(connection, documents, lock=True)
    await faults.point("after_locks")
    check_locked(companies, await lines.companies_of(connection, documents))
    found = await lines.lines_by_id(connection, pay_line_ids)
    wanted = list(dict.fromkeys(pay_line_ids))
    _refuse(
        "unknown_pay_line",
        [an_id for an_id in wanted if an_id not in found],
        "no such pay line",
        "see `backoffice pay-lines list`",
    )
    in_order = [found[an_id] for an_id in wanted]
    others = [one.pay_line_id for one in in_order if one.standing.line.billing_company != company]
    _refuse(
        "other_billing_company",
        others,
        f"not a line of {company}",
        "name the billing company of the line",
    )
    for place, words in (
        ("invoiced", "on a closed document, not open"),
        ("draft", "on a draft, not open"),
        (None, REPLACED),
    ):
        there = [
            one.pay_line_id
            for one in in_order
            if one.place == place and not (replaced and place is None)
        ]
        _refuse("not_open", there, words, LOOK)
    credits = [one.pay_line_id for one in in_order if one.standing.corrects is not None]
    _refuse(
        "credit_line",
        credits,
        "a credit of an invoice line",
        "a credit follows from its document: send a revision of that",
    )
    return in_order


def _refuse(code: str, pay_line_ids: Sequence[int], words: str, fix: str) -> None:
    if pay_line_ids:
        raise _refusal(code, pay_line_ids, words, fix)


def _refusal(code: str, pay_line_ids: Sequence[int], words: str, fix: str) -> Refused:
    return Refused(
        code,
        f"{_named(pay_line_ids)}: {words}",
        fix,
        pay_line_ids=list(pay_line_ids[:DETAILED_IDS]),
    )


async def _check_until(connection: AsyncConnection, company: str, until: date | None) -> None:
    zone, _ = (await lines.company_days(connection, [company]))[company]
    today = clock.today_of(zone)
    if until is not None and until <= today:
        raise Refused(
            "until_has_come",
            f"{until} is not after today ({today} in {zone})",
            "give a later date with --until, or none",
        )


async def _holds_of(connection: AsyncConnection, found: Sequence[FoundLine]) -> dict[str, Any]:
    added = await settlement.added_for(connection, {one.document for one in found})
    holds: Mapping[Any, Mapping[str, Hold]] = {
        document: one.holds for document, one in added.items()
    }
    return {
        str(one.pay_line_id): _words(holds.get(one.document, {}).get(one.standing.line.line_key))
        for one in found
    }


def _words(hold: Hold | None) -> dict[str, Any] | None:
    if hold is None:
        return None
    return {
        "code": hold.code,
        "reason": hold.reason,
        "actor": hold.actor,
        "until": None if hold.until_date is None else str(hold.until_date),
    }


def _subjects(found: Iterable[FoundLine]) -> list[str]:
    return sorted(
        {one.document[1] for one in found} | {f"pay-line {one.pay_line_id}" for one in found}
    )


def _some(found: Sequence[FoundLine]) -> list[int]:
    return [one.pay_line_id for one in found[:DETAILED_IDS]]


def _count(found: Sequence[FoundLine]) -> str:
    return (
        f"pay line {found[0].pay_line_id} is" if len(found) == 1 else f"{len(found)} pay lines are"
    )


def _named(pay_line_ids: Iterable[int]) -> str:
    ids = list(pay_line_ids)
    more = f" and {len(ids) - NAMED_IDS} more" if len(ids) > NAMED_IDS else ""
    return f"pay line{'s' if len(ids) > 1 else ''} {', '.join(str(an_id) for an_id in ids[:NAMED_IDS])}{more}"
