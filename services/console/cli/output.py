"""The output of a command: short tables for people, or one JSON document for programs; and the
exit codes.

0 done; 1 refused, or Kafka or PostgreSQL unavailable (code, message, fix); 2 wrong use. With --json
the document is the only output on stdout; other messages go to stderr.
"""

import asyncio
import json
import re
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.console.columns import Column as Column
from services.console.columns import written_price as written_price
from services.console.columns.text import visible, visible_json
from shared.errors import Refused, Unavailable

EXIT_NO, EXIT_USE, EXIT_STOPPED = 1, 2, 130
PIPE_WIDTH = 400
INLINE = 4
AMOUNT = re.compile(r"-?\d+\.\d+")
"""A decimal with a fraction: among facts, a whole number may as well be an id."""

Result = TypeVar("Result")


def plain_value(value: Any) -> Any:
    """A value as JSON has it: decimals as strings, dates in ISO form."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


class Screen:
    """The output of one command."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._people = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
        self._aside = Console(
            stderr=True, highlight=False, width=None if sys.stderr.isatty() else PIPE_WIDTH
        )

    @property
    def width(self) -> int:
        """How many columns tables may have: those of the terminal, more where there is none."""
        return self._people.width

    def document(self, document: Any) -> None:
        """Prints the one JSON document, if --json is given."""
        if self.as_json:
            text = json.dumps(document, default=plain_value, ensure_ascii=False, indent=2)
            self.document_part(text + "\n")
            sys.stdout.flush()

    def document_part(self, text: str) -> None:
        """Writes a part of the one JSON document, for one that is too long to keep."""
        sys.stdout.write(visible_json(text))

    def say(self, message: str = "", style: str = "") -> None:
        """Prints a line for people."""
        if not self.as_json:
            self._people.print(Text(visible(message), style=style), soft_wrap=True)

    def aside(self, message: str, style: str = "") -> None:
        """Prints a line on stderr that is no part of the result: progress, a warning, a refusal."""
        self._aside.print(Text(visible(message), style=style), soft_wrap=True)

    def table(
        self,
        rows: Sequence[Mapping[str, Any]],
        columns: Sequence[Column],
        *,
        title: str = "",
        empty: str = "",
    ) -> None:
        """Prints rows for people; without rows, a message that says what to do next."""
        if self.as_json:
            return
        if not rows:
            if empty:
                self.say(empty)
            return
        shown = [column for column in columns if any(column.cell(row) for row in rows)]
        table = Table(
            title=Text(visible(title), style="bold") if title else None,
            title_justify="left",
            box=None,
            pad_edge=False,
            header_style="dim",
        )
        for column in shown:
            table.add_column(
                Text(visible(column.head)),
                justify="right" if column.to_the_right else "left",
                overflow="fold",
                no_wrap=column.to_the_right or column.whole,
            )
        for row in rows:
            table.add_row(*(Text(visible(column.cell(row))) for column in shown))
        self._people.print(table)

    def page(
        self,
        name: str,
        rows: Sequence[Mapping[str, Any]],
        total: int,
        columns: Sequence[Column],
        empty: str,
    ) -> None:
        """Prints the first rows of a list, and how many there are in all."""
        self.document({name: rows, "total": total})
        self.table(rows, columns, empty=empty)
        self.shortened(len(rows), total)

    def facts(self, pairs: Mapping[str, Any], indent: int = 0) -> None:
        """Prints names and values, one a line, without empty ones; a long mapping is indented
        below its name.
        """
        shown = {
            name.replace("_", " "): value
            for name, value in pairs.items()
            if value not in (None, "", [], {}, ())
        }
        wide = max((len(name) for name in shown), default=0)
        for name, value in shown.items():
            if isinstance(value, Mapping) and len(value) > INLINE:
                self.say(f"{' ' * indent}{name}")
                self.facts(value, indent + 2)
            else:
                self.say(f"{' ' * indent}{name:<{wide}}  {fact(value)}")

    def shortened(self, shown: int, total: int, how: str = "--limit") -> None:
        """Tells people when not all rows are shown."""
        if shown < total:
            self.say(f"{shown:,} of {total:,} shown; see more with {how}", "dim")

    @contextmanager
    def progress(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """A progress bar on stderr for a long step; call it with (done, of)."""
        from services.console.cli.step_progress import Steps

        with Steps(keep=False) as steps:
            yield lambda done, of: steps(what, done, of)

    def refuse(
        self, code: str, message: str, fix: str = "", details: Mapping[str, Any] | None = None
    ) -> NoReturn:
        """Prints a refusal with its fix and ends with exit 1."""
        self.document(
            {
                "outcome": "refused",
                "code": code,
                "message": message,
                "fix": fix,
                "details": dict(details or {}),
            }
        )
        self.no(code, message, fix)

    def no(self, code: str, message: str, fix: str = "") -> NoReturn:
        """Prints a refusal on stderr and ends with exit 1; the JSON document was printed
        already.
        """
        self.aside(f"{code}: {message}", "red")
        if fix:
            self.aside(f"to fix it: {fix}")
        raise typer.Exit(EXIT_NO)


def fact(value: Any) -> str:
    """A value in a line of text."""
    if isinstance(value, Decimal):
        return f"{value:,f}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S %Z").strip()
    if isinstance(value, str) and AMOUNT.fullmatch(value):
        return f"{Decimal(value):,f}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {fact(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(fact(one) for one in value)
    return ", ".join(str(value).splitlines())


AnyScreen = TypeVar("AnyScreen", bound=Screen)


@contextmanager
def screen_for(screen: AnyScreen) -> Iterator[AnyScreen]:
    """Turns expected failures of a command into a message and an exit code."""
    try:
        yield screen
    except Refused as refused:
        screen.refuse(refused.code, refused.message, refused.fix, refused.details)
    except Unavailable as unavailable:
        screen.refuse("unavailable", unavailable.message)
    except OSError as error:
        screen.refuse(
            "unavailable",
            f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}",
        )
    except KeyboardInterrupt:
        screen.aside("stopped")
        raise typer.Exit(EXIT_STOPPED) from None
    except ValueError as error:
        problems = getattr(error, "errors", None)
        if problems is None:
            raise
        for problem in problems():
            where = ".".join(str(part) for part in problem["loc"]) or "the command"
            screen.aside(f"{where}: {problem['msg'].removeprefix('Value error, ')}", "red")
        raise typer.Exit(EXIT_USE) from error


def finish(work: Coroutine[Any, Any, Result]) -> Result:
    """Runs asynchronous work to its end.

    The Kafka client's own log is off: a failure is reported once, by us.
    """
    import logging

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    return asyncio.run(work)
