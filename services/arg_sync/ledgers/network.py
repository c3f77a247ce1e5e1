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

from shared.settings import settings

LOCAL_NAMES = ("localhost", ".localhost", ".local", ".internal")


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


def is_test_host(host: str) -> bool:
    """Return whether the setting `ledger_test_hosts` of this process names the host."""
    return host in {name.strip() for name in settings().ledger_test_hosts.split(",")} - {""}


def is_public(host: str) -> bool:
    """Return whether a host name may be public; for an IP address, whether it is."""
    try:
        return is_allowed(host, local=False)
    except ValueError:
        name = host.rstrip(".").lower()
        return not any(name == local.lstrip(".") or name.endswith(local) for local in LOCAL_NAMES)


def is_allowed(address: str, *, local: bool) -> bool:
    """Return whether an IP address is allowed.

    Public ones are; loopback, private and link-local ones if the host is a test host.
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if ip.is_multicast or ip.is_unspecified:
        return False
    return local or ip.is_global


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

    def __init__(self, *, local: bool) -> None:
        self._inner = AutoBackend()
        self._local = local

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
            if not is_allowed(address.partition("%")[0], local=self._local):
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
