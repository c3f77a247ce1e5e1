"""`make audit`: known faults of the locked packages, asked of PyPI's advisories by pip-audit.

Exit 1 for a fault that `tests/audit-allowed.txt` does not allow, or whose allowance has expired. An
advisory service that cannot be asked fails nothing; the output says that nothing was audited. It is
asked first about a version with known faults, so that silence is not taken for a clean result.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

ALLOWED = Path(__file__).with_name("audit-allowed.txt")
FAULTY = "requests==2.19.0\n"
"""A version with faults that every service of advisories knows."""
SECONDS = 90


@dataclass(frozen=True)
class Allowance:
    """A fault that is allowed until a day (which counts), and why."""

    fault: str
    until: date
    reason: str


def read_allowed(text: str) -> list[Allowance]:
    """One a line: `FAULT YYYY-MM-DD reason`. Raises ValueError for a line without a date or
    reason.
    """
    lines = (line.partition("#")[0].split(None, 2) for line in text.splitlines())
    return [Allowance(one[0], date.fromisoformat(one[1]), one[2]) for one in lines if one]


def wrong(
    dependencies: Sequence[Mapping[str, Any]], allowed: Iterable[Allowance], today: date
) -> list[str]:
    """What fails: faults that are not allowed, or no more."""
    by_fault = {one.fault: one for one in allowed}
    found = []
    for package in dependencies:
        for fault in package.get("vulns", []):
            names = [fault["id"], *fault["aliases"]]
            allowance = next((by_fault[name] for name in names if name in by_fault), None)
            if allowance is not None and today <= allowance.until:
                continue
            end = f"; its allowance ended on {allowance.until}" if allowance else ""
            fixed = ", ".join(fault["fix_versions"]) or "no version yet"
            found.append(
                f"{package['name']} {package['version']}: {' '.join(names)}{end}; fixed in {fixed}"
            )
    return found


def asked(requirements: str) -> tuple[list[dict[str, Any]], str]:
    """What pip-audit says of each package, and why it could not say it."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(requirements)
        file.flush()
        command = [sys.executable, "-m", "pip_audit", "-r", file.name, "--disable-pip", "--no-deps"]
        try:
            done = subprocess.run(
                [*command, "--format", "json", "--progress-spinner", "off"],
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return [], f"no answer within {SECONDS} s"
    try:
        return json.loads(done.stdout)["dependencies"], ""
    except (ValueError, KeyError):
        return [], (done.stderr.strip().splitlines() or ["no answer"])[-1][:300]


def locked() -> str:
    """Every package of the product and its tests, as requirements."""
    uv = Path(sys.executable).with_name("uv")
    options = ("--frozen", "--no-emit-project", "--no-hashes", "--no-annotate", "--quiet")
    return subprocess.run(
        [uv, "export", *options], capture_output=True, text=True, check=True
    ).stdout


def main() -> int:
    """Print what was found; return the exit code."""
    probe, why = asked(FAULTY)
    if not any(one.get("vulns") for one in probe):
        reasons = [one["skip_reason"] for one in probe if "skip_reason" in one]
        print(f"NOT AUDITED: no advisories can be asked ({why or ', '.join(reasons) or 'silent'})")
        return 0
    packages, why = asked(locked())
    if why:
        print(f"NOT AUDITED: {why}")
        return 0
    skipped = [one["name"] for one in packages if "skip_reason" in one]
    if skipped:
        print(f"NOT AUDITED: {', '.join(skipped)}")
    today = datetime.now(UTC).date()  # noqa: TID251 - allowances end by the real clock
    faults = wrong(packages, read_allowed(ALLOWED.read_text()), today)
    print("\n".join(faults) or f"no fault is known of {len(packages) - len(skipped)} packages")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
