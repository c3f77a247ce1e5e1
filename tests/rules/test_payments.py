"""Payments of accounting systems as entries, signatures of webhooks, rejected entries."""

import base64
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from services.arg_sync.ledgers.documents import Payment
from services.arg_sync.payments.rules import is_signed, new_entries
from services.invoicer.payments.rules.entries import rejection_for

D = Decimal
PAID = Payment("P1", "A", "0815", D(1000), "USD", date(2026, 3, 10))
B = replace(PAID, remote_id="B", amount=D(400))
NONE_LEFT = replace(PAID, amount=D(0))
GONE = replace(PAID, cancelled=True)
GONE_EVERYWHERE = replace(GONE, remote_id="", currency="")
OTHER = replace(PAID, payment_id="P2")

ENTRIES: dict[str, tuple[list[tuple[int, Payment]], list[Payment], list[tuple[str, int, int]]]] = {
    "first": ([], [PAID], [("A", 1, 1000)]),
    "repeated": ([(1, PAID)], [PAID], []),
    "repeated, then another": ([(1, PAID)], [PAID, B], [("B", 1, 400)]),
    "raised": ([(1, PAID)], [replace(PAID, amount=D(1200))], [("A", 2, 200)]),
    "lowered": ([(3, PAID)], [replace(PAID, amount=D(700))], [("A", 4, -300)]),
    "twice on a page": (
        [],
        [PAID, replace(PAID, amount=D(1200))],
        [("A", 1, 1000), ("A", 2, 200)],
    ),
    "cancelled": ([(1, PAID), (1, B)], [GONE], [("A", 2, -1000)]),
    "cancelled, unknown": ([], [GONE, GONE_EVERYWHERE], []),
    "cancelled on all documents": (
        [(1, PAID), (2, B), (1, OTHER)],
        [GONE_EVERYWHERE],
        [("A", 2, -1000), ("B", 3, -400)],
    ),
    "cancelled on the rest": ([(2, NONE_LEFT), (1, B)], [GONE_EVERYWHERE], [("B", 2, -400)]),
    "given again": ([(2, NONE_LEFT)], [PAID], [("A", 3, 1000)]),
}


@pytest.mark.parametrize("case", ENTRIES)
def test_an_entry_is_the_difference_to_what_is_stored(case: str) -> None:
    """A repeat adds nothing; a change adds its difference; a reversal takes all away."""
    stored, reported, expected = ENTRIES[case]
    found = new_entries(stored, reported)
    assert [(one.remote_id, number, one.amount) for number, one in found] == expected


def test_what_a_complete_document_no_longer_has_is_reversed() -> None:
    """Only of the documents that were read whole; what is reported of them stays."""
    stored = [(1, PAID), (1, B), (1, OTHER)]
    found = new_entries(stored, [OTHER], complete={"A"})
    assert [(one.payment_id, one.remote_id, number, one.amount) for number, one in found] == [
        ("P1", "A", 2, -1000)
    ]
    assert new_entries([(2, NONE_LEFT)], [], complete={"A"}) == []


@pytest.mark.parametrize(("day", "kept"), [(9, 10), (10, 10), (11, 11)])
def test_an_entry_is_never_older_than_the_one_before(day: int, kept: int) -> None:
    """A reversal without a currency has that of the payment."""
    ((_, found),) = new_entries(
        [(1, PAID)], [replace(GONE_EVERYWHERE, paid_on=date(2026, 3, day), number="0816")]
    )
    assert (found.paid_on.day, found.currency, found.number) == (kept, "USD", "0816")


def test_a_signature_is_that_of_key_and_body() -> None:
    """The vector of RFC 4231, case 2. A connection without a key takes no webhook."""
    body = b"what do ya want for nothing?"
    digest = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    signature = base64.b64encode(bytes.fromhex(digest)).decode()
    assert is_signed("Jefe", body, f" {signature}\n")
    assert not is_signed("Jefe", body + b"!", signature)
    unkeyed = "thNnmggU2ex3L5XXeMNfxf8Wl8STcVZTxscSFEKSxa0="
    assert not is_signed("", b"", unkeyed)


@pytest.mark.parametrize(
    ("invoice_currency", "currency", "known", "amount", "code"),
    [
        ("USD", "USD", None, "5", None),
        ("USD", "USD", "5.00", "5", None),
        ("USD", "USD", "5", "6", "conflict"),
        ("USD", "EUR", None, "5", "other_currency"),
        (None, "USD", None, "5", "unknown_invoice"),
    ],
)
def test_an_entry_fits_its_invoice_and_never_changes(
    invoice_currency: str | None, currency: str, known: str | None, amount: str, code: str | None
) -> None:
    """In the invoice's currency; an entry that comes again has the same amount."""
    found = rejection_for(invoice_currency, currency, D(known) if known else None, D(amount))
    assert (found and found[0]) == code
