"""The webhook: the suite of all adapters, the signature, receivers without look-up, the example."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from services.arg_sync.ledgers.adapter import FrozenRequest
from services.arg_sync.ledgers.documents import ArDocument
from services.arg_sync.ledgers.failures import Failure
from services.arg_sync.ledgers.webhook import LEDGER, Webhook, signatures
from tests.ledgers.fake import Fault, Reply, playing
from tests.ledgers.suite import (
    LedgerSuite,
    OpenVault,
    Stage,
    create,
    document,
    host,
    outcome_of,
)
from tests.ledgers.vendors.webhook import SECRET, WebhookVendor
from tests.running import free_port

PUBLISHED, PUBLISHED_BODY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", '{"test": 2432232314}'
EXAMPLE = Path(__file__).parents[2] / "examples" / "webhook_receiver.py"


@contextlib.asynccontextmanager
async def webhook_stage(look_up: str = "yes", **of_vendor: bool) -> AsyncIterator[Stage]:
    """A receiver, with a patient and an impatient adapter."""
    async with playing(WebhookVendor(**of_vendor)) as server:
        settings = {"base_url": f"{server.url}/hook", "look_up": look_up}
        ports = [
            LEDGER.make(host(can, settings, {"secret": SECRET}, LEDGER.settings))
            for can in (LEDGER.capabilities, replace(LEDGER.capabilities, request_seconds=0.5))
        ]
        yield Stage(*ports, server, (SECRET,), {"account": "4000", "tax": "T10"})
        for port in ports:
            await port.close()


class TestWebhook(LedgerSuite):
    """The receiver of the contract."""

    @pytest.fixture
    async def stage(self) -> AsyncIterator[Stage]:
        """One that offers look-ups."""
        async with webhook_stage() as made:
            yield made


def vendor_of(stage: Stage) -> WebhookVendor:
    """Its receiver."""
    assert isinstance(stage.server.vendor, WebhookVendor)
    return stage.server.vendor


async def test_the_signature_is_that_of_standard_webhooks() -> None:
    """Id, timestamp and body are signed: the vector that the libraries of Standard Webhooks
    publish with their tests.
    """
    signed = signatures([PUBLISHED], "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", PUBLISHED_BODY)
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert len(signatures(["a", "b"], "msg-1", "1700000000", "{}").split()) == 2
    with pytest.raises(Failure) as failed:
        signatures(["whsec_?"], "msg-1", "1", "")
    assert failed.value.failure == "auth" and "whsec_?" not in failed.value.message


async def test_a_wrong_secret_is_sent_once_and_stops() -> None:
    """The receiver refuses the signature: `auth`, and no renewal tries it again."""
    async with webhook_stage() as stage:
        vendor_of(stage).secret = "another"
        with pytest.raises(Failure) as failed:
            await stage.port.check()
        with pytest.raises(Failure):
            await stage.port.renew()
        assert failed.value.failure == "auth" and len(vendor_of(stage).asked) == 1


async def test_a_refusal_that_quotes_our_secret_does_not_show_it() -> None:
    """A receiver that prints what it was given; the stored message has no secret."""
    async with webhook_stage() as stage:
        quoted = Reply.of(422, {"error": f"not {SECRET} but another"})
        vendor_of(stage).handle = lambda asked: quoted  # type: ignore[method-assign]
        with pytest.raises(Failure) as failed:
            await stage.port.check()
        refused = await outcome_of(stage.port, stage.port.render(document(stage), "Mercy"))
        for each in (failed.value, refused):
            assert "but another" in each.message and SECRET not in f"{each.message} {each.raw}"


async def test_a_document_has_one_key_whatever_the_engine_calls_the_request() -> None:
    """A retry after a fix is a new request under a new key of the engine; the receiver sees the
    key of the document, so it cannot make a second one.
    """
    async with webhook_stage() as stage:
        request = stage.port.render(document(stage), "Mercy Hospital")
        frozen = [FrozenRequest(key, request, "invoice", "INV-000001") for key in ("k-1", "k-2")]
        first, again = [(await stage.port.create([each]))[0] for each in frozen]
        assert first == again and len(stage.accepted) == 1


async def test_without_look_up_the_key_alone_protects() -> None:
    """After a lost answer nothing can be looked up; the repeat bears the same key and gets the
    first answer. What cannot be read is never reported as gone.
    """
    async with webhook_stage("no", echoes=False) as stage:
        request = stage.port.render(document(stage), "Mercy Hospital")
        stage.server.plan(Fault("reset"))
        assert (await outcome_of(stage.port, request)).failure == "unknown"
        assert (await stage.port.find("invoice", ["INV-000001"]))["INV-000001"] == []
        made = await create(stage.port, document(stage))
        assert (made.remote_id, made.total, made.number) == (
            "W1",
            document(stage).total,
            "INV-000001",
        )
        assert len(stage.accepted) == 1
        with pytest.raises(Failure) as failed:
            await stage.port.status("invoice", ["W1"])
        assert (failed.value.failure, failed.value.code) == ("permanent", "no_look_up")
        assert "HTTP 404" in await stage.port.check()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://bridge.example.com/hook", "needs https"),
        ("https://10.0.0.7/hook", "private network"),
        ("https://localhost/hook", "private network"),
        ("https://user:pw@bridge.example.com/", "no user"),
    ],
)
def test_an_address_that_is_not_allowed_is_refused(url: str, words: str) -> None:
    """Plain HTTP, this machine and private networks are refused when it is connected."""
    with pytest.raises(Failure) as failed:
        Webhook(host(LEDGER.capabilities, {"base_url": url}, {"secret": SECRET}, LEDGER.settings))
    assert words in failed.value.message


async def test_a_404_page_is_not_an_answer() -> None:
    """A proxy's page for a wrong address does not mean that a document is gone."""
    async with webhook_stage() as stage:
        page = Reply(404, b"<html>Not Found</html>", {"content-type": "text/html"})
        vendor_of(stage).handle = lambda asked: page  # type: ignore[method-assign]
        with pytest.raises(Failure) as failed:
            await stage.port.find("invoice", ["INV-000001"])
        assert (failed.value.failure, failed.value.code) == ("transient", "unreadable")


def a_document(number: str = "INV-000001") -> ArDocument:
    """A document for a receiver that no stage plays."""
    codes = {"account": "4000", "tax": "T10"}
    return document(Stage(None, None, None, (), codes), number)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def example_receiver(port: int, store: Path, secret: str = SECRET) -> AsyncIterator[str]:
    """The example as a process of its own."""
    command = [sys.executable, str(EXAMPLE), str(port), secret, str(store)]
    process = await asyncio.create_subprocess_exec(*command)
    try:
        url = f"http://127.0.0.1:{port}/hook"
        async with httpx2.AsyncClient(trust_env=False) as client:
            for _ in range(200):
                with contextlib.suppress(httpx2.HTTPError):
                    assert (await client.get(url)).status_code == 401
                    break
                await asyncio.sleep(0.05)
        yield url
    finally:
        process.kill()
        await process.wait()


async def test_the_example_receiver_takes_each_document_once(tmp_path: Path) -> None:
    """Forty lines keep the contract: signature, a repeat, a kill, look-ups by key and by id."""
    assert len(EXAMPLE.read_text().splitlines()) <= 40
    port = free_port()
    async with example_receiver(port, tmp_path / "kept.db") as url:
        context = host(
            LEDGER.capabilities,
            {"base_url": url, "look_up": "yes"},
            {"secret": SECRET},
            LEDGER.settings,
        )
        adapter = Webhook(context)
        assert "takes our signature" in await adapter.check()
        made = await create(adapter, a_document())
        assert await create(adapter, a_document()) == made
        wrong = Webhook(replace(context, secret_store=OpenVault({"secret": "wrong"})))
        with pytest.raises(Failure, match="auth"):
            await create(wrong, a_document("INV-000002"))
        await wrong.close()
    async with example_receiver(port, tmp_path / "kept.db"):
        (found,) = (await adapter.find("invoice", ["INV-000001"]))["INV-000001"]
        assert found == made == (await adapter.status("invoice", ["D1"]))["D1"]
        assert (await adapter.status("invoice", ["D2"]))["D2"] is None
    await adapter.close()


async def test_the_example_receiver_refuses_what_the_contract_refuses(tmp_path: Path) -> None:
    """A secret with whsec_; 409 for a known key with another body, which is a duplicate; 401 for a
    signature or a time that is wrong, whatever the header holds.
    """
    async with example_receiver(free_port(), tmp_path / "kept.db", PUBLISHED) as url:
        settings = {"base_url": url, "look_up": "yes"}
        adapter = Webhook(host(LEDGER.capabilities, settings, {"secret": PUBLISHED}))
        request = adapter.render(a_document(), "Mercy Hospital")
        made = await create(adapter, a_document())
        other = request.replace("Mercy", "Grace")
        assert (await outcome_of(adapter, other)).failure == "duplicate"
        assert await create(adapter, a_document()) == made
        await adapter.close()
        async with httpx2.AsyncClient(trust_env=False) as client:
            now = int(time.time())
            for stamp, status in ((now, 200), (now - 400, 401), ("soon", 401), ("9" * 400, 401)):
                headers = {
                    "webhook-id": "D1",
                    "webhook-timestamp": str(stamp),
                    "webhook-signature": "v0,no " + signatures([PUBLISHED], "D1", str(stamp), ""),
                }
                assert (await client.get(url, headers=headers)).status_code == status, stamp
