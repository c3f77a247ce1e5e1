"""Commands about pay lines that are open or on a draft: snooze, release, edit.

All run under the shared lock of the billing company and the locks of the documents.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.lines.rules import NOTHING, DocKey, value_of
from services.invoicer.lines.store import lines
from services.invoicer.lines.store.lines import FoundLine
from services.invoicer.settlement import store as settlement
from services.invoicer.settlement.handlers.realizations import require_locked, settle_again
from services.invoicer.settlement.rules.edits import edited
from services.invoicer.settlement.rules.snoozes import OperatorChanges, OperatorEdit, Snooze
from shared import clock, faults
from shared.consumer.commands import Answer, CommandHandler
from shared.database import lock_companies
from shared.errors import Refused
from shared.events.commands import EditPayLine, ReleasePayLines, SnoozePayLines
from shared.events.realizations import PayLinesRealized, RealizationLine
from shared.money import plain, written
from shared.terms import listed

DETAILED_IDS = 1_000
REPLACED = "replaced by a later realization, not open"
SEE_LINES = "see `backoffice pay-lines list`"
SEE_OPEN_LINES = "see `backoffice pay-lines list` for the lines that are open now"


async def on_snooze_pay_lines(connection: AsyncConnection, command: SnoozePayLines) -> Answer:
    """Put lines on hold.

    A snooze belongs to document and line key, so it also holds a line that replaces this one.
    """
    if not command.reason.strip():
        raise Refused("reason_missing", "putting a line on hold needs a reason", "give --reason")
    found = await _locked(connection, command.billing_company, command.pay_line_ids)
    zone, _ = (await lines.company_days(connection, [command.billing_company]))[
        command.billing_company
    ]
    today = clock.today_of(zone)
    if command.until is not None and command.until <= today:
        raise Refused(
            "until_has_come",
            f"{command.until} is not after today ({today} in {zone})",
            "give a later date with --until, or none",
        )
    snooze = Snooze("snoozed", command.reason, command.actor, command.until, clock.now())
    before = await _snoozes_of(connection, found)
    await settlement.save_snoozes(connection, {_place(line): snooze for line in found})
    until = str(command.until) if command.until else None
    return Answer(
        f"{_counted(found)} on hold until {until or 'released'}: {command.reason}",
        details={"pay_line_ids": _ids(found), "lines": len(found), "until": until},
        before=before,
        after={str(line.pay_line_id): _details(snooze) for line in found},
        subjects=_subjects(found),
    )


async def on_release_pay_lines(connection: AsyncConnection, command: ReleasePayLines) -> Answer:
    """End the hold of lines, whether an operator or settlement set it."""
    found = await _locked(connection, command.billing_company, command.pay_line_ids)
    before = await _snoozes_of(connection, found)
    held = [line for line in found if before[str(line.pay_line_id)] is not None]
    not_held = len(found) - len(held)
    if not held:
        raise Refused("not_on_hold", f"{_named(_ids(found))}: not on hold", SEE_LINES)
    await settlement.save_snoozes(connection, {_place(line): None for line in held})
    rest = f"; {not_held:,} were not on hold" if not_held else ""
    return Answer(
        f"{_counted(held)} released{rest}",
        details={"pay_line_ids": _ids(held), "lines": len(held), "not_on_hold": not_held},
        before=before,
        after={str(line.pay_line_id): None for line in found},
        subjects=_subjects(found),
    )


async def on_edit_pay_line(connection: AsyncConnection, command: EditPayLine) -> Answer:
    """Change the quantity or amount of a line, and settle its document again.

    The line is open or on a draft. The difference applies to every later realization too. A line of
    which an edit left nothing can be edited again, from zero: there is no other way to restore it.
    """
    if not command.reason.strip():
        raise Refused("reason_missing", "editing a line needs a reason", "give --reason")
    (found,) = await _locked(
        connection, command.billing_company, [command.pay_line_id], replaced=True
    )
    document, line = found.document, found.pay_line.realized
    heads = await settlement.settled_documents_for(connection, [document])
    realization = PayLinesRealized.model_validate_json(heads[document].body)
    realized = next((x for x in realization.lines if x.line_key == line.line_key), None)
    if found.location is None:
        line = await _edited_away(connection, found, realized)
    difference = edited(line, command.quantity, command.amount)
    before, after = value_of(line), value_of(line) + difference
    seen = NOTHING if realized is None else value_of(realized)
    edit = OperatorEdit(
        document,
        line.line_key,
        command.command_id,
        difference,
        before.as_strings(),
        {**after.as_strings(), "value": seen.as_strings()},
        command.actor,
        command.reason,
        clock.now(),
    )
    await settlement.add_edits(connection, [edit])
    await settle_again(connection, heads)
    result = (
        "a new line replaces it"
        if after
        else "nothing of it is left to bill; edit it again to restore it"
    )
    values = {"before": before.as_strings(), "after": after.as_strings()}
    return Answer(
        f"pay line {found.pay_line_id} of {document[1]} edited:"
        f" {plain(before.quantity)} → {plain(after.quantity)},"
        f" {written(before.amount, line.currency)} → {written(after.amount, line.currency)}"
        f" {line.currency}; {result}",
        details={"document_id": document[1], **values, "currency": line.currency},
        before={str(found.pay_line_id): values["before"]},
        after={str(found.pay_line_id): values["after"]},
        subjects=_subjects([found]),
    )


HANDLERS: dict[type, CommandHandler] = {
    SnoozePayLines: on_snooze_pay_lines,
    ReleasePayLines: on_release_pay_lines,
    EditPayLine: on_edit_pay_line,
}


async def _edited_away(
    connection: AsyncConnection, found: FoundLine, realized: RealizationLine | None
) -> RealizationLine:
    """Return the realized line of a key of which the last edit left nothing, at zero."""
    document, key = found.document, found.pay_line.realized.line_key
    pay_lines = (await lines.pay_lines_for(connection, [document])).get(document, [])
    exists = any(x.location != "invoiced" and x.realized.line_key == key for x in pay_lines)
    if realized and not exists and await settlement.is_edited_away(connection, document, key):
        return realized.model_copy(update={"quantity": Decimal(0), "amount": Decimal(0)})
    raise _refusal("not_open", [found.pay_line_id], REPLACED, SEE_OPEN_LINES)


async def _locked(
    connection: AsyncConnection,
    company: str,
    pay_line_ids: Sequence[int],
    *,
    replaced: bool = False,
) -> list[FoundLine]:
    """Return the named lines, with their companies and documents locked.

    Refuses lines that are neither open nor on a draft, or not of that company. `replaced`: accept
    replaced lines too.
    """
    named = await lines.lines_by_id(connection, pay_line_ids)
    documents = {line.document for line in named.values()}
    companies = {company} | await lines.companies_of(connection, documents)
    await lock_companies(connection, companies)
    await settlement.settled_documents_for(connection, documents, lock=True)
    await faults.point("after_locks")
    require_locked(companies, await lines.companies_of(connection, documents))
    found = await lines.lines_by_id(connection, pay_line_ids)
    wanted = list(dict.fromkeys(pay_line_ids))
    unknown = [an_id for an_id in wanted if an_id not in found]
    if unknown:
        raise _refusal("unknown_pay_line", unknown, "no such pay line", SEE_LINES)
    in_order = [found[an_id] for an_id in wanted]
    for code, problem, fix, applies in _CHECKS:
        ids = [line.pay_line_id for line in in_order if applies(line, company)]
        if ids and not (replaced and problem == REPLACED):
            raise _refusal(code, ids, problem.format(company=company), fix)
    return in_order


_CHECKS: Sequence[tuple[str, str, str, Callable[[FoundLine, str], bool]]] = (
    (
        "other_billing_company",
        "not a line of {company}",
        "name the billing company of the line",
        lambda line, company: line.pay_line.realized.billing_company != company,
    ),
    (
        "not_open",
        "on a closed document, not open",
        SEE_OPEN_LINES,
        lambda line, _: line.location == "invoiced",
    ),
    ("not_open", REPLACED, SEE_OPEN_LINES, lambda line, _: line.location is None),
    (
        "credit_line",
        "a credit of an invoice line",
        "a credit follows from its document: send a revision of the document",
        lambda line, _: line.pay_line.corrects is not None,
    ),
)
"""Code, problem and fix of what an operator cannot change, and whether it applies to a line."""


def _refusal(code: str, pay_line_ids: Sequence[int], problem: str, fix: str) -> Refused:
    detailed = list(pay_line_ids[:DETAILED_IDS])
    return Refused(code, f"{_named(pay_line_ids)}: {problem}", fix, pay_line_ids=detailed)


async def _snoozes_of(connection: AsyncConnection, found: Sequence[FoundLine]) -> dict[str, Any]:
    changes = await settlement.operator_changes_for(connection, {line.document for line in found})
    snoozes: dict[str, Any] = {}
    for line in found:
        of_document = changes.get(line.document, OperatorChanges()).snoozes
        snoozes[str(line.pay_line_id)] = _details(of_document.get(line.pay_line.realized.line_key))
    return snoozes


def _details(snooze: Snooze | None) -> dict[str, Any] | None:
    if snooze is None:
        return None
    until = str(snooze.until_date) if snooze.until_date else None
    return {"code": snooze.code, "reason": snooze.reason, "actor": snooze.actor, "until": until}


def _place(found: FoundLine) -> tuple[DocKey, str]:
    return found.document, found.pay_line.realized.line_key


def _subjects(found: Sequence[FoundLine]) -> list[str]:
    return sorted({x.document[1] for x in found} | {f"pay-line {x.pay_line_id}" for x in found})


def _ids(found: Sequence[FoundLine]) -> list[int]:
    return [line.pay_line_id for line in found[:DETAILED_IDS]]


def _counted(found: Sequence[FoundLine]) -> str:
    many = len(found) > 1
    return f"{len(found):,} pay lines are" if many else f"pay line {found[0].pay_line_id} is"


def _named(pay_line_ids: Sequence[int]) -> str:
    noun = "pay lines" if len(pay_line_ids) > 1 else "pay line"
    return f"{noun} {listed(pay_line_ids)}"
