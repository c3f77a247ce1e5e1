"""Tokens: renewed by one alone, saved before they are used, dead ones told; and no secret in any
message.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

import pytest

from services.arg_sync.ledgers import oauth
from services.arg_sync.ledgers.adapter import AdapterSpec, Secrets
from services.arg_sync.ledgers.business_central import LEDGER as BUSINESS_CENTRAL
from services.arg_sync.ledgers.failures import Failure
from services.arg_sync.ledgers.http_client import HttpClient
from services.arg_sync.ledgers.oauth import Tokens, refresh_or_client
from services.arg_sync.ledgers.quickbooks import LEDGER as QUICKBOOKS
from tests.ledgers.fake import Asked, FakeServer, Reply, playing
from tests.ledgers.stages import staged
from tests.ledgers.suite import OpenVault, Stage, at_once, create, document, outcome_of
from tests.ledgers.vendors import business_central, quickbooks
from tests.ledgers.vendors.login import CLIENT_ID, CLIENT_SECRET, REFRESH, SECRETS, Login, said


@dataclass
class TokenVendor:
    """A token endpoint, and one page behind it.

    `lost`: so many answers are not given, though the tokens are new.
    """

    login: Login = field(default_factory=Login)
    journal: list[Any] = field(default_factory=list)
    instead: list[Reply] = field(default_factory=list)
    lost: int = 0

    def makes_document(self, asked: Asked) -> bool:
        """Never."""
        return False

    def handle(self, asked: Asked) -> Reply:
        """A token, or the page."""
        if self.instead:
            return self.instead.pop(0)
        reply = self.login.answer(asked)
        if self.lost:
            self.lost -= 1
            return Reply(200, reply.body[:20])
        return reply

    def refusal(self, asked: Asked, *, in_200: bool) -> Reply:
        """Never."""
        raise NotImplementedError

    def with_wrong_amount(self, asked: Asked) -> Reply:
        """Never."""
        raise NotImplementedError


@dataclass
class Watched(OpenVault):
    """A vault that takes its time to save, and says in which order things happen.

    `fails`: so many savings do; `stale`: so many readings are.
    """

    said: list[str] = field(default_factory=list)
    fails: int = 0
    stale: int = 0
    _before: Secrets | None = None

    async def read(self) -> Secrets:
        """What was there before the last change, while it is to be so."""
        if self.stale and self._before is not None:
            self.stale -= 1
            return self._before
        return await super().read()

    async def save(self, version: int, values: Mapping[str, str]) -> Secrets:
        """Slowly."""
        await asyncio.sleep(0.05)
        if self.fails:
            self.fails -= 1
            raise ConnectionError("the database does not answer")
        self._before = await super().read()
        self.said.append(f"saved {values['access_token']}")
        return await super().save(version, values)


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    """A token endpoint."""
    async with playing(TokenVendor()) as made:
        yield made


def vendor_of(server: FakeServer) -> TokenVendor:
    """Its vendor."""
    assert isinstance(server.vendor, TokenVendor)
    return server.vendor


def tokens_on(server: FakeServer, secret_store: OpenVault) -> Tokens:
    """One process's tokens."""
    return Tokens(
        "gl-us",
        secret_store,
        HttpClient(server.url + "/token", at_once, request_seconds=2.0),
        refresh_or_client(CLIENT_ID),
    )


def secret_store() -> Watched:
    """What an operator gave."""
    return Watched({"client_secret": CLIENT_SECRET, "refresh_token": REFRESH})


async def test_twenty_calls_in_three_processes_renew_once(server: FakeServer) -> None:
    """All wait for the one that renews, and use what it saved; the refresh token was used once."""
    held = secret_store()
    processes = [tokens_on(server, held) for _ in range(3)]
    found = await asyncio.gather(*(processes[at % 3].current() for at in range(20)))
    assert {one.values["access_token"] for one in found} == {"canary-access-1"}
    assert (
        len(vendor_of(server).login.asked) == 1
        and held.values["refresh_token"] == "canary-refresh-1"
    )
    for each in processes:
        await each.close()


async def test_new_tokens_are_saved_before_they_are_used(server: FakeServer) -> None:
    """A caller gets the token only after the secret store has it."""
    held = secret_store()
    tokens = tokens_on(server, held)
    held.said.append(f"given {(await tokens.current()).values['access_token']}")
    assert held.said == ["saved canary-access-1", "given canary-access-1"]
    await tokens.close()


async def given_up(server: FakeServer, tokens: Tokens) -> "asyncio.Task[Secrets]":
    """A caller that is cancelled while the vendor renews."""
    server.delay = 0.1
    task = asyncio.create_task(tokens.current())
    await asyncio.sleep(0.05)
    task.cancel()
    return task


async def test_a_call_that_is_given_up_loses_no_token(server: FakeServer) -> None:
    """The caller is cancelled in the middle of a renewal: what the vendor gave is saved
    nevertheless.
    """
    held = secret_store()
    tokens = tokens_on(server, held)
    task = await given_up(server, tokens)
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.sleep(0.4)
    assert held.values["refresh_token"] == vendor_of(server).login.refresh == "canary-refresh-1"
    await tokens.close()


async def test_a_caller_after_one_that_gave_up_waits_for_its_renewal(
    server: FakeServer,
) -> None:
    """The renewal under way is the only one: the next caller gets what it brings."""
    tokens = tokens_on(server, secret_store())
    await given_up(server, tokens)
    assert (await tokens.current()).values["access_token"] == "canary-access-1"
    assert len(vendor_of(server).login.asked) == 1
    await tokens.close()


async def test_who_still_sees_the_old_version_after_a_renewal_does_not_renew_with_it(
    server: FakeServer,
) -> None:
    """A reading that began before the new tokens were saved: the old refresh token, used once
    more, would end the connection.
    """
    held = secret_store()
    tokens = tokens_on(server, held)
    first = await tokens.current()
    held.stale = 2
    tokens.refused(Secrets(first.version, {"access_token": "another"}))
    assert (await tokens.current()).values["access_token"] == "canary-access-1"
    assert held.stale == 0 and len(vendor_of(server).login.asked) == 1
    await tokens.close()


async def test_an_answer_that_could_not_be_saved_is_kept_until_it_is(server: FakeServer) -> None:
    """The database is unavailable at that moment: the vendor is not asked a second time, and no
    one uses the tokens before they are saved.
    """
    held = secret_store()
    tokens = tokens_on(server, held)
    held.fails = 2
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await tokens.current()
    assert (await tokens.current()).values["access_token"] == "canary-access-1"
    assert (
        len(vendor_of(server).login.asked) == 1
        and held.values["refresh_token"] == "canary-refresh-1"
    )
    await tokens.close()


async def test_an_old_token_does_not_leave_after_the_time_of_its_reservation(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was stopped between the reservation and the call: another may have renewed
    meanwhile.
    """
    monkeypatch.setattr(oauth, "CLAIM_SECONDS", -1.0)
    tokens = tokens_on(server, secret_store())
    with pytest.raises(Failure) as failed:
        await tokens.current()
    assert (failed.value.failure, failed.value.code) == ("transient", "late") and not vendor_of(
        server
    ).login.asked
    await tokens.close()


async def test_an_answer_that_is_lost_is_asked_for_again(server: FakeServer) -> None:
    """The old refresh token is taken until the new one was used: the same process tries again at
    once, and the connection lives.
    """
    held = secret_store()
    tokens = tokens_on(server, held)
    vendor_of(server).lost = 1
    with pytest.raises(Failure) as failed:
        await tokens.current()
    assert failed.value.failure == "transient"
    assert (await tokens.current()).values["access_token"] == "canary-access-2"
    assert not vendor_of(server).login.dead
    await tokens.close()


async def test_a_token_that_is_over_is_renewed_before_it_is_used(server: FakeServer) -> None:
    """One minute before its time; a token that lives a minute is renewed for each call."""
    held = secret_store()
    vendor_of(server).login.life_seconds = 50
    tokens = tokens_on(server, held)
    assert [(await tokens.current()).values["access_token"] for _ in range(2)] == [
        "canary-access-1",
        "canary-access-2",
    ]
    await tokens.close()


async def test_a_refused_token_is_renewed_once_for_all(server: FakeServer) -> None:
    """Five calls are refused together: one renewal, also for the one that is refused late."""
    held = secret_store()
    tokens = tokens_on(server, held)
    first = await tokens.current()
    for _ in range(5):
        tokens.refused(first)
        await tokens.current()
    assert len(vendor_of(server).login.asked) == 2
    await tokens.close()


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_a_dead_token_is_reported_without_its_value(server: FakeServer, status: int) -> None:
    """The class is auth, the message names the connection and what to do; the vendor quotes our
    secrets, we don't.
    """
    quoted = base64.b64encode(f"{CLIENT_ID}:{quote(CLIENT_SECRET, safe='')}".encode()).decode()
    vendor_of(server).instead = [
        said(
            status,
            {
                "error": "invalid_grant",
                "error_description": f"{REFRESH} {CLIENT_SECRET} {quoted} "
                + CLIENT_SECRET.replace("/", "\\/"),
            },
        )
    ]
    tokens = tokens_on(server, secret_store())
    with pytest.raises(Failure) as failed:
        await tokens.current()
    assert (
        failed.value.failure == "auth"
        and "refuses the credentials of gl-us" in failed.value.message
    )
    assert not any(secret in f"{failed.value!r} {failed.value}" for secret in (*SECRETS, quoted))
    await tokens.close()


@pytest.mark.parametrize(
    "reply",
    [
        Reply(503, b"<html>busy</html>"),
        Reply(429, b"{}", {"retry-after": "17"}),
        Reply(200, b"{}"),
        Reply(200, b"[1]"),
    ],
)
async def test_a_token_endpoint_that_is_not_well_is_no_dead_token(
    server: FakeServer, reply: Reply
) -> None:
    """It may pass: the connection is not stopped for it."""
    vendor_of(server).instead = [reply]
    tokens = tokens_on(server, secret_store())
    with pytest.raises(Failure) as failed:
        await tokens.current()
    assert failed.value.failure == "transient" and failed.value.everywhere
    await tokens.close()


KINDS: list[tuple[AdapterSpec, Any, dict[str, str], dict[str, str], str]] = [
    (
        QUICKBOOKS,
        quickbooks.QuickBooksVendor,
        {"realm_id": quickbooks.REALM},
        {"account": "4000", "item": "11", "tax": "3"},
        "",
    ),
    (
        BUSINESS_CENTRAL,
        business_central.BusinessCentralVendor,
        {"tenant": business_central.TENANT, "company_id": business_central.COMPANY},
        {"account": "6110", "tax": "T10"},
        "",
    ),
]


@pytest.mark.parametrize(
    ("kind", "vendor", "settings", "codes", "base"), KINDS, ids=lambda one: getattr(one, "name", "")
)
async def test_a_token_that_expires_in_mid_run(
    kind: AdapterSpec, vendor: Any, settings: dict[str, str], codes: dict[str, str], base: str
) -> None:
    """The call fails as auth, nothing was made; after one renewal the same request goes through;
    no secret is in what was said.
    """
    async with staged(kind, vendor(), settings, codes, base) as stage:
        await create(stage.port, document(stage, "INV-1"))
        stage.server.vendor.login.expire()  # type: ignore[attr-defined]
        request = stage.port.render(document(stage, "INV-2"), await _customer(stage))
        stage.server.vendor.login.expire()  # type: ignore[attr-defined]
        failed = await outcome_of(stage.port, request, "INV-2")
        assert failed.failure == "auth" and not any(
            secret in f"{failed!r} {failed.message}" for secret in SECRETS
        )
        await stage.port.renew()
        await create(stage.port, document(stage, "INV-2"))
        assert len(stage.accepted) == 2


async def _customer(stage: Stage) -> str:
    """The customer, with a token renewed if need be."""
    try:
        return await stage.port.customer_for(document(stage).customer) or ""
    except Failure:
        await stage.port.renew()
        return await stage.port.customer_for(document(stage).customer) or ""


def test_nothing_shows_a_secret() -> None:
    """`repr` of what holds secrets does not show them."""
    secrets = Secrets(1, {"refresh_token": REFRESH})
    shown = (
        repr(secrets)
        + str(secrets)
        + repr(replace(secrets))
        + json.dumps({"secrets": repr(secrets)})
    )
    assert "Secrets" in shown
    assert REFRESH not in shown
    assert secrets.values["refresh_token"] == REFRESH, "it is there, and only not shown"
