"""Invoices: the list of closed documents with its filters, and one document with all about it."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response, StreamingResponse

from services.console.columns.csv import csv_records
from services.console.columns.deliveries import DELIVERIES
from services.console.columns.invoices import (
    ALLOWANCES,
    CREDITS,
    FEES,
    FOUND,
    HISTORY,
    LINES,
    PAYMENTS,
    STATES,
    TAXES,
    TYPES,
    allowance_row,
    line_row,
)
from services.console.columns.mail import MAILS
from services.console.files.one_document import document_pdf
from services.console.queries import invoices as queries
from services.console.queries.deliveries import deliveries_of
from services.console.queries.history import history
from services.console.queries.mail import document_mails
from services.console.queries.snapshot import Row
from services.console.web.pages import OpenPage, Page, Screen
from shared.errors import Refused
from shared.json_text import finite_decimal

SCREEN = Screen("Invoices", "/invoices")
router = APIRouter()
A_PAGE, A_FILE = 100, 100_000
MOST_LINES = 1_000
DATES = ("since", "until")
TEXTS = ("text", "number", "account_name", "document_type", "state", "batch_id")
PDF_POLICY = (
    b"default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; object-src 'self';"
    b" plugin-types application/pdf; frame-ancestors 'self'"
)


@router.get("/invoices")
async def list_invoices(page: OpenPage) -> HTMLResponse:
    """The documents that meet the filters of the address, a page at a time."""
    found, total = await _search(page, A_PAGE)
    last = found[-1] if len(found) == A_PAGE else None
    after = f"{last['billing_company']} {last['series']} {last['number']}" if last else None
    given = {name: page.query(name) for name in (*TEXTS, *DATES, "amount")}
    return page.show(
        "invoices/list.html",
        rows=found,
        total=total,
        columns=FOUND,
        links=_links(page),
        given=given,
        types=TYPES,
        states=STATES,
        next_page=page.link("/invoices", **given, after=after) if after else None,
        csv=page.link("/invoices.csv", **given),
    )


@router.get("/invoices.csv")
async def invoices_csv(page: OpenPage) -> StreamingResponse:
    """The same documents as a CSV file."""
    found, _ = await _search(page, A_FILE)
    headers = {"content-disposition": 'attachment; filename="invoices.csv"'}
    return StreamingResponse(csv_records(FOUND, found), media_type="text/csv", headers=headers)


@router.get("/invoices/{number:path}/document.pdf")
async def invoice_pdf(page: OpenPage, number: str) -> Response:
    """The PDF of a document, to look at, or to save (`?save=yes`)."""
    async with page.snapshot() as connection:
        found = await find_invoice(page, connection, number)
        content = await document_pdf(connection, found)
    kind = "attachment" if page.query("save") else "inline"
    name = "".join(each if each.isalnum() and each.isascii() else "-" for each in number)
    headers = {
        "content-disposition": f'{kind}; filename="{name}.pdf"',
        "content-security-policy": PDF_POLICY.decode(),
    }
    return Response(content, media_type="application/pdf", headers=headers)


async def find_invoice(page: Page, connection: Any, number: str) -> Row:
    """One document that the person may see. Refused if there is none."""
    found = await queries.invoice(connection, number, page.query("company"))
    page.require_company(found["billing_company"])
    return found


@router.get("/invoices/{number:path}")
async def show_invoice(page: OpenPage, number: str) -> HTMLResponse:
    """One document: lines, taxes, balance, corrections, deliveries, history, and its PDF."""
    async with page.snapshot() as connection:
        found = await find_invoice(page, connection, number)
        invoice_id, company = found["invoice_id"], found["billing_company"]
        about: dict[str, Any] = {
            "lines": await queries.invoice_lines(connection, invoice_id, MOST_LINES),
            "credits": await queries.invoice_credits(connection, invoice_id),
            "payments": await queries.invoice_payments(connection, invoice_id),
            "deliveries": await deliveries_of(connection, invoice_id, number),
            "mails": await document_mails(connection, number, company),
            "history": await history(connection, number, 50),
        }
    return page.show(
        "invoices/one.html",
        invoice=found,
        lines=[line_row(row) for row in about["lines"]],
        credits=[allowance_row(row) for row in about["credits"]],
        about=about,
        columns={
            "lines": LINES,
            "taxes": TAXES,
            "allowances": ALLOWANCES,
            "fees": FEES,
            "credits": CREDITS,
            "payments": PAYMENTS,
            "deliveries": DELIVERIES,
            "mails": MAILS,
            "history": HISTORY,
        },
        links=_links(page, company),
        may_credit=page.identity.may("credit-invoice", company),
        who_may=page.identity.who_may("credit-invoice"),
        pdf=page.link(f"/invoices/{number}/document.pdf", company=company),
        saved_pdf=page.link(f"/invoices/{number}/document.pdf", company=company, save="yes"),
        credit=page.link(f"/invoices/{number}/credit", company=company),
    )


def _links(page: Page, company: str | None = None) -> dict[str, Any]:
    def to_invoice(row: Mapping[str, Any]) -> str:
        where = row.get("billing_company") or company
        return page.link(f"/invoices/{row['invoice_number']}", company=where)

    return {
        "invoice_number": to_invoice,
        "batch_id": lambda row: page.link(f"/batches/{row['batch_id']}"),
        "pay_line_id": lambda row: page.link(f"/pay-lines/{row['pay_line_id']}", company=company),
        "corrects": lambda row: page.link(f"/invoices/{row['corrects_invoice']}", company=company),
    }


async def _search(page: Page, most: int) -> tuple[list[Row], int]:
    """The documents that the address asks for. Refused for a value that cannot be read."""
    given: dict[str, Any] = {name: page.query(name) for name in TEXTS}
    given |= {name: _day(page, name) for name in DATES}
    amount, after = page.query("amount"), page.query("after")
    if amount:
        try:
            given["amount"] = finite_decimal(amount.replace(",", ""))
        except ValueError as error:
            raise Refused("bad_amount", f"{amount} is no amount", "type 1234.50") from error
    if after:
        try:
            place, _, number = after.rpartition(" ")
            company, _, series = place.partition(" ")
            given["after"] = (company, series, int(number))
        except ValueError as error:
            raise Refused("bad_page", "there is no such page", "start from /invoices") from error
    found, total = await page.read(
        queries.invoice_search, billing_company=page.company, limit=most, **given
    )
    return [row for row in found if page.identity.sees(row["billing_company"])], total


def _day(page: Page, name: str) -> date | None:
    text = page.query(name)
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise Refused("bad_date", f"{text} is no date", "type 2026-10-31") from error
