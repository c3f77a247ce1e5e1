"""Facts as pricing reads them: requirements, catalog items and billing companies, locked FOR SHARE.

Facts are always locked in the order requirement, catalog item, billing company, retainer (of the
requirements that have one, FOR UPDATE, because pricing changes them), each sorted, and
stubs are inserted before any row of a kind is locked, so that two workers never deadlock.
Engagements are locked after the documents, when their events are known. A worker
that changes a fact locks its row FOR UPDATE and so waits for all that price from it.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.engagements.store import placed_engagements, share_engagements
from services.fee_realizer.facts.store import add_stubs, grouped, rows_of
from services.fee_realizer.requirements.rules import Requirement, StatusFrom
from services.fee_realizer.requirements.store import confirmations, rate_versions
from services.fee_realizer.sources.rules.facts import (
    BillingCompany,
    CatalogItem,
    Facts,
    GuaranteePart,
    Instalment,
)
from services.fee_realizer.sources.store.documents import NamedFacts
from services.fee_realizer.sources.store.retainers import add_retainers
from shared.database import rows
from shared.events.ats import PlacementCreated, Retainer, TimesheetApproved
from shared.sql import named_queries

QUERIES = named_queries(Path(__file__).with_suffix(".sql"))
REQUIREMENTS_KEPT = 10_000


async def lock_facts(
    connection: AsyncConnection,
    named: NamedFacts,
    *,
    lock: bool = True,
    exclusive: bool = False,
) -> Facts:
    """Lock FOR SHARE and read requirements, catalog items, and the companies of both kinds.

    Without `lock` the facts are only read, for previews; missing stubs are inserted all the same.
    `exclusive`: who else prices from these requirements waits, because placements change.
    """
    facts = Facts()
    share = "" if not lock else " FOR NO KEY UPDATE" if exclusive else " FOR SHARE"
    cache = _CACHES.setdefault(connection.sync_engine, _Cache())
    locked = await _lock(
        connection,
        "requirement",
        "SELECT requirement_id, known, billing_company, office_id, job_title, currency, project,"
        " cost_center, po_number, rate_book, CAST(retainer AS text) AS retainer, revision"
        " FROM fee_realizer.requirement"
        f" WHERE requirement_id = ANY(CAST(:ids AS text[])) ORDER BY requirement_id{share}",
        set(named.requirement_ids),
        cache.requirements.keys(),
    )
    retained = [row.retainer for row in locked if row.retainer is not None]
    for row in await _lock(
        connection,
        "catalog_item",
        "SELECT item_id, known, name, amount, currency, percent_of_salary, plan, tax_code,"
        " product_kind, percent_of, guarantee, valid_from, valid_until"
        " FROM fee_realizer.catalog_item WHERE item_id = ANY(CAST(:ids AS text[]))"
        " ORDER BY item_id FOR SHARE",
        {*named.item_ids, *(Retainer.model_validate_json(one).item_id for one in retained)},
        (),
    ):
        facts.items[row.item_id] = CatalogItem(
            **dict(row._mapping) | {"plan": _plan(row.plan), "guarantee": _guarantee(row.guarantee)}
        )
    for row in await _lock(
        connection,
        "billing_company",
        f"{QUERIES['companies']}{' FOR SHARE OF b' if lock else ''}",
        {row.billing_company for row in locked if row.known} | named.company_ids,
        cache.companies,
    ):
        company: list[Any] = [*row[:5], tuple(row.tax_changes), row.time_zone, row.go_live]
        facts.companies[row.billing_company] = BillingCompany(*company)
        if row.known and lock:
            cache.companies.add(row.billing_company)
    await _add_requirements(connection, facts, locked, cache, keep=lock)
    if retained:
        with_retainer = [row.requirement_id for row in locked if row.retainer is not None]
        await add_retainers(connection, facts, with_retainer, lock=lock)
    return facts


@dataclass(slots=True)
class _Cache:
    """Requirements that this process has read, with their rows, and companies that exist.

    A requirement's row has its revision and rate book. Every change of a status raises the first,
    every change of a rate the second, so what was read beside an equal row is still valid. Only
    rows that were locked are kept: those are committed.
    """

    requirements: dict[str, tuple[tuple[Any, ...], Requirement]] = field(default_factory=dict)
    companies: set[str] = field(default_factory=set)


_CACHES: WeakKeyDictionary[Engine, _Cache] = WeakKeyDictionary()


async def _lock(
    connection: AsyncConnection,
    table: str,
    statement: str,
    ids: set[str],
    existing: Collection[str],
) -> list[Any]:
    """Return the rows of all these facts; insert stubs first unless all are among `existing`."""
    if not ids:
        return []
    wanted = sorted(ids)
    if all(one in existing for one in wanted):
        found = await rows(connection, statement, ids=wanted)
        if len(found) == len(wanted):
            return found
    await add_stubs(connection, table, wanted)
    return await rows(connection, statement, ids=wanted)


def _plan(parts: list[dict[str, Any]] | None) -> tuple[Instalment, ...] | None:
    if parts is None:
        return None
    return tuple(Instalment(Decimal(part["share"]), part["day"]) for part in parts)


def _guarantee(parts: list[dict[str, Any]] | None) -> tuple[GuaranteePart, ...]:
    return tuple(GuaranteePart(part["until_day"], Decimal(part["percent"])) for part in parts or ())


async def _add_requirements(
    connection: AsyncConnection, facts: Facts, locked: Sequence[Any], cache: _Cache, *, keep: bool
) -> None:
    """Add the locked requirements; read statuses and rates where the row has changed."""
    changed: list[Any] = []
    for row in locked:
        kept = cache.requirements.get(row.requirement_id)
        if kept is not None and kept[0] == row:
            facts.requirements[row.requirement_id] = kept[1]
        else:
            changed.append(row)
    known = [row.requirement_id for row in changed if row.known]
    found = await rows_of(
        connection,
        "SELECT requirement_id, from_date, status, position_type"
        " FROM fee_realizer.requirement_status WHERE requirement_id = ANY(CAST(:ids AS text[]))"
        " ORDER BY requirement_id, from_date",
        known,
    )
    statuses = grouped(found, StatusFrom)
    rates = await rate_versions(connection, known)
    if len(cache.requirements) + len(known) > REQUIREMENTS_KEPT:
        cache.requirements.clear()
    for row in changed:
        requirement_id = row.requirement_id
        by_date, versions = statuses.get(requirement_id, ()), rates.get(requirement_id, ())
        retainer = row.retainer and Retainer.model_validate_json(row.retainer)
        values: list[Any] = [*row[:-2], retainer, tuple(by_date), tuple(versions)]
        requirement = Requirement(*values)
        facts.requirements[row.requirement_id] = requirement
        if row.known and keep:
            cache.requirements[row.requirement_id] = (tuple(row), requirement)


async def add_engagements(
    connection: AsyncConnection, facts: Facts, events: Iterable[object]
) -> None:
    """Lock FOR SHARE and add the engagements of these documents; their requirements are locked.

    A placement always has the row of its engagement, so that time of its worker finds it.
    """
    ids: set[str] = set()
    workers: set[tuple[str, str]] = set()
    for event in events:
        if isinstance(event, PlacementCreated):
            ids.add(event.engagement_id or event.placement_id)
        elif isinstance(event, TimesheetApproved) and event.engagement_id is not None:
            ids.add(event.engagement_id)
        elif isinstance(event, TimesheetApproved):
            workers.update(
                (entry.requirement_id, event.worker_id)
                for entry in event.entries
                if entry.is_billed
            )
    facts.placed.update(await placed_engagements(connection, workers))
    for placed in facts.placed.values():
        ids.update(each.engagement_id for each in placed)
    facts.engagements.update(await share_engagements(connection, ids - facts.engagements.keys()))


async def add_ended_rates(
    connection: AsyncConnection, facts: Facts, requirement_ids: Iterable[str]
) -> None:
    """Add the versions of earlier rate books and the confirmations, for cited requirements."""
    cited = sorted(set(requirement_ids) & facts.requirements.keys())
    if not cited:
        return
    ended = await rate_versions(connection, cited, ended=True)
    confirmed = await confirmations(connection, cited)
    for requirement_id in ended.keys() | confirmed.keys():
        requirement = facts.requirements[requirement_id]
        facts.requirements[requirement_id] = replace(
            requirement,
            rates=(*requirement.rates, *ended.get(requirement_id, ())),
            confirmations=tuple(confirmed.get(requirement_id, ())),
        )
