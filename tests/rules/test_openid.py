"""Sign-in at an OpenID provider: what proves who someone is, and what does not.

The conversation is real HTTP with the strict provider of `tests/openid_provider.py`. Sections are
of OpenID Connect Core 1.0 (`Core`), Discovery 1.0 and RP-Initiated Logout 1.0.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from services.console.sessions.openid import Begun, OpenId, Person, find_openid
from services.console.sessions.openid_claims import grants_of, person_of, read_mapping
from shared.errors import Refused
from shared.settings import Settings
from tests.openid_provider import CLIENT, SECRET, Provider, running_provider

BACK = "http://127.0.0.1:9/sign-in/openid/callback"
KIM = {"email": "kim@acme.example", "email_verified": True, "name": "Kim"}


@pytest.fixture(scope="module")
def server() -> Iterator[Provider]:
    """One provider for this module."""
    with running_provider() as provider:
        yield provider


@pytest.fixture
def provider(server: Provider) -> Provider:
    """It tells the truth about Kim."""
    server.tell_the_truth(dict(KIM))
    return server


def console(provider: Provider, **given: Any) -> OpenId:
    """The console's side of a provider."""
    known = {
        "openid_issuer": provider.issuer,
        "openid_client_id": CLIENT,
        "openid_client_secret": SECRET,
    }
    found = find_openid(Settings(**known | given))
    assert found is not None
    return found


async def answer_of(begun: Begun) -> dict[str, str]:
    """What the provider gives the browser to bring back."""
    async with httpx2.AsyncClient() as browser:
        answer = await browser.get(begun.address)
    assert answer.status_code == 302, answer.text
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    return {name: values[0] for name, values in query.items()}


async def sign_in(openid: OpenId, **changes: str) -> Person:
    """A whole sign-in; `changes`: what is brought back or kept in place of the true value."""
    begun = await openid.begin(BACK)
    answer = await answer_of(begun)
    assert answer["state"] == begun.state
    kept = {"nonce": begun.nonce, "code_verifier": begun.code_verifier}
    for name in kept:
        kept[name] = changes.pop(name, kept[name])
    return await openid.finish(answer | changes, BACK, **kept)


async def refused(openid: OpenId, **changes: str) -> str:
    """The code with which a sign-in is refused; a refusal has a message and a fix."""
    with pytest.raises(Refused) as found:
        await sign_in(openid, **changes)
    assert found.value.message and found.value.fix
    return found.value.code


async def test_a_sign_in_names_the_person_and_his_roles(provider: Provider) -> None:
    """console 4: roles from a claim, with limits to billing companies; PKCE, nonce and state are
    checked by the provider and here.
    """
    provider.claims["groups"] = ["bo-admins", "us-desk", "cleaners"]
    openid = console(
        provider, openid_roles_claim="groups", openid_roles="bo-admins=admin,us-desk=clerk:acme"
    )
    found = await sign_in(openid)
    assert (found.person, found.name) == ("kim@acme.example", "Kim")
    assert found.grants == {("admin", ""), ("clerk", "acme")}
    place = await openid.sign_out_address(found.id_token, "http://127.0.0.1:9/sign-in")
    query = parse_qs(urlsplit(place or "").query)
    assert query["id_token_hint"] == [found.id_token]  # Logout 2
    assert query["post_logout_redirect_uri"] == ["http://127.0.0.1:9/sign-in"]


async def test_claims_that_are_not_in_the_token_are_asked_for(provider: Provider) -> None:
    """Core 5.3: UserInfo gives them; Core 5.3.2: not if it is about another person."""
    provider.only_userinfo = {"roles": ["viewer", "clerk:acme", "nonsense"]}
    openid = console(provider, openid_roles_claim="roles")
    assert (await sign_in(openid)).grants == {("viewer", ""), ("clerk", "acme")}
    provider.only_userinfo["sub"] = "another"
    assert await refused(openid) == "openid_unreadable"


def later(seconds: int) -> Callable[[dict[str, Any]], None]:
    """A clock of the provider that is ahead by so much; its tokens are valid for 300 s."""

    def change(claims: dict[str, Any]) -> None:
        now = int(time.time())
        claims |= {"iat": now + seconds, "exp": now + seconds + 300}

    return change


@pytest.mark.parametrize("seconds", [-340, 0, 50])
async def test_clocks_may_differ_by_a_minute(provider: Provider, seconds: int) -> None:
    """Core 3.1.3.7 (9, 10): a token that ended 40 s ago, or is made in 50 s, counts."""
    provider.change_token = later(seconds)
    assert (await sign_in(console(provider))).person == "kim@acme.example"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("another audience (3)", lambda claims: claims.update(aud="another")),
        ("a list with another, made for that", lambda c: c.update(aud=[CLIENT, "b"], azp="b")),
        ("another issuer (2)", lambda claims: claims.update(iss="https://evil.example")),
        ("no nonce (11)", lambda claims: claims.pop("nonce")),
        ("another nonce (11)", lambda claims: claims.update(nonce="another")),
        ("ended (9)", later(-3_600)),
        ("made in an hour (10)", later(3_600)),
        ("no subject", lambda claims: claims.pop("sub")),
        ("of another access token (3.1.3.8)", lambda claims: claims.update(at_hash="wrong")),
    ],
)
async def test_a_token_that_proves_nothing_is_refused(
    provider: Provider, name: str, change: Callable[[dict[str, Any]], None]
) -> None:
    """Core 3.1.3.7, by its numbers."""
    provider.change_token = change
    assert await refused(console(provider)) == "openid_token_invalid", name


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
async def test_a_token_needs_the_signature_of_a_public_key(
    provider: Provider, algorithm: str
) -> None:
    """Core 3.1.3.7 (6 to 8): not without one, nor with the public key as a shared secret, although
    the discovery document offers both.
    """
    provider.algorithm = algorithm
    assert await refused(console(provider)) == "openid_token_invalid"


async def test_a_new_key_of_the_provider_is_found_and_a_foreign_one_is_not(
    provider: Provider,
) -> None:
    """Core 10.1.1: keys rotate; a token by a key that is not in the set proves nothing."""
    openid = console(provider)
    await sign_in(openid)
    provider.key = provider.published = provider.new_key()
    assert (await sign_in(openid)).person == "kim@acme.example"
    provider.key = provider.new_key()
    assert await refused(openid) == "openid_token_invalid"


async def test_a_stolen_code_is_of_no_use(provider: Provider) -> None:
    """RFC 7636: without the verifier of the browser that asked; RFC 6749 4.1.2: nor twice."""
    openid = console(provider)
    assert await refused(openid, code_verifier="another" * 8) == "openid_token_invalid"
    begun = await openid.begin(BACK)
    answer = await answer_of(begun)
    await openid.finish(answer, BACK, begun.nonce, begun.code_verifier)
    with pytest.raises(Refused):
        await openid.finish(answer, BACK, begun.nonce, begun.code_verifier)


async def test_what_the_provider_answers_is_said(provider: Provider) -> None:
    """Core 3.1.2.6: an error of the provider is shown; RFC 9207: another one did not answer; a
    client that it does not know is told.
    """
    openid = console(provider)
    with pytest.raises(Refused, match="access_denied not for you"):
        await sign_in(openid, error="access_denied", error_description="not for you")
    assert await refused(openid, iss="https://evil.example") == "openid_mixed_up"
    with pytest.raises(Refused, match="invalid_client"):
        await sign_in(console(provider, openid_client_secret="wrong"))


async def test_a_provider_that_is_down_or_another_is_named(provider: Provider) -> None:
    """Discovery 4.3: it must call itself as the setting does; without it, what else works is
    said. When it answers again, so does the sign-in.
    """
    down = console(provider, openid_issuer="http://127.0.0.1:9")
    with pytest.raises(Refused, match="does not answer") as found:
        await down.begin(BACK)
    assert "one-time links work" in found.value.fix
    openid = console(provider)
    provider.change_metadata = lambda found: found.update(issuer="https://evil.example")
    with pytest.raises(Refused, match=r"calls itself https://evil\.example"):
        await openid.begin(BACK)
    provider.change_metadata = lambda found: found.pop("token_endpoint")
    with pytest.raises(Refused, match="token_endpoint"):
        await openid.begin(BACK)
    provider.change_metadata = lambda _: None
    assert (await sign_in(openid)).person == "kim@acme.example"
    provider.change_metadata = lambda found: found.update(
        end_session_endpoint="https://evil.example/end"
    )
    assert await console(provider).sign_out_address("token", "http://127.0.0.1:9/") is None


def test_an_address_counts_if_the_provider_verified_it() -> None:
    """Core 5.1: else anybody gives himself the address of another person."""
    assert person_of(KIM, "email") == "kim@acme.example"
    for claims in ({"email": "kim@acme.example"}, KIM | {"email_verified": "false"}, {}):
        with pytest.raises(Refused):
            person_of(claims, "email")
    assert person_of({"preferred_username": " kim "}, "preferred_username") == "kim"


def test_roles_of_a_claim() -> None:
    """A claim may be a list or a text, and lie inside another; unknown values give no role."""
    mapping = read_mapping("a b=admin, us=clerk:acme,us=viewer")
    assert grants_of({"groups": ["a b", "us", "x", 3]}, "groups", mapping) == {
        ("admin", ""),
        ("clerk", "acme"),
        ("viewer", ""),
    }
    nested = {"realm_access": {"roles": ["manager", "offline_access", "clerk:"]}}
    assert grants_of(nested, "realm_access.roles", {}) == {("manager", "")}
    assert grants_of(
        {"https://a.example/roles": "viewer clerk"}, "https://a.example/roles", {}
    ) == {
        ("viewer", ""),
        ("clerk", ""),
    }
    assert grants_of({}, "groups", {}) == set()
    for text in ("admin", "x=boss", "=admin", "x=clerk:"):
        with pytest.raises(Refused, match="BACKOFFICE_OPENID_ROLES"):
            read_mapping(text)


def test_settings_that_cannot_work_are_refused_at_the_start() -> None:
    """A provider over plain HTTP elsewhere, and one without a client."""
    assert find_openid(Settings()) is None
    with pytest.raises(Refused, match="no https address"):
        find_openid(Settings(openid_issuer="http://id.acme.example", openid_client_id="x"))
    with pytest.raises(Refused, match="CLIENT_ID"):
        find_openid(Settings(openid_issuer="https://id.acme.example"))
