"""Deliveries made ready: their customers found or made, their requests rendered and frozen, before any of them is sent."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.arg_sync.handlers.ports import Plugged
from services.arg_sync.handlers.sending import Outcome, Prepared, bug, short_retries
from services.arg_sync.ledgers.http_client import writing
from services.arg_sync.ledgers.port import Failure
from services.arg_sync.rules.backoff import Chances
from services.arg_sync.rules.claiming import MARGIN_SECONDS
from services.arg_sync.rules.documents import ArDocument, Corrected, Customer
from services.arg_sync.rules.mapping import Codes, SoldLine, in_ledger_words
from services.arg_sync.rules.states import Next, Standing, after_failure, parked
from services.arg_sync.store import claims, customers, documents
from services.arg_sync.store.claims import Taken
from services.arg_sync.store.customers import Name
from shared.errors import Refused
from shared.terms import ClosedDocument

ANOTHER_ASKS_SECONDS = 1.0


@dataclass
class Ready:
    """What came of a claim: what can be sent, and what has its outcome already."""

    prepared: list[Prepared] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)


class Preparer:
    """Makes deliveries of one connection ready."""

    def __init__(
        self, plugged: Plugged, gate: asyncio.Semaphore, chances: Chances, engine: AsyncEngine
    ) -> None:
        self._plugged = plugged
        self._ledger = plugged.connection.ledger
        self._generation = plugged.connection.generation
        self._gate = gate
        self._chances = chances
        self._engine = engine

    async def prepare(self, taken: Sequence[Taken], write_before: float) -> Ready:
        """Two short transactions around the calls that find customers."""
        ready = Ready()
        taken, made, known = await self._read(taken, ready)
        wanted = {
            _name(each.customer): each.customer
            for each in (
                made[one.delivery_id]
                for one in taken
                if one.delivery_id in made and one.request is None
            )
        }
        ids = await self._customers(
            [each for name, each in wanted.items() if name not in known], write_before, known
        )
        fresh: list[tuple[Taken, str, str, str]] = []
        for each in taken:
            if each.delivery_id not in made:
                continue
            document = made[each.delivery_id]
            if each.request is not None and each.request_key is not None:
                ready.prepared.append(
                    Prepared(
                        each,
                        document,
                        each.request,
                        each.request_key,
                        each.customer or "",
                        write_before,
                    )
                )
                continue
            customer = ids[_name(document.customer)]
            if isinstance(customer, Failure):
                ready.outcomes.append(
                    Outcome(
                        each,
                        self._without_customer(each, customer),
                        failure=customer
                        if customer.everywhere or customer.failure == "auth"
                        else None,
                    )
                )
                continue
            try:
                request = self._plugged.port.render(document, customer)
            except Failure as failed:
                ready.outcomes.append(Outcome(each, parked(failed.code, failed.message)))
                continue
            except Exception as error:
                ready.outcomes.append(Outcome(each, bug(error, each.invoice_number)))
                continue
            key = request_key(self._ledger, document, each.revision)
            fresh.append((each, request, key, customer))
            ready.prepared.append(Prepared(each, document, request, key, customer, write_before))
        await self._freeze(fresh, ready)
        return ready

    async def _read(
        self, taken: Sequence[Taken], ready: Ready
    ) -> tuple[list[Taken], dict[int, ArDocument], Mapping[Name, str]]:
        """The documents in the ledger's words, and the customers that are known. What cannot be said there is parked."""
        made: dict[int, ArDocument] = {}
        async with self._engine.begin() as connection:
            heads = await documents.documents_for(connection, [each.invoice_id for each in taken])
            codes = await documents.codes_for(connection, self._ledger)
            known = await customers.known_customers(
                connection, self._ledger, self._generation, [each.account_name for each in taken]
            )
            taken = [_thawed(each, known) for each in taken]
            lines = await documents.lines_for(
                connection, [heads[each.invoice_id] for each in taken if each.request is None]
            )
            for each in taken:
                try:
                    made[each.delivery_id] = await self._document(
                        connection,
                        each,
                        heads[each.invoice_id],
                        lines.get(each.invoice_id, []),
                        codes,
                    )
                except Refused as refused:
                    ready.outcomes.append(
                        Outcome(each, parked(refused.code, refused.message, refused.fix))
                    )
        return list(taken), made, known

    async def _document(
        self,
        connection: AsyncConnection,
        each: Taken,
        head: ClosedDocument,
        lines: Sequence[SoldLine],
        codes: Codes,
    ) -> ArDocument:
        corrects = (
            await documents.corrected_by(connection, self._ledger, each.invoice_id)
            if head.document_type == "credit-note"
            else []
        )
        if (
            each.request is not None
        ):  # frozen: only the head is needed, for looking and for applying
            return bare(head, corrects)
        return in_ledger_words(head, lines, codes, corrects)

    async def _customers(
        self, unknown: Sequence[Customer], write_before: float, known: Mapping[Name, str]
    ) -> dict[Name, str | Failure]:
        found = await asyncio.gather(*(self._customer(each, write_before) for each in unknown))
        return {**known, **{_name(each): one for each, one in zip(unknown, found, strict=True)}}

    async def _customer(self, customer: Customer, write_before: float) -> str | Failure:
        """Finds a customer or makes it; one worker at a time, and after a lost call only when it can no longer take effect."""
        can = self._plugged.capabilities
        seconds = can.request_seconds * 3 + can.server_seconds + MARGIN_SECONDS
        name = _name(customer)
        async with self._engine.begin() as connection:
            mine = await customers.claim_customer(
                connection, self._ledger, self._generation, name, seconds
            )
        if not mine:
            return Failure("transient", "another_asks", "another worker looks for this customer")
        try:
            with writing(write_before):
                remote_id = await short_retries(
                    lambda: self._asked(lambda: self._plugged.port.customer_for(customer))
                )
                remote_id = remote_id or await self._asked(
                    lambda: self._plugged.port.add_customer(customer)
                )
        except Failure as failed:
            if failed.failure not in ("unknown", "duplicate"):
                await self._keep(name, None)
            return failed
        await self._keep(name, remote_id)
        return remote_id

    async def _keep(self, name: Name, remote_id: str | None) -> None:
        async with self._engine.begin() as connection:
            await customers.keep_customer(
                connection, self._ledger, self._generation, name, remote_id
            )

    async def _asked(self, call: Callable[[], Awaitable[str | None]]) -> str:
        return await self._plugged.asked(call, self._gate) or ""

    def _without_customer(self, each: Taken, failed: Failure) -> Next:
        """The document was not sent: its own state is not in doubt, even if that of its customer is."""
        if failed.code == "another_asks":
            return Next(
                "unknown" if each.doubt else "queued", ANOTHER_ASKS_SECONDS, each.doubt, each.tries
            )
        can = self._plugged.capabilities
        standing = Standing(
            each.tries,
            each.doubt,
            each.troubled_seconds,
            safe_repeat=False,
            settle_seconds=can.server_seconds + MARGIN_SECONDS,
        )
        after = after_failure(failed, standing, self._chances)
        return Next(
            "refused" if after.state == "refused" else "unknown" if each.doubt else "queued",
            after.wait_seconds,
            each.doubt or after.state == "refused",
            after.tries,
            after.code,
            after.message,
            after.fix,
        )

    async def _freeze(self, fresh: Sequence[tuple[Taken, str, str, str]], ready: Ready) -> None:
        """Requests and keys are stored; who lost the lease meanwhile sends nothing."""
        if not fresh:
            return
        async with self._engine.begin() as connection:
            kept = await claims.freeze(connection, fresh)
        lost = {each.delivery_id for each, *_ in fresh} - kept
        ready.prepared = [one for one in ready.prepared if one.taken.delivery_id not in lost]


def _thawed(each: Taken, known: Mapping[Name, str]) -> Taken:
    """One that was never sent and whose customer is not known by that id any more, because the connection or the mapping was changed: its
    request is made anew. The id may be another's in the place where it goes now."""
    if (
        each.request is None
        or each.doubt
        or known.get((each.account_name, each.currency)) == each.customer
    ):
        return each
    return replace(each, request=None, request_key=None, customer=None)


def _name(customer: Customer) -> Name:
    return customer.account_name, customer.currency


def request_key(ledger: str, document: ArDocument, revision: int) -> str:
    """36 characters, the same whoever computes it: connection, billing company, number and revision."""
    return str(
        uuid.uuid5(
            uuid.NAMESPACE_OID,
            "\x1f".join(
                (ledger, document.billing_company, document.kind, document.number, str(revision))
            ),
        )
    )


def bare(head: ClosedDocument, corrects: Sequence[Corrected]) -> ArDocument:
    """A document without lines: number, sums and what it corrects."""
    sign = -1 if head.document_type == "credit-note" else 1
    return ArDocument(
        invoice_id=head.invoice_id,
        number=head.invoice_number,
        kind=head.document_type,
        billing_company=head.billing_company,
        customer=Customer(
            head.account_name,
            head.buyer.name,
            head.buyer.address,
            head.buyer.tax_id,
            currency=head.currency,
        ),
        invoice_date=head.invoice_date,
        due_date=head.due_date,
        currency=head.currency,
        po_number=head.po_number,
        terms="",
        net=sign * head.net,
        tax=sign * head.tax,
        total=sign * head.total,
        lines=(),
        corrects=tuple(corrects),
    )
