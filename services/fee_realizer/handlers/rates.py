"""Bill rates by command: setting one, asking what unconfirmed changes would do to what is invoiced, confirming one.

Open lines are priced again at once, because every document that names the requirement is put in line. Lines on documents keep their price
until the change is confirmed; pricing writes where that is so, and what was not priced yet since the change is priced here, for the answer.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.handlers.pricing import (
    Case,
    Known,
    impact_of,
    known_of,
    named_facts,
    realize,
)
from services.fee_realizer.rules.facts import Facts, RateTable, RateVersion
from services.fee_realizer.rules.impact import Change, Impacted, Moved, moved, summed
from services.fee_realizer.rules.rates import Turned, set_rate, turned_rates
from services.fee_realizer.rules.timesheets import Realized
from services.fee_realizer.store import facts as known_facts
from services.fee_realizer.store import rates
from services.fee_realizer.store.documents import STUB_REVISION, heads_for
from services.fee_realizer.store.requirements import Order, lock_orders
from services.fee_realizer.store.statements import cited_books
from shared import faults
from shared.consumer.commands import Answer, Handle
from shared.errors import Refused
from shared.events.commands import ConfirmRates, RatesImpact, SetBillRate
from shared.money import plain
from shared.terms import counted

DOCUMENTS_AT_ONCE = 500
PRICED_FOR_AN_ANSWER = 5_000
LOOKED_AT_EACH = 50_000
MOST_ROWS = 200
MOST_SUBJECTS = 500
Move = tuple[str, Change, Moved]


async def on_set_bill_rate(connection: AsyncConnection, command: SetBillRate) -> Answer:
    """Turns the rate book under the requirement's lock, and puts its documents in line to be priced again."""
    order = await _lock(connection, command.requirement_id)
    standing = (await known_facts.rate_versions(connection, [command.requirement_id])).get(
        command.requirement_id, []
    )
    turned = set_rate(
        standing, command.time_type, command.effective_from, command.bill_rate, order.rate_book
    )
    before = _in_force(standing, command, order.rate_book)
    after = _in_force(turned_rates(standing, turned), command, turned.book)
    it = f"{command.requirement_id} {command.time_type} from {command.effective_from}"
    details: dict[str, Any] = _named(command)
    details |= {"before": before, "after": after, "rate_book": turned.book}
    if command.preview:
        return await _previewed(connection, command, turned, details)
    if turned.book == order.rate_book:
        return Answer(
            f"the bill rate of {it} was like this before",
            details,
            subjects=[command.requirement_id],
        )
    await rates.turn(connection, command.requirement_id, turned, command.actor)
    queued = await known_facts.queue_dependents(
        connection, "requirement", [command.requirement_id], command.command
    )
    return Answer(
        f"the bill rate of {it} is {plain(command.bill_rate)}; {counted(queued, 'document')} priced again",
        details | {"documents_to_price": queued},
        before=before,
        after=after,
        subjects=[command.requirement_id],
        jobs_due=queued > 0,
    )


async def _previewed(
    connection: AsyncConnection, command: SetBillRate, turned: Turned, details: dict[str, Any]
) -> Answer:
    """What setting the rate would do: to open lines at once, to lines on documents when it is confirmed. Nothing is written."""

    def turn(facts: Facts) -> Facts:
        requirement = facts.requirement(command.requirement_id)
        changed = replace(
            requirement, rates=turned_rates(requirement.rates, turned), rate_book=turned.book
        )
        return Facts(
            facts.requirements | {command.requirement_id: changed}, facts.companies, facts.items
        )

    of_open: list[Move] = []
    of_invoiced: list[Move] = []
    released = 0
    kind = (command.requirement_id, command.time_type)
    async for cases, facts, known in _documents(connection, command.requirement_id, queued=False):
        then = turn(facts)
        for case in cases:
            before, after = realize(case, facts, known), realize(case, then, known)
            if not isinstance(after, Realized):
                continue
            if not isinstance(before, Realized):
                released += 1
                continue
            change = Change(*kind, command.effective_from)
            of_open += [
                (case.head.document_id, change, one)
                for one in moved(before.lines, after.lines)
                if (one.requirement_id, one.time_type) == kind
            ]
            of_invoiced += [
                move
                for move in _moves(case, impact_of(case, then, known, after))
                if (move[1].requirement_id, move[1].time_type) == kind
            ]
    opened, invoiced = (
        [Impacted(*move) for move in of_open],
        await rates.on_documents(connection, of_invoiced),
    )
    details |= {"preview": True, "open": summed(opened), "held_released": released} | _told(
        invoiced
    )
    message = f"open lines: {_words(opened)}, priced again at once; lines on documents: {_words(invoiced)}, when it is confirmed; nothing was written"
    return Answer(message, details, subjects=[command.requirement_id])


async def on_rates_impact(connection: AsyncConnection, command: RatesImpact) -> Answer:
    """Where lines on documents keep another price than the one in force now."""
    count = await rates.impact_count(connection, command.requirement_id)
    if count > LOOKED_AT_EACH:
        changes = await rates.impacts_added_up(connection, command.requirement_id, MOST_ROWS)
        message = f"{counted(count, 'line')} on documents keep another price: too many to look at each; ask for one requirement to see debtors and invoices"
        return Answer(message, {"lines": count, "changes": changes})
    impacted, waiting = await _impacted(connection, command.requirement_id)
    about = f" of {command.requirement_id}" if command.requirement_id else ""
    message = f"lines on documents{about} that keep another price: {_words(impacted)}"
    if waiting:
        message += f"; {counted(waiting, 'document')} still being priced again"
    return Answer(
        message,
        _told(impacted) | {"being_priced": waiting},
        subjects=[command.requirement_id] if command.requirement_id else [],
    )


async def on_confirm_rates(connection: AsyncConnection, command: ConfirmRates) -> Answer:
    """Lets the version in force take its place on documents: each line is credited at its old price and debited at the new one."""
    order = await _lock(connection, command.requirement_id)
    change = Change(command.requirement_id, command.time_type, command.effective_from)
    it = f"{command.requirement_id} {command.time_type} from {command.effective_from}"
    standing = (await known_facts.rate_versions(connection, [command.requirement_id])).get(
        command.requirement_id, []
    )
    days = RateTable.of(standing, command.time_type, order.rate_book).days
    if command.effective_from not in days:
        there = ", ".join(str(day) for day in days) or "none"
        raise Refused(
            "no_such_rate",
            f"there is no bill rate of {it}; its from-dates are: {there}",
            "see `backoffice rates impact`",
        )
    impacted = [
        one
        for one in (await _impacted(connection, command.requirement_id))[0]
        if one.change == change
    ]
    if not impacted:
        raise Refused(
            "nothing_to_confirm",
            f"no line on a document keeps another price than that of {it}",
            "see `backoffice rates impact`",
        )
    details = _named(command) | _told(impacted)
    if command.preview:
        return Answer(
            f"confirming {it} would change {_words(impacted)}; nothing was written",
            details | {"preview": True},
            subjects=[command.requirement_id],
        )
    await rates.add_confirmation(
        connection,
        change,
        order.rate_book,
        actor=command.actor,
        reason=command.reason,
        command_id=command.command_id,
    )
    queued = await known_facts.queue_dependents(
        connection, "requirement", [command.requirement_id], command.command
    )
    named = (
        sorted({one.document_id for one in impacted})[:MOST_SUBJECTS]
        + sorted({one.invoice_number for one in impacted} - {""})[:MOST_SUBJECTS]
    )
    return Answer(
        f"the bill rate of {it} is confirmed for what is invoiced: {_words(impacted)}; the credits and debits are open lines in a few seconds",
        details | {"documents_to_price": queued},
        after={"confirmed": it, "rate_book": order.rate_book},
        subjects=[command.requirement_id, *named],
        jobs_due=queued > 0,
    )


HANDLERS: dict[type[Any], Handle] = {
    SetBillRate: on_set_bill_rate,
    RatesImpact: on_rates_impact,
    ConfirmRates: on_confirm_rates,
}


def _named(command: SetBillRate | ConfirmRates) -> dict[str, Any]:
    return {
        "requirement_id": command.requirement_id,
        "time_type": command.time_type,
        "effective_from": str(command.effective_from),
    }


async def _lock(connection: AsyncConnection, requirement_id: str) -> Order:
    order = (await lock_orders(connection, [requirement_id]))[requirement_id]
    await faults.point("after_locks")
    if not order.known:
        raise Refused(
            "unknown_requirement",
            f"there is no requirement {requirement_id}",
            "look for a misspelling, or send it on requirement-changed first",
        )
    return order


def _in_force(
    versions: Sequence[RateVersion], command: SetBillRate, book: int
) -> dict[str, Any] | None:
    """The version that holds on the command's from-date, in words."""
    found = RateTable.of(versions, command.time_type, book).on(command.effective_from)
    if found is None:
        return None
    version = found[0]
    return {
        "effective_from": str(version.effective_from),
        "bill_rate": plain(version.unit_price),
        "unit": version.unit,
        "source": version.source,
    }


async def _impacted(
    connection: AsyncConnection, requirement_id: str | None
) -> tuple[list[Impacted], int]:
    """What pricing has written, with what is still in line priced here; and how many that were too many for that."""
    waiting = await rates.queued_count(connection, requirement_id)
    moves = await rates.impacts(connection, requirement_id)
    if requirement_id is not None and 0 < waiting <= PRICED_FOR_AN_ANSWER:
        priced: set[str] = set()
        fresh: list[Move] = []
        async for cases, facts, known in _documents(connection, requirement_id, queued=True):
            for case in cases:
                priced.add(case.head.document_id)
                worth = realize(case, facts, known)
                if isinstance(worth, Realized):
                    fresh += [
                        move
                        for move in _moves(case, impact_of(case, facts, known, worth))
                        if move[1].requirement_id == requirement_id
                    ]
        moves = [move for move in moves if move[0] not in priced] + fresh
        waiting = 0
    cited = await cited_books(
        connection, "timesheet", sorted({document_id for document_id, _, _ in moves})
    )
    moves = [
        move
        for move in moves
        if (move[1].requirement_id, move[1].time_type) in cited.get(move[0], ())
    ]  # not what was credited by hand since
    return await rates.on_documents(connection, moves), waiting


async def _documents(
    connection: AsyncConnection, requirement_id: str, *, queued: bool
) -> AsyncIterator[tuple[list[Case], Facts, Known]]:
    """The timesheets that name a requirement, piece by piece, as pricing would have them; nothing is locked."""
    after = ""
    while ids := await rates.documents_of(
        connection, requirement_id, after, DOCUMENTS_AT_ONCE, queued=queued
    ):
        after = ids[-1]
        heads = [
            head
            for head in (await heads_for(connection, "timesheet", ids, lock=False)).values()
            if head.revision > STUB_REVISION
        ]
        facts = await known_facts.lock_facts(connection, *named_facts(heads), lock=False)
        cases = [Case(head, "asked") for head in heads]
        known: Known = await known_of(connection, "timesheet", facts, cases)
        yield cases, facts, known


def _moves(case: Case, found: dict[Change, list[Moved]]) -> list[Move]:
    return [
        (case.head.document_id, change, one) for change, moves in found.items() for one in moves
    ]


def _told(impacted: Sequence[Impacted]) -> dict[str, Any]:
    """What an answer tells of changes: as a whole, by change, by debtor, by document."""
    tables = {
        "totals": summed(impacted),
        "changes": summed(
            impacted,
            "requirement_id",
            "time_type",
            "effective_from",
            "unit",
            "old_price",
            "new_price",
        ),
        "debtors": summed(impacted, "billing_company", "account_name"),
        "invoices": summed(impacted, "billing_company", "account_name", "invoice_number"),
    }
    more = {
        f"more_{name}": len(listed) - MOST_ROWS
        for name, listed in tables.items()
        if len(listed) > MOST_ROWS
    }
    return {"documents": len({one.document_id for one in impacted}), "lines": len(impacted)} | {
        name: listed[:MOST_ROWS] for name, listed in tables.items()
    } | more  # fmt: skip


def _words(impacted: Iterable[Impacted]) -> str:
    found = list(impacted)
    if not found:
        return "none"
    sums = ", ".join(
        f"{total['hours']} h, {total['old']} → {total['new']} {total['currency']}, net {total['net']}"
        for total in summed(found)
    )
    return f"{counted(len({one.document_id for one in found}), 'document')}, {counted(len(found), 'line')}, {sums}"
