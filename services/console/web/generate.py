"""Generate Invoices in three steps: health check, preview, commit.

The commit cites the digest of the preview that was looked at: what has changed since is shown, and
nothing is billed that no one saw. Each step is an address that can be reloaded and sent on.
"""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form
from fastapi.responses import HTMLResponse, Response

from services.console.columns.batches import (
    DOCUMENTS,
    LEFT_OUT,
    PARKED,
    PREVIEW_LINES,
    SEVERITIES,
    TOTALS,
    line_cells,
    with_hours,
)
from services.console.columns.groups import DEBTORS, GROUPS, STATES, group_row
from services.console.queries import batches as queries
from services.console.queries.companies import companies_today
from services.console.queries.invoices import next_numbers
from services.console.web.pages import OpenPage, Outcome, Page, Screen
from shared.errors import Refused
from shared.events.commands.base import ServiceName

SCREEN = Screen("Generate Invoices", "/generate")
router = APIRouter()
SERVICE: ServiceName = "invoicer"
LONG_SECONDS = 8.0
SHOWN = 200
RULES = {
    "": "as each debtor's terms say",
    "wait": "wait for all timesheets",
    "bill": "bill what is there",
}


@router.get("/generate")
async def start(page: OpenPage) -> HTMLResponse:
    """Step 1, before the check: the billing company and the cut-off date."""
    return await _start(page)


@router.post("/generate/check")
async def check(
    page: OpenPage,
    form_id: Annotated[str, Form()],
    billing_company: Annotated[str, Form()],
    cut_off: Annotated[str, Form()] = "",
) -> Response:
    """Send the health check and the question for the batch groups."""
    company = page.require_company(billing_company)
    asked: dict[str, Any] = {"billing_company": company, "cut_off_date": cut_off or None}
    health = await page.act(form_id, "health-check", seconds=LONG_SECONDS, **asked)
    groups = await page.act(form_id, "list-batch-groups", seconds=LONG_SECONDS, **asked)
    if health.command is None or groups.command is None:
        return await _start(page, company, cut_off, health)
    ids = {"health": health.command.command_id, "groups": groups.command.command_id}
    return page.redirect("/generate/check", company=company, cut_off=cut_off, **ids)


@router.get("/generate/check")
async def checked(page: OpenPage) -> Response:
    """Step 1: what the check found; and what to choose for the preview."""
    company = _company(page)
    health = await page.result(SERVICE, page.query("health") or "")
    groups = await page.result(SERVICE, page.query("groups") or "")
    if health.result is None or groups.result is None:
        return _waiting(page, 1, "The health check looks at every open line.")
    if page.block("part"):
        return page.again()
    cut_off = page.query("cut_off") or str(health.details.get("cut_off_date", ""))
    return page.show(
        "generate/check.html",
        step=1,
        company=company,
        cut_off=cut_off,
        health=health,
        findings=_grouped(health),
        groups=[group_row(group) for group in groups.details.get("groups", ())],
        group_columns=GROUPS,
        debtors=[
            {"title": group["group"], "rows": [_debtor(each) for each in group["listed"]]}
            for group in groups.details.get("groups", ())
        ],
        debtor_columns=DEBTORS,
        rules=RULES,
        may=page.identity.may("preview-batch", company),
        refusal=health.refusal or groups.refusal,
    )


@router.post("/generate/preview")
async def preview(
    page: OpenPage,
    form_id: Annotated[str, Form()],
    billing_company: Annotated[str, Form()],
    cut_off: Annotated[str, Form()],
) -> Response:
    """Send the command that stores a preview."""
    given = await page.request.form()
    company = page.require_company(billing_company)
    chosen = _chosen(given)
    outcome = await page.act(
        form_id,
        "preview-batch",
        seconds=LONG_SECONDS,
        billing_company=company,
        cut_off_date=cut_off,
        **chosen,
    )
    if outcome.command is None:
        return await _start(page, company, cut_off, outcome)
    address = page.link(
        f"/generate/preview/{outcome.command.command_id}", company=company, cut_off=cut_off
    )
    return page.redirect_to(address + _as_query(chosen))


@router.get("/generate/preview/{command_id}")
async def previewed(page: OpenPage, command_id: str) -> Response:
    """Step 2: the documents of the preview, and what is left out and why."""
    return await _previewed(page, command_id)


@router.post("/generate/commit/{command_id}")
async def commit(page: OpenPage, command_id: str, form_id: Annotated[str, Form()]) -> Response:
    """Generate the batch of a preview; its page shows how it goes on."""
    given = await page.request.form()
    looked_at = await page.result(SERVICE, command_id)
    company = page.require_company(str(looked_at.details.get("billing_company", "")))
    outcome = await page.act(
        form_id,
        "generate-batch",
        seconds=1.0,
        billing_company=company,
        cut_off_date=looked_at.details["cut_off_date"],
        digest=looked_at.details["digest"],
        invoice_date=given.get("invoice_date") or None,
        first_number=given.get("first_number") or None,
        **_chosen(given),
    )
    if outcome.command is None:
        return await _previewed(page, command_id, outcome)
    address = page.link(
        f"/generate/progress/{outcome.command.command_id}", company=company, preview=command_id
    )
    return page.redirect_to(address + _as_query(_chosen(given)))


@router.get("/generate/progress/{command_id}")
async def progress(page: OpenPage, command_id: str) -> Response:
    """Step 3: waiting, then the batch; or what changed since the preview."""
    outcome = await page.result(SERVICE, command_id)
    if outcome.result is None:
        return _waiting(page, 3, "The batch is built, numbered and closed.")
    batch_id = outcome.details.get("batch_id")
    if outcome.accepted and batch_id:
        return page.go(page.link(f"/batches/{batch_id}", made="yes"))
    values: dict[str, Any] = {
        "step": 3,
        "company": _company(page),
        "outcome": outcome,
        "changed": outcome.details if outcome.refusal else {},
        "cut_off": page.query("cut_off"),
        "chosen": _chosen(page.request.query_params),
        "preview": page.query("preview"),
        "wait": "",
    }
    if page.query("preview"):
        looked_at = await page.result(SERVICE, page.query("preview") or "")
        values["cut_off"] = looked_at.details.get("cut_off_date")
    return page.show("generate/refused.html", page.block("part"), **values)


async def _start(
    page: Page, company: str | None = None, cut_off: str = "", outcome: Outcome | None = None
) -> HTMLResponse:
    chosen = company or page.company
    todays = await page.read(companies_today, chosen) if chosen else {}
    today = todays.get(chosen or "", None)
    return page.show(
        "generate/start.html",
        status=409 if outcome else 200,
        step=1,
        company=chosen,
        cut_off=cut_off or page.query("cut_off") or today or "",
        may=chosen is None or page.identity.may("health-check", chosen),
        who_may=page.identity.who_may("health-check"),
        refusal=outcome.refusal if outcome else None,
    )


async def _previewed(page: Page, command_id: str, outcome: Outcome | None = None) -> Response:
    company = _company(page)
    sent = await page.result(SERVICE, command_id)
    if sent.result is None:
        return _waiting(page, 2, "The preview builds every document, and writes none.")
    stored: dict[str, Any] | None = None
    numbers: dict[str, Any] = {}
    if sent.accepted:
        page.require_company(sent.details["billing_company"])
        async with page.snapshot() as connection:
            stored = await queries.preview(connection, sent.details["preview_id"], SHOWN)
            numbers = await next_numbers(connection, company)
    if page.block("part"):
        return page.again()
    refusal = (outcome.refusal if outcome else None) or sent.refusal
    chosen = _chosen(page.request.query_params)
    named = {row["account_name"] for row in stored["documents"]} if stored else set()
    return page.show(
        "generate/preview.html",
        status=409 if refusal else 200,
        step=2,
        company=company,
        cut_off=page.query("cut_off") or sent.details.get("cut_off_date", ""),
        command_id=command_id,
        sent=sent,
        stored=stored,
        totals=with_hours(stored["totals"], stored["hours"]) if stored else [],
        lines={
            which: [line_cells(row) for row in stored[f"lines_{which}"]] if stored else []
            for which in ("in", "out")
        },
        columns={
            "totals": TOTALS,
            "documents": DOCUMENTS,
            "lines": PREVIEW_LINES,
            "left_out": LEFT_OUT,
            "parked": PARKED,
        },
        links={
            "pay_line_id": lambda row: page.link(
                f"/pay-lines/{row['pay_line_id']}", company=company
            )
        },
        findings=_grouped(sent),
        debtors=sorted(named | set(chosen["exclude_debtors"])),
        chosen=chosen,
        rules=RULES,
        numbers=numbers,
        may=page.identity.may("generate-batch", company),
        who_may=page.identity.who_may("generate-batch"),
        refusal=refusal,
    )


def _waiting(page: Page, step: int, what: str) -> HTMLResponse:
    """The page that asks again every second; htmx replaces its step when there is more."""
    return page.show(
        "generate/waiting.html", page.block("part"), step=step, company=page.company, wait=what
    )


def _company(page: Page) -> str:
    """The billing company of the address. Refused without one."""
    if page.company is None:
        raise Refused("no_company", "the address names no billing company", "start at step 1")
    return page.company


def _chosen(given: Any) -> dict[str, Any]:
    """What a batch is narrowed to, from a form or an address."""
    return {
        "groups": sorted(set(filter(None, given.getlist("group")))),
        "exclude_debtors": sorted(set(filter(None, given.getlist("exclude")))),
        "missing_timesheets": given.get("missing_timesheets") or None,
        "reason": str(given.get("reason") or ""),
    }


def _as_query(chosen: dict[str, Any]) -> str:
    """The same, as the end of an address."""
    pairs = [("group", each) for each in chosen["groups"]]
    pairs += [("exclude", each) for each in chosen["exclude_debtors"]]
    pairs += [(name, chosen[name]) for name in ("missing_timesheets", "reason") if chosen[name]]
    return f"&{urlencode(pairs)}" if pairs else ""


def _grouped(outcome: Outcome) -> list[dict[str, Any]]:
    """Findings by severity, the worst first."""
    found = (outcome.result or {}).get("findings") or ()
    return [
        {"severity": severity, "findings": rows}
        for severity in SEVERITIES
        if (rows := [each for each in found if each["severity"] == severity])
    ]


def _debtor(row: dict[str, Any]) -> dict[str, Any]:
    return group_row(row) | {"state": STATES[row["state"]]}
