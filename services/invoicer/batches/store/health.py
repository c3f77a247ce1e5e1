"""Reads the data of the health check after the selection: counts and first ids."""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.rules import reasons
from services.invoicer.batches.rules.health_snapshot import MOST_IDS, CountedIds
from shared.database import rows
from shared.money import written
from shared.sql import named_queries

QUERIES = named_queries(Path(__file__).with_name("health.sql"))


async def counted(connection: AsyncConnection, name: str, /, **values: Any) -> CountedIds:
    """Count the ids that a query of `health.sql` finds, and keep the first of them."""
    found = await rows(
        connection,
        "SELECT CAST(id AS text) AS id, count(*) OVER () AS number"
        f" FROM ({QUERIES[name]}) f ORDER BY f.id LIMIT {MOST_IDS}",
        **values,
    )
    return CountedIds.of(found)


async def lines_out_by(
    connection: AsyncConnection, reason: str, column: Literal["node", "tax_code"]
) -> dict[str, int]:
    """Count the lines that are out for a reason, by billto node or tax code."""
    query = (
        f"SELECT CAST({column} AS text) AS name, count(*) AS lines"
        " FROM selected_line JOIN line_location USING (location_no)"
        " WHERE exclusion_reason = :reason GROUP BY 1 ORDER BY 1"
    )
    found = await rows(connection, query, reason=reasons.number(reason))
    return {row.name: row.lines for row in found}


async def counts(
    connection: AsyncConnection, billing_company: str, very_late: date, today: date
) -> dict[str, CountedIds]:
    """Count what does not depend on the batch, by the code of its rule.

    `very_late`: work before that day is very late. `today`: where the company is.
    """
    found = {
        "very_late_lines": await counted(connection, "very_late_lines", before=very_late),
        "nodes_without_lines": CountedIds(
            (await counted(connection, "nodes_without_lines")).count  # too many to name
        ),
    }
    found["leaver"] = await counted(connection, "leaver", company=billing_company, today=today)
    for code in ("realizations_in_flight", "rate_impact"):
        found[code] = await counted(connection, code, company=billing_company)
    for code in (
        "one_name_two_addresses",
        "parent_of_wrong_level",
        "parent_unknown",
        "dead_letters_open",
    ):
        found[code] = await counted(connection, code)
    return found


async def workflow_counts(
    connection: AsyncConnection, billing_company: str, today: date
) -> dict[str, CountedIds]:
    """Count what is wrong with the approvers of a company's workflows, by the code of its rule."""
    code = "step_without_approver"
    return {
        code: await counted(connection, code, company=billing_company, today=today),
        "approver_field_empty": await counted(connection, "approver_field_empty"),
    }


async def details_of_names(connection: AsyncConnection, names: Sequence[str]) -> list[str]:
    """Return for debtors on nodes with different details what these are: name, address, tax id."""
    found = await rows(connection, QUERIES["details_of_names"], names=list(names))
    return [f"{row.account_name}: {row.details}" for row in found]


async def to_be_priced(connection: AsyncConnection, billing_company: str) -> tuple[CountedIds, int]:
    """Count the documents of the company that wait to be priced again.

    The second value is the age of the oldest wait in seconds.
    """
    found = await rows(
        connection,
        "SELECT id, count(*) OVER () AS number,"
        " CAST(extract(epoch FROM now() - min(since) OVER ()) AS bigint) AS seconds"
        f" FROM ({QUERIES['to_be_priced']}) f ORDER BY id LIMIT {MOST_IDS}",
        company=billing_company,
    )
    return CountedIds.of(found), found[0].seconds if found else 0


async def retainers_left(
    connection: AsyncConnection, billing_company: str, today: date
) -> dict[str, dict[str, str]]:
    """Return what no fee takes of retainers and no one has decided, by code and requirement."""
    left: dict[str, dict[str, str]] = {}
    for row in await rows(
        connection, QUERIES["retainers_left"], company=billing_company, today=today
    ):
        amount = f"{written(row.left_over, row.currency)} {row.currency}"
        left.setdefault(row.code, {})[row.requirement_id] = amount
    return left


async def account_names(connection: AsyncConnection) -> dict[str, bool]:
    """Return all Account Names, each with whether the selection has lines of that debtor."""
    found = await rows(connection, QUERIES["account_names"])
    return {row.account_name: row.selected for row in found}


async def held(connection: AsyncConnection, billing_company: str) -> Mapping[str, CountedIds]:
    """Count the held documents of the company and those without a known company, by code."""
    found = await rows(connection, QUERIES["held"], company=billing_company, most=MOST_IDS)
    return {row.hold_code: CountedIds(row.number, tuple(row.ids)) for row in found}
