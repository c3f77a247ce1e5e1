"""Set-up in a browser: each edit is the form of its command, files say what is wrong by line, and
a role that is limited to a billing company stays limited.
"""

import re
from functools import partial
from typing import Any

import httpx2 as httpx
import pytest
from playwright.sync_api import Page, expect

from services.console.actions.commander import Commander
from services.console.actions.verification import Verification
from services.console.queries.debtors import debtor_terms, time_groups
from services.console.queries.pool import ReadPool
from services.console.queries.snapshot import open_snapshot
from services.console.queries.verification import run_checks
from services.console.sessions.store import SessionStore
from services.console.web.app import SCREENS, build_app
from services.console.web.pages import Console, cookie_name
from tests.conftest import finish
from tests.web.conftest import HOSTILE, Office

pytestmark = pytest.mark.slow
SECRET = "hunter2-hunter2-hunter2-hunter2-hunter2"


def stored(office: Office, query: Any, *args: Any) -> Any:
    """What a query reads."""

    async def read() -> Any:
        async with open_snapshot(office.database_url) as connection:
            return await query(connection, *args)

    return finish(read())


def test_a_billing_cycle_is_made_changed_and_shown_with_its_next_cycles(
    tab: Page, office: Office
) -> None:
    """console 3, row 8. What is missing is said at the form with everything that was typed; the
    keyboard alone fills it in and sends it; sent twice it is one command.
    """
    tab.goto(f"{office.address}/setup/time-groups")
    tab.get_by_role("button", name="Add a billing cycle").click()
    tab.get_by_label("Time group").fill("W-web")
    tab.get_by_label("Cycle").select_option("weekly")
    tab.get_by_role("button", name="Save").click()
    expect(tab.get_by_role("alert")).to_contain_text("a weekly cycle needs ends_on")
    expect(tab.get_by_label("Time group")).to_have_value("W-web")
    tab.get_by_label("Ends on").focus()
    tab.keyboard.type("sun")
    form: dict[str, Any] = {
        name: value
        for name, value in tab.evaluate(
            "[...new FormData(document.querySelector('form.command')).entries()]"
        )
        if isinstance(value, str)
    }
    tab.get_by_label("Reason").press("Enter")
    expect(tab.get_by_role("status")).to_contain_text("Done")
    again = tab.request.post(f"{office.address}/edit/set-time-group", multipart=form)
    assert (again.status, "Done" in again.text()) == (200, True)
    row = tab.get_by_role("row", name=re.compile("W-web"))
    expect(row).to_contain_text("2026-04-13 to 2026-04-19; 2026-04-20 to 2026-04-26")
    row.get_by_role("link", name="Edit").click()
    expect(tab.get_by_role("heading", name="Billing cycle W-web")).to_be_visible()
    tab.get_by_label("Cycle").select_option("monthly")
    tab.get_by_label("Ends on").select_option("")
    tab.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("2026-04-01 to 2026-04-30")
    (group,) = (one for one in stored(office, time_groups) if one["time_group"] == "W-web")
    assert (group["cycle"], group["ends_on"]) == ("monthly", None)


def test_only_the_terms_that_were_changed_are_sent(tab: Page, office: Office) -> None:
    """A term that someone else set meanwhile stays; a value that cannot be is refused beside its
    field, and a hostile debtor is text.
    """
    name = {"billing_company": "beta", "account_name": HOSTILE}
    office.send("set-debtor-terms", **name, payment_terms="net:10", emails=["a@b.example"])
    tab.goto(f"{office.address}/setup/debtors?company=beta&text=script")
    tab.get_by_role("row", name=re.compile("script")).get_by_role("link", name="Edit").click()
    expect(tab.get_by_role("heading", level=1)).to_contain_text(HOSTILE)
    office.send("set-debtor-terms", **name, contact="Mia")
    tab.get_by_label("Payment terms").fill("in a while")
    tab.get_by_role("button", name="Save").click()
    expect(tab.locator("#p-payment_terms")).to_be_visible()
    tab.get_by_label("Payment terms").fill("net:14")
    tab.get_by_role("button", name="Save").click()
    expect(tab.get_by_role("status")).to_contain_text("Done")
    terms = stored(office, debtor_terms, "beta", HOSTILE)[-1]
    found = (terms["payment_terms"], terms["contact"], terms["emails"])
    assert found == ("net:14", "Mia", ["a@b.example"])


def test_a_file_is_sent_when_no_line_is_wrong(tab: Page, office: Office) -> None:
    """console 3, row 8: CSV upload with errors by line. Of a file with a wrong line nothing is
    sent; corrected, each line is carried out, and a line that is refused is named.
    """
    tab.goto(f"{office.address}/setup/upload/debtors?company=acme")

    def upload(text: str) -> None:
        content = {"name": "terms.csv", "mimeType": "text/csv", "buffer": text.encode()}
        tab.get_by_label("CSV file").set_input_files(content)  # type: ignore[arg-type]
        tab.get_by_role("button", name="Upload").click()

    upload("account_name,payment_terms\nFirst,net:7\nSecond,whenever\n")
    expect(tab.get_by_role("row", name=re.compile("^3 payment_terms"))).to_be_visible()
    assert stored(office, debtor_terms, "acme", "First") == []
    upload("account_name,payment_terms,time_group\nFirst,net:7,\nSecond,,no such cycle\n")
    expect(tab.get_by_role("status")).to_contain_text("1 of 2 lines carried out")
    expect(tab.get_by_role("row", name=re.compile("^3 .*no such cycle"))).to_be_visible()
    assert stored(office, debtor_terms, "acme", "First")[0]["payment_terms"] == "net:7"


def test_a_secret_is_sealed_and_never_shown(tab: Page, office: Office) -> None:
    """A refused connection shows what was typed but its secrets; an accepted one shows none."""
    tab.goto(f"{office.address}/setup/ledgers?company=acme")
    tab.get_by_role("link", name="a webhook").click()
    expect(tab.get_by_label("Billing company", exact=False).last).to_be_visible()
    settings = tab.get_by_label("Settings")
    tab.get_by_label("Ledger").fill("opening")
    settings.fill("url=https://books.example/in\n")
    secret = tab.locator("input[type=password]").first
    secret.fill(SECRET)
    tab.get_by_role("button", name="Save").click()
    expect(tab.get_by_role("alert")).to_contain_text("take another name")
    assert SECRET not in tab.content() and "books.example" in tab.content()
    tab.get_by_label("Ledger").fill("hook")
    tab.locator("input[type=password]").first.fill(SECRET)
    tab.get_by_role("button", name="Save").click()
    expect(tab.get_by_role("status").or_(tab.get_by_role("alert"))).to_be_visible()
    assert SECRET not in tab.content()


def test_the_winning_node_is_marked(tab: Page, office: Office) -> None:
    """The node on the path whose Account Name is billed says so in words; markup in it is text."""
    tab.goto(f"{office.address}/setup/billto?node=office-beta")
    path = tab.get_by_role("list", name="Path")
    expect(path.get_by_text("wins: office-beta is billed to it")).to_be_visible()
    expect(path).to_contain_text(HOSTILE)
    assert tab.locator("main b").count() == 0


def test_a_role_that_is_limited_to_a_billing_company_stays_there(office: Office) -> None:
    """A manager of acme sees and edits only acme: tables, forms, files and the hierarchy of other
    billing companies are refused; a viewer has no form at all.
    """
    for person, role in (("mona", "manager"), ("vera", "viewer")):
        roles = [{"role": role, "billing_companies": ["acme"]}]
        assert office.send("set-person", person=person, roles=roles).outcome == "accepted"

    async def answers(person: str, *paths: str) -> list[tuple[int, str]]:
        url = office.database_url
        console = Console(
            ReadPool(url),
            SessionStore(url),
            Commander(office.kafka, None),
            Verification(partial(run_checks, url)),
            is_open=False,
            screens=[module.SCREEN for module in SCREENS],
        )
        app = build_app()
        app.state.console, app.state.prepared = console, True
        link = await console.sessions.new_link(person)
        cookie = await console.sessions.sign_in_by_link(link, "test")
        transport = httpx.ASGITransport(app)
        try:
            async with httpx.AsyncClient(
                transport=transport, base_url="http://127.0.0.1", cookies={cookie_name(): cookie}
            ) as client:
                found = [await client.get(path) for path in paths]
                return [(each.status_code, each.text) for each in found]
        finally:
            await console.commander.close()
            await console.reads.close()
            await console.sessions.close()

    terms = "/edit/set-debtor-terms?account_name=A&billing_company="
    seen, own, other, company, billto, upload = finish(
        answers(
            "mona",
            "/setup/companies",
            f"{terms}acme",
            "/edit/set-reminders?billing_company=beta",
            "/setup/debtors?company=beta",
            "/setup/billto",
            "/setup/upload/debtors",
        )
    )
    assert seen[0] == 200 and "acme Inc." in seen[1] and "beta Inc." not in seen[1]
    assert own[0] == 200 and "beta" not in own[1]
    assert other[0] == 403 or "beta Inc." not in other[1]
    assert (company[0], billto[0], upload[0]) == (403, 403, 200)
    assert "beta" not in upload[1]
    shown, form, file = finish(
        answers("vera", "/setup/debtors", f"{terms}acme", "/setup/upload/debtors")
    )
    assert (shown[0], form[0], file[0]) == (200, 403, 403)
    assert "manager" in shown[1] and "/edit/" not in shown[1]
