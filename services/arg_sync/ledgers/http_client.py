"""The HTTP client of all adapters: allowed hosts, https, no redirects, deadlines, size limits.

It awaits the rate budget before each call and turns errors into the failure classes. An adapter
gives method, path and body, and gets a `Response` whatever the status, or a `Failure`.
`writes=True` marks calls that change something: a cut or late response to one is `unknown`, and
nothing of one is sent after the deadline that `writing` set.
"""

import asyncio
import html
import json
import re
import ssl
import time
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any

import httpcore2
import httpx2

from services.arg_sync.ledgers.failures import TOO_MANY, Failure, FailureClass, unreadable
from services.arg_sync.ledgers.network import (
    WRITE_DEADLINE,
    ForbiddenAddress,
    GuardedBackend,
    WriteDeadline,
    WriteDeadlinePassed,
    is_public,
    is_test_host,
)
from shared import clock
from shared.json_text import finite_decimal, read_json_text

RESPONSE_BYTES = 20 * 1024 * 1024
CONNECT_SECONDS = 10.0
QUOTED_LENGTH = 300
WORD_LENGTH = 12
"""Below that, a secret that is a word may be any word of a text."""
GZIP = b"\x1f\x8b"
HEADING = re.compile(r"(?is)<(title|h1)[^>]*>\s*([^<]*[^<\s][^<]*)</\1>")
SCRIPTS = re.compile(r"(?is)<(script|style).*?</\1>")
UNSTORABLE = re.compile("[\0\ud800-\udfff]")
MAYBE_UNSTORABLE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])|[\ud800-\udfff]")
REPLACEMENT = "\ufffd"
_BEFORE: ContextVar[float | None] = ContextVar("write_before", default=None)
_WRITTEN: ContextVar[list[str] | None] = ContextVar("written", default=None)


@contextmanager
def writing(before: float) -> Iterator[None]:
    """Let writes of this task be sent until that moment of the monotonic clock, not later."""
    token = _BEFORE.set(before)
    try:
        yield
    finally:
        _BEFORE.reset(token)


@contextmanager
def noting_writes() -> Iterator[list[str]]:
    """Return the list of the writes that are begun meanwhile, by path; may be nested."""
    written: list[str] = []
    token = _WRITTEN.set(written)
    try:
        yield written
    finally:
        _WRITTEN.reset(token)
        if (outer := _WRITTEN.get()) is not None:
            outer += written


def require_time_to_write() -> None:
    """Raise a `late` failure after the deadline that `writing` set: for writes without HTTP."""
    before = _BEFORE.get()
    if before is not None and time.monotonic() >= before:
        raise _late()


@dataclass(frozen=True)
class Response:
    """A whole response. `hide`: our secrets, no part of which a quotation of it shows.

    `has_secrets`: it may hold new tokens, which nothing can hide yet, so it is not quoted at all.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    hide: frozenset[str] = frozenset()
    has_secrets: bool = False

    @property
    def text(self) -> str:
        """The body as text, without NUL, which PostgreSQL cannot store and UTF-16 is full of."""
        return self.body.decode("utf-8", "replace").replace("\0", "")

    def json(self, *, writes: bool) -> Any:
        """Return the body as JSON with exact decimals. Raises an `unreadable` failure."""
        try:
            text = self.body.decode(json.detect_encoding(self.body), "surrogatepass")
            value = read_json_text(text, parse_float=finite_decimal)
            return storable(value) if MAYBE_UNSTORABLE.search(text) else value
        except ValueError as error:
            raise unreadable(
                f"the response ({self.status}) is not JSON: {self.words}", writes=writes
            ) from error

    @property
    def raw(self) -> str:
        """The whole body as text, without our secrets."""
        if self.has_secrets:
            return f"{len(self.body):,} bytes, not shown because they may hold a token"
        return without(self.hide, self.text)

    @property
    def words(self) -> str:
        """The beginning of the body for messages: of an HTML page, its heading."""
        body = self.raw
        if "<" in body[:200]:
            heading = HEADING.search(body)
            body = heading[2] if heading else SCRIPTS.sub(" ", body)
            body = html.unescape(re.sub(r"<[^>]+>", " ", body))
        return " ".join(body.split())[:QUOTED_LENGTH] or "(no text)"

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait, from `Retry-After`; None without one. The caller caps it."""
        return retry_after(self.headers.get("retry-after"), clock.now())


def storable(value: Any) -> Any:
    """Replace NUL and lone surrogates, which PostgreSQL cannot store, in every text of a value."""
    if isinstance(value, str):
        return UNSTORABLE.sub(REPLACEMENT, value)
    if isinstance(value, list):
        return [storable(one) for one in value]
    if isinstance(value, dict):
        return {storable(name): storable(one) for name, one in value.items()}
    return value


def without(hide: Iterable[str], text: str) -> str:
    """Replace these secrets in a text by asterisks, where they are values of their own.

    A part of a longer word is no secret: the password `pass` must not make `***word` of it. A
    secret that is a short word (`invoice`) is replaced in quotation marks and after `=` or `:`
    only; elsewhere the asterisks would tell the word.
    """
    for secret in sorted(filter(None, hide), key=len, reverse=True):
        text = _pattern(secret).sub("***", text)
    return text


@lru_cache(maxsize=256)
def _pattern(secret: str) -> re.Pattern[str]:
    """Return where a text quotes this secret."""
    quoted = re.escape(secret)
    if secret.isalpha() and len(secret) < WORD_LENGTH:
        return re.compile(rf"(?<=[\"'=:`])\s?{quoted}(?![A-Za-z0-9])")
    before = r"(?<![A-Za-z0-9])" if secret[0].isalnum() else ""
    after = r"(?![A-Za-z0-9])" if secret[-1].isalnum() else ""
    return re.compile(before + quoted + after)


def retry_after(header: str | None, now: datetime) -> float | None:
    """Return the header in seconds from now: digits or an HTTP date; nonsense counts as none."""
    if header is None or not header.strip():
        return None
    text = header.strip()
    if re.fullmatch(r"[0-9]{1,15}(\.[0-9]+)?", text):
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return max(0.0, (when - now if when.tzinfo else when.replace(tzinfo=UTC) - now).total_seconds())


def failure_of(response: Response, *, writes: bool, words: str = "") -> Failure | None:
    """Return the failure that a status means; None below 300. `words` replace the body."""
    if response.status < 300:
        return None
    failed = _failure_of_status(response, words or response.words, writes=writes)
    return failed.reading(failed.message, response.raw)


def _failure_of_status(response: Response, text: str, *, writes: bool) -> Failure:
    status = response.status
    if status < 400:
        return Failure(
            "permanent",
            "redirect",
            f"it redirects (HTTP {status}), and no redirect is followed: correct the address",
            everywhere=True,
        )
    if status in (401, 403):
        return Failure("auth", f"http_{status}", f"it refuses our login (HTTP {status}): {text}")
    if status == 429:
        return Failure(
            "transient",
            TOO_MANY,
            f"too many requests (HTTP 429): {text}",
            retry_after=response.retry_after,
            everywhere=True,
        )
    if status in (408, 425) or status >= 500:
        return Failure(
            "unknown" if writes else "transient",
            f"http_{status}",
            f"HTTP {status}: {text}",
            retry_after=response.retry_after,
            everywhere=status in (502, 503),
        )
    return Failure("permanent", f"http_{status}", f"HTTP {status}: {text}")


class HttpClient:
    """The HTTP connections of one adapter. `hide`: secrets to hide where the ledger quotes them."""

    def __init__(
        self,
        base_url: str,
        rate_limiter: Callable[[], Awaitable[None]],
        *,
        request_seconds: float,
        allowed_hosts: Iterable[str] = (),
        concurrency: int = 10,
        verify: ssl.SSLContext | None = None,
    ) -> None:
        self.base = _checked(base_url, tuple(allowed_hosts))
        self.hide: set[str] = set()
        self._turn = rate_limiter
        self._seconds = request_seconds
        transport = httpx2.AsyncHTTPTransport(verify=verify or True, trust_env=False)
        transport._pool = httpcore2.AsyncConnectionPool(
            ssl_context=verify or httpx2.create_ssl_context(),
            max_connections=concurrency * 2,
            max_keepalive_connections=concurrency * 2,
            keepalive_expiry=15.0,
            network_backend=GuardedBackend(local=is_test_host(self.base.host)),
        )
        self._client = httpx2.AsyncClient(
            transport=transport,
            follow_redirects=False,
            trust_env=False,
            timeout=httpx2.Timeout(request_seconds, connect=min(CONNECT_SECONDS, request_seconds)),
        )

    async def call(
        self,
        method: str,
        path: str,
        *,
        writes: bool,
        content: str | bytes | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        has_secrets: bool = False,
    ) -> Response:
        """Send one request to `base` + `path` as soon as the rate budget allows.

        `has_secrets`: the response may hold tokens, and is never quoted.
        """
        for name, text in (headers or {}).items():
            if not (text.isascii() and text.isprintable()):
                raise Failure(
                    "permanent",
                    "bad_header",
                    f"the header {name} would hold a character that HTTP does not take:"
                    " correct the settings and secrets of the connection",
                    everywhere=True,
                )
        await self._turn()
        sending = WriteDeadline(_BEFORE.get() if writes else None)
        if writes and (written := _WRITTEN.get()) is not None:
            written.append(path)
        if sending.before is not None and time.monotonic() >= sending.before:
            raise _late()
        token = WRITE_DEADLINE.set(sending)
        try:
            async with asyncio.timeout(self._seconds):
                response = await self._send(method, path, content, params, headers, writes)
                return replace(response, has_secrets=has_secrets)
        except WriteDeadlinePassed as error:
            raise _late() from error
        except ForbiddenAddress as error:
            raise Failure(
                "permanent",
                "forbidden_address",
                f"{self.base.host} is at {error}, an address that is not allowed",
                everywhere=True,
            ) from error
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise self._cut(
                sending, writes, "timeout", f"no whole response within {self._seconds:.0f} s"
            ) from error
        except (
            httpx2.HTTPError,
            httpx2.InvalidURL,
            httpcore2.NetworkError,
            httpcore2.ProtocolError,
            OSError,
        ) as error:
            raise self._cut(
                sending, writes, "cut", f"the connection failed: {type(error).__name__}: {error}"
            ) from error
        finally:
            WRITE_DEADLINE.reset(token)

    async def _send(
        self, method: str, path: str, content: Any, params: Any, headers: Any, writes: bool
    ) -> Response:
        url = (
            self.base.join(str(self.base).rstrip("/") + path) if path.startswith("/") else self.base
        )
        sent = {"accept": "application/json", "accept-encoding": "identity"} | dict(headers or {})
        async with self._client.stream(
            method, url, content=content, params=params, headers=sent
        ) as response:
            body = bytearray()
            async for part in response.aiter_raw():
                body += part
                if len(body) > RESPONSE_BYTES:
                    break
            whole = decompressed(bytes(body))
            if len(whole) > RESPONSE_BYTES:
                raise Failure(
                    "unknown" if writes else "permanent",
                    "response_too_large",
                    f"the response is larger than {RESPONSE_BYTES:,} bytes",
                )
            return Response(
                response.status_code,
                {name.lower(): value for name, value in response.headers.items()},
                whole,
                frozenset(self.hide),
            )

    def _cut(self, sending: WriteDeadline, writes: bool, code: str, words: str) -> Failure:
        """Return the failure of a cut call. A write is `unknown` only if a byte was sent."""
        failure: FailureClass = "unknown" if writes and sending.began else "transient"
        return Failure(
            failure,
            code if sending.began else "unreachable",
            self.clean(f"{self.base.host}: {words}"),
            everywhere=True,
        )

    def clean(self, text: str) -> str:
        """Replace our secrets in a text."""
        return without(self.hide, text)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def decompressed(body: bytes) -> bytes:
    """Decompress a body, up to one byte more than the size limit.

    We ask for no compression. Some servers compress anyway, and Tryton marks large responses as
    compressed when they are not, so only the bytes tell.
    """
    if not body.startswith(GZIP):
        return body
    try:
        return zlib.decompressobj(wbits=31).decompress(body, RESPONSE_BYTES + 1)
    except zlib.error:
        return body


def _late() -> Failure:
    return Failure("transient", "late", "our time for this write was over before it was sent")


def _bad_address(message: str) -> Failure:
    return Failure("permanent", "bad_address", message, everywhere=True)


def _checked(base_url: str, allowed_hosts: tuple[str, ...]) -> httpx2.URL:
    """Return the base URL. Raises a permanent failure for an address that is not allowed.

    The hosts of the kind hold for every address. Test hosts are those that the setting
    `ledger_test_hosts` of arg_sync names; no connection can add one.
    """
    try:
        url = httpx2.URL(base_url)
    except httpx2.InvalidURL as error:
        raise _bad_address(f"{base_url!r} is no URL: {error}") from error
    if url.userinfo or url.query or url.fragment or not url.host:
        raise _bad_address("the base URL has a host and a path, no user, query or fragment")
    if is_test_host(url.host) and url.scheme in ("http", "https"):
        return url
    if not is_public(url.host):
        raise _bad_address(f"{url.host} is on this machine or in a private network")
    if url.scheme != "https":
        raise _bad_address(f"{url.host} needs https")
    if allowed_hosts and not any(
        url.host == suffix.lstrip(".") or (suffix.startswith(".") and url.host.endswith(suffix))
        for suffix in allowed_hosts
    ):
        hosts = ", ".join(allowed_hosts)
        raise _bad_address(f"{url.host} is no host of this kind of ledger: {hosts}")
    return url


def exact_json(value: Any) -> str:
    """Return compact JSON in which a Decimal is a number with all its digits."""
    mark = "\uf8ff"

    def number(one: Any) -> str:
        if isinstance(one, Decimal):
            return f"{mark}{one:f}{mark}"
        raise TypeError(f"{type(one).__name__} has no JSON form")

    text = json.dumps(value, default=number, ensure_ascii=False, separators=(",", ":"))
    return re.sub(f'"{mark}(-?[0-9.]+){mark}"', r"\1", text)
