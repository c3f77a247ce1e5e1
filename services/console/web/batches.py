"""List Batches, the first screen: what is pending, and the batches that were generated."""

from typing import Annotated, Any

from fastapi import APIRouter, Form
from fastapi.responses import HTMLResponse, Response

from services.console.columns import Column
from services.console.columns.batches import (
    BATCHES,
    DOCUMENTS,
    DOWNLOADS,
    PARKED,
    TOTALS,
    number_range,
    total_of,
    with_hours,
)
from services.console.queries import batches as queries
from services.console.queries.companies import companies_today
from services.console.queries.pay_lines import held_counts, pending_amounts, scheduled_amounts
from services.console.queries.snapshot import Row
from services.console.web.pages import OpenPage, Page, Refusal, Screen

SCREEN = Screen("Batches", "/batches")
router = APIRouter()
SCHEDULED_DAYS = 30
FIRST_BATCHES, MOST_BATCHES = 50, 1_000
FORMATS = {
    "pdf": "PDF",
    "csv": "CSV",
    "xlsx": "Excel",
    "ubl": "UBL e-invoices",
    "pdfa": "PDF with the e-invoice",
    "iif": "IIF",
}
PROGRESS = [Column("synced", "synced"), Column("mailed", "e-mailed")]


@router.get("/batches")
async def list_batches(page: OpenPage) -> HTMLResponse:
    """The pending card and the table of batches."""
    limit = MOST_BATCHES if page.query("all") else FIRST_BATCHES
    async with page.snapshot() as connection:
        rows = await queries.batches(connection, page.company, limit + 1)
        progress = await queries.batch_progress(connection, [row["batch_id"] for row in rows])
        todays = await companies_today(connection, page.company)
        seen = {one: today for one, today in todays.items() if page.identity.sees(one)}
        pending = await pending_amounts(connection, seen)
        scheduled = await scheduled_amounts(connection, seen, SCHEDULED_DAYS)
        held = await held_counts(connection, page.company)
    rows = [row for row in rows if page.identity.sees(row["billing_company"])]
    shown = [_row(row, progress.get(row["batch_id"], {})) for row in rows[:limit]]
    links = dict.fromkeys(
        ("batch_id", "numbers"), lambda row: page.link(f"/batches/{row['batch_id']}")
    )
    return page.show(
        "batches/list.html",
        rows=shown,
        more=len(rows) > limit,
        columns=[*BATCHES, *PROGRESS],
        links=links,
        pending=_cards(pending, scheduled),
        held=[row for row in held if page.identity.sees(row["billing_company"])],
        days=SCHEDULED_DAYS,
    )


@router.get("/batches/{batch_id}")
async def batch(page: OpenPage, batch_id: str) -> HTMLResponse:
    """One batch with its totals, documents, parked debtors and downloads."""
    return await _show(page, batch_id)


@router.post("/batches/{batch_id}/sync")
async def sync(page: OpenPage, batch_id: str, form_id: Annotated[str, Form()]) -> Response:
    """Deliver the documents of a batch that are not delivered yet."""
    company = (await page.read(queries.batch, batch_id))["billing_company"]
    outcome = await page.act(
        form_id, "sync-batch", billing_company=page.require_company(company), batch_id=batch_id
    )
    if outcome.refusal is not None:
        return await _show(page, batch_id, outcome.refusal)
    if outcome.accepted:
        return page.redirect(f"/batches/{batch_id}")
    return page.to_command(outcome, page.link(f"/batches/{batch_id}"))


async def _show(page: Page, batch_id: str, refusal: Refusal | None = None) -> HTMLResponse:
    async with page.snapshot() as connection:
        found = await queries.batch(connection, batch_id)
        page.require_company(found["billing_company"])
        documents = await queries.batch_documents(connection, batch_id, 1_000)
        hours = await queries.batch_hours(connection, batch_id)
        progress = await queries.batch_progress(connection, [batch_id])
        parked = await queries.parked_debtors(connection, batch_id)
        downloads = await queries.batch_downloads(connection, batch_id)
    company = found["billing_company"]
    return page.show(
        "batches/one.html",
        status=200 if refusal is None else 409,
        batch=_row(found, progress.get(batch_id, {})),
        totals=with_hours(found["totals"], hours),
        totals_columns=TOTALS,
        documents=documents,
        document_columns=DOCUMENTS,
        links={
            "invoice_number": lambda row: page.link(
                f"/invoices/{row['invoice_number']}", company=company
            )
        },
        parked=parked,
        parked_columns=PARKED,
        downloads=downloads,
        formats=FORMATS,
        refusal=refusal,
        may_download=page.identity.may("record-download", company),
        may_sync=page.identity.may("sync-batch", company),
        download_columns=DOWNLOADS,
    )


def _row(row: Row, progress: Row) -> Row:
    """A batch as the table shows it."""
    synced, mailed = (
        f"{progress[done]:,} of {progress[number]:,}" if progress.get(number) else None
        for number, done in (("deliveries", "synced"), ("mails", "mailed"))
    )
    shown = {"numbers": number_range(row), "total": total_of(row)}
    return row | shown | {"synced": synced, "mailed": mailed}


def _cards(pending: list[Row], scheduled: list[Row]) -> list[dict[str, Any]]:
    """What is pending and scheduled of each billing company in each of its currencies."""
    cards: dict[tuple[str, str], dict[str, Any]] = {}
    for rows, taken in (
        (pending, ("amount_timesheets", "amount_products_and_services", "lines")),
        (scheduled, ("amount",)),
    ):
        for row in rows:
            key = (row["billing_company"], row["currency"])
            card = cards.setdefault(
                key,
                {"billing_company": key[0], "currency": key[1], "lines": 0}
                | dict.fromkeys(("amount_timesheets", "amount_products_and_services", "amount")),
            )
            card |= {name: row[name] for name in taken}
    return [cards[key] for key in sorted(cards)]
