"""Commands about open pay lines: snooze, release, edit. All under the shared lock of the billing company and the locks of the documents."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.lines.rules import QuantityAmount, value_of
from services.invoicer.lines.store import lines
from services.invoicer.lines.store.lines import FoundLine
from services.invoicer.settlement import store as settlement
from services.invoicer.settlement.handlers.realizations import (
    SettlementChanges,
    require_locked,
    save_changes,
    settle_document,
)
from services.invoicer.settlement.rules.edits import edited
from services.invoicer.settlement.rules.snoozes import Snooze
from services.invoicer.settlement.store import OperatorChanges, OperatorEdit
from shared import clock, faults
from shared.consumer.commands import Answer, CommandHandler
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
    snooze = Snooze("snoozed", command.reason, command.actor, command.until, now)
    before = await _snoozes_of(connection, found)
    await settlement.save_snoozes(
        connection, {(one.document, one.pay_line.line.line_key): snooze for one in found}
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
        after={str(one.pay_line_id): _words(snooze) for one in found},
        subjects=_subjects(found),
    )


async def on_release_pay_lines(connection: AsyncConnection, command: ReleasePayLines) -> Answer:
    """Ends the hold of lines, whoever or whatever set it."""
    found = await _locked(connection, command.billing_company, command.pay_line_ids)
    before = await _snoozes_of(connection, found)
    held = [one for one in found if before[str(one.pay_line_id)] is not None]
    if not held:
        raise Refused(
            "not_on_hold",
            f"{_named(one.pay_line_id for one in found)}: not on hold",
            "see `backoffice pay-lines list`",
        )
    await settlement.save_snoozes(
        connection, {(one.document, one.pay_line.line.line_key): None for one in held}
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
    heads = await settlement.settled_documents_for(connection, [one.document])
    head = heads[one.document]
    realization = PayLinesRealized.model_validate_json(head.body)
    realized = next(
        (
            realized
            for realized in realization.lines
            if realized.line_key == one.pay_line.line.line_key
        ),
        None,
    )
    line = (
        one.pay_line.line
        if one.location == "open"
        else await _edited_away(connection, one, realized)
    )
    difference = edited(line, command.quantity, command.amount)
    after = value_of(line) + difference
    seen = QuantityAmount() if realized is None else value_of(realized)
    now = clock.now()
    row = OperatorEdit(
        one.document, line.line_key, command.command_id, difference, value_of(line).as_strings(), {**after.as_strings(), "value": seen.as_strings()},
        command.actor, command.reason, now,
    )  # fmt: skip
    await settlement.add_edits(connection, [row])
    pay_lines = (await lines.pay_lines_for(connection, [one.document])).get(one.document, [])
    operator_changes = (await settlement.operator_changes_for(connection, [one.document])).get(
        one.document, OperatorChanges()
    )
    changes = SettlementChanges()
    settle_document(
        changes, one.document, head, [realization], head.body, pay_lines, operator_changes, now
    )
    changes.heads.clear()  # the settled statement is the same; a statement that waits for a fresh price goes on waiting
    await save_changes(connection, changes)
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
            "before": value_of(line).as_strings(),
            "after": after.as_strings(),
            "currency": line.currency,
        },
        before={str(one.pay_line_id): value_of(line).as_strings()},
        after={str(one.pay_line_id): after.as_strings()},
        subjects=_subjects([one]),
    )


HANDLERS: dict[type, CommandHandler] = {
    SnoozePayLines: on_snooze_pay_lines,
    ReleasePayLines: on_release_pay_lines,
    EditPayLine: on_edit_pay_line,
}


async def _edited_away(
    connection: AsyncConnection, one: FoundLine, realized: RealizationLine | None
) -> RealizationLine:
    """A line that is open no more because the last edit left nothing of its key: what the statement says of it, at zero."""
    key = one.pay_line.line.line_key
    pay_lines = (await lines.pay_lines_for(connection, [one.document])).get(one.document, [])
    existing = any(
        other.location != "invoiced" and other.line.line_key == key for other in pay_lines
    )
    if (
        realized is None
        or existing
        or not await settlement.is_edited_away(connection, one.document, key)
    ):
        raise _refusal("not_open", [one.pay_line_id], REPLACED, LOOK)
    return realized.model_copy(update={"quantity": Decimal(0), "amount": Decimal(0)})


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
    await settlement.settled_documents_for(connection, documents, lock=True)
    await faults.point("after_locks")
    require_locked(companies, await lines.companies_of(connection, documents))
    found = await lines.lines_by_id(connection, pay_line_ids)
    wanted = list(dict.fromkeys(pay_line_ids))
    _refuse(
        "unknown_pay_line",
        [an_id for an_id in wanted if an_id not in found],
        "no such pay line",
        "see `backoffice pay-lines list`",
    )
    in_order = [found[an_id] for an_id in wanted]
    others = [one.pay_line_id for one in in_order if one.pay_line.line.billing_company != company]
    _refuse(
        "other_billing_company",
        others,
        f"not a line of {company}",
        "name the billing company of the line",
    )
    for location, words in (
        ("invoiced", "on a closed document, not open"),
        ("draft", "on a draft, not open"),
        (None, REPLACED),
    ):
        existing = [
            one.pay_line_id
            for one in in_order
            if one.location == location and not (replaced and location is None)
        ]
        _refuse("not_open", existing, words, LOOK)
    credits = [one.pay_line_id for one in in_order if one.pay_line.corrects is not None]
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


async def _snoozes_of(connection: AsyncConnection, found: Sequence[FoundLine]) -> dict[str, Any]:
    operator_changes = await settlement.operator_changes_for(
        connection, {one.document for one in found}
    )
    snoozes: Mapping[Any, Mapping[str, Snooze]] = {
        document: one.snoozes for document, one in operator_changes.items()
    }
    return {
        str(one.pay_line_id): _words(snoozes.get(one.document, {}).get(one.pay_line.line.line_key))
        for one in found
    }


def _words(snooze: Snooze | None) -> dict[str, Any] | None:
    if snooze is None:
        return None
    return {
        "code": snooze.code,
        "reason": snooze.reason,
        "actor": snooze.actor,
        "until": None if snooze.until_date is None else str(snooze.until_date),
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
