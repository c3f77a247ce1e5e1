"""People in a browser: persons and roles, sessions, keys of programs, on a stack that is signed."""

import json
import re
import stat
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from shared.signing import read_signer
from tests.web.conftest import CUT_OFF, violations
from tests.web.signed import SignedOffice

pytestmark = pytest.mark.slow


def signed_in(context: BrowserContext, signed: SignedOffice, person: str) -> Page:
    """A page of a person who used a one-time link."""
    page = context.new_page()
    page.goto(signed.office.link(person))
    return page


def test_an_admin_adds_limits_and_disables_a_person(
    browser: Browser, context: BrowserContext, signed_office: SignedOffice
) -> None:
    """console 3 row 10: the roles count at once, a person who is disabled has no session any more,
    and a name that is known is not overwritten by the form for a new one.
    """
    address = signed_office.office.address
    tab = signed_in(context, signed_office, "ada")
    tab.goto(f"{address}/people")
    tab.get_by_role("button", name="Add a person").click()
    tab.get_by_label("Login name or e-mail address").fill("mia")
    tab.get_by_role("button", name="Add", exact=True).click()
    expect(tab.get_by_role("alert")).to_contain_text("mia is known already")
    tab.get_by_label("Login name or e-mail address").fill("nils")
    tab.get_by_label("clerk, beta Inc.").check()
    tab.get_by_role("button", name="Add", exact=True).click()
    expect(tab.get_by_role("status")).to_contain_text("nils has clerk of beta")

    with browser.new_context() as own:
        nils = own.new_page()
        nils.goto(signed_office.office.link("nils"))
        expect(nils.get_by_text("clerk (beta)")).to_have_count(1)
        tab.get_by_role("link", name="nils").first.click()
        expect(tab.get_by_label("clerk, beta Inc.")).to_be_checked()
        tab.get_by_label("May sign in and act").uncheck()
        tab.get_by_role("button", name="Save").click()
        expect(tab.get_by_role("status")).to_contain_text("is disabled")
        nils.reload()
        expect(nils.get_by_label("Password")).to_be_visible()
    tab.goto(f"{address}/people/sign-ins?person=nils")
    expect(tab.get_by_role("region", name="Sign-ins")).to_contain_text("ended by ada")


def test_sessions_end_one_by_one_and_all_at_once(
    browser: Browser, context: BrowserContext, signed_office: SignedOffice
) -> None:
    """Everyone sees and ends his own sessions; an admin those of all, and who did it is on
    record.
    """
    address, pages = signed_office.office.address, []
    for _ in range(3):
        pages.append(browser.new_context().new_page())
        pages[-1].goto(signed_office.office.link("mia"))
    mia = pages[0]
    mia.goto(f"{address}/people")
    expect(mia.get_by_role("heading", name="Your sessions")).to_be_visible()
    rows = mia.get_by_role("region", name="Sessions").get_by_role("row")
    expect(rows).to_have_count(4)
    others = rows.filter(has_text="End all of mia").filter(has_not_text="This is the one")
    others.first.get_by_role("button", name=re.compile("^End session")).click()
    expect(mia.get_by_role("status")).to_contain_text("1 session ended")
    refused = mia.request.post(
        f"{address}/people/end-sessions",
        form={"person": "lea", "csrf_token": token_of(mia), "form_id": "0" * 32},
    )
    assert (refused.status, "may not end the sessions of lea" in refused.text()) == (403, True)
    tab = signed_in(context, signed_office, "ada")
    tab.goto(f"{address}/people")
    tab.get_by_role("button", name="End all of mia").first.click()
    expect(tab.get_by_role("status")).to_contain_text("2 sessions ended")
    for page in pages:
        page.goto(f"{address}/batches")
        expect(page.get_by_label("Password")).to_be_visible()


def token_of(page: Page) -> str:
    """The token of the forms of a session."""
    return str(page.locator("input[name=csrf_token]").first.get_attribute("value"))


def test_a_key_is_made_rotated_and_disabled(
    context: BrowserContext, signed_office: SignedOffice, tmp_path: Path
) -> None:
    """security 4: the private key leaves once, to who made it; a form that is sent twice makes one
    key; the services take what the newest signs, and nothing once it is disabled.
    """
    address = signed_office.office.address
    tab = signed_in(context, signed_office, "ada")
    tab.goto(f"{address}/people/keys/new")
    tab.get_by_label("Name of the program").fill("payroll")
    tab.get_by_label("manager, all billing companies").check()
    form = tab.locator("form", has=tab.get_by_role("button", name="Make the key"))
    sent = form.evaluate("form => Object.fromEntries(new FormData(form))")
    place = f"{address}/people/keys/add"
    answers = [tab.request.post(place, form=sent, max_redirects=0) for _ in range(2)]
    places = {each.headers["location"] for each in answers}
    assert len(places) == 1
    first = downloaded(tab, address + places.pop(), tmp_path / "first.jwk")
    assert answer(signed_office, first) == "ok"
    other = signed_in(context.browser.new_context(), signed_office, "mia")
    form_id = sent["form_id"]
    assert other.request.get(f"{address}/people/keys/made/{form_id}/file").status == 404

    tab.goto(f"{address}/people")
    tab.get_by_role("button", name="Rotate payroll").click()
    tab.get_by_role("button", name="Rotate", exact=True).click()
    second = downloaded(tab, tab.url, tmp_path / "second.jwk")
    assert (answer(signed_office, first), answer(signed_office, second)) == ("key_disabled", "ok")
    tab.goto(f"{address}/people")
    tab.get_by_role("button", name="Disable payroll").click()
    tab.get_by_label("Reason").last.fill("no longer used")
    tab.get_by_role("button", name="Disable", exact=True).click()
    expect(tab.get_by_role("status")).to_contain_text("Done")
    assert answer(signed_office, second) == "key_disabled"


def downloaded(tab: Page, place: str, path: Path) -> Path:
    """Download the private key of a page."""
    tab.goto(place)
    with tab.expect_download() as download:
        tab.get_by_role("button", name="Download the private key").click()
    download.value.save_as(path)
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    assert json.loads(path.read_text())["program"] == "payroll"
    return path


def answer(signed: SignedOffice, file: Path) -> str:
    """The code that a command gets which this key signs."""
    from dataclasses import replace

    program = replace(signed.office, signer=read_signer(file))
    return program.send("set-time-group", time_group="G-1", cycle="monthly").code


def test_a_limited_role_is_refused_on_the_page_and_on_the_topic(
    context: BrowserContext, signed_office: SignedOffice
) -> None:
    """console 5: a clerk of acme sees nothing of beta and generates nothing; the page says who
    may, and the services refuse the same commands on the topic.
    """
    address = signed_office.office.address
    tab = signed_in(context, signed_office, "lea")
    expect(tab.get_by_text("clerk (acme)")).to_have_count(1)
    expect(tab.get_by_label("Billing company", exact=True)).to_have_count(0)
    for path in ("/batches?company=beta", "/generate?company=beta", "/pay-lines?company=beta"):
        answer = tab.goto(address + path)
        assert answer is not None and answer.status == 403, path
        expect(tab.get_by_text("does not cover the billing company beta")).to_be_visible()
    tab.goto(f"{address}/pay-lines")
    assert "T-acme-1" in tab.content() and "beta" not in tab.locator("main").inner_text()

    tab.goto(f"{address}/generate?company=acme&cut_off={CUT_OFF}")
    tab.get_by_role("button", name="Check").click()
    tab.get_by_role("button", name="Preview", exact=True).click()
    expect(tab.get_by_text("To generate takes the role manager.")).to_be_visible()
    preview = re.search(r"/preview/(\w+)", tab.url)
    assert preview is not None
    commit = f"{address}/generate/commit/{preview[1]}?company=acme"
    form = {"csrf_token": token_of(tab), "form_id": "1" * 32}
    shown = tab.request.post(commit, form=form).text()
    assert "has not the role" in shown or "manager" in shown
    about = {"billing_company": "acme", "cut_off_date": CUT_OFF}
    refused = signed_office.as_person("lea", "generate-batch", digest="0" * 64, **about)
    assert (refused.outcome, refused.code) == ("refused", "not_permitted"), refused
    elsewhere = signed_office.as_person("lea", "health-check", billing_company="beta")
    assert (elsewhere.outcome, elsewhere.code) == ("refused", "other_billing_company")

    tab.goto(f"{address}/people")
    expect(tab.get_by_role("button", name="Add a person")).to_have_count(0)
    assert "mia" not in tab.locator("main").inner_text()
    form = {"person": "lea", "grant": "admin:", "enabled": "yes", "known": "yes"}
    form |= {"csrf_token": token_of(tab), "form_id": "2" * 32}
    made = tab.request.post(f"{address}/people/save", form=form)
    assert (made.status, "not_permitted" in made.text()) == (400, True)
    assert signed_office.as_person("lea", "set-person", person="lea").code == "not_permitted"


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_people_is_accessible_and_fits(
    context: BrowserContext, signed_office: SignedOffice, width: int, scheme: str
) -> None:
    """console 2: axe-core finds nothing serious, and only tables are wider than a telephone."""
    tab = signed_in(context, signed_office, "ada")
    tab.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    tab.set_viewport_size({"width": width, "height": 900})
    for path in ("", "/new", "/person/lea", "/sign-ins", "/keys/new", "/keys/made/x"):
        tab.goto(f"{signed_office.office.address}/people{path}")
        assert violations(tab) == [], path
        assert tab.evaluate("document.documentElement.scrollWidth") <= width, path
    context.clear_cookies()
    tab.goto(f"{signed_office.office.address}/sign-in")
    assert violations(tab) == []
