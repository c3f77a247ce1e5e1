"""Defects that are injected into production code, to prove that the checker catches them.

Nothing of this runs outside tests.

Each takes one guard away that the protocol, the locks or the rules of money rest upon, in this
process only.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.requirements import store as requirements
from services.fee_realizer.sources.rules import timesheets
from services.fee_realizer.sources.store import facts
from services.invoicer.batches.handlers import batches
from services.invoicer.debtors.rules.companies import BillingCompany
from services.invoicer.invoices.rules.numbers import Series
from services.invoicer.invoices.store import numbers
from services.invoicer.settlement import store as settlement
from services.invoicer.settlement.handlers import realizations as statements
from services.invoicer.settlement.rules import settlement as settling
from shared import database
from shared.consumer import tables
from shared.consumer.offsets import offsets_after
from shared.consumer.topic_consumer import TopicConsumer
from shared.money import rounded

Put = Callable[[Any, str, Any], None]
"""How an attribute is replaced: `setattr`, or a test's `monkeypatch.setattr`."""


def offset_before_commit(put: Put) -> None:
    """The offsets are committed first, the transaction comes after."""
    right = TopicConsumer.process

    async def process(self: TopicConsumer, raw: Sequence[Any]) -> None:
        await self._commit(offsets_after(raw))
        await right(self, raw)

    put(TopicConsumer, "process", process)


def no_outbox(put: Put) -> None:
    """What must be said is published after the commit, and stored nowhere."""

    async def update_outbox(
        connection: AsyncConnection, service: str, added: Any, deleted: Any = ()
    ) -> None:
        return None

    put(tables, "update_outbox", update_outbox)


def no_document_lock(put: Put) -> None:
    """Settlement reads the head of a document without locking it."""
    right = settlement.settled_documents_for

    async def settled_documents_for(
        connection: AsyncConnection, documents: Any, *, lock: bool = False
    ) -> Any:
        return await right(connection, documents)

    put(settlement, "settled_documents_for", settled_documents_for)


def no_company_lock(put: Put) -> None:
    """Settlement and batches take no lock of the billing company."""

    async def lock_companies(
        connection: AsyncConnection, companies: Any, *, exclusive: bool = False
    ) -> None:
        return None

    for module in (statements, batches):
        put(module, "lock_companies", lock_companies)


def no_lock_on_facts(put: Put) -> None:
    """Pricing reads facts, and requirements change, without locking their rows."""

    async def rows(connection: AsyncConnection, statement: str, /, **values: Any) -> list[Any]:
        return await database.rows(
            connection, statement.removesuffix(" FOR SHARE").removesuffix(" FOR UPDATE"), **values
        )

    for module in (facts, requirements):
        put(module, "rows", rows)


def float_money(put: Put) -> None:
    """Amounts are rounded as binary floats."""

    def as_float(value: Decimal, currency: str) -> Decimal:
        return Decimal(str(round(float(value), 2)))

    put(timesheets, "rounded", as_float)


def difference_times_price(put: Put) -> None:
    """The amount of a correction is its quantity × price, rounded anew."""
    right = settling._changed

    def changed(line: Any, value: settling.QuantityAmount, derivation: Any, **changes: Any) -> Any:
        amount = rounded(value.quantity * line.unit_price, line.currency)
        return right(line, settling.QuantityAmount(value.quantity, amount), derivation, **changes)

    put(settling, "_changed", changed)


def sequence_for_numbers(put: Put) -> None:
    """The next number comes from a sequence, which a rollback does not turn back.

    It begins behind the counter and is made by the test.
    """
    right = numbers.series_for

    async def series_for(connection: AsyncConnection, company: BillingCompany) -> Series:
        series = await right(connection, company)
        (row,) = await database.rows(connection, f"SELECT nextval('{SEQUENCE}') AS number")
        return Series(series.prefix, series.width, row.number, series.last_date)

    put(numbers, "series_for", series_for)


SEQUENCE = "invoicer.planted_number"
DEFECTS: dict[str, Callable[[Put], None]] = {
    "offset before commit": offset_before_commit,
    "no outbox": no_outbox,
    "no document lock": no_document_lock,
    "no company lock": no_company_lock,
    "no lock on facts": no_lock_on_facts,
    "float money": float_money,
    "round(difference × price)": difference_times_price,
    "a sequence for numbers": sequence_for_numbers,
}


def inject(name: str, put: Put = setattr) -> None:
    """Injects one defect into this process; without a name, none."""
    if name:
        DEFECTS[name](put)
