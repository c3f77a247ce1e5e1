"""The wire: the one way in which ports speak HTTP. Hosts from a list, https, no redirects, deadlines, caps, the rate budget, failure classes.

A port gives method, path and body; it gets an `Answer`, whatever the status, or a `Failure`. `writes=True` for whatever changes something
there: then a cut or late answer is `unknown`, and nothing leaves after the time that the engine allowed (`writing`).
"""

import asyncio
import json
import re
import ssl
import time
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any

import httpcore2
import httpx2

from services.arg_sync.ledgers.network import (
    LOOPBACK_NAMES,
    SENDING,
    Forbidden,
    Guarded,
    Late,
    Sending,
)
from services.arg_sync.rules.failures import Failure, FailureClass
from shared import clock

ANSWER_BYTES = 20 * 1024 * 1024
CONNECT_SECONDS = 10.0
WORDS_OF_A_PAGE = 300
GZIP = b"\x1f\x8b"
UNSTORABLE = re.compile("[\0\ud800-\udfff]")
MAYBE_UNSTORABLE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])|[\ud800-\udfff]")
INSTEAD = "\ufffd"
_BEFORE: ContextVar[float | None] = ContextVar("write_before", default=None)


@contextmanager
def writing(before: float) -> Iterator[None]:
    """Writes of this task may leave until that moment of the monotonic clock, and not later."""
    token = _BEFORE.set(before)
    try:
        yield
    finally:
        _BEFORE.reset(token)


@dataclass(frozen=True)
class Answer:
    """A whole answer. `hide`: our secrets, which no quotation of it shows, also not the half of one where a quotation ends."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    hide: frozenset[str] = frozenset()

    @property
    def text(self) -> str:
        """The body as text, whatever it is. Without NUL: no database keeps one, and pages in UTF-16 are full of them."""
        return self.body.decode("utf-8", "replace").replace("\0", "")

    def json(self, *, writes: bool) -> Any:
        """The body as JSON with exact decimals. What cannot be read is an unknown outcome of a write, a passing fault of a read."""
        try:
            text = self.body.decode(json.detect_encoding(self.body), "surrogatepass")
            value = json.loads(text, parse_float=Decimal)
            return storable(value) if MAYBE_UNSTORABLE.search(text) else value
        except (ValueError, RecursionError) as error:
            raise Failure(
                "unknown" if writes else "transient",
                "unreadable",
                f"the answer ({self.status}) is not JSON: {self.words}",
            ) from error

    @property
    def words(self) -> str:
        """What a person can read in the body: of a page, its text."""
        said = without(self.hide, self.text)
        text = (
            re.sub(r"(?is)<(script|style).*?</\1>|<[^>]+>", " ", said)
            if "<" in said[:200]
            else said
        )
        return " ".join(text.split())[:WORDS_OF_A_PAGE]

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait, from `Retry-After` in seconds or as a date; None without one. May be absurd: the engine caps it."""
        return retry_after(self.headers.get("retry-after"), clock.now())


def storable(value: Any) -> Any:
    """The same with a sign for NUL and for half characters, wherever they stand: no database keeps those, and what we are told is kept."""
    if isinstance(value, str):
        return UNSTORABLE.sub(INSTEAD, value)
    if isinstance(value, list):
        return [storable(one) for one in value]
    if isinstance(value, dict):
        return {storable(name): storable(one) for name, one in value.items()}
    return value


def without(hide: Iterable[str], words: str) -> str:
    """The words without these secrets."""
    for secret in sorted(filter(None, hide), key=len, reverse=True):
        words = words.replace(secret, "***")
    return words


def retry_after(header: str | None, now: datetime) -> float | None:
    """The header in seconds from now: digits, or an HTTP date; nonsense counts as none."""
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


def failure_of(answer: Answer, *, writes: bool, words: str = "") -> Failure | None:
    """The failure that a status alone means, None below 300; a port that knows the body better decides first."""
    status, said = answer.status, words or answer.words
    if status < 300:
        return None
    if status < 400:
        return Failure(
            "permanent",
            "redirect",
            f"it wants to send us elsewhere (HTTP {status}): we follow no redirect; correct the address",
            everywhere=True,
        )
    if status in (401, 403):
        return Failure("auth", f"http_{status}", f"it refuses our key (HTTP {status}): {said}")
    if status == 429:
        return Failure(
            "transient",
            "too_many_requests",
            f"too many requests (HTTP 429): {said}",
            retry_after=answer.retry_after,
            everywhere=True,
        )
    if status in (408, 425) or status >= 500:
        return Failure(
            "unknown" if writes else "transient",
            f"http_{status}",
            f"HTTP {status}: {said}",
            retry_after=answer.retry_after,
            everywhere=status in (502, 503),
        )
    return Failure("permanent", f"http_{status}", f"HTTP {status}: {said}")


class Wire:
    """The HTTP connections of one port. `hide`: secrets that are blotted out wherever the other side quotes them."""

    def __init__(
        self,
        base_url: str,
        turn: Callable[[], Awaitable[None]],
        *,
        request_seconds: float,
        allowed_hosts: Iterable[str] = (),
        allow_private: bool = False,
        concurrency: int = 10,
        verify: ssl.SSLContext | None = None,
    ) -> None:
        self.base = _checked(base_url, tuple(allowed_hosts))
        self.hide: set[str] = set()
        self._turn = turn
        self._seconds = request_seconds
        transport = httpx2.AsyncHTTPTransport(verify=verify or True, trust_env=False)
        transport._pool = httpcore2.AsyncConnectionPool(
            ssl_context=verify or httpx2.create_ssl_context(),
            max_connections=concurrency * 2,
            max_keepalive_connections=concurrency * 2,
            keepalive_expiry=15.0,
            network_backend=Guarded(
                loopback=self.base.host in LOOPBACK_NAMES, private=allow_private
            ),
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
    ) -> Answer:
        """One request to `base` + `path`, when its turn has come."""
        await self._turn()
        sending = Sending(_BEFORE.get() if writes else None)
        if sending.before is not None and time.monotonic() >= sending.before:
            raise Failure(
                "transient", "late", "our time for this write was over before it was sent"
            )
        token = SENDING.set(sending)
        try:
            async with asyncio.timeout(self._seconds):
                return await self._answer(method, path, content, params, headers, writes)
        except Late as error:
            raise Failure(
                "transient", "late", "our time for this write was over before it was sent"
            ) from error
        except Forbidden as error:
            raise Failure(
                "permanent",
                "forbidden_address",
                f"{self.base.host} is at {error}, an address that we do not talk to",
                everywhere=True,
            ) from error
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise self._cut(
                sending, writes, "timeout", f"no whole answer within {self._seconds:.0f} s"
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
            SENDING.reset(token)

    async def _answer(
        self, method: str, path: str, content: Any, params: Any, headers: Any, writes: bool
    ) -> Answer:
        url = (
            self.base.join(str(self.base).rstrip("/") + path) if path.startswith("/") else self.base
        )
        asked = {"accept": "application/json", "accept-encoding": "identity"} | dict(headers or {})
        async with self._client.stream(
            method, url, content=content, params=params, headers=asked
        ) as response:
            body = bytearray()
            async for part in response.aiter_raw():
                body += part
                if len(body) > ANSWER_BYTES:
                    break
            whole = unpacked(bytes(body))
            if len(whole) > ANSWER_BYTES:
                raise Failure(
                    "unknown" if writes else "permanent",
                    "answer_too_large",
                    f"the answer is larger than {ANSWER_BYTES:,} bytes",
                )
            return Answer(
                response.status_code,
                {name.lower(): value for name, value in response.headers.items()},
                whole,
                frozenset(self.hide),
            )

    def _cut(self, sending: Sending, writes: bool, code: str, words: str) -> Failure:
        """Nothing left: it did not happen. Something left: of a write nobody knows."""
        failure: FailureClass = "unknown" if writes and sending.began else "transient"
        return Failure(
            failure,
            code if sending.began else "unreachable",
            self.clean(f"{self.base.host}: {words}"),
            everywhere=True,
        )

    def clean(self, words: str) -> str:
        """The words without our secrets."""
        return without(self.hide, words)

    async def close(self) -> None:
        """Ends the connections."""
        await self._client.aclose()


def unpacked(body: bytes) -> bytes:
    """The body itself, of at most a byte more than we take. We ask for no compression; some compress none the less, and Tryton says of large
    answers that they are compressed when they are not: only the bytes tell."""
    if not body.startswith(GZIP):
        return body
    try:
        return zlib.decompressobj(wbits=31).decompress(body, ANSWER_BYTES + 1)
    except zlib.error:
        return body


def _checked(base_url: str, allowed_hosts: tuple[str, ...]) -> httpx2.URL:
    """The base URL if we talk to such; else a permanent failure that says what is wrong."""
    try:
        url = httpx2.URL(base_url)
    except httpx2.InvalidURL as error:
        raise Failure(
            "permanent", "bad_address", f"{base_url!r} is no URL: {error}", everywhere=True
        ) from error
    if url.userinfo or url.query or url.fragment or not url.host:
        raise Failure(
            "permanent",
            "bad_address",
            "the base URL holds a host and a path, no user, query or fragment",
            everywhere=True,
        )
    if url.host in LOOPBACK_NAMES and url.scheme in ("http", "https"):
        return url
    if url.scheme != "https":
        raise Failure(
            "permanent", "bad_address", f"{url.host} is spoken to over https only", everywhere=True
        )
    if allowed_hosts and not any(
        url.host == suffix.lstrip(".") or (suffix.startswith(".") and url.host.endswith(suffix))
        for suffix in allowed_hosts
    ):
        raise Failure(
            "permanent",
            "bad_address",
            f"{url.host} is none of the hosts of this kind of ledger: {', '.join(allowed_hosts)}",
            everywhere=True,
        )
    return url


def exact_json(value: Any) -> str:
    """Compact JSON in which a Decimal is a number with all its digits."""
    mark = "\uf8ff"

    def number(one: Any) -> str:
        if isinstance(one, Decimal):
            return f"{mark}{one:f}{mark}"
        raise TypeError(f"{type(one).__name__} has no JSON form")

    text = json.dumps(value, default=number, ensure_ascii=False, separators=(",", ":"))
    return re.sub(f'"{mark}(-?[0-9.]+){mark}"', r"\1", text)
