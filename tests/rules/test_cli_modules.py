"""The program imports only the modules of the command that is called."""

import importlib
import os
import re
import stat
import sys
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from services.console.cli import MODULES, application, main
from services.console.cli import __name__ as package
from tests.running import ROOT


@pytest.mark.parametrize("module", MODULES)
def test_each_command_is_found_in_the_module_that_has_it(module: str) -> None:
    """A command that its module's entry does not name could only be called with all imported."""
    assert {
        name for name in MODULES[module] if name not in get_command(application()).commands
    } == set()  # type: ignore[attr-defined]
    app = typer.Typer()
    importlib.import_module(f"{package}.{module}").register(app)
    groups = {group.name for group in app.registered_groups}
    named = {
        command.name or (command.callback.__name__ if command.callback else "")
        for command in app.registered_commands
    }
    assert groups | named <= set(MODULES[module])


def test_every_command_that_a_message_or_a_page_names_exists() -> None:
    """An operator types what the fix of a message says: `backoffice GROUP COMMAND`."""
    commands = get_command(application()).commands  # type: ignore[attr-defined]
    named = {
        (found[1], found[2] or "", str(path.relative_to(ROOT)))
        for folder in ("services", "shared", "docs")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".md", ".yml")
        for found in re.finditer(r"`backoffice ([a-z-]+)(?: ([a-z-]+))?", path.read_text())
    }
    assert len(named) > 200
    assert [
        each
        for each in sorted(named)
        if each[0] not in commands
        or (each[1] and each[1] not in getattr(commands[each[0]], "commands", (each[1],)))
    ] == []


def test_only_its_user_reads_what_the_program_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exports, logs and data are written under umask 077, whatever the shell has."""
    before = os.umask(0o022)
    monkeypatch.setattr(sys, "argv", ["backoffice", "--help"])
    try:
        with pytest.raises(SystemExit):
            main()
        (tmp_path / "export.csv").touch()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "export.csv").stat().st_mode) == 0o600
