"""The Inbox in a browser: what waits is counted, and its button ends it."""

import re

import pytest
from playwright.sync_api import Page, expect

from services.console.actions.kafka_client import Client
from services.console.queries.dead_letters import dead_letters
from services.console.queries.snapshot import open_snapshot
from tests import builders
from tests.conftest import finish
from tests.web.conftest import Office, violations

pytestmark = pytest.mark.slow


def unreadable(office: Office) -> int:
    """Publish a record that is no JSON; return the id of its dead letter."""

    async def publish() -> None:
        async with Client(office.kafka) as client:
            await client.publish("timesheet-approved", [("k", b'{"hours": ')])

    async def newest() -> int:
        async with open_snapshot(office.database_url) as connection:
            rows, _ = await dead_letters(connection, "fee_realizer")
            return rows[0]["dead_letter_id"] if rows else 0

    before = finish(newest())
    finish(publish())
    return int(office.until(lambda: (found := finish(newest())) != before and found))


def test_a_dead_letter_is_counted_shown_and_discarded(tab: Page, office: Office) -> None:
    """The number in the navigation has it; a correction that is none is refused beside the form;
    discarded with a reason it waits no longer.
    """
    number = unreadable(office)
    tab.goto(f"{office.address}/inbox")
    nav = tab.get_by_role("navigation", name="Screens").get_by_role("link", name="Inbox")
    expect(nav).to_have_text(re.compile(r"Inbox\s*\d+"))
    tab.get_by_role("link", name=str(number), exact=True).click()
    expect(tab.get_by_role("heading", name=f"Dead letter {number}")).to_be_visible()
    tab.get_by_label("The corrected record").fill("still no JSON")
    tab.get_by_role("button", name="Replay").click()
    expect(tab.get_by_role("alert")).to_be_visible()
    expect(tab.get_by_label("The corrected record")).to_have_value("still no JSON")
    tab.get_by_label("Reason").fill("a test of the ATS")
    tab.get_by_role("button", name="Discard for good").click()
    expect(tab.get_by_role("status")).to_contain_text("Done")
    expect(tab.get_by_role("link", name=str(number), exact=True)).to_have_count(0)


def test_a_held_document_is_priced_again_when_its_cause_is_gone(tab: Page, office: Office) -> None:
    """A week of an unknown requirement is held; once it is known the button leads to its
    line. What it waits for is said.
    """
    entries = builders.days(requirement_id="R-late")
    event = builders.timesheet("T-late", entries=entries)
    office.publish(("timesheet-approved", "T-late", event))
    tab.goto(f"{office.address}/inbox")
    row = tab.get_by_role("row", name=re.compile("T-late"))

    def shown() -> bool:
        tab.reload()
        return bool(row.count())

    for _ in range(50):
        if shown():
            break
        tab.wait_for_timeout(200)
    expect(row).to_contain_text("R-late")
    assert violations(tab) == []
    tab.get_by_role("link", name="T-late").click()
    expect(tab.get_by_role("note")).to_contain_text("R-late")
    tab.get_by_role("button", name="Price it again").click()
    expect(tab.get_by_role("heading", name="Inbox")).to_be_visible()
    requirement = builders.requirement("R-late", billing_company="acme", office_id="office-acme")
    office.publish(("requirement-changed", "R-late", requirement))
    office.until(lambda: office.open_lines("T-late"))
    tab.goto(f"{office.address}/inbox")
    expect(row).to_have_count(0)
