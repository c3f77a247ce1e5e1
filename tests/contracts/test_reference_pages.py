"""What the documentation says of the code is what the code says."""

import re

import pytest

from tests.contracts.reference_pages import FOLDER, PAGES

ROOT = FOLDER.parents[1]


@pytest.mark.parametrize("file", PAGES)
def test_the_reference_pages_are_the_newest(file: str) -> None:
    """Commands, settings, topics and metrics are those of the code; to write the pages anew:
    `python -m tests.contracts.reference_pages`.
    """
    assert (FOLDER / file).read_text(encoding="utf-8") == PAGES[file]()


@pytest.mark.parametrize(
    ("page", "least"), [("guarantees.md", 40), ("security.md", 40), ("reference/limits.md", 40)]
)
def test_every_guarantee_names_a_test_that_exists(page: str, least: int) -> None:
    """A promise without a test that proves it is a claim."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text)
    assert len(named) >= least
    for path, test in named:
        assert (ROOT / path).exists(), path
        text = (ROOT / path).read_text(encoding="utf-8")
        assert not test or f"def {test}(" in text, f"{path}::{test}"
