"""Money on documents and lines: how it is shared, what a credit frees, which payment is meant."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.invoicer.drafts.rules.invoicing_status import require_allowed
from services.invoicer.payments.rules.applying import (
    PayableDocument,
    amount_to_apply,
    require_applied,
    require_payable,
    shares_of,
)
from services.invoicer.payments.rules.received import (
    ReceivedPayment,
    payment_meant,
    repeated,
    take_unapplied,
)
from services.invoicer.payments.rules.sharing import (
    PaidByPayment,
    apply_to_lines,
    free_by_credit,
    left_of,
    most_to_apply,
    paid_by_line,
    share,
    values_to_pay,
)
from shared.errors import Refused

D = Decimal
CENT = D("0.01")
ZERO = D(0)
INV_1 = {1: D("600.00"), 2: D("400.00")}
PAYER = "Mercy Hospital"
DAY = date(2026, 10, 5)
CHECK = ReceivedPayment("p1", PAYER, "4711", DAY, "First Bank", D(500), "USD")


def amounts(lines: Mapping[int, Decimal]) -> dict[int, str]:
    """Amounts as text with two decimals."""
    return {line_no: f"{amount:.2f}" for line_no, amount in lines.items()}


def document(
    values: Mapping[int, Decimal], *payments: PaidByPayment, **more: object
) -> PayableDocument:
    """An invoice of the payer in USD."""
    made = PayableDocument(1, "INV-1", "invoice", PAYER, "USD", DAY, values, payments=payments)
    return replace(made, **more)  # type: ignore[arg-type]


def test_msp_8_a_check_is_shared_by_what_is_left_on_each_line() -> None:
    """msp 8: INV-1 of 600.00 and 400.00, check 4711 of 500.00: lines 300.00 and 200.00."""
    assert amounts(shares_of(document(INV_1), D(500))) == {1: "300.00", 2: "200.00"}


def test_msp_8_what_a_credit_frees_goes_to_other_lines_the_rest_is_unapplied() -> None:
    """msp 8: line 1 is credited whole: 200.00 of the 300.00 moves to line 2, 100.00 is
    unapplied.
    """
    paid = PaidByPayment("4711", {1: D(300), 2: D(200)})
    changes = free_by_credit({1: ZERO, 2: D(400)}, [paid], CENT)
    assert {key: amounts(lines) for key, lines in changes.items()} == {
        "4711": {1: "-300.00", 2: "200.00"}
    }


def test_msp_8_a_check_never_pays_more_than_the_balance() -> None:
    """msp 8: check 4712 of 700.00 on INV-1 with 500.00 left: 500.00 applied."""
    paid = PaidByPayment("4711", {1: D(300), 2: D(200)})
    assert amount_to_apply(document(INV_1, paid), D(700), None) == 500


def test_msp_8_largest_remainder() -> None:
    """msp 8: 0.05 over three lines of 0.02 each is 0.02, 0.02, 0.01."""
    left = {1: D("0.02"), 2: D("0.02"), 3: D("0.02")}
    assert amounts(share(D("0.05"), left, CENT)) == {1: "0.02", 2: "0.02", 3: "0.01"}


def test_msp_8_negative_lines_share_with_their_sign() -> None:
    """msp 8: negative lines of a netted document share with their sign: half of 540.00."""
    netted = {1: D(600), 2: D(-60)}
    assert amounts(share(D(270), netted, CENT)) == {1: "300.00", 2: "-30.00"}


def test_msp_8_a_draft_takes_no_payment() -> None:
    """msp 8: apply to a draft is refused: Pending Finalization allows finalize, edit, cancel."""
    with pytest.raises(Refused, match="Pending Finalization allows finalize, edit, cancel"):
        require_payable(document(INV_1, status="pending_finalization"), PAYER, "USD")
    require_allowed("INV-1", "processed", "apply_payment")


@pytest.mark.parametrize(
    ("changes", "payer", "currency", "lines", "code"),
    [
        ({"document_type": "credit-note"}, PAYER, "USD", [], "credit_note_takes_no_payment"),
        ({}, "St. Anne", "USD", [], "other_payer"),
        ({}, PAYER, "EUR", [], "other_currency"),
        ({}, PAYER, "USD", [3], "unknown_line"),
    ],
)
def test_documents_that_take_no_money(
    changes: dict[str, object], payer: str, currency: str, lines: list[int], code: str
) -> None:
    """msp 8: applied only to Processed documents, in one currency, never to a credit note."""
    with pytest.raises(Refused) as refused:
        require_payable(document(INV_1, **changes), payer, currency, lines)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("unapplied", "amount", "lines", "expected"),
    [
        ("300", None, (), "300"),
        ("3000", None, (), "1000.00"),
        ("3000", None, (2,), "400.00"),
        ("3000", "250", (), "250"),
        ("3000", "400.01", (2,), "more_than_left"),
        ("3000", "1000.01", (), "more_than_left"),
        ("300", "300.01", (), "more_than_unapplied"),
        ("300", "0.001", (), "too_many_decimals"),
    ],
)
def test_how_much_is_applied(
    unapplied: str, amount: str | None, lines: Sequence[int], expected: str
) -> None:
    """What is named, else what both sides have left; more than that is refused."""
    given_amount = None if amount is None else D(amount)
    try:
        found = str(amount_to_apply(document(INV_1), D(unapplied), given_amount, lines))
    except Refused as refused:
        found = refused.code
    assert found == expected


@pytest.mark.parametrize(
    ("values", "code"), [(INV_1, "nothing_unapplied"), ({1: ZERO}, "nothing_left")]
)
def test_nothing_to_apply_is_refused(values: Mapping[int, Decimal], code: str) -> None:
    """The refusal tells money that is used up from a document that is paid."""
    with pytest.raises(Refused) as refused:
        require_applied(ZERO, [document(values)])
    assert refused.value.code == code


def test_a_single_line_is_never_paid_beyond_the_document() -> None:
    """600.00 and a credit of -60.00 on one document: 540.00 are left, also for line 1 alone."""
    netted = {1: D(600), 2: D(-60)}
    assert most_to_apply(netted, {}, [1]) == 540
    assert most_to_apply(netted, {}, [2]) == 0


def test_what_is_paid_of_a_whole_document_is_shared_by_the_values() -> None:
    """Opening data and ledgers name no line: 500.00 of 600.00 and 400.00 leaves 300.00, 200.00."""
    assert amounts(values_to_pay(INV_1, D(500), CENT)) == {1: "300.00", 2: "200.00"}
    assert amounts(values_to_pay(INV_1, D(1200), CENT)) == {1: "0.00", 2: "0.00"}


def test_a_credit_frees_the_newest_payment_first() -> None:
    """Line 1 of 600.00 is paid by 4711 and 4712; 100.00 credited takes 4712 off it."""
    payments = [
        PaidByPayment("4711", {1: D(360), 2: D(240)}),
        PaidByPayment("4712", {1: D(240), 2: D(160)}),
    ]
    changes = free_by_credit({1: D(500), 2: D(400)}, payments, CENT)
    assert {key: amounts(lines) for key, lines in changes.items()} == {"4712": {1: "-100.00"}}


def test_a_credit_within_what_is_left_frees_nothing() -> None:
    """300.00 paid of a line of 600.00 of which 100.00 is credited: nothing moves."""
    paid = PaidByPayment("4711", {1: D(300), 2: D(200)})
    assert free_by_credit({1: D(500), 2: D(400)}, [paid], CENT) == {}


SAME = (CHECK.amount, CHECK.currency, CHECK.bank)


@pytest.mark.parametrize(
    ("known", "values", "expected"),
    [
        ([], SAME, None),
        ([CHECK], SAME, CHECK),
        ([CHECK], (D(501), "USD", "First Bank"), "payment_differs"),
        ([CHECK], (D(500), "EUR", "First Bank"), "payment_differs"),
        ([CHECK], (D(500), "USD", "Other Bank"), "payment_differs"),
        ([replace(CHECK, reversed=True)], (D(501), "USD", "First Bank"), None),
        ([replace(CHECK, reversed=True)], SAME, replace(CHECK, reversed=True)),
    ],
)
def test_msp_8_identity_and_repeats(
    known: list[ReceivedPayment], values: tuple[Decimal, str, str], expected: object
) -> None:
    """msp 8: the same identity with the same values is a repeat, with another amount it is
    refused unless the first was reversed.
    """
    try:
        found: object = repeated(known, *values)
    except Refused as refused:
        found = refused.code
    assert found == expected


OTHER_PAYER = replace(CHECK, payment_id="p2", account_name="St. Anne")
LATER = replace(CHECK, payment_id="p3", received_on=date(2026, 11, 5))
REVERSED = replace(CHECK, reversed=True)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([CHECK], "p1"),
        ([], "unknown_payment"),
        ([CHECK, OTHER_PAYER], "ambiguous_check"),
        ([CHECK, LATER], "ambiguous_check"),
        ([REVERSED, LATER], "p3"),
        ([REVERSED], "payment_reversed"),
    ],
)
def test_msp_8_the_payer_is_asked_for_where_a_check_is_not_unique(
    found: list[ReceivedPayment], expected: str
) -> None:
    """msp 8: a check that bounced may be presented again; the reversed one is not meant."""
    try:
        meant = payment_meant("4711", found).payment_id
    except Refused as refused:
        meant = refused.code
    assert meant == expected


def test_unapplied_money_is_taken_from_the_oldest_deposit() -> None:
    """500.00 of 5 October, then 100.00 of 5 November."""
    taken = take_unapplied([LATER, CHECK], D(600))
    assert [(each.payment_id, str(part)) for each, part in taken] == [("p1", "500"), ("p3", "100")]


def test_an_entry_is_never_older_than_the_one_before() -> None:
    """Money counts from its deposit; what takes it back, and what follows, from later."""
    assert CHECK.entry_day() == DAY
    assert CHECK.entry_day(date(2026, 11, 1)) == date(2026, 11, 1)
    assert replace(CHECK, last_day=date(2026, 11, 1)).entry_day() == date(2026, 11, 1)


cents = st.integers(1, 100_000).map(lambda units: units * CENT)


@st.composite
def documents(draw: st.DrawFn) -> dict[int, Decimal]:
    """Values of the lines of a document of more than zero; some may be credits."""
    values = draw(st.lists(cents, min_size=1, max_size=8))
    room = sum(values, ZERO)
    for part in draw(st.lists(cents, max_size=3)):
        if part < room:
            values.append(-part)
            room -= part
    return dict(enumerate(draw(st.permutations(values)), start=1))


@st.composite
def paid_documents(draw: st.DrawFn) -> tuple[dict[int, Decimal], list[PaidByPayment]]:
    """A document with up to three payments, of the whole or of single lines."""
    values = draw(documents())
    payments: list[PaidByPayment] = []
    for name in ("a", "b", "c"):
        paid = paid_by_line(payments)
        chosen = draw(st.sets(st.sampled_from(sorted(values)), max_size=3))
        most = most_to_apply(values, paid, sorted(chosen))
        amount = min(draw(cents), most)
        if amount:
            lines = apply_to_lines(amount, values, paid, CENT, sorted(chosen))
            payments.append(PaidByPayment(name, lines))
    return values, payments


def within(paid: Mapping[int, Decimal], values: Mapping[int, Decimal]) -> bool:
    """Whether nothing is paid above what a line is worth, or against its sign."""
    return all(
        min(value, ZERO) <= paid.get(line_no, ZERO) <= max(value, ZERO)
        for line_no, value in values.items()
    )


@given(documents(), cents)
def test_the_parts_are_the_whole_and_none_is_above_what_is_left(
    values: dict[int, Decimal], amount: Decimal
) -> None:
    """Sum of the parts = what is applied; each part is within the value of its line."""
    applied = min(amount, most_to_apply(values, {}))
    parts = apply_to_lines(applied, values, {}, CENT)
    assert sum(parts.values(), ZERO) == applied
    assert within(parts, values)
    assert all(part % CENT == 0 for part in parts.values())


@given(paid_documents())
def test_payments_one_after_the_other_never_exceed_a_line(
    paid_document: tuple[dict[int, Decimal], list[PaidByPayment]],
) -> None:
    """Whatever is applied to documents or lines, in any order."""
    values, payments = paid_document
    paid = paid_by_line(payments)
    assert within(paid, values)
    assert sum(left_of(values, paid).values(), ZERO) == sum(values.values(), ZERO) - sum(
        (each.total for each in payments), ZERO
    )


@given(paid_documents(), st.data())
def test_after_a_credit_nothing_is_paid_beyond_a_line_or_the_document(
    paid_document: tuple[dict[int, Decimal], list[PaidByPayment]], data: st.DataObject
) -> None:
    """As much as possible stays on the document; the rest is unapplied. Once more frees nothing."""
    before, payments = paid_document
    values = {
        line_no: data.draw(st.integers(0, int(value / CENT))) * CENT if value > 0 else value
        for line_no, value in before.items()
    }
    changes = free_by_credit(values, payments, CENT)
    after = [
        PaidByPayment(
            each.payment_id,
            paid_by_line([each, PaidByPayment("", changes.get(each.payment_id, {}))]),
        )
        for each in payments
    ]
    was = {each.payment_id: each.total for each in payments}
    worth = max(sum(values.values(), ZERO), ZERO)
    assert sum((each.total for each in after), ZERO) == min(sum(was.values(), ZERO), worth)
    assert all(ZERO <= each.total <= was[each.payment_id] for each in after)
    if worth > 0:
        assert within(paid_by_line(after), values)
        assert free_by_credit(values, after, CENT) == {}
    else:
        assert not any(paid_by_line(after).values())


@given(documents(), cents, cents)
def test_the_amount_paid_does_not_depend_on_the_order(
    values: dict[int, Decimal], first: Decimal, second: Decimal
) -> None:
    """Two payments leave the same balance in either order, and fill the same lines if both fit."""

    def balance(*given_amounts: Decimal) -> Decimal:
        paid: dict[int, Decimal] = {}
        for amount in given_amounts:
            part = min(amount, most_to_apply(values, paid))
            lines = apply_to_lines(part, values, paid, CENT)
            paid = paid_by_line([PaidByPayment("", paid), PaidByPayment("", lines)])
        return sum(values.values(), ZERO) - sum(paid.values(), ZERO)

    assert balance(first, second) == balance(second, first)
