"""Inbox: all that waits for a person, each with its fix as a button."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from services.console.actions.fixes import FIXES, find_fix
from services.console.columns import Column
from services.console.columns import inbox as columns
from services.console.queries import inbox as queries
from services.console.queries.dead_letters import dead_letter
from services.console.queries.snapshot import Row
from services.console.web.identity import ALL_COMPANIES
from services.console.web.pages import OpenPage, Page, Refusal, Screen
from services.console.web.signing_in import local_path
from shared.errors import Refused

router = APIRouter()
SIGNS = ("csrf_token", "form_id", "reason", "then")
"""What every form has besides the fields of its command."""


@dataclass(frozen=True, slots=True)
class Button:
    """A fix beside a row. `ask`: a further field with its label; `reason`: it needs one."""

    fix: str
    label: str
    reason: bool = False
    ask: tuple[str, str] | None = None
    when: Callable[[Mapping[str, Any]], bool] = lambda row: True


@dataclass(frozen=True, slots=True)
class Section:
    """One kind of what waits. `names`: the fields of a row that its forms carry."""

    kind: str
    title: str
    empty: str
    columns: list[Column]
    names: tuple[str, ...]
    buttons: tuple[Button, ...]


SECTIONS = (
    Section(
        "held",
        "Held documents",
        "No document is held.",
        columns.HELD,
        ("document_kind", "document_id"),
        (Button("retry-document", "Price again"),),
    ),
    Section(
        "dead_letters",
        "Dead letters",
        "Every record could be read.",
        columns.DEAD_LETTERS,
        ("service", "dead_letter_id"),
        (
            Button("replay-dead-letter", "Replay"),
            Button("discard-dead-letter", "Discard", reason=True),
        ),
    ),
    Section(
        "stopped",
        "Partitions that are not read on",
        "Every partition is read.",
        columns.STOPPED,
        ("service", "topic", "partition", "to_offset"),
        (
            Button("resume-consumer", "Resume", reason=True),
            Button("skip-records", "Skip", reason=True),
        ),
    ),
    Section(
        "deliveries",
        "Deliveries to accounting systems",
        "No delivery waits for you.",
        columns.DELIVERIES,
        ("ledger", "invoice_number"),
        (
            Button("retry-delivery", "Retry"),
            Button("resync-delivery", "Look it up again"),
            Button("adopt-delivery", "Adopt", reason=True, ask=("remote_id", "its id there")),
            Button(
                "mark-posted", "Mark posted", reason=True, ask=("remote_number", "its number there")
            ),
            Button(
                "post-unapplied",
                "Post unapplied",
                reason=True,
                when=lambda row: row["document_type"] == "credit-note",
            ),
        ),
    ),
    Section(
        "mails",
        "E-mails",
        "No e-mail waits for you.",
        columns.MAILS,
        ("billing_company", "invoice_number", "address"),
        (
            Button("send-again", "Send again", when=lambda row: row["state"] == "refused"),
            Button(
                "mail-arrived",
                "It arrived",
                reason=True,
                when=lambda row: row["state"] == "unknown",
            ),
            Button(
                "mail-not-sent",
                "It did not arrive",
                reason=True,
                when=lambda row: row["state"] == "unknown",
            ),
        ),
    ),
    Section(
        "drifts",
        "Differences from accounting systems",
        "No difference is open.",
        columns.DRIFTS,
        ("ledger", "invoice_number", "remote_id"),
        (
            Button("resync-delivery", "Look it up again"),
            Button("adopt-delivery", "Adopt", reason=True, when=lambda row: bool(row["remote_id"])),
        ),
    ),
    Section(
        "parked",
        "Parked debtors",
        "No debtor is parked.",
        columns.PARKED,
        ("billing_company", "batch_id"),
        (Button("retry-parked", "Bill all parked of this batch"),),
    ),
    Section(
        "price_impact",
        "Rate changes on invoiced lines",
        "No invoiced line has another price than its rate.",
        columns.PRICE_IMPACT,
        ("requirement_id", "time_type", "effective_from"),
        (Button("confirm-rates", "Confirm", reason=True),),
    ),
)


async def waiting(page: Page) -> int:
    """How much waits, for the navigation."""
    counts = await page.read(
        queries.inbox_counts, list(page.companies), everywhere=page.identity.sees(ALL_COMPANIES)
    )
    return sum(counts.values())


SCREEN = Screen("Inbox", "/inbox", waiting)


@router.get("/inbox")
async def show_inbox(page: OpenPage) -> HTMLResponse:
    """Everything that waits, those kinds first of which there is something."""
    return await _inbox(page)


@router.get("/inbox/dead-letters/{service}/{dead_letter_id}")
async def show_dead_letter(page: OpenPage, service: str, dead_letter_id: int) -> HTMLResponse:
    """One dead letter: why, from where, and the shape of the record without its values."""
    _everywhere(page)
    return await _dead_letter(page, service, dead_letter_id)


@router.post("/inbox/{name}")
async def fix(page: OpenPage, name: str) -> Response:
    """Send the command of a button; a refusal is shown beside it."""
    form = {key: str(value) for key, value in (await page.request.form()).items()}
    chosen = find_fix(name)
    try:
        fields = chosen.fields(form)
    except Refused as refused:
        return await _inbox(page, _key(name, form), _shown(refused))
    if "billing_company" in fields:
        page.require_company(fields["billing_company"])
    outcome = await page.act(
        form.get("form_id", ""), chosen.command, reason=form.get("reason", ""), **fields
    )
    then = local_path(form["then"]) if form.get("then") else page.link("/inbox")
    if outcome.refusal:
        if form.get("then", "").startswith("/inbox/dead-letters/"):
            number = int(fields["dead_letter_id"])
            return await _dead_letter(page, fields["service"], number, outcome.refusal, form)
        return await _inbox(page, _key(name, form), outcome.refusal, form.get("reason", ""))
    if not outcome.accepted:
        return page.to_command(outcome, then=then)
    message = outcome.result["message"] if outcome.result else ""
    return page.redirect("/inbox", done=message[:300])


async def _inbox(
    page: Page, refused_at: str = "", refusal: Refusal | None = None, reason: str = ""
) -> HTMLResponse:
    companies = [page.company] if page.company else list(page.companies)
    everywhere = page.identity.sees(ALL_COMPANIES)
    async with page.snapshot() as connection:
        counts = await queries.inbox_counts(connection, companies, everywhere=everywhere)
        found = await queries.inbox(connection, companies, everywhere=everywhere)
    shown = sorted(SECTIONS, key=lambda each: not found[each.kind])
    keys = {
        _key(button.fix, {name: _field(row, name) for name in section.names})
        for section in SECTIONS
        for row in found[section.kind]
        for button in section.buttons
    }
    return page.show(
        "inbox/list.html",
        status=400 if refusal else 200,
        sections=shown,
        found=found,
        counts=counts,
        total=sum(counts.values()),
        may=lambda button, row: page.identity.may(
            FIXES[button.fix].command, row.get("billing_company") or ALL_COMPANIES
        ),
        who_may=lambda button: page.identity.who_may(FIXES[button.fix].command),
        field=_field,
        key=lambda button, section, row: _key(
            button.fix, {name: _field(row, name) for name in section.names}
        ),
        links=_links(page),
        refused_at=refused_at,
        refusal=refusal,
        elsewhere=bool(refusal) and refused_at not in keys,
        reason=reason,
        done=page.query("done"),
    )


async def _dead_letter(
    page: Page,
    service: str,
    dead_letter_id: int,
    refusal: Refusal | None = None,
    form: Mapping[str, str] | None = None,
) -> HTMLResponse:
    found = await page.read(dead_letter, dead_letter_id, service)
    return page.show(
        "inbox/dead_letter.html",
        status=400 if refusal else 200,
        facts=[(name.replace("_", " "), value) for name, value in found.items() if name != "value"],
        row=found,
        shape=json.dumps(found["value"], indent=2, ensure_ascii=False),
        may=page.identity.may("replay-dead-letter"),
        who_may=page.identity.who_may("replay-dead-letter"),
        refusal=refusal,
        typed=form or {},
        here=f"/inbox/dead-letters/{service}/{dead_letter_id}",
    )


def _field(row: Mapping[str, Any], name: str) -> str:
    """A field of a form: that of the row, `to_offset` is where a skip goes on."""
    value = row["following"] if name == "to_offset" else row.get(name)
    return "" if value is None else str(value)


def _key(name: str, fields: Mapping[str, Any]) -> str:
    """What a button of a row is known by, so that its refusal is shown beside it."""
    own = [f"{key}={fields[key]}" for key in sorted(_names(name)) if key in fields]
    return " ".join([name, *own])


def _names(name: str) -> set[str]:
    fix = FIXES[name]
    return {*fix.texts, *fix.numbers} - {"remote_id", "to_offset"}


def _everywhere(page: Page) -> None:
    if not page.identity.sees(ALL_COMPANIES):
        raise Refused(
            "other_billing_company",
            "a dead letter belongs to no billing company, and your role is limited to some",
            "ask an admin",
        )


def _shown(refused: Refused) -> Refusal:
    return Refusal(refused.code, refused.message, refused.fix)


def _links(page: Page) -> dict[str, Callable[[Row], str]]:
    return {
        "document_id": lambda row: page.link(f"/documents/{row['document_id']}"),
        "dead_letter_id": lambda row: page.link(
            f"/inbox/dead-letters/{row['service']}/{row['dead_letter_id']}"
        ),
        "invoice_number": lambda row: page.link(
            f"/invoices/{row['invoice_number']}", company=row["billing_company"]
        ),
        "requirement_id": lambda row: page.link(f"/rates/{row['requirement_id']}"),
    }
