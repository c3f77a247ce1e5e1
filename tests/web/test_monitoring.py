"""Monitoring in a browser: the lag of a worker that stands still, and the checks of the data."""

import json
import os
import signal
import time

import pytest
from playwright.sync_api import Page, expect

from shared.stack import status
from tests import builders
from tests.web.conftest import Office, violations

pytestmark = pytest.mark.slow
GROUP = "fee_realizer.timesheet-approved"


def process_of(office: Office, service: str) -> int:
    """The id of the process of a worker."""
    workers = status(office.data)["workers"]
    return next(int(each["pid"]) for each in workers if each["service"] == service)


def test_the_page_shows_the_lag_of_a_stopped_worker_within_ten_seconds(
    tab: Page, office: Office
) -> None:
    """console 5: a worker stands still, a record arrives, and the page that is open shows it
    without a reload; when the worker goes on, the record is read.
    """
    tab.goto(f"{office.address}/monitoring")
    row = tab.get_by_role("row").filter(has=tab.get_by_role("link", name=GROUP))
    expect(row).to_contain_text("at the end")
    expect(tab.locator("#lag-chart canvas")).to_be_visible()
    stopped = process_of(office, "fee_realizer")
    os.kill(stopped, signal.SIGSTOP)
    try:
        event = builders.timesheet("T-lag", entries=builders.days(requirement_id="R-acme"))
        office.publish(("timesheet-approved", "T-lag", event))
        began = time.monotonic()
        expect(row).to_contain_text("1 to read")
        assert time.monotonic() - began < 10
    finally:
        os.kill(stopped, signal.SIGCONT)
    expect(row).to_contain_text("at the end", timeout=60_000)
    found = json.loads(tab.request.get(f"{office.address}/monitoring/lag?group={GROUP}").text())
    assert max(filter(None, found["history"]["behind"])) >= 1


def test_the_checks_of_the_data_run_and_are_shown(tab: Page, office: Office) -> None:
    """Run verify: the page says who started it, and that the data are clean."""
    tab.goto(f"{office.address}/monitoring")
    tab.get_by_role("button", name="Run verify").click()
    expect(tab.locator("#checks")).to_contain_text("Clean:", timeout=120_000)
    expect(tab.locator("#checks")).to_contain_text("started by kim")
    expect(tab.get_by_role("region", name="Workers")).to_contain_text("lag_exporter-1")
    expect(tab.get_by_role("region", name="Due lines")).to_contain_text("acme")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_monitoring_is_accessible_and_fits(
    tab: Page, office: Office, width: int, scheme: str
) -> None:
    """console 2: axe-core finds nothing serious, and only tables are wider than a telephone."""
    tab.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    tab.set_viewport_size({"width": width, "height": 900})
    tab.goto(f"{office.address}/monitoring?group={GROUP}")
    expect(tab.locator("#lag-chart canvas")).to_be_visible()
    assert violations(tab) == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
