"""The port: what the engine asks of an accounting system, and nothing else. One file beside this one is one system.

How to add a system
1. Write `ledgers/<kind>.py` (dashes as underscores) with a class that is a `Port`, and a `LEDGER: Kind` that describes and makes it.
2. All its calls go through `ledgers.wire.Wire`, which knows allowed hosts, deadlines, caps, the rate budget and the five failure classes.
3. Run the shared suite of `tests/ledgers/suite.py` against a server that plays the vendor; add the word to `LedgerKind`.

What the engine promises to a port
- The request is rendered once (`render`), stored, and the same text with the same key is given to `create` every time, until an operator
  retries after a fix: that is a new rendering under a new key. What was never sent is rendered anew if its customer is to be found again.
- `create` is called only after a look-up (`find`) told that the document is not there, if an earlier call may have reached the server.
- Where there are two steps, the id that `create` gave is stored before `post` is called; a worker that was overtaken does not call `post`.
- One document is in the hands of one worker; at most `Capabilities.concurrency` documents of a connection at once, over all workers;
  with `order="connection"` one at a time in the order of dates, with `order="customer"` one at a time for each customer.
- A credit note comes after the invoices that it corrects.
- No database transaction is open while a port works.

What a port promises to the engine
- Every failure is a `Failure` of one of five classes; anything else that is raised counts as a bug: what was asked for fails, alone.
- A write that may have reached the server and whose answer cannot be trusted (time-out, cut, 5xx, unreadable, 200 with nonsense) is `unknown`.
- A body is read whatever the status: an error in a 200 is an error.
- `find`, `status`, `customer_for`, `check`, `payments` change nothing there. "Could not read" raises; it is never "not there".
- `render` is pure: no clock, no network, no random number.
- `post`, `allocate` and `discard` may be called again after an unknown outcome: they look first, or the system makes a repeat harmless.
- No secret is in a message, a request, a log line or a `repr`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from services.arg_sync.rules.documents import ArDocument, Customer, Found, Payments
from services.arg_sync.rules.failures import Failure, FailureClass
from shared.terms import DocumentType

__all__ = [
    "ArDocument",
    "Capabilities",
    "Customer",
    "Failure",
    "FailureClass",
    "Found",
    "Host",
    "Keyed",
    "Kind",
    "Payments",
    "Port",
    "Secrets",
    "Setting",
    "Turn",
    "Vault",
]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an accounting system can do, from which the engine derives what is safe. Times in seconds.

    request_key      a repeated create with the same key gives the first answer: after an unknown outcome the engine need not wait for the server
    unique_number    a second document with our number is refused
    steps            1: create posts; 2: create makes a draft, `post` posts it
    batch_max        so many documents in one `create`
    per_minute/_day  calls of any kind, None for no limit; a connection's settings may lower them (`per_minute`, `per_day`, `concurrency`)
    concurrency      documents in hand at once
    request_seconds  our patience with one call, from its first byte to the last of the answer
    server_seconds   how long after we gave up the server may still carry out a write; 0 only where `request_key` covers it
    order            what must go one by one in the order of (date, kind, number): nothing, the documents of a customer, or all
    allocates        `allocate` applies a credit note to its invoices
    discards         `discard` deletes a draft
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
    order: Literal["none", "customer", "connection"] = "none"
    allocates: bool = True
    discards: bool = False


@dataclass(frozen=True, slots=True)
class Keyed:
    """A frozen request and its key: a UUIDv5 of connection, document and revision, 36 characters."""

    key: str
    request: str
    kind: DocumentType
    number: str


@dataclass(frozen=True, slots=True, repr=False)
class Secrets:
    """The opened secrets of a connection; `version` counts the renewals. Shows nothing of itself."""

    version: int
    values: Mapping[str, str]


class Vault(Protocol):
    """Where a connection's secrets lie, sealed. For tokens that rotate:

    read, and if the token is old or was refused: `may_renew(version)`. True: this process alone may renew (for some 60 s); ask for the new
    tokens and `save` them before their first use. False: another renews: sleep a little and read again until the version is higher.
    """

    async def read(self) -> Secrets:
        """The newest secrets."""
        ...

    async def may_renew(self, version: int) -> bool:
        """Whether the caller alone may renew the secrets of this version now."""
        ...

    async def save(self, version: int, values: Mapping[str, str]) -> Secrets:
        """Replaces the secrets of `version` by new ones."""
        ...


Turn = Callable[[], Awaitable[None]]
"""Awaited by the wire before each call: the rate budget of the connection, shared by all workers."""


@dataclass(frozen=True)
class Host:
    """What the engine gives to a port that it makes: the connection's name and settings, its vault, its turn, its (lowered) capabilities."""

    ledger: str
    settings: Mapping[str, str]
    vault: Vault
    turn: Turn
    capabilities: Capabilities


class Port(Protocol):
    """One connection to one accounting system. Made once a process and connection, used by several tasks at once."""

    capabilities: Capabilities

    async def check(self) -> str:
        """Says in a message whom we talk to (company, user, version) and whether what is set up there will do; raises what is wrong."""
        ...

    async def renew(self) -> None:
        """Logs in again, or renews the token: called once after a failure of class `auth`. Raises `auth` if that does not help."""
        ...

    async def customer_for(self, customer: Customer) -> str | None:
        """The id of a customer: by `mapped` if it is given (permanent failure if that one is not there), else by Account Name; None if unknown.

        Blocked, archived or several: a permanent failure with the message.
        """
        ...

    async def add_customer(self, customer: Customer) -> str:
        """Makes a customer of that Account Name; its id. After an unknown outcome the engine asks `customer_for` first."""
        ...

    def render(self, document: ArDocument, customer: str) -> str:
        """The request that makes this document for the customer of that id, as text. Permanent failure if a code is missing or no good."""
        ...

    async def create(self, requests: Sequence[Keyed]) -> list[Found | Failure]:
        """Makes documents (at most `batch_max`); for each what stands there now, or why not. One raised failure counts for all of them."""
        ...

    async def post(self, remote_id: str, kind: DocumentType) -> Found:
        """Posts a draft. One that is posted already is given as it stands. Never called where there is one step."""
        ...

    async def allocate(self, credit: Found, document: ArDocument) -> None:
        """Applies a posted credit note to the invoices in `document.corrects` that have a `remote_id`; what is applied already is left alone."""
        ...

    async def discard(self, remote_id: str, kind: DocumentType) -> None:
        """Deletes a draft that we made and that is not wanted; one that is gone is fine, one that is posted is a permanent failure."""
        ...

    async def find(self, kind: DocumentType, numbers: Sequence[str]) -> dict[str, list[Found]]:
        """By our number all documents of that kind that bear it, drafts too, voided and deleted ones not; every number asked is a key."""
        ...

    async def status(
        self, kind: DocumentType, remote_ids: Sequence[str]
    ) -> dict[str, Found | None]:
        """By id how documents stand now, voided ones as `voided`; None only if the system itself says that there is none of that id."""
        ...

    async def payments(self, cursor: str) -> Payments:
        """Payments booked since the cursor of last time ("" the first time), oldest first; a payment may be given twice."""
        ...

    async def close(self) -> None:
        """Ends its HTTP connections."""
        ...


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of a connection, explained. `required` ones have no default; `secret` ones are sealed before they travel."""

    name: str
    words: str
    default: str | None = None
    secret: bool = False
    required: bool = False


@dataclass(frozen=True)
class Kind:
    """An accounting system: its name, settings, what it can do, how a port is made. `allowed_hosts`: suffixes that a base URL may have
    (`.api.xero.com`), empty if customers run it themselves; then https is needed, and a private address only with `allow_private`."""

    name: str
    title: str
    settings: tuple[Setting, ...]
    capabilities: Capabilities
    make: Callable[[Host], Port]
    allowed_hosts: tuple[str, ...] = field(default=())
    needs: str = ""
