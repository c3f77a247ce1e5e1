"""Handles the command `explain`: the one reason why a document or a pay line is not billed.

The reason is the first thing that must change.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.handlers.build_batch import BatchPlan, build
from services.invoicer.batches.handlers.check_health import check_health
from services.invoicer.batches.rules import health, reasons
from services.invoicer.batches.rules.grouping import Debtor
from services.invoicer.debtors.rules.cycles import NO_COMPLETE_CYCLE, cycle_with
from services.invoicer.lines.rules import NOTHING, QuantityAmount
from services.invoicer.questions.rules import no_account_name, on_a_draft, rejected
from services.invoicer.questions.store import explain as store
from shared.consumer.commands import Answer, CommandHandler
from shared.errors import Refused
from shared.events.commands import Explain
from shared.money import plain, written
from shared.terms import duration, is_agreement, listed

MOST_LINES = 100
UNPRICED_FIX = "wait a few seconds; if it stays, check that fee_realizer runs: `backoffice status`"


@dataclass(frozen=True, slots=True)
class Explanation:
    """The reason, the message for the operator, and what fixes it."""

    reason: str
    message: str
    fix: str = ""


async def companies_of(connection: AsyncConnection, command: Explain) -> set[str]:
    """Return the billing companies of the lines that a question is about; none if unknown."""
    return await store.companies_of(connection, command.document_id, command.pay_line_id)


async def on_explain(connection: AsyncConnection, command: Explain) -> Answer:
    """Answer with one reason for a line or a document."""
    if (command.document_id is None) == (command.pay_line_id is None):
        raise Refused(
            "nothing_named",
            "the command must name either a document or a pay line",
            "give a document id or a pay line id",
        )
    if command.document_id is not None:
        return await _about_document(connection, command, command.document_id)
    assert command.pay_line_id is not None
    line = await store.line_of(connection, command.pay_line_id)
    if line is None:
        raise Refused(
            "not_known",
            f"pay line {command.pay_line_id} does not exist",
            "see `backoffice pay-lines list`",
        )
    explanation = (await _explain_lines(connection, command, [line]))[line.pay_line_id]
    ids = {"pay_line_id": line.pay_line_id, "document_id": line.document_id}
    return _answer(explanation, [f"pay-line {line.pay_line_id}", line.document_id], **ids)


async def _about_document(
    connection: AsyncConnection, command: Explain, document_id: str
) -> Answer:
    state = await store.state_of(connection, document_id)
    assignment = None if state else await store.next_occurrence(connection, document_id)
    if assignment is not None and assignment.document_id is not None:
        return await _about_document(connection, command, assignment.document_id)
    if assignment is not None:
        explanation = Explanation(
            "no_occurrence",
            f"assignment {document_id} has no occurrence yet; the next is due on"
            f" {assignment.next_due or 'a date that the scheduler has not looked at'}",
            "wait: occurrences are made a year ahead; if it stays, `backoffice status`",
        )
        return _answer(explanation, [document_id], document_id=document_id)
    if state is None:
        explanation = await _not_received(connection, document_id)
        return _answer(explanation, [document_id], document_id=document_id)
    ids = {"document_id": state.document_id, "document_kind": state.document_kind}
    blocked = _blocked(state)
    if blocked is not None:
        return _answer(blocked, [state.document_id], **ids)
    lines = await store.lines_of_document(connection, state.document_kind, state.document_id)
    explained = await _explain_lines(connection, command, [line for line in lines if line.open])
    if not explained:
        explanation = await _without_open_lines(connection, state, lines, document_id)
        return _answer(explanation, [state.document_id], **ids)
    # The reason of most lines counts. A document whose open lines are all in has no reason.
    out = Counter(each.reason for each in explained.values() if each.reason != "nothing")
    reason = out.most_common(1)[0][0] if out else "nothing"
    explanation = next(each for each in explained.values() if each.reason == reason)
    listed = [
        {"pay_line_id": line_id, "reason": each.reason} for line_id, each in explained.items()
    ]
    return _answer(explanation, [state.document_id], **ids, lines=listed[:MOST_LINES])


async def _not_received(connection: AsyncConnection, document_id: str) -> Explanation:
    """Explain a document of which nothing is known, or only that another system billed it."""
    loaded = [
        line for line in await store.loaded_lines(connection, document_id) if line.invoice_number
    ]
    if loaded:
        forgiven = await store.forgiven_of(connection, loaded[0].document_kind, document_id)
        return _on_documents(document_id, loaded, forgiven)
    return Explanation(
        "not_known",
        f"document {document_id} is unknown",
        "check that the ATS sent it: `backoffice dead-letters list`, `backoffice lag`",
    )


async def _without_open_lines(
    connection: AsyncConnection, state: Any, lines: Sequence[Any], document_id: str
) -> Explanation:
    """Explain a document of which nothing is open: drafted, invoiced, or without a value."""
    if drafted := [line for line in lines if line.draft_id]:
        return Explanation(*on_a_draft(drafted[0]))
    closed = [line for line in lines if line.invoice_number]
    if closed:
        forgiven = await store.forgiven_of(connection, state.document_kind, state.document_id)
        return _on_documents(document_id, closed, forgiven)
    edit = await store.last_edit(connection, state.document_kind, state.document_id)
    if edit is None and state.document_kind == "assignment":
        return Explanation(
            "worth_nothing",
            f"{document_id} is not due: its assignment was ended or changed, or its price is 0",
            f"see who did it: `backoffice history {document_id}`",
        )
    if edit is None:
        return Explanation(
            "worth_nothing",
            f"{document_id} has no value: its latest realization has no lines",
            "send a revision with hours or fees",
        )
    return Explanation(
        "worth_nothing",
        f"{document_id} has no value: {edit.actor} edited its latest realization to zero:"
        f" {edit.reason}",
        f"undo it: `backoffice pay-lines edit {edit.pay_line_id} --quantity Q --reason TEXT`",
    )


def _on_documents(document_id: str, lines: Sequence[Any], forgiven: QuantityAmount) -> Explanation:
    """Explain a document all of whose lines are on closed documents, credits apart."""
    debits = {line.invoice_number for line in lines if line.corrects_invoice_id is None}
    credits = {line.invoice_number for line in lines if line.corrects_invoice_id is not None}
    left = sum((QuantityAmount(line.quantity, line.amount) for line in lines), NOTHING)
    message = f"{document_id} is invoiced: {listed(sorted(debits), 5)}"
    if credits:
        message += f"; credited {'' if left else 'in full '}on {listed(sorted(credits), 5)}"
    if forgiven:
        currency = lines[0].currency
        message += (
            f"; forgiven: quantity {plain(forgiven.quantity)},"
            f" {written(forgiven.amount, currency)} {currency}"
        )
    if left or not credits:
        return Explanation("invoiced", message)
    return Explanation(
        "credited",
        message,
        f"see why: `backoffice history {document_id}`; a revision with hours is billed again",
    )


def _blocked(state: Any) -> Explanation | None:
    """Explain a document that cannot be billed, whatever its lines are."""
    document_id = state.document_id
    if state.waits_for_price is not None:
        message = f"{document_id} has waited {duration(state.waits_for_price)} to be priced again"
        return Explanation(reasons.TO_BE_PRICED, message, UNPRICED_FIX)
    if state.hold_code:
        message = f"{document_id} is held: {state.hold_message}"
        return Explanation(state.hold_code, message, "correct that; the hold then ends by itself")
    if state.stale_realization_no is not None:
        message = (
            f"{document_id} waits to be priced again, because a batch or a credit closed in between"
        )
        return Explanation(reasons.TO_BE_PRICED, message, UNPRICED_FIX)
    if state.realization_no > state.settled_no:
        return Explanation(
            "in_flight",
            f"realization {state.realization_no} of {document_id} is not settled yet;"
            f" the last settled one is {state.settled_no or 'none'}",
            "wait a few seconds; if it stays, see `backoffice lag`",
        )
    if state.realization_kind == "withheld":
        return Explanation(
            "withheld",
            f"{document_id} is withheld: its open lines are withdrawn until a new realization",
            "see `backoffice documents held`",
        )
    return None


async def _explain_lines(
    connection: AsyncConnection, command: Explain, lines: Sequence[Any]
) -> dict[int, Explanation]:
    """Explain each line; a selection like that of a batch explains the open ones."""
    explained: dict[int, Explanation] = {}
    open_lines: dict[str, list[Any]] = {}
    for line in lines:
        name = f"pay line {line.pay_line_id}"
        if line.open:
            open_lines.setdefault(line.billing_company, []).append(line)
            continue
        if line.invoice_number:
            message = f"{name} is on {line.invoice_number} of {line.invoice_date}"
            explanation = Explanation("invoiced", message)
        elif line.replaced_by_realization is not None:
            cause = (
                "an edit or a credit"
                if line.replaced_by_realization == line.realization_no
                else f"realization {line.replaced_by_realization}"
            )
            message = f"{cause} of {line.document_id} replaced {name}"
            fix = f"`backoffice why-not {line.document_id}`"
            explanation = Explanation("replaced", message, fix)
        else:
            explanation = Explanation(*on_a_draft(line))
        explained[line.pay_line_id] = explanation
    for company in sorted(open_lines):
        explained |= await _explain_open(connection, command, company, open_lines[company])
    return explained


async def _explain_open(
    connection: AsyncConnection, command: Explain, company: str, lines: Sequence[Any]
) -> dict[int, Explanation]:
    # A document may have lines of two companies. The rollback drops the temporary tables of one
    # selection before the next is made.
    nested = await connection.begin_nested()
    try:
        plan = await build(connection, company, command.cut_off_date)
    except Refused as refused:
        if not is_agreement(company):
            raise
        await nested.rollback()
        missing = Explanation(refused.code, refused.message, refused.fix)
        return {line.pay_line_id: missing for line in lines}
    selected = await store.reasons_of(connection, [line.pay_line_id for line in lines])
    error = health.refusal(await check_health(connection, plan))
    await nested.rollback()
    debtors = {debtor.debtor_no: debtor for debtor in plan.debtors}
    explained = {}
    for line in lines:
        number, debtor_no = selected[line.pay_line_id]
        reason = reasons.REASONS[number - 1] if number else ""
        snooze = (
            await store.snooze_of(connection, line)
            if reason in (reasons.SNOOZED, reasons.EDIT_MEETS_REVISION)
            else None
        )
        if error is not None and not reason:
            explanation = Explanation(error.code, error.message, error.fix)
        elif reason == reasons.REJECTED:
            explanation = Explanation(*rejected(line, await store.rejection_of(connection, line)))
        elif snooze is not None:
            explanation = _snoozed(reason, line, snooze)
        elif not reason and (batch := await store.limiting_batch(connection, line)) is not None:
            explanation = _not_chosen(line, batch, plan.cut_off)
        elif reason == reasons.NOT_IN_CYCLE:
            explanation = _not_in_cycle(line, plan, debtors[debtor_no])
        else:
            explanation = _by_reason(reason, line, plan, debtors.get(debtor_no))
        explained[line.pay_line_id] = explanation
    return explained


def _snoozed(reason: str, line: Any, snooze: Any) -> Explanation:
    until = f"until {snooze.until_date}" if snooze.until_date else "until it is released"
    return Explanation(
        reason,
        f"pay line {line.pay_line_id} is on hold {until}: {snooze.reason}"
        f" (by {snooze.actor}, {snooze.snoozed_at:%Y-%m-%d %H:%M} UTC)",
        f"`backoffice pay-lines release {line.pay_line_id}`",
    )


def _not_chosen(line: Any, batch: Any, cut_off: date) -> Explanation:
    """Explain a line that is ready, and that the last batch left out for others."""
    return Explanation(
        reasons.DOCUMENT_NOT_CHOSEN,
        f"batch {batch.batch_id}, up to {batch.cut_off_date}, was limited to other documents than"
        f" {line.document_id}; nothing else prevents it: pay line {line.pay_line_id} is in the"
        f" next batch up to {cut_off}",
        "bill the rest: `backoffice batch generate` without --document and --worker",
    )


def _not_in_cycle(line: Any, plan: BatchPlan, debtor: Debtor) -> Explanation:
    """Explain a line of a week after the last cycle that is complete by the cut-off."""
    cut_off, group = plan.cut_off, plan.decisions.time_groups[debtor.time_group]
    last_cycle = (
        f"time group {group.name} has no cycle that is complete by the cut-off {cut_off}"
        if debtor.window.weeks_to == NO_COMPLETE_CYCLE
        else f"the last cycle of time group {group.name} ({group.words}) that is complete by the"
        f" cut-off {cut_off} is {debtor.window.cycle}"
    )
    own_cycle = cycle_with(group, line.week_ending)
    fix = (
        f"take a cut-off of {own_cycle.last_day} or later"
        if own_cycle
        else f"add periods: `backoffice time-groups set {group.name} --cycle custom --file ...`"
    )
    message = f"pay line {line.pay_line_id} has week ending {line.week_ending}: {last_cycle}"
    return Explanation(reasons.NOT_IN_CYCLE, message, fix)


_OPTION_REASONS = {
    reasons.OPTION_DOES_NOT_FIT: "the engagement of {} names an option that does not take it",
    reasons.NO_INVOICE_OPTION: "no default invoice option takes {}",
    reasons.NOT_VISIBLE: "the billing filter of {} hides it from the party of its option",
}


def _by_reason(reason: str, line: Any, plan: BatchPlan, debtor: Debtor | None) -> Explanation:
    name = f"pay line {line.pay_line_id}"
    if reason in _OPTION_REASONS:
        fix = f"see why, and what to set: `backoffice options why {line.pay_line_id}`"
        return Explanation(reason, _OPTION_REASONS[reason].format(name), fix)
    debtor_name, parked, waiting = (
        (debtor.account_name, debtor.parked, debtor.waiting) if debtor else ("", "", "")
    )
    tax_code = line.tax_code or "of the billing company"
    day = (
        f"week ending {line.week_ending}"
        if line.week_ending
        else f"effective date {line.effective_date}"
    )
    message, fix = {
        "": (f"nothing prevents it: {name} is in the next batch up to {plan.cut_off}", ""),
        reasons.SCHEDULED: (
            f"{name} is scheduled for {line.effective_date}",
            "wait until that day",
        ),
        reasons.AFTER_CUT_OFF: (
            f"{name} has {day}, after the cut-off {plan.cut_off}",
            f"take a cut-off of {line.week_ending or line.effective_date} or later",
        ),
        reasons.TO_BE_PRICED: (
            f"{line.document_id}, the document of {name}, waits to be priced again",
            UNPRICED_FIX,
        ),
        reasons.UNKNOWN_NODE: (
            f"{name} is at billto node {line.billto_node}, which the ATS has not sent",
            "let the ATS publish it on billto-changed",
        ),
        reasons.NO_ACCOUNT_NAME: no_account_name(name, line.billto_node, plan.company.agreement),
        reasons.GROUP_NOT_CHOSEN: (
            f"the batch does not include the batch group of {debtor_name}",
            "choose that group, or no group at all",
        ),
        reasons.DEBTOR_LEFT_OUT: (
            f"the batch excludes {debtor_name}",
            "take a batch without excluded debtors",
        ),
        reasons.DEBTOR_PARKED: (
            f"{debtor_name}, the debtor of {name}, is parked: {parked}",
            "end the cause, then `backoffice batch retry-parked`",
        ),
        reasons.WAITS_FOR_TIMESHEETS: (
            f"{debtor_name}, the debtor of {name}, {waiting}",
            "wait for the timesheets, or bill what is in:"
            " `--missing-timesheets bill --reason TEXT`",
        ),
        reasons.NO_TAX_RATE: (
            f"the tax code {tax_code} of {name} has no rate on {line.effective_date}",
            "add the rate: `backoffice billing-company set"
            f" {line.billing_company} --tax CODE=PERCENT@FROM_DATE`",
        ),
        reasons.ZERO_TOTAL: (
            f"{name} and the other lines of its document come to zero",
            "nothing to do; the next batch takes these lines as well",
        ),
    }[reason]
    return Explanation(reason or "nothing", message, fix)


def _answer(explanation: Explanation, subjects: list[str], **details: Any) -> Answer:
    return Answer(
        explanation.message,
        details={"reason": explanation.reason, "fix": explanation.fix} | details,
        subjects=subjects,
    )


HANDLERS: Mapping[type[Any], CommandHandler] = {Explain: on_explain}
SNAPSHOT = frozenset({"explain"})
