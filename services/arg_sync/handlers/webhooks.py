"""Webhooks on the worker's HTTP port, `POST /webhooks/<connection>`: a verified one means "read the payments of this connection soon", no more.

Whatever it says is not believed and not kept: the poll asks the accounting system itself. Unknown connections and wrong signatures get the
same 401, in which nothing stands; Xero sends wrong ones on purpose when it checks the address ("intent to receive").
"""

import asyncio
import contextlib
from typing import Any
from urllib.parse import unquote

from sqlalchemy.ext.asyncio import AsyncEngine

from services.arg_sync.handlers.ports import LedgerVault
from services.arg_sync.ledgers.port import Failure
from services.arg_sync.rules.webhooks import HEADERS, KEY, is_signed
from services.arg_sync.store import connections, payments
from shared.database import infrastructure_unavailable

PATH = "/webhooks/"
BODY_BYTES = 1_000_000
BODY_SECONDS = 5.0


async def answer_webhook(engine: AsyncEngine, scope: Any, receive: Any, send: Any) -> None:
    """200 if it is signed, 401 if not, 405, 408, 413 if it is none that we read, 503 if the books are away: then it is sent again."""
    status = await _status(engine, scope, receive)
    await send(
        {"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]}
    )
    await send({"type": "http.response.body", "body": b""})


async def _status(engine: AsyncEngine, scope: Any, receive: Any) -> int:
    if scope["method"] != "POST":
        return 405
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await _body(receive)
    except TimeoutError:
        return 408
    if body is None:
        return 413
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    try:
        return (
            200
            if await _taken(engine, unquote(scope["path"].removeprefix(PATH)), headers, body)
            else 401
        )
    except Exception as error:
        if infrastructure_unavailable(error):
            return 503
        raise


async def _body(receive: Any) -> bytes | None:
    """The whole body; None as soon as it is too large."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > BODY_BYTES or message["type"] == "http.disconnect":
            return None
        if not message.get("more_body", False):
            return bytes(body)


async def _taken(engine: AsyncEngine, ledger: str, headers: dict[str, str], body: bytes) -> bool:
    async with engine.connect() as connection:
        known = await connections.connection_for(connection, ledger)
    key = ""
    if known is not None and known.state != "disconnected":
        with contextlib.suppress(Failure):  # the key that seals is missing: nobody can be verified
            key = (await LedgerVault(engine, ledger).read()).values.get(KEY, "")
    if not is_signed(key, body, headers.get(HEADERS.get(known.kind if known else "", ""), "")):
        return False
    async with engine.begin() as connection:
        await payments.ask(connection, ledger)
    return True
