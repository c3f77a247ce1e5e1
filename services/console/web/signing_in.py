"""Sign in by a one-time link or with a password, and sign out."""

from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from services.console.sessions.rules import LONGEST
from services.console.web.pages import (
    ENVIRONMENT,
    SEE_OTHER,
    OpenPage,
    console_of,
    cookie_name,
)
from shared.errors import Refused
from shared.settings import settings

router = APIRouter()
HOME = "/batches"
MOST = 1_000


def local_path(path: str) -> str:
    """The path if it is one of the console, else the first screen."""
    inside = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if inside else HOME


@router.get("/sign-in")
async def sign_in_form(request: Request, next: str = "") -> HTMLResponse:
    """The form."""
    return sign_in_page(request, next)


@router.post("/sign-in")
async def sign_in(
    request: Request,
    person: Annotated[str, Form(max_length=MOST)] = "",
    password: Annotated[str, Form(max_length=MOST)] = "",
    next: Annotated[str, Form(max_length=MOST)] = "",
) -> Response:
    """Sign a local user in."""
    sessions = console_of(request).sessions
    try:
        token = await sessions.sign_in_by_password(person.strip(), password, address_of(request))
    except Refused as refused:
        return sign_in_page(request, next, person, refused)
    return signed_in(request, token, local_path(next))


@router.get("/sign-in/link/{token}")
async def sign_in_by_link(request: Request, token: str) -> Response:
    """Use up a one-time link."""
    try:
        session = await console_of(request).sessions.sign_in_by_link(token, address_of(request))
    except Refused as refused:
        return sign_in_page(request, refused=refused)
    return signed_in(request, session, HOME)


@router.post("/sign-out")
async def sign_out(page: OpenPage) -> Response:
    """End the session, and that at the OpenID provider if it began there."""
    token = page.request.cookies.get(cookie_name(), "")
    id_token, openid = await page.console.sessions.sign_out(token), page.console.openid
    place = None
    if id_token and openid is not None:
        back = public_address(page.request) + "/sign-in"
        place = await openid.sign_out_address(id_token, back)
    answer = RedirectResponse(place or "/sign-in", SEE_OTHER)
    answer.delete_cookie(cookie_name())
    return answer


def sign_in_address(request: Request) -> str:
    """Where someone without a session signs in, to come back to where he was."""
    if request.method != "GET" or request.url.path == "/":
        return "/sign-in"
    query = f"?{request.url.query}" if request.url.query else ""
    return f"/sign-in?{urlencode({'next': quote(request.url.path) + query})}"


def address_of(request: Request) -> str:
    """Where a request comes from."""
    return request.client.host if request.client else ""


def public_address(request: Request) -> str:
    """Scheme, host and port under which the browser reaches the console."""
    return settings().console_url.rstrip("/") or f"{request.url.scheme}://{request.url.netloc}"


def set_cookie(
    request: Request, answer: Response, name: str, value: str, seconds: int, *, path: str = "/"
) -> None:
    """Set a cookie that no script reads and no page of elsewhere sends with a form."""
    answer.set_cookie(
        name,
        value,
        max_age=seconds,
        path=path,
        httponly=True,
        samesite="lax",
        secure=public_address(request).startswith("https:"),
    )


def signed_in(request: Request, token: str, path: str) -> Response:
    """Go on to a path with a new session."""
    answer = RedirectResponse(path, SEE_OTHER)
    set_cookie(request, answer, cookie_name(), token, int(LONGEST.total_seconds()))
    return answer


def sign_in_page(
    request: Request, next: str = "", person: str = "", refused: Refused | None = None
) -> HTMLResponse:
    """The form, with why a sign-in was refused."""
    openid = console_of(request).openid
    values = {
        "next": local_path(next),
        "person": person,
        "refusal": refused,
        "provider": openid.host if openid else None,
    }
    html = ENVIRONMENT.get_template("sign_in.html").render(values)
    return HTMLResponse(html, 403 if refused else 200)
