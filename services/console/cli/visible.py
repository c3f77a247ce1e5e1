"""Text for a terminal: what could move the cursor, change colours or the order of characters is
shown as its escape (ESC as \\x1b), never sent.

Every text of a command passes through this module: `output.Screen` and `step_progress.Steps` for
people and JSON, and `Program` for what the parser of the command line and Python itself report.
"""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from services.console.columns.text import CONTROL as CONTROL
from services.console.columns.text import visible as visible
from services.console.columns.text import visible_json as visible_json

EXIT_UNEXPECTED = 1
USAGE_ERROR: Any = typer.BadParameter.__base__
"""What the parser raises: an unknown option or command, a missing or wrong value."""


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
