"""IIF with classes: where a class comes from, what is listed, and the file without them."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from shared.errors import Refused
from shared.render.iif import IifRows
from shared.render.iif_names import ENCODING, Classes
from tests.rules.test_render import a_credit_note, a_document, a_line
from tests.rules.test_render_allowances import a_credit_of_allowances, with_allowances
from tests.rules.test_render_iif import read
from tests.rules.test_render_layout import File

GOLDEN = Path(__file__).parents[1] / "golden" / "data"


def text_of(documents: File, classes: Classes | None) -> str:
    """The file: its opening lists what the rows used, so it is made last."""
    rows, body = IifRows(None, classes), ""
    for document, lines in documents:
        parts = [*rows.begin(document), *(rows.line(document, line) for line in lines)]
        body += "".join([*parts, *rows.end(document)])
    rows.require_no_problem()
    return "".join(rows.opening()) + body


def some() -> File:
    """An invoice with discounts, two credit notes, one of them of discounts, and one of nothing."""
    nothing = a_document([], invoice_number="HAR-44")
    return [with_allowances(), a_credit_note(), a_credit_of_allowances(), (nothing, [])]


def of_offices() -> File:
    """The same, of two offices and a line without one."""
    documents = some()
    head, (first, second) = documents[0]
    lines = [replace(first, billto_node="north"), replace(second, billto_node="south")]
    return [(head, lines), *documents[1:]]


def test_without_classes_the_file_is_as_before() -> None:
    """Byte for byte what the program wrote before it knew classes."""
    golden = (GOLDEN / "quickbooks.iif").read_bytes()
    assert text_of(some(), None).encode(ENCODING) == golden


def test_with_classes_the_file_is_as_it_was_read_through() -> None:
    """The rows that a person compared with QuickBooks' reference: heads, list, lines."""
    classes = Classes.named("billto_node", ["south=Region:South"])
    golden = (GOLDEN / "quickbooks-class.iif").read_bytes()
    assert text_of(of_offices(), classes).encode(ENCODING) == golden


def test_a_line_has_the_class_of_its_field() -> None:
    """Named or as it is; receivables and tax have none; classes are listed with their parents."""
    classes = Classes.named("billto_node", ["south=Region:South"])
    entries, transactions = read(text_of(of_offices(), classes))
    head, *splits = transactions[0]
    assert head["CLASS"] == ""
    assert [(row["ACCNT"], row["CLASS"], row["AMOUNT"]) for row in splits] == [
        ("Staffing Income", "north", "-1333.20"),
        ("Staffing Income", "Region:South", "-258.31"),
        ("Staffing Income", "Region:South", "4.03"),
        ("Staffing Income", "north", "20.76"),
        ("Tax on Sales", "", "-313.35"),
    ]
    assert [each["NAME"] for each in entries if each[""] == "CLASS"] == [
        *("Region", "Region:South", "north")
    ]


@pytest.mark.parametrize("field", ["", "billto_node", "item_id", "billing_company", "cost_center"])
def test_every_transaction_sums_to_zero(field: str) -> None:
    """With and without classes, with discounts by class, and on credit notes."""
    for head, *splits in read(text_of(of_offices(), Classes.named(field, [])))[1]:
        assert Decimal(head["AMOUNT"]) + sum(Decimal(row["AMOUNT"]) for row in splits) == 0


def test_a_class_comes_from_a_line_or_its_document() -> None:
    """A value without a name is the class; an empty one is none, or has the name of the empty."""
    line = a_line(1, item_id="DIRECT-HIRE", project="P", cost_center="C", requirement_id="R")
    document = a_document([line])
    for field, expected in (
        *(("item_id", "DIRECT-HIRE"), ("project", "P"), ("cost_center", "C")),
        *(("requirement_id", "R"), ("time_type", "REG"), ("billing_company", "harbor")),
        *(("account_name", "Magnolia #3862"), ("billto_node", "")),
    ):
        classes = Classes.named(field, [])
        assert classes is not None and classes.of(document, line) == expected
    named = Classes.named("item_id", ["=Temporary", "DIRECT-HIRE=Permanent"])
    assert named is not None
    assert named.of(document, line) == "Permanent"
    assert named.of(document, replace(line, item_id="")) == "Temporary"


def test_a_wrong_class_is_refused() -> None:
    """An unknown field, names without a field, and names that QuickBooks would cut or split."""
    wrong = [("family", []), ("", ["a=b"]), ("project", ["a"]), ("project", ["a=b::c"])]
    wrong += [("project", ["a=" + "n" * 32]), ("project", ["a=聖"]), ("project", ["a="])]
    for field, names in wrong:
        with pytest.raises(Refused, match="bad_class"):
            Classes.named(field, names)


def test_a_class_that_would_change_is_refused_by_line() -> None:
    """A value that is no name of a class needs one; the message says of which line."""
    lines = [a_line(1, cost_center="C" * 32), a_line(2, cost_center="C" * 32)]
    with pytest.raises(Refused, match="not_in_this_format") as refused:
        text_of([(a_document(lines), lines)], Classes.named("cost_center", []))
    assert refused.value.message.startswith("HAR-000042 line 1: cost_center is 'CCC")
    assert ";" not in refused.value.message and "--class-name" in refused.value.fix
