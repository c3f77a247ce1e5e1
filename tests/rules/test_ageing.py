"""How old is what a debtor owes: the ages, and the sums over them."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.console.queries.ageing import age_by_debtor, sum_by_currency
from shared.calendar import AGEING_BUCKETS, ageing_bucket

DUE = date(2026, 8, 30)


@pytest.mark.parametrize(
    ("days", "age"),
    [
        (-365, "current"), (-1, "current"), (0, "current"), (1, "1-30"), (29, "1-30"),
        (30, "1-30"), (31, "31-60"), (60, "31-60"), (61, "61-90"), (90, "61-90"), (91, "91-120"),
        (120, "91-120"), (121, "121+"), (3650, "121+"),
    ],
)  # fmt: skip
def test_the_age_by_days_past_due(days: int, age: str) -> None:
    """Current, 1-30, 31-60, 61-90, 91-120, 121+ days past due; 30 days is in
    1-30.
    """
    assert ageing_bucket(DUE, DUE + timedelta(days=days)) == age


def test_the_ages_have_no_gap_and_no_overlap() -> None:
    """Every day has one age, and ages only grow."""
    places = [
        AGEING_BUCKETS.index(ageing_bucket(DUE, DUE + timedelta(days=days)))
        for days in range(-40, 400)
    ]
    assert places == sorted(places)
    assert [places.count(at) for at in range(1, 5)] == [30, 30, 30, 30]


def owed(
    account: str, day: date, amount: str, currency: str = "USD", documents: int = 1
) -> dict[str, Any]:
    """What a debtor owes of one day."""
    return {
        "account_name": account,
        "currency": currency,
        "day": day,
        "amount": Decimal(amount),
        "disputed": Decimal(0),
        "documents": documents,
    }


def test_sums_by_debtor_and_currency() -> None:
    """Per debtor and currency, unapplied credits below zero in their own age; the sums add up
    both ways.
    """
    rows = [
        owed("Alpha", date(2026, 9, 30), "100.00"),
        owed("Alpha", date(2026, 8, 31), "50.50", documents=2),
        owed("Alpha", date(2026, 8, 1), "-20.00"),
        owed("Alpha", date(2026, 8, 1), "700", "JPY"),
        owed("Mercy", date(2026, 1, 1), "9.99"),
    ]
    alpha, yen, mercy = age_by_debtor(rows, date(2026, 9, 30))
    assert {age: str(alpha[age]) for age in (*AGEING_BUCKETS, "total")} == {
        "current": "100.00", "1-30": "50.50", "31-60": "-20.00", "61-90": "0.00", "91-120": "0.00",
        "121+": "0.00", "total": "130.50",
    }  # fmt: skip
    assert (str(yen["31-60"]), yen["currency"], str(mercy["121+"]), alpha["documents"]) == (
        "700",
        "JPY",
        "9.99",
        4,
    )
    assert [
        (row["currency"], str(row["total"]), str(row["121+"]))
        for row in sum_by_currency([alpha, yen, mercy])
    ] == [("JPY", "700", "0"), ("USD", "140.49", "9.99")]
