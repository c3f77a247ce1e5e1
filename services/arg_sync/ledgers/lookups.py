"""What the adapters share: matching customers, reading pages, and looking documents up."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from services.arg_sync.ledgers.documents import Customer, RemoteDocument
from services.arg_sync.ledgers.failures import Failure, unreadable

CHUNK = 40
"""The number of documents that one look-up asks for."""
Row = Mapping[str, Any]
Result = TypeVar("Result")
DocumentsByNumber = dict[str, list[RemoteDocument]]


@dataclass(frozen=True, slots=True)
class RemoteCustomer:
    """A customer in the ledger. `label` names it in messages."""

    remote_id: str
    active: bool
    label: str


def choose_customer(
    found: Sequence[RemoteCustomer], customer: Customer, *, count_inactive: bool = False
) -> str | None:
    """Return the id of the one active customer; None if there is none of that Account Name.

    Permanent failure if the customer is inactive or ambiguous, or if a mapped one does not exist.
    `count_inactive`: inactive ones make the choice ambiguous, too.
    """
    active = [one for one in found if one.active]
    candidates = found if count_inactive else active
    if len(candidates) > 1:
        labels = ", ".join(one.label for one in candidates[:5])
        raise Failure(
            "permanent",
            "several_customers",
            f"{len(candidates)} customers are named {customer.account_name} ({labels}):"
            " map one of them",
        )
    if active:
        return active[0].remote_id
    if found:
        raise Failure(
            "permanent",
            "inactive_customer",
            f"customer {found[0].label} ({customer.account_name}) is inactive, blocked or archived:"
            " activate it in the ledger, then retry",
        )
    if customer.mapped:
        raise Failure(
            "permanent",
            "no_such_customer",
            f"there is no customer {customer.mapped}, to which {customer.account_name} is mapped",
        )
    return None


def chunks(values: Sequence[str], size: int = CHUNK) -> Iterator[Sequence[str]]:
    """Split values into parts of the size of one look-up."""
    return (values[at : at + size] for at in range(0, len(values), size))


async def find_by_number(
    numbers: Sequence[str],
    read: Callable[[Sequence[str]], Awaitable[Sequence[RemoteDocument]]],
    chunk: int = CHUNK,
) -> DocumentsByNumber:
    """Return under each number the documents that bear it, voided ones not."""
    remote = [one for part in chunks(numbers, chunk) for one in await read(part)]
    return {
        number: [one for one in remote if one.number == number and one.state != "voided"]
        for number in numbers
    }


async def status_by_id(
    remote_ids: Sequence[str],
    read: Callable[[Sequence[str]], Awaitable[Sequence[RemoteDocument]]],
    read_one: Callable[[str], Awaitable[RemoteDocument | None]],
) -> dict[str, RemoteDocument | None]:
    """Return documents by id, many in one call.

    One that is missing from the response is read alone: only that answer proves that it is gone.
    """
    found = {one.remote_id: one for part in chunks(remote_ids) for one in await read(part)}
    return {an_id: found.get(an_id) or await read_one(an_id) for an_id in remote_ids}


@dataclass(frozen=True, slots=True)
class ChangePage:
    """A page of records. `newest`: the last change so far; `restarts`: it is read again."""

    rows: Sequence[Row]
    newest: str
    restarts: bool


async def change_pages(
    cursor: str,
    read: Callable[[str, int], Awaitable[Sequence[Row]]],
    changed_at: Callable[[Row], str],
    *,
    page_size: int,
    most_pages: int,
) -> AsyncIterator[ChangePage]:
    """Read records in the order of their last change, from the moment of the cursor on.

    After a full page reading restarts from the last moment on it, not from the next page number: a
    record that changes meanwhile moves to the end, and those behind it move up into a page that
    was already read.
    """
    newest, since, page = cursor, cursor, 0
    for _ in range(most_pages):
        rows = await read(since, page)
        newest = max([newest, *map(changed_at, rows)])
        full = len(rows) >= page_size
        restarts = full and newest > since
        yield ChangePage(rows, newest, restarts)
        if not full:
            return
        since, page = (newest, 0) if restarts else (since, page + 1)


async def if_there(call: Awaitable[Result]) -> Result | None:
    """Return the result of a call; None if the ledger itself answers that there is none."""
    try:
        return await call
    except Failure as failed:
        if failed.code == "http_404":
            return None
        raise


async def read_back(done: str, call: Awaitable[RemoteDocument | None]) -> RemoteDocument:
    """Read a document after a write; if that fails, the outcome of the write is unknown.

    `done` tells what was done before, as in "INV-1 was created".
    """
    try:
        remote = await call
    except Failure as failed:
        raise Failure(
            "unknown",
            failed.code,
            f"{done}, and could not be read: {failed.message}",
            retry_after=failed.retry_after,
        ) from None
    if remote is None:
        raise unreadable(f"{done}, and was not found", writes=True)
    return remote


def incomplete_response(what: str, error: Exception, *, writes: bool) -> Failure:
    """Return the failure of a response without required values. A write may have happened."""
    message = f"{what} lacks required values ({type(error).__name__}: {error})"
    return unreadable(message, writes=writes)


def no_drafts(remote_id: str, system: str) -> Failure:
    """Return the failure of posting or deleting a draft where we never create drafts."""
    return Failure("permanent", "no_drafts", f"{remote_id} is no draft: we create none in {system}")
