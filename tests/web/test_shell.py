"""The shell of the web console: sign-in, what every page obeys, and what no request gets past."""

import re
from urllib.parse import quote

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.web.conftest import HOSTILE, Office, violations

pytestmark = pytest.mark.slow
PASSWORD = "four words are enough"
SCREENS = (
    *("/batches", "/generate", "/invoices", "/search?text=nothing"),
    *("/setup", "/setup/companies", "/setup/billto?node=office-beta", "/setup/upload/debtors"),
    *("/edit/set-billing-company?billing_company=acme", "/edit/set-time-group"),
    *("/setup/workflows", "/edit", "/edit/set-workflow"),
)


def test_a_link_signs_in_once(context: BrowserContext, office: Office) -> None:
    """The second use of a link, and one that was made up, are refused with what to do."""
    link = office.link()
    page = context.new_page()
    page.goto(link)
    expect(page.get_by_role("heading", name="Batches")).to_be_visible()
    context.clear_cookies()
    for used in (link, f"{office.address}/sign-in/link/made-up"):
        page.goto(used)
        expect(page.get_by_role("alert")).to_contain_text("backoffice console link")


def test_without_a_session_no_page_is_shown(context: BrowserContext, office: Office) -> None:
    """Every screen leads to sign-in, and after it back to where one was; signing out ends it."""
    office.set_password("ana", PASSWORD)
    page = context.new_page()
    for path in SCREENS:
        page.goto(office.address + path)
        expect(page.get_by_label("Password")).to_be_visible()
    page.goto(f"{office.address}/invoices?state=open")
    page.get_by_label("Login name").fill("ana")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{office.address}/invoices?state=open")
    (cookie,) = context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    page.get_by_text("ana").first.click()
    page.get_by_role("button", name="Sign out").click()
    context.add_cookies([cookie])
    page.goto(f"{office.address}/batches")
    expect(page.get_by_label("Password")).to_be_visible()


def test_failed_sign_ins_make_a_person_wait(context: BrowserContext, office: Office) -> None:
    """After five failures the right password is refused, too, until the window is over."""
    office.set_password("ben", PASSWORD)
    page = context.new_page()
    for attempt in range(6):
        page.goto(f"{office.address}/sign-in")
        page.get_by_label("Login name").fill("ben")
        page.get_by_label("Password").fill("wrong" if attempt < 5 else PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        said = "do not belong together" if attempt < 5 else "too many sign-ins failed"
        expect(page.get_by_role("alert")).to_contain_text(said)


def test_forms_of_elsewhere_and_unknown_names_are_refused(tab: Page, office: Office) -> None:
    """A form without the token of the session, from another origin, or to another name of the
    server changes nothing.
    """
    form = {"form_id": "0" * 32, "billing_company": "acme"}
    asked = tab.request.post(f"{office.address}/generate/check", form=form)
    assert (asked.status, "earlier sign-in" in asked.text()) == (403, True)
    for headers in (
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "evil.example"},
    ):
        asked = tab.request.post(f"{office.address}/sign-out", form=form, headers=headers)
        assert asked.status == 403, headers
    tab.goto(f"{office.address}/batches")
    expect(tab.get_by_role("heading", name="Batches")).to_be_visible()


def test_every_answer_forbids_what_is_inline_or_from_elsewhere(tab: Page, office: Office) -> None:
    """The policy allows no inline script or style, and no page has any."""
    for path in SCREENS:
        answer = tab.goto(office.address + path)
        assert answer is not None
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy and "script-src 'self'" in policy
        assert answer.headers["cache-control"] == "no-store"
        assert not re.search(r"<script(?![^>]*src=)|\son\w+=|<style|\sstyle=", answer.text())


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_screen_is_accessible_and_fits(
    tab: Page, office: Office, width: int, scheme: str
) -> None:
    """console 2: axe-core finds nothing serious, and only tables are wider than a telephone."""
    tab.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    tab.set_viewport_size({"width": width, "height": 900})
    for path in (*SCREENS, "/nothing-here"):
        tab.goto(office.address + path)
        assert violations(tab) == [], path
        assert tab.evaluate("document.documentElement.scrollWidth") <= width, path


def test_text_of_others_is_text(tab: Page, office: Office) -> None:
    """console 2: markup is shown, a formula is no formula, marks of direction are escapes."""
    tab.goto(f"{office.address}/generate?company=beta")
    tab.get_by_label("Cut-off date").fill("2026-03-31")
    tab.get_by_role("button", name="Check").click()
    tab.get_by_role("button", name="Preview", exact=True).click()
    expect(tab.get_by_role("heading", name="Close these documents")).to_be_visible()
    shown = tab.content()
    assert "&lt;script&gt;alert(1)" in shown and "<script>alert" not in shown
    assert tab.locator("b").count() == 0
    tab.goto(f"{office.address}/search?text={quote(HOSTILE + chr(0x202E) + chr(7))}")
    shown = tab.content()
    assert "<script>alert" not in shown
    assert "\\u202e" in shown and chr(0x202E) not in shown and chr(7) not in shown


def test_the_search_finds_by_what_people_type(tab: Page, office: Office) -> None:
    """A document leads to its lines, a debtor to its invoices, nothing says what to type."""
    box = tab.get_by_label("Find a document, invoice, line, debtor or batch")
    box.fill("no such thing")
    box.press("Enter")
    expect(tab.get_by_text("Nothing has exactly this id")).to_be_visible()
    sheet = office.add_week("acme")
    found = tab.request.get(f"{office.address}/search?text={sheet}", max_redirects=0)
    assert found.headers["location"] == f"/pay-lines?company=acme&document={sheet}"


def test_the_keyboard_alone_reaches_the_preview(tab: Page, office: Office) -> None:
    """console 2: each step has a place in the order of the tab key, and the focus is visible."""
    office.add_week("acme")
    tab.goto(f"{office.address}/batches")
    tab.keyboard.press("Tab")
    expect(tab.get_by_role("link", name="Skip to the content")).to_be_focused()
    for role, name, follows in (
        ("link", "Generate Invoices", "Check"),
        ("button", "Check", "Preview"),
        ("button", "Preview", "Preview again"),
    ):
        press_until_focused(tab, role, name)
        assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        tab.keyboard.press("Enter")
        expect(tab.get_by_role("button", name=follows, exact=True)).to_be_visible()
    expect(tab.get_by_role("heading", name="Left out")).to_be_visible()


def press_until_focused(tab: Page, role: str, name: str) -> None:
    """Press the tab key until a link or button has the focus."""
    selector = "a" if role == "link" else "button"
    for _ in range(80):
        focused = tab.evaluate(
            "[document.activeElement.localName, document.activeElement.innerText]"
        )
        if focused[0] == selector and focused[1].strip() == name:
            return
        tab.keyboard.press("Tab")
    pytest.fail(f"the tab key does not reach {name}")
