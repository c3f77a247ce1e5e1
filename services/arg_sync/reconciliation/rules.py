"""Where an accounting system differs from what we delivered: drifts with code, message and fix.

Nothing is changed. What could not be read is no drift: the rules see only documents about which
the accounting system answered.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from services.arg_sync.deliveries.rules.transitions import ExpectedDocument, differences
from services.arg_sync.ledgers.documents import RemoteDocument
from shared.money import plain
from shared.terms import DocumentType

DriftCode = Literal[
    "missing",
    "deleted",
    "voided",
    "edited",
    "duplicated",
    "customer-changed",
    "not-received",
    "received-differently",
    "unknown-document",
    "not-applied",
]
LEDGER_DRIFTS: tuple[DriftCode, ...] = (
    "deleted",
    "voided",
    "edited",
    "duplicated",
    "customer-changed",
)
LATE_MINUTES = 15
"""A document closed more recently may not be received yet, or received and not queued yet."""
INTERNAL: dict[DriftCode, tuple[str, str]] = {
    "not-received": (
        "{number} is closed, but arg_sync received no invoice-closed for it",
        "publish it again: `backoffice republish --service invoicer`",
    ),
    "received-differently": (
        "{number} was received as {received}, which differs from our document",
        "run `backoffice verify`: a closed document may have been changed",
    ),
    "unknown-document": (
        "{number} was received, but there is no such document",
        "run `backoffice verify`: the database may be older than the messages",
    ),
    "missing": (
        "{number} should have been delivered automatically, but was never queued",
        "queue its batch: `backoffice batch sync`",
    ),
    "not-applied": (
        "{number} credits {received}, which is not in this ledger: the credit note is not applied",
        "deliver the batch of the invoice: `backoffice batch sync`; or post the credit note"
        " without it: `backoffice deliveries retry {number} --unapplied`",
    ),
}
"""Message and fix where our own records disagree.

`received`: the content of the event; of a credit note the invoices that are missing.
"""
INTERNAL_DRIFTS: tuple[DriftCode, ...] = tuple(INTERNAL)


@dataclass(frozen=True, slots=True)
class SettledDelivery:
    """A delivery that is compared with the ledger.

    `posted` is false for a refused one, of which only duplicates count. `by_hand`: an operator
    accepted the ledger's document whatever its content.
    """

    delivery_id: int
    lease: int
    ledger: str
    invoice_id: int
    number: str
    kind: DocumentType
    currency: str
    total: Decimal
    customer: str
    remote_id: str
    posted: bool
    by_hand: bool

    @property
    def expected(self) -> ExpectedDocument:
        """The document that the ledger must have. A credit note is positive there."""
        total = -self.total if self.kind == "credit-note" else self.total
        return ExpectedDocument(self.number, self.kind, self.currency, total, self.customer)


@dataclass(frozen=True, slots=True)
class Drift:
    """One difference. `remote_id` is the document in the ledger that it concerns."""

    invoice_id: int | None
    number: str
    code: DriftCode
    remote_id: str
    message: str
    fix: str


def needs_lookup_by_id(delivery: SettledDelivery, by_number: Sequence[RemoteDocument]) -> bool:
    """Return whether no document of our number has our id.

    Then the document was voided, deleted, or got another number.
    """
    return (
        delivery.posted
        and bool(delivery.remote_id)
        and all(one.remote_id != delivery.remote_id for one in by_number)
    )


def find_drifts(
    delivery: SettledDelivery,
    by_number: Sequence[RemoteDocument],
    by_id: RemoteDocument | None,
) -> list[Drift]:
    """Return the drifts of one document.

    `by_number`: all documents in the ledger with its number, none of them voided.
    `by_id`: the document of our id.
    """
    if not delivery.posted or not delivery.remote_id:
        return _duplicates(delivery, sorted(by_number, key=_preference)[1:])
    ours = next((one for one in by_number if one.remote_id == delivery.remote_id), by_id)
    others = [one for one in by_number if one.remote_id != delivery.remote_id]
    if ours is not None and ours.state != "voided":
        return [*_changes(delivery, ours), *_duplicates(delivery, others)]
    if (
        ours is None
        and len(others) == 1
        and others[0].state != "draft"
        and not differences(delivery.expected, others[0])
    ):
        return []  # some systems give a document a new id when it is posted
    return [_gone(delivery, ours, others)]


def internal_drift(code: DriftCode, invoice_id: int, number: str, received: str) -> Drift:
    """Return the drift where events, our documents and our deliveries disagree on a document."""
    message, fix = (text.format(number=number, received=received) for text in INTERNAL[code])
    return Drift(invoice_id, number, code, "", message, fix)


def _preference(one: RemoteDocument) -> tuple[bool, int, str]:
    """Prefer posted documents to drafts, then the lower id."""
    return one.state == "draft", len(one.remote_id), one.remote_id


def _gone(
    delivery: SettledDelivery, ours: RemoteDocument | None, others: Sequence[RemoteDocument]
) -> Drift:
    code: DriftCode = "deleted" if ours is None else "voided"
    other = f"; {_described(others)} now has its number" if others else ""
    return _drift(
        delivery,
        code,
        delivery.remote_id,
        f"{delivery.number} was posted as {delivery.remote_id}, which is {code}{other}",
        "if that was a mistake,"
        f" `backoffice deliveries resync {delivery.number} --ledger {delivery.ledger}` looks it up"
        " again and delivers it if it is missing;"
        " if it was intended, credit it here too: `backoffice credit`",
    )


def _changes(delivery: SettledDelivery, ours: RemoteDocument) -> list[Drift]:
    drifts = []
    expected, document = delivery.expected, f"{delivery.number} ({delivery.remote_id})"
    edited = [] if delivery.by_hand else differences(replace(expected, customer=""), ours)
    if ours.state == "draft":
        edited.append("it is a draft again")
    if edited:
        drifts.append(
            _drift(
                delivery,
                "edited",
                delivery.remote_id,
                f"{document} was changed in the ledger: {'; '.join(edited)}",
                "correct it in the ledger; or if the change is intended,"
                " credit the document here and bill it again: `backoffice credit`",
            )
        )
    if expected.customer and ours.customer != expected.customer and not delivery.by_hand:
        drifts.append(
            _drift(
                delivery,
                "customer-changed",
                delivery.remote_id,
                f"{document} now belongs to customer {ours.customer},"
                f" it was delivered to {expected.customer}",
                f"if the customers were merged, map {ours.customer} for later documents with"
                " `backoffice ledger map import`; else correct it in the ledger",
            )
        )
    return drifts


def _duplicates(delivery: SettledDelivery, others: Sequence[RemoteDocument]) -> list[Drift]:
    return [
        _drift(
            delivery,
            "duplicated",
            one.remote_id,
            f"{delivery.number} is in the ledger twice:"
            f" {delivery.remote_id or 'ours'} and {_described([one])}",
            f"delete the draft {one.remote_id} in the ledger"
            if one.state == "draft"
            else f"void {one.remote_id} in the ledger, if nothing is paid on it",
        )
        for one in others
    ]


def _described(remote: Sequence[RemoteDocument]) -> str:
    return ", ".join(
        f"{one.remote_id} ({one.state}, {plain(one.total)} {one.currency})" for one in remote
    )


def _drift(
    delivery: SettledDelivery, code: DriftCode, remote_id: str, message: str, fix: str
) -> Drift:
    return Drift(delivery.invoice_id, delivery.number, code, remote_id, message, fix)
