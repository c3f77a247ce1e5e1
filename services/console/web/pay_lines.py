"""Pay lines: what can be billed, filtered by the address, with holds for many at once."""

from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Form
from fastapi.responses import HTMLResponse, Response, StreamingResponse

from services.console.columns.batches import line_cells
from services.console.columns.csv import csv_records
from services.console.columns.pay_lines import ALSO_IN_FILES, LINES, ON_A_PAGE
from services.console.queries import pay_lines as queries
from services.console.queries.companies import companies_today
from services.console.queries.pay_lines import OPEN_STATUSES, SORTS, STATUSES, LineFilter
from services.console.queries.snapshot import Row
from services.console.web.pages import OpenPage, Outcome, Page, Screen
from shared.errors import Refused
from shared.terms import counted

SCREEN = Screen("Pay lines", "/pay-lines")
router = APIRouter()
A_PAGE, A_CHUNK = 100, 2_000
MOST_AT_ONCE = 10_000
"""Lines of one command."""
TEXTS = ("document", "account_name", "worker", "reason", "corrects")
DATES = ("week", "since", "until")
ACTIONS = {"snooze": "snooze-pay-lines", "release": "release-pay-lines"}
WORDS = {"snooze": "Snooze", "release": "Release"}


@router.get("/pay-lines")
async def list_lines(page: OpenPage) -> HTMLResponse:
    """The lines that meet the filters of the address, a page at a time."""
    chosen, sort = _filter(page), _sort(page)
    async with page.snapshot() as connection:
        todays = await _todays(page, connection)
        rows, following = await queries.page_of_lines(
            connection, todays, chosen, sort=sort, after=_after(page, sort), limit=A_PAGE
        )
        totals = None
        if _countable(chosen):
            totals = await queries.line_totals(connection, todays, chosen)
    given = _given(page)
    after = f"{following[0]} {following[1]}" if following else None
    return page.show(
        "pay_lines/list.html",
        rows=[line_cells(row) for row in rows],
        columns=ON_A_PAGE,
        links=_links(page),
        totals=totals,
        given=given,
        statuses=STATUSES,
        chosen_statuses=chosen.statuses,
        sorts=list(SORTS),
        sort=sort,
        filtered={name: value for name, value in given.items() if value},
        next_page=page.link("/pay-lines", **given, after=after) if after else None,
        first_page=page.link("/pay-lines", **given) if page.query("after") else None,
        csv=page.link("/pay-lines.csv", **given),
        may_hold=any(page.identity.may(ACTIONS["snooze"], one) for one in todays),
        who_may=page.identity.who_may(ACTIONS["snooze"]),
        today=max(todays.values(), default=None),
    )


@router.get("/pay-lines.csv")
async def lines_csv(page: OpenPage) -> StreamingResponse:
    """All lines that meet the filters, as a CSV file, read as it is downloaded."""
    chosen, sort = _filter(page), _sort(page)

    async def records() -> AsyncIterator[str]:
        columns, after, first = [*LINES, *ALSO_IN_FILES], None, True
        async with page.snapshot() as connection:
            todays = await _todays(page, connection)
            while first or after is not None:
                rows, after = await queries.page_of_lines(
                    connection, todays, chosen, sort=sort, after=after, limit=A_CHUNK
                )
                lines = list(csv_records(columns, [line_cells(row) for row in rows]))
                yield "".join(lines if first else lines[1:])
                first = False

    headers = {"content-disposition": 'attachment; filename="pay-lines.csv"'}
    return StreamingResponse(records(), media_type="text/csv", headers=headers)


@router.post("/pay-lines/{action}/confirm")
async def confirm(
    page: OpenPage,
    action: str,
    line: Annotated[list[int], Form()] = [],  # noqa: B006 - FastAPI copies it
    every: Annotated[str, Form()] = "",
) -> HTMLResponse:
    """Say what the action will do to the lines that were chosen, and ask for what it needs."""
    _known(action)
    async with page.snapshot() as connection:
        todays = await _todays(page, connection)
        if every:
            line = await _all_of(page, connection, todays)
        chosen = LineFilter(OPEN_STATUSES, lines=line)
        totals = await queries.line_totals(connection, todays, chosen) if line else []
    return _confirmation(page, action, line, totals)


@router.post("/pay-lines/{action}")
async def act(
    page: OpenPage,
    action: str,
    form_id: Annotated[str, Form()],
    lines: Annotated[str, Form()] = "",
    reason: Annotated[str, Form(max_length=500)] = "",
    until: Annotated[str, Form(max_length=10)] = "",
) -> Response:
    """Carry the action out: one command for each billing company of the lines."""
    _known(action)
    ids = [int(each) for each in lines.split(",") if each.isdecimal()]
    async with page.snapshot() as connection:
        todays = await _todays(page, connection)
        companies = await queries.lines_by_company(connection, ids)
        totals = await queries.line_totals(connection, todays, LineFilter(OPEN_STATUSES, lines=ids))
    fields: dict[str, Any] = {"until": until or None} if action == "snooze" else {}
    outcome = Outcome()
    for company, of_company in companies.items():
        outcome = await page.act(
            form_id,
            ACTIONS[action],
            billing_company=page.require_company(company),
            pay_line_ids=of_company,
            reason=reason,
            **fields,
        )
        if not outcome.accepted:
            break
    if outcome.refusal or not companies:
        return _confirmation(page, action, ids, totals, outcome, reason, until)
    if not outcome.accepted:
        return page.to_command(outcome, then=page.link("/pay-lines"))
    return page.redirect("/pay-lines", status="Snoozed" if action == "snooze" else None)


@router.post("/pay-lines/{pay_line_id}/edit")
async def edit(
    page: OpenPage,
    pay_line_id: int,
    form_id: Annotated[str, Form()],
    what: Annotated[str, Form()] = "quantity",
    value: Annotated[str, Form(max_length=40)] = "",
    reason: Annotated[str, Form(max_length=500)] = "",
) -> Response:
    """Change the quantity or the amount of an open line; the difference is kept."""
    from services.console.web.why import line_page

    company = page.require_company(await page.read(queries.company_of_lines, [pay_line_id]))
    changed: dict[str, Any] = {"amount" if what == "amount" else "quantity": value.strip() or None}
    outcome = await page.act(
        form_id,
        "edit-pay-line",
        billing_company=company,
        pay_line_id=pay_line_id,
        reason=reason,
        **changed,
    )
    if outcome.refusal:
        typed = {"what": what, "value": value, "reason": reason}
        return await line_page(page, pay_line_id, outcome, typed)
    if not outcome.accepted:
        return page.to_command(outcome, then=page.link(f"/pay-lines/{pay_line_id}"))
    # The line is realized again and has another id.
    return page.redirect(f"/documents/{outcome.details['document_id']}")


def _confirmation(
    page: Page,
    action: str,
    line: list[int],
    totals: list[Row],
    outcome: Outcome | None = None,
    reason: str = "",
    until: str = "",
) -> HTMLResponse:
    """The page that says what will be done, with what was typed and why it was refused."""
    number = sum(row["lines"] for row in totals)
    amounts: dict[str, Decimal] = {}
    for row in totals:
        amounts[row["currency"]] = amounts.get(row["currency"], Decimal(0)) + row["amount"]
    sums = ", ".join(f"{amount:,f} {currency}" for currency, amount in sorted(amounts.items()))
    refusal = outcome.refusal if outcome else None
    return page.show(
        "pay_lines/confirm.html",
        status=400 if refusal else 200,
        action=action,
        says=f"{WORDS[action]} {counted(number, 'line')}, {sums}" if number else "",
        word=WORDS[action],
        left_out=len(set(line)) - number,
        lines=",".join(map(str, sorted(set(line)))),
        refusal=refusal,
        reason=reason,
        until=until,
    )


async def _all_of(page: Page, connection: Any, todays: dict[str, date]) -> list[int]:
    """The ids of all lines of the filter. Refused if one command cannot carry them."""
    rows, more = await queries.page_of_lines(connection, todays, _filter(page), limit=MOST_AT_ONCE)
    if more is not None:
        raise Refused(
            "too_many_lines",
            f"the filter finds more than {MOST_AT_ONCE:,} lines",
            "filter by debtor or week first, and go on until all are done",
        )
    return [row["pay_line_id"] for row in rows]


def _known(action: str) -> None:
    if action not in ACTIONS:
        raise Refused("unknown_action", f"{action} is no action on lines", "go back")


async def _todays(page: Page, connection: Any) -> dict[str, date]:
    """The billing companies that he sees, or the chosen one, with their dates."""
    found = await companies_today(connection, page.company)
    return {one: today for one, today in found.items() if page.identity.sees(one)}


def _filter(page: Page) -> LineFilter:
    """The filter of the address. Refused for a date that cannot be read."""
    named = [each for each in page.request.query_params.getlist("status") if each in STATUSES]
    texts: dict[str, Any] = {name: page.query(name) for name in TEXTS}
    days: dict[str, Any] = {name: _day(page, name) for name in DATES}
    usual = STATUSES if texts["document"] or texts["corrects"] else OPEN_STATUSES
    return LineFilter(named or usual, **texts, **days)


def _day(page: Page, name: str) -> date | None:
    text = page.query(name)
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise Refused(
            "unreadable_date", f"{name}: {text!r} is no date", "write it like 2026-10-31"
        ) from error


def _sort(page: Page) -> str:
    sort = page.query("sort")
    return sort if sort in SORTS else "oldest"


def _after(page: Page, sort: str) -> tuple[Any, int] | None:
    """The key of the last line of the page before."""
    key, _, line = (page.query("after") or "").partition(" ")
    try:
        return (Decimal(key) if SORTS[sort][2] == "numeric" else int(key), int(line))
    except (ValueError, ArithmeticError):
        return None


def _given(page: Page) -> dict[str, Any]:
    """The filter and the order as the address has them."""
    given: dict[str, Any] = {name: page.query(name) for name in (*TEXTS, *DATES, "sort")}
    named = [each for each in page.request.query_params.getlist("status") if each in STATUSES]
    return given | {"status": named[0] if len(named) == 1 else None}


def _countable(chosen: LineFilter) -> bool:
    """Whether the lines are few enough to add up: billed lines of years are not."""
    return "Invoiced" not in chosen.statuses or bool(chosen.document or chosen.corrects)


def _links(page: Page) -> dict[str, Any]:
    return {
        "pay_line_id": lambda row: page.link(f"/pay-lines/{row['pay_line_id']}"),
        "amount": lambda row: page.link(f"/pay-lines/{row['pay_line_id']}"),
        "document_id": lambda row: page.link(f"/documents/{row['document_id']}"),
        "account_name": lambda row: page.link("/pay-lines", account_name=row["account_name"]),
        "invoice_number": lambda row: page.link(
            f"/invoices/{row['invoice_number']}", company=row["billing_company"]
        ),
    }
