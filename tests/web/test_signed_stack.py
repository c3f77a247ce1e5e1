"""A stack that is signed: sign-in at an OpenID provider, and a worker that is killed while it
generates. The provider is `oidc-provider-mock`; `tests/rules/test_openid.py` has the lies.
"""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from services.console.queries.access import person
from services.console.queries.snapshot import open_snapshot
from tests.conftest import finish
from tests.web.conftest import CUT_OFF, Office
from tests.web.signed import OLGA, OTTO, XIA, SignedOffice
from tests.web.test_generate import batches_of

pytestmark = pytest.mark.slow


def sign_in_at_provider(page: Page, signed: SignedOffice, path: str, sub: str) -> None:
    """Go to a page of the console, and over the provider back to it."""
    page.goto(signed.office.address + path)
    page.get_by_role("button", name="Sign in at localhost").click()
    page.get_by_role("button", name=sub, exact=True).first.click()


def roles_of(office: Office, name: str) -> set[tuple[str, str]] | None:
    """The roles of a person; None if he is not known."""

    async def read() -> set[tuple[str, str]] | None:
        async with open_snapshot(office.database_url) as connection:
            found = await person(connection, name)
            return set(found["grants"]) if found else None

    return finish(read())  # type: ignore[no-any-return]


def test_a_sign_in_at_the_provider_takes_the_roles_over(
    context: BrowserContext, signed_office: SignedOffice
) -> None:
    """console 4: the claim makes Olga a clerk of acme by a command, she comes back to where she
    was, her session ends at the provider, too, and who has no role does not get in.
    """
    office, page = signed_office.office, context.new_page()
    sign_in_at_provider(page, signed_office, "/invoices?state=open", "olga")
    expect(page).to_have_url(f"{office.address}/invoices?state=open")
    expect(page.get_by_text("clerk (acme)")).to_have_count(1)
    assert roles_of(office, OLGA) == {("clerk", "acme")}
    refused = signed_office.as_person(OLGA, "health-check", billing_company="beta")
    assert refused.code == "other_billing_company"
    page.locator(".who summary").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="End Session")).to_be_visible()
    assert page.url.startswith(signed_office.provider)
    page.get_by_role("button", name="End session").click()
    expect(page.get_by_label("Password")).to_be_visible()

    grant = [{"role": "manager"}]
    office.send("set-person", person=OLGA, roles=grant, enabled=True)
    sign_in_at_provider(page, signed_office, "/batches", "olga")
    expect(page.get_by_role("heading", name="Batches")).to_be_visible()
    assert roles_of(office, OLGA) == {("clerk", "acme")}, "the claim counts"
    office.send("set-person", person=OLGA, roles=grant, enabled=False)
    context.clear_cookies()
    for sub, said in (("olga", "is disabled"), ("otto", "has no role"), ("xia", "not verified")):
        sign_in_at_provider(page, signed_office, "/batches", sub)
        expect(page.get_by_role("alert")).to_contain_text(said)
    assert (roles_of(office, OTTO), roles_of(office, XIA)) == (None, None)
    tab = context.new_page()
    tab.goto(office.link("ada"))
    tab.goto(f"{office.address}/people/sign-ins")
    record = tab.get_by_role("region", name="Sign-ins")
    expect(record.get_by_role("row", name=re.compile(f"{OLGA}.*openid signed in"))).to_have_count(2)
    expect(record.get_by_role("row", name=re.compile(f"{OTTO}.*openid refused"))).to_have_count(1)


def test_an_answer_that_no_one_asked_for_signs_no_one_in(
    context: BrowserContext, signed_office: SignedOffice
) -> None:
    """Another person's answer in this browser (login CSRF), the same answer twice, and an error of
    the provider.
    """
    page, callback = context.new_page(), f"{signed_office.office.address}/sign-in/openid/callback"
    for query in ("", "?state=x&code=y"):
        page.goto(callback + query)
        expect(page.get_by_role("alert")).to_contain_text("belongs to no sign-in of this browser")
    answers: list[str] = []
    page.on("request", lambda sent: answers.append(sent.url) if callback in sent.url else None)
    sign_in_at_provider(page, signed_office, "/batches", "otto")
    expect(page.get_by_role("alert")).to_contain_text("has no role")
    page.goto(answers[-1])
    expect(page.get_by_role("alert")).to_contain_text("belongs to no sign-in of this browser")
    page.goto(f"{signed_office.office.address}/sign-in")
    page.get_by_role("button", name="Sign in at localhost").click()
    asked = parse_qs(urlsplit(page.url).query)
    assert asked["code_challenge_method"] == ["S256"] and asked["nonce"]
    page.goto(f"{callback}?state={asked['state'][0]}&error=access_denied")
    expect(page.get_by_role("alert")).to_contain_text("localhost refused: access_denied")
    expect(page.get_by_label("Password")).to_be_visible()


def test_a_worker_that_is_killed_while_it_generates_makes_one_batch(
    context: BrowserContext, signed_office: SignedOffice
) -> None:
    """console 5: the numbers are given when it is killed; the page that waits goes on by itself to
    the batch of the worker that follows, and there is one.
    """
    office, tab = signed_office.office, context.new_page()
    office.add_week("beta")
    tab.goto(office.link("mia"))
    tab.goto(f"{office.address}/generate?company=beta&cut_off={CUT_OFF}")
    tab.get_by_role("button", name="Check").click()
    tab.get_by_role("button", name="Preview", exact=True).click()
    before = batches_of(office, "beta")
    hold = signed_office.pauses / "batch_numbered.hold"
    hold.touch()
    try:
        tab.get_by_role("button", name=re.compile("^Generate")).click()
        office.until(lambda: hold.with_suffix(".reached").exists())
        expect(tab.get_by_text("The batch is built, numbered and closed.")).to_be_visible()
        tab.goto(f"{office.address}/batches")
        tab.go_back()
    finally:
        hold.unlink()
        signed_office.restart("invoicer")
    expect(tab.get_by_role("status")).to_have_text("Batch generated.", timeout=90_000)
    assert len(batches_of(office, "beta")) == len(before) + 1
