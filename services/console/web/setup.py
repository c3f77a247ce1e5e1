"""Set-up: what is set, table by table, each edit by its command, and CSV files with their errors
by line.
"""

import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, StreamingResponse

from services.console.columns.csv import csv_records
from services.console.columns.ledgers import PROBLEMS, ROWS
from services.console.columns.options import GROUPING, grouping_cells
from services.console.columns.setup import NODES, node_cells
from services.console.queries.deliveries import kinds, ledgers
from services.console.queries.invoice_options import country_grouping
from services.console.queries.ledger_maps import mapping_of
from services.console.queries.setup_pages import MOST_CHILDREN, billto_children, billto_path
from services.console.queries.snapshot import Row
from services.console.web import setup_edits as setup_edits  # the forms that it adds
from services.console.web.edit import EDITS
from services.console.web.identity import ALL_COMPANIES
from services.console.web.pages import OpenPage, Page, Screen
from services.console.web.setup_sections import SECTIONS, Asked, SettingsTable, row_fields
from shared.errors import Refused

SCREEN = Screen("Set-up", "/setup")
router = APIRouter()
A_PAGE, A_CHUNK = 100, 1_000
LONGEST = 200
BY_NAME = {section.name: section for section in SECTIONS}


@router.get("/setup")
async def index(page: OpenPage) -> HTMLResponse:
    """The tables, with what each is about."""
    return page.show("setup/index.html", sections=SECTIONS)


@router.get("/setup/billto")
async def billto(page: OpenPage) -> HTMLResponse:
    """The billto hierarchy, read only: the path of a node with the one that wins, and below it."""
    if not page.identity.sees(ALL_COMPANIES):
        raise Refused(
            "other_billing_company",
            "a node belongs to no billing company, and your role is limited to some",
            "ask a person whose role covers all billing companies",
        )
    node, text, after = page.query("node"), _text(page), page.query("after")
    async with page.snapshot() as connection:
        path = await billto_path(connection, node) if node else []
        rows = await billto_children(connection, node, after, text)
    more = rows[MOST_CHILDREN - 1]["node_id"] if len(rows) > MOST_CHILDREN else None
    return page.show(
        "setup/billto.html",
        sections=SECTIONS,
        path=[node_cells(row) for row in path],
        rows=[node_cells(row) for row in rows[:MOST_CHILDREN]],
        columns=NODES,
        links={"node_id": lambda row: page.link("/setup/billto", node=row["node_id"])},
        text=text,
        next_page=page.link("/setup/billto", node=node, text=text, after=more) if more else None,
    )


@router.get("/setup/{name}.csv")
async def table_csv(page: OpenPage, name: str) -> StreamingResponse:
    """All rows that meet the filter, as a CSV file, read as it is downloaded."""
    section = _section(name)

    async def records() -> AsyncIterator[str]:
        after, first = None, True
        async with page.snapshot() as connection:
            while first or after is not None:
                asked = Asked(_companies(page), _text(page), after, A_CHUNK)
                rows, after = await section.read(connection, asked)
                lines = list(csv_records(list(section.columns), rows))
                yield "".join(lines if first else lines[1:])
                first = False

    headers = {"content-disposition": f'attachment; filename="{name}.csv"'}
    return StreamingResponse(records(), media_type="text/csv", headers=headers)


@router.get("/setup/ledgers/{ledger}")
async def ledger(page: OpenPage, ledger: str) -> HTMLResponse:
    """One connection: its settings, its mapping, and what the last test found wrong with it."""
    async with page.snapshot() as connection:
        (found,) = await ledgers(connection, ledger)
        page.require_company(found["billing_company"])
        mapping = await mapping_of(connection, ledger)
    here = page.link(f"/setup/ledgers/{ledger}")
    return page.show(
        "setup/ledger.html",
        sections=SECTIONS,
        ledger=found,
        mapping=mapping,
        columns=ROWS,
        problem_columns=PROBLEMS,
        buttons=_buttons(page, BY_NAME["ledgers"], found, here)
        + _button(page, "import-mapping", "Map codes", found, {"ledger": ledger}, here),
    )


@router.get("/setup/{name}")
async def table(page: OpenPage, name: str) -> HTMLResponse:
    """One table, a page at a time, with the forms that edit it."""
    section, text = _section(name), _text(page)
    asked = Asked(_companies(page), text, _after(page), A_PAGE)
    async with page.snapshot() as connection:
        rows, following = await section.read(connection, asked)
        grouping = await country_grouping(connection) if name == "options" else []
        offered = await kinds(connection) if name == "ledgers" else []
    here = page.link(f"/setup/{name}", text=text)
    after = json.dumps(following) if following else None
    return page.show(
        "setup/table.html",
        sections=SECTIONS,
        section=section,
        rows=rows,
        links=_links(page, section),
        buttons=lambda row: _buttons(page, section, row, here),
        new=page.link(f"/edit/{section.edit}", then=here)
        if section.new and page.identity.may_somewhere(section.edit)
        else None,
        who_may=page.identity.who_may(section.edit),
        may=page.identity.may_somewhere(section.edit),
        kinds=[(each["title"], _connect(page, each["kind"], here)) for each in offered]
        if page.identity.may_somewhere("connect-ledger")
        else [],
        grouping=[
            grouping_cells(row) for row in grouping if page.identity.sees(row["billing_company"])
        ],
        grouping_columns=GROUPING,
        new_grouping=page.link("/edit/set-country-grouping", then=here),
        text=text,
        next_page=page.link(f"/setup/{name}", text=text, after=after) if after else None,
        csv=page.link(f"/setup/{name}.csv", text=text),
        upload=page.link(f"/setup/upload/{section.upload}") if section.upload else None,
        done=page.query("done"),
    )


def _connect(page: Page, kind: str, then: str) -> str:
    """The form that connects a ledger of a kind."""
    return page.link("/edit/connect-ledger", kind=kind, then=then)


def _section(name: str) -> SettingsTable:
    if name not in BY_NAME:
        raise Refused("unknown_table", f"Set-up has no table {name}", "start from /setup")
    return BY_NAME[name]


def _companies(page: Page) -> list[str]:
    return [page.company] if page.company else list(page.companies)


def _text(page: Page) -> str | None:
    return (page.query("text") or "").strip()[:LONGEST].replace("\0", "") or None


def _after(page: Page) -> list[str] | None:
    """The key of the last row of the page before. Refused if it is none."""
    given = page.query("after")
    try:
        found = json.loads(given) if given else None
    except ValueError as error:
        raise Refused("bad_page", "there is no such page", "start from /setup") from error
    return [str(each) for each in found] if isinstance(found, list) else None


def _buttons(page: Page, section: SettingsTable, row: Row, then: str) -> list[tuple[str, str]]:
    """The commands of a row that his roles allow: label and address of the form."""
    fields = row_fields(section, row)
    found = _button(page, section.edit, "Edit", row, fields, then)
    for command, label in section.also:
        keys = EDITS[command].keys
        given = {key: value for key, value in fields.items() if key in keys or not keys}
        found += _button(page, command, label, row, given, then)
    return found


def _button(
    page: Page, command: str, label: str, row: Row, fields: dict[str, Any], then: str
) -> list[tuple[str, str]]:
    company = row.get("billing_company") or ALL_COMPANIES
    if not page.identity.may(command, company):
        return []
    address = page.link(f"/edit/{command}", **fields | {"then": then})
    return [(label, address)]


def _links(page: Page, section: SettingsTable) -> dict[str, Any]:
    return {
        "requirement_id": lambda row: page.link(f"/rates/{row['requirement_id']}"),
        "ledger": lambda row: page.link(f"/setup/ledgers/{row['ledger']}"),
        "node_id": lambda row: page.link("/setup/billto", node=row["node_id"]),
    }
