"""Why an amount is what it is, from the hours to the payment, and why something is not billed."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Form
from fastapi.responses import HTMLResponse, Response

from services.console.columns.batches import line_cells
from services.console.columns.invoices import HISTORY
from services.console.columns.pay_lines import LINES
from services.console.columns.rates import RATES, rate_cells
from services.console.queries.companies import companies_today
from services.console.queries.document_ids import companies_of, is_pay_line, kinds_of
from services.console.queries.history import history
from services.console.queries.pay_lines import (
    STATUSES,
    company_of_lines,
    held_document,
    pay_lines,
)
from services.console.queries.rates import company_of_requirement, rates
from services.console.queries.why import why
from services.console.web.pages import OpenPage, Outcome, Page
from shared.errors import Refused

router = APIRouter()
MOST_HISTORY, MOST_LINES, MOST_RATES = 200, 500, 200
NOTHING_TYPED = {"what": "quantity", "value": "", "reason": ""}


@router.get("/pay-lines/none")
async def no_line(page: OpenPage) -> HTMLResponse:
    """The panel, closed."""
    return HTMLResponse("")


@router.get("/pay-lines/{pay_line_id}")
async def show_line(page: OpenPage, pay_line_id: int) -> HTMLResponse:
    """Everything about one amount; only the panel if htmx asks for it."""
    return await line_page(page, pay_line_id)


async def line_page(
    page: Page,
    pay_line_id: int,
    outcome: Outcome | None = None,
    typed: Mapping[str, str] | None = None,
) -> HTMLResponse:
    """The page of a line, with what was typed and why it was refused."""
    found = await page.read(why, pay_line_id)
    company = page.require_company(found.line["billing_company"])
    refusal = outcome.refusal if outcome else None
    is_panel = bool(page.request.headers.get("HX-Request"))
    return page.show(
        "why/line.html",
        "panel" if is_panel else None,
        400 if refusal and not is_panel else 200,
        why=found,
        line=found.line,
        open=found.line["place"]["is"] == "open",
        invoiced=found.line["place"]["is"] == "invoiced",
        address=lambda step: address_of(page, step.link, company),
        may_edit=page.identity.may("edit-pay-line", company),
        may_hold=page.identity.may("snooze-pay-lines", company),
        is_panel=is_panel,
        refusal=refusal,
        typed=typed or NOTHING_TYPED,
    )


@router.post("/why-not")
async def why_not(
    page: OpenPage,
    form_id: Annotated[str, Form()],
    what: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    """Ask the invoicer for the one reason why a document or a line is not billed."""
    what = what.strip()
    subject: dict[str, Any] = {"document_id": what}
    if what.isascii() and what.isdecimal() and len(what) < 18:
        number = int(what)
        if await page.read(is_pay_line, number):
            page.require_company(await page.read(company_of_lines, [number]))
            subject = {"pay_line_id": number}
    if "document_id" in subject:
        await _visible(page, what)
    outcome = await page.act(form_id, "explain", **subject)
    if not outcome.accepted and not outcome.refusal:
        return page.to_command(outcome, then=page.link("/pay-lines"))
    message = outcome.result["message"] if outcome.result else ""
    block = "answer" if page.request.headers.get("HX-Request") else None
    return page.show(
        "why/not.html",
        block,
        what=what,
        message=message,
        facts=[
            (name.replace("_", " "), value)
            for name, value in outcome.details.items()
            if isinstance(value, str | int | float) and str(value) != message
        ],
        refusal=outcome.refusal,
        is_line="pay_line_id" in subject,
    )


@router.get("/documents/{document_id:path}")
async def show_document(page: OpenPage, document_id: str) -> HTMLResponse:
    """A source document: its hold, its lines, and everything that happened to it."""
    await _visible(page, document_id)
    async with page.snapshot() as connection:
        kinds = await kinds_of(connection, document_id)
        held = await held_document(connection, document_id)
        todays = await companies_today(connection)
        seen = {one: today for one, today in todays.items() if page.identity.sees(one)}
        rows, total = await pay_lines(
            connection, seen, MOST_LINES, statuses=STATUSES, document=document_id
        )
        entries = await history(connection, document_id, MOST_HISTORY)
    return page.show(
        "why/document.html",
        document_id=document_id,
        kinds=kinds,
        held=held,
        rows=[line_cells(row) for row in rows],
        total=total,
        columns=LINES,
        links={
            name: lambda row: page.link(f"/pay-lines/{row['pay_line_id']}")
            for name in ("pay_line_id", "amount")
        },
        entries=entries,
        history_columns=HISTORY,
        may_retry=page.identity.may("retry-document"),
    )


@router.get("/rates/{requirement_id:path}")
async def show_rates(page: OpenPage, requirement_id: str) -> HTMLResponse:
    """The rate versions of a requirement, who set each, and who confirmed it."""
    async with page.snapshot() as connection:
        company = page.require_company(await company_of_requirement(connection, requirement_id))
        found = await rates(connection, requirement_id, MOST_RATES)
    return page.show(
        "why/rates.html",
        requirement_id=requirement_id,
        may_set=page.identity.may("set-bill-rate", company),
        here=page.link(f"/rates/{requirement_id}"),
        rows=[rate_cells(row) for row in found],
        columns=RATES,
    )


def address_of(page: Page, link: tuple[str, str] | None, company: str) -> str | None:
    """Where a step can be looked at."""
    if link is None:
        return None
    kind, subject = link
    match kind:
        case "document":
            return page.link(f"/documents/{subject}")
        case "requirement":
            return page.link(f"/rates/{subject}")
        case "batch":
            return page.link(f"/batches/{subject}")
        case "debtor":
            return page.link("/pay-lines", account_name=subject, company=company)
        case _:
            return page.link(f"/invoices/{subject}", company=company)


async def _visible(page: Page, document_id: str) -> None:
    """Refused if the document belongs to billing companies that he does not see."""
    companies = await page.read(companies_of, document_id)
    if companies and not any(page.identity.sees(one) for one in companies):
        page.require_company(companies[0])
    if not companies and not page.identity.sees(""):
        raise Refused(
            "unknown_document",
            f"no document {document_id} of your billing companies is known",
            "check its id",
        )
