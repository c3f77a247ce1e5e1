"""A document that the ledger made otherwise than it was sent: what differs, and what to do."""

from dataclasses import replace
from decimal import Decimal

import pytest

from services.arg_sync.deliveries.rules.transitions import (
    ExpectedDocument,
    differences,
    fix_of_difference,
)
from services.arg_sync.ledgers.documents import RemoteDocument
from services.arg_sync.ledgers.registry import adapter_specs

OURS = ExpectedDocument("INV-1", "invoice", "USD", Decimal("110.00"), "C1", Decimal("10.00"))
THEIRS = RemoteDocument(
    "77", "INV-1", "invoice", "posted", "USD", Decimal("110.00"), "C1", tax=Decimal("10.00")
)


def test_the_tax_is_compared_where_the_ledger_gives_it() -> None:
    """A total may agree although the tax does not: the net would be wrong by as much."""
    assert differences(OURS, THEIRS) == []
    other = replace(THEIRS, tax=Decimal("9.99"))
    assert differences(OURS, other) == ["its tax is 9.99, ours is 10.00"]
    assert differences(OURS, replace(other, tax=None)) == []
    assert differences(replace(OURS, tax=None), other) == []


@pytest.mark.parametrize("name", sorted(adapter_specs()))
@pytest.mark.parametrize("state", ["draft", "posted"])
def test_a_cent_of_difference_has_a_fix(name: str, state: str) -> None:
    """What to change in the ledger, our amounts, the retry that takes it over, and, where the
    ledger computes the tax, the tax basis for later documents.
    """
    can = adapter_specs()[name].capabilities
    cent = replace(THEIRS, state=state, total=Decimal("109.99"), tax=Decimal("9.99"))
    fix = fix_of_difference(OURS, cent, can, "acme-us")
    assert fix.startswith(can.correction) and "110.00 with a tax of 10.00" in fix
    assert "`backoffice deliveries retry` takes it over" in fix
    assert ("deliveries adopt" in fix) == (state == "posted")
    assert ("set acme-us --tax-basis" in fix) == (can.tax_basis != "any")


def test_another_difference_is_voided_or_mapped() -> None:
    """Who owes it, or in which currency, no edit of amounts corrects."""
    can = adapter_specs()["netsuite"].capabilities
    other = replace(THEIRS, customer="C2", total=Decimal("109.99"))
    assert "void it in the ledger" in fix_of_difference(OURS, other, can, "acme-us")
    draft = replace(other, state="draft")
    assert fix_of_difference(OURS, draft, can, "acme-us").startswith("correct the tax or account")


def test_the_fix_names_a_tax_only_where_we_have_one() -> None:
    """A system that does not report the tax is corrected by the total alone."""
    can = adapter_specs()["xero"].capabilities
    cent = replace(THEIRS, total=Decimal("109.99"), tax=None)
    fix = fix_of_difference(replace(OURS, tax=None), cent, can, "acme-us")
    assert "so that its total is 110.00; then" in fix
