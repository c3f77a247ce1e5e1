"""No text in a CSV file is a formula, whatever a spreadsheet separates by; different texts stay
different.
"""

import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.render import csv_row
from tests.rules.test_render import a_document, a_line

SIGNS = tuple("=+-@＝＋－＠")
TEXTS = st.text(st.sampled_from("=+-@＝;\t\r\n'\" a,"), max_size=8)


def cell_of(text: str, separator: str = ",") -> list[str]:
    """The cells that a spreadsheet finds in a line with that description, by its separator."""
    record = csv_row(a_document([]), a_line(1, description=text))
    rows = csv.reader(io.StringIO(record, newline=""), delimiter=separator)
    return [cell for row in rows for cell in row]


def description(text: str) -> str:
    """The description as a spreadsheet that separates by commas shows it."""
    return cell_of(text)[8]


@given(TEXTS)
@example("Care;=1+1")
@example('Care;"=1+1"')
@example("Care\t@SUM(A1)")
@example("Care\n-1")
def test_no_list_of_any_separator_has_a_formula(text: str) -> None:
    """Cells of a list that is read by semicolons or tabs begin in the middle of our texts."""
    for separator in ",;\t":
        found = [cell for cell in cell_of(text, separator) if cell.startswith(SIGNS)]
        assert not found, (separator, found)


@given(TEXTS, TEXTS)
@example("=1", "'=1")
@example("'=1", "''=1")
@example("a;=1", "a;'=1")
def test_different_texts_stay_different(one: str, other: str) -> None:
    """A text that has an apostrophe already gets one more."""
    assert (description(one) == description(other)) == (one == other)


@pytest.mark.parametrize("text", ["'t Hooft", "it's", "a-b", "a; b - c", "x = 1", "8 h; 'REG'"])
def test_other_texts_are_written_as_they_are(text: str) -> None:
    """Only what would be a formula is changed."""
    assert description(text) == text
