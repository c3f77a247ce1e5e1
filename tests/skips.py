"""A pytest plugin: in CI (CI=true) an unexpected skip is a failure.

A test that no longer runs proves nothing, so each test that a machine may skip is listed in
tests/expected-skips.txt and reviewed.
"""

import os
from collections.abc import Generator
from pathlib import Path

import pytest

EXPECTED = Path(__file__).with_name("expected-skips.txt")
ANY_ENDING = "*"


def expected_skips(text: str) -> tuple[set[str], tuple[str, ...]]:
    """Node ids that may be skipped, and prefixes of node ids (lines that end in *)."""
    lines = {line.partition("#")[0].strip() for line in text.splitlines()} - {""}
    return {line for line in lines if not line.endswith(ANY_ENDING)}, tuple(
        line[:-1] for line in lines if line.endswith(ANY_ENDING)
    )


class Skips:
    """Collect what was skipped, and fail the run at its end."""

    def __init__(self, exact: set[str], beginnings: tuple[str, ...]) -> None:
        self._exact = exact
        self._beginnings = beginnings
        self._unexpected: dict[str, str] = {}

    def _see(self, node: str, report: pytest.TestReport | pytest.CollectReport) -> None:
        if (
            report.skipped
            and not hasattr(report, "wasxfail")
            and node not in self._exact
            and not (self._beginnings and node.startswith(self._beginnings))
        ):
            reason = (
                report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            )
            self._unexpected[node] = reason

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test was skipped, by itself or by a fixture."""
        self._see(report.nodeid, report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A whole module was skipped."""
        self._see(report.nodeid, report)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Fail the run before the summary line is written."""
        if self._unexpected and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        return (yield)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name each unexpected skip."""
        if self._unexpected:
            terminalreporter.section("skipped, but not on the list of expected skips", red=True)
            for node, reason in sorted(self._unexpected.items()):
                terminalreporter.write_line(f"{node}: {reason}")
            terminalreporter.write_line(
                f"Make them run, or name them in {EXPECTED.name} with the reason."
            )


def pytest_configure(config: pytest.Config) -> None:
    """Active only in CI: on a developer's machine a skip with its reason is enough."""
    if os.environ.get("CI") == "true":
        config.pluginmanager.register(Skips(*expected_skips(EXPECTED.read_text())))
