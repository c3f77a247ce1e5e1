"""Facts of the adapters that need no server: tables of settings, external ids."""

import pytest

from services.arg_sync.ledgers import netsuite as ns
from services.arg_sync.ledgers.registry import adapter_specs
from tests.ledgers import pages


@pytest.mark.parametrize("name", ["xero", "quickbooks", "business-central", "netsuite"])
def test_the_pages_are_up_to_date(name: str) -> None:
    """`python -m tests.ledgers.pages` writes their tables."""
    text = (pages.FOLDER / f"{name}.md").read_text(encoding="utf-8")
    assert pages.BEGIN in text and pages.page_with(text, adapter_specs()[name]) == text


@pytest.mark.parametrize("number", ["INV-1", "A/2026|7", "Ä_9", "x" * 50])
def test_an_external_id_is_our_number_and_back(number: str) -> None:
    """Only a-z, A-Z, 0-9, _ and -; an invoice and a credit note have different ids."""
    ids = {ns.external_id("invoice", number), ns.external_id("credit-note", number)}
    assert len(ids) == 2 and all(
        part.isascii() and part.replace("_", "").replace("-", "").isalnum() for part in ids
    )
    assert {ns.number_in(each) for each in ids} == {number}
