"""The three-way check on a fake ledger: each injected drift is found once, with a fix, and no
other.
"""

import json
from decimal import Decimal

import pytest

from tests.ledgers.delivering import Delivering
from tests.ledgers.fake import FakeServer
from tests.ledgers.reads import open_drifts, readers, reconcile, remote_id
from tests.ledgers.sample_ledger import sample_kind

RECEIVE = """
INSERT INTO arg_sync.received_document (invoice_id, billing_company, invoice_number, document_type,
  batch_id, currency, total, content_hash, received_at)
SELECT invoice_id, billing_company, invoice_number, document_type, batch_id, currency, total,
  coalesce(content_hash, ''), now() - interval '1 hour'
FROM invoicer.closed_invoice WHERE invoice_number <> ALL(CAST(:but AS text[]))
ON CONFLICT DO NOTHING"""


@pytest.fixture
async def sample(delivering: Delivering, sample: FakeServer) -> FakeServer:
    """A ledger without unique numbers, and twelve invoices and a credit note in it."""
    await delivering.connect(sample_kind(sample.vendor), sample.url)  # type: ignore[arg-type]
    first = await delivering.close("INV-1")
    for at in range(2, 13):
        await delivering.close(f"INV-{at}", account=f"Client {at % 4}")
    await delivering.close("CN-13", credits=first)
    await delivering.queue()
    await delivering.deliver()
    assert set((await delivering.states()).values()) == {"posted"}
    return sample


def document(server: FakeServer, number: str) -> dict[str, object]:
    """A document as the ledger has it."""
    found: dict[str, object] = server.vendor.documents[remote_id(server, number)]  # type: ignore[attr-defined]
    return found


def double(server: FakeServer, number: str, an_id: str) -> None:
    """Another program makes it a second time."""
    server.vendor.documents[an_id] = document(server, number) | {"id": an_id}  # type: ignore[attr-defined]


async def test_each_injected_drift_is_found_and_no_other(
    delivering: Delivering, sample: FakeServer
) -> None:
    """Edited total, currency and number, another customer, voided, deleted, doubled; the rest is
    quiet. A second look says nothing anew.
    """
    run = await reconcile(delivering)
    assert (run.state, run.documents, run.unread) == ("done", 13, 0) and await open_drifts(
        delivering
    ) == set()
    document(sample, "INV-1")["total"] = Decimal("1.00")
    document(sample, "INV-2")["currency"] = "EUR"
    document(sample, "INV-3")["customer"] = "C99"
    document(sample, "INV-4")["state"] = "voided"
    sample.vendor.documents.pop(remote_id(sample, "INV-5"))  # type: ignore[attr-defined]
    double(sample, "INV-6", "R600")
    document(sample, "INV-7")["number"] = "X-7"
    document(sample, "INV-8")["state"] = "draft"
    double(sample, "CN-13", "R601")
    calls = len(sample.calls)
    injected = {
        ("edited", "INV-1"),
        ("edited", "INV-2"),
        ("customer-changed", "INV-3"),
        ("voided", "INV-4"),
        ("deleted", "INV-5"),
        ("duplicated", "INV-6"),
        ("edited", "INV-7"),
        ("edited", "INV-8"),
        ("duplicated", "CN-13"),
    }
    for _ in range(2):
        await reconcile(delivering)
        assert await open_drifts(delivering) == injected
        assert len(delivering.said("ledger-drift-found")) == len(injected)
    said = [json.loads(one.value) for one in delivering.said("ledger-drift-found")]
    assert all(one["message"] and one["fix"] for one in said)
    assert {one["remote_id"] for one in said if one["code"] == "duplicated"} == {"R600", "R601"}
    assert {method for _, method, _ in sample.calls[calls:]} == {"GET"}, "nothing is changed there"
    assert set((await delivering.states()).values()) == {"posted"}, (
        "nothing is delivered again by itself"
    )


async def test_a_corrected_drift_is_resolved(delivering: Delivering, sample: FakeServer) -> None:
    """Set right there, it is gone at the next look; when it comes again, it is said again."""
    kept = document(sample, "INV-1")["total"]
    for amount, found in (
        (Decimal(1), {("edited", "INV-1")}),
        (kept, set()),
        (Decimal(2), {("edited", "INV-1")}),
    ):
        document(sample, "INV-1")["total"] = amount
        await reconcile(delivering)
        assert await open_drifts(delivering) == found
    assert len(delivering.said("ledger-drift-found")) == 2


async def test_a_deleted_document_is_delivered_again_by_command(
    delivering: Delivering, sample: FakeServer
) -> None:
    """The fix that the drift proposes works, and ends the drift."""
    sample.vendor.documents.pop(remote_id(sample, "INV-5"))  # type: ignore[attr-defined]
    await reconcile(delivering)
    assert await open_drifts(delivering) == {("deleted", "INV-5")}
    await delivering.tell("resync-delivery", ledger="gl-us", invoice_number="INV-5")
    await delivering.deliver()
    await reconcile(delivering)
    assert await open_drifts(delivering) == set()


async def test_what_could_not_be_read_is_not_deleted(
    delivering: Delivering, sample: FakeServer
) -> None:
    """The server is away: no drift, the run waits and tries again; what was open before stays
    open.
    """
    document(sample, "INV-1")["total"] = Decimal("1.00")
    await reconcile(delivering)
    await sample.stop()
    run = await reconcile(delivering)
    assert (run.state, run.documents) == ("waiting", 0) and "unreachable" in run.message
    for _ in range(6):
        await delivering.rows(
            "UPDATE arg_sync.reconciliation SET next_at = now() WHERE state = 'waiting'"
        )
        await delivering.rows("UPDATE arg_sync.connection SET open_until = NULL")
        async with readers(delivering) as reader:
            await reader.run_until_idle()
    (run,) = await delivering.rows(
        "SELECT * FROM arg_sync.reconciliation ORDER BY run_id DESC LIMIT 1"
    )
    assert run.state == "failed" and "none of those counts as gone" in run.message
    assert await open_drifts(delivering) == {("edited", "INV-1")}


async def test_a_dead_key_reads_nothing(delivering: Delivering, sample: FakeServer) -> None:
    """401 is no answer about documents: the run fails, the connection stops."""
    sample.vendor.token = "changed"  # type: ignore[attr-defined]
    run = await reconcile(delivering)
    assert run.state == "failed" and await open_drifts(delivering) == set()
    assert (await delivering.tell("reconcile", ledger="gl-us"))["code"] == "ledger_stopped"


async def test_received_and_closed_documents_are_compared(
    delivering: Delivering, sample: FakeServer
) -> None:
    """Not received, received with other values, received without an invoice, never queued: each
    has its code; a document closed a moment ago is given time.
    """
    await reconcile(delivering)
    assert await open_drifts(delivering) == set()
    await delivering.close("INV-20")
    for table in ("invoice", "invoice_line"):
        await delivering.rows(f"ALTER TABLE invoicer.{table} DISABLE TRIGGER USER")
    await delivering.rows("UPDATE invoicer.invoice SET closed_at = now() - interval '1 hour'")
    await delivering.rows(
        "UPDATE arg_sync.connection SET connected_at = now() - interval '2 hours'"
    )
    await delivering.rows(RECEIVE, but=["INV-2"])
    await delivering.rows(
        "UPDATE arg_sync.received_document SET total = 1 WHERE invoice_number = 'INV-3'"
    )
    await delivering.rows(
        "INSERT INTO arg_sync.received_document SELECT 999, billing_company, 'INV-999',"
        " document_type, batch_id, currency, total, content_hash, received_at"
        " FROM arg_sync.received_document WHERE invoice_number = 'INV-4'"
    )
    await reconcile(delivering)
    assert await open_drifts(delivering) == {
        ("not-received", "INV-2"),
        ("received-differently", "INV-3"),
        ("unknown-document", "INV-999"),
        ("missing", "INV-20"),
    }
    await delivering.rows(RECEIVE, but=[])
    await reconcile(delivering)
    assert ("not-received", "INV-2") not in await open_drifts(delivering)


async def test_a_person_who_took_a_document_has_seen_it(
    delivering: Delivering, sample: FakeServer
) -> None:
    """Adopted by hand, another total is no drift; voided it is."""
    document(sample, "INV-1")["total"] = Decimal("1.00")
    await delivering.rows(
        "UPDATE arg_sync.delivery SET state = 'refused' WHERE invoice_number = 'INV-1'"
    )
    answer = await delivering.tell(
        "adopt-delivery",
        ledger="gl-us",
        invoice_number="INV-1",
        remote_id=remote_id(sample, "INV-1"),
        reason="as agreed",
    )
    assert answer["outcome"] == "accepted"
    await reconcile(delivering)
    assert await open_drifts(delivering) == set()
    document(sample, "INV-1")["state"] = "voided"
    await reconcile(delivering)
    assert await open_drifts(delivering) == {("voided", "INV-1")}


async def test_the_night_asks_once(delivering: Delivering, sample: FakeServer) -> None:
    """Every connection that is well is compared once a night, without anybody asking."""
    await delivering.rows("UPDATE arg_sync.connection SET connected_at = now() - interval '3 days'")
    for _ in range(2):
        async with readers(delivering) as reader:
            await reader.run_until_idle()
    (run,) = await delivering.rows("SELECT * FROM arg_sync.reconciliation")
    (lately,) = await delivering.rows(
        "SELECT count(*) AS n FROM arg_sync.delivery WHERE invoice_date >= :since", since=run.since
    )
    assert (run.actor, run.state, run.documents) == ("night", "done", lately.n), (
        "older documents are compared on demand"
    )
