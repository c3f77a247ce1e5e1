"""Both ways with running workers and real Kafka: delivered, paid there, notified by webhook,
read back, recorded by the invoicer, taken back.
"""

import asyncio
import base64
import hashlib
import hmac
import subprocess
import sys
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from services.arg_sync.ledgers.xero import LEDGER as XERO
from services.console.queries.invoices import invoice
from tests.conftest import Configure, EngineOf, UnitOfWorkFor, as_console
from tests.ledgers.delivering import Delivering, with_private_key
from tests.ledgers.fake import playing
from tests.ledgers.vendors import xero
from tests.ledgers.vendors.login import CLIENT_ID, CLIENT_SECRET, REFRESH
from tests.running import ROOT, Running, running, until

HOOK_KEY = "canary-hook-9d20"
pytestmark = pytest.mark.timeout(180)


async def standing(delivering: Delivering, wanted: tuple[str, Decimal]) -> Any:
    """State and what is paid, once it is what is wanted."""
    async with as_console(delivering.engine_of("console")) as connection:
        found = await invoice(connection, "INV-1")
    return (found["state"], found["paid"]) == wanted and found


async def webhook(worker: Running, key: str = HOOK_KEY) -> int:
    """As Xero calls; the status."""
    body = b'{"events": [{"eventCategory": "INVOICE", "eventType": "UPDATE"}]}'
    signature = base64.b64encode(hmac.new(key.encode(), body, hashlib.sha256).digest()).decode()
    async with httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.post(
            f"http://127.0.0.1:{worker.port}/webhooks/gl-us",
            content=body,
            headers={"x-xero-signature": signature},
        )
    return answer.status_code


async def posted(delivering: Delivering) -> bool:
    """Whether all is delivered, and payments were read once."""
    polls = await delivering.rows(
        "SELECT 1 FROM arg_sync.payment_cursor WHERE read_at IS NOT NULL AND polling_until IS NULL"
    )
    return bool(polls) and set((await delivering.states()).values()) == {"posted"}


async def test_a_payment_comes_back_within_seconds_of_its_webhook(
    stack: dict[str, str],
    engine_of: EngineOf,
    unit_of_work_for: UnitOfWorkFor,
    configure: Configure,
    tmp_path: Path,
) -> None:
    """Part paid, paid, taken back: the tables of the invoicer follow; a reconciliation by
    command finds the ledger as it should be.
    """
    with_private_key(configure, Path(stack["BACKOFFICE_DATA"]))
    delivering = Delivering(engine_of, unit_of_work_for)
    vendor = xero.XeroVendor()
    async with playing(vendor) as server:
        urls = {
            "token_url": server.url + "/token",
            "client_id": CLIENT_ID,
            "tenant_id": xero.TENANT,
        }
        await delivering.connect(XERO, server.url + xero.BASE, **urls)
        secrets = {
            "client_secret": CLIENT_SECRET,
            "refresh_token": REFRESH,
            "webhook_key": HOOK_KEY,
        }
        await delivering.seal(secrets)
        await delivering.map(account="200", tax="OUTPUT")
        closed = await delivering.close("INV-1")
        await delivering.queue()
        async with running(stack, tmp_path, "arg_sync", "invoicer") as (worker, _):
            await until("delivered", partial(posted, delivering), 60)
            paid = partial(until, within=60.0)
            first = vendor.pay("INV-1", "1000.00")
            assert await webhook(worker, "another") == 401
            assert await webhook(worker) == 200
            await paid(
                "part paid", partial(standing, delivering, ("part paid", Decimal("1000.00")))
            )
            vendor.pay("INV-1", str(closed.total - 1000))
            assert await webhook(worker) == 200
            await paid("paid", partial(standing, delivering, ("paid", closed.total)))
            vendor.cancel(first)
            assert await webhook(worker) == 200
            await paid(
                "taken back", partial(standing, delivering, ("part paid", closed.total - 1000))
            )
            done = await _console(stack, "reconcile", "--ledger", "gl-us", "--json")
            assert '"outcome": "done"' in done and '"drifts": []' in done, done
        check_logs(tmp_path, HOOK_KEY, CLIENT_SECRET)


def check_logs(folder: Path, *secrets: str) -> None:
    """No log has a secret."""
    logs = "".join(path.read_text() for path in folder.glob("*.log"))
    assert logs and not [secret for secret in secrets if secret in logs]


async def _console(environment: dict[str, str], *arguments: str) -> str:
    """What `backoffice` prints."""
    program = Path(sys.executable).with_name("backoffice")
    run = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(run.communicate(), 90)
    assert run.returncode == 0, f"{out.decode()}\n{err.decode()}"
    return out.decode()
