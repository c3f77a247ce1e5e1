"""The adapter: what arg_sync requires of an accounting system. Each system is one file here.

How to add a system
1. Write `ledgers/<kind>.py` (dashes as underscores) with a class that is a `LedgerAdapter`, and a
   `LEDGER: AdapterSpec` that describes and makes it.
2. Make all calls through `http_client.HttpClient`, which knows allowed hosts, deadlines, size
   limits, the rate budget and the five failure classes.
3. Run the shared suite of `tests/ledgers/suite.py` against a server that plays the vendor; add the
   name to `LedgerKind`.

What arg_sync guarantees to an adapter
- A request is rendered once (`render`), stored, and given to `create` with the same key every time,
  until an operator retries after a fix: that is a new rendering under a new key. A request that was
  never sent is rendered again if its customer must be looked up again.
- If an earlier call may have reached the server, `create` is called only after `find` did not find
  the document.
- Where there are two steps, the id that `create` returned is stored before `post` is called; a
  worker that lost its lease does not call `post`.
- One worker at a time works on a document; at most `Capabilities.concurrency` documents of a
  connection are worked on at once, over all workers; with `order="connection"` one at a time in the
  order of dates, with `order="customer"` one at a time for each customer.
- A credit note comes after the invoices that it corrects.
- No database transaction is open during a call.

What an adapter guarantees to arg_sync
- Every failure is a `Failure` of one of five classes. Any other exception counts as an unexpected
  error and fails this call only.
- A write that may have reached the server and whose response cannot be trusted (time-out, cut, 5xx,
  unreadable, 200 with nonsense) is `unknown`.
- A body is read whatever the status: an error in a 200 is an error.
- `find`, `status`, `customer_for`, `check` and `payments` change nothing. "Could not read" raises;
  it never means "not found".
- `render` is pure: no clock, no network, no random number.
- `post`, `allocate` and `discard` may be repeated after an unknown outcome: they look first, or the
  system makes a repeat harmless.
- No secret is in a message, a request, a log line or a `repr`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from services.arg_sync.ledgers.documents import ArDocument, Customer, PaymentPage, RemoteDocument
from services.arg_sync.ledgers.failures import Failure
from shared.terms import DocumentType

Order = Literal["none", "customer", "connection"]
LineCode = Literal["account", "item", "either"]
TaxBasis = Literal["any", "line", "document"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an accounting system can do, from which arg_sync derives what is safe. Times in seconds.

    request_key      a repeated create with the same key returns the first result: after an unknown
                     outcome there is no need to wait for the server
    unique_number    a second document with our number is refused
    steps            1: create posts; 2: create makes a draft, `post` posts it
    batch_max        the number of documents in one `create`
    per_minute/_day  calls of any kind, None for no limit; the settings of a connection may lower
                     them (`per_minute`, `per_day`, `concurrency`)
    concurrency      documents worked on at once
    request_seconds  how long we wait for one call, from its first byte to the last of the response
    server_seconds   how long after we gave up the server may still carry out a write; 0 only where
                     `request_key` covers it
    order            what must go one by one in the order of (date, kind, number): nothing, the
                     documents of a customer, or all
    allocates        `allocate` applies a credit note to its invoices
    discards         `discard` deletes a draft
    tax_basis        how the billing company must compute tax (per line or per document) so that the
                     system's own computation agrees; "any" where the system takes our amounts
    correction       what a person does in the system about a document whose amounts differ
    maps_codes       a document needs the ledger's codes; false where the other side has its own
                     mapping: then what is mapped goes along, and nothing is refused for lack of it
    keeps_customers  it has records of customers, which are looked up and created
    """

    request_key: bool
    unique_number: bool
    steps: Literal[1, 2]
    batch_max: int = 1
    per_minute: int | None = None
    per_day: int | None = None
    concurrency: int = 4
    request_seconds: float = 30.0
    server_seconds: float = 60.0
    order: Order = "none"
    allocates: bool = True
    discards: bool = False
    tax_basis: TaxBasis = "any"
    correction: str = "correct it in the ledger"
    maps_codes: bool = True
    keeps_customers: bool = True


@dataclass(frozen=True, slots=True)
class FrozenRequest:
    """A stored request and its key: a UUIDv5 of connection, document and revision."""

    key: str
    request: str
    kind: DocumentType
    number: str


@dataclass(frozen=True, slots=True, repr=False)
class Secrets:
    """The opened secrets of a connection. `version` counts renewals. Its `repr` shows no secret."""

    version: int
    values: Mapping[str, str]


class SecretStore(Protocol):
    """The sealed secrets of a connection, with a protocol for tokens that rotate.

    Read; if the token is old or was refused, call `may_renew(version)`. True: this process alone
    may renew (for some 60 s); get the new tokens and `save` them before their first use. False:
    another process renews; sleep a little and read again until the version is higher.
    """

    async def read(self) -> Secrets:
        """Return the newest secrets."""

    def login(self, version: int) -> AbstractAsyncContextManager[None]:
        """Send credentials inside of this block and nowhere else, and let its failures out of it.

        One login at a time for a connection, over all workers. A refused one (`auth`) is not
        repeated until an operator changes the connection; where logins are limited (429) the next
        one waits longer than the vendor counts. Raises those failures before anything is sent.
        """

    async def may_renew(self, version: int) -> bool:
        """Claim the renewal of the secrets of this version."""

    async def save(self, version: int, values: Mapping[str, str]) -> Secrets:
        """Replace the secrets of `version` by new ones."""


@dataclass(frozen=True, slots=True)
class BatchRequests:
    """The stored requests of a batch's documents for one connection, in the order of the numbers.

    `waiting` names the documents that have none yet and why, as in "INV-7 (refused: no_tax)".
    Documents that an operator marked as posted by hand are in neither.
    """

    requests: tuple[FrozenRequest, ...]
    waiting: tuple[str, ...]


RateLimiter = Callable[[], Awaitable[None]]
"""Awaited before each call: the rate budget of the connection, shared by all workers."""


@dataclass(frozen=True)
class AdapterContext:
    """What an adapter is made from: the name of the connection, its settings, and so on.

    `batch_requests` reads what is stored of a batch, for systems that take a batch as a whole.
    """

    ledger: str
    settings: Mapping[str, str]
    secret_store: SecretStore
    rate_limiter: RateLimiter
    capabilities: Capabilities
    batch_requests: Callable[[str], Awaitable[BatchRequests]] | None = None


class LedgerAdapter(Protocol):
    """One connection to one accounting system, open once a process and used by several tasks."""

    capabilities: Capabilities

    async def check(self) -> str:
        """Return what we are connected to (company, user, version).

        Raises a failure if the setup there does not work for us.
        """

    async def renew(self) -> None:
        """Log in again or renew the token, once after an `auth` failure. Raises `auth` again."""

    async def customer_for(self, customer: Customer) -> str | None:
        """Return the id of a customer, by `mapped` if given, else by Account Name.

        None if there is none of that name. Permanent failure if the mapped one does not exist, or
        if the customer is blocked, archived or ambiguous.
        """

    async def add_customer(self, customer: Customer) -> str:
        """Create a customer and return its id. After an unknown outcome `customer_for` is first."""

    def render(self, document: ArDocument, customer: str) -> str:
        """Return the request that creates this document for the customer of that id.

        Permanent failure if a code is missing or invalid.
        """

    async def create(self, requests: Sequence[FrozenRequest]) -> list[RemoteDocument | Failure]:
        """Create at most `batch_max` documents; return each as it is now, or why it failed.

        A raised failure counts for all of them.
        """

    async def post(self, remote_id: str, kind: DocumentType) -> RemoteDocument:
        """Post a draft; return a posted document as it is. Not called where there is one step."""

    async def allocate(self, credit: RemoteDocument, document: ArDocument) -> None:
        """Apply a posted credit note to the invoices in `document.corrects` with a `remote_id`.

        What is applied already stays as it is.
        """

    async def discard(self, remote_id: str, kind: DocumentType) -> None:
        """Delete a draft of ours. A deleted one is fine; a posted one is a permanent failure."""

    async def find(
        self, kind: DocumentType, numbers: Sequence[str]
    ) -> dict[str, list[RemoteDocument]]:
        """Return the documents that bear our numbers, drafts included, voided ones not.

        Every number is a key of the result.
        """

    async def status(
        self, kind: DocumentType, remote_ids: Sequence[str]
    ) -> dict[str, RemoteDocument | None]:
        """Return documents by id as they are now, voided ones as `voided`.

        None only if the system itself answers that there is no document of that id.
        """

    async def payments(self, cursor: str) -> PaymentPage:
        """Return payments booked since the cursor ("" the first time), oldest first.

        A payment may be given twice.
        """

    async def close(self) -> None:
        """Close the HTTP connections."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of a connection. `secret` ones are sealed before they leave the console.

    `binds`: it says to which address or account the secrets are sent. The sealed box is bound to
    it, and a change of it requires all secrets again. `from_file`: the settings file of the console
    may name a file, whose text is the value.
    """

    name: str
    words: str
    default: str | None = None
    secret: bool = False
    required: bool = False
    binds: bool = False
    from_file: bool = False


@dataclass(frozen=True)
class AdapterSpec:
    """An accounting system: its name, settings, capabilities, and how its adapter is made.

    `allowed_hosts`: suffixes that a base URL may have (`.api.xero.com`). Empty if customers run the
    system themselves; then https and a public address are required.
    `line_code`: what a line must be mapped to. `number_length`, `name_length`, `name_without`: the
    characters that it takes in our number and in a customer's name, 0 for no limit. What does not
    fit is refused: cut, two numbers or two customers would become one.
    """

    name: str
    title: str
    settings: tuple[Setting, ...]
    capabilities: Capabilities
    make: Callable[[AdapterContext], LedgerAdapter]
    allowed_hosts: tuple[str, ...] = ()
    needs: str = ""
    line_code: LineCode = "either"
    number_length: int = 0
    name_length: int = 0
    name_without: str = ""

    @property
    def bound(self) -> list[str]:
        """The names of the settings to which the secrets are bound."""
        return [each.name for each in self.settings if each.binds]
