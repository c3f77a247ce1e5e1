"""Catalog items from a CSV file: values, and errors by line and column."""

from functools import partial
from pathlib import Path

import pytest

from services.console.actions.commands import new_command
from services.console.importing.catalog import CATALOG, read_catalog
from shared.events.commands import SetCatalogItem

NEW = partial(new_command, actor="pat", reason="")
HEADER = "item_id,name,class,family,kind,amount,currency,percent,percent_of,plan,guarantee\n"


def read(folder: Path, text: str) -> tuple[list[SetCatalogItem], list[str]]:
    """Return the commands of a file, and what is wrong with it."""
    path = folder / "catalog.csv"
    path.write_text(text)
    lines, problems = read_catalog(path, NEW)
    return [each for _, each in lines if isinstance(each, SetCatalogItem)], list(
        map(str, problems.shown)
    )


def test_items_with_prices_plans_and_guarantees(tmp_path: Path) -> None:
    """Each line is one item; an empty cell and a missing column take the default."""
    commands, wrong = read(
        tmp_path,
        HEADER
        + "DH,Direct hire,Fees,Permanent,,,,20,ote,1@1 1@60,100@30 75@60 50@90\n"
        + 'BG,Background check,Services,,non-placement,"1,250.50",USD,,,,\n',
    )
    assert wrong == []
    hire, check = commands
    assert (hire.item_class, hire.family, hire.percent_of) == ("Fees", "Permanent", "ote")
    assert [(part.share, part.day) for part in hire.plan or ()] == [(1, 1), (1, 60)]
    assert [(part.until_day, part.percent) for part in hire.guarantee] == [
        (30, 100), (60, 75), (90, 50),
    ]  # fmt: skip
    assert (check.product_kind, str(check.amount), check.currency) == (
        "non-placement", "1250.50", "USD",
    )  # fmt: skip
    assert (check.plan, check.guarantee, check.tax_code) == (None, (), "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("DH,Hire,,,other,1,USD,,,,\n", "line 2, product_kind: Input should be 'placement'"),
        ("DH,Hire,,,,,,20,,50-1,\n", "line 2, plan: '50-1' is not SHARE@DAY; write e.g. 50@1"),
        ("DH,Hire,,,,,,20,,0@1,\n", "line 2: no share of the pay plan is above 0"),
        ("DH,Hire,,,,,,20,,,50@60 75@30\n", "line 2: until_day of the guarantee must rise"),
        ("DH,Hire,,,,5,,,,,\n", "line 2: an amount needs its currency"),
        ("DH,Hire,,,,,,,,,\n", "line 2: give either an amount with its currency, or a percent"),
        ("DH,Hire,,,,x,USD,,,,\n", "line 2, amount: 'x' is not an amount or percent"),
        (",Hire,,,,1,USD,,,,\n", "line 2, item_id: is empty; it should be an id"),
    ],
)
def test_a_wrong_line_is_named_by_line_and_column(tmp_path: Path, text: str, expected: str) -> None:
    """Every error says where it is and what the cell should hold."""
    commands, wrong = read(tmp_path, HEADER + text)
    assert commands == []
    assert len(wrong) == 1
    assert wrong[0].startswith(f"catalog.csv, {expected}")


def test_prices_of_files_with_semicolons_are_not_guessed(tmp_path: Path) -> None:
    """1.250 is 1.25 to some and 1250 to others: it is refused; 1.250,00 can be read."""
    header = "item_id;name;amount;currency\n"
    assert "'1.250' may be 1.250 or 1250" in read(tmp_path, header + "A;A;1.250;EUR\n")[1][0]
    assert read(tmp_path, header + "A;A;1.250,00;EUR\n")[0][0].amount == 1250


def test_an_expense_needs_no_price(tmp_path: Path) -> None:
    """A non-placement item may have none: each charge and assignment then has its own."""
    (item,), wrong = read(tmp_path, HEADER + "TR,Travel,Costs,Travel,non-placement,,,,,,\n")
    assert wrong == []
    assert (item.amount, item.percent_of_salary) == (None, None)


def test_every_column_has_an_explanation_and_a_field() -> None:
    """`backoffice template catalog` explains each column, and the command has its field."""
    for column, each in CATALOG.items():
        assert each.explanation
        assert (each.field or column) in SetCatalogItem.model_fields
