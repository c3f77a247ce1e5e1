"""One page for each command: `/edit/COMMAND`, the form of the command and what became of it.

`/edit` lists them.

Parameters of the address that are fields of the command fill the form; `then` is where one goes
after it. `EDITS` says what is special about a command; the others have the plain form. Screens
link here: `page.link("/edit/set-time-group", time_group="W1", then="/setup/time-groups")`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from services.console.actions.commands import MODELS
from services.console.queries.snapshot import ReadConnection
from services.console.web.forms.command_form import NO_FORM, CommandForm, form_of
from services.console.web.forms.fields import Unformable
from services.console.web.forms.view import EMPTY_ROWS, FormView, read_was
from services.console.web.pages import OpenPage, Outcome, Page
from services.console.web.signing_in import local_path
from shared.errors import Refused
from shared.events.commands.permissions import permission_of

router = APIRouter()
MORE_ROWS = 10

Given = Mapping[str, str]
"""The fields of a command that the address has."""
Choices = Mapping[str, Sequence[tuple[str, str]]]
"""Values with their labels, by the field that they are for."""
Secrets = Sequence[tuple[str, str]]
"""Passwords and keys that a form asks for, each with what to say about it."""


async def _nothing(page: Page, connection: ReadConnection, given: Given) -> None:
    """No values to begin with."""


async def _no_choices(page: Page, connection: ReadConnection, given: Given) -> Choices:
    return {}


async def _no_secrets(page: Page, connection: ReadConnection, given: Given) -> Secrets:
    return []


async def _as_it_is(page: Page, body: dict[str, Any], secrets: Given) -> dict[str, Any]:
    return body


@dataclass(frozen=True, slots=True)
class Edit:
    """What is special about the form of a command.

    `keys`: the fields that name what is changed, fixed once the address gives them. `current`: the
    values that it has now, or None if it is new. `keeps`: fields that are left out stay, so only
    changed ones are sent. `suggested`: values that help to fill in a field. `secrets`: what is
    asked for and never shown again; `complete` seals it into the body before that is sent.
    `answers`: the result is more than that it was done, and is shown on a page of its own.
    """

    title: str
    then: str = "/setup"
    keys: tuple[str, ...] = ()
    current: Callable[[Page, ReadConnection, Given], Awaitable[Mapping[str, Any] | None]] = _nothing
    keeps: bool = False
    leave_out: tuple[str, ...] = ()
    suggested: Callable[[Page, ReadConnection, Given], Awaitable[Choices]] = _no_choices
    secrets: Callable[[Page, ReadConnection, Given], Awaitable[Secrets]] = _no_secrets
    complete: Callable[[Page, dict[str, Any], Given], Awaitable[dict[str, Any]]] = _as_it_is
    button: str = "Save"
    answers: bool = False


EDITS: dict[str, Edit] = {}
"""By command; `setup` modules add theirs."""


def edit_of(command: str) -> Edit:
    """What the form of a command is like. Refused for a command that has none."""
    if command not in MODELS:
        raise Refused("unknown_command", f"there is no command {command}", "go back")
    title = command.replace("-", " ")
    return EDITS.get(command) or Edit(title[0].upper() + title[1:], "/batches", button="Send")


@router.get("/edit")
async def commands(page: OpenPage) -> HTMLResponse:
    """Every command with a form that his roles allow, with what it does."""
    found = [
        (command, " ".join((model.__doc__ or "").split(". ")[0].split()).rstrip(".") + ".")
        for command, model in sorted(MODELS.items())
        if command not in NO_FORM and page.identity.may_somewhere(command)
    ]
    return page.show("forms/list.html", commands=found)


@router.get("/edit/{command}")
async def show(page: OpenPage, command: str) -> HTMLResponse:
    """The form, with what is set now and what the address gives."""
    edit, form = edit_of(command), _form(command)
    _require_some(page, command)
    names = {each.name for each in form.fields}
    given = {name: text for name, text in page.request.query_params.items() if name in names}
    async with page.snapshot() as connection:
        current = await edit.current(page, connection, given)
        suggested = await edit.suggested(page, connection, given)
        asked = await edit.secrets(page, connection, _known(given, current))
    if current is not None and isinstance(company := current.get("billing_company"), str):
        page.require_company(company)
    fixed = {name for name in edit.keys if given.get(name)}
    texts = form.texts(current or {})
    texts |= {name: [text] for name, text in given.items() if name in fixed or not current}
    _choose_company(page, command, texts)
    was = texts if edit.keeps and current is not None else form.texts() if edit.keeps else None
    view = FormView(form, texts, None, fixed, _companies(page, command, fixed), suggested, was)
    return _page(page, edit, view, local_path(page.query("then") or edit.then), asked)


@router.post("/edit/{command}")
async def send(page: OpenPage, command: str) -> Response:
    """Send the command; a refusal is shown in the form, with everything that was typed."""
    edit, form = edit_of(command), _form(command)
    posted = await page.request.form()
    then = local_path(str(posted.get("then") or edit.then))
    texts = form.given(posted)
    was = read_was(posted) if edit.keeps else None
    outcome = Outcome()
    if not posted.get("more"):
        body = form.body(texts, was)
        if isinstance(company := body.get("billing_company"), str) and company:
            page.require_company(company)
        body = await edit.complete(page, body, _secrets(posted))
        outcome = await page.act(str(posted.get("form_id", "")), command, **body)
        if outcome.refusal is None:
            if edit.answers or not outcome.accepted or body.get("preview"):
                here = page.link(f"/edit/{command}", **_again(texts), then=then)
                return page.to_command(outcome, here if body.get("preview") else then)
            message = outcome.result["message"] if outcome.result else ""
            return page.redirect_to(_with_done(then, message))
    given = {name: found[0] for name, found in texts.items() if found}
    async with page.snapshot() as connection:
        suggested = await edit.suggested(page, connection, given)
        asked = await edit.secrets(page, connection, given)
    fixed = {name for name in edit.keys if f"fixed.{name}" in posted}
    options = _companies(page, command, fixed)
    rows = MORE_ROWS if posted.get("more") else EMPTY_ROWS
    view = FormView(form, texts, outcome.refusal, fixed, options, suggested, was, rows)
    return _page(page, edit, view, then, asked)


def _page(page: Page, edit: Edit, view: FormView, then: str, asked: Secrets) -> HTMLResponse:
    command = view.form.command
    return page.show(
        "forms/edit.html",
        status=200 if view.refusal is None else 400,
        edit=edit,
        view=view,
        then=then,
        asked=asked,
        names=[(name.replace("_", " "), view.text(name)) for name in view.form_keys(edit.keys)],
        action=page.link(f"/edit/{command}"),
        about=paragraphs(view.form.about),
        roles=page.identity.who_may(command),
    )


def paragraphs(text: str) -> list[list[tuple[bool, str]]]:
    """A docstring as paragraphs of parts, each with whether it is the name of a field."""
    return [
        [(place % 2 == 1, part) for place, part in enumerate(" ".join(lines.split()).split("`"))]
        for lines in text.split("\n\n")
    ]


def _known(given: Given, current: Mapping[str, Any] | None) -> Given:
    """The texts that the address and what is set now give."""
    return {
        name: value for name, value in (current or {}).items() if isinstance(value, str)
    } | dict(given)


def _secrets(posted: Mapping[str, Any]) -> Given:
    """The passwords and keys of a form that are filled in."""
    mark = "secret."
    return {
        name.removeprefix(mark): value
        for name, value in posted.items()
        if name.startswith(mark) and isinstance(value, str) and value
    }


def _form(command: str) -> CommandForm:
    try:
        return form_of(command, edit_of(command).leave_out)
    except Unformable as error:
        raise Refused(
            "no_form",
            f"{command} has no form: it {error}",
            "send it with the command line: docs/reference/cli.md names it",
        ) from error


def _require_some(page: Page, command: str) -> None:
    """Refused if none of his roles may send the command, for whichever billing company."""
    if not page.identity.may_somewhere(command):
        raise Refused(
            "not_permitted",
            f"{command} takes the role {page.identity.who_may(command)}",
            "ask a person with that role",
        )


def _companies(page: Page, command: str, fixed: set[str]) -> Choices:
    """The billing companies to choose from: where his roles may send the command."""
    if "billing_company" in fixed or command == "set-billing-company":
        return {}
    may = [(one, name) for one, name in page.companies.items() if page.identity.may(command, one)]
    named = permission_of(MODELS[command]).companies == "named"
    return {"billing_company": may if named else list(page.companies.items())}


def _choose_company(page: Page, command: str, texts: dict[str, list[str]]) -> None:
    """Choose the billing company of the page, if the form asks for one and none is given."""
    if texts.get("billing_company") == [""] and page.company and command != "set-billing-company":
        texts["billing_company"] = [page.company]


def _again(texts: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The texts of a form as parameters of an address, without tables and what was not given."""
    return {name: found[0] for name, found in texts.items() if found and len(found[0]) < 500}


def _with_done(address: str, message: str) -> str:
    """An address that says what was done."""
    parts = urlsplit(address)
    query = [(name, value) for name, value in parse_qsl(parts.query) if name != "done"]
    return f"{parts.path}?{urlencode([*query, ('done', message[:300])])}"
