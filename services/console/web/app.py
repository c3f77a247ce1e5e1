"""The application: its screens, what they share, and how failures are shown."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from services.console.actions.commander import Commander
from services.console.actions.signer import find_console_signer
from services.console.actions.verification import Verification
from services.console.addresses import find_addresses
from services.console.queries.pool import ReadPool
from services.console.queries.verification import run_checks
from services.console.sessions.openid import find_openid
from services.console.sessions.store import SessionStore
from services.console.web import (
    batches,
    commands,
    credits,
    downloads,
    edit,
    generate,
    inbox,
    invoices,
    monitoring,
    openid,
    pay_lines,
    people,
    program_keys,
    search,
    setup,
    setup_upload,
    signing_in,
    why,
)
from services.console.web.pages import ENVIRONMENT, FOLDER, SEE_OTHER, Console, SignInNeeded
from services.console.web.protection import Protection
from services.console.web.signing_in import HOME, sign_in_address
from shared import telemetry
from shared.errors import Refused, Unavailable
from shared.settings import OPEN, settings

SCREENS: tuple[Any, ...] = (
    *(batches, generate, invoices, pay_lines, inbox, setup, monitoring, people),
)
"""The screens of the navigation, in its order; each is a module with `SCREEN` and `router`."""
OTHERS: tuple[Any, ...] = (
    signing_in,
    openid,
    search,
    commands,
    downloads,
    credits,
    why,
    edit,
    setup_upload,
    program_keys,
)
NOT_FOUND_CODES = ("unknown_", "ambiguous_")
FORBIDDEN_CODES = ("no_role", "other_billing_company", "not_permitted", "form_expired")

health = APIRouter()


def build_app() -> FastAPI:
    """The application; it connects to nothing before its start."""
    app = FastAPI(lifespan=_lifespan, openapi_url=None, docs_url=None, redoc_url=None)
    app.include_router(health)
    for module in (*OTHERS, *SCREENS):
        app.include_router(module.router)
    app.mount("/static", StaticFiles(directory=FOLDER / "static"))
    app.state.openid = find_openid(settings())
    public = urlsplit(settings().console_url).hostname or ""
    names = [*settings().console_hosts.split(","), public]
    hosts = frozenset(name.strip().lower() for name in names) - {""}
    also_to = app.state.openid.origin if app.state.openid else ""
    app.add_middleware(Protection, hosts=hosts, forms_also_to=also_to)
    app.add_exception_handler(SignInNeeded, _to_sign_in)
    for kind in (Refused, Unavailable, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, _show_failure)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    found = find_addresses()
    console = Console(
        ReadPool(found.database_url),
        SessionStore(found.database_url),
        Commander(found.kafka, find_console_signer()),
        Verification(partial(run_checks, found.database_url)),
        is_open=settings().commands == OPEN,
        screens=[module.SCREEN for module in SCREENS],
        openid=app.state.openid,
    )
    app.state.console, app.state.prepared = console, False
    try:
        yield
    finally:
        await console.verification.close()
        await console.commander.close()
        await console.reads.close()
        await console.sessions.close()


@health.get("/")
async def home() -> RedirectResponse:
    """The first screen."""
    return RedirectResponse(HOME, SEE_OTHER)


@health.get("/livez")
async def live() -> PlainTextResponse:
    """Whether the process answers."""
    return PlainTextResponse("the process is up")


@health.get("/readyz")
async def ready(request: Request) -> PlainTextResponse:
    """Whether pages can be read; the first time the tables of the sessions are made."""
    try:
        if not request.app.state.prepared:
            await request.app.state.console.sessions.prepare()
            request.app.state.prepared = True
        async with request.app.state.console.reads.snapshot():
            return PlainTextResponse("pages can be read")
    except Unavailable as error:
        return PlainTextResponse(error.message, 503)


def _to_sign_in(request: Request, _: Exception) -> Response:
    """A page goes to sign-in and comes back; a part of a page makes htmx load it."""
    if request.headers.get("HX-Request"):
        return HTMLResponse("", 401, {"HX-Redirect": "/sign-in"})
    return RedirectResponse(sign_in_address(request), SEE_OTHER)


def _show_failure(request: Request, error: Exception) -> Response:
    """A page that says what is wrong and what to do."""
    status, code, message, fix = _described(error)
    if status == 500:
        code = f"unexpected_error {secrets.token_hex(4)}"
        telemetry.log().error("unexpected error", code=code, exc_info=error)
    values = {"status": status, "code": code, "message": message, "fix": fix}
    html = ENVIRONMENT.get_template("failure.html").render(values)
    return HTMLResponse(html, status)


def _described(error: Exception) -> tuple[int, str, str, str]:
    if isinstance(error, Refused):
        status = 404 if error.code.startswith(NOT_FOUND_CODES) else 400
        status = 403 if error.code in FORBIDDEN_CODES else status
        return status, error.code, error.message, error.fix
    if isinstance(error, Unavailable):
        return 503, "unavailable", error.message, "reload the page when it works again"
    if isinstance(error, HTTPException) and error.status_code != 500:
        missing = error.status_code == 404
        message = "there is no such page" if missing else str(error.detail)
        return error.status_code, "no_page", message, "go back, or start from the first screen"
    if isinstance(error, RequestValidationError):
        problems = "; ".join(
            f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in error.errors()
        )
        return 400, "form_unreadable", problems, "go back and correct it"
    return (
        500,
        "unexpected_error",
        "this page met an error of the program",
        ("give this code and the time to the engineers; the log of the console has the rest"),
    )
