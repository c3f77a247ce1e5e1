"""The codes that each ledger has, and a mapping that is checked against them."""

from dataclasses import replace
from typing import Any

import pytest

from services.arg_sync.ledgers.codes import (
    KINDS,
    CompanyCodes,
    LedgerCode,
    ListsCodes,
    code_problems,
    wanted_codes,
)
from services.arg_sync.ledgers.registry import adapter_specs
from shared.terms import similar_names
from tests.ledgers.suite import Stage
from tests.ledgers.test_left_out import STAGES

COMPANY = CompanyCodes(frozenset({"USD", "GBP"}), frozenset({"VAT"}), frozenset())
MAPPINGS: dict[str, tuple[dict[tuple[str, str], str], set[str]]] = {
    "xero": (
        {
            ("account", ""): "200",
            ("account", "OT"): "210",
            ("account", "BONUS"): "610",
            ("account", "FEE"): "090",
            ("account", "REG"): "Sale",
            ("item", "X"): "NURSE",
            ("tax", "VAT"): "OUTPUT",
            ("tax", "LOW"): "INPUT",
        },
        {
            "account 210 (Old sales) is archived in Xero",
            "account 610 (Accounts Receivable) is a control account in Xero",
            "account 090 (Bank) is a bank account in Xero",
            "Xero has no account Sale; do you mean 200 (Sales)?",
            "tax code INPUT (Input) is not for revenue in Xero",
            "Xero has no currency GBP",
        },
    ),
    "quickbooks": (
        {("item", ""): "11", ("item", "OT"): "Nursin", ("tax", "VAT"): "3", ("tax", "LOW"): "9"},
        {
            "QuickBooks Online has no item Nursin; do you mean 11 (Nursing)?",
            "QuickBooks Online has no tax code 9",
            "QuickBooks Online has no currency GBP",
        },
    ),
    "business-central": (
        {
            ("account", ""): "6110",
            ("account", "OT"): "6000",
            ("account", "FEE"): "6120",
            ("item", "X"): "nurse",
            ("tax", "VAT"): "T10",
        },
        {
            "account 6000 (Income) is a heading account in Microsoft Dynamics 365 Business Central",
            "account 6120 (Old) is blocked in Microsoft Dynamics 365 Business Central",
            "Microsoft Dynamics 365 Business Central has no item nurse; do you mean NURSE"
            " (Nursing)?",
            "Microsoft Dynamics 365 Business Central has no currency GBP",
        },
    ),
    "netsuite": (
        {("item", ""): "42", ("item", "OT"): "43", ("item", "X"): "99", ("tax", "VAT"): "6"},
        {
            "item 43 (Item 43) is inactive in Oracle NetSuite",
            "Oracle NetSuite has no item 99",
            "Oracle NetSuite has no tax code 6",
            "Oracle NetSuite has no currency GBP",
        },
    ),
}


async def problems_of(stage: Stage, name: str, mapped: Any) -> set[str]:
    """What is wrong with a mapping."""
    port = stage.port
    assert isinstance(port, ListsCodes)
    listed = {}
    for kind, wanted in wanted_codes(mapped, COMPANY).items():
        if (found := await port.codes(kind, wanted)) is not None:
            listed[kind] = found
    return {each.message for each in code_problems(adapter_specs()[name], mapped, COMPANY, listed)}


READING_POSTS = ("/token", "/suiteql")
"""Calls that write nothing, although their method is POST."""


def stored(stage: Stage) -> dict[str, str]:
    """Everything that a vendor holds; its login counts tokens and is no part of it."""
    return {
        name: repr(value) for name, value in vars(stage.server.vendor).items() if name != "login"
    }


@pytest.mark.parametrize("name", sorted(STAGES))
async def test_each_mapped_code_exists_and_may_be_used(name: str) -> None:
    """What is missing, inactive or of no use for a sales document is named, with codes near it;
    the currencies of the billing company as well. Nothing is written.
    """
    mapped, expected = MAPPINGS[name]
    async with STAGES[name]() as stage:
        before = stored(stage)
        assert await problems_of(stage, name, mapped) == expected
        assert stored(stage) == before
        posted = {path for _, method, path in stage.server.calls if method != "GET"}
        assert all(path.endswith(READING_POSTS) for path in posted), posted


async def test_an_inactive_item_of_quickbooks_is_found() -> None:
    """A query shows only active records unless it asks for the others."""
    async with STAGES["quickbooks"]() as stage:
        things: Any = stage.server.vendor.things  # type: ignore[attr-defined]
        things["Item"]["11"]["Active"] = False
        things["TaxCode"]["3"]["SalesTaxRateList"] = {}
        stage.server.vendor.multicurrency = False  # type: ignore[attr-defined]
        found = await problems_of(stage, "quickbooks", MAPPINGS["quickbooks"][0])
        assert "item 11 (Nursing) is inactive in QuickBooks Online" in found
        assert "tax code 3 (Tax 3) has no rate for sales in QuickBooks Online" in found


def test_what_the_company_has_and_nothing_maps_is_named() -> None:
    """Currencies, tax codes and catalog, by the kind of code that a line of the ledger needs."""
    company = CompanyCodes(frozenset(), frozenset({"VAT", "LOW"}), frozenset({"FEE", "LAPTOP"}))
    xero, quickbooks = adapter_specs()["xero"], adapter_specs()["quickbooks"]

    def missing(spec: Any, *mapped: tuple[str, str]) -> set[tuple[str, str]]:
        found = code_problems(spec, dict.fromkeys(mapped, "1"), company, {})
        assert all(each.remote == "" for each in found)
        return {(each.what, each.code) for each in found}

    taxes = {("tax", "LOW"), ("tax", "VAT")}
    everything = {("account", code) for code in ("FEE", "LAPTOP", "time")} | taxes
    assert missing(xero) == everything
    assert missing(xero, ("account", ""), ("tax", "VAT")) == {("tax", "LOW")}
    assert missing(xero, ("item", "FEE"), ("account", "time")) == {("account", "LAPTOP")} | taxes
    assert missing(xero, ("account", "product"), ("account", "REG")) == taxes
    assert (
        missing(quickbooks, ("account", ""))
        == {("item", code) for code in ("FEE", "LAPTOP", "time")} | taxes
    )


def test_a_code_that_two_records_bear_may_be_used_if_one_may() -> None:
    """An archived account may have the code of an active one."""
    spec = replace(adapter_specs()["xero"], title="X")
    there = [LedgerCode("1", problem="is archived"), LedgerCode("1")]
    assert code_problems(spec, {("account", ""): "1"}, CompanyCodes(), {"account": there}) == []
    assert set(wanted_codes({("customer", "Mercy"): "7"}, COMPANY)) == set(KINDS)


def test_near_ones_are_near() -> None:
    """Whatever their capitals; at most three; nothing that is far."""
    words = ["account", "item", "term", "tax", "customer"]
    assert similar_names("acount", words) == ["account"] and similar_names("TAXES", words) == [
        "tax"
    ]
    assert similar_names("zebra", words) == []
