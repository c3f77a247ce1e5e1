"""Which accounting systems there are: every module beside this one that holds a `LEDGER`. To add one is to add its file."""

import importlib
import pkgutil
from dataclasses import replace
from functools import cache
from typing import Any

from services.arg_sync.ledgers.port import Capabilities, Kind, Setting

LOWERED = {
    "per_minute": "at most so many calls a minute; empty: the limit of the kind",
    "per_day": "at most so many calls in 24 hours; empty: the limit of the kind",
    "concurrency": "at most so many documents at once; empty: the limit of the kind",
}
TIMES = {
    "request_seconds": "our patience with one call; empty: as the kind has it",
    "server_seconds": "how long the ledger may still carry out a call that we gave up; empty: as the kind has it",
}
"""Settings that every kind takes, explained: lower limits, other times."""


@cache
def all_kinds() -> dict[str, Kind]:
    """The kinds by name."""
    package = importlib.import_module("services.arg_sync.ledgers")
    modules = [
        importlib.import_module(f"{package.__name__}.{found.name}")
        for found in pkgutil.iter_modules(package.__path__)
    ]
    return {module.LEDGER.name: module.LEDGER for module in modules if hasattr(module, "LEDGER")}


def settings_of(kind: Kind) -> tuple[Setting, ...]:
    """The settings that a connection of this kind may have: its own, then those that every kind takes."""
    return (*kind.settings, *(Setting(name, words) for name, words in (LOWERED | TIMES).items()))


def capabilities_of(kind: Kind, settings: dict[str, str]) -> Capabilities:
    """What a connection may use: the kind's limits, lowered by its settings; its times as the settings have them. ValueError if one is no number."""
    changes: dict[str, Any] = {}
    for name in LOWERED:
        if settings.get(name):
            wanted, limit = int(settings[name]), getattr(kind.capabilities, name)
            if wanted < 1:
                raise ValueError(f"{name} must be 1 or more")
            changes[name] = wanted if limit is None else min(wanted, limit)
    for name in TIMES:
        if settings.get(name):
            changes[name] = seconds(name, settings[name])
    return replace(kind.capabilities, **changes)


def seconds(name: str, text: str) -> float:
    """A time within reason."""
    value = float(text)
    if not 0 <= value <= 3600:
        raise ValueError(f"{name} must lie between 0 and 3600")
    return value
