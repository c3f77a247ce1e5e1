"""How people write discounts and surcharges in options and in files, and how a table shows them."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from services.console.columns.debtors import table_row
from services.console.importing.allowances import read_allowance
from services.console.importing.terms import read_terms
from services.invoicer.debtors.rules.allowances import AllowanceTerm, change_allowances, in_order
from shared.events.commands import SetDebtorTerms
from tests.builders import COMPANY, command


@pytest.mark.parametrize(
    ("kind", "text", "figure"),
    [
        ("discount", "Volume=2.5", ("2.5", None, None, "all")),
        ("discount", "Volume = 2.5 %:timesheets", ("2.5", None, None, "timesheets")),
        ("discount", "Goodwill=80 USD", (None, "80", "USD", "all")),
        ("surcharge", "Fuel=3%:products", ("3", None, None, "products")),
        ("surcharge", "Administration=15", (None, "15", None, "all")),
        ("surcharge", "Administration=1500JPY", (None, "1500", "JPY", "all")),
    ],
)
def test_a_figure_is_a_percentage_or_an_amount(
    kind: str, text: str, figure: tuple[str | None, ...]
) -> None:
    """A bare figure is a percentage of a discount and the amount of a surcharge."""
    found = read_allowance(kind, text)
    assert tuple(found[name] for name in ("percent", "amount", "currency", "applies_to")) == figure


@pytest.mark.parametrize("text", ["Volume", "=2", "Volume=", "Volume=2.5:hours", "Volume=-1"])
def test_what_is_no_discount_is_refused_with_its_form(text: str) -> None:
    """The message shows what was written and what it should be."""
    with pytest.raises(ValueError, match="is not NAME=PERCENT"):
        read_allowance("discount", text)


@pytest.mark.parametrize(
    "values",
    [
        {"percent": "2.5", "amount": "3"},
        {},
        {"percent": "100.01"},
        {"percent": "0"},
        {"percent": "2", "currency": "USD"},
        {"amount": "1.5", "currency": "JPY"},
        {"amount": "-1"},
    ],
)
def test_a_command_has_one_figure_within_its_limits(values: dict[str, Any]) -> None:
    """A percentage above 0 up to 100, or an amount above 0 in whole units of its currency."""
    allowance = {"kind": "discount", "name": "Volume", **values}
    with pytest.raises(ValidationError):
        command(
            "set-debtor-terms", billing_company=COMPANY, account_name="A", allowances=[allowance]
        )


def test_a_file_sets_and_ends_them(tmp_path: Path) -> None:
    """Several are in a cell with a semicolon between; what is wrong is named by its line."""
    path = tmp_path / "terms.csv"
    path.write_text(
        "account_name,allowances,remove_allowances\n"
        "A,discount Volume=2.5:timesheets; surcharge Fuel=3%,Old;Older\n"
        "B,rebate Volume=2,\n"
    )
    found, problems = read_terms(path, command, COMPANY)
    (((line, terms),), count) = (found, problems.count)
    assert isinstance(terms, SetDebtorTerms)
    assert (line, count) == (2, 1)
    assert [(each.kind, each.name) for each in terms.allowances] == [
        ("discount", "Volume"),
        ("surcharge", "Fuel"),
    ]
    assert terms.remove_allowances == ("Old", "Older")


def test_a_table_shows_them_as_they_are_stored() -> None:
    """With other lists as texts, and nothing where every debtor has the same."""
    stored = [
        AllowanceTerm("discount", "Volume", Decimal("2.5"), applies_to="timesheets").row,
        AllowanceTerm("surcharge", "Administration", amount=Decimal(15), currency="EUR").row,
    ]
    terms = {"from_date": "2026-03-01", "emails": ["a@b.com", "c@d.com"], "attach": ["pdf"]}
    assert table_row(terms | {"allowances": stored}) == {
        "from_date": "2026-03-01",
        "emails": "a@b.com, c@d.com",
        "attach": None,
        "allowances": "discount Volume 2.5 % of timesheets; surcharge Administration 15 EUR",
    }


def test_one_replaces_the_one_of_its_name_in_its_place() -> None:
    """Others are added at the end; discounts are taken before surcharges."""
    first, fuel = AllowanceTerm("discount", "A"), AllowanceTerm("surcharge", "Fuel")
    other = AllowanceTerm("discount", "A", applies_to="products")
    last = AllowanceTerm("discount", "B")
    changed = change_allowances("Mercy", [first, fuel], [last, other], [])
    assert changed == (other, fuel, last)
    assert in_order(changed) == [other, last, fuel]
    assert change_allowances("Mercy", changed, [], ["A", "B"]) == (fuel,)
