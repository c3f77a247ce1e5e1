"""Examples of the documentation: where they stand, how they are run, what counts as equal.

An example is a fenced block with the word `console`. In it a line that begins with `$ ` is a
command, lines that begin with `> ` continue it, and the lines after are its output, standard
error included. In the expected output `...` stands for any text within a line, and a line that
is only `...` stands for any number of lines.

All examples of all pages run one after the other on one demonstration stack, the README first
and then the pages of `docs/` in the order of their names: a later example sees what an earlier
one has changed.
"""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
FENCE = re.compile(r"^```(\w*)\s*$")
ANY = "..."
DEMO_COMMAND = "make demo"
DEMO_SECONDS = 280
COMMAND_SECONDS = 240


@dataclass(frozen=True, slots=True)
class Example:
    """A command, the output that a page shows for it, and the lines on which the output stands.

    `first` is the index of the first line of output, `end` the index after the last one.
    """

    page: Path
    command: str
    expected: tuple[str, ...]
    first: int
    end: int

    @property
    def name(self) -> str:
        """Page and line number, for messages."""
        return f"{self.page.relative_to(ROOT)}:{self.first}: $ {self.command}"


def pages_with_examples() -> list[Path]:
    """The README, then the pages of `docs/` by name."""
    return [README, *sorted((ROOT / "docs").glob("*.md"))]


def examples_of(page: Path) -> list[Example]:
    """All examples of a page, from top to bottom."""
    found: list[Example] = []
    lines = page.read_text(encoding="utf-8").splitlines()
    language: str | None = None
    command: list[str] = []
    first = 0

    def close(end: int) -> None:
        if command:
            found.append(Example(page, "\n".join(command), tuple(lines[first:end]), first, end))
        command.clear()

    for at, line in enumerate(lines):
        fence = FENCE.match(line)
        if fence:
            close(at)
            language = None if language is not None else fence[1]
        elif language == "console" and line.startswith("$ "):
            close(at)
            command.append(line.removeprefix("$ "))
            first = at + 1
        elif language == "console" and line.startswith("> ") and first == at:
            command.append(line.removeprefix("> "))
            first = at + 1
    return found


def matches(expected: Sequence[str], output: str) -> bool:
    """Tell whether an output is the expected one; blanks at line ends do not count."""
    pattern = ""
    for line in expected:
        if line.strip() == ANY:
            pattern += r"(?:[^\n]*\n)*?"
        else:
            parts = (re.escape(part) for part in line.rstrip().split(ANY))
            pattern += r"[^\n]*?".join(parts) + r"\n"
    found = "".join(f"{line.rstrip()}\n" for line in output.splitlines())
    return re.fullmatch(pattern, found) is not None


@dataclass(frozen=True, slots=True)
class DemoStack:
    """A running stack that holds the sample month, and what `make demo` printed when it made it."""

    folder: Path
    environment: dict[str, str]
    demo_output: str

    def run(self, command: str) -> str:
        """Run a command as a person would and return what it prints.

        The demonstration has run already, so its command returns what it printed then.
        """
        if command == DEMO_COMMAND:
            return self.demo_output
        return _run(["bash", "-c", command], self.folder, self.environment, COMMAND_SECONDS)


def _run(command: list[str], folder: Path, environment: dict[str, str], seconds: float) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    return done.stdout


def _environment(folder: Path) -> dict[str, str]:
    """The machine's environment without our settings, on the day that the pages name."""
    cache = "BACKOFFICE_CACHE"
    kept = {name: v for name, v in os.environ.items() if not name.startswith("BACKOFFICE_")}
    if cache in os.environ:
        kept[cache] = os.environ[cache]
    programs = Path(sys.executable).parent
    return kept | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "BACKOFFICE_STACK": "embedded",
        "BACKOFFICE_DATA": str(folder / ".backoffice" / "demo"),
        "BACKOFFICE_TODAY": "2026-11-22",
    }


@contextlib.contextmanager
def demo_stack() -> Iterator[DemoStack]:
    """Play the demonstration in a folder of its own, start its stack again, stop it at the end."""
    prefix = "backoffice-docs-"
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL runs as another user when we are root
        environment = _environment(folder)
        output = _run(["backoffice", "demo"], folder, environment, DEMO_SECONDS)
        try:
            _run(["backoffice", "up", "--detach"], folder, environment, DEMO_SECONDS)
            yield DemoStack(folder, environment, output)
        finally:
            _run(["backoffice", "down"], folder, environment, COMMAND_SECONDS)
