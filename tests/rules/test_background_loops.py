"""Logging never raises into the work, and a background loop that ends stops the worker."""

import asyncio
import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
import structlog

from shared import telemetry
from shared.consumer.loops import Sweep, start_loops
from shared.consumer.worker import Service, TaskEnded, Worker

FULL_DISK = Path("/dev/full")
PATIENCE_SECONDS = 5.0
needs_full_disk = pytest.mark.skipif(
    not FULL_DISK.exists(), reason="only Linux has a device that is always full"
)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The log goes to a disk without space, as a worker sets it up."""
    before = structlog.get_config()
    with FULL_DISK.open("wb", buffering=0) as disk:
        unbuffered = io.TextIOWrapper(cast(BinaryIO, disk), write_through=True)
        monkeypatch.setattr("sys.stderr", unbuffered)
        monkeypatch.setattr(logging, "raiseExceptions", True)
        monkeypatch.setattr(logging.getLogger(), "handlers", [])
        telemetry.log_setup("scheduler")
        yield
        structlog.configure(**before)
        structlog.contextvars.clear_contextvars()


def lost_lines() -> float:
    """The metric of lines that could not be written."""
    return telemetry.REGISTRY.get_sample_value("backoffice_log_lines_lost_total") or 0.0


@needs_full_disk
@pytest.mark.usefixtures("full_disk")
def test_a_line_that_cannot_be_written_is_lost_and_counted() -> None:
    """ENOSPC in the log never reaches the work, neither by our logger nor by a library's."""
    before = lost_lines()
    telemetry.log().warning("a line")
    telemetry.log().error("another", exc_info=ValueError("x"))
    logging.getLogger("aiokafka").error("a library's line")
    assert lost_lines() == before + 2


@needs_full_disk
def test_a_value_that_cannot_be_rendered_is_no_error_of_the_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A circular value cannot be JSON."""
    before = structlog.get_config()
    monkeypatch.setenv("BACKOFFICE_LOG_FORMAT", "json")
    telemetry.log_setup("scheduler")
    try:
        endless: list[Any] = []
        endless.append(endless)
        lost = lost_lines()
        telemetry.log().info("a line", value=endless)
        assert lost_lines() == lost + 1
    finally:
        structlog.configure(**before)
        structlog.contextvars.clear_contextvars()


async def stopped(worker: Worker) -> Worker:
    """Run the worker's loops until the worker stops."""
    tasks = start_loops(worker, cast(Sweep, _IdleSweep()))
    async with asyncio.timeout(PATIENCE_SECONDS):
        await worker.stopping.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return worker


def worker_with(timer: Any) -> Worker:
    """A worker with this loop of its own."""
    return Worker(Service("scheduler", [], {}, timers=[timer]))


class _IdleSweep:
    """A sweep that does nothing: no database is needed here."""

    async def run(self) -> None:
        """Wait."""
        await asyncio.sleep(PATIENCE_SECONDS)


@needs_full_disk
@pytest.mark.usefixtures("full_disk")
async def test_a_loop_survives_a_full_disk_below_the_log() -> None:
    """Its infrastructure is unavailable, and the line about that cannot be written: it goes on."""
    turns = 0

    async def timer(worker: Worker) -> None:
        nonlocal turns
        turns += 1
        if turns == 1:
            raise ConnectionError("the database is away")
        worker.stop()

    worker = await stopped(worker_with(timer))
    assert (turns, worker.failed) == (2, None)


async def test_a_loop_that_is_cancelled_stops_the_worker() -> None:
    """No exception that `except Exception` sees, as when a library cancels a task of ours."""

    async def timer(worker: Worker) -> None:
        raise asyncio.CancelledError

    worker = await stopped(worker_with(timer))
    assert isinstance(worker.failed, TaskEnded)
    assert "timer-0" in str(worker.failed)


async def test_a_loop_that_ends_with_any_exception_stops_the_worker() -> None:
    """Also one that the handling of errors itself raises."""

    async def broken(worker: Worker) -> None:
        raise ValueError("an unexpected error")

    async def cannot_pause(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    worker = worker_with(broken)
    worker.pause_or_fail = cannot_pause  # type: ignore[method-assign]
    await stopped(worker)
    assert isinstance(worker.failed, OSError)
