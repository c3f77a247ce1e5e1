"""The scopes that Xero is asked for: those of today, and for an older app those that it has."""

from typing import Any

import pytest

from services.arg_sync.ledgers.failures import Failure
from services.arg_sync.ledgers.xero import LEDGER, OLD_SCOPES, SCOPES
from tests.ledgers.fake import Asked, Reply
from tests.ledgers.stages import staged
from tests.ledgers.vendors.login import CLIENT_SECRET, said
from tests.ledgers.vendors.xero import TENANT, XeroVendor

CUSTOM = {"client_secret": CLIENT_SECRET}
"""A custom connection: without a refresh token its scopes are asked for with each token."""


@pytest.mark.parametrize(
    ("settings", "given"),
    [({}, SCOPES), ({"scope": OLD_SCOPES}, OLD_SCOPES)],
    ids=["an app of today", "an app of before March 2026"],
)
async def test_the_scopes_of_the_app_are_asked_for(settings: dict[str, str], given: str) -> None:
    """A new app has no accounting.transactions; an old one keeps it until September 2027."""
    vendor = XeroVendor()
    vendor.login.scopes = frozenset(given.split())
    at = {"tenant_id": TENANT} | settings
    async with staged(LEDGER, vendor, at, {}, secrets=CUSTOM) as stage:
        assert "Acme US" in await stage.port.check()
        assert [asked["scope"] for asked in vendor.login.asked] == [given]


async def test_a_scope_that_the_app_lacks_is_named() -> None:
    """The message says that it is the scope, not the password, and which setting has it."""
    vendor = XeroVendor()
    vendor.login.scopes = frozenset(SCOPES.split())
    at = {"tenant_id": TENANT, "scope": OLD_SCOPES}
    async with staged(LEDGER, vendor, at, {}, secrets=CUSTOM) as stage:
        with pytest.raises(Failure, match=r"refuses the scopes .* setting `scope`") as failed:
            await stage.port.check()
    assert failed.value.failure == "auth"


class Unscoped(XeroVendor):
    """Xero refuses a call that the scopes of the token do not cover.

    Source: XeroAPI/Xero-NetStandard, issue 298.
    """

    detail = ""

    def handle(self, asked: Asked, *more: Any) -> Reply:
        """Give tokens, and refuse all else."""
        if asked.path == "/token":
            return super().handle(asked, *more)
        return said(401, {"Title": "Unauthorized", "Detail": self.detail})


@pytest.mark.parametrize(
    ("detail", "ended"),
    [("AuthorizationUnsuccessful", False), ("TokenExpired: token expired at 10:00", True)],
)
async def test_a_missing_scope_is_no_token_that_ended(detail: str, ended: bool) -> None:
    """A newer token has the same scopes, so the call is not tried again with one."""
    vendor = Unscoped()
    vendor.detail = detail
    async with staged(LEDGER, vendor, {"tenant_id": TENANT}, {}, secrets=CUSTOM) as stage:
        with pytest.raises(Failure) as failed:
            await stage.port.check()
    assert (failed.value.failure, failed.value.token_refused) == ("auth", ended)
