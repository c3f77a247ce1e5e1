"""What a forked worker is before it is a worker.

Apart from the driver, because a forked process imports this file and nothing else of the tests.
"""

import ctypes
import importlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping
from multiprocessing.context import ForkServerContext

from shared.consumer.application import build_app, run_app
from shared.settings import settings
from shared.stack.parent_watch import PR_SET_PDEATHSIG

SERVICES = ("fee_realizer", "invoicer", "scheduler")


def forks() -> ForkServerContext:
    """Where workers come from: a process that has imported them all."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [
            "pytest.__main__",
            *(f"services.{service}.app" for service in SERVICES),
            "tests.system.injected_defects",
            __name__,
        ]
    )
    return context


def live(service: str, environment: Mapping[str, str], log: str, defect: str) -> None:
    """The life of a worker process: its environment, its log, then what `python -m
    services.X.app` does. `defect`: the one to inject.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(
            PR_SET_PDEATHSIG, signal.SIGKILL
        )  # a test that is killed itself leaves no worker behind
    os.environ.clear()
    os.environ.update(environment)
    settings.cache_clear()
    sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    app = importlib.import_module(f"services.{service}.app")
    if defect:
        importlib.import_module("tests.system.injected_defects").inject(defect)
    run_app(
        build_app(app.service())
    )  # not `app.app`: the settings were others when it was imported
