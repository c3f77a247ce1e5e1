"""Customers by their Account Name: whatever the name is, no two of them share a customer."""

from decimal import Decimal
from typing import Any

import pytest

from services.arg_sync.ledgers.documents import Customer
from services.arg_sync.ledgers.failures import Failure
from services.arg_sync.ledgers.registry import adapter_specs
from tests.ledgers.stages import netsuite_stage, quickbooks_stage
from tests.ledgers.suite import create, customer_of, deliver, document
from tests.ledgers.test_left_out import STAGES

NAMES = [
    'The "North" Clinic',
    'The "South" Clinic',
    '"',
    "C:\\Clinic",
    "St. Mary's",
    "O'Neil \\' OR 1 eq 1",
    "Zoë & Söhne 聖路加",
    "Mercy (EUR)",
]


@pytest.mark.parametrize("name", sorted(STAGES))
async def test_every_name_has_a_customer_of_its_own_or_is_refused(name: str) -> None:
    """Found again by the same name, never by another; a refusal names what the ledger lacks."""
    async with STAGES[name]() as stage:
        found: dict[str, str] = {}
        for each in NAMES:
            try:
                found[each] = await customer_of(stage.port, Customer(each, currency="USD"))
            except Failure as failed:
                refusal = (failed.failure, failed.code, "map" in failed.message)
                if refusal != ("permanent", "name_not_possible", True):
                    raise
        for each, an_id in found.items():
            assert await stage.port.customer_for(Customer(each, currency="USD")) == an_id
        assert len(set(found.values())) == len(found)
        refused = {"xero": {'"'}, "quickbooks": {"C:\\Clinic"}}
        assert set(NAMES) - set(found) == refused.get(name, set())


@pytest.mark.parametrize("name", sorted(STAGES))
async def test_names_alike_in_their_beginning_share_no_customer(name: str) -> None:
    """At every length that a ledger has: at the limit they are two, above it they are refused and
    a person is asked for a mapping; NetSuite keeps the whole name in the external id.
    """
    spec = adapter_specs()[name]
    async with STAGES[name]() as stage:
        limit = spec.name_length or 400
        pair = [("M" * limit)[:-1] + each for each in "ab"]
        ids = {await customer_of(stage.port, Customer(each, currency="USD")) for each in pair}
        assert len(ids) == 2
        for each in pair:
            if spec.name_length:
                with pytest.raises(Failure, match=f"of {limit} characters.* map it") as failed:
                    await stage.port.customer_for(Customer(each + "x"))
                assert failed.value.failure == "permanent"
                mapped = Customer(each + "x", mapped=min(ids), currency="USD")
                assert await stage.port.customer_for(mapped) == min(ids)


async def test_a_search_in_xero_with_too_many_results_is_refused() -> None:
    """The search looks for a part of the name: what it does not show is not taken for absent."""
    async with STAGES["xero"]() as stage:
        vendor: Any = stage.server.vendor
        for at in range(2_000):
            contact = {"Name": f"Clinic {at}", "ContactID": str(at), "ContactStatus": "ACTIVE"}
            vendor.contacts[str(at)] = contact
        with pytest.raises(Failure, match="double quote") as failed:
            await stage.port.customer_for(Customer('Clinic "'))
        assert failed.value.failure == "permanent"


@pytest.mark.parametrize(("entity", "words"), [("Vendor", "a vendor"), ("Employee", "an employee")])
async def test_quickbooks_says_who_bears_the_name(entity: str, words: str) -> None:
    """No second customer `Mercy (USD)` arises without a word: a person renames or maps."""
    async with quickbooks_stage() as stage:
        vendor: Any = stage.server.vendor
        vendor.named(entity, "Mercy")
        with pytest.raises(Failure, match=f"the name Mercy for {words}.*map Mercy") as failed:
            await customer_of(stage.port, Customer("Mercy", currency="USD"))
        assert (failed.value.failure, failed.value.code) == ("permanent", "name_taken")
        assert vendor.things["Customer"] == {}


async def test_quickbooks_keeps_a_second_currency_apart_from_a_name_like_it() -> None:
    """`Mercy (EUR)` may be what we named Mercy in euros, or a debtor of that name."""
    async with quickbooks_stage() as stage:
        for currency in ("USD", "EUR"):
            await customer_of(stage.port, Customer("Mercy", currency=currency))
        euros = await stage.port.customer_for(Customer("Mercy", currency="EUR"))
        assert await stage.port.customer_for(Customer("Mercy (EUR)", currency="EUR")) is None
        with pytest.raises(Failure, match="map Mercy \\(EUR\\)") as failed:
            await stage.port.add_customer(Customer("Mercy (EUR)"))
        assert failed.value.failure == "permanent"
        with pytest.raises(Failure, match="billed in EUR in QuickBooks, the document is in USD"):
            await stage.port.customer_for(Customer("x", mapped=str(euros), currency="USD"))


async def test_a_quickbooks_company_of_one_currency() -> None:
    """Without multicurrency no answer has a `CurrencyRef`: invoices, credit memos, payments and
    customers are in the home currency, and another currency is refused before anything is made.
    """
    async with quickbooks_stage() as stage:
        vendor: Any = stage.server.vendor
        vendor.home, vendor.multicurrency = "CAD", False
        mercy = Customer("Mercy", currency="CAD")
        for kind in ("invoice", "credit-note"):
            made = document(stage, f"D-{kind[:3]}", kind, currency="CAD", customer=mercy)
            assert (await create(stage.port, made)).currency == "CAD"
            (found,) = (await stage.port.find(made.kind, [made.number]))[made.number]
            assert (found.currency, found.total) == ("CAD", made.total)
        vendor.pay("D-inv", "10.00")
        (paid,) = (await stage.port.payments("")).payments
        assert (paid.currency, paid.amount) == ("CAD", Decimal("10.00"))
        for currency in ("USD", "EUR"):
            with pytest.raises(Failure, match=r"has CAD only.*turn multicurrency on") as failed:
                await customer_of(stage.port, Customer("Mercy", currency=currency))
            assert failed.value.failure == "permanent"
        assert len(vendor.things["Customer"]) == 1


async def test_a_netsuite_account_of_one_currency() -> None:
    """Without the feature Multiple Currencies no record, no request and no table has one."""
    async with netsuite_stage(currencies="USD=none") as stage:
        vendor: Any = stage.server.vendor
        vendor.multicurrency = False
        made = await deliver(stage.port, document(stage))
        assert (made.currency, made.total) == ("USD", document(stage).total)
        vendor.pay(made.number, "10.00")
        (paid,) = (await stage.port.payments("")).payments
        assert (paid.currency, paid.amount) == ("USD", Decimal("10.00"))
        with pytest.raises(Failure, match="EUR is not among"):
            await deliver(stage.port, document(stage, "INV-2", currency="EUR"))
