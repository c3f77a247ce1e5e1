"""The workers of a local stack: restarted whatever ends them, forked from one process."""

import functools
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from shared.logins import plain_dsn
from shared.stack import logins, running_stack, status
from shared.stack.forking import SUPPORTED
from shared.stack.workers import module_of
from tests.system.test_stack import (
    embedded,
    passwords,
    processes_of,
    silent,
    sql,
    tmp_path,
    within_patience,
)

__all__ = ("embedded", "tmp_path")  # fixtures


def check_environment(scheduler: int, data: Path) -> None:
    """A worker is told of its own user of Kafka, by the path of its password's file, and of no
    other."""
    environment = psutil.Process(scheduler).environ()
    assert environment["BACKOFFICE_KAFKA_USER"] == "scheduler"
    files = [value for value in environment.values() if "passwords/kafka" in value]
    assert files == [str(data / logins.PASSFILES / "kafka" / "scheduler")]
    shown = "\n".join(environment.values())
    assert not [secret for secret in passwords(data) if secret in shown]


def test_a_worker_that_was_not_asked_to_stop_is_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kill -9, SIGTERM from outside, and SIGSTOP, after which it does not answer for the stated
    time: each time it is restarted on the same port, counted, and `status` says why.

    `up` means that every worker reports progress. A worker has its settings and no other variable,
    and its login is no superuser.
    """
    monkeypatch.setenv("BACKOFFICE_TICK_SECONDS", "14")
    monkeypatch.setenv("BACKOFFICE_CANARY", "canary")
    monkeypatch.setenv("CANARY", "canary")
    monkeypatch.setenv("BACKOFFICE_LIVE_LIMIT_SECONDS", "3")
    with running_stack(tmp_path / "data", {"scheduler": 1}, say=silent) as stack:
        (worker,) = stack.workers
        first, port = worker.pid, worker.port
        assert first is not None
        environment = psutil.Process(first).environ()
        assert "CANARY" not in environment and "BACKOFFICE_CANARY" not in environment
        assert environment["BACKOFFICE_TICK_SECONDS"] == "14"
        users = "SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name LIKE '%{}%'"
        assert sql(plain_dsn(stack.postgres.admin_url), users.format("scheduler")) == ["scheduler"]
        assert worker.is_ready()
        check_environment(first, stack.data)
        os.kill(first, signal.SIGKILL)
        assert within_patience(lambda: worker.pid not in (None, first) and worker.is_ready())
        (seen,) = status(tmp_path / "data")["workers"]
        assert (seen["restarts"], seen["port"], seen["alive"], seen["ready"]) == (
            1,
            port,
            True,
            True,
        )
        assert "was killed by signal 9 at" in seen["reason"]
        for number, reason in (
            (signal.SIGTERM, "ended with exit 0 at"),
            (signal.SIGSTOP, "did not answer for"),
        ):
            before = worker.pid
            assert before is not None
            os.kill(before, number)
            assert within_patience(
                functools.partial(lambda pid: worker.pid not in (None, pid), before)
            ), f"signal {number}: the worker stays down"
            assert within_patience(worker.is_ready)
            (seen,) = status(tmp_path / "data")["workers"]
            assert (seen["ready"], reason in seen["reason"]) == (True, True), seen
        assert seen["restarts"] == 3
    assert processes_of(tmp_path / "data") == []
    # The next start knows schemas and topics, and the worker waits for servers that boot beside it.
    said: list[str] = []
    with running_stack(tmp_path / "data", {"scheduler": 1}, say=said.append) as stack:
        assert not [line for line in said if line.startswith(("migrate", "topics", "preparing"))]
        (worker,) = stack.workers
        assert (worker.is_ready(), worker.restarts) == (True, 0)
        assert (
            sys.platform != "linux" or ".aot" in Path(f"/proc/{stack.kafka.pid}/maps").read_text()
        )


@pytest.mark.skipif(not SUPPORTED, reason="workers are forked on Linux only")
def test_forked_workers_are_processes_like_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several workers are forks of one process, which has one thread and none of their settings.

    Each shows its own command line, logs to its own file, and is restarted when it is killed. When
    the process that forks them is killed, all of them are started again, and nothing is left.
    """
    monkeypatch.setenv("BACKOFFICE_CANARY", "canary")
    monkeypatch.setenv("BACKOFFICE_MAIL_PASSWORD", "canary")
    with running_stack(tmp_path / "data", {"scheduler": 1, "lag_exporter": 1}, say=silent) as stack:
        workers = {worker.service: worker for worker in stack.workers}
        scheduler = workers["scheduler"]
        before = {service: psutil.Process(worker.pid) for service, worker in workers.items()}
        forker = before["scheduler"].parent()
        assert forker is not None and forker.num_threads() == 1
        assert "canary" not in forker.environ().values()
        for service, process in before.items():
            assert [part for part in process.cmdline() if part][-1] == module_of(service)
            assert (process.ppid(), os.getsid(process.pid)) == (forker.pid, process.pid)
            assert "canary" not in process.environ().values()
        assert '"ready"' in scheduler.log.read_text()
        before["scheduler"].kill()
        assert within_patience(lambda: scheduler.pid not in (None, before["scheduler"].pid))
        assert "was killed by signal 9 at" in scheduler.reason
        assert workers["lag_exporter"].pid == before["lag_exporter"].pid
        assert within_patience(scheduler.is_ready)
        restarted = {psutil.Process(worker.pid) for worker in stack.workers}
        forker.kill()
        pids = {process.pid for process in restarted}
        for worker in stack.workers:
            assert within_patience(lambda: worker.pid not in (None, *pids))  # noqa: B023
            assert within_patience(worker.is_ready)
        restarted |= {psutil.Process(worker.pid) for worker in stack.workers}
    assert not [process for process in restarted if process.is_running()]
    assert processes_of(tmp_path / "data") == []
