"""Pay lines in a browser: filters, holds for many at once, and why an amount is what it is."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.web.conftest import CUT_OFF, HOSTILE, Office, violations

pytestmark = pytest.mark.slow


def line_of(office: Office, document: str) -> int:
    """The id of the open line of a document."""
    (row,) = office.open_lines(document)
    return int(row["pay_line_id"])


def test_a_hold_says_beforehand_what_it_does_and_happens_once(tab: Page, office: Office) -> None:
    """console 2: "Snooze 2 lines, 4,000.00 USD", then both are on hold with reason and date; the
    same form sent again is the same command, and a release ends the hold.
    """
    sheets = [office.add_week("acme") for _ in range(2)]
    tab.goto(f"{office.address}/pay-lines?company=acme&account_name=Client+of+acme")
    for sheet in sheets:
        tab.get_by_label(f"line {line_of(office, sheet)}", exact=True).check()
    tab.get_by_role("button", name="Snooze …").click()
    expect(tab.get_by_role("heading", name="Snooze 2 lines, 4,000.00 USD")).to_be_visible()
    tab.get_by_label("Reason").fill("PO missing")
    tab.get_by_label("Until").fill("2026-12-24")
    tab.get_by_role("button", name="Snooze 2 lines, 4,000.00 USD").dblclick()
    expect(tab.get_by_role("link", name=sheets[0])).to_be_visible()
    tab.goto(f"{office.address}/pay-lines?reason=po+missing")
    expect(tab.locator("tbody tr")).to_have_count(2)
    expect(tab.locator("tbody")).to_contain_text("Snoozed")
    tab.goto(f"{office.address}/documents/{sheets[0]}")
    expect(tab.get_by_text("snooze-pay-lines")).to_have_count(1)
    tab.goto(f"{office.address}/pay-lines?reason=po+missing")
    tab.get_by_label("All 2 lines that are found").check()
    tab.get_by_role("button", name="Release …").click()
    tab.get_by_role("button", name="Release 2 lines, 4,000.00 USD").click()
    office.until(lambda: {row["status"] for s in sheets for row in office.open_lines(s)}
        == {"Pending"})  # fmt: skip


def test_why_leads_from_the_hours_to_the_invoice_by_keyboard(tab: Page, office: Office) -> None:
    """Issue 16, 1: from the amount back to price, hours, revision and approval, and forward to
    debtor, batch and invoice, each with who and when and a link.
    """
    sheet = office.add_week("acme", worker_id="w-why")
    line = line_of(office, sheet)
    tab.goto(f"{office.address}/pay-lines?worker=w-why")
    tab.get_by_role("link", name="2,000.00").focus()
    tab.keyboard.press("Enter")
    panel = tab.locator("#panel")
    expect(panel.get_by_role("heading", name="Why 2,000.00 USD?")).to_be_focused()
    for said in ("40 hours × 50.00 = 2,000.00 USD", "50.00 USD per hour", "Client of acme",
        "40 h REG in the week ending", "not invoiced yet"):  # fmt: skip
        expect(panel).to_contain_text(said)
    panel.get_by_role("button", name="Why is it not billed?").click()
    expect(panel.locator(".answer")).to_contain_text(re.compile("batch|bill|due", re.I))
    assert violations(tab) == []
    panel.get_by_role("button", name="Close").click()
    expect(panel).to_be_empty()
    batch = office.send("generate-batch", billing_company="acme", cut_off_date=CUT_OFF)
    assert batch.outcome == "accepted", batch
    tab.goto(f"{office.address}/pay-lines/{line}")
    expect(tab.locator("main")).to_contain_text(re.compile("acme-\\d+ line \\d+, total"))
    tab.get_by_role("link", name="Price", exact=True).click()
    expect(tab.get_by_role("heading", name="Rates of R-acme")).to_be_visible()
    tab.go_back()
    tab.get_by_role("link", name="Timesheet revision").click()
    expect(tab.get_by_role("heading", name=f"Timesheet {sheet}")).to_be_visible()
    expect(tab.locator("main")).to_contain_text("invoiced")
    tab.go_back()
    tab.get_by_role("link", name="Invoice", exact=True).click()
    expect(tab).to_have_url(re.compile("/invoices/acme-"))


def test_a_refused_change_stands_beside_its_form(tab: Page, office: Office) -> None:
    """console 2: what is wrong and how to fix it, with what was typed; the right value passes."""
    sheet = office.add_week("acme", worker_id="w-edit")
    line = line_of(office, sheet)
    tab.goto(f"{office.address}/pay-lines/{line}")
    tab.get_by_label("to", exact=True).fill("forty")
    tab.get_by_label("Reason").fill("agreed by phone")
    tab.get_by_role("button", name="Change").click()
    expect(tab.get_by_role("alert")).to_be_visible()
    expect(tab.get_by_label("to", exact=True)).to_have_value("forty")
    tab.get_by_label("to", exact=True).fill("38")
    tab.get_by_role("button", name="Change").click()
    expect(tab.get_by_role("heading", name=f"Timesheet {sheet}")).to_be_visible()
    expect(tab.get_by_role("link", name="1,900.00")).to_be_visible()
    expect(tab.locator("main")).to_contain_text("agreed by phone")


def test_the_file_has_what_is_filtered_and_no_formula(tab: Page, office: Office) -> None:
    """The CSV of a filter has its lines; text of others is text there and on the page."""
    sheet = office.add_week("beta", worker_id="=1+1")
    tab.goto(f"{office.address}/pay-lines?document={sheet}")
    assert "<script>alert" not in tab.content() and "\u202e" not in tab.content()
    with tab.expect_download() as download:
        tab.get_by_role("link", name="CSV of what is filtered").click()
    heads, *rows = download.value.path().read_text(encoding="utf-8").splitlines()
    assert heads.startswith("pay_line_id,status,") and len(rows) == 1
    assert ",'=1+1," in rows[0] and HOSTILE[:8] in rows[0]


@pytest.mark.parametrize("path", ["/pay-lines", "/pay-lines?status=Draft", "/pay-lines/1",
    "/documents/T-beta-1"])  # fmt: skip
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_screens_are_accessible_and_fit(
    tab: Page, office: Office, path: str, width: int, scheme: str
) -> None:
    """console 2: axe-core finds nothing serious, and only tables are wider than a telephone."""
    tab.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    tab.set_viewport_size({"width": width, "height": 900})
    tab.goto(office.address + path)
    assert violations(tab) == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
