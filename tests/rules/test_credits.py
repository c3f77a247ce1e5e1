"""Rules of credits by hand: the value of a quantity, refusals, and the credit note."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.invoicer.credits.rules import (
    IssuedDocument,
    IssuedLine,
    LineCredit,
    check_date,
    credit_line,
    decide,
    document_of,
    value_of_quantity,
)
from services.invoicer.debtors.rules.companies import DocumentTerms
from services.invoicer.lines.rules import QuantityAmount
from shared.errors import Refused
from shared.money import minor_unit, rounded
from tests.builders import realization_line
from tests.twins import line_tax

INVOICE = IssuedDocument(
    7,
    "INV-7",
    "invoice",
    "Mercy Hospital",
    "USD",
    DocumentTerms("standard", "", "net:30"),
    "",
    date(2026, 3, 31),
    date(2026, 3, 29),
    Decimal("2177.50"),
)


def issued(
    quantity: str = "40",
    price: str = "50.00",
    line_no: int = 1,
    tax: str = "0",
    rate: str = "0",
    **changes: Any,
) -> IssuedLine:
    """A line on the invoice, nothing of it credited yet."""
    line = realization_line(quantity, price, **changes)
    return IssuedLine(
        line_no,
        ("timesheet", f"T-{line_no}"),
        line,
        False,
        "office-1",
        3,
        "VAT" if Decimal(rate) else "",
        Decimal(rate),
        Decimal(tax),
    )


def after(one: IssuedLine, credited: LineCredit) -> IssuedLine:
    """The line after that credit is on a document."""
    return one._replace(
        credited=one.credited + credited.value, tax_credited=one.tax_credited + credited.tax
    )


@pytest.mark.parametrize(
    ("line", "credited", "quantity", "expected"),
    [
        (realization_line("7.5", "33.33", amount="249.98"), "0", "0.25", ("0.25", "8.34")),
        (realization_line("40"), "0", "2", ("2", "100.00")),
        (realization_line("40"), "0", "40", ("40", "2000.00")),
        (realization_line("40"), "38", "2", ("2", "100.00")),
        (realization_line("2", "35.0350", amount="70.07"), "0", "1", ("1", "35.03")),
        (realization_line("1", "35.0350", amount="35.03"), "0", "0.5", ("0.5", "17.51")),
        (realization_line("3", "100.5", currency="JPY", amount="302"), "0", "1", ("1", "101")),
        (realization_line("3", "1.2345", currency="KWD", amount="3.704"), "0", "1", ("1", "1.235")),
        (realization_line("10", amount="450.00"), "0", "5", ("5", "225.00")),
        (realization_line("3", "10.00", amount="29.99"), "0", "1", ("1", "9.99")),
        (realization_line("3", "10.00", amount="29.98"), "0", "1", ("1", "9.99")),
        (realization_line("3", "10.00", amount="29.90"), "0", "1", ("1", "9.97")),
        (realization_line("-2", amount="-100.00"), "0", "1", ("-1", "-50.00")),
        (realization_line("1", "0.004", amount="0.00"), "0", "0.5", ("0.5", "0.00")),
    ],
    ids=[
        "the example", "2 h", "all", "the rest", "four decimals",
        "a cent less than price × quantity", "yen", "dinar", "an edited amount",
        "a cent off the price", "two cents off", "an edit of ten cents",
        "a line below zero", "no value",
    ],
)  # fmt: skip
def test_the_value_of_a_quantity(
    line: Any, credited: str, quantity: str, expected: tuple[str, str]
) -> None:
    """What is left of the line minus the rounded amount of what remains."""
    remaining = QuantityAmount(line.quantity, line.amount) - QuantityAmount(
        Decimal(credited), rounded(Decimal(credited) * line.unit_price, line.currency)
    )
    assert value_of_quantity(line, remaining, Decimal(quantity)) == QuantityAmount(
        Decimal(expected[0]), Decimal(expected[1])
    )


parts = st.lists(st.integers(1, 4000), min_size=1, max_size=6)


@given(
    parts,
    st.integers(1, 999_999),
    st.sampled_from(["USD", "JPY", "KWD"]),
    st.sampled_from(["0", "8.875", "20"]),
)
def test_credits_one_after_the_other_end_at_nothing(
    shares: list[int], price: int, currency: str, rate: str
) -> None:
    """Whatever the parts, none is below zero, their sum never exceeds the
    line, and the last takes the rest in quantity, money and tax.
    """
    quantities = [Decimal(share).scaleb(-2) for share in shares]
    whole, unit_price = sum(quantities, Decimal(0)), Decimal(price).scaleb(-4)
    amount = rounded(whole * unit_price, currency)
    tax = line_tax(amount, Decimal(rate), currency)
    one = issued(
        str(whole), str(unit_price), amount=str(amount), currency=currency, tax=str(tax), rate=rate
    )
    invoice = INVOICE._replace(currency=currency, total=Decimal(0))
    for quantity in quantities:
        (credit,) = decide(invoice, [one], [(1, quantity)])
        assert credit.value.quantity == -quantity
        assert credit.value.amount <= 0
        assert credit.tax <= 0
        assert credit.value.amount % minor_unit(currency) == 0
        one = after(one, credit)
        assert one.remaining.amount >= 0
        assert one.tax + one.tax_credited >= 0
    assert (one.remaining, one.tax + one.tax_credited) == (QuantityAmount(), 0)


def refused(
    lines: list[IssuedLine],
    asked: list[tuple[int, Decimal | None]],
    invoice: IssuedDocument = INVOICE,
) -> tuple[str, str]:
    """Code and message of the refusal."""
    with pytest.raises(Refused) as no:
        decide(invoice, lines, asked)
    return no.value.code, no.value.message


def test_never_more_than_is_creditable() -> None:
    """Issue: the refusal names the line and what is left of it."""
    part = after(issued(), decide(INVOICE, [issued()], [(1, Decimal(2))])[0])
    assert refused([part], [(1, Decimal("38.0001"))]) == (
        "more_than_left",
        "line 1 of INV-7: 38.0001 requested, 38 HUR and 1,900.00 USD left",
    )
    gone = after(part, decide(INVOICE, [part], [(1, None)])[0])
    assert refused([gone], [(1, None)])[0] == "nothing_left"
    assert refused([gone], [(1, Decimal(1))])[0] == "nothing_left"
    assert refused([gone], []) == (
        "nothing_left",
        "nothing is left of INV-7: all of it is credited",
    )
    assert refused([issued()], [(9, None)]) == ("no_such_line", "INV-7 has no line 9")


def test_a_credit_of_a_credit_is_refused_with_what_to_do() -> None:
    """Issue: a further document undoes a wrong credit; crediting a credit note is refused."""
    credit = issued()._replace(is_credit=True)
    assert (
        refused([credit], [], INVOICE._replace(document_type="credit-note"))[0] == "is_credit_note"
    )
    assert (
        refused([credit], [(1, None)], INVOICE._replace(document_type="credit-note"))[0]
        == "is_credit_note"
    )
    assert refused([credit], [(1, None)])[0] == "credit_line"
    with pytest.raises(Refused) as no:
        decide(INVOICE._replace(document_type="credit-note"), [credit], [])
    assert "the next batch bills it" in no.value.fix
    assert "--reissue" in no.value.fix


def test_a_refusal_says_which_lines_can_be_credited() -> None:
    """Issue 11, 20: the debits of a netted document can be credited, its credits cannot."""
    note = INVOICE._replace(document_type="credit-note")
    lines = [
        issued(line_no=1)._replace(is_credit=True),
        issued(line_no=2)._replace(is_credit=True),
        issued(line_no=3),
    ]
    for document, requested, message in (
        (
            note,
            [],
            "INV-7 is a credit note: lines 1, 2 credit other invoices and cannot be credited;"
            " you can credit line 3",
        ),
        (
            note,
            [(1, None)],
            "INV-7 is a credit note: lines 1, 2 credit other invoices and cannot be credited;"
            " you can credit line 3",
        ),
        (
            INVOICE,
            [(2, None)],
            "lines 1, 2 of INV-7 credit other invoices and cannot be credited;"
            " you can credit line 3",
        ),
    ):
        assert refused(lines, requested, document)[1] == message
    assert [each.of.line_no for each in decide(note, lines, [(3, None)])] == [3]
    assert refused(lines[:1], [], note)[1] == (
        "INV-7 is a credit note: line 1 credits other invoices and cannot be credited;"
        " none of its lines can be credited"
    )


def test_the_whole_document_leaves_out_what_is_no_debit() -> None:
    """A whole document credits its debits in full; credits of other invoices stay."""
    lines = [
        issued("40"),
        issued("2", line_no=2)._replace(is_credit=True),
        issued("5", "75.00", line_no=3),
    ]
    assert [(each.of.line_no, each.value.amount) for each in decide(INVOICE, lines, [])] == [
        (1, Decimal("-2000.00")),
        (3, Decimal("-375.00")),
    ]


def test_a_credit_of_nothing_is_refused() -> None:
    """A credit that rounds to zero is refused."""
    little = issued("40", "0.01", amount="0.40")
    assert refused([little], [(1, Decimal("0.1"))])[0] == "zero_credit"
    both = decide(INVOICE, [little, issued(line_no=2)], [(1, Decimal("0.1")), (2, Decimal(1))])
    assert [each.value.amount for each in both] == [0, -50]
    free = INVOICE._replace(total=Decimal(0))
    (nothing,) = decide(free, [issued("40", "0", amount="0")], [(1, Decimal(1))])
    assert nothing.value == QuantityAmount(Decimal(-1), Decimal(0))
    (whole,) = decide(INVOICE, [issued("40", "0", amount="0")], [])
    assert whole.value == QuantityAmount(Decimal(-40), Decimal(0))
    assert decide(INVOICE, [], [], may_be_nothing=True) == []


def test_a_credit_note_is_not_dated_before_its_invoice() -> None:
    """A new series has no last date; the date of the corrected invoice still counts."""
    check_date(INVOICE, INVOICE.invoice_date)
    with pytest.raises(Refused, match="date_before_invoice"):
        check_date(INVOICE, date(2026, 3, 30))


def test_the_document_repeats_what_it_corrects() -> None:
    """Debtor, currency, tax and terms from the invoice; tax of a
    credit note is the sum of its lines.
    """
    lines = [
        issued("40", tax="177.50", rate="8.875"),
        issued("5", "75.00", line_no=2, tax="33.28", rate="8.875"),
        issued("1", line_no=3),
    ]
    credits = decide(INVOICE, lines, [(3, None), (1, Decimal(2)), (2, Decimal(5))])
    assert [each.of.line_no for each in credits] == [1, 2, 3]
    document = document_of(INVOICE, credits)
    group = document.group
    assert (document.document_type, document.tax_basis, group.account_name, group.terms) == (
        "credit-note", "line", "Mercy Hospital", INVOICE.terms,
    )  # fmt: skip
    assert [(part.code, part.net, part.tax) for part in document.group.tax_parts] == [
        ("", Decimal("-50.00"), 0), ("VAT", Decimal("-475.00"), Decimal("-42.16")),
    ]  # fmt: skip
    assert (
        document.group.line_count,
        document.group.credit_count,
        document.group.newest_corrected,
    ) == (3, 3, 7)


def test_a_credit_names_its_origin() -> None:
    """Every amount can be explained: what stood, what remains, which invoice line, to
    what end.
    """
    (credit,) = decide(INVOICE, [issued("7.5", "33.33", amount="249.98")], [(1, Decimal("0.25"))])
    words = credit_line(INVOICE, credit, "rebill", "c-9").derivation["credit"]
    assert (words["formula"], words["to"], words["corrects"]) == (
        "249.98 − 241.64 = 8.34",
        "rebill",
        {"invoice": "INV-7", "line": 1},
    )
    assert (words["stood"], words["remains"]) == (
        {"quantity": "7.5", "amount": "249.98"},
        {"quantity": "7.25", "amount": "241.64"},
    )


def test_a_credit_of_a_line_below_zero_turns_its_sign() -> None:
    """1 h of -4 h at 50.00 is taken as -1 h and -50.00; all that is left is taken whole."""
    line = realization_line("-4", "50.00")
    left = QuantityAmount(Decimal(-4), Decimal(-200))
    one = value_of_quantity(line, left, Decimal(1))
    assert (one.quantity, one.amount) == (Decimal(-1), Decimal(-50))
    assert value_of_quantity(line, left, Decimal(4)) == left


def test_a_credit_note_covers_the_period_of_all_its_lines() -> None:
    """The service period runs from the first to the last work day of the credited lines."""
    periods = [("2026-03-02", "2026-03-06"), ("2026-02-23", "2026-03-01")]
    lines = [
        issued(
            "1",
            line_no=at,
            service_from=date.fromisoformat(first),
            service_to=date.fromisoformat(last),
        )
        for at, (first, last) in enumerate(periods, 1)
    ]
    group = document_of(INVOICE, decide(INVOICE, lines, [])).group
    assert (group.service_from, group.service_to) == (date(2026, 2, 23), date(2026, 3, 6))
    assert (group.credit_split, group.account_name, group.currency) == (1, "Mercy Hospital", "USD")
    with_po = INVOICE._replace(po_number="PO-7")
    found = document_of(with_po, decide(with_po, lines, [])).group
    assert (found.po_number, found.group_no) == ("PO-7", 1)
