"""A pytest plugin: reports how many histories ran, also when pytest distributes them.

`make nightly` loads it by name, because a conftest below the folder that pytest is given is not
read by the process that reports.
"""

from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Add up what the tests recorded: histories, comparisons, and the seeds to run them again."""
    recorded = [
        dict(report.user_properties)
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, ())
        if getattr(report, "when", "") == "call"
    ]
    ran = [each for each in recorded if "histories" in each]
    if ran:
        histories = sum(each["histories"] for each in ran)
        compared = sum(each["compared"] for each in ran)
        seeds = ", ".join(sorted({str(each["seed"]) for each in ran}))
        terminalreporter.write_line(
            f"{histories:,} histories ran, the data was compared and verified {compared:,} times"
            f" (HISTORIES_SEED={seeds})"
        )
