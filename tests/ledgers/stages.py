"""A vendor on its server with two ports to it, patient and impatient, that share one vault: what
the suites of the vendors run on.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

from joserfc.jwk import ECKey, RSAKey

from services.arg_sync.ledgers import business_central as bc
from services.arg_sync.ledgers import netsuite as ns
from services.arg_sync.ledgers import quickbooks as qb
from services.arg_sync.ledgers import xero
from services.arg_sync.ledgers.adapter import AdapterContext, AdapterSpec
from tests.ledgers.fake import playing
from tests.ledgers.suite import OpenVault, Stage, at_once
from tests.ledgers.vendors import business_central, netsuite, quickbooks
from tests.ledgers.vendors import xero as played_xero
from tests.ledgers.vendors.login import CLIENT_ID, CLIENT_SECRET, REFRESH, SECRETS

PAIR = ECKey.generate_key("P-256")


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


def xero_stage(**of_vendor: Any) -> AbstractAsyncContextManager[Stage]:
    """Xero."""
    vendor = played_xero.XeroVendor(**of_vendor)
    codes = {"account": "200", "tax": "OUTPUT"}
    return staged(xero.LEDGER, vendor, {"tenant_id": played_xero.TENANT}, codes, played_xero.BASE)


def quickbooks_stage(country: str = "US", **settings: str) -> AbstractAsyncContextManager[Stage]:
    """QuickBooks."""
    vendor = quickbooks.QuickBooksVendor(country=country)
    codes = {"account": "4000", "item": "11", "tax": "3"}
    return staged(qb.LEDGER, vendor, {"realm_id": quickbooks.REALM} | settings, codes)


def central_stage(**settings: str) -> AbstractAsyncContextManager[Stage]:
    """Business Central."""
    vendor = business_central.BusinessCentralVendor()
    at = {"tenant": business_central.TENANT, "company_id": business_central.COMPANY}
    return staged(bc.LEDGER, vendor, at | settings, {"account": "6110", "tax": "T10"})


def netsuite_stage(
    pair: ECKey | RSAKey = PAIR, **settings: str
) -> AbstractAsyncContextManager[Stage]:
    """NetSuite, with a key pair of ours."""
    vendor = netsuite.NetSuiteVendor()
    vendor.login.certificate = pair
    at = {"account_id": "123456_SB1", "certificate_id": "cert-1", "currencies": "USD=1,EUR=4"}
    secrets = {"private_key": pair.as_pem(private=True).decode()}
    codes = {"account": "4000", "item": "42", "tax": "5"}
    return staged(ns.LEDGER, vendor, at | settings, codes, secrets=secrets)
