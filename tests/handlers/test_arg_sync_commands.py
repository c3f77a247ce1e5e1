"""The commands and the topics that arg_sync consumes, in one process on a real database."""

import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.arg_sync import subscriptions
from services.arg_sync.connections.handlers.adapters import binding_of
from services.arg_sync.connections.handlers.keys import publish_key
from services.arg_sync.deliveries.handlers import consuming
from services.arg_sync.ledgers.registry import adapter_specs
from shared import sealing
from shared.broker.topics import OPERATOR_COMMANDS
from shared.events.commands import ConnectLedger
from tests.builders import COMPANY, record
from tests.conftest import Configure, process
from tests.ledgers.delivering import LEDGER, Delivering, sealed_for
from tests.ledgers.fake import FakeServer, playing
from tests.ledgers.sample_ledger import SampleVendor, sample_kind

SETTINGS = {"base_url": "https://tryton.example.com", "database": "tryton", "user": "sync"}
TRYTON = adapter_specs()["tryton"]
OTHER = {"base_url": "https://other.example.com", "database": "other", "user": "other"}


def sealed(settings: dict[str, str], ledger: str = "t", **secrets: str) -> str:
    """A password for Tryton with these settings, as the console seals it."""
    return sealed_for(TRYTON, settings, secrets or {"password": "canary-pw"}, ledger)


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
        "auto_sync": True,
    } | changes
    if "sealed_secrets" not in values:
        values["sealed_secrets"] = sealed(values["settings"], values["ledger"])
    asked = ConnectLedger.model_validate(values)
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
    bound_to = binding_of(TRYTON, "t", SETTINGS)
    assert sealing.unseal(secret.sealed, bound_to) == {"password": "canary-pw"}
    for table in ("connection", "secret", "command"):
        # Not str() of the rows: it leaves out the middle of a long one.
        stored = await delivering.rows(f"SELECT t::text FROM arg_sync.{table} t")
        assert stored and not any("canary-pw" in row for (row,) in stored)


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
        ({"settings": SETTINGS | {"base_url": "https://localhost"}}, "bad_address"),
        ({"settings": SETTINGS | {"base_url": "https://10.1.2.3"}}, "bad_address"),
        ({"settings": SETTINGS | {"allow_private": "yes"}}, "unknown_setting"),
        ({"sealed_secrets": "gAAAA-not-ours"}, "not_a_sealed_box"),
        ({"sealed_secrets": "x25519.0123456789abcdef.AAAA"}, "wrong_ledger_key"),
    ],
)
async def test_a_connection_that_cannot_be_is_refused_with_what_mends_it(
    delivering: Delivering, changes: dict[str, Any], code: str
) -> None:
    """Before anything is stored."""
    answer = await connect(delivering, **changes)
    assert (answer["outcome"], answer["code"]) == ("refused", code), answer
    assert answer["fix"] and await delivering.rows("SELECT * FROM arg_sync.connection") == []


async def test_without_a_private_key_nothing_is_connected(
    delivering: Delivering, tmp_path: Path
) -> None:
    """The refusal names the file; a key that others may read is refused; once it is there and
    closed, the next command is carried out without a restart.
    """
    kept, path = tmp_path / "kept", sealing.key_file()
    box = sealed(SETTINGS)
    path.rename(kept)
    answer = await connect(delivering, sealed_secrets=box)
    assert answer["code"] == "no_ledger_key" and str(path) in answer["message"]
    assert "backoffice ledger key --new" in answer["fix"]
    kept.rename(path)
    path.chmod(0o644)
    answer = await connect(delivering, "c-2", sealed_secrets=box)
    assert answer["code"] == "open_ledger_key" and f"chmod 600 {path}" in answer["fix"]
    path.chmod(0o600)
    assert (await connect(delivering, "c-3", sealed_secrets=box))["outcome"] == "accepted"


@pytest.mark.parametrize("name", sorted(OTHER))
async def test_another_address_or_account_needs_all_secrets_again(
    delivering: Delivering, name: str
) -> None:
    """No stored secret goes to an address that was not given together with it: the refusal names
    the change and the secrets; nothing is stored. With them the connection changes.
    """
    box = sealed(SETTINGS)
    await connect(delivering, sealed_secrets=box)
    settings = SETTINGS | {name: OTHER[name]}
    answer = await connect(delivering, "c-2", settings=settings, sealed_secrets="")
    assert (answer["outcome"], answer["code"]) == ("refused", "secrets_needed"), answer
    assert name in answer["message"] and "password must be given again" in answer["message"]
    (row,) = await delivering.rows("SELECT settings, generation FROM arg_sync.connection")
    assert (row.settings[name], row.generation) == (SETTINGS[name], 1)
    answer = await connect(delivering, "c-3", settings=settings)
    assert answer["outcome"] == "accepted", answer
    # A replay of the first command, and its box under another command: neither is carried out.
    assert (await connect(delivering, sealed_secrets=box))["outcome"] == "accepted"
    again = await connect(delivering, "c-4", settings=settings, sealed_secrets=box)
    assert again["code"] == "sealed_for_other", again
    (row,) = await delivering.rows("SELECT settings, generation FROM arg_sync.connection")
    assert (row.settings[name], row.generation) == (OTHER[name], 2)


@pytest.mark.parametrize(
    "box",
    [
        {"settings": SETTINGS, "ledger": "another"},
        {"settings": SETTINGS | {"base_url": "https://other.example.com"}},
        {"settings": SETTINGS | {"user": "other"}},
    ],
)
async def test_a_box_of_another_connection_or_address_is_not_opened(
    delivering: Delivering, box: dict[str, Any]
) -> None:
    """A reader of the topic cannot have the box opened for another address."""
    answer = await connect(delivering, sealed_secrets=sealed(**box))
    assert answer["code"] == "sealed_for_other", answer
    assert await delivering.rows("SELECT * FROM arg_sync.connection") == []


async def test_a_box_of_another_kind_is_not_opened(delivering: Delivering) -> None:
    """The same name, settings and secret of a kind with the same settings."""
    other = sealed_for(replace(TRYTON, name="xero"), SETTINGS, {"password": "canary-pw"}, "t")
    assert (await connect(delivering, sealed_secrets=other))["code"] == "sealed_for_other"


async def test_a_disconnected_ledger_needs_its_secrets_again(delivering: Delivering) -> None:
    """They were deleted: connected without them, it would send empty ones."""
    await connect(delivering)
    await delivering.tell("disconnect-ledger", ledger="t")
    answer = await connect(delivering, "c-2", sealed_secrets="")
    assert (answer["code"], "password" in answer["message"]) == ("setting_missing", True), answer


XERO = {"tenant_id": "T", "client_id": "C"}


async def connect_xero(
    delivering: Delivering, no: int, settings: dict[str, str], **secrets: str
) -> dict[str, Any]:
    """Connect Xero with these secrets; the answer."""
    spec = adapter_specs()["xero"]
    defaults = {each.name: each.default for each in spec.settings if each.default is not None}
    box = sealed_for(spec, defaults | settings, secrets, "x") if secrets else ""
    given = {"ledger": "x", "kind": "xero", "settings": settings, "sealed_secrets": box}
    return await connect(delivering, f"x-{no}", **given)


async def test_one_more_secret_keeps_the_others_and_drops_tokens(delivering: Delivering) -> None:
    """A webhook key alone is added to what is stored; a token that was got from it is got anew.

    While a worker renews tokens, the command is refused: it would keep an old one.
    """
    assert (await connect_xero(delivering, 1, XERO, client_secret="s", refresh_token="r"))[
        "outcome"
    ] == "accepted"
    await delivering.seal({"client_secret": "s", "refresh_token": "r2", "access_token": "a"}, "x")
    await delivering.rows("UPDATE arg_sync.secret SET renewing_until = now() + interval '1 min'")
    assert (await connect_xero(delivering, 2, XERO, webhook_key="w"))["code"] == "renewing"
    await delivering.rows("UPDATE arg_sync.secret SET renewing_until = NULL")
    assert (await connect_xero(delivering, 3, XERO, webhook_key="w"))["outcome"] == "accepted"
    (row,) = await delivering.rows(
        "SELECT s.sealed, c.settings FROM arg_sync.secret s JOIN arg_sync.connection c"
        " USING (ledger)"
    )
    bound_to = binding_of(adapter_specs()["xero"], "x", row.settings)
    assert sealing.unseal(row.sealed, bound_to) == {
        "client_secret": "s",
        "refresh_token": "r2",
        "webhook_key": "w",
    }
    tokens = {"token_url": "https://login.xero.com/token"}
    answer = await connect_xero(delivering, 4, XERO | tokens, client_secret="s")
    assert answer["code"] == "secrets_needed" and "token_url" in answer["message"]
    assert "refresh_token, webhook_key must be given again" in answer["message"]


async def test_secrets_of_another_address_are_not_sent(
    delivering: Delivering, sample: FakeServer
) -> None:
    """The settings of a connection are changed past the command: the connection stops, and the
    new address gets no call.
    """
    vendor = sample.vendor
    assert isinstance(vendor, SampleVendor)
    async with playing(SampleVendor()) as other:
        await delivering.connect(sample_kind(vendor), sample.url)
        await delivering.close("INV-1")
        await delivering.queue()
        await delivering.rows(
            "UPDATE arg_sync.connection SET generation = generation + 1,"
            " settings = jsonb_set(settings, '{base_url}', to_jsonb(CAST(:url AS text)))",
            url=other.url,
        )
        await delivering.deliver()
        assert other.calls == []
    (row,) = await delivering.rows("SELECT state, message FROM arg_sync.connection")
    assert row.state == "stopped" and "sealed for another connection" in row.message


def test_what_says_where_and_whose_binds_the_secrets() -> None:
    """Every setting with an address or an account, of every kind."""
    bound = {name: spec.bound for name, spec in adapter_specs().items()}
    assert bound == {
        "tryton": ["base_url", "database", "user"],
        "xero": ["tenant_id", "client_id", "base_url", "token_url"],
        "quickbooks": ["realm_id", "client_id", "base_url", "token_url"],
        "business-central": [
            "tenant",
            "environment",
            "company_id",
            "client_id",
            "base_url",
            "token_url",
        ],
        "netsuite": ["account_id", "client_id", "certificate_id", "base_url", "token_url"],
        "sage-intacct": ["sender_id", "company_id", "user_id", "entity_id", "base_url"],
        "webhook": ["base_url"],
        "file-drop": ["base_url", "user", "host_key"],
    }


async def test_the_key_pair_is_made_once_and_published(
    delivering: Delivering, configure: Configure, tmp_path: Path
) -> None:
    """The first start makes the private key (0600) and publishes the public one; a replica
    without the file makes no second one; a file that appears later is published without a restart.
    """
    configure(data=tmp_path / "first")
    job = publish_key()
    for _ in range(2):
        await delivering.unit_of_work.transact(job)
    path = sealing.key_file()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    published = "SELECT public_key FROM arg_sync.console_sealing_key"
    first = sealing.public_key_of(sealing.read_private_key())
    assert [row.public_key for row in await delivering.rows(published)] == [first]
    configure(data=tmp_path / "second")
    later = publish_key()
    await delivering.unit_of_work.transact(later)
    assert not sealing.key_file().exists()
    sealing.make_private_key(sealing.key_file())
    await delivering.unit_of_work.transact(later)
    second = sealing.public_key_of(sealing.read_private_key())
    assert [row.public_key for row in await delivering.rows(published)] == [second] != [first]


async def test_no_ledger_is_connected_to_a_self_billing_agreement(delivering: Delivering) -> None:
    """Its documents are payables: as invoices in a ledger they would be revenue (msp.md 3.4)."""
    answer = await connect(delivering, billing_company="S-1@acme-us")
    assert answer["code"] == "not_available_yet", answer
    assert await delivering.rows("SELECT * FROM arg_sync.connection") == []


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
    assert row.check_outcome == "failed" and "refuses our login" in row.check_message
    (row,) = await delivering.rows("SELECT state FROM arg_sync.connection")
    assert row.state == "login refused", "also a connection that only was tested"
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
