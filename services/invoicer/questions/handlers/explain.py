"""Why is this not billed? About a document or a pay line, one reason is answered: the first thing that must change."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.handlers.build_batch import BatchPlan, build, check_health
from services.invoicer.batches.rules import health, reasons
from services.invoicer.batches.rules.grouping import Debtor
from services.invoicer.debtors.rules.cycles import NO_COMPLETE_CYCLE, cycle_with
from services.invoicer.questions.store import explain as explain_store
from shared.consumer.commands import Answer, CommandHandler
from shared.errors import Refused
from shared.events.commands import Explain

MOST_LINES = 100


@dataclass(frozen=True, slots=True)
class Explanation:
    """The one reason, and the message that an operator reads."""

    reason: str
    message: str
    fix: str = ""


async def on_explain(connection: AsyncConnection, command: Explain) -> Answer:
    """Answers one reason for a line, or for a document."""
    if (command.document_id is None) == (command.pay_line_id is None):
        raise Refused(
            "nothing_named",
            "a question is about one document or one pay line",
            "give a document id, or a pay line id",
        )
    if command.pay_line_id is not None:
        return await _about_line(connection, command, command.pay_line_id)
    assert command.document_id is not None
    return await _about_document(connection, command, command.document_id)


async def _about_line(connection: AsyncConnection, command: Explain, pay_line_id: int) -> Answer:
    line = await explain_store.line_of(connection, pay_line_id)
    if line is None:
        raise Refused(
            "not_known",
            f"pay line {pay_line_id} is not known here",
            "see `backoffice pay-lines list`",
        )
    explanation = (await _why_lines(connection, command, [line]))[pay_line_id]
    return _answer(
        explanation,
        [f"pay-line {pay_line_id}", line.document_id],
        pay_line_id=pay_line_id,
        document_id=line.document_id,
    )


async def _about_document(
    connection: AsyncConnection, command: Explain, document_id: str
) -> Answer:
    states = await explain_store.states_of(connection, document_id)
    if not states:
        explanation = Explanation(
            "not_known",
            f"document {document_id} is not known here",
            "see that the ATS sent it: `backoffice dead-letters list`, `backoffice lag`",
        )
        return _answer(explanation, [document_id], document_id=document_id)
    state = states[0]
    blocked = _blocked(state)
    if blocked is not None:
        return _answer(
            blocked,
            [state.document_id],
            document_id=state.document_id,
            document_kind=state.document_kind,
        )
    lines = await explain_store.lines_of_document(
        connection, state.document_kind, state.document_id
    )
    found = await _why_lines(connection, command, [line for line in lines if line.open])
    if found:
        # What stands in the way of most lines comes first; a document whose open lines are all in has nothing in its way.
        out = Counter(
            explanation.reason for explanation in found.values() if explanation.reason != "nothing"
        )
        chosen = out.most_common(1)[0][0] if out else "nothing"
        explanation = next(each for each in found.values() if each.reason == chosen)
        listed = [
            {"pay_line_id": line_id, "reason": each.reason} for line_id, each in found.items()
        ][:MOST_LINES]
        return _answer(
            explanation,
            [state.document_id],
            document_id=state.document_id,
            document_kind=state.document_kind,
            lines=listed,
        )
    numbers = sorted({line.invoice_number for line in lines if line.invoice_number})
    if numbers:
        explanation = Explanation(
            "invoiced",
            f"{document_id} is invoiced: {', '.join(numbers[:5])}{' and more' if len(numbers) > 5 else ''}",
        )
    elif (
        edit := await explain_store.edited_away(connection, state.document_kind, state.document_id)
    ) is not None:
        message = f"{document_id} is worth nothing: {edit.actor} edited away what its latest statement says: {edit.reason}"
        explanation = Explanation(
            "worth_nothing",
            message,
            f"`backoffice pay-lines edit {edit.pay_line_id} --quantity Q --reason TEXT` brings it back",
        )
    else:
        explanation = Explanation(
            "worth_nothing",
            f"{document_id} is worth nothing: its latest statement has no lines",
            "send a revision with hours or fees",
        )
    return _answer(
        explanation,
        [state.document_id],
        document_id=state.document_id,
        document_kind=state.document_kind,
    )


def _blocked(state: Any) -> Explanation | None:
    """What keeps a whole document from being billed before any of its lines is looked at."""
    if state.hold_code:
        return Explanation(
            state.hold_code,
            f"{state.document_id} is held: {state.hold_message}",
            "it is released by itself when that is fixed",
        )
    if state.stale_realization_no is not None:
        return Explanation(
            "in_flight",
            f"{state.document_id} is being priced again, because a batch closed while it was on its way",
            "wait a few seconds",
        )
    if state.realization_no > state.settled_no:
        message = f"statement {state.realization_no} of {state.document_id} is on its way, {state.settled_no or 'none'} is settled"
        return Explanation(
            "in_flight", message, "wait a few seconds; if it stays, look at `backoffice lag`"
        )
    if state.realization_kind == "withheld":
        return Explanation(
            "withheld",
            f"{state.document_id} is withheld: what was open is withdrawn until a later statement comes",
            "`backoffice documents held`",
        )
    return None


async def _why_lines(
    connection: AsyncConnection, command: Explain, lines: Sequence[Any]
) -> dict[int, Explanation]:
    """One reason for each line; the open ones are asked of the same selection that a batch makes."""
    found: dict[int, Explanation] = {}
    for line in lines:
        if line.invoice_number:
            found[line.pay_line_id] = Explanation(
                "invoiced",
                f"pay line {line.pay_line_id} is on {line.invoice_number} of {line.invoice_date}",
            )
        elif line.replaced_by_realization is not None:
            by = f"statement {line.replaced_by_realization} of {line.document_id} took its place"
            if line.replaced_by_realization == line.realization_no:
                by = f"{line.document_id} was settled again after an edit or a credit by hand"
            message = f"pay line {line.pay_line_id} was replaced: {by}"
            found[line.pay_line_id] = Explanation(
                "replaced", message, f"`backoffice why-not {line.document_id}`"
            )
        elif not line.open:
            found[line.pay_line_id] = Explanation(
                "on_a_draft", f"pay line {line.pay_line_id} is on a draft that waits for approval"
            )
    open_lines = [line for line in lines if line.open]
    for company in sorted({line.billing_company for line in open_lines}):
        found |= await _why_open(
            connection,
            command,
            company,
            [line for line in open_lines if line.billing_company == company],
        )
    return found


async def _why_open(
    connection: AsyncConnection, command: Explain, company: str, lines: Sequence[Any]
) -> dict[int, Explanation]:
    # Two companies on one document: the selection of the first is thrown away, with its temporary tables, before the second is made.
    nested = await connection.begin_nested()
    plan = await build(connection, company, command.cut_off_date)
    selected = await explain_store.reasons_of(connection, [line.pay_line_id for line in lines])
    stop = health.refusal(await check_health(connection, plan, full=False))
    await nested.rollback()
    debtors = {debtor.debtor_no: debtor for debtor in plan.debtors}
    found = {}
    for line in lines:
        number, debtor_no = selected[line.pay_line_id]
        reason = reasons.REASONS[number - 1] if number else ""
        snooze = (
            await explain_store.snooze_of(connection, line)
            if reason in (reasons.SNOOZED, reasons.EDIT_MEETS_REVISION)
            else None
        )
        if stop is not None and not reason:
            found[line.pay_line_id] = Explanation(stop.code, stop.message, stop.fix)
        else:
            found[line.pay_line_id] = (
                _snoozed(reason, line, snooze)
                if snooze is not None
                else _open_why(reason, line, plan, debtors.get(debtor_no))
            )
    return found


def _snoozed(reason: str, line: Any, snooze: Any) -> Explanation:
    until = f"until {snooze.until_date}" if snooze.until_date else "until it is released"
    message = f"pay line {line.pay_line_id} is on hold since {snooze.snoozed_at:%Y-%m-%d %H:%M} UTC by {snooze.actor} {until}: {snooze.reason}"
    return Explanation(reason, message, f"`backoffice pay-lines release {line.pay_line_id}`")


def _not_in_cycle(line: Any, plan: BatchPlan, debtor: Debtor | None) -> Explanation:
    """Too late for the cut-off, or for the last cycle that was complete by then."""
    it, cut_off = f"pay line {line.pay_line_id}", plan.cut_off
    group = plan.decisions.time_groups.get(debtor.time_group) if debtor else None
    if debtor is None or group is None or line.week_ending is None:
        by = (
            f"week ending {line.week_ending}"
            if line.week_ending
            else f"effective date {line.effective_date}"
        )
        return Explanation(
            reasons.NOT_IN_CYCLE,
            f"{it} with {by} is after the cut-off {cut_off}",
            "take a later cut-off",
        )
    ended = (
        f"no cycle of time group {group.name} is complete by the cut-off {cut_off}"
        if debtor.window.weeks_to == NO_COMPLETE_CYCLE
        else f"the last cycle of time group {group.name} ({group.words}) that is complete by the cut-off {cut_off} is {debtor.window.cycle}"
    )
    own = cycle_with(group, line.week_ending)
    fix = (
        f"take a cut-off of {own.last_day} or later"
        if own
        else f"add periods: `backoffice time-groups set {group.name} --cycle custom --file ...`"
    )
    return Explanation(
        reasons.NOT_IN_CYCLE, f"{it} has week ending {line.week_ending}: {ended}", fix
    )


def _open_why(reason: str, line: Any, plan: BatchPlan, debtor: Debtor | None) -> Explanation:
    it = f"pay line {line.pay_line_id}"
    if reason == reasons.NOT_IN_CYCLE:
        return _not_in_cycle(line, plan, debtor)
    name, parked, waiting = (
        (debtor.account_name, debtor.parked, debtor.waiting) if debtor else ("", "", "")
    )
    return {
        "": Explanation(
            "nothing", f"nothing stands in its way: {it} is in the next batch up to {plan.cut_off}"
        ),
        reasons.SCHEDULED: Explanation(
            reason, f"{it} is scheduled: its day is {line.effective_date}", "wait for its day"
        ),
        reasons.UNKNOWN_NODE: Explanation(
            reason,
            f"{it} is at billto node {line.billto_node}, which was never sent",
            "let the ATS publish it on billto-changed",
        ),
        reasons.NO_ACCOUNT_NAME: Explanation(
            reason,
            f"{it} is at billto node {line.billto_node}, on whose path no node has an Account Name",
            "give one of them an Account Name in the ATS",
        ),
        reasons.GROUP_NOT_CHOSEN: Explanation(
            reason, f"the batch group of {name} was not chosen", "choose the group, or name none"
        ),
        reasons.DEBTOR_LEFT_OUT: Explanation(
            reason, f"{name} was left out of the batch", "take a batch that leaves nobody out"
        ),
        reasons.DEBTOR_PARKED: Explanation(
            reason,
            f"{name}, the debtor of {it}, is parked: {parked}",
            "fix what it says, then `backoffice batch retry-parked`",
        ),
        reasons.WAITS_FOR_TIMESHEETS: Explanation(
            reason,
            f"{name}, the debtor of {it}, {waiting}",
            "wait for the timesheets, or bill what is in: `--missing-timesheets bill --reason TEXT`",
        ),
        reasons.NO_TAX_RATE: Explanation(
            reason,
            f"the tax code {line.tax_code or 'of the billing company'} of {it} has no rate on {line.effective_date}",
            f"`backoffice billing-company set {line.billing_company} --tax CODE=PERCENT@FROM_DATE`",
        ),
        reasons.ZERO_TOTAL: Explanation(
            reason,
            f"{it} and the lines it would stand with come to zero; they join the next batch",
            "nothing to do",
        ),
    }[reason]


def _answer(explanation: Explanation, subjects: list[str], **details: Any) -> Answer:
    return Answer(
        explanation.message,
        details={"reason": explanation.reason, "fix": explanation.fix} | details,
        subjects=subjects,
    )


HANDLERS: Mapping[type[Any], CommandHandler] = {Explain: on_explain}
SNAPSHOT = frozenset({"explain"})
