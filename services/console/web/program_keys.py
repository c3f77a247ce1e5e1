"""Keys of programs: add, rotate, disable. The private key is handed over once, as a file."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Form
from fastapi.responses import HTMLResponse, Response

from services.console.queries import access
from services.console.web.pages import OpenPage, Outcome, Page
from services.console.web.people import people_page, role_rows, roles_of
from shared.errors import Refused
from shared.events.commands.permissions import ROLES

router = APIRouter()
MOST = 200
MADE = "/people/keys/made"


@router.get("/people/keys/new")
async def new_key(page: OpenPage) -> HTMLResponse:
    """The form of a program that has no key yet."""
    return await _form(page)


@router.post("/people/keys/add")
async def add_key(
    page: OpenPage,
    form_id: Annotated[str, Form(max_length=MOST)],
    program: Annotated[str, Form(max_length=MOST)] = "",
    grant: Annotated[list[str] | None, Form()] = None,
    asserts_actors: Annotated[str, Form()] = "",
    reason: Annotated[str, Form(max_length=1_000)] = "",
) -> Response:
    """Make a key pair and add the program with its public key."""
    program, asserts = program.strip(), bool(asserts_actors)
    outcome = await _send_with_key(
        page,
        form_id,
        "add-key",
        program,
        asserts_actors=asserts,
        reason=reason,
        fields={"roles": roles_of(grant or []), "asserts_actors": asserts},
    )
    if outcome.refusal:
        typed = {
            "program": program,
            "grants": {tuple(each.split(":", 1)) for each in grant or [] if ":" in each},
            "asserts_actors": asserts,
            "reason": reason,
        }
        return await _form(page, outcome, typed)
    return _go_on(page, outcome, form_id)


@router.post("/people/keys/rotate")
async def rotate_key(
    page: OpenPage,
    form_id: Annotated[str, Form(max_length=MOST)],
    program: Annotated[str, Form(max_length=MOST)],
    keep_old_hours: Annotated[str, Form(max_length=10)] = "0",
    reason: Annotated[str, Form(max_length=1_000)] = "",
) -> Response:
    """Make a new key pair for a program; its old keys end."""
    keys = await page.read(access.keys)
    asserts = any(row["asserts_actors"] for row in keys if row["program"] == program)
    outcome = await _send_with_key(
        page,
        form_id,
        "rotate-key",
        program,
        asserts_actors=asserts,
        reason=reason,
        fields={"keep_old_hours": int(keep_old_hours) if keep_old_hours.isdecimal() else -1},
    )
    if outcome.refusal:
        typed = {"keep_old_hours": keep_old_hours, "reason": reason}
        return await people_page(page, outcome.refusal, f"rotate {program}", typed)
    return _go_on(page, outcome, form_id)


@router.post("/people/keys/disable")
async def disable_key(
    page: OpenPage,
    form_id: Annotated[str, Form(max_length=MOST)],
    program: Annotated[str, Form(max_length=MOST)],
    key_id: Annotated[str, Form(max_length=MOST)] = "",
    reason: Annotated[str, Form(max_length=1_000)] = "",
) -> Response:
    """Disable one key of a program."""
    outcome = await page.act(
        form_id, "disable-key", reason=reason, program=program, key_id=key_id or None
    )
    if outcome.refusal:
        return await people_page(page, outcome.refusal, f"disable {key_id}", {"reason": reason})
    if not outcome.accepted:
        return page.to_command(outcome, then=page.link("/people"))
    message = outcome.result["message"] if outcome.result else ""
    return page.redirect("/people", done=message[:300])


@router.get(MADE + "/{form_id}")
async def show_made(page: OpenPage, form_id: str) -> HTMLResponse:
    """The key that a form made, while its private part can be downloaded."""
    signer = page.console.key_pairs.found(form_id, page.identity.person)
    return page.show("people/key_made.html", signer=signer, form_id=form_id)


@router.get(MADE + "/{form_id}/file")
async def key_file(page: OpenPage, form_id: str) -> Response:
    """The file of the private key, for the person who made it alone."""
    signer = page.console.key_pairs.found(form_id, page.identity.person)
    if signer is None:
        raise Refused(
            "unknown_key_file",
            "this private key is no longer here: the console keeps it for ten minutes",
            "rotate the key of the program",
        )
    name = re.sub(r"[^A-Za-z0-9._@-]", "_", signer.program)
    return Response(
        signer.file_text(),
        media_type="application/jwk+json",
        headers={"content-disposition": f'attachment; filename="{name}.jwk"'},
    )


async def _send_with_key(
    page: Page,
    form_id: str,
    name: str,
    program: str,
    *,
    asserts_actors: bool,
    reason: str,
    fields: dict[str, Any],
) -> Outcome:
    audience = await page.read(access.audience)
    signer = page.console.key_pairs.for_form(
        form_id, page.identity.person, program, audience, asserts_actors=asserts_actors
    )
    return await page.act(
        form_id, name, reason=reason, program=program, public_key=signer.public_key, **fields
    )


def _go_on(page: Page, outcome: Outcome, form_id: str) -> Response:
    made = page.link(f"{MADE}/{form_id}")
    return page.redirect_to(made) if outcome.accepted else page.to_command(outcome, then=made)


async def _form(
    page: Page, outcome: Outcome | None = None, typed: dict[str, Any] | None = None
) -> HTMLResponse:
    values: dict[str, Any] = {"program": "", "grants": (), "asserts_actors": False, "reason": ""}
    values |= typed or {}
    return page.show(
        "people/key_form.html",
        status=400 if outcome else 200,
        values=values,
        roles=ROLES,
        rows=role_rows(page, set(values["grants"])),
        may_add=page.identity.may("add-key"),
        who_may=page.identity.who_may("add-key"),
        refusal=outcome.refusal if outcome else None,
    )
