"""The commands set-assignment, end-assignment and confirm-assignment.

Setting and ending add a version under the assignment's lock; the background job makes the
occurrences follow it. Confirming revises the occurrences that are invoiced at another price.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.assignments import store
from services.fee_realizer.assignments.handlers.realizing import add_occurrences
from services.fee_realizer.assignments.rules import (
    DAY,
    Version,
    changes,
    default_from,
    due_dates,
    first_dates,
    in_force,
    schedule_of,
)
from services.fee_realizer.assignments.store import Assignment
from services.fee_realizer.rates.rules import ImpactRow, sum_impact
from services.fee_realizer.rates.store import stored_impact, with_invoices
from services.fee_realizer.sources.rules.occurrences import Occurrence, not_assignable
from services.fee_realizer.sources.rules.placements import PLACEMENT_PRODUCT
from services.fee_realizer.sources.store.documents import bodies_for, heads_for
from shared import clock, faults
from shared.consumer.commands import Answer
from shared.errors import Refused
from shared.events.commands import ConfirmAssignment, EndAssignment, SetAssignment
from shared.events.commands.assignments import AssignmentTerms
from shared.money import plain
from shared.terms import counted, listed

DATES_SHOWN = 3
SEE_LIST = "see `backoffice assignments list`"


async def companies_of(
    connection: AsyncConnection, command: SetAssignment | EndAssignment | ConfirmAssignment
) -> set[str]:
    """Return the billing company of an assignment, and the one that a command names."""
    found = await store.company_of(connection, command.assignment_id)
    return found | ({command.billing_company} if isinstance(command, SetAssignment) else set())


async def on_set_assignment(connection: AsyncConnection, command: SetAssignment) -> Answer:
    """Set what an assignment bills from a date on, under its lock."""
    assignment_id = command.assignment_id
    today = await _today_of(connection, command.billing_company)
    terms = await _terms_of(connection, command)
    locked = await store.lock_assignments(connection, [assignment_id])
    await faults.point("after_locks")
    assignment = locked[0] if locked else None
    versions = (await store.versions_of(connection, [assignment_id])).get(assignment_id, [])
    _check_unchanged(command, assignment, versions, terms)
    from_date = default_from(command, versions, today)
    before = next((one for one in reversed(in_force(versions)) if one.from_date <= from_date), None)
    schedule = schedule_of(command, from_date, before.schedule if before else None)
    number = assignment.version + 1 if assignment else 1
    version = Version(number, from_date, command.until_date, schedule, terms, command.actor)
    if next(due_dates([version]), None) is None:
        until = f" until {command.until_date}" if command.until_date else ""
        raise Refused(
            "nothing_due",
            f"assignment {assignment_id} would never be due: {schedule} has no date from"
            f" {from_date}{until}",
            "give other dates, or another --from or --until",
        )
    details = {"assignment_id": assignment_id, "assignment": _values(version)}
    if before is not None and before == in_force(versions)[-1] and before[2:5] == version[2:5]:
        return Answer(f"assignment {assignment_id} is unchanged", details, subjects=[assignment_id])
    if assignment is None:
        assignment = await store.add_assignment(connection, assignment_id, command.billing_company)
    done = f"is {'changed' if versions else 'set'}: {_described(version)}"
    after = [*versions, version]
    dates = first_dates([version], from_date - DAY, DATES_SHOWN + 1)
    shown = ", ".join(map(str, dates[:DATES_SHOWN])) + " ..." * (len(dates) > DATES_SHOWN)
    return await _change(
        connection, command, assignment, before, after, f"{done}; due {shown}", details
    )


async def on_end_assignment(connection: AsyncConnection, command: EndAssignment) -> Answer:
    """End an assignment: what is open and due after the date is withdrawn."""
    assignment, versions = await _locked(connection, command.assignment_id)
    last = in_force(versions)[-1]
    first_without = command.last_date + DAY
    details = {"assignment_id": assignment.assignment_id, "last_date": str(command.last_date)}
    if last.schedule is None and last.from_date <= first_without:
        ended = last.from_date - DAY
        if ended == command.last_date:
            message = f"assignment {assignment.assignment_id} is unchanged"
            return Answer(message, details, subjects=[assignment.assignment_id])
        raise Refused(
            "ended_already",
            f"assignment {assignment.assignment_id} ended on {ended} already",
            "set it again to resume it: `backoffice assignments set`",
        )
    version = Version(assignment.version + 1, first_without, actor=command.actor)
    return await _change(
        connection,
        command,
        assignment,
        last,
        [*versions, version],
        f"ends on {command.last_date}",
        details,
    )


async def on_confirm_assignment(connection: AsyncConnection, command: ConfirmAssignment) -> Answer:
    """Apply the newest terms to invoiced occurrences: credited and billed again."""
    assignment, _ = await _locked(connection, command.assignment_id)
    assignment_id = assignment.assignment_id
    if assignment.realized_version < assignment.version:
        raise Refused(
            "being_priced",
            f"the occurrences of assignment {assignment_id} are being priced again",
            "try again in a few seconds",
        )
    stored = await stored_impact(connection, assignment_id, "assignment")
    impact = await with_invoices(
        connection,
        [one for one in stored if one[1].effective_from == command.from_date],
        "assignment",
    )
    if not impact:
        known = sorted({str(change.effective_from) for _, change, _ in stored})
        raise Refused(
            "nothing_to_confirm",
            f"no invoiced occurrence of assignment {assignment_id} has another price than that"
            f" from {command.from_date}; unconfirmed prices are from: {listed(known) or 'none'}",
            SEE_LIST,
        )
    details = _impact_details(assignment_id, impact)
    summary = _impact_summary(impact)
    if command.preview:
        message = f"confirming would change {summary}; nothing was written"
        return Answer(message, details | {"preview": True}, subjects=[assignment_id])
    documents = sorted({row.document_id for row in impact})
    heads = await heads_for(connection, "assignment", documents, lock=False)
    bodies = await bodies_for(
        connection, "assignment", [head.source_revision for head in heads.values()]
    )
    number = assignment.version + 1
    confirmed = [
        Occurrence.model_validate_json(body).model_copy(
            update={"revision": number, "confirmed": True}
        )
        for body in bodies.values()
    ]
    applied = await add_occurrences(connection, confirmed)
    await store.set_version(connection, assignment_id, number)
    return Answer(
        f"the price of assignment {assignment_id} from {command.from_date} is confirmed for"
        f" invoiced occurrences: {summary}; the credits and debits are open lines in a few seconds",
        details,
        after={"confirmed": str(command.from_date)},
        subjects=[assignment_id, *documents, *sorted({r.invoice_number for r in impact} - {""})],
        publish_after=list(applied.publish_now),
        jobs_due=True,
    )


async def _today_of(connection: AsyncConnection, billing_company: str) -> date:
    """Return today of a billing company. Refuses one that is unknown or disabled."""
    company = await store.company_settings(connection, billing_company)
    if company is None or not company.known:
        raise Refused(
            "unknown_billing_company",
            f"there is no billing company {billing_company}",
            "check its spelling, or set it with `backoffice billing-company set`",
        )
    if not company.enabled:
        raise Refused(
            "billing_company_disabled",
            f"billing company {billing_company} is disabled",
            "enable it with `backoffice billing-company set`, or name another",
        )
    return clock.today_of(company.time_zone)


async def _terms_of(connection: AsyncConnection, command: SetAssignment) -> dict[str, Any]:
    """Return the terms of a command with the price. Refuses an item that cannot be assigned."""
    item = await store.item_of(connection, command.item_id)
    if item is None:
        raise Refused(
            "unknown_catalog_item",
            f"there is no catalog item {command.item_id}",
            "check its spelling, or set it with `backoffice catalog import`",
        )
    if item.product_kind == PLACEMENT_PRODUCT:
        message, _, fix = not_assignable(command.item_id).partition("; ")
        raise Refused("product_kind", message, f"{fix}: `backoffice catalog list`")
    terms = command.model_dump(
        mode="json", include=set(AssignmentTerms.model_fields), exclude_defaults=True
    )
    if command.price is None:
        if item.amount is None:
            raise Refused(
                "no_price",
                f"catalog item {command.item_id} has no amount, and the assignment has no price",
                "give --price and --currency",
            )
        terms |= {"price": plain(item.amount), "currency": item.currency}
    return terms


def _check_unchanged(
    command: SetAssignment,
    assignment: Assignment | None,
    versions: Sequence[Version],
    terms: dict[str, Any],
) -> None:
    """Refuse to move an assignment to another billing company or currency."""
    name, fix = f"assignment {command.assignment_id}", "end it, and set another with a new id"
    if assignment is not None and assignment.billing_company != command.billing_company:
        raise Refused(
            "other_billing_company", f"{name} is one of {assignment.billing_company}", fix
        )
    currencies = {one.terms["currency"] for one in versions if one.terms} - {terms["currency"]}
    if currencies:
        raise Refused("other_currency", f"{name} is in {currencies.pop()}", fix)


async def _locked(
    connection: AsyncConnection, assignment_id: str
) -> tuple[Assignment, list[Version]]:
    """Lock an assignment and return it with its versions. Refuses one that is unknown."""
    locked = await store.lock_assignments(connection, [assignment_id])
    await faults.point("after_locks")
    if not locked:
        raise Refused("unknown_assignment", f"there is no assignment {assignment_id}", SEE_LIST)
    return locked[0], (await store.versions_of(connection, [assignment_id]))[assignment_id]


async def _change(
    connection: AsyncConnection,
    command: SetAssignment | EndAssignment,
    assignment: Assignment,
    before: Version | None,
    versions: Sequence[Version],
    done: str,
    details: dict[str, Any],
) -> Answer:
    """Add the last of the versions, and answer what of it concerns invoiced occurrences."""
    assignment_id, version = assignment.assignment_id, versions[-1]
    await store.add_version(
        connection,
        assignment_id,
        version,
        reason=command.reason,
        command_id=command.command_id,
    )
    existing = (await store.occurrences_of(connection, [assignment_id])).get(assignment_id, {})
    last_made = max(existing, default=version.from_date)
    changed = [one for one in changes(versions, existing, last_made) if one.due_date in existing]
    invoices = await store.invoices_of(
        connection, [f"{assignment_id}@{one.due_date}" for one in changed]
    )
    invoiced = [
        {
            "due": str(one.due_date),
            "invoices": invoices[f"{assignment_id}@{one.due_date}"],
            "stays": one.version is None,
        }
        for one in changed
        if f"{assignment_id}@{one.due_date}" in invoices
    ]
    message = f"assignment {assignment_id} {done}"
    if invoiced:
        stay = sum(bool(one["stays"]) for one in invoiced)
        message += f"; of what it changes, {counted(len(invoiced), 'occurrence')} on documents:"
        message += f" {stay} no longer due (credit by hand what is not owed)" * bool(stay)
        message += " and" * bool(stay and len(invoiced) > stay)
        if len(invoiced) > stay:
            message += f" {len(invoiced) - stay} to confirm if the amount differs"
            message += f" (`backoffice assignments confirm {assignment_id}"
            message += f" --from {version.from_date}`)"
    return Answer(
        message,
        details | {"invoiced": invoiced},
        before=_values(before) if before else None,
        after=_values(version),
        subjects=[assignment_id],
        jobs_due=True,
    )


def _values(version: Version) -> dict[str, Any]:
    """Return a version as it is shown in answers and in the history."""
    if version.schedule is None:
        return {"ended_from": str(version.from_date)}
    return {
        "from": str(version.from_date),
        "until": str(version.until_date) if version.until_date else None,
        "due": str(version.schedule),
        **(version.terms or {}),
    }


def _described(version: Version) -> str:
    terms = version.terms or {}
    until = f" until {version.until_date}" if version.until_date else ""
    price = f"{terms['price']} {terms['currency']} of {terms['item_id']}"
    return f"{price} at {terms['node_id']}, {version.schedule} from {version.from_date}{until}"


def _impact_details(assignment_id: str, impact: Sequence[ImpactRow]) -> dict[str, Any]:
    by_document = [
        {
            "document_id": row.document_id,
            "invoice_number": row.invoice_number,
            "account_name": row.account_name,
            "old": plain(row.repricing.old_amount),
            "new": plain(row.repricing.new_amount),
            "currency": row.repricing.currency,
        }
        for row in impact
    ]
    return {
        "assignment_id": assignment_id,
        "occurrences": by_document,
        "totals": sum_impact(impact),
    }


def _impact_summary(impact: Sequence[ImpactRow]) -> str:
    (sums,) = sum_impact(impact)
    documents = counted(len({row.document_id for row in impact}), "occurrence")
    return f"{documents}, {sums['old']} to {sums['new']} {sums['currency']}"
