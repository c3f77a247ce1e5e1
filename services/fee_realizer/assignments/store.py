"""Assignments in PostgreSQL: their versions, and the occurrences that were made of them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.assignments.rules import Schedule, Version
from services.fee_realizer.facts.store import rows_of
from shared.database import insert_rows, kinds_of, rows, run
from shared.sql import named_queries

QUERIES = named_queries(Path(__file__).with_suffix(".sql"))
OCCURRENCE = kinds_of("assignment_id text, due_date date, revision integer, withdrawn boolean")


class Assignment(NamedTuple):
    """An assignment, the number of its last change, and the change that its occurrences follow."""

    assignment_id: str
    billing_company: str
    version: int
    realized_version: int


async def due_assignments(connection: AsyncConnection, days: int, most: int) -> list[str]:
    """Return assignments that were changed, or have a due date at most `days` ahead without an
    occurrence.

    Today is the watermark of the scheduler: the local date of the billing company, which never goes
    back.
    """
    found = await rows(connection, QUERIES["due_assignments"], days=days, most=most)
    return [row.assignment_id for row in found]


async def lock_assignments(connection: AsyncConnection, ids: Iterable[str]) -> list[Assignment]:
    """Lock assignments in the order of their ids; return those that exist."""
    found = await rows_of(
        connection,
        f"SELECT {', '.join(Assignment._fields)} FROM fee_realizer.assignment"
        " WHERE assignment_id = ANY(CAST(:ids AS text[])) ORDER BY assignment_id FOR UPDATE",
        list(ids),
    )
    return [Assignment(*row) for row in found]


async def company_of(connection: AsyncConnection, assignment_id: str) -> set[str]:
    """Return the billing company of an assignment; none if it is unknown."""
    found = await rows(
        connection,
        "SELECT billing_company FROM fee_realizer.assignment WHERE assignment_id = :id",
        id=assignment_id,
    )
    return {row.billing_company for row in found}


async def company_settings(connection: AsyncConnection, billing_company: str) -> Any | None:
    """Return `known`, `enabled` and the time zone of a billing company; None if there is none."""
    found = await rows(
        connection,
        "SELECT known, enabled, time_zone FROM fee_realizer.billing_company"
        " WHERE billing_company = :id",
        id=billing_company,
    )
    return next(iter(found), None)


async def item_of(connection: AsyncConnection, item_id: str) -> Any | None:
    """Return product kind, amount and currency of a catalog item; None if it is unknown."""
    found = await rows(
        connection,
        "SELECT product_kind, amount, currency FROM fee_realizer.catalog_item"
        " WHERE item_id = :id AND known",
        id=item_id,
    )
    return next(iter(found), None)


async def watermarks(connection: AsyncConnection, companies: Iterable[str]) -> dict[str, date]:
    """Return the scheduler's watermark of each company that has one."""
    found = await rows_of(
        connection,
        "SELECT billing_company, to_date FROM scheduler.due_watermark"
        " WHERE billing_company = ANY(CAST(:ids AS text[]))",
        list(companies),
    )
    return {row.billing_company: row.to_date for row in found}


async def add_assignment(
    connection: AsyncConnection, assignment_id: str, billing_company: str
) -> Assignment:
    """Add an assignment without terms. One that was added meanwhile violates the key."""
    await run(
        connection,
        "INSERT INTO fee_realizer.assignment (assignment_id, billing_company)"
        " VALUES (:id, :company)",
        id=assignment_id,
        company=billing_company,
    )
    return Assignment(assignment_id, billing_company, 0, 0)


async def versions_of(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, list[Version]]:
    """Return the versions of each assignment in their order."""
    found: dict[str, list[Version]] = {}
    for row in await rows_of(
        connection,
        "SELECT assignment_id, version, from_date, until_date, schedule, terms, actor"
        " FROM fee_realizer.assignment_version WHERE assignment_id = ANY(CAST(:ids AS text[]))"
        " ORDER BY assignment_id, version",
        ids,
    ):
        schedule = None if row.schedule is None else schedule_from(row.schedule)
        found.setdefault(row.assignment_id, []).append(
            Version(row.version, row.from_date, row.until_date, schedule, row.terms, row.actor)
        )
    return found


def schedule_values(schedule: Schedule) -> dict[str, Any]:
    """Return a schedule as it is stored."""
    if schedule.anchor is None:
        return {"dates": [str(each) for each in schedule.dates]}
    return {"months": schedule.months, "day": schedule.day, "anchor": str(schedule.anchor)}


def schedule_from(values: Mapping[str, Any]) -> Schedule:
    """Return a stored schedule."""
    if "dates" in values:
        return Schedule(dates=tuple(map(date.fromisoformat, values["dates"])))
    anchor = date.fromisoformat(values["anchor"])
    return Schedule(values["months"], values["day"], anchor)


async def add_version(
    connection: AsyncConnection,
    assignment_id: str,
    version: Version,
    *,
    reason: str,
    command_id: str,
) -> None:
    """Add what an operator set. The background job makes the occurrences follow it."""
    schedule = version.schedule
    await run(
        connection,
        "INSERT INTO fee_realizer.assignment_version (assignment_id, version, from_date,"
        " until_date, schedule, terms, actor, reason, command_id)"
        " VALUES (:id, :version, :from_date, :until_date, CAST(CAST(:schedule AS text) AS jsonb),"
        " CAST(CAST(:terms AS text) AS jsonb), :actor, :reason, :command_id)",
        id=assignment_id,
        version=version.version,
        from_date=version.from_date,
        until_date=version.until_date,
        schedule=None if schedule is None else json.dumps(schedule_values(schedule)),
        terms=None if version.terms is None else json.dumps(version.terms),
        actor=version.actor,
        reason=reason,
        command_id=command_id,
    )
    await set_version(connection, assignment_id, version.version)


async def set_version(connection: AsyncConnection, assignment_id: str, version: int) -> None:
    """Count a change of an assignment."""
    await run(
        connection,
        "UPDATE fee_realizer.assignment SET version = :version WHERE assignment_id = :id",
        id=assignment_id,
        version=version,
    )


async def occurrences_of(
    connection: AsyncConnection, ids: Sequence[str]
) -> dict[str, dict[date, tuple[int, bool]]]:
    """Return the revision of each occurrence, and whether it is withdrawn, by due date."""
    found: dict[str, dict[date, tuple[int, bool]]] = {}
    for row in await rows_of(
        connection,
        f"SELECT {', '.join(OCCURRENCE)} FROM fee_realizer.assignment_occurrence"
        " WHERE assignment_id = ANY(CAST(:ids AS text[])) ORDER BY assignment_id, due_date",
        ids,
    ):
        of_assignment = found.setdefault(row.assignment_id, {})
        of_assignment[row.due_date] = (row.revision, row.withdrawn)
    return found


async def save_occurrences(
    connection: AsyncConnection, found: Iterable[tuple[str, date, int, bool]]
) -> None:
    """Keep the latest revisions of occurrences: assignment, due date, revision, withdrawn."""
    await insert_rows(
        connection,
        "fee_realizer.assignment_occurrence",
        OCCURRENCE,
        found,
        replace="assignment_id, due_date",
    )


async def save_progress(
    connection: AsyncConnection, assignment_id: str, realized_version: int, next_due: date | None
) -> None:
    """Keep which version the occurrences follow, and the first due date without an occurrence."""
    await run(
        connection,
        "UPDATE fee_realizer.assignment SET realized_version = :version, next_due = :next_due"
        " WHERE assignment_id = :id",
        id=assignment_id,
        version=realized_version,
        next_due=next_due,
    )


async def invoices_of(
    connection: AsyncConnection, document_ids: Iterable[str]
) -> dict[str, list[str]]:
    """Return the numbers of the invoices that occurrences are on, by document."""
    found: dict[str, list[str]] = {}
    for row in await rows_of(
        connection,
        "SELECT DISTINCT document_id, invoice_number FROM invoicer.invoiced_line_key"
        " WHERE document_kind = 'assignment' AND document_id = ANY(CAST(:ids AS text[]))"
        " ORDER BY document_id, invoice_number",
        list(document_ids),
    ):
        found.setdefault(row.document_id, []).append(row.invoice_number)
    return found
