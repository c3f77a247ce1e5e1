"""The NetSuite adapter: the suite of all adapters, and what is NetSuite's own."""

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from services.arg_sync.connections.handlers.adapters import OpenAdapter
from services.arg_sync.ledgers.documents import Customer
from services.arg_sync.ledgers.failures import Failure
from tests.ledgers.stages import netsuite_stage
from tests.ledgers.suite import LedgerSuite, Stage, create, customer_of, document


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A server that plays it."""
    async with netsuite_stage() as made:
        yield made


def vendor_of(stage: Stage) -> Any:
    """The server."""
    return stage.server.vendor


class TestNetSuite(LedgerSuite):
    """NetSuite."""


async def test_our_tax_overrides_what_netsuite_would_compute(stage: Stage) -> None:
    """Tax per document: 3 x 33.33 at 10 % is 9.99 by line there and 10.00 here. Each line with a
    tax code has a detail with our amount, code, tax type and rate.
    """
    (line, _) = document(stage).lines
    amounts = {"amount": Decimal("33.33"), "unit_price": Decimal("33.33"), "quantity": Decimal(1)}
    taxes = (Decimal("3.33"), Decimal("3.33"), Decimal("3.34"))
    lines = tuple(
        replace(line, line_no=at, tax_amount=tax, tax_rate=Decimal(10), **amounts)
        for at, tax in enumerate(taxes, 1)
    )
    ours = document(stage, lines=lines, tax=Decimal("10.00"), total=Decimal("109.99"))
    made = await create(stage.port, ours)
    assert (made.total, made.tax) == (Decimal("109.99"), Decimal("10.00"))
    record = vendor_of(stage).records["invoice"][made.remote_id]
    assert record["taxDetailsOverride"] is True
    assert [detail["taxAmount"] for detail in record["taxDetails"]["items"]] == list(taxes)
    assert {(d["taxCode"]["id"], d["taxType"]) for d in record["taxDetails"]["items"]} == {
        ("5", "13")
    }


async def test_without_tax_netsuite_computes_none(stage: Stage) -> None:
    """An empty override: otherwise the codes of the items would add tax."""
    lines = tuple(
        replace(line, tax="", tax_code="", tax_amount=Decimal(0)) for line in document(stage).lines
    )
    ours = document(stage, lines=lines, tax=Decimal(0), total=Decimal("2100.01"))
    assert (await create(stage.port, ours)).total == Decimal("2100.01")


async def test_an_account_without_suitetax_is_refused_by_the_test(stage: Stage) -> None:
    """The message says what is missing and what to do; the connection as a whole cannot work."""
    vendor_of(stage).suitetax = False
    with pytest.raises(Failure, match="turn SuiteTax on in NetSuite, then test again") as failed:
        await stage.port.check()
    assert (failed.value.failure, failed.value.everywhere) == ("permanent", True)


@pytest.mark.parametrize("problem", ["inactive", "missing"])
async def test_an_unusable_tax_code_is_refused_before_anything_is_made(
    stage: Stage, problem: str
) -> None:
    """The tax type of the code is needed; nothing is created without it."""
    codes = vendor_of(stage).records["salesTaxItem"]
    codes["5"]["isInactive"] = True
    if problem == "missing":
        del codes["5"]
    with pytest.raises(Failure, match="tax code 5") as failed:
        await create(stage.port, document(stage))
    assert failed.value.failure == "permanent" and vendor_of(stage).journal == []


async def test_a_customer_has_its_address_in_the_address_book(stage: Stage) -> None:
    """`defaultAddress` only shows it. What has no line of its own goes into the last one."""
    address = "2 Care Rd\nBuilding 7\nSpringfield\nIL 62704"
    made = await customer_of(stage.port, Customer("Mercy", "Mercy Inc.", address, currency="EUR"))
    record = vendor_of(stage).records["customer"][made]
    (entry,) = record["addressBook"]["items"]
    assert entry["defaultBilling"] is True
    assert entry["addressBookAddress"] == {
        "addressee": "Mercy Inc.",
        "addr1": "2 Care Rd",
        "addr2": "Building 7",
        "addr3": "Springfield, IL 62704",
    }
    assert record["currency"] == {"id": "4"}


async def test_too_many_calls_do_not_stop_the_connection(stage: Stage) -> None:
    """NetSuite says "Invalid login attempt" then. The token is renewed once; if the new one is
    refused as well, the call is repeated later. A key that gets no token is still refused.
    """
    opened = OpenAdapter(None, stage.port, stage.port.capabilities)  # type: ignore[arg-type]
    vendor_of(stage).busy = 5
    for _ in range(2):
        with pytest.raises(Failure) as failed:
            await opened.call(stage.port.check)
        assert (failed.value.failure, failed.value.code) == ("transient", "login_or_busy")
        assert failed.value.everywhere and "too many calls" in failed.value.message
    assert vendor_of(stage).login.count == 3
    vendor_of(stage).busy = 0
    assert "123456_SB1" in await opened.call(stage.port.check)
    vendor_of(stage).login.refused_with, vendor_of(stage).busy = (401, {"error": "x"}), 1
    other = OpenAdapter(None, stage.impatient, stage.port.capabilities)  # type: ignore[arg-type]
    with pytest.raises(Failure) as failed:
        await other.call(stage.impatient.check)
    assert failed.value.failure == "auth"


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ({"id": "A", "refName": "Open"}, "posted"),
        ({"id": "B", "refName": "Paid In Full"}, "paid"),
        ({"id": "D", "refName": "Pending Approval"}, "draft"),
        ({"id": "E", "refName": "Rejected"}, "draft"),
        ({"id": "V", "refName": "Voided"}, "voided"),
        ({"id": "Paid In Full", "refName": "Paid In Full"}, "paid"),
        ({"id": "Fully Applied"}, "paid"),
        ({"id": "Voided"}, "voided"),
    ],
)
async def test_the_state_is_the_first_character_of_the_status(
    stage: Stage, status: dict[str, str], state: str
) -> None:
    """The record page lists A, B, D, E and V; words are read where there is no character."""
    made = await create(stage.port, document(stage))
    vendor_of(stage).records["invoice"][made.remote_id]["status"] = status
    found = (await stage.port.status("invoice", [made.remote_id]))[made.remote_id]
    assert found is not None and found.state == state
