"""The sockets of the wire: which addresses may be reached, and the last look at the clock before bytes of a write leave.

A name is resolved once, its address checked, and that address connected to, so that a name cannot mean another machine a moment later.
"""

import asyncio
import ipaddress
import socket
import ssl
import time
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import httpcore2
from httpcore2._backends.auto import AutoBackend

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class Forbidden(Exception):
    """The address is one that we do not talk to."""


class Late(Exception):
    """The time in which this worker may write is over: another may be at work on the same document."""


@dataclass
class Sending:
    """One call: until when (monotonic) bytes may leave, None for reads; and whether any left."""

    before: float | None = None
    began: bool = False


SENDING: ContextVar[Sending | None] = ContextVar("sending", default=None)


def may_be_reached(address: str, *, loopback: bool, private: bool) -> bool:
    """Whether an IP address may be talked to: public ones; loopback if the URL says so itself; private and link-local ones if allowed."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if ip.is_loopback:
        return loopback
    return (ip.is_global and not ip.is_multicast) or (
        private and not ip.is_multicast and not ip.is_unspecified
    )


class _Stream(httpcore2.AsyncNetworkStream):
    """A socket that looks at the clock before each write."""

    def __init__(self, inner: httpcore2.AsyncNetworkStream) -> None:
        self._inner = inner

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._inner.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        sending = SENDING.get()
        if sending is not None and buffer:
            if sending.before is not None and time.monotonic() >= sending.before:
                raise Late  # what left before is no whole request: a server carries out nothing of it
            sending.began = True
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        return _Stream(await self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class Guarded(httpcore2.AsyncNetworkBackend):
    """Connects to addresses that may be reached and to no other."""

    def __init__(self, *, loopback: bool, private: bool) -> None:
        self._inner = AutoBackend()
        self._loopback = loopback
        self._private = private

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                host, port, type=socket.SOCK_STREAM
            )
        except OSError as error:
            raise httpcore2.ConnectError(str(error)) from error
        addresses = [str(one[4][0]) for one in found]
        for address in addresses:
            if not may_be_reached(
                address.partition("%")[0], loopback=self._loopback, private=self._private
            ):
                raise Forbidden(address)
        last: Exception | None = None
        for address in addresses:
            try:
                return _Stream(
                    await self._inner.connect_tcp(
                        address, port, timeout, local_address, socket_options
                    )
                )
            except httpcore2.ConnectError as failed:
                last = failed
        raise last or httpcore2.ConnectError(f"{host} has no address")

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)
