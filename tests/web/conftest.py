"""One stack with the web console for all tests of the browser, and Debian's Chromium.

It has the billing companies `acme` and `beta` with a debtor each, and open weeks of March. Where
no browser is installed every test skips with the reason.
"""

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from services.console.actions.commands import new_command
from services.console.actions.kafka_client import Client
from services.console.queries.companies import companies_today
from services.console.queries.pay_lines import pay_lines
from services.console.queries.snapshot import open_snapshot
from services.console.sessions.store import SessionStore
from shared.broker.security import KafkaAccess
from shared.events.billing import CommandResult
from shared.settings import settings
from shared.signing import Signer
from shared.stack import running_stack
from shared.stack.workers import WEB_CONSOLE, WITH_CONSOLE
from tests import builders
from tests.conftest import finish

if TYPE_CHECKING:
    from tests.web.signed import SignedOffice

TODAY, CUT_OFF = "2026-04-15", "2026-03-31"
HOSTILE = "<script>alert(1)</script> =cmd|' /C calc'!A0 <b>bold</b>"
"""What an ATS may send as a name: markup, and a formula; control characters are refused there."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
AXE = Path(__file__).with_name("axe-4.14.1.min.js")
PATIENCE_SECONDS = 60.0
expect.set_options(timeout=30_000)


@dataclass
class Office:
    """The running stack: where its console is, and how a test changes its data."""

    address: str
    database_url: str
    kafka: KafkaAccess
    data: Path
    sheets: dict[str, int] = field(default_factory=dict)
    signer: Signer | None = None

    def link(self, person: str = "kim") -> str:
        """A one-time sign-in link."""

        async def made() -> str:
            sessions = SessionStore(self.database_url)
            try:
                return await sessions.new_link(person)
            finally:
                await sessions.close()

        return f"{self.address}/sign-in/link/{finish(made())}"

    def set_password(self, person: str, password: str) -> None:
        """Make a local user."""

        async def make() -> None:
            sessions = SessionStore(self.database_url)
            try:
                await sessions.set_password(person, password)
            finally:
                await sessions.close()

        finish(make())

    def publish(self, *records: tuple[str, str, Any]) -> None:
        """Publish events: topic, key and model of each."""

        async def send() -> None:
            async with Client(self.kafka) as client:
                for topic, key, event in records:
                    await client.publish(topic, [(key, event.model_dump_json().encode())])

        finish(send())

    def send(self, name: str, /, **fields: Any) -> CommandResult:
        """Send a command as another client does, by `signer` if there is one; return its result."""
        actor = self.signer.program if self.signer else "lou"

        async def send() -> CommandResult:
            command = new_command(name, **{"actor": actor, "reason": "test"} | fields)
            async with Client(self.kafka, signer=self.signer) as client:
                return await client.send(command)

        return finish(send())  # type: ignore[no-any-return]

    def add_week(self, company: str, **changes: Any) -> str:
        """Publish one more week of 40 hours at 50.00; wait for its pay line; return its id."""
        number = self.sheets[company] = self.sheets.get(company, 0) + 1
        sheet = f"T-{company}-{number}"
        worker = {"worker_id": f"w{number}-{company}"}
        entries = builders.days(requirement_id=f"R-{company}")
        event = builders.timesheet(sheet, entries=entries, **worker | changes)
        self.publish(("timesheet-approved", sheet, event))
        self.until(lambda: self.open_lines(sheet))
        return sheet

    def open_lines(self, document: str) -> list[Any]:
        """The open pay lines of a document."""

        async def read() -> list[Any]:
            async with open_snapshot(self.database_url) as connection:
                todays = await companies_today(connection)
                rows, _ = await pay_lines(connection, todays, document=document)
                return rows

        return finish(read())  # type: ignore[no-any-return]

    def until(self, what: Callable[[], Any]) -> Any:
        """Its value as soon as there is one."""

        async def wait() -> Any:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not (found := await asyncio.to_thread(what)):
                    await asyncio.sleep(0.2)
                return found

        return finish(wait())


def executable() -> str:
    """The browser of this machine; empty if there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), "")


@pytest.fixture(scope="session")
def installed() -> str:
    """The browser of this machine."""
    path = executable()
    if not path:
        pytest.skip("no browser is installed: apt-get install chromium")
    return path


@pytest.fixture
def browser(installed: str) -> Iterator[Browser]:
    """A browser without a window, for one test: Playwright leaves an event loop running in its
    thread, in which no other test can run.
    """
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        started = playwright.chromium.launch(executable_path=installed, args=arguments)
        yield started
        started.close()


@pytest.fixture(scope="session")
def office(installed: str, server_folder: Path) -> Iterator[Office]:
    """A stack with the web console, on a day in April 2026, with two billing companies."""
    with running_office(server_folder / "web", COMMANDS="open") as made:
        set_up(made, "acme", "Client of acme")
        set_up(made, "beta", HOSTILE)
        made.add_week("acme")
        made.add_week("beta", worker_id="<i>w</i>")
        yield made


@contextmanager
def running_office(folder: Path, **given: str) -> Iterator[Office]:
    """A stack with the web console and these settings, on a day in April 2026."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("KAFKA", "DATABASE_URL", "WORKERS", "TOPIC_PREFIX"):
            patch.delenv(f"BACKOFFICE_{name}", raising=False)
        for name, value in ({"TODAY": TODAY, "SWEEP_SECONDS": "0.5"} | given).items():
            patch.setenv(f"BACKOFFICE_{name}", value)
        settings.cache_clear()
        with running_stack(folder, WITH_CONSOLE) as stack:
            (web,) = (each for each in stack.workers if each.service == WEB_CONSOLE)
            address = f"http://127.0.0.1:{web.port}"
            yield Office(address, stack.database_url, stack.kafka_access, stack.data)


def set_up(office: Office, company: str, debtor: str) -> None:
    """A billing company with tax, an office that pays for itself, and a requirement."""
    result = office.send(
        "set-billing-company",
        billing_company=company,
        name=f"{company} Inc.",
        address="1 Main St\nSpringfield\nUS",
        tax_id="EIN 1",
        bank="IBAN 1",
        series_prefix=f"{company}-",
        series_width=4,
        taxes=[{"tax_code": "VAT", "percent": "10", "from_date": "2020-01-01"}],
        default_tax="VAT",
    )
    assert result.outcome == "accepted", result
    node = builders.node(f"office-{company}", account_name=debtor)
    requirement = builders.requirement(
        f"R-{company}", billing_company=company, office_id=f"office-{company}"
    )
    office.publish(
        ("billto-changed", node.node_id, node),
        ("requirement-changed", requirement.requirement_id, requirement),
    )


@pytest.fixture(scope="session")
def signed_office(installed: str, server_folder: Path) -> "Iterator[SignedOffice]":
    """A stack with signed commands, people of several roles, and an OpenID provider."""
    from tests.web.signed import running_signed_office

    with running_signed_office(server_folder / "web-signed") as made:
        yield made


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser profile of its own, with a trap for what pages must not do."""
    made = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    yield made
    made.close()


@pytest.fixture
def tab(context: BrowserContext, office: Office) -> Iterator[Page]:
    """A page of a person who has signed in; a script error, a violation of the policy or a request
    to another address fails the test.
    """
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "console",
        lambda message: wrong.append(message.text) if "Content Security" in message.text else None,
    )
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith((f"{office.address}/", "data:", "chrome"))
            else wrong.append(f"request to {request.url}")
        ),
    )
    page.goto(office.link())
    yield page
    assert wrong == []


def violations(page: Page) -> list[str]:
    """What axe-core finds on a page that is serious or worse, each with its elements."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']}: {each['help']} ({'; '.join(node['html'][:120] for node in each['nodes'])})"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]
