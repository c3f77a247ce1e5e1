"""What the processes themselves say: readiness, progress and start of workers, and the lag.

A worker serves `/readyz` and `/metrics`, the lag exporter `/lag`. Where they are is in the state of
the stack of the data folder, or in the setting `worker_pages`.
"""

import asyncio
import time
from typing import Any

import httpx2
import psutil
from prometheus_client.parser import text_string_to_metric_families

from services.console.addresses import WorkerPage, find_worker_pages
from services.console.queries.monitoring import duration
from services.console.queries.snapshot import Row
from shared.errors import Unavailable

PAGE_SECONDS = 2.0
LAG_SECONDS = 9.0
"""The exporter may wait 8 s for Kafka before it says that Kafka does not answer."""
LAG_EXPORTER = "lag_exporter"
STARTED = "backoffice_start_time_seconds"
PROGRESS = "backoffice_last_progress_age_seconds"
OK = 200


async def workers() -> list[Row]:
    """Every process: whether it is ready, else why not, since when it runs, its restarts, and how
    long ago it made progress. Each replica that does not answer has a row, too.
    """
    pages = await find_worker_pages()
    async with _client(PAGE_SECONDS) as client:
        return await asyncio.gather(*(_worker(client, page) for page in pages))


async def lag(points: int, group: str | None = None) -> dict[str, Any]:
    """The lag of each group, or of one, with its last hour in at most `points` points.

    Raises `Unavailable` with what to do if no lag exporter answers.
    """
    pages = [page for page in await find_worker_pages() if page.service == LAG_EXPORTER]
    if not pages:
        raise Unavailable(
            "no lag exporter is known: start the stack with `backoffice up`, or set"
            " BACKOFFICE_WORKER_PAGES to lag_exporter=HOST:PORT"
        )
    asked = {"points": str(points)} | ({"group": group} if group else {})
    try:
        async with _client(LAG_SECONDS) as client:
            answer = await client.get(f"{pages[0].url}/lag", params=asked)
            answer.raise_for_status()
            found: dict[str, Any] = answer.json()
    except (httpx2.HTTPError, ValueError) as error:
        raise Unavailable(
            f"the lag exporter does not answer at {pages[0].url} ({type(error).__name__}):"
            " see its log, or `backoffice status`"
        ) from error
    return found


async def _worker(client: httpx2.AsyncClient, page: WorkerPage) -> Row:
    ready, reason = await _get(client, f"{page.url}/readyz")
    _, metrics = await _get(client, f"{page.url}/metrics")
    values = _values(metrics)
    started = values.get(STARTED) or _started(page.pid)
    up = time.time() - started if started else None
    return {
        "name": page.name,
        "service": page.service,
        "state": "ready" if ready else "not ready" if started else "down",
        "ready": ready,
        "uptime": duration(up),
        "restarts": page.restarts,
        "last_progress": duration(values.get(PROGRESS)),
        "reason": "; ".join(filter(None, (page.reason, "" if ready else reason))),
    }


async def _get(client: httpx2.AsyncClient, url: str) -> tuple[bool, str]:
    try:
        answer = await client.get(url)
        return answer.status_code == OK, answer.text
    except httpx2.HTTPError as error:
        return False, f"{url} does not answer ({type(error).__name__})"


def _values(metrics: str) -> dict[str, float]:
    """The two metrics that are shown; only their lines are parsed."""
    lines = [line for line in metrics.splitlines() if line.startswith((STARTED, PROGRESS))]
    families = text_string_to_metric_families("\n".join(lines) + "\n")
    return {sample.name: sample.value for family in families for sample in family.samples}


def _started(pid: int | None) -> float | None:
    try:
        return psutil.Process(pid).create_time() if pid else None
    except psutil.Error:
        return None


def _client(seconds: float) -> httpx2.AsyncClient:
    """Plain HTTP without a proxy: the pages are on this machine or in its network."""
    return httpx2.AsyncClient(timeout=seconds, trust_env=False, verify=False)
