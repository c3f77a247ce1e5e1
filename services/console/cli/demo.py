"""`backoffice demo`: a month of the sample agency on a stack of its own, from the first event to
the last file.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.console.cli.command import Run, command
from services.console.cli.output import Screen, finish
from services.console.cli.step_progress import Steps
from shared.terms import counted

if TYPE_CHECKING:
    from services.console.addresses import Addresses
    from services.console.sample.demo_run import DemoResult

DATA = Path(".backoffice/demo")
OUT = Path("out/demo")
OTHER_SERVERS = ("BACKOFFICE_KAFKA", "BACKOFFICE_DATABASE_URL", "BACKOFFICE_TOPIC_PREFIX")
OPEN_COMMANDS = {"BACKOFFICE_COMMANDS": "open"}
STEPS = 7


def register(backoffice: typer.Typer) -> None:
    """Adds this command to `backoffice`."""
    command(backoffice, data=False)(demo)


def demo(
    run: Run,
    data: Annotated[
        Path, typer.Option("--data", metavar="DIR", help="Data folder; emptied first.")
    ] = DATA,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the files go.")] = OUT,
) -> None:
    """Run a month of a sample agency: events, pay lines, a batch for each billing company, files.

    Everything that it starts is stopped at the end.
    """
    from services.console.cli.demo_report import document_of, show_result

    began = time.monotonic()
    _ignore_other_servers(run)
    with _stoppable():
        result = _run(_Headings(run), data, out)
    run.document(document_of(result, data, out))
    show_result(run, result, data, out, time.monotonic() - began)
    if result.report is None or not result.report.clean:
        run.no(
            "not_clean", "verify found faults; see above", "please report it with the data folder"
        )


def _ignore_other_servers(screen: Screen) -> None:
    """The demonstration never uses servers that are in use, whatever the environment names."""
    for name in OTHER_SERVERS:
        if os.environ.pop(name, None):
            screen.aside(f"{name} is set; the demonstration ignores it and starts its own servers")
    if os.environ.get("BACKOFFICE_STACK") == "address":
        del os.environ["BACKOFFICE_STACK"]
    os.environ |= OPEN_COMMANDS  # its operators are made up and have no keys


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM and a closed terminal end the demonstration as Ctrl-C does, and stop what it
    started.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Headings:
    """The numbered headings of the demonstration, and the notes below each."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._number = 0

    def heading(self, message: str) -> None:
        """Begins the next step."""
        self._number += 1
        self._screen.say(f"[{self._number}/{STEPS}] {message}", "bold")

    def note(self, message: str) -> None:
        """Adds a note to the step."""
        self._screen.say(f"      {message}", "dim")


def _run(steps: _Headings, data: Path, out: Path) -> "DemoResult":
    from services.console.addresses import Addresses
    from services.console.sample.demo_run import DemoResult
    from shared.stack import running_stack
    from shared.stack.workers import STANDARD

    result = DemoResult()
    steps.heading("Starting Apache Kafka, PostgreSQL and three workers, each a process of its own")
    with running_stack(data, STANDARD, say=steps.note, fresh=True) as stack:
        addresses = Addresses(stack.kafka_access, stack.database_url)
        finish(_month(addresses, out, result, steps))
        steps.heading("Stopping everything that was started")
    return result


async def _month(addresses: "Addresses", out: Path, result: "DemoResult", steps: _Headings) -> None:
    from services.console.sample import demo_run

    steps.heading("Publishing a month of events over Kafka")
    with Steps(keep=False) as progress:
        await demo_run.publish_month(addresses, result, progress)
    for name, number in result.published.items():
        steps.note(f"{number:>3} records  {name}")
    steps.heading("Pricing timesheets and placements, settling pay lines")
    with Steps(keep=False) as progress:
        await demo_run.wait_until_idle(addresses, progress)
    await demo_run.read_state(addresses, result)
    await demo_run.snooze_disputed_line(addresses, result)
    lines = [f"{number} {status}" for status, number in result.lines.items() if number]
    steps.note(f"{', '.join(lines)}; {len(result.held)} documents held")
    steps.heading("Health check, preview, and a batch of the preview, for each billing company")
    for company in demo_run.COMPANIES:
        closed = await demo_run.close_batch(addresses, company, result)
        head = closed.head
        steps.note(f"{company}: health check found {_findings(closed.findings)}")
        documents = f"{head['documents']} documents, {head['line_count']} lines"
        steps.note(f"{company}: {documents}, {head['first_number']} to {head['last_number']}")
    steps.heading("Writing the files: CSV and PDF")
    for closed in result.closed:
        with Steps(keep=False) as progress:
            await demo_run.save_files(addresses, closed, out, progress)
        steps.note(f"{closed.billing_company}: {_files(closed.csv)} CSV, {_files(closed.pdf)} PDF")
    steps.heading("Verifying the data")
    await demo_run.wait_until_idle(addresses, lambda step, done, of: None)
    await demo_run.verify_data(addresses, result)
    if result.report is not None:
        steps.note(f"{len(result.report.checks)} checks, {len(result.report.faults)} faults")


def _findings(findings: Any) -> str:
    """The findings by severity, the errors by their code."""
    errors = sorted({one.code for one in findings if one.severity == "error"})
    warnings = sum(one.severity == "warning" for one in findings)
    errors_by_code = [f"{counted(len(errors), 'error')} ({', '.join(errors)})"] if errors else []
    return ", ".join([*errors_by_code, counted(warnings, "warning")])


def _files(saved: Any) -> int:
    return 0 if saved is None else int(saved.files)
