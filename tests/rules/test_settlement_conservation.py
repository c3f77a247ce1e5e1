"""Settlement loses and invents no value: conservation over random histories of a document."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.invoicer.lines.rules import NOTHING, QuantityAmount, value_of
from shared.events.realizations import RealizationLine
from shared.money import rounded
from tests.builders import product_key, realization_line, time_key
from tests.rules.settled_document import Document, invoiced

KEYS = (time_key(), time_key(time_type="OT", version="2020-01-01@75"), product_key())
PRICES = (Decimal("50.00"), Decimal("35.0350"), Decimal("0.3333"), Decimal("12.3456"))
CURRENCIES = ("USD", "JPY", "KWD")

hours = st.decimals("0", "60", places=4)
known_values = st.lists(
    st.tuples(st.sampled_from(KEYS), hours), max_size=3, unique_by=lambda pair: pair[0]
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("state"), known_values),
        st.tuples(st.just("invoice"), st.none()),
        st.tuples(
            st.just("credit"),
            st.tuples(st.integers(0, 20), st.decimals("0.05", "1", places=2), st.booleans()),
        ),
        st.tuples(st.just("edit"), st.tuples(st.integers(0, 20), hours)),
    ),
    min_size=1,
    max_size=25,
)


def check(document: Document) -> None:
    """worth + edits = open + drafted + invoiced - credited + forgiven, per key in quantity and
    money; credits never exceed.
    """
    realized = {line.line_key: line for line in document.realized}
    for key in realized.keys() | {one.realized.line_key for one in document.pay_lines}:
        target = (
            (value_of(realized[key]) + document.edits.get(key, NOTHING))
            if key in realized
            else NOTHING
        )
        net = sum(
            (
                one.value
                for one in document.pay_lines
                if one.location == "invoiced" and one.realized.line_key == key
            ),
            NOTHING,
        )
        still_open = sum(
            (
                one.value
                for one in document.pay_lines
                if one.location == "open" and one.realized.line_key == key
            ),
            NOTHING,
        )
        off, rest = document.written_off.get(key, NOTHING), target - net
        given_up = QuantityAmount(
            max(Decimal(0), min(off.quantity, rest.quantity)),
            max(Decimal(0), min(off.amount, rest.amount)),
        )
        assert target == still_open + net + given_up, key
    for one in document.pay_lines:
        assert rounded(one.realized.amount, one.realized.currency) == one.realized.amount
        if one.invoiced_line is not None and one.corrects is None:
            at = (one.invoiced_line.invoice_id, one.invoiced_line.line_no)
            left = one.value + sum(
                (credit.value for credit in document.pay_lines if credit.corrects == at), NOTHING
            )
            assert left.quantity >= 0
            assert left.amount >= 0


def edit(document: Document, at: int, quantity: Decimal, price: Decimal, currency: str) -> None:
    """An operator gives an open debit another quantity, as the command does: a difference, then
    the document is settled again.
    """
    debits = [one for one in document.pay_lines if one.location == "open" and one.corrects is None]
    if debits:
        one = debits[at % len(debits)]
        difference = QuantityAmount(quantity, rounded(quantity * price, currency)) - one.value
        key = one.realized.line_key
        document.edits[key] = document.edits.get(key, NOTHING) + difference
        document.state(*document.realized)


def credit(document: Document, at: int, part: Decimal, write_off: bool) -> None:
    """A credit by hand of a part of what is left of an invoice line."""
    invoiced_lines = [
        one for one in document.pay_lines if one.invoiced_line is not None and one.corrects is None
    ]
    if invoiced_lines:
        one = invoiced_lines[at % len(invoiced_lines)]
        location = (
            (one.invoiced_line.invoice_id, one.invoiced_line.line_no)
            if one.invoiced_line
            else (0, 0)
        )
        credited = sum(
            (
                other.value
                for other in document.pay_lines
                if other.corrects == location and other.location == "invoiced"
            ),
            NOTHING,
        )
        left = one.value + credited
        quantity = (left.quantity * part).quantize(Decimal("0.0001"))
        given_back = QuantityAmount(
            min(quantity, left.quantity),
            min(rounded(left.amount * part, one.realized.currency), left.amount),
        )
        document.credit_by_hand(one, given_back, write_off=write_off)
        document.state(*document.realized)


@settings(max_examples=300, deadline=None)
@given(steps, st.sampled_from(PRICES), st.sampled_from(CURRENCIES))
def test_conservation(history: list[tuple[str, object]], price: Decimal, currency: str) -> None:
    """Value + operator edits = open + drafted + invoiced − credited + forgiven,
    always.
    """
    document = Document()
    for what, values in history:
        if what == "state":
            value = {key: quantity for key, quantity in values}  # type: ignore[attr-defined]  # noqa: C416
            for key in KEYS:
                total = QuantityAmount(
                    value.get(key, Decimal(0)),
                    rounded(value.get(key, Decimal(0)) * price, currency),
                ) + document.edits.get(key, NOTHING)
                if key not in value or total.quantity < 0 or total.amount < 0:
                    # Such an edit is set aside before settlement (test_settlement_holds).
                    document.edits.pop(key, None)
            document.state(
                *(_line(key, quantity, price, currency) for key, quantity in value.items())
            )
        elif what == "invoice":
            document.invoice()
        elif what == "edit":
            edit(document, *values, price, currency)  # type: ignore[misc]
        else:
            credit(document, *values)  # type: ignore[misc]
        check(document)


def _line(key: str, quantity: Decimal, price: Decimal, currency: str) -> RealizationLine:
    return realization_line().model_copy(
        update={
            "line_key": key,
            "quantity": quantity,
            "unit_price": price,
            "currency": currency,
            "amount": rounded(quantity * price, currency),
        }
    )


def test_the_check_catches_a_wrong_rule() -> None:
    """A checker that cannot fail proves nothing: a credit of quantity × price is caught."""
    document = invoiced(realization_line("2", "35.0350", amount="70.07"))
    document.state(realization_line("1", "35.0350", amount="35.04"))
    wrong = document.pay_lines[-1]
    document.pay_lines[-1] = wrong._replace(
        realized=wrong.realized.model_copy(update={"amount": Decimal("-35.04")})
    )
    with pytest.raises(AssertionError):
        check(document)
