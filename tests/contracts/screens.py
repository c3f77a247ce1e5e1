"""Which screens of the web console send which command."""

import ast
from collections.abc import Iterator
from pathlib import Path

from services.console.actions.commands import MODELS
from services.console.web.app import SCREENS
from services.console.web.forms.command_form import NO_FORM

WEB = Path(__file__).resolve().parents[2] / "services" / "console" / "web"
APART = {
    "credits": "Invoices",
    "downloads": "Batches",
    "openid": "sign-in at an OpenID provider",
    "program_keys": "People",
    "setup_edits": "Set-up",
    "setup_sections": "Set-up",
    "setup_upload": "Set-up",
    "why": "Pay lines",
}
"""The screens of the modules that are parts of another screen."""


def titles() -> dict[str, str]:
    """Return the screen of each module that belongs to one."""
    own = {screen.__name__.rpartition(".")[2]: screen.SCREEN.title for screen in SCREENS}
    return own | APART


def screens_of() -> dict[str, list[str]]:
    """Return the screens that name each command, in the order of the alphabet."""
    found: dict[str, set[str]] = {command: set() for command in MODELS}
    for module, screen in titles().items():
        for name in _texts(WEB / f"{module}.py"):
            if name in found:
                found[name].add(screen)
    return {command: sorted(screens) for command, screens in found.items()}


def _texts(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value.removeprefix("/edit/")


def rows() -> Iterator[tuple[str, str, str]]:
    """Return command, screens and form of each command, or why it has no form."""
    for command, screens in sorted(screens_of().items()):
        form = f"no: {NO_FORM[command]}" if command in NO_FORM else f"`/edit/{command}`"
        yield command, ", ".join(screens), form
