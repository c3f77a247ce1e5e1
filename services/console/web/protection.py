"""What every answer carries, and what no request gets past.

The headers forbid scripts, styles, pictures and forms of elsewhere, and inline ones. A form is
accepted from a page of the console only.
"""

from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

POLICY = (  # a form that signs out may end at the OpenID provider, {also}
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " font-src 'self'; connect-src 'self'; form-action 'self'{also}; frame-src 'self';"
    " object-src 'self'; base-uri 'none'; frame-ancestors 'self'"
)
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
NO_STORE = (b"cache-control", b"no-store")
CACHED = (b"cache-control", b"max-age=3600")
LONGEST_FORM = 1_000_000
LONGEST_FILE = 20_000_000
UPLOADS = "/setup/upload/"
"""Where forms have files."""
SAFE = ("GET", "HEAD")
HEALTH = ("/livez", "/readyz")
"""What the stack asks, without a name."""
UNKNOWN_HOST = "the console does not answer to this name; see BACKOFFICE_CONSOLE_HOSTS"


class Protection:
    """An ASGI middleware: headers on every answer, and refusals of forms of elsewhere."""

    def __init__(self, app: Any, hosts: frozenset[str], forms_also_to: str = "") -> None:
        self._app, self._hosts = app, hosts
        policy = POLICY.format(also=f" {forms_also_to}" if forms_also_to else "")
        self._headers = ((b"content-security-policy", policy.encode()), *HEADERS)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                given = {name.lower() for name, _ in headers}
                kept = CACHED if scope["path"].startswith("/static/") else NO_STORE
                message["headers"] = headers + [
                    each for each in (*self._headers, kept) if each[0] not in given
                ]
            await send(message)

        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        if scope["path"] not in HEALTH and not self._knows(headers.get("host", "")):
            await _refuse(send_with_headers, UNKNOWN_HOST)
            return
        longest = LONGEST_FILE if scope["path"].startswith(UPLOADS) else LONGEST_FORM
        if why := refusal_of(scope["method"], headers, longest):
            await _refuse(send_with_headers, why)
            return
        await self._app(scope, receive, send_with_headers)

    def _knows(self, host: str) -> bool:
        """Whether the name in the address is one of the console: with another one, a page of
        elsewhere could have been made to mean this server.
        """
        return (urlsplit(f"//{host}").hostname or "") in self._hosts


def refusal_of(method: str, headers: MutableMapping[str, str], longest: int = LONGEST_FORM) -> str:
    """Why a request is not let in; empty if it is."""
    if method in SAFE:
        return ""
    length = headers.get("content-length", "")
    if not length.isdigit() or int(length) > longest:
        return f"a form has at most {longest:,} bytes and says how many"
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != headers.get("host"):
        return "this form was sent by a page of another address"
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return "this form was sent by a page of another address"
    return ""


async def _refuse(send: Any, why: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": why.encode()})
