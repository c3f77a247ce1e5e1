"""The stack of a test in which commands are signed."""

from pathlib import Path

import pytest

from tests.conftest import Configure, EngineOf
from tests.signed import Senders


@pytest.fixture
async def signed_stack(
    stack: dict[str, str], engine_of: EngineOf, configure: Configure, tmp_path: Path
) -> dict[str, str]:
    """The same stack, whose workers carry out signed commands only; this process signs its own."""
    return stack | await Senders(engine_of("owner")).sign_everything(configure, tmp_path)
