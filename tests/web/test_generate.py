"""From a health check to a downloaded PDF, in a browser: the work of a month's end."""

import io
import re

import pytest
from playwright.sync_api import Page, expect
from pypdf import PdfReader

from services.console.queries.batches import batches
from services.console.queries.snapshot import open_snapshot
from tests.conftest import finish
from tests.web.conftest import CUT_OFF, Office

pytestmark = pytest.mark.slow


def batches_of(office: Office, company: str) -> list[str]:
    """The batches of a company, the newest first."""

    async def read() -> list[str]:
        async with open_snapshot(office.database_url) as connection:
            return [row["batch_id"] for row in await batches(connection, company)]

    return finish(read())  # type: ignore[no-any-return]


def preview(tab: Page, office: Office, company: str) -> None:
    """Steps 1 and 2."""
    tab.goto(f"{office.address}/generate?company={company}")
    tab.get_by_label("Cut-off date").fill(CUT_OFF)
    tab.get_by_role("button", name="Check").click()
    expect(tab.get_by_role("heading", name=re.compile(r"\d errors?,"))).to_be_visible()
    tab.get_by_role("button", name="Preview", exact=True).click()
    expect(tab.get_by_role("heading", name="Close these documents")).to_be_visible()


def test_three_steps_lead_to_a_pdf_whose_total_equals_the_page(tab: Page, office: Office) -> None:
    """console 5: 40 h at 50.00 with 10 % tax are 2,200.00 on the preview, the page of the invoice,
    its PDF and its CSV.
    """
    office.add_week("acme")
    preview(tab, office, "acme")
    shown = tab.locator("main").inner_text()
    total = re.search(r"2,200\.00|4,400\.00|6,600\.00", shown)
    assert total is not None, shown
    tab.get_by_role("button", name=re.compile("^Generate")).click()
    expect(tab.get_by_role("status")).to_have_text("Batch generated.")
    tab.get_by_role("link", name=re.compile("^acme-0")).first.click()
    on_page = tab.locator("#total").inner_text()
    assert on_page == total[0]
    with tab.expect_download() as download:
        tab.get_by_role("button", name="Download PDF").click()
    text = PdfReader(download.value.path()).pages[0].extract_text()
    assert on_page in text
    tab.get_by_role("link", name="Its batch").click()
    tab.get_by_label("Format").select_option("csv")
    with tab.expect_download() as lines:
        tab.get_by_role("button", name="Download").click()
    rows = lines.value.path().read_text(encoding="utf-8").splitlines()
    assert len(rows) > 1 and rows[0].startswith("invoice_number,")
    tab.reload()
    expect(tab.get_by_role("heading", name="Downloads")).to_be_visible()


def test_a_double_submit_makes_one_batch(tab: Page, office: Office) -> None:
    """console 2: the command id is made with the form; twice the same form is one command."""
    office.add_week("acme")
    preview(tab, office, "acme")
    before = batches_of(office, "acme")
    form = tab.locator("form", has=tab.get_by_role("button", name=re.compile("^Generate")))
    sent = form.evaluate("form => Object.fromEntries(new FormData(form))")
    action = form.evaluate("form => form.action")
    answers = [tab.request.post(action, form=sent, max_redirects=0) for _ in range(2)]
    assert {answer.status for answer in answers} == {303}
    assert len({answer.headers["location"] for answer in answers}) == 1
    tab.goto(office.address + answers[0].headers["location"])
    expect(tab.get_by_role("status")).to_have_text("Batch generated.")
    tab.go_back()
    assert len(batches_of(office, "acme")) == len(before) + 1


def test_a_stale_digest_shows_what_changed(tab: Page, office: Office) -> None:
    """console 5: of two operators the second sees what has changed since his preview, and a new
    preview bills it.
    """
    office.add_week("acme")
    preview(tab, office, "acme")
    office.add_week("acme")
    tab.get_by_role("button", name=re.compile("^Generate")).click()
    alert = tab.get_by_role("alert")
    expect(alert).to_contain_text("the batch differs from preview")
    expect(alert).to_contain_text("To fix it")
    expect(tab.get_by_role("heading", name="What changed since the preview")).to_be_visible()
    tab.get_by_role("button", name="Preview again").click()
    expect(tab.get_by_role("heading", name="Close these documents")).to_be_visible()


def test_a_refusal_shows_message_and_fix_at_its_form(tab: Page, office: Office) -> None:
    """console 2: debtors are left out in step 2; a date that is none is refused beside the form."""
    office.add_week("acme")
    preview(tab, office, "acme")
    tab.get_by_text("Leave debtors out").click()
    tab.get_by_label("Client of acme").check()
    tab.get_by_role("button", name="Preview again").click()
    expect(tab.get_by_text("Without Client of acme.")).to_be_visible()
    tab.goto(f"{office.address}/generate?company=acme&cut_off={CUT_OFF}")
    form = tab.locator("form", has=tab.get_by_role("button", name="Check"))
    form.get_by_label("Cut-off date").evaluate("field => { field.type = 'text' }")
    form.get_by_label("Cut-off date").fill("soon")
    form.get_by_role("button", name="Check").click()
    alert = tab.get_by_role("alert")
    expect(alert).to_contain_text("cut_off_date")
    expect(alert).to_contain_text("correct the form")


def test_an_hour_is_credited_after_a_look_at_the_effect(tab: Page, office: Office) -> None:
    """console 3: the amount and the effect are shown first; then the credit note is closed."""
    office.add_week("acme")
    preview(tab, office, "acme")
    tab.get_by_role("button", name=re.compile("^Generate")).click()
    tab.get_by_role("link", name=re.compile("^acme-0")).first.click()
    number = tab.locator("h1").inner_text().split()[1]
    tab.get_by_role("button", name="Credit").click()
    tab.get_by_label("Credit line 1").check()
    tab.get_by_label("Quantity of line 1").fill("1")
    tab.get_by_label("write-off").check()
    tab.get_by_label("Reason").fill("an hour too many")
    tab.get_by_role("button", name="Show the effect").click()
    expect(tab.get_by_role("heading", name="This will be credited")).to_be_visible()
    tab.get_by_role("button", name="Close the credit note").click()
    expect(tab.locator("h1")).to_contain_text("Credit note")
    assert tab.locator("#total").inner_text() == "-55.00"
    tab.goto(f"{office.address}/invoices/{number}?company=acme")
    expect(tab.get_by_role("heading", name="Credits of its lines")).to_be_visible()
    pdf = tab.request.get(f"{office.address}/invoices/{number}/document.pdf?company=acme")
    assert number in PdfReader(io.BytesIO(pdf.body())).pages[0].extract_text()
