"""Which deliveries may be taken in hand now, where a ledger wants an order, and how long a lease must be."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

Order = Literal["none", "customer", "connection"]
STEPS_ASIDE_AFTER = 3
MARGIN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """An open delivery in its place: by date, invoices before credit notes, by document. `due`: its time has come and nobody has it."""

    delivery_id: int
    account_name: str
    invoice_date: date
    due: bool
    tries: int


def next_in_order(waiting: Sequence[Waiting], order: Order, most: int) -> list[int]:
    """The deliveries to take, of those in their order. One that fails again and again steps aside: it does not hold up the others."""
    taken: list[int] = []
    held: set[str] = set()
    for each in waiting:
        if len(taken) >= most:
            break
        lane = each.account_name if order == "customer" else ""
        if each.tries >= STEPS_ASIDE_AFTER or order == "none":
            if each.due:
                taken.append(each.delivery_id)
            continue
        if lane in held:
            continue
        if each.due:
            taken.append(each.delivery_id)
        if order == "customer" or not each.due:
            held.add(
                lane
            )  # one of a customer at a time; of a whole connection as many as are due in a row
    return taken


@dataclass(frozen=True, slots=True)
class Lease:
    """`write_seconds`: how long after the claim a write may still begin. `whole_seconds`: when a successor may look."""

    write_seconds: float
    whole_seconds: float


def lease_for(request_seconds: float, server_seconds: float, hold_seconds: float) -> Lease:
    """A lease outlives everything that a write begun at its last moment can still do: our patience, then the server's."""
    return Lease(hold_seconds, hold_seconds + request_seconds + server_seconds + MARGIN_SECONDS)


def hold_seconds(
    per_minute: int | None, concurrency: int, request_seconds: float, calls: int = 4
) -> float:
    """How long after the claim a write may begin: as long as the budget makes those before it wait, one slow call, and some."""
    pause = 60.0 / per_minute if per_minute else 0.0
    return 15.0 + request_seconds + pause * concurrency * calls


def pause_seconds(per_minute: int) -> float:
    """Between two calls: 2 % slower than the budget, so that no minute holds a call too many whatever the network does to their times."""
    return 60.0 / (per_minute * 0.98)
