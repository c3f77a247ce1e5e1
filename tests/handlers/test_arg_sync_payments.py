"""Payments read from a fake ledger: each entry is stored, published and recorded by the invoicer
once.
"""

import asyncio
import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from services.console.queries import deliveries as shown
from services.console.queries.ageing import ageing
from services.console.queries.invoices import invoice, invoice_payments, invoice_search
from services.console.queries.snapshot import open_snapshot
from services.invoicer.payments.handlers.read_back import SUBSCRIPTION
from shared.consumer.records import Record
from tests.builders import COMPANY
from tests.conftest import UnitOfWorkFor, as_console, process
from tests.ledgers.delivering import Closed, Delivering
from tests.ledgers.fake import FakeServer, Reply
from tests.ledgers.reads import book, read_payments, readers
from tests.ledgers.sample_ledger import sample_kind


@pytest.fixture
async def paid(delivering: Delivering, sample: FakeServer) -> Closed:
    """An invoice that was delivered."""
    await delivering.connect(sample_kind(sample.vendor), sample.url)  # type: ignore[arg-type]
    closed = await delivering.close("INV-1")
    await delivering.queue()
    await delivering.deliver()
    return closed


async def consume(
    delivering: Delivering, unit_of_work_for: UnitOfWorkFor, said: list[Any] | None = None
) -> list[str]:
    """The invoicer consumes every published payment; the codes of its dead letters."""
    messages = delivering.said("payment-recorded") if said is None else said
    unit_of_work = unit_of_work_for("invoicer")
    records = [
        Record("payment-recorded", 0, at, one.key.encode(), one.value)
        for at, one in enumerate(messages)
    ]
    await process(unit_of_work, SUBSCRIPTION, records)
    return [
        row.code
        for row in await delivering.rows(
            "SELECT code FROM invoicer.dead_letter ORDER BY dead_letter_id"
        )
    ]


async def standing(delivering: Delivering, number: str) -> tuple[str, Decimal, Decimal]:
    """State, paid and balance as `invoices show` has them."""
    async with as_console(delivering.engine_of("console")) as connection:
        found = await invoice(connection, number)
    return found["state"], found["paid"], found["balance"]


async def test_a_payment_is_read_published_and_written_once(
    delivering: Delivering, sample: FakeServer, unit_of_work_for: UnitOfWorkFor, paid: Closed
) -> None:
    """Part paid, then paid; polls that find nothing new and events consumed twice change
    nothing.
    """
    book(sample, "P-1", paid, "1000.00")
    for _ in range(2):
        await read_payments(delivering)
    assert await consume(delivering, unit_of_work_for) == []
    assert await standing(delivering, "INV-1") == (
        "part paid",
        Decimal("1000.00"),
        paid.total - 1000,
    )
    book(sample, "P-2", paid, paid.total - 1000)
    await read_payments(delivering)
    assert len(delivering.said("payment-recorded")) == 2
    for _ in range(2):
        assert await consume(delivering, unit_of_work_for) == []
    assert await standing(delivering, "INV-1") == ("paid", paid.total, Decimal("0.00"))
    async with as_console(delivering.engine_of("console")) as connection:
        assert len(await invoice_payments(connection, paid.invoice_id)) == 2
        rows, total = await invoice_search(connection, billing_company=COMPANY, state="paid")
        assert total == 1 and rows[0]["balance"] == 0
        assert (await ageing(connection, COMPANY, date(2026, 12, 31)))["totals"] == []
        (before,) = (await ageing(connection, COMPANY, date(2026, 4, 1)))["totals"]
        assert before["total"] == paid.total, "a payment counts from its own day on"


async def test_a_reversal_is_negative_and_a_change_is_the_difference(
    delivering: Delivering, sample: FakeServer, unit_of_work_for: UnitOfWorkFor, paid: Closed
) -> None:
    """The ledger takes a payment back, or makes another amount of it: the sum of its entries is
    what the ledger says now.
    """
    book(sample, "P-1", paid, "100.00")
    await read_payments(delivering)
    book(sample, "P-1", paid, "80.00")
    await read_payments(delivering)
    book(sample, "P-1", paid, "80.00", cancelled=True)
    book(sample, "P-1", paid, "80.00", cancelled=True)
    await read_payments(delivering)
    rows = await delivering.rows("SELECT amount FROM arg_sync.payment ORDER BY entry_no")
    assert [str(row.amount) for row in rows] == ["100.0000", "-20.0000", "-80.0000"]
    said = delivering.said("payment-recorded")
    assert (
        await consume(delivering, unit_of_work_for, said[::-1]) == []
    )  # in whatever order they come
    assert await standing(delivering, "INV-1") == ("open", Decimal("0.00"), paid.total)
    assert b'"cancelled":true' in said[-1].value and b'"cancelled":false' in said[0].value


async def test_a_payment_of_a_foreign_document_is_ignored(
    delivering: Delivering, sample: FakeServer, unit_of_work_for: UnitOfWorkFor, paid: Closed
) -> None:
    """Of documents that we did not deliver nothing is said; when one turns out to be ours, it
    is.
    """
    sample.vendor.payments.append(
        {
            "id": "P-9",
            "document": "R900",
            "number": "",
            "amount": "5.00",
            "currency": "USD",
            "on": "2026-04-20",
        }
    )  # type: ignore[attr-defined]
    await read_payments(delivering)
    assert delivering.said("payment-recorded") == []
    await delivering.rows("UPDATE arg_sync.delivery SET remote_id = 'R900'")
    await read_payments(delivering)
    assert await consume(delivering, unit_of_work_for) == []
    assert (await standing(delivering, "INV-1"))[1] == 5


async def test_what_cannot_be_read_changes_nothing_and_is_read_later(
    delivering: Delivering, sample: FakeServer, paid: Closed
) -> None:
    """The server is away: the cursor stays, nothing is taken back, and the next poll reads on."""
    book(sample, "P-1", paid, "100.00")
    await sample.stop()
    await read_payments(delivering)
    (row,) = await delivering.rows("SELECT cursor, failures, message FROM arg_sync.payment_cursor")
    assert (row.cursor, row.failures) == ("", 1) and row.message
    await sample.start()
    await read_payments(delivering)
    assert len(delivering.said("payment-recorded")) == 1


async def test_two_workers_read_a_payment_once(
    delivering: Delivering, sample: FakeServer, paid: Closed
) -> None:
    """One polls at a time; who was overtaken keeps nothing."""
    sample.delay = 0.2
    book(sample, "P-1", paid, "100.00")
    async with readers(delivering, "w1") as one, readers(delivering, "w2") as two:
        await asyncio.gather(one.run_until_idle(), two.run_until_idle())
    assert len(await delivering.rows("SELECT 1 FROM arg_sync.payment")) == 1
    assert len(delivering.said("payment-recorded")) == 1


async def test_a_dead_key_stops_the_connection(
    delivering: Delivering, sample: FakeServer, paid: Closed
) -> None:
    """A poll finds it first: the connection is stopped with a message, as a delivery would."""
    sample.vendor.token = "changed"  # type: ignore[attr-defined]
    await read_payments(delivering)
    (row,) = await delivering.rows("SELECT state, message FROM arg_sync.connection")
    assert row.state == "login refused" and "sample-secret" not in row.message


async def test_entries_that_cannot_be_are_set_aside(
    delivering: Delivering, sample: FakeServer, unit_of_work_for: UnitOfWorkFor, paid: Closed
) -> None:
    """Another currency than the invoice's, an unknown invoice, the same entry with another
    amount: a person looks.
    """
    book(sample, "P-1", paid, "100.00", currency="EUR")
    await read_payments(delivering)
    (said,) = delivering.said("payment-recorded")
    assert await consume(delivering, unit_of_work_for) == ["other_currency"]
    for changes in (
        (b'"currency":"EUR"', b'"currency":"USD"'),
        (b'"amount":"100', b'"amount":"101'),
        (b'"invoice_id":', b'"invoice_id":99'),
    ):
        said = type(said)(said.topic, said.key, said.value.replace(*changes), said.event_id)
        await consume(delivering, unit_of_work_for, [said])
    rows = await delivering.rows("SELECT code FROM invoicer.dead_letter ORDER BY dead_letter_id")
    assert [row.code for row in rows] == ["other_currency", "conflict", "unknown_invoice"]
    assert (await standing(delivering, "INV-1"))[1] == 100


async def test_what_is_more_than_was_open_ages_by_its_own_date(
    delivering: Delivering, sample: FakeServer, unit_of_work_for: UnitOfWorkFor, paid: Closed
) -> None:
    """An invoice is paid, then credited: the credit belongs to nothing any more
    and ages by its own date.
    """
    book(sample, "P-1", paid, paid.total, on="2026-03-10")
    await read_payments(delivering)
    await consume(delivering, unit_of_work_for)
    await delivering.close("CN-2", credits=paid, day=30)
    async with as_console(delivering.engine_of("console")) as connection:
        (debtor,) = (await ageing(connection, COMPANY, date(2026, 4, 10)))["debtors"]
    assert (debtor["1-30"], debtor["total"]) == (-paid.total, -paid.total)
    assert await standing(delivering, "INV-1") == ("overpaid", paid.total, -paid.total)


async def test_a_payment_of_an_odd_day_is_recorded(
    delivering: Delivering, sample: FakeServer, unit_of_work_for: UnitOfWorkFor, paid: Closed
) -> None:
    """A clerk typed the year 1026: the ledger has that day, and nothing stops because of it."""
    book(sample, "P-1", paid, "100.00", on="1026-04-20")
    await read_payments(delivering)
    (said,) = delivering.said("payment-recorded")
    assert json.loads(said.value)["paid_on"] == "1026-04-20"
    assert await consume(delivering, unit_of_work_for) == []
    assert (await standing(delivering, "INV-1"))[0] == "part paid"


async def test_an_unforeseen_payment_stops_no_worker(
    delivering: Delivering, sample: FakeServer, paid: Closed
) -> None:
    """An entry without what belongs into it: the poll fails and says so, the worker goes on, and
    the next poll begins at the same place.
    """
    handle = sample.vendor.handle
    sample.vendor.handle = lambda asked: Reply(200, b'{"next": "7", "payments": [{}]}')  # type: ignore[method-assign]
    await read_payments(delivering)
    (row,) = await delivering.rows("SELECT cursor, failures, message FROM arg_sync.payment_cursor")
    assert (row.cursor, row.failures) == ("", 1) and row.message.startswith("unexpected_error: ")
    sample.vendor.handle = handle  # type: ignore[method-assign]
    book(sample, "P-1", paid, "100.00")
    await read_payments(delivering)
    assert len(delivering.said("payment-recorded")) == 1


async def test_an_operator_has_payments_read_now(
    delivering: Delivering, sample: FakeServer, database: str, paid: Closed
) -> None:
    """`ledger poll`: not at the next quarter of an hour; refused where nothing can be read."""
    await read_payments(delivering)
    book(sample, "P-1", paid, "100.00")
    async with readers(delivering) as reader:
        assert await reader.start_due_work() == 0, "nothing is due yet"
        answer = await delivering.tell("poll-ledger", ledger="gl-us")
        assert answer["outcome"] == "accepted", answer
        await reader.run_until_idle()
    async with open_snapshot(database) as connection:
        found = await shown.payment_poll(connection, "gl-us")
    assert (found["entries"], found["failures"], found["polls"] > 1) == (1, 0, True)
    assert found["busy"], "another page may follow"
    await read_payments(delivering)
    async with open_snapshot(database) as connection:
        assert not (await shown.payment_poll(connection, "gl-us"))["busy"]
    await delivering.rows("UPDATE arg_sync.connection SET state = 'login refused', message = 'no'")
    refused = await delivering.tell("poll-ledger", ledger="gl-us")
    assert (refused["outcome"], refused["code"]) == ("refused", "ledger_stopped")
