"""Claimed deliveries made ready: customers found or created, requests rendered and frozen.

Nothing of a request is sent before it is stored.
"""

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.connections.rules import Codes
from services.arg_sync.connections.store import customers, mappings
from services.arg_sync.connections.store.customers import CustomerKey
from services.arg_sync.deliveries.handlers.sending import (
    ConnectionStep,
    Outcome,
    PreparedDelivery,
    unexpected_error,
)
from services.arg_sync.deliveries.rules.claiming import MARGIN_SECONDS
from services.arg_sync.deliveries.rules.mapping import to_ar_document, without_lines
from services.arg_sync.deliveries.rules.transitions import (
    State,
    Transition,
    refused,
)
from services.arg_sync.deliveries.store import claims, documents
from services.arg_sync.deliveries.store.claims import ClaimedDelivery
from services.arg_sync.ledgers.documents import ArDocument, Customer
from services.arg_sync.ledgers.failures import Failure
from services.arg_sync.ledgers.http_client import writing
from shared.errors import Refused
from shared.terms import ClosedDocument, ClosedLine

CUSTOMER_CLAIMED = "customer_claimed"
CUSTOMER_CLAIMED_SECONDS, CUSTOMER_CLAIMED_MOST = 1.0, 30.0
CUSTOMER_CALLS = 3


class Preparer(ConnectionStep):
    """Prepares deliveries of one connection."""

    async def prepare(
        self, claimed: Sequence[ClaimedDelivery], write_before: float
    ) -> tuple[list[PreparedDelivery], list[Outcome]]:
        """Return deliveries that can be sent, and the outcomes of those that cannot.

        There are two short transactions, with the customer calls in between.
        """
        mapped, known, outcomes = await self._documents(claimed)
        wanted = {
            _key(document.customer): document.customer
            for each, document in mapped
            if each.request is None
        }
        unknown = [customer for key, customer in wanted.items() if key not in known]
        found = await asyncio.gather(*(self._customer(each, write_before) for each in unknown))
        ids = {**known, **dict(zip(map(_key, unknown), found, strict=True))}
        prepared: list[PreparedDelivery] = []
        rendered: list[ClaimedDelivery] = []
        for each, document in mapped:
            if each.request is None:
                result = self._render(each, document, ids[_key(document.customer)])
                if isinstance(result, Outcome):
                    outcomes.append(result)
                    continue
                rendered.append(each := result)
            prepared.append(PreparedDelivery(each, document, write_before))
        lost = await self._freeze(rendered)
        return [one for one in prepared if one.claimed.delivery_id not in lost], outcomes

    async def _documents(
        self, claimed: Sequence[ClaimedDelivery]
    ) -> tuple[list[tuple[ClaimedDelivery, ArDocument]], Mapping[CustomerKey, str], list[Outcome]]:
        """Return the documents in the ledger's codes, and the ids of known customers.

        A document with a code that is not mapped is refused.
        """
        mapped: list[tuple[ClaimedDelivery, ArDocument]] = []
        outcomes: list[Outcome] = []
        async with self._engine.begin() as connection:
            heads = await documents.documents_for(connection, [one.invoice_id for one in claimed])
            codes = await mappings.codes_for(connection, self._connection.name)
            names = [each.account_name for each in claimed]
            known = await customers.known_customers(
                connection, self._connection.name, self._connection.generation, names
            )
            claimed = [_without_outdated_request(each, known) for each in claimed]
            lines = await documents.lines_for(
                connection, [heads[each.invoice_id] for each in claimed if each.request is None]
            )
            for each in claimed:
                head, of_document = heads[each.invoice_id], lines.get(each.invoice_id, [])
                try:
                    document = await self._map(connection, each, head, of_document, codes)
                    mapped.append((each, document))
                except Refused as refusal:
                    transition = refused(refusal.code, refusal.message, refusal.fix)
                    outcomes.append(Outcome(each, transition))
        return mapped, known, outcomes

    async def _map(
        self,
        connection: AsyncConnection,
        each: ClaimedDelivery,
        head: ClosedDocument,
        lines: Sequence[ClosedLine],
        codes: Codes,
    ) -> ArDocument:
        credited = (
            await documents.credited_by(connection, self._connection.name, each.invoice_id)
            if head.document_type == "credit-note"
            else []
        )
        if each.request is not None:
            return without_lines(head, credited, codes)
        return to_ar_document(head, lines, codes, credited, maps_codes=self._can.maps_codes)

    async def _customer(self, customer: Customer, write_before: float) -> str | Failure:
        """Find or create a customer.

        One worker at a time does so; after a lost call the next one waits until that call can no
        longer take effect.
        """
        can, key = self._can, _key(customer)
        seconds = can.request_seconds * CUSTOMER_CALLS + can.server_seconds + MARGIN_SECONDS
        async with self._engine.begin() as connection:
            left = await customers.claim_customer(
                connection, self._connection.name, self._connection.generation, key, seconds
            )
        if left is not None:
            # The longer the other worker takes, the more likely it was killed.
            wait = min(max(seconds - left, CUSTOMER_CLAIMED_SECONDS), CUSTOMER_CLAIMED_MOST, left)
            name = customer.account_name
            message = f"another worker finds or creates the customer {name}; this one waits for it"
            return Failure("transient", CUSTOMER_CLAIMED, message, retry_after=wait)
        try:
            with writing(write_before):
                remote_id = await self._read(lambda: self._adapter.customer_for(customer))
                if not remote_id:
                    remote_id = await self._call(lambda: self._adapter.add_customer(customer))
        except Failure as failed:
            if failed.failure not in ("unknown", "duplicate"):
                await self._release_customer(key, None)
            return failed
        await self._release_customer(key, remote_id)
        return remote_id

    async def _release_customer(self, key: CustomerKey, remote_id: str | None) -> None:
        async with self._engine.begin() as connection:
            await customers.release_customer(
                connection, self._connection.name, self._connection.generation, key, remote_id
            )

    def _render(
        self, each: ClaimedDelivery, document: ArDocument, customer: str | Failure
    ) -> ClaimedDelivery | Outcome:
        if isinstance(customer, Failure):
            everywhere = customer.everywhere or customer.failure == "auth"
            transition = self._without_customer(each, customer)
            return Outcome(each, transition, failure=customer if everywhere else None)
        try:
            request = self._adapter.render(document, customer)
        except Failure as failed:
            return Outcome(each, refused(failed.code, failed.message))
        except Exception as error:
            return Outcome(each, unexpected_error(error, each.invoice_number))
        key = request_key(self._connection.name, document, each.revision)
        return replace(each, request=request, request_key=key, customer=customer)

    def _without_customer(self, each: ClaimedDelivery, failed: Failure) -> Transition:
        """Return the transition of a delivery whose customer is not available.

        The document itself was not sent: an unknown outcome of its customer is not its own.
        """
        if failed.code == CUSTOMER_CLAIMED:
            wait = failed.retry_after or 0.0
            after = Transition(
                "queued", wait, tries=each.tries, code=failed.code, message=failed.message
            )
        else:
            after = self._after_failure(
                each, failed, outcome_unknown=each.outcome_unknown, safe_repeat=False
            )
        if after.state == "refused":
            return after
        state: State = "unknown" if each.outcome_unknown else "queued"
        return replace(after, state=state, outcome_unknown=each.outcome_unknown)

    async def _freeze(self, rendered: Sequence[ClaimedDelivery]) -> set[int]:
        """Store new requests; return the deliveries with a lost lease, which are not sent."""
        if not rendered:
            return set()
        async with self._engine.begin() as connection:
            kept = await claims.freeze(connection, rendered)
        return {each.delivery_id for each in rendered} - kept


def _without_outdated_request(
    each: ClaimedDelivery, known: Mapping[CustomerKey, str]
) -> ClaimedDelivery:
    """Drop a request that was never sent and whose customer id is no longer the known one.

    The connection or the mapping was changed since: in the new place the id may be another
    customer's.
    """
    if (
        each.request is None
        or each.outcome_unknown
        or known.get((each.account_name, each.currency)) == each.customer
    ):
        return each
    return replace(each, request=None, request_key=None, customer=None)


def _key(customer: Customer) -> CustomerKey:
    return customer.account_name, customer.currency


def request_key(ledger: str, document: ArDocument, revision: int) -> str:
    """Return 36 characters that depend only on connection, document and revision."""
    parts = (ledger, document.billing_company, document.kind, document.number, str(revision))
    return str(uuid.uuid5(uuid.NAMESPACE_OID, "\x1f".join(parts)))
