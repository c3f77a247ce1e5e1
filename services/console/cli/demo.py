"""`backoffice demo`: a month of the sample agency on a stack of its own, from the first event to the last file, told as a short story."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.console.cli.options import AsJson
from services.console.cli.output import Screen, finish, screen_for
from services.console.cli.steps import Steps

if TYPE_CHECKING:
    from services.console.client.addresses import Addresses
    from services.console.sample.play import Story

DATA = Path(".backoffice/demo")
OUT = Path("out/demo")
FOREIGN = ("BACKOFFICE_KAFKA", "BACKOFFICE_DATABASE_URL", "BACKOFFICE_TOPIC_PREFIX")
STEPS = 7


def register(backoffice: typer.Typer) -> None:
    """Adds this command to `backoffice`."""
    backoffice.command()(demo)


def demo(
    data: Annotated[
        Path, typer.Option("--data", metavar="DIR", help="Data folder; emptied first.")
    ] = DATA,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the files go.")] = OUT,
    as_json: AsJson = False,
) -> None:
    """Play the month of a sample agency: events, pay lines, a batch for each billing company, files. Stops all that it started."""
    with screen_for(as_json) as screen:
        from services.console.cli.demo_report import document_of, tell

        began = time.monotonic()
        _own_stack(screen)
        with _stoppable():
            story = _play(_Steps(screen), data, out)
        screen.document(document_of(story, data, out))
        tell(screen, story, data, out, time.monotonic() - began)
        if story.report is None or not story.report.clean:
            screen.no(
                "not_clean",
                "verify found faults; see above",
                "please report it with the data folder",
            )


def _own_stack(screen: Screen) -> None:
    """The demonstration never plays into books that are in use, whatever addresses the environment names."""
    for name in FOREIGN:
        if os.environ.pop(name, None):
            screen.aside(
                f"{name} is set; the demonstration does not use it and starts servers of its own"
            )
    if os.environ.get("BACKOFFICE_STACK") == "address":
        del os.environ["BACKOFFICE_STACK"]


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM and a closed terminal end the demonstration as Ctrl-C does, so that what it started is stopped, too."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Steps:
    """The headings of the run, numbered, and the small print below each."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._number = 0

    def heading(self, message: str) -> None:
        """The next step begins."""
        self._number += 1
        self._screen.say(f"[{self._number}/{STEPS}] {message}", "bold")

    def note(self, message: str) -> None:
        """Something worth knowing about the step."""
        self._screen.say(f"      {message}", "dim")


def _play(steps: _Steps, data: Path, out: Path) -> "Story":
    from services.console.client.addresses import Addresses
    from services.console.sample.play import Story
    from shared.stack import running_stack
    from shared.stack.workers import STANDARD

    story = Story()
    steps.heading("Starting Apache Kafka, PostgreSQL and three workers, each a process of its own")
    with running_stack(data, STANDARD, say=steps.note, fresh=True) as stack:
        addresses = Addresses(stack.kafka_address, stack.database_url)
        finish(_month(addresses, out, story, steps))
        steps.heading("Stopping everything that was started")
    return story


async def _month(addresses: "Addresses", out: Path, story: "Story", steps: _Steps) -> None:
    from services.console.sample import play

    steps.heading("Publishing a month of events over Kafka")
    with Steps(keep=False) as show:
        await play.publish_month(addresses, story, show)
    for name, number in story.published.items():
        steps.note(f"{number:>3} records  {name}")
    steps.heading("Pricing timesheets and placements, settling pay lines")
    with Steps(keep=False) as show:
        await play.wait_until_still(addresses, show)
    await play.look_around(addresses, story)
    await play.snooze_the_dispute(addresses, story)
    steps.note(
        ", ".join(f"{number} {status}" for status, number in story.lines.items() if number)
        + f"; {len(story.held)} documents held"
    )
    steps.heading(
        "Health check, preview, and a batch that cites the preview, for each billing company"
    )
    for company in play.COMPANIES:
        closed = await play.close_batch(addresses, company, story)
        head = closed.head
        steps.note(f"{company}: health check found {_findings(closed.findings)}")
        steps.note(
            f"{company}: {head['documents']} documents, {head['line_count']} lines, {head['first_number']} to {head['last_number']}"
        )
    steps.heading("Taking the files: CSV and PDF")
    for closed in story.closed:
        with Steps(keep=False) as show:
            await play.take_files(addresses, closed, out, show)
        steps.note(f"{closed.billing_company}: {_files(closed.csv)} CSV, {_files(closed.pdf)} PDF")
    steps.heading("Verifying the books")
    await play.wait_until_still(addresses, lambda step, done, of: None)
    await play.check_the_books(addresses, story)
    if story.report is not None:
        steps.note(f"{len(story.report.checks)} checks, {len(story.report.faults)} faults")


def _findings(findings: Any) -> str:
    """The findings by severity, the errors by their code."""
    errors = sorted({one.code for one in findings if one.severity == "error"})
    warnings = sum(one.severity == "warning" for one in findings)
    told = [f"{len(errors)} error{'s' * (len(errors) > 1)} ({', '.join(errors)})"] if errors else []
    return ", ".join([*told, "1 warning" if warnings == 1 else f"{warnings} warnings"])


def _files(saved: Any) -> int:
    return 0 if saved is None else int(saved.files)
