"""The delivery engine on a real database, against a ledger that plays and misbehaves: each
document there once, or parked with a message.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from functools import partial

import pytest

from services.arg_sync.connections.store.mappings import codes_for
from services.arg_sync.deliveries.handlers import lease_holders as holders
from services.arg_sync.ledgers.documents import ArDocument
from tests.builders import COMPANY
from tests.ledgers.delivering import LEDGER, Delivering
from tests.ledgers.fake import FakeServer, Fault, Reply, playing
from tests.ledgers.sample_ledger import SampleLedger, SampleVendor, sample_kind
from tests.running import Pauses, until


@pytest.fixture
async def sample() -> AsyncIterator[FakeServer]:
    """A ledger that makes drafts, with neither request key nor unique number."""
    async with playing(SampleVendor(steps=2)) as server:
        yield server


def vendor_of(server: FakeServer) -> SampleVendor:
    """Its vendor."""
    assert isinstance(server.vendor, SampleVendor)
    return server.vendor


async def connected(delivering: Delivering, server: FakeServer, **capabilities: object) -> None:
    """A connection to it whose waits are short."""
    kind = sample_kind(
        vendor_of(server), **({"request_seconds": 0.5, "server_seconds": 0.2} | capabilities)
    )
    await delivering.connect(kind, server.url)


def there(server: FakeServer) -> list[tuple[str, str, Decimal, str]]:
    """What the ledger holds."""
    return sorted((one.number, one.kind, one.total, one.state) for one in server.vendor.journal)


def wanted(delivering: Delivering) -> list[tuple[str, str, Decimal, str]]:
    """What it must hold."""
    return sorted((one.number, one.kind, one.total, "posted") for one in delivering.closed)


async def test_every_document_is_posted_once_and_published(
    delivering: Delivering, sample: FakeServer
) -> None:
    """Queued twice, delivered once, posted, to the cent; a credit note after its invoice and
    applied to it; each said once.
    """
    await connected(delivering, sample)
    first = await delivering.close("INV-1")
    for at in range(2, 21):
        await delivering.close(f"INV-{at}", account=f"Client {at % 3}")
    await delivering.close("CN-21", credits=first)
    await delivering.queue()
    await delivering.queue()
    await delivering.deliver()
    assert set((await delivering.states()).values()) == {"posted"}
    assert there(sample) == wanted(delivering)
    assert (
        next(
            one["balance"]
            for one in vendor_of(sample).documents.values()
            if one["number"] == "INV-1"
        )
        == 0
    )
    assert len(delivering.said("ar-document-posted")) == 21
    assert len(vendor_of(sample).customers) == 4


@pytest.mark.parametrize("fault", ["silence", "reset", "cut", "slow", "page-after"])
async def test_a_lost_answer_is_looked_up_and_never_sent_again(
    delivering: Delivering, sample: FakeServer, fault: str
) -> None:
    """The ledger has it, we don't know: after the wait a look finds it, and it is posted."""
    await connected(delivering, sample)
    await delivering.close("INV-1")
    await delivering.queue()
    sample.plan(Fault(fault))  # type: ignore[arg-type]
    await delivering.deliver()
    row = await delivering.delivery("INV-1")
    assert (row.state, row.outcome_unknown) == ("unknown", True), row.message
    await delivering.hurry()
    await delivering.deliver()
    assert there(sample) == wanted(delivering)
    assert (await delivering.delivery("INV-1")).code == "adopted"


async def test_a_refused_document_stops_no_other(
    delivering: Delivering, sample: FakeServer
) -> None:
    """One is refused with the ledger's message, the next one goes on; after the fix a retry
    delivers it.
    """
    await connected(delivering, sample, order="connection")
    vendor_of(sample).closed_before = "2026-03-02"
    await delivering.close("INV-1", day=0)
    await delivering.close("INV-2", day=1)
    await delivering.queue()
    await delivering.deliver()
    assert await delivering.states() == {"INV-1": "refused", "INV-2": "posted"}
    row = await delivering.delivery("INV-1")
    assert "the period of 2026-03-01 is closed" in row.message and "retry" in row.fix
    (said,) = delivering.said("ar-document-refused")
    assert b"is closed" in said.value
    vendor_of(sample).closed_before = ""
    answer = await delivering.tell("retry-delivery", ledger="gl-us", invoice_number="INV-1")
    assert answer["outcome"] == "accepted", answer
    await delivering.deliver()
    assert there(sample) == wanted(delivering)


async def test_another_amount_is_parked_and_nothing_is_posted(
    delivering: Delivering, sample: FakeServer
) -> None:
    """The ledger makes a cent more of it: the draft is not posted; after the fix it is made
    anew.
    """
    await connected(delivering, sample)
    await delivering.close("INV-1")
    await delivering.queue()
    sample.plan(Fault("wrong-amount"))
    await delivering.deliver()
    row = await delivering.delivery("INV-1")
    assert (row.state, row.code) == ("refused", "different") and "its total is" in row.message
    assert [one.state for one in sample.vendor.journal] == ["draft"]
    await delivering.tell("retry-delivery", ledger="gl-us", invoice_number="INV-1")
    await delivering.deliver()
    assert there(sample) == wanted(delivering)


async def test_a_dead_key_stops_its_connection_only(
    delivering: Delivering, sample: FakeServer
) -> None:
    """401 after a renewal stops the connection with a message; its documents wait; another
    connection goes on.
    """
    await connected(delivering, sample)
    async with playing(SampleVendor()) as other:
        vendor_of(other).token = "changed"
        await delivering.connect(sample_kind(vendor_of(other)), other.url, ledger="other")
        await delivering.rows(
            "UPDATE arg_sync.connection SET kind = 'sample' WHERE ledger = 'other'"
        )
        await delivering.close("INV-1")
        await delivering.queue()
        await delivering.deliver()
        found = {
            row.ledger: (row.state, row.message)
            for row in await delivering.rows(
                "SELECT ledger, state, message FROM arg_sync.connection"
            )
        }
        assert found["gl-us"][0] == "connected"
        assert (
            found["other"][0] == "login refused"
            and "bad token" in found["other"][1]
            and "sample-secret" not in found["other"][1]
        )
        states = {
            row.ledger: row.state
            for row in await delivering.rows("SELECT ledger, state FROM arg_sync.delivery")
        }
        assert states == {"gl-us": "posted", "other": "queued"}


async def test_two_engines_make_one_document_each(
    delivering: Delivering, sample: FakeServer
) -> None:
    """Two workers on one connection: leases and slots keep them apart."""
    await connected(delivering, sample)
    for at in range(1, 41):
        await delivering.close(f"INV-{at}", account=f"Client {at % 5}")
    await delivering.queue()
    async with delivering.engine("w1") as one, delivering.engine("w2") as two:
        await asyncio.gather(one.run_until_idle(), two.run_until_idle())
        await delivering.hurry()
        await asyncio.gather(one.run_until_idle(), two.run_until_idle())
    assert there(sample) == wanted(delivering)
    assert sample.most_at_once <= 4


async def test_a_missing_mapping_is_reported_before_anything_is_sent(
    delivering: Delivering, sample: FakeServer
) -> None:
    """All that is missing in one message; after the import a retry delivers it."""
    await connected(delivering, sample)
    await delivering.rows("DELETE FROM arg_sync.mapping")
    await delivering.close("INV-1")
    await delivering.queue()
    await delivering.deliver()
    row = await delivering.delivery("INV-1")
    assert (
        row.code == "mapping_missing" and "account REG" in row.message and "tax VAT" in row.message
    )
    assert [call for call in sample.calls if call[1] != "GET"] == []
    rows = [
        {"what": "account", "code": "REG", "remote": "4000"},
        {"what": "tax", "code": "VAT", "remote": "T10"},
    ]
    assert (await delivering.tell("import-mapping", ledger="gl-us", rows=rows))[
        "outcome"
    ] == "accepted"
    await delivering.tell("retry-delivery", ledger="gl-us", invoice_number="INV-1")
    await delivering.deliver()
    assert there(sample) == wanted(delivering)


async def test_the_defaults_of_the_billing_company_are_used_where_no_code_is_mapped(
    delivering: Delivering, sample: FakeServer
) -> None:
    """A code that is mapped, for one kind of line or for all, comes before them."""
    await connected(delivering, sample)
    await delivering.rows("DELETE FROM arg_sync.mapping WHERE what = 'account'")
    await delivering.rows(
        "INSERT INTO fee_realizer.billing_company"
        " (billing_company, known, default_account, default_item)"
        " VALUES (:company, true, '4999', 'TEMPS')",
        company=COMPANY,
    )
    for number, mapped in (("INV-1", {}), ("INV-2", {"account": "4000"})):
        await delivering.map(**mapped)
        await delivering.queue(await delivering.close(number))
        await delivering.deliver()
    async with delivering.engine_of("arg_sync").connect() as connection:
        codes = await codes_for(connection, LEDGER)
    assert (codes["account", ""], codes["item", ""]) == ("4000", "TEMPS")
    first, second = [(await delivering.delivery(no)).request for no in ("INV-1", "INV-2")]
    assert "4999" in first and "4000" not in first
    assert "4000" in second and "4999" not in second
    assert there(sample) == wanted(delivering)


async def test_what_a_dead_worker_had_in_hand_is_taken_over_soon(
    delivering: Delivering, sample: FakeServer
) -> None:
    """A holder whose process the kernel no longer has is dead.

    A holder on another machine keeps its lease until it ends.
    """
    await connected(delivering, sample)
    await delivering.close("INV-1")
    await delivering.close("INV-2", account="Other")
    await delivering.queue()
    gone = await asyncio.create_subprocess_exec("true")
    await gone.wait()
    dead, elsewhere = f"1 {holders.place()} {gone.pid}", f"1 another-kernel/pid:[1] {gone.pid}"
    assert (
        holders.is_dead(dead)
        and not holders.is_dead(elsewhere)
        and not holders.is_dead(holders.holder_name("1"))
    )
    for number, holder in (("INV-1", dead), ("INV-2", elsewhere)):
        await delivering.rows(
            "UPDATE arg_sync.delivery SET state = 'sending', leased_by = :holder, next_attempt_at"
            " = now() + interval '1 hour' WHERE invoice_number = :n",
            holder=holder,
            n=number,
        )
    async with delivering.engine() as engine:
        await engine.run_until_idle()
        await asyncio.sleep(2.5)  # the ledger's own limit and a margin
        await engine.run_until_idle()
    assert await delivering.states() == {"INV-1": "posted", "INV-2": "sending"}
    assert (await delivering.rows("SELECT steps FROM arg_sync.attempt"))[0].steps.startswith("look")


async def test_a_document_at_which_our_own_code_fails_is_parked_alone(
    delivering: Delivering, sample: FakeServer
) -> None:
    """The worker lives, the neighbour is delivered, the message says that it is our fault."""
    vendor = vendor_of(sample)
    kind = sample_kind(vendor, request_seconds=0.5, server_seconds=0.2)

    class Buggy(SampleLedger):
        def render(self, document: ArDocument, customer: str) -> str:
            if document.number == "INV-1":
                raise KeyError("an unforeseen case")
            return super().render(document, customer)

    await delivering.connect(replace(kind, make=Buggy), sample.url)
    await delivering.close("INV-1")
    await delivering.close("INV-2")
    await delivering.queue()
    await delivering.deliver()
    assert await delivering.states() == {"INV-1": "refused", "INV-2": "posted"}
    assert (await delivering.delivery("INV-1")).code == "unexpected_error"


async def test_a_worker_that_was_overtaken_posts_nothing_and_clears_away_its_draft(
    delivering: Delivering, sample: FakeServer, pauses: Pauses
) -> None:
    """It made a draft, and before it could keep the id another had the lease and a draft of its
    own: this one is not posted, and goes.
    """
    await connected(delivering, sample, request_seconds=5.0)
    await delivering.close("INV-1")
    await delivering.queue()
    pauses.hold("document_created")
    async with delivering.engine() as engine:
        await engine.start_due_work()
        await until("the draft is made", lambda: made(sample))
        await delivering.rows(
            "UPDATE arg_sync.delivery SET lease = lease + 1, remote_id = 'R9', state = 'refused'"
        )
        pauses.release("document_created")
        await engine.run_until_idle()
    assert (
        vendor_of(sample).documents == {} and (await delivering.delivery("INV-1")).remote_id == "R9"
    )


async def made(sample: FakeServer) -> bool:
    """Whether the ledger holds a document."""
    return bool(sample.vendor.journal)


@pytest.mark.parametrize(
    "body",
    [
        "<html>Out of order</html>".encode("utf-16"),
        b'{"error": "cut in the middle: \\ud83d"}',
        b'{"error": "a\\u0000b"}',
    ],
)
@pytest.mark.parametrize("status", [422, 503])
async def test_words_that_no_database_keeps_stop_no_worker(
    delivering: Delivering, sample: FakeServer, status: int, body: bytes
) -> None:
    """A page in UTF-16, half a character, NUL: the outcome is kept with the rest of the words,
    and a check with them, too.
    """
    await connected(delivering, sample, request_seconds=5.0)
    await delivering.close("INV-1")
    await delivering.queue()
    vendor = vendor_of(sample)
    vendor.handle = lambda asked: Reply(status, body)  # type: ignore[method-assign]
    await delivering.rows("UPDATE arg_sync.connection SET check_requested_at = now()")
    await delivering.deliver()
    row = await delivering.delivery("INV-1")
    assert row.state in ("refused", "queued") and str(status) in row.message
    (checked,) = await delivering.rows(
        "SELECT check_outcome, check_message FROM arg_sync.connection"
    )
    assert checked.check_outcome == "failed" and str(status) in checked.check_message


@pytest.mark.parametrize("change", ["disconnected", "connected anew"])
async def test_a_run_ends_when_its_connection_is_ended_or_changed(
    delivering: Delivering, sample: FakeServer, change: str
) -> None:
    """Ended in the middle of many, while a session there lasts: in a second nothing more is sent.

    Connected to another server: that one gets what was not sent yet.
    """
    await connected(delivering, sample, concurrency=1, request_seconds=5.0)
    sample.delay = 0.1
    for no in range(1, 41):
        await delivering.close(f"INV-{no}")
    await delivering.queue()
    async with delivering.engine() as engine, playing(SampleVendor(steps=2)) as other:
        await engine.start_due_work()
        await until("the first is there", lambda: made(sample))
        if change == "disconnected":
            await delivering.rows("UPDATE arg_sync.connection SET state = 'disconnected'")
        else:
            await delivering.move(other.url)
        before = len(sample.vendor.journal)
        await engine.run_until_idle()
        assert len(sample.vendor.journal) - before < 10, (
            "a document takes at least 0.2 s: at most a second more is sent"
        )
        await engine.run_until_idle()
        # A draft that was begun at the former server stays there: it is not posted.
        posted = [
            one.number
            for one in (*sample.vendor.journal, *other.vendor.journal)
            if one.state == "posted"
        ]
        sent = set(posted)
        assert len(posted) == len(sent) == (len(sent) if change == "disconnected" else 40)
    states = list((await delivering.states()).values())
    assert (states.count("posted"), states.count("queued")) == (len(sent), 40 - len(sent))


async def test_an_unforeseen_response_stops_no_worker(
    delivering: Delivering, sample: FakeServer
) -> None:
    """200 with none of what belongs into it, to a check and to the question for a customer: both
    are told, and the worker goes on.
    """
    await connected(delivering, sample, request_seconds=5.0)
    await delivering.close("INV-1")
    await delivering.queue()
    await delivering.rows("UPDATE arg_sync.connection SET check_requested_at = now()")
    vendor_of(sample).handle = lambda asked: Reply(200, b"{}")  # type: ignore[method-assign]
    await delivering.deliver()
    (checked,) = await delivering.rows(
        "SELECT check_outcome, check_message, check_requested_at FROM arg_sync.connection"
    )
    assert (checked.check_outcome, checked.check_requested_at) == (
        "failed",
        None,
    ) and "report it" in checked.check_message
    row = await delivering.delivery("INV-1")
    assert (row.state, row.code) == ("refused", "unexpected_error")


async def test_failures_at_the_old_address_do_not_count_for_the_new_one(
    delivering: Delivering, sample: FakeServer
) -> None:
    """Connected anew while a check and a document are under way there: neither the failed check
    nor the wish to wait an hour is the new one's.
    """
    await connected(delivering, sample, request_seconds=5.0)
    await delivering.close("INV-1")
    await delivering.queue()
    sample.delay = 0.5
    for asked in (True, False):
        vendor_of(sample).handle = lambda asked: Reply(429, b"{}", {"retry-after": "3600"})  # type: ignore[method-assign]
        await delivering.rows(
            "UPDATE arg_sync.connection SET state = 'connected', check_requested_at = CASE WHEN"
            " :asked THEN now() END",
            asked=asked,
        )
        calls = len(sample.calls)
        async with delivering.engine() as engine, playing(SampleVendor(steps=2)) as other:
            await engine.start_due_work()
            await until("it is asked", partial(asked_more, sample, calls))
            await delivering.move(
                other.url,
                ", failures = 0, open_until = NULL, check_requested_at = now(), check_outcome = ''",
            )
            await delivering.rows(
                "UPDATE arg_sync.delivery SET next_attempt_at = now() WHERE state = 'queued'"
            )
            await engine.run_until_idle()
            (row,) = await delivering.rows(
                "SELECT check_outcome, failures, open_until FROM arg_sync.connection"
            )
            assert (row.check_outcome, row.failures, row.open_until) == ("ok", 0, None)
        await delivering.move(sample.url)
        await delivering.hurry()


async def asked_more(sample: FakeServer, calls: int) -> bool:
    """Whether the ledger was asked again."""
    return len(sample.calls) > calls


async def test_a_request_that_was_never_sent_names_no_customer_of_another_place(
    delivering: Delivering, sample: FakeServer
) -> None:
    """Made ready for one company there and refused for now; connected to another company, where
    that id is another customer's.
    """
    await connected(delivering, sample, request_seconds=5.0)
    await delivering.close("INV-1")
    await delivering.queue()
    sample.plan(Fault("429", 3600))
    await delivering.deliver()
    row = await delivering.delivery("INV-1")
    assert (row.state, row.outcome_unknown, row.customer) == ("queued", False, "C1")
    async with playing(SampleVendor(steps=2)) as other:
        vendor_of(other).customers = {"Another Customer": "C1", "Mercy Hospital": "C2"}
        await delivering.move(other.url)
        await delivering.hurry()
        await delivering.deliver()
        assert [(one.number, one.customer, one.state) for one in other.vendor.journal] == [
            ("INV-1", "C2", "posted")
        ]
