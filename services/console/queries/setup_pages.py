"""Settings a page at a time, in the order of their keys, and the billto hierarchy."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from services.console.queries.snapshot import ReadConnection, Row, fetch
from shared.stored import as_json

MOST_CHILDREN = 500


@dataclass(frozen=True, slots=True)
class PagedView:
    """A view with its key, in the order of which it is read, and the columns that people search.

    `company`: the column or expression with the billing company.
    """

    view: str
    keys: tuple[str, ...]
    searched: tuple[str, ...]
    company: str = "billing_company"
    columns: str = "*"


TERMS = PagedView(
    "(SELECT t.*, lead(from_date) OVER (PARTITION BY billing_company, account_name"
    " ORDER BY from_date) AS next_from FROM invoicer.console_debtor_terms t) terms",
    ("billing_company", "account_name", "from_date"),
    ("account_name",),
)
CHARGES = PagedView(
    "fee_realizer.console_charge",
    ("charge_id",),
    ("charge_id", "body ->> 'item_id'", "body ->> 'node_id'"),
    "body ->> 'billing_company'",
)
ASSIGNMENTS = PagedView(
    "fee_realizer.console_assignment", ("assignment_id", "from_date"), ("assignment_id",)
)
REQUIREMENTS = PagedView(
    "fee_realizer.console_requirement",
    ("requirement_id",),
    ("requirement_id", "job_title"),
    columns="requirement_id, billing_company, office_id, job_title, currency, closed",
)
RETAINERS = PagedView("fee_realizer.console_retainer", ("requirement_id",), ("requirement_id",))


async def page_of(
    connection: ReadConnection,
    source: PagedView,
    companies: Sequence[str],
    *,
    text: str | None = None,
    after: Sequence[str] | None = None,
    limit: int = 100,
) -> tuple[list[Row], list[str] | None]:
    """Rows of some billing companies after a key; and the key of the last one, if more follow.

    `text`: a part of what people search, in small or capital letters.
    """
    keys = ", ".join(f"CAST({each} AS text)" for each in source.keys)
    marks = ", ".join(f":after_{place}" for place in range(len(source.keys)))
    found = " OR ".join(f"position(lower(:text) IN lower({each})) > 0" for each in source.searched)
    values: dict[str, Any] = {"companies": list(companies), "most": limit + 1}
    query = (
        f"SELECT {source.columns} FROM {source.view}"
        f" WHERE {source.company} = ANY(CAST(:companies AS text[]))"
    )
    if text:
        query, values = f"{query} AND ({found})", values | {"text": text}
    if after is not None and len(after) == len(source.keys):
        query += f" AND ({keys}) > ({marks})"
        values |= {f"after_{place}": value for place, value in enumerate(after)}
    rows = await fetch(connection, f"{query} ORDER BY {keys} LIMIT :most", **values)
    last = [str(rows[limit - 1][each]) for each in source.keys] if len(rows) > limit else None
    return rows[:limit], last


def terms_row(row: Row) -> Row:
    """A version of terms with its last day (None: no end)."""
    until: date | None = row.pop("next_from")
    allowances = as_json(row["allowances"])
    return row | {
        "allowances": allowances,
        "to_date": None if until is None else until - timedelta(days=1),
    }


def charge_row(row: Row) -> Row:
    """A charge with its fields beside each other."""
    return as_json(row.pop("body")) | row  # type: ignore[no-any-return]


def assignment_row(row: Row) -> Row:
    """An assignment with its terms beside each other, and its schedule."""
    return as_json(row.pop("terms")) | row | {"schedule": as_json(row["schedule"])}  # type: ignore[no-any-return]


async def charge(connection: ReadConnection, charge_id: str) -> Row | None:
    """The fields of a charge in force."""
    rows = await fetch(
        connection,
        "SELECT body FROM fee_realizer.console_charge WHERE charge_id = :id",
        id=charge_id,
    )
    return as_json(rows[0]["body"]) if rows else None


async def billto_path(connection: ReadConnection, node_id: str) -> list[Row]:
    """A node and those above it, the highest first. `wins`: its Account Name is the node's debtor,
    the lowest one on the path.
    """
    path: list[Row] = []
    wanted: str | None = node_id
    while wanted and len(path) < 3:
        rows = await fetch(
            connection,
            "SELECT node_id, level, parent_id, name, account_name"
            " FROM invoicer.console_billto_node WHERE node_id = :id",
            id=wanted,
        )
        path += rows
        wanted = rows[0]["parent_id"] if rows else None
    winner = next((row["node_id"] for row in path if row["account_name"]), None)
    return [row | {"wins": row["node_id"] == winner} for row in reversed(path)]


async def billto_children(
    connection: ReadConnection, parent_id: str | None, after: str | None, text: str | None
) -> list[Row]:
    """The nodes below a node, or those at the top, each with its debtor and how many are below it;
    with a text the nodes anywhere that have it in their id, name or Account Name.
    """
    condition = (
        "position(lower(:text) IN lower(concat_ws(' ', n.node_id, n.name, n.account_name))) > 0"
        if text
        else "n.parent_id IS NULL"
        if parent_id is None
        else "n.parent_id = :parent"
    )
    values = {"text": text} if text else {} if parent_id is None else {"parent": parent_id}
    return await fetch(
        connection,
        "SELECT n.node_id, n.level, n.name, n.account_name, d.account_name AS debtor,"
        " (SELECT count(*) FROM invoicer.console_billto_node b WHERE b.parent_id = n.node_id)"
        "   AS below"
        " FROM invoicer.console_billto_node n JOIN invoicer.console_node_debtor d USING (node_id)"
        f" WHERE {condition} AND n.node_id > :after ORDER BY n.node_id LIMIT :most",
        after=after or "",
        most=MOST_CHILDREN + 1,
        **values,
    )
