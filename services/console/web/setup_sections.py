"""The tables of Set-up: what each shows, and which commands edit it.

A new kind of settings is a `SettingsTable` here, with its columns in `columns` and its query in
`queries`; its forms are in `setup_edits`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.console.columns import Column
from services.console.columns import setup as setup_columns
from services.console.columns.assignments import ASSIGNMENTS, due
from services.console.columns.catalog import CATALOG
from services.console.columns.charges import CHARGES
from services.console.columns.debtors import VERSIONS, table_row
from services.console.columns.ledgers import STATUS, status_cells
from services.console.columns.options import OPTIONS, option_cells
from services.console.columns.reminders import SETTINGS, settings_cells
from services.console.columns.retainers import RETAINERS
from services.console.columns.time_groups import GROUPS, group_cells
from services.console.columns.workflows import WORKFLOWS, workflow_cells
from services.console.queries import setup_pages as pages
from services.console.queries.amounts import with_money
from services.console.queries.companies import catalog, companies, companies_today
from services.console.queries.debtors import time_groups
from services.console.queries.deliveries import ledgers
from services.console.queries.invoice_options import invoice_options
from services.console.queries.reminders import reminder_settings
from services.console.queries.snapshot import ReadConnection, Row
from services.console.queries.workflows import workflows
from shared.cycles import Span, TimeGroup, cycles_from

CYCLES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address asks for: billing companies, a part of a text, the key of the page before,
    and how many rows.
    """

    companies: Sequence[str]
    text: str | None = None
    after: Sequence[str] | None = None
    limit: int = 100


Found = tuple[list[Row], list[str] | None]
"""Rows as tables show them, and the key after which the next page begins."""


@dataclass(frozen=True, slots=True)
class SettingsTable:
    """A table of settings.

    `edit`: the command that changes a row, with `keys`, the fields that name it; `new` adds one,
    unless a file or the ATS does. `also`: further commands of a row with their labels. `upload`:
    the name of its CSV file.
    """

    name: str
    title: str
    about: str
    columns: Sequence[Column]
    read: Callable[[ReadConnection, Asked], Awaitable[Found]]
    empty: str
    edit: str = ""
    keys: tuple[str, ...] = ()
    new: str = ""
    also: tuple[tuple[str, str], ...] = ()
    upload: str = ""


async def _stored(connection: ReadConnection, source: pages.PagedView, asked: Asked) -> Found:
    """A page that the database finds, as it is stored."""
    return await pages.page_of(
        connection,
        source,
        asked.companies,
        text=asked.text,
        after=asked.after,
        limit=asked.limit,
    )


def _of_companies(rows: list[Row], asked: Asked) -> list[Row]:
    """The rows of the billing companies that are asked for."""
    return [row for row in rows if row["billing_company"] in asked.companies]


def _chosen(rows: list[Row], asked: Asked, *names: str) -> list[Row]:
    """The rows that have the text in one of these fields."""
    wanted = (asked.text or "").lower()
    return [row for row in rows if any(wanted in str(row[name]).lower() for name in names)]


def _page(rows: list[Row], asked: Asked, *keys: str) -> Found:
    """The rows after a key, in the order of their keys."""
    rows = sorted(rows, key=lambda row: [str(row[each]) for each in keys])
    if asked.after is not None:
        rows = [row for row in rows if [str(row[each]) for each in keys] > list(asked.after)]
    more = len(rows) > asked.limit
    rows = rows[: asked.limit]
    return rows, [str(rows[-1][each]) for each in keys] if more else None


async def _companies(connection: ReadConnection, asked: Asked) -> Found:
    rows = [row for row in await companies(connection) if row["billing_company"] in asked.companies]
    shown = _chosen(
        [setup_columns.company_cells(row) for row in rows], asked, *("billing_company", "name")
    )
    return _page(shown, asked, "billing_company")


async def _debtors(connection: ReadConnection, asked: Asked) -> Found:
    rows, after = await _stored(connection, pages.TERMS, asked)
    return [table_row(pages.terms_row(row)) for row in rows], after


async def _time_groups(connection: ReadConnection, asked: Asked) -> Found:
    todays = await companies_today(connection)
    today = max(todays.values(), default=None)
    rows = []
    for row in _chosen(await time_groups(connection), asked, "time_group"):
        spans = tuple(Span(one["first_day"], one["last_day"]) for one in row["periods"])
        group = TimeGroup(row["time_group"], row["cycle"], row["ends_on"], row["anchor"], spans)
        cyclic = today is not None and row["cycle"] != "non-date"
        coming = cycles_from(group, today, CYCLES_SHOWN) if cyclic and today else []
        rows.append(group_cells(row) | {"next_cycles": "; ".join(map(str, coming))})
    return _page(rows, asked, "time_group")


async def _catalog(connection: ReadConnection, asked: Asked) -> Found:
    rows = _chosen(await catalog(connection), asked, "item_id", "name", "item_class", "family")
    return _page(rows, asked, "item_class", "family", "variant", "item_id")


async def _assignments(connection: ReadConnection, asked: Asked) -> Found:
    rows, after = await _stored(connection, pages.ASSIGNMENTS, asked)
    found = [pages.assignment_row(row) for row in rows]
    return [row | {"due": due(row["schedule"])} for row in found], after


async def _charges(connection: ReadConnection, asked: Asked) -> Found:
    rows, after = await _stored(connection, pages.CHARGES, asked)
    return [pages.charge_row(row) for row in rows], after


async def _retainers(connection: ReadConnection, asked: Asked) -> Found:
    rows, after = await _stored(connection, pages.RETAINERS, asked)
    figures = ("amount", "set_off", "kept", "credited", "undecided")
    return [with_money(row, *figures) for row in rows], after


async def _rates(connection: ReadConnection, asked: Asked) -> Found:
    return await _stored(connection, pages.REQUIREMENTS, asked)


async def _options(connection: ReadConnection, asked: Asked) -> Found:
    rows = [
        row
        for row in await invoice_options(connection)
        if row["billing_company"] in asked.companies
    ]
    shown = [option_cells(row) for row in _chosen(rows, asked, "name")]
    return _page(shown, asked, "billing_company", "name", "from_date")


async def _workflows(connection: ReadConnection, asked: Asked) -> Found:
    newest = {row["name"]: row for row in reversed(await workflows(connection))}
    rows = [workflow_cells(row) for row in newest.values()]
    return _page(_chosen(rows, asked, "name"), asked, "name")


async def _ledgers(connection: ReadConnection, asked: Asked) -> Found:
    rows = _of_companies(await ledgers(connection), asked)
    return _page([status_cells(row) for row in _chosen(rows, asked, "ledger")], asked, "ledger")


async def _reminders(connection: ReadConnection, asked: Asked) -> Found:
    rows = [row for one in asked.companies for row in await reminder_settings(connection, one)]
    shown = [settings_cells(row) | {"named": row["account_name"]} for row in rows]
    return _page(_chosen(shown, asked, "account_name"), asked, "billing_company", "named")


def row_fields(section: SettingsTable, row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that name a row in the address of its form."""
    names = {"account_name": "named"} if section.name == "reminders" else {}
    return {key: row[names.get(key, key)] for key in section.keys}


SECTIONS = (
    SettingsTable(
        "companies", "Billing companies", "The legal entities that issue invoices.",
        setup_columns.COMPANIES, _companies,
        "No billing company yet. Add one, or import a file of the ATS.",
        "set-billing-company", ("billing_company",), "Add a billing company",
        (("set-mail-account", "Mail account"), ("set-opening-number", "Last number")), "tax",
    ),
    SettingsTable(
        "debtors", "Debtors and terms",
        "What differs for a debtor from the defaults of its billing company, from a date on.",
        VERSIONS, _debtors, "Every debtor has the defaults of its billing company. Set the terms"
        " of one, or upload a file of many.",
        "set-debtor-terms", ("billing_company", "account_name"), "Set terms", (), "debtors",
    ),
    SettingsTable(
        "time-groups", "Billing cycles", "When debtors are billed; debtors and billing companies"
        " name one.",
        [*GROUPS, setup_columns.NEXT_CYCLES], _time_groups, "No billing cycle yet. Add one, such"
        " as weekly, which ends on sunday.",
        "set-time-group", ("time_group",), "Add a billing cycle",
    ),
    SettingsTable(
        "catalog", "Catalog", "What is sold besides time, by class, family and variant.",
        CATALOG, _catalog, "No product yet. Add one, or upload a file of many.",
        "set-catalog-item", ("item_id",), "Add a product", (), "catalog",
    ),
    SettingsTable(
        "assignments", "Assignments", "What a company, client or office is billed for on due"
        " dates.",
        ASSIGNMENTS, _assignments, "Nothing is assigned yet. Assign a product, or upload a file.",
        "set-assignment", ("assignment_id",), "Assign a product",
        (("end-assignment", "End"), ("confirm-assignment", "Confirm a price")), "assignments",
    ),
    SettingsTable(
        "rates", "Bill rates", "Requirements of the ATS; the rate versions of each, and what a"
        " change does to invoiced lines.",
        setup_columns.REQUIREMENTS, _rates, "No requirement meets this. The ATS sends them.",
        "set-bill-rate", ("requirement_id",), "", (("rates-impact", "Impact"),), "rates",
    ),
    SettingsTable(
        "charges", "Charges", "Expenses and other things that a debtor is billed by hand.",
        CHARGES, _charges, "No charge yet. Add one, or upload a file of many.",
        "add-charge", ("charge_id",), "Add a charge", (), "charges",
    ),
    SettingsTable(
        "retainers", "Retainers", "What placements take off retainers, and what is left.",
        RETAINERS, _retainers, "No retainer: a requirement of the ATS may have one.",
        "settle-retainer", ("requirement_id",),
    ),
    SettingsTable(
        "options", "Invoice options and grouping", "Where the items of engagements go, and in what"
        " groups.",
        OPTIONS, _options, "No option: documents are made without. Add one.",
        "set-invoice-option", ("billing_company", "name"), "Add an option",
    ),
    SettingsTable(
        "workflows", "Approval workflows", "Who approves drafts, step by step; invoice options name"
        " a workflow.",
        WORKFLOWS, _workflows, "No workflow yet. Add one, and name it in an invoice option.",
        "set-workflow", ("name",), "Add a workflow",
    ),
    SettingsTable(
        "ledgers", "Accounting systems", "Connections, their state, and their mapping.",
        STATUS, _ledgers, "No accounting system is connected. Choose its kind to connect one.",
        "connect-ledger", ("ledger",), "",
        (("test-ledger", "Test"), ("poll-ledger", "Read payments"),
         ("disconnect-ledger", "Disconnect")),
    ),
    SettingsTable(
        "reminders", "Reminders", "Who is reminded of overdue invoices by e-mail, and when.",
        SETTINGS, _reminders, "Reminders are off: nothing is set. Set them for a billing company.",
        "set-reminders", ("billing_company", "account_name"), "Set reminders",
    ),
)  # fmt: skip
"""The tables in the order of the page; that of schedules follows when they are there."""
