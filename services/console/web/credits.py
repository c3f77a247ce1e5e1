"""Credit an invoice: choose lines and what becomes of them, look at the effect, then commit."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Form
from fastapi.responses import HTMLResponse, Response

from services.console.columns import Column
from services.console.queries import invoices as queries
from services.console.queries.snapshot import Row
from services.console.web.invoices import find_invoice
from services.console.web.pages import OpenPage, Outcome, Page
from shared.errors import Refused
from shared.json_text import finite_decimal

router = APIRouter()
MOST_LINES = 10_000
EFFECTS = {
    "rebill": "The lines open again, and the next batch bills them again.",
    "write-off": "The amount is forgiven; the lines stay closed.",
    "reissue": "All that is left of the invoice is credited and its lines open again, also what"
    " was written off.",
}
CHOSEN = [
    Column("line_no", "line", ids=True),
    Column("description", most=56),
    Column("credited", "to credit", figures=True),
    Column("quantity_left", "of", figures=True),
    Column("unit", ""),
    Column("amount_left", "net left", figures=True),
]


@router.get("/invoices/{number:path}/credit")
async def choose(page: OpenPage, number: str) -> HTMLResponse:
    """The form; with `check` what it would credit, and the button that commits it."""
    invoice, lines = await _read(page, number)
    return _form(page, invoice, lines, page.request.query_params)


@router.post("/invoices/{number:path}/credit")
async def commit(page: OpenPage, number: str, form_id: Annotated[str, Form()]) -> Response:
    """Send the command; the credit note is closed at once."""
    given = await page.request.form()
    invoice, lines = await _read(page, number)
    chosen = _chosen(lines, given)
    outcome = await page.act(
        form_id,
        "credit-invoice",
        billing_company=invoice["billing_company"],
        invoice_number=number,
        lines=[{"line_no": row["line_no"], "quantity": row["asked"]} for row in chosen]
        if given.get("to") != "reissue"
        else [],
        to=str(given.get("to", "")),
        reason=str(given.get("reason", "")),
        invoice_date=given.get("invoice_date") or None,
    )
    company = invoice["billing_company"]
    if outcome.accepted and (batch_id := outcome.details.get("batch_id")):
        note = outcome.details.get("invoice_number") or outcome.details.get("first_number")
        path = f"/invoices/{note}" if note else f"/batches/{batch_id}"
        return page.redirect(path, company=company)
    if outcome.refusal is not None:
        return _form(page, invoice, lines, given, outcome)
    if outcome.accepted:
        return page.redirect(f"/invoices/{number}", company=company)
    return page.to_command(outcome, page.link(f"/invoices/{number}", company=company))


async def _read(page: Page, number: str) -> tuple[Row, list[Row]]:
    async with page.snapshot() as connection:
        invoice = await find_invoice(page, connection, number)
        if not page.identity.may("credit-invoice", invoice["billing_company"]):
            raise Refused(
                "not_permitted",
                f"to credit an invoice takes the role {page.identity.who_may('credit-invoice')}",
                "ask a person with that role",
            )
        rows = await queries.invoice_lines(connection, invoice["invoice_id"], MOST_LINES)
    return invoice, [row for row in rows if row["quantity_left"]]


def _form(
    page: Page,
    invoice: Row,
    lines: list[Row],
    given: Mapping[str, Any],
    outcome: Outcome | None = None,
) -> HTMLResponse:
    refusal = outcome.refusal if outcome else None
    to = str(given.get("to", ""))
    chosen: list[Row] = []
    try:
        chosen = lines if to == "reissue" else _chosen(lines, given)
    except Refused as refused:
        refusal = refusal or refused  # type: ignore[assignment]
    checked = bool(given.get("check")) and refusal is None
    return page.show(
        "credits/form.html",
        status=200 if refusal is None else 409,
        invoice=invoice,
        lines=lines,
        given=given,
        chosen=[row | {"credited": row.get("asked") or row["quantity_left"]} for row in chosen],
        chosen_columns=CHOSEN,
        net=sum((row["amount_left"] for row in chosen), Decimal()),
        in_part=any(row.get("asked") for row in chosen),
        to=to,
        effects=EFFECTS,
        checked=checked and bool(chosen) and to in EFFECTS,
        missing=checked and (not chosen or to not in EFFECTS),
        refusal=refusal,
        back=page.link(
            f"/invoices/{invoice['invoice_number']}", company=invoice["billing_company"]
        ),
    )


def _chosen(lines: list[Row], given: Mapping[str, Any]) -> list[Row]:
    """The lines that are ticked, each with the quantity that was asked for (None: all of it)."""
    found = []
    for row in lines:
        if not given.get(f"line_{row['line_no']}"):
            continue
        text = str(given.get(f"quantity_{row['line_no']}", "")).strip()
        try:
            asked = finite_decimal(text) if text else None
        except ValueError as error:
            raise Refused(
                "bad_quantity", f"line {row['line_no']}: {text} is no quantity", "type 7.5"
            ) from error
        found.append(row | {"asked": None if asked == row["quantity_left"] else asked})
    return found
