"""The commands and the topics that arg_sync consumes, in one process on a real database."""

import json
from typing import Any

import pytest

from services.arg_sync import subscriptions
from services.arg_sync.deliveries.handlers import consuming
from services.arg_sync.subscriptions import answer_held
from shared import sealing
from shared.broker.topics import OPERATOR_COMMANDS
from shared.events.commands import ConnectLedger
from tests.builders import COMPANY, record
from tests.conftest import Configure, process
from tests.ledgers.delivering import LEDGER, Delivering
from tests.ledgers.fake import FakeServer
from tests.ledgers.sample_ledger import SampleVendor, sample_kind

SETTINGS = {"base_url": "https://tryton.example.com", "database": "tryton", "user": "sync"}


async def connect(
    delivering: Delivering, command_id: str = "c-connect", **changes: Any
) -> dict[str, Any]:
    """Asks for a connection to Tryton; the answer."""
    values: dict[str, Any] = {
        "command_id": command_id,
        "actor": "pat",
        "ledger": "t",
        "kind": "tryton",
        "billing_company": COMPANY,
        "settings": SETTINGS,
        "sealed_secrets": changes["sealed_secrets"]
        if "sealed_secrets" in changes
        else sealing.seal({"password": "canary-pw"}),
        "auto_sync": True,
    }
    asked = ConnectLedger.model_validate(values | changes)
    await process(
        delivering.unit_of_work,
        subscriptions.subscriptions()[OPERATOR_COMMANDS.name],
        [record(OPERATOR_COMMANDS.name, asked)],
    )
    return delivering.answer(command_id)


async def test_a_connection_is_made_and_holds_no_secret_in_the_open(delivering: Delivering) -> None:
    """Settings are kept, secrets sealed; the command as it is stored shows neither."""
    answer = await connect(delivering)
    assert answer["outcome"] == "accepted", answer
    (row,) = await delivering.rows("SELECT * FROM arg_sync.connection")
    assert (row.state, row.auto_sync, row.check_requested_at is not None) == (
        "connected",
        True,
        True,
    )
    (secret,) = await delivering.rows("SELECT sealed FROM arg_sync.secret")
    assert sealing.unseal(secret.sealed) == {"password": "canary-pw"}
    for table in ("connection", "secret", "command"):
        assert "canary-pw" not in str(await delivering.rows(f"SELECT * FROM arg_sync.{table}"))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        (
            {"settings": {"base_url": "https://tryton.example.com", "user": "sync"}},
            "setting_missing",
        ),
        ({"sealed_secrets": ""}, "setting_missing"),
        ({"settings": SETTINGS | {"colour": "blue"}}, "unknown_setting"),
        ({"settings": SETTINGS | {"password": "canary"}}, "secret_in_the_open"),
        ({"settings": SETTINGS | {"base_url": "http://tryton.example.com"}}, "bad_address"),
        ({"settings": SETTINGS | {"per_minute": "many"}}, "bad_setting"),
        ({"settings": SETTINGS | {"concurrency": "0"}}, "bad_setting"),
        ({"sealed_secrets": "gAAAA-not-ours"}, "wrong_ledger_key"),
    ],
)
async def test_a_connection_that_cannot_be_is_refused_with_what_mends_it(
    delivering: Delivering, changes: dict[str, Any], code: str
) -> None:
    """Before anything is stored."""
    answer = await connect(delivering, **changes)
    assert (answer["outcome"], answer["code"]) == ("refused", code), answer
    assert answer["fix"] and await delivering.rows("SELECT * FROM arg_sync.connection") == []


async def test_without_a_key_nothing_is_connected(
    delivering: Delivering, configure: Configure
) -> None:
    """The message says which setting, and how a key is made."""
    sealed = sealing.seal({"password": "x"})
    configure(ledger_key="")
    answer = await connect(delivering, sealed_secrets=sealed)
    assert answer["code"] == "no_ledger_key" and "backoffice ledger key" in answer["fix"]


async def test_a_ledger_keeps_its_kind_and_company_and_may_keep_its_secrets(
    delivering: Delivering,
) -> None:
    """Connecting anew changes settings; another company needs another name."""
    await connect(delivering)
    answer = await connect(
        delivering, "c-2", sealed_secrets="", settings=SETTINGS | {"per_minute": "30"}
    )
    assert answer["outcome"] == "accepted", answer
    (row,) = await delivering.rows(
        "SELECT generation, settings->>'per_minute' AS pace FROM arg_sync.connection"
    )
    assert (row.generation, row.pace) == (2, "30")
    assert len(await delivering.rows("SELECT * FROM arg_sync.secret")) == 1
    assert (await connect(delivering, "c-3", billing_company="other"))["code"] == "other_ledger"


async def test_disconnecting_forgets_the_secrets_and_sends_nothing_more(
    delivering: Delivering, sample: FakeServer
) -> None:
    """What was delivered stays known; what was queued stays queued."""
    vendor = sample.vendor
    assert isinstance(vendor, SampleVendor)
    await delivering.connect(sample_kind(vendor), sample.url)
    await delivering.close("INV-1")
    await delivering.queue()
    assert (await delivering.tell("disconnect-ledger", ledger=LEDGER))["outcome"] == "accepted"
    await delivering.deliver()
    assert await delivering.states() == {"INV-1": "queued"} and sample.calls == []
    assert await delivering.rows("SELECT * FROM arg_sync.secret") == []
    assert (await delivering.tell("test-ledger", ledger=LEDGER))["code"] == "unknown_ledger"


async def test_what_is_closed_is_queued_once_for_ledgers_that_ask_for_it(
    delivering: Delivering, sample: FakeServer
) -> None:
    """invoice-closed and batch-generated, each twice, in either order: one delivery a document;
    none for a ledger that delivers by command.
    """
    vendor = sample.vendor
    assert isinstance(vendor, SampleVendor)
    await delivering.connect(sample_kind(vendor), sample.url)
    await delivering.connect(sample_kind(vendor), sample.url, ledger="by-hand", auto=False)
    first = await delivering.close("INV-1")
    await delivering.close("CN-2", credits=first)
    invoices, batches = await delivering.announced()
    for _ in range(2):
        await process(
            delivering.unit_of_work,
            consuming.INVOICES,
            [record("invoice-closed", one.value) for one in invoices * 2],
        )
        await process(
            delivering.unit_of_work,
            consuming.BATCHES,
            [record("batch-generated", one.value) for one in batches],
        )
    found = [
        (row.ledger, row.invoice_number)
        for row in await delivering.rows(
            "SELECT ledger, invoice_number FROM arg_sync.delivery ORDER BY 1, 2"
        )
    ]
    assert found == [(LEDGER, "CN-2"), (LEDGER, "INV-1")]
    (correction,) = await delivering.rows("SELECT * FROM arg_sync.correction")
    assert (correction.corrects_number, correction.amount) == ("INV-1", first.total)
    assert len(await delivering.rows("SELECT * FROM arg_sync.received_document")) == 2


async def test_a_batch_is_delivered_by_command(delivering: Delivering, sample: FakeServer) -> None:
    """For every ledger of its company; a second command finds nothing new."""
    vendor = sample.vendor
    assert isinstance(vendor, SampleVendor)
    await delivering.connect(sample_kind(vendor), sample.url, auto=False)
    await delivering.close("INV-1")
    answer = await delivering.tell("sync-batch", billing_company=COMPANY, batch_id="B-1")
    assert (answer["outcome"], answer["details"]["queued"]) == ("accepted", 1), answer
    assert (await delivering.tell("sync-batch", billing_company=COMPANY, batch_id="B-1"))[
        "details"
    ]["queued"] == 0
    await delivering.deliver()
    assert await delivering.states() == {"INV-1": "posted"}
    assert (await delivering.tell("sync-batch", billing_company="other", batch_id="B-1"))[
        "code"
    ] == "unknown_batch"


async def test_an_unknown_batch_is_waited_for_and_then_refused(
    delivering: Delivering, sample: FakeServer
) -> None:
    """The command is held; it is answered when the batch is there, or refused after a quarter of
    an hour.
    """
    vendor = sample.vendor
    assert isinstance(vendor, SampleVendor)
    await delivering.connect(sample_kind(vendor), sample.url, auto=False)
    assert (
        await delivering.tell(
            "sync-batch", command_id="early", billing_company=COMPANY, batch_id="B-1"
        )
        == {}
    )
    assert (
        await delivering.tell(
            "sync-batch", command_id="vain", billing_company=COMPANY, batch_id="B-9"
        )
        == {}
    )
    await delivering.unit_of_work.transact(answer_held)
    assert delivering.answer("early") == {}
    await delivering.close("INV-1")
    await delivering.unit_of_work.transact(answer_held)
    assert delivering.answer("early")["details"]["queued"] == 1
    assert delivering.answer("vain") == {}
    await delivering.rows(
        "UPDATE arg_sync.held_command SET held_at = now() - interval '16 minutes'"
    )
    await delivering.unit_of_work.transact(answer_held)
    assert delivering.answer("vain")["code"] == "unknown_batch"
    assert await delivering.rows("SELECT * FROM arg_sync.held_command") == []


async def test_operators_adopt_mark_and_look_again(
    delivering: Delivering, sample: FakeServer
) -> None:
    """Each is said; what is in hand or in doubt is left alone; a document that was deleted there
    is delivered anew by resync.
    """
    vendor = sample.vendor
    assert isinstance(vendor, SampleVendor)
    await delivering.connect(sample_kind(vendor), sample.url)
    vendor.closed_before = "2027-01-01"
    for number in ("INV-1", "INV-2", "INV-3"):
        await delivering.close(number)
    await delivering.queue()
    await delivering.deliver()
    assert set((await delivering.states()).values()) == {"refused"}
    about = {"ledger": LEDGER, "invoice_number": "INV-1"}
    assert (await delivering.tell("adopt-delivery", **about, remote_id="R77"))[
        "outcome"
    ] == "accepted"
    assert (
        await delivering.tell(
            "mark-posted", ledger=LEDGER, invoice_number="INV-2", remote_number="A-9"
        )
    )["outcome"] == "accepted"
    posted = {
        one["invoice_number"]: one
        for one in (json.loads(each.value) for each in delivering.said("ar-document-posted"))
    }
    assert (posted["INV-1"]["how"], posted["INV-1"]["remote_id"], posted["INV-2"]["how"]) == (
        "adopted",
        "R77",
        "marked",
    )
    assert (await delivering.tell("retry-delivery", **about))["code"] == "not_now"
    vendor.closed_before = ""
    await delivering.tell("retry-delivery", ledger=LEDGER, invoice_number="INV-3")
    await delivering.deliver()
    first = (await delivering.delivery("INV-3")).request_key
    vendor.documents.clear()
    assert (await delivering.tell("resync-delivery", ledger=LEDGER, invoice_number="INV-3"))[
        "outcome"
    ] == "accepted"
    await delivering.deliver()
    row = await delivering.delivery("INV-3")
    assert (row.state, len(vendor.documents)) == ("posted", 1) and row.request_key != first
    assert (await delivering.tell("retry-delivery", ledger=LEDGER, invoice_number="INV-9"))[
        "code"
    ] == "unknown_delivery"


async def test_a_look_at_the_ledger_is_done_by_a_worker_and_starts_what_was_stopped(
    delivering: Delivering, sample: FakeServer
) -> None:
    """The answer stands with the connection."""
    vendor = sample.vendor
    assert isinstance(vendor, SampleVendor)
    await delivering.connect(sample_kind(vendor), sample.url)
    vendor.token = "another"
    await delivering.tell("test-ledger", ledger=LEDGER)
    await delivering.deliver()
    (row,) = await delivering.rows("SELECT check_outcome, check_message FROM arg_sync.connection")
    assert row.check_outcome == "failed" and "refuses our key" in row.check_message
    await delivering.rows("UPDATE arg_sync.connection SET state = 'stopped'")
    vendor.token = "sample-secret-7f3a"
    await delivering.tell("test-ledger", command_id="again", ledger=LEDGER)
    await delivering.deliver()
    (row,) = await delivering.rows(
        "SELECT state, check_outcome, check_message FROM arg_sync.connection"
    )
    assert (row.state, row.check_outcome, row.check_message) == (
        "connected",
        "ok",
        "connected to Sample Ledger",
    )
