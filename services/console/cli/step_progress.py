"""Progress of several steps on stderr: a bar for each on a terminal, a line for each elsewhere."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn

from services.console.cli.output import PIPE_WIDTH
from services.console.cli.visible import visible


class Steps:
    """Shows one step after another: call it with (step, done, of); 0 means that `of` is unknown.

    With `keep` a finished step stays on the screen as a line, with its number and time.
    """

    def __init__(self, keep: bool = True) -> None:
        self._keep = keep
        self._terminal = sys.stderr.isatty()
        self._console = Console(
            stderr=True, highlight=False, width=None if self._terminal else PIPE_WIDTH
        )
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            console=self._console,
            transient=True,
            disable=not self._terminal,
        )
        self._task: TaskID | None = None
        self._step = ""
        self._began = time.monotonic()
        self._done = 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()
        self._bar.stop()

    def __call__(self, step: str, done: int, of: int) -> None:
        if step != self._step:
            self._end()
            self._step, self._began = step, time.monotonic()
            self._task = self._bar.add_task(visible(step), total=of or None)
        self._done = done
        if self._task is not None:
            self._bar.update(self._task, completed=done, total=of or None)

    def _end(self) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
        if self._task is not None and self._keep:
            number = f" {self._done:,}" if self._done else ""
            self._console.print(
                visible(f"  {self._step}{number} ({time.monotonic() - self._began:.1f} s)"),
                style="dim",
                markup=False,
            )
        self._task = None
