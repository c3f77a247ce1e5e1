"""What the adapters share: reading responses, matching customers, looking up, creating documents.

An adapter gives the few methods that differ from system to system; `AdapterBase` has the rest.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import wraps
from typing import Any, TypeVar, cast

from services.arg_sync.ledgers.adapter import AdapterContext, AdapterSpec, FrozenRequest
from services.arg_sync.ledgers.documents import ArDocument, Customer, RemoteDocument
from services.arg_sync.ledgers.failures import Failure, unreadable
from services.arg_sync.ledgers.folding import (
    require_codes,
    require_name,
    require_number_length,
    with_lines_summed,
)
from services.arg_sync.ledgers.http_client import exact_json, noting_writes
from shared import telemetry
from shared.json_text import finite_decimal
from shared.terms import DocumentType

CHUNK = 40
"""The number of documents that one look-up asks for."""
RESPONSE_ERRORS = (LookupError, AttributeError, TypeError, ValueError, ArithmeticError)
"""What reading a response raises if a value is missing or of another kind."""
CALLS = {
    "check",
    "renew",
    "customer_for",
    "add_customer",
    "create",
    "post",
    "allocate",
    "discard",
    "find",
    "status",
    "payments",
}
"""The methods of `LedgerAdapter` that call the ledger."""
Row = Mapping[str, Any]
Method = TypeVar("Method", bound=Callable[..., Awaitable[Any]])
Result = TypeVar("Result")
DocumentsByNumber = dict[str, list[RemoteDocument]]


@dataclass(frozen=True, slots=True)
class RemoteCustomer:
    """A customer in the ledger. `label` names it in messages."""

    remote_id: str
    active: bool
    label: str


def reads_values(method: Method) -> Method:
    """Decorates a call of an adapter: an error on reading a response is an `unreadable` failure.

    After a write was sent the outcome is unknown, so that nothing is sent twice.
    """

    @wraps(method)
    async def wrapped(*args: Any, **named: Any) -> Any:
        with noting_writes() as written:
            try:
                return await method(*args, **named)
            except RESPONSE_ERRORS as error:
                telemetry.log().error("a ledger's response could not be read", exc_info=error)
                what = f"a response lacks required values ({type(error).__name__}: {error})"
                raise unreadable(what, writes=bool(written)) from error

    return cast(Method, wrapped)


class AdapterBase:
    """What all adapters do in the same way."""

    counts_inactive = False
    """Inactive customers make the choice among those of one name ambiguous, too."""
    numbers_at_once = CHUNK

    def __init_subclass__(cls, **named: Any) -> None:
        """Let every call that a subclass defines end in a value or a `Failure`."""
        super().__init_subclass__(**named)
        for name in CALLS & vars(cls).keys():
            setattr(cls, name, reads_values(vars(cls)[name]))

    def __init__(self, context: AdapterContext, spec: AdapterSpec) -> None:
        self.capabilities = context.capabilities
        self._ledger = context.ledger
        self._spec = spec
        self._most_lines = int(context.settings.get("most_lines") or 0)
        self._home = ""

    # -- what an adapter must have

    async def _customer_rows(self, customer: Customer) -> Sequence[Row]:
        """Return the customers of that mapped id or code, else of that Account Name."""
        raise NotImplementedError

    def _customer(self, row: Row) -> RemoteCustomer:
        """Return what a record says of a customer."""
        raise NotImplementedError

    async def _add_customer(self, customer: Customer) -> str:
        """Create a customer and return its id."""
        raise NotImplementedError

    def _body(self, document: ArDocument, customer: str) -> dict[str, Any]:
        """Return the request that creates a document whose codes are all there."""
        raise NotImplementedError

    async def _create(self, request: FrozenRequest) -> str:
        """Create one document and return its id."""
        raise NotImplementedError

    def _document(self, row: Row, kind: DocumentType) -> RemoteDocument:
        """Return what a record says of a document; the currency is "" where it says none."""
        raise NotImplementedError

    async def _by_number(self, kind: DocumentType, numbers: Sequence[str]) -> list[RemoteDocument]:
        """Return the documents that bear these numbers, at most `numbers_at_once`."""
        raise NotImplementedError

    async def _by_id(self, kind: DocumentType, remote_ids: Sequence[str]) -> list[RemoteDocument]:
        """Return the documents of these ids if one call can ask for several."""
        return []

    async def _row(self, kind: DocumentType, remote_id: str) -> Row | None:
        """Return the record of a document; None if the system itself answers that there is none."""
        raise NotImplementedError

    async def _read_home_currency(self) -> str:
        """Return the currency in which the company keeps its accounts."""
        raise NotImplementedError

    # -- what follows from it

    @reads_values
    async def customer_for(self, customer: Customer) -> str | None:
        """Look up by the mapped id or code, else by Account Name."""
        if not customer.mapped:
            require_name(customer.account_name, self._spec)
        rows = await self._customer_rows(customer)
        with required_values(f"a customer in {self._spec.title}"):
            found = [self._customer(row) for row in rows]
        return choose_customer(found, customer, count_inactive=self.counts_inactive)

    @reads_values
    async def add_customer(self, customer: Customer) -> str:
        """Create a customer; if its name is taken, look it up once more."""
        try:
            return await self._add_customer(customer)
        except Failure as failed:
            if failed.failure != "duplicate":
                raise
            refusal = failed.message
        there = await self.customer_for(customer)
        if there is None:
            raise Failure(
                "permanent",
                "customer_taken",
                f"{self._spec.title} refuses {customer.account_name} as taken ({refusal})"
                " and does not show it: map the customer",
            )
        return there

    def render(self, document: ArDocument, customer: str) -> str:
        """Render the request. Refuse what lacks a code or what the system would cut."""
        require_codes(document, self._spec.line_code)
        require_number_length(document, self._spec)
        return exact_json(self._body(with_lines_summed(document, self._most_lines), customer))

    @reads_values
    async def create(self, requests: Sequence[FrozenRequest]) -> list[RemoteDocument | Failure]:
        """Create one document and read it: what it says is what the system made of it."""
        (one,) = requests
        remote_id = await self._create(one)
        return [await read_back(f"{one.number} was created", self._one(one.kind, remote_id))]

    async def post(self, remote_id: str, kind: DocumentType) -> RemoteDocument:
        """Refuse: there are no drafts of ours."""
        raise self._no_drafts(remote_id)

    async def discard(self, remote_id: str, kind: DocumentType) -> None:
        """Refuse: there are no drafts of ours."""
        raise self._no_drafts(remote_id)

    def _no_drafts(self, remote_id: str) -> Failure:
        return Failure(
            "permanent",
            "no_drafts",
            f"{remote_id} is no draft: we create none in {self._spec.title}",
        )

    @reads_values
    async def find(self, kind: DocumentType, numbers: Sequence[str]) -> DocumentsByNumber:
        """Look up by our number, without voided documents."""
        parts = chunks(numbers, self.numbers_at_once)
        remote = [one for part in parts for one in await self._by_number(kind, part)]
        if nameless := [one.remote_id for one in remote if not one.number]:
            raise unreadable(
                f"{', '.join(nameless)}, looked up by our number, came back without a number",
                writes=False,
            )
        return {
            number: [one for one in remote if one.number == number and one.state != "voided"]
            for number in numbers
        }

    @reads_values
    async def status(
        self, kind: DocumentType, remote_ids: Sequence[str]
    ) -> dict[str, RemoteDocument | None]:
        """Look up by id, many in one call where the system can.

        One that is missing from the response is read alone: only that proves that it is gone.
        """
        parts = chunks(remote_ids)
        found = {one.remote_id: one for part in parts for one in await self._by_id(kind, part)}
        return {an_id: found.get(an_id) or await self._one(kind, an_id) for an_id in remote_ids}

    async def _one(self, kind: DocumentType, remote_id: str) -> RemoteDocument | None:
        row = await self._row(kind, remote_id)
        return None if row is None else (await self._documents([row], kind))[0]

    async def _documents(self, rows: Sequence[Row], kind: DocumentType) -> list[RemoteDocument]:
        """Read documents. One that names no currency is in the company's own."""
        with required_values(f"a document ({kind}) in {self._spec.title}"):
            found = [self._document(row, kind) for row in rows]
        return [
            one if one.currency else replace(one, currency=await self._home_currency())
            for one in found
        ]

    async def _home_currency(self) -> str:
        """Return the company's own currency, which systems leave out where there is no other."""
        if not self._home:
            with required_values(f"the company in {self._spec.title}"):
                self._home = await self._read_home_currency()
        if not self._home:
            raise unreadable(
                f"{self._spec.title} names neither a document's currency nor the company's",
                writes=False,
            )
        return self._home


@contextmanager
def required_values(what: str, *, writes: bool = False) -> Iterator[None]:
    """Turn an error on reading a response into an `unreadable` failure that names the value."""
    try:
        yield
    except RESPONSE_ERRORS as error:
        raise unreadable(
            f"{what} lacks required values ({type(error).__name__}: {error})", writes=writes
        ) from error


def value_in(row: Any, *names: str) -> Any:
    """Return the value to which the names lead. KeyError if it is left out or null."""
    for name in names:
        row = row[name]
        if row is None:
            raise KeyError(name)
    return row


def list_in(body: Any, name: str, *, writes: bool = False) -> list[dict[str, Any]]:
    """Return a list of a response; without it the response proves nothing."""
    value = body.get(name) if isinstance(body, dict) else None
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise unreadable(f"the response has no {name}", writes=writes)
    return value


def amount_in(value: Any) -> Decimal | None:
    """Return an amount of a response; None if it is left out."""
    return None if value in (None, "") else finite_decimal(value)


def day_in(text: str | None) -> date | None:
    """Return a date of a response; None if it is left out or the empty date of Business Central."""
    return date.fromisoformat(text[:10]) if text and not text.startswith("0001-") else None


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


async def changed_rows(
    cursor: str,
    read: Callable[[str, int], Awaitable[Sequence[Row]]],
    changed_at: Callable[[Row], str],
    *,
    page_size: int,
    most_pages: int,
) -> tuple[list[Row], str]:
    """Return records in the order of their last change, from the moment of the cursor on.

    The second value is the newest change, the next cursor. After a full page reading restarts from
    the last moment on it, not from the next page number: a record that changes meanwhile moves to
    the end, and those behind it move up into a page that was already read.
    """
    rows: list[Row] = []
    newest, since, page = cursor, cursor, 0
    for _ in range(most_pages):
        new = await read(since, page)
        rows += new
        newest = max([newest, *map(changed_at, new)])
        if len(new) < page_size:
            break
        page += 1
        if newest > since:
            rows = [row for row in rows if changed_at(row) != newest]
            since, page = newest, 0
    return rows, newest


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
            everywhere=failed.everywhere,
            raw=failed.raw,
        ) from None
    if remote is None:
        raise unreadable(f"{done}, and was not found", writes=True)
    return remote
