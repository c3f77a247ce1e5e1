"""Webhooks: the body in parts, and its signature; nothing of the content is read."""

from typing import Any

from services.arg_sync.payments.handlers.webhooks import BODY_BYTES, _body
from services.arg_sync.payments.rules import is_signed
from tests.fuzz.hostile import Picks, loop


async def read(data: bytes) -> None:
    """A body in parts of chosen lengths, and a signature."""
    picks = Picks(data)
    most = picks.number(40)
    sent = 0

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if picks.number(16) == 1:
            return {"type": "http.disconnect"}
        part = b"x" * (picks.number(1 << 16) + 1)
        sent += 1
        return {"type": "http.request", "body": part, "more_body": sent < most}

    body = await _body(receive)
    assert body is None or len(body) <= BODY_BYTES
    signature = picks.rest.decode("latin-1")
    assert not is_signed("key", body or b"", signature)
    assert not is_signed("", body or b"", signature)


def run(data: bytes) -> None:
    """One request."""
    loop().run_until_complete(read(data))
