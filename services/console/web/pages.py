"""What a screen gets of a request, and how it answers: reads, commands, templates, links.

`Page` is the argument of every route of a screen. It exists only for a person who is signed in.
"""

import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import quote, urlencode

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2_fragments import render_block
from markupsafe import Markup
from pydantic import ValidationError

from services.console.actions.commander import Commander, command_of_form, result_within
from services.console.actions.key_pairs import KeyPairs
from services.console.actions.verification import Verification
from services.console.columns import Column
from services.console.columns.text import visible
from services.console.queries.commands import command_result
from services.console.queries.companies import company_names
from services.console.queries.pool import ReadPool
from services.console.queries.snapshot import ReadConnection
from services.console.sessions.openid import OpenId
from services.console.sessions.store import SessionStore
from services.console.web.identity import Identity, identify
from shared.errors import Refused
from shared.events.commands import AnyCommand
from shared.events.commands.base import ServiceName
from shared.settings import settings

FOLDER = Path(__file__).parent
RESULT_SECONDS = 5.0
"""How long a form waits for the result of its command; then the page of the command shows it."""
FORM_ID = re.compile(r"[0-9a-f]{32}")
SEE_OTHER = 303

Result = TypeVar("Result")
P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class ScreenEntry:
    """An entry of the navigation; `count`, if there is one, is shown beside it."""

    title: str
    path: str
    count: "Callable[[Page], Awaitable[int]] | None" = None


Screen = ScreenEntry
"""Its name in the modules of screens."""


@dataclass(slots=True)
class Console:
    """What all requests share."""

    reads: ReadPool
    sessions: SessionStore
    commander: Commander
    verification: Verification
    is_open: bool
    screens: Sequence[ScreenEntry] = ()
    openid: OpenId | None = None
    key_pairs: KeyPairs = field(default_factory=KeyPairs)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a command was not carried out, and what to do; `fields` has what is wrong with which."""

    code: str
    message: str
    fix: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a command: a result, a refusal, or neither yet."""

    command: AnyCommand | None = None
    result: Mapping[str, Any] | None = None
    refusal: Refusal | None = None

    @property
    def accepted(self) -> bool:
        """Whether it was carried out."""
        return self.result is not None and self.refusal is None

    @property
    def details(self) -> Mapping[str, Any]:
        """The details of the result; empty without one."""
        return (self.result or {}).get("details") or {}


class SignInNeeded(Exception):
    """No session, or one that has ended."""


class Page:
    """One request of a person who is signed in."""

    def __init__(
        self,
        request: Request,
        identity: Identity,
        csrf_token: str,
        companies: Mapping[str, str],
        counts: Mapping[str, int],
    ) -> None:
        self.request, self.identity, self.csrf_token = request, identity, csrf_token
        self.companies, self.counts = companies, counts
        self.console = console_of(request)
        self.form_id = secrets.token_hex(16)

    @property
    def company(self) -> str | None:
        """The billing company that was chosen (`?company=`); None: all that he sees.

        Refused for one that he does not see.
        """
        chosen = self.request.query_params.get("company") or None
        if chosen is None and len(self.companies) == 1:
            return next(iter(self.companies))
        return chosen if chosen is None else self.require_company(chosen)

    def require_company(self, billing_company: str) -> str:
        """The same billing company. Refused if he does not see it."""
        if not self.identity.sees(billing_company):
            raise Refused(
                "other_billing_company",
                f"your role does not cover the billing company {billing_company}",
                "ask an admin for a role there (`backoffice people set`)",
            )
        return billing_company

    def query(self, name: str) -> str | None:
        """A parameter of the address; None if it is missing or empty."""
        return self.request.query_params.get(name) or None

    def link(self, path: str, **query: Any) -> str:
        """An address of the console that keeps the chosen billing company."""
        chosen = self.request.query_params.get("company")
        given = {"company": chosen} | query
        found = {name: str(value) for name, value in given.items() if value not in (None, "")}
        return f"{quote(path)}?{urlencode(found)}" if found else quote(path)

    # -- reads

    def snapshot(self) -> AbstractAsyncContextManager[ReadConnection]:
        """A connection that reads one snapshot, for several queries."""
        return self.console.reads.snapshot()

    async def read(
        self,
        query: Callable[Concatenate[ReadConnection, P], Awaitable[Result]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Result:
        """The result of one query in a snapshot of its own."""
        async with self.snapshot() as connection:
            return await query(connection, *args, **kwargs)

    async def result(self, service: ServiceName, command_id: str) -> Outcome:
        """What became of a command that was sent before.

        Refused for the command of another person to one whose roles are limited to companies.
        """
        found = await self.read(command_result, service, command_id)
        if found and found["actor"] != self.identity.person and not self.identity.sees_all:
            raise Refused(
                "other_billing_company",
                f"the command {command_id} is of {found['actor']}",
                "ask a person whose role covers all billing companies",
            )
        return _outcome(None, found)

    # -- commands

    async def act(
        self,
        form_id: str,
        name: str,
        /,
        *,
        seconds: float = RESULT_SECONDS,
        unless: Callable[[], Awaitable[Refusal | None]] | None = None,
        **fields: Any,
    ) -> Outcome:
        """Send the command of a form under the name of the person, and wait a little for its
        result. The same form with the same content is sent as the same command.

        `unless`: why it must not be sent; asked only if the command has no result yet.
        """
        if not FORM_ID.fullmatch(form_id):
            return Outcome(refusal=Refusal("form_unreadable", "the form has lost its id", "reload"))
        try:
            command = command_of_form(form_id, name, self.identity.person, **fields)
        except ValidationError as error:
            return Outcome(refusal=_of_fields(error))

        async def read(sent: AnyCommand) -> dict[str, Any] | None:
            return await self.read(command_result, sent.owner, sent.command_id)

        if (found := await read(command)) is None:
            if unless is not None and (refusal := await unless()) is not None:
                return Outcome(command, refusal=refusal)
            try:
                await self.console.commander.publish(command)
            except Refused as refused:
                return Outcome(command, refusal=Refusal(refused.code, refused.message, refused.fix))
            found = await result_within(read, command, seconds)
        return _outcome(command, found)

    # -- answers

    def show(
        self, template: str, block: str | None = None, status: int = 200, **values: Any
    ) -> HTMLResponse:
        """The page of a template; only one block of it if a `block` is named (for htmx)."""
        values |= {"page": self}
        if block is not None:
            return HTMLResponse(render_block(ENVIRONMENT, template, block, values), status)
        return HTMLResponse(ENVIRONMENT.get_template(template).render(values), status)

    def redirect(self, path: str, **query: Any) -> RedirectResponse:
        """Go on to another page, which can be reloaded."""
        return RedirectResponse(self.link(path, **query), SEE_OTHER)

    def redirect_to(self, address: str) -> RedirectResponse:
        """Go on to an address that `link` made."""
        return RedirectResponse(address, SEE_OTHER)

    def block(self, name: str) -> str | None:
        """The block that htmx asks for; None for a whole page."""
        return name if self.request.headers.get("HX-Request") else None

    def go(self, address: str) -> Response:
        """Go on to another page, also from a part of a page that htmx asked for."""
        if self.request.headers.get("HX-Request"):
            return HTMLResponse("", headers={"HX-Redirect": address})
        return self.redirect_to(address)

    def again(self) -> Response:
        """Load this address as a whole page, after a part of it had to wait."""
        return HTMLResponse("", headers={"HX-Refresh": "true"})

    def to_command(self, outcome: Outcome, then: str = "") -> Response:
        """Go on to the page that shows what became of a command."""
        if outcome.command is None:
            raise ValueError("no command was sent")
        sent = outcome.command
        return self.redirect(f"/commands/{sent.owner}/{sent.command_id}", then=then)


def console_of(request: Request) -> Console:
    """What all requests share."""
    console: Console = request.app.state.console
    return console


def cookie_name() -> str:
    """The cookie of the session: browsers give a cookie to all ports of a host."""
    return f"backoffice_session_{settings().http_port}"


async def open_page(request: Request) -> AsyncIterator[Page]:
    """The page of a request. Raises `SignInNeeded`, and `Refused` for a form without its token."""
    console = console_of(request)
    token = request.cookies.get(cookie_name(), "")
    session = await console.sessions.session(token) if token else None
    if session is None:
        raise SignInNeeded
    if request.method not in ("GET", "HEAD"):
        form = await request.form()
        if not secrets.compare_digest(str(form.get("csrf_token", "")), session.csrf_token):
            raise Refused("form_expired", "this form is of an earlier sign-in", "reload the page")
    async with console.reads.snapshot() as connection:
        identity = await identify(connection, session.person, is_open=console.is_open)
        names = await company_names(connection)
    companies = {one: name for one, name in names.items() if identity.sees(one)}
    page = Page(request, identity, session.csrf_token, companies, {})
    if request.method == "GET" and not request.headers.get("HX-Request"):
        page.counts = {
            each.path: await each.count(page) for each in console.screens if each.count is not None
        }
    yield page


OpenPage = Annotated[Page, Depends(open_page)]


def _outcome(command: AnyCommand | None, found: dict[str, Any] | None) -> Outcome:
    if found is None or found["outcome"] == "accepted":
        return Outcome(command, found)
    return Outcome(command, found, Refusal(found["code"], found["message"], found["fix"]))


def _of_fields(error: ValidationError) -> Refusal:
    problems = {
        ".".join(str(part) for part in each["loc"]): each["msg"].removeprefix("Value error, ")
        for each in error.errors()
    }
    message = "; ".join(f"{name}: {why}" if name else why for name, why in problems.items())
    return Refusal("form_unreadable", message, "correct the form and send it again", problems)


# -- templates


def _text(value: Any) -> Any:
    """Every text of a template passes here: control characters are shown as escapes."""
    if isinstance(value, Markup):
        return value
    return visible(value) if isinstance(value, str) else "" if value is None else value


def shown_columns(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> Sequence[Column]:
    """The columns that have something to show, as on the command line."""
    return [column for column in columns if any(column.cell(row) for row in rows)]


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_text,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["shown_columns"] = shown_columns
    made.filters["figure"] = lambda value: f"{value:,}"
    made.filters["amount"] = lambda value: "0.00" if value is None else f"{value:,f}"
    return made


ENVIRONMENT = _environment()
