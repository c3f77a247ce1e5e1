"""Webhooks on the worker's own HTTP server: a signature is verified, and the body only says that
payments are to be read soon.
"""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator

import httpx2
import pytest

from services.arg_sync.app import service
from services.arg_sync.payments.handlers.webhooks import BODY_BYTES
from shared.consumer.application import build_app
from tests.conftest import Configure
from tests.ledgers.delivering import Delivering
from tests.running import free_port

HOOK_KEY = "canary-hook-3c71"


def signed(body: bytes, key: str = HOOK_KEY) -> str:
    """As Xero and Intuit sign."""
    return base64.b64encode(hmac.new(key.encode(), body, hashlib.sha256).digest()).decode()


@pytest.fixture
async def delivering(delivering: Delivering, configure: Configure) -> Delivering:
    """Three connections, the payments of which were read lately; `plain` was given no key for
    webhooks.
    """
    configure(http_port=free_port(), kafka="127.0.0.1:1")
    for ledger, kind in (("us", "xero"), ("uk", "quickbooks"), ("plain", "xero")):
        await delivering.rows(
            "INSERT INTO arg_sync.connection (ledger, kind, billing_company, settings, auto_sync,"
            " state, actor, connected_at)"
            " VALUES (:ledger, :kind, 'acme-us', '{}', true, 'connected', 'pat', now())",
            ledger=ledger,
            kind=kind,
        )
        secrets = {"client_secret": "x"} | ({"webhook_key": HOOK_KEY} if ledger != "plain" else {})
        await delivering.seal(secrets, ledger)
        await delivering.rows(
            "INSERT INTO arg_sync.payment_cursor (ledger, generation, next_at) VALUES (:ledger, 1,"
            " now() + interval '1 hour')",
            ledger=ledger,
        )
    return delivering


@pytest.fixture
async def worker(delivering: Delivering) -> AsyncIterator[httpx2.AsyncClient]:
    """The HTTP server of a worker, and a client of it."""
    from shared.settings import settings

    app = build_app(service())
    task = asyncio.create_task(app.http_server().serve())
    async with httpx2.AsyncClient(
        base_url=f"http://127.0.0.1:{settings().http_port}", trust_env=False
    ) as client:
        for _ in range(100):
            try:
                await client.get("/livez")
                break
            except httpx2.HTTPError:
                await asyncio.sleep(0.05)
        yield client
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await app.worker.unit_of_work.engine.dispose()


async def asked(delivering: Delivering) -> set[str]:
    """The connections whose payments are to be read now."""
    return {
        row.ledger
        for row in await delivering.rows(
            "SELECT ledger FROM arg_sync.payment_cursor WHERE poll_requested"
        )
    }


BODY = json.dumps(
    {
        "events": [{"resourceUrl": "http://169.254.169.254/", "eventCategory": "INVOICE"}],
        "entropy": "ABC",
    }
).encode()


@pytest.mark.parametrize(
    ("ledger", "header"), [("us", "x-xero-signature"), ("uk", "intuit-signature")]
)
async def test_a_signed_webhook_asks_for_a_poll(
    delivering: Delivering, worker: httpx2.AsyncClient, ledger: str, header: str
) -> None:
    """200 without a body; of this connection payments are read soon, of no other."""
    answer = await worker.post(f"/webhooks/{ledger}", content=BODY, headers={header: signed(BODY)})
    assert (answer.status_code, answer.content) == (200, b"")
    assert await asked(delivering) == {ledger}


async def test_intent_to_receive(delivering: Delivering, worker: httpx2.AsyncClient) -> None:
    """Xero checks the address with signatures that are good and others that are not: 200 and
    401.
    """
    body = b'{"events":[],"firstEventSequence":0,"lastEventSequence":0,"entropy":"S0m3r4nd0mt3xt"}'
    good, bad = signed(body), signed(body, "another")
    codes = [
        (
            await worker.post("/webhooks/us", content=body, headers={"x-xero-signature": signature})
        ).status_code
        for signature in (good, bad, good)
    ]
    assert codes == [200, 401, 200]


@pytest.mark.parametrize(
    ("path", "headers", "body", "status"),
    [
        ("us", {"x-xero-signature": signed(BODY, "another")}, BODY, 401),
        ("us", {"x-xero-signature": signed(BODY)}, BODY + b" ", 401),
        ("us", {"intuit-signature": signed(BODY)}, BODY, 401),
        ("us", {}, BODY, 401),
        ("us", {"x-xero-signature": ""}, b"", 401),
        ("plain", {"x-xero-signature": signed(BODY, "")}, BODY, 401),
        ("no one", {"x-xero-signature": signed(BODY)}, BODY, 401),
        ("us'; DROP TABLE x", {"x-xero-signature": signed(BODY)}, BODY, 401),
        ("us", {"x-xero-signature": signed(b"x" * (BODY_BYTES + 1))}, b"x" * (BODY_BYTES + 1), 413),
    ],
)
async def test_anything_else_asks_for_nothing(
    delivering: Delivering,
    worker: httpx2.AsyncClient,
    path: str,
    headers: dict[str, str],
    body: bytes,
    status: int,
) -> None:
    """Another key, another body, another header, no header, no key of ours, no such connection:
    the same empty 401. Too large: 413.
    """
    answer = await worker.post(f"/webhooks/{path}", content=body, headers=headers)
    assert (answer.status_code, answer.content) == (status, b"")
    assert await asked(delivering) == set()


async def test_only_post_is_answered_and_health_stays(
    delivering: Delivering, worker: httpx2.AsyncClient
) -> None:
    """A browser that looks sees nothing; metrics and health are where they were."""
    assert (await worker.get("/webhooks/us")).status_code == 405
    assert (await worker.get("/metrics")).status_code == 200


async def test_a_disconnected_ledger_takes_none(
    delivering: Delivering, worker: httpx2.AsyncClient
) -> None:
    """Nothing is read of a connection that was ended."""
    await delivering.rows("UPDATE arg_sync.connection SET state = 'disconnected'")
    assert (
        await worker.post("/webhooks/us", content=BODY, headers={"x-xero-signature": signed(BODY)})
    ).status_code == 401
    assert await asked(delivering) == set()
