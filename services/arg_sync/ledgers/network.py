"""The sockets of the HTTP client: allowed addresses, and the deadline of each write.

A name is resolved once, its address checked, and that address connected to, so that the name cannot
point to another machine a moment later.
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


class ForbiddenAddress(Exception):
    """The address is not allowed."""


class WriteDeadlinePassed(Exception):
    """This worker may no longer write: another one may work on the same document."""


@dataclass
class WriteDeadline:
    """One call: until when (monotonic) bytes may be sent, None for reads; whether any were."""

    before: float | None = None
    began: bool = False


WRITE_DEADLINE: ContextVar[WriteDeadline | None] = ContextVar("sending", default=None)


def is_allowed(address: str, *, loopback: bool, private: bool) -> bool:
    """Return whether an IP address is allowed.

    Public ones are; loopback if the URL names it; private and link-local ones if configured.
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if ip.is_loopback:
        return loopback
    return (ip.is_global and not ip.is_multicast) or (
        private and not ip.is_multicast and not ip.is_unspecified
    )


class _Stream(httpcore2.AsyncNetworkStream):
    """A socket that checks the deadline before each write."""

    def __init__(self, inner: httpcore2.AsyncNetworkStream) -> None:
        self._inner = inner

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._inner.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        deadline = WRITE_DEADLINE.get()
        if deadline is not None and buffer:
            if deadline.before is not None and time.monotonic() >= deadline.before:
                # No server carries out the part of a request that was sent before.
                raise WriteDeadlinePassed
            deadline.began = True
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


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Connects to allowed addresses only."""

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
            if not is_allowed(
                address.partition("%")[0], loopback=self._loopback, private=self._private
            ):
                raise ForbiddenAddress(address)
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
