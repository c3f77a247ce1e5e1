"""The QuickBooks adapter: the suite of all adapters, and what is QuickBooks' own."""

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from services.arg_sync.ledgers.documents import ArDocument, Customer
from services.arg_sync.ledgers.failures import Failure
from services.arg_sync.ledgers.quickbooks import LEDGER
from tests.ledgers.stages import quickbooks_stage, staged
from tests.ledgers.suite import LedgerSuite, Stage, create, customer_of, document
from tests.ledgers.vendors.quickbooks import REALM, QuickBooksVendor


class TestQuickBooks(LedgerSuite):
    """QuickBooks."""

    @pytest.fixture
    async def stage(self) -> AsyncIterator[Stage]:
        """A server that plays it."""
        async with quickbooks_stage() as stage:
            yield stage


@pytest.fixture
async def abroad() -> AsyncIterator[Stage]:
    """A company outside the USA."""
    async with quickbooks_stage("CA", tax_model="global") as stage:
        yield stage


def things(stage: Stage, entity: str) -> Any:
    """What the company holds."""
    return stage.server.vendor.things[entity]  # type: ignore[attr-defined]


def taxed(stage: Stage, code: str, percent: str, *taxes: str) -> ArDocument:
    """Lines of 33.33 each with this code and these taxes."""
    (line, _) = document(stage).lines
    one = replace(line, quantity=Decimal(1), unit_price=Decimal("33.33"), amount=Decimal("33.33"))
    lines = tuple(
        replace(one, line_no=at, tax=code, tax_rate=Decimal(percent), tax_amount=Decimal(tax))
        for at, tax in enumerate(taxes, 1)
    )
    tax = sum((line.tax_amount for line in lines), Decimal(0))
    return document(stage, lines=lines, tax=tax, total=tax + Decimal("33.33") * len(lines))


async def test_our_tax_overrides_by_a_line_that_names_the_rate(abroad: Stage) -> None:
    """By line 3 x 3.33 is 9.99; QuickBooks would compute 10.00 and ignores a total alone."""
    ours = taxed(abroad, "3", "10", "3.33", "3.33", "3.33")
    made = await create(abroad.port, ours)
    assert (made.total, made.tax) == (Decimal("109.98"), Decimal("9.99"))
    (line,) = things(abroad, "Invoice")[made.remote_id]["TxnTaxDetail"]["TaxLine"]
    assert line["TaxLineDetail"]["TaxRateRef"] == {"value": "31"}
    assert line["TaxLineDetail"]["NetAmountTaxable"] == Decimal("99.99")


async def test_the_rates_of_one_code_share_its_tax_to_the_cent(abroad: Stage) -> None:
    """A code of 5 % and 9.975 %: the last rate takes what rounding leaves."""
    made = await create(abroad.port, taxed(abroad, "6", "14.975", "4.99", "4.99", "4.99"))
    lines = things(abroad, "Invoice")[made.remote_id]["TxnTaxDetail"]["TaxLine"]
    amounts = {one["TaxLineDetail"]["TaxRateRef"]["value"]: one["Amount"] for one in lines}
    assert amounts == {"61": Decimal("5.00"), "62": Decimal("9.97")}
    assert made.total == Decimal("114.96")


async def test_a_code_of_another_rate_is_refused_before_anything_is_made(abroad: Stage) -> None:
    """A wrong mapping, or a rate that changed in one of both: nothing is created."""
    with pytest.raises(Failure, match="21 % in QuickBooks, and INV-000001 has 10 %") as failed:
        await create(abroad.port, taxed(abroad, "4", "10", "3.33"))
    assert failed.value.failure == "permanent"
    for code in ("9", "5"):
        things(abroad, "TaxCode").get(code, {})["Active"] = False
        with pytest.raises(Failure, match=f"no active tax code {code}"):
            await create(abroad.port, taxed(abroad, code, "0", "0"))
    assert things(abroad, "Invoice") == {}


async def test_a_line_without_a_code_among_others_is_refused(abroad: Stage) -> None:
    """Outside the USA; the message says which code to map."""
    ours = taxed(abroad, "3", "10", "3.33", "0")
    bare = replace(ours.lines[1], tax="", tax_code="", tax_rate=Decimal(0))
    with pytest.raises(Failure, match=r"line 2 of INV-000001.*empty code"):
        await create(abroad.port, replace(ours, lines=(ours.lines[0], bare)))


@pytest.mark.parametrize(("country", "model"), [("GB", "us"), ("US", "global")])
async def test_the_tax_model_of_another_country_is_refused(country: str, model: str) -> None:
    """By the test of the connection: the wrong one is ignored or refused document by document."""
    vendor = QuickBooksVendor(country=country)
    async with staged(LEDGER, vendor, {"realm_id": REALM, "tax_model": model}, {}) as stage:
        with pytest.raises(Failure, match=f"is in {country}, and `tax_model`") as failed:
            await stage.port.check()
        assert (failed.value.failure, failed.value.everywhere) == ("permanent", True)


async def test_a_customer_with_a_tab_in_its_legal_name_is_made(abroad: Stage) -> None:
    """QuickBooks refuses tabs and line ends in every name; the Account Name stays as it is."""
    made = await customer_of(abroad.port, Customer("Mercy", "Mercy\tInc.\nWest", currency="USD"))
    assert things(abroad, "Customer")[made]["CompanyName"] == "Mercy Inc. West"
