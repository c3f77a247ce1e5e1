"""Fixtures of handler tests: those of `tests.ledgers.delivering`, and pauses of this process."""

from pathlib import Path

import pytest

from tests.conftest import Configure
from tests.ledgers.delivering import delivering, sample
from tests.running import Pauses

__all__ = ["delivering", "pauses", "sample"]


@pytest.fixture
def pauses(configure: Configure, tmp_path: Path) -> Pauses:
    """Pauses of this process."""
    configure(pause=tmp_path)
    return Pauses(tmp_path)
