"""Comparing a document in a ledger with the document that we delivered."""

from dataclasses import dataclass
from decimal import Decimal

from services.arg_sync.ledgers.documents import RemoteDocument
from shared.money import plain


@dataclass(frozen=True, slots=True)
class ExpectedDocument:
    """The values that a document in the ledger must have. An empty customer matches any."""

    number: str
    kind: str
    currency: str
    total: Decimal
    customer: str


def differences(expected: ExpectedDocument, remote: RemoteDocument) -> list[str]:
    """Describe how the document in the ledger differs; an empty list means that it is equal.

    Totals are compared to the cent.
    """
    found = []
    if remote.number != expected.number:
        found.append(f"its number is {remote.number}")
    if remote.kind != expected.kind:
        found.append(f"it is a {remote.kind}, ours is a {expected.kind}")
    if remote.currency != expected.currency:
        found.append(f"its currency is {remote.currency}, ours is {expected.currency}")
    if remote.total != expected.total:
        found.append(f"its total is {plain(remote.total)}, ours is {plain(expected.total)}")
    if expected.customer and remote.customer != expected.customer:
        found.append(f"it belongs to customer {remote.customer}, ours to {expected.customer}")
    if remote.state == "voided":
        found.append("it is voided")
    return found
