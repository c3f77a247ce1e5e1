"""What the README says of the code is what the code says."""

import re
from pathlib import Path

from tests.contracts.readme_tables import README, with_tables

ROOT = README.parent


def test_the_generated_tables_are_the_newest() -> None:
    """Settings and topics in the README are those of the code; fix with `python -m tests.contracts.readme_tables`."""
    text = README.read_text(encoding="utf-8")
    assert text == with_tables(text)


def test_every_guarantee_names_a_test_that_exists() -> None:
    """A promise without a test that proves it is a claim."""
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", README.read_text(encoding="utf-8"))
    assert len(named) >= 10
    for path, test in named:
        assert (ROOT / path).exists(), path
        assert not test or f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), (
            f"{path}::{test}"
        )


def test_links_lead_somewhere() -> None:
    """Links to files of the project are not dead."""
    for target in re.findall(r"\]\((?!http|#)([^)#]+)\)", README.read_text(encoding="utf-8")):
        assert (ROOT / Path(target)).exists(), target
