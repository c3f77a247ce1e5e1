"""What the documentation says of the code is what the code says."""

import re

import pytest

from services.console.web.forms.command_form import NO_FORM, form_of
from tests.contracts import screens
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


def test_every_command_can_be_sent_from_the_web_console() -> None:
    """Each has a form, or a stated reason; the modules that are named exist, and so do commands."""
    assert all(screens.WEB.joinpath(f"{module}.py").exists() for module in screens.titles())
    named = screens.screens_of()
    assert set(NO_FORM) < set(named) and all(NO_FORM.values())
    for command in set(named) - set(NO_FORM):
        assert form_of(command).fields, command
    assert {"generate-batch", "credit-invoice", "snooze-pay-lines", "set-person"} <= {
        command for command, found in named.items() if found
    }
