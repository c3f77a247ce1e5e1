"""Webhooks on the worker's HTTP port, `POST /webhooks/<connection>`.

A signed webhook requests a poll of the connection's payments and does nothing else: its content is
neither trusted nor stored. Unknown connections and wrong signatures get the same empty 401; Xero
sends wrong signatures on purpose when it checks the address ("intent to receive").
"""

import asyncio
import contextlib
from typing import Any
from urllib.parse import unquote

from sqlalchemy.ext.asyncio import AsyncEngine

from services.arg_sync.connections.handlers.adapters import StoredSecrets, binding_of
from services.arg_sync.connections.store.connections import connection_for
from services.arg_sync.ledgers.failures import Failure
from services.arg_sync.ledgers.registry import adapter_specs
from services.arg_sync.payments import store
from services.arg_sync.payments.rules import SIGNATURE_HEADERS, WEBHOOK_KEY, is_signed
from shared.database import infrastructure_unavailable

PATH = "/webhooks/"
BODY_BYTES = 1_000_000
BODY_SECONDS = 5.0


async def answer_webhook(engine: AsyncEngine, scope: Any, receive: Any, send: Any) -> None:
    """Answer 200 if the body is signed, 401 if not, and 405, 408 or 413 for a bad request.

    503 means that the database is unavailable: the sender repeats the webhook.
    """
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
    ledger = unquote(scope["path"].removeprefix(PATH))
    try:
        return 200 if await _request_poll_if_signed(engine, ledger, headers, body) else 401
    except Exception as error:
        if infrastructure_unavailable(error):
            return 503
        raise


async def _body(receive: Any) -> bytes | None:
    """Return the whole body; None as soon as it is too large."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > BODY_BYTES or message["type"] == "http.disconnect":
            return None
        if not message.get("more_body", False):
            return bytes(body)


async def _request_poll_if_signed(
    engine: AsyncEngine, ledger: str, headers: dict[str, str], body: bytes
) -> bool:
    async with engine.connect() as connection:
        known = await connection_for(connection, ledger)
    key = ""
    spec = adapter_specs().get(known.kind) if known is not None else None
    if known is not None and spec is not None and known.state != "disconnected":
        stored = StoredSecrets(engine, ledger, binding_of(spec, ledger, known.settings))
        with contextlib.suppress(Failure):  # without the private key no webhook can be verified
            key = (await stored.read()).values.get(WEBHOOK_KEY, "")
    header = SIGNATURE_HEADERS.get(known.kind if known else "", "")
    if not is_signed(key, body, headers.get(header, "")):
        return False
    async with engine.begin() as connection:
        await store.request_poll(connection, ledger)
    return True
