"""JSON files of the command line, and settings of the environment: values, or wrong use."""

import contextlib
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import typer
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pydantic import ValidationError

from services.arg_sync.ledgers.registry import adapter_specs, capabilities_of, settings_of
from services.console.actions.commands import new_command
from services.console.actions.record_keys import record_key
from services.console.cli.ledgers import sealed_settings
from services.console.cli.options import read_date, read_decimal, read_json
from shared import sealing
from shared.errors import Refused
from shared.settings import PREFIX, Settings, read_settings
from tests.fuzz.hostile import Picks, changed, folder

PUBLIC = sealing.public_key_of(X25519PrivateKey.generate())
LINE = 10_000
QUOTE = '"'


def path() -> Path:
    """The one file."""
    return folder("settings") / "file.json"


def read_ledger(data: bytes, picks: Picks) -> None:
    """A file of `ledger connect`."""
    path().write_bytes(data)
    specs = list(adapter_specs().values())
    spec = specs[picks.number(len(specs))]
    described = [
        {"name": each.name, "secret": each.secret, "default": each.default, "binds": each.binds}
        for each in settings_of(spec)
    ]
    found = sealed_settings(path(), "gl-us", spec.name, described, PUBLIC)
    new_command(
        "connect-ledger",
        ledger="gl-us",
        kind=spec.name,
        billing_company="acme-us",
        actor="a",
        **found,
    )
    with contextlib.suppress(ValueError):
        capabilities_of(spec, found["settings"])


def read_catalog(data: bytes) -> None:
    """A file of `catalog set`."""
    path().write_bytes(data)
    read = read_json(path())
    for item in read if isinstance(read, list) else [read]:
        body: dict[str, Any] = item if isinstance(item, dict) else {}
        new_command("set-catalog-item", **body | {"actor": "a", "reason": ""})


def read_environment(data: bytes, picks: Picks) -> None:
    """One variable."""
    every = fields(Settings)
    name = f"{PREFIX}{every[picks.number(len(every))].name.upper()}"
    before = os.environ.get(name)
    os.environ[name] = data.decode("utf-8", "surrogateescape").replace("\0", "")
    try:
        read_settings()
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def run(data: bytes) -> None:
    """Read one file, one option or one variable."""
    picks = Picks(data)
    how, raw = picks.number(5), picks.number(6) == 1
    ledger = {"base_url": "https://x.example.com", "user": "u", "per_minute": 5, "password": "p"}
    item = {"item_id": "i", "name": "n", "amount": "5", "currency": "USD", "plan": [{"share": "1"}]}
    error: Exception | None = None
    try:
        if how == 0:
            read_ledger(picks.rest if raw else changed(ledger, picks), Picks(picks.rest))
        elif how == 1:
            read_catalog(picks.rest if raw else changed([item], picks))
        elif how == 2:
            read_environment(picks.rest if raw else changed("5", picks), Picks(picks.rest))
        elif how == 3:
            record_key("operator-commands", picks.rest if raw else changed(ledger, picks))
        else:
            text = (picks.rest if raw else changed("5", picks)).decode("utf-8", "replace")
            with contextlib.suppress(typer.BadParameter):
                read_date(text)
            f"{read_decimal(text.strip(QUOTE)):f}"
    except (typer.BadParameter, Refused) as wrong_use:
        error = wrong_use
    except ValidationError:
        pass
    assert error is None or len(str(error)) < LINE, len(str(error))
