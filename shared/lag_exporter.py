"""Exports the lag of every consumer group, whether its worker runs or not.

`python -m shared.lag_exporter` serves `/metrics`, `/lag`, `/readyz`, and `/healthz` (`/livez` is
the same) on `BACKOFFICE_HTTP_PORT`. It is no member of a group and needs no database. A worker
cannot do this: its lag would vanish with it, just when it is needed.

Kafka is asked once in `BACKOFFICE_SWEEP_SECONDS`, however many pages are asked for. The readings
of the last hour stay in memory: `/lag` has them as JSON, `?points=N` with at most N points of each
group, `?group=NAME` of one group. While Kafka does not answer there are no series and the history
has a gap, because a lag of before would look like one of now.
"""

import asyncio
import contextlib
import json
import signal
import time
from types import FrameType
from typing import Any
from urllib.parse import parse_qs

import uvicorn
from prometheus_client import make_asgi_app

from shared import telemetry
from shared.broker.security import kafka_access
from shared.consumer import upstream
from shared.consumer.lag import LagReader, export, groups_of
from shared.consumer.lag_history import SAMPLES, LagHistory
from shared.consumer.worker import short
from shared.settings import settings

NAME = "lag_exporter"
READ_SECONDS = 8.0
"""Less than the 10 s after which Prometheus gives up a scrape by default."""
RETRY_SECONDS = 2.0
SERIES = ("kafka_consumergroup_lag", "kafka_consumergroup_lag_seconds")
OK, NOT_FOUND, UNAVAILABLE = 200, 404, 503
PLAIN, JSON = b"text/plain; charset=utf-8", b"application/json"


class LagExporter:
    """The ASGI application, and the connections to Kafka between two questions."""

    def __init__(self) -> None:
        self._metrics = make_asgi_app(registry=telemetry.REGISTRY.restricted_registry(SERIES))
        self._reader: LagReader | None = None
        self._turn = asyncio.Lock()
        self._next_at = 0.0
        self._failure = ""
        self._history = LagHistory(groups_of())
        self._started_at = time.time()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        path = scope["path"].rstrip("/")
        if path in ("/metrics", "/lag", "/readyz") and self._is_new:
            await self._refresh()
        if path == "/metrics":
            await self._metrics(scope, receive, send)
        elif path == "/lag":
            await _answer(send, OK, self._lag(scope["query_string"]), JSON)
        elif path == "/readyz":
            await _answer(
                send, UNAVAILABLE if self._failure else OK, self._failure or "lag is read"
            )
        elif path in ("/healthz", "/livez"):
            await _answer(send, OK, "the process is up")
        else:
            await _answer(send, NOT_FOUND, "see /metrics, /lag, /healthz and /readyz")

    @property
    def _is_new(self) -> bool:
        """Whether nothing is read yet: then a page waits for the first reading."""
        return self._next_at == 0.0

    async def read_on(self) -> None:
        """Read the lag again and again: a page shows the last reading and does not wait."""
        while True:
            await self._refresh()
            await asyncio.sleep(max(0.0, self._next_at - time.monotonic()))

    async def close(self) -> None:
        """Disconnect."""
        reader, self._reader = self._reader, None
        if reader is not None:
            with contextlib.suppress(Exception, asyncio.CancelledError):
                await reader.__aexit__()

    async def _refresh(self) -> None:
        """Read the lag unless it is new enough; who asks at the same time shares it."""
        async with self._turn:
            if time.monotonic() < self._next_at:
                return
            failure, pause = "", settings().sweep_seconds
            try:
                async with asyncio.timeout(READ_SECONDS):
                    await self._read()
            except (Exception, asyncio.CancelledError) as error:
                # aiokafka 0.14 lets the cancellation of a task of its own out when Kafka is slow.
                if _is_cancelled():
                    raise
                why = f"no answer within {READ_SECONDS:g} s" if _is_late(error) else short(error)
                failure, pause = f"the lag cannot be read from Kafka: {why}", RETRY_SECONDS
                export(())
                self._history.add(time.time(), (), {})
                await self.close()
            if failure and not self._failure:
                telemetry.log().warning("the lag cannot be read; trying again", reason=failure)
            self._failure, self._next_at = failure, time.monotonic() + pause

    async def _read(self) -> None:
        if self._reader is None:
            self._reader = await LagReader(kafka_access()).__aenter__()
        lags = await self._reader.with_ages(await self._reader.lag(groups_of()))
        members = await self._reader.members()
        export(lags)
        self._history.add(time.time(), lags, members)

    def _lag(self, query: bytes) -> str:
        """What the history knows, since when this exporter runs, and why it cannot read now."""
        asked = {name: values[-1] for name, values in parse_qs(query.decode("latin-1")).items()}
        points = asked.get("points", "")
        known = self._history.as_dict(
            min(SAMPLES, int(points)) if points.isdecimal() and len(points) < 10 else SAMPLES,
            asked.get("group"),
        )
        return json.dumps({"failure": self._failure, "started_at": self._started_at, **known})


class _Server(uvicorn.Server):
    """Waits for its end; uvicorn looks ten times a second, which would be half of the idle cost."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._over = asyncio.Event()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop after the current requests."""
        super().handle_exit(sig, frame)
        self._over.set()

    async def main_loop(self) -> None:
        """Wait for a signal."""
        await self._over.wait()


def _is_late(error: BaseException) -> bool:
    return isinstance(error, TimeoutError | asyncio.CancelledError)


def _is_cancelled() -> bool:
    """Whether the current task itself is asked to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _answer(send: Any, status: int, text: str, kind: bytes = PLAIN) -> None:
    headers = [(b"content-type", kind)]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


async def serve() -> None:
    """Serve until SIGTERM or SIGINT."""
    telemetry.log_setup(NAME)
    upstream.decode_within_limits()
    exporter = LagExporter()
    server = _Server(
        uvicorn.Config(
            exporter,
            host=settings().http_host,
            port=settings().http_port,
            log_level="warning",
            access_log=False,
            lifespan="off",
        )
    )
    # uvicorn repeats a signal when it has ended; the process then exits with 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, server.handle_exit, number, None)
    reading = asyncio.create_task(exporter.read_on(), name="lag")
    # Without the readings the process would serve an old lag: it ends, and is started again.
    reading.add_done_callback(lambda _: server.handle_exit(signal.SIGTERM, None))
    try:
        await server.serve()
    finally:
        reading.cancel()
        await exporter.close()


if __name__ == "__main__":
    asyncio.run(serve())
