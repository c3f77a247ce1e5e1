"""A vendor on its server with two ports to it, patient and impatient, that share one vault: what
the suites of the vendors run on.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

from services.arg_sync.ledgers.adapter import AdapterContext, AdapterSpec
from tests.ledgers.fake import playing
from tests.ledgers.suite import OpenVault, Stage, at_once
from tests.ledgers.vendors.login import CLIENT_ID, CLIENT_SECRET, REFRESH, SECRETS


@contextlib.asynccontextmanager
async def staged(
    kind: AdapterSpec,
    vendor: Any,
    settings: Mapping[str, str],
    codes: Mapping[str, str],
    base: str = "",
    secrets: Mapping[str, str] | None = None,
) -> AsyncIterator[Stage]:
    """The stage. `base` is the path of the API on the server."""
    async with playing(vendor) as server:
        secret_store = OpenVault(
            dict(secrets or {"client_secret": CLIENT_SECRET, "refresh_token": REFRESH})
        )
        urls = {
            "base_url": server.url + base,
            "token_url": server.url + "/token",
            "client_id": CLIENT_ID,
        }
        defaults = {
            each.name: each.default
            for each in kind.settings
            if each.default is not None and not each.secret
        }
        hosts = [
            AdapterContext("gl-us", {**defaults, **urls, **settings}, secret_store, at_once, can)
            for can in (kind.capabilities, replace(kind.capabilities, request_seconds=0.5))
        ]
        ports = [kind.make(host) for host in hosts]
        yield Stage(ports[0], ports[1], server, SECRETS, codes)
        for port in ports:
            await port.close()
