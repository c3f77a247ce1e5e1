"""A server that plays an accounting system over real sockets, and misbehaves on demand.

Its journal has what it carried out.

What it carried out is used its journal.

A vendor's file beside this one says what its API answers (`Vendor`); the faults of the network are
the same for all and live here.
"""

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, Protocol
from urllib.parse import parse_qsl, urlsplit

FaultName = Literal[
    "silence",  # accepts, then never answers
    "reset",  # accepts, then resets the connection
    "cut",  # accepts, sends half of the JSON
    "slow",  # accepts, sends a byte a second
    "late",  # accepts some seconds after the client gave up
    "page-after",  # accepts, then a proxy answers 502 with a page
    "page-503",  # refuses with a page, nothing happened
    "429",  # refuses: too many
    "expired",  # refuses: the token is over
    "redirect",  # sends to another host
    "error-200",  # the vendor's way to refuse inside a 200
    "refuse",  # the vendor's way to refuse a document for good
    "wrong-amount",  # accepts, with another amount
]


@dataclass(frozen=True)
class Fault:
    """One misbehaviour.

    `seconds`: how late, or what Retry-After says (`words` if it is to be odd).
    """

    name: FaultName
    seconds: float = 1.0
    words: str = ""


@dataclass(frozen=True)
class Asked:
    """A request as the vendor sees it."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body."""
        return json.loads(self.body, parse_float=Decimal) if self.body else None


@dataclass
class Reply:
    """What it answers."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})

    @classmethod
    def of(cls, status: int, value: Any) -> "Reply":
        """JSON; decimals as strings unless the vendor writes them itself."""
        return cls(status, json.dumps(value, default=str).encode())


@dataclass
class Written:
    """A document that the server accepted: the oracle of every test."""

    number: str
    kind: str
    total: Decimal
    currency: str
    customer: str
    remote_id: str
    state: str
    key: str = ""


class Vendor(Protocol):
    """An accounting system in memory.

    `handle` carries out and answers; the journal holds every document that was ever accepted.
    """

    journal: list[Written]

    def handle(self, asked: Asked) -> Reply:
        """Carries a request out."""
        ...

    def makes_document(self, asked: Asked) -> bool:
        """Whether the request makes a document: the one on which planned faults fall."""
        ...

    def refusal(self, asked: Asked, *, in_200: bool) -> Reply:
        """How it refuses a document for good, in its own form; `in_200`: with status 200 where
        it has such a way, else as it does.
        """
        ...

    def with_wrong_amount(self, asked: Asked) -> Reply:
        """Accepts the document with another amount than was asked."""
        ...


@dataclass
class FakeServer:
    """A vendor on a port of the loopback.

    `plan` says what the next requests that make a document meet, one each; `delay` goes before all.
    """

    vendor: Vendor
    delay: float = 0.0
    faults: deque[Fault] = field(default_factory=deque)
    choose: Callable[[Asked], Fault | None] | None = None
    calls: list[tuple[float, str, str]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    port: int = 0
    _server: asyncio.Server | None = None
    _open: set[asyncio.Task[None]] = field(default_factory=set)
    _late: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"

    def plan(self, *faults: Fault) -> None:
        """The next requests that make a document meet these, in this order."""
        self.faults.extend(faults)

    async def start(self) -> None:
        """Listens; after a stop on the same port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Resets every connection, as a killed server does; the journal stays."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in [*self._open, *self._late]:
            task.cancel()
        await asyncio.gather(*self._open, *self._late, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            while (asked := await _read(reader)) is not None:
                self.calls.append((time.monotonic(), asked.method, asked.path))
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                try:
                    keep = await self._answer(asked, writer)
                finally:
                    self.at_once -= 1
                if not keep:
                    return
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _answer(self, asked: Asked, writer: asyncio.StreamWriter) -> bool:
        """Answers one request; whether the connection may be used again."""
        if self.delay:
            await asyncio.sleep(self.delay)
        fault = None
        if self.vendor.makes_document(asked):
            fault = (
                self.choose(asked)
                if self.choose is not None
                else self.faults.popleft()
                if self.faults
                else None
            )
        if fault is None:
            await _send(writer, self.vendor.handle(asked))
            return True
        return await self._misbehave(fault, asked, writer)

    async def _misbehave(self, fault: Fault, asked: Asked, writer: asyncio.StreamWriter) -> bool:
        page = Reply(
            503,
            b"<html><body><h1>Service Unavailable</h1></body></html>",
            {"content-type": "text/html"},
        )
        if fault.name == "page-503":
            await _send(writer, page)
        elif fault.name == "429":
            await _send(
                writer,
                Reply(
                    429,
                    b'{"error":"slow down"}',
                    {
                        "content-type": "application/json",
                        "retry-after": fault.words or f"{fault.seconds:.0f}",
                    },
                ),
            )
        elif fault.name == "expired":
            await _send(writer, Reply(401, b'{"error":"token expired"}'))
        elif fault.name == "redirect":
            await _send(
                writer, Reply(308, b"", {"location": fault.words or "http://169.254.169.254/"})
            )
        elif fault.name in ("error-200", "refuse"):
            await _send(writer, self.vendor.refusal(asked, in_200=fault.name == "error-200"))
        elif fault.name == "late":
            task = asyncio.create_task(self._carry_out_later(fault.seconds, asked))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
            await asyncio.sleep(3600)
        else:
            return await self._break_off(fault, asked, writer)
        return True

    async def _break_off(self, fault: Fault, asked: Asked, writer: asyncio.StreamWriter) -> bool:
        """Carries it out, and lets the client be in doubt."""
        reply = (
            self.vendor.with_wrong_amount(asked)
            if fault.name == "wrong-amount"
            else self.vendor.handle(asked)
        )
        if fault.name == "wrong-amount":
            await _send(writer, reply)
            return True
        if fault.name == "silence":
            await asyncio.sleep(3600)
        if fault.name == "page-after":
            await _send(
                writer,
                Reply(502, b"<html><body>Bad Gateway</body></html>", {"content-type": "text/html"}),
            )
            return True
        # An answer without a body is cut, and is slow, in its head.
        head, body = (_head(reply), reply.body) if reply.body else (b"", _head(reply))
        if fault.name == "cut":
            writer.write(head + body[: len(body) // 2])
            await writer.drain()
        if fault.name == "slow":
            writer.write(head)
            for byte in body:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(fault.seconds)
        return False

    async def _carry_out_later(self, seconds: float, asked: Asked) -> None:
        await asyncio.sleep(seconds)
        self.vendor.handle(asked)


@contextlib.asynccontextmanager
async def playing(vendor: Vendor) -> AsyncIterator[FakeServer]:
    """A server that plays this vendor while the block lasts."""
    server = FakeServer(vendor)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def _read(reader: asyncio.StreamReader) -> Asked | None:
    head = await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b""
    if not head:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines if line)
    }
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    parts = urlsplit(target)
    return Asked(
        method, parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)), headers, body
    )


def _head(reply: Reply) -> bytes:
    lines = [
        f"HTTP/1.1 {reply.status} X",
        f"content-length: {len(reply.body)}",
        *(f"{name}: {value}" for name, value in reply.headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _send(writer: asyncio.StreamWriter, reply: Reply) -> None:
    writer.write(_head(reply) + reply.body)
    await writer.drain()
