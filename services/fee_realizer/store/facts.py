"""Facts as pricing reads them: rows of requirements, billing companies and catalog items, locked FOR SHARE behind stubs.

The order is always requirement, catalog item, billing company, each sorted; stubs are inserted before anything of a kind is locked,
so that two workers never wait for each other in a circle. Whoever changes a fact takes its row FOR UPDATE and so waits for
everybody who prices from it.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.rules.facts import (
    Company,
    Facts,
    Item,
    Part,
    RateVersion,
    Requirement,
    StatusAt,
)
from services.fee_realizer.store.rates import confirmations
from shared.database import rows, run

ORDERS_KEPT = 10_000
_KEYS = {
    "requirement": "requirement_id",
    "catalog_item": "item_id",
    "billing_company": "billing_company",
}


async def add_stubs(connection: AsyncConnection, table: str, ids: Iterable[str]) -> None:
    """Makes a row for each fact that has none, so that it can be locked."""
    key = _KEYS[table]
    await run(
        connection,
        f"INSERT INTO fee_realizer.{table} ({key}) SELECT id FROM unnest(CAST(:ids AS text[])) AS id"
        f" WHERE NOT EXISTS (SELECT FROM fee_realizer.{table} t WHERE t.{key} = id) ORDER BY id ON CONFLICT DO NOTHING",
        ids=sorted(set(ids)),
    )


async def lock_facts(
    connection: AsyncConnection,
    requirement_ids: Iterable[str],
    item_ids: Iterable[str],
    *,
    lock: bool = True,
) -> Facts:
    """Locks what documents are priced from FOR SHARE and reads it: requirements, items, then the companies of the requirements.

    Without `lock` it only looks, for who asks what would be: a fact that is not there is made all the same.
    """
    facts = Facts()
    share = " FOR SHARE" if lock else ""
    seen = _SEEN.setdefault(connection.sync_engine, _Seen())
    locked = await _lock(
        connection,
        "requirement",
        "SELECT requirement_id, known, billing_company, office_id, job_title, currency, project, cost_center, po_number, rate_book, revision"
        f" FROM fee_realizer.requirement WHERE requirement_id = ANY(CAST(:ids AS text[])) ORDER BY requirement_id{share}",
        set(requirement_ids),
        seen.orders.keys(),
    )
    await _lock_items(connection, facts, sorted(set(item_ids)))
    companies = await _lock(
        connection,
        "billing_company",
        "SELECT billing_company, known, enabled, gate FROM fee_realizer.billing_company"
        f" WHERE billing_company = ANY(CAST(:ids AS text[])) ORDER BY billing_company{share}",
        {row.billing_company for row in locked if row.known},
        seen.companies,
    )
    for row in companies:
        facts.companies[row.billing_company] = Company(*row)
        if row.known and lock:
            seen.companies.add(row.billing_company)
    await _add_requirements(connection, facts, locked, seen, keep=lock)
    return facts


@dataclass(slots=True)
class _Seen:
    """What this process has read of facts whose rows are there for good. A requirement's row names its revision and its rate book: who
    changes a status turns the one, who changes a rate the other, so what was read beside an equal row still holds. Only rows that were
    locked are kept: those are committed."""

    orders: dict[str, tuple[tuple[Any, ...], Requirement]] = field(default_factory=dict)
    companies: set[str] = field(default_factory=set)


_SEEN: WeakKeyDictionary[Engine, _Seen] = WeakKeyDictionary()


async def _lock(
    connection: AsyncConnection, table: str, statement: str, ids: set[str], there: Collection[str]
) -> list[Any]:
    """The rows of facts, all of them: stubs are made first, unless all are known to be `there`."""
    if not ids:
        return []
    wanted = sorted(ids)
    if all(an_id in there for an_id in wanted):
        found = await rows(connection, statement, ids=wanted)
        if len(found) == len(wanted):
            return found
    await add_stubs(connection, table, wanted)
    return await rows(connection, statement, ids=wanted)


async def _lock_items(connection: AsyncConnection, facts: Facts, item_ids: Sequence[str]) -> None:
    if not item_ids:
        return
    await add_stubs(connection, "catalog_item", item_ids)
    for row in await rows(
        connection,
        "SELECT item_id, known, name, amount, currency, percent_of_salary, plan, tax_code"
        " FROM fee_realizer.catalog_item WHERE item_id = ANY(CAST(:ids AS text[])) ORDER BY item_id FOR SHARE",
        ids=item_ids,
    ):
        plan = (
            None
            if row.plan is None
            else tuple(Part(Decimal(part["share"]), part["day"]) for part in row.plan)
        )
        facts.items[row.item_id] = Item(
            row.item_id,
            row.known,
            row.name,
            row.amount,
            row.currency,
            row.percent_of_salary,
            plan,
            row.tax_code,
        )


async def _add_requirements(
    connection: AsyncConnection, facts: Facts, locked: Sequence[Any], seen: _Seen, *, keep: bool
) -> None:
    """The locked requirements, with their statuses and the rates of the newest book, read anew where the row has changed."""
    fresh: list[Any] = []
    for row in locked:
        kept = seen.orders.get(row.requirement_id)
        if kept is not None and kept[0] == row:
            facts.requirements[row.requirement_id] = kept[1]
        else:
            fresh.append(row)
    known = [row.requirement_id for row in fresh if row.known]
    statuses: dict[str, list[StatusAt]] = {}
    if known:
        for row in await rows(
            connection,
            "SELECT requirement_id, from_date, status, position_type FROM fee_realizer.requirement_status"
            " WHERE requirement_id = ANY(CAST(:ids AS text[])) ORDER BY requirement_id, from_date",
            ids=known,
        ):
            statuses.setdefault(row.requirement_id, []).append(
                StatusAt(row.from_date, row.status, row.position_type)
            )
    rates = await rate_versions(connection, known) if known else {}
    if len(seen.orders) + len(known) > ORDERS_KEPT:
        seen.orders.clear()
    for row in fresh:
        values: list[Any] = [
            *row[:-1],
            tuple(statuses.get(row.requirement_id, ())),
            tuple(rates.get(row.requirement_id, ())),
        ]
        requirement = facts.requirements[row.requirement_id] = Requirement(*values)
        if row.known and keep:
            seen.orders[row.requirement_id] = (tuple(row), requirement)


async def rate_versions(
    connection: AsyncConnection, requirement_ids: Sequence[str], *, ended: bool = False
) -> dict[str, list[RateVersion]]:
    """The versions of the newest book, or those that have ended."""
    found: dict[str, list[RateVersion]] = {}
    for row in await rows(
        connection,
        "SELECT requirement_id, time_type, effective_from, source, unit_price, unit, since_book, until_book FROM fee_realizer.rate_version"
        f" WHERE requirement_id = ANY(CAST(:ids AS text[])) AND until_book IS {'NOT ' if ended else ''}NULL",
        ids=list(requirement_ids),
    ):
        found.setdefault(row.requirement_id, []).append(RateVersion(*row[1:]))
    return found


async def with_ended_rates(
    connection: AsyncConnection, facts: Facts, requirement_ids: Iterable[str]
) -> None:
    """Adds the versions of earlier rate books and what was confirmed, for documents whose invoiced lines cite them."""
    cited = sorted(set(requirement_ids) & facts.requirements.keys())
    if cited:
        ended = await rate_versions(connection, cited, ended=True)
        confirmed = await confirmations(connection, cited)
        for requirement_id in ended.keys() | confirmed.keys():
            requirement = facts.requirements[requirement_id]
            rates = (*requirement.rates, *ended.get(requirement_id, ()))
            facts.requirements[requirement_id] = replace(
                requirement, rates=rates, confirmed=confirmed.get(requirement_id, ())
            )


async def queue_dependents(
    connection: AsyncConnection, fact_kind: str, fact_ids: Sequence[str], cause: str
) -> int:
    """Puts the documents that name these facts in line to be priced again; call it with the facts locked FOR UPDATE."""
    return await run(
        connection,
        "INSERT INTO fee_realizer.pricing_queue SELECT DISTINCT document_kind, document_id, CAST(:cause AS text) FROM fee_realizer.document_fact"
        " WHERE fact_kind = :kind AND fact_id = ANY(CAST(:ids AS text[])) ORDER BY document_kind, document_id ON CONFLICT DO NOTHING",
        kind=fact_kind,
        ids=list(fact_ids),
        cause=cause,
    )


async def queue_company(connection: AsyncConnection, billing_company: str, cause: str) -> int:
    """Puts the documents of a billing company's requirements in line."""
    return await run(
        connection,
        "INSERT INTO fee_realizer.pricing_queue SELECT DISTINCT f.document_kind, f.document_id, CAST(:cause AS text)"
        " FROM fee_realizer.requirement r JOIN fee_realizer.document_fact f ON f.fact_kind = 'requirement' AND f.fact_id = r.requirement_id"
        " WHERE r.billing_company = :company ORDER BY f.document_kind, f.document_id ON CONFLICT DO NOTHING",
        company=billing_company,
        cause=cause,
    )


def text_array(values: Iterable[str]) -> str:
    """An array as PostgreSQL writes it, for a row of an unnest that has an array itself."""
    quoted = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{value}"' for value in quoted) + "}"
