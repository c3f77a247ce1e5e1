"""Ruff, mypy and the import contracts as tests, so that `make test` runs everything."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAMS = Path(sys.executable).parent
CHECKS = {
    "style": ("ruff", "check", "."),
    "format": ("ruff", "format", "--check", "."),
    "types": ("mypy",),
    "import contracts": ("lint-imports",),
}


@pytest.mark.parametrize("check", CHECKS)
def test_the_checks_are_green(check: str) -> None:
    """Ruff, mypy strict and the import contracts find nothing."""
    program, *arguments = CHECKS[check]
    done = subprocess.run(
        [str(PROGRAMS / program), *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
