"""A command of `backoffice` that a message or a page names exists, with the options named.

A person who follows "to fix it" must not be told of an unknown option.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from services.console.cli import application
from tests.running import ROOT

NAMED = re.compile(r"`backoffice ([a-z][^`]*)`")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
SOURCES = [path for folder in ("services", "shared") for path in (ROOT / folder).rglob("*.py")]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
LEAST = 100
ALL: Any = get_command(application())
"""The tree of all commands."""


def strings(path: Path) -> Iterator[str]:
    """Every string of a file; the values of a formatted one are written as VALUE."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else "VALUE"
                for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def unknown(words: str) -> str:
    """What of a command does not exist; empty if all of it does."""
    command: Any = ALL
    names = iter(words.split())
    while hasattr(command, "commands"):
        name = next(names, "")
        if "|" in name or not name.islower():
            return ""  # several commands, or a group of them
        if name not in command.commands:
            return f"no command {name}"
        command = command.commands[name]
    known = {"--help"}
    for parameter in command.params:
        known |= {*parameter.opts, *parameter.secondary_opts}
    return ", ".join(sorted(set(OPTION.findall(words)) - known))


def test_named_commands_exist() -> None:
    """Each `backoffice ...` in a message or on a page is a command with options that it has."""
    texts = [(path, path.read_text(encoding="utf-8")) for path in PAGES]
    texts += [(path, text) for path in SOURCES for text in strings(path)]
    named = [(path, words) for path, text in texts for words in NAMED.findall(text)]
    assert len(named) > LEAST
    wrong = [
        f"{path.relative_to(ROOT)}: `backoffice {words}`: {reason}"
        for path, words in named
        if (reason := unknown(words))
    ]
    assert not wrong, "\n".join(wrong)


def test_an_unknown_option_is_found() -> None:
    """The check sees a wrong option, a wrong command, and nothing wrong in a right one."""
    assert unknown("billing-company set ID --enabled") == "--enabled"
    assert unknown("billing-firm set ID") == "no command billing-firm"
    assert unknown("billing-company set ID --enable --tax CODE=PERCENT@FROM_DATE") == ""
