"""Every worked example of domain-rules 12 is named by a test: `domain-rules 12, row 7 (row 8)`."""

import re
from pathlib import Path

ROWS = 22
"""The rows of the table, from the first assignment to the line with a discount credited whole."""
NAMED = re.compile(r"domain-rules 12, row (\d+)((?:(?!domain-rules)[^\"]){0,400}?\(row (\d+)\))?")


def test_every_worked_example_is_named_by_a_test() -> None:
    """A row that no test names would be a rule that nothing proves."""
    named: set[int] = set()
    for path in Path(__file__).parent.rglob("test_*.py"):
        said = " ".join(path.read_text().split())
        named |= {int(row) for found in NAMED.findall(said) for row in found[::2] if row}
    assert named == set(range(1, ROWS + 1))
