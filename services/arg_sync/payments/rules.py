"""Payments as entries, and signatures of webhooks.

An entry is the difference between what the accounting system reports now and what is stored, so a
repeat adds nothing.
"""

import base64
import hashlib
import hmac
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from services.arg_sync.ledgers.documents import Payment
from shared.money import ZERO

SIGNATURE_HEADERS: Mapping[str, str] = {
    "xero": "x-xero-signature",
    "quickbooks": "intuit-signature",
}
"""Ledger systems that send webhooks → the header with the base64 HMAC-SHA256 of the body."""
WEBHOOK_KEY = "webhook_key"


Entry = tuple[int, Payment]
"""Of what is stored: the number of entries, and their sum with the last date. Of a new entry: its
number, and the difference; a negative one reduces the payment."""


def new_entries(
    stored: Sequence[Entry], reported: Sequence[Payment], complete: Collection[str] = ()
) -> list[Entry]:
    """Return the entries that make what is stored equal to what is reported.

    A cancelled payment without a document is reversed on all of its documents; what is stored of a
    `complete` document and not reported is reversed. An entry is never
    older than the one before it, so at the end of each day the sum is an amount that the
    accounting system once reported.
    """
    known = {(one.payment_id, one.remote_id): (entries, one) for entries, one in stored}
    there = {(one.payment_id, one.remote_id) for one in reported}
    undone = [
        replace(one, cancelled=True)
        for key, (_, one) in known.items()
        if one.remote_id in complete and key not in there
    ]
    new: list[Entry] = []
    for payment in (*reported, *undone):
        keys = [(payment.payment_id, payment.remote_id)]
        if not payment.remote_id:
            keys = [key for key in known if key[0] == payment.payment_id]
        for key in keys:
            entries, before = known.get(key, (0, replace(payment, amount=ZERO)))
            difference = (ZERO if payment.cancelled else payment.amount) - before.amount
            if not difference:
                continue
            after = replace(
                before,
                number=payment.number or before.number,
                amount=before.amount + difference,
                currency=payment.currency or before.currency,
                paid_on=max(before.paid_on, payment.paid_on),
            )
            known[key] = entries + 1, after
            new.append((entries + 1, replace(after, amount=difference)))
    return new


def is_signed(key: str, body: bytes, signature: str) -> bool:
    """Return whether the signature is that of the body. Without a key, nothing is signed.

    The comparison takes the same time for every signature.
    """
    expected = base64.b64encode(hmac.new(key.encode(), body, hashlib.sha256).digest())
    return hmac.compare_digest(expected, signature.strip().encode("utf-8", "replace")) and bool(key)
