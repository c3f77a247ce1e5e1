"""The lag exporter goes on whatever Kafka does, and says what it does not know."""

import asyncio
import contextlib
import json
from typing import Any

import pytest

from shared.lag_exporter import LagExporter


class Broken(LagExporter):
    """Its readings end with the error that is named."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self._error = error
        self.readings = 0

    async def _read(self) -> None:
        self.readings += 1
        raise self._error


async def page(exporter: LagExporter, path: str) -> tuple[int, str]:
    """Status and text of a page."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await exporter({"path": path, "query_string": b"points=x&group=", "type": "http"}, None, send)
    return sent[0]["status"], sent[1]["body"].decode()


@pytest.mark.parametrize("error", [OSError("gone"), TimeoutError(), asyncio.CancelledError()])
async def test_a_reading_that_fails_is_a_gap_and_the_next_one_comes(
    monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """aiokafka may let out that it cancelled a task of its own: the exporter goes on with its
    history, and ends only when it is asked to.
    """
    monkeypatch.setattr("shared.lag_exporter.RETRY_SECONDS", 0.01)
    exporter = Broken(error)
    reading = asyncio.create_task(exporter.read_on())
    while exporter.readings < 3 and not reading.done():
        await asyncio.sleep(0.01)
    assert exporter.readings > 1 and not reading.done()
    status, text = await page(exporter, "/lag")
    found = json.loads(text)
    assert status == 200 and "cannot be read from Kafka" in found["failure"]
    assert all(group["behind"] is None for group in found["groups"])
    assert (await page(exporter, "/readyz"))[0] == 503
    reading.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await reading
    assert reading.cancelled()
