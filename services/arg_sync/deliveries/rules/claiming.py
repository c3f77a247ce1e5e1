"""Which deliveries a worker may claim, in which order, and how long its lease must be."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from services.arg_sync.ledgers.adapter import Order

OUT_OF_ORDER_AFTER_TRIES = 3
MARGIN_SECONDS = 2.0
CALLS_PER_DOCUMENT = 4
FIRST_WRITE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class OpenDelivery:
    """An open delivery. The rules get them sorted by date, document type and document.

    `due`: its next attempt is due and no worker has a lease on it.
    """

    delivery_id: int
    account_name: str
    invoice_date: date
    due: bool
    tries: int


def next_in_order(deliveries: Sequence[OpenDelivery], order: Order, most: int) -> list[int]:
    """Return the ids of the deliveries to claim, in their order.

    A delivery that failed several times no longer holds up those behind it.
    """
    claimed: list[int] = []
    blocked: set[str] = set()
    for each in deliveries:
        if len(claimed) >= most:
            break
        sequence = each.account_name if order == "customer" else ""
        in_order = order != "none" and each.tries < OUT_OF_ORDER_AFTER_TRIES
        if in_order and sequence in blocked:
            continue
        if each.due:
            claimed.append(each.delivery_id)
        # One of a customer at a time; of a whole connection as many as are due without a gap.
        if in_order and (order == "customer" or not each.due):
            blocked.add(sequence)
    return claimed


@dataclass(frozen=True, slots=True)
class Lease:
    """`write_seconds`: until when a write may begin; `whole_seconds`: when the lease ends."""

    write_seconds: float
    whole_seconds: float


def lease_for(request_seconds: float, server_seconds: float, hold_seconds: float) -> Lease:
    """Return a lease that outlives the effect of a write that begins at the last moment."""
    return Lease(hold_seconds, hold_seconds + request_seconds + server_seconds + MARGIN_SECONDS)


def hold_seconds(per_minute: int | None, concurrency: int, request_seconds: float) -> float:
    """Return how long after the claim a write may begin.

    That is the wait for the rate budget of all parallel calls, plus one slow call.
    """
    pause = 60.0 / per_minute if per_minute else 0.0
    return FIRST_WRITE_SECONDS + request_seconds + pause * concurrency * CALLS_PER_DOCUMENT
