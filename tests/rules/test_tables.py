"""What tables and facts look like: figures, ids and prices (issue 11, items 22 and 24)."""

from decimal import Decimal
from typing import Any

import pytest

from services.console.cli.batch_tables import show_batch_result
from services.console.cli.lines import line_cells, no_line
from services.console.cli.output import Column, Screen, fact


@pytest.mark.parametrize(
    ("column", "value", "cell"),
    [
        (Column("x", figures=True), 12345, "12,345"),
        (Column("x", figures=True), "12345.50", "12,345.50"),
        (Column("x", ids=True), 12345, "12345"),
        (Column("x", price=True), Decimal("72.3"), "72.30"),
        (Column("x", price=True), Decimal("1050"), "1,050.00"),
        (Column("x", price=True), Decimal("35.035"), "35.035"),
    ],
)
def test_ids_are_printed_as_they_are_and_prices_with_decimals(
    column: Column, value: Any, cell: str
) -> None:
    """People type ids again, so they have no separators; prices have those of the currency."""
    assert column.cell({"x": value, "currency": "USD"}) == cell


def test_a_price_in_yen_has_no_decimals() -> None:
    """The decimals are those of the currency; without a currency a price stays as it is."""
    assert Column("x", price=True).cell({"x": Decimal(1200), "currency": "JPY"}) == "1,200"
    assert Column("x", price=True).cell({"x": Decimal("72.3")}) == "72.3"


def test_amounts_among_facts_have_separators() -> None:
    """A text that is an amount has them, an id has not."""
    assert fact({"net": "12345.60", "line": "12345"}) == "net 12,345.60, line 12345"


class Said(Screen):
    """A screen that keeps what it prints."""

    def __init__(self) -> None:
        super().__init__(as_json=False)
        self.lines: list[str] = []

    def say(self, message: str = "", style: str = "") -> None:
        """Keeps a line."""
        self.lines.append(message)


@pytest.mark.parametrize(("documents", "offered"), [(0, False), (2, True)])
def test_an_empty_preview_offers_no_digest(documents: int, offered: bool) -> None:
    """There is nothing to bill by it."""
    screen = Said()
    show_batch_result(
        screen,
        {"preview_id": "P-1", "digest": "abc", "documents": documents, "left_out": {}},
    )
    assert any("--digest abc" in line for line in screen.lines) == offered


def test_a_line_shows_its_service_dates_and_what_it_corrects() -> None:
    """One day is shown once."""
    line = {"corrects_invoice": "INV-1", "corrects_line": 2}
    days = {"service_from": "2026-10-19", "service_to": "2026-10-25"}
    assert line_cells(line | days) == line | days | {
        "service": "2026-10-19 to 2026-10-25",
        "corrects": "INV-1 line 2",
    }
    same = {"service_from": "2026-10-19", "service_to": "2026-10-19", "corrects_invoice": None}
    cells = line_cells(same | {"corrects_line": None})
    assert (cells["service"], cells["corrects"]) == ("2026-10-19", "")


def test_an_empty_list_says_that_its_lines_are_in_another_status() -> None:
    """Where all is invoiced there is nothing to import."""
    assert no_line({"in_any_status": 3128}).startswith("no line in this status, 3,128 lines in")
    assert "backoffice import" in no_line({"in_any_status": 0})
