"""The tables of settings in `docs/ledgers` are those of the adapters."""

import pytest

from services.arg_sync.ledgers.registry import adapter_specs
from tests.ledgers import pages


@pytest.mark.parametrize("name", ["xero", "quickbooks", "business-central", "netsuite"])
def test_the_pages_are_up_to_date(name: str) -> None:
    """`python -m tests.ledgers.pages` writes their tables."""
    text = (pages.FOLDER / f"{name}.md").read_text(encoding="utf-8")
    assert pages.BEGIN in text and pages.page_with(text, adapter_specs()[name]) == text
