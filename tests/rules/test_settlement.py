"""Settlement, row by row of the domain rules (section 5, corrections)."""

from datetime import date
from decimal import Decimal

from services.invoicer.lines.rules import InvoicedLine, NewLine, QuantityAmount
from services.invoicer.settlement.rules.settlement import Settlement, withhold
from tests.builders import product_line, realization_line, time_key
from tests.rules.settled_document import Document, invoiced


def opened(settled: Settlement) -> list[tuple[str, str, tuple[int, int] | None]]:
    """Quantity, amount and what it corrects, of each line opened."""
    return [
        (f"{new.realized.quantity.normalize():f}", f"{new.realized.amount:f}", new.corrects)
        for new in settled.opened
    ]


def only(settled: Settlement) -> NewLine:
    (line,) = settled.opened
    return line


# -- the table in docs/billing.md, Settlement and corrections


def test_original_not_invoiced_only_the_adjustment_is_billed() -> None:
    """Original 40 h × 50.00 not invoiced, adjustment 38 h: one line, 38 h,
    1,900.00; the original's line is replaced.
    """
    document = Document()
    document.state(realization_line("40"))
    settled = document.state(realization_line("38"))
    assert opened(settled) == [("38", "1900.00", None)]
    assert [one.realized.quantity for one in settled.replaced] == [40]
    assert not only(settled).correction


def test_original_invoiced_less_is_a_credit_of_that_line() -> None:
    """Original invoiced at 2,000.00, adjustment 38 h: credit note 100.00
    for 2 h of that invoice line.
    """
    settled = invoiced(realization_line("40")).state(realization_line("38"))
    assert opened(settled) == [("-2", "-100.00", (1, 1))]
    assert only(settled).correction
    assert only(settled).realized.derivation["correction"]["corrects"] == {
        "invoice": "INV-1",
        "line": 1,
    }


def test_original_invoiced_more_is_a_debit() -> None:
    """Original invoiced at 2,000.00, adjustment 41 h: invoice for 1 h,
    50.00.
    """
    settled = invoiced(realization_line("40")).state(realization_line("41"))
    assert opened(settled) == [("1", "50.00", None)]
    assert only(settled).correction
    assert only(settled).realized.derivation["correction"]["formula"] == "2050 − 2000 = 50"


def test_two_adjustments_without_a_batch_between_leave_one_debit() -> None:
    """Adjusted to 38 h, then 41 h, no batch between: one debit of 1 h; the
    38 h left no trace on a document.
    """
    document = invoiced(realization_line("40"))
    document.state(realization_line("38"))
    document.state(realization_line("41"))
    assert document.open() == [(Decimal(1), Decimal("50.00"))]


def test_a_correction_is_a_difference_of_rounded_amounts() -> None:
    """2 h × 35.0350 = 70.07 invoiced, adjusted to 1 h = 35.04: credit 35.03 (1 ×
    35.0350 would be 35.04, a cent lost).
    """
    two, one = (
        realization_line("2", "35.0350", amount="70.07"),
        realization_line("1", "35.0350", amount="35.04"),
    )
    assert opened(invoiced(two).state(one)) == [("-1", "-35.03", (1, 1))]


def test_each_time_type_is_settled_by_itself() -> None:
    """40 REG + 5 OT invoiced, adjusted to 43 REG + 2 OT: debit 3 h REG and
    credit 3 h OT.
    """
    document = invoiced(realization_line("40"), realization_line("5", "75.00", time_type="OT"))
    settled = document.state(realization_line("43"), realization_line("2", "75.00", time_type="OT"))
    assert opened(settled) == [("3", "150.00", None), ("-3", "-225.00", (1, 2))]


def test_credits_take_the_newest_invoice_first() -> None:
    """40 h on invoice 1, then 1 h on invoice 2, adjusted to 38 h: credit 1 h of
    invoice 2 and 2 h of invoice 1.
    """
    document = invoiced(realization_line("40"))
    document.state(realization_line("41"))
    document.invoice()
    assert opened(document.state(realization_line("38"))) == [
        ("-1", "-50.00", (2, 2)),
        ("-2", "-100.00", (1, 1)),
    ]


def test_credits_never_exceed_what_is_still_creditable() -> None:
    """A credit is never more than is left of each line.

    A line that is used up gives all that is left of it; the last credit takes the rest.
    """
    two, three = (
        realization_line("2", "35.0350", amount="70.07"),
        realization_line("3", "35.0350", amount="105.11"),
    )
    document = invoiced(two)
    document.state(three)
    document.invoice()
    document.credit_by_hand(
        document.pay_lines[1], QuantityAmount(Decimal("0.5"), Decimal("17.52")), write_off=False
    )
    settled = document.state(realization_line("1", "35.0350", amount="35.04"))
    assert opened(settled) == [("-0.5", "-17.52", (2, 2)), ("-1", "-35.03", (1, 1))]


def test_what_was_written_off_is_not_credited_again() -> None:
    """40 h invoiced, 2 h credited as write-off, then adjusted to 38 h: no
    document, those hours were already forgiven.
    """
    document = invoiced(realization_line("40"))
    document.credit_by_hand(
        document.pay_lines[0], QuantityAmount(Decimal(2), Decimal(100)), write_off=True
    )
    assert document.state(realization_line("38")).opened == ()
    assert opened(document.state(realization_line("37"))) == [("-1", "-50.00", (1, 1))]


def test_forgiven_is_computed_afresh_and_has_no_memory() -> None:
    """40 h invoiced, 2 h written off, by value of the document:

    40 → 0 open; 39 → 0; 38 → 0; 36 → credit 2 h; back to 39 → 1 h.
    """
    document = invoiced(realization_line("40"))
    document.credit_by_hand(
        document.pay_lines[0], QuantityAmount(Decimal(2), Decimal(100)), write_off=True
    )
    for hours in ("40", "39", "38"):
        document.state(realization_line(hours))
        assert document.open() == []
    document.state(realization_line("36"))
    assert document.open() == [(Decimal(-2), Decimal(-100))]
    document.state(realization_line("39"))
    assert document.open() == []
    document.state(realization_line("36"))
    document.invoice()
    document.state(realization_line("39"))
    assert document.open() == [(Decimal(1), Decimal(50))]


def test_a_cancelled_timesheet_is_credited_whole() -> None:
    """Original invoiced, cancelled (a revision without entries): credit note for
    all of it.
    """
    assert opened(invoiced(realization_line("40")).state()) == [("-40", "-2000.00", (1, 1))]


def test_a_rebilled_part_is_billed_once() -> None:
    """4.5 h and 3.5 h invoiced as 8 h; credit 3.5 h to rebill; 1 h more: bills
    4.5 h, never 9.0 h.
    """
    first, second, third = (
        invoiced(realization_line("4.5")),
        invoiced(realization_line("3.5")),
        Document(),
    )
    second.credit_by_hand(
        second.pay_lines[0], QuantityAmount(Decimal("3.5"), Decimal(175)), write_off=False
    )
    first.state(realization_line("4.5"))
    second.state(realization_line("3.5"))
    third.state(realization_line("1"))
    assert sum(
        quantity for document in (first, second, third) for quantity, _ in document.open()
    ) == Decimal("4.5")


def test_billing_is_per_line_never_per_timesheet() -> None:
    """Two requirements on one timesheet, one invoiced: the other stays
    open.
    """
    one, other = realization_line("20"), realization_line("20", requirement_id="REQ-2")
    document = Document()
    document.state(one, other)
    document.pay_lines[0] = document.pay_lines[0]._replace(
        location="invoiced", invoiced_line=InvoicedLine(1, 1, "INV-1")
    )
    settled = document.state(one, other)
    assert (settled.opened, settled.replaced) == ((), ())
    still_open = [one for one in document.pay_lines if one.location == "open"]
    assert [one.realized.requirement_id for one in still_open] == ["REQ-2"]


def test_a_moved_office_is_credited_where_it_was_billed() -> None:
    """Office moved between invoice and adjustment: a credit goes to the old
    debtor, a debit to the new one.
    """
    old, new = realization_line("40", billto_node="office-old"), {"billto_node": "office-new"}
    less, more = (
        invoiced(old).state(realization_line("38", **new)),
        invoiced(old).state(realization_line("41", **new)),
    )
    assert only(less).realized.billto_node == "office-old"
    assert only(more).realized.billto_node == "office-new"


# -- what a correction takes from where


def test_a_credit_takes_its_fields_from_the_invoice_line() -> None:
    """A credit has currency, tax, PO and node of the invoice line.

    Its dates are those of the realization.
    """
    was = realization_line("40", tax_code="VAT", description="as invoiced")
    now = realization_line(
        "38",
        tax_code="NEW",
        description="as said now",
        week_ending="2026-03-15",
        effective_date="2026-03-15",
        billing_company="other",
    )
    line = only(invoiced(was).state(now)).realized
    assert (line.tax_code, line.description, line.billing_company) == (
        "VAT",
        "as invoiced",
        "acme-us",
    )
    assert str(line.effective_date) == str(line.week_ending) == "2026-03-15"


def test_a_key_that_has_gone_is_credited_with_the_dates_of_its_line() -> None:
    """An edited price is a new line key: the old one is credited whole, the new
    one is billed whole.
    """
    was, now = (
        realization_line("40", "50.00"),
        realization_line("40", "55.00", effective_date="2026-03-15"),
    )
    credit, debit = sorted(invoiced(was).state(now).opened, key=lambda new: new.realized.amount)
    assert (credit.realized.amount, credit.realized.effective_date) == (
        Decimal("-2000.00"),
        was.effective_date,
    )
    assert (debit.realized.amount, debit.correction) == (Decimal("2200.00"), False)


def test_currencies_never_mix() -> None:
    """A line in a new currency is credited in full and billed again."""
    settled = invoiced(realization_line("40")).state(realization_line("40", currency="EUR"))
    assert sorted((new.realized.currency, new.realized.amount) for new in settled.opened) == [
        ("EUR", Decimal(2000)),
        ("USD", Decimal(-2000)),
    ]


def test_unchanged_open_lines_stay() -> None:
    """A line that would be opened again without a change stays; nothing is written."""
    document = Document()
    document.state(realization_line("40"), realization_line("5", "75.00", time_type="OT"))
    settled = document.state(realization_line("40"), realization_line("6", "75.00", time_type="OT"))
    assert opened(settled) == [("6", "450.00", None)]
    assert [one.realized.time_type for one in settled.replaced] == ["OT"]


def test_an_open_line_is_replaced_when_any_field_differs() -> None:
    """An open line has the values of the latest realization."""
    document = Document()
    document.state(realization_line("40"))
    settled = document.state(realization_line("40", description="Staff Nurse"))
    assert (len(settled.opened), len(settled.replaced)) == (1, 1)


def test_a_draft_loses_the_line_that_is_replaced() -> None:
    """What is on a draft is replaced like what is open; what is unchanged stays on the
    draft.
    """
    document = Document()
    document.state(realization_line("40"), realization_line("5", "75.00", time_type="OT"))
    document.pay_lines = [one._replace(location="draft") for one in document.pay_lines]
    settled = document.state(realization_line("38"), realization_line("5", "75.00", time_type="OT"))
    assert [(one.location, one.realized.quantity) for one in settled.replaced] == [("draft", 40)]


def test_a_line_without_value_is_not_opened() -> None:
    """Zero hours are valid and have the value 0."""
    assert Document().state(realization_line("0")).opened == ()
    assert opened(Document().state(realization_line("1"))) == [("1", "50.00", None)]


def test_withheld_withdraws_what_is_open_and_nothing_else() -> None:
    """Open lines are withdrawn, invoiced lines stay, nothing is credited."""
    document = invoiced(realization_line("40"))
    document.state(realization_line("41"))
    settled = withhold(document.pay_lines)
    assert ([one.realized.quantity for one in settled.replaced], settled.opened) == ([1], ())


def test_an_edit_is_added_to_the_realized_value() -> None:
    """An edit is added to the value of every later realization."""
    document = Document(edits={time_key(): QuantityAmount(Decimal(-2), Decimal(-100))})
    document.state(realization_line("40"))
    assert document.open() == [(Decimal(38), Decimal(1900))]
    document.invoice()
    document.state(realization_line("41"))
    assert document.open() == [(Decimal(1), Decimal(50))]


def test_products_are_settled_like_time() -> None:
    """A corrected fee is not a special case: an instalment invoiced at 10,000.00 that
    becomes 9,000.00 is credited by 1,000.00.
    """
    document = invoiced(product_line("10000.00"), product_line("10000.00", "2026-05-30", 2))
    settled = document.state(product_line("9000.00"), product_line("9000.00", "2026-05-30", 2))
    assert opened(settled) == [("0", "-1000.00", (1, 1)), ("0", "-1000.00", (1, 2))]


def test_what_no_invoice_line_can_give_is_open_below_zero() -> None:
    """A value below zero that was never billed takes all of the invoice and opens the rest.

    2 h at 50.00 are invoiced and the value becomes -1 h: credit 2 h, and a debit of -1 h.
    """
    settled = invoiced(realization_line("2")).state(realization_line("-1"))
    assert sorted(opened(settled)) == [("-1", "-50.00", None), ("-2", "-100.00", (1, 1))]


def test_only_lines_with_something_left_are_corrected() -> None:
    """Newest first: a line that is credited whole gives nothing more."""
    document = invoiced(realization_line("40"))
    document.state(realization_line("41"))
    document.invoice()
    document.state(realization_line("40"))
    document.invoice()
    assert opened(document.state(realization_line("38"))) == [("-2", "-100.00", (1, 1))]


def test_a_debit_names_the_credits_whose_hours_it_bills_again() -> None:
    """Of two credits by hand to rebill only the one since the last billing is named."""
    document = invoiced(realization_line("40"))
    for number, hours in ((2, 4), (4, 3)):
        given = QuantityAmount(Decimal(hours), Decimal(hours * 50))
        document.credit_by_hand(document.pay_lines[0], given, write_off=False)
        debit = only(document.state(realization_line("40")))
        assert debit.realized.derivation["bills_again"] == [
            {"credit_note": f"INV-{number}", "line": 1}
        ]
        document.invoice()
    hour = QuantityAmount(Decimal(1), Decimal(50))
    document.credit_by_hand(document.pay_lines[0], hour, write_off=True)
    debit = only(document.state(realization_line("42")))
    assert "bills_again" not in debit.realized.derivation


def test_a_credit_has_the_date_that_its_line_states() -> None:
    """The last day worked of a leaver; the open lines have no such date, and stay as they are."""
    day = date(2026, 5, 15)
    document = invoiced(realization_line("40"))
    settled = document.state(realization_line("38", credit_date=str(day)))
    assert only(settled).realized.effective_date == day
    assert only(settled).realized.credit_date is None
    other = Document()
    dated = realization_line("40", credit_date=str(day))
    assert only(other.state(dated)).realized.credit_date is None
    assert other.state(dated) == Settlement((), ())


def test_the_derivation_of_a_correction_names_edit_and_what_is_settled() -> None:
    """Net billed and forgiven make what is settled; an edit is named only where there is one."""
    document = invoiced(realization_line("40"))
    plain = only(document.state(realization_line("41"))).realized.derivation["correction"]
    assert "edited" not in plain
    document.edits[realization_line("41").line_key] = QuantityAmount(Decimal(1), Decimal(50))
    edited = only(document.state(realization_line("41"))).realized.derivation["correction"]
    assert edited["edited"] == {"quantity": "1", "amount": "50"}
    assert edited["formula"] == "2100 − 2000 = 100"


def test_what_was_forgiven_is_settled() -> None:
    """40 h invoiced, 2 h written off: 41 h are 1 h more than what is settled."""
    document = invoiced(realization_line("40"))
    off = QuantityAmount(Decimal(2), Decimal(100))
    document.credit_by_hand(document.pay_lines[0], off, write_off=True)
    correction = only(document.state(realization_line("41"))).realized.derivation["correction"]
    assert correction["forgiven"] == {"quantity": "2", "amount": "100"}
    assert correction["formula"] == "2050 − 2000 = 50"


def test_an_edit_to_nothing_opens_no_line() -> None:
    """The operator takes away all that was never invoiced."""
    document = Document(edits={time_key(): QuantityAmount(Decimal(-8), Decimal(-400))})
    assert document.state(realization_line("8")).opened == ()


def test_the_newest_invoice_is_credited_first_whichever_line_is_older() -> None:
    """The order is that of the invoices, not that of the pay lines."""
    document = invoiced(realization_line("40"))
    document.state(realization_line("41"))
    document.invoice()
    document.pay_lines.reverse()
    for at, one in enumerate(document.pay_lines):
        document.pay_lines[at] = one._replace(pay_line_id=10 - one.pay_line_id)
    assert opened(document.state(realization_line("40"))) == [("-1", "-50.00", (2, 2))]


def test_a_debit_of_a_key_that_has_gone_has_the_fields_of_its_last_line() -> None:
    """The key has gone, and less than nothing stays invoiced: the last line is billed back."""
    document = invoiced(realization_line("-1", worker_id="W-1"))
    document.state(realization_line("-3", worker_id="W-2"))
    document.invoice()
    document.state(realization_line("-6", worker_id="W-3"))
    document.invoice()
    debit = only(document.state())
    assert (debit.realized.quantity, debit.realized.worker_id) == (6, "W-3")
