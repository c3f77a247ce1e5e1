"""Payments as entries, and signatures of webhooks.

An entry is the difference between what the accounting system reports now and what is stored, so a
repeat adds nothing.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from services.arg_sync.ledgers.documents import Payment
from shared.money import ZERO

SIGNATURE_HEADERS: Mapping[str, str] = {
    "xero": "x-xero-signature",
    "quickbooks": "intuit-signature",
}
"""Ledger systems that send webhooks → the header with the base64 HMAC-SHA256 of the body."""
WEBHOOK_KEY = "webhook_key"


@dataclass(frozen=True, slots=True)
class StoredPayment:
    """What is stored of a payment against a document: sum and number of entries, last date."""

    payment_id: str
    remote_id: str
    amount: Decimal
    entries: int
    paid_on: date
    currency: str


@dataclass(frozen=True, slots=True)
class PaymentEntry:
    """A new entry. A negative amount reduces the payment."""

    payment_id: str
    remote_id: str
    number: str
    entry_no: int
    amount: Decimal
    currency: str
    paid_on: date


def new_entries(stored: Sequence[StoredPayment], reported: Sequence[Payment]) -> list[PaymentEntry]:
    """Return the entries that make what is stored equal to what is reported.

    A cancelled payment without a document is reversed on all of its documents. An entry is never
    older than the one before it, so at the end of each day the sum is an amount that the
    accounting system once reported.
    """
    known = {(each.payment_id, each.remote_id): each for each in stored}
    entries: list[PaymentEntry] = []
    for payment in reported:
        keys = [(payment.payment_id, payment.remote_id)]
        if not payment.remote_id:
            keys = [key for key in known if key[0] == payment.payment_id]
        for key in keys:
            before = known.get(key) or StoredPayment(
                *key, ZERO, 0, payment.paid_on, payment.currency
            )
            difference = (ZERO if payment.cancelled else payment.amount) - before.amount
            if not difference:
                continue
            known[key] = after = replace(
                before,
                amount=before.amount + difference,
                entries=before.entries + 1,
                paid_on=max(before.paid_on, payment.paid_on),
                currency=payment.currency or before.currency,
            )
            entries.append(
                PaymentEntry(
                    *key, payment.number, after.entries, difference, after.currency, after.paid_on
                )
            )
    return entries


def is_signed(key: str, body: bytes, signature: str) -> bool:
    """Return whether the signature is that of the body. Without a key, nothing is signed.

    The comparison takes the same time for every signature.
    """
    expected = base64.b64encode(hmac.new(key.encode(), body, hashlib.sha256).digest())
    return hmac.compare_digest(expected, signature.strip().encode("utf-8", "replace")) and bool(key)
