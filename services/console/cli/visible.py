"""Text for a terminal: what could move the cursor, change colours or the order of characters is
shown as its escape (ESC as \\x1b), never sent.

Every text of a command passes through this module: `output.Screen` and `step_progress.Steps` for
people and JSON, and `Program` for what the parser of the command line and Python itself report.
"""

import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

# Control characters but tab and line end; marks that turn the direction of what follows or that
# people cannot see (joiners stay: scripts and emoji need them); halves of surrogate pairs.
CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)
EXIT_UNEXPECTED = 1
USAGE_ERROR: Any = typer.BadParameter.__base__
"""What the parser raises: an unknown option or command, a missing or wrong value."""


def visible(text: str) -> str:
    """The text with escapes, as in Python, in place of what a terminal would obey."""
    return CONTROL.sub(lambda found: ascii(found.group())[1:-1], text)


def visible_json(document: str) -> str:
    """A JSON text with the escapes of JSON: the document stays the same."""
    return CONTROL.sub(_json_escape, document)


def _json_escape(found: re.Match[str]) -> str:
    units = found.group().encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


class Program(TyperGroup):
    """The program: what the parser of the command line quotes is made visible."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Parses the options of the program."""
        with _visible_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Parses the options of a command and runs it."""
        with _visible_errors():
            return super().invoke(ctx)


@contextmanager
def _visible_errors() -> Iterator[None]:
    try:
        yield
    except USAGE_ERROR as error:
        error.__dict__["message"] = visible(error.message)
        raise


def run(program: Any) -> None:
    """Runs the program; an unexpected error is reported as Python reports it, made visible."""
    try:
        program()
    except Exception:
        sys.stderr.write(visible(traceback.format_exc()))
        sys.exit(EXIT_UNEXPECTED)
