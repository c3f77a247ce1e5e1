"""Which invoice option a billing item gets, as a rule without a database (msp.md 3)."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from services.invoicer.debtors.rules.companies import DocumentTerms
from services.invoicer.invoices.rules.documents import Group, GroupOption, build_documents
from services.invoicer.invoices.rules.totals import TaxPart
from services.invoicer.options.rules import (
    Choice,
    InvoiceOption,
    Item,
    choose,
    group_list,
    unknown_fields,
)
from shared.events.realizations import LineEngagement

COUNTRY = InvoiceOption("country", "US", is_default=True)
BOSTON = replace(COUNTRY, name="boston", location="Boston")
IN_USD = replace(COUNTRY, name="in usd", currency="USD")
PAYS = replace(COUNTRY, name="pays", bill_to="supplier")
NAMED = InvoiceOption("named", "US", request_types=("staffing",), billing_types=("time",))


def item(billing_type: str = "time", currency: str = "USD", **engagement: Any) -> Item:
    """An item of an engagement in Boston, US."""
    given = {"engagement_id": "E-1", "client_country": "US", "location": "Boston"} | engagement
    return Item(LineEngagement(**given), billing_type, currency)


def chosen(of: Item, *options: InvoiceOption) -> Choice:
    """Return the choice among these options."""
    return choose(of, {each.name: each for each in options})


@pytest.mark.parametrize(
    ("of", "options", "expected"),
    [
        (item(invoice_option="named"), [NAMED, BOSTON], "named"),
        (item(), [NAMED, COUNTRY, BOSTON, IN_USD], "boston"),
        (item(location="Salem"), [COUNTRY, BOSTON, IN_USD], "in usd"),
        (item(currency="EUR", location="Salem"), [COUNTRY, IN_USD], "country"),
        (item(), [replace(COUNTRY, country="DE")], None),
        (Item(None, "time", "USD"), [COUNTRY], None),
        (item(side="supplier"), [BOSTON, PAYS], "pays"),
        (item(), [PAYS], None),
    ],
    ids=["named", "location before country", "currency before any", "any currency",
         "no active option in the country", "no engagement", "the supplier's side",
         "options of the other side"],
)  # fmt: skip
def test_named_then_default_by_rank(
    of: Item, options: list[InvoiceOption], expected: str | None
) -> None:
    """The named option, else the default: location, then country; currency, then any (msp.md 3)."""
    found = chosen(of, *options)
    assert (found.option and found.option.name, found.reason) == (expected, None)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (replace(NAMED, active=False), "not active"),
        (replace(NAMED, request_types=("project",)), "request type staffing"),
        (replace(NAMED, billing_types=("product",)), "billing type time"),
        (replace(NAMED, currency="EUR"), "it is for EUR, not USD"),
        (replace(NAMED, name="other"), "none of that name"),
    ],
)
def test_a_named_option_that_does_not_fit(option: InvoiceOption, words: str) -> None:
    """It must be active and fit; the step names what does not (msp.md 3)."""
    found = chosen(item(invoice_option="named"), option, COUNTRY)
    assert (found.option, found.reason) == (None, "option_does_not_fit")
    assert words in found.steps[-1]


def test_two_of_one_rank_and_none() -> None:
    """Two defaults of one rank conflict; none in a country with options leaves the item out."""
    found = chosen(item(), BOSTON, replace(BOSTON, name="again"))
    assert (found.option, found.reason, found.names) == (
        None, "two_invoice_options", ("again", "boston"),
    )  # fmt: skip
    assert chosen(item(), NAMED).reason == "no_invoice_option"
    assert chosen(item("expense"), replace(COUNTRY, billing_types=("time",))).reason == (
        "no_invoice_option"
    )


@pytest.mark.parametrize(
    ("pairs", "visible"),
    [((), True), (("MSP:Client",), True), (("MSP:Supplier", "Client:Supplier"), True),
     (("MSP:Supplier",), False)],
)  # fmt: skip
def test_the_filter_must_let_the_party_see_the_item(pairs: tuple[str, ...], visible: bool) -> None:
    """An item that is not visible to the client goes to none of its options (msp.md 3)."""
    found = chosen(item(billing_filter=pairs), COUNTRY)
    assert (found.reason or "seen") == ("seen" if visible else "not_visible")
    assert (found.option == COUNTRY) is visible


def test_lists_are_whole_and_never_merged() -> None:
    """An option inherits its country's list or has its own; unknown fields are named (msp.md 4)."""
    by_country = {"US": ("engagement.supplier",)}
    assert group_list(COUNTRY, by_country) == ("engagement.supplier",)
    assert group_list(replace(COUNTRY, country="DE"), by_country) == ()
    assert group_list(replace(COUNTRY, group_by=("bill.worker",)), by_country) == ("bill.worker",)
    assert group_list(replace(COUNTRY, group_by=()), by_country) == ()
    given = ["engagement.id", "custom.cost_code", "custom.", "engagement.salary", "worker"]
    assert unknown_fields(given) == ["custom.", "engagement.salary", "worker"]


def group(number: int, option: GroupOption | None, *, credits: int = 0) -> Group:
    """A group of one line, of 100.00 or a credit of it."""
    amount = Decimal(-100 if credits else 100)
    terms = DocumentTerms("standard", "", "net:30")
    day = date(2026, 3, 8)
    part = TaxPart("", Decimal(0), amount, Decimal(0))
    return Group(
        number, "Mercy", "USD", terms, "", credits, 1, credits, day, day, (part,), option=option
    )


def test_numbers_follow_group_values_and_parts() -> None:
    """Group values in the stated order, then invoices before credits, then the part (msp.md 4)."""

    def of(value: str, origin: int, part: int = 0) -> GroupOption:
        return GroupOption("US", "client", (("engagement.supplier", value),), origin, part)

    groups = [
        group(3, of("S1", 3), credits=1),
        group(4, of("S2", 4)),
        group(5, of("S1", 9, part=1)),
        group(7, None),
        group(9, of("S1", 9)),
        group(11, of("", 11)),
    ]
    documents, zero = build_documents(groups)
    assert [each.group.group_no for each in documents] == [7, 11, 9, 5, 3, 4]
    assert zero == []
    stored = documents[2].group.option
    assert stored is not None
    assert GroupOption.of(stored.row, 9) == stored
