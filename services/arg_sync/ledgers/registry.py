"""The supported accounting systems: every module beside this one that has a `LEDGER`.

To add a system is to add its file.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from services.arg_sync.ledgers.adapter import AdapterSpec, Capabilities, Setting

LIMITS = {
    "per_minute": "at most so many calls a minute; empty: the limit of the kind",
    "per_day": "at most so many calls in 24 hours; empty: the limit of the kind",
    "concurrency": "at most so many documents at once; empty: the limit of the kind",
}
TIMES = {
    "request_seconds": "how long we wait for one call; empty: the default of the kind",
    "server_seconds": "how long the ledger may still carry out a call that we gave up;"
    " empty: the default of the kind",
}
"""Settings that every system takes: lower limits, other times."""
MAX_SECONDS = 3600


@cache
def adapter_specs() -> dict[str, AdapterSpec]:
    """Return the supported systems by name."""
    package = importlib.import_module("services.arg_sync.ledgers")
    modules = [
        importlib.import_module(f"{package.__name__}.{found.name}")
        for found in pkgutil.iter_modules(package.__path__)
    ]
    return {module.LEDGER.name: module.LEDGER for module in modules if hasattr(module, "LEDGER")}


def settings_of(spec: AdapterSpec) -> tuple[Setting, ...]:
    """Return the settings that a connection may have: the system's own, then the common ones."""
    common = (Setting(name, words) for name, words in (LIMITS | TIMES).items())
    return (*spec.settings, *common)


def capabilities_of(spec: AdapterSpec, settings: Mapping[str, str]) -> Capabilities:
    """Return what a connection may use: lower limits and other times as its settings have them.

    Raises ValueError for a setting that is no number or out of range.
    """
    changes: dict[str, Any] = {}
    for name in LIMITS:
        if settings.get(name):
            wanted, limit = int(settings[name]), getattr(spec.capabilities, name)
            if wanted < 1:
                raise ValueError(f"{name} must be 1 or more")
            changes[name] = wanted if limit is None else min(wanted, limit)
    for name in TIMES:
        if settings.get(name):
            seconds = float(settings[name])
            if not 0 <= seconds <= MAX_SECONDS:
                raise ValueError(f"{name} must be between 0 and {MAX_SECONDS}")
            changes[name] = seconds
    return replace(spec.capabilities, **changes)
